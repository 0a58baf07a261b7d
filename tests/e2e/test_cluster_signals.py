"""What presets of the cluster give in a real Prometheus, of a small cluster that is written down here."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import numpy as np
import pytest

from patience import WITHIN_S
from predictscale.config.cluster import Place, load_cluster
from predictscale.core.series import Floats, MetricWindow
from prometheus_server import BackfilledSeries, PrometheusServer

pytestmark = pytest.mark.e2e

CLUSTER = load_cluster()
START = datetime(2024, 3, 4, tzinfo=UTC)
MINUTES = 30 * 60
END = START + timedelta(minutes=MINUTES)
WINDOW_S = 600.0
"""Ten minutes; what happens "now" happens five minutes before the end."""
LATE = np.where(np.arange(MINUTES) >= MINUTES - 5, 1.0, np.nan)
CHAT = Place(namespace="llm", deployment="chat")
ZONE, TYPE = "label_topology_kubernetes_io_zone", "label_node_kubernetes_io_instance_type"
KARPENTER = {"job": "karpenter", "instance": "k:8080"}
FAILURES = "karpenter_cloudprovider_instance_launch_failures_total"
MESSAGES = "karpenter_interruption_received_messages_total"
DISRUPTED = "karpenter_nodeclaims_disrupted_total"
SPOT_LABELS = {
    "label_karpenter_sh_capacity_type": "spot",
    "label_cloud_google_com_gke_spot": "true",
    "label_kubernetes_azure_com_scalesetpriority": "spot",
    "label_eks_amazonaws_com_capacityType": "SPOT",
}


class Told:
    """Series by metric, as Prometheus wants them."""

    def __init__(self) -> None:
        self.found: dict[str, list[BackfilledSeries]] = {}

    def __call__(self, metric: str, values: Floats | float, **labels: str) -> None:
        window = MetricWindow(START, 60.0, np.full(MINUTES, values))
        self.found.setdefault(metric, []).append(BackfilledSeries(metric, labels, window))


def made() -> list[BackfilledSeries]:
    put = Told()
    of_karpenter(put)
    for copy in ("ksm-0", "ksm-1"):
        of_kubernetes(put, copy)
    of_gpus(put)
    return [one for name in sorted(put.found) for one in put.found[name]]


def of_karpenter(put: Told) -> None:
    rises = np.where(np.arange(MINUTES) >= MINUTES - 5, 39.0, 37.0)
    gap = np.where(np.abs(np.arange(MINUTES) - (MINUTES - 11)) < 9, np.nan, 1.0)
    put("up", 1.0, **KARPENTER)
    put("process_start_time_seconds", START.timestamp(), **KARPENTER)
    put(DISRUPTED, rises, **KARPENTER, reason="spot_interrupted", nodepool="old", capacity_type="spot")
    put(DISRUPTED, LATE, **KARPENTER, reason="spot_interrupted", nodepool="new", capacity_type="spot")
    put(DISRUPTED, rises, **KARPENTER, reason="drifted", nodepool="old", capacity_type="spot")
    put(MESSAGES, rises, **KARPENTER, message_type="spot_interrupted")
    put(MESSAGES, 7.0, **KARPENTER, message_type="rebalance_recommendation")
    # A new process counts from 0, whatever was before it; its target was not there a window ago.
    fresh = {"job": "karpenter", "instance": "k2:8080"}
    put("up", LATE, **fresh)
    put("process_start_time_seconds", np.where(np.isnan(LATE), np.nan, END.timestamp() - 300), **fresh)
    put(FAILURES, LATE * 3, **fresh, zone="a", capacity_type="spot", instance_type="g")
    # Scrapes that failed a window ago, and an exporter that is old but was never scraped before.
    failing = {"job": "karpenter", "instance": "k3:8080"}
    put("up", np.where(np.isnan(gap), 0.0, 1.0), **failing)
    put(FAILURES, gap * 37, **failing, zone="b", capacity_type="spot", instance_type="g")
    found_late = {"job": "karpenter", "instance": "k4:8080"}
    put("up", LATE, **found_late)
    put("process_start_time_seconds", LATE * START.timestamp(), **found_late)
    put(FAILURES, LATE * 37, **found_late, zone="c", capacity_type="spot", instance_type="g")
    put("actions_total", rises, **KARPENTER, node_action="cordon-and-drain")
    for kind, price in (("spot", 1.2), ("on-demand", 4.0)):
        offering = {"zone": "a", "instance_type": "g", "capacity_type": kind}
        put("karpenter_cloudprovider_instance_type_offering_price_estimate", price, **offering)
        put("karpenter_cloudprovider_instance_type_offering_available", 1.0, **offering)


def of_kubernetes(put: Told, copy: str) -> None:
    # One spot node by each cloud's label, one that is not spot.
    notice = {"key": "aws-node-termination-handler/spot-itn", "effect": "NoSchedule"}
    for place, (label, value) in enumerate(SPOT_LABELS.items()):
        zone = "a" if place < 3 else "b"
        put(
            "kube_node_labels",
            1.0,
            instance=copy,
            node=f"n{place}",
            **{label: value, ZONE: zone, TYPE: "g"},
        )
    put("kube_node_labels", 1.0, instance=copy, node="n9", **{ZONE: "a", TYPE: "g"})
    put("kube_node_spec_taint", LATE, instance=copy, node="n0", **notice)
    put("kube_node_spec_taint", 1.0, instance=copy, node="n1", **notice)
    put("kube_node_spec_taint", LATE, instance=copy, node="n9", **notice)
    for node, end in (("n0", "b"), ("n3", "c"), ("n9", "d")):
        pod = {"namespace": "llm", "pod": f"chat-7c9f8b6d5-x7k2{end}", "instance": copy}
        put("kube_pod_info", 1.0, node=node, **pod)
        put("kube_pod_status_ready", 0.0 if node == "n9" else 1.0, condition="true", **pod)
        put("kube_pod_status_phase", 1.0, phase="Running", **pod)
        put("kube_pod_status_phase", 0.0, phase="Pending", **pod)
    waits = {"namespace": "llm", "pod": "chat-7c9f8b6d5-wwwww", "instance": copy}
    put("kube_pod_status_phase", 1.0, phase="Pending", **waits)
    put("kube_pod_status_unschedulable", 1.0, **waits)
    lost = {"namespace": "llm", "pod": "chat-7c9f8b6d5-lllll", "instance": copy}
    put("kube_pod_status_reason", 1.0, reason="TerminationByKubelet", **lost)
    deployment = {"namespace": "llm", "deployment": "chat", "instance": copy}
    put("kube_deployment_status_replicas", 4.0, **deployment)
    put("kube_deployment_status_replicas", 4.0, **{**deployment, "deployment": "calm"})
    put("kube_deployment_spec_replicas", 5.0, **deployment)
    put("kube_deployment_status_replicas_ready", 2.0, **deployment)
    put(
        "kube_statefulset_status_replicas_ready",
        3.0,
        namespace="llm",
        statefulset="chat",
        instance=copy,
    )


def of_gpus(put: Told) -> None:
    for gpu in ("0", "1"):
        where = {"namespace": "llm", "pod": "chat-7c9f8b6d5-x7k2b", "gpu": gpu}
        put("DCGM_FI_DEV_GPU_UTIL", 90.0, **where)
        put("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", 0.4, **where)
        put("DCGM_FI_PROF_DRAM_ACTIVE", 0.6, **where)
        put("DCGM_FI_DEV_FB_USED", 72_000.0, **where)
        put("DCGM_FI_DEV_FB_FREE", 8_000.0, **where)
        put("DCGM_FI_DEV_POWER_USAGE", 300.0, **where)
        # 300 W for a minute are 18 kJ, which are 18e6 mJ.
        put("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", np.arange(MINUTES, dtype=np.float64) * 18e6, **where)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with PrometheusServer(tmp_path_factory.mktemp("cluster"), series=made()) as running:
        yield running


def told(
    server: PrometheusServer, preset: str, signal: str, place: Place = CHAT, *, window_s: float = WINDOW_S
) -> dict[tuple[str, ...], float]:
    """The signal's values, by the labels that it says tell its series apart."""
    asked = CLUSTER[preset]
    form = {"query": asked.query(signal, place, window_s=window_s), "time": f"{END.timestamp():.3f}"}
    answer = httpx2.get(f"{server.url}/api/v1/query", params=form, timeout=WITHIN_S, trust_env=False)
    found: list[dict[str, Any]] = answer.json()["data"]["result"]
    by = asked.signals[signal].by
    assert all(set(one["metric"]) <= set(by) for one in found)
    return {tuple(one["metric"].get(name, "") for name in by): float(one["value"][1]) for one in found}


