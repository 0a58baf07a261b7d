"""From bind to drain: ports, health, reflection, and a departure without a failed call."""

import asyncio
import socket

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from fake_desk import RECONNECT_SOON, FakeDesk, decision, kept_port, served
from keda_client import EmptyMetricSpec, ScaledObject, keda
from patience import WITHIN_S, soon
from predictscale._proto import externalscaler_pb2 as pb
from predictscale.errors import SettingsError
from predictscale.meters import Meters
from predictscale.serving.grpc import SERVICE, ScalerServer

CHAT = ScaledObject()
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


async def test_a_taken_port_is_an_error_that_names_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match=f"grpc_port: 127.0.0.1:{port} cannot be bound"):
            async with served(FakeDesk(), port=port):
                pass


async def test_two_servers_never_share_a_port() -> None:
    async with served(FakeDesk()) as first:
        with pytest.raises(SettingsError, match=str(first.port)):
            async with served(FakeDesk(), port=first.port):
                pass


async def test_an_ipv6_address_is_bound_as_it_is_written() -> None:
    server = ScalerServer(FakeDesk(published=2), meters=Meters(), host="::1", port=0)
    try:
        await server.start()
    except SettingsError:
        pytest.skip("this machine has no IPv6 loopback")
    async with keda(f"[::1]:{server.port}") as client:
        assert (await client.poll(CHAT))[0].value == 2.0
    await server.stop()


async def test_a_server_that_never_started_can_be_stopped_and_drained() -> None:
    server = ScalerServer(FakeDesk(), meters=Meters(), host="127.0.0.1", port=0, drain_s=0.0)
    await server.drain()
    await server.stop()
    assert server.port == 0


async def _health(channel: grpc.aio.Channel, service: str) -> int:
    check: grpc.aio.UnaryUnaryMultiCallable[HealthCheckRequest, HealthCheckResponse] = channel.unary_unary(
        "/grpc.health.v1.Health/Check",
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    return (await check(HealthCheckRequest(service=service))).status


async def test_health_is_serving_from_the_start_and_not_while_draining() -> None:
    desk = FakeDesk(published=1)
    async with served(desk) as server, keda(f"127.0.0.1:{server.port}") as client:
        assert [await _health(client.channel, name) for name in ("", SERVICE)] == [SERVING, SERVING]
        open_watch: grpc.aio.UnaryStreamMultiCallable[HealthCheckRequest, HealthCheckResponse]
        open_watch = client.channel.unary_stream(
            "/grpc.health.v1.Health/Watch",
            request_serializer=HealthCheckRequest.SerializeToString,
            response_deserializer=HealthCheckResponse.FromString,
        )
        watch = open_watch(HealthCheckRequest(service=SERVICE))
        told = aiter(watch)
        assert (await anext(told)).status == SERVING
        draining = asyncio.create_task(server.drain())
        assert (await anext(told)).status == NOT_SERVING
        watch.cancel()
        await draining


async def test_reflection_lists_and_describes_the_service() -> None:
    async with served(FakeDesk()) as server, keda(f"127.0.0.1:{server.port}") as client:
        ask: grpc.aio.StreamStreamMultiCallable[ServerReflectionRequest, ServerReflectionResponse]
        ask = client.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )
        questions = [
            ServerReflectionRequest(list_services=""),
            ServerReflectionRequest(file_containing_symbol=SERVICE),
        ]
        answers = [answer async for answer in ask(iter(questions))]
    assert SERVICE in {service.name for service in answers[0].list_services_response.service}
    assert answers[1].file_descriptor_response.file_descriptor_proto == [pb.DESCRIPTOR.serialized_pb]


async def test_every_method_of_the_protocol_is_offered() -> None:
    methods = pb.DESCRIPTOR.services_by_name["ExternalScaler"].methods
    desk = FakeDesk(published=1)
    async with served(desk) as server, keda(f"127.0.0.1:{server.port}") as client:
        for method in methods:
            send: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
            send = client.channel.unary_stream(f"/{SERVICE}/{method.name}")
            with pytest.raises(grpc.aio.AioRpcError, match="INVALID_ARGUMENT"):
                await send(b"\xff").read()
    assert len(methods) == 5


