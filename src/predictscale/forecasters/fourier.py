"""SARIMAX with Fourier terms: a smooth day and week, told apart from noise that has a memory.

A seasonal order of a day's bins never converges; sines and cosines as regressors
do. Their weights are estimated together with an ARMA(1, 1) noise, so an
afternoon that was high throughout counts as one surprise and not as twelve. The
curve is the regression alone: how a present deviation dies out is measured on
the fine grid instead, where the newest minutes are. The curve has seen the values
that its errors are measured on, so the quantiles are somewhat too narrow.
Days and weeks are of local time. Refuses sharp corners: six harmonics resolve about two hours.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import FitFailed
from predictscale.forecasters.curve import REACH_S, CurveFitted, fit_curve
from predictscale.forecasters.library import Thinned, by_the_wall, library_call, outlook
from predictscale.forecasters.robust import DAY_S, WEEK_S, require

_GRID_S = 3600.0
_LEAST_S = 3 * DAY_S
_LONGEST_S = 4 * WEEK_S


@dataclass(frozen=True, slots=True, kw_only=True)
class FourierOptions:
    """How sharp the seasons may be.

    Args:
        daily_harmonics: Sines and cosines of the day.
        weekly_harmonics: Of the week, once two have been seen; 0 leaves it out.
    """

    daily_harmonics: int = 6
    weekly_harmonics: int = 3


@dataclass(frozen=True, slots=True)
class SarimaxFourier:
    """A day and a week of sines in ARMA noise, re-anchored to the present level."""

    name: ClassVar[str] = "sarimax-fourier"
    slow: ClassVar[bool] = True

    reach_s: float = REACH_S
    calendar: Calendar = Calendar()
    fourier: FourierOptions = FourierOptions()

    def needs_s(self, step_s: float) -> float:
        """Three days; the week joins with two weeks of history."""
        return max(_LEAST_S, 24 * step_s)

    def fit(self, window: MetricWindow) -> CurveFitted:
        """Regress on sines; the curve reaches `reach_s` ahead. See `Forecaster.fit`."""
        require(window, self.needs_s(window.step_s))
        thin, stamps_s, weekly = outlook(window, near_s=_GRID_S, longest_s=_LONGEST_S, reach_s=self.reach_s)
        local_s, _ = by_the_wall(stamps_s, self.calendar)
        # Beyond half the sampling rate a harmonic is another one's copy.
        most = max(1, int(DAY_S / thin.step_s / 2) - 1)
        day = _waves(local_s, period_s=DAY_S, harmonics=min(self.fourier.daily_harmonics, most))
        week = _waves(local_s, period_s=WEEK_S, harmonics=self.fourier.weekly_harmonics if weekly else 0)
        waves = np.hstack((np.ones((local_s.size, 1)), day, week))
        weights = _regress(thin, waves[: thin.stamps_s.size])
        curve = thin.curve(waves @ weights)
        of_week = thin.part(week @ weights[1 + day.shape[1] :]) if week.size else None
        return fit_curve(self.name, window, curve, kept=None, weekly=of_week)


def _waves(local_s: Floats, *, period_s: float, harmonics: int) -> Floats:
    """Regressors: sines and cosines of a season, shape (n, 2 * harmonics)."""
    angles = 2 * np.pi * np.outer(local_s, np.arange(1, harmonics + 1) / period_s)
    return np.hstack((np.sin(angles), np.cos(angles)))


def _regress(thin: Thinned, waves: Floats) -> Floats:
    """Weights of the regressors, shape (r,)."""
    with library_call():
        from statsmodels.tsa.statespace.sarimax import SARIMAX  # noqa: PLC0415 - heavy, worker only

        model = SARIMAX(thin.roots, exog=waves, order=(1, 0, 1))
        fit = model.fit(disp=False, maxiter=100)
        if not fit.mle_retvals["converged"]:
            raise FitFailed(f"not converged after {fit.mle_retvals['iterations']} iterations")
        return np.asarray(fit.params[: waves.shape[1]], dtype=np.float64)
