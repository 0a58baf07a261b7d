"""What REST tells of models, accuracy, data, demand and floors."""

import json
import math
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from closed_desk import closed_desk
from predictscale.control.fitting import Fitting
from predictscale.control.reading import Readable, Reading, SignalSeen
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.calibration import Judged, Verdict, judged
from predictscale.core.demand import SignalName, WorkloadId
from predictscale.core.floors import EVERY_DAY, CalendarFloor, Days
from predictscale.core.forecast import Forecast
from predictscale.core.outcome import SCORED_LEVELS, Outcome
from predictscale.core.plan import Decision
from predictscale.core.series import MetricWindow
from predictscale.core.warmth import Standby, Tier, Warmth
from predictscale.serving import accuracy
from predictscale.serving.accuracy import accuracy_view
from predictscale.serving.demand import DemandView, demand_json
from predictscale.serving.floors import days_text, floors_view
from predictscale.serving.models import models_view
from predictscale.serving.quality import MOST_GAPS, quality_view
from predictscale.serving.rest import create_app
from scenes import SHOP, Scene, settings_of
from small_tournament import SmallTournament
from worlds import CHAT, NOON, at, flat_forecast, policy, seen

GAP = float("nan")


def decided(**changes: Any) -> Decision:
    made, _ = step(CHAT, seen(50), flat_forecast(60), policy(), StepMemory(), unit="requests/s")
    return replace(made, **changes)


def reading(values: list[float], *, signals: tuple[SignalSeen, ...] = (), partial: bool = False) -> Reading:
    """Bins that end at noon."""
    bins = MetricWindow(at(-60 * len(values)), 60, np.array(values, dtype=float))
    return Reading(bins=bins, unit="requests/s", signals=signals, partial=partial)


