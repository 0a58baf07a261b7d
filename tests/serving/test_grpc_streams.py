"""External-push triggers: streams that stay open for the life of a ScaledObject."""

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from fake_desk import RECONNECT_SOON, FakeDesk, decision, kept_port, served
from keda_client import KedaClient, ScaledObject, keda
from patience import soon
from predictscale._proto import externalscaler_pb2 as pb
from predictscale.clock import SystemClock
from predictscale.errors import AnswerUnavailable
from predictscale.meters import Meters
from predictscale.serving import grpc as grpc_server
from predictscale.serving.grpc_calls import Waits
from predictscale.serving.ports import Ref

CHAT = ScaledObject()


@pytest.fixture
def meters() -> Meters:
    return Meters()


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk()


@pytest.fixture
async def client(desk: FakeDesk, meters: Meters) -> AsyncIterator[KedaClient]:
    async with served(desk, meters=meters) as server, keda(f"127.0.0.1:{server.port}") as client:
        yield client


def _open_streams(meters: Meters, method: str) -> float | None:
    return meters.registry.get_sample_value("predictscale_rpc_streams", {"method": method})


def _result(said: object) -> bool:
    assert isinstance(said, pb.IsActiveResponse), "the stream has ended"
    return said.result


async def test_the_state_comes_at_once_and_then_only_changes_of_it(
    client: KedaClient, desk: FakeDesk
) -> None:
    desk.publish(decision(3))
    stream = client.stub.StreamIsActive(CHAT.ref)
    assert _result(await stream.read()) is True
    for published in (4, 5, 0, 0, 2, 9, 0):
        desk.publish(decision(published))
    assert [_result(await stream.read()) for _ in range(3)] == [False, True, False]


async def test_a_decision_that_says_nothing_is_not_told_as_inactive(
    client: KedaClient, desk: FakeDesk
) -> None:
    stream = client.stub.StreamIsActive(CHAT.ref)
    await soon(lambda: desk.watchers == 1)
    desk.publish(decision(0, available=False))
    desk.publish(decision(2))
    desk.publish(decision(0, available=False))
    desk.publish(decision(0))
    assert [_result(await stream.read()) for _ in range(2)] == [True, False]


async def test_the_metric_spec_comes_once_and_equals_the_unary_one(
    client: KedaClient, meters: Meters
) -> None:
    stream = client.stub.StreamMetricSpec(CHAT.ref)
    assert await stream.read() == await client.stub.GetMetricSpec(CHAT.ref)
    assert _open_streams(meters, "StreamMetricSpec") == 1.0


async def test_a_client_that_leaves_frees_what_its_streams_held(
    client: KedaClient, desk: FakeDesk, meters: Meters
) -> None:
    desk.publish(decision(1))
    pushed, specs = client.stub.StreamIsActive(CHAT.ref), client.stub.StreamMetricSpec(CHAT.ref)
    await pushed.read()
    await specs.read()
    assert desk.watchers == 1
    pushed.cancel()
    specs.cancel()
    await soon(lambda: desk.watchers == 0)
    await soon(lambda: not any(_open_streams(meters, m) for m in ("StreamIsActive", "StreamMetricSpec")))
    await client.poll(CHAT)


async def test_a_connection_that_drops_frees_its_streams(desk: FakeDesk, meters: Meters) -> None:
    desk.publish(decision(1))
    async with served(desk, meters=meters) as server:
        async with keda(f"127.0.0.1:{server.port}") as client:
            streams = [client.stub.StreamIsActive(CHAT.ref) for _ in range(5)]
            for stream in streams:
                await stream.read()
            assert desk.watchers == 5
        await soon(lambda: desk.watchers == 0)


@pytest.mark.parametrize("method", ["StreamIsActive", "StreamMetricSpec"])
async def test_two_hundred_push_streams_leave_unary_calls_unharmed(
    client: KedaClient, desk: FakeDesk, meters: Meters, method: str
) -> None:
    fleet = [ScaledObject(name=f"w{i}") for i in range(200)]
    for scaled in fleet:
        desk.publish(decision(1), name=scaled.name)
    streams = [getattr(client.stub, method)(scaled.ref) for scaled in fleet]
    for stream in streams:
        await stream.read()
    assert _open_streams(meters, method) == 200.0
    answers = await asyncio.gather(*(client.poll(scaled) for scaled in fleet))
    assert [samples[0].value for samples in answers] == [1.0] * 200
    assert client.rebuilds == 0
    if method == "StreamIsActive":
        for scaled in fleet:
            desk.publish(decision(0), name=scaled.name)
        assert [_result(await stream.read()) for stream in streams] == [False] * 200


