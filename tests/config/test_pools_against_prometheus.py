"""What the queries of pools give in a real Prometheus, read as the service reads them."""

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from patience import WITHIN_S
from predictscale.clock import ManualClock
from predictscale.config.poolfacts import past_queries, pool_queries
from predictscale.config.pools import DEFAULT_SPOT, PoolSettings
from predictscale.control.poolpast import LOOK_S
from predictscale.control.pools import PoolWatch, Watched
from predictscale.core.pools import PoolsSeen, ZoneSeen
from predictscale.core.series import MetricWindow
from predictscale.meters import Meters
from predictscale.sources.prometheus import PrometheusSource
from prometheus_server import BackfilledSeries, PrometheusServer

pytestmark = pytest.mark.e2e

START = datetime(2024, 3, 4, tzinfo=UTC)
MINUTES = 60
ZONE = "label_topology_kubernetes_io_zone"
ITN = "aws-node-termination-handler/spot-itn"
AT_RISK = "aws-node-termination-handler/rebalance-recommendation"
ON_DEMAND = PoolSettings.model_validate({"name": "steady", "kind": "on-demand", "target": "chat"})
SPOT = PoolSettings.model_validate(
    {
        "name": "spot",
        "kind": "spot",
        "target": "chat-spot",
        "zones": ["a", "b", "c"],
        "instance_types": ["g5.xlarge"],
        "losses": "taints",
    }
)


def gauge(
    name: str, labels: Mapping[str, str], value: float, first: float = 0, last: float = MINUTES
) -> BackfilledSeries:
    """A series with a sample each half minute of [first, last] minutes."""
    count = round((last - first) * 2) + 1
    begin = START + timedelta(minutes=first) - timedelta(seconds=30)
    return BackfilledSeries(name, labels, MetricWindow(begin, 30.0, np.full(count, float(value))))


def deployment(name: str, held: int, serving: int) -> list[BackfilledSeries]:
    labels = {"namespace": "prod", "deployment": name}
    owner = {
        "namespace": "prod",
        "replicaset": f"{name}-7c9d8f6b5",
        "owner_kind": "Deployment",
        "owner_name": name,
    }
    return [
        gauge("kube_deployment_status_replicas", labels, held),
        gauge("kube_deployment_spec_replicas", labels, held),
        gauge("kube_deployment_status_replicas_ready", labels, serving),
        gauge("kube_replicaset_owner", owner, 1),
    ]


def pod(of: str, uid: str, node: str, *, ready: float = 1, last: float = MINUTES) -> list[BackfilledSeries]:
    own = {"namespace": "prod", "pod": f"{of}-7c9d8f6b5-{uid}", "uid": uid}
    return [
        gauge(
            "kube_pod_owner", {**own, "owner_kind": "ReplicaSet", "owner_name": f"{of}-7c9d8f6b5"}, 1, 0, last
        ),
        gauge("kube_pod_info", {**own, "node": node}, 1, 0, last),
        gauge("kube_pod_status_ready", {**own, "condition": "true"}, ready, 0, last),
    ]


def node(name: str, zone: str | None) -> list[BackfilledSeries]:
    labels = [] if zone is None else [gauge("kube_node_labels", {"node": name, ZONE: zone}, 1)]
    return [gauge("kube_node_info", {"node": name}, 1), *labels]


