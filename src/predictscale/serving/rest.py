"""REST for people and tools. Reads the store; changes nothing, decides nothing."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from predictscale import __version__
from predictscale.control.desk import Desk
from predictscale.control.store import KEPT, DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.serving.page import CONTENT_SECURITY_POLICY, render_page
from predictscale.serving.views import (
    DecisionView,
    ForecastView,
    HistoryView,
    WorkloadsView,
    WorkloadView,
    decision_view,
    forecast_view,
    refused_views,
    workload_view,
)


def create_app(
    *, store: DecisionStore, desk: Desk, now: Callable[[], datetime], ready: Callable[[], bool]
) -> FastAPI:
    """The REST application.

    Args:
        store: Where decisions are read.
        desk: Where registrations are read.
        now: The clock's present instant, for ages.
        ready: Whether servers are up and settings are loaded. Prometheus has no part in it:
            an unready service is an unreachable scaler, for which KEDA's fallback never fires.
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

    def latest(namespace: str, name: str) -> Decision:
        decision = store.latest(WorkloadId(namespace, name))
        if decision is None:
            known = sorted(str(d.workload) for d in store)
            raise HTTPException(
                404, f"no decision for {namespace}/{name}; known: {', '.join(known) or 'none'}"
            )
        return decision

    @app.get("/api/v1/workloads")
    async def workloads() -> WorkloadsView:
        """Every workload with its newest decision, and the triggers that were refused."""
        at = now()
        decided = {d.workload: workload_view(d, now=at) for d in store}
        waiting = sorted(str(w) for w in desk.workloads() if w not in decided)
        rows = [decided[w] for w in sorted(decided)]
        return WorkloadsView(workloads=rows, waiting=waiting, refused=refused_views(desk.registrations()))

    @app.get("/api/v1/workloads/{namespace}/{name}")
    async def workload(namespace: str, name: str) -> WorkloadView:
        """One workload in one line."""
        return workload_view(latest(namespace, name), now=now())

    @app.get("/api/v1/workloads/{namespace}/{name}/decision")
    async def decision(namespace: str, name: str) -> DecisionView:
        """The newest decision with its steps: why this many."""
        return decision_view(latest(namespace, name), now=now())

    @app.get("/api/v1/workloads/{namespace}/{name}/forecast")
    async def forecast(namespace: str, name: str) -> ForecastView:
        """The quantiles that the newest decision used."""
        newest = latest(namespace, name)
        if newest.forecast is None:
            raise HTTPException(404, f"{namespace}/{name} has no forecast now: {'; '.join(newest.notes)}")
        return forecast_view(newest, newest.forecast, now=now())

    @app.get("/api/v1/workloads/{namespace}/{name}/history")
    async def history(
        namespace: str, name: str, limit: Annotated[int, Query(ge=1, le=KEPT)] = 100
    ) -> HistoryView:
        """Recent decisions as they were made, newest first."""
        latest(namespace, name)
        recent = store.recent(WorkloadId(namespace, name), most=limit)
        views = [decision_view(d, now=d.seen.now) for d in recent]
        return HistoryView(namespace=namespace, workload=name, decisions=views)

    _add_probes(app, ready)
    _add_page(app, store, desk, now)
    return app


def _add_probes(app: FastAPI, ready: Callable[[], bool]) -> None:
    @app.get("/healthz")
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @app.get("/readyz")
    async def readyz() -> JSONResponse:
        """Servers are up and settings are loaded."""
        if ready():
            return JSONResponse({"status": "ready"})
        return JSONResponse({"status": "draining or starting"}, status_code=503)


def _add_page(app: FastAPI, store: DecisionStore, desk: Desk, now: Callable[[], datetime]) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> HTMLResponse:
        html = render_page(list(store), refused_views(desk.registrations()), now=now())
        return HTMLResponse(html, headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101 - registered for this class alone
    return _problem_json(error.status_code, str(error.detail))


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    details = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return _problem_json(422, details)


def _problem_json(status: int, detail: str) -> JSONResponse:
    """An error as RFC 9457 shapes it."""
    titles = {404: "Not found", 405: "Method not allowed", 422: "Invalid request"}
    body = {"type": "about:blank", "title": titles.get(status, "Error"), "status": status, "detail": detail}
    return JSONResponse(body, status_code=status, media_type="application/problem+json")
