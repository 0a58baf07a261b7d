"""A cluster in which every kind of workload has something to show, for tests of dashboards and rules.

Two simulated engine fleets, a shop with a price, a budget and an objective, a search on two pools, and
one whose query fails. A real Prometheus is told of two days of them by remote write; the service lives
through the last part on a clock of ours, and what it exposes is written tick by tick. At the end it stands
still, and Prometheus scrapes it and the engines as it would in a cluster, `honor_labels` included.
"""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from unittest.mock import patch

import grpc.aio
import httpx2
from prometheus_client import Metric

from engine_day import SLOW_ENGINE
from inline_tuner import StubTuner
from keda_client import EmptyMetricSpec, KedaClient, ScaledObject
from made_series import shop
from patience import WITHIN_S
from predictscale.bootstrap import Service
from predictscale.clock import ManualClock, SystemClock
from predictscale.config.load import load_service
from predictscale.control.counterfactual import CounterfactualMeter
from predictscale.control.refit import FitPool
from predictscale.control.tracker import Tracker
from predictscale.core.demand import WorkloadId
from predictscale.core.series import floor_to_grid
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay
from predictscale.forecasters.registry import FORECASTERS
from predictscale.forecasters.tournament import AUTO, Tournament
from predictscale.simulate.engine import kubernetes
from predictscale.simulate.engine.deployment import Names
from predictscale.simulate.engine.exposition import EngineName, pod_families
from predictscale.simulate.engine.families import Families
from predictscale.simulate.engine.fleet import Fleet
from predictscale.simulate.engine.pods import PodBoot
from predictscale.simulate.engine.server import FleetServer
from predictscale.simulate.engine.traffic import CHAT, Mix
from predictscale.simulate.fleet import BootTime
from prometheus_server import PrometheusServer
from remote_write import Scraped, write

