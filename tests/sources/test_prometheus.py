"""What Prometheus may answer, and what comes of it: faults come from a real socket."""

import asyncio
import gzip
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import numpy as np
import pytest
import structlog.testing

from fault_proxy import (
    Drip,
    Fault,
    FaultProxy,
    Hang,
    Pass,
    Reset,
    Respond,
    gzip_bomb,
    html,
    json_answer,
    matrix,
)
from patience import WITHIN_S
from predictscale.clock import Clock, ManualClock, SystemClock
from predictscale.core.demand import Signal, SignalName
from predictscale.errors import AnswerUnusable, HoldTarget, PartialAnswer, SourceRefused, SourceUnavailable
from predictscale.meters import Meters
from predictscale.sources.prometheus import MOST_POINTS, PrometheusSource

START = datetime(2024, 3, 4, 12, 0, tzinfo=UTC)
STEP_S = 60.0
DEMAND = Signal(SignalName.DEMAND, "sum(rate(requests_total[2m]))", "requests/s")
OWNER_SAYS_ZERO = Signal(SignalName.DEMAND, DEMAND.query, "requests/s", empty_is_zero=True)


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


def series(*samples: tuple[float, str], **labels: str) -> dict[str, object]:
    """A series whose samples lie `minutes` after START."""
    return {"metric": labels, "values": [[minutes(at).timestamp(), value] for at, value in samples]}


@asynccontextmanager
async def source_of(
    *plan: Fault, clock: Clock | None = None, **settings: Any
) -> AsyncGenerator[tuple[PrometheusSource, FaultProxy, Meters]]:
    meters = Meters()
    async with FaultProxy() as proxy:
        proxy.plan.extend(plan)
        source = PrometheusSource(
            url=proxy.url,
            meters=meters,
            clock=clock or ManualClock(minutes(1_000_000)),
            **{"backoff_s": 0.001, **settings},
        )
        try:
            yield source, proxy, meters
        finally:
            await source.aclose()


async def read(source: PrometheusSource, bins: int = 3, signal: Signal = DEMAND) -> list[float]:
    answer = await source.read(signal, start=START, end=minutes(bins), step_s=STEP_S)
    assert answer.window.start == START
    assert len(answer.window) == bins
    return list(answer.window.values)


def counted(meters: Meters, name: str, **labels: str) -> float:
    return meters.registry.get_sample_value(f"predictscale_{name}_total", labels) or 0.0


async def test_a_bin_is_asked_for_at_its_end() -> None:
    async with source_of(matrix(series((1, "5"), (2, "6"), (3, "7")))) as (source, proxy, _):
        assert await read(source) == [5.0, 6.0, 7.0]
        (asked,) = proxy.requests
        assert (asked.method, asked.path) == ("POST", "/api/v1/query_range")
        assert asked.form["query"] == DEMAND.query
        assert float(asked.form["start"]) == minutes(1).timestamp()
        assert float(asked.form["end"]) == minutes(3).timestamp()
        assert float(asked.form["step"]) == STEP_S


async def test_a_long_range_is_cut_into_queries_that_prometheus_accepts() -> None:
    bins = 2 * MOST_POINTS + 7
    async with source_of() as (source, proxy, _):
        await read(source, bins)
        asked: list[float] = []
        for request in proxy.requests:
            first, last = float(request.form["start"]), float(request.form["end"])
            points = np.arange(first, last + 1, STEP_S)
            assert points.size <= 11_000
            asked.extend(points)
        assert asked == [minutes(place + 1).timestamp() for place in range(bins)]


async def test_bins_that_are_not_over_are_not_asked_for() -> None:
    clock = ManualClock(minutes(1.5))
    async with source_of(matrix(series((1, "5"))), clock=clock) as (source, proxy, _):
        np.testing.assert_equal(await read(source), [5.0, np.nan, np.nan])
        assert float(proxy.requests[0].form["end"]) == minutes(1).timestamp()


