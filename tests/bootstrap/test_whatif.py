"""From a question about a workload to what a worker is asked: which history, which settings, which chain."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from made_series import shop
from predictscale.bootstrap.whatif import LEARNT_S, Question, WhatIfs, answer
from predictscale.clock import ManualClock
from predictscale.config.presets import load_presets
from predictscale.config.settings import ServiceSettings, WorkloadSettings
from predictscale.control.reading import Reading
from predictscale.control.store import DecisionStore
from predictscale.control.whatif import MOST_WAITING, WhatIfQueue
from predictscale.core.series import MetricWindow
from predictscale.core.slo import Slo
from predictscale.errors import AnswerUnavailable, RefuseMore, SettingsError
from predictscale.meters import Meters
from predictscale.simulate.audit import Lived
from predictscale.simulate.backtest import Trial
from predictscale.simulate.relive import Past
from scenes import GRID, settings_of

NOW = datetime(2026, 3, 9, 12, tzinfo=UTC)


class Told:
    """A tracker, as far as readers see it."""

    def __init__(self, bins: MetricWindow | None) -> None:
        self.bins = bins

    def fitting(self, at: datetime) -> None:
        """Nothing is fitted."""
        del at

    def reading(self) -> Reading:
        """The history alone."""
        return Reading(bins=self.bins, unit="requests/s", signals=(), partial=False)


def what_ifs(bins: MetricWindow | None) -> WhatIfs:
    return WhatIfs(
        WhatIfQueue(clock=ManualClock(NOW)),
        tracker=lambda _: Told(bins),
        store=DecisionStore(),
        terms=lambda: ServiceSettings().terms(load_presets()),
        grid=GRID,
        announced=lambda _settings, _at: (),
        meters=Meters(),
    )


def question(
    fields: Mapping[str, Any], *, days: float = 3.0, settings: WorkloadSettings | None = None
) -> Question:
    asked = what_ifs(shop(days=days, step_s=60.0))
    return asked._question(settings or settings_of(), fields)[0]


def test_the_last_days_are_replayed_and_what_lies_before_is_learnt_from() -> None:
    asked = question({"days": 1.5})
    assert asked.start == asked.bins.end - timedelta(days=1.5)
    assert asked.changed is None


def test_too_little_history_is_said_with_the_days_it_takes() -> None:
    with pytest.raises(AnswerUnavailable, match=r"3\.0 days of history; to live through 2.5 takes 3.5"):
        question({"days": 2.5})
    with pytest.raises(AnswerUnavailable, match="being read"):
        what_ifs(None)._question(settings_of(), {})
    gaps = MetricWindow(NOW, 60.0, np.full(5000, np.nan))
    with pytest.raises(AnswerUnavailable, match=r"0\.0 days of history"):
        what_ifs(gaps)._question(settings_of(), {})
    assert LEARNT_S == 86400


def test_slow_forecasters_are_left_out_on_both_sides_and_that_is_said() -> None:
    slow = question({"days": 1}, settings=settings_of(forecasters=("auto", "native", "last-value")))
    assert slow.forecasters == ("native", "last-value")
    assert any("auto would take seconds" in note for note in slow.notes)
    assert question({"days": 1}, settings=settings_of(forecasters=("prophet",))).forecasters[0] == "native"
    quick = question({"days": 1})
    assert quick.forecasters == ("seasonal-naive-day", "last-value")
    assert not any("seconds" in note for note in quick.notes)


def test_what_is_changed_is_changed_alone_and_what_follows_from_it_follows() -> None:
    own = replace(settings_of(), level=0.9, hold_s=600.0, drain_s=60.0)
    asked = question({"days": 1, "settings": {"lead_time_s": "10m", "headroom": 1.3}}, settings=own)
    assert asked.changed is not None
    expected = replace(own.policy(), lead_time_s=600.0, hold_s=1200.0, headroom=1.3)
    assert asked.changed.policy == expected
    assert asked.as_is.policy == own.policy()
    kept = question({"days": 1, "settings": {"lead_time_s": 600}}, settings=replace(own, hold_s=777.0))
    assert kept.changed is not None
    assert kept.changed.policy.hold_s == 777


def test_a_quantile_takes_the_place_of_an_objective_and_an_objective_that_of_a_quantile() -> None:
    slo = replace(settings_of(), slo=Slo(max_violation=0.02, wait_s=3.0), level=0.98)
    fixed = question({"days": 1, "settings": {"quantile": 0.8}}, settings=slo).changed
    assert fixed is not None
    assert (fixed.settings.slo, fixed.policy.level) == (None, 0.8)
    aimed = question({"days": 1, "settings": {"slo": {"max_violation": "1%", "wait": "90s"}}}).changed
    assert aimed is not None
    assert aimed.settings.slo == Slo(max_violation=0.01, wait_s=90.0)
    assert (aimed.policy.level, aimed.policy.drain_s) == (0.99, 90.0)
    fewer = question({"days": 1, "settings": {"max_replicas": 7}}, settings=slo).changed
    assert fewer is not None
    assert (fewer.settings.slo, fewer.policy.max_replicas) == (slo.slo, 7)


def test_bounds_are_checked_against_those_that_stay() -> None:
    with pytest.raises(SettingsError, match=r"settings\.min_replicas: 101 is more than max_replicas \(100\)"):
        question({"days": 1, "settings": {"min_replicas": 101}})


def test_a_question_that_changes_nothing_has_one_answer_and_progress_ends_at_all(tmp_path: Path) -> None:
    told = tmp_path / "progress"
    asked = replace(question({"days": 1}, days=2.1), grid=replace(GRID, tick_s=60.0))
    found = answer(asked, str(told))
    assert found.as_is == found.changed
    assert [each.policy for each in found.rivals] == ["static", "stock-reactive", "tuned-reactive"]
    assert found.rivals[0].cost_to_static == pytest.approx(1, abs=0.2)
    assert float(told.read_text()) == pytest.approx(1.0)


def test_both_sides_are_late_by_the_same_measure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = replace(settings_of(), slo=Slo(max_violation=0.02, wait_s=600.0))
    asked = question({"days": 1, "settings": {"quantile": 0.9}}, settings=patient)
    judged_by: list[float] = []

    async def lived(trial: Trial, past: Past, chosen: Sequence[str], **_: object) -> Lived:
        del past
        judged_by.append(trial.wait_s)
        return Lived(plans={name: trial.clairvoyant() for name in chosen}, ours=None)

    monkeypatch.setattr("predictscale.bootstrap.whatif.lived", lived)
    assert answer(asked, str(tmp_path / "progress")).wait_s == 5.0
    assert judged_by == [5.0, 5.0]


def test_a_question_that_is_refused_or_never_answered_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def asked_too_often() -> list[float]:
        asked = what_ifs(shop(days=3.0, step_s=60.0))
        jobs = [asked.ask(settings_of(), {"days": 1}) for _ in range(MOST_WAITING)]
        with pytest.raises(RefuseMore):
            asked.ask(settings_of(), {"days": 1})
        await asked.queue.stop()
        return [job.progress for job in jobs]

    assert asyncio.run(asked_too_often()) == [0.0] * MOST_WAITING
    assert not list(tmp_path.iterdir())
