"""A source that asks another only for what was never asked before.

Refuses to remember what may still change, and what came with a warning.
"""

import asyncio
from datetime import datetime, timedelta

from predictscale.clock import Clock
from predictscale.core.demand import Signal
from predictscale.core.series import MetricWindow
from predictscale.sources.base import Answer, Source
from predictscale.sources.blocks import SeriesKey
from predictscale.sources.history import History

_PIECE_BINS = 10_000


class CachedSource:
    """A `Source` in front of another, which is asked for each bin once.

    A stretch counts as asked for only if its answer came whole (not failed, not
    partial), and only up to `settle_s` before the clock's present, so that late
    samples are still seen. Where the newest bins are gaps, `late_s` is kept
    instead: a clock that is ahead, or a source that catches up after an outage,
    must not turn what is merely late into a gap for ever.

    Args:
        inner: Who is asked.
        history: What is remembered; belongs to the caller, who closes it.
        workload: Whose series these are, as text.
        clock: Tells the present.
        settle_s: Age below which a bin may still change [s]; two steps if None.
        late_s: Age below which a gap at the end may still be filled [s].
    """

    def __init__(
        self,
        inner: Source,
        *,
        history: History,
        workload: str,
        clock: Clock,
        settle_s: float | None = None,
        late_s: float = 3600.0,
    ) -> None:
        self._inner = inner
        self._history = history
        self._workload = workload
        self._clock = clock
        self._settle_s = settle_s
        self._late_s = late_s
        self._asking: dict[SeriesKey, asyncio.Lock] = {}

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        """The bins of [start, end); see `Source.read`.

        Long stretches are asked for in pieces, each remembered as it comes: after a
        failure the next read goes on from there.

        Raises:
            HoldTarget: The inner source's.
        """
        key = SeriesKey.of(self._workload, signal, step_s=step_s)
        have = await self._history.recall(key, start, end)
        window, partial = have.window, False
        for first, last in _pieces(have.ranges(asked=False), step_s):
            answer = await self._fetch(key, signal, first, last)
            window = window.join(answer.window)
            partial = partial or answer.partial
        return Answer(window, partial=partial)

    async def aclose(self) -> None:
        """Close the inner source."""
        await self._inner.aclose()

    async def _fetch(self, key: SeriesKey, signal: Signal, start: datetime, end: datetime) -> Answer:
        # One question at a time for a series: a second reader finds the first one's answer.
        async with self._asking.setdefault(key, asyncio.Lock()):
            have = await self._history.recall(key, start, end)
            window, partial = have.window, False
            for first, last in have.ranges(asked=False):
                answer = await self._inner.read(signal, start=first, end=last, step_s=key.step_s)
                window = window.join(answer.window)
                partial = partial or answer.partial
                if not answer.partial:
                    await self._history.store(key, self._settled(answer.window))
            return Answer(window, partial=partial)

    def _settled(self, window: MetricWindow) -> MetricWindow:
        now = self._clock.now()
        settle_s = self._settle_s if self._settle_s is not None else 2 * window.step_s
        seen = window.newest[0] if window.newest is not None else window.start
        late = now - timedelta(seconds=self._late_s)
        return window.between(window.start, min(now - timedelta(seconds=settle_s), max(seen, late)))


def _pieces(ranges: list[tuple[datetime, datetime]], step_s: float) -> list[tuple[datetime, datetime]]:
    piece = timedelta(seconds=step_s * _PIECE_BINS)
    pieces = []
    for start, end in ranges:
        first = start
        while first < end:
            pieces.append((first, min(first + piece, end)))
            first += piece
    return pieces
