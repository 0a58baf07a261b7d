"""The law of a server that tells how long it was busy: Triton's compute seconds.

Busy seconds per second are utilisation itself, so one coefficient is enough:
seconds of work for a request. The latency of an empty server is that work. It
refuses to read time in a queue as work; give compute time, not time in the server.
"""

import numpy as np

from predictscale.core.law import Law
from predictscale.core.lawfit import HALF_LIFE_S, LEAST_WINDOWS, WORST_SLOPE_ERROR, LawFit
from predictscale.core.lawwindows import KEEP_S, LEAST_WORK, Windows, usable
from predictscale.core.nnls import nonnegative_least_squares
from predictscale.core.series import Floats
from predictscale.errors import FitFailed, NotEnoughHistory


def fit_busy(
    windows: Windows,
    busy: Floats,
    *,
    now_s: float,
    instances: int = 1,
    least_windows: int = LEAST_WINDOWS,
    least_work: float = LEAST_WORK,
    half_life_s: float = HALF_LIFE_S,
) -> LawFit:
    """Fit busy seconds against requests per second, through the origin.

    Args:
        windows: As `Windows.of_requests` lays them out.
        busy: Busy seconds per second of each row's pod, over its instances, shape (n,); NaN if not told.
        now_s: The instant of the fit, seconds since the epoch.
        instances: That a pod runs at once.
        least_windows: Usable windows that a law needs.
        least_work: Requests that make a window usable.
        half_life_s: After which a window counts half [s].

    Raises:
        NotEnoughHistory: Fewer usable windows.
        FitFailed: Busy time does not rise with requests for certain.
        ValueError: `busy` does not fit the windows, or a pod has no instance.
    """
    if busy.shape != (len(windows),) or instances < 1:
        raise ValueError(f"busy {busy.shape}, instances {instances}; must be ({len(windows)},), 1 or more")
    told = ~np.isnan(busy)
    # The row's latency is not fitted here; its column carries the busy time through the filter.
    kept, left_out = usable(windows.where(told).with_latency(busy[told]), now_s=now_s, least_work=least_work)
    if len(kept) < least_windows:
        raise NotEnoughHistory(need_s=least_windows * kept.window_s, have_s=len(kept) * kept.window_s)
    recency = 0.5 ** ((now_s - kept.ends_s) / half_life_s)
    rate, busy_kept = kept.output_tokens_per_s, kept.itl_s
    # Busy time is a sum over requests: its variance grows with their number.
    roots = np.sqrt(recency / rate)
    (work_s,) = nonnegative_least_squares((roots * rate)[:, None], roots * busy_kept).tolist()
    misses = busy_kept - work_s * rate
    error_s = float(np.linalg.norm(recency * misses) / (recency @ rate))
    if work_s <= 0 or error_s > WORST_SLOPE_ERROR * work_s:
        raise FitFailed(
            f"busy time does not rise with requests for certain: {work_s:.3g} s ± {error_s:.3g} s"
        )
    law = Law(alpha_s=work_s, beta_s=work_s / instances, gamma_s=0.0)
    return LawFit(
        law=law,
        errors_s=(error_s, error_s / instances, 0.0),
        slope_error=error_s / work_s,
        mape=float(np.average(np.abs(misses) / busy_kept, weights=recency)),
        windows=len(kept),
        highest_utilization=float(busy_kept.max() / instances),
        span_s=KEEP_S,
        left_out=left_out,
    )
