"""A series, prepared so that levels and peaks of any window are read at any origin at once.

Sums and running maxima are made once; what a forecast from each of thousands of
past origins would have seen is then a difference of two sums. An origin i knows the
bins before i and none from i on; every method says which side of i it reads.
Refuses to fill: what is unknown comes back as NaN.
"""

import numpy as np
from numpy.typing import NDArray

from predictscale.core.series import Floats

Indices = NDArray[np.int64]

_KNOWN_SHARE = 0.7
"""A peak counts if this much of its window is known: a maximum over holes is too low."""


class Panel:
    """Logs of demand, shape (n,), NaN at gaps, on a grid.

    Args:
        logs: See `Domain`.
        start_s: Where the first bin begins, seconds since the epoch.
        step_s: Width of a bin [s].
    """

    def __init__(self, logs: Floats, *, start_s: float, step_s: float) -> None:
        self.logs = logs
        self.start_s = start_s
        self.step_s = step_s
        self.size = logs.size
        known = ~np.isnan(logs)
        self._sums = _running(np.where(known, logs, 0.0))
        self._counts = _running(known.astype(np.float64))
        self._tops = [np.where(known, logs, -np.inf)]

    def bins(self, seconds: float) -> int:
        """How many bins make that long, at least one."""
        return max(1, round(seconds / self.step_s))

    def mean(self, first: Indices, stop: Indices) -> Floats:
        """The mean over the known bins of [first, stop), shape as the indices; NaN if there is none."""
        return _mean(self._sums, self._counts, first, stop)

    def before(self, origins: Indices, bins: int) -> Floats:
        """The mean over the last known of `bins` bins before each origin."""
        return self.mean(origins - bins, origins)

    def at(self, places: Indices) -> Floats:
        """The value of each bin; NaN outside."""
        inside = (places >= 0) & (places < self.size)
        values: Floats = np.where(inside, self.logs[np.where(inside, places, 0)], np.nan)
        return values

    def peak(self, first: Indices, bins: int) -> Floats:
        """The maximum over `bins` bins from each place on; NaN where too little is known."""
        inside = (first >= 0) & (first + bins <= self.size)
        if not inside.any():
            return np.full(first.shape, np.nan)
        lo = np.where(inside, first, 0)
        power = bins.bit_length() - 1
        tops = self._top(power)
        highest = np.maximum(tops[lo], tops[lo + bins - (1 << power)])
        enough = self._counts[lo + bins] - self._counts[lo] >= _KNOWN_SHARE * bins
        peaks: Floats = np.where(inside & enough, highest, np.nan)
        return peaks

    def movements(self, origins: Indices, *, lag: int, bins: tuple[int, ...]) -> list[Floats]:
        """For each of `bins`: the mean of |change over `lag` bins| over that many bins before each origin."""
        first = int(max(lag, origins.min(initial=self.size) - max(bins)))
        size = np.abs(self.logs[first:] - self.logs[first - lag : max(self.size - lag, 0)])
        known = ~np.isnan(size)
        sums, counts = _running(np.where(known, size, 0.0)), _running(known.astype(np.float64))
        ends = origins - first
        return [_mean(sums, counts, ends - width, ends) for width in bins]

    def _top(self, power: int) -> Floats:
        """Maxima over 2^power bins from each bin on."""
        while len(self._tops) <= power:
            last, half = self._tops[-1], 1 << (len(self._tops) - 1)
            self._tops.append(np.maximum(last[: last.size - half], last[half:]))
        return self._tops[power]


def _running(values: Floats) -> Floats:
    sums = np.zeros(values.size + 1)
    np.cumsum(values, out=sums[1:])
    return sums


def _mean(sums: Floats, counts: Floats, first: Indices, stop: Indices) -> Floats:
    last = sums.size - 1
    lo, hi = np.minimum(np.maximum(first, 0), last), np.minimum(np.maximum(stop, 0), last)
    known = counts[hi] - counts[lo]
    return np.where(known > 0, (sums[hi] - sums[lo]) / np.maximum(known, 1.0), np.nan)
