"""REST for people and tools. Reads the store; decides nothing, and changes nothing but planned events."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from predictscale import __version__
from predictscale.control.desk import Desk
from predictscale.control.leads import LeadBook
from predictscale.control.moneybook import Money, MoneyBook
from predictscale.control.store import KEPT, DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.serving.capacity import add_capacity
from predictscale.serving.events import EventDesk, add_events
from predictscale.serving.leads import add_lead_time
from predictscale.serving.money import CostsView, CostView, cost_view, costs_view
from predictscale.serving.page import CONTENT_SECURITY_POLICY, render_page
from predictscale.serving.pools import add_pools
from predictscale.serving.savings import SavingsView, Told, savings_view
from predictscale.serving.tuned import TuningView, tuning_view
from predictscale.serving.views import (
    DecisionView,
    ForecastView,
    HistoryView,
    ProbeView,
    ProblemView,
    WorkloadsView,
    WorkloadView,
    decision_view,
    forecast_view,
    refused_views,
    workload_view,
)

_MOST_NAMED = 20
_ONE_WORKLOAD = "/api/v1/workloads/{namespace}/{name}"
_PROBLEM_TYPE = "application/problem+json"
_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {_PROBLEM_TYPE: {"schema": ProblemView.model_json_schema()}},
    }
    for status, description in ((404, "There is no such workload, or nothing of it yet"), (422, "Invalid"))
}


def create_app(
    *,
    store: DecisionStore,
    desk: Desk,
    now: Callable[[], datetime],
    ready: Callable[[], bool],
    leads: LeadBook | None = None,
    money: MoneyBook | None = None,
    events: EventDesk | None = None,
) -> FastAPI:
    """The REST application.

    Args:
        store: Where decisions are read.
        desk: Where registrations are read.
        now: The clock's present instant, for ages.
        ready: Whether servers are up and settings are loaded. Prometheus has no part in it:
            an unready service is an unreachable scaler, for which KEDA's fallback never fires.
        leads: Where measured lead times are read, if any are.
        money: Where costs and savings are read, if books are kept.
        events: Where planned events are announced, if they may be.
    """
    app = FastAPI(
        title="predictscale",
        version=__version__,
        summary="Replica targets before demand arrives, and why.",
        docs_url=None,  # its pages load scripts from outside the cluster
        redoc_url=None,
    )
    app.add_exception_handler(StarletteHTTPException, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    _add_workloads(app, store, desk, now, leads or LeadBook())
    _add_money(app, store, desk, money or MoneyBook())
    if events is not None:
        _add_events(app, desk, now, events)
    _add_probes(app, ready)
    _add_page(app, store, desk, now)
    return app


def _add_workloads(
    app: FastAPI, store: DecisionStore, desk: Desk, now: Callable[[], datetime], leads: LeadBook
) -> None:
    one = APIRouter(prefix=_ONE_WORKLOAD, responses=_PROBLEMS)

    def latest(namespace: str, name: str) -> Decision:
        decision = store.latest(WorkloadId(namespace, name))
        if decision is None:
            raise HTTPException(404, _unknown(WorkloadId(namespace, name), desk.workloads()))
        return decision

    @app.get("/api/v1/workloads")
    async def workloads() -> WorkloadsView:
        """Every workload with its newest decision, and the triggers that were refused."""
        at = now()
        decided = {d.workload: workload_view(d, now=at) for d in store}
        waiting = sorted(str(w) for w in desk.workloads() if w not in decided)
        rows = [decided[w] for w in sorted(decided)]
        return WorkloadsView(workloads=rows, waiting=waiting, refused=refused_views(desk.registrations()))

    @one.get("")
    async def workload(namespace: str, name: str) -> WorkloadView:
        """One workload in one line."""
        return workload_view(latest(namespace, name), now=now())

    @one.get("/decision")
    async def decision(namespace: str, name: str) -> DecisionView:
        """The newest decision with its steps: why this many."""
        return decision_view(latest(namespace, name), now=now())

    @one.get("/forecast")
    async def forecast(namespace: str, name: str) -> ForecastView:
        """The quantiles that the newest decision used."""
        newest = latest(namespace, name)
        if newest.forecast is None:
            raise HTTPException(404, f"{namespace}/{name} has no forecast now: {'; '.join(newest.notes)}")
        return forecast_view(newest, newest.forecast, now=now())

    _add_records(one, store, latest)
    add_lead_time(one, leads, latest)
    add_pools(one, latest, now=now)
    add_capacity(one, latest)
    app.include_router(one)


def _add_records(one: APIRouter, store: DecisionStore, latest: Callable[[str, str], Decision]) -> None:
    @one.get("/tuning")
    async def tuning(namespace: str, name: str) -> TuningView:
        """Which settings the owner's objective led to, why, and what is left of its budget."""
        newest = latest(namespace, name)
        if newest.tuning is None:
            raise HTTPException(
                404, f"{namespace}/{name} is not tuned: its settings give no slo, or a quantile"
            )
        return tuning_view(newest, newest.tuning)

    @one.get("/history")
    async def history(
        namespace: str, name: str, limit: Annotated[int, Query(ge=1, le=KEPT)] = 100
    ) -> HistoryView:
        """Recent decisions as they were made, newest first."""
        latest(namespace, name)
        recent = store.recent(WorkloadId(namespace, name), most=limit)
        views = [decision_view(d, now=d.seen.now) for d in recent]
        return HistoryView(namespace=namespace, workload=name, decisions=views)


