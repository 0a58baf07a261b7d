"""Forecasts of the past, made in the rhythm of the live service.

A fit learns from what had ended at its boundary, and a forecast from the last whole bin
before its tick; ticks that share a bin share the forecast. So a trace can be played to a
policy, or a sweep prepared, without a forecaster ever seeing what came later.

Refuses to stand in: where the models cannot answer there is no forecast, and the reactive
need decides, as it does live.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from math import ceil

import numpy as np

from predictscale.core.events import PlannedEvent, planned, usual
from predictscale.core.forecast import Forecast
from predictscale.core.hpa import SYNC_S
from predictscale.core.series import Floats, MetricWindow, floor_to_grid
from predictscale.errors import TryNextForecaster
from predictscale.forecasters.base import LEVELS, Fitted, Forecaster
from predictscale.forecasters.chain import FittedChain, fit_chain, following, require_credible
from predictscale.forecasters.native import Ask, NativeFitted, predict_together
from predictscale.forecasters.robust import highest
from predictscale.forecasters.tournament import Crowned

_DAY_S = 86_400.0
_AHEAD = 60
"""Bins whose forecasts are made with the one that is asked for."""
_AT_ONCE = 960
"""Ticks whose forecasts are asked for together."""
_RECENT_S = 3600.0
"""As the chain: what is credible now is measured by the highest of this long, too."""
_YOUNG_S = 6 * 3600.0
"""With less history than this, fits are made more often, every `_YOUNG_EVERY_S`, as live."""
_YOUNG_EVERY_S = 300.0


class Foresight:
    """What a chain of forecasters would have said at any tick; asked in the order of time it is quick.

    Args:
        bins: Demand on the grid of forecasts, of all times; what lies after a tick is not shown.
        forecasters: The chain, in its order.
        events: Planned events, which models do not see.
        reach_s: How far beyond a tick forecasts go, `Policy.lookahead_s` at least [s].
        history_s: How much of the past is shown [s].
        refit_s: Between fits [s].
    """

    def __init__(
        self,
        bins: MetricWindow,
        forecasters: Sequence[Forecaster],
        *,
        reach_s: float,
        events: Sequence[PlannedEvent] = (),
        history_s: float = 28 * _DAY_S,
        refit_s: float = 3600.0,
    ) -> None:
        self._bins = bins
        self._forecasters, self._events = tuple(forecasters), tuple(events)
        self._reach_s, self._history_s, self._refit_s = reach_s, history_s, refit_s
        self._model: tuple[datetime, FittedChain | None] | None = None
        self._told: dict[datetime, Forecast | None] = {}

    @property
    def step_s(self) -> float:
        """Width of the bins that are forecast [s]."""
        return self._bins.step_s

    def __call__(self, at: datetime) -> Forecast | None:
        """The forecast that serves at the tick `at`; None if there is none."""
        end = floor_to_grid(at, self.step_s)
        if end not in self._told:
            # The next bins are asked for with it: together they cost a fraction, and each sees its own past.
            ends = [end + timedelta(seconds=place * self.step_s) for place in range(_AHEAD)]
            ends = [each for each in ends if each == end or each <= self._bins.end]
            self._told = dict(zip(ends, self.of_bins(ends), strict=True))
        return self._told[end]

    def of_bins(self, ends: Sequence[datetime]) -> list[Forecast | None]:
        """The forecasts from the bins that end at `ends`, which lie on the grid and ascend."""
        found: list[Forecast | None] = []
        for boundary, group in groupby(ends, self._boundary):
            found += self._ask(self._fitted(boundary), list(group))
        return found

    def _boundary(self, end: datetime) -> datetime:
        """Where the window of the fit ends that serves at `end`."""
        young = (end - self._bins.start).total_seconds() < _YOUNG_S
        boundary = floor_to_grid(end, _YOUNG_EVERY_S if young else self._refit_s)
        return floor_to_grid(boundary, self._bins.step_s)

    def _fitted(self, boundary: datetime) -> FittedChain | None:
        if self._model is None or self._model[0] != boundary:
            before = self._model[1] if self._model is not None else None
            try:
                window = usual(self._until(boundary), self._events)
                fitted = fit_chain(following(self._forecasters, before), window).fitted
            except TryNextForecaster:
                fitted = None
            self._model = (boundary, fitted)
        return self._model[1]

    def _until(self, end: datetime) -> MetricWindow:
        return self._bins.between(end - timedelta(seconds=self._history_s), end)

    def _ask(self, fitted: FittedChain | None, ends: Sequence[datetime]) -> list[Forecast | None]:
        """What one fit says from each of the bins."""
        if fitted is None:
            return [None] * len(ends)
        windows = [usual(self._until(end), self._events, keep_present=True) for end in ends]
        steps = [self._steps(window, end) for window, end in zip(windows, ends, strict=True)]
        told = _together(fitted, windows, steps)
        return [None if forecast is None else planned(forecast, self._events) for forecast in told]

    def _steps(self, window: MetricWindow, end: datetime) -> int:
        missing = round((end - window.end).total_seconds() / self.step_s)
        return int(self._reach_s // self.step_s) + 2 + missing


def _together(
    fitted: FittedChain, windows: Sequence[MetricWindow], steps: Sequence[int]
) -> list[Forecast | None]:
    """What the chain says of each window: the engine all at once, where it is the champion."""
    engine = _engine(fitted)
    answers: Sequence[object] = [None] * len(windows)
    if engine is not None:
        answers = predict_together([Ask(engine, w, n) for w, n in zip(windows, steps, strict=True)])
    return [
        answer
        if isinstance(answer, Forecast) and _credible(answer, fitted, window)
        else _alone(fitted, window, ahead)
        for answer, window, ahead in zip(answers, windows, steps, strict=True)
    ]


def _engine(fitted: Fitted) -> NativeFitted | None:
    """The engine's fit, if it is the first to be asked."""
    if isinstance(fitted, FittedChain | Crowned):
        return _engine(fitted.members[0])
    return fitted if isinstance(fitted, NativeFitted) else None


