"""Two replicas of the service, one of which is later, slower or held up, say the same at each tick."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inline_fits import NOBODYS, InlineFits
from patience import soon
from predictscale.clock import ManualClock
from predictscale.control.loop import Loop
from predictscale.control.replicahours import ANSWERED_S, SETTLE_S, ReplicaHours
from predictscale.control.rhythm import begun_after_s, due_boundary, served_after_s, serving_boundary
from predictscale.control.store import DecisionStore
from predictscale.control.tracker import Tracker
from predictscale.core.demand import Signal, SignalName, WorkloadId
from predictscale.core.plan import Decision
from predictscale.core.series import MetricWindow
from predictscale.errors import SourceUnavailable
from predictscale.forecasters.base import Fitted
from predictscale.forecasters.chain import ChainResult, quick_ones
from predictscale.forecasters.registry import Context, resolve
from predictscale.meters import Meters
from predictscale.sources.base import Answer
from predictscale.sources.history import History
from scenes import GRID, MORNING, SHOP, Scene, settings_of

TICK = timedelta(seconds=GRID.tick_s)
EVENING = MORNING + timedelta(hours=13)
"""Demand falls, and what was wanted before is held."""


def told(decision: Decision) -> tuple[object, ...]:
    """What KEDA or a person could see of a decision."""
    return decision.answer, decision.plan, decision.reactive, decision.seen, decision.policy, decision.notes


class SlowFits(InlineFits):
    """Fits that end when a test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.may_end = asyncio.Event()

    async def fit(
        self,
        names: Sequence[str],
        window: MetricWindow,
        *,
        quick_only: bool = False,
        context: Context = NOBODYS,
        previous: Fitted | None = None,
    ) -> ChainResult:
        """As `InlineFits`, later."""
        if not quick_only:
            await self.may_end.wait()
        return await super().fit(names, window, quick_only=quick_only, context=context, previous=previous)


FINE = replace(settings_of(max_replicas=10_000), capacity_per_replica=0.5)
"""So many replicas that no two minutes want the same number."""


def cacheless(scene: Scene) -> Tracker:
    """A replica that starts with nothing."""
    return scene.tracker(FINE, history=History(path=None, meters=Meters()))


async def both(scene: Scene, one: Tracker, other: Tracker, *, ticks: int, wait: bool = True) -> int:
    """Let ticks pass for both, and count those at which they say the same."""
    same = 0
    for _ in range(ticks):
        scene.clock.advance(GRID.tick_s)
        decisions = [await each.tick(scene.clock.now()) for each in (one, other)]
        same += told(decisions[0]) == told(decisions[1])
        for each in (one, other) if wait else ():
            await each.fitted()
        await asyncio.sleep(0)
    return same


def serves_at(instant: datetime) -> datetime:
    """The boundary of the fit that the scene's workload obeys."""
    return serving_boundary(instant, workload=SHOP, known_s=1e6, step_s=GRID.step_s, refit_s=GRID.refit_s)


@pytest.mark.parametrize("after_ticks", [-6, 0, 1, 7, 19, 40])
async def test_one_that_starts_later_agrees_from_its_first_tick_on(after_ticks: int) -> None:
    """Also when a new fit has just come into force: what is held was wanted by the one before."""
    scene = Scene(clock=ManualClock(EVENING))
    steady = scene.tracker(FINE)
    await scene.run(steady, ticks=8)
    while serves_at(scene.clock.now() + TICK * (1 - after_ticks)) == serves_at(EVENING):
        await scene.run(steady, ticks=1)
    assert await both(scene, steady, cacheless(scene), ticks=40) == 40


async def test_a_fit_that_one_has_sooner_serves_both_from_the_same_tick() -> None:
    scene = Scene()
    quick = scene.tracker(FINE)
    await scene.run(quick, ticks=4)
    scene.fits = SlowFits()
    scene.fits.may_end.set()
    slow = cacheless(scene)
    assert await both(scene, quick, slow, ticks=4) == 4
    fits = scene.fits
    fits.may_end.clear()
    made = len(fits.windows)
    boundaries: set[datetime | None] = set()
    for _ in range(260):
        assert await both(scene, quick, slow, ticks=1, wait=False) == 1
        model = quick.fitting(scene.clock.now()).model
        boundaries.add(None if model is None else model.boundary)
        if slow.fitting(scene.clock.now()).under_way:
            # It takes three ticks more than the other's.
            assert await both(scene, quick, slow, ticks=3, wait=False) == 3
            fits.may_end.set()
    assert len(fits.windows) > made
    assert len(boundaries) == 2


