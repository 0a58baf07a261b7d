"""The whole path on a real Prometheus: two weeks of history, live scrapes, KEDA's cycle, and faults."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from exporter import Exporter
from keda_client import KedaClient, ScaledObject
from patience import WITHIN_S, until
from predictscale.core.series import Floats, MetricWindow, floor_to_grid
from prometheus_server import BackfilledSeries, PrometheusServer
from service_process import ServiceProcess

pytestmark = pytest.mark.e2e

DAY_S = 86400.0
BASE_RPS, TOP_RPS, RAMP_S = 100.0, 600.0, 1800.0
INTO_RAMP_S = 720.0
PER_REPLICA = 1.0
LEAD_S = 120.0
SIGNAL_LAG_S = 20.0
"""A rate over 30 s tells the middle of them; a scrape and a poll add a little."""
FRESH_S, STALE_AFTER_S = 15.0, 60.0
"""Between them lie nine ticks, of which a slow machine may miss most."""
FLOOR = 30
STEP_S = 15.0
TICK_S = 5.0
SHOP = "/api/v1/workloads/prod/shop"
QUERY = 'sum(rate(http_requests_total{namespace="prod",service="shop"}[30s]))'
NAMED = ScaledObject(
    name="shop", namespace="prod", metadata={"scalerAddress": "predictscale:6000", "workload": "shop"}
)
INLINE = ScaledObject(
    name="shop-inline",
    namespace="prod",
    metadata={
        "scalerAddress": "predictscale:6000",
        "backend": "http",
        "selector": 'service="shop"',
        "capacityPerReplica": "10",
        "maxReplicas": "100",
        "leadTime": "60s",
    },
)


@dataclass(frozen=True)
class DailyRamp:
    """Demand that climbs smoothly at the same time each day, and comes down at once an hour later."""

    begins_s: float

    def __call__(self, at_s: float) -> float:
        """Requests per second at an instant."""
        return float(self.rps(np.asarray(at_s)))

    def rps(self, at_s: NDArray[np.floating]) -> Floats:
        """The same at each of many, in seconds since the epoch."""
        into_s = (at_s - self.begins_s) % DAY_S
        climbed = np.where(into_s < RAMP_S + 3600, np.clip(into_s / RAMP_S, 0, 1), 0.0)
        rps: Floats = BASE_RPS + (TOP_RPS - BASE_RPS) * (1 - np.cos(np.pi * climbed)) / 2
        return rps

    def reaches(self, rps: float) -> float:
        """When the climb gets there, in seconds since the epoch."""
        climbed = np.arccos(1 - 2 * (rps - BASE_RPS) / (TOP_RPS - BASE_RPS)) / np.pi
        return float(self.begins_s + RAMP_S * climbed)

    def counter(self, *, days: int, until_s: float) -> MetricWindow:
        """What a counter of it stood at, every 15 s."""
        start = floor_to_grid(datetime.fromtimestamp(until_s - days * DAY_S, UTC), STEP_S)
        bins = int((until_s - start.timestamp()) // STEP_S)
        middles = start.timestamp() + (np.arange(bins) + 0.5) * STEP_S
        return MetricWindow(start, STEP_S, np.cumsum(self.rps(middles) * STEP_S))


@dataclass
class Setting:
    """Everything that runs around the service."""

    folder: Path
    prometheus: PrometheusServer
    demand: DailyRamp
    began_s: float
    keda: KedaClient | None = None

    def serve(self) -> ServiceProcess:
        """The service, not yet started."""
        return ServiceProcess(
            ["serve", "--config", str(self.folder / "service.json")], log=self.folder / "service.log"
        )


@pytest.fixture
def setting(tmp_path: Path) -> Iterator[Setting]:
    began_s = time.time()
    demand = DailyRamp(begins_s=began_s - INTO_RAMP_S)
    past = demand.counter(days=14, until_s=began_s)
    total, since_s = float(past.values[-1]), past.end.timestamp()
    with Exporter(demand, total=total, since_s=since_s) as exporter:
        # The same series as the scraped one, so that the counter goes on where the past ends.
        labels = {"namespace": "prod", "service": "shop", "job": "shop", "instance": exporter.address}
        scrape = {
            "job_name": "shop",
            "honor_labels": True,
            "static_configs": [{"targets": [exporter.address]}],
        }
        folder = tmp_path / "prometheus"
        folder.mkdir()
        series = [BackfilledSeries("http_requests_total", labels, past)]
        with PrometheusServer(folder, scrape_configs=[scrape], series=series) as prometheus:
            (tmp_path / "service.json").write_text(json.dumps(_settings(prometheus.url, tmp_path)))
            yield Setting(tmp_path, prometheus, demand, began_s)


def _settings(url: str, folder: Path) -> dict[str, object]:
    return {
        # Whoever has stopped refuses at once; whoever is slow is waited for.
        "prometheus": {"url": url, "timeout_s": 30, "retries": 1},
        "grpc": {"timeout_s": 30},
        "cache": {"path": str(folder / "cache.sqlite")},
        "loop": {"tick_s": TICK_S, "step_s": STEP_S, "history_s": "14d"},
        "log": {"level": "info"},
        "workloads": [
            {
                "namespace": "prod",
                "name": "shop",
                "query": QUERY,
                "target": "shop",
                "capacity_per_replica": PER_REPLICA,
                "lead_time_s": LEAD_S,
                "min_replicas": FLOOR,
                "max_replicas": 1000,
                "stale_after_s": STALE_AFTER_S,
                "fresh_s": FRESH_S,
                "hold_s": 60,
                "forecasters": ["seasonal-naive-day", "last-value"],
            }
        ],
    }


@pytest.fixture
async def service(setting: Setting) -> AsyncIterator[ServiceProcess]:
    with setting.serve() as process:
        setting.keda = KedaClient(process.grpc_address)
        yield process
        await setting.keda.close()


async def _value(keda: KedaClient, scaled: ScaledObject = NAMED) -> float:
    """The target, by KEDA's own cycle; the metric and the activity agree."""
    (sample,) = await keda.poll(scaled)
    assert sample.metric == "s0-predictscale-replicas"
    assert sample.target == 1
    assert sample.active == (sample.value > 0)
    return sample.value


