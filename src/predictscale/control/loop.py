"""Ticks on a wall-clock grid, for every workload that is followed.

A workload whose last tick is still under way is skipped, so that one slow
history holds up nobody else. An error in a tick is logged and ends only that tick.

Where the clock was ahead and is set back, nothing that was made in an hour which is still to come is
answered with, or remembered: every workload is followed anew, as after a start.
"""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from predictscale.clock import Clock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.core.series import floor_to_grid
from predictscale.meters import Meters

_log = structlog.get_logger(__name__)

_FAREWELL_S = 5.0
"""So long the first tick waits for whoever followed the workload before to put its records away [s]."""
_LOOK_S = 1.0
"""While a tick is waited for, time between two looks at whether the clock was set back [s]."""


class Followed(Protocol):
    """One workload's path to its decisions: a `Tracker`, or one that looks for its backend first."""

    @property
    def settings(self) -> WorkloadSettings:
        """What its owner wants."""
        ...

    @property
    def workload(self) -> WorkloadId:
        """Whose path this is."""
        ...

    async def tick(self, at: datetime) -> Decision:
        """Decide for the grid instant `at`, with what can be known by then."""
        ...

    async def stop(self) -> None:
        """End what may be under way in the background."""
        ...


class Loop:
    """Follows workloads and publishes their decisions.

    Args:
        follow: Makes the tracker of a workload.
        store: Where decisions are published.
        clock: Whose grid is kept.
        tick_s: Between decisions [s].
        read_after_s: How long after its instant a tick is read [s]: what was scraped by then is in by
            now, for every replica of the service alike.
        meters: What is counted.
        on_tick: Called once for each round, after its ticks were started.
        on_decision: Called with each decision that was published.
    """

    def __init__(
        self,
        *,
        follow: Callable[[WorkloadSettings], Followed],
        store: DecisionStore,
        clock: Clock,
        tick_s: float,
        meters: Meters,
        read_after_s: float = 0.0,
        on_tick: Callable[[], None] = lambda: None,
        on_decision: Callable[[Decision], None] = lambda _: None,
    ) -> None:
        self._follow = follow
        self._store = store
        self._clock = clock
        self._tick_s = tick_s
        self._late = timedelta(seconds=read_after_s)
        self._meters = meters
        self._on_tick = on_tick
        self._on_decision = on_decision
        self._trackers: dict[WorkloadId, Followed] = {}
        self._running: dict[WorkloadId, asyncio.Task[None]] = {}
        self._ending: dict[asyncio.Task[None], WorkloadId] = {}

    def track(self, settings: WorkloadSettings) -> None:
        """Follow a workload from now on; its first tick starts at once. Known settings change nothing."""
        known = self._trackers.get(settings.workload)
        if known is not None:
            if known.settings == settings:
                return
            self.untrack(settings.workload)
        self._trackers[settings.workload] = self._follow(settings)
        self._start(settings.workload, self._newest())

    def untrack(self, workload: WorkloadId) -> None:
        """Stop following a workload and forget its decisions."""
        tracker = self._trackers.pop(workload, None)
        running = self._running.pop(workload, None)
        self._store.forget(workload)
        if running is not None:
            running.cancel()
        if tracker is not None:
            ending = asyncio.create_task(_end(tracker, running))
            self._ending[ending] = workload
            ending.add_done_callback(self._ending.pop)

    def tracker(self, workload: WorkloadId) -> Followed | None:
        """The tracker of a workload, or None if it is not followed."""
        return self._trackers.get(workload)

    @property
    def following(self) -> int:
        """How many workloads are followed."""
        return len(self._trackers)

    async def run(self) -> None:
        """Tick until cancelled. Grid instants that were slept through are not made up for."""
        at = self._newest()
        step = timedelta(seconds=self._tick_s)
        try:
            while True:
                if await self._waited(at + step + self._late):
                    at = max(at + step, self._newest())
                    self._round(at)
                # Less is the correction of a clock that runs well, and costs a tick.
                elif self._newest() + step < at:
                    self._begin_anew(at)
                    at = self._newest()
        finally:
            await self._stop()

    async def _waited(self, until: datetime) -> bool:
        """Wait for an instant, but not for long: whether it is there."""
        try:
            async with asyncio.timeout(_LOOK_S):
                await self._clock.wait_until(until)
        except TimeoutError:
            return False
        return True

    def _begin_anew(self, last: datetime) -> None:
        """The last tick lies in the future."""
        back_s = (last - self._newest()).total_seconds()
        _log.warning("the clock was set back; every workload is followed anew", by_s=round(back_s))
        for settings in [tracker.settings for tracker in self._trackers.values()]:
            self.untrack(settings.workload)
            self.track(settings)

    def _newest(self) -> datetime:
        """The last grid instant that can be read."""
        return floor_to_grid(self._clock.now() - self._late, self._tick_s)

    def _round(self, at: datetime) -> None:
        for workload in list(self._trackers):
            self._start(workload, at)
        try:
            self._on_tick()
        except Exception:  # noqa: BLE001 - whatever it is, decisions go on
            _log.exception("the work between ticks failed")

    def _start(self, workload: WorkloadId, at: datetime) -> None:
        running = self._running.get(workload)
        if running is not None and not running.done():
            self._meters.ticks_skipped.inc()
            return
        self._running[workload] = asyncio.create_task(self._tick(self._trackers[workload], at))

    async def _tick(self, tracker: Followed, at: datetime) -> None:
        if before := [ending for ending, of in self._ending.items() if of == tracker.workload]:
            await asyncio.wait(before, timeout=_FAREWELL_S)
        began_s = self._clock.monotonic_s()
        try:
            self._publish(tracker, await tracker.tick(at))
        except Exception:  # noqa: BLE001 - one workload's bug must not stop the others
            _log.exception("a tick failed", workload=str(tracker.workload))
            return
        self._meters.tick_seconds.observe(self._clock.monotonic_s() - began_s)

    def _publish(self, tracker: Followed, decision: Decision) -> None:
        """Put the decision where readers see it, unless its tracker was replaced meanwhile."""
        if self._trackers.get(tracker.workload) is tracker:
            before = self._store.latest(decision.workload)
            self._store.put(decision)
            self._log_change(before, decision)
            # Readers come last: what goes wrong with them is told as such, and costs no one else anything.
            self._on_decision(decision)

    def _log_change(self, before: Decision | None, decision: Decision) -> None:
        """One line when what KEDA is told or the health changes, with the step that made it."""
        plan, told = decision.answer, _told(decision)
        before_that = None if before is None else _told(before)
        if before is not None and before_that == told and before.plan.health is decision.plan.health:
            return
        _log.info(
            "decision",
            workload=str(decision.workload),
            published=told,
            before=before_that,
            health=decision.plan.health.value,
            steps={s.stage.value: f"{s.value:g} {s.because}" for s in plan.steps},
        )

    async def _stop(self) -> None:
        ends = [_end(tracker, self._running.get(workload)) for workload, tracker in self._trackers.items()]
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*ends, *self._ending, return_exceptions=True)


def _told(decision: Decision) -> int | str:
    """What KEDA is told: a number, or that there is none."""
    return decision.answer.published if decision.answer.available else "UNAVAILABLE"


async def _end(tracker: Followed, running: asyncio.Task[None] | None) -> None:
    """Let a cancelled tick end first: until then it may still start a fit."""
    if running is not None:
        await asyncio.wait({running})
    await tracker.stop()
