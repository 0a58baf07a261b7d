"""What a forecaster would have said at past instants, as the service would have asked it.

Walking forward over a trace, a model is fitted now and then and asked at every
origin, each time on a window that ends there: what came later is not in the
arrays it is given, so it cannot be peeked at. Where a model cannot answer, the last
value does, and the failure is counted; a model is not judged by its good days
alone. Refuses to choose between models, and to read files.
"""

from collections.abc import Sequence
from dataclasses import dataclass, is_dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictscale.clock import SystemClock
from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import ForecastTooShort, NotEnoughHistory, TryNextForecaster
from predictscale.forecasters.base import LEVELS, Fitted, Forecaster
from predictscale.forecasters.chain import attempt
from predictscale.forecasters.naive import LastValue
from predictscale.forecasters.robust import DAY_S
from predictscale.forecasters.scoring import coverage, mase, pinball, weighted_quantile_loss

TARGETS = ("at", "peak")
"""`at`: the average over the step that ends at origin + lead.
`peak`: the highest such average over the steps of (origin, origin + lead]."""

HISTORY_S = 28 * DAY_S
"""How much of the past a model is shown, as the service's own setting [s]."""


class Failure(NamedTuple):
    """An origin at which the model could not answer, and why."""

    origin: datetime
    reason: str


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RollingForecasts:
    """All that one model said about one trace.

    Args:
        model: The forecaster's name.
        origins: When it was asked, ascending, n of them.
        leads_s: How far ahead [s], k of them.
        levels: Quantile levels, q of them.
        values: Quantiles in the trace's unit, shape (2, k, n, q), the first axis as `TARGETS`;
            NaN where not even the last value could be told.
        authors: Who answered at each origin, n of them: the model, a member of it, or the
            stand-in; empty if nobody did.
        fit_s: Duration of every fit that was tried [s], shape (f,).
        predict_s: Duration of the model's answer at each origin that it answered [s].
        failures: Where the last value, or nobody, stood in.
        fitted: The newest fit, or None if none succeeded.
    """

    model: str
    origins: tuple[datetime, ...]
    leads_s: tuple[float, ...]
    levels: tuple[float, ...]
    values: Floats
    authors: tuple[str, ...]
    fit_s: Floats
    predict_s: Floats
    failures: tuple[Failure, ...]
    fitted: Fitted | None

    def __post_init__(self) -> None:
        shape = (len(TARGETS), len(self.leads_s), len(self.origins), len(self.levels))
        if self.values.shape != shape:
            raise ValueError(f"values: shape {self.values.shape}; must be {shape}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How good a model's forecasts of one target at one lead were.

    Args:
        target: One of `TARGETS`.
        lead_s: How far ahead [s].
        origins: How many were scored: those whose truth is known and that were answered.
        levels: Quantile levels, q of them.
        wql: Weighted quantile loss over all levels [1].
        pinball: Pinball loss of each level, in the trace's unit.
        coverage: Share of values at or below each quantile [1].
        mase: Mean absolute error of the median over the mean change of one step; NaN if
            the median is not among the levels.
    """

    target: str
    lead_s: float
    origins: int
    levels: tuple[float, ...]
    wql: float
    pinball: tuple[float, ...]
    coverage: tuple[float, ...]
    mase: float


def rolling(
    forecaster: Forecaster,
    window: MetricWindow,
    *,
    origins: Sequence[datetime],
    leads_s: Sequence[float],
    levels: Sequence[float] = LEVELS,
    refit_s: float = DAY_S,
    history_s: float = HISTORY_S,
) -> RollingForecasts:
    """Ask `forecaster` at every origin, each time as if the trace ended there.

    A fit is at least `refit_s` old before another is made, unless it does not reach an
    origin's longest lead. It learns from the `history_s` before the origin at which it is
    made, and the same span before an origin is what a prediction starts from. A fit
    that fails leaves the older one in place, as in the service; without one, a model
    that only lacked history is fitted at the next origin.

    Args:
        forecaster: Who is asked.
        window: The whole trace.
        origins: Ascending instants, after the trace's first bin and not after its end. One inside
            a bin sees the whole bins before it.
        leads_s: How far ahead, above 0 [s]; one that ends inside a step means that step.
        levels: Ascending quantile levels in (0, 1).
        refit_s: Between fits [s].
        history_s: How much of the past is seen [s].

    Raises:
        ValueError: The origins or leads are not as said.
    """
    asked = _Asked.of(window, origins, leads_s)
    walk, stand_in = (_Walk(who, refit_s=refit_s) for who in (forecaster, LastValue()))
    values = np.full((len(TARGETS), len(leads_s), len(origins), len(levels)), np.nan)
    authors: list[str] = []
    failures: list[Failure] = []
    for place, origin in enumerate(origins):
        seen = asked.seen(window, place, history_s)
        steps = asked.steps[:, place]
        forecast, reason = walk.forecast(seen, steps=int(steps.max()), levels=levels)
        if reason:
            failures.append(Failure(origin, reason))
            forecast, _ = stand_in.forecast(seen, steps=int(steps.max()), levels=levels)
        authors.append("" if forecast is None else forecast.model)
        if forecast is not None:
            values[:, :, place, :] = _targets(forecast, steps)
    return RollingForecasts(
        model=forecaster.name,
        origins=tuple(origins),
        leads_s=tuple(leads_s),
        levels=tuple(levels),
        values=values,
        authors=tuple(authors),
        fit_s=np.array(walk.fit_s),
        predict_s=np.array(walk.predict_s),
        failures=tuple(failures),
        fitted=walk.fitted,
    )


def actuals(window: MetricWindow, *, origins: Sequence[datetime], leads_s: Sequence[float]) -> Floats:
    """What came, shape (2, k, n), the first axis as `TARGETS`.

    NaN where the trace ends earlier or does not know: a peak over a gap is not the
    highest of what happened to be recorded.

    Raises:
        ValueError: As `rolling`.
    """
    asked = _Asked.of(window, origins, leads_s)
    came = np.full((len(TARGETS), len(leads_s), len(origins)), np.nan)
    for place, first in enumerate(asked.firsts):
        for lead, steps in enumerate(asked.steps[:, place]):
            ahead = window.values[first : first + steps]
            if ahead.size == steps:
                came[:, lead, place] = ahead[-1], ahead.max()  # max of a NaN is NaN
    return came


def score(forecasts: RollingForecasts, window: MetricWindow, *, scale: float) -> tuple[Score, ...]:
    """Compare with what came, for each target and lead.

    Args:
        forecasts: From `rolling`.
        window: The whole trace.
        scale: The mean change of one step before the first origin, from `scoring.mean_change`.
    """
    came = actuals(window, origins=forecasts.origins, leads_s=forecasts.leads_s)
    levels = forecasts.levels
    scores: list[Score] = []
    for row, target in enumerate(TARGETS):
        for column, lead_s in enumerate(forecasts.leads_s):
            said = forecasts.values[row, column]
            truth = np.where(np.isnan(said).any(axis=1), np.nan, came[row, column])
            middle = said[:, levels.index(0.5)] if 0.5 in levels else None
            scores.append(
                Score(
                    target=target,
                    lead_s=lead_s,
                    origins=int((~np.isnan(truth)).sum()),
                    levels=levels,
                    wql=weighted_quantile_loss(truth, said, levels),
                    pinball=tuple(pinball(truth, said, levels).tolist()),
                    coverage=tuple(coverage(truth, said, levels).tolist()),
                    mase=float("nan") if middle is None else mase(truth, middle, scale=scale),
                )
            )
    return tuple(scores)


def spaced_origins(
    window: MetricWindow, count: int, *, ahead_s: float, share: float = 0.4
) -> tuple[datetime, ...]:
    """`count` origins on the trace's grid, evenly over its last `share`, each with `ahead_s` of trace left.

    Raises:
        ValueError: That part of the trace does not have so many.
    """
    first = int(np.ceil(len(window) * (1 - share) - 1e-9))
    last = len(window) - int(np.ceil(ahead_s / window.step_s - 1e-9))
    there = max(0, last - max(first, 1) + 1)
    if not 1 <= count <= there:
        raise ValueError(
            f"{count} origins; the last {share:.0%} of the trace has room for 1 to {there} "
            f"on its grid of {window.step_s:g} s with {ahead_s:g} s ahead of each"
        )
    places = np.linspace(max(first, 1), last, count).round().astype(np.int64)
    return tuple(window.start + timedelta(seconds=int(place) * window.step_s) for place in places)


def reaching(forecaster: Forecaster, reach_s: float) -> Forecaster:
    """The same forecaster with fits that reach at least `reach_s` ahead, where that is a setting of it.

    A curve drawn once a day has to last a day; the service, which refits hourly, needs less.
    """
    if not is_dataclass(forecaster) or getattr(forecaster, "reach_s", reach_s) >= reach_s:
        return forecaster
    longer: Forecaster = replace(forecaster, reach_s=reach_s)
    return longer


@dataclass(frozen=True, slots=True, eq=False)
class _Asked:
    """Origins and leads in bins of one trace.

    Args:
        firsts: The bin that begins at each origin, or that it lies in, shape (n,).
        steps: Steps from there until each lead has ended, shape (k, n).
    """

    firsts: NDArray[np.int64]
    steps: NDArray[np.int64]

    @classmethod
    def of(cls, window: MetricWindow, origins: Sequence[datetime], leads_s: Sequence[float]) -> "_Asked":
        """Count the bins.

        Raises:
            ValueError: As `rolling`.
        """
        since_s = np.array([(origin - window.start).total_seconds() for origin in origins])
        if not since_s.size or (np.diff(since_s) <= 0).any():
            raise ValueError(f"origins: {since_s.size} of them; must be at least one, and ascend")
        if since_s[0] < window.step_s or since_s[-1] > window.duration_s + 1e-6:
            wrong = origins[0] if since_s[0] < window.step_s else origins[-1]
            raise ValueError(
                f"origins: {wrong.isoformat()} lies outside the trace; must be from one step after "
                f"{window.start.isoformat()} to {window.end.isoformat()}"
            )
        if not leads_s or min(leads_s) <= 0:
            raise ValueError(f"leads_s: {tuple(leads_s)}; must be one or more, above 0")
        firsts = np.floor(since_s / window.step_s + 1e-6)
        into_s = since_s - firsts * window.step_s
        steps = np.ceil((into_s + np.array(leads_s)[:, None]) / window.step_s - 1e-6)
        return cls(firsts.astype(np.int64), steps.astype(np.int64))

    def seen(self, window: MetricWindow, place: int, history_s: float) -> MetricWindow:
        """What is known at an origin: a copy that ends there."""
        stop = int(self.firsts[place])
        start = max(0, stop - round(history_s / window.step_s))
        begins = window.start + timedelta(seconds=start * window.step_s)
        return MetricWindow(begins, window.step_s, window.values[start:stop])


class _Walk:
    """One forecaster on its way through a trace: its newest fit, and what it cost."""

    def __init__(self, forecaster: Forecaster, *, refit_s: float) -> None:
        self._forecaster = forecaster
        self._refit = timedelta(seconds=refit_s)
        self._tried: datetime | None = None
        self._refused: TryNextForecaster | None = None
        self.fitted: Fitted | None = None
        self.fit_s: list[float] = []
        self.predict_s: list[float] = []

    def forecast(
        self, seen: MetricWindow, *, steps: int, levels: Sequence[float]
    ) -> tuple[Forecast | None, str]:
        """Fit if it is time, then predict: a forecast, or None and why there is none."""
        if self._due(seen.end):
            self._fit(seen)
        try:
            try:
                return self._predict(seen, steps, levels), ""
            except ForecastTooShort:
                if self._tried == seen.end or self._refused is not None:
                    raise
            self._fit(seen)
            return self._predict(seen, steps, levels), ""
        except TryNextForecaster as error:
            return None, str(error)

    def _due(self, now: datetime) -> bool:
        """Whether to fit; who only lacked history is asked again at once, which costs nothing."""
        if self._tried is None or now - self._tried >= self._refit:
            return True
        return self.fitted is None and isinstance(self._refused, NotEnoughHistory)

    def _fit(self, seen: MetricWindow) -> None:
        self._tried = seen.end
        tried = attempt(self._forecaster, seen)
        self.fit_s.append(tried.took_s)
        self._refused = tried.error
        if tried.fitted is not None:
            self.fitted = tried.fitted

    def _predict(self, seen: MetricWindow, steps: int, levels: Sequence[float]) -> Forecast:
        if self.fitted is None:
            raise self._refused or NotEnoughHistory(need_s=self._forecaster.needs_s(seen.step_s), have_s=0.0)
        timer = SystemClock()
        start_s = timer.monotonic_s()
        forecast = self.fitted.predict(seen, steps=steps, levels=levels)
        self.predict_s.append(timer.monotonic_s() - start_s)
        return forecast


def _targets(forecast: Forecast, steps: NDArray[np.int64]) -> Floats:
    """Quantiles of both targets at each lead, shape (2, k, q); peaks as `Forecast.peak` tells them."""
    peaks = np.maximum.accumulate(forecast.values, axis=1)
    if forecast.peaks is not None:
        peaks = np.maximum(peaks, forecast.peaks)
    return np.stack((forecast.values[:, steps - 1].T, peaks[:, steps - 1].T))
