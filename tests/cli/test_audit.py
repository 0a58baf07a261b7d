"""What an audit says of workloads without a replay; with one, tests/e2e/test_audit_command.py."""

import asyncio
import json
import shlex
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from known_kinds import MONDAY, known_kind
from predictscale.bootstrap.sources import Sources
from predictscale.cli import app, auditsvg
from predictscale.cli.audited import document, show
from predictscale.cli.auditjob import Asked, Job, _judged, estimated_capacity, examine, trace_name
from predictscale.cli.auditpage import page
from predictscale.cli.auditread import Reading, Subject, _named, read
from predictscale.cli.auditrun import Found, write_trace
from predictscale.cli.discover import Told
from predictscale.clock import ManualClock
from predictscale.config.detect import Detected
from predictscale.config.settings import ServiceSettings, WorkloadSettings
from predictscale.core.calendar import Calendar
from predictscale.core.demand import Signal, SignalName, WorkloadId
from predictscale.core.kinds import Kind
from predictscale.core.series import MetricWindow
from predictscale.core.slo import Slo
from predictscale.errors import AskOwner, SourceUnavailable
from predictscale.forecasters.naive import SeasonalNaiveDay
from predictscale.meters import Meters
from predictscale.sources.base import Answer
from predictscale.sources.files import load_csv

STEP_S = 300.0
ASKED = Asked(slo=Slo(max_violation=0.01, wait_s=5.0), forecasters=("seasonal-naive-day", "last-value"))
READING = Reading(days=5.0, step_s=STEP_S, at=MONDAY + timedelta(days=5), capacity={}, lead_time_s=None)


UTC_DAYS, BERLIN = Calendar(), Calendar("Europe/Berlin")


def job(name: str, demand: MetricWindow, **about: str) -> Job:
    return Job(
        workload=name,
        about={"backend": "tgi", "deployment": None, "unit": "requests/s", "trigger": None, **about},
        demand=demand,
        replicas=None,
        ready=None,
        capacity=None,
        lead={"seconds": 240.0, "source": "assumed", "because": "none is known"},
        served=None,
        asked=ASKED,
    )


def demand(kind: Kind = Kind.SCHEDULED) -> MetricWindow:
    return known_kind(kind, seed=1, days=5, step_s=STEP_S)


def told(*jobs: Job) -> dict[str, Any]:
    return document(Found(workloads=[examine(each) for each in jobs]), READING, ASKED)


def test_without_a_capacity_there_is_a_kind_and_a_forecast_and_the_reason_why_no_replay() -> None:
    (only,) = told(job("ml/chat", demand()))["workloads"]
    assert only["kind"]["kind"] == "scheduled"
    assert only["forecast"]["skill"] is not None
    assert only["replay"] == {
        "why_not": "no capacity is given, and no fleet recorded to estimate it from; give --capacity, or "
        "capacity_per_replica in the settings of --config"
    }
    assert "ml/chat" in page(told(job("ml/chat", demand())))


def test_all_of_it_is_json_without_numbers_that_are_none() -> None:
    flat = MetricWindow(MONDAY, STEP_S, np.zeros(5 * 288))
    gone = MetricWindow(MONDAY, STEP_S, np.full(5 * 288, np.nan))
    document_ = told(job("ml/flat", flat), job("ml/gone", gone), job("ml/live", demand(Kind.EVENT_DRIVEN)))
    json.dumps(document_, allow_nan=False)
    assert [each["kind"]["kind"] for each in document_["workloads"]] == ["unknown", "unknown", "event-driven"]
    assert page(document_).count("<article") == 3


