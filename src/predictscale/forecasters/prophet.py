"""Prophet, corrected: its trend, day and week as a curve, re-anchored to the present level.

Alone it loses to the last value at the leads that matter; corrected by what is left of the
present deviation it is worth fielding where there is a trend. Lean by default (10
changepoints, explicit seasons) and never samples intervals: its own
are ignored, quantiles come from the corrected errors. The curve has seen the
values that these are measured on, so they are somewhat too narrow. Refuses
the one-minute grid, where a fit takes half a minute. Sees local time, so that summer time
moves no season.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, ClassVar

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import FitFailed
from predictscale.forecasters.curve import REACH_S, CurveFitted, fit_curve
from predictscale.forecasters.library import Thinned, by_the_wall, library_call, outlook
from predictscale.forecasters.robust import DAY_S, WEEK_S, require

_EPOCH_DAY = date(1970, 1, 1)
_GRID_S = 900.0
_LEAST_S = 2 * DAY_S
_LONGEST_S = 4 * WEEK_S
_YEAR_S = 365.25 * DAY_S
_YEARLY_HARMONICS = 6
_YEARLY_GRID_S = 3600.0
_SEEN_ONCE, _SEEN_TWICE = 0.95, 2 * 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Seasonality:
    """A season besides the day, the week and the year.

    Args:
        name: Its name.
        period_s: How long it takes to come again [s].
        harmonics: How many sines and cosines it is made of.
    """

    name: str
    period_s: float
    harmonics: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ProphetOptions:
    """What Prophet is told.

    Args:
        changepoints: Where the trend may bend, at most so often.
        changepoint_prior_scale: How readily it bends there.
        daily_harmonics: Sines and cosines of the day; 0 leaves it out.
        weekly_harmonics: Of the week, once two have been seen; 0 leaves it out.
        yearly: Whether to look for a year, once one has been seen: on up to two years, by the hour.
        seasonalities: Further seasons, each once two of it have been seen.
        holidays_prior_scale: How much a holiday may differ from its weekday.
    """

    changepoints: int = 10
    changepoint_prior_scale: float = 0.05
    daily_harmonics: int = 6
    weekly_harmonics: int = 3
    yearly: bool = False
    seasonalities: tuple[Seasonality, ...] = ()
    holidays_prior_scale: float = 10.0

    def within(self, known_s: float) -> "ProphetOptions":
        """The same with those long seasons alone that so much history has seen."""
        seen = tuple(season for season in self.seasonalities if known_s >= _SEEN_TWICE * season.period_s)
        return replace(self, yearly=self.yearly and known_s >= _SEEN_ONCE * _YEAR_S, seasonalities=seen)

    @property
    def longest_s(self) -> float:
        """How much history is worth its time [s]."""
        twice = (2 * season.period_s for season in self.seasonalities)
        return max(_LONGEST_S, 2 * _YEAR_S if self.yearly else 0.0, *twice)


@dataclass(frozen=True, slots=True)
class ProphetCorrected:
    """Prophet's curve, re-anchored to the present level."""

    name: ClassVar[str] = "prophet"
    slow: ClassVar[bool] = True

    reach_s: float = REACH_S
    calendar: Calendar = Calendar()
    prophet: ProphetOptions = ProphetOptions()

    def needs_s(self, step_s: float) -> float:
        """Two days; the week joins with two weeks of history."""
        return max(_LEAST_S, 24 * step_s)

    def fit(self, window: MetricWindow) -> CurveFitted:
        """Let Prophet draw the curve; it reaches `reach_s` ahead. See `Forecaster.fit`."""
        require(window, self.needs_s(window.step_s))
        options = self.prophet.within(window.known_s)
        thin, stamps_s, weekly = outlook(
            window,
            near_s=_YEARLY_GRID_S if options.longest_s > 2 * _LONGEST_S else _GRID_S,
            longest_s=options.longest_s,
            reach_s=self.reach_s,
        )
        local_s, midnight_s = by_the_wall(stamps_s, self.calendar)
        holidays = _holidays(self.calendar, local_s, midnight_s)
        if not weekly:
            options = replace(options, weekly_harmonics=0)
        whole, week = _draw(thin, local_s, options, holidays)
        curve = thin.curve(whole)
        part = None if week is None else thin.part(week)
        return fit_curve(self.name, window, curve, kept=None, weekly=part)


def _draw(
    thin: Thinned, local_s: Floats, options: ProphetOptions, holidays: Sequence[float]
) -> tuple[Floats, Floats | None]:
    """Prophet's expectation at local stamps, and the part of the week, if it knows one; shape (n,)."""
    # A folder of our own: a fit that fails leaves its files behind in Prophet's clean-up.
    with (
        library_call("cmdstanpy", "prophet", "prophet.models", "prophet.plot"),
        tempfile.TemporaryDirectory() as scratch,
    ):
        import pandas as pd  # noqa: PLC0415 - heavy, worker only

        known = np.flatnonzero(~np.isnan(thin.roots))
        history = pd.DataFrame({"ds": _naive(local_s[known]), "y": thin.roots[known]})
        days = pd.DataFrame({"holiday": "holiday", "ds": _naive(np.array(holidays))}) if holidays else None
        model = _prophet(options, holidays=days, most_changepoints=known.size // 10)
        # The clock shows an hour twice in autumn; Prophet answers in the order of the clock.
        moments_s, place = np.unique(local_s, return_inverse=True)
        try:
            model.fit(history, seed=1, output_dir=scratch)
            drawn = model.predict(pd.DataFrame({"ds": _naive(moments_s)}))
        finally:
            model.stan_backend.cleanup()
        whole = np.asarray(drawn["yhat"], dtype=np.float64)[place]
        week = np.asarray(drawn["weekly"], dtype=np.float64)[place] if options.weekly_harmonics else None
        return whole, week


def _prophet(options: ProphetOptions, *, holidays: Any, most_changepoints: int) -> Any:
    """Prophet as it was told to be."""
    try:
        from prophet import Prophet  # noqa: PLC0415 - heavy and optional, worker only
    except ImportError as error:
        raise FitFailed(f"Prophet is not here ({error}); pip install predictscale[prophet]") from error

    # Every season is set: "auto" drops the week when one step of two weeks is missing.
    model = Prophet(
        n_changepoints=min(options.changepoints, most_changepoints),
        changepoint_prior_scale=options.changepoint_prior_scale,
        daily_seasonality=options.daily_harmonics or False,
        weekly_seasonality=options.weekly_harmonics or False,
        yearly_seasonality=_YEARLY_HARMONICS if options.yearly else False,
        holidays=holidays,
        holidays_prior_scale=options.holidays_prior_scale,
        uncertainty_samples=0,
    )
    for place, season in enumerate(options.seasonalities):
        # Not by its name, which may be one that Prophet has taken.
        model.add_seasonality(f"own-{place}", season.period_s / DAY_S, season.harmonics)
    return model


def _holidays(calendar: Calendar, local_s: Floats, midnight_s: float) -> list[float]:
    """Where holidays begin among the stamps, counted as they are [s]."""
    begins = ((day - _EPOCH_DAY).total_seconds() - midnight_s for day in calendar.holidays)
    return [begin_s for begin_s in begins if local_s[0] - DAY_S < begin_s <= local_s[-1]]


def _naive(local_s: Floats) -> "np.ndarray[Any, np.dtype[np.datetime64]]":
    """Local stamps as Prophet wants them: without a zone. What year it is, it need not know."""
    return (local_s * 1000).round().astype("datetime64[ms]")
