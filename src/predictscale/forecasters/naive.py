"""The quick models, numpy alone: what the others have to beat, and what serves until they are fitted.

Their errors are out of sample by construction: each past forecast used only
what was known at its origin. A day ago is the same time by the clock on the wall, which
is 23 or 25 hours ago when the clocks have changed. Refuses a season as it is:
yesterday's level does not matter, only how it changed.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats, MetricWindow
from predictscale.forecasters.curve import Curve, CurveFitted, fit_curve
from predictscale.forecasters.robust import DAY_S, WEEK_S, coarse_step_s, filled, highest, require, roots

_LEAST_S = 600.0
_LEAST_BINS = 8
_SMOOTH_S = 300.0
_JUDGED_S = DAY_S / 4


@dataclass(frozen=True, slots=True)
class LastValue:
    """The present level, and quantiles of past changes."""

    name: ClassVar[str] = "last-value"
    slow: ClassVar[bool] = False

    def needs_s(self, step_s: float) -> float:
        """Ten minutes, at least eight bins."""
        return max(_LEAST_S, _LEAST_BINS * step_s)

    def fit(self, window: MetricWindow) -> CurveFitted:
        """Quantiles of the changes from one bin to those ahead of it. See `Forecaster.fit`."""
        require(window, self.needs_s(window.step_s))
        return fit_curve(self.name, window, None, kept=1.0)


@dataclass(frozen=True, slots=True)
class SeasonalNaiveDay:
    """The present level, and the change that followed a day ago."""

    name: ClassVar[str] = "seasonal-naive-day"
    slow: ClassVar[bool] = False

    calendar: Calendar = Calendar()

    def needs_s(self, step_s: float) -> float:
        """A day, and six hours to see how far off it is."""
        return DAY_S + max(_JUDGED_S, _LEAST_BINS * step_s)

    def fit(self, window: MetricWindow) -> CurveFitted:
        """Yesterday as the curve; it reaches one day ahead. See `Forecaster.fit`."""
        require(window, self.needs_s(window.step_s))
        return _fit_season(self.name, window, DAY_S, self.calendar)


@dataclass(frozen=True, slots=True)
class SeasonalNaiveWeek:
    """The present level, and the change that followed a week ago."""

    name: ClassVar[str] = "seasonal-naive-week"
    slow: ClassVar[bool] = False

    calendar: Calendar = Calendar()

    def needs_s(self, step_s: float) -> float:
        """A week, and six hours to see how far off it is."""
        return WEEK_S + max(_JUDGED_S, _LEAST_BINS * step_s)

    def fit(self, window: MetricWindow) -> CurveFitted:
        """Last week as the curve; it reaches one week ahead. See `Forecaster.fit`."""
        require(window, self.needs_s(window.step_s))
        return _fit_season(self.name, window, WEEK_S, self.calendar)


def _fit_season(model: str, window: MetricWindow, period_s: float, calendar: Calendar) -> CurveFitted:
    """Draw the window, smoothed over five minutes, one period later."""
    high = highest(window.values)
    believed = MetricWindow(window.start, window.step_s, np.square(roots(window.values, high=high)))
    smooth = believed.resample(coarse_step_s(window.step_s, near_s=_SMOOTH_S), least_known=0.2)
    past = filled(np.sqrt(smooth.values), period=round(period_s / smooth.step_s))
    stamps_s = smooth.stamps_s
    later = _later(past, stamps_s, period_s, calendar)
    curve = Curve(float(stamps_s[0]) + period_s, smooth.step_s, later)
    weekly = curve if period_s == WEEK_S else None
    return fit_curve(model, window, curve, kept=1.0, weekly=weekly)


def _later(past: Floats, stamps_s: Floats, period_s: float, calendar: Calendar) -> Floats:
    """What the same time by the clock on the wall showed, one period after each stamp, shape (m,).

    It ends where that time has not been yet: an hour early when the clocks have gone forward since.
    """
    moved = calendar.offsets_s(stamps_s + period_s) - calendar.offsets_s(stamps_s)
    if not moved.any():
        return past
    asked = stamps_s + moved
    unknown = np.flatnonzero(asked > stamps_s[-1])
    known = slice(0, unknown[0] if unknown.size else None)
    later: Floats = np.interp(asked[known], stamps_s, past)
    return later
