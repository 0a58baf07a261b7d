"""Pools through the whole service: a real Prometheus with kube-state-metrics' series, and KEDA's calls."""

import json
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import grpc
import numpy as np
import pytest

from keda_client import KedaClient, ScaledObject
from predictscale.core.series import MetricWindow, floor_to_grid
from prometheus_server import BackfilledSeries, PrometheusServer
from service_process import ServiceProcess

pytestmark = pytest.mark.e2e

STEP_S, PAST_S, AHEAD_S = 15.0, 7200.0, 900.0
"""Of samples; those ahead are seen when their time has come, however late the service starts."""
SERVING, NOTICED_S = 6, 60.0
POOLS = [
    {"name": "on-demand", "kind": "on-demand", "target": "chat"},
    {"name": "spot", "kind": "spot", "target": "chat-spot", "zones": ["a"]},
]


def asking(pool: str) -> ScaledObject:
    """The ScaledObject of a pool."""
    metadata = {"scalerAddress": "predictscale:6000", "workload": "chat", "pool": pool}
    return ScaledObject(name=f"chat-{pool}", namespace="prod", metadata=metadata)


def told(now: datetime) -> list[BackfilledSeries]:
    """Six requests' worth of replicas, all on spot; one of their nodes has just got a notice."""

    def gauge(name: str, labels: Mapping[str, str], value: float, past_s: float = PAST_S) -> BackfilledSeries:
        start = datetime.fromtimestamp(now.timestamp() - past_s, UTC)
        bins = round((past_s + AHEAD_S) / STEP_S)
        return BackfilledSeries(name, labels, MetricWindow(start, STEP_S, np.full(bins, value)))

    lives = [gauge("demand_rps", {"namespace": "prod"}, 10.0 * SERVING)]
    for name, count in (("chat", 0), ("chat-spot", SERVING)):
        labels = {"namespace": "prod", "deployment": name}
        lives += [
            gauge(f"kube_deployment_{metric}", labels, count)
            for metric in ("status_replicas", "status_replicas_ready", "spec_replicas")
        ]
    owner = {
        "namespace": "prod",
        "replicaset": "chat-spot-1",
        "owner_kind": "Deployment",
        "owner_name": "chat-spot",
    }
    lives.append(gauge("kube_replicaset_owner", owner, 1))
    for number in range(SERVING):
        node = {"node": f"node-{number}"}
        pod = {"namespace": "prod", "pod": f"chat-spot-1-{number}"}
        lives += [
            gauge("kube_node_info", node, 1),
            gauge("kube_node_labels", {**node, "label_topology_kubernetes_io_zone": "a"}, 1),
            gauge("kube_pod_info", {**pod, **node}, 1),
            gauge("kube_pod_owner", {**pod, "owner_kind": "ReplicaSet", "owner_name": "chat-spot-1"}, 1),
            gauge("kube_pod_status_ready", {**pod, "condition": "true"}, 1),
        ]
    taint = {"node": "node-0", "key": "cloud.google.com/impending-node-termination"}
    lives.append(gauge("kube_node_spec_taint", taint, 1, NOTICED_S))
    return sorted(lives, key=lambda one: one.name)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceProcess]:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    now = floor_to_grid(datetime.fromtimestamp(time.time(), UTC), STEP_S)
    with PrometheusServer(folder, series=told(now)) as prometheus:
        workload = {
            "namespace": "prod",
            "name": "chat",
            "query": "sum(demand_rps)",
            "capacity_per_replica": 10,
            "lead_time_s": "2m",
            "max_replicas": 20,
            "forecasters": ["last-value"],
            "pools": POOLS,
            "spot": {"availability": 0.9},
        }
        settings = {
            "prometheus": {"url": prometheus.url, "timeout_s": 60},
            "grpc": {"timeout_s": 30},
            "loop": {"tick_s": STEP_S},
            "workloads": [workload],
        }
        (tmp_path / "service.json").write_text(json.dumps(settings))
        command = ["serve", "--config", str(tmp_path / "service.json")]
        with ServiceProcess(command, log=tmp_path / "service.log") as process:
            yield process


async def value(keda: KedaClient, scaled: ScaledObject) -> float:
    """What a pool is told, as soon as there is a decision."""
    (sample,) = await keda.first(scaled)
    assert sample.active == (sample.value > 0)
    return sample.value


async def test_the_service_tells_each_pool_its_part_and_says_why(service: ServiceProcess) -> None:
    keda = KedaClient(service.grpc_address)
    try:
        # One of six nodes is announced to go: on-demand takes its place, spot stays wanted.
        assert [await value(keda, asking(pool)) for pool in ("on-demand", "spot")] == [1, SERVING]
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await keda.stub.GetMetricSpec(asking("sopt").ref)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "did you mean 'spot'?" in (refused.value.details() or "")
    finally:
        await keda.close()
    shown = service.json("/api/v1/workloads/prod/chat/pools")
    assert (shown["seen"], shown["need"]) == (True, SERVING)
    assert [zone["noticed"] for zone in shown["zones"]] == [1]
    assert service.metric("predictscale_pool_published_replicas", pool="on-demand") == 1
    steps = {s["stage"]: s for s in service.json("/api/v1/workloads/prod/chat/decision")["steps"]}
    assert "1 nodes are announced to go" in steps["spot"]["because"]
    assert steps["landing"]["value"] == 1 + SERVING