class Slow(SlowFits):
    """For a chain whose fit takes long: a season of a day then, and the last value at once."""

    async def fit(
        self,
        names: Sequence[str],
        window: MetricWindow,
        *,
        quick_only: bool = False,
        context: Context = NOBODYS,
        previous: Fitted | None = None,
    ) -> ChainResult:
        """As `SlowFits`."""
        names = ("last-value",) if quick_only else ("seasonal-naive-day", *names[1:])
        return await super().fit(names, window, quick_only=quick_only, context=context, previous=previous)


async def test_one_whose_first_fit_is_late_says_so_and_then_remembers_what_the_other_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("predictscale.control.tracker._FIRST_FIT_S", 0.02)
    fits = Slow()
    fits.may_end.set()
    scene = Scene(fits=fits)
    owners = settings_of(forecasters=("auto", "last-value"))
    steady = scene.tracker(owners)
    await scene.run(steady, ticks=90)
    fits.may_end.clear()
    late = scene.tracker(owners, history=History(path=None, meters=Meters()))
    scene.clock.advance(GRID.tick_s)
    at = scene.clock.now()
    said = await late.tick(at)
    assert told(said) != told(await steady.tick(at))
    assert any("quick forecasters serve until the fit of" in note for note in said.notes)
    fits.may_end.set()
    await late.fitted()
    assert await both(scene, steady, late, ticks=40) == 40


async def test_ticks_that_were_skipped_are_remembered_all_the_same() -> None:
    scene = Scene(clock=ManualClock(EVENING))
    steady, held_up = scene.tracker(FINE), scene.tracker(FINE)
    await both(scene, steady, held_up, ticks=4)
    for skipped in (45, 1, 7):
        for _ in range(skipped):
            await scene.run(steady, ticks=1)
        assert await both(scene, steady, held_up, ticks=60) == 60


@settings(max_examples=50, deadline=None)
@given(
    seconds=st.integers(0, 200_000),
    name=st.text("abc", min_size=1),
    known_s=st.sampled_from([0.0, 1e6]),
    refit_s=st.sampled_from([900.0, 3600.0, 86_400.0]),
)
def test_what_serves_was_due_before_with_time_to_be_fitted(
    seconds: int, name: str, known_s: float, refit_s: float
) -> None:
    at = datetime(2026, 3, 2, 12, tzinfo=UTC) + timedelta(seconds=seconds)
    known = {"known_s": known_s, "refit_s": refit_s}

    def of(rule: object, instant: datetime) -> datetime:
        found = rule(instant, workload=WorkloadId("prod", name), step_s=60.0, **known)  # type: ignore[operator]
        assert isinstance(found, datetime)
        return found

    serving, due = of(serving_boundary, at), of(due_boundary, at)
    assert serving <= due <= at
    # All ticks of a bin share a forecast, and so a fit.
    minute = at.replace(second=0)
    assert of(serving_boundary, minute) == serving
    room_s = served_after_s(**known) - begun_after_s(step_s=60.0, **known)
    assert room_s >= served_after_s(**known) / 2
    assert of(due_boundary, minute - timedelta(seconds=room_s)) >= serving


NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
MONTH = datetime(2026, 3, 1, tzinfo=UTC)
REPLICAS = Signal(SignalName.REPLICAS, "replicas", "replicas")


class Counts:
    """Replicas that follow the hour, told since an instant; ten on average."""

    def __init__(self, since: datetime = MONTH) -> None:
        self.since, self.down, self.partial = since, False, False
        self.asked: list[tuple[datetime, datetime]] = []

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        """See `Source.read`."""
        assert signal is REPLICAS
        self.asked.append((start, end))
        if self.down:
            raise SourceUnavailable("switched off")
        bins = round((end - start).total_seconds() / step_s)
        at_s = start.timestamp() + step_s * np.arange(bins)
        counts = (10.0 + np.sin(2 * np.pi * at_s / 3600.0)) / (10.0 if self.partial else 1.0)
        told = MetricWindow(start, step_s, np.where(at_s >= self.since.timestamp(), counts, np.nan))
        return Answer(told, partial=self.partial)

    async def aclose(self) -> None:
        """Nothing to close."""


