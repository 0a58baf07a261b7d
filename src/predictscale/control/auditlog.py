"""Who changed what, when, why, and who tried: one line of JSON for each write call, and the newest in memory.

Lines are added under a lock, so that replicas of the service may share a file; what others
added is read from there. At a stated size a file steps aside for a new one, and a few of those are
kept. Tokens never come here, only their names.

Refuses to hold up a change: where a record cannot be written it stays in memory, and that is said. An SRE who
must pause a fleet while a disk is full should be able to. Refuses to let those who have no
token wash the records of those who have one away: of their calls only so many a minute are recorded, and
the rest is counted.
"""

import json
import os
import secrets
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import structlog
from anyio import to_thread

from predictscale.control.journalfile import instant, wait_for_turn
from predictscale.core.demand import WorkloadId

_log = structlog.get_logger(__name__)

KEPT: Final = 1000
"""Records in memory."""
MOST_BYTES: Final = 8 << 20
"""A file of this size steps aside for a new one."""
OLDER: Final = 4
"""Files that stepped aside are kept, `NAME.1` the newest of them."""
STRANGERS: Final = 60
"""Calls by nobody that are recorded in a minute; more are counted."""

DONE: Final = "done"

_MINUTE: Final = timedelta(minutes=1)
_TAIL_BYTES: Final = 1 << 20
_SETTING: Final = "http.audit_path"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One write call.

    Args:
        id: Its name on record.
        at: When it came.
        by: The name of the token; None if there was none that is good.
        action: What was asked for, such as `pause`.
        workload: Of which workload, as `namespace/name`; None of none.
        details: With what, as far as it was understood.
        outcome: `done`, or `refused: ` and why.
    """

    id: str
    at: datetime
    by: str | None
    action: str
    workload: str | None
    details: Mapping[str, Any] = field(default_factory=dict)
    outcome: str = DONE


class AuditLog:
    """The records of write calls.

    Args:
        path: The file; None for memory alone.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._kept: deque[AuditRecord] = deque(maxlen=KEPT)
        self._place: tuple[int, int] = (0, 0)
        """The file that was read last, by its inode, and how much of it."""
        self._minute: tuple[datetime | None, int] = (None, 0)
        self._uncounted = 0
        self._unwritten, self._unread = "", ""
        if path is not None:
            with self._lock:
                self._follow_safely()

    @property
    def note(self) -> str:
        """What a reader should know of how records are kept; empty if there is nothing."""
        if self._path is None:
            return f"in memory only: the last {KEPT:,} since the service began; set {_SETTING}"
        return "; ".join(filter(None, (self._unwritten, self._unread)))

    async def note_call(
        self,
        *,
        at: datetime,
        by: str | None,
        action: str,
        workload: WorkloadId | None,
        details: Mapping[str, Any],
        outcome: str = DONE,
    ) -> None:
        """Put a call on record. Never raises for the disk's sake."""
        if by is None and not self._heard(at):
            return
        more = {"unrecorded": self._uncounted} if self._uncounted else {}
        self._uncounted = 0
        record = AuditRecord(
            id=f"{int(at.timestamp() * 1000):011x}{secrets.token_hex(4)}",
            at=at,
            by=by,
            action=action,
            workload=None if workload is None else str(workload),
            details={**details, **more},
            outcome=outcome,
        )
        _log.info("write call", **{name: part for name, part in asdict(record).items() if name != "at"})
        await to_thread.run_sync(self._put, record)

    async def records(self, *, limit: int, before: str | None = None) -> tuple[list[AuditRecord], str | None]:
        """Records, newest first.

        Args:
            limit: How many at most.
            before: Only those that are older than the one of this id.

        Returns:
            They, and what to give as `before` for the next ones; None if there are no more in memory.

        Raises:
            KeyError: `before` is not among those in memory.
        """
        if self._path is not None:
            await to_thread.run_sync(self._catch_up)
        newest = list(reversed(self._kept))
        if before is not None:
            newer = len(list(takewhile(lambda record: record.id != before, newest)))
            if newer == len(newest):
                raise KeyError(before)
            newest = newest[newer + 1 :]
        page = newest[:limit]
        return page, page[-1].id if len(newest) > limit else None

    def _heard(self, at: datetime) -> bool:
        """Whether a call by nobody is recorded, or only counted."""
        minute, calls = self._minute
        if minute is None or not minute <= at < minute + _MINUTE:
            minute, calls = at, 0
        self._minute = (minute, calls + 1)
        if calls >= STRANGERS:
            self._uncounted += 1
        return calls < STRANGERS

    def _put(self, record: AuditRecord) -> None:
        with self._lock:
            if self._path is None:
                self._kept.append(record)
                return
            try:
                self._append(self._path, _line(record))
            except OSError as fault:
                # What cannot be followed on disk is followed here.
                self._kept.append(record)
                self._unwritten = f"{_SETTING}: {self._path} cannot be written: {fault.strerror}"
                _log.warning("a write call is in memory alone", because=self._unwritten, id=record.id)
            else:
                self._unwritten = ""
                self._follow_safely()

    def _append(self, path: Path, line: bytes) -> None:
        """Add a line, on disk when this returns, as the only writer of all processes."""
        with path.with_name(f"{path.name}.lock").open("ab") as lock:
            wait_for_turn(lock.fileno())
            if path.exists() and path.stat().st_size + len(line) > MOST_BYTES:
                # What is read of the old one is read before it steps aside.
                self._follow(path)
                for number in range(OLDER, 0, -1):
                    aside = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
                    if aside.exists():
                        aside.replace(path.with_name(f"{path.name}.{number}"))
            with path.open("ab") as file:
                # A line that a full disk cut short stays one, and this one begins on its own.
                whole = file.tell() == 0 or _ends_whole(path)
                file.write(line if whole else b"\n" + line)
                file.flush()
                os.fsync(file.fileno())

    def _catch_up(self) -> None:
        with self._lock:
            self._follow_safely()

    def _follow_safely(self) -> None:
        assert self._path is not None  # noqa: S101 - its callers have one
        try:
            self._follow(self._path)
        except OSError as fault:
            self._unread = f"{_SETTING}: {self._path} cannot be read: {fault.strerror}"
            _log.warning("records of write calls are as they were", because=self._unread)
        else:
            self._unread = ""

    def _follow(self, path: Path) -> None:
        """Take up what was added to the file, by whomever, since it was read last."""
        inode, read = self._place
        try:
            found = path.stat()
        except FileNotFoundError:
            if not path.parent.is_dir():
                raise
            return
        if found.st_ino != inode or found.st_size < read:
            aside = path.with_name(f"{path.name}.1")
            if inode == 0 or (aside.exists() and aside.stat().st_ino == inode):
                self._take(aside, read)
            read = 0
        self._place = (found.st_ino, read + self._take(path, read))

    def _take(self, path: Path, read: int) -> int:
        """Take up the whole lines from `read` on, and tell how many bytes they are."""
        if not path.exists():
            return 0
        with path.open("rb") as file:
            file.seek(read)
            found = file.read()
        whole = found[: found.rfind(b"\n") + 1]
        # No more fit into memory than are in the tail.
        lines = whole[-_TAIL_BYTES:].splitlines()[1 if len(whole) > _TAIL_BYTES else 0 :]
        self._kept.extend(record for line in lines if (record := _record(line)) is not None)
        return len(whole)


def _line(record: AuditRecord) -> bytes:
    told = {**asdict(record), "at": record.at.isoformat()}
    return json.dumps(told, separators=(",", ":"), default=str).encode() + b"\n"


def _record(line: bytes) -> AuditRecord | None:
    """The record of a line; None of a line that was cut short or is not ours, which stays in the file."""
    try:
        told = json.loads(line)
        return AuditRecord(
            id=str(told["id"]),
            at=instant(told["at"]),
            by=None if told["by"] is None else str(told["by"]),
            action=str(told["action"]),
            workload=None if told["workload"] is None else str(told["workload"]),
            details=dict(told["details"]),
            outcome=str(told["outcome"]),
        )
    except (ValueError, LookupError, TypeError, RecursionError):
        return None


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
