"""Reading a recorded window on another grid, knowing at each instant only what was over by then.

Refuses to spread a coarse average over finer bins inside it: that would tell
the future.
"""

from datetime import datetime, timedelta

import numpy as np

from predictscale.core.series import Floats, MetricWindow


def regrid(window: MetricWindow, *, start: datetime, end: datetime, step_s: float) -> MetricWindow:
    """The bins of [start, end), each made of the window's bins that ended within it.

    A bin narrower than the window's holds the last one that was over at its end. A
    bin of which less than half is known is a gap.
    """
    bins = max(0, round((end - start) / timedelta(seconds=step_s)))
    offset = (start - window.start).total_seconds() / window.step_s
    reach = max(1.0, step_s / window.step_s)
    # How many of the window's bins were over at each bin's end, and a reach earlier.
    ends = offset + (np.arange(bins) + 1) * (step_s / window.step_s)
    stop = np.floor(ends + 1e-6).astype(np.int64)
    first = np.floor(ends - reach + 1e-6).astype(np.int64)
    sums, counts = _totals(window.values, first, stop)
    values = np.full(bins, np.nan)
    np.divide(sums, counts, out=values, where=counts >= np.maximum(1.0, 0.5 * (stop - first)))
    return MetricWindow(start, step_s, values)


def _totals(
    values: Floats,
    first: np.ndarray[tuple[int], np.dtype[np.int64]],
    stop: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> tuple[Floats, Floats]:
    """Sum and number of the known values in each [first, stop), shape (n,) each."""
    first, stop = np.clip(first, 0, values.size), np.clip(stop, 0, values.size)
    edges = np.stack([first, stop], axis=1).ravel()
    known = ~np.isnan(values)
    # Each segment is summed by itself, so that a range's neighbours cannot change its last digit.
    # reduceat wants an element behind the last edge, and gives one element for an empty segment.
    sums = np.add.reduceat(np.append(np.where(known, values, 0.0), 0.0), edges)[::2]
    counts = np.add.reduceat(np.append(known.astype(np.float64), 0.0), edges)[::2]
    empty = stop <= first
    return np.where(empty, 0.0, sums), np.where(empty, 0.0, counts)
