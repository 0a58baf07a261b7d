"""What self-tuning chose is told alike by REST and the metrics."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from predictscale.clock import ManualClock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.desk import Desk, Following, Ref
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.knobs import Kind, Knobs
from predictscale.core.plan import Decision
from predictscale.core.slo import Slo
from predictscale.core.tuned import Choice, Score, Tuning
from predictscale.serving.rest import create_app
from predictscale.serving.telemetry import DecisionCollector
from worlds import CHAT, NOON, flat_forecast, policy, seen

CHOSEN = Knobs(level=0.9, hold_s=300.0)
REACTIVE = Knobs(level=0.9, margin=0.0, headroom=1.25, hold_s=60.0)
TUNING = Tuning(
    slo=Slo(max_violation=0.005, wait_s=2.0),
    choice=Choice(
        knobs=CHOSEN,
        at=NOON - timedelta(minutes=20),
        because="the cheapest of 195 <that> would do",
        asked=0.006,
        replayed_s=432000.0,
        compared=195,
        scores=(
            Score(knobs=CHOSEN, violation=0.003, replica_hours=800.0),
            Score(knobs=REACTIVE, violation=0.001, replica_hours=900.0),
        ),
    ),
    knobs=CHOSEN.careful(1),
    since=NOON - timedelta(hours=3),
    because="the cheapest of 195 <that> would do; 1 more careful for now",
    notches=1,
    violation=0.004,
    spent=0.2,
    known_s=7 * 86400.0,
    every_s=3600.0,
    next_at=NOON + timedelta(minutes=45),
)


def decision(tuning: Tuning | None) -> Decision:
    made, _ = step(CHAT, seen(25), flat_forecast(50), policy(), StepMemory(), unit="requests/s")
    return replace(made, tuning=tuning)


def desk(store: DecisionStore, clock: ManualClock) -> Desk:
    def parse(ref: Ref) -> WorkloadSettings:
        workload = WorkloadId(ref.namespace, ref.name)
        return WorkloadSettings(workload=workload, query="load", capacity_per_replica=10, max_replicas=100)

    return Desk(
        parse=parse,
        store=store,
        following=Following(lambda _: None, store.forget),
        clock=clock,
        max_registrations=100,
        expire_after_s=3600,
    )


async def asked(made: Decision, path: str) -> httpx2.Response:
    store, clock = DecisionStore(), ManualClock(NOON)
    store.put(made)
    app = create_app(store=store, desk=desk(store, clock), now=clock.now, ready=lambda: True)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://scaler") as client:
        return await client.get(f"/api/v1/workloads/prod/chat{path}")


def scraped(made: Decision) -> dict[str, Any]:
    store, clock = DecisionStore(), ManualClock(NOON)
    store.put(made)
    registry = CollectorRegistry()
    registry.register(DecisionCollector(store, desk(store, clock), clock.now))
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {
        sample.name + sample.labels.get("kind", ""): sample.value
        for family in families
        for sample in family.samples
    }


async def test_rest_tells_the_settings_in_force_and_what_was_compared() -> None:
    answer = await asked(decision(TUNING), "/tuning")
    assert answer.status_code == 200
    body = answer.json()
    assert body["knobs"]["quantile"] == 0.925
    assert body["choice"]["knobs"] == {
        "kind": "predictive", "quantile": 0.9, "margin": 1.0, "limit": None, "headroom": 1.0, "hold_s": 300.0,
    }  # fmt: skip
    assert [score["violation"] for score in body["choice"]["scores"]] == [0.003, 0.001]
    assert body["budget_spent"] == 0.2
    assert body["slo"] == {"max_violation": 0.005, "wait_s": 2.0, "window_s": 2592000.0}
    assert body["because"] == TUNING.because


async def test_before_the_first_choice_there_is_a_state_all_the_same() -> None:
    body = (await asked(decision(replace(TUNING, choice=None, since=None)), "/tuning")).json()
    assert body["choice"] is None
    assert body["since"] is None


async def test_a_workload_without_an_objective_has_no_tuning() -> None:
    answer = await asked(decision(None), "/tuning")
    assert answer.status_code == 404
    assert "no slo" in answer.json()["detail"]


async def test_the_policy_that_was_obeyed_shows_all_that_tuning_turns() -> None:
    made, _ = step(
        CHAT, seen(25), flat_forecast(50), policy().obeying(REACTIVE), StepMemory(), unit="requests/s"
    )
    obeyed = (await asked(made, "/decision")).json()["policy"]
    assert (obeyed["margin"], obeyed["headroom"], obeyed["limit"]) == (0.0, 1.25, None)


def test_metrics_tell_the_budget_and_the_quantile_in_force() -> None:
    told = scraped(decision(TUNING))
    assert told["predictscale_slo_budget_spent_ratio"] == 0.2
    assert told["predictscale_slo_violation_ratio"] == 0.004
    assert told["predictscale_slo_max_violation_ratio"] == 0.005
    assert told["predictscale_tuned_quantile"] == 0.925
    assert told["predictscale_tuned_hold_seconds"] == 300.0
    assert told["predictscale_tuned_notches"] == 1.0
    assert {kind: told[f"predictscale_tuned_kind{kind.value}"] for kind in Kind} == {
        Kind.PREDICTIVE: 1.0,
        Kind.REACTIVE: 0.0,
        Kind.STATIC: 0.0,
    }


@pytest.mark.parametrize("absent", ["predictscale_tuned_quantile", "predictscale_slo_budget_spent_ratio"])
def test_what_is_not_known_is_no_series(absent: str) -> None:
    assert absent not in scraped(decision(replace(TUNING, knobs=REACTIVE, known_s=0.0, violation=0.0)))
    assert absent not in scraped(decision(None))
