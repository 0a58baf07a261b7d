"""How good quantile forecasts were, in numbers that a poor forecast cannot flatter.

A quantile is judged by its pinball loss, which only the true quantile minimises, and
by how often it was not exceeded. Errors are divided by the demand's own size or
change, never bin by bin: percentages of near-zero bins say nothing, so there is
no MAPE. Where the truth is unknown nothing is scored. Refuses NaN forecasts
of known values: whoever gives no answer has to say what stands in for it.
"""

from collections.abc import Sequence

import numpy as np

from predictscale.core.series import Floats


def pinball(actual: Floats, forecast: Floats, levels: Sequence[float]) -> Floats:
    """The mean pinball loss of each level, in the demand's unit, shape (q,).

    For a level t, a miss by d = actual - forecast costs t*d if d is above 0, else (t - 1)*d.

    Args:
        actual: What came, shape (n,); NaN is left out.
        forecast: What was said, shape (n, q).
        levels: Quantile levels in (0, 1), q of them.

    Returns:
        NaN for all levels if nothing is known.

    Raises:
        ValueError: The shapes do not fit, or a forecast of a known value is not finite.

    Source: R. Koenker and G. Bassett, Regression Quantiles, Econometrica 46 (1978), eq. 3.1.
    """
    came, said = _known(actual, forecast, levels)
    if not came.size:
        return np.full(len(levels), np.nan)
    missed = came[:, None] - said
    at = np.asarray(levels, dtype=np.float64)
    losses: Floats = np.maximum(at * missed, (at - 1) * missed).mean(axis=0)
    return losses


def weighted_quantile_loss(actual: Floats, forecast: Floats, levels: Sequence[float]) -> float:
    """WQL: twice the summed pinball loss over the summed demand, averaged over levels [1].

    At the level 0.5 alone it is the sum of absolute errors over the sum of demand.

    Args:
        actual: What came, shape (n,); NaN is left out.
        forecast: What was said, shape (n, q).
        levels: Quantile levels in (0, 1), q of them.

    Returns:
        NaN if nothing is known or all demand was zero: then there is no size to divide by.

    Raises:
        ValueError: As `pinball`.

    Source: D. Salinas et al., DeepAR, Int. J. of Forecasting 36 (2020), section 4 (rho-risk).
    """
    losses = pinball(actual, forecast, levels)
    known = actual[~np.isnan(actual)]
    size = float(np.abs(known).mean()) if known.size else 0.0
    return float(2.0 * losses.mean() / size) if size > 0 else float("nan")


def coverage(actual: Floats, forecast: Floats, levels: Sequence[float]) -> Floats:
    """The share of known values at or below each quantile [1], shape (q,); honest if equal to the level.

    Args:
        actual: What came, shape (n,); NaN is left out.
        forecast: What was said, shape (n, q).
        levels: Quantile levels in (0, 1), q of them.

    Returns:
        NaN for all levels if nothing is known.

    Raises:
        ValueError: As `pinball`.
    """
    came, said = _known(actual, forecast, levels)
    if not came.size:
        return np.full(len(levels), np.nan)
    # A hair of tolerance: a constant that went through a root and a square is still the constant.
    share: Floats = (came[:, None] <= said * (1 + 1e-9) + 1e-12).mean(axis=0)
    return share


def mean_change(values: Floats) -> float:
    """The mean absolute change from one value to the next, over known pairs; the scale of MASE.

    Args:
        values: The history before what is scored, shape (n,); NaN is a gap.

    Returns:
        NaN if no two neighbours are known.
    """
    changes = np.abs(np.diff(values))
    known = changes[~np.isnan(changes)]
    return float(known.mean()) if known.size else float("nan")


def mase(actual: Floats, median: Floats, *, scale: float) -> float:
    """The mean absolute error of the median over the mean change of one step in the history [1].

    Args:
        actual: What came, shape (n,); NaN is left out.
        median: What was said at level 0.5, shape (n,).
        scale: From `mean_change`.

    Returns:
        NaN if nothing is known or the history never changed.

    Raises:
        ValueError: As `pinball`.

    Source: R. Hyndman and A. Koehler, Another look at measures of forecast accuracy,
        Int. J. of Forecasting 22 (2006), eq. for MASE, with the non-seasonal naive scale.
    """
    came, said = _known(actual, median[:, None], (0.5,))
    if not came.size or not scale > 0:
        return float("nan")
    return float(np.abs(came - said[:, 0]).mean() / scale)


def geometric_mean(ratios: Sequence[float]) -> float:
    """The mean of ratios in which twice and half cancel; 0 if one of them is 0, NaN if there is none."""
    values = np.asarray(ratios, dtype=np.float64)
    if not values.size:
        return float("nan")
    with np.errstate(divide="ignore"):
        return float(np.exp(np.log(values).mean()))


def _known(actual: Floats, forecast: Floats, levels: Sequence[float]) -> tuple[Floats, Floats]:
    """The pairs whose truth is known, shapes (m,) and (m, q)."""
    if actual.ndim != 1 or forecast.shape != (actual.size, len(levels)):
        raise ValueError(
            f"actual, forecast: shapes {actual.shape}, {forecast.shape}; must be (n,) and (n, {len(levels)})"
        )
    known = ~np.isnan(actual)
    said = forecast[known]
    if not np.isfinite(said).all():
        raise ValueError(f"forecast: {int((~np.isfinite(said)).sum())} values are not finite")
    return actual[known], said