async def test_a_range_in_the_future_needs_no_query() -> None:
    async with source_of(clock=ManualClock(minutes(0.5))) as (source, proxy, _):
        np.testing.assert_equal(await read(source, signal=OWNER_SAYS_ZERO), [np.nan] * 3)
        assert proxy.requests == []


@pytest.mark.parametrize("signal", [DEMAND, OWNER_SAYS_ZERO])
async def test_where_the_server_s_clock_is_behind_ours_its_time_rules(signal: Signal) -> None:
    # Ours is ahead: Prometheus repeats its last sample up to five minutes beyond its present.
    answer = matrix(series((1, "5"), (2, "5"), (3, "5")))
    told = Respond(answer.status, answer.body, {"Date": format_datetime(minutes(1.5), usegmt=True)})
    async with source_of(told) as (source, _, _):
        np.testing.assert_equal(await read(source, signal=signal), [5.0, np.nan, np.nan])


async def test_samples_that_are_no_demand_are_dropped_and_counted() -> None:
    answer = matrix(series((1, "NaN"), (2, "+Inf"), (3, "-1"), (4, "4")))
    async with source_of(answer) as (source, _, meters):
        np.testing.assert_equal(await read(source, 4), [np.nan, np.nan, np.nan, 4.0])
        for reason in ("nan", "infinite", "negative"):
            assert counted(meters, "dropped_samples", reason=reason) == 1


async def test_an_empty_answer_is_a_gap() -> None:
    async with source_of(matrix()) as (source, _, _):
        np.testing.assert_equal(await read(source), [np.nan] * 3)


async def test_only_the_owner_can_make_an_empty_answer_zero() -> None:
    async with source_of(matrix(), matrix(series((2, "6")))) as (source, _, _):
        assert await read(source, signal=OWNER_SAYS_ZERO) == [0.0, 0.0, 0.0]
        assert await read(source, signal=OWNER_SAYS_ZERO) == [0.0, 6.0, 0.0]


async def test_a_nan_is_not_empty_whatever_the_owner_says() -> None:
    async with source_of(matrix(series((2, "NaN")))) as (source, _, _):
        np.testing.assert_equal(await read(source, signal=OWNER_SAYS_ZERO), [0.0, np.nan, 0.0])


@pytest.mark.parametrize("told", [{"warnings": ["store 2 is down"]}, {"isPartial": True}])
async def test_a_warning_makes_an_answer_partial_and_its_gaps_no_zeros(told: dict[str, object]) -> None:
    async with source_of(matrix(**told)) as (source, _, meters):
        answer = await source.read(OWNER_SAYS_ZERO, start=START, end=minutes(1), step_s=STEP_S)
        assert answer.partial
        assert np.isnan(answer.window.values).all()
        assert counted(meters, "query_warnings") == 1


async def test_an_answer_without_a_warning_is_whole() -> None:
    async with source_of(matrix(warnings=[], infos=["metric might not be a counter"])) as (source, _, _):
        assert not (await source.read(DEMAND, start=START, end=minutes(1), step_s=STEP_S)).partial


async def test_several_series_are_refused_by_the_labels_in_which_they_differ() -> None:
    both = matrix(series((1, "5"), job="a", pod="x"), series((1, "5"), job="a", pod="y"))
    async with source_of(both) as (source, _, meters):
        with pytest.raises(AnswerUnusable, match=r"2 series where one is meant; they differ in pod \(x, y\)"):
            await read(source)
        assert counted(meters, "query_errors", error="AnswerUnusable") == 1


async def test_a_series_that_changes_its_name_between_chunks_is_two_series() -> None:
    chunks = matrix(series((1, "5"), pod="x")), matrix(series((MOST_POINTS + 1, "5"), pod="y"))
    async with source_of(*chunks) as (source, _, _):
        with pytest.raises(AnswerUnusable, match=r"pod \(x, y\)"):
            await read(source, MOST_POINTS + 1)


PASSING = [
    pytest.param(Respond(503, b"starting up"), id="503"),
    pytest.param(Respond(500, b""), id="500"),
    pytest.param(Respond(429, b"", {"Retry-After": "0"}), id="429"),
    pytest.param(Reset(), id="reset"),
    pytest.param(Respond(200, b'{"status":', says_length=10_000), id="cut off"),
]


