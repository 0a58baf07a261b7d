"""`predictscale discover` against a real Prometheus that holds several backends."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from command_here import here
from patience import WITHIN_S
from predictscale.clock import SystemClock
from predictscale.core.series import MetricWindow, floor_to_grid
from prometheus_server import BackfilledSeries, PrometheusServer

pytestmark = pytest.mark.e2e

CLI = Path(sys.executable).parent / "predictscale"
AHEAD = timedelta(hours=3)
"""So long the series go on: no machine is so slow that they end while tests run."""
MINUTES = 25 + round(AHEAD.total_seconds() / 60)
OWNED = {"llm": "chat", "other": "chat"}


def held() -> list[BackfilledSeries]:
    """Series that began 25 minutes ago, and last until long after the present."""
    end = floor_to_grid(SystemClock().now(), 60.0) + AHEAD
    ramp = np.arange(1, MINUTES + 1, dtype=np.float64) * 60.0
    found: dict[str, list[BackfilledSeries]] = {}

    def put(metric: str, **labels: str) -> None:
        window = MetricWindow(end - timedelta(minutes=MINUTES), 60.0, ramp)
        found.setdefault(metric, []).append(BackfilledSeries(metric, labels, window))

    for namespace, deployment in OWNED.items():
        for pod in ("x-1", "x-2"):
            vllm = {"namespace": namespace, "pod": pod, "model_name": "meta/llama-3"}
            put("vllm:num_requests_waiting", **vllm)
            put("vllm:time_to_first_token_seconds_count", **vllm)
            put("kube_pod_owner", namespace=namespace, pod=pod, owner_kind="ReplicaSet", owner_name="x")
        owner = {"owner_kind": "Deployment", "owner_name": deployment}
        put("kube_replicaset_owner", namespace=namespace, replicaset="x", **owner)
    put("sglang:num_queue_reqs", namespace="llm", pod="sgl-7c9f8b6d5-x7k2b")
    put("ranker_started_total", namespace="own", pod="rank-7c9f8b6d5-x7k2b")
    put("nginx_ingress_controller_requests", namespace="ingress", exported_namespace="web", ingress="shop")
    return [one for name in sorted(found) for one in found[name]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with PrometheusServer(tmp_path_factory.mktemp("found"), series=held()) as running:
        yield running


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CLI, "discover", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env={
            **os.environ,
            "COLUMNS": "200",
            "NO_COLOR": "1",
            "PREDICTSCALE_PROMETHEUS__TIMEOUT_S": f"{WITHIN_S:g}",
        },
        timeout=WITHIN_S,
    )


def told(server: PrometheusServer, *arguments: object) -> dict[tuple[str, str], dict[str, Any]]:
    done = run("--prometheus", server.url, "--json", *arguments)
    assert done.returncode == 0, done.stderr
    proposals = json.loads(done.stdout)["proposals"]
    return {(each["namespace"], each["backend"]): each for each in proposals}


def test_each_backend_is_proposed_with_what_was_seen_and_its_demand_now(server: PrometheusServer) -> None:
    found = told(server)
    assert set(found) == {("llm", "vllm"), ("other", "vllm"), ("llm", "sglang"), ("web", "nginx")}
    chat = found["llm", "vllm"]
    assert chat["deployment"] == "chat"
    assert chat["selector"] == 'model_name="meta/llama-3"'
    # Each of two pods gets a first token a second, and its queue grows as fast.
    assert chat["demand_now"] == pytest.approx(4.0, rel=0.05)
    assert (
        "vllm:num_requests_waiting has 2 series in namespace llm, model_name meta/llama-3" in chat["because"]
    )
    assert found["llm", "sglang"]["demand_now"] is None
    assert found["web", "nginx"]["metadata"]["selector"] == 'ingress="shop"'


def test_one_namespace_is_one_namespace(server: PrometheusServer) -> None:
    before = len(server.queries())
    assert set(told(server, "--namespace", "other")) == {("other", "vllm")}
    assert all('"other"' in asked.query for asked in server.queries()[before:])


def test_backends_of_the_owners_are_looked_for_too(server: PrometheusServer, tmp_path: Path) -> None:
    own = {
        "name": "ranker",
        "title": "Ours",
        "source": "a test",
        "discovery": {"metrics": ["ranker_started_total"], "told_by": "engine"},
        "signals": {
            "demand": {
                "query": "sum(rate(ranker_started_total{$selector}[$window]))",
                "unit": "requests/s",
                "meaning": "arrival",
            }
        },
    }
    path = tmp_path / "service.json"
    path.write_text(json.dumps({"prometheus": {"url": server.url}, "backends": [own]}))
    assert ("own", "ranker") not in told(server)
    found = told(server, "--service", path)["own", "ranker"]
    assert (found["deployment"], found["demand_now"]) == ("rank", pytest.approx(1.0, rel=0.05))


def test_what_is_printed_is_a_list_of_triggers_that_says_what_is_missing(server: PrometheusServer) -> None:
    done = run("--prometheus", server.url, "--address", "svc:6000")
    assert done.returncode == 0, done.stderr
    triggers = yaml.safe_load(done.stdout)
    assert [trigger["type"] for trigger in triggers] == ["external"] * 4
    assert all(trigger["metadata"]["scalerAddress"] == "svc:6000" for trigger in triggers)
    assert 'capacityPerReplica: "FILL_IN"  # requests/s that one replica serves within its SLO' in done.stdout
    assert "#   its demand has no value now: sum(rate(sglang:http_requests_total" in done.stdout
    assert "#   or: backend vllm-tokens" in done.stdout


def test_a_printed_trigger_passes_the_check_once_it_is_filled_in(
    server: PrometheusServer, tmp_path: Path
) -> None:
    done = run("--prometheus", server.url, "--namespace", "llm")
    triggers = yaml.safe_load(done.stdout)
    for trigger in triggers:
        trigger["metadata"] |= {"capacityPerReplica": "5", "leadTime": "4m", "maxReplicas": "9"}
    manifest = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "chat", "namespace": "llm"},
        "spec": {"scaleTargetRef": {"name": "chat"}, "triggers": triggers},
    }
    path = tmp_path / "scaledobject.yaml"
    path.write_text(yaml.safe_dump(manifest))
    checked = subprocess.run(
        [CLI, "check", path], capture_output=True, text=True, check=False, timeout=WITHIN_S
    )
    assert checked.returncode == 0, checked.stderr


def test_nothing_found_is_said_and_is_no_success(server: PrometheusServer) -> None:
    done = run("--prometheus", server.url, "--namespace", "empty")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no series of a known backend in namespace empty" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "--prometheus: is missing"),
        (("--prometheus", "not a url"), 2, "prometheus.url"),
        (("--prometheus", "http://127.0.0.1:1"), 1, "prometheus: "),
        (("--prometheus", "http://127.0.0.1:1", "--namespace", "a|.*"), 2, "--namespace: 'a|.*'; must be"),
        (("--service", "no-such.yaml"), 2, "no-such.yaml"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[object, ...], code: int, message: str) -> None:
    done = here("discover", *arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr
