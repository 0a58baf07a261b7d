"""The models that are compared, and two that exist only to be beaten.

`recent-max` is what cautious reactive autoscalers do; `prophet-raw` is Prophet as it is
usually deployed. Both get quantiles of the errors that they made, so that they are
beaten for what they forecast and not for a missing interval. Refuses to be chosen by
settings: neither is registered.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import ForecastTooShort, NotEnoughHistory
from predictscale.forecasters import prophet
from predictscale.forecasters.base import LEVELS, Forecaster
from predictscale.forecasters.curve import CurveFitted, fit_curve
from predictscale.forecasters.evaluate import reaching
from predictscale.forecasters.library import by_the_wall, outlook
from predictscale.forecasters.registry import FORECASTERS
from predictscale.forecasters.robust import DAY_S, require

BASELINES = (
    "last-value",
    "recent-max",
    "seasonal-naive-day",
    "seasonal-naive-week",
    "holt-winters",
    "sarimax-fourier",
    "prophet-raw",
    "prophet",
)
"""What `auto` is shown beside."""

RIVALS = tuple(name for name in BASELINES if name != "recent-max")
"""What it has to beat."""

SLOW = ("holt-winters", "sarimax-fourier", "prophet-raw", "prophet")
"""Left out of quick runs."""

_LOOK_BACK_S = 1800.0
_REACH_S = 3600.0
_GRID = np.concatenate(([0.001, 0.01], np.linspace(0.05, 0.85, 17), LEVELS[6:], [0.999]))


@dataclass(frozen=True, slots=True)
class RecentMax:
    """The highest value of the last half hour."""

    name: ClassVar[str] = "recent-max"
    slow: ClassVar[bool] = False

    def needs_s(self, step_s: float) -> float:
        """Two hours, at least twenty bins."""
        return max(4 * _LOOK_BACK_S, 20 * step_s)

    def fit(self, window: MetricWindow) -> "RecentMaxFitted":
        """Quantiles of what came, and of the highest that came, minus the recent maximum."""
        require(window, self.needs_s(window.step_s))
        back = max(1, round(_LOOK_BACK_S / window.step_s))
        values = window.values
        said = _trailing_max(values, back)
        steps = max(1, round(_REACH_S / window.step_s))
        high = np.full(values.size, -np.inf)
        at, peak = [], []
        for lead in range(1, steps + 1):
            came = np.append(values[lead:], np.full(lead, np.nan))
            high = np.fmax(high, came)
            high[-lead:] = np.nan
            at.append(_quantiles(came - said))
            peak.append(_quantiles(high - said))
        return RecentMaxFitted(back, window.step_s, np.array(at).T, np.array(peak).T)


@dataclass(frozen=True, slots=True, eq=False)
class RecentMaxFitted:
    """Errors of the recent maximum by level and lead, each of shape (levels, steps)."""

    back: int
    step_s: float
    at: Floats
    peak: Floats
    model: str = RecentMax.name

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        """The maximum plus past errors. See `Fitted.predict`."""
        tail = recent.values[-self.back :]
        if np.isnan(tail).all():
            raise NotEnoughHistory(need_s=self.step_s, have_s=0.0)
        if steps > self.at.shape[1]:
            raise ForecastTooShort(need_s=steps * self.step_s, have_s=self.at.shape[1] * self.step_s)
        high = float(np.nanmax(tail))
        values, peaks = (
            np.maximum(high + np.array([np.interp(levels, _GRID, column) for column in table.T[:steps]]).T, 0)
            for table in (self.at, self.peak)
        )
        return Forecast(
            origin=recent.end,
            step_s=self.step_s,
            levels=tuple(levels),
            values=values,
            model=self.model,
            peaks=np.maximum.accumulate(peaks, axis=1),
        )


@dataclass(frozen=True, slots=True)
class ProphetRaw:
    """Prophet's curve as it is, whatever the present level."""

    name: ClassVar[str] = "prophet-raw"
    slow: ClassVar[bool] = True

    reach_s: float = 2 * DAY_S

    def needs_s(self, step_s: float) -> float:
        """As the corrected one."""
        return prophet.ProphetCorrected().needs_s(step_s)

    def fit(self, window: MetricWindow) -> CurveFitted:
        """The curve that the corrected one uses, none of the present deviation kept."""
        require(window, self.needs_s(window.step_s))
        thin, stamps_s, weekly = outlook(window, near_s=900.0, longest_s=28 * DAY_S, reach_s=self.reach_s)
        local_s, _ = by_the_wall(stamps_s, Calendar())
        options = prophet.ProphetOptions()
        if not weekly:
            options = replace(options, weekly_harmonics=0)
        drawn, _ = prophet._draw(thin, local_s, options, ())  # noqa: SLF001 - the same curve, on purpose
        return fit_curve(self.name, window, thin.curve(drawn), kept=0.0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A model, and how often it is fitted [s]."""

    forecaster: Forecaster
    refit_s: float


def entries(*, quick: bool) -> dict[str, Entry]:
    """All models by name, in the order of the tables."""
    known = {
        **FORECASTERS,
        RecentMax.name: RecentMax(),
        ProphetRaw.name: ProphetRaw(),
    }
    order = [*BASELINES, *(name for name in known if name not in BASELINES)]
    found = {}
    for name in order:
        if quick and name in SLOW:
            continue
        # SARIMAX takes seconds and its shape hardly changes from one day to the next.
        refit_s = 2 * DAY_S if name == "sarimax-fourier" else DAY_S
        found[name] = Entry(reaching(known[name], 2 * refit_s + DAY_S), refit_s)
    return found


def _trailing_max(values: Floats, bins: int) -> Floats:
    """The highest known one of the last `bins` values, at each; NaN where there is none."""
    padded = np.append(np.full(bins - 1, np.nan), values)
    padded[np.isnan(padded)] = -np.inf
    highest: Floats = np.lib.stride_tricks.sliding_window_view(padded, bins).max(axis=1)
    return np.where(np.isfinite(highest), highest, np.nan)


def _quantiles(errors: Floats) -> Floats:
    known = errors[np.isfinite(errors)]
    if not known.size:
        raise NotEnoughHistory(need_s=1.0, have_s=0.0)
    table: Floats = np.quantile(known, _GRID)
    return table
