"""What every answer of the API tells a cache, in one place: what it is, how old, whether it is new.

An entity tag says that two answers are the same but for their ages, which move with the clock and
which a reader can add for himself; so it is a weak one, and a reader that shows it is told 304
instead of the same again. HEAD is answered as GET without its body, on every path. Long answers
are compressed for whoever asks, in a thread, for compressing takes milliseconds.

Refuses to let anything be kept without asking again.
"""

import asyncio
import gzip
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from hashlib import blake2b
from urllib.parse import parse_qsl

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from predictscale.core.demand import WorkloadId

API = "/api/v1/"
"""Where entity tags are told."""
LONG_BYTES = 65536
"""Beyond this an answer is compressed in a thread: it takes more than a millisecond."""

_ONE = f"{API}workloads"
_TOGETHER = tuple(f"{API}{route}" for route in ("fleet", "sparks", "costs"))
_WRITTEN = ("/events", "/overrides")
_PAST = {"at", "before", "until"}
"""Parameters that ask for the past."""
_SHORT_BYTES = 1400
"""About what goes into one packet: not worth compressing."""
_FASTEST = 1
_AGES = re.compile(rb'"(?:[a-z]+_)?age_s":[-+.\deE]+|"(?:as_of|now)":"[^"]+"')
"""What moves with the clock alone."""
_REFUSED = re.compile(r"\s*q=0(?:\.0*)?\s*")

Newest = Callable[[WorkloadId | None], datetime | None]
"""The instant of a workload's newest decision, or of all workloads'; None if there is none."""


def tag_of(body: bytes) -> str:
    """The entity tag of an answer without an age that moves: of all of its bytes.

    Routes whose answers are long and tell of the past bring it themselves: looking for ages in megabytes
    takes tens of milliseconds that no thread can take off the event loop.
    """
    return f'W/"{blake2b(body, digest_size=16).hexdigest()}"'


class Conditional:
    """Middleware between a server and the application.

    Args:
        app: The application.
        newest: Gives the instant that ages count from.
        now: The present.
    """

    def __init__(self, app: ASGIApp, *, newest: Newest, now: Callable[[], datetime]) -> None:
        self._app = app
        self._newest = newest
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        # The application writes what it finds of the path into the scope that it is given.
        asked = {**scope, "method": "GET"}
        answer = _Answer()
        await self._app(asked, receive, answer.take)
        if not answer.begun:
            return
        await answer.give(send, wanted=scope, headers=self._headers(asked, answer))

    def _headers(self, scope: Scope, answer: "_Answer") -> dict[str, str]:
        """What is told of an answer beside its own headers."""
        if not scope["path"].startswith(API):
            return {}
        told = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        if answer.status != 200:
            return told
        if not answer.has("etag"):
            told["ETag"] = tag_of(_AGES.sub(b"", answer.body))
        newest = self._newest(_workload(scope)) if _of_now(scope) else None
        if newest is not None:
            told["Age"] = f"{max(0.0, (self._now() - newest).total_seconds()):.0f}"
        return told


class _Answer:
    """An answer that is held until all of it is there."""

    def __init__(self) -> None:
        self._start: Message = {}
        self.body = b""

    @property
    def begun(self) -> bool:
        return bool(self._start)

    @property
    def status(self) -> int:
        return int(self._start["status"])

    def has(self, header: str) -> bool:
        return header in Headers(raw=self._start["headers"])

    async def take(self, message: Message) -> None:
        """What the application sends."""
        if message["type"] == "http.response.start":
            self._start = message
        else:
            self.body += message.get("body", b"")

    async def give(self, send: Send, *, wanted: Scope, headers: Mapping[str, str]) -> None:
        """Send it on as it was asked for."""
        told = MutableHeaders(raw=list(self._start["headers"]))
        for name, value in headers.items():
            told.setdefault(name, value)
        asked = Headers(scope=wanted)
        status, body = self.status, self.body
        long = len(body) > _SHORT_BYTES and "content-encoding" not in told and wanted["path"].startswith(API)
        if long:
            told.add_vary_header("Accept-Encoding")
        if status == 200 and _seen(asked.getlist("if-none-match"), told.get("etag")):
            status, body = 304, b""
            del told["content-length"], told["content-type"]
        elif long and takes_gzip(asked.getlist("accept-encoding")):
            body = await _compressed(body)
            told["Content-Encoding"] = "gzip"
            told["Content-Length"] = str(len(body))
        await send({**self._start, "status": status, "headers": told.raw})
        bodyless = wanted["method"] == "HEAD"
        await send({"type": "http.response.body", "body": b"" if bodyless else body})


def _of_now(scope: Scope) -> bool:
    """Whether an answer tells of newest decisions: not of the past, nor of what people wrote."""
    path: str = scope["path"]
    if not path.startswith((_ONE, *_TOGETHER)) or path.endswith(_WRITTEN):
        return False
    return not _PAST & dict(parse_qsl(scope["query_string"].decode("latin-1"))).keys()


def _workload(scope: Scope) -> WorkloadId | None:
    """Whose decision an answer tells; None of those of all workloads."""
    params = scope.get("path_params", {})
    return WorkloadId(params["namespace"], params["name"]) if "name" in params else None


def _seen(given: Iterable[str], tag: str | None) -> bool:
    """Whether the reader has it already; tags compare weakly, as RFC 9110 says of GET."""
    if tag is None:
        return False
    known = {each.strip().removeprefix("W/") for field in given for each in field.split(",")}
    return "*" in known or tag.removeprefix("W/") in known


def takes_gzip(accepted: Iterable[str]) -> bool:
    """Whether gzip may be sent: it is named and not refused, or is among the others.

    Args:
        accepted: The fields Accept-Encoding of a request.
    """
    codings = {}
    for each in ",".join(accepted).split(","):
        coding, _, weight = each.partition(";")
        codings[coding.strip().lower()] = not _REFUSED.fullmatch(weight)
    return codings.get("gzip", codings.get("*", False))


async def _compressed(body: bytes) -> bytes:
    if len(body) <= LONG_BYTES:
        return gzip.compress(body, _FASTEST, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _FASTEST, mtime=0)