def _add_money(app: FastAPI, store: DecisionStore, desk: Desk, book: MoneyBook) -> None:
    one = APIRouter(prefix=_ONE_WORKLOAD, responses=_PROBLEMS)

    def state(asked: WorkloadId) -> Money:
        money = book.get(asked)
        if money is None:
            raise HTTPException(404, _unknown(asked, desk.workloads()))
        return money

    @app.get("/api/v1/costs", responses={422: _PROBLEMS[422]})
    async def costs(by: Annotated[str, Query(min_length=1, max_length=63)] = "workload") -> CostsView:
        """What an hour costs at present, by `workload`, `namespace` or any label that owners named."""
        return costs_view(book.items(), by)

    @one.get("/cost")
    async def cost(namespace: str, name: str) -> CostView:
        """What an hour costs and emits at the present fleet and load, and what is left of the budget."""
        asked = WorkloadId(namespace, name)
        return cost_view(asked, state(asked), store.latest(asked))

    @one.get("/savings")
    async def savings(namespace: str, name: str) -> SavingsView:
        """What was held in the last month, beside what a plain HPA and a static fleet would have held."""
        asked = WorkloadId(namespace, name)
        money = state(asked)
        if money.savings is None:
            raise HTTPException(404, f"{asked} has no accounts yet: they begin with its second decision")
        return savings_view(Told(asked, money.savings, money.currency))

    app.include_router(one)


def _add_events(app: FastAPI, desk: Desk, now: Callable[[], datetime], events: EventDesk) -> None:
    one = APIRouter(prefix=_ONE_WORKLOAD, responses=_PROBLEMS)
    add_events(one, events, unknown=lambda asked: _unknown(asked, desk.workloads()), now=now)
    app.include_router(one)


def _add_probes(app: FastAPI, ready: Callable[[], bool]) -> None:
    @app.get("/healthz")
    async def healthz() -> ProbeView:
        """The process answers."""
        return ProbeView(status="ok")

    @app.get("/readyz", responses={503: {"model": ProbeView, "description": "Draining or starting"}})
    async def readyz(response: Response) -> ProbeView:
        """Servers are up and settings are loaded."""
        if ready():
            return ProbeView(status="ready")
        response.status_code = 503
        return ProbeView(status="draining or starting")


def _add_page(app: FastAPI, store: DecisionStore, desk: Desk, now: Callable[[], datetime]) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        html = render_page(list(store), refused_views(desk.registrations()), now=now())
        return HTMLResponse(html, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


def _unknown(asked: WorkloadId, followed: set[WorkloadId]) -> str:
    if asked in followed:
        return f"{asked} has no decision yet: its history is being read"
    known = sorted(str(workload) for workload in followed)
    shown = ", ".join(known[:_MOST_NAMED]) or "none"
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    return f"{asked} is not followed; known: {shown}{more}"


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - registered for this class alone
    return _problem_json(error.status_code, str(error.detail), error.headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    details = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return _problem_json(422, details)


def _problem_json(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    titles = {
        400: "Bad request",
        401: "Not authenticated",
        403: "Forbidden",
        404: "Not found",
        405: "Method not allowed",
        408: "Timed out",
        409: "Conflict",
        413: "Too long",
        422: "Invalid request",
        503: "Unavailable",
    }
    problem = ProblemView(title=titles.get(status, "Error"), status=status, detail=detail)
    return JSONResponse(problem.model_dump(), status_code=status, headers=headers, media_type=_PROBLEM_TYPE)
