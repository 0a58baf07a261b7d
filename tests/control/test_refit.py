"""Fits that hang, die, starve or crowd, and a pool that carries on."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from made_series import shop
from patience import WITHIN_S, soon
from predictscale.control.refit import FitPool
from predictscale.core.calendar import Calendar
from predictscale.core.series import MetricWindow
from predictscale.errors import FitFailed, NotEnoughHistory, SettingsError, TryNextForecaster
from predictscale.forecasters.base import Forecaster
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay
from predictscale.forecasters.registry import Context
from predictscale.meters import Meters
from stub_forecasters import Computes, Hangs, HangsInAHurry, Hungry, Says, StartsAChild, Tells, Told, scripted

_NEVER_S = WITHIN_S
"""For what must not come before all else: a test that hangs says so while somebody still looks."""


def _pool(
    *forecasters: Forecaster,
    deadline_s: float = _NEVER_S,
    quick_deadline_s: float = _NEVER_S,
    grace_s: float = _NEVER_S,
) -> FitPool:
    known = {f.name: f for f in (*forecasters, LastValue(), SeasonalNaiveDay())}
    return FitPool(
        meters=Meters(),
        known=known,
        deadline_s=deadline_s,
        quick_deadline_s=quick_deadline_s,
        grace_s=grace_s,
    )


def _window(days: float = 0.5) -> MetricWindow:
    return shop(days=days)


def _count(pool: FitPool, metric: str, **labels: str) -> float:
    return pool._meters.registry.get_sample_value(metric, labels) or 0.0


async def _pid(file: Path) -> int:
    """The process id that a stub has written down."""
    await soon(file.exists)
    return int(await asyncio.to_thread(file.read_text))


def _gone(pid: int) -> bool:
    """Whether a process has ended; a zombie that nobody reaps here has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state in "ZX"


async def test_a_chain_is_fitted_elsewhere_and_serves_here() -> None:
    pool, window = _pool(Tells()), _window()
    result = await pool.fit(("tells", "last-value"), window)
    facts = json.loads(result.skipped[0].reason)
    assert facts["pid"] != os.getpid()
    forecast, notes = result.fitted.forecast(window, steps=12)
    assert forecast.model == result.fitted.model == "last-value"
    assert notes == ()
    assert _count(pool, "predictscale_fit_duration_seconds_count", forecaster="last-value") == 1
    assert _count(pool, "predictscale_fit_errors_total", forecaster="tells", error="FitFailed") == 1


async def test_a_worker_is_told_of_the_workloads_clock_and_of_the_fit_before() -> None:
    pool, window = _pool(Told()), _window()
    tokyo = Context(calendar=Calendar("Asia/Tokyo"))
    before = LastValue().fit(window)
    result = await pool.fit(("told", "last-value"), window, context=tokyo, previous=before)
    assert result.skipped[0].reason == "Asia/Tokyo after last-value"
    plain = await pool.fit(("told", "last-value"), window)
    assert plain.skipped[0].reason == "UTC after nothing"


@pytest.mark.parametrize("name", ["holt-winters", "sarimax-fourier", "prophet"])
async def test_every_slow_model_fits_within_a_workers_limits(name: str) -> None:
    # But the grace, which is for the start of the worker, and not for the fit.
    pool, window = FitPool(meters=Meters(), grace_s=_NEVER_S), _window(days=4)
    result = await pool.fit((name, "last-value"), window)
    assert result.skipped == ()
    assert result.fitted.predict(window, steps=12).model == name
    left = await asyncio.to_thread(lambda: [p for p in Path(pool._scratch).rglob("*") if p.is_file()])
    assert left == []


async def test_a_worker_is_nice_alone_in_its_group_and_has_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    result = await _pool(Tells()).fit(("tells", "last-value"), _window())
    facts = json.loads(result.skipped[0].reason)
    assert facts["nice"] >= os.nice(0) + 10 or facts["nice"] == 19
    assert facts["group"] == facts["pid"]
    assert facts["blas"] == "1"
    assert facts["temp"].endswith(f"/{facts['pid']}")


@pytest.mark.parametrize(("deaf", "grace_s"), [(False, _NEVER_S), (True, 1.0)])
async def test_a_hung_fit_is_killed_at_its_deadline_and_the_next_model_serves(
    tmp_path: Path, *, deaf: bool, grace_s: float
) -> None:
    file, others = tmp_path / "pid", _pool()
    # It stands by for the fit: a grace that is not for ever is no time to start a process.
    worker = await others.run(os.getpid)
    pool = _pool(Hangs(str(file), deaf=deaf), deadline_s=0.5, grace_s=grace_s)
    result = await pool.fit(("hangs", "last-value"), _window())
    assert result.fitted.model == "last-value"
    assert result.skipped == (("hangs", "not done after 0.5 s, killed"),)
    assert _count(pool, "predictscale_fit_errors_total", forecaster="hangs", error="FitFailed") == 1
    await soon(lambda: _gone(worker))


async def test_quick_fits_that_hang_are_killed_at_a_deadline_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    pool = _pool(HangsInAHurry(str(file)), quick_deadline_s=0.5)
    with pytest.raises(TryNextForecaster, match=r"not done after 0\.5 s, killed"):
        await pool.fit(("hangs-in-a-hurry", "last-value"), _window())
    worker = await _pid(file)
    await soon(lambda: _gone(worker))
    assert (await _pool().fit(("last-value",), _window())).fitted.model == "last-value"