def made() -> list[BackfilledSeries]:
    lives = [
        *deployment("chat", 3, 2),
        *deployment("chat-spot", 6, 4),
        # Another's, although its name and so its pods' names begin alike.
        *deployment("chat-spot-canary", 1, 1),
        *pod("chat-spot-canary", "stranger", "node-a1"),
        *node("node-a1", "a"),
        *node("node-a2", "a"),
        *node("node-b", "b"),
        *node("node-x", None),
        *pod("chat-spot", "one", "node-a1"),
        *pod("chat-spot", "two", "node-a2"),
        *pod("chat-spot", "three", "node-b"),
        *pod("chat-spot", "loads", "node-b", ready=0),
        *pod("chat-spot", "nowhere", "node-x"),
        # A notice for one node with our pods, and one without; another is at risk, and one is both.
        gauge("kube_node_spec_taint", {"node": "node-a2", "key": ITN}, 1, 30),
        gauge("kube_node_spec_taint", {"node": "node-elsewhere", "key": ITN}, 1, 30),
        gauge("kube_node_spec_taint", {"node": "node-b", "key": AT_RISK}, 1, 20),
        gauge("kube_node_spec_taint", {"node": "node-a2", "key": AT_RISK}, 1, 20),
        *(
            gauge(
                "karpenter_cloudprovider_instance_type_offering_available",
                {"zone": zone, "instance_type": kind, "capacity_type": capacity},
                value,
            )
            for zone, kind, capacity, value in (
                ("a", "g5.xlarge", "spot", 1),
                ("b", "g5.xlarge", "spot", 0),
                ("b", "g5.xlarge", "on-demand", 1),
                ("b", "g55xlarge", "spot", 1),
            )
        ),
    ]
    return sorted(lives, key=lambda one: one.name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with PrometheusServer(tmp_path_factory.mktemp("pools"), series=made()) as running:
        yield running


def looked(
    server: PrometheusServer, *, minute: float, ticks: int = 1
) -> tuple[list[PoolsSeen | None], float]:
    """What is seen in the ticks up to a minute, and what losses a start counts in zone a before it."""

    async def look() -> tuple[list[PoolsSeen | None], float]:
        end = START + timedelta(minutes=minute)
        clock = ManualClock(end)
        source = PrometheusSource(url=server.url, meters=Meters(), clock=clock, timeout_s=WITHIN_S)
        pools = [
            Watched(pool=ON_DEMAND, queries=pool_queries("prod", ON_DEMAND, step_s=15)),
            Watched(
                pool=SPOT,
                queries=pool_queries("prod", SPOT, step_s=15),
                past=past_queries("prod", SPOT, step_s=LOOK_S),
            ),
        ]
        watch = PoolWatch(pools, source, tick_s=15, keep_s=15 * ticks, fresh_s=60)
        try:
            assert await watch.look(end) == ()
            rule = DEFAULT_SPOT.rule(lead_time_s=300, on_demand_price=1, spot_price=0.4)
            begun = await watch.begin(end, rule)
        finally:
            await source.aclose()
        instants = (end - timedelta(seconds=15 * back) for back in reversed(range(ticks)))
        return [watch.seen_at(at) for at in instants], begun.pools.zones["spot/a"].record.normal.events

    return asyncio.run(look())


def test_pods_are_counted_by_zone_with_their_notices_and_what_is_offered(server: PrometheusServer) -> None:
    (seen,), _ = looked(server, minute=40)
    assert seen == PoolsSeen(
        on_demand_ready=2,
        on_demand_pending=1,
        zones=(
            ZoneSeen(zone="spot/a", ready=2, pending=1, noticed=1, lost=0, available=True),
            ZoneSeen(zone="spot/b", ready=1, pending=1, rebalanced=1, lost=0, available=False),
            ZoneSeen(zone="spot/c", ready=0, pending=0, lost=0),
        ),
    )


def test_a_notice_is_told_as_a_loss_in_one_tick_alone(server: PrometheusServer) -> None:
    seen, _ = looked(server, minute=35, ticks=40)
    losses = [zone.lost for pools in seen if pools is not None for zone in pools.zones[:1]]
    assert len(losses) == 40
    assert sum(count or 0 for count in losses) == 1


def test_a_start_counts_the_losses_of_the_past(server: PrometheusServer) -> None:
    assert looked(server, minute=28)[1] == 0
    assert looked(server, minute=50)[1] == pytest.approx(1, rel=0.01)


def test_where_nobody_tells_of_the_deployments_pools_are_not_seen(server: PrometheusServer) -> None:
    (seen,), events = looked(server, minute=MINUTES + 30)
    assert seen is None
    assert events == pytest.approx(1, rel=0.01)
