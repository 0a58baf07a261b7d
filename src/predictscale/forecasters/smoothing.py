"""Holt-Winters: the shape of a day as an exponentially weighted mean of past days.

statsmodels' ETS(A,N,A) on roots estimates how fast the shape changes. The curve at
an instant is the shape as it was known one day before, so errors measured on
it are out of sample but for three smoothing weights and the first day. The
level is re-anchored to the present; there is no trend, which over hours is
nothing. Refuses weeks: 2,016 states of five minutes cost minutes.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import FitFailed
from predictscale.forecasters.curve import CurveFitted, fit_curve
from predictscale.forecasters.library import library_call, thinned
from predictscale.forecasters.robust import DAY_S, WEEK_S, filled, require

_GRID_S = 300.0
_LEAST_S = 3 * DAY_S
_LONGEST_S = 3 * WEEK_S


@dataclass(frozen=True, slots=True)
class HoltWinters:
    """A daily shape that follows recent days, re-anchored to the present level."""

    name: ClassVar[str] = "holt-winters"
    slow: ClassVar[bool] = True

    def needs_s(self, step_s: float) -> float:
        """Three days: one to begin with, two to see the shape change."""
        return max(_LEAST_S, 8 * step_s)

    def fit(self, window: MetricWindow) -> CurveFitted:
        """Estimate the weights, keep the shape; it reaches one day ahead. See `Forecaster.fit`."""
        require(window, self.needs_s(window.step_s))
        thin = thinned(window, near_s=_GRID_S, longest_s=_LONGEST_S)
        period = DAY_S / thin.step_s
        if not period.is_integer() or period < 2:
            raise FitFailed(f"a day is no whole number of steps of {thin.step_s:g} s")
        shape = _shape(filled(thin.roots, period=int(period)), int(period))
        curve = thin.curve(shape, start_s=thin.start_s + DAY_S)
        return fit_curve(self.name, window, curve, kept=1.0)


def _shape(values: Floats, period: int) -> Floats:
    """The seasonal state after each bin, shape (n,)."""
    with library_call():
        from statsmodels.tsa.exponential_smoothing.ets import ETSModel  # noqa: PLC0415 - heavy, worker only

        model = ETSModel(
            values,
            error="add",
            trend=None,
            seasonal="add",
            seasonal_periods=period,
            initialization_method="heuristic",
        )
        # Where the search for weights stops they are valid, converged or not (a day without
        # noise has no best ones), and what they are worth is measured afterwards.
        fit = model.fit(disp=False, maxiter=200)
        return np.asarray(fit.season, dtype=np.float64)
