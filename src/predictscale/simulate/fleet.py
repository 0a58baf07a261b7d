"""A fleet that boots slowly and serves a queue, so that a decision can be seen to be late.

Replicas are pending for a boot time, then serve. Work is a fluid in one FIFO
queue. Within a step demand is constant, and replicas that become ready in the
middle serve the rest of it. It refuses to lose work: what is not served waits.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np

from predictscale.core.fleet import FleetState

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class BootTime:
    """How long a replica is pending, log-normal around a median.

    Args:
        median_s: Half of the replicas are quicker [s].
        spread: Standard deviation of the logarithm; 0 makes every boot take `median_s`.
    """

    median_s: float
    spread: float = 0.0

    def __post_init__(self) -> None:
        if not all(math.isfinite(number) and number >= 0 for number in (self.median_s, self.spread)):
            raise ValueError(f"boot: median {self.median_s} s, spread {self.spread}; finite, 0 or more")

    def draw_s(self, rng: np.random.Generator) -> float:
        """The boot time of one more replica [s]."""
        return self.median_s * math.exp(self.spread * float(rng.standard_normal()))


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetStats:
    """What one step did.

    Args:
        fleet: The replicas at its end.
        arrived: Work that came, in the demand's unit without "per second".
        served: Work that was done.
        queued: Work that waits at the end.
        wait_s: The longest wait found at the edges of the step and of every boot in it,
            with the replicas of now and those that boot; infinite if none will ever serve [s].
    """

    fleet: FleetState
    arrived: float
    served: float
    queued: float
    wait_s: float


class SimulatedFleet:
    """Replicas of one workload and the work that waits for them. Equal seeds, equal fleets.

    Args:
        per_replica: Work that a ready replica serves per second.
        boot: From a replica's creation until it serves.
        replicas: Those that are there and ready from the beginning.
        seed: Of the boot times.
    """

    def __init__(self, *, per_replica: float, boot: BootTime, replicas: int = 0, seed: int = 0) -> None:
        if not (math.isfinite(per_replica) and per_replica > 0):
            raise ValueError(f"per_replica: {per_replica}; a replica serves something")
        self.per_replica = per_replica
        self.boot = boot
        self.queued = 0.0
        self._rng = np.random.default_rng(seed)
        # When each replica is ready, in the order of their creation.
        self._ready_at = [_LONG_AGO] * replicas

    @property
    def spec(self) -> int:
        """`spec.replicas`; the Deployment creates and deletes at once, so it equals `status.replicas`."""
        return len(self._ready_at)

    def ready(self, now: datetime) -> int:
        """How many replicas serve."""
        return sum(ready_at <= now for ready_at in self._ready_at)

    def state(self, now: datetime) -> FleetState:
        """The fleet as kube-state-metrics would tell it."""
        return FleetState(replicas=self.spec, ready=self.ready(now))

    def scale(self, spec: int, now: datetime) -> None:
        """Ask for `spec` replicas.

        New ones begin to boot. Of those that are too many the pending go first, then the newest.

        Raises:
            ValueError: `spec` is negative.
        """
        if spec < 0:
            raise ValueError(f"spec: {spec}; replicas are counted")
        while self.spec < spec:
            self._ready_at.append(now + timedelta(seconds=self.boot.draw_s(self._rng)))
        while self.spec > spec:
            newest_first = range(self.spec - 1, -1, -1)
            pending = (place for place in newest_first if self._ready_at[place] > now)
            del self._ready_at[next(pending, self.spec - 1)]

    def advance(self, now: datetime, demand: float, step_s: float) -> FleetStats:
        """Let `demand` per second arrive over [now, now + step_s) and serve what can be served.

        Raises:
            ValueError: `demand` is negative or not finite, or `step_s` is not above 0.
        """
        if not (math.isfinite(demand) and demand >= 0):
            raise ValueError(f"demand: {demand}; missing demand is not zero, leave the step out")
        if not step_s > 0:
            raise ValueError(f"step_s: {step_s}; a step has a width")
        end = now + timedelta(seconds=step_s)
        served, wait_s = 0.0, self._wait_s(now)
        for begins, ends in self._pieces(now, end):
            piece_s = (ends - begins).total_seconds()
            work = self.queued + demand * piece_s
            done = min(work, self.ready(begins) * self.per_replica * piece_s)
            served += done
            self.queued = work - done
            wait_s = max(wait_s, self._wait_s(ends))
        return FleetStats(
            fleet=self.state(end),
            arrived=demand * step_s,
            served=served,
            queued=self.queued,
            wait_s=wait_s,
        )

    def _pieces(self, now: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """[now, end), cut where a replica becomes ready."""
        cuts = sorted({now, end, *(at for at in self._ready_at if now < at < end)})
        return pairwise(cuts)

    def _wait_s(self, at: datetime) -> float:
        """How long the last of the queue waits if no replica comes or goes that is not known now [s]."""
        left, begins = self.queued, at
        for ready_at in sorted(ready_at for ready_at in self._ready_at if ready_at > at):
            if not left:
                break
            capacity = self.ready(begins) * self.per_replica
            piece_s = (ready_at - begins).total_seconds()
            if left <= capacity * piece_s:
                break
            left, begins = left - capacity * piece_s, ready_at
        if not left:
            return 0.0
        capacity = self.ready(begins) * self.per_replica
        return (begins - at).total_seconds() + left / capacity if capacity else math.inf
