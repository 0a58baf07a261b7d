"""The fleet's list and summary: each row is what its workload's newest decision says, found and in order."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closed_desk import closed_desk
from predictscale.clock import ManualClock
from predictscale.control.moneybook import Money, MoneyBook
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.cost import Spend
from predictscale.core.counterfactual import Account, Savings
from predictscale.core.demand import WorkloadId
from predictscale.core.fleet import FleetState
from predictscale.core.plan import Decision
from predictscale.core.state import State
from predictscale.serving import rows as rows_module
from predictscale.serving.fleet import About
from predictscale.serving.listing import Sort
from predictscale.serving.rest import create_app
from predictscale.serving.rows import Asides, RowBook
from predictscale.serving.views import row_view
from worlds import NOON, at, flat_forecast, policy, seen

LIST = "/api/v1/workloads"


@dataclass
class Front:
    """The application, and all that its rows are made of."""

    store: DecisionStore = field(default_factory=DecisionStore)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    money: MoneyBook = field(default_factory=MoneyBook)
    paused: dict[WorkloadId, datetime] = field(default_factory=dict)

    def __post_init__(self) -> None:
        app = create_app(
            store=self.store,
            desk=closed_desk(self.store, self.clock),
            now=self.clock.now,
            ready=lambda: True,
            money=self.money,
            asides=Asides(paused_until=self.paused.get),
            about=About(tick_s=15, speed=60, writable=True),
        )
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://scaler")

    async def page(self, **asked: Any) -> Any:
        answer = await self.client.get(LIST, params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def names(self, **asked: Any) -> list[str]:
        return [row["workload"] for row in (await self.page(**asked))["workloads"]]

    async def fleet(self) -> Any:
        return (await self.client.get("/api/v1/fleet")).json()


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    made = Front()
    yield made
    await made.client.aclose()


def decide(
    name: str,
    demand: float | None = 25,
    *,
    namespace: str = "prod",
    second: float = 0,
    ahead: float | None = 90,
    replicas: int | None = 3,
    age_s: float = 0,
) -> Decision:
    forecast = None if ahead is None else flat_forecast(ahead, now=at(second))
    made, _ = step(
        WorkloadId(namespace, name),
        seen(demand, now=at(second), replicas=replicas, age_s=age_s),
        forecast,
        policy(),
        StepMemory(),
        unit="requests/s",
    )
    return made


def savings(hours: float, money: float, *, priced_s: float = 3600) -> Savings:
    """Ours held 10 h for 100, the plain HPA as much more as is said."""
    ours = Account(replica_h=10, money=100, late=0)
    return Savings(
        since=NOON - timedelta(hours=1),
        until=NOON,
        known_s=3600,
        unknown_s=0,
        priced_s=priced_s,
        came=100,
        utilisation=0.7,
        wait_s=30,
        ours=ours,
        reactive=replace(ours, replica_h=10 + hours, money=100 + money),
        static=replace(ours, replica_h=10 + 2 * hours, money=100 + 2 * money),
    )


async def test_the_row_of_the_list_is_the_row_of_the_workload_alone(front: Front) -> None:
    front.store.put(decide("chat", age_s=10))
    front.clock.advance(5)
    [row] = (await front.page())["workloads"]
    assert row == (await front.client.get(f"{LIST}/prod/chat")).json()
    assert (row["demand_age_s"], row["expected_peak"], row["state"]) == (15, 90, "ok")


async def test_ages_move_with_the_clock_though_nothing_was_decided(front: Front) -> None:
    front.store.put(decide("chat"))
    for passed in (0, 7.25):
        front.clock.advance(passed)
        [row] = (await front.page())["workloads"]
        assert row["demand_age_s"] == passed


async def test_a_new_decision_a_pause_and_the_end_of_validity_each_make_the_row_anew(front: Front) -> None:
    async def told() -> tuple[Any, ...]:
        [row] = (await front.page())["workloads"]
        return row["target_replicas"], row["state"], row["available"]

    front.store.put(decide("chat", ahead=90))
    assert await told() == (9, "ok", True)
    front.store.put(decide("chat", ahead=120, second=15))
    front.clock.advance(15)
    assert await told() == (12, "ok", True)
    front.paused[WorkloadId("prod", "chat")] = at(3600)
    assert await told() == (12, "paused", True)
    del front.paused[WorkloadId("prod", "chat")]
    assert await told() == (12, "ok", True)
    front.clock.advance(601)
    assert await told() == (12, "unavailable", False)


async def test_what_was_saved_since_is_told_though_nothing_else_of_the_row_has_changed(front: Front) -> None:
    async def told() -> list[float | None]:
        return [row["saved_replica_hours"] for row in (await front.page())["workloads"]]

    front.store.put(decide("chat"))
    assert await told() == [None]
    front.money.put(WorkloadId("prod", "chat"), Money(at=NOON, savings=savings(5, 50)))
    front.store.put(decide("shop"))
    assert await told() == [5, None]


async def test_what_is_decided_while_rows_are_made_is_told_the_next_time() -> None:
    store = DecisionStore()
    for number in range(2 * rows_module.MADE_AT_ONCE):
        store.put(decide(f"w{number}"))
    book = RowBook(store, MoneyBook(), Asides())
    making = asyncio.ensure_future(book.all(now=NOON))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not making.done()
    newer = decide("w0", second=15)
    store.put(newer)
    await making
    assert newer in [row.decision for row in await book.all(now=NOON)]


async def test_a_workload_that_is_followed_no_more_has_no_row(front: Front) -> None:
    front.store.put(decide("chat"))
    front.store.put(decide("shop"))
    assert await front.names() == ["chat", "shop"]
    front.store.forget(WorkloadId("prod", "shop"))
    assert await front.names() == ["chat"]


async def test_a_row_is_made_once_for_each_decision(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[WorkloadId] = []

    def counting(decision: Decision, **more: Any) -> Any:
        made.append(decision.workload)
        return row_view(decision, **more)

    monkeypatch.setattr(rows_module, "row_view", counting)
    for name in ("a", "b", "c"):
        front.store.put(decide(name))
    for _ in range(5):
        await front.names()
        await front.fleet()
    assert len(made) == 3
    front.store.put(decide("b", second=15))
    await front.names()
    assert len(made) == 4


async def test_while_somebody_looks_rows_are_made_as_decisions_are_published(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def counting(decision: Decision, **more: Any) -> Any:
        made.append(decision.workload.name)
        return row_view(decision, **more)

    monkeypatch.setattr(rows_module, "row_view", counting)
    for second in (0, 15):
        for name in ("a", "b"):
            front.store.put(decide(name, second=second))
    assert made == []
    await front.names()
    await front.names()
    made.clear()
    for second in (30, 45):
        for name in ("a", "b"):
            front.store.put(decide(name, second=second, ahead=100 + second))
    assert made == ["a", "b"], "one round for each time that somebody asked"
    front.clock.advance(45)
    assert {row["target_replicas"] for row in (await front.page())["workloads"]} == {15}


async def test_other_calls_are_answered_while_many_rows_are_made() -> None:
    store, spoken = DecisionStore(), 0
    for number in range(3 * rows_module.MADE_AT_ONCE):
        store.put(decide(f"w{number}"))
    book = RowBook(store, MoneyBook(), Asides())
    making = asyncio.ensure_future(book.all(now=NOON))
    while not making.done():
        await asyncio.sleep(0)
        spoken += 1
    assert len(making.result()) == 3 * rows_module.MADE_AT_ONCE
    assert spoken > 3


names = st.lists(st.text("abxyz-", min_size=1, max_size=4), unique=True, max_size=30)


@settings(max_examples=25)
@given(
    names=names,
    limit=st.integers(min_value=1, max_value=7),
    sort=st.sampled_from(Sort),
    demand=st.lists(st.one_of(st.none(), st.sampled_from([0.0, 25.0, 25.5, 1e9])), min_size=1),
)
async def test_pages_tell_each_workload_once_and_in_the_order_of_one_long_page(
    names: list[str], limit: int, sort: Sort, demand: list[float | None]
) -> None:
    front = Front()
    for number, name in enumerate(names):
        front.store.put(decide(name, demand[number % len(demand)], namespace=f"ns{number % 2}"))
    whole = await front.page(limit=1000, sort=sort.value)
    paged: list[Any] = []
    cursor: dict[str, str] = {}
    while True:
        page = await front.page(limit=limit, sort=sort.value, **cursor)
        assert page["total"] == len(names)
        paged += page["workloads"]
        if page["next"] is None:
            break
        assert len(page["workloads"]) == limit
        cursor = {"cursor": page["next"]}
    assert paged == whole["workloads"]
    assert len(paged) == len(names)
    await front.client.aclose()


ORDERS: dict[str, Callable[[Any], Any]] = {
    "demand": lambda row: row["demand"],
    "target": lambda row: row["target_replicas"],
    "ready": lambda row: row["ready_replicas"],
    "age": lambda row: row["demand_age_s"],
    "state": lambda row: list(State).index(State(row["state"])),
}


@pytest.mark.parametrize("sort", ORDERS)
async def test_what_is_unknown_sorts_last_whichever_way(front: Front, sort: str) -> None:
    front.store.put(decide("nothing", None, replicas=None))
    for number, demand in enumerate((70, 5, 300)):
        front.store.put(decide(f"w{number}", demand, replicas=demand, age_s=demand))
    for way in (sort, f"-{sort}"):
        rows = (await front.page(sort=way))["workloads"]
        values = [ORDERS[sort](row) for row in rows]
        known = [value for value in values if value is not None]
        assert known == sorted(known, reverse=way.startswith("-"))
        assert values[: len(known)] == known


async def test_the_list_is_filtered_by_namespace_state_and_a_part_of_the_name(front: Front) -> None:
    front.store.put(decide("chat"))
    front.store.put(decide("chat-eu", ahead=None))
    front.store.put(decide("shop", None, namespace="Web"))
    assert await front.names(namespace="prod") == ["chat", "chat-eu"]
    assert await front.names(namespace="pro") == []
    assert await front.names(state="reactive") == ["chat-eu"]
    assert await front.names(state=["reactive", "ok"]) == ["chat", "chat-eu"]
    assert await front.names(q="CHAT") == ["chat", "chat-eu"]
    assert await front.names(q="b/sh") == ["shop"]
    assert (await front.page(q="chat", limit=1))["total"] == 2


@pytest.mark.parametrize(
    "cursor", ["", "x", "bnVsbA", "W10", "WyJuYW1lIl0", "e30", "\x00", "WzEsMiwzLDQsNV0"]
)
async def test_a_cursor_that_was_never_told_is_refused(front: Front, cursor: str) -> None:
    answer = await front.client.get(LIST, params={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("query.cursor: ")


@pytest.mark.parametrize("place", ['Infinity, 0, "prod", "chat"', f'0, {10**400}, "prod", "chat"'])
async def test_a_cursor_with_a_number_beyond_all_numbers_is_refused(front: Front, place: str) -> None:
    cursor = base64.urlsafe_b64encode(f'["name", {place}]'.encode()).decode().rstrip("=")
    answer = await front.client.get(LIST, params={"cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["detail"].startswith("query.cursor: ")


async def test_a_cursor_of_another_order_is_refused(front: Front) -> None:
    for name in ("a", "b"):
        front.store.put(decide(name))
    page = await front.page(limit=1)
    answer = await front.client.get(LIST, params={"cursor": page["next"], "sort": "-demand"})
    assert answer.status_code == 422
    assert "of another order" in answer.json()["detail"]


async def test_rows_tell_what_was_saved_and_nothing_of_money_without_a_price(front: Front) -> None:
    cheap, plain = WorkloadId("prod", "cheap"), WorkloadId("prod", "plain")
    front.money.put(cheap, Money(at=NOON, currency="EUR", savings=savings(4, 8)))
    front.money.put(plain, Money(at=NOON, savings=savings(-2, 0, priced_s=0)))
    for workload in (cheap, plain, WorkloadId("prod", "young")):
        front.store.put(decide(workload.name))
    rows = (await front.page(sort="-saved"))["workloads"]
    assert [
        (row["workload"], row["saved_replica_hours"], row["saved_money"], row["currency"]) for row in rows
    ] == [
        ("cheap", 4, 8, "EUR"),
        ("plain", -2, None, None),
        ("young", None, None, None),
    ]


async def test_the_summary_adds_up_what_the_rows_say_and_keeps_currencies_apart(front: Front) -> None:
    def spend(currency: str, money: float) -> Spend:
        return Spend(currency=currency, money=money, replica_h=3, gpu_h=None)

    front.money.put(
        WorkloadId("prod", "a"), Money(at=NOON, currency="EUR", hourly=spend("EUR", 5), savings=savings(4, 8))
    )
    front.money.put(
        WorkloadId("prod", "b"), Money(at=NOON, currency="EUR", hourly=spend("EUR", 7), savings=savings(1, 1))
    )
    front.money.put(WorkloadId("prod", "c"), Money(at=NOON, currency="USD", hourly=spend("USD", 2)))
    for name in ("a", "b", "c"):
        front.store.put(decide(name, replicas=4))
    front.store.put(decide("d", None, replicas=None))
    fleet = await front.fleet()
    rows = (await front.page())["workloads"]
    assert fleet["workloads"] == len(rows) == 4
    assert fleet["states"] == {"ok": 3, "unavailable": 1}
    assert fleet["target_replicas"] == sum(row["target_replicas"] for row in rows)
    assert (fleet["current_replicas"], fleet["ready_replicas"]) == (12, 12)
    assert fleet["cost_per_hour"] == [
        {"currency": "EUR", "amount": 12, "replicas": 6, "workloads": 2},
        {"currency": "USD", "amount": 2, "replicas": 3, "workloads": 1},
    ]
    assert fleet["saved"] == [
        {"currency": "EUR", "money": 9, "versus": "reactive"},
        {"currency": "EUR", "money": 18, "versus": "static"},
    ]
    assert fleet["saved_replica_hours"] == {"reactive": 5, "static": 10}
    assert (fleet["tick_s"], fleet["speed"], fleet["writable"]) == (15, 60, True)


async def test_a_fleet_that_nobody_has_seen_has_unknown_replicas_and_not_none(front: Front) -> None:
    front.store.put(replace(decide("a", replicas=None), seen=replace(seen(25), fleet=FleetState())))
    fleet = await front.fleet()
    assert (fleet["current_replicas"], fleet["ready_replicas"]) == (None, None)
    assert fleet["saved_replica_hours"] == {"reactive": None, "static": None}


async def test_the_generation_rises_with_each_decision(front: Front) -> None:
    before = (await front.fleet())["generation"]
    front.store.put(decide("a"))
    assert (await front.fleet())["generation"] > before
