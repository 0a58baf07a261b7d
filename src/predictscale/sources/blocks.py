"""About a day of one series as bytes, in which "asked, nothing there" differs from "never asked".

Pure values; refuses to know where the bytes are kept.
"""

import hashlib
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import numpy as np
from numpy.typing import NDArray

from predictscale.core.demand import Signal
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import RebuildCache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesKey:
    """Which series of bins: another query or step is another series, so old bins are never reused.

    Args:
        workload: Whose, as text.
        signal: Which number of it.
        query_hash: Of the query, and of whether an empty answer is 0.
        step_s: Width of a bin [s].
    """

    workload: str
    signal: str
    query_hash: str
    step_s: float

    @classmethod
    def of(cls, workload: str, signal: Signal, *, step_s: float) -> Self:
        """The key of one signal of a workload."""
        asked = f"{signal.empty_is_zero:d} {signal.query}"
        digest = hashlib.sha256(asked.encode()).hexdigest()[:32]
        return cls(workload=workload, signal=signal.name.value, query_hash=digest, step_s=step_s)

    def __str__(self) -> str:
        """`workload|signal|hash|step`, stable: the beginning of a name for what was fitted on it."""
        return f"{self.workload}|{self.signal}|{self.query_hash}|{self.step_s:g}"

    @property
    def bins_per_block(self) -> int:
        """A day, if the step divides one."""
        return max(1, round(_DAY_S / self.step_s))

    def index(self, at: datetime) -> int:
        """The bin that begins at `at`, counted from the epoch."""
        return round((at - _EPOCH).total_seconds() / self.step_s)

    def instant(self, index: int) -> datetime:
        """Where bin `index` begins."""
        return _EPOCH + timedelta(seconds=index * self.step_s)

    def blocks(self, first: int, stop: int) -> Iterator[tuple[int, slice, slice]]:
        """The blocks that bins [first, stop) touch: number, place in the block, place in the range."""
        size = self.bins_per_block
        for number in range(first // size, math.ceil(stop / size)):
            low, high = max(first, number * size), min(stop, (number + 1) * size)
            yield number, slice(low - number * size, high - number * size), slice(low - first, high - first)


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Bins (n,) of one block: their values, NaN where unknown, and whether they were asked for."""

    values: Floats
    asked: NDArray[np.bool_]

    @classmethod
    def blank(cls, bins: int) -> Self:
        """Nothing known, nothing asked."""
        return cls(np.full(bins, np.nan), np.zeros(bins, dtype=bool))

    def put(self, newer: "Block", at: slice | None = None) -> None:
        """Lay `newer` over the bins `at`; a gap in it never erases a value."""
        place = slice(None) if at is None else at
        np.copyto(self.values[place], newer.values, where=~np.isnan(newer.values))
        self.asked[place] |= newer.asked

    def encode(self) -> bytes:
        """Little-endian float64, then the asked ones as bits."""
        return self.values.astype("<f8").tobytes() + np.packbits(self.asked).tobytes()

    @classmethod
    def decode(cls, data: bytes, *, bins: int, crc: int) -> Self:
        """The block again.

        Raises:
            RebuildCache: The bytes are not those that were kept.
        """
        if len(data) != bins * 8 + math.ceil(bins / 8) or zlib.crc32(data) != crc:
            raise RebuildCache(f"a block of {len(data)} bytes is not what was stored for {bins} bins")
        values = np.frombuffer(data, dtype="<f8", count=bins).astype(np.float64)
        asked = np.unpackbits(np.frombuffer(data, dtype=np.uint8, offset=bins * 8), count=bins)
        return cls(values, asked.astype(bool))


@dataclass(frozen=True, slots=True, eq=False)
class Recall:
    """What the cache knows of a stretch: the bins, and which of them were asked for before."""

    window: MetricWindow
    asked: NDArray[np.bool_]

    def ranges(self, *, asked: bool) -> list[tuple[datetime, datetime]]:
        """The stretches [start, end) that were asked for, or those that were not."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], self.asked == asked, [False]])))
        step = timedelta(seconds=self.window.step_s)
        return [
            (self.window.start + int(first) * step, self.window.start + int(stop) * step)
            for first, stop in edges.reshape(-1, 2)
        ]