@pytest.mark.parametrize("fault", PASSING)
async def test_what_passes_is_tried_again(fault: Fault) -> None:
    async with source_of(fault, matrix(series((1, "5")))) as (source, proxy, meters):
        assert (await read(source))[0] == 5.0
        assert len(proxy.requests) == 2
        assert (
            meters.registry.get_sample_value("predictscale_query_duration_seconds_count", {"kind": "range"})
            == 1
        )


@pytest.mark.parametrize("fault", PASSING)
async def test_what_stays_is_unavailable_after_the_retries(fault: Fault) -> None:
    async with source_of(*[fault] * 3) as (source, proxy, meters):
        with pytest.raises(SourceUnavailable):
            await read(source)
        assert len(proxy.requests) == 3
        assert counted(meters, "query_errors", error="SourceUnavailable") == 1


async def test_a_server_that_hangs_costs_one_timeout_an_attempt() -> None:
    # Long enough for the question to arrive.
    async with source_of(Hang(), Hang(), timeout_s=1.0, deadline_s=WITHIN_S, retries=1) as (source, proxy, _):
        with pytest.raises(SourceUnavailable, match=r"no answer within 1 s$"):
            await read(source)
        assert len(proxy.requests) == 2


async def test_a_server_that_drips_is_given_up_like_one_that_hangs() -> None:
    async with source_of(Drip(), timeout_s=0.1, deadline_s=WITHIN_S, retries=0) as (source, _, _):
        with pytest.raises(SourceUnavailable, match=r"no answer within 0\.1 s$"):
            await read(source)


async def test_a_slow_server_is_waited_for() -> None:
    async with source_of(Pass(delay_s=0.03)) as (source, proxy, _):
        await read(source)
        assert len(proxy.requests) == 1


async def test_a_read_has_a_deadline_over_all_attempts() -> None:
    faults = [Respond(503)] * 50
    async with source_of(*faults, retries=49, backoff_s=0.02, deadline_s=0.05) as (source, proxy, _):
        with pytest.raises(SourceUnavailable, match=r"within 0\.05 s, waits and retries included"):
            await read(source)
        assert len(proxy.requests) < 50


async def test_a_server_that_asks_for_a_pause_gets_it_from_everybody() -> None:
    clock = ManualClock(minutes(1_000_000))
    full = Respond(429, b"over quota", {"Retry-After": "30"})
    async with source_of(full, clock=clock) as (source, proxy, _):
        with pytest.raises(SourceUnavailable, match="over quota") as told:
            await read(source)
        assert told.value.retry_after_s == 30
        with pytest.raises(SourceUnavailable, match="not asked"):
            await read(source)
        assert len(proxy.requests) == 1
        clock.advance(30)
        await read(source)
        assert len(proxy.requests) == 2


async def test_a_pause_until_an_instant_is_measured_on_the_server_s_clock() -> None:
    headers = {
        "Retry-After": format_datetime(minutes(1), usegmt=True),
        "Date": format_datetime(START, usegmt=True),
    }
    async with source_of(Respond(503, b"", headers)) as (source, _, _):
        with pytest.raises(SourceUnavailable) as told:
            await read(source)
        assert told.value.retry_after_s == 60


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_refusal_is_final_and_in_prometheus_words(status: int) -> None:
    refusal = json_answer(
        {"status": "error", "errorType": "bad_data", "error": "parse error:\n" + "x" * 1000}, status=status
    )
    async with source_of(refusal) as (source, proxy, meters):
        with pytest.raises(SourceRefused, match=f"HTTP {status}: bad_data: parse error: x") as told:
            await read(source)
        assert told.value.status == status
        assert len(str(told.value)) < 400
        assert len(proxy.requests) == 1
        assert counted(meters, "query_errors", error="SourceRefused") == 1


