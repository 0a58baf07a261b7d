"""What is relived over a recorded past is what the service's own tracker decides tick for tick."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from inline_fits import InlineFits
from made_series import shop
from predictscale.clock import ManualClock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.asks import Goal, Subject
from predictscale.control.context import context_of
from predictscale.control.shelf import ModelShelf
from predictscale.control.tracker import Grid, Tracker
from predictscale.control.tuning import SelfTuning
from predictscale.control.tuningshelf import TuningShelf
from predictscale.core.breakeven import ColdStart
from predictscale.core.demand import Signal, SignalName, WorkloadId
from predictscale.core.events import PlannedEvent
from predictscale.core.floors import EVERY_DAY, CalendarFloor
from predictscale.core.plan import Decision, Health, OnStale
from predictscale.core.series import MetricWindow
from predictscale.core.slo import Slo
from predictscale.core.warmth import Warmth
from predictscale.meters import Meters
from predictscale.simulate.relive import Past, Relived, relive
from predictscale.simulate.rolling import RollingTuner
from predictscale.sources.cached import CachedSource
from predictscale.sources.history import History
from predictscale.sources.regrid import regrid
from predictscale.sources.replay import ReplaySource

TICK_S = 15.0
GRID = Grid(tick_s=TICK_S, step_s=60.0, history_s=2 * 86400.0, refit_s=1800.0)
WORKLOAD = WorkloadId("prod", "shop")
START = datetime(2026, 3, 4, 6, 30, tzinfo=UTC)
SLO = Slo(max_violation=0.01, wait_s=5.0)

Signals = Mapping[SignalName, MetricWindow]


def settings(**changes: object) -> WorkloadSettings:
    plain = WorkloadSettings(
        workload=WORKLOAD,
        query="demand",
        capacity_per_replica=0.5,
        max_replicas=500,
        lead_time_s=240.0,
        stale_after_s=300.0,
        forecasters=("native", "seasonal-naive-day", "last-value"),
    )
    return replace(plain, **changes)  # type: ignore[arg-type] # by name


def recorded(days: float = 2.4) -> MetricWindow:
    """Traffic by ticks, from the second of March on."""
    return shop(days=days, step_s=TICK_S)


def without(window: MetricWindow, start: datetime, *, minutes: float) -> MetricWindow:
    values = window.values.copy()
    first = round((start - window.start).total_seconds() / TICK_S)
    values[first : first + round(minutes * 4)] = np.nan
    return MetricWindow(window.start, TICK_S, values)


def past(wanted: WorkloadSettings, signals: Signals, goal: Goal | None = None) -> Past:
    demand = signals[SignalName.DEMAND]
    return Past(
        workload=wanted.workload,
        policy=wanted.policy(),
        live=signals,
        # As the source lays it on wider bins, to the last digit.
        bins=regrid(demand, start=demand.start, end=demand.end, step_s=60.0),
        forecasters=wanted.forecasters,
        grid=GRID,
        goal=goal,
        context=context_of(wanted),
        events=wanted.events,
    )


async def again(
    wanted: WorkloadSettings, signals: Signals, *, ticks: int, goal: Goal | None = None
) -> tuple[Relived, list[Decision]]:
    decisions: list[Decision] = []
    relived = await relive(past(wanted, signals, goal), start=START, ticks=ticks, record=decisions.append)
    return relived, decisions


async def live(
    wanted: WorkloadSettings, signals: Signals, *, ticks: int, goal: Goal | None = None
) -> list[Decision]:
    """The service's tracker, with a source that tells no more than the clock allows."""
    clock = ManualClock(START)
    history = History(path=None, meters=Meters())
    source = ReplaySource({name.value: window for name, window in signals.items()}, clock=clock)
    tuning = None
    if goal is not None:
        subject = Subject(
            workload=wanted.workload,
            policy=wanted.policy(),
            key="shop",
            forecasters=wanted.forecasters,
            context=context_of(wanted),
            events=wanted.events,
            tick_s=GRID.tick_s,
            step_s=GRID.step_s,
            history_s=GRID.history_s,
        )
        tuner = RollingTuner(every_s=goal.every_s)
        tuning = SelfTuning(subject, goal, tuner=tuner, shelf=TuningShelf(history))
    tracker = Tracker(
        wanted,
        {name: Signal(name, name.value, "requests/s") for name in signals},
        source=source,
        archive=CachedSource(source, history=history, workload="shop", clock=clock),
        fits=InlineFits(),
        shelf=ModelShelf(history, step_s=GRID.step_s),
        grid=GRID,
        turn=asyncio.Lock(),
        tuning=tuning,
    )
    decisions = []
    for _ in range(ticks):
        decisions.append(await tracker.tick(clock.now()))
        # Fits and choices take less than a tick.
        await tracker.fitted()
        clock.advance(TICK_S)
    await tracker.stop()
    return decisions


