"""The history that survives a restart.

Disposable by design: whatever happens to the file, the service goes on in
memory and the source is asked again. Refuses to raise for a fault of the disk:
it is counted, and said once.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
from anyio import to_thread

from predictscale.core.series import MetricWindow
from predictscale.errors import RebuildCache
from predictscale.meters import Meters
from predictscale.sources.blocks import Block, Recall, SeriesKey
from predictscale.sources.cachefile import CacheFile
from predictscale.sources.guarded import GuardedFile

__all__ = ["History", "Recall", "SeriesKey"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FLUSH_AT_BLOCKS = 64

_T = TypeVar("_T")


class History:
    """Bins of many series, on disk if there is a path, else in memory.

    `store` writes to memory; `flush` puts it on disk, and happens by itself only when
    much is waiting and on `aclose`: call it now and then. While the disk takes nothing, `store` does not
    try: a lock that is waited for at each bin of a thousand series would hold up their decisions.

    Args:
        path: The sqlite file; None keeps everything in memory.
        meters: Where faults of the file are counted.
    """

    def __init__(self, *, path: Path | None, meters: Meters) -> None:
        self._lock = threading.Lock()
        self._file: GuardedFile[CacheFile] | None = None
        if path is not None:
            self._file = GuardedFile(
                path,
                lambda: CacheFile(path),
                name="history_cache",
                count=lambda reason: meters.cache_faults.labels(reason=reason).inc(),
            )
        self._waiting: dict[tuple[SeriesKey, int], Block] = {}
        self._waiting_blobs: dict[str, tuple[bytes, float | None]] = {}
        # Whether the last flush failed: until one succeeds, only those who ask for it wait for the disk.
        self._stuck = False

    async def load(self, key: SeriesKey, start: datetime, end: datetime) -> MetricWindow:
        """The bins of [start, end); gaps where nothing is known."""
        return (await self.recall(key, start, end)).window

    async def recall(self, key: SeriesKey, start: datetime, end: datetime) -> Recall:
        """The bins of [start, end), and which of them were asked for before."""
        return await to_thread.run_sync(self._recall, key, key.index(start), key.index(end))

    async def store(self, key: SeriesKey, window: MetricWindow) -> None:
        """Remember all bins of `window` as asked for: a gap in it will not be asked for again.

        Raises:
            ValueError: The window's step is not the key's.
        """
        if window.step_s != key.step_s:
            raise ValueError(f"window: steps of {window.step_s:g} s; the key says {key.step_s:g} s")
        if len(window) and await to_thread.run_sync(self._store, key, window) >= _FLUSH_AT_BLOCKS:
            await self.flush()

    async def covered(self, key: SeriesKey) -> list[tuple[datetime, datetime]]:
        """The stretches [start, end) that were asked for, oldest first."""
        return await to_thread.run_sync(self._covered, key)

    async def blob_put(self, key: str, data: bytes, *, at: datetime | None = None) -> None:
        """Keep bytes, such as a fitted model, under a name; `prune` forgets them by `at`."""
        at_s = None if at is None else (at - _EPOCH).total_seconds()
        await to_thread.run_sync(self._put_blob, key, data, at_s)

    async def blob_get(self, key: str) -> bytes | None:
        """The bytes kept under a name; None if there are none, or they are damaged."""
        return await to_thread.run_sync(self._blob, key)

    async def flush(self) -> None:
        """Put on disk what waits in memory; all of it or, after a fault, nothing: then it goes on waiting."""
        await to_thread.run_sync(self._flush)

    async def prune(self, before: datetime) -> None:
        """Forget what ended before `before`, to the day."""
        await to_thread.run_sync(self._prune, (before - _EPOCH).total_seconds())

    async def aclose(self) -> None:
        """Flush and close."""
        await self.flush()
        await to_thread.run_sync(self._close)

    def _recall(self, key: SeriesKey, first: int, stop: int) -> Recall:
        with self._lock:
            return self._recall_locked(key, first, max(stop, first))

    def _recall_locked(self, key: SeriesKey, first: int, stop: int) -> Recall:
        size = key.bins_per_block
        low, high = first // size, (stop - 1) // size
        nothing: tuple[dict[int, Block], int] = ({}, 0)
        found, damaged = self._try(lambda file: file.blocks(key, low, high), otherwise=nothing)
        self._count_damaged(damaged)
        whole = Block.blank(stop - first)
        for number, in_block, in_range in key.blocks(first, stop):
            for block in (found.get(number), self._waiting.get((key, number))):
                if block is not None:
                    part = Block(block.values[in_block], block.asked[in_block])
                    whole.put(part, in_range)
        return Recall(MetricWindow(key.instant(first), key.step_s, whole.values), whole.asked)

    def _store(self, key: SeriesKey, window: MetricWindow) -> int:
        first = key.index(window.start)
        with self._lock:
            for number, in_block, in_range in key.blocks(first, first + len(window)):
                block = self._waiting.setdefault((key, number), Block.blank(key.bins_per_block))
                values = window.values[in_range]
                block.put(Block(values, np.ones(values.size, dtype=bool)), in_block)
            return len(self._waiting) if self._file is not None and not self._stuck else 0

    def _covered(self, key: SeriesKey) -> list[tuple[datetime, datetime]]:
        with self._lock:
            span = self._try(lambda file: file.span(key), otherwise=None)
            numbers = [number for series, number in self._waiting if series == key] + list(span or ())
            if not numbers:
                return []
            size = key.bins_per_block
            recall = self._recall_locked(key, min(numbers) * size, (max(numbers) + 1) * size)
            return recall.ranges(asked=True)

    def _put_blob(self, key: str, data: bytes, at_s: float | None) -> None:
        with self._lock:
            self._waiting_blobs[key] = (data, at_s)

    def _blob(self, key: str) -> bytes | None:
        with self._lock:
            if key in self._waiting_blobs:
                return self._waiting_blobs[key][0]

            def read(file: CacheFile) -> bytes | None:
                try:
                    return file.blob(key)
                except RebuildCache:  # only these bytes, not the file
                    self._count_damaged(1)
                    return None

            return self._try(read, otherwise=None)

    def _flush(self) -> None:
        with self._lock:
            if not (self._waiting or self._waiting_blobs):
                return
            damaged = self._try(self._write, otherwise=None)
            self._stuck = damaged is None
            if damaged is not None:
                self._count_damaged(damaged)
                self._waiting.clear()
                self._waiting_blobs.clear()

    def _write(self, file: CacheFile) -> int:
        return file.merge(self._waiting, self._waiting_blobs)

    def _prune(self, before_s: float) -> None:
        with self._lock:
            for key, number in list(self._waiting):
                if (number + 1) * key.bins_per_block * key.step_s <= before_s:
                    del self._waiting[key, number]
            for name, (_, at_s) in list(self._waiting_blobs.items()):
                if at_s is not None and at_s < before_s:
                    del self._waiting_blobs[name]
            self._try(lambda file: file.prune(before_s), otherwise=None)

    def _try(self, work: Callable[[CacheFile], _T], *, otherwise: _T) -> _T:
        """What `work` gives, or `otherwise` if there is no file or it fails; the next call tries again."""
        return otherwise if self._file is None else self._file.attempt(work, otherwise=otherwise)

    def _count_damaged(self, rows: int) -> None:
        if self._file is not None:
            for _ in range(rows):
                self._file.fault("crc", RebuildCache("a row is damaged and will be asked for again"))

    def _close(self) -> None:
        with self._lock:
            if self._file is not None:
                self._file.close()
