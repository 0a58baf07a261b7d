"""How the port of REST and the page is opened."""

import asyncio
import socket

import pytest

from predictscale.bootstrap.service import PortTaken, _listen


async def test_what_is_answered_on_the_port_is_sent_at_once() -> None:
    told = asyncio.get_running_loop().create_future()

    def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted = writer.get_extra_info("socket")
        told.set_result(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    listening = _listen("127.0.0.1", 0)
    server = await asyncio.start_server(meet, sock=listening)
    _, writer = await asyncio.open_connection(*listening.getsockname())
    assert await told, "Nagle's algorithm waits for the reader's acknowledgement, 40 ms"
    writer.close()
    server.close()


def test_a_port_of_another_is_told_with_its_number() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} on 127.0.0.1"):
            _listen("127.0.0.1", port)