def answer_of(data: object) -> Respond:
    return json_answer({"status": "success", "data": data})


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(html(), id="html"),
        pytest.param(Respond(200, b'{"status":"success","data":{"resu'), id="truncated json"),
        pytest.param(Respond(200, b""), id="nothing"),
        pytest.param(Respond(200, b"[" * 100_000), id="deeply nested"),
        pytest.param(Respond(200, b"\xff\xfe"), id="not text"),
        pytest.param(Respond(200, b"not gzip", {"Content-Encoding": "gzip"}), id="damaged gzip"),
        pytest.param(json_answer([]), id="a list"),
        pytest.param(json_answer({"status": "error"}), id="an error with status 200"),
        pytest.param(answer_of(None), id="no data"),
        pytest.param(answer_of({"resultType": "vector", "result": []}), id="a vector"),
        pytest.param(answer_of({"resultType": "matrix", "result": 7}), id="no list"),
        pytest.param(answer_of({"resultType": "matrix", "result": [7]}), id="no series"),
        pytest.param(matrix({"values": []}), id="no labels"),
        pytest.param(matrix({"metric": {}, "histograms": []}), id="a native histogram"),
        pytest.param(matrix({"metric": {}, "values": [[1]]}), id="half a sample"),
        pytest.param(matrix({"metric": {}, "values": [[1, "many"]]}), id="a word"),
        pytest.param(json_answer({"status": "success", "data": {}, "warnings": 7}), id="warnings no list"),
    ],
)
async def test_what_is_no_answer_is_unusable_and_not_asked_again(answer: Respond) -> None:
    async with source_of(answer, body_limit_bytes=2**20) as (source, proxy, meters):
        with pytest.raises(AnswerUnusable):
            await read(source)
        assert len(proxy.requests) == 1
        assert counted(meters, "query_errors", error="AnswerUnusable") == 1


@pytest.mark.parametrize("answer", [gzip_bomb(64 * 2**20), Respond(200, b" " * (2**20 + 1))])
async def test_an_answer_is_measured_as_it_unpacks(answer: Respond) -> None:
    async with source_of(answer, body_limit_bytes=2**20) as (source, proxy, _):
        with pytest.raises(AnswerUnusable, match="larger than 1048576 bytes"):
            await read(source)
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_not_followed(status: int) -> None:
    async with FaultProxy() as elsewhere:
        to = Respond(status, b"", {"Location": f"{elsewhere.url}/login?state=s3cret"})
        async with source_of(to) as (source, _, _):
            with pytest.raises(SourceRefused, match=r"redirects to 127\.0\.0\.1") as told:
                await read(source)
            assert "s3cret" not in str(told.value)
        assert elsewhere.requests == []


@pytest.mark.parametrize("where", ["http://x:port", "", "/elsewhere"])
async def test_a_redirect_to_nowhere_is_one_of_our_errors_too(where: str) -> None:
    async with source_of(*[Respond(302, b"", {"Location": where})] * 3) as (source, _, _):
        with pytest.raises(HoldTarget):
            await read(source)


async def test_a_dead_prometheus_is_asked_by_one_probe_after_each_pause() -> None:
    clock = ManualClock(minutes(1_000_000))
    async with source_of(*[Respond(503)] * 6, clock=clock, retries=0) as (source, proxy, _):
        for _ in range(20):
            with pytest.raises(SourceUnavailable):
                await read(source)
        assert len(proxy.requests) == 5
        clock.advance(10)
        reads = await asyncio.gather(*(read(source) for _ in range(8)), return_exceptions=True)
        assert all(isinstance(one, SourceUnavailable) for one in reads)
        assert len(proxy.requests) == 6
        clock.advance(10)
        await read(source)
        await asyncio.gather(*(read(source) for _ in range(8)))
        assert len(proxy.requests) == 15


async def test_questions_that_prometheus_dislikes_do_not_close_the_door_for_others() -> None:
    refusal = json_answer({"status": "error", "errorType": "bad_data", "error": "no"}, status=400)
    async with source_of(*[refusal, html()] * 10, matrix(series((1, "5")))) as (source, _, _):
        for _ in range(20):
            with pytest.raises((SourceRefused, AnswerUnusable)):
                await read(source)
        assert (await read(source))[0] == 5.0


