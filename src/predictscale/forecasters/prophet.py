"""Prophet, corrected: its trend, day and week as a curve, re-anchored to the present level.

Alone it loses to the last value at the leads that matter; corrected by what is left of the
present deviation it is worth fielding where there is a trend. Lean on purpose (10
changepoints, explicit seasons, no sampling of intervals): its own intervals
are ignored, quantiles come from the corrected errors. The curve has seen the
values that these are measured on, so they are somewhat too narrow. Refuses
the one-minute grid, where a fit takes half a minute.
"""

import tempfile
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from predictscale.core.series import Floats, MetricWindow
from predictscale.forecasters.curve import REACH_S, CurveFitted, fit_curve
from predictscale.forecasters.library import Thinned, library_call, outlook
from predictscale.forecasters.robust import DAY_S, WEEK_S, require

_GRID_S = 900.0
_LEAST_S = 2 * DAY_S
_LONGEST_S = 4 * WEEK_S
_CHANGEPOINTS = 10
_DAILY_HARMONICS = 6
_WEEKLY_HARMONICS = 3


@dataclass(frozen=True, slots=True)
class ProphetCorrected:
    """Prophet's curve, re-anchored to the present level."""

    name: ClassVar[str] = "prophet"
    slow: ClassVar[bool] = True

    reach_s: float = REACH_S

    def needs_s(self, step_s: float) -> float:
        """Two days; the week joins with two weeks of history."""
        return max(_LEAST_S, 24 * step_s)

    def fit(self, window: MetricWindow) -> CurveFitted:
        """Let Prophet draw the curve; it reaches `reach_s` ahead. See `Forecaster.fit`."""
        require(window, self.needs_s(window.step_s))
        thin, stamps_s, weekly = outlook(window, near_s=_GRID_S, longest_s=_LONGEST_S, reach_s=self.reach_s)
        drawn = _draw(thin, stamps_s, weekly=weekly)
        return fit_curve(self.name, window, thin.curve(drawn), kept=None)


def _draw(thin: Thinned, stamps_s: Floats, *, weekly: bool) -> Floats:
    """Prophet's expectation at `stamps_s`, shape (n,)."""
    # A folder of our own: a fit that fails leaves its files behind in Prophet's clean-up.
    with (
        library_call("cmdstanpy", "prophet", "prophet.models", "prophet.plot"),
        tempfile.TemporaryDirectory() as scratch,
    ):
        import pandas as pd  # noqa: PLC0415 - heavy, worker only
        from prophet import Prophet  # noqa: PLC0415 - the same

        known = ~np.isnan(thin.roots)
        history = pd.DataFrame({"ds": _naive_utc(thin.stamps_s[known]), "y": thin.roots[known]})
        # Every season is set: "auto" drops the week when one step of two weeks is missing.
        model: Any = Prophet(
            n_changepoints=min(_CHANGEPOINTS, int(known.sum()) // 10),
            daily_seasonality=_DAILY_HARMONICS,
            weekly_seasonality=_WEEKLY_HARMONICS if weekly else False,
            yearly_seasonality=False,
            uncertainty_samples=0,
        )
        try:
            model.fit(history, seed=1, output_dir=scratch)
            drawn = model.predict(pd.DataFrame({"ds": _naive_utc(stamps_s)}))
        finally:
            model.stan_backend.cleanup()
        return np.asarray(drawn["yhat"], dtype=np.float64)


def _naive_utc(stamps_s: Floats) -> "np.ndarray[Any, np.dtype[np.datetime64]]":
    """Stamps as Prophet wants them: without a zone, and ours are UTC."""
    return (stamps_s * 1000).round().astype("datetime64[ms]")
