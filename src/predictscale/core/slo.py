"""What an owner asks of a workload, and how much lateness that still leaves.

A service-level objective is a share of demand that may wait too long within a window of
days. The share times the demand of the window is a budget, which lateness spends. What was
spent decides how careful the next choice of settings is, and a burst of lateness makes the
settings in force more careful at once. All of it is a function of the past alone.

Refuses to guess: an hour of which lateness is not known neither spends nor saves.
"""

import math
from dataclasses import dataclass

import numpy as np

from predictscale.core.series import Floats

HOUR_S = 3600.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """No more than a share of demand waits longer than a bound.

    Args:
        max_violation: The share of a window's demand that may wait longer, in (0, 1).
        wait_s: The bound [s].
        window_s: Over how long the share is taken [s].

    Raises:
        ValueError: A number that cannot be.
    """

    max_violation: float
    wait_s: float
    window_s: float = 30 * DAY_S

    def __post_init__(self) -> None:
        if not 0 < self.max_violation < 1:
            raise ValueError(f"max_violation: {self.max_violation}; a share lies within (0, 1)")
        if not (math.isfinite(self.wait_s) and self.wait_s >= 0):
            raise ValueError(f"wait_s: {self.wait_s}; a bound is finite, 0 or more")
        if not (math.isfinite(self.window_s) and self.window_s >= DAY_S):
            raise ValueError(f"window_s: {self.window_s}; at least a day, {DAY_S:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pacing:
    """How strongly what was spent moves what is asked for next.

    Args:
        unspent: For each part of the pace that was not spent, this part more is asked for.
        overspent: For each part of the pace spent too much, this part less.
        least: Never less than this part of the objective is asked for.
        most: Never more.
        full_s: With so much of the past known it counts in full, with less in proportion [s].
        notch: A burst that spends this part of the window's budget beyond what accrues
            makes the settings more careful by a notch.
        notches: No more than so many.
        burst_s: How long a burst is remembered [s].
    """

    unspent: float = 0.5
    overspent: float = 1.0
    least: float = 0.3
    most: float = 1.4
    full_s: float = 5 * DAY_S
    notch: float = 0.01
    notches: int = 4
    burst_s: float = 6 * HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Budget:
    """What a workload has spent of its objective, by hours.

    Args:
        slo: The objective.
        arrived: Work that came in each hour, oldest first; the last one may not be over. NaN where
            lateness is not known. Shape (m,).
        late: The part of it that waited too long, shape (m,).

    Raises:
        ValueError: The shapes differ.
    """

    slo: Slo
    arrived: Floats
    late: Floats

    def __post_init__(self) -> None:
        if self.arrived.shape != self.late.shape or self.arrived.ndim != 1:
            raise ValueError(f"late: shape {self.late.shape}; one number for each of {self.arrived.shape}")
        kept = round(self.slo.window_s / HOUR_S)
        object.__setattr__(self, "arrived", self.arrived[-kept:])
        object.__setattr__(self, "late", self.late[-kept:])

    @property
    def known_s(self) -> float:
        """How much of the window is known [s]."""
        return float((~np.isnan(self.late)).sum()) * HOUR_S

    @property
    def violation(self) -> float:
        """The share of what came that was late; 0 if nothing came."""
        came = float(np.nansum(self.arrived))
        return float(np.nansum(self.late)) / came if came > 0 else 0.0

    @property
    def pace(self) -> float:
        """How fast the budget is spent: 1 spends all of it over a window."""
        return self.violation / self.slo.max_violation

    @property
    def spent(self) -> float:
        """The part of the window's budget that is gone, if demand goes on as it was; above 1 it is broken."""
        return self.pace * min(1.0, self.known_s / self.slo.window_s)

    def asked(self, pacing: Pacing) -> float:
        """The share of demand that may be late under the settings chosen next.

        The objective itself while it is spent as it accrues; less after more was spent, more after
        less was, within bounds. What little history says counts little.
        """
        trust = min(1.0, self.known_s / pacing.full_s)
        saved, over = max(0.0, 1.0 - self.pace), max(0.0, self.pace - 1.0)
        factor = 1.0 + trust * (pacing.unspent * saved - pacing.overspent * over)
        return self.slo.max_violation * min(max(factor, pacing.least), pacing.most)

    def notches(self, pacing: Pacing) -> int:
        """By how many notches the last hours' lateness makes the settings more careful."""
        hours = max(1, round(pacing.burst_s / HOUR_S))
        late, came = float(np.nansum(self.late[-hours:])), float(np.nansum(self.arrived[-hours:]))
        known = ~np.isnan(self.arrived)
        if not known.any() or not came > 0:
            return 0
        window_came = float(self.arrived[known].mean()) * self.slo.window_s / HOUR_S
        over = late - self.slo.max_violation * came
        count = over / (pacing.notch * self.slo.max_violation * window_came)
        return min(max(int(count), 0), pacing.notches)


def lateness(
    queue: float, came: float, ready: float, *, wait_steps: float, rest: float = 1e-9
) -> tuple[float, float]:
    """The share of a step's work that waits too long, and the queue it leaves.

    A fluid queue, first come first served, with constant demand and constant service within the
    step; the same arithmetic as a simulated plant's, which a test holds it to.

    Args:
        queue: Work that waits at the step's beginning, in what a replica serves in a step.
        came: Work that comes during it, in the same unit.
        ready: Replicas that serve.
        wait_steps: The bound, in steps.
        rest: A queue of less than this is empty.
    """
    slope = came - ready
    high = max(slope, 0.0) + queue - ready * wait_steps
    share = min(max(high / max(abs(slope), 1e-200), 0.0), 1.0)
    left = queue + slope
    return share, left if left >= rest else 0.0
