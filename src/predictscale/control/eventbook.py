"""The planned events that people announce to the running service, and keep announcing across restarts.

They are laid over forecasts beside those of the settings, from the first tick after they were
announced. What they do to learning:

- One that lies ahead makes no fitted model wrong, so nothing is fitted again: models never know of
  events. When it has passed, each fit learns from a history without it, so it does not become a season.
- One that is announced after it began is taken out of the bins that forecasts start from at
  once, but the model in force was fitted with it as if it were usual; the next fit, at most
  `fit.every_s` later, puts that right.
- One that is removed after it has been makes its days usual again, and the next fit learns
  from them. Only what will not happen, or was wrong, should be removed: those that are over are forgotten
  by themselves once no fit reaches back to them.

None of this is in the fingerprint of a workload's settings, by which models are kept.

Refuses more events than a limit, and to be the cache: what was announced cannot be asked for again.
"""

import hashlib
import threading
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from anyio import to_thread

from predictscale.config.planned import EventSettings
from predictscale.control.eventfile import BookedEvent, EventFile, Stamp
from predictscale.core.demand import WorkloadId
from predictscale.core.events import PlannedEvent, Repeat
from predictscale.errors import FileUnusable, RefuseMore

__all__ = ["MOST", "MOST_OF_ONE", "BookedEvent", "EventBook"]

_log = structlog.get_logger(__name__)

MOST_OF_ONE = 100
"""Events of one workload."""
MOST = 10_000
"""Events of all workloads."""

_SPARE = timedelta(days=1)
"""No clock on a wall is further from UTC."""

_Edit = Callable[[tuple[BookedEvent, ...]], tuple[BookedEvent, ...]]


class EventBook:
    """Planned events by workload, in a file if there is a path, else in memory.

    Several services may share one file: each looks at `refresh` whether another has changed it.
    What is read is read from memory.

    Args:
        path: The file; it need not be there yet, its folder must.

    Raises:
        FileUnusable: It cannot be read, or holds something else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._file = EventFile(path) if path is not None else None
        self._lock = threading.Lock()
        self._looking = False
        self._seen: Stamp | None = None
        self._all: tuple[BookedEvent, ...] = ()
        self._of: dict[WorkloadId, tuple[BookedEvent, ...]] = {}
        self.problem = ""
        """Why the file could not be read when it was last looked at; what was known before is in force."""
        with self._lock:
            self._look()

    @property
    def persisted(self) -> bool:
        """Whether events outlive the process."""
        return self._file is not None

    def of(self, workload: WorkloadId) -> tuple[BookedEvent, ...]:
        """The events of a workload, in the order in which they were announced."""
        return self._of.get(workload, ())

    def planned(self, workload: WorkloadId, *, zone: str, at: datetime) -> tuple[PlannedEvent, ...]:
        """The events of a workload that were announced by `at`.

        Args:
            workload: Whose.
            zone: The time zone of its clock on the wall.
            at: The tick; one that is relived after a restart does not know what came later.
        """
        return tuple(booked.event.planned(zone) for booked in self.of(workload) if booked.added_at <= at)

    async def add(
        self, workload: WorkloadId, event: EventSettings, *, at: datetime, by: str
    ) -> tuple[BookedEvent, bool]:
        """Announce an event.

        Args:
            workload: Whose.
            event: What.
            at: The present.
            by: Who says so.

        Returns:
            The event as it is kept, and whether it is new: the same one twice is one, lest
            a request that is sent again multiplies demand twice.

        Raises:
            RefuseMore: There are too many.
            FileUnusable: The file cannot be read or written; nothing has changed.
        """
        booked = BookedEvent(
            id=_id(workload, event), workload=workload, event=event, added_at=at, added_by=by
        )
        kept = await to_thread.run_sync(self._change, lambda all_: _with(all_, booked))
        found = next(each for each in kept if each.id == booked.id)
        return found, found is booked

    async def remove(self, workload: WorkloadId, event_id: str) -> BookedEvent | None:
        """Forget an event.

        Returns:
            What was forgotten; None if there is no such event.

        Raises:
            FileUnusable: The file cannot be read or written; nothing has changed.
        """
        gone: list[BookedEvent] = []

        def without(all_: tuple[BookedEvent, ...]) -> tuple[BookedEvent, ...]:
            gone.extend(each for each in all_ if each.id == event_id and each.workload == workload)
            return tuple(each for each in all_ if each not in gone)

        await to_thread.run_sync(self._change, without)
        return gone[0] if gone else None

    async def prune(self, before: datetime) -> None:
        """Forget events that come no more and ended before `before`; a fault of the file is only logged.

        Args:
            before: Where the oldest history begins that is learnt from.
        """
        if not any(_over(booked, before) for booked in self._all):
            return
        try:
            await to_thread.run_sync(
                self._change, lambda all_: tuple(each for each in all_ if not _over(each, before))
            )
        except FileUnusable as fault:
            _log.warning("planned events that are over stay for now", because=str(fault))

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
                    _log.warning("planned events are as they were", because=str(fault))
                self.problem = str(fault)

    def _change(self, edit: _Edit) -> tuple[BookedEvent, ...]:
        """All events after an edit, which is on disk by then."""
        with self._lock:
            if self._file is None:
                self._lay(edit(self._all))
                return self._all
            with self._file.turn():
                self._look()
                after = edit(self._all)
                if after != self._all:
                    self._file.write(after)
                    self._seen = self._file.stamp()
                    self._lay(after)
            return self._all

    def _look(self) -> None:
        """Read the file if it has changed; one that is gone says nothing about what it held."""
        if self._file is None:
            return
        stamp = self._file.stamp()
        if stamp is None and self._seen is not None:
            raise FileUnusable("events.path: the file is gone; put it back, or restart to begin a new one")
        if stamp is not None and stamp != self._seen:
            self._lay(self._file.read())
            self._seen = stamp
        self.problem = ""

    def _lay(self, events: Iterable[BookedEvent]) -> None:
        self._all = tuple(events)
        by_workload: dict[WorkloadId, list[BookedEvent]] = {}
        for booked in self._all:
            by_workload.setdefault(booked.workload, []).append(booked)
        # One assignment: the event loop reads while a thread writes.
        self._of = {workload: tuple(each) for workload, each in by_workload.items()}


def _with(all_: tuple[BookedEvent, ...], booked: BookedEvent) -> tuple[BookedEvent, ...]:
    if any(each.id == booked.id for each in all_):
        return all_
    of_one = sum(each.workload == booked.workload for each in all_)
    if of_one >= MOST_OF_ONE:
        raise RefuseMore(f"{booked.workload} has {of_one} planned events, which is the most; remove some")
    if len(all_) >= MOST:
        raise RefuseMore(f"{len(all_)} planned events are kept, which is the most; remove some")
    return (*all_, booked)


def _id(workload: WorkloadId, event: EventSettings) -> str:
    """A short name for an event of a workload, the same wherever it is announced."""
    return hashlib.sha256(f"{workload} {event.model_dump_json()}".encode()).hexdigest()[:12]


def _over(booked: BookedEvent, before: datetime) -> bool:
    if booked.event.repeat is not Repeat.NONE:
        return False
    end = booked.event.end
    return (end.replace(tzinfo=UTC) if end.utcoffset() is None else end) + _SPARE < before