def test_events_are_counted_from_their_first_one_on(server: PrometheusServer) -> None:
    events = told(server, "karpenter", "interruptions")
    assert events == {("old", "spot"): pytest.approx(2.0, rel=0.15), ("new", "spot"): 1.0}
    assert told(server, "karpenter", "notices") == {(): pytest.approx(2.0, rel=0.15)}
    assert told(server, "karpenter", "rebalances") == {(): 0.0}
    assert told(server, "node-termination-handler", "drains") == {(): pytest.approx(2.0, rel=0.15)}


def test_what_was_only_not_scraped_is_no_event(server: PrometheusServer) -> None:
    assert told(server, "karpenter", "launch_failures") == {("a", "spot"): 3.0}


def test_offerings_have_a_price_and_are_there_or_not(server: PrometheusServer) -> None:
    both = {("a", "g", "spot"): 1.2, ("a", "g", "on-demand"): 4.0}
    assert told(server, "karpenter", "price") == both
    assert told(server, "karpenter", "available") == dict.fromkeys(both, 1.0)


def test_spot_nodes_are_known_by_the_label_of_any_cloud_and_counted_once(server: PrometheusServer) -> None:
    assert told(server, "spot", "nodes") == {("a", "g"): 3.0, ("b", "g"): 1.0}
    day = told(server, "spot", "exposure", window_s=86400.0)
    assert day == {("a", "g"): pytest.approx(72, rel=0.01), ("b", "g"): pytest.approx(24, rel=0.01)}