async def test_a_drain_ends_streams_with_ok_and_lets_calls_in_flight_finish() -> None:
    desk = FakeDesk(published=4)
    async with (
        served(desk) as server,
        keda(f"127.0.0.1:{server.port}", options=RECONNECT_SOON) as client,
    ):
        pushed, specs = client.stub.StreamIsActive(CHAT.ref), client.stub.StreamMetricSpec(CHAT.ref)
        await pushed.read()
        await specs.read()
        desk.gate.clear()
        slow = client.stub.GetMetricSpec(CHAT.ref)
        await desk.waiting.acquire()
        draining = asyncio.create_task(server.drain())
        assert [await pushed.read(), await specs.read()] == [grpc.aio.EOF, grpc.aio.EOF]
        assert {await pushed.code(), await specs.code()} == {grpc.StatusCode.OK}
        assert not slow.done()
        assert not draining.done()
        desk.gate.set()
        assert (await slow).metricSpecs
        await draining
        with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
            await client.stub.IsActive(CHAT.ref)


async def test_calls_go_on_being_answered_while_probes_are_told() -> None:
    desk = FakeDesk(published=4)
    server = ScalerServer(desk, meters=Meters(), host="127.0.0.1", port=0, drain_s=WITHIN_S)
    await server.start()
    async with keda(f"127.0.0.1:{server.port}") as client:
        await client.poll(CHAT)
        draining = asyncio.create_task(server.drain())
        await asyncio.sleep(0)
        assert await _health(client.channel, "") == NOT_SERVING
        assert (await client.poll(CHAT))[0].value == 4.0
        assert not draining.done()
        draining.cancel()
        await asyncio.gather(draining, return_exceptions=True)
    await server.stop()


async def test_a_stream_opened_during_a_drain_ends_with_ok_too() -> None:
    desk = FakeDesk(published=4)
    async with served(desk) as server, keda(f"127.0.0.1:{server.port}") as client:
        desk.gate.clear()
        stream = client.stub.StreamIsActive(CHAT.ref)
        await desk.waiting.acquire()
        draining = asyncio.create_task(server.drain())
        await soon(server._waits._over.is_set)
        desk.gate.set()
        assert await stream.code() is grpc.StatusCode.OK
        await draining


async def test_a_call_that_outlasts_the_grace_does_not_hold_the_drain() -> None:
    desk, meters = FakeDesk(published=4), Meters()
    desk.gate.clear()
    async with (
        served(desk, timeout_s=10 * WITHIN_S, grace_s=0.05, meters=meters) as server,
        keda(f"127.0.0.1:{server.port}") as client,
    ):
        stuck = client.stub.GetMetricSpec(CHAT.ref)
        await desk.waiting.acquire()
        async with asyncio.timeout(WITHIN_S):
            await server.drain()
        with pytest.raises(grpc.aio.AioRpcError):
            await stuck


async def test_polls_go_on_after_a_restart_at_the_same_address() -> None:
    desk = FakeDesk(published=4)
    with kept_port() as port:
        async with (
            served(desk, port=port) as server,
            keda(f"127.0.0.1:{port}", options=RECONNECT_SOON) as client,
        ):
            await client.poll(CHAT)
            await server.stop()
            with pytest.raises(EmptyMetricSpec, match="UNAVAILABLE"):
                await client.poll(CHAT)
            desk.publish(decision(9))
            async with served(desk, port=port):
                values: list[float] = []
                async with asyncio.timeout(WITHIN_S):
                    while not values:
                        try:
                            values = [sample.value for sample in await client.poll(CHAT)]
                        except EmptyMetricSpec:
                            await asyncio.sleep(0.02)
                assert values == [9.0]
