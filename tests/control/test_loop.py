import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import pytest
from structlog.testing import capture_logs

from patience import soon
from predictscale.clock import ManualClock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.loop import Loop
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.control.tracker import Tracker
from predictscale.core.demand import Observation, Signal, WorkloadId
from predictscale.core.plan import Decision
from predictscale.meters import Meters
from predictscale.sources.base import Answer, Source
from scenes import MORNING, SHOP, Scene, settings_of

TICK_S = 15.0
OTHER = WorkloadId("prod", "other")


class FaultySource:
    """A source that can be made slow or broken."""

    def __init__(self, inner: Source) -> None:
        self.inner = inner
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0
        self.fault: Exception | None = None
        self.farewell_s = 0.0
        """How long a read that is cancelled takes to end [s]."""

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        """Wait for the gate, then fail or answer."""
        self.waiting += 1
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(self.farewell_s)
            raise
        finally:
            self.waiting -= 1
        if self.fault is not None:
            raise self.fault
        return await self.inner.read(signal, start=start, end=end, step_s=step_s)

    async def aclose(self) -> None:
        """Close the inner source."""
        await self.inner.aclose()


class FaultyScene(Scene):
    """A scene whose source can be made slow or broken."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.faulty = FaultySource(self.source.inner)
        self.source.inner = self.faulty


@dataclass
class Stage:
    """A loop over replayed workloads, each with a source of its own, on a clock that a test moves."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(MORNING))
    store: DecisionStore = field(default_factory=DecisionStore)
    meters: Meters = field(default_factory=Meters)
    on_tick: Callable[[], None] = lambda: None
    followed: list[WorkloadSettings] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scenes = {workload: FaultyScene(clock=self.clock) for workload in (SHOP, OTHER)}
        self.loop = Loop(
            follow=self._follow,
            store=self.store,
            clock=self.clock,
            tick_s=TICK_S,
            meters=self.meters,
            on_tick=self.on_tick,
        )

    def _follow(self, settings: WorkloadSettings) -> Tracker:
        self.followed.append(settings)
        return self.scenes[settings.workload].tracker(settings)

    @asynccontextmanager
    async def running(self, *workloads: WorkloadId) -> AsyncIterator[None]:
        """Follow workloads, run, and stop at the end."""
        task = asyncio.create_task(self.loop.run())
        for workload in workloads:
            self.loop.track(settings_of(workload=workload))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def tick(self, *workloads: WorkloadId, advance_s: float = TICK_S) -> None:
        """Let time pass, and wait until these workloads have decided for the instant."""
        self.clock.advance(advance_s)
        await self.decided(*workloads)

    async def decided(self, *workloads: WorkloadId) -> None:
        await soon(lambda: all(self.at(workload) == self.instant for workload in workloads))

    @property
    def instant(self) -> datetime:
        """The newest instant of the grid."""
        passed_s = (self.clock.now() - MORNING).total_seconds()
        return MORNING + timedelta(seconds=passed_s // TICK_S * TICK_S)

    def at(self, workload: WorkloadId = SHOP) -> datetime | None:
        latest = self.store.latest(workload)
        return latest.seen.now if latest is not None else None

    def instants(self, workload: WorkloadId = SHOP) -> list[float]:
        """Seconds after the beginning of every decision, oldest first."""
        return [(d.seen.now - MORNING).total_seconds() for d in reversed(self.store.recent(workload))]

    def skipped(self) -> float:
        return self.meters.registry.get_sample_value("predictscale_ticks_skipped_total") or 0.0


async def test_a_workload_that_is_tracked_decides_at_once_and_then_on_the_grid() -> None:
    stage = Stage()
    stage.clock.advance(7)
    async with stage.running(SHOP):
        await stage.decided(SHOP)
        await stage.tick(SHOP, advance_s=8)
        stage.clock.advance(14.999)
        for _ in range(3):
            await stage.tick(SHOP, advance_s=TICK_S)
    assert stage.instants() == [0, 15, 30, 45, 60]


async def test_instants_that_were_slept_through_are_not_made_up_for() -> None:
    stage = Stage()
    async with stage.running(SHOP):
        await stage.decided(SHOP)
        await stage.tick(SHOP, advance_s=200)
        await stage.tick(SHOP, advance_s=10)
    assert stage.instants() == [0, 195, 210]


class SettableClock(ManualClock):
    """A clock that somebody sets."""

    def set_back(self, seconds: float) -> None:
        """By so much, while time goes on."""
        self._now -= timedelta(seconds=seconds)


async def test_a_clock_that_is_set_back_is_followed_and_nothing_of_the_future_is_answered_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("predictscale.control.loop._LOOK_S", 0.01)
    clock = SettableClock(MORNING)
    stage = Stage(clock)
    async with stage.running(SHOP, OTHER):
        await stage.decided(SHOP, OTHER)
        await stage.tick(SHOP, OTHER)
        clock.set_back(3600)
        with capture_logs() as lines:
            await soon(lambda: stage.at() == stage.at(OTHER) == MORNING - timedelta(seconds=3585))
        assert [line["by_s"] for line in lines if "set back" in line["event"]] == [3600]
        assert stage.instants() == [-3585.0]
        await stage.tick(SHOP, OTHER)
        assert stage.instants() == [-3585.0, -3570.0]


async def test_a_clock_that_is_corrected_by_less_than_a_tick_costs_a_tick_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("predictscale.control.loop._LOOK_S", 0.01)
    clock = SettableClock(MORNING)
    stage = Stage(clock)
    async with stage.running(SHOP):
        await stage.decided(SHOP)
        await stage.tick(SHOP)
        clock.set_back(5)
        await asyncio.sleep(0.05)
        assert stage.instants() == [0.0, 15.0]
        clock.advance(20)
        await soon(lambda: stage.at() == MORNING + timedelta(seconds=30))
        assert stage.instants() == [0.0, 15.0, 30.0]
        assert len(stage.followed) == 1


async def test_a_slow_workload_is_skipped_and_counted_and_delays_nobody() -> None:
    stage = Stage()
    async with stage.running(SHOP, OTHER):
        await stage.decided(SHOP, OTHER)
        slow = stage.scenes[OTHER].faulty
        slow.gate.clear()
        for _ in range(4):
            await stage.tick(SHOP)
        assert stage.instants(SHOP) == [0, 15, 30, 45, 60]
        assert stage.instants(OTHER) == [0]
        assert stage.skipped() == 3
        slow.gate.set()
        await soon(lambda: len(stage.instants(OTHER)) == 2)
        await stage.tick(SHOP, OTHER)
        assert stage.instants(OTHER) == [0, 15, 75]
        assert stage.skipped() == 3


async def test_an_error_in_a_tick_is_logged_and_ends_only_that_tick() -> None:
    stage = Stage()
    with capture_logs() as logs:
        async with stage.running(SHOP, OTHER):
            await stage.decided(SHOP, OTHER)
            stage.scenes[OTHER].faulty.fault = ZeroDivisionError("a bug")
            await stage.tick(SHOP)
            await soon(lambda: any(line["event"] == "a tick failed" for line in logs))
            stage.scenes[OTHER].faulty.fault = None
            await stage.tick(SHOP, OTHER)
    assert stage.instants(SHOP) == [0, 15, 30]
    assert stage.instants(OTHER) == [0, 30]
    [failed] = [line for line in logs if line["log_level"] == "error"]
    assert (failed["workload"], failed["exc_info"]) == ("prod/other", True)


async def test_an_error_of_the_work_between_ticks_is_logged_and_decisions_go_on() -> None:
    def broken() -> None:
        raise ZeroDivisionError("a bug")

    stage = Stage(on_tick=broken)
    with capture_logs() as logs:
        async with stage.running(SHOP):
            await stage.decided(SHOP)
            for _ in range(3):
                await stage.tick(SHOP)
    assert [line["event"] for line in logs if line["log_level"] == "error"] == [
        "the work between ticks failed"
    ] * 3


async def test_a_change_of_the_answer_is_logged_with_the_steps_that_made_it() -> None:
    stage = Stage()
    with capture_logs() as logs:
        async with stage.running(SHOP):
            await stage.decided(SHOP)
            stage.scenes[SHOP].source.down = True
            for _ in range(8):
                await stage.tick(SHOP)
    told = [line for line in logs if line["event"] == "decision"]
    assert [(line["before"] is None, line["health"]) for line in told] == [(True, "ok"), (False, "holding")]
    newest = stage.store.latest(SHOP)
    assert newest is not None
    assert set(told[-1]["steps"]) == {step.stage.value for step in newest.plan.steps}


async def test_where_keda_is_told_no_number_the_log_says_so() -> None:
    stage = Stage()
    source = stage.scenes[SHOP].source
    source.down = True
    with capture_logs() as logs:
        async with stage.running(SHOP):
            await stage.decided(SHOP)
            await stage.tick(SHOP)
            source.down = False
            await stage.tick(SHOP)
    told = [line for line in logs if line["event"] == "decision"]
    newest = stage.store.latest(SHOP)
    assert newest is not None
    assert [(line["published"], line["before"], line["health"]) for line in told] == [
        ("UNAVAILABLE", None, "unknown"),
        (newest.answer.published, "UNAVAILABLE", newest.plan.health.value),
    ]


async def test_known_settings_change_nothing() -> None:
    stage = Stage()
    async with stage.running(SHOP):
        await stage.decided(SHOP)
        before = stage.loop.tracker(SHOP)
        stage.loop.track(settings_of())
        assert stage.loop.tracker(SHOP) is before
        assert stage.instants() == [0]
    assert len(stage.followed) == 1


async def test_changed_settings_replace_the_tracker_and_its_decisions() -> None:
    stage = Stage()
    async with stage.running(SHOP):
        await stage.decided(SHOP)
        await stage.tick(SHOP)
        stage.loop.track(settings_of(max_replicas=2))
        assert stage.store.latest(SHOP) is None
        await stage.decided(SHOP)
        assert stage.loop.following == 1
        assert stage.instants() == [15]
        assert [d.policy.max_replicas for d in stage.store] == [2]


class DeafTracker:
    """A tracker whose tick ends when a test lets it, cancelled or not."""

    def __init__(self, settings: WorkloadSettings) -> None:
        self.workload = settings.workload
        self.settings = settings
        self.gate = asyncio.Event()

    async def tick(self, at: datetime) -> Decision:
        """Decide once the gate is open."""
        while not self.gate.is_set():
            with suppress(asyncio.CancelledError):
                await self.gate.wait()
        observation = Observation(now=at, demand=10.0, demand_at=at)
        policy = self.settings.policy()
        made, _ = step(self.workload, observation, None, policy, StepMemory(), unit="requests/s")
        return made

    async def stop(self) -> None:
        """There is nothing to end."""


@pytest.mark.parametrize("replaced", [True, False])
async def test_a_tick_that_ends_after_its_tracker_was_replaced_or_dropped_publishes_nothing(
    monkeypatch: pytest.MonkeyPatch, *, replaced: bool
) -> None:
    monkeypatch.setattr("predictscale.control.loop._FAREWELL_S", 0.01)
    stage = Stage()
    trackers: list[DeafTracker] = []

    def follow(settings: WorkloadSettings) -> Tracker:
        trackers.append(DeafTracker(settings))
        return cast("Tracker", trackers[-1])

    loop = Loop(follow=follow, store=stage.store, clock=stage.clock, tick_s=TICK_S, meters=stage.meters)
    loop.track(settings_of(max_replicas=99))
    await asyncio.sleep(0)
    if replaced:
        loop.track(settings_of(max_replicas=2))
        trackers[1].gate.set()
        await stage.decided(SHOP)
    else:
        loop.untrack(SHOP)
    trackers[0].gate.set()
    await soon(lambda: len(asyncio.all_tasks()) == 1)
    assert [d.policy.max_replicas for d in stage.store] == ([2] if replaced else [])


class Keeper(DeafTracker):
    """Takes its time to put its record where its successor looks for it."""

    def __init__(self, settings: WorkloadSettings, *, shelf: list[str], may_end: asyncio.Event) -> None:
        super().__init__(settings)
        self.shelf, self.may_end = shelf, may_end
        self.found: list[str] | None = None
        self.gate.set()

    async def tick(self, at: datetime) -> Decision:
        """Look at the shelf."""
        self.found = list(self.shelf)
        return await super().tick(at)

    async def stop(self) -> None:
        """Fill it."""
        await self.may_end.wait()
        self.shelf.append("a record")


@pytest.mark.parametrize("stuck", [False, True])
async def test_who_follows_a_workload_anew_waits_for_the_records_of_before_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch, *, stuck: bool
) -> None:
    monkeypatch.setattr("predictscale.control.loop._FAREWELL_S", 0.02 if stuck else 30.0)
    stage, may_end, shelf = Stage(), asyncio.Event(), list[str]()
    keepers: list[Keeper] = []

    def follow(settings: WorkloadSettings) -> Tracker:
        keepers.append(Keeper(settings, shelf=shelf, may_end=may_end))
        return cast("Tracker", keepers[-1])

    loop = Loop(follow=follow, store=stage.store, clock=stage.clock, tick_s=TICK_S, meters=stage.meters)
    loop.track(settings_of(max_replicas=99))
    await stage.decided(SHOP)
    loop.track(settings_of(max_replicas=2))
    if not stuck:
        await asyncio.sleep(0.01)
        assert keepers[1].found is None
        may_end.set()
    await stage.decided(SHOP)
    assert keepers[1].found == ([] if stuck else ["a record"])
    may_end.set()
    await soon(lambda: len(asyncio.all_tasks()) == 1)


