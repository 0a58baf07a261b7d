"""Books, costs and a budget through a whole service: from its settings to its ports, and over a restart."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from patience import WITHIN_S
from predictscale.bootstrap import Service
from predictscale.bootstrap.money import Treasury
from predictscale.clock import ManualClock
from predictscale.config.load import load_service
from predictscale.control.ledger import Ledger
from predictscale.control.step import StepMemory, step
from predictscale.core.cost import Price
from predictscale.core.demand import WorkloadId
from predictscale.core.events import PlannedEvent, Repeat
from predictscale.core.slo import Slo
from predictscale.meters import Meters
from predictscale.sources.history import History
from predictscale.sources.replay import ReplaySource
from predictscale.sources.synthetic import shop_requests
from scenes import SHOP, SIGNALS, settings_of
from worlds import policy, seen

MONTH = datetime(2026, 3, 1, tzinfo=UTC)
PRICED = {
    "price": {"per_replica_hour": 4.0, "currency": "EUR", "gpus_per_replica": 1, "watts_per_gpu": 500,
              "grid": {"constant_g_per_kwh": 380}},
    "labels": {"team": "search"},
}  # fmt: skip
POOR = {**PRICED, "budget": {"per_month": 744, "slack": 1}}
"""Of March's 744 hours: a euro for each, which is a quarter of a replica."""


def service(cache: Path, clock: ManualClock, **workload: Any) -> Service:
    settings = load_service(
        overrides={
            "grpc": {"host": "127.0.0.1", "port": 0, "drain_s": 0},
            "http": {"host": "127.0.0.1", "port": 0},
            "metrics": {"host": "127.0.0.1", "port": 0},
            "loop": {"history_s": 2 * 86400},
            "cache": {"path": str(cache)},
            "workloads": [
                {
                    "namespace": SHOP.namespace,
                    "name": SHOP.name,
                    "query": "shop_demand",
                    "capacity_per_replica": 80,
                    "max_replicas": 100,
                    "forecasters": ["last-value"],
                    **workload,
                }
            ],
        }
    )
    source = ReplaySource({"shop_demand": shop_requests(seed=7)}, clock=clock)
    return Service(settings, clock=clock, source=source, signals=lambda _: SIGNALS)


async def ticked(running: Service, clock: ManualClock, ticks: int) -> None:
    """Let some ticks pass, none of them skipped because the one before is under way."""
    for _ in range(ticks):
        before = running.loop._running[SHOP]
        await before
        clock.advance(15)
        while running.loop._running[SHOP] is before:
            await asyncio.sleep(0)
    await running.loop._running[SHOP]