@dataclass
class Front:
    """The REST application before a real tracker, and a workload whose backend nobody has found."""

    scene: Scene
    tracker: Readable
    newest: Decision
    client: httpx2.AsyncClient

    async def body(self, path: str) -> Any:
        answer = await self.client.get(f"/api/v1/workloads/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def problem(self, path: str, *, status: int = 404) -> str:
        answer = await self.client.get(f"/api/v1/workloads/{path}")
        assert answer.status_code == status, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        return str(answer.json()["detail"])


class Nobody:
    """Follows nothing, as long as no backend is found."""

    def fitting(self, at: datetime) -> Fitting | None:
        del at
        return None

    def reading(self) -> Reading | None:
        return None


@pytest.fixture
async def front() -> AsyncIterator[Front]:
    scene, store = Scene(fits=SmallTournament()), DecisionStore()
    tracker = scene.tracker(settings_of(forecasters=("auto", "last-value")))
    newest = await scene.run(tracker, ticks=10)
    store.put(newest)
    store.put(replace(newest, workload=CHAT, notes=("no backend is chosen: two fit",)))
    readers: dict[WorkloadId, Readable] = {SHOP: tracker, CHAT: Nobody()}
    app = create_app(
        store=store,
        desk=closed_desk(store, scene.clock),
        now=scene.clock.now,
        ready=lambda: True,
        readers=readers.get,
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://scaler") as client:
        yield Front(scene, tracker, newest, client)


async def test_models_tell_who_serves_with_a_reason_for_each_that_does_not(front: Front) -> None:
    told = await front.body("prod/shop/models")
    fitted = front.tracker.fitting(front.scene.clock.now())
    assert fitted is not None
    assert fitted.model is not None
    assert datetime.fromisoformat(told["fitted_until"]) == fitted.model.boundary
    assert datetime.fromisoformat(told["next_fit_at"]) > front.scene.clock.now()
    assert (told["quick"], told["skipped"]) == (False, [])
    assert told["because"] == list(fitted.because)
    candidates = {each["name"]: each for each in told["candidates"]}
    assert {name: each["loss"] for name, each in candidates.items()} == {
        standing.name: standing.loss for standing in fitted.standings
    }
    assert candidates["last-value"]["loss"] == 1.0
    assert [name for name, each in candidates.items() if each["serving"]] == [told["serving"]]
    assert all(each["because"] for each in candidates.values())
    broken = candidates["broken"]
    assert (broken["loss"], broken["lost"]) == (None, 1)
    assert broken["because"].startswith("it cannot answer: no convergence")
    assert datetime.fromisoformat(broken["asked_again_at"]) > front.scene.clock.now()


async def test_the_record_says_why_nobody_serves_where_nobody_does(front: Front) -> None:
    fitting = front.tracker.fitting(front.scene.clock.now())
    assert fitting is not None
    why = ("no forecaster can serve: all are absurd",)
    served = models_view(replace(front.newest, notes=why), fitting)
    assert served.because == list(fitting.because)
    alone = models_view(replace(front.newest, notes=why, forecast=None), fitting)
    assert (alone.serving, alone.because) == (None, [*fitting.because, *why])
    assert not any(candidate.serving for candidate in alone.candidates)


async def test_demand_is_the_history_bin_by_bin(front: Front) -> None:
    told = DemandView.model_validate(await front.body("prod/shop/demand?hours=3"))
    read = front.tracker.reading()
    assert read is not None
    assert read.bins is not None
    recent = read.bins.last(3 * 3600)
    assert (told.unit, told.step_s, len(told.values)) == ("requests/s", 60, 180)
    assert datetime.fromtimestamp(told.start, UTC) == recent.start
    assert told.values == recent.values.tolist()
    assert len((await front.body("prod/shop/demand"))["values"]) == 1440


async def test_quality_and_floors_and_accuracy_are_those_of_the_newest_decision(front: Front) -> None:
    quality = await front.body("prod/shop/quality")
    assert quality["known_share"] == {"1h": 1.0, "24h": 1.0, "7d": 1.0, "all": 1.0}
    assert quality["gaps"] == []
    assert quality["signals"][0]["query"] == "shop_demand"
    floors = await front.body("prod/shop/floors")
    assert (floors["floor"], floors["rules"]) == (1, [])
    outcomes = (await front.body("prod/shop/accuracy"))["horizons"]
    assert [each["lead_s"] for each in outcomes] == [outcome.lead_s for outcome in front.newest.outcomes]


async def test_what_nobody_follows_yet_is_not_found_for_the_reason_on_record(front: Front) -> None:
    for path in ("models", "quality", "demand"):
        assert (await front.problem(f"prod/chat/{path}")).endswith(" yet: no backend is chosen: two fit")


async def test_a_workload_that_nobody_knows_is_not_found(front: Front) -> None:
    for path in ("models", "accuracy", "quality", "floors", "demand"):
        assert "prod/nobody is not followed" in await front.problem(f"prod/nobody/{path}")


async def test_demand_of_no_or_too_many_hours_is_refused(front: Front) -> None:
    for hours in ("0", "673", "-1", "x"):
        assert "hours" in await front.problem(f"prod/shop/demand?hours={hours}", status=422)


@given(values=st.lists(st.one_of(st.floats(0, 1e12), st.just(GAP)), max_size=2500))
def test_demand_of_any_length_is_told_exactly_and_gaps_as_null(values: list[float]) -> None:
    bins = MetricWindow(NOON, 60, np.array(values, dtype=float))
    body = demand_json(bins, unit='"quoted"')
    told = DemandView.model_validate(json.loads(body, parse_constant=pytest.fail))
    assert told.unit == '"quoted"'
    assert told.values == [None if math.isnan(value) else value for value in values]


def test_gaps_are_told_newest_first_and_counted_beyond_those_told() -> None:
    told = quality_view(decided(), reading([1.0, GAP] * (MOST_GAPS + 9) + [1.0, 1.0]), now=NOON)
    assert len(told.gaps) == MOST_GAPS
    assert told.gaps_total == MOST_GAPS + 9
    assert told.gaps[0].start == at(-180)
    assert told.gaps[0].duration_s == 60
    assert told.known_share["1h"] == pytest.approx(31 / 60)


def test_signals_are_known_while_they_are_fresh() -> None:
    signals = tuple(
        SignalSeen(name=name, query=name, unit="1", newest_at=newest_at)
        for name, newest_at in (
            (SignalName.DEMAND, at(-60)),
            (SignalName.QUEUE, at(-61)),
            (SignalName.READY, None),
        )
    )
    told = quality_view(decided(), reading([1.0], signals=signals, partial=True), now=NOON)
    assert [(each.known, each.age_s) for each in told.signals] == [(True, 60), (False, 61), (False, None)]
    assert told.partial
    assert told.notes == [
        "the source warned that its last answers lack data",
        "never seen since the start or for long: ready",
    ]


def test_a_history_that_was_not_read_has_no_share_rather_than_none_of_it() -> None:
    unread = Reading(bins=None, unit="requests/s", signals=(), partial=False)
    for read, note in (
        (unread, "the history has not been read yet"),
        (reading([GAP]), "the history holds no value"),
    ):
        told = quality_view(decided(), read, now=NOON)
        assert set(told.known_share.values()) == {None}
        assert (told.history_s, told.oldest, told.newest, told.gaps_total) == (0, None, None, 0)
        assert told.notes == [note]


def test_each_horizon_has_its_verdict() -> None:
    def outcome(lead_s: float, *coverage: float) -> Outcome:
        return Outcome(lead_s, SCORED_LEVELS, coverage, (1.0,) * 4, scored=600)

    bad = (0.2, 0.5, 0.6, 0.7)
    outcomes = (outcome(60, 0.5, 0.9, 0.95, 0.99), outcome(240, *bad), outcome(7200, *bad))
    told = accuracy_view(decided(outcomes=outcomes))
    verdicts = [Verdict.HONEST, Verdict.TOO_NARROW, Verdict.TOO_FEW]
    assert [horizon.verdict for horizon in told.horizons] == verdicts
    assert "600 windows, worth 150 that do not overlap" in told.horizons[1].because
    # Without a forecast at present the step is that of the shortest horizon.
    assert accuracy_view(decided(outcomes=outcomes, forecast=None)) == told


async def test_verdicts_are_reached_beside_the_event_loop(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    where: list[int] = []

    def told(outcome: Outcome, *, step_s: float) -> Judged:
        where.append(threading.get_ident())
        return judged(outcome, step_s=step_s)

    monkeypatch.setattr(accuracy, "judged", told)
    assert (await front.body("prod/shop/accuracy"))["horizons"]
    assert where
    assert threading.get_ident() not in where


def test_before_any_window_has_closed_accuracy_says_so() -> None:
    told = accuracy_view(decided())
    assert told.horizons == []
    assert told.notes == ["no window has closed yet that a forecast was made for"]


OFFICE = CalendarFloor(
    name="office",
    days=Days(weekdays=frozenset(range(5))),
    opens_s=8 * 3600,
    closes_s=20 * 3600,
    replicas=7,
    zone="Europe/Berlin",
)


def floored(*rules: CalendarFloor, demand: float = 10.0) -> Decision:
    obeyed = replace(policy(warm_replicas=2), warmth=Warmth(floors=rules))
    made, _ = step(CHAT, seen(demand), None, obeyed, StepMemory(), unit="requests/s")
    return made


def test_the_floor_says_why_it_is_as_high_though_more_are_wanted() -> None:
    low, high = (floors_view(floored(OFFICE, demand=demand), now=NOON) for demand in (10.0, 500.0))
    assert low.floor == high.floor == 7
    assert (high.min_replicas, high.warm_replicas) == (0, 2)
    because = "the floor: 'office' holds 7 until Mon 20:00 Europe/Berlin"
    assert low.because == because
    assert high.because == f"not below the floor of 7; {because}"
    assert floors_view(floored(), now=NOON).because == "the floor: min 0, warm 2"


def test_what_is_kept_above_zero_is_a_floor_of_one_and_the_words_say_no_other_number() -> None:
    unseen, _ = step(CHAT, seen(50, age_s=700), None, policy(), StepMemory(), unit="requests/s")
    calm, _ = step(CHAT, seen(0), None, policy(), StepMemory(), unit="requests/s")
    for made in (unseen, calm):
        told = floors_view(made, now=NOON)
        assert (told.floor, told.min_replicas) == (1, 0) == (made.plan.target, 0)
        assert told.because.startswith("kept above zero")
        assert "min 0" not in told.because
    asleep, _ = step(CHAT, seen(0), flat_forecast(0), policy(), StepMemory(), unit="requests/s")
    assert floors_view(asleep, now=NOON).floor == asleep.plan.target == 0


SLEEPERS = (Tier(Standby.RUNNING, 0.0), Tier(Standby.ASLEEP, 60.0), Tier(Standby.EMPTY_NODE, 150.0))


def test_standby_is_told_by_kind_for_what_may_come_while_the_next_kind_starts() -> None:
    path = np.array([[50.0] * 9, [95, 195, 295, *[395] * 6]])
    rising = Forecast(NOON, 60.0, (0.5, 0.95), path, model="stated")
    obeyed = replace(policy(per_replica=10, lead_time_s=240, level=0.95), warmth=Warmth(tiers=SLEEPERS))
    made, _ = step(CHAT, seen(10.0), rising, obeyed, StepMemory(), unit="requests/s")
    told = floors_view(made, now=NOON).standby
    assert [(one.kind, one.wake_s, one.replicas) for one in told] == [
        ("running", 0.0, 10),
        ("asleep", 60.0, 20),
        ("empty-node", 150.0, 10),
    ]
    assert told[1].because == "30 serve what may come within 150 s at level 0.95, 10 are nearer"
    unforeseen, _ = step(CHAT, seen(10.0), None, obeyed, StepMemory(), unit="requests/s")
    assert floors_view(unforeseen, now=NOON).standby == []
    measured = replace(made, policy=obeyed.measured(capacity=None, lead_time_s=100.0))
    assert [one.kind for one in floors_view(measured, now=NOON).standby] == ["running", "asleep"]


def test_a_window_tells_when_it_closes_and_when_it_next_opens() -> None:
    (rule,) = floors_view(floored(OFFICE), now=NOON).rules
    assert (rule.name, rule.replicas, rule.days, rule.zone) == ("office", 7, "mon-fri", "Europe/Berlin")
    assert rule.active
    assert rule.next_end == datetime(2026, 3, 2, 19, tzinfo=UTC)
    assert rule.next_start == datetime(2026, 3, 3, 7, tzinfo=UTC)
    told = rule.model_dump()
    assert (told["from"], told["to"]) == ("08:00", "20:00")
    (closed,) = floors_view(floored(OFFICE), now=NOON + timedelta(days=5)).rules
    assert not closed.active
    assert closed.next_start == datetime(2026, 3, 9, 7, tzinfo=UTC)
    assert closed.next_end == datetime(2026, 3, 9, 19, tzinfo=UTC)


def test_a_window_that_opens_no_more_has_no_next() -> None:
    past = replace(OFFICE, days=Days(dates=frozenset({date(2025, 12, 24)})))
    (rule,) = floors_view(floored(past), now=NOON).rules
    assert (rule.active, rule.next_start, rule.next_end) == (False, None, None)


DAYS_AND_WORDS = [
    (EVERY_DAY, "every day"),
    (Days(weekdays=frozenset({0, 1, 2, 4, 6})), "mon-wed, fri, sun"),
    (
        Days(yearly=frozenset({(12, 24), (2, 29)}), dates=frozenset({date(2026, 7, 3)})),
        "02-29, 12-24, 2026-07-03",
    ),
]


@pytest.mark.parametrize(("days", "words"), DAYS_AND_WORDS)
def test_days_are_told_as_settings_write_them(days: Days, words: str) -> None:
    assert days_text(days) == words