async def test_a_workload_that_is_untracked_is_forgotten_and_its_work_is_cancelled() -> None:
    stage = Stage()
    async with stage.running(SHOP, OTHER):
        await stage.decided(SHOP, OTHER)
        slow = stage.scenes[OTHER].faulty
        slow.gate.clear()
        await stage.tick(SHOP)
        await soon(lambda: slow.waiting > 0)
        stage.loop.untrack(OTHER)
        assert stage.store.latest(OTHER) is None
        assert stage.loop.tracker(OTHER) is None
        await soon(lambda: slow.waiting == 0)
        slow.gate.set()
        await stage.tick(SHOP)
        assert stage.instants(OTHER) == []
        assert stage.loop.following == 1


async def test_untracking_what_is_not_tracked_changes_nothing() -> None:
    stage = Stage()
    async with stage.running(SHOP):
        await stage.decided(SHOP)
        stage.loop.untrack(OTHER)
        await stage.tick(SHOP)
    assert stage.loop.following == 1


@pytest.mark.parametrize("stuck", [True, False])
async def test_the_end_of_the_loop_leaves_no_task_behind(*, stuck: bool) -> None:
    before = asyncio.all_tasks()
    stage = Stage()
    async with stage.running(SHOP, OTHER):
        await stage.decided(SHOP, OTHER)
        if stuck:
            stage.scenes[OTHER].faulty.farewell_s = 0.02
            for scene in stage.scenes.values():
                scene.faulty.gate.clear()
            stage.clock.advance(TICK_S)
            await soon(lambda: all(scene.faulty.waiting for scene in stage.scenes.values()))
        stage.loop.untrack(OTHER)
    assert asyncio.all_tasks() == before


async def test_the_duration_of_ticks_is_measured_in_the_clocks_time() -> None:
    stage = Stage()
    async with stage.running(SHOP):
        await stage.decided(SHOP)
        slow = stage.scenes[SHOP].faulty
        slow.gate.clear()
        stage.clock.advance(TICK_S)
        await soon(lambda: slow.waiting > 0)
        stage.clock.advance(4)
        slow.gate.set()
        await soon(lambda: len(stage.instants()) == 2)
    read = stage.meters.registry.get_sample_value
    assert read("predictscale_tick_duration_seconds_count") == 2
    assert read("predictscale_tick_duration_seconds_sum") == 4
