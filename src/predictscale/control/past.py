"""The history of one signal, as the archive has it, brought up to each whole bin.

Refuses to be all or nothing: what could not be read is asked for again at the next tick.
"""

from datetime import datetime, timedelta

from predictscale.control.strand import Grid
from predictscale.core.demand import Signal
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.errors import HoldTarget
from predictscale.sources.base import Source

_SETTLING_BINS = 3


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
        grid, had = self._grid, self.bins
        end, oldest = floor_to_grid(at, grid.step_s), grid.oldest(at)
        # The last bins are read once more: late samples are in them by now, and the
        # cache keeps a bin only when it can change no more.
        settled = timedelta(seconds=_SETTLING_BINS * grid.step_s)
        start = max(had.end - settled, oldest) if had is not None else oldest
        try:
            answer = await self._archive.read(self.signal, start=start, end=end, step_s=grid.step_s)
        except HoldTarget as missing:
            return (f"history could not be read: {missing}",)
        joined = answer.window if had is None else had.join(answer.window)
        self.bins = joined.between(oldest, joined.end)
        return ()
