"""The time to first token as load rises: one line, from windows that never came near the SLO.

Processor sharing stretches each request's time in proportion to its own work, so the
distribution keeps its shape: all of its quantiles, and its mean, are lines in the stretch of
ITL, and one is a multiple of another. The mean is known better than any quantile and no bucket
rounds it, so it draws the line, and the histogram of all windows together says how far the
95 % quantile lies above it. Where only windows' own quantiles are told, they draw it.

Refuses a line through fewer than three loads.
"""

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from predictscale.core.law import TtftLine
from predictscale.core.lawwindows import Windows
from predictscale.core.nnls import nonnegative_least_squares
from predictscale.core.series import Floats

LEAST_REQUESTS = 20
"""A 95 % quantile over fewer requests is their maximum."""

_DECILES = 10
_LEAST_GROUPS = 3
_NORMAL = NormalDist()


def fit_ttft(windows: Windows, *, loads: Floats, shape: float | None = None) -> TtftLine | None:
    """The line of the time to first token over tenths of the load; None if they are too few.

    Args:
        windows: Usable ones.
        loads: U of each by the law, shape (n,).
        shape: The 95 % quantile over the mean, as `shape_of` tells it; None if it is unknown.
    """
    drawn_by_mean = shape is not None and bool((windows.ttft_mean_s > 0).any())
    times_s = windows.ttft_mean_s if drawn_by_mean else windows.ttft_p95_s
    known = (times_s > 0) & (windows.requests > 0) & (windows.input_tokens_per_s > 0)
    known &= loads < 1
    places = np.flatnonzero(known)
    by_load = places[np.argsort(loads[places])]
    groups = [
        (_stretch(loads[group]), (_mean if drawn_by_mean else _quantile)(windows, group))
        for group in np.array_split(by_load, _DECILES)
        if windows.requests[group].sum() >= LEAST_REQUESTS
    ]
    if len(groups) < _LEAST_GROUPS:
        return None
    stretch, per_token_s = np.array(groups).T
    # Relative errors: a quantile strays in proportion to itself.
    design = np.column_stack((np.ones_like(stretch), stretch)) / per_token_s[:, None]
    base_s, slope_s = nonnegative_least_squares(design, np.ones_like(stretch)).tolist()
    over = shape if drawn_by_mean and shape is not None else 1.0
    return TtftLine(base_s=over * base_s, slope_s=over * slope_s)


def shape_of(bounds_s: Floats, counts: Floats, mean_s: float, *, level: float = 0.95) -> float | None:
    """A quantile over the mean, of a histogram; None if it cannot be told.

    Between two bounds the distribution is taken for log-normal: times are spread over orders of
    magnitude, and buckets are as wide, so a straight line would lie far above.

    Args:
        bounds_s: Upper ends of the buckets, rising, the last one infinite, shape (k,) [s].
        counts: Requests within each bound, those of the lower ones included, shape (k,).
        mean_s: Of the same requests [s].
        level: Which quantile, in (0, 1).
    """
    total = float(counts[-1]) if counts.size else 0.0
    if not (total >= LEAST_REQUESTS and mean_s > 0 and math.isinf(bounds_s[-1])):
        return None
    place = int(np.searchsorted(counts, level * total))
    high_s, upper = float(bounds_s[place]), float(counts[place]) / total
    if math.isinf(high_s):
        return None
    low_s, lower = (
        (0.0, 0.0) if place == 0 else (float(bounds_s[place - 1]), float(counts[place - 1]) / total)
    )
    if not (low_s > 0 and lower > 0):
        return high_s * level / upper / mean_s
    # A bucket that holds everybody leaves half a request beyond it.
    upper = min(upper, 1 - 0.5 / total)
    if upper <= level:
        return high_s / mean_s
    low, high, sought = (_NORMAL.inv_cdf(share) for share in (lower, upper, level))
    return low_s * math.pow(high_s / low_s, (sought - low) / (high - low)) / mean_s


def _stretch(loads: Floats) -> float:
    return float((loads / (1 - loads)).mean())


def _mean(windows: Windows, group: NDArray[np.intp]) -> float:
    """Mean TTFT per input token over windows of like load [s]."""
    waited_s = windows.ttft_mean_s[group] @ windows.requests[group]
    return float(waited_s / (windows.input_tokens_per_s[group].sum() * windows.window_s))


def _quantile(windows: Windows, group: NDArray[np.intp]) -> float:
    """p95 of TTFT per input token over windows of like load [s].

    A quantile of a few requests is about their maximum, and the maximum of n has
    the n-th power of the distribution: p95 of all then is the 0.95**n quantile
    of the windows' figures. With many requests a window it is their median.
    """
    requests = windows.requests[group]
    tokens = windows.input_tokens_per_s[group] * windows.window_s
    # A window's own mean length; where its requests are few, the group's fills them up.
    leaning = np.maximum(0.0, LEAST_REQUESTS - requests)
    length = (tokens + leaning * tokens.sum() / requests.sum()) / (requests + leaning)
    level = max(0.5, 0.95 ** float(np.median(requests)))
    return float(np.quantile(windows.ttft_p95_s[group] / length, level))
