"""Several series of one query: told apart, bounded, and as careful as one."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import numpy as np
import pytest

from fault_proxy import Fault, FaultProxy, Hang, Request, Respond, json_answer, matrix
from patience import WITHIN_S
from predictscale.clock import Clock, ManualClock
from predictscale.core.series import MetricWindow
from predictscale.errors import AnswerUnusable, PartialAnswer, SourceRefused, SourceUnavailable
from predictscale.meters import Meters
from predictscale.sources import prometheus
from predictscale.sources.base import EachSource, Labelled
from predictscale.sources.prometheus import MOST_BINS, MOST_POINTS, MOST_SERIES, PrometheusSource
from prometheus_server import BackfilledSeries, PrometheusServer

START = datetime(2024, 3, 4, 12, 0, tzinfo=UTC)
STEP_S = 60.0
QUERY = "sum by (pod) (up)"


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


def series(*samples: tuple[float, str], **labels: str) -> dict[str, object]:
    """A series whose samples lie `minutes` after START."""
    return {"metric": labels, "values": [[minutes(at).timestamp(), value] for at, value in samples]}


def many(count: int) -> Respond:
    return matrix(*(series((1, "5"), pod=f"pod-{number}") for number in range(count)))


@asynccontextmanager
async def source_of(
    *plan: Fault, clock: Clock | None = None, **settings: Any
) -> AsyncGenerator[tuple[PrometheusSource, FaultProxy, Meters]]:
    meters = Meters()
    async with FaultProxy() as proxy:
        proxy.plan.extend(plan)
        clock = clock or ManualClock(minutes(1_000_000))
        source = PrometheusSource(
            url=proxy.url, meters=meters, clock=clock, **{"backoff_s": 0.001, **settings}
        )
        try:
            yield source, proxy, meters
        finally:
            await source.aclose()


async def read(source: EachSource, bins: int = 3) -> dict[str, list[float]]:
    found = await source.read_each(QUERY, start=START, end=minutes(bins), step_s=STEP_S)
    assert all((one.window.start, one.window.end) == (START, minutes(bins)) for one in found)
    return {one.labels["pod"]: list(one.window.values) for one in found}


def evaluations(request: Request) -> list[float]:
    first, last = float(request.form["start"]), float(request.form["end"])
    return list(np.arange(first, last + 1, STEP_S))


async def test_every_series_has_its_own_window_and_its_own_gaps() -> None:
    answer = matrix(
        series((1, "5"), (3, "7"), pod="b"), series((2, "1"), pod="a"), series((1, "NaN"), pod="c")
    )
    async with source_of(answer) as (source, proxy, meters):
        found = await read(source)
        assert list(found) == ["a", "b", "c"]
        np.testing.assert_equal(found["a"], [np.nan, 1, np.nan])
        np.testing.assert_equal(found["b"], [5, np.nan, 7])
        np.testing.assert_equal(found["c"], [np.nan] * 3)
        assert meters.registry.get_sample_value("predictscale_dropped_samples_total", {"reason": "nan"}) == (
            1
        )
        assert evaluations(proxy.requests[0]) == [minutes(n).timestamp() for n in (1, 2, 3)]


async def test_nothing_is_an_answer_too() -> None:
    async with source_of(matrix()) as (source, _, _):
        assert await source.read_each(QUERY, start=START, end=minutes(3), step_s=STEP_S) == ()


async def test_a_series_that_begins_in_a_later_chunk_has_gaps_before() -> None:
    bins = 600
    chunks = matrix(series((1, "5"), pod="a")), matrix(series((599, "6"), pod="b"))
    async with source_of(*chunks) as (source, _, _):
        found = await read(source, bins)
        assert np.flatnonzero(~np.isnan(found["a"])).tolist() == [0]
        assert np.flatnonzero(~np.isnan(found["b"])).tolist() == [598]


@pytest.mark.parametrize("count", [0, 1, 40, 600])
async def test_every_bin_is_asked_for_once_and_less_at_once_the_more_series_there_are(count: int) -> None:
    bins = 5_000
    async with source_of(*[many(count)] * 200) as (source, proxy, _):
        await read(source, bins)
        asked = [evaluations(request) for request in proxy.requests]
    assert list(chain(*asked)) == [minutes(place + 1).timestamp() for place in range(bins)]
    assert max(map(len, asked)) <= MOST_POINTS
    assert all(len(chunk) * count <= 25_000 for chunk in asked[1:])
    assert len(asked) <= 5 + bins * count / 25_000


async def test_bins_that_are_not_over_are_not_asked_for() -> None:
    async with source_of(matrix(series((1, "5"), pod="a")), clock=ManualClock(minutes(1.5))) as made:
        source, proxy, _ = made
        np.testing.assert_equal(await read(source), {"a": [5, np.nan, np.nan]})
        assert evaluations(proxy.requests[0]) == [minutes(1).timestamp()]


async def test_a_warning_refuses_the_answer_for_a_series_may_be_missing() -> None:
    answer = matrix(series((1, "5"), pod="a"), warnings=["store 2 is down"])
    async with source_of(answer) as (source, _, meters):
        with pytest.raises(PartialAnswer, match="store 2 is down"):
            await read(source)
        assert meters.registry.get_sample_value("predictscale_query_warnings_total") == 1
        assert (
            meters.registry.get_sample_value("predictscale_query_errors_total", {"error": "PartialAnswer"})
            == 1
        )


async def test_more_series_than_are_read_are_refused_with_the_labels_that_make_them() -> None:
    async with source_of(many(MOST_SERIES)) as (source, _, _):
        assert len(await read(source)) == MOST_SERIES
    async with source_of(many(MOST_SERIES + 1)) as (source, _, _):
        with pytest.raises(AnswerUnusable, match=r"2001 series where at most 2000 .* differ in pod"):
            await read(source)


async def test_series_that_change_their_names_add_up_to_too_many() -> None:
    chunks = [matrix(series((1, "5"), pod=f"pod-{number}")) for number in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prometheus, "MOST_SERIES", 2)
        async with source_of(*chunks) as (source, proxy, _):
            with pytest.raises(AnswerUnusable, match="3 series where at most 2"):
                await read(source, 4_000)
            assert len(proxy.requests) == 3


async def test_more_bins_than_memory_is_given_for_are_refused_at_the_first_chunk() -> None:
    bins = MOST_BINS // 1_000 + 1
    async with source_of(many(1_000)) as (source, proxy, _):
        with pytest.raises(AnswerUnusable, match="1000 series of 4001 bins, more than 4000000"):
            await read(source, bins)
        assert len(proxy.requests) == 1


async def test_what_passes_is_tried_again_and_what_stays_is_told() -> None:
    async with source_of(Respond(503), many(2)) as (source, proxy, _):
        assert len(await read(source)) == 2
        assert len(proxy.requests) == 2
    async with source_of(Hang(), timeout_s=0.05, retries=0) as (source, _, _):
        with pytest.raises(SourceUnavailable):
            await read(source)
    refusal = json_answer({"status": "error", "errorType": "bad_data", "error": "no"}, status=422)
    async with source_of(refusal) as (source, _, _):
        with pytest.raises(SourceRefused):
            await read(source)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    past = [BackfilledSeries("load", {"pod": pod}, truth(pod)) for pod in ("a", "b")]
    with PrometheusServer(tmp_path_factory.mktemp("each"), series=past) as running:
        yield running


def truth(pod: str) -> MetricWindow:
    values = np.arange(2_000, dtype=float) + {"a": 0.5, "b": 10_000}[pod]
    values[100:200] = np.nan
    return MetricWindow(START, STEP_S, values if pod == "a" else values[:700])


@pytest.mark.e2e
async def test_pods_that_come_and_go_come_back_from_a_real_prometheus(server: PrometheusServer) -> None:
    clock = ManualClock(minutes(2_000))
    source = PrometheusSource(url=server.url, meters=Meters(), clock=clock, timeout_s=WITHIN_S)
    found: tuple[Labelled, ...] = await source.read_each(
        "sum by (pod) (last_over_time(load[30s]))", start=START, end=minutes(2_000), step_s=STEP_S
    )
    await source.aclose()
    assert [dict(one.labels) for one in found] == [{"pod": "a"}, {"pod": "b"}]
    whole, short = (one.window.values for one in found)
    np.testing.assert_array_equal(whole, truth("a").values)
    np.testing.assert_array_equal(short[:700], truth("b").values)
    assert np.isnan(short[700:]).all()
