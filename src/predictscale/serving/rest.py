"""REST for people and tools. Reads the store; decides nothing, and changes nothing but what people order."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Response

from predictscale import __version__
from predictscale.control.decisionlog import DecisionLog
from predictscale.control.desk import Desk
from predictscale.control.leads import LeadBook
from predictscale.control.moneybook import Money, MoneyBook
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.core.series import MetricWindow
from predictscale.serving.absent import AbsentAsked
from predictscale.serving.audit import add_audit_log
from predictscale.serving.books import add_books
from predictscale.serving.capacity import add_capacity
from predictscale.serving.conditional import Conditional
from predictscale.serving.events import EventDesk, add_events
from predictscale.serving.fleet import About, add_fleet
from predictscale.serving.leads import add_lead_time
from predictscale.serving.listing import add_list
from predictscale.serving.money import CostsView, CostView, cost_view, costs_view
from predictscale.serving.openapi import describe
from predictscale.serving.overrides import OverrideDesk, add_overrides
from predictscale.serving.page import add_page
from predictscale.serving.parameters import only_known
from predictscale.serving.past import add_past, forgetful, teller
from predictscale.serving.pastreader import PastReader
from predictscale.serving.pools import add_pools
from predictscale.serving.problems import problems, tell_problems
from predictscale.serving.promotion import PromotionDesk, add_promotion
from predictscale.serving.readers import Readers
from predictscale.serving.rows import Asides, RowBook
from predictscale.serving.savings import SavingsView, Told, savings_view
from predictscale.serving.sparks import add_sparks
from predictscale.serving.tuned import add_tuning
from predictscale.serving.views import (
    ProbeView,
    RowView,
    refused_views,
)
from predictscale.serving.whatif import WhatIfDesk, add_what_if

_MOST_NAMED = 20
_NONE_KNOWN = "none; a ScaledObject is known from KEDA's first call on, within its pollingInterval"
_ONE_WORKLOAD = "/api/v1/workloads/{namespace}/{name}"


def create_app(
    *,
    store: DecisionStore,
    desk: Desk,
    now: Callable[[], datetime],
    ready: Callable[[], bool],
    leads: LeadBook | None = None,
    money: MoneyBook | None = None,
    events: EventDesk | None = None,
    asides: Asides | None = None,
    about: About | None = None,
    log: DecisionLog | None = None,
    readers: Readers = lambda _: None,
    overrides: OverrideDesk | None = None,
    what_if: WhatIfDesk | None = None,
    promotion: PromotionDesk | None = None,
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
        asides: What rows tell beside decisions.
        about: What is told of the service itself.
        log: Where past decisions are read that are not in memory any more, if they are kept.
        readers: Who shows a workload's data and models.
        overrides: Where pauses, modes and fits are ordered, if they may be.
        what_if: Where what-if questions are asked, if somebody answers.
        promotion: Where the records lie that a promotion is judged by, if they are kept.
    """
    app = FastAPI(
        title="predictscale",
        version=__version__,
        summary="Replica targets before demand arrives, and why.",
        docs_url=None,  # its pages load scripts from outside the cluster
        redoc_url=None,
        openapi_url=None,  # served as bytes that are made once
        redirect_slashes=False,  # to wherever the Host header says
        dependencies=[Depends(only_known)],
    )
    book, beside = money or MoneyBook(), asides or Asides()
    app.add_middleware(Conditional, newest=lambda asked: _newest(store, asked), now=now)
    app.add_middleware(AbsentAsked)
    tell_problems(app)
    rows = RowBook(store, book, beside)
    store.subscribe(rows.note)
    about = about or About(writable=events is not None and events.writing.possible)
    _add_fleet(app, rows, store=store, desk=desk, asides=beside, now=now, about=about)
    _add_workloads(
        app,
        store,
        desk,
        now,
        leads=leads or LeadBook(),
        rows=rows,
        readers=readers,
        log=log or forgetful(),
        bins=beside.bins,
        promotion=promotion,
    )
    _add_money(app, store, desk, book)
    if events is not None:
        _add_events(app, desk, now, events)
    if overrides is not None:
        _add_overrides(app, desk, now, overrides)
    if what_if is not None:
        _add_what_if(app, desk, what_if)
    _add_probes(app, ready)
    add_page(app)
    describe(app)
    return app


def _newest(store: DecisionStore, asked: WorkloadId | None) -> datetime | None:
    """The instant of a workload's newest decision, or of all workloads' newest."""
    if asked is None:
        return max((decision.seen.now for decision in store), default=None)
    newest = store.latest(asked)
    return None if newest is None else newest.seen.now


