"""An HTTP server on loopback that misbehaves as it is told, in front of a real server or alone.

Each request takes the next fault of `plan`; without one it is passed on, or
answered with an empty Prometheus result if there is nobody to pass it to.
"""

import asyncio
import gzip
import json
import ssl
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs, urlsplit

EMPTY = {"status": "success", "data": {"resultType": "matrix", "result": []}}


@dataclass(frozen=True, slots=True)
class Respond:
    """Answer by itself."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    says_length: int | None = None
    """The Content-Length to claim; more than there is looks like a cut connection."""


@dataclass(frozen=True, slots=True)
class Pass:
    """Pass the request on, changed a little.

    Args:
        keep_bytes: How much of the answer's body arrives before the connection breaks; all if None.
        delay_s: How long to wait first [s].
        headers: To set in the answer.
    """

    keep_bytes: int | None = None
    delay_s: float = 0.0
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection without an answer."""


@dataclass(frozen=True, slots=True)
class Hang:
    """Take the request and never answer."""


@dataclass(frozen=True, slots=True)
class Drip:
    """Answer a byte at a time, for ever."""

    pause_s: float = 0.01


Fault = Respond | Pass | Reset | Hang | Drip


@dataclass(frozen=True, slots=True)
class Request:
    """What arrived."""

    method: str
    path: str
    headers: Mapping[str, str]
    form: Mapping[str, str]


def json_answer(data: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Respond:
    return Respond(status, json.dumps(data).encode(), {"Content-Type": "application/json", **(headers or {})})


def matrix(*series: Mapping[str, object], **more: object) -> Respond:
    """A range query's answer with these series, and what else Prometheus may say beside `data`."""
    return json_answer(
        {"status": "success", "data": {"resultType": "matrix", "result": list(series)}, **more}
    )


def html() -> Respond:
    return Respond(200, b"<html><body>Please log in</body></html>", {"Content-Type": "text/html"})


def gzip_bomb(size_bytes: int) -> Respond:
    return Respond(200, gzip.compress(b" " * size_bytes), {"Content-Encoding": "gzip"})


class FaultProxy:
    """Runs between `async with`.

    Args:
        target: Where requests are passed on to, such as `http://127.0.0.1:9090`; None if nowhere.
        tls: To speak TLS with.
    """

    def __init__(self, target: str | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        self.plan: deque[Fault] = deque()
        self.requests: list[Request] = []
        self.most_at_once = 0
        self._target = urlsplit(target) if target else None
        self._tls = tls
        self._open = self._unanswered = 0
        self._over = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._over.set()
        self._server.close()
        await self._server.wait_closed()
        # Handlers that were hanging end now; the loop must see them off.
        while self._open:
            await asyncio.sleep(0.005)

    @property
    def url(self) -> str:
        assert self._server is not None
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                request, body = await self._request(head, reader)
                self.requests.append(request)
                await self._answered(head, body, writer)
        finally:
            writer.close()
            # A peer that does not say farewell to TLS in time is an `OSError` of another kind.
            with suppress(OSError):
                await writer.wait_closed()
            self._open -= 1

    async def _answered(self, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        """Who has the answer may ask again before the connection is seen off: it does not count that long."""
        self._unanswered += 1
        self.most_at_once = max(self.most_at_once, self._unanswered)
        try:
            await self._act(self.plan.popleft() if self.plan else None, head, body, writer)
        finally:
            self._unanswered -= 1

    async def _request(self, head: bytes, reader: asyncio.StreamReader) -> tuple[Request, bytes]:
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _ = first.split(" ")
        form = {name: values[-1] for name, values in parse_qs(body.decode()).items()}
        return Request(method, path, headers, form), body

    async def _act(self, fault: Fault | None, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        match fault:
            case Reset():
                writer.transport.abort()
            case Hang():
                await self._over.wait()
                writer.transport.abort()
            case Drip():
                await self._drip(fault, writer)
            case Respond():
                await self._respond(fault, writer)
            case Pass() | None:
                await self._pass(fault or Pass(), head, body, writer)

    async def _respond(self, fault: Respond, writer: asyncio.StreamWriter) -> None:
        length = len(fault.body) if fault.says_length is None else fault.says_length
        headers = {**fault.headers, "Content-Length": str(length), "Connection": "close"}
        lines = [f"HTTP/1.1 {fault.status} Told"] + [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + fault.body)
        await writer.drain()

    async def _drip(self, fault: Drip, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 Told\r\nContent-Length: 1000000\r\n\r\n")
        while not (self._over.is_set() or writer.is_closing()):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(fault.pause_s)

    async def _pass(self, fault: Pass, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        if fault.delay_s:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), fault.delay_s)
        if self._target is None:
            await self._respond(json_answer(EMPTY, headers=fault.headers), writer)
            return
        up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        try:
            # Closing after each answer is what tells where the answer ends.
            up_writer.write(head.removesuffix(b"\r\n").replace(b"\r\nConnection: keep-alive", b""))
            up_writer.write(b"Connection: close\r\n\r\n" + body)
            answer_head = await up_reader.readuntil(b"\r\n\r\n")
            answer = await up_reader.read()
            writer.write(_with_headers(answer_head, fault.headers))
            writer.write(answer if fault.keep_bytes is None else answer[: fault.keep_bytes])
            await writer.drain()
        finally:
            up_writer.close()
            with suppress(ConnectionError):
                await up_writer.wait_closed()


def _with_headers(head: bytes, headers: Mapping[str, str]) -> bytes:
    lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    replaced = {name.lower() for name in headers}
    kept = [line for line in lines if line.partition(":")[0].lower() not in replaced]
    added = [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*kept, *added, "", ""]).encode("latin-1")