async def test_a_cancelled_probe_leaves_the_way_free_for_the_next() -> None:
    clock = ManualClock(minutes(1_000_000))
    async with source_of(*[Respond(503)] * 5, Hang(), clock=clock, retries=0) as (source, proxy, _):
        for _ in range(5):
            with pytest.raises(SourceUnavailable):
                await read(source)
        clock.advance(10)
        probe = asyncio.create_task(read(source))
        while len(proxy.requests) < 6:
            await asyncio.sleep(0.001)
        probe.cancel()
        await asyncio.gather(probe, return_exceptions=True)
        await read(source)


async def test_no_more_questions_are_on_their_way_than_allowed() -> None:
    slow = [Pass(delay_s=0.5)] * 6
    async with source_of(*slow, max_concurrent=3) as (source, proxy, _):
        await asyncio.gather(*(read(source) for _ in range(6)))
        assert proxy.most_at_once == 3


async def test_a_skewed_clock_is_measured_and_said_once() -> None:
    ahead = format_datetime(SystemClock().now() + timedelta(minutes=10), usegmt=True)
    answers = [Pass(headers={"Date": ahead})] * 2
    with structlog.testing.capture_logs() as logs:
        async with source_of(*answers, clock=SystemClock()) as (source, _, _):
            assert source.skew_s is None
            await read(source)
            await read(source)
            assert source.skew_s == pytest.approx(600, abs=30)
    assert [line["event"] for line in logs].count("clock_skew") == 1


async def test_a_replayed_clock_is_not_compared_with_the_server_s() -> None:
    date = format_datetime(minutes(1_000), usegmt=True)
    async with source_of(Pass(headers={"Date": date})) as (source, _, _):
        await read(source)
        assert source.skew_s is None


async def test_an_instant_query_gives_every_series_with_its_labels() -> None:
    found = [
        {"metric": {"pod": "a"}, "value": [START.timestamp(), "1"]},
        {"metric": {"pod": "b"}, "value": [START.timestamp(), "NaN"]},
        {"metric": {"pod": "c"}, "value": [START.timestamp(), "3"]},
    ]
    answers = (
        answer_of({"resultType": "vector", "result": found}),
        answer_of({"resultType": "scalar", "result": [START.timestamp(), "7"]}),
    )
    async with source_of(*answers) as (source, proxy, meters):
        assert await source.instant("up", at=START) == [({"pod": "a"}, 1.0), ({"pod": "c"}, 3.0)]
        assert await source.instant("scalar(up)", at=START) == [({}, 7.0)]
        assert [request.path for request in proxy.requests] == ["/api/v1/query"] * 2
        assert float(proxy.requests[0].form["time"]) == START.timestamp()
        assert counted(meters, "dropped_samples", reason="nan") == 1


async def test_an_instant_answer_with_warnings_is_refused_only_where_it_has_to_be_whole() -> None:
    data = {"resultType": "vector", "result": []}
    warned = json_answer({"status": "success", "data": data, "warnings": ["a store did not answer"]})
    async with source_of(warned, warned) as (source, _, meters):
        assert await source.instant("up", at=START) == []
        with pytest.raises(PartialAnswer, match="a store did not answer"):
            await source.instant("up", at=START, whole=True)
        assert counted(meters, "query_warnings") == 2


@pytest.mark.parametrize("result", [7, [7], [{"metric": {}}], [{"metric": {}, "value": "x"}], ["a", "b"]])
async def test_an_instant_answer_of_another_shape_is_unusable(result: object) -> None:
    for kind in ("vector", "scalar"):
        async with source_of(answer_of({"resultType": kind, "result": result})) as (source, _, _):
            with pytest.raises(AnswerUnusable):
                await source.instant("up", at=START)


async def test_an_answer_is_read_whole_however_it_is_compressed() -> None:
    packed = Respond(200, gzip.compress(matrix(series((1, "5"))).body), {"Content-Encoding": "gzip"})
    async with source_of(packed) as (source, _, _):
        assert (await read(source))[0] == 5.0
