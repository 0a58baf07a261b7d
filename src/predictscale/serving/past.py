"""The routes of decisions and forecasts, present and past, of their history, and of its timeline.

Refuses to tell an instant without a zone: nobody knows which one would be meant.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import AwareDatetime

from predictscale.control.decisionlog import DecisionLog, Span
from predictscale.control.store import KEPT, DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.core.series import MetricWindow
from predictscale.meters import Meters
from predictscale.serving.conditional import tag_of
from predictscale.serving.pastreader import PastReader, Told, encode
from predictscale.serving.pastviews import HistoryView, TimelineView
from predictscale.serving.views import DecisionView, ForecastView, decision_view, forecast_view
from predictscale.sources.archivefile import instant, us

LOOK_BACK_S = 86_400.0
"""A timeline without `since` is so long [s]."""

_JSON = "application/json"
_At = Annotated[
    AwareDatetime | None,
    Query(description="As it was at this instant: of the newest decision kept of then or before."),
]


def forgetful() -> DecisionLog:
    """An archive in which nothing is kept, for a service that has none."""
    return DecisionLog(path=None, encode=encode, meters=Meters())


def add_past(
    one: APIRouter,
    *,
    store: DecisionStore,
    log: DecisionLog,
    bins: Callable[[WorkloadId], MetricWindow | None],
    unknown: Callable[[WorkloadId], str],
    now: Callable[[], datetime],
) -> None:
    """The routes of decisions and forecasts, present and past.

    Args:
        one: The router of a workload.
        store: Where the newest decisions are.
        log: Where older ones are.
        bins: A workload's demand on the grid of bins; None before the history was read.
        unknown: Says why nothing is told of a workload.
        now: The clock's present instant.
    """
    past = PastReader(store, log, bins)
    _add_then(one, store, past, unknown, now)
    _add_history(one, past, unknown)
    _add_timeline(one, past, unknown)


def _add_then(
    one: APIRouter,
    store: DecisionStore,
    past: PastReader,
    unknown: Callable[[WorkloadId], str],
    now: Callable[[], datetime],
) -> None:
    def latest(asked: WorkloadId) -> Decision:
        newest = store.latest(asked)
        if newest is None:
            raise HTTPException(404, unknown(asked))
        return newest

    @one.get("/decision", response_model=DecisionView)
    async def decision(namespace: str, name: str, at: _At = None) -> DecisionView | Response:
        """The newest decision with its steps: why this many; with `at`, a past one as it was told then."""
        asked = WorkloadId(namespace, name)
        if at is None:
            return decision_view(latest(asked), now=now())
        return Response((await _then(past, asked, at, unknown)).decision, media_type=_JSON)

    @one.get("/forecast", response_model=ForecastView)
    async def forecast(namespace: str, name: str, at: _At = None) -> ForecastView | Response:
        """The quantiles that the newest decision used; with `at`, those that a past one did."""
        asked = WorkloadId(namespace, name)
        if at is None:
            newest = latest(asked)
            if newest.forecast is None:
                raise HTTPException(404, f"{asked} has no forecast now: {'; '.join(newest.notes)}")
            return forecast_view(newest, newest.forecast, now=now())
        told = await _then(past, asked, at, unknown)
        return Response(_forecast_in(told, asked), media_type=_JSON)


def _add_history(one: APIRouter, past: PastReader, unknown: Callable[[WorkloadId], str]) -> None:
    @one.get("/history", response_model=HistoryView)
    async def history(
        namespace: str,
        name: str,
        limit: Annotated[int, Query(ge=1, le=KEPT, description="Decisions on a page.")] = 100,
        before: Annotated[
            AwareDatetime | None, Query(description="Only decisions before it; `next` of the page before.")
        ] = None,
    ) -> Response:
        """Past decisions as they were told when they were made, newest first."""
        asked = WorkloadId(namespace, name)
        span = await _span(past, asked, unknown)
        until_us = us(span.newest) if before is None else us(before) - 1
        found = await past.told(asked, until_us=until_us, most=limit + 1)
        page = found[:limit]
        around = HistoryView(
            namespace=namespace,
            workload=name,
            decisions=[],
            next=page[-1].at if len(found) > limit else None,
            oldest=span.oldest,
            archive=past.archive,
        )
        # What was told is passed on as it is, and not read again.
        head, _, tail = around.model_dump_json().partition('"decisions":[]')
        told = b",".join(each.decision for each in page)
        return await _long(b"".join((head.encode(), b'"decisions":[', told, b"]", tail.encode())))


def _add_timeline(one: APIRouter, past: PastReader, unknown: Callable[[WorkloadId], str]) -> None:
    @one.get("/timeline", response_model=TimelineView)
    async def timeline_of(
        namespace: str,
        name: str,
        since: Annotated[
            AwareDatetime | None, Query(description="Where it begins; a day before its end if not given.")
        ] = None,
        until: Annotated[
            AwareDatetime | None, Query(description="Where it ends; with the newest decision if not given.")
        ] = None,
        points: Annotated[int, Query(ge=10, le=3000, description="Rows, at most.")] = 500,
    ) -> Response:
        """Demand, what had been forecast for it, and replicas wanted and had: columns for a chart."""
        asked = WorkloadId(namespace, name)
        span = await _span(past, asked, unknown)
        if since is not None and until is not None and since > until:
            raise HTTPException(422, f"query.since: {_clock(since)} lies after until, {_clock(until)}")
        # Nothing is kept after the newest, nor of the time before the epoch.
        newest_us = us(span.newest)
        until_us = newest_us if until is None else max(0, min(us(until), newest_us))
        since_us = until_us - round(LOOK_BACK_S * 1e6) if since is None else us(since)
        since_us = max(0, min(since_us, until_us))
        stretch = await past.timeline(asked, since_us=since_us, until_us=until_us, points=points, span=span)
        columns = stretch.columns
        view = TimelineView.model_validate(
            {
                "namespace": namespace,
                "workload": name,
                "unit": stretch.unit,
                "step_s": columns.step_s,
                "since": instant(since_us),
                "until": instant(until_us),
                "oldest": span.oldest,
                "lead_time_s": stretch.lead_s,
                "level": stretch.level,
                "at": columns.at_s,
                **columns.numbers,
                **columns.counts,
                "health": columns.health,
                "archive": past.archive,
            }
        )
        return await _long(await to_thread.run_sync(lambda: view.model_dump_json().encode()))


async def _long(body: bytes) -> Response:
    """An answer of perhaps megabytes, with its tag; none of its ages moves."""
    return Response(body, media_type=_JSON, headers={"ETag": await to_thread.run_sync(tag_of, body)})


async def _then(
    past: PastReader, asked: WorkloadId, at: datetime, unknown: Callable[[WorkloadId], str]
) -> Told:
    """What was told of the newest decision that is kept of an instant or before."""
    told = await past.told(asked, until_us=us(at))
    if not told:
        span = await _span(past, asked, unknown)
        kept = f"kept is {_clock(span.oldest)} to {_clock(span.newest)}"
        raise HTTPException(404, f"{asked}: nothing is kept of {_clock(at)} or before; {kept}")
    return told[0]


def _forecast_in(told: Told, asked: WorkloadId) -> bytes:
    if told.forecast == b"null":
        notes = "; ".join(json.loads(told.decision)["notes"])
        raise HTTPException(404, f"{asked} had no forecast at {_clock(told.at)}: {notes}")
    return told.forecast


async def _span(past: PastReader, asked: WorkloadId, unknown: Callable[[WorkloadId], str]) -> Span:
    """From when to when something is kept of a workload."""
    span = await past.span(asked)
    if span is None:
        raise HTTPException(404, unknown(asked))
    return span


def _clock(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
