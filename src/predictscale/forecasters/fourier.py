"""SARIMAX with Fourier terms: a smooth day and week, told apart from noise that has a memory.

A seasonal order of a day's bins never converges; sines and cosines as regressors
do. Their weights are estimated together with an ARMA(1, 1) noise, so an
afternoon that was high throughout counts as one surprise and not as twelve. The
curve is the regression alone: how a present deviation dies out is measured on
the fine grid instead, where the newest minutes are. The curve has seen the values
that its errors are measured on, so the quantiles are somewhat too narrow.
Refuses sharp corners: six harmonics resolve about two hours.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import FitFailed
from predictscale.forecasters.curve import REACH_S, CurveFitted, fit_curve
from predictscale.forecasters.library import Thinned, library_call, outlook
from predictscale.forecasters.robust import DAY_S, WEEK_S, require

_GRID_S = 3600.0
_LEAST_S = 3 * DAY_S
_LONGEST_S = 4 * WEEK_S
_DAILY_HARMONICS = 6
_WEEKLY_HARMONICS = 3


@dataclass(frozen=True, slots=True)
class SarimaxFourier:
    """A day and a week of sines in ARMA noise, re-anchored to the present level."""

    name: ClassVar[str] = "sarimax-fourier"
    slow: ClassVar[bool] = True

    reach_s: float = REACH_S

    def needs_s(self, step_s: float) -> float:
        """Three days; the week joins with two weeks of history."""
        return max(_LEAST_S, 24 * step_s)

    def fit(self, window: MetricWindow) -> CurveFitted:
        """Regress on sines; the curve reaches `reach_s` ahead. See `Forecaster.fit`."""
        require(window, self.needs_s(window.step_s))
        thin, stamps_s, weekly = outlook(window, near_s=_GRID_S, longest_s=_LONGEST_S, reach_s=self.reach_s)
        waves = _waves(stamps_s, step_s=thin.step_s, weekly=weekly)
        weights = _regress(thin, waves[: thin.stamps_s.size])
        return fit_curve(self.name, window, thin.curve(waves @ weights), kept=None)


def _waves(stamps_s: Floats, *, step_s: float, weekly: bool) -> Floats:
    """Regressors: sines and cosines of the day, and of the week if asked, shape (n, r)."""
    # Beyond half the sampling rate a harmonic is another one's copy.
    daily = min(_DAILY_HARMONICS, max(1, int(DAY_S / step_s / 2) - 1))
    turns = [k / DAY_S for k in range(1, daily + 1)]
    if weekly:
        turns += [k / WEEK_S for k in range(1, _WEEKLY_HARMONICS + 1)]
    angles = 2 * np.pi * np.outer(stamps_s, turns)
    return np.hstack((np.ones((stamps_s.size, 1)), np.sin(angles), np.cos(angles)))


def _regress(thin: Thinned, waves: Floats) -> Floats:
    """Weights of the regressors, shape (r,)."""
    with library_call():
        from statsmodels.tsa.statespace.sarimax import SARIMAX  # noqa: PLC0415 - heavy, worker only

        model = SARIMAX(thin.roots, exog=waves, order=(1, 0, 1))
        fit = model.fit(disp=False, maxiter=100)
        if not fit.mle_retvals["converged"]:
            raise FitFailed(f"not converged after {fit.mle_retvals['iterations']} iterations")
        return np.asarray(fit.params[: waves.shape[1]], dtype=np.float64)
