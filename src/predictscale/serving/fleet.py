"""The fleet in one line over REST: what the head of a page says of all workloads.

Read off the rows of the list, so that the tiles and the table agree. Refuses to add amounts of
different currencies, and to count replicas that nobody has seen.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from predictscale import __version__
from predictscale.control.desk import Desk
from predictscale.control.store import DecisionStore
from predictscale.core.cost import Spend
from predictscale.core.counterfactual import Way
from predictscale.core.state import State
from predictscale.serving.listing import waiting_for
from predictscale.serving.rows import Row, RowBook
from predictscale.serving.savings import RIVALS
from predictscale.serving.views import refused_views


class CostSumView(BaseModel):
    """What all workloads with a price in one currency cost."""

    currency: str
    amount: float
    replicas: float = Field(description="Those that it pays for.")
    workloads: int = Field(description="How many have such a price, and a fleet that is known.")


class SavedSumView(BaseModel):
    """What was saved in one currency."""

    currency: str
    money: float = Field(description="In the last month; negative where ours cost more.")
    versus: Way


class SavedHoursView(BaseModel):
    """Replica-hours that other ways of scaling would have held beyond ours."""

    reactive: float | None = Field(description="A plain HPA on the same metric; null before any account.")
    static: float | None = Field(description="A fleet sized for the peak; likewise.")


class FleetView(BaseModel):
    """All workloads in one line."""

    version: str
    now: datetime = Field(description="On the service's clock.")
    tick_s: float = Field(description="Between two decisions of a workload [s].")
    speed: float = Field(description="How fast the service's clock runs; 1 but for replays.")
    generation: int = Field(description="Rises whenever a decision is published.")
    writable: bool = Field(description="Whether there are tokens that may write.")
    workloads: int = Field(description="With a decision.")
    waiting: int = Field(description="Followed, and without one yet.")
    refused: int = Field(description="Triggers whose metadata cannot be served.")
    states: dict[State, int] = Field(description="How many workloads are in each state.")
    target_replicas: int
    current_replicas: int | None = Field(description="Of workloads whose fleet is known; null if none is.")
    ready_replicas: int | None = Field(description="Likewise.")
    cost_per_hour: list[CostSumView] = Field(description="At the present fleet, one for each currency.")
    saved: list[SavedSumView]
    saved_replica_hours: SavedHoursView


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What a summary tells of the service itself.

    Args:
        tick_s: Between two decisions of a workload [s].
        speed: How fast its clock runs.
        writable: Whether anybody may write.
    """

    tick_s: float = 15.0
    speed: float = 1.0
    writable: bool = False


def add_fleet(
    api: APIRouter,
    *,
    rows: RowBook,
    store: DecisionStore,
    desk: Desk,
    now: Callable[[], datetime],
    about: About,
) -> None:
    """The route of the summary.

    Args:
        api: Where it is added.
        rows: Where rows are read.
        store: Where decisions are counted.
        desk: Where registrations are read.
        now: The present.
        about: What is told of the about.
    """

    @api.get("/fleet")
    async def fleet() -> FleetView:
        """All workloads in one line: states, replicas, costs, savings."""
        at = now()
        made = await rows.all(now=at)
        return _summary(made, desk, at=at, generation=store.generation, about=about)


def _summary(rows: Sequence[Row], desk: Desk, *, at: datetime, generation: int, about: About) -> FleetView:
    saved, hours = _saved(rows)
    return FleetView(
        version=__version__,
        now=at,
        tick_s=about.tick_s,
        speed=about.speed,
        generation=generation,
        writable=about.writable,
        workloads=len(rows),
        waiting=len(waiting_for(desk, rows)),
        refused=len(refused_views(desk.registrations())),
        states=_states(rows),
        target_replicas=sum(row.view.target_replicas for row in rows),
        current_replicas=_known(row.view.current_replicas for row in rows),
        ready_replicas=_known(row.view.ready_replicas for row in rows),
        cost_per_hour=_costs(rows),
        saved=[
            SavedSumView(currency=currency, money=saved[currency, way], versus=way)
            for currency, way in sorted(saved)
        ],
        saved_replica_hours=SavedHoursView(reactive=hours.get(Way.REACTIVE), static=hours.get(Way.STATIC)),
    )


def _states(rows: Iterable[Row]) -> dict[State, int]:
    counted = dict.fromkeys(State, 0)
    for row in rows:
        counted[row.view.state] += 1
    return {state: count for state, count in counted.items() if count}


def _costs(rows: Iterable[Row]) -> list[CostSumView]:
    by_currency: dict[str, list[Spend]] = {}
    for row in rows:
        if row.money is not None and row.money.hourly is not None:
            by_currency.setdefault(row.money.hourly.currency, []).append(row.money.hourly)
    return [
        CostSumView(
            currency=currency,
            amount=sum(each.money for each in spends),
            replicas=sum(each.replica_h for each in spends),
            workloads=len(spends),
        )
        for currency, spends in sorted(by_currency.items())
    ]


def _saved(rows: Iterable[Row]) -> tuple[dict[tuple[str, Way], float], dict[Way, float]]:
    """Money saved by currency and rival, replica-hours saved by rival."""
    saved: dict[tuple[str, Way], float] = {}
    hours: dict[Way, float] = {}
    for row in rows:
        money = row.money
        if money is None or money.savings is None:
            continue
        for way in RIVALS:
            hours[way] = hours.get(way, 0.0) + money.savings.saved_h(way)
            less = money.savings.saved_money(way)
            if less is not None and money.currency is not None:
                saved[money.currency, way] = saved.get((money.currency, way), 0.0) + less
    return saved, hours


def _known(counts: Iterable[int | None]) -> int | None:
    """The sum of those that are known; None if none is."""
    found = [count for count in counts if count is not None]
    return sum(found) if found else None
