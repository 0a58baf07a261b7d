"""The one kind of fit there is so far: a curve, the present level, and past errors.

At the leads that matter the present level decides, so every season is
re-anchored: forecast = curve(then) + what is left by then of the present
deviation from the curve + quantiles of the errors that this very rule made in
the past. Without a curve that is the last value; with yesterday as the curve it
is the seasonal naive forecast; with Prophet's curve it is Prophet corrected.

Two kinds of curve differ in honesty. Yesterday's values were known when the
forecast was due, so errors measured on them are out of sample. A curve that a
library laid through the window has seen the values it is judged by: the errors
are in sample and the quantiles come out too narrow. Each forecaster says which
of the two it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import numpy as np

from predictscale.core.forecast import Components, Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import ForecastNotCredible, ForecastTooShort, NotEnoughHistory
from predictscale.forecasters.base import LEVELS
from predictscale.forecasters.robust import highest, roots, trailing_mean
from predictscale.forecasters.spread import Spread

REACH_S = 6 * 3600.0
"""How far a library's curve reaches beyond its window [s]: an hourly refit that
fails for hours, and an hour's horizon on top."""

PRESENT_S = 180.0
"""The present level is the mean over this long [s], at least one bin."""

STALE_S = 3600.0
"""Values older than this do not tell the present level [s]."""

