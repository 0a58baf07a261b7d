"""What a call that cannot be answered gets instead, and what is written down of it."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import grpc
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from fake_desk import FakeDesk, decision, served
from keda_client import ScaledObject, keda
from patience import soon
from predictscale._proto import externalscaler_pb2 as pb
from predictscale.clock import SystemClock
from predictscale.errors import (
    AnswerUnavailable,
    Problem,
    SettingsError,
    TenancyError,
    TooManyWorkloads,
)
from predictscale.meters import Meters
from predictscale.serving import grpc as grpc_server
from predictscale.serving import grpc_calls
from predictscale.serving.grpc import METRIC_NAME, SERVICE

CHAT = ScaledObject(metadata={"workload": "chat", "tokenFromEnv": "hunter2"})
METRICS = pb.GetMetricsRequest(scaledObjectRef=CHAT.ref, metricName=METRIC_NAME)
BAD = Problem("capacityPerReplica", "-1", "must be above 0")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (SettingsError([BAD]), grpc.StatusCode.INVALID_ARGUMENT, "capacityPerReplica: -1; must be above 0"),
        (TenancyError([BAD]), grpc.StatusCode.INVALID_ARGUMENT, "capacityPerReplica"),
        (TooManyWorkloads(limit=500), grpc.StatusCode.RESOURCE_EXHAUSTED, "500 workloads"),
        (AnswerUnavailable("never seen"), grpc.StatusCode.UNAVAILABLE, "never seen"),
        (TimeoutError("of the desk's own"), grpc.StatusCode.INTERNAL, "TimeoutError"),
        (ZeroDivisionError("hunter2"), grpc.StatusCode.INTERNAL, "ZeroDivisionError"),
    ],
)
async def test_each_error_has_its_status_on_every_method_and_is_counted(
    error: Exception, code: grpc.StatusCode, text: str
) -> None:
    desk, meters = FakeDesk(published=3), Meters()
    desk.fail("spec", error, error, error)
    desk.fail("decision", error, error)
    async with served(desk, meters=meters) as server, keda(f"127.0.0.1:{server.port}") as client:
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "GetMetricSpec": lambda: client.stub.GetMetricSpec(CHAT.ref),
            "GetMetrics": lambda: client.stub.GetMetrics(METRICS),
            "IsActive": lambda: client.stub.IsActive(CHAT.ref),
            "StreamIsActive": lambda: client.stub.StreamIsActive(CHAT.ref).read(),
            "StreamMetricSpec": lambda: client.stub.StreamMetricSpec(CHAT.ref).read(),
        }
        for method, call in calls.items():
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call()
            assert refused.value.code() is code
            assert text in (refused.value.details() or "")
            labels = {"method": method, "code": code.name}
            assert meters.registry.get_sample_value("predictscale_rpc_results_total", labels) == 1.0


async def test_a_bug_is_logged_by_its_place_and_without_what_the_metadata_says() -> None:
    desk = FakeDesk(published=3)
    desk.fail("decision", ZeroDivisionError("hunter2 / 0"))
    async with served(desk) as server, keda(f"127.0.0.1:{server.port}") as client:
        with capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.stub.GetMetrics(METRICS)
        (line,) = logs
        assert line["method"] == "GetMetrics"
        assert line["error"] == "ZeroDivisionError"
        assert any(place.startswith("fake_desk.py:") for place in line["at"])
        assert "hunter2" not in f"{logs} {refused.value}"
        # And the service goes on.
        assert (await client.stub.IsActive(CHAT.ref)).result is True


async def test_a_decision_that_says_nothing_is_unavailable_with_its_reason() -> None:
    desk = FakeDesk()
    desk.publish(decision(5, available=False, because="no sample for 600 s"))
    async with served(desk) as server, keda(f"127.0.0.1:{server.port}") as client:
        for call in (client.stub.GetMetrics(METRICS), client.stub.IsActive(CHAT.ref)):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            assert refused.value.details() == "prod/chat is stale: no sample for 600 s"
        assert len((await client.stub.GetMetricSpec(CHAT.ref)).metricSpecs) == 1


async def test_unavailable_says_what_is_not_known_and_why_it_could_not_be_read() -> None:
    desk, made = FakeDesk(), decision(5, available=False, because="demand was never seen")
    landed = replace(made.plan.steps[0], because="published as it is")
    why = ("lead time: configured", "demand could not be read: ConnectError")
    plan = replace(made.plan, steps=(*made.plan.steps, landed))
    desk.publish(replace(made, plan=plan, reactive=plan, notes=why))
    async with served(desk) as server, keda(f"127.0.0.1:{server.port}") as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.stub.GetMetrics(METRICS)
        assert refused.value.details() == (
            "prod/chat is stale: demand was never seen; demand could not be read: ConnectError"
        )


async def test_a_desk_that_hangs_costs_each_caller_a_deadline_and_not_the_loop() -> None:
    desk, meters = FakeDesk(published=3), Meters()
    desk.gate.clear()
    async with (
        served(desk, timeout_s=0.05, meters=meters) as server,
        keda(f"127.0.0.1:{server.port}") as client,
    ):
        for call in (
            client.stub.GetMetricSpec(CHAT.ref),
            client.stub.GetMetrics(METRICS),
            client.stub.IsActive(CHAT.ref),
            client.stub.StreamIsActive(CHAT.ref).read(),
            client.stub.StreamMetricSpec(CHAT.ref).read(),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as late:
                await call
            assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            assert "0.05 s" in (late.value.details() or "")
        desk.gate.set()
        assert len(await client.poll(CHAT)) == 1
    labels = {"method": "GetMetrics"}
    assert (meters.registry.get_sample_value("predictscale_rpc_duration_seconds_sum", labels) or 0) >= 0.05


async def test_a_caller_who_gives_up_is_let_go_and_counted() -> None:
    desk, meters = FakeDesk(published=3), Meters()
    desk.gate.clear()
    async with served(desk, meters=meters) as server, keda(f"127.0.0.1:{server.port}") as client:
        call = client.stub.GetMetrics(METRICS)
        await desk.waiting.acquire()
        call.cancel()
        labels = {"method": "GetMetrics", "code": "CANCELLED"}
        await soon(lambda: meters.registry.get_sample_value("predictscale_rpc_results_total", labels) == 1.0)


@pytest.mark.parametrize(
    ("name", "namespace"), [("", "prod"), ("chat", ""), ("c" * 254, "prod"), ("chat", "p" * 64)]
)
async def test_a_name_that_kubernetes_would_not_give_is_refused_before_the_desk(
    name: str, namespace: str
) -> None:
    desk = FakeDesk(published=3)
    async with served(desk) as server, keda(f"127.0.0.1:{server.port}") as client:
        with pytest.raises(grpc.aio.AioRpcError, match="INVALID_ARGUMENT"):
            await client.stub.GetMetricSpec(pb.ScaledObjectRef(name=name, namespace=namespace))
        with pytest.raises(grpc.aio.AioRpcError, match="INVALID_ARGUMENT"):
            await client.stub.GetMetrics(pb.GetMetricsRequest(metricName=METRIC_NAME))
    assert desk.asked == []


async def test_bytes_that_are_no_message_are_refused() -> None:
    async with served(FakeDesk(published=3)) as server, keda(f"127.0.0.1:{server.port}") as client:
        for method in ("GetMetricSpec", "GetMetrics", "IsActive"):
            send: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = client.channel.unary_unary(
                f"/{SERVICE}/{method}"
            )
            with pytest.raises(grpc.aio.AioRpcError, match="INVALID_ARGUMENT"):
                await send(b"\xff\xff\xff")


async def test_a_message_of_two_mebibytes_is_refused_and_the_connection_lives() -> None:
    desk = FakeDesk(published=3)
    async with served(desk) as server, keda(f"127.0.0.1:{server.port}") as client:
        huge = ScaledObject(metadata={"query": "x" * (2 << 20)})
        with pytest.raises(grpc.aio.AioRpcError, match="RESOURCE_EXHAUSTED"):
            await client.stub.GetMetricSpec(huge.ref)
        assert desk.asked == []
        assert len(await client.poll(CHAT)) == 1


async def test_a_text_too_long_for_a_header_still_arrives_with_its_status() -> None:
    desk = FakeDesk()
    desk.fail("spec", SettingsError([Problem("query", "€" * 100_000, "is too long")]))
    async with served(desk) as server, keda(f"127.0.0.1:{server.port}") as client:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.stub.GetMetricSpec(CHAT.ref)
        assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (refused.value.details() or "").startswith("query: €€€")


@given(
    raw=st.binary(max_size=64)
    | st.builds(
        lambda name, namespace, metadata, metric: pb.GetMetricsRequest(
            scaledObjectRef=pb.ScaledObjectRef(name=name, namespace=namespace, scalerMetadata=metadata),
            metricName=metric,
        ).SerializeToString(),
        st.text(max_size=300),
        st.text(max_size=70),
        st.dictionaries(st.text(max_size=8), st.text(max_size=8)),
        st.sampled_from([METRIC_NAME, "s1-" + METRIC_NAME, "other"]),
    )
)
async def test_whatever_bytes_come_they_are_answered_or_refused_as_an_argument(raw: bytes) -> None:
    scaler = grpc_server._Scaler(FakeDesk(published=3), waits=grpc_calls.Waits(), clock=SystemClock())
    for method in (scaler.metrics, scaler.is_active, scaler.metric_spec):
        with suppress(SettingsError, DecodeError):
            assert await method(raw)


@given(text=st.text(max_size=3000))
def test_a_shortened_text_fits_and_begins_as_the_whole_one(text: str) -> None:
    short = grpc_calls._shortened(text)
    assert len(short.encode()) <= grpc_calls._DETAILS_BYTES + len(" ...")
    assert text.startswith(short.removesuffix(" ...")) or text == short
