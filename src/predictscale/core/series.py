"""A stretch of one metric on a regular grid, in which a gap stays a gap.

Bin i covers [start + i*step, start + (i+1)*step) and holds the average over it;
NaN means that nothing is known. Nothing here fills, interpolates or clips:
missing is not zero.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def floor_to_grid(at: datetime, step_s: float) -> datetime:
    """The last instant at or before `at` that is a whole number of steps after the epoch."""
    seconds = (at - _EPOCH).total_seconds()
    return _EPOCH + timedelta(seconds=(seconds // step_s) * step_s)


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many samples could not be used, by reason."""

    nan: int = 0
    infinite: int = 0
    negative: int = 0
    duplicate: int = 0
    unordered: int = 0
    outside: int = 0

    @property
    def total(self) -> int:
        """All samples that were given and are not in the window."""
        return self.nan + self.infinite + self.negative + self.duplicate + self.outside


@dataclass(frozen=True, slots=True, eq=False)
class MetricWindow:
    """Values (n,) of one metric on a grid; NaN is a gap.

    Args:
        start: Where the first bin begins, aware UTC.
        step_s: Width of a bin [s], above 0.
        values: Averages over the bins, shape (n,), finite and not negative, or NaN.
    """

    start: datetime
    step_s: float
    values: Floats

    def __post_init__(self) -> None:
        if self.start.tzinfo is None:
            raise ValueError("start: has no time zone; instants are aware UTC")
        if not self.step_s > 0:
            raise ValueError(f"step_s: {self.step_s}; a bin has a width")
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 1:
            raise ValueError(f"values: shape {values.shape}; one metric is (n,)")
        known = values[~np.isnan(values)]
        if known.size and not (np.isfinite(known).all() and (known >= 0).all()):
            raise ValueError("values: infinite or negative; drop such samples with from_samples")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

    @classmethod
    def empty(cls, *, start: datetime, step_s: float) -> Self:
        """A window without bins."""
        return cls(start, step_s, np.empty(0))

    @classmethod
    def from_samples(
        cls, stamps_s: ArrayLike, values: ArrayLike, *, start: datetime, end: datetime, step_s: float
    ) -> tuple[Self, Dropped]:
        """Lay irregular samples on the grid of [start, end).

        A sample belongs to the bin that its stamp falls into; several in one bin
        are averaged. NaN, infinite and negative samples are dropped; of equal
        stamps the last given one stays.

        Args:
            stamps_s: Seconds since the epoch, shape (k,), any order.
            values: Samples, shape (k,).
            start: Where the first bin begins.
            end: Where the last bin ends.
            step_s: Width of a bin [s].

        Returns:
            The window, and what was dropped.
        """
        stamps = np.asarray(stamps_s, dtype=np.float64)
        samples = np.asarray(values, dtype=np.float64)
        bins = max(0, round((end - start).total_seconds() / step_s))
        nan = np.isnan(samples)
        infinite = np.isinf(samples)
        negative = np.isfinite(samples) & (samples < 0)
        keep = ~(nan | infinite | negative)
        unordered = int((np.diff(stamps) < 0).sum())
        stamps, samples = stamps[keep], samples[keep]
        order = np.argsort(stamps, kind="stable")
        stamps, samples = stamps[order], samples[order]
        last_of_equal = np.append(np.diff(stamps) > 0, True)[: stamps.size]
        duplicate = int(stamps.size - last_of_equal.sum())
        stamps, samples = stamps[last_of_equal], samples[last_of_equal]
        # A hair of tolerance: stamps that went through milliseconds still meet their bin.
        index = np.floor((stamps - (start - _EPOCH).total_seconds()) / step_s + 1e-6).astype(np.int64)
        inside = (index >= 0) & (index < bins)
        index, samples = index[inside], samples[inside]
        sums = np.bincount(index, weights=samples, minlength=bins)[:bins]
        counts = np.bincount(index, minlength=bins)[:bins]
        gridded = np.full(bins, np.nan)
        np.divide(sums, counts, out=gridded, where=counts > 0)
        dropped = Dropped(
            nan=int(nan.sum()),
            infinite=int(infinite.sum()),
            negative=int(negative.sum()),
            duplicate=duplicate,
            unordered=unordered,
            outside=int((~inside).sum()),
        )
        return cls(start, step_s, gridded), dropped

    def __len__(self) -> int:
        return int(self.values.size)

    @property
    def end(self) -> datetime:
        """Where the last bin ends."""
        return self.start + timedelta(seconds=len(self) * self.step_s)

    @property
    def duration_s(self) -> float:
        """Length of the window, gaps included [s]."""
        return len(self) * self.step_s

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which bins hold a value, shape (n,)."""
        return ~np.isnan(self.values)

    @property
    def known_s(self) -> float:
        """How much of the window holds values [s]."""
        return float(self.known.sum()) * self.step_s

    @property
    def stamps_s(self) -> Floats:
        """Where each bin begins, seconds since the epoch, shape (n,)."""
        origin = (self.start - _EPOCH).total_seconds()
        stamps: Floats = origin + np.arange(len(self), dtype=np.float64) * self.step_s
        return stamps

    @property
    def newest(self) -> tuple[datetime, float] | None:
        """The end of the last known bin and its value, or None if every bin is a gap."""
        places = np.flatnonzero(self.known)
        if not places.size:
            return None
        last = int(places[-1])
        return self.start + timedelta(seconds=(last + 1) * self.step_s), float(self.values[last])

    def between(self, start: datetime, end: datetime) -> Self:
        """The bins that begin in [start, end); only whole bins, never more than there are."""
        first = int(np.ceil((start - self.start).total_seconds() / self.step_s - 1e-6))
        stop = int(np.floor((end - self.start).total_seconds() / self.step_s + 1e-6))
        first = min(max(first, 0), len(self))
        stop = min(max(stop, first), len(self))
        return self._part(first, stop)

    def _part(self, first: int, stop: int) -> Self:
        """The bins [first, stop), neither copied nor checked: they are valid, and nobody can write them."""
        part = object.__new__(type(self))
        object.__setattr__(part, "start", self.start + timedelta(seconds=first * self.step_s))
        object.__setattr__(part, "step_s", self.step_s)
        object.__setattr__(part, "values", self.values[first:stop])
        return part

    def last(self, duration_s: float) -> Self:
        """The bins of the last `duration_s` seconds."""
        return self.between(self.end - timedelta(seconds=duration_s), self.end)

    def join(self, newer: Self) -> Self:
        """Both windows as one; where both know a bin, the newer one is right. Between them is a gap.

        Raises:
            ValueError: The grids do not fit.
        """
        if not len(newer):
            return self
        if not len(self):
            return newer
        offset = (newer.start - self.start).total_seconds() / self.step_s
        if self.step_s != newer.step_s or abs(offset - round(offset)) > 1e-6:
            raise ValueError(
                f"windows of {self.step_s:g} s from {self.start} and {newer.step_s:g} s from {newer.start} "
                "do not lie on one grid"
            )
        start = min(self.start, newer.start)
        bins = round((max(self.end, newer.end) - start).total_seconds() / self.step_s)
        values = np.full(bins, np.nan)
        for window in (self, newer):
            at = round((window.start - start).total_seconds() / self.step_s)
            part = values[at : at + len(window)]
            np.copyto(part, window.values, where=window.known)
        return type(self)(start, self.step_s, values)

    def resample(self, step_s: float, *, least_known: float = 0.5) -> Self:
        """Averages over wider bins, aligned so that the last one ends where this window ends.

        A wide bin is a gap if less than the share `least_known` of it is known.

        Raises:
            ValueError: `step_s` is not a whole multiple of this window's step.
        """
        factor = round(step_s / self.step_s)
        if factor < 1 or abs(factor * self.step_s - step_s) > 1e-6:
            raise ValueError(f"step_s: {step_s:g}; must be a whole multiple of {self.step_s:g}")
        if factor == 1:
            return self
        bins = len(self) // factor
        table = self.values[len(self) - bins * factor :].reshape(bins, factor)
        counts = (~np.isnan(table)).sum(axis=1)
        sums = np.nansum(table, axis=1)
        values = np.full(bins, np.nan)
        np.divide(sums, counts, out=values, where=counts >= max(1.0, least_known * factor))
        return type(self)(self.end - timedelta(seconds=bins * step_s), step_s, values)
