"""From demand to replicas. One linear law for now; learned laws join behind the same method."""

import math
from dataclasses import dataclass

_BEYOND_ANY_FLEET = 1e9
"""Demand for more replicas than this is absurd, and still a number for the ceiling to cut."""


@dataclass(frozen=True, slots=True)
class CapacityModel:
    """A replica serves `per_replica` units of demand per second within its SLO."""

    per_replica: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.per_replica) and self.per_replica > 0):
            raise ValueError(f"per_replica: {self.per_replica}; a replica serves something")

    def replicas_for(self, demand: float) -> int:
        """The smallest number of replicas that serves `demand`; monotone, 0 only for 0."""
        # 30.000000000000004 / 10 is three replicas, not four.
        return max(0, math.ceil(min(demand / self.per_replica, _BEYOND_ANY_FLEET) * (1 - 1e-12)))
