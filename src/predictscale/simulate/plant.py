"""Fleets of one workload side by side under the same demand, so that policies can be compared.

One queue per fleet, work as a fluid, first come first served. Time goes in steps: a change
of the fleet happens at a step's beginning, a boot takes whole steps (rounded up), and within a
step demand and ready replicas are constant, so that waits within it have a closed form. Many
steps may be taken at once; how they are cut changes nothing.

Luck is common: a boot time belongs to the step in which replicas were asked for, and not
to the fleet that asked, so policies differ by what they do and not by what they drew.

Refuses to forgive: work that would wait too long with the replicas of its step is late,
also if replicas become ready while it waits.
"""

import math
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from predictscale.core.series import Floats
from predictscale.simulate.fleet import BootTime
from predictscale.simulate.sliding import trailing_max

Ints = NDArray[np.int64]
Counts = NDArray[Any]
"""Whole numbers of any width."""

_EMPTY = 1e-9
"""A queue of less than this many replica-steps of work is what rounding leaves of an empty one."""

_FLAT = 1e-200
"""A queue that changes by less within a step is flat; a quotient by it is still a number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    """From the request for a replica until it serves.

    Args:
        pod: With a node at hand.
        node: What a node that must be bought adds; None if there is always one.
        node_share: In how many cases one must be bought, in [0, 1].
    """

    pod: BootTime
    node: BootTime | None = None
    node_share: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.node_share <= 1 or (self.node is None and self.node_share > 0):
            raise ValueError(f"node_share: {self.node_share} with node {self.node}; a share of bought nodes")

    @classmethod
    def fixed(cls, lead_s: float) -> "Boot":
        """Every boot takes `lead_s` [s]."""
        return cls(pod=BootTime(median_s=lead_s))

    @property
    def fixed_s(self) -> float | None:
        """How long every boot takes [s]; None if it is drawn."""
        return None if self.pod.spread or self.node_share else self.pod.median_s

    def draw_s(self, rng: np.random.Generator) -> float:
        """The boot time of what is asked for in the next step [s]."""
        pod_s, bought = self.pod.draw_s(rng), rng.random() < self.node_share
        # Drawn in any case, so that another share leaves the other draws as they are.
        node_s = self.node.draw_s(rng) if self.node is not None else 0.0
        return pod_s + node_s if bought else pod_s


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Served:
    """What some steps did, for k fleets and n steps.

    Args:
        ready: Replicas that serve, throughout the step, shape (k, n).
        arrived: Work that came in each step, shape (n,).
        late: The part of it that waits beyond the bound, shape (k, n).
        lost: Work that left during the step because it had waited beyond its patience, shape (k, n);
            it came in this step or before.
        queue: Work that waits at the end of the step, shape (k, n).
    """

    ready: Ints
    arrived: Floats
    late: Floats
    lost: Floats
    queue: Floats


class Plant:
    """k fleets and their queues. Equal arguments, equal histories.

    Args:
        fleets: How many, k.
        per_replica: Work that a ready replica serves per second.
        step_s: Width of a step [s].
        boot: How long replicas are pending.
        wait_s: Work that waits longer is late [s].
        patience_s: Work that has waited so long leaves unserved; None waits for ever [s].
        replicas: Those that are there and ready from the beginning, one number or (k,).
        seed: Of drawn boot times.

    Raises:
        ValueError: An argument that cannot be.
    """

    def __init__(
        self,
        *,
        fleets: int,
        per_replica: float,
        step_s: float,
        boot: Boot,
        wait_s: float,
        patience_s: float | None = None,
        replicas: int | Counts = 0,
        seed: int = 0,
    ) -> None:
        if not (math.isfinite(per_replica) and per_replica > 0 and math.isfinite(step_s) and step_s > 0):
            raise ValueError(f"per_replica: {per_replica}, step_s: {step_s}; finite and above 0")
        if not (math.isfinite(wait_s) and wait_s >= 0) or (patience_s is not None and patience_s < wait_s):
            raise ValueError(f"wait_s: {wait_s}, patience_s: {patience_s}; 0 or more, patience no shorter")
        self._per_replica = per_replica
        self._step_s = step_s
        self._wait_steps = wait_s / step_s
        self._patience = None if patience_s is None else _Patience(patience_s / step_s)
        held = np.broadcast_to(np.asarray(replicas, dtype=np.int64), (fleets,)).copy()
        self._berths: _Berths = _berths(boot, step_s=step_s, held=held, seed=seed)
        self._queue = np.zeros(fleets)

    @property
    def ready(self) -> Ints:
        """Replicas that served in the last step, shape (k,)."""
        return self._berths.ready

    @property
    def queue(self) -> Floats:
        """Work that waits, shape (k,), in the demand's unit without "per second"."""
        return self._queue * (self._per_replica * self._step_s)

    def advance(self, demand: Floats, held: Counts) -> Served:
        """Take n steps.

        Of replicas that are too many the pending go first, newest first, then the newest.

        Args:
            demand: Work that arrives per second in each step, shape (n,); NaN where it is not
                known, and then nothing arrives.
            held: Replicas that each fleet holds in each step, pending and ready, shape (k, n).

        Raises:
            ValueError: Demand is negative or infinite, replicas are negative, or shapes differ.
        """
        held = np.asarray(held).astype(np.int64, casting="safe", copy=False)
        if held.shape != (*self._queue.shape, *demand.shape):
            raise ValueError(f"held: shape {held.shape} for {self._queue.size} fleets, demand {demand.shape}")
        demand = np.where(np.isnan(demand), 0.0, demand)
        if not (demand.size and demand.min() >= 0 and demand.max() < math.inf and held.min() >= 0):
            raise ValueError("demand and held: one step or more, finite, 0 or more")
        ready = self._berths.advance(held)
        # Work is counted in what a replica serves in a step, so rounding is the same for any unit.
        came = demand / self._per_replica
        ends, lost = self._flow(came, ready)
        late = self._late_share(came, ready, ends)
        unit = self._per_replica * self._step_s
        self._queue = ends[:, -1].copy()
        return Served(
            ready=ready, arrived=came * unit, late=late * (came * unit), lost=lost, queue=ends * unit
        )

    def _flow(self, came: Floats, ready: Ints) -> tuple[Floats, Floats]:
        """Queues at the steps' ends [replica-steps], and what left unserved, in the demand's unit; (k, n)."""
        gain = came - ready
        if self._patience is not None:
            return self._impatient(gain, self._patience.bounds(came))
        gain[:, 0] += self._queue
        level = np.cumsum(gain, axis=1)
        # A queue never falls below empty: what would have been served below that level is no work.
        ends = level - np.minimum(np.minimum.accumulate(level, axis=1), 0.0)
        ends[ends < _EMPTY] = 0.0
        return ends, np.zeros_like(ends)

    def _impatient(self, gain: Floats, bounds: Floats) -> tuple[Floats, Floats]:
        """As `_flow`, where a queue holds no more than came within the patience."""
        queue, ends, lost = self._queue, np.empty_like(gain), np.empty_like(gain)
        for step, bound in enumerate(bounds):
            waits = np.maximum(queue + gain[:, step], 0.0)
            queue = np.minimum(waits, bound)
            ends[:, step] = queue
            lost[:, step] = waits - queue
        return ends, lost * (self._per_replica * self._step_s)

    def _late_share(self, came: Floats, ready: Ints, ends: Floats) -> Floats:
        """The share of a step in which who comes finds more work than is served within the wait, (k, n).

        The queue is a straight line from the step's beginning to its end, cut off at empty.
        """
        begins = np.concatenate((self._queue[:, None], ends[:, :-1]), axis=1)
        slope = came - ready
        edge = ready * self._wait_steps
        high = np.maximum(slope, 0.0) + begins - edge
        steep = np.abs(slope)
        # A flat line lies above the edge throughout, or nowhere.
        share: Floats = high / np.maximum(steep, _FLAT)
        return np.clip(share, 0.0, 1.0, out=share)