_LONGEST_LEAD_S = 6 * 3600.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Expected roots of demand, as averages over bins, linear between their centres.

    Args:
        start_s: Where the first bin begins, seconds since the epoch.
        step_s: Width of a bin [s].
        values: Roots of demand, finite, shape (m,).
    """

    start_s: float
    step_s: float
    values: Floats

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not self.values.size or not np.isfinite(self.values).all():
            raise ValueError(f"values: shape {self.values.shape}; must be (m,) and finite")
        if not self.step_s > 0:
            raise ValueError(f"step_s: {self.step_s}; a bin has a width")

    @property
    def end_s(self) -> float:
        """Where the last bin ends, seconds since the epoch."""
        return self.start_s + self.values.size * self.step_s

    def at(self, stamps_s: Floats) -> Floats:
        """The curve at any stamps, shape (n,); NaN outside of it."""
        centres = self.start_s + (np.arange(self.values.size) + 0.5) * self.step_s
        path: Floats = np.interp(stamps_s, centres, self.values)
        path[(stamps_s < self.start_s) | (stamps_s > self.end_s)] = np.nan
        return path

    def since(self, start_s: float) -> "Curve":
        """The part that tells the curve from `start_s` on."""
        skip = int(np.clip((start_s - self.start_s) // self.step_s - 1, 0, self.values.size - 1))
        return Curve(self.start_s + skip * self.step_s, self.step_s, self.values[skip:])


@dataclass(frozen=True, slots=True, eq=False)
class CurveFitted:
    """A fit: see the module.

    Args:
        model: The forecaster's name.
        step_s: The grid it was fitted on [s].
        end_s: Where the fitted window ends, seconds since the epoch.
        high: The highest confirmed demand of the window.
        spread: Errors by lead.
        curve: Expected roots of demand; None if nothing but the present level is expected.
        weekly: The part of `curve` that is the week's, on its grid; None if it knows no week.
    """

    model: str
    step_s: float
    end_s: float
    high: float
    spread: Spread
    curve: Curve | None = None
    weekly: Curve | None = None

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        """The present level, the curve's change, past errors. See `Fitted.predict`.

        Raises:
            NotEnoughHistory: Nothing is known of the last `STALE_S` of `recent`.
            ForecastTooShort: The curve ends earlier.
            ForecastNotCredible: `recent` ends more than `STALE_S` before the window that
                was fitted, so the fit knows what it is asked to forecast. Less than
                that is allowed to a service that relives its last minutes after a restart.
            ValueError: `recent` lies on another grid.
        """
        seen = self._look(recent, steps)
        paths: Floats = seen.curve + seen.left + self.spread.quantiles(seen.leads, levels)
        highest_curve = np.maximum.accumulate(seen.curve)
        tops: Floats = highest_curve + seen.left + self.spread.peak_quantiles(seen.leads, levels)
        values, peaks = (np.square(np.maximum(table, 0.0)) for table in (paths, np.maximum(tops, paths)))
        return Forecast(
            origin=recent.end,
            step_s=self.step_s,
            levels=tuple(levels),
            values=values,
            model=self.model,
            peaks=np.maximum.accumulate(peaks, axis=1),
        )

    def components(self, recent: MetricWindow, *, steps: int) -> Components:
        """The present, and what the curve makes of it. See `Decomposed.components`.

        The change that the curve expects from now to each step is the day's, but for what
        is known to be the week's; a slow trend and holidays count as the day's. Parts of a
        square do not add up by themselves: the week comes on top of the day.

        Raises:
            TryNextForecaster: As `predict`.
        """
        seen = self._look(recent, steps)
        median = seen.curve + seen.left + self.spread.quantiles(seen.leads, (0.5,))[0]
        now_s = _seconds(recent.end) - (seen.age + 0.5) * self.step_s
        now = _drawn(self.curve, np.array([now_s]))
        weekly = _drawn(self.weekly, np.append(self._ahead_s(recent, steps), now_s))
        level, whole, week = seen.deviation + now, seen.curve - now, weekly[:-1] - weekly[-1]
        tops = (np.repeat(level, steps), level + whole - week, level + whole, median)
        present, by_day, by_week, all_ = (np.square(np.maximum(top, 0.0)) for top in tops)
        return Components(
            level=present,
            day=by_day - present,
            week=by_week - by_day,
            events=np.zeros(steps),
            correction=all_ - by_week,
        )

    def _look(self, recent: MetricWindow, steps: int) -> "_Seen":
        """Where demand stands, and what the curve expects of it."""
        self._check_span(recent, steps)
        deviation, age = self._present(recent)
        leads = np.arange(steps, dtype=np.float64) + 1.0 + age
        left: Floats = deviation * self.spread.share_kept(leads)
        return _Seen(deviation, age, leads, left, _drawn(self.curve, self._ahead_s(recent, steps)))

    def _ahead_s(self, recent: MetricWindow, steps: int) -> Floats:
        """The middle of each coming step, seconds since the epoch, shape (h,)."""
        ahead: Floats = _seconds(recent.end) + (np.arange(steps, dtype=np.float64) + 0.5) * self.step_s
        return ahead

    def _check_span(self, recent: MetricWindow, steps: int) -> None:
        if recent.step_s != self.step_s:
            raise ValueError(f"recent: on a grid of {recent.step_s:g} s, {self.model} of {self.step_s:g} s")
        origin_s = _seconds(recent.end)
        if origin_s < self.end_s - STALE_S:
            raise ForecastNotCredible(
                f"{self.model} was fitted on data until {_instant(self.end_s)} "
                f"and is asked to forecast from {_instant(origin_s)}"
            )
        need_s = origin_s + steps * self.step_s - self.end_s
        if self.curve is not None and need_s > self.curve.end_s - self.end_s + 1e-3:
            raise ForecastTooShort(need_s=need_s, have_s=self.curve.end_s - self.end_s)

    def _present(self, recent: MetricWindow) -> tuple[float, int]:
        """The deviation from the curve at the newest known bin, and the bins that are gaps since."""
        tail = recent.last(max(STALE_S, self.step_s))
        # A surge that lasts is believed; a sample that nothing confirms is not.
        values = roots(tail.values, high=max(self.high, highest(tail.values)))
        if self.curve is not None:
            values = values - self.curve.at(tail.stamps_s + self.step_s / 2)
        known = np.flatnonzero(~np.isnan(values))
        if not known.size:
            raise NotEnoughHistory(need_s=self.step_s, have_s=0.0)
        newest = int(known[-1])
        level = trailing_mean(values[: newest + 1], _present_bins(self.step_s))[-1]
        return float(level), values.size - 1 - newest


class _Seen(NamedTuple):
    """The present and what follows from it, in roots of demand.

    Args:
        deviation: Of the present from the curve.
        age: Bins since it was seen.
        leads: Of each coming step from then, shape (h,).
        left: Of the deviation at each step, shape (h,).
        curve: At each step, shape (h,).
    """

    deviation: float
    age: int
    leads: Floats
    left: Floats
    curve: Floats


def fit_curve(
    model: str,
    window: MetricWindow,
    curve: Curve | None,
    *,
    kept: float | None,
    weekly: Curve | None = None,
) -> CurveFitted:
    """Measure the errors that re-anchoring `curve` made over `window`.

    Args:
        model: The forecaster's name.
        window: The history.
        curve: Expected roots over (part of) the window and beyond; None expects no change.
        kept: The share of the present deviation that stays; None measures it, which
            suits curves that have a level of their own.
        weekly: The part of the curve that is the week's, which may be all of it.

    Raises:
        FitFailed: The window is too gappy to measure errors.
    """
    high = highest(window.values)
    values = roots(window.values, high=high)
    expected = None if curve is None else curve.at(window.stamps_s + window.step_s / 2)
    deviation = values if expected is None else values - expected
    places = np.flatnonzero(~np.isnan(deviation))
    span = int(places[-1] - places[0]) if places.size else 0
    spread = Spread.measure(
        deviation,
        trailing_mean(deviation, _present_bins(window.step_s)),
        curve=expected,
        longest=min(round(_LONGEST_LEAD_S / window.step_s), span // 3),
        kept=kept,
        widest=float(np.nanmax(values) - np.nanmin(values)) if places.size else 0.0,
    )
    end_s = _seconds(window.end)
    used_s = end_s - 2 * STALE_S
    used = None if curve is None else curve.since(used_s)
    of_week = used if weekly is curve else None if weekly is None else weekly.since(used_s)
    return CurveFitted(model, window.step_s, end_s, high, spread, used, of_week)


def _drawn(curve: Curve | None, stamps_s: Floats) -> Floats:
    """The curve at any stamps, shape (n,); without one nothing changes."""
    return np.zeros(stamps_s.size) if curve is None else curve.at(stamps_s)


def _present_bins(step_s: float) -> int:
    return max(1, round(PRESENT_S / step_s))


def _seconds(at: datetime) -> float:
    return (at - _EPOCH).total_seconds()


def _instant(stamp_s: float) -> str:
    return f"{_EPOCH + timedelta(seconds=stamp_s):%Y-%m-%dT%H:%M:%SZ}"
