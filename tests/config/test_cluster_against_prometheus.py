"""What the cluster presets' queries give in a real Prometheus, of lives that no simulated fleet has."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import httpx2
import numpy as np
import pytest

from patience import WITHIN_S
from predictscale.config.cluster import KUBERNETES, Place, PodFact, load_cluster
from predictscale.core.series import MetricWindow
from prometheus_server import BackfilledSeries, PrometheusServer

pytestmark = pytest.mark.e2e

CLUSTER = load_cluster()
CHAT = Place(namespace="prod", deployment="chat")
START = datetime(2024, 3, 4, tzinfo=UTC)
START_S = START.timestamp()
MINUTES = 200
RS = "chat-7c9d8f6b5"


def gauge(name: str, labels: Mapping[str, str], first: float, last: float, value: float) -> BackfilledSeries:
    """A series with a sample each half minute of [first, last] minutes."""
    count = round((last - first) * 2) + 1
    begin = START + timedelta(minutes=first) - timedelta(seconds=30)
    return BackfilledSeries(name, labels, MetricWindow(begin, 30.0, np.full(count, value)))


def pod(uid: str, **more: str) -> dict[str, str]:
    return {"namespace": "prod", "pod": f"{RS}-{uid}", "uid": uid, **more}


def owned(uid: str, first: float, last: float, *, by: str = RS) -> list[BackfilledSeries]:
    return [
        gauge("kube_pod_created", pod(uid), first, last, START_S + first * 60 - 10),
        gauge("kube_pod_owner", pod(uid, owner_kind="ReplicaSet", owner_name=by), first, last, 1),
    ]


def made() -> list[BackfilledSeries]:
    replica_set = {"namespace": "prod", "replicaset": RS, "owner_kind": "Deployment", "owner_name": "chat"}
    lives = [
        gauge("kube_replicaset_owner", replica_set, 0, MINUTES, 1),
        gauge("kube_replicaset_owner", {**replica_set, "instance": "second"}, 0, MINUTES, 1),
        gauge("kube_deployment_status_replicas", {"namespace": "prod", "deployment": "chat"}, 0, MINUTES, 3),
        # One that an old release tells of: it is ready, but not since when.
        *owned("old", 10, MINUTES),
        gauge("kube_pod_status_ready", pod("old", condition="true"), 10, 14, 0),
        gauge("kube_pod_status_ready", pod("old", condition="true"), 14.5, MINUTES, 1),
        # One on a node that joined after its creation, told of by two exporters.
        *owned("new", 20, MINUTES),
        gauge("kube_pod_created", pod("new", instance="second"), 20, MINUTES, START_S + 20 * 60 - 10),
        gauge("kube_pod_info", pod("new", node="gpu-1"), 24, MINUTES, 1),
        gauge("kube_node_created", {"node": "gpu-1"}, 22, MINUTES, START_S + 22 * 60),
        # One that is told to go before it is ready.
        *owned("leaving", 30, 36),
        gauge("kube_pod_deletion_timestamp", pod("leaving"), 33, 36, START_S + 36 * 60),
        # One of another's ReplicaSet, although its name begins alike.
        *owned("stranger", 30, MINUTES, by="chat-canary-5d4f"),
        # One that has failed.
        *owned("failed", 31, MINUTES),
        gauge("kube_pod_status_phase", pod("failed", phase="Failed"), 31, MINUTES, 1),
    ]
    return sorted(lives, key=lambda one: one.name)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with PrometheusServer(tmp_path_factory.mktemp("cluster"), series=made()) as running:
        yield running


def ask(server: PrometheusServer, query: str, *, minute: float) -> dict[str, float]:
    """Values by uid."""
    asked: dict[str, str | float] = {"query": query, "time": START_S + minute * 60}
    answer = httpx2.get(f"{server.url}/api/v1/query", params=asked, timeout=WITHIN_S, trust_env=False)
    assert answer.status_code == 200, answer.text
    result = answer.json()["data"]["result"]
    return {one["metric"].get("uid", ""): float(one["value"][1]) for one in result}


def told(server: PrometheusServer, fact: PodFact, *, minute: float) -> dict[str, float]:
    """Minutes after the start, by uid."""
    query = CLUSTER[KUBERNETES].query(fact, CHAT, window_s=60)
    return {uid: (at_s - START_S) / 60 for uid, at_s in ask(server, query, minute=minute).items()}


@pytest.mark.parametrize(
    ("preset", "signal"), [(name, signal) for name in CLUSTER for signal in CLUSTER[name].signals]
)
def test_every_query_is_one_that_prometheus_takes(server: PrometheusServer, preset: str, signal: str) -> None:
    elsewhere = Place(namespace="none", deployment="none")
    query = CLUSTER[preset].query(signal, elsewhere, window_s=60)
    assert all(value >= 0 for value in ask(server, query, minute=50).values())


def test_pods_are_those_of_the_deployments_replica_sets_while_they_are_young(
    server: PrometheusServer,
) -> None:
    assert told(server, PodFact.CREATED, minute=35) == {
        "old": pytest.approx(10 - 1 / 6),
        "new": pytest.approx(20 - 1 / 6),
        "leaving": pytest.approx(30 - 1 / 6),
        "failed": pytest.approx(31 - 1 / 6),
    }
    assert set(told(server, PodFact.CREATED, minute=75)) == {"new", "failed"}
    assert told(server, PodFact.CREATED, minute=150) == {}


def test_an_old_release_tells_within_a_minute_when_a_pod_became_ready(server: PrometheusServer) -> None:
    assert told(server, PodFact.READY, minute=14) == {}
    assert told(server, PodFact.READY, minute=15) == {"old": 15}


def test_a_node_is_dated_for_the_pod_on_it(server: PrometheusServer) -> None:
    assert told(server, PodFact.NODE_CREATED, minute=40) == {"new": 22}


def test_a_deletion_is_told_with_its_grace(server: PrometheusServer) -> None:
    assert told(server, PodFact.DELETED, minute=34) == {"leaving": 36}


def test_pods_that_start_are_counted_without_those_that_never_will(server: PrometheusServer) -> None:
    query = CLUSTER[KUBERNETES].query(PodFact.STARTING, CHAT, window_s=60)
    counts = {minute: ask(server, query, minute=minute) for minute in (5, 12, 21, 32, 34, 90, 199, 230)}
    # old; new and no longer old; leaving until it is told to go; nobody young; nothing told at all.
    assert counts == {
        5: {"": 0},
        12: {"": 1},
        21: {"": 1},
        32: {"": 2},
        34: {"": 1},
        90: {"": 0},
        199: {"": 0},
        230: {},
    }