async def test_the_whole_path(setting: Setting, service: ServiceProcess) -> None:
    """From two weeks in Prometheus to a target that leads the ramp; then faults, and a restart."""
    assert setting.keda is not None
    await setting.keda.first(NAMED)
    await setting.keda.first(INLINE)
    await asyncio.to_thread(until, lambda: _forecasts(service))
    await _leads_the_ramp(setting, service, setting.keda)
    await _survives_an_outage(setting, service, setting.keda)
    assert service.terminate() == 0
    await _restarts_from_its_cache(setting)


def _forecasts(service: ServiceProcess) -> bool:
    """Whether the newest decision obeys the model that two weeks are enough for."""
    shown = service.json(f"{SHOP}/decision")
    return bool(shown["health"] == "ok" and shown["model"] == "seasonal-naive-day")


async def _decided(service: ServiceProcess, keda: KedaClient) -> tuple[dict[str, Any], float]:
    """A decision, and what KEDA is told while it stands."""
    deadline_s = time.monotonic() + WITHIN_S
    while True:
        decision: dict[str, Any] = service.json(f"{SHOP}/decision")
        target = await _value(keda)
        if service.json(f"{SHOP}/decision")["decided_at"] == decision["decided_at"]:
            return decision, target
        assert time.monotonic() < deadline_s, "no decision stands for as long as it takes to ask for it"


