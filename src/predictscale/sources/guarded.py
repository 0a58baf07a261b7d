"""A file that may fail at any time, and whose failing stops nobody.

What cannot be done is counted and said once, and the next call tries again; a file that is damaged or
not ours is set aside, so that a new one can be made. Refuses to raise for a fault of the disk.
"""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar

import structlog

from predictscale.errors import RebuildCache
from predictscale.sources.sqlitefile import fault_of, set_aside

_log = structlog.get_logger(__name__)

_PASSING = {"locked", "full"}


class Closes(Protocol):
    """An open file."""

    def close(self) -> None:
        """Write what is still held, and let go."""
        ...


_F = TypeVar("_F", bound=Closes)
_T = TypeVar("_T")


class GuardedFile(Generic[_F]):
    """One file, opened when it is first needed. Callers take turns.

    Args:
        path: Where it lies; None for one in memory.
        opens: Opens it.
        name: What it is called in the log.
        count: Counts a fault by its reason.
    """

    def __init__(
        self, path: Path | None, opens: Callable[[], _F], *, name: str, count: Callable[[str], None]
    ) -> None:
        self._path, self._opens = path, opens
        self._name, self._count = name, count
        self._file: _F | None = None
        self._warned: set[str] = set()
        self.problem: str | None = None
        """Why the last attempt failed, as it is counted; None if it did not."""

    @property
    def opened(self) -> _F | None:
        """The file, if it is open now."""
        return self._file

    def attempt(self, work: Callable[[_F], _T], *, otherwise: _T) -> _T:
        """What `work` gives, or `otherwise` if it fails; the next call tries again.

        If the file had to be set aside, `work` is done on the new one at once.
        """
        for _ in range(2):
            try:
                if self._file is None:
                    self._file = self._opens()
                done = work(self._file)
            except RebuildCache as error:
                self._rebuild("schema", error)
            except (sqlite3.Error, OSError) as error:
                reason = fault_of(error)
                if reason == "damaged":
                    self._rebuild(reason, error)
                    continue
                self.fault(reason, error)
                if reason not in _PASSING:
                    self.close()  # the file may have been replaced: the next call opens it anew
                break
            else:
                self.problem = None
                return done
        return otherwise

    def fault(self, reason: str, error: Exception) -> None:
        """Count what went wrong, and say it the first time."""
        self.problem = reason
        self._count(reason)
        if reason not in self._warned:
            self._warned.add(reason)
            _log.warning(
                f"{self._name}_fault", reason=reason, path=str(self._path), error=str(error), now="in memory"
            )

    def close(self) -> None:
        """Let go of the file; the next attempt opens it again."""
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except sqlite3.Error as error:
                self.fault("io", error)

    def _rebuild(self, reason: str, error: Exception) -> None:
        self.fault(reason, error)
        self.close()
        if self._path is None:
            return
        try:
            aside = set_aside(self._path)
        except OSError as failed:
            self.fault("io", failed)
        else:
            _log.warning(f"{self._name}_set_aside", now_at=str(aside))
