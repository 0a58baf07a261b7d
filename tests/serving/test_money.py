"""Money and grams as people and Prometheus are shown them, and the alert on a budget that binds."""

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from closed_desk import closed_desk
from predictscale.clock import ManualClock
from predictscale.control.moneybook import Money, MoneyBook, Purse
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.budget import Allowance, MonthlyBudget
from predictscale.core.carbon import Accounting, Carbon, Intensity
from predictscale.core.cost import Price, Served, Spend, spent
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision, Stage
from predictscale.serving.money import MoneyCollector, cost_view, costs_view
from predictscale.serving.rest import create_app
from predictscale.serving.telemetry import DecisionCollector
from worlds import CHAT, NOON, policy, seen

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yaml"
SHOP, BATCH = WorkloadId("web", "shop"), WorkloadId("web", "batch")
BUDGET = MonthlyBudget(per_month=5000, currency="EUR")
PURSE = Purse(budget=BUDGET, since=NOON, until=NOON + timedelta(days=31), spent=1250.0)


def hour(replicas: int, *, currency: str = "EUR", **load: float) -> Spend:
    price = Price(per_replica_h=4.0, currency=currency, gpus_per_replica=2)
    return spent(price, {"": replicas}, Served(**load), span_s=3600)


WHOLE = Money(
    at=NOON,
    currency="EUR",
    labels={"team": "search"},
    hourly=hour(10, requests=20, input_tokens=3000, output_tokens=1000, input_weight=0.1),
    carbon=Carbon(4000.0, Accounting.AVERAGE),
    intensity=Intensity(400.0, Accounting.AVERAGE, "a constant"),
    tokens=3.6e6,
    purse=PURSE,
)


def decided(*, most: int | None = None, demand: float = 90, workload: WorkloadId = CHAT) -> Decision:
    allowance = None if most is None else Allowance(most, f"{most} are left")
    looked = replace(seen(demand), allowance=allowance)
    return step(workload, looked, None, policy(), StepMemory(), unit="requests/s")[0]


def book(states: Mapping[WorkloadId, Money]) -> MoneyBook:
    made = MoneyBook()
    for workload, state in states.items():
        made.put(workload, state)
    return made