async def asked(running: Service, path: str) -> Any:
    async with httpx2.AsyncClient(timeout=WITHIN_S, trust_env=False) as client:
        answer = await client.get(f"http://127.0.0.1:{running.http_port}{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()


async def exposed(running: Service) -> str:
    async with httpx2.AsyncClient(timeout=WITHIN_S, trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{running.metrics_port}/metrics")).text


SALE = PlannedEvent(
    name="sale", start=MONTH, end=MONTH + timedelta(days=1), multiplier=2.0, repeat=Repeat.YEARLY
)


async def test_books_are_of_one_workload_and_of_one_history(tmp_path: Path) -> None:
    clock, history = ManualClock(MONTH), History(path=tmp_path / "books.sqlite", meters=Meters())
    source = ReplaySource({}, clock=clock)
    treasury = Treasury(history, tick_s=15)
    settings = settings_of()
    first = treasury.ledger(settings, source=source)
    await first.wake()
    decisions = [
        step(
            SHOP,
            seen(800, now=MONTH + timedelta(seconds=s), replicas=9),
            None,
            policy(),
            StepMemory(),
            unit="",
        )[0]
        for s in range(0, 150, 15)
    ]
    for decision in decisions:
        first.note(decision)
    await first.stop()
    known: list[bool] = []
    for other in (
        replace(settings, workload=WorkloadId("prod", "other")),
        replace(settings, query="other_demand"),
        replace(settings, price=Price(per_replica_h=4.0, currency="EUR")),
        replace(settings, max_replicas=7),
        replace(settings, forecasters=("seasonal-naive",), events=(SALE,)),
    ):
        ledger = treasury.ledger(other, source=source)
        await ledger.wake()
        ledger.note(decisions[-1])
        known.append(treasury.book.items()[0][1].savings is not None)
        await ledger.stop()
    # Amounts of two currencies are not added. Another ceiling, or a sale, is no reason to open new books.
    assert known == [False, False, False, True, True]
    await history.aclose()


def noted(ledger: Ledger, seconds: range) -> None:
    for second in seconds:
        looked = seen(800, now=MONTH + timedelta(seconds=second), replicas=9)
        ledger.note(step(SHOP, looked, None, policy(), StepMemory(), unit="requests/s")[0])


async def test_who_follows_a_workload_anew_goes_on_with_its_books() -> None:
    """Its settings changed, and its old tracker has not ended yet."""
    treasury = Treasury(History(path=None, meters=Meters()), tick_s=15)
    source = ReplaySource({}, clock=ManualClock(MONTH))
    first = treasury.ledger(settings_of(), source=source)
    await first.wake()
    noted(first, range(0, 150, 15))
    await first.stop()
    del first
    old = treasury.ledger(settings_of(), source=source)
    await old.wake()
    noted(old, range(150, 300, 15))
    new = treasury.ledger(settings_of(max_replicas=7), source=source)
    await new.wake()
    await old.stop()
    noted(new, range(300, 601, 15))
    await new.stop()
    del old, new
    last = treasury.ledger(settings_of(), source=source)
    await last.wake()
    noted(last, range(600, 601))
    money = treasury.book.get(SHOP)
    assert money is not None
    assert money.savings is not None
    assert (money.savings.known_s, money.savings.unknown_s) == (600, 0)


async def test_work_is_late_by_the_owners_objective() -> None:
    treasury = Treasury(History(path=None, meters=Meters()), tick_s=15)
    source = ReplaySource({}, clock=ManualClock(MONTH))
    slo = Slo(max_violation=0.01, wait_s=90.0)
    for settings, wait_s in ((settings_of(), 5.0), (replace(settings_of(), slo=slo), 90.0)):
        ledger = treasury.ledger(settings, source=source)
        await ledger.wake()
        noted(ledger, range(0, 150, 15))
        money = treasury.book.get(SHOP)
        assert money is not None
        assert money.savings is not None
        assert money.savings.wait_s == wait_s


@pytest.mark.parametrize(("backend", "sighted"), [("vllm", False), ("vllm-tokens", False), ("istio", True)])
async def test_a_backend_that_was_found_tells_whether_demand_is_seen_at_zero(
    backend: str, *, sighted: bool, tmp_path: Path
) -> None:
    made = service(tmp_path / "history.sqlite", ManualClock(MONTH))
    found = replace(settings_of(), query=None, backend=backend, sighted=None)
    assert made._tracker(found).policy.sighted is sighted
    assert made._tracker(replace(found, sighted=not sighted)).policy.sighted is not sighted


ONE = f"/api/v1/workloads/{SHOP.namespace}/{SHOP.name}"
NAMED = 'namespace="prod",workload="shop"'


async def test_savings_outlive_the_service_and_are_told_by_rest_and_metrics(tmp_path: Path) -> None:
    clock = ManualClock(MONTH)
    for known_s in (120, 240):
        running = service(tmp_path / "history.sqlite", clock, **PRICED)
        await running.start()
        await ticked(running, clock, 9)
        told = await asked(running, f"{ONE}/savings")
        assert told["known_s"] == pytest.approx(known_s, abs=16)
        assert {each["way"] for each in told["ways"]} == {"ours", "reactive", "static"}
        assert told["currency"] == "EUR"
        metrics = await exposed(running)
        assert {"predictscale_held_replica_hours{", "predictscale_saved_money{"} <= {
            line.partition("{")[0] + "{" for line in metrics.splitlines()
        }
        # No target is given, so the fleet is not known, and nor is what it costs.
        assert (await asked(running, f"{ONE}/cost"))["cost"] is None
        assert (await asked(running, "/api/v1/costs?by=team"))["costs"] == []
        assert "predictscale_budget_limited{" not in metrics
        await running.stop()


async def test_a_binding_budget_is_told_everywhere(tmp_path: Path) -> None:
    clock = ManualClock(MONTH)
    running = service(tmp_path / "history.sqlite", clock, **POOR)
    await running.start()
    await ticked(running, clock, 6)
    decision = running.store.latest(WorkloadId("prod", "shop"))
    assert decision is not None
    assert decision.answer.published == 1
    steps = {each["stage"]: each for each in (await asked(running, f"{ONE}/decision"))["steps"]}
    assert steps["ceiling"]["value"] == 1
    assert "to 1 by the budget" in steps["ceiling"]["because"]
    budget = (await asked(running, f"{ONE}/cost"))["budget"]
    assert (budget["limited"], budget["allowed_replicas"], budget["per_month"]) == (True, 0, 744)
    assert budget["spent"] > 0
    metrics = await exposed(running)
    assert f"predictscale_budget_limited{{{NAMED}}} 1.0" in metrics
    await running.stop()
