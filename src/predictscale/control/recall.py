"""Who was ready before a start, read once, for a replica of the service that has no record of it.

An objective counts the lateness of weeks, and Prometheus outlives the pods of the service: what it knows
of a workload's replicas is worth more than beginning anew. Refuses to insist: a history that cannot be
read for an hour is not waited for any longer, nor what cannot be used for a day. Nor does it hammer: weeks
of a thousand workloads that cannot be read are asked for ever more rarely.
"""

from datetime import datetime, timedelta
from typing import Protocol

import structlog

from predictscale.control.errand import Errand
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.core.slo import DAY_S, HOUR_S
from predictscale.errors import HoldTarget

_log = structlog.get_logger(__name__)


class ReadyBefore(Protocol):
    """Who knows how many replicas were ready."""

    async def __call__(self, *, start: datetime, end: datetime) -> MetricWindow:
        """The ready replicas of [start, end) on the grid of bins, each at its bin's end.

        Raises:
            HoldTarget: One of its kinds; it may be asked again.
        """
        ...


class Recall:
    """One reading.

    Args:
        ready: Who is asked.
        before: Up to when.
        back_s: How far back [s].
        step_s: Width of a bin [s].
    """

    def __init__(self, ready: ReadyBefore, *, before: datetime, back_s: float, step_s: float) -> None:
        self._ready = ready
        self._end = floor_to_grid(before, step_s)
        self._start = floor_to_grid(before - timedelta(seconds=back_s), step_s)
        # Since when it is waited for.
        self._since: datetime | None = None
        self._work = Errand()
        self._asked: datetime | None = None
        self.told: MetricWindow | None = None
        """What was read; None until it is there."""

    def start_due(self, at: datetime) -> None:
        """Read in the background, once it is waited for, unless that is under way or done.

        What failed is tried again after twice the time since then.
        """
        if self._since is None or self.told is not None or self._work.busy:
            return
        if self._asked is not None and at - self._since < 2 * (self._asked - self._since):
            return
        self._asked = at
        self._work.start(self._read())

    def over(self, at: datetime, *, usable: bool) -> bool:
        """Whether there is nothing more to wait for: it is there and of use, or too much time has passed.

        Time counts from when this is first asked: as long as there is no demand to count, nobody waits.
        """
        self._since = at if self._since is None else self._since
        waited_s = (at - self._since).total_seconds()
        if self.told is None:
            return waited_s > HOUR_S and not self._work.busy
        return usable or waited_s > DAY_S

    async def settled(self) -> None:
        """Return once the reading under way, if there is one, has ended."""
        await self._work.settled()

    async def stop(self) -> None:
        """End the reading under way."""
        await self._work.cancel()

    async def _read(self) -> None:
        try:
            self.told = await self._ready(start=self._start, end=self._end)
        except HoldTarget as missing:
            _log.info("who was ready before could not be read", because=str(missing))
