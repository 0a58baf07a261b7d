"""A lead time is told alike by REST and by the metrics: measured, configured, in force, and from what."""

from datetime import timedelta

import httpx2
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from closed_desk import closed_desk
from predictscale.clock import ManualClock
from predictscale.control.leads import LeadBook, LeadState
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.leadtime import Delays, lead_time
from predictscale.core.podstarts import PodStart
from predictscale.serving.leads import LeadCollector
from predictscale.serving.rest import create_app
from worlds import CHAT, NOON, flat_forecast, policy, seen

DELAYS = Delays(scrape_s=90, sync_s=15)


def state(count: int, *, in_force_s: float | None, problem: str = "") -> LeadState:
    """Of `count` starts that took 100 s, of which every fifth had to wait 60 s for a node."""
    pods = [
        PodStart(
            uid=f"pod-{number}",
            created=NOON - timedelta(seconds=600 * (number + 1)),
            scheduled=NOON - timedelta(seconds=600 * (number + 1) - (60 if number % 5 == 0 else 1)),
            ready=NOON - timedelta(seconds=600 * (number + 1) - 100),
        )
        for number in range(count)
    ]
    lead = lead_time(pods, now=NOON, delays=DELAYS, configured_s=300)
    return LeadState(in_force_s=in_force_s, lead=lead, at=NOON, problem=problem)


def book(told: LeadState | None) -> LeadBook:
    leads = LeadBook()
    if told is not None:
        leads.put(CHAT, told)
    return leads


async def asked(told: LeadState | None, *, name: str = "chat") -> httpx2.Response:
    store, clock = DecisionStore(), ManualClock(NOON)
    made, _ = step(CHAT, seen(25), flat_forecast(50), policy(), StepMemory(), unit="requests/s")
    store.put(made)
    desk = closed_desk(store, clock)
    app = create_app(store=store, desk=desk, now=clock.now, ready=lambda: True, leads=book(told))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://scaler") as client:
        return await client.get(f"/api/v1/workloads/prod/{name}/lead-time")


def scraped(told: LeadState | None) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(LeadCollector(book(told)))
    return {
        ".".join(
            [sample.name, *(v for k, v in sample.labels.items() if k not in ("namespace", "workload"))]
        ): (sample.value)
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    }


async def test_rest_tells_what_was_measured_and_from_what() -> None:
    body = (await asked(state(20, in_force_s=210))).json()
    assert (body["in_force_s"], body["is_measured"], body["configured_s"]) == (210, True, 300)
    assert body["because"].startswith("measured, 205 s: 90% of 20 starts took up to 100 s")
    measurement = body["measurement"]
    assert measurement["measured_s"] == 205
    assert measurement["starts"] == {"start_s": 100, "bound": False, "ready": 20, "pending": 0}
    assert measurement["node_present"]["ready"] == 16
    assert measurement["node_bought"] == {"start_s": None, "bound": False, "ready": 4, "pending": 0}
    assert measurement["delays"] == {"scrape_s": 90, "poll_s": 0, "hpa_sync_s": 15, "rate_limit_s": 0}
    assert measurement["samples_s"] == [100] * 20


async def test_until_it_is_measured_the_owners_value_is_in_force_and_both_are_shown() -> None:
    body = (await asked(state(3, in_force_s=None, problem="no answer"))).json()
    assert (body["in_force_s"], body["is_measured"], body["configured_s"]) == (300, False, 300)
    assert body["because"] == "configured, 300 s: 3 of the 8 starts that a measurement needs were seen"
    assert (body["measurement"]["measured_s"], body["measurement"]["problem"]) == (None, "no answer")


async def test_a_workload_that_is_not_measured_says_so() -> None:
    body = (await asked(None)).json()
    assert (body["in_force_s"], body["is_measured"], body["measurement"]) == (240, False, None)
    assert "not measured" in body["because"]


async def test_a_workload_that_is_not_followed_is_unknown() -> None:
    assert (await asked(None, name="other")).status_code == 404


def test_metrics_tell_the_kinds_apart() -> None:
    told = scraped(state(20, in_force_s=210))
    assert told["predictscale_measured_lead_time_seconds"] == 205
    assert told["predictscale_start_seconds.any"] == 100
    assert told["predictscale_start_seconds.node_present"] == 100
    assert told["predictscale_starts.node_bought.ready"] == 4
    assert told["predictscale_starts.any.pending"] == 0
    assert told["predictscale_lead_time_delay_seconds.hpa_sync"] == 15
    assert told["predictscale_starts_failed"] == 0


@pytest.mark.parametrize(
    "absent", ["predictscale_measured_lead_time_seconds", "predictscale_start_seconds.any"]
)
def test_what_is_not_known_is_no_series(absent: str) -> None:
    told = scraped(state(3, in_force_s=None))
    assert absent not in told
    assert told["predictscale_starts.any.ready"] == 3
    assert scraped(None) == {}
