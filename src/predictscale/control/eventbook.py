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
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from predictscale.config.planned import EventSettings
from predictscale.control.journal import Journal
from predictscale.control.journalfile import Kind, instant
from predictscale.core.demand import WorkloadId
from predictscale.core.events import PlannedEvent, Repeat
from predictscale.errors import RefuseMore

MOST_OF_ONE = 100
"""Events of one workload."""
MOST = 10_000
"""Events of all workloads."""

_SPARE = timedelta(days=1)
"""No clock on a wall is further from UTC."""


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


class EventBook:
    """Planned events by workload, in a file if there is a path, else in memory; see `Journal`.

    Args:
        path: The file; it need not be there yet, its folder must.

    Raises:
        FileUnusable: It cannot be read, or holds something else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._journal = Journal(path, _KIND, workload_of=lambda booked: booked.workload)

    @property
    def persisted(self) -> bool:
        """Whether events outlive the process."""
        return self._journal.persisted

    @property
    def problem(self) -> str:
        """Why the file could not be read when it was last looked at; what was known before is in force."""
        return self._journal.problem

    @property
    def note(self) -> str:
        """What a reader should know of how they are kept; empty if there is nothing."""
        return self._journal.note

    def of(self, workload: WorkloadId) -> tuple[BookedEvent, ...]:
        """The events of a workload, in the order in which they were announced."""
        return self._journal.of(workload)

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
        kept = await self._journal.change(lambda all_: _with(all_, booked))
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

        await self._journal.change(without)
        return gone[0] if gone else None

    async def prune(self, before: datetime) -> None:
        """Forget events that come no more and ended before `before`; a fault of the file is only logged.

        Args:
            before: Where the oldest history begins that is learnt from.
        """
        await self._journal.prune(lambda booked: _over(booked, before))

    async def refresh(self) -> None:
        """Take up what another process has written. A fault leaves in force what is known, and is logged."""
        await self._journal.refresh()


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


def _written(booked: BookedEvent) -> dict[str, Any]:
    return {
        "id": booked.id,
        "namespace": booked.workload.namespace,
        "workload": booked.workload.name,
        "added_at": booked.added_at.isoformat(),
        "added_by": booked.added_by,
        "event": booked.event.model_dump(mode="json", exclude_none=True),
    }


def _read(row: Mapping[str, Any]) -> BookedEvent:
    return BookedEvent(
        id=str(row["id"]),
        workload=WorkloadId(str(row["namespace"]), str(row["workload"])),
        event=EventSettings.model_validate(row["event"]),
        added_at=instant(row["added_at"]),
        added_by=str(row["added_by"]),
    )


_KIND = Kind(
    setting="events.path",
    holds="planned events",
    key="events",
    schema=1,
    written=_written,
    read=_read,
    model=EventSettings,
)
