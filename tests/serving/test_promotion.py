"""The gate over REST: what it is made of, and what it refuses to take for a replay."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from closed_desk import closed_desk
from past_scenes import decided, rising
from predictscale.clock import ManualClock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.fitting import Fitting
from predictscale.control.reading import Reading
from predictscale.control.shadow import ShadowMeter
from predictscale.control.store import DecisionStore
from predictscale.control.whatif import Job, JobState, Replayed, Told
from predictscale.core.calendar import Calendar
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Mode
from predictscale.core.series import MetricWindow
from predictscale.core.slo import Slo
from predictscale.serving.promotion import PromotionDesk
from predictscale.serving.rest import create_app
from worlds import CHAT, NOON, policy

SHADOW = policy(mode=Mode.SHADOW, lead_time_s=60, max_replicas=100)
UTC_DAYS = Calendar()
SCORE = Told(
    policy="predictscale",
    violation=0.5,
    replica_hours=12.0,
    cost_to_clairvoyant=1.0,
    cost_to_static=1.0,
    scale_events=0,
)


async def nothing() -> Replayed:
    raise AssertionError("nobody runs it")


def job(*, workload: WorkloadId = CHAT, asked: Mapping[str, Any] | None = None, done: bool = True) -> Job:
    replayed = Replayed(
        start=NOON - timedelta(days=3),
        until=NOON,
        as_is=SCORE,
        changed=SCORE,
        rivals=(),
        forecasters=("native",),
        wait_s=5.0,
    )
    made = Job(
        id="a-replay",
        workload=workload,
        asked={"days": 3} if asked is None else asked,
        asked_at=NOON,
        work=nothing,
        told=lambda: 0.0,
    )
    if done:
        made.state, made.result = JobState.DONE, replayed
    return made


def noted(*, until_s: float = 3600, mode: Mode = Mode.SHADOW) -> tuple[ShadowMeter, DecisionStore]:
    meter, store = ShadowMeter(tick_s=15), DecisionStore()
    obeyed = replace(SHADOW, mode=mode)
    for second in range(0, round(until_s), 15):
        decision = decided(second, obeyed=obeyed, forecast=rising(second))
        meter.note(decision)
        store.put(decision)
    return meter, store


@dataclass
class Shown:
    """Whoever follows a workload of this demand, as far as the gate reads it."""

    bins: MetricWindow

    def fitting(self, at: datetime) -> Fitting | None:
        raise AssertionError(at)

    def reading(self) -> Reading | None:
        return Reading(bins=self.bins, unit="requests/s", signals=(), partial=False)


def app(
    meter: ShadowMeter | None,
    store: DecisionStore,
    *,
    known: Callable[[str], Job | None] = lambda _: None,
    slo: Slo | None = None,
    persisted: bool = True,
    bins: MetricWindow | None = None,
    calendar: Calendar = UTC_DAYS,
) -> FastAPI:
    clock = ManualClock(NOON)
    settings = WorkloadSettings(
        workload=CHAT, capacity_per_replica=10, query="x", max_replicas=100, slo=slo, calendar=calendar
    )
    return create_app(
        store=store,
        desk=closed_desk(store, clock),
        now=clock.now,
        ready=lambda: True,
        readers=lambda _: None if bins is None else Shown(bins),
        promotion=PromotionDesk(
            meter=lambda _: meter, settings_of=lambda _: settings, job=known, persisted=persisted
        ),
    )


def asked(made: FastAPI, query: str = "?days=3", *, wants: int = 200) -> Any:
    answer = TestClient(made).get(f"/api/v1/workloads/prod/chat/promotion{query}")
    assert answer.status_code == wants, answer.text
    return answer.json()


def standing(answer: Any, what: str) -> str | None:
    return next((each["standing"] for each in answer["reasons"] if each["what"] == what), None)


def test_an_hour_in_shadow_is_told_with_its_numbers_and_is_not_enough() -> None:
    answer = asked(app(*noted()))
    assert (answer["mode"], answer["promote"], answer["days"]) == ("shadow", False, 3)
    assert standing(answer, "days in shadow") == "fail"
    assert standing(answer, "known time") == standing(answer, "forecast") == "pass"
    # There is no history to tell weekends by, nobody measured the lead time, and nobody replayed.
    assert standing(answer, "whole week") == standing(answer, "lead time") == "unknown"
    assert standing(answer, "late in replay") is None
    # Four replicas were there; the work of 25/s at ten each takes two and a half.
    assert answer["now"]["replica_hours"] == pytest.approx(4 * 3585 / 3600)
    assert answer["work_replica_hours"] == pytest.approx(2.5 * 3585 / 3600)
    assert answer["ours"]["replica_hours"] > answer["now"]["replica_hours"]
    assert len(answer["notes"]) == 1


def test_a_live_workload_is_told_all_the_same() -> None:
    answer = asked(app(*noted(mode=Mode.LIVE)))
    assert (answer["mode"], standing(answer, "mode")) == ("live", "fail")


def test_the_pattern_of_the_week_is_that_of_the_workloads_clock() -> None:
    # Whole days in Auckland, thirteen hours ahead: five at 100, and a weekend at 30.
    start = datetime(2026, 2, 15, 11, tzinfo=UTC)
    values = np.repeat([100.0] * 5 + [30.0, 30.0], 24)
    bins = MetricWindow(start, 3600, values)

    def swing(zone: str) -> float:
        made = app(*noted(), bins=bins, calendar=Calendar(zone))
        (week,) = (each for each in asked(made)["reasons"] if each["what"] == "whole week")
        return float(week["number"])

    assert swing("Pacific/Auckland") == pytest.approx(70 / 80)
    assert swing("UTC") < 70 / 80


def test_records_that_a_restart_forgets_are_said_to_be() -> None:
    assert "cache.path" in asked(app(*noted(), persisted=False))["notes"][1]


def test_the_owners_objective_is_asked() -> None:
    slo = Slo(max_violation=0.2, wait_s=9)
    late = next(r for r in asked(app(*noted(), slo=slo))["reasons"] if r["what"] == "late")
    assert late["threshold"] == 0.2


def test_a_replay_that_is_done_is_one_more_reason() -> None:
    answer = asked(app(*noted(), known=lambda _: job()), "?days=3&replay=a-replay")
    told = next(each for each in answer["reasons"] if each["what"] == "late in replay")
    assert (told["number"], told["standing"]) == (0.5, "fail")
    assert "last 3 days" in told["because"]


@pytest.mark.parametrize(
    ("replay", "status", "said"),
    [
        (None, 404, "there is no replay"),
        (job(done=False), 409, "waiting"),
        (job(workload=WorkloadId("prod", "other")), 409, "prod/other"),
        (job(asked={"days": 3, "settings": {"quantile": 0.5}}), 409, "other settings"),
    ],
)
def test_what_is_no_replay_of_it_is_refused(replay: Job | None, status: int, said: str) -> None:
    answer = asked(app(*noted(), known=lambda _: replay), "?days=3&replay=a-replay", wants=status)
    assert said in answer["detail"]


@pytest.mark.parametrize("days", ["2.9", "28.5", "nan", "many"])
def test_days_that_nobody_may_ask_for_are_refused(days: str) -> None:
    asked(app(*noted()), f"?days={days}", wants=422)


def test_a_workload_without_a_record_says_when_it_begins() -> None:
    meter, store = noted(until_s=30)
    assert "begins with" in asked(app(None, store), wants=404)["detail"]
    assert asked(app(meter, DecisionStore()), wants=404)["detail"]
