"""A file in which what people tell the running service outlives it: one small JSON document of rows.

A reader always meets a whole file, for a new one takes the place of the old in one step; writers
take turns through a lock beside it, whichever process they are. Unlike the history
cache it cannot be pulled again, so it is never set aside: refuses to read around
damage, and to write over what it could not read.
"""

import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from predictscale.config.problems import problems_of
from predictscale.errors import FileUnusable

Row = TypeVar("Row")

Stamp = tuple[int, int, int]
"""What tells one state of a file from another."""

_TURN_S = 5.0
"""A writer waits this long for its turn [s]; another's takes milliseconds."""
_LOOK_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind(Generic[Row]):
    """What a file holds, and how a row of it is written.

    Args:
        setting: The setting that names the file, for messages.
        holds: What the rows are, in words.
        key: Under which they lie in the document.
        schema: Raised whenever what is kept changes its shape or meaning.
        written: From a row to what JSON holds.
        read: And back; raises ValueError, LookupError, TypeError or ValidationError on what is none.
        model: Whose fields a ValidationError is about.
    """

    setting: str
    holds: str
    key: str
    schema: int
    written: Callable[[Row], Mapping[str, Any]]
    read: Callable[[Mapping[str, Any]], Row]
    model: type[BaseModel]


class JournalFile(Generic[Row]):
    """Reads and replaces the file.

    Args:
        path: Where it lies; it need not be there yet, its folder must.
        kind: What it holds.
    """

    def __init__(self, path: Path, kind: Kind[Row]) -> None:
        self._path, self._kind = path, kind

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

    def read(self) -> tuple[Row, ...]:
        """All rows in it.

        Raises:
            FileUnusable: It cannot be read, or holds something else.
        """
        with self._usable("read"):
            text = self._path.read_bytes()
        try:
            return self._decoded(text)
        except ValidationError as wrong:
            because = "; ".join(map(str, problems_of(wrong, self._kind.model)))
        except (ValueError, LookupError, TypeError, RecursionError) as damaged:
            because = f"{type(damaged).__name__}: {damaged}"
        kind = self._kind
        raise FileUnusable(f"{kind.setting}: {self._path} does not hold {kind.holds} ({because})")

    def write(self, rows: Sequence[Row]) -> None:
        """Put these in the place of all that are there. Call it within `turn`.

        Raises:
            FileUnusable: It cannot be written; what was there is there still.
        """
        fresh = self._path.with_name(f".{self._path.name}.new")
        with self._usable("written"):
            with fresh.open("wb") as file:
                file.write(self._encoded(rows))
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
        with self._usable("written"):
            lock = self._path.with_name(f"{self._path.name}.lock").open("ab")
        with lock:
            with self._usable("written"):
                wait_for_turn(lock.fileno())
            yield

    @contextmanager
    def _usable(self, done: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = f"{self._kind.setting}: {self._path}"
            raise FileUnusable(f"{where} cannot be {done}: {error.strerror}") from error

    def _encoded(self, rows: Sequence[Row]) -> bytes:
        kind = self._kind
        document = {"schema": kind.schema, kind.key: [kind.written(row) for row in rows]}
        return json.dumps(document, indent=1).encode() + b"\n"

    def _decoded(self, text: bytes) -> tuple[Row, ...]:
        kept: dict[str, Any] = json.loads(text)
        kind = self._kind
        if kept["schema"] != kind.schema:
            raise ValueError(f"its schema is {kept['schema']!r}, and this release reads {kind.schema}")
        return tuple(kind.read(row) for row in kept[kind.key])


def wait_for_turn(lock: int) -> None:
    """Take the lock of an open file, which its other holders keep for milliseconds.

    Raises:
        OSError: It was not to be had in time.
    """
    for _ in range(round(_TURN_S / _LOOK_S)):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOOK_S)
        else:
            return
    raise OSError(errno.EBUSY, f"another process holds its lock for {_TURN_S:g} s")


def instant(text: str) -> datetime:
    """An instant as a row holds it.

    Raises:
        ValueError: It is none, or has no offset from UTC.
    """
    at = datetime.fromisoformat(text)
    if at.utcoffset() is None:
        raise ValueError(f"{at} has no offset from UTC")
    return at
