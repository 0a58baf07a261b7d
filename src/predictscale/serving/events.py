"""Planned events over REST: announced, listed, removed.

What is changed is the event book; decisions obey it from their next tick. Refuses to announce for a
workload that nobody follows: its time zone is not known, and its name may be a slip.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, Field, ValidationError

from predictscale.config.planned import EventSettings
from predictscale.config.problems import problems_of
from predictscale.config.settings import WorkloadSettings
from predictscale.control.eventbook import BookedEvent, EventBook
from predictscale.core.calendar import DAY_S
from predictscale.core.demand import WorkloadId
from predictscale.core.events import PlannedEvent, Repeat
from predictscale.errors import SettingsError
from predictscale.serving.writing import Bearer, Writing, body_of, fields_of, json_body, write_problems

_ONE = "one planned event"
_REFERENCE = "#/components/schemas/{model}"
_AHEAD_S = {
    Repeat.NONE: inf,
    Repeat.DAILY: 3 * DAY_S,
    Repeat.WEEKLY: 15 * DAY_S,
    Repeat.YEARLY: 9 * 366 * DAY_S,
}
"""Within this time an event that repeats comes again [s]; on the 29th of February, within eight years."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDesk:
    """What the routes work with.

    Args:
        book: Where events are kept.
        writing: Who may write.
        settings_of: The settings of a workload that is followed; None of another.
    """

    book: EventBook
    writing: Writing
    settings_of: Callable[[WorkloadId], WorkloadSettings | None]


class EventView(BaseModel):
    """One planned event."""

    id: str | None = Field(description="What it is removed by; null if it stands in the settings.")
    name: str
    start: datetime = Field(description="When it first begins, as it was written or by the workload's clock.")
    end: datetime = Field(description="When it first ends.")
    multiplier: float | None = Field(description="How many times the usual demand it brings, or null.")
    demand: float | None = Field(description="The least demand per second while it lasts, or null.")
    repeat: Repeat
    next_start: datetime | None = Field(
        description="When it comes next, or came if it lasts; null if never, or the zone is unknown."
    )
    next_end: datetime | None = Field(description="When that one ends.")
    added_at: datetime | None = Field(description="When it was announced; null if it stands in the settings.")
    added_by: str | None = Field(description="The name of the token it was announced with, likewise.")


class EventsView(BaseModel):
    """All planned events that decisions about a workload obey."""

    namespace: str
    workload: str
    time_zone: str | None = Field(
        description="By whose clock times without offset are; null if nobody follows it."
    )
    persisted: bool = Field(description="Whether announced events outlive the service.")
    note: str = Field(description="What a reader should know of that; empty if there is nothing.")
    events: list[EventView]


class AddedView(BaseModel):
    """An event that was announced."""

    persisted: bool = Field(description="Whether it outlives the service.")
    note: str = Field(description="What a reader should know of that; empty if there is nothing.")
    event: EventView


def add_events(
    one: APIRouter, desk: EventDesk, *, unknown: Callable[[WorkloadId], str], now: Callable[[], datetime]
) -> None:
    """The routes of a workload's planned events.

    Args:
        one: The router of one workload.
        desk: What they work with.
        unknown: What is said of a workload that is not followed.
        now: The present.
    """

    @one.get("/events")
    async def events(namespace: str, name: str) -> EventsView:
        """Planned events of the settings and those announced here."""
        workload = WorkloadId(namespace, name)
        booked, settings = desk.book.of(workload), desk.settings_of(workload)
        if settings is None and not booked:
            raise HTTPException(404, unknown(workload))
        zone = None if settings is None else settings.calendar.zone
        fixed = () if settings is None else settings.events
        views = [_view(None, event, now=now()) for event in fixed]
        return EventsView(
            namespace=namespace,
            workload=name,
            time_zone=zone,
            persisted=desk.book.persisted,
            note=desk.book.note,
            events=views + [_booked_view(each, zone, now=now()) for each in booked],
        )

    @one.post(
        "/events",
        status_code=201,
        responses=write_problems(400, 401, 403, 408, 409, 413, 503)
        | {200: {"model": AddedView, "description": "The same event is announced already"}},
        openapi_extra=json_body(EventSettings.model_json_schema(ref_template=_REFERENCE)),
    )
    async def add(
        namespace: str, name: str, request: Request, response: Response, bearer: Bearer
    ) -> AddedView:
        """Announce a planned event. Decisions obey it from their next tick."""
        workload = WorkloadId(namespace, name)
        async with desk.writing.call(bearer, "event add", workload) as call:
            settings = desk.settings_of(workload)
            if settings is None:
                raise HTTPException(404, unknown(workload))
            event = _event(await body_of(request, one=_ONE))
            call.details |= event.model_dump(mode="json", exclude_none=True)
            booked, new = await desk.book.add(workload, event, at=now(), by=call.by)
            call.details |= {"id": booked.id, "new": new}
        if not new:
            response.status_code = 200
        view = _booked_view(booked, settings.calendar.zone, now=now())
        return AddedView(persisted=desk.book.persisted, note=desk.book.note, event=view)

    @one.delete("/events/{event}", status_code=204, responses=write_problems(401, 403, 503))
    async def remove(namespace: str, name: str, event: str, bearer: Bearer) -> None:
        """Forget an announced event. One that has been becomes usual, and is learnt from."""
        workload = WorkloadId(namespace, name)
        async with desk.writing.call(bearer, "event remove", workload) as call:
            call.details["id"] = event[:60]
            gone = await desk.book.remove(workload, event)
            if gone is None:
                raise HTTPException(404, _no_such(desk, workload, event))
            call.details["name"] = gone.event.name


def _event(body: bytes) -> EventSettings:
    try:
        return EventSettings.model_validate(fields_of(body, one=_ONE))
    except ValidationError as wrong:
        raise SettingsError(problems_of(wrong, EventSettings)) from None


def _no_such(desk: EventDesk, workload: WorkloadId, event: str) -> str:
    known = [each.id for each in desk.book.of(workload)]
    shown = f"known: {', '.join(known)}" if known else "none was announced here"
    return f"{workload} has no announced event {event[:60]!r}; {shown} (those of the settings stay there)"


def _booked_view(booked: BookedEvent, zone: str | None, *, now: datetime) -> EventView:
    return _view(booked, booked.event if zone is None else booked.event.planned(zone), now=now)


def _view(booked: BookedEvent | None, event: PlannedEvent | EventSettings, *, now: datetime) -> EventView:
    spans = _coming(event, now) if isinstance(event, PlannedEvent) else []
    begin, end = (datetime.fromtimestamp(s, UTC) for s in min(spans)) if spans else (None, None)
    return EventView(
        id=None if booked is None else booked.id,
        name=event.name,
        start=event.start,
        end=event.end,
        multiplier=event.multiplier,
        demand=event.demand,
        repeat=event.repeat,
        next_start=begin,
        next_end=end,
        added_at=None if booked is None else booked.added_at,
        added_by=None if booked is None else booked.added_by,
    )


def _coming(event: PlannedEvent, now: datetime) -> Sequence[tuple[float, float]]:
    """Occurrences that last or come, the first one among them."""
    since_s = max(now.timestamp(), event.start.timestamp() - DAY_S)
    return event.spans_s(since_s, since_s + _AHEAD_S[event.repeat])