TICK_S = 15.0
PAST = timedelta(days=2)
ENGINES_SINCE = timedelta(hours=3)
SERVED = timedelta(minutes=30)
"""How long the service lives through before it is scraped."""
SCRAPED = 8
"""Scrapes of each target before anything is asked, all within a minute: as many as rates take."""
SETTLED = timedelta(seconds=5)
"""A scrape that began so long ago has ended, and is in or has failed: it may take a second."""
JOB = "predictscale"
_CACHED = Mix.only(CHAT)
_BOOT = PodBoot(schedule=BootTime(median_s=1), pull=BootTime(median_s=20), load=BootTime(median_s=60))
_PRICE: dict[str, Any] = {
    "price": {"per_replica_hour": 4.0, "currency": "EUR", "gpus_per_replica": 1, "watts_per_gpu": 500,
              "grid": {"constant_g_per_kwh": 380}},
}  # fmt: skip
_LLM: dict[str, Any] = {
    "namespace": "llm",
    "lead_time_s": "2m",
    "max_replicas": 12,
    "forecasters": ["last-value"],
}
WORKLOADS: list[dict[str, Any]] = [
    {**_LLM, **_PRICE, "name": "chat", "backend": "vllm-tokens", "target": "chat",
     "selector": 'model_name="example/chat"', "labels": {"team": "assistants"},
     "capacity": {"itl_s": 0.2, "ttft_p95_s": 3.0, "start_per_replica": 250}},
    {**_LLM, "name": "code", "backend": "sglang-tokens", "target": "code",
     "selector": 'model_name="example/code"', "capacity_per_replica": 250},
    {**_PRICE, "namespace": "web", "name": "shop", "query": "sum(shop_rps)",
     "queue_query": "sum(shop_queue)",
     "target": "shop", "capacity_per_replica": 80, "lead_time_s": "2m", "max_replicas": 30,
     "forecasters": ["auto", "last-value"], "labels": {"team": "shop"}, "warm_replicas": 2,
     "slo": {"max_violation": "1%", "wait": "30s", "window": "1d"},
     "budget": {"per_month": 4000}},
    {"namespace": "web", "name": "search", "query": "sum(search_rps)", "capacity_per_replica": 10,
     "lead_time_s": "2m", "max_replicas": 20, "forecasters": ["last-value"],
     "pools": [{"name": "on-demand", "kind": "on-demand", "target": "search"},
               {"name": "spot", "kind": "spot", "target": "search-spot", "zones": ["a"]}],
     "spot": {"availability": 0.9}},
    {"namespace": "web", "name": "broken", "query": 'label_replace(shop_rps, "a", "b", "", "") or vector(1)',
     "capacity_per_replica": 10, "max_replicas": 3, "forecasters": ["last-value"]},
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """What is left when the service has gone.

    Args:
        server: The Prometheus that knows it all.
        since: When the service's series begin.
        written: Until when they were written; what is later was scraped.
        at: When it was last scraped.
    """

    server: PrometheusServer
    since: datetime
    written: datetime
    at: datetime


class _Engines:
    """One fleet of engines and what is told of it."""

    def __init__(self, name: str, engine: EngineName, since: datetime) -> None:
        self.engine = engine
        self.fleet = Fleet(
            spec=SLOW_ENGINE,
            streams=_CACHED.streams(lambda at_s: 1.0 + 0.8 * math.sin(at_s / 900)),
            pods=2,
            boot=_BOOT,
            origin=since,
            bin_s=TICK_S,
            names=Names(namespace="llm", deployment=name, model=f"example/{name}"),
            seed=len(name),
        )
        self.scraped = Scraped()

    def look(self, at: datetime) -> None:
        """Let it live until `at`, and look at it."""
        minutes = (at - self.fleet.origin).total_seconds() / 60
        if minutes % 20 == 0:
            # Replicas that come and go, by whose starts the lead time is measured.
            self.fleet.scale(5 if minutes % 40 else 2, at)
        self.fleet.run(at)
        families = pod_families(self.fleet, engine=self.engine, names="new")
        kubernetes.tell(families, self.fleet)
        self.scraped.look(at, families)


@dataclass
class _Told:
    """Everything that stands still in the cluster, and the demand that does not."""

    scraped: Scraped = field(default_factory=Scraped)

    def look(self, at: datetime) -> None:
        """Tell of one instant."""
        families = Families()
        day = math.sin(2 * math.pi * at.timestamp() / 86400)
        families.gauge(
            "shop_rps", "", {"namespace": "web"}, 700 + 500 * day + 20 * math.sin(at.timestamp() / 60)
        )
        families.gauge("shop_queue", "", {"namespace": "web"}, 3.0)
        families.gauge("search_rps", "", {"namespace": "web"}, 60.0)
        for name, count in (("shop", 6), ("search", 0), ("search-spot", 6)):
            labels = {"namespace": "web", "deployment": name}
            for metric in ("status_replicas", "status_replicas_ready", "spec_replicas"):
                families.gauge(f"kube_deployment_{metric}", "", labels, count)
        for name, value, labels in _spot_pods():
            families.gauge(name, "", labels, value)
        self.scraped.look(at, families)


def _spot_pods() -> Iterator[tuple[str, float, dict[str, str]]]:
    """Six pods on spot nodes of one zone; one node is announced to go."""
    owner = {
        "namespace": "web",
        "replicaset": "search-spot-1",
        "owner_kind": "Deployment",
        "owner_name": "search-spot",
    }
    yield "kube_replicaset_owner", 1, owner
    for number in range(6):
        node, pod = {"node": f"node-{number}"}, {"namespace": "web", "pod": f"search-spot-1-{number}"}
        yield "kube_node_info", 1, node
        yield "kube_node_labels", 1, {**node, "label_topology_kubernetes_io_zone": "a"}
        yield "kube_pod_info", 1, {**pod, **node}
        yield "kube_pod_owner", 1, {**pod, "owner_kind": "ReplicaSet", "owner_name": "search-spot-1"}
        yield "kube_pod_status_ready", 1, {**pod, "condition": "true"}
    taint = {"node": "node-0", "key": "cloud.google.com/impending-node-termination"}
    yield "kube_node_spec_taint", 1, taint


class _Exposed:
    """What the service exposes, with the labels that a scrape would add."""

    def __init__(self, metrics: Iterable[Metric], instance: str) -> None:
        self._metrics, self._added = metrics, {"job": JOB, "instance": instance}

    def collect(self) -> Iterable[Metric]:
        """The families, each sample with the labels added."""
        for metric in self._metrics:
            told = Metric(metric.name, metric.documentation, metric.type)
            for sample in metric.samples:
                told.add_sample(sample.name, {**sample.labels, **self._added}, sample.value)
            yield told


class Cluster:
    """The world until now, and the Prometheus that is told of it.

    Args:
        folder: Where Prometheus and the service keep their files.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._targets = folder / "targets.json"
        self._targets.write_text("[]")
        self.end = floor_to_grid(datetime.now(UTC), 60.0)
        self.start = self.end - SERVED
        engines_since = self.end - ENGINES_SINCE
        self._engines = [
            _Engines("chat", "vllm", engines_since),
            _Engines("code", "sglang", engines_since),
        ]
        self._still = _Told()
        self.server = PrometheusServer(folder, scrape_configs=[_scrape(self._targets)], receives=True)

    def remember(self) -> None:
        """Write the past, the oldest first: Prometheus takes nothing much older than its newest."""
        at, engines_since = self.end - PAST, self.end - ENGINES_SINCE
        while at < self.end:
            until = min(at + timedelta(minutes=30), self.end)
            while at < until:
                at += timedelta(seconds=60 if at < engines_since else TICK_S)
                self._still.look(at)
                for fleet in self._engines if at > engines_since else ():
                    fleet.look(at)
            write(self.server.url, self._still.scraped.take(), *(f.scraped.take() for f in self._engines))

    async def live(self) -> Scene:
        """Let the service live through the last part, then let it be scraped for a while."""
        clock = ManualClock(self.start)
        async with _served(self._settings(), clock) as service:
            keda = KedaClient(f"127.0.0.1:{service.grpc.port}")
            instance = f"127.0.0.1:{service.metrics_port}"
            own = Scraped()
            while clock.now() < self.end:
                await _decided(service, clock.now())
                await _asked(keda)
                own.look(clock.now(), cast("Families", _Exposed(service.meters.registry.collect(), instance)))
                clock.advance(TICK_S)
            await _decided(service, clock.now())
            write(self.server.url, own.take())
            with (
                FleetServer(self._engines[0].fleet, SystemClock()) as one,
                FleetServer(self._engines[1].fleet, SystemClock(), engine="sglang") as other,
            ):
                self._scrape_from(instance, one.address, other.address)
                at = await self._scraped(instance, one.address, other.address)
            await keda.close()
        return Scene(server=self.server, since=self.start, written=self.end, at=at)

    def _scrape_from(self, instance: str, *engines: str) -> None:
        groups = [
            {"targets": [instance], "labels": {"job": JOB}},
            {"targets": list(engines), "labels": {"job": "engines"}},
        ]
        self._targets.write_text(json.dumps(groups))

    async def _scraped(self, *instances: str) -> datetime:
        """An instant by which all of them had been scraped for as long as rates take, and the last time well.

        It has passed, and nothing can be told of it any more: on a busy machine a scrape takes too long
        now and then, and what was there a moment ago is gone until the next one.
        """
        every = f'up{{instance=~"{"|".join(instances)}"}}'
        query = f"count(sum_over_time({every}[1m]) >= {SCRAPED} and {every} == 1) == {len(instances)}"
        async with (
            asyncio.timeout(WITHIN_S),
            httpx2.AsyncClient(trust_env=False, timeout=WITHIN_S) as client,
        ):
            while True:
                at = datetime.now(UTC) - SETTLED
                asked = {"query": query, "time": f"{at.timestamp():.3f}"}
                answer = await client.get(f"{self.server.url}/api/v1/query", params=asked)
                if answer.json()["data"]["result"]:
                    return at
                await asyncio.sleep(0.1)

    def _settings(self) -> Path:
        loopback = {"host": "127.0.0.1", "port": 0}
        settings = {
            "prometheus": {"url": self.server.url, "timeout_s": WITHIN_S},
            "loop": {"tick_s": TICK_S, "history_s": "2d"},
            "grpc": {**loopback, "drain_s": 0, "timeout_s": 30},
            "http": loopback,
            "metrics": loopback,
            "workloads": WORKLOADS,
        }
        path = self._folder / "service.json"
        path.write_text(json.dumps(settings))
        return path


def _scrape(targets: Path) -> dict[str, Any]:
    return {
        "job_name": "all",
        "honor_labels": True,
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "file_sd_configs": [{"files": [str(targets)], "refresh_interval": "1s"}],
    }


@asynccontextmanager
async def _served(file: Path, clock: ManualClock) -> AsyncIterator[Service]:
    service = Service(load_service(file), clock=clock)
    # A tournament of few and a tuner that does not try, for what they cost; and time for a worker to start.
    known = {**FORECASTERS, AUTO: Tournament(candidates=(SeasonalNaiveDay(), LastValue()))}
    service._fits = FitPool(
        meters=service.meters, quick_deadline_s=WITHIN_S, deadline_s=WITHIN_S, known=known
    )
    vars(service)["_tuner"] = StubTuner()
    await service._fits.fit(("last-value",), shop(days=1), quick_only=True)
    # What a month has cost is in books that the service keeps itself, and nobody waits for a month here.
    with patch.object(CounterfactualMeter, "spent", return_value=3000.0):
        await service.start()
        try:
            yield service
        finally:
            await service.stop()


async def _decided(service: Service, at: datetime) -> None:
    """Every workload has its decision for `at`, and what it began in the background has ended."""
    # Of life, and only so that a tick that failed is not waited for.
    async with asyncio.timeout(WITHIN_S):
        for one in WORKLOADS:
            name = WorkloadId(one["namespace"], one["name"])
            tracker = service.loop.tracker(name)
            assert isinstance(tracker, Tracker)
            async for decision in service.store.changes(name):
                if decision.seen.now >= at:
                    await tracker.fitted()
                    break


async def _asked(keda: KedaClient) -> None:
    """KEDA asks for all that it is given, and for one that is refused."""
    for one in WORKLOADS:
        for pool in [pool["name"] for pool in one.get("pools", ())] or [None]:
            metadata = {"scalerAddress": "predictscale:6000", "workload": one["name"]}
            metadata |= {} if pool is None else {"pool": pool}
            await _poll(
                keda,
                ScaledObject(name=f"{one['name']}-{pool}", namespace=one["namespace"], metadata=metadata),
            )
    wrong = {"scalerAddress": "predictscale:6000", "workload": "nobody"}
    await _poll(keda, ScaledObject(name="wrong", namespace="web", metadata=wrong))


async def _poll(keda: KedaClient, scaled: ScaledObject) -> None:
    try:
        await keda.poll(scaled)
    except (grpc.aio.AioRpcError, EmptyMetricSpec):
        return
