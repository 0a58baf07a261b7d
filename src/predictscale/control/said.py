"""What was forecast at the beginning of each bin of the last days.

A ring of quantiles, in single precision: a week of minutes is a third of a megabyte. Refuses to be
rewritten: what was said live stays, and what is told later only fills gaps.
"""

from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from predictscale.core.track import TRACKED_LEVELS

Peaks = NDArray[np.float32]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Said:
    """The newest bins' forecasts.

    Args:
        step_s: Width of a bin [s].
        keep_s: How far back they are kept [s].
    """

    def __init__(self, *, step_s: float, keep_s: float) -> None:
        self._step_s = step_s
        self._table = np.full((round(keep_s / step_s), len(TRACKED_LEVELS)), np.nan, dtype=np.float32)
        self._end = 0
        """The number of the bin after the newest one."""

    def __len__(self) -> int:
        return int(self._table.shape[0])

    def knows(self, start: datetime) -> bool:
        """Whether something is on record of the bin that begins at `start`."""
        return not bool(np.isnan(self.before(start + timedelta(seconds=self._step_s), 1)).any())

    def note(self, start: datetime, peaks: list[float]) -> None:
        """What was said at a bin's beginning; the first to say it is kept."""
        if not self.knows(start):
            self.fill(start, np.array([peaks], dtype=np.float32))

    def fill(self, start: datetime, peaks: Peaks) -> None:
        """What would have been said in the bins from `start` on, shape (n, q), where nothing was."""
        first, size = self._number(start), len(self)
        self._advance(first + peaks.shape[0])
        for number, row in enumerate(peaks, first):
            if self._end - size <= number and np.isnan(self._table[number % size]).all():
                self._table[number % size] = row

    def before(self, end: datetime, bins: int) -> Peaks:
        """The last bins until `end`, shape (bins, q); NaN where nothing is on record."""
        stop, size = self._number(end), len(self)
        numbers = np.arange(stop - bins, stop)
        known = (numbers >= self._end - size) & (numbers < self._end)
        found = self._table[numbers % size]
        found[~known] = np.nan
        return found

    def kept(self) -> tuple[int, Peaks]:
        """The number of the bin after the newest one, and all bins in their order, for the cache."""
        return self._end, np.roll(self._table, -(self._end % len(self)), axis=0)

    def restore(self, end: int, table: Peaks) -> None:
        """Go on from what `kept` gave.

        Raises:
            ValueError: It has another shape.
        """
        if table.shape != self._table.shape:
            raise ValueError(f"table: shape {table.shape}; must be {self._table.shape}")
        self._end, self._table = end, np.roll(table.astype(np.float32), end % len(self), axis=0)

    def _advance(self, end: int) -> None:
        """Make room for bins until `end`: what is skipped is not known."""
        fresh = min(max(end - self._end, 0), len(self))
        if fresh:
            self._table[np.arange(end - fresh, end) % len(self)] = np.nan
            self._end = end

    def _number(self, at: datetime) -> int:
        return round((at - _EPOCH).total_seconds() / self._step_s)