async def test_what_a_hung_fit_has_started_is_killed_with_it(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    result = await _pool(StartsAChild(str(file)), deadline_s=0.5).fit(
        ("starts-a-child", "last-value"), _window()
    )
    assert result.skipped == (("starts-a-child", "not done after 0.5 s, killed"),)
    grandchild = await _pid(file)
    await soon(lambda: _gone(grandchild))


async def test_a_killed_worker_fails_only_its_job(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    pool, window = _pool(Hangs(str(file))), _window()
    doomed = asyncio.create_task(pool.fit(("hangs", "last-value"), window))
    bystander = asyncio.create_task(pool.fit(("seasonal-naive-day", "last-value"), _window(days=3)))
    os.kill(await _pid(file), signal.SIGKILL)
    result = await doomed
    assert result.skipped == (("hangs", "its worker process died"),)
    assert result.fitted.model == "last-value"
    assert (await bystander).fitted.model == "seasonal-naive-day"
    assert (await pool.fit(("last-value",), window)).fitted.model == "last-value"


async def test_a_fit_that_wants_too_much_memory_fails_alone() -> None:
    result = await _pool(Hungry()).fit(("hungry", "last-value"), _window())
    assert result.fitted.model == "last-value"
    assert "MemoryError" in result.skipped[0].reason


async def test_quick_fits_do_not_wait_behind_a_slow_one(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    pool, window = _pool(Hangs(str(file))), _window()
    slow = asyncio.create_task(pool.fit(("hangs", "last-value"), window))
    await _pid(file)
    quick = await pool.fit(("hangs", "last-value"), window, quick_only=True)
    assert quick.fitted.model == "last-value"
    assert quick.skipped == ()
    assert not slow.done()
    slow.cancel()
    await asyncio.gather(slow, return_exceptions=True)


async def test_a_cancelled_fit_leaves_no_worker_behind(tmp_path: Path) -> None:
    file = tmp_path / "pid"
    fit = asyncio.create_task(_pool(Hangs(str(file))).fit(("hangs",), _window()))
    worker = await _pid(file)
    fit.cancel()
    await asyncio.gather(fit, return_exceptions=True)
    await soon(lambda: _gone(worker))


async def test_the_event_loop_turns_while_a_fit_computes() -> None:
    fit = asyncio.create_task(_pool(Computes(seconds=0.4)).fit(("computes",), _window()))
    turns = 0
    while not fit.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert (await fit).fitted.model == "last-value"
    assert turns > 50


async def test_what_lacks_history_needs_no_worker_to_say_so() -> None:
    pool = _pool(Tells())
    pool._scratch = "/nowhere"
    short = _window().last(300.0)
    with pytest.raises(NotEnoughHistory) as refused:
        await pool.fit(("seasonal-naive-day", "last-value"), short)
    assert refused.value.need_s == LastValue().needs_s(short.step_s)
    assert refused.value.have_s == 300.0
    named = {"forecaster": "seasonal-naive-day", "error": "NotEnoughHistory"}
    assert _count(pool, "predictscale_fit_errors_total", **named) == 1


async def test_numbers_of_an_error_survive_the_way_from_the_worker() -> None:
    late = scripted("late-to-notice", NotEnoughHistory(need_s=7200, have_s=300), slow=True)
    with pytest.raises(NotEnoughHistory) as refused:
        await _pool(late).fit(("late-to-notice",), _window())
    assert (refused.value.need_s, refused.value.have_s) == (7200, 300)


async def test_slow_models_behind_a_champion_are_not_fitted(tmp_path: Path) -> None:
    never = tmp_path / "never"
    result = await _pool(Computes(seconds=0.0), Hangs(str(never))).fit(
        ("computes", "hangs", "seasonal-naive-day", "last-value"), _window(days=3)
    )
    assert [member.model for member in result.fitted.members] == [
        "last-value",  # what Computes fits
        "seasonal-naive-day",
        "last-value",
    ]
    assert not never.exists()


async def test_what_cannot_travel_between_processes_is_that_jobs_failure() -> None:
    class Local(Says):
        pass

    result = await _pool(scripted("local", Local("local"), slow=True)).fit(("local", "last-value"), _window())
    assert result.fitted.model == "last-value"
    assert result.skipped[0].name == "local"


async def test_if_no_model_can_be_fitted_all_reasons_are_given() -> None:
    one = scripted("one", ValueError("no roots"), slow=True)
    two = scripted("two", NotEnoughHistory(need_s=900, have_s=600))
    with pytest.raises(FitFailed, match="one: ValueError: no roots; two: needs 900 s"):
        await _pool(one, two).fit(("one", "two"), _window())


async def test_an_unknown_name_is_a_settings_error_before_any_work() -> None:
    with pytest.raises(SettingsError, match="did you mean 'last-value'"):
        await _pool().fit(("last-valu",), _window())


async def test_workers_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """The parent is a process of its own, so that it can be killed without a chance to tidy up."""
    file, script = tmp_path / "pid", tmp_path / "parent.py"
    script.write_text(
        textwrap.dedent(f"""
        import asyncio, sys
        if __name__ == "__main__":
            sys.path[:0] = {sys.path!r}
            from test_parent import main
            asyncio.run(main({str(file)!r}))
        """)
    )
    (tmp_path / "test_parent.py").write_text(
        textwrap.dedent("""
        from made_series import shop
        from stub_forecasters import Hangs
        from predictscale.control.refit import FitPool
        from predictscale.meters import Meters

        async def main(file):
            hangs = Hangs(file)
            await FitPool(meters=Meters(), known={hangs.name: hangs}).fit((hangs.name,), shop(days=0.5))
        """)
    )
    parent = await asyncio.create_subprocess_exec(
        sys.executable, str(script), stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    await soon(lambda: file.exists() or parent.returncode is not None)
    assert parent.returncode is None, await parent.communicate()
    worker = await _pid(file)
    assert not _gone(worker)
    parent.kill()
    await parent.communicate()
    await soon(lambda: _gone(worker))
