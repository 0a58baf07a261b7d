"""Pools of spot and on-demand nodes, as a workload's owner writes them.

Each pool is a Deployment with a ScaledObject of its own; a trigger says which one asks with
`workload` and `pool`. Without pools, `spot` adds a margin to a Deployment on mixed nodes.
Refuses an advisor's table of interruptions: rates are counted where the workload runs, and the
owner states only what is assumed until then.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from predictscale.config.costs import PriceSettings
from predictscale.config.fields import DAY_S, Count, DnsLabel, DnsName, Duration, Frozen, Positive, Share
from predictscale.core.hazard import Prior
from predictscale.core.pools import Pool, PoolKind, PoolPolicy

Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$")]
"""A value of a Kubernetes label."""

Wrong = tuple[str, str, str]
"""Where something is wrong, what was given, and what would do."""


class LossSource(StrEnum):
    """Where lost nodes are counted."""

    REPLICAS = "replicas"  # ready replicas that were wanted and vanished; restarts count, too
    TAINTS = "taints"  # nodes that got a taint that announces their end


class PoolSettings(Frozen):
    """One pool of a workload."""

    name: DnsLabel = Field(description="Its name, as triggers say it with `pool`.")
    kind: PoolKind = Field(description="`on-demand`, of which there is one, or `spot`.")
    target: DnsName = Field(description="The Deployment that is scaled.")
    max_replicas: Annotated[Count, Field(ge=1)] | None = Field(
        default=None, description="Never more in it; the workload's if not given."
    )
    zones: tuple[Label, ...] = Field(
        default=(),
        max_length=20,
        description="Zones of a spot pool, as nodes' topology.kubernetes.io/zone has them, a label that "
        "kube-state-metrics must tell. If not given, all its nodes count as one zone.",
    )
    instance_types: tuple[Label, ...] = Field(
        default=(),
        max_length=50,
        description="Instance types of a spot pool, to see by Karpenter's metrics whether a zone offers any.",
    )
    losses: LossSource = Field(
        default=LossSource.REPLICAS,
        description="Where the lost nodes of a spot pool are counted: `replicas` that vanish, or `taints`, "
        "which the AWS Node Termination Handler and GKE set.",
    )

    @property
    def zone_keys(self) -> tuple[str, ...]:
        """Its zones, told from those of other pools."""
        if self.kind is PoolKind.ON_DEMAND:
            return ()
        return tuple(f"{self.name}/{zone}" for zone in self.zones) or (self.name,)

    def pool(self, *, most: int) -> Pool:
        """It as a decision sees it.

        Args:
            most: The workload's ceiling.
        """
        return Pool(
            name=self.name,
            kind=self.kind,
            max_replicas=self.max_replicas if self.max_replicas is not None else most,
            zones=self.zone_keys,
        )


class SpotSettings(Frozen):
    """What is wanted of a workload's spot nodes."""

    availability: Share = Field(
        default=0.99,
        description="Wanted probability that what is lost within a lead time leaves enough replicas.",
    )
    base: Count = Field(default=0, description="Replicas that are always on demand.")
    hold_s: Duration = Field(
        default=1800.0,
        le=7 * DAY_S,
        description="On-demand in spot's place, and a margin, fall only to the most of this long.",
    )
    avoid_s: Duration = Field(
        default=600.0, le=DAY_S, description="A zone that lost a node is asked for no more for so long."
    )
    notice_s: Duration = Field(
        default=0.0, le=DAY_S, description="How long before a loss it is announced, where something tells."
    )
    probes: Count = Field(
        default=0, le=100, description="Nodes that stay wanted in every zone, to see when it gives again."
    )
    replicas_per_node: Annotated[Count, Field(ge=1)] = Field(
        default=1, description="Replicas that go with a node."
    )
    price_share: Positive = Field(
        default=0.35,
        le=10,
        description="Price of a spot replica over that of one on demand, where `price.pools` lacks them.",
    )
    interruptions_per_node_hour: Positive = Field(
        default=0.05, description="Losses of a node in an hour that are assumed until they are counted."
    )
    correlation: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="How much losses in a zone come together, until it is measured."
    )
    zones: tuple[Label, ...] = Field(
        default=(), max_length=20, description="As a pool's, of a workload without pools."
    )
    losses: LossSource = Field(default=LossSource.REPLICAS, description="As a pool's, likewise.")

    def rule(self, *, lead_time_s: float, on_demand_price: float, spot_price: float) -> PoolPolicy:
        """What decisions obey.

        Args:
            lead_time_s: From a decision until on-demand serves, until it is measured [s].
            on_demand_price: Of a replica-hour.
            spot_price: Of a replica-hour, in the same money.
        """
        return PoolPolicy(
            availability=self.availability,
            lead_time_s=lead_time_s,
            notice_s=self.notice_s,
            base=self.base,
            on_demand_price=on_demand_price,
            spot_price=spot_price,
            replicas_per_node=self.replicas_per_node,
            hold_s=self.hold_s,
            avoid_s=self.avoid_s,
            probes=self.probes,
            prior=Prior(per_node_hour=self.interruptions_per_node_hour, correlation=self.correlation),
        )

    def mixed(self, target: str) -> PoolSettings:
        """The one Deployment of a workload without pools, all of whose nodes may be lost."""
        return PoolSettings(
            name=_MIXED, kind=PoolKind.SPOT, target=target, zones=self.zones, losses=self.losses
        )


