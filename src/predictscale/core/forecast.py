"""What is about to arrive, as quantiles. Refuses point forecasts: a level must be asked for."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from math import isfinite

import numpy as np

from predictscale.core.series import Floats
from predictscale.errors import ForecastNotCredible, ForecastTooShort

_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Components:
    """What the median of a forecast is made of. The parts add up to it.

    All in the demand's unit, each of shape (h,), and of either sign but for the level.

    Args:
        level: What demand is at now, carried ahead.
        day: The change that the time of day brings.
        week: The change that the day of the week brings.
        events: What planned events add.
        correction: What is left: the present deviation fading, and all that the model does not name.
    """

    level: Floats
    day: Floats
    week: Floats
    events: Floats
    correction: Floats

    def __post_init__(self) -> None:
        parts = (self.level, self.day, self.week, self.events, self.correction)
        shapes = {part.shape for part in parts}
        if len(shapes) != 1 or self.level.ndim != 1:
            raise ValueError(f"components: shapes {sorted(shapes)}; each is (h,)")
        if not all(np.isfinite(part).all() for part in parts):
            raise ValueError("components: not finite")

    @property
    def total(self) -> Floats:
        """The sum, which is the median of the forecast, shape (h,)."""
        total: Floats = self.level + self.day + self.week + self.events + self.correction
        return total


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """Quantiles of demand at each coming step.

    Args:
        origin: The end of the last bin the forecast knows; step j covers
            [origin + j*step, origin + (j+1)*step), aware UTC.
        step_s: Width of a step [s].
        levels: Quantile levels in (0, 1), ascending, q of them.
        values: Demand at each level and step, shape (q, h), in the demand's unit;
            finite, not negative, not falling with the level.
        model: Who said it, as the registry knows it.
        peaks: Quantiles of the highest value over [origin, origin + (j+1)*step), shape (q, h),
            not falling with the level nor with the step; None if the model forecasts values only.
        components: What the median is made of; None if nobody asked.

    Raises:
        ForecastNotCredible: A value is NaN, infinite or negative, or the levels cross.
    """

    origin: datetime
    step_s: float
    levels: tuple[float, ...]
    values: Floats
    model: str
    peaks: Floats | None = None
    components: Components | None = None

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("model: is empty; a forecast has an author")
        if not _ascend_within_0_and_1(self.levels):
            raise ValueError(f"levels: {self.levels}; must ascend within (0, 1)")
        object.__setattr__(self, "values", self._checked(self.values))
        if self.peaks is not None:
            peaks = self._checked(self.peaks)
            if peaks.shape != self.values.shape:
                raise ValueError(f"peaks: shape {peaks.shape}; must be {self.values.shape} as values")
            if _falls(peaks[:, :-1], peaks[:, 1:]):
                raise ForecastNotCredible(f"{self.model} forecasts peaks that fall with a longer window")
            object.__setattr__(self, "peaks", peaks)

    def _checked(self, table: Floats) -> Floats:
        """Quantiles by level and step, read-only."""
        values = np.array(table, dtype=np.float64)
        if values.ndim != 2 or values.shape[0] != len(self.levels) or not values.shape[1]:
            raise ValueError(f"values: shape {values.shape}; must be ({len(self.levels)}, steps)")
        # A NaN is the lowest and the highest of its table.
        lowest = float(np.minimum.reduce(values, axis=None))
        if not (isfinite(lowest) and isfinite(np.maximum.reduce(values, axis=None))):
            raise ForecastNotCredible(f"{self.model} forecasts NaN or infinity")
        if lowest < 0:
            raise ForecastNotCredible(f"{self.model} forecasts negative demand")
        if _falls(values[:-1], values[1:]):
            raise ForecastNotCredible(f"{self.model} forecasts quantiles that cross")
        values.flags.writeable = False
        return values

    @property
    def steps(self) -> int:
        """How many steps it reaches, h."""
        return int(self.values.shape[1])

    @property
    def end(self) -> datetime:
        """Where the last step ends."""
        return self.origin + timedelta(seconds=self.steps * self.step_s)

    @property
    def starts(self) -> list[datetime]:
        """Where each step begins, h of them."""
        return [self.origin + timedelta(seconds=j * self.step_s) for j in range(self.steps)]

    def quantile(self, level: float) -> Floats:
        """The path of one quantile, shape (h,); linear between the two levels around `level`.

        Raises:
            ValueError: `level` lies outside the levels forecast; nothing is extrapolated.
        """
        return self._at_level(self.values, level)

    def peak(self, *, level: float, since: datetime, until: datetime) -> float:
        """The quantile of the highest demand over the steps that touch [since, until].

        The window is looked up by wall clock, so an old forecast does not pass off
        the past as the future. A model that forecasts peaks answers with the quantile
        of the maximum, as long as `since` lies in its first step; else it is the maximum
        of the quantiles, which lies at or below.

        Raises:
            ForecastTooShort: The forecast ends before `until`.
            ValueError: `until` lies before `since`, or the level is not forecast.
        """
        if until < since:
            raise ValueError(f"until: {until} lies before since: {since}")
        if until > self.end:
            raise ForecastTooShort(
                need_s=(until - self.origin).total_seconds(), have_s=self.steps * self.step_s
            )
        first = max(0, int((since - self.origin).total_seconds() // self.step_s))
        stop = int(np.ceil((until - self.origin).total_seconds() / self.step_s - 1e-9))
        highest = float(self.quantile(level)[first : max(stop, first + 1)].max())
        if self.peaks is None or first > 0:
            return highest
        return max(highest, float(self._at_level(self.peaks, level)[max(stop, 1) - 1]))

    def _at_level(self, table: Floats, level: float) -> Floats:
        """A row of quantiles, between two rows if need be."""
        if not self.levels[0] <= level <= self.levels[-1]:
            raise ValueError(
                f"level: {level:g}; {self.model} forecasts levels {self.levels[0]:g} to {self.levels[-1]:g}"
            )
        upper = int(np.searchsorted(self.levels, level))
        if self.levels[upper] == level:
            exact: Floats = table[upper]
            return exact
        below, above = self.levels[upper - 1], self.levels[upper]
        share = (level - below) / (above - below)
        path: Floats = (1 - share) * table[upper - 1] + share * table[upper]
        return path


def _ascend_within_0_and_1(levels: Sequence[float]) -> bool:
    return len(levels) > 0 and all(lower < upper for lower, upper in pairwise((0.0, *levels, 1.0)))


def _falls(before: Floats, after: Floats) -> bool:
    """Whether anything is lower after than before, by more than rounding makes it."""
    # Hardly any table has a lower place, and that is told at a fraction of the cost.
    if not np.count_nonzero(after < before):
        return False
    return bool((after - before < -_ROUNDING * (1 + before)).any())
