"""What was said and what came, bin by bin: the record that a replay of other settings needs.

A forecast is kept as the quantiles of one number, the highest demand within the lead time,
which is all that a decision reads of it. Refuses to fill in: what was not said is NaN.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats

TRACKED_LEVELS = (0.5, 0.75, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995)
"""The quantile levels on record."""


def told_peaks(forecast: Forecast, *, at: datetime, span_s: float) -> list[float]:
    """The quantiles that are kept of a forecast: of the highest demand over [at, at + span].

    Raises:
        ForecastTooShort: The forecast ends before that.
        ValueError: It does not carry the levels that are kept.
    """
    until = at + timedelta(seconds=span_s)
    return [forecast.peak(level=level, since=at, until=until) for level in TRACKED_LEVELS]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Track:
    """Some days of one workload on the grid of its bins.

    Args:
        start: Where the first bin begins, aware UTC.
        step_s: Width of a bin [s].
        demand: What came in each bin, per second; NaN is a gap. Shape (n,).
        peaks: Quantiles of the highest demand within the lead time, as they were said at each
            bin's beginning, shape (n, q); NaN where nothing was.
        highest: The highest demand of the days before each bin, shape (n,); NaN if none was known.
        levels: The quantile levels, ascending, q of them.
        before: Demand of the bin before the first; NaN if it is not known.

    Raises:
        ValueError: The shapes differ.
    """

    start: datetime
    step_s: float
    demand: Floats
    peaks: NDArray[np.float32]
    highest: Floats
    levels: tuple[float, ...] = TRACKED_LEVELS
    before: float = float("nan")

    def __post_init__(self) -> None:
        n = self.demand.size
        if self.peaks.shape != (n, len(self.levels)) or self.highest.shape != (n,):
            raise ValueError(
                f"peaks: shape {self.peaks.shape}, highest: {self.highest.shape}; must be "
                f"({n}, {len(self.levels)}) and ({n},)"
            )

    def __len__(self) -> int:
        return int(self.demand.size)

    @property
    def end(self) -> datetime:
        """Where the last bin ends."""
        return self.start + timedelta(seconds=len(self) * self.step_s)

    @property
    def told(self) -> NDArray[np.bool_]:
        """Which bins have both a forecast and demand, shape (n,)."""
        told: NDArray[np.bool_] = ~np.isnan(self.peaks[:, 0]) & ~np.isnan(self.demand)
        return told

    @property
    def told_s(self) -> float:
        """How much of it has both [s]."""
        return float(self.told.sum()) * self.step_s

    @property
    def here(self) -> Floats:
        """Demand of the bin that ends where each begins: what a decision there sees, shape (n,)."""
        return np.concatenate(([self.before], self.demand[:-1])) if len(self) else self.demand

    def peak(self, level: float) -> Floats:
        """The highest demand within the lead time at a level, shape (n,); linear between two levels.

        Raises:
            ValueError: `level` lies outside the levels on record; nothing is extrapolated.
        """
        levels, table = self.levels, self.peaks
        if not levels[0] <= level <= levels[-1]:
            raise ValueError(f"level: {level:g}; on record are {levels[0]:g} to {levels[-1]:g}")
        upper = int(np.searchsorted(levels, level))
        above = table[:, upper].astype(np.float64)
        if levels[upper] == level:
            return above
        share = (level - levels[upper - 1]) / (levels[upper] - levels[upper - 1])
        return (1 - share) * table[:, upper - 1].astype(np.float64) + share * above

    def last(self, duration_s: float) -> "Track":
        """The bins of the last `duration_s` seconds."""
        first = max(0, len(self) - round(duration_s / self.step_s))
        return self if not first else self.between(first, len(self))

    def finer(self, parts: int) -> "Track":
        """Each bin as so many narrower ones, of which the same is known."""
        return Track(
            start=self.start,
            step_s=self.step_s / parts,
            demand=np.repeat(self.demand, parts),
            peaks=np.repeat(self.peaks, parts, axis=0),
            highest=np.repeat(self.highest, parts),
            levels=self.levels,
            before=self.before,
        )

    def between(self, first: int, stop: int) -> "Track":
        """The bins from number `first` until before `stop`."""
        return Track(
            start=self.start + timedelta(seconds=first * self.step_s),
            step_s=self.step_s,
            demand=self.demand[first:stop],
            peaks=self.peaks[first:stop],
            highest=self.highest[first:stop],
            levels=self.levels,
            before=float(self.demand[first - 1]) if first else self.before,
        )