def _credible(forecast: Forecast, fitted: FittedChain, window: MetricWindow) -> bool:
    try:
        require_credible(forecast, high=max(fitted.high, highest(window.last(_RECENT_S).values)))
    except TryNextForecaster:
        return False
    return True


def _alone(fitted: FittedChain, window: MetricWindow, steps: int) -> Forecast | None:
    try:
        return fitted.predict(window, steps=steps)
    except TryNextForecaster:
        return None


def forecast_track(
    foresight: Foresight,
    *,
    start: datetime,
    ticks: int,
    lead_s: float,
    levels: Sequence[float] = LEVELS,
    tick_s: float = SYNC_S,
    told: Callable[[int], None] | None = None,
) -> Floats:
    """The quantiles of the highest demand over [tick, tick + lead], for every tick.

    Args:
        foresight: Who forecasts, at least `lead_s` beyond a tick.
        start: The first tick.
        ticks: How many, n.
        lead_s: Length of the window [s].
        levels: Quantile levels within those that forecasters give, q of them.
        tick_s: Between two ticks [s].
        told: Called with the number of ticks done, for those who show progress.

    Returns:
        Shape (n, q); NaN where there is no forecast.

    Raises:
        ForecastTooShort: `foresight` does not reach over the lead.
    """
    table = np.full((ticks, len(levels)), np.nan)
    for first in range(0, ticks, _AT_ONCE):
        part = [start + timedelta(seconds=i * tick_s) for i in range(first, min(first + _AT_ONCE, ticks))]
        ends = [floor_to_grid(tick, foresight.step_s) for tick in part]
        whole = list(dict.fromkeys(ends))
        forecasts = dict(zip(whole, foresight.of_bins(whole), strict=True))
        known: dict[tuple[datetime, int, int], list[float]] = {}
        for place, (tick, end) in enumerate(zip(part, ends, strict=True), first):
            forecast, until = forecasts[end], tick + timedelta(seconds=lead_s)
            if forecast is not None:
                # Ticks whose windows touch the same bins of one forecast are told the same.
                first_s, last_s = ((at - forecast.origin).total_seconds() for at in (tick, until))
                key = (end, int(first_s // foresight.step_s), ceil(last_s / foresight.step_s - 1e-9))
                if key not in known:
                    known[key] = [forecast.peak(level=level, since=tick, until=until) for level in levels]
                table[place] = known[key]
        if told is not None:
            told(first + len(part))
    return table
