"""A tracker whose workload's capacity is learned: rates, their forecasts, and what was measured."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from chat_scene import CACHED, CHAT, INPUT, LEARNED, OUTPUT, SETTINGS, ChatScene
from inline_tuner import StubTuner
from predictscale.control.asks import Goal, Subject
from predictscale.control.context import context_of
from predictscale.control.shelf import ModelShelf
from predictscale.control.sizing import Sized
from predictscale.control.tracker import Tracker
from predictscale.control.tuning import SelfTuning
from predictscale.control.tuningshelf import TuningShelf
from predictscale.core.capacity import Capacity, CapacityModel, Origin
from predictscale.core.events import PlannedEvent
from predictscale.core.law import Mix
from predictscale.core.lawcapacity import CapacityLaw
from predictscale.core.offered import Rate
from predictscale.core.plan import Decision, Health
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.core.slo import Slo
from predictscale.meters import Meters
from predictscale.sources.cached import CachedSource
from predictscale.sources.history import History
from predictscale.sources.replay import ReplaySource
from scenes import GRID, MORNING, Scene, minutes_later, settings_of


@dataclass
class Told:
    """Both tellers, with numbers that are written down before."""

    capacity: Capacity | None = None
    leads: dict[datetime, float] = field(default_factory=dict)
    mixes: list[Mix | None] = field(default_factory=list)
    asked: list[datetime] = field(default_factory=list)
    life: list[str] = field(default_factory=list)

    def capacity_at(self, at: datetime, *, mix: Mix | None) -> Capacity | None:
        self.asked.append(at)
        self.mixes.append(mix)
        return self.capacity

    def lead_time_at(self, at: datetime) -> float | None:
        known = [since for since in self.leads if since <= at]
        return self.leads[max(known)] if known else None

    def notes_at(self, at: datetime) -> tuple[str, ...]:
        return (f"told at {at:%H:%M}",)

    def start_due(self, at: datetime) -> None:
        self.life.append(f"due {at:%H:%M:%S}")

    async def wake(self) -> None:
        self.life.append("wake")

    async def settled(self) -> None:
        self.life.append("settled")

    async def stop(self) -> None:
        self.life.append("stop")


def told(decision: Decision) -> tuple[object, ...]:
    """What a person or KEDA could see of a decision."""
    return decision.answer, decision.plan, decision.reactive, decision.seen, decision.notes, decision.policy


async def test_each_rate_is_seen_and_forecast_and_the_mean_request_is_followed() -> None:
    scene = ChatScene()
    decision = await scene.run(scene.chat(), ticks=2)
    seen = decision.seen
    assert seen.demand is not None
    assert seen.rates.requests_rps == seen.demand
    assert seen.rates.output_tokens_per_s == pytest.approx(seen.demand * OUTPUT, rel=1e-6)
    assert seen.rates.input_tokens_per_s == pytest.approx(seen.demand * INPUT * (1 - CACHED), rel=1e-6)
    assert seen.mix is not None
    assert seen.mix.output_tokens == pytest.approx(OUTPUT)
    assert seen.mix.cached_share == pytest.approx(CACHED)
    assert (seen.kv_usage, seen.waiting, seen.fleet.starting) == (0.5, 0.0, 2)
    assert set(decision.further) == set(Rate)
    assert decision.further[Rate.REQUESTS] is decision.forecast
    assert decision.plan.health is Health.OK
    assert len(scene.fits.windows) >= 3


async def test_models_learn_what_was_offered_and_not_what_was_served() -> None:
    scene = ChatScene(full_from=minutes_later(-30))
    decision = await scene.run(scene.chat(), ticks=4)
    seen = decision.seen
    assert seen.demand is not None
    assert seen.rates.output_tokens_per_s == pytest.approx(seen.demand * OUTPUT, rel=0.05)
    # Of the three series that are fitted, input tokens are the highest.
    highest = max(scene.fits.windows, key=lambda window: float(np.nanmax(window.values)))
    last = highest.last(20 * 60)
    came = scene.came.between(last.start, last.end).resample(60.0)
    np.testing.assert_allclose(last.values, came.values * INPUT * (1 - CACHED), rtol=0.1)
    assert "the KV cache is 99% full" in decision.plan.steps[2].because


@pytest.mark.parametrize("keeps_its_cache", [True, False])
async def test_a_restarted_service_answers_as_if_it_had_never_stopped(*, keeps_its_cache: bool) -> None:
    scene = ChatScene(full_from=minutes_later(10))
    leads = {MORNING: 300.0, minutes_later(20): 420.0}
    steady = scene.chat(sizing=Sized(lead=Told(leads=leads)))
    await scene.run(steady, ticks=100)
    cache = None if keeps_its_cache else History(path=None, meters=Meters())
    scene.clock.advance(15)
    restarted = scene.chat(sizing=Sized(lead=Told(leads=leads)), cache=cache)
    first = await restarted.tick(scene.clock.now())
    await restarted.fitted()
    assert told(first) == told(await steady.tick(scene.clock.now()))
    again = await scene.run(restarted, ticks=1)
    assert told(again) == told(await steady.tick(scene.clock.now()))


async def test_models_of_rates_lie_on_the_shelf_each_under_its_own_name() -> None:
    scene = ChatScene()
    first = scene.chat()
    await scene.run(first, ticks=2)
    await first.stop()
    fits = len(scene.fits.windows)
    again = await scene.chat().tick(scene.clock.now())
    assert set(again.further) == set(Rate)
    assert len(scene.fits.windows) == fits
    values = {rate: float(forecast.quantile(0.5)[0]) for rate, forecast in again.further.items()}
    assert values[Rate.OUTPUT] == pytest.approx(values[Rate.REQUESTS] * OUTPUT, rel=0.05)


async def test_without_anything_measured_the_owners_start_serves() -> None:
    decision = await ChatScene().chat().tick(MORNING)
    assert decision.policy.capacity.origin is Origin.START
    assert decision.policy.capacity.per_replica == pytest.approx(20.0, rel=1e-3)
    assert decision.policy.configured_lead_time_s is None


async def test_what_is_measured_is_obeyed_and_told_beside_what_was_configured() -> None:
    scene = ChatScene()
    capacity, lead = Told(capacity=CapacityModel(5.0)), Told(leads={MORNING: 600.0})
    decision = await scene.run(scene.chat(sizing=Sized(capacity, lead)), ticks=1)
    assert decision.policy.capacity == CapacityModel(5.0)
    assert (decision.policy.lead_time_s, decision.policy.configured_lead_time_s) == (600.0, 240)
    assert decision.forecast is not None
    assert decision.forecast.end >= decision.seen.now + timedelta(seconds=600 + 300)
    assert "within 600 s" in decision.plan.steps[0].because
    assert capacity.mixes[-1] == decision.seen.mix
    assert decision.notes.count("told at 06:30") == 2


async def test_a_capacity_that_the_owner_gives_is_never_replaced() -> None:
    scene = Scene()
    teller = Told(capacity=CapacityModel(1.0), leads={MORNING: 600.0})
    tracker = scene.tracker(settings_of())
    sized = Tracker(
        settings_of(),
        scene.signals,
        source=scene.source,
        archive=CachedSource(scene.source, history=scene.history, workload="x", clock=scene.clock),
        fits=scene.fits,
        shelf=ModelShelf(scene.history, step_s=GRID.step_s),
        grid=GRID,
        turn=asyncio.Lock(),
        sizing=Sized(teller, teller),
    )
    decision, plain = await sized.tick(MORNING), await tracker.tick(MORNING)
    assert decision.policy.capacity == plain.policy.capacity == CapacityModel(80)
    assert decision.policy.lead_time_s == 600
    assert not teller.asked


async def test_the_past_is_relived_with_the_lead_time_of_then() -> None:
    scene = ChatScene()
    teller = Told(capacity=CapacityModel(5.0), leads={minutes_later(-5): 600.0})
    await scene.chat(sizing=Sized(teller, teller)).tick(MORNING)
    assert min(teller.asked) == MORNING - timedelta(seconds=660)
    assert teller.life[0] == "wake"


async def test_measurements_live_and_end_with_their_tracker() -> None:
    scene, teller = ChatScene(), Told()
    tracker = scene.chat(sizing=Sized(teller))
    await tracker.tick(MORNING)
    await tracker.fitted()
    await tracker.stop()
    assert teller.life == ["wake", "due 06:30:00", "settled", "stop"]


async def test_a_source_that_stops_telling_tokens_holds_the_last_good_target() -> None:
    scene = ChatScene()
    tracker = scene.chat(replace(SETTINGS, min_replicas=3, learned=replace(LEARNED, primary=Rate.OUTPUT)))
    good = await scene.run(tracker, ticks=4)
    assert good.plan.health is Health.OK
    inner = scene.source.inner
    assert isinstance(inner, ReplaySource)
    silent = MetricWindow(MORNING, 15.0, np.full(1, np.nan))
    for name in ("chat_output", "chat_requests_"):
        inner.add(name, silent)
    # Demand is still told, and is not what the start is in.
    held = await scene.run(tracker, ticks=10)
    assert held.seen.rates.output_tokens_per_s is None
    assert held.plan.target >= min(good.plan.target, 3)
    assert held.seen.rates.requests_rps is not None


async def test_a_campaign_whose_demand_is_set_is_counted_in_tokens_too() -> None:
    event = PlannedEvent(name="launch", start=minutes_later(2), end=minutes_later(60), demand=5000.0)
    scene = ChatScene()
    decision = await scene.run(scene.chat(replace(SETTINGS, events=(event,))), ticks=2)
    peak = float(decision.further[Rate.OUTPUT].quantile(0.5).max())
    assert peak == pytest.approx(5000 * OUTPUT, rel=1e-6)
    assert float(decision.further[Rate.REQUESTS].quantile(0.5).max()) == 5000


async def test_a_law_gets_the_mean_request_of_the_hours_before() -> None:
    bare = replace(LEARNED, start_per_replica=None)
    scene = ChatScene()
    decision = await scene.run(scene.chat(replace(SETTINGS, learned=bare)), ticks=1)
    law = decision.policy.capacity
    assert isinstance(law, CapacityLaw)
    assert law.mix == decision.seen.mix
    # Nothing was learned and nothing given: nobody is told a number, and nothing breaks.
    assert decision.plan.health is Health.UNKNOWN
    assert not decision.plan.available


async def test_a_lead_time_that_grows_within_a_minute_has_a_forecast_that_reaches_it() -> None:
    scene = ChatScene()
    longer = MORNING + timedelta(seconds=30)
    tracker = scene.chat(sizing=Sized(lead=Told(leads={MORNING: 300.0, longer: 3000.0})))
    await scene.run(tracker, ticks=1)
    decision = await scene.run(tracker, ticks=1)
    assert decision.policy.lead_time_s == 3000
    assert "within 3000 s" in decision.plan.steps[0].because


def tuning_of(scene: ChatScene, tuner: StubTuner, *, start: float | None) -> tuple[SelfTuning, Tracker]:
    slo = Slo(max_violation=0.01, wait_s=5.0)
    settings = replace(SETTINGS, slo=slo, learned=replace(LEARNED, start_per_replica=start))
    subject = Subject(
        workload=CHAT,
        policy=settings.policy(),
        key=f"{CHAT}#{settings.fingerprint()}",
        forecasters=settings.forecasters,
        context=context_of(settings),
        events=(),
        tick_s=GRID.tick_s,
        step_s=GRID.step_s,
        history_s=GRID.history_s,
    )
    goal = Goal(slo=slo, record_s=86400.0)
    tuning = SelfTuning(subject, goal, tuner=tuner, shelf=TuningShelf(scene.history))
    return tuning, scene.chat(settings, tuning=tuning)


async def test_tuning_replays_the_linear_stand_in_of_a_learned_capacity() -> None:
    scene, tuner = ChatScene(), StubTuner()
    _, tracker = tuning_of(scene, tuner, start=20.0)
    await scene.run(tracker, ticks=4 * 70)
    assert tuner.asks
    asked = tuner.asks[-1].policy.capacity
    assert isinstance(asked, CapacityModel)
    assert asked.per_replica == pytest.approx(20.0, rel=1e-3)


async def test_tuning_does_not_ask_while_nobody_knows_what_a_replica_serves() -> None:
    scene, tuner = ChatScene(), StubTuner()
    _, tracker = tuning_of(scene, tuner, start=None)
    decision = await scene.run(tracker, ticks=4 * 70)
    assert not tuner.asks
    assert decision.tuning is not None
    assert decision.tuning.known_s == 0


async def test_rates_follow_a_demand_whose_history_came_later_than_theirs() -> None:
    scene = ChatScene()
    tracker = scene.chat()
    await scene.run(tracker, ticks=1)
    scene.clock.advance(60)
    at = scene.clock.now()
    read = tracker._past.extend  # one signal of many fails

    async def failed(at: datetime) -> tuple[str, ...]:
        return (f"history could not be read at {at:%H:%M}",)

    tracker._past.extend = failed  # type: ignore[method-assign]
    await tracker.tick(at)
    tracker._past.extend = read  # type: ignore[method-assign]
    scene.clock.advance(15)
    late = await tracker.tick(scene.clock.now())
    assert len(late.further) == len(Rate)
    assert {forecast.origin for forecast in late.further.values()} == {floor_to_grid(at, GRID.step_s)}
