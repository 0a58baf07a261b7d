"""Past decisions, kept and told as they were.

Of each workload the first decision of a minute is kept, and every one that changed the answer. What was
told of it is made once, by the encoder that readers bring, so that it is told the same after a restart and
after any change of settings. Writing is done in a thread, in batches; until then what waits is read too.

Disposable: whatever befalls the file, decisions go on, and what cannot be written waits in memory until
too much does. Refuses to look into what was told, and to let two processes share a file for writing at the
same time any better than sqlite does: each replica of the service has its own.
"""

import asyncio
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import structlog
from anyio import CapacityLimiter, to_thread

from predictscale.control.decisionline import line_of
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.meters import Meters
from predictscale.sources.archivefile import ArchiveFile, Kept, Line, Told, instant, packed, us
from predictscale.sources.guarded import GuardedFile

__all__ = ["ArchiveState", "DecisionLog", "Line", "Past", "Span"]

_log = structlog.get_logger(__name__)

IN_MEMORY_S = 86_400.0
"""Without a file, nothing older is kept [s]."""
IN_MEMORY_BYTES = 64 * 2**20
"""Without a file, no more is kept."""
MOST_WAITING = 20_000
"""Decisions that wait to be written, at most; they are the same objects as in the store."""
_BATCH = 500
_EVERY_US = 60_000_000
_THREADS = 4
_OF_A_ROW = (
    sqlite3.DataError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError, OverflowError
)  # fmt: skip
"""What sqlite raises for what is in a row, and not for the disk's sake."""

_T = TypeVar("_T")


class Past(NamedTuple):
    """What was told of a past decision, and when it was made."""

    at: datetime
    said: bytes


class Span(NamedTuple):
    """The oldest and the newest instant of what is kept."""

    oldest: datetime
    newest: datetime


class ArchiveState(NamedTuple):
    """How the archive fares.

    Args:
        on_disk: Whether it survives a restart.
        problem: Why it cannot be written or read now; None if it can.
        dropped: Decisions that were not kept since the start, for nothing could be written.
    """

    on_disk: bool
    problem: str | None
    dropped: int


class _Waiting(NamedTuple):
    number: int
    decision: Decision
    plain: int | None


