"""The service as a whole: how it ends, and the work between ticks."""

import asyncio
import random
import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from patience import WITHIN_S, soon
from predictscale.bootstrap.service import PortTaken, Service, _listen
from predictscale.clock import ManualClock
from predictscale.sources.history import History
from scenes import MORNING
from small_service import small_service


async def started(clock: ManualClock, **more: Any) -> Service:
    """A service of one workload, which the test ends."""
    service = small_service(clock, **more)
    await service.start()
    return service


async def ticks(service: Service, clock: ManualClock, count: int) -> None:
    """Let ticks pass."""
    for _ in range(count):
        before = service._ticks
        clock.advance(15)
        await soon(lambda before=before: service._ticks > before)  # type: ignore[misc] # bound at once


async def test_a_reader_that_reads_no_more_does_not_keep_the_service_from_ending(tmp_path: Path) -> None:
    cache = tmp_path / "cache.db"
    service = await started(ManualClock(MORNING), cache={"path": str(cache)})
    with socket.create_connection(("127.0.0.1", service.http_port)) as reader:
        await asyncio.to_thread(reader.sendall, 40 * b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n")
        # The first byte is there: it is being answered.
        await asyncio.to_thread(reader.recv, 1)
        async with asyncio.timeout(WITHIN_S):
            await service.stop()
    assert cache.stat().st_size > 0


async def test_a_slow_disk_is_not_asked_for_more_while_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, may_end = ManualClock(MORNING), threading.Event()
    begun: list[float] = []

    def slowly(_: History, before_s: float) -> None:
        begun.append(before_s)
        may_end.wait(WITHIN_S)

    monkeypatch.setattr(History, "_prune", slowly)
    service = await started(clock)
    try:
        await ticks(service, clock, 24)
        await soon(lambda: bool(begun))
        assert len(begun) == 1
        may_end.set()
        await soon(lambda: not service._house.busy)
        await ticks(service, clock, 4)
        await soon(lambda: len(begun) == 2)
    finally:
        may_end.set()
        await service.stop()


def _has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


_needs_ipv6 = pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")


@_needs_ipv6
@pytest.mark.parametrize(
    ("host", "reached"),
    [
        ("::", {"127.0.0.1", "::1"}),
        ("::1", {"::1"}),
        ("127.0.0.1", {"127.0.0.1"}),
    ],
)
async def test_all_three_ports_listen_on_ipv6_and_the_wildcard_on_both(host: str, reached: set[str]) -> None:
    grpc, http, metrics = ({"host": host, "port": port} for port in _nobodys_ports(3))
    service = await started(
        ManualClock(MORNING), grpc={**grpc, "drain_s": 0, "grace_s": 1}, http=http, metrics=metrics
    )
    try:
        for port in (service.grpc.port, service.http_port, service.metrics_port):
            assert {near for near in ("127.0.0.1", "::1") if await _answers(near, port)} == reached
        shown = f"[{host}]" if ":" in host else host
        assert f"http://{shown}:{service.http_port}/" in service.addresses()[1]
        assert f" {shown}:{service.grpc.port} " in service.addresses()[0]
    finally:
        await service.stop()


def _nobodys_ports(count: int) -> list[int]:
    """Each another, free on both loopbacks, and below those that the system hands out: nobody comes there."""
    found: set[int] = set()
    while len(found) < count:
        port = random.SystemRandom().randrange(10_000, 15_000)
        with suppress(OSError), socket.socket() as four, socket.socket(socket.AF_INET6) as six:
            four.bind(("127.0.0.1", port))
            six.bind(("::1", port))
            found.add(port)
    return list(found)


async def _answers(host: str, port: int) -> bool:
    """Whether somebody takes a connection there."""
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@_needs_ipv6
async def test_a_port_of_ipv6_that_is_taken_is_told_as_such() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} on ::1"):
            _listen("::1", port)
