"""Planned events over REST: announced, listed, removed.

The only routes that change anything, so they ask who is there before they read a word. What they
change is the event book; decisions obey it from their next tick. Refuses to announce for a workload
that nobody follows: its time zone is not known, and its name may be a slip.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, HTTPException, Request, Response, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field, ValidationError

from predictscale.config.planned import EventSettings
from predictscale.config.problems import problems_of
from predictscale.config.settings import WorkloadSettings
from predictscale.control.eventbook import BookedEvent, EventBook
from predictscale.core.calendar import DAY_S
from predictscale.core.demand import WorkloadId
from predictscale.core.events import PlannedEvent, Repeat
from predictscale.errors import FileUnusable, RefuseMore
from predictscale.serving.tokens import SETTING, WriteTokens
from predictscale.serving.views import ProblemView

_log = structlog.get_logger(__name__)

MOST_BYTES = 16_384
"""The longest announcement that is read."""
_READ_WITHIN_S = 10.0
_AHEAD_S = {
    Repeat.NONE: inf,
    Repeat.DAILY: 3 * DAY_S,
    Repeat.WEEKLY: 15 * DAY_S,
    Repeat.YEARLY: 9 * 366 * DAY_S,
}
"""Within this time an event that repeats comes again [s]; on the 29th of February, within eight years."""

Bearer = Annotated[
    HTTPAuthorizationCredentials | None,
    Security(HTTPBearer(auto_error=False, description=f"A token of the file {SETTING}.")),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDesk:
    """What the routes work with.

    Args:
        book: Where events are kept.
        tokens: Who may write; None if nobody.
        settings_of: The settings of a workload that is followed; None of another.
    """

    book: EventBook
    tokens: WriteTokens | None
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
            note=_note(desk.book),
            events=views + [_booked_view(each, zone, now=now()) for each in booked],
        )

    @one.post(
        "/events",
        status_code=201,
        responses=_problems(400, 401, 403, 408, 409, 413, 503)
        | {200: {"model": AddedView, "description": "The same event is announced already"}},
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": _event_schema()}},
            }
        },
    )
    async def add(
        namespace: str, name: str, request: Request, response: Response, bearer: Bearer
    ) -> AddedView:
        """Announce a planned event. Decisions obey it from their next tick."""
        by = _writer(desk, bearer)
        workload = WorkloadId(namespace, name)
        settings = desk.settings_of(workload)
        if settings is None:
            raise HTTPException(404, unknown(workload))
        event = _event(await _body(request))
        with _refused():
            booked, new = await desk.book.add(workload, event, at=now(), by=by)
        if new:
            _log.info("planned event", workload=str(workload), id=booked.id, name=event.name, by=by)
        else:
            response.status_code = 200
        view = _booked_view(booked, settings.calendar.zone, now=now())
        return AddedView(persisted=desk.book.persisted, note=_note(desk.book), event=view)

    @one.delete("/events/{event}", status_code=204, responses=_problems(401, 403, 503))
    async def remove(namespace: str, name: str, event: str, bearer: Bearer) -> None:
        """Forget an announced event. One that has been becomes usual, and is learnt from."""
        by = _writer(desk, bearer)
        workload = WorkloadId(namespace, name)
        with _refused():
            gone = await desk.book.remove(workload, event)
        if gone is None:
            raise HTTPException(404, _no_such(desk, workload, event))
        _log.info("planned event removed", workload=str(workload), id=gone.id, name=gone.event.name, by=by)


def _writer(desk: EventDesk, bearer: HTTPAuthorizationCredentials | None) -> str:
    """The name of who may write.

    Raises:
        HTTPException: It may not.
    """
    if desk.tokens is None:
        raise HTTPException(
            403, f"writing is off: {SETTING} is not set; let it name a file of bearer tokens, one a line"
        )
    if bearer is None:
        wants = f"send Authorization: Bearer and a token of the file {SETTING}"
        raise HTTPException(
            401, f"Authorization: holds no bearer token; {wants}", headers={"WWW-Authenticate": "Bearer"}
        )
    try:
        name = desk.tokens.owner(bearer.credentials)
    except FileUnusable as fault:
        raise HTTPException(503, f"{SETTING}: {fault}; nobody may write until that is mended") from None
    if name is None:
        raise HTTPException(
            401,
            f"Authorization: the bearer token is none of those that are good now; see {SETTING}",
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        )
    return name


async def _body(request: Request) -> bytes:
    """What was sent, as long as it is no longer than an event may be."""
    found = bytearray()
    try:
        async with asyncio.timeout(_READ_WITHIN_S):
            async for part in request.stream():
                found += part
                if len(found) > MOST_BYTES:
                    raise HTTPException(413, f"body: is longer than {MOST_BYTES} bytes; send one event")
    except TimeoutError:
        raise HTTPException(408, f"body: did not come within {_READ_WITHIN_S:g} s") from None
    return bytes(found)


def _event(body: bytes) -> EventSettings:
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "body: is not JSON; must be one planned event, a mapping") from None
    if not isinstance(fields, Mapping):
        raise HTTPException(422, f"body: is {type(fields).__name__}; must be one planned event, a mapping")
    try:
        return EventSettings.model_validate(fields)
    except ValidationError as wrong:
        raise HTTPException(422, "\n".join(map(str, problems_of(wrong, EventSettings)))) from None


@contextmanager
def _refused() -> Iterator[None]:
    """What the book refuses, in HTTP's words."""
    try:
        yield
    except RefuseMore as full:
        raise HTTPException(409, str(full)) from None
    except FileUnusable as fault:
        _log.warning("planned events could not be changed", because=str(fault))
        raise HTTPException(503, f"nothing was changed: {fault}") from None


def _no_such(desk: EventDesk, workload: WorkloadId, event: str) -> str:
    known = [each.id for each in desk.book.of(workload)]
    shown = f"known: {', '.join(known)}" if known else "none was announced here"
    return f"{workload} has no announced event {event[:60]!r}; {shown} (those of the settings stay there)"


def _note(book: EventBook) -> str:
    if not book.persisted:
        return "in memory only: gone when the service stops, unknown to its other replicas; set events.path"
    return f"as last read: {book.problem}" if book.problem else ""


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


def _event_schema() -> dict[str, Any]:
    schema = EventSettings.model_json_schema(ref_template="#/components/schemas/{model}")
    # What it refers to is among the components already: views have such fields too.
    return {key: part for key, part in schema.items() if key != "$defs"}


def _problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    said = {
        400: "Not JSON",
        401: "No bearer token, or one that is not good",
        403: "Writing is off",
        408: "The body came too slowly",
        409: "There are too many events",
        413: "The body is too long",
        503: "The file of events or of tokens cannot be used now; nothing was changed",
    }
    schema = {"application/problem+json": {"schema": ProblemView.model_json_schema()}}
    return {status: {"description": said[status], "content": schema} for status in statuses}