class _Berths(Protocol):
    """Where replicas wait until they are ready."""

    ready: Ints

    def advance(self, held: Ints) -> Ints:
        """Ready replicas of each step, shape (k, n), for those held."""
        ...


def _berths(boot: Boot, *, step_s: float, held: Ints, seed: int) -> _Berths:
    if boot.fixed_s is not None:
        return _Fixed(_steps(boot.fixed_s, step_s), held)
    return _Drawn(boot, step_s=step_s, held=held, rng=np.random.default_rng(seed))


def _steps(lead_s: float, step_s: float) -> int:
    """Whole steps, with a hair against rounding."""
    return math.ceil(lead_s / step_s - 1e-9)


class _Fixed:
    """Every boot takes as long: ready are as many as were held throughout the last boot time.

    The newest go first, so a replica of a given rank is there without a break exactly
    as long as the fleet was at least that large.
    """

    def __init__(self, steps: int, held: Ints) -> None:
        self.ready = held
        self._past = np.repeat(held[:, None], steps, axis=1)

    def advance(self, held: Ints) -> Ints:
        steps = self._past.shape[1]
        whole = np.concatenate((self._past, held), axis=1)
        ready: Ints
        if held.shape[1] == 1:
            ready = whole.min(axis=1, keepdims=True)
        else:
            ready = np.negative(trailing_max(-whole, steps + 1)[:, steps:])
        self._past = whole[:, whole.shape[1] - steps :]
        self.ready = ready[:, -1]
        return ready


