"""The routes of decisions and forecasts, present and past, of their history, and of its timeline.

Refuses to tell an instant without a zone: nobody knows which one would be meant.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import AwareDatetime

from predictscale.control.decisionlog import DecisionLog, Span
from predictscale.control.store import KEPT
from predictscale.core.demand import WorkloadId
from predictscale.meters import Meters
from predictscale.serving.conditional import tag_of
from predictscale.serving.pastreader import PastReader, encode
from predictscale.serving.pastviews import HistoryView, TimelineView
from predictscale.serving.readers import Latest, Now
from predictscale.serving.then import JSON, At, Then, Told, clock, forecast_in
from predictscale.serving.views import DecisionView, ForecastView, decision_view, forecast_view
from predictscale.sources.archivefile import instant, us

LOOK_BACK_S = 86_400.0
"""A timeline without `since` is so long [s]."""


def forgetful() -> DecisionLog:
    """An archive in which nothing is kept, for a service that has none."""
    return DecisionLog(path=None, encode=encode, meters=Meters())


def teller(past: PastReader, unknown: Callable[[WorkloadId], str]) -> Then:
    """Who tells routes the past.

    Args:
        past: Where it is read.
        unknown: Says why nothing is told of a workload.
    """

    async def then(namespace: str, name: str, at: datetime) -> Told:
        asked = WorkloadId(namespace, name)
        told = await past.newest(asked, until_us=us(at))
        if told is None:
            span = await _span(past, asked, unknown)
            kept = f"kept is {clock(span.oldest)} to {clock(span.newest)}"
            raise HTTPException(404, f"{asked}: nothing is kept of {clock(at)} or before; {kept}")
        return told

    return then


def add_past(
    one: APIRouter,
    past: PastReader,
    then: Then,
    latest: Latest,
    *,
    unknown: Callable[[WorkloadId], str],
    now: Now,
) -> None:
    """The routes of decisions and forecasts, present and past.

    Args:
        one: The router of a workload.
        past: Where the past is read.
        then: Who tells it of one instant.
        latest: The newest decision of a workload.
        unknown: Says why nothing is told of a workload.
        now: The present instant.
    """
    _add_then(one, then, latest, now)
    _add_history(one, past, unknown)
    _add_timeline(one, past, unknown)


def _add_then(one: APIRouter, then: Then, latest: Latest, now: Now) -> None:
    @one.get("/decision", response_model=DecisionView)
    async def decision(namespace: str, name: str, at: At = None) -> DecisionView | Response:
        """The newest decision with its steps: why this many; with `at`, a past one as it was told then."""
        if at is None:
            return decision_view(latest(namespace, name), now=now())
        return Response((await then(namespace, name, at)).decision, media_type=JSON)

    @one.get("/forecast", response_model=ForecastView)
    async def forecast(namespace: str, name: str, at: At = None) -> ForecastView | Response:
        """The quantiles that the newest decision used; with `at`, those that a past one did."""
        if at is None:
            newest = latest(namespace, name)
            if newest.forecast is None:
                raise HTTPException(404, f"{newest.workload} has no forecast now: {'; '.join(newest.notes)}")
            return forecast_view(newest, newest.forecast, now=now())
        told = await then(namespace, name, at)
        return Response(forecast_in(told, namespace, name), media_type=JSON)


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
        found = await past.page(asked, until_us=until_us, most=limit + 1)
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
            raise HTTPException(422, f"query.since: {clock(since)} lies after until, {clock(until)}")
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
                "marks": columns.marks,
                "archive": past.archive,
            }
        )
        return await _long(await to_thread.run_sync(lambda: view.model_dump_json().encode()))


async def _long(body: bytes) -> Response:
    """An answer of perhaps megabytes, with its tag; none of its ages moves."""
    return Response(body, media_type=JSON, headers={"ETag": await to_thread.run_sync(tag_of, body)})


async def _span(past: PastReader, asked: WorkloadId, unknown: Callable[[WorkloadId], str]) -> Span:
    """From when to when something is kept of a workload."""
    span = await past.span(asked)
    if span is None:
        raise HTTPException(404, unknown(asked))
    return span
