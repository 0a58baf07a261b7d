"""A live run on a real Prometheus, as KEDA saw it over gRPC, against `predictscale backtest` of that past.

The service lives on a replayed clock: Prometheus holds its past and its future, and the service is
shown no more than its clock allows, as if the samples came in one by one. Nothing may differ, and
nothing is rounded: the same queries give the same numbers, fits end within a tick (the test waits for
them before it lets the next one come), and the backtest begins where the service was started. On a
wall clock one thing could: a sample that comes in after the tick that was due to see it.
"""

import csv
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from keda_client import KedaClient, ScaledObject
from made_series import shop
from patience import WITHIN_S, soon
from predictscale.bootstrap import Service
from predictscale.clock import ManualClock, SystemClock
from predictscale.config.load import load_service
from predictscale.control.tracker import Tracker
from predictscale.core.demand import WorkloadId
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.meters import Meters
from predictscale.sources.prometheus import PrometheusSource
from prometheus_server import BackfilledSeries, PrometheusServer

pytestmark = pytest.mark.e2e

CLI = Path(sys.executable).parent / "predictscale"
TICK_S = 15.0
TICKS = 90
"""More than the time between two fits, and more than a choice of settings takes to come into force."""
DAYS = 3.2
NAMED = ScaledObject(
    name="shop", namespace="prod", metadata={"scalerAddress": "predictscale:6000", "workload": "shop"}
)
SHOP = WorkloadId("prod", "shop")

OWNERS: dict[str, dict[str, Any]] = {
    "a quantile": {"quantile": 0.9},
    "an objective": {"slo": {"max_violation": "1%", "wait": "5s"}},
}


@pytest.fixture(scope="module")
def end() -> datetime:
    """Where the record ends: near the present, which the backtest reads up to.

    At a whole hour, for fits and choices come at their own minutes of each.
    """
    return floor_to_grid(SystemClock().now(), 3600.0)


@pytest.fixture(scope="module")
def prometheus(end: datetime, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    """Counted requests and a queue, sampled every 15 s, with ten minutes of outage in the live run."""
    rate = shop(days=DAYS, step_s=TICK_S, seed=4)
    start = end - timedelta(seconds=len(rate) * TICK_S)
    total = np.cumsum(rate.values * TICK_S)
    gone = slice(len(rate) - 60, len(rate) - 40)
    total[gone] = np.nan
    waits = np.where(np.arange(len(rate)) % 37 == 0, 400.0, 0.0)
    labels = {"namespace": "prod", "service": "shop", "job": "shop"}
    series = [
        BackfilledSeries("http_requests_total", labels, MetricWindow(start, TICK_S, total)),
        BackfilledSeries("queued_requests", labels, MetricWindow(start, TICK_S, waits)),
    ]
    with PrometheusServer(tmp_path_factory.mktemp("prometheus"), series=series) as server:
        yield server


def service_file(folder: Path, url: str, owner: dict[str, Any]) -> Path:
    workload = {
        "namespace": "prod",
        "name": "shop",
        "query": 'sum(rate(http_requests_total{namespace="prod"}[1m]))',
        "queue_query": 'sum(queued_requests{namespace="prod"})',
        "capacity_per_replica": 0.5,
        "lead_time_s": "4m",
        "max_replicas": 500,
        "stale_after_s": "5m",
        **owner,
    }
    settings = {
        "prometheus": {"url": url, "timeout_s": WITHIN_S},
        "loop": {"history_s": "3d"},
        "fit": {"every_s": "15m", "deadline_s": 3 * WITHIN_S},
        "grpc": {"host": "127.0.0.1", "port": 0, "timeout_s": 30},
        "http": {"host": "127.0.0.1", "port": 0},
        "metrics": {"host": "127.0.0.1", "port": 0},
        "workloads": [workload],
    }
    path = folder / "service.json"
    path.write_text(json.dumps(settings))
    return path


@asynccontextmanager
async def served(file: Path, clock: ManualClock, url: str) -> AsyncIterator[Service]:
    source = PrometheusSource(url=url, meters=Meters(), clock=clock, timeout_s=WITHIN_S)
    service = Service(load_service(file), clock=clock, source=source)
    # A worker takes seconds to start.
    await service._fits.fit(("last-value",), shop(days=1), quick_only=True)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


async def ticked(service: Service, clock: ManualClock) -> None:
    """Let the next tick begin."""
    before = service.loop._running[SHOP]
    clock.advance(TICK_S)
    await soon(lambda: service.loop._running[SHOP] is not before)


async def lived(file: Path, url: str, *, start: datetime) -> list[tuple[datetime, float, dict[str, Any]]]:
    """What KEDA was told at each tick, and what REST says of it."""
    clock, told = ManualClock(start), []
    async with (
        served(file, clock, url) as service,
        httpx2.AsyncClient(trust_env=False, timeout=WITHIN_S) as rest,
    ):
        keda = KedaClient(f"127.0.0.1:{service.grpc.port}")
        tracker = service.loop.tracker(SHOP)
        assert isinstance(tracker, Tracker)
        for _ in range(TICKS):
            # The decision of this tick, and what it started in the background.
            await service.loop._running[SHOP]
            await tracker.fitted()
            (sample,) = await keda.poll(NAMED)
            path = f"http://127.0.0.1:{service.http_port}/api/v1/workloads/prod/shop/decision"
            shown = (await rest.get(path)).json()
            assert datetime.fromisoformat(shown["decided_at"]) == clock.now()
            told.append((clock.now(), sample.value, shown))
            await ticked(service, clock)
        await keda.close()
    return told


def backtested(file: Path, url: str, *, start: datetime, out: Path) -> list[tuple[datetime, float]]:
    done = subprocess.run(
        [
            CLI, "backtest", "--prometheus", url, "--workload", file, "--days", "0.5",
            "--train-until", start.isoformat(), "--policies", "predictscale", "--decisions", out, "--json",
        ],
        capture_output=True, text=True, check=False, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with out.open(newline="") as lines:
        return [
            (datetime.fromisoformat(row["timestamp"]), float(row["desired"])) for row in csv.DictReader(lines)
        ]


@pytest.mark.parametrize("owner", OWNERS)
async def test_a_recorded_live_run_is_what_the_backtest_decides(
    owner: str, prometheus: PrometheusServer, end: datetime, tmp_path: Path
) -> None:
    file = service_file(tmp_path, prometheus.url, OWNERS[owner])
    start = end - timedelta(seconds=TICKS * TICK_S)
    live = await lived(file, prometheus.url, start=start)
    again = backtested(file, prometheus.url, start=start, out=tmp_path / "decisions.csv")
    assert again[:TICKS] == [(at.astimezone(UTC), value) for at, value, _ in live]
    values = [value for _, value, _ in live]
    shown = [decision for _, _, decision in live]
    # There was something to get wrong: forecasts, an outage, a queue, and settings that changed.
    assert len(set(values)) > 5
    assert {decision["health"] for decision in shown} >= {"ok", "holding"}
    assert {decision["model"] for decision in shown} >= {"native"}
    quantiles = {(decision["policy"]["quantile"], decision["policy"]["hold_s"]) for decision in shown}
    assert len(quantiles) == (1 if owner == "a quantile" else 2)
