"""Pools are told alike by REST, by the metrics and to KEDA."""

from dataclasses import replace
from datetime import datetime, timedelta

import httpx2
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from closed_desk import closed_desk
from predictscale.clock import ManualClock
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.plan import Decision, Mode
from predictscale.core.pools import Pool, PoolKind, PoolPolicy, Pools, PoolsSeen, PoolStage, ZoneSeen
from predictscale.serving.pools import PoolCollector
from predictscale.serving.rest import create_app
from worlds import CHAT, NOON, flat_forecast, policy, seen

POOLS = Pools(
    pools=(
        Pool(name="steady", kind=PoolKind.ON_DEMAND, max_replicas=40),
        Pool(name="spot", kind=PoolKind.SPOT, max_replicas=40, zones=("spot",)),
    ),
    rule=PoolPolicy(availability=0.99, lead_time_s=240),
)
SEEN = PoolsSeen(
    on_demand_ready=1,
    on_demand_pending=0,
    zones=(ZoneSeen(zone="spot", ready=3, pending=1, noticed=1, rebalanced=1),),
)


def decided(
    pools: PoolsSeen | None = SEEN, *, pooled: Pools | None = POOLS, mode: Mode = Mode.LIVE
) -> Decision:
    watched = replace(seen(25), pools=pools)
    obeyed = replace(policy(mode=mode), pools=pooled)
    made, _ = step(CHAT, watched, flat_forecast(50), obeyed, StepMemory(), unit="requests/s")
    return made


async def asked(decision: Decision, *, now: datetime = NOON) -> httpx2.Response:
    store, clock = DecisionStore(), ManualClock(now)
    store.put(decision)
    desk = closed_desk(store, clock)
    app = create_app(store=store, desk=desk, now=clock.now, ready=lambda: True)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://scaler") as client:
        return await client.get("/api/v1/workloads/prod/chat/pools")


def scraped(decision: Decision, *, now: datetime = NOON) -> dict[tuple[str, str], float]:
    store, registry = DecisionStore(), CollectorRegistry()
    store.put(decision)
    registry.register(PoolCollector(store, lambda: now))
    return {
        (sample.name.removeprefix("predictscale_pool_"), sample.labels["pool"]): sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


async def test_what_is_valid_no_more_is_told_to_no_pool() -> None:
    decision = decided()
    for now, told in ((decision.valid_until, True), (decision.valid_until + timedelta(seconds=1), False)):
        body = (await asked(decision, now=now)).json()
        assert [pool["available"] for pool in body["pools"]] == [told, told]
        assert (("published_replicas", "steady") in scraped(decision, now=now)) is told


async def test_rest_tells_what_each_pool_is_told_and_what_is_seen_of_it() -> None:
    decision = decided()
    body = (await asked(decision)).json()
    assert body["seen"]
    assert body["need"] == decision.plan.pooled.need if decision.plan.pooled else None
    assert [(p["name"], p["published_replicas"], p["ready_replicas"]) for p in body["pools"]] == [
        ("steady", decision.plan.of_pool("steady").published, 1),
        ("spot", decision.plan.of_pool("spot").published, 3),
    ]
    assert (body["zones"][0]["noticed"], body["zones"][0]["at_risk"]) == (1, 1)
    assert [s["stage"] for s in body["steps"]] == [stage.value for stage in PoolStage]


async def test_rest_tells_when_pools_are_not_seen_or_not_there() -> None:
    body = (await asked(decided(None))).json()
    assert (body["seen"], body["need"], body["zones"]) == (False, None, [])
    assert [(p["available"], p["ready_replicas"]) for p in body["pools"]] == [(True, None), (False, None)]
    assert [p["published_replicas"] is None for p in body["pools"]] == [False, True]
    refused = await asked(decided(None, pooled=None))
    assert refused.status_code == 404
    assert "neither pools nor spot" in refused.json()["detail"]


def test_metrics_tell_the_same_and_nothing_that_is_not_known() -> None:
    decision = decided()
    assert scraped(decision) == {
        ("published_replicas", "steady"): decision.plan.of_pool("steady").published,
        ("published_replicas", "spot"): decision.plan.of_pool("spot").published,
        ("ready_replicas", "steady"): 1,
        ("ready_replicas", "spot"): 3,
        ("leaving_nodes", "steady"): 0,
        ("leaving_nodes", "spot"): 2,
    }
    assert scraped(decided(None)).keys() == {("published_replicas", "steady")}
    assert scraped(decided(pooled=None)) == {}


def test_in_shadow_mode_pools_are_told_their_parts_of_the_reactive_plan() -> None:
    decision = decided(mode=Mode.SHADOW)
    assert replace(decision, pool="steady").answer == decision.reactive.of_pool("steady")
    published = scraped(decision)["published_replicas", "steady"]
    assert published == decision.reactive.of_pool("steady").published
    assert published < decision.plan.of_pool("steady").published
