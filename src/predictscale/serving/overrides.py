"""What people may order of a running workload over REST: a pause, another mode, a fit now.

What changes is the override book; decisions obey it from their next tick and say so in their notes. A fit
changes no setting. Refuses to order anything of a workload that nobody follows: its name may be a slip.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from fastapi import APIRouter, HTTPException, Request
from pydantic import BaseModel, Field

from predictscale.config.orders import ModeOrder, PauseOrder, RefitOrder, read_order
from predictscale.config.settings import WorkloadSettings
from predictscale.control.overrides import InForce, Override, OverrideBook
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Mode
from predictscale.serving.writing import (
    Bearer,
    Call,
    Writing,
    body_of,
    fields_of,
    json_body,
    write_problems,
)

_REFERENCE = "#/components/schemas/{model}"
_REFUSALS = (400, 401, 403, 408, 409, 413, 503)
_REFITTED = (
    "it is fitted on all whole bins that are known, by this replica of the service alone; "
    "with the next fit of the common grid all replicas agree again"
)

_Order = TypeVar("_Order", bound=BaseModel)
Unknown = Callable[[WorkloadId], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class OverrideDesk:
    """What the routes work with.

    Args:
        book: Where overrides are kept.
        writing: Who may write.
        settings_of: The settings of a workload that is followed; None of another.
        refit: Has a workload's models fitted; tells why not, or None if they are.
        replicas: How many a workload has now; None if that is not known.
    """

    book: OverrideBook
    writing: Writing
    settings_of: Callable[[WorkloadId], WorkloadSettings | None]
    refit: Callable[[WorkloadId], str | None]
    replicas: Callable[[WorkloadId], int | None] = lambda _: None


class OverrideView(BaseModel):
    """One override that is in force."""

    kind: str = Field(description="`pause` or `mode`.")
    mode: Mode | None = Field(description="The mode it puts in force; null of a pause.")
    since: datetime = Field(description="When it was ordered; a pause that was renewed began before.")
    until: datetime | None = Field(description="When it ends by itself; null of a mode.")
    by: str = Field(description="The name of the token it was ordered with.")
    reason: str


class OverridesView(BaseModel):
    """What people have overridden of a workload."""

    namespace: str
    workload: str
    paused_until: datetime | None = Field(
        description="Until then the fleet does not shrink; it may grow. Null: not paused."
    )
    paused_since: datetime | None = Field(description="When that began, renewals left aside.")
    mode: Mode | None = Field(description="The mode in place of the settings'; null: the settings' own.")
    by: str | None = Field(description="Who ordered the newest of what is in force; null if nothing is.")
    at: datetime | None = Field(description="When, likewise.")
    reason: str | None = Field(description="Why, likewise.")
    settings_mode: Mode | None = Field(description="The mode of the settings; null if nobody follows it.")
    in_force: list[OverrideView] = Field(description="All that is in force, the oldest first.")
    persisted: bool = Field(description="Whether overrides outlive the service.")
    note: str = Field(description="What a reader should know of that; empty if there is nothing.")


class RefitView(BaseModel):
    """A fit that was begun."""

    accepted: bool = Field(description="Always true; a fit that cannot be begun is a conflict.")
    note: str = Field(description="What a reader should know of it.")


def add_overrides(
    one: APIRouter, desk: OverrideDesk, *, unknown: Unknown, now: Callable[[], datetime]
) -> None:
    """The routes of a workload's overrides, and of a fit now.

    Args:
        one: The router of one workload.
        desk: What they work with.
        unknown: What is said of a workload that is not followed.
        now: The present.
    """

    def view(workload: WorkloadId) -> OverridesView:
        return _view(workload, desk.settings_of(workload), desk.book, at=now())

    @one.get("/overrides")
    async def overrides(namespace: str, name: str) -> OverridesView:
        """What people have put in force beside the settings: a pause, a mode."""
        workload = WorkloadId(namespace, name)
        if desk.settings_of(workload) is None and not _holding(desk.book.at(workload, now())):
            raise HTTPException(404, unknown(workload))
        return view(workload)

    _add_pause(one, desk, unknown=unknown, now=now, view=view)
    _add_mode(one, desk, unknown=unknown, now=now, view=view)
    _add_refit(one, desk, unknown=unknown)


def _add_pause(
    one: APIRouter,
    desk: OverrideDesk,
    *,
    unknown: Unknown,
    now: Callable[[], datetime],
    view: Callable[[WorkloadId], OverridesView],
) -> None:
    @one.post("/pause", responses=write_problems(*_REFUSALS), openapi_extra=_body(PauseOrder))
    async def pause(namespace: str, name: str, request: Request, bearer: Bearer) -> OverridesView:
        """Keep the fleet from shrinking for a while; it may grow. A pause that lasts is renewed."""
        workload = WorkloadId(namespace, name)
        async with desk.writing.call(bearer, "pause", workload) as call:
            _followed(desk, workload, unknown)
            order = await _ordered(request, PauseOrder, call)
            there = desk.replicas(workload)
            made = await desk.book.pause(workload, order, at=now(), by=call.by, replicas=there)
            call.details["until"] = made.until and made.until.isoformat()
        return view(workload)

    @one.delete("/pause", responses=write_problems(401, 403, 503))
    async def resume(namespace: str, name: str, bearer: Bearer) -> OverridesView:
        """End the pause: the fleet may shrink from the next tick on. Nothing happens if there is none."""
        workload = WorkloadId(namespace, name)
        async with desk.writing.call(bearer, "pause end", workload) as call:
            ended = await desk.book.resume(workload, at=now(), by=call.by)
            _known(desk, workload, ended, unknown)
            call.details |= _ended(ended)
        return view(workload)


def _add_mode(
    one: APIRouter,
    desk: OverrideDesk,
    *,
    unknown: Unknown,
    now: Callable[[], datetime],
    view: Callable[[WorkloadId], OverridesView],
) -> None:
    @one.put("/mode", responses=write_problems(*_REFUSALS), openapi_extra=_body(ModeOrder))
    async def mode(namespace: str, name: str, request: Request, bearer: Bearer) -> OverridesView:
        """Let the forecast move the fleet (live), or be only recorded (shadow), until this is taken back."""
        workload = WorkloadId(namespace, name)
        async with desk.writing.call(bearer, "mode", workload) as call:
            _followed(desk, workload, unknown)
            order = await _ordered(request, ModeOrder, call)
            await desk.book.set_mode(workload, order, at=now(), by=call.by)
        return view(workload)

    @one.delete("/mode", responses=write_problems(401, 403, 503))
    async def settings_mode(namespace: str, name: str, bearer: Bearer) -> OverridesView:
        """Go back to the mode of the settings. Nothing happens if it was not replaced."""
        workload = WorkloadId(namespace, name)
        async with desk.writing.call(bearer, "mode end", workload) as call:
            ended = await desk.book.clear_mode(workload, at=now(), by=call.by)
            _known(desk, workload, ended, unknown)
            call.details |= _ended(ended)
        return view(workload)


def _add_refit(one: APIRouter, desk: OverrideDesk, *, unknown: Unknown) -> None:
    @one.post(
        "/refit",
        status_code=202,
        responses=write_problems(*_REFUSALS),
        openapi_extra=_body(RefitOrder, required=False),
    )
    async def refit(namespace: str, name: str, request: Request, bearer: Bearer) -> RefitView:
        """Have the models fitted now, in the background, beside the fits of the grid."""
        workload = WorkloadId(namespace, name)
        async with desk.writing.call(bearer, "refit", workload) as call:
            _followed(desk, workload, unknown)
            await _ordered(request, RefitOrder, call, required=False)
            if (hindered := desk.refit(workload)) is not None:
                raise HTTPException(409, f"{workload}: {hindered}")
        return RefitView(accepted=True, note=_REFITTED)


async def _ordered(request: Request, model: type[_Order], call: Call, *, required: bool = True) -> _Order:
    """What was ordered; its fields go on record."""
    one = f"a {model.__name__.removesuffix('Order').lower()}"
    body = await body_of(request, one=one)
    fields: Mapping[str, Any] = {} if not body and not required else fields_of(body, one=one)
    order = read_order(model, fields)
    call.details |= order.model_dump(mode="json", by_alias=True, exclude_none=True)
    return order


def _followed(desk: OverrideDesk, workload: WorkloadId, unknown: Unknown) -> None:
    if desk.settings_of(workload) is None:
        raise HTTPException(404, unknown(workload))


def _known(desk: OverrideDesk, workload: WorkloadId, ended: Override | None, unknown: Unknown) -> None:
    """What is in force of a workload that is gone may still be ended."""
    if ended is None:
        _followed(desk, workload, unknown)


def _ended(ended: Override | None) -> dict[str, Any]:
    if ended is None:
        return {"ended": None}
    return {"ended": {"by": ended.by, "since": ended.since.isoformat(), "reason": ended.reason}}


def _holding(now: InForce) -> list[Override]:
    return sorted((each for each in (now.pause, now.mode) if each is not None), key=lambda each: each.since)


def _view(
    workload: WorkloadId, settings: WorkloadSettings | None, book: OverrideBook, *, at: datetime
) -> OverridesView:
    now = book.at(workload, at)
    holding = _holding(now)
    newest = holding[-1] if holding else None
    return OverridesView(
        namespace=workload.namespace,
        workload=workload.name,
        paused_until=None if now.pause is None else now.pause.until,
        paused_since=now.paused_since,
        mode=None if now.mode is None else now.mode.mode,
        by=None if newest is None else newest.by,
        at=None if newest is None else newest.since,
        reason=None if newest is None else newest.reason,
        settings_mode=None if settings is None else settings.mode,
        in_force=[
            OverrideView(
                kind="pause" if each.mode is None else "mode",
                mode=each.mode,
                since=each.since,
                until=each.until,
                by=each.by,
                reason=each.reason,
            )
            for each in holding
        ],
        persisted=book.persisted,
        note=book.note,
    )


def _body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    return json_body(model.model_json_schema(ref_template=_REFERENCE), required=required)
