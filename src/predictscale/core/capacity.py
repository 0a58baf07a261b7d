"""From a load to replicas: what every capacity answers, and the plainest one.

A load is told in the unit that its owner counts in, and in the rates that a learned law
wants beside it. Refuses to guess: a capacity of which nothing is known raises `HoldTarget`.
"""

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from predictscale.core.needed import BEYOND_ANY_FLEET, Bound, Demands, Limit, Needed
from predictscale.errors import HoldTarget


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a fleet is to serve.

    Args:
        primary: In the unit that the workload is counted in, per second.
        unit: That unit.
        rates: The same work as requests and tokens, where they are known.
    """

    primary: float
    unit: str
    rates: Demands = field(default_factory=Demands)


class Origin(StrEnum):
    """What a capacity rests on."""

    CONFIGURED = "configured"  # the owner's number
    START = "start"  # the owner's latency targets, and nothing learned yet
    LEARNED = "learned"  # the windows of the workload's own pods


class Capacity(Protocol):
    """What turns a load into replicas."""

    @property
    def origin(self) -> Origin:
        """What it rests on."""
        ...

    @property
    def per_replica(self) -> float:
        """Load in the primary unit that a replica serves; a law's is a stand-in, see there.

        Raises:
            HoldTarget: Nothing is known of what a replica serves.
        """
        ...

    def sized(self, load: Load) -> Needed:
        """The replicas that serve `load`; monotone in each of its numbers.

        Raises:
            HoldTarget: A rate that it needs is unknown, or nothing is known of a replica.
        """
        ...


@dataclass(frozen=True, slots=True)
class CapacityModel:
    """A replica serves `per_replica` units of demand per second within its SLO."""

    per_replica: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.per_replica) and self.per_replica > 0):
            raise ValueError(f"per_replica: {self.per_replica}; a replica serves something")

    @property
    def origin(self) -> Origin:
        """The owner's number."""
        return Origin.CONFIGURED

    def replicas_for(self, demand: float) -> int:
        """The smallest number of replicas that serves `demand`; monotone, 0 only for 0."""
        # 30.000000000000004 / 10 is three replicas, not four.
        return max(0, math.ceil(min(demand / self.per_replica, BEYOND_ANY_FLEET) * (1 - 1e-12)))

    def sized(self, load: Load) -> Needed:
        """See `Capacity.sized`; the primary number alone counts."""
        because = f"{spoken(load.primary)} {load.unit} at {spoken(self.per_replica)} per replica"
        replicas = min(load.primary / self.per_replica, BEYOND_ANY_FLEET)
        bound = Bound(limit=Limit.CONFIGURED, replicas=replicas, because=because)
        return Needed(
            replicas=self.replicas_for(load.primary), binding=bound.limit, because=because, bounds=(bound,)
        )


def linear(capacity: Capacity) -> CapacityModel | None:
    """The linear stand-in of a capacity, for who replays one series; None while nothing is known."""
    if isinstance(capacity, CapacityModel):
        return capacity
    try:
        return CapacityModel(capacity.per_replica)
    except HoldTarget:
        return None


def spoken(value: float) -> str:
    """A demand as reasons say it: `4,321`, `0.5`."""
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
