"""What is seen of a workload's pools, what their owner wants, and what is decided for all of them.

Of what is seen: ready and pending replicas by zone, nodes that are announced to go, launches
that failed, offerings that are there or not. Refuses a target without its reasons.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from predictscale.core.fleet import FleetState
from predictscale.core.hazard import Prior, Record


class PoolStage(StrEnum):
    """The stages of the decision, in their order."""

    HAZARD = "hazard"
    MARGIN = "margin"
    FALLBACK = "fallback"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class PoolStep:
    """What one stage made of it, and why.

    Args:
        stage: Which one.
        value: After it: the largest loss probability after HAZARD, spot replicas after MARGIN, replicas
            on demand after the others.
        because: In words.
    """

    stage: PoolStage
    value: float
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneSeen:
    """The spot pool of one zone, as the cluster tells it.

    Args:
        zone: Its name.
        ready: Replicas that serve.
        pending: Replicas that do not yet, with or without a node.
        noticed: Nodes that are announced to go: a notice, a taint.
        rebalanced: Nodes that are said to be at risk, beside those.
        lost: Nodes taken from us since the last look; None if nothing counts them.
        failed: Launches that failed since the last look.
        available: Whether the offering is said to be there; None if nothing says.
    """

    zone: str
    ready: int
    pending: int
    noticed: int = 0
    rebalanced: int = 0
    lost: int | None = None
    failed: int = 0
    available: bool | None = None

    def __post_init__(self) -> None:
        counts = (self.ready, self.pending, self.noticed, self.rebalanced, self.lost or 0, self.failed)
        if min(counts) < 0:
            raise ValueError(f"{self.zone}: {self}; replicas and nodes are counted")

    @property
    def refuses(self) -> bool:
        """Whether it gives no more nodes now."""
        return self.failed > 0 or self.available is False


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolsSeen:
    """All pools of a workload.

    Args:
        on_demand_ready: Replicas on demand that serve.
        on_demand_pending: Those that do not yet.
        zones: The spot pools; each look tells of the same ones.
    """

    on_demand_ready: int
    on_demand_pending: int
    zones: tuple[ZoneSeen, ...]

    def __post_init__(self) -> None:
        names = [zone.zone for zone in self.zones]
        if len(set(names)) < len(names):
            raise ValueError(f"zones: {', '.join(names)}; one is told of twice")

    @property
    def fleet(self) -> FleetState:
        """Replicas of all pools."""
        ready = self.on_demand_ready + sum(zone.ready for zone in self.zones)
        pending = self.on_demand_pending + sum(zone.pending for zone in self.zones)
        return FleetState(replicas=ready + pending, ready=ready)


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPolicy:
    """What the owner wants of pools, resolved and checked.

    Args:
        availability: Wanted probability that no loss within a lead time leaves too few, in (0, 1).
        lead_time_s: From a decision until on-demand serves [s].
        notice_s: How long before a loss it is announced [s].
        base: Replicas that are always on demand.
        on_demand_price: Of a replica-hour.
        spot_price: Of a replica-hour, in the same money.
        replicas_per_node: Replicas that go with a spot node.
        hold_s: On-demand, and a zone's nodes, fall only to the most of this long [s].
        avoid_s: A zone that lost a node gets no new ones for so long [s].
        probes: Nodes kept wanted in every zone, and beyond what a zone gives that refuses more: they find
            out when it gives again, and cost what they cost.
        even: Whether replicas spread over all zones whatever is wanted where, as one Deployment's do.
        prior: Of the hazard.
    """

    availability: float
    lead_time_s: float
    notice_s: float = 0.0
    base: int = 0
    on_demand_price: float = 1.0
    spot_price: float = 0.35
    replicas_per_node: int = 1
    hold_s: float = 1800.0
    avoid_s: float = 600.0
    probes: int = 0
    even: bool = False
    prior: Prior = field(default_factory=Prior)

    def __post_init__(self) -> None:
        if not 0 < self.availability < 1:
            raise ValueError(f"availability: {self.availability}; must lie within (0, 1)")
        times_s = (self.lead_time_s, self.notice_s, self.hold_s, self.avoid_s)
        if not all(math.isfinite(time_s) and time_s >= 0 for time_s in times_s) or self.lead_time_s == 0:
            raise ValueError("a duration is negative or not finite, or lead_time_s is 0")
        if self.base < 0 or self.probes < 0 or self.replicas_per_node < 1:
            raise ValueError(f"base {self.base}, probes {self.probes}, {self.replicas_per_node} per node")


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolPlan:
    """What is wanted of every pool.

    Args:
        need: Replicas that must serve.
        base: On demand whatever spot does.
        spot: Spot replicas wanted in each zone.
        on_demand: Replicas wanted on demand, the base and what stands in for spot among them.
        steps: One for each stage, in order.
        margin: Spot replicas that each zone needs, what is held or not yet replaced left aside.
    """

    need: int
    base: int
    spot: Mapping[str, int]
    on_demand: int
    steps: tuple[PoolStep, ...]
    margin: Mapping[str, int] = field(default_factory=dict)

    @property
    def replicas(self) -> int:
        """Of all pools."""
        return self.on_demand + sum(self.spot.values())


Kept = tuple[tuple[datetime, int], ...]
"""(instant, number) that can still be the highest of a trailing window, oldest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneMemory:
    """What is remembered of a zone.

    Args:
        record: Of its losses.
        ready: Replicas that served at the last look.
        wanted: Replicas that were wanted then.
        trouble_at: When it last lost a node or announced to.
        kept: Nodes that were wanted lately.
    """

    record: Record = field(default_factory=Record)
    ready: int = 0
    wanted: int = 0
    trouble_at: datetime | None = None
    kept: Kept = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolMemory:
    """What a decision remembers of earlier ones; rebuilt by replay, never needed on disk.

    Args:
        zones: By name.
        kept: Replicas on demand that were needed lately.
    """

    zones: Mapping[str, ZoneMemory] = field(default_factory=dict)
    kept: Kept = ()


