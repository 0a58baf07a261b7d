"""What a workload is, what can be measured of it, and what one instant showed."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from predictscale.core.breakeven import Rest
from predictscale.core.budget import Allowance
from predictscale.core.fleet import FleetState
from predictscale.core.law import Mix
from predictscale.core.needed import Demands
from predictscale.core.pools import PoolsSeen


class WorkloadId(NamedTuple):
    """A workload's name within its namespace; printed as `namespace/name`."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class SignalName(StrEnum):
    """What the decision wants to know of a workload."""

    DEMAND = "demand"  # offered load per second
    QUEUE = "queue"  # work that waits already, in the demand's unit without "per second"
    REPLICAS = "replicas"  # status.replicas of the scale target
    READY = "ready"  # replicas that serve
    STARTING = "starting"  # pods on their way to it
    # The rest is asked for only where what a replica serves is learned.
    REQUESTS = "requests"  # per second, where demand counts something else
    INPUT_TOKENS = "input_tokens"  # of prompts per second, cached ones included
    UNCACHED_TOKENS = "uncached_tokens"  # of prompts per second, as far as they had to be computed
    OUTPUT_TOKENS = "output_tokens"  # generated per second
    WAITING = "waiting"  # requests that wait, where the queue counts something else
    KV_USAGE = "kv_usage"  # share of the cache of keys and values, mean of the replicas


@dataclass(frozen=True, slots=True)
class Signal:
    """One number that a source can tell about a workload at any instant.

    Args:
        name: What the decision uses it for.
        query: How the source is asked: PromQL for Prometheus, a series' name for a replay.
        unit: What it counts, such as `requests/s`.
        empty_is_zero: Whether no series at all may be read as 0. Only the owner can know.
    """

    name: SignalName
    query: str
    unit: str
    empty_is_zero: bool = False


@dataclass(frozen=True, slots=True)
class Observation:
    """What was known of a workload at one instant.

    Args:
        now: The instant of the decision.
        demand: Offered load in `demand_at`'s bin, per second; None if it was never seen.
        demand_at: The end of the newest bin with a demand in it.
        queue: Work that waits, in the demand's unit; None if unknown or not measured.
        fleet: The replicas there are.
        partial: The source warned that its answer lacks data.
        highest: The highest demand of the days before, per second, if any is known.
        rates: The offered load as requests and tokens, where capacity is learned.
        waiting: Requests that wait for an engine, likewise.
        mix: The mean request of the last hours, likewise.
        kv_usage: Share of the cache of keys and values in use, mean of the replicas, likewise.
        rest: The present gap in demand, where the last replica goes by break-even.
        allowance: The replicas that the month's budget allows, where there is one.
        pools: The workload's pools, where there are any and they can be seen.
    """

    now: datetime
    demand: float | None
    demand_at: datetime | None
    queue: float | None = None
    fleet: FleetState = field(default_factory=FleetState)
    partial: bool = False
    highest: float | None = None
    rates: Demands = field(default_factory=Demands)
    waiting: float | None = None
    mix: Mix | None = None
    kv_usage: float | None = None
    rest: Rest | None = None
    allowance: Allowance | None = None
    pools: PoolsSeen | None = None

    def __post_init__(self) -> None:
        if (self.demand is None) != (self.demand_at is None):
            raise ValueError("demand and demand_at are known together or not at all")

    @property
    def age_s(self) -> float:
        """Age of the newest demand sample [s]; infinite if there never was one."""
        if self.demand_at is None:
            return float("inf")
        return max(0.0, (self.now - self.demand_at).total_seconds())
