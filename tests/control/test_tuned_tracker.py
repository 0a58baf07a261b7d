"""A tracker with an objective obeys what was chosen, tells it, and forgets nothing in a restart."""

import asyncio
from datetime import timedelta

import numpy as np
import pytest

from inline_tuner import InlineTuner, StubTuner
from predictscale.config.settings import WorkloadSettings
from predictscale.control.asks import Goal, Subject, Tuner
from predictscale.control.context import context_of
from predictscale.control.shelf import ModelShelf
from predictscale.control.tracker import Tracker
from predictscale.control.tuning import SelfTuning
from predictscale.control.tuningshelf import TuningShelf
from predictscale.core.plan import Decision
from predictscale.core.slo import Slo
from predictscale.sources.cached import CachedSource
from scenes import GRID, SHOP, SIGNALS, Scene

SLO = Slo(max_violation=0.01, wait_s=5.0)


def settings(*, forecasters: tuple[str, ...] = ("seasonal-naive-day", "last-value")) -> WorkloadSettings:
    return WorkloadSettings(
        workload=SHOP,
        query="shop_demand",
        capacity_per_replica=20,
        max_replicas=200,
        lead_time_s=240,
        slo=SLO,
        forecasters=forecasters,
    )


def tracker(scene: Scene, tuner: Tuner, wanted: WorkloadSettings) -> Tracker:
    subject = Subject(
        workload=SHOP,
        policy=wanted.policy(),
        key=f"{SHOP}#{wanted.fingerprint()}",
        forecasters=wanted.forecasters,
        context=context_of(wanted),
        events=wanted.events,
        tick_s=GRID.tick_s,
        step_s=GRID.step_s,
        history_s=GRID.history_s,
    )
    tuning = SelfTuning(
        subject, Goal(slo=SLO, record_s=2 * 86400.0), tuner=tuner, shelf=TuningShelf(scene.history)
    )
    return Tracker(
        wanted,
        SIGNALS,
        source=scene.source,
        archive=CachedSource(scene.source, history=scene.history, workload=str(SHOP), clock=scene.clock),
        fits=scene.fits,
        shelf=ModelShelf(scene.history, step_s=GRID.step_s),
        grid=GRID,
        turn=asyncio.Lock(),
        tuning=tuning,
    )


async def until_chosen(scene: Scene, one: Tracker) -> Decision:
    for _ in range(40):
        decision = await scene.run(one, ticks=10)
        if decision.tuning is not None and decision.tuning.choice is not None:
            return decision
    pytest.fail("no choice came into force within 100 minutes")


async def test_a_decision_obeys_the_settings_that_its_tuning_tells() -> None:
    scene = Scene()
    decision = await until_chosen(scene, tracker(scene, StubTuner(), settings()))
    assert decision.tuning is not None
    assert decision.policy.knobs == decision.tuning.knobs
    assert decision.policy.knobs != settings().policy().knobs
    assert decision.seen.highest is not None


async def test_the_first_decisions_obey_the_owner() -> None:
    scene = Scene()
    decision = await scene.run(tracker(scene, StubTuner(), settings()), ticks=1)
    assert decision.policy == settings().policy()
    assert decision.policy.level == settings().level


async def test_what_a_replay_replays_is_what_the_tracker_said() -> None:
    scene, tuner = Scene(), StubTuner()
    one = tracker(scene, tuner, settings())
    said = {}
    for _ in range(70 * 4):
        decision = await scene.run(one, ticks=1)
        now = decision.seen.now
        if now.second == 45 and decision.forecast is not None:
            until = now + timedelta(seconds=240)
            start = now - timedelta(seconds=45)
            said[start] = decision.forecast.peak(level=0.9, since=now, until=until)
    ask = tuner.asks[-1]
    rows = {start: round((ask.demand.end - start).total_seconds() / 60) for start in said}
    told = {start: ask.peaks[-back][3] for start, back in rows.items() if back > 0}
    assert len(told) > 20
    assert all(value == pytest.approx(said[start], rel=1e-6) for start, value in told.items())


async def test_a_restarted_tracker_decides_as_one_that_went_on() -> None:
    scene = Scene()
    first = tracker(scene, StubTuner(), settings())
    await until_chosen(scene, first)
    await first.stop()
    second, kept = tracker(scene, StubTuner(), settings()), await scene.run(first, ticks=1)
    again = await second.tick(scene.clock.now())
    assert again.plan.target == kept.plan.target
    assert again.policy == kept.policy


async def test_with_the_real_replay_a_choice_meets_the_aim() -> None:
    scene = Scene()
    decision = await until_chosen(scene, tracker(scene, InlineTuner(), settings()))
    assert decision.tuning is not None
    choice = decision.tuning.choice
    assert choice is not None
    assert choice.compared > 100
    (own,) = {score for score in choice.scores if score.knobs == choice.knobs}
    assert own.violation <= choice.asked
    assert np.isfinite(own.replica_hours)
