"""What is about to arrive, as quantiles. Refuses point forecasts: a level must be asked for."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from predictscale.core.series import Floats
from predictscale.errors import ForecastNotCredible, ForecastTooShort


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

    Raises:
        ForecastNotCredible: A value is NaN, infinite or negative, or the levels cross.
    """

    origin: datetime
    step_s: float
    levels: tuple[float, ...]
    values: Floats
    model: str

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("model: is empty; a forecast has an author")
        levels = np.asarray(self.levels)
        if not (levels.size and (levels > 0).all() and (levels < 1).all() and (np.diff(levels) > 0).all()):
            raise ValueError(f"levels: {self.levels}; must ascend within (0, 1)")
        values = np.array(self.values, dtype=np.float64)
        if values.ndim != 2 or values.shape[0] != levels.size or not values.shape[1]:
            raise ValueError(f"values: shape {values.shape}; must be ({levels.size}, steps)")
        if not np.isfinite(values).all():
            raise ForecastNotCredible(f"{self.model} forecasts NaN or infinity")
        if (values < 0).any():
            raise ForecastNotCredible(f"{self.model} forecasts negative demand")
        if (np.diff(values, axis=0) < -1e-9 * (1 + values[:-1])).any():
            raise ForecastNotCredible(f"{self.model} forecasts quantiles that cross")
        values.flags.writeable = False
        object.__setattr__(self, "values", values)

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
        if not self.levels[0] <= level <= self.levels[-1]:
            raise ValueError(
                f"level: {level:g}; {self.model} forecasts levels {self.levels[0]:g} to {self.levels[-1]:g}"
            )
        upper = int(np.searchsorted(self.levels, level))
        if self.levels[upper] == level:
            exact: Floats = self.values[upper]
            return exact
        below, above = self.levels[upper - 1], self.levels[upper]
        share = (level - below) / (above - below)
        path: Floats = (1 - share) * self.values[upper - 1] + share * self.values[upper]
        return path

    def peak(self, *, level: float, since: datetime, until: datetime) -> float:
        """The highest value of the quantile path over the steps that touch [since, until].

        The window is looked up by wall clock, so an old forecast does not pass off
        the past as the future. This is the maximum of the quantiles: the quantile of
        the maximum lies at or above it.

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
        path = self.quantile(level)
        first = max(0, int((since - self.origin).total_seconds() // self.step_s))
        stop = int(np.ceil((until - self.origin).total_seconds() / self.step_s - 1e-9))
        return float(path[first : max(stop, first + 1)].max())
