"""When a workload's models are fitted, and how much of its past a start lives through again.

One arithmetic for the service and for a backtest, so that both fit on the same past at the
same ticks. A fit comes into force at a stated time after its boundary, not when it happens to be
done: that is how two replicas of the service, one of which is slower, say the same at each tick.
Refuses to look at a clock: instants are arguments.
"""

import hashlib
from datetime import datetime, timedelta

import numpy as np

from predictscale.core.demand import WorkloadId
from predictscale.core.knobs import LONGEST_HOLD_S
from predictscale.core.plan import Policy
from predictscale.core.series import MetricWindow, floor_to_grid

_YOUNG_S = 6 * 3600.0
"""A workload with less known history than this is fitted more often, on a grid of `_YOUNG_EVERY_S`."""
_YOUNG_EVERY_S = 300.0
SERVED_AFTER_S = 300.0
"""A fit serves this long after its boundary, or a quarter of the time between fits if that is less [s]."""


def serving_boundary(
    at: datetime, *, workload: WorkloadId | None, known_s: float, step_s: float, refit_s: float
) -> datetime:
    """The boundary of the fit that decisions at `at` obey; arguments as of `fit_boundary`.

    All ticks of a bin obey the same one: they share a forecast.
    """
    by = floor_to_grid(at, step_s) - timedelta(seconds=served_after_s(known_s=known_s, refit_s=refit_s))
    return fit_boundary(by, workload=workload, known_s=known_s, step_s=step_s, refit_s=refit_s)


def due_boundary(
    at: datetime, *, workload: WorkloadId | None, known_s: float, step_s: float, refit_s: float
) -> datetime:
    """The boundary of the newest fit that is made at `at`; arguments as of `fit_boundary`.

    It is made two bins after its boundary, when late samples are in, and at the latest halfway
    to the tick from which it serves.
    """
    by = at - timedelta(seconds=begun_after_s(known_s=known_s, step_s=step_s, refit_s=refit_s))
    return fit_boundary(by, workload=workload, known_s=known_s, step_s=step_s, refit_s=refit_s)


def served_after_s(*, known_s: float, refit_s: float) -> float:
    """From a boundary until its fit serves [s]."""
    return min(SERVED_AFTER_S, _every_s(known_s=known_s, refit_s=refit_s) / 4)


def begun_after_s(*, known_s: float, step_s: float, refit_s: float) -> float:
    """From a boundary until its fit is made [s]."""
    return min(2 * step_s, served_after_s(known_s=known_s, refit_s=refit_s) / 2)


def kept_s(*, history_s: float, refit_s: float) -> float:
    """How much history is kept, so that a start can fit what a replica that ran by then has fitted [s]."""
    return history_s + 2 * refit_s


def fit_boundary(
    at: datetime, *, workload: WorkloadId | None, known_s: float, step_s: float, refit_s: float
) -> datetime:
    """The last point of the grid of fits by `at`: the same on every replica of the service.

    The grid is shifted by a share of its width that depends on the workload, so
    that a thousand workloads do not refit in the same second.

    Args:
        at: The instant.
        workload: Whose; None for a grid that is not shifted.
        known_s: How much history is known [s].
        step_s: Width of the bins that are learnt from [s].
        refit_s: Between fits of a workload that is not young [s].
    """
    every_s, shift = _fit_grid(workload, known_s=known_s, refit_s=refit_s)
    return floor_to_grid(floor_to_grid(at - shift, every_s) + shift, step_s)


def next_boundary(at: datetime, *, workload: WorkloadId | None, known_s: float, refit_s: float) -> datetime:
    """When the boundary of a fit next moves on after `at`, see `fit_boundary`."""
    every_s, shift = _fit_grid(workload, known_s=known_s, refit_s=refit_s)
    return floor_to_grid(at - shift, every_s) + timedelta(seconds=every_s) + shift


def _fit_grid(workload: WorkloadId | None, *, known_s: float, refit_s: float) -> tuple[float, timedelta]:
    """How wide the grid of fits is [s], and by how much it is shifted."""
    every_s = _every_s(known_s=known_s, refit_s=refit_s)
    digest = hashlib.sha256(str(workload).encode()).digest()
    shift_s = 0 if workload is None else int.from_bytes(digest[:4]) % round(every_s)
    return every_s, timedelta(seconds=shift_s)


def _every_s(*, known_s: float, refit_s: float) -> float:
    return _YOUNG_EVERY_S if known_s < _YOUNG_S else refit_s


def fit_window(bins: MetricWindow, boundary: datetime, *, history_s: float) -> MetricWindow:
    """What a fit learns from: the last `history_s` seconds before the boundary, from the first known bin on.

    A history that was asked for before it began holds gaps in front. Models that thin a long
    window would thin the little that is known.
    """
    window = bins.between(boundary - timedelta(seconds=history_s), boundary)
    known = np.flatnonzero(window.known)
    first = int(known[0]) if known.size else len(window)
    return window.between(window.start + timedelta(seconds=first * window.step_s), window.end)


def relived_s(policy: Policy, *, tick_s: float, tuned: bool) -> float:
    """How far before its first tick a start takes steps again, to remember what they wanted [s].

    Args:
        policy: The owner's settings.
        tick_s: Between decisions [s].
        tuned: Whether settings are chosen, and may hold longer than the owner's.
    """
    hold_s = max(policy.hold_s, LONGEST_HOLD_S) if tuned else policy.hold_s
    # What pools remember follows what they were asked for, which follows what was wanted before.
    pooled_s = 0.0 if policy.pools is None else policy.pools.remembered_s
    return hold_s + pooled_s + max(policy.fresh_s, tick_s)


def watched_s(policy: Policy, *, tick_s: float, tuned: bool) -> float:
    """How far back signals are kept tick by tick [s]."""
    return max(relived_s(policy, tick_s=tick_s, tuned=tuned), policy.stale_after_s)
