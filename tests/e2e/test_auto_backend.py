"""`backend: auto` and backends of the owner's, in the running service on a real Prometheus."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from keda_client import KedaClient, ScaledObject
from patience import WITHIN_S
from predictscale.clock import SystemClock
from predictscale.core.series import MetricWindow, floor_to_grid
from prometheus_server import BackfilledSeries, PrometheusServer
from service_process import ServiceProcess

pytestmark = pytest.mark.e2e

AHEAD = timedelta(hours=3)
"""So long the series go on: no machine is so slow that they end while tests run."""
MINUTES = 50 + round(AHEAD.total_seconds() / 60)
PODS = ("chat-7c9f8b6d5-x7k2b", "chat-7c9f8b6d5-x7k2c")
OTHER = "draft-7c9f8b6d5-x7k2d"
SAYS = {
    "scalerAddress": "predictscale:6000",
    "backend": "auto",
    "unit": "requests/s",
    "capacityPerReplica": "1",
    "maxReplicas": "100",
    "leadTime": "60s",
}
MINE = {
    "name": "mine",
    "title": "Our own engine",
    "source": "its README",
    "discovery": {"metrics": ["mine_started_total"], "told_by": "engine"},
    "signals": {
        "demand": {
            "query": "sum(rate(mine_started_total{$selector}[$window]))",
            "unit": "requests/s",
            "meaning": "arrival",
        }
    },
}


def held() -> list[BackfilledSeries]:
    """Series that began 50 minutes ago, and last until long after the present or ended hours ago."""
    end = floor_to_grid(SystemClock().now(), 60.0) + AHEAD
    found: dict[str, list[BackfilledSeries]] = {}

    def put(metric: str, per_minute: float, *, until_s: float = 0.0, **labels: str) -> None:
        ramp = np.arange(1, MINUTES + 1, dtype=np.float64) * per_minute
        ramp = ramp if per_minute else np.zeros(MINUTES)
        window = MetricWindow(end - timedelta(minutes=MINUTES, seconds=until_s), 60.0, ramp)
        found.setdefault(metric, []).append(BackfilledSeries(metric, labels, window))

    for namespace, ended_s in (("llm", 0.0), ("asleep", AHEAD.total_seconds() + 3 * 3600.0)):
        for pod in (*PODS, OTHER):
            labels = {"namespace": namespace, "pod": pod, "model_name": "m", "engine": "0"}
            put("vllm:num_requests_waiting", 0.0, until_s=ended_s, **labels)
            put("vllm:time_to_first_token_seconds_count", 240.0, until_s=ended_s, **labels)
    put("sglang:num_queue_reqs", 0.0, namespace="llm", pod="draft-7c9f8b6d5-x7k2f")
    put("mine_started_total", 180.0, namespace="own", pod=PODS[0])
    return [one for name in sorted(found) for one in found[name]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with PrometheusServer(tmp_path_factory.mktemp("auto"), series=held()) as running:
        yield running


@pytest.fixture(scope="module")
def service(server: PrometheusServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    folder = tmp_path_factory.mktemp("service")
    settings = {
        "prometheus": {"url": server.url, "timeout_s": WITHIN_S},
        "grpc": {"timeout_s": 30},
        "loop": {"tick_s": 1, "step_s": 15, "history_s": "1h"},
        "backends": [MINE],
    }
    (folder / "service.json").write_text(json.dumps(settings))
    with ServiceProcess(["serve", "--config", str(folder / "service.json")], log=folder / "log") as process:
        yield process


@pytest.fixture
async def keda(service: ServiceProcess) -> AsyncIterator[KedaClient]:
    client = KedaClient(service.grpc_address)
    yield client
    await client.close()


def scaled(namespace: str, name: str, **metadata: str) -> ScaledObject:
    return ScaledObject(name=name, namespace=namespace, metadata={**SAYS, **metadata})


async def decided(
    service: ServiceProcess, keda: KedaClient, asked: ScaledObject, until: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """Register as KEDA does, from metadata alone, then wait for a decision that will do."""
    assert (await keda.stub.GetMetricSpec(asked.ref)).metricSpecs
    deadline_s = time.monotonic() + WITHIN_S
    path = f"/api/v1/workloads/{asked.namespace}/{asked.name}/decision"
    while True:
        answer = service.get(path)
        if answer.status_code == 200 and until(answer.json()):
            found: dict[str, Any] = answer.json()
            return found
        assert time.monotonic() < deadline_s, answer.text + service.log()[-2000:]
        await asyncio.sleep(0.1)


def is_seen(decision: dict[str, Any]) -> bool:
    return bool(decision["health"] != "unknown")


def is_noted(decision: dict[str, Any]) -> bool:
    """Whether its backend was looked for, and Prometheus answered."""
    notes: list[str] = decision["notes"]
    return bool(notes) and not notes[0].startswith("the backend could not be looked for")


async def test_the_targets_engine_is_found_and_its_own_load_is_read(
    service: ServiceProcess, keda: KedaClient
) -> None:
    chat = scaled("llm", "chat", target="chat")
    decision = await decided(service, keda, chat, is_seen)
    # Two pods of its own with four first tokens a second each; the third is another Deployment's.
    assert decision["demand"] == pytest.approx(8.0, rel=0.02)
    assert decision["notes"][0].startswith(
        "backend vllm was detected: vllm:num_requests_waiting has 2 series"
    )
    (sample,) = await keda.poll(chat)
    assert sample.value >= 8
    assert '"backend detected"' in service.log()


async def test_of_several_none_is_taken_and_keda_is_told_that_nothing_is_known(
    service: ServiceProcess, keda: KedaClient
) -> None:
    several = scaled("llm", "several")
    decision = await decided(service, keda, several, is_noted)
    assert decision["health"] == "unknown"
    assert decision["notes"][0].startswith("no backend is chosen: ")
    assert "vllm (vLLM, requests) of Deployment chat" in decision["notes"][0]
    assert "sglang (SGLang, requests) of Deployment draft" in decision["notes"][0]
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await keda.poll(several)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_selector_and_a_unit_narrow_to_one(service: ServiceProcess, keda: KedaClient) -> None:
    narrowed = scaled("llm", "narrowed", selector='pod=~"chat-.*",model_name="m"')
    assert (await decided(service, keda, narrowed, is_seen))["demand"] == pytest.approx(8.0, rel=0.02)
    other = scaled("llm", "other", target="chat", unit="tokens/s")
    decision = await decided(service, keda, other, is_noted)
    assert decision["notes"][0].startswith("backend vllm-tokens was detected")


async def test_a_backend_of_the_owners_is_found_too(service: ServiceProcess, keda: KedaClient) -> None:
    decision = await decided(service, keda, scaled("own", "mine", target="chat"), is_seen)
    assert decision["demand"] == pytest.approx(3.0, rel=0.02)
    assert decision["notes"][0].startswith("backend mine was detected")
    assert "backend mine is the service's own" in service.log()


async def test_what_sleeps_now_is_known_by_what_it_told_lately(
    service: ServiceProcess, keda: KedaClient
) -> None:
    decision = await decided(service, keda, scaled("asleep", "chat", target="chat"), is_noted)
    assert decision["notes"][0].startswith("backend vllm was detected")
    assert decision["demand"] is None


async def test_nothing_at_all_is_said_to_be_nothing(service: ServiceProcess, keda: KedaClient) -> None:
    decision = await decided(service, keda, scaled("empty", "chat"), is_noted)
    assert decision["notes"] == ["no backend is chosen: namespace empty has no series of a known backend"]


def backtested(
    server: PrometheusServer, folder: Path, **workload: object
) -> subprocess.CompletedProcess[str]:
    """`predictscale backtest` of a named workload with `backend: auto`."""
    settings = {
        "prometheus": {"url": server.url, "timeout_s": WITHIN_S},
        "loop": {"history_s": "1h"},
        "workloads": [
            {"namespace": "llm", "name": "chat", "backend": "auto", "unit": "requests/s",
             "capacity_per_replica": 1, "max_replicas": 100, "lead_time_s": 60, **workload}
        ],
    }  # fmt: skip
    path = folder / "service.json"
    path.write_text(json.dumps(settings))
    cli = Path(sys.executable).parent / "predictscale"
    command: list[str | Path] = [
        cli,
        "backtest",
        "--workload",
        path,
        "--prometheus",
        server.url,
        "--days",
        "0.02",
        "--json",
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=WITHIN_S)


def test_a_backtest_finds_the_backend_too_or_says_why_not(server: PrometheusServer, tmp_path: Path) -> None:
    undecided = backtested(server, tmp_path)
    assert undecided.returncode == 2
    assert "llm/chat: no backend is chosen: 3 backends fit" in undecided.stderr
    found = backtested(server, tmp_path, target="chat")
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout)["workload"] == "llm/chat"