def test_narrower_nodes_are_fewer(server: PrometheusServer) -> None:
    place = Place(namespace="llm", deployment="chat", nodes=f'{ZONE}="b"')
    assert told(server, "spot", "nodes", place) == {("b", "g"): 1.0}


def test_a_notice_is_seen_while_it_stands_and_is_an_event_once(server: PrometheusServer) -> None:
    assert told(server, "spot", "ending") == {("a", "g"): 2.0, ("b", "g"): 0.0}
    assert told(server, "spot", "interruptions") == {("a", "g"): 1.0}


def test_pods_are_counted_once_and_where_they_run(server: PrometheusServer) -> None:
    assert told(server, "spot", "ready") == {("a", "g"): 1.0, ("b", "g"): 1.0}
    fleet = {name: told(server, "fleet", name) for name in CLUSTER["fleet"].signals}
    assert fleet == {
        "wanted": {(): 5.0},
        "ready": {(): 2.0},
        "ready_of_statefulset": {(): 3.0},
        "pending": {(): 1.0},
        "unschedulable": {(): 1.0},
        "loading": {(): 1.0},
    }
    assert told(server, "spot", "killed") == {(): 1.0}


def test_none_is_nought_only_where_kube_state_metrics_tells(server: PrometheusServer) -> None:
    calm = Place(namespace="llm", deployment="calm")
    silent = Place(namespace="llm", deployment="nobody")
    for preset, signal in (("fleet", "unschedulable"), ("fleet", "loading"), ("spot", "killed")):
        assert told(server, preset, signal, calm) == {(): 0.0}
        assert told(server, preset, signal, silent) == {}


def test_gpus_are_told_in_shares_watts_and_kilowatt_hours(server: PrometheusServer) -> None:
    gpus = {name: told(server, "dcgm", name) for name in CLUSTER["dcgm"].signals}
    assert gpus == {
        "utilization": {(): 0.9},
        "tensor_active": {(): 0.4},
        "dram_active": {(): 0.6},
        "memory_used": {(): 0.9},
        "gpus": {(): 2.0},
        "power": {(): 600.0},
        "energy": {(): pytest.approx(0.6 * WINDOW_S / 3600)},
    }
