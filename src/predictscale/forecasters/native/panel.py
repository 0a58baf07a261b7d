"""Series, prepared so that levels and peaks of any window are read at any origin at once.

Sums and running maxima are made once; what a forecast from each of thousands of
past origins would have seen is then a difference of two sums. An origin i knows the
bins before i and none from i on; every method says which side of i it reads.
Refuses to fill: what is unknown comes back as NaN.
"""

from copy import copy

import numpy as np
from numpy.typing import NDArray

from predictscale.core.series import Floats

Indices = NDArray[np.int64]

_KNOWN_SHARE = 0.7
"""A peak counts if this much of its window is known: a maximum over holes is too low."""


class Panel:
    """Rows of logs of demand, shape (m, w), NaN at gaps, on one grid.

    What is read of a row does not depend on the others: sums run along a row from its own
    first known bin. Places may have any shape that `rows` broadcasts to.

    Args:
        logs: See `to_logs`.
        step_s: Width of a bin [s].
        rows: Which row each place lies in, of the shape of places or 0 for the only one.
        begin: Where the series of each place begins, in bins of its row, shape as `rows`; it lasts
            until the row's end.
    """

    def __init__(
        self,
        logs: Floats,
        *,
        step_s: float,
        rows: Indices | int = 0,
        begin: Indices | int = 0,
    ) -> None:
        self.logs = logs
        self.step_s = step_s
        self.size = logs.shape[1]
        self.rows = rows
        self.begin = begin
        known = ~np.isnan(logs)
        self._sums = _Sums(np.where(known, logs, 0.0), known)
        self._tops = [np.where(known, logs, -np.inf)]

    def for_lead(self, lead: int) -> "Panel":
        """The same for places (..., 1, n, b) of one lead out of (..., l, n, b)."""
        if isinstance(self.rows, int):
            return self
        part = copy(self)
        chosen = np.s_[..., lead : lead + 1, :, :]
        part.rows, part.begin = self.rows[chosen], np.asarray(self.begin)[chosen]
        return part

    def bins(self, seconds: float) -> int:
        """How many bins make that long, at least one."""
        return bins(seconds, self.step_s)

    def mean(self, first: Indices, stop: Indices) -> Floats:
        """The mean over the known bins of [first, stop), shape as the places; NaN if there is none."""
        return self._sums.mean(self.rows, first, stop)

    def before(self, origins: Indices, bins: int) -> Floats:
        """The mean over the last known of `bins` bins before each origin."""
        return self.mean(origins - bins, origins)

    def at(self, places: Indices) -> Floats:
        """The value of each bin; NaN outside."""
        inside = (places >= self.begin) & (places < self.size)
        values: Floats = np.where(inside, self._take(self.logs, np.where(inside, places, 0)), np.nan)
        return values

    def peak(self, first: Indices, bins: int) -> Floats:
        """The maximum over `bins` bins from each place on; NaN where too little is known."""
        inside = (first >= self.begin) & (first + bins <= self.size)
        if not inside.any():
            return np.full(inside.shape, np.nan)
        lo = np.where(inside, first, 0)
        power = bins.bit_length() - 1
        tops = self._top(power)
        highest = np.maximum(self._take(tops, lo), self._take(tops, lo + (bins - (1 << power))))
        enough = self._sums.known(self.rows, lo, lo + bins) >= _KNOWN_SHARE * bins
        peaks: Floats = np.where(inside & enough, highest, np.nan)
        return peaks

    def movements(self, origins: Indices, *, lag: int, bins: tuple[int, ...]) -> list[Floats]:
        """For each of `bins`: the mean of |change over `lag` bins| over that many bins before each origin.

        Args:
            origins: Shape (..., m), the last axis being that of the rows.
            lag: In bins.
            bins: Lengths of the windows.
        """
        oldest = origins.min(axis=tuple(range(origins.ndim - 1))) - max(bins)
        first = int(max(lag, oldest.min()))
        if first >= self.size:
            return [np.full(origins.shape, np.nan) for _ in bins]
        size = np.abs(self.logs[:, first:] - self.logs[:, first - lag : self.size - lag])
        known = ~np.isnan(size)
        # Each row's sums begin where it is first looked at, wherever the others' do.
        known &= np.arange(first, self.size) >= oldest[:, None]
        sums = _Sums(np.where(known, size, 0.0), known)
        ends = origins - first
        return [sums.mean(self.rows, ends - width, ends) for width in bins]

    def _take(self, table: Floats, places: Indices) -> Floats:
        taken: Floats = table.take(places + self.rows * table.shape[1])
        return taken

    def _top(self, power: int) -> Floats:
        """Maxima over 2^power bins from each bin on, of which the last 2^power - 1 bins have none."""
        while len(self._tops) <= power:
            last, half = self._tops[-1], 1 << (len(self._tops) - 1)
            self._tops.append(np.maximum(last[:, : last.shape[1] - half], last[:, half:]))
        return self._tops[power]


class _Sums:
    """Running sums of rows (m, w) and of what is known of them."""

    def __init__(self, values: Floats, known: NDArray[np.bool_]) -> None:
        self._stride = values.shape[1] + 1
        self._sums = np.zeros((values.shape[0], self._stride))
        self._counts = np.zeros((values.shape[0], self._stride))
        np.cumsum(values, axis=1, out=self._sums[:, 1:])
        np.cumsum(known, axis=1, out=self._counts[:, 1:])

    def known(self, rows: Indices | int, first: Indices, stop: Indices) -> Floats:
        """How many bins of [first, stop) are known."""
        base = rows * self._stride
        counts: Floats = self._counts.take(stop + base) - self._counts.take(first + base)
        return counts

    def mean(self, rows: Indices | int, first: Indices, stop: Indices) -> Floats:
        """Means over the known bins of [first, stop), what lies outside being unknown."""
        last, base = self._stride - 1, rows * self._stride
        lo = np.minimum(np.maximum(first, 0), last) + base
        hi = np.minimum(np.maximum(stop, 0), last) + base
        known = self._counts.take(hi) - self._counts.take(lo)
        sums = self._sums.take(hi) - self._sums.take(lo)
        return np.where(known > 0, sums / np.maximum(known, 1.0), np.nan)


def bins(seconds: float, step_s: float) -> int:
    """How many bins of a width make that long, at least one."""
    return max(1, round(seconds / step_s))