@pytest.fixture
def one_workload(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands find one workload, and forty-two of something else."""

    async def looked(*arguments: Any) -> None:
        (found,) = (each for each in arguments if isinstance(each, Found))
        found.workloads.append(examine(job("ml/[/chat]", demand())))
        found.left_out = tuple(f"ml/job-{place}: is no workload" for place in range(42))

    # What it does to the log of this process, other tests would not see theirs for.
    monkeypatch.setattr("predictscale.bootstrap.configure_logging", lambda **_: None)
    # The package holds the command under this name.
    monkeypatch.setattr(sys.modules["predictscale.cli.audit"], "_looked", looked)


def test_workloads_that_all_failed_are_not_said_to_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def looked(*arguments: Any) -> None:
        (found,) = (each for each in arguments if isinstance(each, Found))
        found.failed.append({"workload": "ml/chat", "because": "its worker process died"})

    monkeypatch.setattr("predictscale.bootstrap.configure_logging", lambda **_: None)
    monkeypatch.setattr(sys.modules["predictscale.cli.audit"], "_looked", looked)
    run = CliRunner().invoke(app, ["audit"])
    assert run.exit_code == 1
    assert "ml/chat: failed: its worker process died" in run.stdout
    assert run.stderr == "of 1 workloads that were found none could be told of\n"


@pytest.mark.usefixtures("one_workload")
def test_json_is_all_that_standard_output_holds() -> None:
    run = CliRunner().invoke(app, ["audit", "--json"])
    assert run.exit_code == 0, run.output
    document_ = json.loads(run.stdout)
    assert [each["workload"] for each in document_["workloads"]] == ["ml/[/chat]"]
    assert len(document_["left_out"]) == 42


@pytest.mark.usefixtures("one_workload")
def test_what_is_too_much_to_tell_is_counted() -> None:
    run = CliRunner().invoke(app, ["audit"])
    assert run.exit_code == 0, run.output
    assert run.stderr.splitlines()[-1] == "left out: 2 more, which --out, --html and --json tell"
    assert len(run.stderr.splitlines()) == 41


def test_what_discover_leaves_out_is_counted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def looked(*_: Any) -> Told:
        lines = tuple(f"ml/job-{place}: is no workload" for place in range(41))
        return Told(Detected((), lines), ())

    monkeypatch.setattr("predictscale.bootstrap.configure_logging", lambda **_: None)
    monkeypatch.setattr(sys.modules["predictscale.cli.discover"], "_look", looked)
    run = CliRunner().invoke(app, ["discover"])
    assert "left out: 1 more, which --json tells\n" in run.stderr
    assert run.stderr.count("left out: ml/job-") == 40


@pytest.mark.usefixtures("one_workload")
def test_a_disk_that_is_full_costs_one_file_and_not_the_answer(tmp_path: Path) -> None:
    html = tmp_path / "page.html"
    run = CliRunner().invoke(app, ["audit", "--out", "/dev/full", "--html", str(html)])
    assert run.exit_code == 1
    assert "ml/[/chat]" in run.output
    assert "--out: /dev/full cannot be written: No space left on device" in run.output
    assert html.read_text(encoding="utf-8").endswith("</html>\n")


@pytest.mark.parametrize("field", ["unit", "backend", "trigger", "name"])
def test_what_a_cluster_says_cannot_write_into_the_page(field: str) -> None:
    evil = "\"><script>alert('x')</script>"
    found = told(job(f"ml/{evil}", demand()) if field == "name" else job("ml/a", demand(), **{field: evil}))
    written = page(found)
    assert "<script" not in written
    assert "&lt;script&gt;" in written


@given(st.floats(0.5, 500), st.integers(1, 40))
def test_an_estimate_is_what_a_ready_replica_was_seen_to_carry(load: float, replicas: int) -> None:
    served = MetricWindow(MONDAY, STEP_S, np.full(100, load * replicas))
    ready = MetricWindow(MONDAY, STEP_S, np.full(100, float(replicas)))
    assert estimated_capacity(served, ready) == pytest.approx(load, rel=1e-3)


@given(st.floats(1, 50), st.floats(2, 100), st.integers(1, 20))
def test_what_bursts_show_of_a_replica_is_not_lost_in_quiet_hours(
    quiet: float, times: float, bursts: int
) -> None:
    values = np.full(1000, quiet)
    values[: 10 * bursts] = quiet * times  # at most a fifth of the time
    served = MetricWindow(MONDAY, STEP_S, values)
    ready = MetricWindow(MONDAY, STEP_S, np.full(1000, 2.0))
    seen = estimated_capacity(served, ready)
    in_bursts = values[: 10 * bursts].sum() / values.sum()
    if in_bursts > 0.06:
        assert seen == pytest.approx(quiet * times / 2, rel=1e-3)
    if in_bursts < 0.04:
        assert seen == pytest.approx(quiet / 2, rel=1e-3)


def test_what_stands_on_an_estimate_is_said_to(capsys: pytest.CaptureFixture[str]) -> None:
    guessed = told(job("ml/told", demand()), job("ml/guessed", demand()))
    for each, source in zip(guessed["workloads"], ("given", "estimated"), strict=True):
        each["capacity"] = {"per_replica": 3.0, "source": source, "because": "a test says so"}
    show(guessed)
    said = " ".join(capsys.readouterr().out.split())
    names = [each["workload"] for each in guessed["workloads"]]
    assert f"until --capacity tells, for {names[1]}." in said


def test_an_estimate_of_few_bins_is_refused_with_their_number() -> None:
    served = MetricWindow(MONDAY, STEP_S, np.full(100, 5.0))
    values = np.full(100, np.nan)
    values[:49] = 2.0
    with pytest.raises(AskOwner, match="together in 49 bins of the 50"):
        estimated_capacity(served, MetricWindow(MONDAY, STEP_S, values))


def test_no_ready_replica_carries_nothing_and_takes_no_part_in_an_estimate() -> None:
    served = MetricWindow(MONDAY, STEP_S, np.full(200, 6.0))
    values = np.tile([0.0, 3.0], 100)
    assert estimated_capacity(served, MetricWindow(MONDAY, STEP_S, values)) == 2.0


def test_a_written_trace_is_read_back_to_the_last_digit(tmp_path: Path) -> None:
    values = demand().values.copy() / 3
    values[100:130] = np.nan
    window = MetricWindow(MONDAY, STEP_S, values)
    write_trace(tmp_path / "trace.csv", window)
    again = load_csv(tmp_path / "trace.csv")
    assert (again.start, again.step_s) == (window.start, window.step_s)
    np.testing.assert_array_equal(again.values, window.values)


@pytest.mark.parametrize(("step_s", "over"), [(60.0, "[2m]"), (900.0, "[15m]")])
async def test_a_named_workloads_rate_is_a_mean_over_each_bin_however_wide(step_s: float, over: str) -> None:
    service = ServiceSettings.model_validate(
        {
            "prometheus": {"url": "http://127.0.0.1:9"},
            "workloads": [
                {"namespace": "ml", "name": "chat", "backend": "tgi", "capacity_per_replica": 5,
                 "max_replicas": 9},
                {"namespace": "ml", "name": "own", "query": "rate(x[2m])", "capacity_per_replica": 5,
                 "max_replicas": 9},
            ],
        }
    )  # fmt: skip
    clock = ManualClock(MONDAY)
    sources, presets = Sources(service, Meters(), clock, None), service.presets()
    try:
        preset, own = (
            _named(each, service, sources, presets, step_s=step_s).demand.query
            for each in service.named_workloads(presets)
        )
    finally:
        await sources.aclose()
    assert over in preset
    assert "[2m]" in own


class _Told:
    """A Prometheus that knows a demand from an instant on, and of its fleet what it is given."""

    def __init__(self, since: datetime, fleet: float | None) -> None:
        self._since, self._fleet = since, fleet

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        bins = round((end - start).total_seconds() / step_s)
        if signal.name is not SignalName.DEMAND:
            if self._fleet is None:
                raise SourceUnavailable("no answer within 30 s")
            return Answer(MetricWindow(start, step_s, np.full(bins, self._fleet)), partial=False)
        stamps = start.timestamp() + np.arange(bins) * step_s
        values = np.where(stamps < self._since.timestamp(), np.nan, 10.0)
        return Answer(MetricWindow(start, step_s, values), partial=False)

    async def aclose(self) -> None:
        pass


def subject(source: _Told, calendar: Calendar = UTC_DAYS) -> Subject:
    workload = WorkloadId("ml", "chat")
    return Subject(
        workload=workload,
        source=source,
        demand=Signal(SignalName.DEMAND, "demand", "requests/s"),
        deployment="chat",
        about={"backend": "tgi", "deployment": "chat", "unit": "requests/s", "trigger": None},
        settings=WorkloadSettings(
            workload=workload, capacity_per_replica=1.0, max_replicas=1, query="demand", calendar=calendar
        ),
        served=None,
    )


AT = MONDAY + timedelta(days=28)


async def read_of(source: _Told, *, calendar: Calendar = UTC_DAYS, asked: Asked = ASKED) -> Job:
    reading = Reading(days=28.0, step_s=STEP_S, at=AT, capacity={}, lead_time_s=240.0)
    presets = ServiceSettings().presets()
    return await read(subject(source, calendar), reading, asked, presets=presets, clock=ManualClock(AT))


async def test_a_workload_that_is_younger_than_the_audit_has_no_gaps_before_its_first_day() -> None:
    young = await read_of(_Told(AT - timedelta(days=5), 4.0))
    assert young.demand.start == AT - timedelta(days=5)
    assert young.ready is not None
    assert young.ready.start == young.demand.start
    assert len(young.ready) == len(young.demand)
    # Without a fleet nothing says what a replica serves, so there is no replay to wait for.
    found = await asyncio.to_thread(examine, replace(young, ready=None))
    assert found["history"]["known_share"] == 1.0
    assert found["history"]["days"] == 5.0
    assert found["kind"]["kind"] == "always-on"


async def test_of_a_workload_that_is_too_young_to_be_replayed_its_age_is_said() -> None:
    young = await read_of(_Told(AT - timedelta(days=5), 4.0), asked=replace(ASKED, replay_days=7.0))
    found = await asyncio.to_thread(examine, young)
    assert found["replay"]["why_not"] == (
        "needs more than 7 days of history to replay so many, has 5.0; something must come before, which the "
        "first decisions learn from"
    )


async def test_of_a_workload_that_fell_silent_that_is_said_and_no_option_that_nobody_gave() -> None:
    asked = replace(ASKED, replay_days=2.0)
    values = np.where(np.arange(5 * 288) < 2 * 288, 40.0, np.nan)
    gone = replace(job("ml/chat", MetricWindow(MONDAY, STEP_S, values)), capacity=20.0, asked=asked)
    found = await asyncio.to_thread(examine, gone)
    assert found["replay"]["why_not"] == ("no demand is known from 2026-03-05T00:00Z on, so nothing to score")


@pytest.mark.parametrize(("days", "part"), [(2.0, "2 days"), (None, "35 % of each history")])
def test_the_title_tells_what_was_read_from_what_was_replayed(
    days: float | None, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = replace(ASKED, replay_days=days)
    show(document(Found(workloads=[examine(job("ml/chat", demand()))]), READING, asked))
    said = " ".join(capsys.readouterr().out.split())
    assert "Workloads, read from 2026-03-02T00:00:00Z to 2026-03-07T00:00:00Z, the last" in said
    assert f"the last {part} replayed" in said


async def test_a_fleet_that_could_not_be_read_is_not_said_to_be_unrecorded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    silent = await read_of(_Told(AT - timedelta(days=5), None))
    why = (await asyncio.to_thread(examine, silent))["replay"]["why_not"]
    assert "its fleet could not be read (no answer within 30 s); give --capacity" in why
    known = replace(silent, capacity=2.0, asked=replace(ASKED, replay_days=0.05))
    found = await asyncio.to_thread(examine, known)
    show(document(Found(workloads=[found]), READING, ASKED))
    said = capsys.readouterr().out
    for name in ("stock-reactive", "static"):
        (late,) = (one["violation"] for one in found["replay"]["policies"] if one["policy"] == name)
        assert f" {late:.2%} late" in said
    assert found["replay"]["as_it_was"]["why_not"] == "its fleet could not be read: no answer within 30 s"


@pytest.mark.parametrize(
    ("own", "zone"), [(UTC_DAYS, "Europe/Berlin"), (Calendar("Asia/Tokyo"), "Asia/Tokyo")]
)
async def test_settings_come_before_a_time_zone_for_all(own: Calendar, zone: str) -> None:
    found = await read_of(
        _Told(AT - timedelta(days=3), 4.0), calendar=own, asked=replace(ASKED, calendar=BERLIN)
    )
    assert found.calendar == Calendar(zone)


def test_days_and_forecasts_follow_the_clock_of_the_workload() -> None:
    theirs = replace(job("ml/chat", demand()), calendar=BERLIN)
    found = told(theirs)
    (only,) = found["workloads"]
    assert only["time_zone"] == "Europe/Berlin"
    assert "By day and time of day (Europe/Berlin)." in page(found)
    assert only["plots"]["clock"] != examine(job("ml/chat", demand()))["plots"]["clock"]
    (judged,) = _judged(("seasonal-naive-day", "last-value"), theirs)
    assert isinstance(judged, SeasonalNaiveDay)
    assert judged.calendar == BERLIN


def test_the_command_of_a_time_zone_tells_the_same_numbers(tmp_path: Path) -> None:
    theirs = replace(
        job("ml/chat", demand()), calendar=BERLIN, capacity=20.0, asked=replace(ASKED, replay_days=0.05)
    )
    replayed = examine(theirs)["replay"]
    words = shlex.split(replayed["command"])
    assert words[words.index("--time-zone") + 1] == "Europe/Berlin"
    file = tmp_path / trace_name("ml/chat")
    write_trace(file, theirs.demand)
    words = [str(file) if word == file.name else word for word in words]
    run = CliRunner().invoke(app, [*words[1:], "--json"])
    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout)["policies"] == replayed["policies"]


@pytest.mark.parametrize("command", ["audit", "backtest"])
def test_a_time_zone_that_is_none_is_said_with_one_that_is(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("predictscale.bootstrap.configure_logging", lambda **_: None)
    given = ["--trace", str(tmp_path / "t.csv"), "--capacity-per-replica", "1", "--lead-time-s", "60"]
    run = CliRunner().invoke(
        app, [command, "--time-zone", "Europe/Berln", *(given if command == "backtest" else ())]
    )
    assert run.exit_code == 2
    assert "--time-zone" in run.output
    assert "Europe/Berlin" in run.output


def test_a_gap_in_the_demand_is_a_gap_in_its_line() -> None:
    def drawn(values: list[float | None]) -> int:
        told = {"start_s": MONDAY.timestamp(), "step_s": STEP_S, "mean": values, "high": values}
        picture = auditsvg.demand(told, unit="requests/s", train_until_s=None)
        return picture.partition('class="line" d="')[2].partition('"')[0].count("M")

    assert drawn([1.0, 2.0, 3.0, 4.0]) == 1
    assert drawn([1.0, None, 3.0, 4.0]) == 2


@given(value=st.floats(-1e6, 1e6), low=st.floats(-1e6, 0), high=st.floats(0, 1e6))
def test_a_bar_stays_within_its_picture(value: float, low: float, high: float) -> None:
    least, most = min(value, low, 0.0), max(value, high, 0.0)
    bar = auditsvg.interval(value, low, high, least=least, most=most)
    left, width = (float(bar.partition(f' {name}="')[2].partition('"')[0]) for name in ("x", "width"))
    assert left >= 0
    assert left + width <= 150