def _add_fleet(
    app: FastAPI,
    rows: RowBook,
    *,
    store: DecisionStore,
    desk: Desk,
    asides: Asides,
    now: Callable[[], datetime],
    about: About,
) -> None:
    together = APIRouter(prefix="/api/v1", responses=problems(422))
    add_fleet(together, rows=rows, store=store, desk=desk, now=now, about=about)
    add_list(together, rows=rows, desk=desk, now=now)
    add_sparks(together, store=store, asides=asides, now=now)
    app.include_router(together)


def _add_workloads(
    app: FastAPI,
    store: DecisionStore,
    desk: Desk,
    now: Callable[[], datetime],
    *,
    leads: LeadBook,
    rows: RowBook,
    log: DecisionLog,
    bins: Callable[[WorkloadId], MetricWindow | None],
    readers: Readers,
    promotion: PromotionDesk | None,
) -> None:
    one = APIRouter(prefix=_ONE_WORKLOAD, responses=problems(404, 422))

    def latest(namespace: str, name: str) -> Decision:
        decision = store.latest(WorkloadId(namespace, name))
        if decision is None:
            raise HTTPException(404, _unknown(WorkloadId(namespace, name), desk))
        return decision

    @one.get("", response_model=RowView)
    async def workload(namespace: str, name: str) -> Response:
        """One workload in one line, as the list has it."""
        at = now()
        row = rows.of(latest(namespace, name), now=at)
        return Response(row.json(now=at), media_type="application/json")

    def unknown(asked: WorkloadId) -> str:
        return _unknown(asked, desk)

    past = PastReader(store, log, bins)
    then = teller(past, unknown)
    add_past(one, past, then, latest, unknown=unknown, now=now)
    add_tuning(one, latest, then)
    add_lead_time(one, leads, latest, then)
    add_pools(one, latest, then, now=now)
    add_capacity(one, latest, then)
    add_books(one, readers, latest, then, now=now)
    if promotion is not None:
        add_promotion(one, promotion, readers, latest)
    app.include_router(one)


def _add_money(app: FastAPI, store: DecisionStore, desk: Desk, book: MoneyBook) -> None:
    one = APIRouter(prefix=_ONE_WORKLOAD, responses=problems(404, 422))

    def state(asked: WorkloadId) -> Money:
        money = book.get(asked)
        if money is None:
            raise HTTPException(404, _unknown(asked, desk))
        return money

    @app.get("/api/v1/costs", responses=problems(422))
    async def costs(
        by: Annotated[
            str, Query(min_length=1, max_length=63, description="A label, `workload` or `namespace`.")
        ] = "workload",
    ) -> CostsView:
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
    one = APIRouter(prefix=_ONE_WORKLOAD, responses=problems(404, 422))
    add_events(one, events, unknown=lambda asked: _unknown(asked, desk), now=now)
    app.include_router(one)


def _add_overrides(app: FastAPI, desk: Desk, now: Callable[[], datetime], overrides: OverrideDesk) -> None:
    one = APIRouter(prefix=_ONE_WORKLOAD, responses=problems(404, 422))
    together = APIRouter(prefix="/api/v1", responses=problems(422))
    add_overrides(one, overrides, unknown=lambda asked: _unknown(asked, desk), now=now)
    add_audit_log(together, overrides.writing.audit)
    app.include_router(one)
    app.include_router(together)


def _add_what_if(app: FastAPI, desk: Desk, what_if: WhatIfDesk) -> None:
    one = APIRouter(prefix=_ONE_WORKLOAD, responses=problems(404, 422))
    together = APIRouter(prefix="/api/v1", responses=problems(404, 422))
    add_what_if(one, together, what_if, unknown=lambda asked: _unknown(asked, desk))
    app.include_router(one)
    app.include_router(together)


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


def _unknown(asked: WorkloadId, desk: Desk) -> str:
    followed = desk.workloads()
    if asked in followed:
        return f"{asked} has no decision yet: its history is being read; ask again in some seconds"
    for refused in refused_views(desk.registrations()):
        if (refused.namespace, refused.scaled_object) == (asked.namespace, asked.name):
            return f"{asked} is not followed: its trigger is refused: {'; '.join(refused.problems)}"
    known = sorted(str(workload) for workload in followed)
    shown = ", ".join(known[:_MOST_NAMED]) or _NONE_KNOWN
    more = f" and {len(known) - _MOST_NAMED} more" if len(known) > _MOST_NAMED else ""
    return f"{asked} is not followed; known: {shown}{more}"