def assert_same(one: list[Decision], other: list[Decision]) -> None:
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        assert mine.seen == theirs.seen
        assert mine.policy == theirs.policy
        # Every stage with its number and its reason, which names the forecast.
        assert mine.plan == theirs.plan
        assert mine.reactive == theirs.reactive


async def test_every_stage_of_every_tick_is_the_trackers_own() -> None:
    signals = {SignalName.DEMAND: recorded()}
    ticks = 2 * 130
    decisions = await live(settings(), signals, ticks=ticks)
    relived, own = await again(settings(), signals, ticks=ticks)
    assert_same(own, decisions)
    assert relived.targets.tolist() == [decision.plan.target for decision in decisions]
    assert relived.desired.tolist() == [decision.answer.published for decision in decisions]
    # Two refits and a changing fleet: there was something to get wrong.
    assert len({decision.plan.target for decision in decisions}) > 3
    assert {decision.forecast.model for decision in decisions if decision.forecast} == {"native"}


async def test_a_young_workload_is_fitted_as_often_as_live() -> None:
    whole = recorded()
    # After eighteen minutes there are six hours of history, and fits become rarer.
    young = whole.between(START - timedelta(hours=5.7), whole.end)
    signals = {SignalName.DEMAND: young}
    decisions = await live(settings(), signals, ticks=100)
    _, own = await again(settings(), signals, ticks=100)
    assert_same(own, decisions)


async def test_gaps_queues_fleets_and_events_are_seen_as_they_were() -> None:
    gap = without(recorded(), START + timedelta(minutes=20), minutes=9)
    rng = np.random.default_rng(3)
    fleet = MetricWindow(gap.start, TICK_S, rng.integers(1, 30, len(gap)).astype(float))
    queue = MetricWindow(gap.start, TICK_S, np.where(rng.random(len(gap)) < 0.1, 900.0, 0.0))
    signals = {
        SignalName.DEMAND: gap,
        SignalName.QUEUE: queue,
        SignalName.REPLICAS: fleet,
        SignalName.READY: fleet,
    }
    event = PlannedEvent(
        name="sale", start=START + timedelta(minutes=35), end=START + timedelta(hours=1), multiplier=2.0
    )
    wanted = settings(events=(event,), on_stale=OnStale.UNAVAILABLE)
    decisions = await live(wanted, signals, ticks=180)
    relived, own = await again(wanted, signals, ticks=180)
    assert_same(own, decisions)
    assert not all(decision.answer.available for decision in decisions)
    # While the answer is UNAVAILABLE, what was told before stays.
    told, gone = relived.desired.tolist(), [not decision.answer.available for decision in decisions]
    assert told[gone.index(True)] == told[gone.index(True) - 1]


async def test_what_was_lost_before_the_start_is_as_little_known_as_live() -> None:
    outage = without(recorded(), START - timedelta(seconds=660), minutes=15)
    signals = {SignalName.DEMAND: outage}
    decisions = await live(settings(), signals, ticks=30)
    _, own = await again(settings(), signals, ticks=30)
    assert_same(own, decisions)
    assert decisions[0].plan.health is Health.UNKNOWN


