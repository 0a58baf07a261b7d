"""What people are shown of a workload's pools: what each is told, what is seen of it, and why."""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from fastapi import APIRouter, HTTPException, Response
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel, Field

from predictscale.control.store import DecisionStore
from predictscale.core.plan import Decision, Policy
from predictscale.core.pools import PoolKind, PoolsSeen, PoolStage, Share, ZoneSeen
from predictscale.serving.readers import Latest, Now
from predictscale.serving.then import At, Then, card_then
from predictscale.serving.views import is_told

_LABELS = ("namespace", "workload", "pool")


class ZoneView(BaseModel):
    """What is seen of a spot pool in one zone."""

    zone: str = Field(description="Pool and zone, or the pool alone where it is not split by zone.")
    ready: int
    pending: int
    noticed: int = Field(description="Nodes that are announced to go.")
    at_risk: int = Field(description="Nodes that are said to be at risk, beside those.")
    lost: int | None = Field(description="Nodes lost since the last look; null where nobody counts them.")
    failed_launches: int
    offered: bool | None = Field(description="Null where nothing says.")


class PoolStepView(BaseModel):
    """One stage of the split."""

    stage: PoolStage
    value: float
    because: str


class PoolView(BaseModel):
    """What one pool is told."""

    name: str
    kind: PoolKind
    wanted_replicas: int = Field(description="Within the pool's ceiling.")
    published_replicas: int | None = Field(description="What its HPA is told; null unless `available`.")
    available: bool = Field(description="False while its HPA is told UNAVAILABLE.")
    ready_replicas: int | None = Field(description="Those that serve; null where pools cannot be seen.")
    because: str


class PoolsView(BaseModel):
    """How the newest decision of a workload was split."""

    namespace: str
    workload: str
    at: datetime
    seen: bool = Field(description="Whether the pools could be seen.")
    need: int | None = Field(description="Replicas that must serve; null where pools could not be seen.")
    pools: list[PoolView]
    zones: list[ZoneView]
    steps: list[PoolStepView]


def pools_view(decision: Decision, *, now: datetime) -> PoolsView:
    """The pools of one decision, as they are told at `now`."""
    seen, answer = decision.seen.pools, decision.answer
    plan = answer.pooled
    return PoolsView(
        namespace=decision.workload.namespace,
        workload=decision.workload.name,
        at=decision.seen.now,
        seen=seen is not None,
        need=None if plan is None else plan.need,
        pools=[_pool(share, decision, now=now) for share in answer.shares],
        zones=[] if seen is None else [_zone(zone) for zone in seen.zones],
        steps=[]
        if plan is None
        else [PoolStepView(stage=s.stage, value=s.value, because=s.because) for s in plan.steps],
    )


def add_pools(one: APIRouter, latest: Latest, then: Then, *, now: Now) -> None:
    """The route of a workload's pools.

    Args:
        one: The router of one workload.
        latest: The newest decision of a namespace and a name; raises where there is none.
        then: Who tells past ones.
        now: The present.
    """

    @one.get("/pools", response_model=PoolsView)
    async def pools(namespace: str, name: str, at: At = None) -> PoolsView | Response:
        """What each pool is told, what is seen of it, and why; also the margin of one on mixed nodes."""
        if at is not None:
            return await card_then(then, namespace, name, at, card="pools", none="had no pools")
        newest = latest(namespace, name)
        if newest.policy.pools is None:
            raise HTTPException(
                404, f"{namespace}/{name} has no pools: its settings give neither pools nor spot"
            )
        return pools_view(newest, now=now())


class PoolCollector(Collector):
    """Gauges of every pool's part of the latest decision.

    Args:
        store: Where it is read.
        now: The present: what is valid no more is not told.
    """

    def __init__(self, store: DecisionStore, now: Callable[[], datetime]) -> None:
        self._store, self._now = store, now

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: what is exposed depends on the workloads."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One family after another; what is not known, or not told, has no series."""
        published = _gauge(
            "predictscale_pool_published_replicas", "What a pool's HPA is told, after landing."
        )
        ready = _gauge("predictscale_pool_ready_replicas", "Replicas of a pool that serve, if known.")
        noticed = _gauge(
            "predictscale_pool_leaving_nodes", "Nodes of a pool that are announced to go or at risk."
        )
        for decision in self._store:
            seen, told = decision.seen.pools, is_told(decision, now=self._now())
            for share in decision.answer.shares:
                labels = [*decision.workload, share.name]
                if share.available and told:
                    published.add_metric(labels, share.published)
                if seen is not None:
                    ready.add_metric(labels, _ready(share, decision.policy, seen))
                    leaving = sum(
                        zone.noticed + zone.rebalanced for zone in _zones(share.name, decision.policy, seen)
                    )
                    noticed.add_metric(labels, leaving)
        yield from (published, ready, noticed)


def _gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=_LABELS)


def _pool(share: Share, decision: Decision, *, now: datetime) -> PoolView:
    seen = decision.seen.pools
    told = share.available and is_told(decision, now=now)
    return PoolView(
        name=share.name,
        kind=share.kind,
        wanted_replicas=share.wanted,
        published_replicas=share.published if told else None,
        available=told,
        ready_replicas=None if seen is None else _ready(share, decision.policy, seen),
        because=share.because,
    )


def _ready(share: Share, policy: Policy, seen: PoolsSeen) -> int:
    if share.kind is PoolKind.ON_DEMAND:
        return seen.on_demand_ready
    return sum(zone.ready for zone in _zones(share.name, policy, seen))


def _zones(name: str, policy: Policy, seen: PoolsSeen) -> list[ZoneSeen]:
    pools = () if policy.pools is None else policy.pools.pools
    own = {zone for pool in pools if pool.name == name for zone in pool.zones}
    return [zone for zone in seen.zones if zone.zone in own]


def _zone(zone: ZoneSeen) -> ZoneView:
    return ZoneView(
        zone=zone.zone,
        ready=zone.ready,
        pending=zone.pending,
        noticed=zone.noticed,
        at_risk=zone.rebalanced,
        lost=zone.lost,
        failed_launches=zone.failed,
        offered=zone.available,
    )
