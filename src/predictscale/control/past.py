"""The history of one signal, as the archive has it, brought up to each whole bin.

Refuses to be all or nothing: what could not be read is asked for again at the next tick, and bins that
are missing at the end for as long as a source may be catching up. Refuses to learn from an answer
that its source calls incomplete: it would pass for little demand.
"""

from datetime import datetime, timedelta

from predictscale.control.strand import Grid
from predictscale.core.demand import Signal
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.errors import HoldTarget
from predictscale.sources.base import Source

_SETTLING_BINS = 3
_LATE_S = 3600.0
"""Bins that are missing at the end may still be told [s]; for so long the cache does not keep them either."""
_PATIENCE = 1000.0
"""An incomplete answer is asked for again after the length of what it was about divided by this."""
_LONGEST_PAUSE_S = 900.0


class Past:
    """The bins of one signal.

    Args:
        signal: Which.
        archive: The source through the cache.
        grid: The rhythm.
    """

    def __init__(self, signal: Signal, *, archive: Source, grid: Grid) -> None:
        self.signal = signal
        self.bins: MetricWindow | None = None
        """Up to the last whole bin that could be read; None before the first answer."""
        self._archive, self._grid = archive, grid
        # Why the last answer was left aside, and until when it is not asked for again.
        self._left_aside: tuple[str, datetime] | None = None

    def reaches(self, at: datetime) -> bool:
        """Whether the last whole bin before `at` was read."""
        return self.bins is not None and self.bins.end >= floor_to_grid(at, self._grid.step_s)

    async def extend(self, at: datetime) -> tuple[str, ...]:
        """Bring it up to the last whole bin before `at`.

        Returns:
            Why that was not possible, if it was not.
        """
        if self.reaches(at):
            return ()
        if self._left_aside is not None and at < self._left_aside[1]:
            return (self._left_aside[0],)
        grid, had = self._grid, self.bins
        end, oldest = floor_to_grid(at, grid.step_s), grid.oldest(at)
        start = oldest if had is None else max(_unsettled(had), oldest)
        try:
            answer = await self._archive.read(self.signal, start=start, end=end, step_s=grid.step_s)
        except HoldTarget as missing:
            return (f"history could not be read: {missing}",)
        if answer.partial:
            return (self._leave_aside(at, asked_s=(end - start).total_seconds()),)
        self._left_aside = None
        joined = answer.window if had is None else had.join(answer.window)
        self.bins = joined.between(oldest, joined.end)
        return ()

    def _leave_aside(self, at: datetime, *, asked_s: float) -> str:
        """Do without an incomplete answer; weeks of a thousand workloads are not asked for at each tick."""
        note = "history could not be read: the source warned that its answer lacks data"
        pause_s = min(asked_s / _PATIENCE, _LONGEST_PAUSE_S)
        self._left_aside = note, at + timedelta(seconds=pause_s)
        return note


def _unsettled(had: MetricWindow) -> datetime:
    """From where on bins are read once more.

    Late samples are in the last ones by now, and the cache keeps a bin only when it can change no more.
    A source that was cut off and catches up fills what is missing at the end.
    """
    settled = had.end - timedelta(seconds=_SETTLING_BINS * had.step_s)
    known_until = had.start if had.newest is None else had.newest[0]
    return min(settled, max(known_until, had.end - timedelta(seconds=_LATE_S)))
