"""Rows that people told the running service: in a file if there is one, else in memory.

Several services may share one file: each looks at `refresh` whether another has changed it, and
edits what is there by then. What is read is read from memory, so no decision waits for a disk.

Refuses to lose what it knows: a file that is gone or damaged leaves in force what was
known, says so, and takes no change until it is mended.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Generic

import structlog
from anyio import to_thread

from predictscale.control.journalfile import JournalFile, Kind, Row, Stamp
from predictscale.core.demand import WorkloadId
from predictscale.errors import FileUnusable

_log = structlog.get_logger(__name__)

Edit = Callable[[tuple[Row, ...]], tuple[Row, ...]]


class Journal(Generic[Row]):
    """Rows by workload.

    Args:
        path: The file, which need not be there yet; None for memory alone.
        kind: What it holds.
        workload_of: Whose a row is.

    Raises:
        FileUnusable: It cannot be read, or holds something else.
    """

    def __init__(
        self, path: Path | None, kind: Kind[Row], *, workload_of: Callable[[Row], WorkloadId]
    ) -> None:
        self._kind, self._workload_of = kind, workload_of
        self._file = JournalFile(path, kind) if path is not None else None
        self._lock = threading.Lock()
        self._looking = False
        self._seen: Stamp | None = None
        self.rows: tuple[Row, ...] = ()
        """All of them, in the order in which they were told."""
        self._of: Mapping[WorkloadId, tuple[Row, ...]] = {}
        self.problem = ""
        """Why the file could not be read when it was last looked at; what was known before is in force."""
        with self._lock:
            self._look()

    @property
    def persisted(self) -> bool:
        """Whether rows outlive the process."""
        return self._file is not None

    @property
    def note(self) -> str:
        """What a reader should know of how they are kept; empty if there is nothing."""
        if not self.persisted:
            setting = self._kind.setting
            return (
                f"in memory only: gone when the service stops, unknown to its other replicas; set {setting}"
            )
        return f"as last read: {self.problem}" if self.problem else ""

    def of(self, workload: WorkloadId) -> tuple[Row, ...]:
        """The rows of a workload, likewise."""
        return self._of.get(workload, ())

    async def change(self, edit: Edit[Row]) -> tuple[Row, ...]:
        """All rows after an edit, which is on disk by then.

        Raises:
            FileUnusable: The file cannot be read or written; nothing has changed.
        """
        return await to_thread.run_sync(self._change, edit)

    async def prune(self, over: Callable[[Row], bool]) -> None:
        """Forget rows that are over; a fault of the file is only logged."""
        if not any(map(over, self.rows)):
            return
        try:
            await self.change(lambda rows: tuple(row for row in rows if not over(row)))
        except FileUnusable as fault:
            _log.warning(f"{self._kind.holds} that are over stay for now", because=str(fault))

    async def refresh(self) -> None:
        """Take up what another process has written. A fault leaves in force what is known, and is logged."""
        # A disk that hangs holds one thread, however often it is asked.
        if self._file is None or self._looking:
            return
        self._looking = True
        try:
            await to_thread.run_sync(self._refresh)
        finally:
            self._looking = False

    def _refresh(self) -> None:
        with self._lock:
            try:
                self._look()
            except FileUnusable as fault:
                if self.problem != str(fault):
                    _log.warning(f"{self._kind.holds} are as they were", because=str(fault))
                self.problem = str(fault)

    def _change(self, edit: Edit[Row]) -> tuple[Row, ...]:
        with self._lock:
            if self._file is None:
                self._lay(edit(self.rows))
                return self.rows
            with self._file.turn():
                self._look()
                after = edit(self.rows)
                if after != self.rows:
                    self._file.write(after)
                    self._seen = self._file.stamp()
                    self._lay(after)
            return self.rows

    def _look(self) -> None:
        """Read the file if it has changed; one that is gone says nothing about what it held."""
        if self._file is None:
            return
        stamp = self._file.stamp()
        if stamp is None and self._seen is not None:
            setting = self._kind.setting
            raise FileUnusable(f"{setting}: the file is gone; put it back, or restart to begin a new one")
        if stamp is not None and stamp != self._seen:
            self._lay(self._file.read())
            self._seen = stamp
        self.problem = ""

    def _lay(self, rows: Iterable[Row]) -> None:
        self.rows = tuple(rows)
        by_workload: dict[WorkloadId, list[Row]] = {}
        for row in self.rows:
            by_workload.setdefault(self._workload_of(row), []).append(row)
        # One assignment: the event loop reads while a thread writes.
        self._of = {workload: tuple(each) for workload, each in by_workload.items()}
