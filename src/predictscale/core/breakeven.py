"""When the last replica may go: scale to zero by break-even.

To stay warm costs by the hour, to be woken costs once. With nothing known of the gaps in demand,
waiting until the two are equal never costs more than twice the best (ski rental); with
enough gaps on record the wait that would have cost least is better. Refuses to go to zero while
nobody could see demand come back: an engine that is gone exports nothing.
"""

import math
from dataclasses import dataclass

import numpy as np

from predictscale.core.series import Floats, MetricWindow

LEAST_GAPS = 30
"""Fewer gaps on record teach nothing."""
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdStart:
    """What it costs to be woken from zero, and to stay warm.

    Args:
        lost_value: What the requests lose that meet a cold start, 0 or more.
        idle_per_h: One replica-hour, in the same money, above 0.
        lead_s: From a decision to serving replicas, in which they are paid [s].

    Raises:
        ValueError: A number that cannot be.
    """

    lost_value: float
    idle_per_h: float
    lead_s: float

    def __post_init__(self) -> None:
        numbers = (self.lost_value, self.idle_per_h, self.lead_s)
        if not all(math.isfinite(n) and n >= 0 for n in numbers) or not self.idle_per_h > 0:
            raise ValueError(f"lost {self.lost_value}, idle {self.idle_per_h}, lead {self.lead_s}")

    @property
    def penalty(self) -> float:
        """One cold start."""
        return self.lost_value + self.idle_per_h * self.lead_s / _HOUR_S

    @property
    def break_even_s(self) -> float:
        """After so long warm and idle a cold start would have been as dear [s]."""
        return self.penalty / self.idle_per_h * _HOUR_S

    @property
    def busy_per_h(self) -> float:
        """Sessions per hour above which warmth is cheaper, if they come at random; inf if a start is free."""
        return self.idle_per_h / self.penalty if self.penalty else math.inf


@dataclass(frozen=True, slots=True)
class IdleTimeout:
    """How long the last replica stays without demand, and why.

    Args:
        wait_s: So long [s].
        because: The reason, in words.
    """

    wait_s: float
    because: str


@dataclass(frozen=True, slots=True)
class Rest:
    """The present gap in demand, and how long the last replica waits in it.

    Args:
        idle_s: For how long it has been known that there is no demand; None if it is not known [s].
        timeout: How long to wait.
    """

    idle_s: float | None
    timeout: IdleTimeout


def idle_timeout(cold: ColdStart, gaps_s: Floats | None = None) -> IdleTimeout:
    """The wait before the last replica goes.

    Args:
        cold: What a cold start costs.
        gaps_s: Lengths of the gaps in demand on record, shape (k,), above 0 [s].

    Returns:
        The wait that would have cost least over the gaps, the shortest of equal ones; no longer than
        the longest gap, for nothing is known beyond it. The break-even with few gaps on record.
    """
    even_s = cold.break_even_s
    if gaps_s is None or gaps_s.size < LEAST_GAPS:
        known = 0 if gaps_s is None else gaps_s.size
        return IdleTimeout(
            even_s,
            f"a cold start costs {cold.penalty:.3g}, as much as {even_s:.0f} s of idling; "
            f"{known} gaps are on record, and fewer than {LEAST_GAPS} teach nothing",
        )
    waits_s, costs = _costs(cold, np.sort(gaps_s))
    best = int(np.argmin(costs))
    return IdleTimeout(
        float(waits_s[best]),
        f"over {gaps_s.size} gaps on record a wait of {waits_s[best]:.0f} s costs least, {costs[best]:.3g} "
        f"a gap; a cold start costs {cold.penalty:.3g}",
    )


BLIND = "kept above zero: with no replica left nobody would count the demand that comes back"
"""Why the last replica stays where demand is counted by the replicas themselves."""


def may_sleep(*, idle_s: float | None, timeout: IdleTimeout, sighted: bool) -> tuple[bool, str]:
    """Whether the last replica may go now, and why or why not.

    Args:
        idle_s: For how long it has been known that there is no demand; None if it is not known [s].
        timeout: How long to wait.
        sighted: Whether demand can be seen while there is no replica: it is counted by a router or
            a gateway, and not by the engine itself.
    """
    if not sighted:
        return False, BLIND
    if idle_s is None:
        return False, "kept above zero: whether there is demand is not known"
    if idle_s < timeout.wait_s:
        return False, f"kept above zero: idle for {idle_s:.0f} of {timeout.wait_s:.0f} s; {timeout.because}"
    return True, f"idle for {idle_s:.0f} s, which is {timeout.wait_s:.0f} s or more; {timeout.because}"


def idle_gaps_s(demand: MetricWindow, *, least: float = 0.0) -> Floats:
    """Lengths of the stretches without demand that lie between stretches with it, shape (k,) [s].

    Args:
        demand: What came; a bin that is not known ends a stretch, and what it touches is not told.
        least: Demand at or below this is none.
    """
    # 1 busy, 0 idle, -1 unknown.
    kinds = np.where(demand.known, (demand.values > least).astype(np.int64), -1)
    starts = np.flatnonzero(np.diff(kinds, prepend=-1) != 0)
    if not starts.size:
        return np.empty(0)
    lengths = np.diff(starts, append=kinds.size)
    runs = kinds[starts]
    between = (runs == 0) & (np.roll(runs, 1) == 1) & (np.roll(runs, -1) == 1)
    between[[0, -1]] = False
    gaps: Floats = lengths[between] * demand.step_s
    return gaps


def idle_for_s(demand: MetricWindow, *, least: float = 0.0) -> float | None:
    """How long there has been no demand up to the window's end; None if its last bin is not known [s]."""
    if not len(demand) or not demand.known[-1]:
        return None
    # An unknown bin may have been a busy one.
    busy = np.flatnonzero(~demand.known | (demand.values > least))
    last = int(busy[-1]) + 1 if busy.size else 0
    return (len(demand) - last) * demand.step_s


def _costs(cold: ColdStart, gaps_s: Floats) -> tuple[Floats, Floats]:
    """Waits worth considering, ascending, and the mean cost of a gap with each, both shape (k + 1,).

    The cost falls in jumps at the gaps and rises between them, so one of them, or none, is best.
    """
    count = gaps_s.size
    waits_s = np.concatenate(([0.0], gaps_s))
    # Gaps no longer than the wait are idled through; the others cost the wait, then a cold start.
    within = np.searchsorted(gaps_s, waits_s, side="right")
    through_s = np.concatenate(([0.0], np.cumsum(gaps_s)))[within]
    idled_s = through_s + waits_s * (count - within)
    costs: Floats = (idled_s / _HOUR_S * cold.idle_per_h + cold.penalty * (count - within)) / count
    return waits_s, costs
