"""What can be believed of a series, before anything is learned from it.

One sample of 1e12 must not bend a model, and one series may count millions of
tokens and another one request an hour. So samples are limited by other samples
of the same series, never by a constant, and models work on square roots:
there the noise of counts is about as wide at night as at noon, and a
forecast squared back cannot be negative. Refuses to invent: a gap stays NaN.
"""

import numpy as np

from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import FitFailed, NotEnoughHistory

DAY_S = 86_400.0
WEEK_S = 7 * DAY_S

BELIEVED = 3.0
"""A sample counts up to this many times the highest value that others confirm."""


def highest(values: Floats) -> float:
    """The highest value that others confirm: the third highest, a few further down in long series.

    Args:
        values: Any shape; NaN is a gap.

    Returns:
        0 if nothing is known.
    """
    known = values[~np.isnan(values)]
    if not known.size:
        return 0.0
    rank = min(known.size, 3 + known.size // 4000)
    return float(np.partition(known, known.size - rank)[known.size - rank])


def roots(values: Floats, *, high: float) -> Floats:
    """Square roots of the values, each counted up to `BELIEVED` times `high`."""
    believed: Floats = np.sqrt(np.minimum(values, BELIEVED * high))
    return believed


def trailing_mean(values: Floats, bins: int) -> Floats:
    """The mean over the known ones of the last `bins` values, at each known value; NaN at gaps."""
    known = ~np.isnan(values)
    sums = np.cumsum(np.where(known, values, 0.0))
    counts = np.cumsum(known)
    sums[bins:] -= sums[:-bins].copy()
    counts[bins:] -= counts[:-bins].copy()
    means = np.full(values.size, np.nan)
    np.divide(sums, counts, out=means, where=known)
    return means


def filled(values: Floats, *, period: int) -> Floats:
    """The values without gaps, for libraries that know none.

    A gap takes the value of one period earlier, else of one later; what is still
    unknown then is a straight line between its neighbours. Only curves are drawn
    from this; errors are never measured on a filled bin.

    Args:
        values: Shape (n,).
        period: Bins of a season.

    Raises:
        FitFailed: Nothing is known.
    """
    if np.isnan(values).all():
        raise FitFailed(f"all of {values.size} averaged bins are gaps")
    whole = values.copy()
    for start in range(period, whole.size, period):
        part = whole[start : start + period]
        np.copyto(part, whole[start - period : start - period + part.size], where=np.isnan(part))
    for start in range(whole.size - 2 * period, -period, -period):
        first = max(start, 0)
        part = whole[first : start + period]
        np.copyto(part, whole[first + period : start + 2 * period], where=np.isnan(part))
    known = np.flatnonzero(~np.isnan(whole))
    line: Floats = np.interp(np.arange(whole.size), known, whole[known])
    return line


def coarse_step_s(step_s: float, *, near_s: float) -> float:
    """The multiple of `step_s` closest to `near_s`, one that divides the day if there is one near [s]."""
    nearest = max(1, round(near_s / step_s))
    around = sorted(range(max(1, nearest // 2), 2 * nearest + 1), key=lambda k: abs(k - nearest))
    dividing = (k for k in around if (DAY_S / (k * step_s)).is_integer())
    return next(dividing, nearest) * step_s


def require(window: MetricWindow, need_s: float) -> None:
    """Refuse a window with too little in it.

    Raises:
        NotEnoughHistory: Less than `need_s` of it is known.
    """
    if window.known_s < need_s:
        raise NotEnoughHistory(need_s=need_s, have_s=window.known_s)
