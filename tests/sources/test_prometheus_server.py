"""The source against a real Prometheus: its words, its limits, its absence."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fault_proxy import FaultProxy, Pass, Respond
from patience import WITHIN_S
from predictscale.clock import Clock, ManualClock, SystemClock
from predictscale.core.demand import Signal, SignalName
from predictscale.core.series import MetricWindow
from predictscale.errors import AnswerUnusable, SourceRefused, SourceUnavailable
from predictscale.meters import Meters
from predictscale.sources.cached import CachedSource
from predictscale.sources.history import History
from predictscale.sources.prometheus import PrometheusSource
from predictscale.sources.synthetic import shop_requests
from prometheus_server import BackfilledSeries, PrometheusServer

pytestmark = pytest.mark.e2e

START = datetime(2024, 3, 4, tzinfo=UTC)
STEP_S = 60.0
DAYS = 14
END = START + timedelta(days=DAYS)
TRUTH = shop_requests().values(START, END, STEP_S)
# Only a sample at the very instant: no looking back over gaps.
DEMAND = Signal(SignalName.DEMAND, 'sum(last_over_time(demand{pod="a"}[30s]))', "requests/s")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    series = [
        BackfilledSeries("demand", {"pod": "a", "quote": 'a"b'}, TRUTH),
        BackfilledSeries("demand", {"pod": "b", "quote": 'a"b'}, TRUTH),
    ]
    with PrometheusServer(tmp_path_factory.mktemp("prometheus"), series=series) as running:
        yield running


@asynccontextmanager
async def source_at(
    url: str, *, clock: Clock | None = None, **settings: Any
) -> AsyncGenerator[PrometheusSource]:
    source = PrometheusSource(
        url=url,
        meters=Meters(),
        clock=clock or ManualClock(END),
        **{"backoff_s": 0.001, "timeout_s": WITHIN_S, **settings},
    )
    try:
        yield source
    finally:
        await source.aclose()


async def test_two_weeks_of_minutes_come_back_as_they_were_written(server: PrometheusServer) -> None:
    asked_before = len(server.queries())
    async with source_at(server.url) as source:
        answer = await source.read(DEMAND, start=START, end=END, step_s=STEP_S)
    np.testing.assert_array_equal(answer.window.values, TRUTH.values)
    assert not answer.partial
    assert len(server.queries()) - asked_before == 3


async def test_the_history_of_a_workload_is_pulled_once(server: PrometheusServer, tmp_path: Path) -> None:
    asked: list[int] = []
    for _ in range(2):
        history = History(path=tmp_path / "history.db", meters=Meters())
        async with source_at(server.url) as inner:
            cached = CachedSource(inner, history=history, workload="shop/web", clock=ManualClock(END))
            before = len(server.queries())
            answer = await cached.read(DEMAND, start=START, end=END - timedelta(hours=1), step_s=STEP_S)
            asked.append(len(server.queries()) - before)
            np.testing.assert_array_equal(answer.window.values, TRUTH.values[:-60])
        await history.aclose()
    assert asked == [3, 0]


async def test_a_query_that_is_none_is_refused_in_prometheus_words(server: PrometheusServer) -> None:
    async with source_at(server.url) as source:
        with pytest.raises(SourceRefused, match=r"HTTP 400: bad_data: .*parse error") as told:
            await source.instant("sum(", at=END)
        assert told.value.status == 400


async def test_a_query_that_cannot_be_evaluated_is_refused(server: PrometheusServer) -> None:
    async with source_at(server.url) as source:
        with pytest.raises(SourceRefused, match="HTTP 422: execution: ") as told:
            await source.instant("demand * on(quote) demand", at=END)
        assert told.value.status == 422


async def test_several_series_are_told_apart_by_their_labels(server: PrometheusServer) -> None:
    async with source_at(server.url) as source:
        with pytest.raises(AnswerUnusable, match=r"differ in pod \(a, b\)"):
            await source.read(
                Signal(SignalName.DEMAND, "demand", "requests/s"), start=START, end=END, step_s=3600
            )
        found = await source.instant("demand", at=END)
        assert [labels["pod"] for labels, _ in found] == ["a", "b"]
        assert {labels["quote"] for labels, _ in found} == {'a"b'}


async def test_the_system_s_clock_agrees_with_a_server_beside_it(server: PrometheusServer) -> None:
    async with source_at(server.url, clock=SystemClock()) as source:
        await source.instant("vector(1)", at=END)
        assert source.skew_s is not None
        assert abs(source.skew_s) < 30


async def test_an_answer_that_breaks_off_is_asked_for_again(server: PrometheusServer) -> None:
    async with FaultProxy(server.url) as proxy, source_at(proxy.url) as source:
        proxy.plan.extend([Respond(503, b"starting up"), Pass(keep_bytes=100)])
        answer = await source.read(DEMAND, start=START, end=START + timedelta(hours=1), step_s=STEP_S)
        np.testing.assert_array_equal(answer.window.values, TRUTH.values[:60])
        assert len(proxy.requests) == 3


async def test_it_is_unavailable_while_it_is_down_and_back_with_its_past(
    server: PrometheusServer,
) -> None:
    clock = ManualClock(END)
    hour = {"start": START, "end": START + timedelta(hours=1), "step_s": STEP_S}
    async with source_at(server.url, clock=clock) as source:
        before = await source.read(DEMAND, **hour)  # type: ignore[arg-type]  # they fit
        server.stop()
        try:
            for _ in range(3):
                with pytest.raises(SourceUnavailable):
                    await source.read(DEMAND, **hour)  # type: ignore[arg-type]  # they fit
        finally:
            server.start()
        clock.advance(60)
        after = await source.read(DEMAND, **hour)  # type: ignore[arg-type]  # they fit
    np.testing.assert_array_equal(after.window.values, before.window.values)


async def test_live_scrapes_become_bins(tmp_path: Path) -> None:
    from prometheus_client import CollectorRegistry, Gauge, start_http_server

    registry = CollectorRegistry()
    Gauge("live_demand", "A demand that is scraped.", registry=registry).set(42)
    http, thread = start_http_server(0, addr="127.0.0.1", registry=registry)
    target = f"127.0.0.1:{http.server_port}"
    scrape = {"job_name": "live", "static_configs": [{"targets": [target]}]}
    try:
        with PrometheusServer(tmp_path, scrape_configs=[scrape]) as server:
            clock = SystemClock()
            async with source_at(server.url, clock=clock) as source, asyncio.timeout(WITHIN_S):
                while not (found := await source.instant("live_demand", at=clock.now())):
                    await asyncio.sleep(0.1)
                assert [value for _, value in found] == [42]
    finally:
        http.shutdown()
        thread.join()
        http.server_close()


def test_a_window_of_gaps_writes_no_samples(tmp_path: Path) -> None:
    gaps = MetricWindow(START, STEP_S, np.full(3, np.nan))
    with PrometheusServer(tmp_path, series=[BackfilledSeries("demand", {}, gaps)]) as server:
        assert server.queries() == []