async def test_a_burst_of_streams_as_after_a_restart_of_keda_is_answered_whole(
    client: KedaClient, meters: Meters
) -> None:
    # gRPC by default cancels some of more than 1,000 calls that wait to be accepted.
    streams = [client.stub.StreamMetricSpec(ScaledObject(name=f"w{i}").ref) for i in range(1500)]
    for stream in streams:
        assert await stream.read() is not grpc.aio.EOF
    assert _open_streams(meters, "StreamMetricSpec") == 1500.0


async def test_lost_streams_come_back_and_only_an_end_with_ok_resets_the_wait(desk: FakeDesk) -> None:
    waits: list[float] = []
    heard: list[bool] = []
    rest = asyncio.Event()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) >= 8:
            rest.set()
        await asyncio.sleep(0.001)

    desk.publish(decision(1))
    desk.fail("changes", *(AnswerUnavailable("not yet") for _ in range(6)))
    with kept_port() as port:
        async with (
            served(desk, port=port) as server,
            keda(f"127.0.0.1:{port}", sleep=sleep, options=RECONNECT_SOON) as client,
        ):
            watching = asyncio.create_task(client.watch_active(CHAT, heard.append))
            await soon(lambda: heard == [True])
            assert waits == [2, 4, 8, 16, 32, 60]
            await server.drain()
            await soon(rest.is_set)
            assert waits[6:8] == [2, 4]
            # The service comes back at the same address, with news.
            desk.publish(decision(0))
            async with served(desk, port=port):
                await soon(lambda: heard == [True, False])
                assert len(await client.poll(CHAT)) == 1
                watching.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await watching


async def test_specs_that_are_watched_come_again_after_each_reconnect(desk: FakeDesk) -> None:
    heard: list[list[pb.MetricSpec]] = []
    desk.fail("spec", AnswerUnavailable("not yet"))

    async def sleep(_seconds: float) -> None:
        await asyncio.sleep(0.001)

    async with served(desk) as server, keda(f"127.0.0.1:{server.port}", sleep=sleep) as client:
        watching = asyncio.create_task(client.watch_spec(CHAT, heard.append))
        await soon(lambda: len(heard) == 1)
        watching.cancel()
        with pytest.raises(asyncio.CancelledError):
            await watching


async def test_an_error_of_the_desk_ends_a_stream_with_its_status(
    client: KedaClient, desk: FakeDesk, meters: Meters
) -> None:
    desk.fail("changes", ZeroDivisionError())
    with pytest.raises(grpc.aio.AioRpcError, match="INTERNAL"):
        await client.stub.StreamIsActive(CHAT.ref).read()
    assert _open_streams(meters, "StreamIsActive") == 0.0


async def test_a_stream_that_cannot_write_closes_what_it_watched() -> None:
    desk = FakeDesk(published=1)
    scaler = grpc_server._Scaler(desk, waits=Waits(), clock=SystemClock())

    async def write(_message: bytes) -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await scaler.push_active(Ref("prod", "chat", {}), write)
    assert [method for method, _ in desk.asked] == ["changes"]
    assert desk.watchers == 0


async def test_waits_end_together_and_a_timeout_of_the_source_is_not_their_end() -> None:
    async def never() -> AsyncIterator[int]:
        await asyncio.Event().wait()
        yield 0

    async def late() -> AsyncIterator[int]:
        raise TimeoutError("the source's own")
        yield 0

    waits = Waits()
    with pytest.raises(TimeoutError, match="the source's own"):
        await waits.next(late())
    waiting = [asyncio.create_task(waits.next(never())) for _ in range(3)]
    ending = asyncio.create_task(waits.end())
    await asyncio.sleep(0)
    waits.finish()
    waits.finish()
    assert await asyncio.gather(*waiting) == [None, None, None]
    await ending
    assert await waits.next(never()) is None
