"""The file in which planned events outlive the service: one small JSON document.

A reader always meets a whole file, for a new one takes the place of the old in one step; writers
take turns through a lock beside it, whichever process they are. Unlike the
history cache it cannot be pulled again, so it is never set aside: refuses to read around
damage, and to write over what it could not read.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from predictscale.config.planned import EventSettings
from predictscale.config.problems import problems_of
from predictscale.core.demand import WorkloadId
from predictscale.errors import FileUnusable

SCHEMA = 1
"""Raised whenever what is kept changes its shape or meaning."""

Stamp = tuple[int, int, int]
"""What tells one state of a file from another."""

_TURN_S = 5.0
"""A writer waits this long for its turn [s]; another's takes milliseconds."""
_LOOK_S = 0.02
_SETTING = "events.path"


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedEvent:
    """A planned event that somebody announced to the running service.

    Args:
        id: What it is removed by; the same event of the same workload has the same.
        workload: Whose demand it changes.
        event: As it was written.
        added_at: When it was announced; decisions for earlier instants do not know of it.
        added_by: The name of the token it was announced with.
    """

    id: str
    workload: WorkloadId
    event: EventSettings
    added_at: datetime
    added_by: str


class EventFile:
    """Reads and replaces the file.

    Args:
        path: Where it lies; it need not be there yet, its folder must.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def stamp(self) -> Stamp | None:
        """Tells whether the file has changed; None if it is not there.

        Raises:
            FileUnusable: That cannot be told.
        """
        with self._usable("read"):
            try:
                found = self._path.stat()
            except FileNotFoundError:
                if self._path.parent.is_dir():
                    return None
                raise
            return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> tuple[BookedEvent, ...]:
        """All events in it.

        Raises:
            FileUnusable: It cannot be read, or holds something else.
        """
        with self._usable("read"):
            text = self._path.read_bytes()
        try:
            return _decoded(text)
        except ValidationError as wrong:
            because = "; ".join(map(str, problems_of(wrong, EventSettings)))
        except (ValueError, LookupError, TypeError, RecursionError) as damaged:
            because = f"{type(damaged).__name__}: {damaged}"
        raise FileUnusable(f"{_SETTING}: {self._path} does not hold planned events ({because})")

    def write(self, events: Sequence[BookedEvent]) -> None:
        """Put these in the place of all that are there. Call it within `turn`.

        Raises:
            FileUnusable: It cannot be written; what was there is there still.
        """
        fresh = self._path.with_name(f".{self._path.name}.new")
        with self._usable("written"):
            with fresh.open("wb") as file:
                file.write(_encoded(events))
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                # The new name is on disk when its folder is.
                os.fsync(folder)
            finally:
                os.close(folder)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only writer of all processes.

        Raises:
            FileUnusable: The lock cannot be had.
        """
        lock = self._path.with_name(f"{self._path.name}.lock")
        with self._usable("written"):
            file = lock.open("ab")
        with file:
            with self._usable("written"):
                _wait_for(file.fileno())
            yield

    @contextmanager
    def _usable(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FileUnusable(f"{_SETTING}: {self._path} cannot be {done}: {error.strerror}") from error


def _wait_for(lock: int) -> None:
    for _ in range(round(_TURN_S / _LOOK_S)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOOK_S)
        else:
            return
    raise OSError(errno.EBUSY, f"another process holds its lock for {_TURN_S:g} s")


def _encoded(events: Sequence[BookedEvent]) -> bytes:
    rows = [
        {
            "id": booked.id,
            "namespace": booked.workload.namespace,
            "workload": booked.workload.name,
            "added_at": booked.added_at.isoformat(),
            "added_by": booked.added_by,
            "event": booked.event.model_dump(mode="json", exclude_none=True),
        }
        for booked in events
    ]
    return json.dumps({"schema": SCHEMA, "events": rows}, indent=1).encode() + b"\n"


def _decoded(text: bytes) -> tuple[BookedEvent, ...]:
    kept: dict[str, Any] = json.loads(text)
    if kept["schema"] != SCHEMA:
        raise ValueError(f"its schema is {kept['schema']!r}, and this release reads {SCHEMA}")
    return tuple(
        BookedEvent(
            id=str(row["id"]),
            workload=WorkloadId(str(row["namespace"]), str(row["workload"])),
            event=EventSettings.model_validate(row["event"]),
            added_at=_aware(datetime.fromisoformat(row["added_at"])),
            added_by=str(row["added_by"]),
        )
        for row in kept["events"]
    )


def _aware(at: datetime) -> datetime:
    if at.utcoffset() is None:
        raise ValueError(f"{at} has no offset from UTC")
    return at