class _Drawn:
    """Boot times by the step of the request; a late comer may be ready first."""

    def __init__(self, boot: Boot, *, step_s: float, held: Ints, rng: np.random.Generator) -> None:
        self.ready = held
        self._boot, self._step_s, self._rng = boot, step_s, rng
        self._held = held
        self._now = 0
        # By the step of the request, oldest first: how many of each fleet are pending, shape (k,).
        self._pending: dict[int, Ints] = {}
        self._due: dict[int, list[int]] = {}

    def advance(self, held: Ints) -> Ints:
        ready = np.empty_like(held)
        for step in range(held.shape[1]):
            self._move(held[:, step])
            ready[:, step] = self.ready
        return ready

    def _move(self, held: Ints) -> None:
        lead = _steps(self._boot.draw_s(self._rng), self._step_s)
        self._land()
        change = held - self._held
        self._held = held
        if (change > 0).any():
            self._pending[self._now] = np.maximum(change, 0)
            self._due.setdefault(self._now + lead, []).append(self._now)
        if (change < 0).any():
            self._remove(np.maximum(-change, 0))
        if not lead:
            self._land()
        self._now += 1

    def _land(self) -> None:
        for asked in self._due.pop(self._now, ()):
            self.ready = self.ready + self._pending.pop(asked)

    def _remove(self, many: Ints) -> None:
        """Take `many` of each fleet, shape (k,); a fleet never grows and shrinks in one step."""
        for asked in reversed(self._pending):
            taken = np.minimum(many, self._pending[asked])
            self._pending[asked] = self._pending[asked] - taken
            many = many - taken
            if not many.any():
                return
        self.ready = self.ready - many


class _Patience:
    """The most work that can wait: what came within the last `steps`, whole or not."""

    def __init__(self, steps: float) -> None:
        self._whole, self._part = int(steps), steps % 1.0
        self._came: deque[float] = deque([0.0] * (self._whole + 1), maxlen=self._whole + 1)

    def bounds(self, came: Floats) -> Floats:
        """At each step's end, shape (n,), as what came [replica-steps]."""
        bounds = np.empty_like(came)
        for step, work in enumerate(came.tolist()):
            # The oldest step counts in part; the newest is on the right.
            self._came.append(work)
            bounds[step] = self._part * self._came[0] + sum(self._came) - self._came[0]
        return bounds
