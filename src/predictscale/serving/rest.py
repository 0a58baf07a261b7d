"""REST for people and tools. Reads the store; changes nothing, decides nothing."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from predictscale import __version__
from predictscale.control.desk import Desk
from predictscale.control.leads import LeadBook
from predictscale.control.store import KEPT, DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.serving.capacity import add_capacity
from predictscale.serving.leads import add_lead_time
from predictscale.serving.page import CONTENT_SECURITY_POLICY, render_page
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
) -> FastAPI:
    """The REST application.

    Args:
        store: Where decisions are read.
        desk: Where registrations are read.
        now: The clock's present instant, for ages.
        ready: Whether servers are up and settings are loaded. Prometheus has no part in it:
            an unready service is an unreachable scaler, for which KEDA's fallback never fires.
        leads: Where measured lead times are read, if any are.
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
    _add_probes(app, ready)
    _add_page(app, store, desk, now)
    return app


def _add_workloads(
    app: FastAPI, store: DecisionStore, desk: Desk, now: Callable[[], datetime], leads: LeadBook
) -> None:
    one = APIRouter(prefix="/api/v1/workloads/{namespace}/{name}", responses=_PROBLEMS)

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
    return _problem_json(error.status_code, str(error.detail))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    details = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return _problem_json(422, details)


def _problem_json(status: int, detail: str) -> JSONResponse:
    titles = {404: "Not found", 405: "Method not allowed", 422: "Invalid request"}
    problem = ProblemView(title=titles.get(status, "Error"), status=status, detail=detail)
    return JSONResponse(problem.model_dump(), status_code=status, media_type=_PROBLEM_TYPE)