async def paid(source: Counts, *, at: datetime = NOON) -> ReplicaHours:
    hours = ReplicaHours(REPLICAS, archive=source, price_per_h=4.0)
    await hours.wake(at, since=MONTH)
    return hours


async def test_a_months_spending_is_the_same_whoever_has_run_for_how_long() -> None:
    source = Counts()
    first = await paid(source)
    later = NOON + timedelta(hours=3)
    for minute in range(0, 181, 5):
        first.start_due(NOON + timedelta(minutes=minute), since=MONTH)
        await first.settled()
    second = await paid(source, at=later)
    span_h = (later - MONTH).total_seconds() / 3600
    assert first.spent(MONTH, now=later) == second.spent(MONTH, now=later)
    assert first.spent(MONTH, now=later) == pytest.approx(40 * span_h, rel=1e-3)
    # Only what is new was asked for again.
    assert all(end - start <= timedelta(minutes=10) for start, end in source.asked[1:-1])


async def test_a_bin_counts_from_a_stated_instant_on() -> None:
    early, late = await paid(Counts(), at=NOON + timedelta(minutes=1)), await paid(Counts(), at=NOON)
    late.start_due(NOON + timedelta(minutes=6), since=MONTH)
    await late.settled()
    due = NOON + timedelta(minutes=5, seconds=SETTLE_S + ANSWERED_S)
    before = due - TICK
    assert late.spent(MONTH, now=before) == early.spent(MONTH, now=before)
    assert late.spent(MONTH, now=due) != early.spent(MONTH, now=due)


async def test_less_than_half_of_a_month_is_no_number() -> None:
    assert (await paid(Counts(NOON - timedelta(days=4)))).spent(MONTH, now=NOON) is None
    assert (await paid(Counts(NOON - timedelta(days=6)))).spent(MONTH, now=NOON) is not None


async def test_a_source_that_is_down_is_asked_again() -> None:
    source = Counts()
    source.down = True
    hours = await paid(source)
    assert hours.spent(MONTH, now=NOON) is None
    source.down = False
    hours.start_due(NOON + timedelta(minutes=6), since=MONTH)
    await hours.settled()
    assert hours.spent(MONTH, now=NOON + timedelta(minutes=6)) is not None


async def test_replicas_that_an_incomplete_answer_left_out_are_not_counted_as_free() -> None:
    source = Counts()
    hours = await paid(source)
    source.partial = True
    later = NOON + timedelta(hours=1)
    hours.start_due(later, since=MONTH)
    await hours.settled()
    told = hours.spent(MONTH, now=later)
    whole = (await paid(Counts(), at=later)).spent(MONTH, now=later)
    assert told is not None
    assert told == pytest.approx(whole, rel=1e-4)


async def test_a_tick_is_read_after_its_instant_and_told_as_of_it() -> None:
    scene = Scene()
    store = DecisionStore()
    loop = Loop(
        follow=scene.tracker,
        store=store,
        clock=scene.clock,
        tick_s=GRID.tick_s,
        meters=Meters(),
        read_after_s=1.0,
    )
    loop.track(settings_of())
    running = asyncio.create_task(loop.run())
    await _decided(store, MORNING - TICK)
    scene.clock.advance(GRID.tick_s)
    await _decided(store, MORNING)
    scene.clock.advance(1.0)
    await _decided(store, MORNING + TICK)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def _decided(store: DecisionStore, at: datetime) -> None:
    """The newest decision is of this tick, also once what can run has run."""
    await soon(lambda: (latest := store.latest(SHOP)) is not None and latest.seen.now >= at)
    for _ in range(100):
        await asyncio.sleep(0.001)
    latest = store.latest(SHOP)
    assert latest is not None
    assert latest.seen.now == at


def test_a_tournament_that_is_not_over_is_stood_in_for_by_its_own_quick_candidates() -> None:
    names = [each.name for each in quick_ones(resolve(("auto", "last-value"), context=NOBODYS))]
    assert names[0] == "native"
    assert names.count("last-value") == 1