async def _leads_the_ramp(setting: Setting, service: ServiceProcess, keda: KedaClient) -> None:
    """What is decided at an instant is what the ramp needs a lead time later.

    Less what the signal itself is late by: the rate's window, a scrape, a bin and a tick.
    """
    late_s = SIGNAL_LAG_S + STEP_S + TICK_S
    begin_s = at_s = _instant(service.json(f"{SHOP}/decision")["decided_at"])
    # Each part of a bin, and the begin of the next.
    while at_s < begin_s + 1.6 * STEP_S:
        decision, target = await _decided(service, keda)
        at_s = _instant(decision["decided_at"])
        ahead_s = setting.demand.reaches(PER_REPLICA * target) - at_s
        assert LEAD_S - late_s <= ahead_s <= LEAD_S + STEP_S, decision
        assert decision["health"] == "ok"
        assert target == decision["target_replicas"] > decision["reactive_replicas"]
        await asyncio.sleep(1)
    forecast = service.json(f"{SHOP}/forecast")
    assert forecast["model"] == "seasonal-naive-day"


async def _survives_an_outage(setting: Setting, service: ServiceProcess, keda: KedaClient) -> None:
    """Holds, then the floor; everything but the data goes on answering; recovers by itself."""
    last, before = await _decided(service, keda)
    setting.prometheus.stop()
    deadline_s = time.monotonic() + STALE_AFTER_S + WITHIN_S
    shown = last
    while shown["health"] != "stale":
        assert time.monotonic() < deadline_s, shown
        assert service.get("/readyz").status_code == 200
        await asyncio.sleep(0.5)
        shown, told = await _decided(service, keda)
        if shown["health"] != "stale":
            assert told >= before
    # As they were decided, for a look may come too late for one of them.
    since = service.json(f"{SHOP}/history?limit=500")["decisions"]
    healths = [each["health"] for each in since if last["decided_at"] <= each["decided_at"]]
    assert list(dict.fromkeys(reversed(healths))) == ["ok", "holding", "stale"]
    floor = await _until(keda, lambda value: value == FLOOR)
    assert floor == FLOOR
    shown, told = await _decided(service, keda)
    assert (shown["health"], told) == ("stale", FLOOR)
    assert any("could not be read" in note for note in shown["notes"])
    assert shown["demand_age_s"] >= STALE_AFTER_S
    assert service.metric("predictscale_health", workload="shop", health="stale") == 1
    assert (service.metric("predictscale_demand_age_seconds", workload="shop") or 0) >= STALE_AFTER_S
    assert service.get("/readyz").status_code == 200
    specs = await keda.stub.GetMetricSpec(NAMED.ref)
    assert specs.metricSpecs[0].targetSize == 1
    unknown = ScaledObject(name="new", namespace="prod", metadata={**INLINE.metadata})
    assert (await keda.stub.GetMetricSpec(unknown.ref)).metricSpecs
    setting.prometheus.start()
    needed = setting.demand(time.time()) / PER_REPLICA
    deadline_s = time.monotonic() + WITHIN_S
    while not (shown["health"] == "ok" and told >= needed):
        assert time.monotonic() < deadline_s, (needed, told, shown)
        await asyncio.sleep(0.5)
        shown, told = await _decided(service, keda)


async def _until(keda: KedaClient, good: Callable[[float], bool]) -> float:
    deadline_s = time.monotonic() + WITHIN_S
    value = await _value(keda)
    while not good(value) and time.monotonic() < deadline_s:
        await asyncio.sleep(0.5)
        value = await _value(keda)
    return value


async def _restarts_from_its_cache(setting: Setting) -> None:
    """The second run of the service asks Prometheus only for what is new."""
    pulled = [q for q in setting.prometheus.queries() if q.query == QUERY]
    oldest = min(_instant(q.start) for q in pulled)
    assert oldest < setting.began_s - 13 * DAY_S, "the first run pulled two weeks"
    with setting.serve() as again:
        keda = KedaClient(again.grpc_address)
        await keda.first(NAMED)
        await asyncio.to_thread(until, lambda: _forecasts(again))
        asked = [q for q in setting.prometheus.queries() if q.query == QUERY][len(pulled) :]
        assert asked
        # What was scraped since, and at most what lies about the gap before the first scrape.
        assert min(_instant(q.start) for q in asked) > setting.began_s - 900
        await keda.close()
        assert again.terminate() == 0


def _instant(text: str) -> float:
    """An instant of the query log, in seconds since the epoch."""
    return datetime.fromisoformat(text).timestamp()
