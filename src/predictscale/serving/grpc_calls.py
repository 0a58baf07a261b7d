"""What every gRPC handler needs, whatever it answers: a timeout, status codes, meters, an end.

Handlers take and give bytes, so that a message that cannot be read gets a
status of ours, and an answer that never changes is encoded once. Refuses to
pass on the text of a bug, which may quote a user's metadata: the log says where.
"""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import PurePath
from typing import TypeAlias, TypeVar

import grpc
import structlog
from google.protobuf.message import DecodeError
from prometheus_client import Counter

from predictscale.clock import Clock
from predictscale.errors import AnswerUnavailable, AskOwner, RefuseMore
from predictscale.meters import Meters

_log = structlog.get_logger(__name__)
_T = TypeVar("_T")
_Context = grpc.aio.ServicerContext[bytes, bytes]
Write = Callable[[bytes], Awaitable[None]]
Handler: TypeAlias = "grpc.RpcMethodHandler[bytes, bytes]"

# Details travel as an HTTP/2 header, percent-encoded; clients refuse headers of more than 8 KiB.
_DETAILS_BYTES = 2000
_CODES = (
    grpc.StatusCode.OK,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.INTERNAL,
)


class Calls:
    """Turns coroutines over bytes into gRPC handlers.

    Args:
        meters: Where calls are counted.
        clock: How long they take.
        timeout_s: How long the client waits for an answer or a refusal at most [s].
    """

    def __init__(self, *, meters: Meters, clock: Clock, timeout_s: float) -> None:
        self._meters = meters
        self._clock = clock
        self._timeout_s = timeout_s

    def unary(self, method: str, work: Callable[[bytes], Awaitable[bytes]]) -> Handler:
        """A handler with one answer, given within the timeout or not at all."""
        seconds = self._meters.rpc_seconds.labels(method)
        count = self._results(method)
        monotonic_s, timeout_s = self._clock.monotonic_s, self._timeout_s

        async def handle(raw: bytes, context: _Context) -> bytes:
            started_s = monotonic_s()
            code, details = grpc.StatusCode.OK, ""
            scope = asyncio.timeout(timeout_s)
            try:
                async with scope:
                    return await work(raw)
            except asyncio.CancelledError:
                code = grpc.StatusCode.CANCELLED
                raise
            except Exception as error:  # noqa: BLE001 - whatever it is, KEDA gets a status and we a count
                code, details = self._explain(method, error, timed_out=scope.expired())
            finally:
                seconds.observe(monotonic_s() - started_s)
                count[code].inc()
            return await context.abort(code, details)

        return grpc.unary_unary_rpc_method_handler(handle)

    def stream(
        self,
        method: str,
        admit: Callable[[bytes], Awaitable[_T]],
        work: Callable[[_T, Write], Awaitable[None]],
    ) -> Handler:
        """A handler that, once admitted within the timeout, lasts as long as client and server do.

        It ends with OK unless something is wrong: KEDA's wait before it reconnects
        grows to 60 s and goes back to 2 s on OK alone.
        """
        open_now = self._meters.rpc_streams.labels(method)
        count = self._results(method)

        async def handle(raw: bytes, context: _Context) -> None:
            code, details = grpc.StatusCode.OK, ""
            scope = asyncio.timeout(self._timeout_s)
            open_now.inc()
            try:
                async with scope:
                    admitted = await admit(raw)
                await work(admitted, context.write)
            except (asyncio.CancelledError, grpc.aio.BaseError):
                code = grpc.StatusCode.CANCELLED  # the client went; gRPC settles the rest
                raise
            except Exception as error:  # noqa: BLE001 - as above
                code, details = self._explain(method, error, timed_out=scope.expired())
            finally:
                open_now.dec()
                count[code].inc()
            if code is not grpc.StatusCode.OK:
                await context.abort(code, details)

        return grpc.unary_stream_rpc_method_handler(handle)

    def _results(self, method: str) -> dict[grpc.StatusCode, Counter]:
        """Counters bound once: a call pays for an addition, and every series exists from the start."""
        return {code: self._meters.rpc_results.labels(method, code.name) for code in _CODES}

    def _explain(self, method: str, error: Exception, *, timed_out: bool) -> tuple[grpc.StatusCode, str]:
        """What the client is told of an error; a bug is logged by its name and place."""
        if timed_out:
            return grpc.StatusCode.DEADLINE_EXCEEDED, f"no answer within {self._timeout_s:g} s"
        code, text = _status(error)
        if code is grpc.StatusCode.INTERNAL:
            frames = traceback.extract_tb(error.__traceback__)[-5:]
            places = [f"{PurePath(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames]
            _log.error("rpc_failed", method=method, error=type(error).__name__, at=places)
        return code, _shortened(text)


class Waits:
    """What streams wait for, so that a drain can end all waits at once.

    A wait costs nothing while it lasts, however many there are: no task, and no
    place in a list that others search.
    """

    def __init__(self) -> None:
        self._open: set[asyncio.Timeout] = set()
        self._over = asyncio.Event()

    async def next(self, items: AsyncIterator[_T]) -> _T | None:
        """The next item, or None once the server drains or there are no more."""
        if self._over.is_set():
            return None
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._open.add(scope)
                return await anext(items, None)
        except TimeoutError:
            if not scope.expired():
                raise
            return None
        finally:
            self._open.discard(scope)

    async def end(self) -> None:
        """Return once the server drains."""
        await self._over.wait()

    def finish(self) -> None:
        """End all waits, and those to come."""
        if self._over.is_set():
            return
        self._over.set()
        now_s = asyncio.get_running_loop().time()
        for scope in self._open:
            scope.reschedule(now_s)


def _status(error: Exception) -> tuple[grpc.StatusCode, str]:
    """The code and text of an error, by its place in the tree."""
    match error:
        case AskOwner():
            return grpc.StatusCode.INVALID_ARGUMENT, str(error)
        case RefuseMore():
            return grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)
        case AnswerUnavailable():
            return grpc.StatusCode.UNAVAILABLE, str(error)
        case DecodeError():
            return grpc.StatusCode.INVALID_ARGUMENT, "the request is no message of externalscaler.proto"
        case _:
            return grpc.StatusCode.INTERNAL, f"{type(error).__name__} in the scaler; its log says where"


def _shortened(text: str) -> str:
    """As much of `text` as a header carries."""
    raw = text.encode()
    return text if len(raw) <= _DETAILS_BYTES else raw[:_DETAILS_BYTES].decode(errors="ignore") + " ..."