class DecisionLog:
    """The archive of all workloads' decisions.

    Args:
        path: Its file; None keeps less, in memory.
        encode: Makes what readers are told of a decision, at its own instant. Called in a thread.
        meters: Where writes and faults are counted.
        keep_s: What is older goes [s].
        max_bytes: What is oldest goes if the file would grow beyond this.
        most_waiting: As many wait for a file that cannot be written; the oldest go first.
    """

    def __init__(
        self,
        *,
        path: Path | None,
        encode: Callable[[Decision], bytes],
        meters: Meters,
        keep_s: float = IN_MEMORY_S,
        max_bytes: int = IN_MEMORY_BYTES,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        self._on_disk = path is not None
        self._encode, self._meters = encode, meters
        self._keep_s = keep_s if path is not None else min(keep_s, IN_MEMORY_S)
        self._max_bytes = max_bytes if path is not None else min(max_bytes, IN_MEMORY_BYTES)
        self._most_waiting = most_waiting
        self._marks: dict[WorkloadId, tuple[int, tuple[object, ...]]] = {}
        self._waiting: deque[_Waiting] = deque()
        self._numbered = self._dropped = 0
        # Why the last write failed: a file that cannot be written may well be read meanwhile.
        self._unwritten: str | None = None
        # Held for the blink of an eye: whoever decides takes it too.
        self._queue = threading.Lock()
        self._lock = threading.Lock()
        self._busy = asyncio.Lock()
        # A disk that hangs holds up no more threads than these: others are needed for decisions.
        self._threads = CapacityLimiter(_THREADS)
        self._file = GuardedFile(
            path,
            lambda: ArchiveFile(path),
            name="decision_archive",
            count=lambda reason: meters.archive_faults.labels(reason=reason).inc(),
        )

    @property
    def state(self) -> ArchiveState:
        """How it fares."""
        return ArchiveState(self._on_disk, self._unwritten or self._file.problem, self._dropped)

    def note(self, decision: Decision, *, plain: int | None = None) -> None:
        """Keep a decision, if it is the first of its minute or its answer is another than before.

        Args:
            decision: The workload's newest.
            plain: What a plain HPA asks for at that instant; None if nobody knows.
        """
        mark = (us(decision.seen.now) // _EVERY_US, _answer(decision))
        if self._marks.get(decision.workload) == mark:
            return
        self._marks[decision.workload] = mark
        with self._queue:
            self._numbered += 1
            self._waiting.append(_Waiting(self._numbered, decision, plain))
            full = len(self._waiting) > self._most_waiting
            if full:
                self._waiting.popleft()
        if full:
            self._drop()

    async def flush(self) -> None:
        """Write what waits; after a fault it goes on waiting. Returns at once if that is under way."""
        if not self._busy.locked():
            async with self._busy:
                await self._thread(self._flush)

    async def prune(self, now: datetime) -> None:
        """Forget what is older than is kept."""
        before = now - timedelta(seconds=self._keep_s)
        oldest = us(before) // _EVERY_US
        for workload in [key for key, (minute, _) in self._marks.items() if minute < oldest]:
            del self._marks[workload]
        if not self._busy.locked():
            async with self._busy:
                await self._thread(lambda: self._prune(before))

    async def lines(self, workload: WorkloadId, *, since_us: int, until_us: int) -> list[Line]:
        """The numbers of what is kept of [since, until], oldest first [us since the epoch]."""
        return await self._thread(lambda: self._lines(workload, since_us, until_us))

    async def told(self, workload: WorkloadId, *, until_us: int, most: int = 1) -> list[Past]:
        """What was told of the decisions at or before an instant [us since the epoch], newest first."""
        return await self._thread(lambda: self._told(workload, until_us, most))

    async def span(self, workload: WorkloadId) -> Span | None:
        """From when to when something is kept; None if nothing is."""
        return await self._thread(lambda: self._span(workload))

    async def unit(self, workload: WorkloadId) -> str | None:
        """What the demand of a workload counts; None if nothing is kept of it."""
        return await self._thread(lambda: self._unit(workload))

    async def aclose(self) -> None:
        """Write what waits, and close."""
        async with self._busy:
            await self._thread(self._flush)
            await self._thread(self._close)

    async def _thread(self, work: Callable[[], _T]) -> _T:
        return await to_thread.run_sync(work, limiter=self._threads)

    def _flush(self) -> None:
        while batch := self._next():
            kept = [one for waiting in batch if (one := self._kept(waiting)) is not None]
            with self._lock:
                done = self._file.attempt(lambda file, kept=kept: self._write(file, kept), otherwise=False)  # type: ignore[misc] # bound at once
            self._unwritten = None if done else self._file.problem
            if not done:
                return
            self._meters.archive_written.inc(len(kept))
            with self._queue:
                while self._waiting and self._waiting[0].number <= batch[-1].number:
                    self._waiting.popleft()

    def _next(self) -> list[_Waiting]:
        with self._queue:
            return list(islice(self._waiting, _BATCH))

    def _kept(self, waiting: _Waiting) -> Kept | None:
        decision = waiting.decision
        try:
            said = packed(self._encode(decision))
            return Kept(decision.workload, decision.unit, line_of(decision, plain=waiting.plain), said)
        except Exception as bug:  # noqa: BLE001 - one decision that cannot be told must not block the others
            self._file.fault("encode", bug)
            return None

    def _write(self, file: ArchiveFile, kept: list[Kept]) -> bool:
        try:
            file.add(kept, max_bytes=self._max_bytes)
        except _OF_A_ROW:
            # One that sqlite will never take must not block the others either.
            for one in kept:
                try:
                    file.add([one], max_bytes=self._max_bytes)
                except _OF_A_ROW as bug:
                    self._file.fault("encode", bug)
        return True

    def _prune(self, before: datetime) -> None:
        with self._lock:
            self._file.attempt(lambda file: file.prune(before), otherwise=None)

    def _of(self, workload: WorkloadId) -> list[_Waiting]:
        """What waits of one workload, oldest first."""
        with self._queue:
            waiting = list(self._waiting)
        return [one for one in waiting if one.decision.workload == workload]

    def _lines(self, workload: WorkloadId, since_us: int, until_us: int) -> list[Line]:
        nothing: list[Line] = []
        # What waits is looked up first: it may be in the file a moment later, and then twice, but never not.
        waiting = [line_of(one.decision, plain=one.plain) for one in self._of(workload)]
        with self._lock:
            kept = self._file.attempt(
                lambda file: file.lines(workload, since_us=since_us, until_us=until_us), otherwise=nothing
            )
        newer = {line.at_us: line for line in waiting if since_us <= line.at_us <= until_us}
        lines = {line.at_us: line for line in kept} | newer
        return [lines[at_us] for at_us in sorted(lines)]

    def _told(self, workload: WorkloadId, until_us: int, most: int) -> list[Past]:
        nothing: tuple[list[Told], int] = ([], 0)
        waiting = {us(one.decision.seen.now): one.decision for one in self._of(workload)}
        newest = sorted((at_us for at_us in waiting if at_us <= until_us), reverse=True)[:most]
        with self._lock:
            kept, damaged = self._file.attempt(
                lambda file: file.told(workload, until_us=until_us, most=most), otherwise=nothing
            )
            for _ in range(damaged):
                self._meters.archive_faults.labels(reason="crc").inc()
        found = {one.at_us: one.said for one in kept}
        found |= {at_us: self._encode(waiting[at_us]) for at_us in newest}
        return [Past(instant(at_us), found[at_us]) for at_us in sorted(found, reverse=True)[:most]]

    def _span(self, workload: WorkloadId) -> Span | None:
        instants = [us(one.decision.seen.now) for one in self._of(workload)]
        with self._lock:
            kept = self._file.attempt(lambda file: file.span(workload), otherwise=None)
        instants += [] if kept is None else kept
        return Span(instant(min(instants)), instant(max(instants))) if instants else None

    def _unit(self, workload: WorkloadId) -> str | None:
        if waiting := self._of(workload):
            return waiting[-1].decision.unit
        with self._lock:
            return self._file.attempt(lambda file: file.unit(workload), otherwise=None)

    def _drop(self) -> None:
        self._dropped += 1
        self._meters.archive_dropped.inc()
        if self._dropped % self._most_waiting == 1:
            _log.warning("decision_archive_drops", dropped=self._dropped, problem=self._file.problem)

    def _close(self) -> None:
        with self._lock:
            self._file.close()


def _answer(decision: Decision) -> tuple[object, ...]:
    """What makes one decision another than the one before."""
    plan, answer = decision.plan, decision.answer
    return plan.target, answer.published, plan.health, decision.policy.mode, answer.available