async def test_slow_models_serve_where_the_trackers_do() -> None:
    signals = {SignalName.DEMAND: recorded()}
    # What a tournament found out at one fit changes the next one: all fits must be the same.
    wanted = settings(forecasters=("auto", "seasonal-naive-day"))
    decisions = await live(wanted, signals, ticks=125)
    _, own = await again(wanted, signals, ticks=125)
    assert_same(own, decisions)
    models = [decision.forecast.model for decision in own if decision.forecast is not None]
    assert set(models) == {"native"}


async def test_settings_are_chosen_when_and_as_the_trackers_are() -> None:
    signals = {SignalName.DEMAND: shop(days=3.4, step_s=TICK_S)}
    goal = Goal(slo=SLO, record_s=2 * 86400.0)
    wanted = settings(slo=SLO, forecasters=("seasonal-naive-day", "last-value"))
    ticks = 4 * 75
    decisions = await live(wanted, signals, ticks=ticks, goal=goal)
    _, own = await again(wanted, signals, ticks=ticks, goal=goal)
    assert_same(own, decisions)
    # The owner's until a choice is in force, then what was chosen.
    assert own[0].policy == wanted.policy()
    assert own[-1].policy != wanted.policy()


@pytest.mark.parametrize("cut_ticks", [1, 97, 160])
async def test_nothing_after_a_tick_changes_what_was_decided_there(cut_ticks: int) -> None:
    honest = recorded()
    values = honest.values.copy()
    cut = round((START - honest.start).total_seconds() / TICK_S) + cut_ticks
    values[cut:] = np.random.default_rng(5).uniform(0, 1e4, values.size - cut)
    poisoned = MetricWindow(honest.start, TICK_S, values)
    told = []
    for window in (honest, poisoned):
        relived, _ = await again(settings(), {SignalName.DEMAND: window}, ticks=170)
        told.append(relived.desired)
    # The tick at the cut has seen all bins before it, and none of the poisoned ones.
    assert told[0][: cut_ticks + 1].tolist() == told[1][: cut_ticks + 1].tolist()
    assert told[0].tolist() != told[1].tolist()


async def test_coverage_is_of_all_windows_that_have_closed() -> None:
    relived, _ = await again(settings(), {SignalName.DEMAND: recorded()}, ticks=240)
    assert relived.outcome is not None
    assert relived.outcome.lead_s == 240.0
    # Of each minute of the hour; what came in the windows of the last ones is on record.
    assert relived.outcome.scored == 60


async def test_floors_and_the_break_even_of_the_last_replica_are_obeyed_as_they_were() -> None:
    """A workload that serves five minutes of each day, with a window that opens half an hour later."""
    whole = recorded()
    of_day_s = (whole.stamps_s - START.timestamp()) % 86400
    visits = np.where(of_day_s < 300, 2.0, 0.0)
    signals = {SignalName.DEMAND: MetricWindow(whole.start, TICK_S, visits)}
    opens_s = 6 * 3600 + 30 * 60 + 2100  # 35 minutes after the start
    window = CalendarFloor(
        name="morning", days=EVERY_DAY, opens_s=opens_s, closes_s=opens_s + 600, replicas=3, zone="UTC"
    )
    wanted = settings(
        min_replicas=0,
        lead_time_s=60.0,
        cooldown_s=60.0,
        hold_s=60.0,
        forecasters=("seasonal-naive-day",),
        warmth=Warmth(floors=(window,), every_s=TICK_S),
        cold=ColdStart(lost_value=0.2, idle_per_h=1, lead_s=60.0),  # as dear as 13 minutes
    )
    ticks = 4 * 40
    decisions = await live(wanted, signals, ticks=ticks)
    _, own = await again(wanted, signals, ticks=ticks)
    assert_same(own, decisions)
    targets = [decision.plan.target for decision in decisions]
    asleep = [place for place, target in enumerate(targets) if target == 0]
    rested = [decision.seen.rest for decision in decisions]
    assert asleep, "nobody slept, so this morning shows nothing"
    assert all(rest is not None for rest in rested)
    assert asleep[0] >= 4 * (5 + 13)
    # A tick before a lead time before the window opens.
    assert targets[asleep[-1] + 1] == 3
    assert asleep[-1] + 1 == (2100 - 60 - TICK_S) / TICK_S