async def asked(path: str, states: Mapping[WorkloadId, Money], *decisions: Decision) -> httpx2.Response:
    store = DecisionStore()
    for decision in decisions:
        store.put(decision)
    app = create_app(
        store=store,
        desk=closed_desk(store, ManualClock(NOON)),
        now=lambda: NOON,
        ready=lambda: True,
        money=book(states),
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://test") as client:
        return await client.get(path)


def scraped(states: Mapping[WorkloadId, Money]) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(MoneyCollector(book(states)))
    return {
        ".".join([s.name, *(v for k, v in s.labels.items() if k not in ("namespace", "workload"))]): s.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for s in family.samples
    }


async def test_rest_tells_what_an_hour_costs_emits_and_what_is_left() -> None:
    body = (await asked("/api/v1/workloads/prod/chat/cost", {CHAT: WHOLE}, decided(most=5))).json()
    assert (body["namespace"], body["workload"], body["labels"]) == ("prod", "chat", {"team": "search"})
    cost = body["cost"]
    assert (cost["currency"], cost["per_hour"], cost["replicas"], cost["gpus"]) == ("EUR", 40, 10, 20)
    assert cost["per_1000_requests"] == pytest.approx(40 / 72)
    assert cost["per_million_output_tokens"] == pytest.approx(40 / 3.6)
    assert cost["per_million_tokens"] == pytest.approx(40 / 3.6 / 1.3)
    carbon = body["carbon"]
    assert (carbon["g_per_hour"], carbon["g_per_kwh"], carbon["accounting"]) == (4000, 400, "average")
    assert carbon["g_per_million_output_tokens"] == pytest.approx(4000 / 3.6)
    budget = body["budget"]
    assert (budget["per_month"], budget["spent"], budget["allowed_replicas"]) == (5000, 1250, 5)
    assert budget["limited"] is True
    assert budget["because"].startswith("CUT from 9 to 5 by the budget")


async def test_what_is_not_known_is_null() -> None:
    body = (await asked("/api/v1/workloads/prod/chat/cost", {CHAT: Money(at=NOON)})).json()
    assert (body["cost"], body["carbon"], body["budget"]) == (None, None, None)
    unspent = replace(WHOLE, purse=replace(PURSE, spent=None), tokens=None)
    view = cost_view(CHAT, unspent, decided())
    assert view.budget is not None
    assert (view.budget.spent, view.budget.allowed_replicas, view.budget.limited) == (None, None, False)
    assert view.carbon is not None
    assert view.carbon.g_per_million_output_tokens is None


async def test_who_keeps_no_books_is_told_so() -> None:
    unknown = await asked("/api/v1/workloads/prod/other/cost", {CHAT: WHOLE})
    assert unknown.status_code == 404
    early = await asked("/api/v1/workloads/prod/chat/savings", {CHAT: WHOLE})
    assert early.status_code == 404
    assert "has no accounts yet" in early.json()["detail"]


async def test_costs_are_summed_by_any_label_and_never_over_currencies() -> None:
    states = {
        CHAT: WHOLE,
        SHOP: replace(WHOLE, hourly=hour(2, requests=40), labels={"team": "search", "model": "small"}),
        BATCH: replace(WHOLE, hourly=hour(3, currency="USD"), labels={}),
        WorkloadId("web", "new"): Money(at=NOON, labels={"team": "search"}),
    }
    body = (await asked("/api/v1/costs?by=team", states)).json()
    rows = [(row["value"], row["cost"]["currency"], row["cost"]["per_hour"]) for row in body["costs"]]
    assert rows == [("", "USD", 12), ("search", "EUR", 48)]
    # The thousand requests of both together.
    assert body["costs"][1]["cost"]["per_1000_requests"] == pytest.approx(48 / (60 * 3.6))
    by_namespace = costs_view(states.items(), "namespace").costs
    assert [(row.value, row.cost.currency) for row in by_namespace] == [
        ("prod", "EUR"), ("web", "EUR"), ("web", "USD")
    ]  # fmt: skip
    assert len(costs_view(states.items(), "workload").costs) == 3


def test_prometheus_is_told_the_same() -> None:
    told = scraped({CHAT: WHOLE})
    assert told["predictscale_cost_per_hour.EUR"] == 40
    assert told["predictscale_gpus"] == 20
    assert told["predictscale_cost_per_1000_requests.EUR"] == pytest.approx(40 / 72)
    assert told["predictscale_cost_per_million_output_tokens.EUR"] == pytest.approx(40 / 3.6)
    assert told["predictscale_cost_per_million_tokens.EUR"] == pytest.approx(40 / 3.6 / 1.3)
    assert told["predictscale_carbon_grams_per_hour.average"] == 4000
    assert told["predictscale_carbon_grams_per_million_output_tokens.average"] == pytest.approx(4000 / 3.6)
    assert told["predictscale_grid_grams_per_kwh.average"] == 400
    assert told["predictscale_budget_per_month.EUR"] == 5000
    assert told["predictscale_budget_spent.EUR"] == 1250
    assert told["predictscale_cost_label_info.team.search"] == 1


def test_what_is_not_known_has_no_series() -> None:
    assert scraped({CHAT: Money(at=NOON)}) == {}
    told = scraped({CHAT: Money(at=NOON, hourly=hour(1), purse=replace(PURSE, spent=None))})
    assert set(told) == {
        "predictscale_cost_per_hour.EUR",
        "predictscale_gpus",
        "predictscale_budget_per_month.EUR",
    }


def limited(*decisions: Decision) -> dict[str, float]:
    """The metric of the alert, by workload, as it is scraped."""
    store, registry = DecisionStore(), CollectorRegistry()
    for decision in decisions:
        store.put(decision)
    registry.register(DecisionCollector(store, closed_desk(store, ManualClock(NOON)), lambda: NOON))
    return {
        sample.labels["workload"]: sample.value
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
        if sample.name == "predictscale_budget_limited"
    }


def promtool(*arguments: str) -> str:
    """What promtool says; a failure fails the test."""
    if shutil.which("promtool") is None:
        pytest.skip("promtool comes with Prometheus")
    ran = subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_the_rules_are_sound() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(RULES))


def test_a_budget_that_binds_shows_in_the_steps_in_a_metric_and_in_an_alert(tmp_path: Path) -> None:
    bound, roomy = decided(most=5), decided(most=50, workload=SHOP)
    free = decided(workload=BATCH)
    ceiling = {
        d.workload: next(s for s in d.plan.steps if s.stage is Stage.CEILING) for d in (bound, roomy, free)
    }
    assert (ceiling[CHAT].value, ceiling[SHOP].value, ceiling[BATCH].value) == (5, 9, 9)
    assert "CUT from 9 to 5 by the budget" in ceiling[CHAT].because
    told = limited(bound, roomy, free)
    assert told == {"chat": 1, "shop": 0}
    promtool("test", "rules", str(rule_test(tmp_path, told)))


def rule_test(folder: Path, told: Mapping[str, float]) -> Path:
    """Two replicas of the service that tell it for ten minutes: who is alerted on, and since when."""
    series = [
        {
            "series": f'predictscale_budget_limited{{namespace="prod",workload="{workload}",instance="{i}"}}',
            "values": f"{value:g}x10",
        }
        for workload, value in told.items()
        for i in range(2)
    ]
    rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    annotations = next(r["annotations"] for r in rules if r.get("alert") == "PredictscaleBudgetBinds")
    said = {
        name: text.replace("{{ $labels.namespace }}", "prod").replace("{{ $labels.workload }}", "chat")
        for name, text in annotations.items()
    }
    fires: dict[str, Any] = {
        "exp_labels": {"severity": "warning", "namespace": "prod", "workload": "chat"},
        "exp_annotations": said,
    }
    alert = {"alertname": "PredictscaleBudgetBinds"}
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": series,
                "alert_rule_test": [
                    {**alert, "eval_time": "4m", "exp_alerts": []},
                    {**alert, "eval_time": "6m", "exp_alerts": [fires]},
                ],
            }
        ],
    }
    path = folder / "test.yaml"
    path.write_text(yaml.safe_dump(document))
    return path
