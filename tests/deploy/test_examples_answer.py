"""Every trigger of the examples, asked over gRPC by KEDA's client of a service that has the example file."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml

from keda_client import ScaledObject, keda
from patience import WITHIN_S
from predictscale.bootstrap import Service
from predictscale.clock import ManualClock
from predictscale.config.load import load_service
from predictscale.core.demand import Signal, SignalName, WorkloadId
from predictscale.core.series import MetricWindow
from predictscale.meters import Meters
from predictscale.sources.base import Answer, Labelled
from predictscale.sources.prometheus import PrometheusSource

ROOT = Path(__file__).resolve().parents[2]
START = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
POD = {"namespace": "llm", "pod": "assistant-7c9f8b6d5-x7k2b", "model_name": "m"}
LOAD, HERE = 40.0, 2.0
FLAT = {SignalName.DEMAND: LOAD, SignalName.QUEUE: 0.0, SignalName.REPLICAS: HERE, SignalName.READY: HERE}

pytestmark = pytest.mark.e2e


class FlatPrometheus(PrometheusSource):
    """A Prometheus that tells a steady load of whatever it is asked, and of one vLLM server."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__(url="http://127.0.0.1:1", meters=Meters(), clock=clock)

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        bins = round((end - start).total_seconds() / step_s)
        return Answer(MetricWindow(start, step_s, np.full(bins, FLAT.get(signal.name, 0.0))))

    async def read_each(
        self, query: str, *, start: datetime, end: datetime, step_s: float
    ) -> tuple[Labelled, ...]:
        if "kube_deployment_status_replicas" not in query:
            return ()
        bins = round((end - start).total_seconds() / step_s)
        return (Labelled({}, MetricWindow(start, step_s, np.full(bins, HERE))),)

    async def instant(
        self, query: str, *, at: datetime, whole: bool = False
    ) -> list[tuple[dict[str, str], float]]:
        del at, whole
        told = "vllm:num_requests_waiting"
        return [({"__name__": told, **POD}, 1.0)] if told in query else []


@dataclass(frozen=True, slots=True)
class Trigger:
    """One external trigger of the examples, as KEDA would send it."""

    name: str
    asks: ScaledObject
    least: int
    most: int

    @property
    def workload(self) -> WorkloadId:
        """Whose decision answers it."""
        return WorkloadId(self.asks.namespace, self.asks.metadata.get("workload", self.asks.name))


def triggers() -> Iterator[Trigger]:
    for path in sorted((ROOT / "deploy" / "examples").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] != "ScaledObject":
                continue
            name, namespace = document["metadata"]["name"], document["metadata"]["namespace"]
            spec = document["spec"]
            for trigger in spec["triggers"]:
                if trigger["type"].startswith("external"):
                    yield Trigger(
                        name=f"{path.stem}: {name}",
                        asks=ScaledObject(name, namespace, trigger["metadata"]),
                        least=spec["minReplicaCount"],
                        most=spec["maxReplicaCount"],
                    )


TRIGGERS = tuple(triggers())


def needed(trigger: Trigger) -> int:
    """Replicas without which the load that is here would not be served, where a trigger says so."""
    said = trigger.asks.metadata
    each = float(said.get("capacityPerReplica", "inf"))
    return min(trigger.most, max(trigger.least, int(said.get("warmReplicas", "0")), math.ceil(LOAD / each)))


@asynccontextmanager
async def example_service() -> AsyncIterator[Service]:
    clock = ManualClock(START)
    local = {part: {"host": "127.0.0.1", "port": 0} for part in ("grpc", "http", "metrics")}
    settings = load_service(
        ROOT / "predictscale.example.yaml",
        env={},
        overrides={
            **local,
            "cache": {"path": None},
            "loop": {"tick_s": 15, "step_s": 60, "history_s": 2 * 86400},
            "defaults": {"forecasters": ["last-value"]},
        },
    )
    service = Service(settings, clock=clock, source=FlatPrometheus(clock))
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


async def decided(service: Service) -> None:
    """Return once there is a decision for every trigger that was asked about."""
    async with asyncio.timeout(WITHIN_S):
        while any(service.store.latest(trigger.workload) is None for trigger in TRIGGERS):
            await asyncio.sleep(0.01)


async def test_every_trigger_of_the_examples_is_answered_over_grpc() -> None:
    async with example_service() as service, keda(f"127.0.0.1:{service.grpc.port}") as client:
        for trigger in TRIGGERS:
            (spec,) = (await client.stub.GetMetricSpec(trigger.asks.ref)).metricSpecs
            assert (spec.metricName, spec.targetSize) == ("predictscale-replicas", 1), trigger.name
        await decided(service)
        for trigger in TRIGGERS:
            (sample,) = await client.hpa(trigger.asks)
            assert sample.active is (sample.value > 0), trigger.name
            assert needed(trigger) <= sample.value <= trigger.most, (trigger.name, sample)
        assert client.rebuilds == 0


async def test_a_push_trigger_of_the_examples_is_told_at_once_that_somebody_is_there() -> None:
    (push,) = (trigger for trigger in TRIGGERS if trigger.name.startswith("scale-to-zero-push"))
    told: asyncio.Queue[bool] = asyncio.Queue()
    async with example_service() as service, keda(f"127.0.0.1:{service.grpc.port}") as client:
        watching = asyncio.create_task(client.watch_active(push.asks, told.put_nowait))
        async with asyncio.timeout(WITHIN_S):
            assert await told.get() is True
        watching.cancel()
