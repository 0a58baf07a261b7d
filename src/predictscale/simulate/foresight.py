"""Forecasts of the past, made in the rhythm of the live service.

A fit learns from what had ended at its boundary and serves from a stated time after it on, as
`control.rhythm` has it for every replica of the service. A forecast comes from the last whole bin
before its tick. So a trace can be played to a policy without a forecaster ever seeing what came later.

Refuses to stand in: where the models cannot answer there is no forecast, and the reactive
need decides, as it does live.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np

from predictscale.control.rhythm import due_boundary, fit_window, kept_s, serving_boundary
from predictscale.core.demand import WorkloadId
from predictscale.core.events import PlannedEvent, planned, usual
from predictscale.core.forecast import Forecast
from predictscale.core.hpa import SYNC_S
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.errors import TryNextForecaster
from predictscale.forecasters.base import Fitted, Forecaster
from predictscale.forecasters.chain import FittedChain, fit_chain, following, require_credible
from predictscale.forecasters.native import Ask, NativeFitted, predict_together
from predictscale.forecasters.robust import highest
from predictscale.forecasters.tournament import Crowned

_DAY_S = 86_400.0
_AHEAD = 240
"""Ticks whose forecasts are made with the one that is asked for."""
_KEPT_FITS = 4
_RECENT_S = 3600.0
"""As the chain: what is credible now is measured by the highest of this long, too."""


class Foresight:
    """What a chain of forecasters would have said at any tick, asked in the order of time.

    The first tick that is asked is the first one that a start lives through again.

    Args:
        bins: Demand on the grid of forecasts, of all times; what lies after a tick is not shown.
        forecasters: The chain, in its order.
        events: Planned events, which models do not see.
        reach_s: How far beyond a tick forecasts go, `Policy.lookahead_s` at least [s].
        history_s: How much of the past is shown [s].
        refit_s: Between fits [s].
        tick_s: Between ticks [s].
        workload: Whose fits these are, for the share of `refit_s` by which they are shifted; None
            for no shift.
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
        tick_s: float = SYNC_S,
        workload: WorkloadId | None = None,
    ) -> None:
        self._bins = bins
        self._known_until = np.concatenate(([0], np.cumsum(bins.known)))
        self._forecasters, self._events = tuple(forecasters), tuple(events)
        self._reach_s, self._history_s, self._refit_s = reach_s, history_s, refit_s
        self._tick = timedelta(seconds=tick_s)
        self._workload = workload
        # By boundary, in their order; None where nothing could be fitted.
        self._fits: dict[datetime, FittedChain | None] = {}
        self._told: dict[datetime, Forecast | None] = {}

    @property
    def step_s(self) -> float:
        """Width of the bins that are forecast [s]."""
        return self._bins.step_s

    def __call__(self, at: datetime) -> Forecast | None:
        """The forecast that serves at the tick `at`; None if there is none."""
        if at not in self._told:
            # The next ticks are asked for with it: together they cost a fraction, and each sees its own past.
            ticks = [at + place * self._tick for place in range(_AHEAD)]
            ticks = [each for each in ticks if each == at or each <= self._bins.end]
            self._told = dict(zip(ticks, self.of_ticks(ticks), strict=True))
        return self._told[at]

    def of_ticks(self, ticks: Sequence[datetime]) -> list[Forecast | None]:
        """The forecasts that serve at `ticks`, which ascend."""
        found: list[Forecast | None] = []
        for model, group in groupby(((self._model(at), at) for at in ticks), lambda served: served[0]):
            ends = [floor_to_grid(at, self.step_s) for _, at in group]
            whole = list(dict.fromkeys(ends))
            told = dict(zip(whole, self._ask(model, whole), strict=True))
            found += [told[end] for end in ends]
        return found

    def _model(self, at: datetime) -> FittedChain | None:
        """The model that serves at a tick; one that is too new rather than none."""
        return self._fit(self._boundary(at, serving_boundary)) or self._fit(
            self._boundary(at - self._tick, due_boundary)
        )

    def _fit(self, boundary: datetime) -> FittedChain | None:
        """The newest fit by a boundary, which is made if it is not there."""
        before = next((fit for fit in reversed(self._fits.values()) if fit is not None), None)
        if boundary not in self._fits:
            fitted = self._fitted(boundary, following(self._forecasters, before))
            self._fits = {**dict(list(self._fits.items())[-_KEPT_FITS:]), boundary: fitted}
        return next((fit for at, fit in reversed(self._fits.items()) if fit and at <= boundary), None)

    def _boundary(self, at: datetime, rule: Callable[..., datetime]) -> datetime:
        """Where the window of a fit ends that `rule` of `control.rhythm` names at the tick `at`."""
        end = floor_to_grid(at, self.step_s)
        reach_s = kept_s(history_s=self._history_s, refit_s=self._refit_s)
        first, stop = (self._place(end - timedelta(seconds=back_s)) for back_s in (reach_s, 0.0))
        return rule(
            at,
            workload=self._workload,
            known_s=float(self._known_until[stop] - self._known_until[first]) * self.step_s,
            step_s=self.step_s,
            refit_s=self._refit_s,
        )

    def _place(self, at: datetime) -> int:
        """How many whole bins had ended at `at`."""
        place = int((at - self._bins.start).total_seconds() / self.step_s + 1e-6)
        return min(max(place, 0), len(self._bins))

    def _fitted(self, boundary: datetime, forecasters: Sequence[Forecaster]) -> FittedChain | None:
        try:
            window = fit_window(self._bins, boundary, history_s=self._history_s)
            return fit_chain(forecasters, usual(window, self._events)).fitted
        except TryNextForecaster:
            return None

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
        return int((self._reach_s + self._tick.total_seconds()) // self.step_s) + 2 + missing


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
