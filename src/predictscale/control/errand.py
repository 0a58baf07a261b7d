"""One piece of work at a time in the background, beside the ticks of a workload.

Refuses to queue: what is asked for while something is under way is the caller's to ask for again.
Refuses to fail unseen: what nobody foresaw is logged when it happens.
"""

import asyncio
from collections.abc import Coroutine

import structlog

_log = structlog.get_logger(__name__)


class Errand:
    """Nothing is under way until `start`."""

    def __init__(self) -> None:
        self._work: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return self._work is not None and not self._work.done()

    def start(self, work: Coroutine[object, object, None]) -> None:
        """Begin, and return at once; only while nothing is under way."""
        self._work = asyncio.create_task(work)
        self._work.add_done_callback(_told)

    async def settled(self, *, timeout_s: float | None = None) -> None:
        """Return once what is under way has ended, or `timeout_s` have passed; it goes on then."""
        if self._work is not None:
            await asyncio.wait({self._work}, timeout=timeout_s)

    async def cancel(self) -> None:
        """End what is under way."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)


def _told(work: asyncio.Task[None]) -> None:
    """Log how a piece of work failed, if it did."""
    if not work.cancelled() and (error := work.exception()) is not None:
        _log.error("work in the background failed", because=repr(error), exc_info=error)