_MIXED = "nodes"
_LEAST_PRICE = 1e-9
DEFAULT_SPOT = SpotSettings()
"""What is wanted where pools are given and nothing else."""


def rule_of(
    pools: Sequence[PoolSettings],
    spot: SpotSettings | None,
    price: PriceSettings | None,
    *,
    lead_time_s: float,
) -> PoolPolicy | None:
    """What decisions obey; None of a workload that neither has pools nor names spot.

    Args:
        pools: As they are written.
        spot: The same.
        price: Of a replica-hour, by pool; the dearest spot pool counts.
        lead_time_s: From a decision until on-demand serves, until it is measured [s].
    """
    if not pools and spot is None:
        return None
    chosen = spot or DEFAULT_SPOT
    on_demand, dearest = 1.0, chosen.price_share
    if price is not None:
        told = {
            kind: [price.pools[p.name] for p in pools if p.kind is kind and p.name in price.pools]
            for kind in PoolKind
        }
        if all(told.values()):
            on_demand, dearest = max(told[PoolKind.ON_DEMAND]), max(told[PoolKind.SPOT])
    return chosen.rule(
        lead_time_s=lead_time_s,
        on_demand_price=max(on_demand, _LEAST_PRICE),
        spot_price=max(dearest, _LEAST_PRICE),
    )


def pool_problems(pools: Sequence[PoolSettings], spot: SpotSettings, *, most: int) -> Iterator[Wrong]:
    """What does not go together in pools; each name lies within the workload.

    Args:
        pools: As they are written.
        spot: The same.
        most: The workload's ceiling.
    """
    kinds = Counter(pool.kind for pool in pools)
    if kinds[PoolKind.ON_DEMAND] != 1 or not kinds[PoolKind.SPOT]:
        got = f"has {kinds[PoolKind.ON_DEMAND]} on demand and {kinds[PoolKind.SPOT]} of spot"
        yield "pools", got, "must have one on demand, which stands in for spot, and one of spot or more"
    for field in ("name", "target"):
        counts = Counter(getattr(pool, field) for pool in pools)
        for place, pool in enumerate(pools):
            if counts[value := getattr(pool, field)] > 1:
                yield f"pools[{place}].{field}", f"{value!r} is another pool's too", "each pool has its own"
    for place, pool in enumerate(pools):
        if pool.kind is PoolKind.ON_DEMAND:
            yield from _problems_on_demand(pool, spot, f"pools[{place}]", most)
        if len(set(pool.zones)) < len(pool.zones):
            yield f"pools[{place}].zones", "name one twice", "each zone once"
    for field in ("zones", "losses"):
        if getattr(spot, field) != getattr(DEFAULT_SPOT, field):
            yield f"spot.{field}", "is given with pools", "give it in the pool"


def _problems_on_demand(pool: PoolSettings, spot: SpotSettings, where: str, most: int) -> Iterator[Wrong]:
    for field in ("zones", "instance_types"):
        if getattr(pool, field):
            yield f"{where}.{field}", "is given on demand", "leave it out: nothing is taken away there"
    ceiling = pool.max_replicas if pool.max_replicas is not None else most
    if spot.base > ceiling:
        yield "spot.base", f"{spot.base} is more than {ceiling}, the most on demand", "a base lies below it"