class PoolKind(StrEnum):
    """What a pool's nodes are."""

    ON_DEMAND = "on-demand"  # stay until they are given back
    SPOT = "spot"  # may be taken away


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A part of a workload with a Deployment of its own.

    Args:
        name: As triggers say it.
        kind: What its nodes are.
        max_replicas: Never more in it.
        zones: Its zones as looks tell of them; of spot alone.
    """

    name: str
    kind: PoolKind
    max_replicas: int
    zones: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """How one decision is split over pools, resolved and checked.

    Args:
        pools: One on demand, and one of spot or more; none where one Deployment runs on mixed nodes.
        rule: What the owner wants of them together.
    """

    pools: tuple[Pool, ...]
    rule: PoolPolicy

    def __post_init__(self) -> None:
        kinds = [pool.kind for pool in self.pools]
        if kinds and (kinds.count(PoolKind.ON_DEMAND) != 1 or PoolKind.SPOT not in kinds):
            raise ValueError(f"pools: {', '.join(kinds)}; one on demand, and spot")

    @property
    def remembered_s(self) -> float:
        """How long a look counts in later decisions, what is learned of hazards left aside [s]."""
        return max(self.rule.hold_s, self.rule.avoid_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one pool is told of the decision.

    Args:
        name: Which pool.
        kind: What its nodes are.
        wanted: Replicas wanted in it, within its ceiling.
        published: What its HPA is told, after landing.
        available: False if it is told nothing, since nothing is known of it.
        because: In words.
    """

    name: str
    kind: PoolKind
    wanted: int
    published: int
    available: bool
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitMemory:
    """What splitting remembers of earlier decisions.

    Args:
        pools: Of those that saw the pools.
        last: The last plan that was made on a look.
        seen_at: When that was.
        kept: Replicas that were wanted lately in each pool of several zones.
    """

    pools: PoolMemory = field(default_factory=PoolMemory)
    last: PoolPlan | None = None
    seen_at: datetime | None = None
    kept: Mapping[str, Kept] = field(default_factory=dict)
