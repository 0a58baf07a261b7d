from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from predictscale.config.models import ProphetSettings
from predictscale.control.tracker import Tracker
from predictscale.core.calendar import Calendar
from predictscale.core.capacity import Load
from predictscale.core.demand import Signal, SignalName
from predictscale.core.events import PlannedEvent
from predictscale.core.plan import Decision, Health, OnStale
from predictscale.meters import Meters
from predictscale.sources.history import History
from predictscale.sources.replay import Recorded, ReplaySource
from scenes import MORNING, Scene, WatchedSource, minutes_later, settings_of


def told(decision: Decision) -> tuple[object, ...]:
    """What a person or KEDA could see of a decision."""
    return decision.answer, decision.plan, decision.reactive, decision.seen, decision.notes


def needed(decision: Decision) -> int:
    """The replicas that what is here takes."""
    here = Load(primary=decision.seen.demand or 0.0, unit=decision.unit)
    return decision.policy.capacity.sized(here).replicas


async def test_the_first_tick_already_decides_from_a_forecast() -> None:
    decision = await Scene().tracker().tick(MORNING)
    assert decision.plan.health is Health.OK
    assert decision.forecast is not None
    assert decision.forecast.origin == MORNING
    assert decision.plan.published > 0


async def test_after_the_backfill_only_new_bins_are_asked_for() -> None:
    scene = Scene()
    tracker = scene.tracker()
    await tracker.tick(MORNING)
    scene.source.asked.clear()
    await scene.run(tracker, ticks=40)
    ticks = [(start, end) for _, start, end, step_s in scene.source.asked if step_s == 15]
    assert all((end - start).total_seconds() == 15 for start, end in ticks)
    bins = [(start, end) for _, start, end, step_s in scene.source.asked if step_s == 60]
    assert all((end - start).total_seconds() <= 4 * 60 for start, end in bins)  # the last ones settle


async def test_a_restart_with_its_cache_pulls_no_history_twice() -> None:
    scene = Scene()
    await scene.run(scene.tracker(), ticks=20)
    scene.source.asked.clear()
    await scene.run(scene.tracker(), ticks=1)
    bins = [(start, end) for _, start, end, step_s in scene.source.asked if step_s == 60]
    assert all(start >= scene.clock.now() - timedelta(minutes=5) for start, _ in bins)


@pytest.mark.parametrize("keeps_its_cache", [True, False])
async def test_a_restarted_service_answers_as_if_it_had_never_stopped(*, keeps_its_cache: bool) -> None:
    scene = Scene()
    steady = scene.tracker()
    await scene.run(steady, ticks=90)
    cache = None if keeps_its_cache else History(path=None, meters=Meters())
    scene.clock.advance(15)
    restarted = scene.tracker(history=cache)
    first = await restarted.tick(scene.clock.now())
    await restarted.fitted()
    assert told(first) == told(await steady.tick(scene.clock.now()))
    again = await scene.run(restarted, ticks=1)
    assert told(again) == told(await steady.tick(scene.clock.now()))


async def test_a_source_that_goes_away_holds_then_falls_to_the_floor_then_recovers() -> None:
    scene = Scene()
    tracker = scene.tracker(settings_of(min_replicas=2, stale_after_s=300))
    await scene.run(tracker, ticks=8)
    scene.source.down = True
    before = await scene.run(tracker, ticks=4)
    assert before.plan.health is Health.OK
    held = await scene.run(tracker, ticks=14)
    assert held.plan.health is Health.HOLDING
    assert held.plan.target >= before.plan.target
    assert any("switched off" in note for note in held.notes)
    floor = await scene.run(tracker, ticks=4)
    assert (floor.plan.health, floor.plan.target) == (Health.STALE, 2)
    scene.source.down = False
    back = await scene.run(tracker, ticks=1)
    assert back.plan.health is Health.OK
    assert back.plan.target >= needed(back)


async def test_a_cold_start_without_any_data_says_that_it_does_not_know() -> None:
    scene = Scene()
    scene.source.down = True
    decision = await scene.tracker().tick(MORNING)
    assert decision.plan.health is Health.UNKNOWN
    assert not decision.plan.available


async def test_a_source_that_comes_late_is_learnt_from_when_it_comes() -> None:
    scene = Scene()
    scene.source.down = True
    tracker = scene.tracker()
    await scene.run(tracker, ticks=2)
    scene.source.down = False
    assert (await scene.run(tracker, ticks=1)).plan.health is Health.OK


async def test_too_little_history_decides_reactively_and_says_why() -> None:
    scene = Scene()
    young = Recorded()
    for second in range(0, 121, 15):
        young.record(MORNING + timedelta(seconds=second), 160.0)
    scene.source = WatchedSource(ReplaySource({"shop_demand": young}, clock=scene.clock))
    decision = await scene.run(scene.tracker(), ticks=8)
    assert decision.plan.health is Health.REACTIVE
    assert decision.plan.target == 2
    assert decision.notes


async def test_a_young_workload_gets_a_model_as_soon_as_its_history_allows() -> None:
    scene = Scene()
    young = Recorded()
    scene.source = WatchedSource(ReplaySource({"shop_demand": young}, clock=scene.clock))
    tracker = scene.tracker()
    models: list[str | None] = []
    for _ in range(20 * 4):
        young.record(scene.clock.now() + timedelta(seconds=15), 160.0)
        decision = await scene.run(tracker, ticks=1)
        models.append(decision.forecast.model if decision.forecast else None)
    assert models[0] is None
    assert models[-1] == "last-value"


async def test_models_are_fitted_on_the_shared_grid_not_at_each_tick() -> None:
    scene = Scene()
    tracker = scene.tracker()
    await scene.run(tracker, ticks=4 * 61)
    ends = {window.end for window in scene.fits.windows}
    assert len(ends) == 2
    first, second = sorted(ends)
    assert second - first == timedelta(hours=1)


async def test_queue_and_fleet_are_seen_when_there_are_signals_for_them() -> None:
    scene = Scene(
        signals={
            name: Signal(name, f"shop_{name}", "requests/s") for name in (SignalName.DEMAND, SignalName.QUEUE)
        }
    )
    queue = Recorded()
    queue.record(MORNING, 4800.0)
    source = ReplaySource({"shop_queue": queue}, clock=scene.clock)
    source.add("shop_demand", scene.source.inner._series["shop_demand"])  # type: ignore[attr-defined]
    scene.source = WatchedSource(source)
    decision = await scene.run(scene.tracker(), ticks=1)
    assert decision.seen.queue == 4800
    assert decision.plan.target >= 1  # 4800 / 60 s = one more replica's worth beside what is here
    assert decision.plan.target > needed(decision)


async def test_the_target_rises_before_the_morning_ramp_by_the_lead_time() -> None:
    scene = Scene()
    tracker: Tracker = scene.tracker(settings_of(lead_time_s=600))
    targets, needs = [], []
    for _ in range(4 * 180):
        decision = await scene.run(tracker, ticks=1)
        targets.append(decision.plan.target)
        needs.append(needed(decision))
    climb = needs[0] + (max(needs) - needs[0]) // 2
    due = next(i for i, need in enumerate(needs) if need >= climb)
    ready = next(i for i, target in enumerate(targets) if target >= climb)
    assert (due - ready) * 15 >= 0.8 * 600
    assert scene.clock.now() == minutes_later(180)


async def test_an_unavailable_answer_is_only_given_on_request() -> None:
    scene = Scene()
    tracker = scene.tracker(settings_of(on_stale=OnStale.UNAVAILABLE, stale_after_s=60))
    await scene.run(tracker, ticks=2)
    scene.source.down = True
    assert not (await scene.run(tracker, ticks=6)).answer.available


async def test_how_forecasts_came_out_is_part_of_every_later_decision() -> None:
    scene = Scene()
    tracker = scene.tracker(settings_of(lead_time_s=240))
    first = await scene.run(tracker, ticks=4 * 2)
    assert [outcome.lead_s for outcome in first.outcomes] == [60]
    later = await scene.run(tracker, ticks=4 * 60)
    short, lead, twice = later.outcomes
    assert (short.lead_s, lead.lead_s, twice.lead_s) == (60, 240, 480)
    assert 55 <= lead.scored <= 61
    assert lead.coverage == tuple(sorted(lead.coverage))
    assert lead.coverage[-1] >= 0.9
    assert all(cost > 0 for cost in lead.pinball)


def campaign(
    start_minutes: float, end_minutes: float, *, multiplier: float | None = None, demand: float | None = None
) -> PlannedEvent:
    """An event that begins and ends so many minutes after the scene's beginning."""
    start, end = minutes_later(start_minutes), minutes_later(end_minutes)
    return PlannedEvent(name="campaign", start=start, end=end, multiplier=multiplier, demand=demand)


async def test_a_coming_campaign_is_ready_for_a_lead_time_before_it_begins_and_said_so() -> None:
    settings = replace(
        settings_of(max_replicas=1000, lead_time_s=240),
        capacity_per_replica=4,
        events=(campaign(8, 60, multiplier=5),),
    )
    scene, usual_scene = Scene(), Scene()
    told, plain = scene.tracker(settings), usual_scene.tracker(replace(settings, events=()))
    before = await scene.run(told, ticks=4 * 2)
    assert before.plan.target == (await usual_scene.run(plain, ticks=4 * 2)).plan.target
    eve, usual_eve = await scene.run(told, ticks=4 * 3), await usual_scene.run(plain, ticks=4 * 3)
    assert eve.plan.target >= 4.5 * usual_eve.plan.target > 0
    assert "seasonal-naive-day with planned event campaign expects up to" in eve.plan.steps[0].because
    assert eve.forecast is not None
    assert eve.forecast.components is not None
    assert eve.forecast.components.events[0] == 0
    assert eve.forecast.components.events[-1] > 0
    np.testing.assert_allclose(eve.forecast.components.total, eve.forecast.quantile(0.5))


async def test_a_campaign_that_nobody_came_to_is_not_multiplied_once_it_is_under_way() -> None:
    settings = replace(settings_of(), events=(campaign(-60, 120, multiplier=5),))
    told, plain = Scene().tracker(settings), Scene().tracker()
    during, usual_ = (await told.tick(MORNING)).forecast, (await plain.tick(MORNING)).forecast
    assert during is not None
    assert usual_ is not None
    assert during.quantile(0.5)[0] == pytest.approx(usual_.quantile(0.5)[0], rel=0.1)


async def test_an_event_never_hides_what_is_here() -> None:
    small = replace(settings_of(), events=(campaign(-60, 60, multiplier=0.01), campaign(-60, 60, demand=0)))
    hidden, plain = Scene().tracker(small), Scene().tracker()
    decision, open_ = await hidden.tick(MORNING), await plain.tick(MORNING)
    assert decision.seen == open_.seen
    assert decision.reactive == open_.reactive
    assert decision.plan.target >= decision.reactive.target > 0


async def test_models_learn_from_the_usual_and_not_from_campaigns() -> None:
    scene, plain = Scene(), Scene()
    day = 24 * 60
    past = (campaign(-day, 60 - day, multiplier=4), campaign(-day / 2, 60 - day / 2, demand=9))
    await scene.tracker(replace(settings_of(), events=past)).tick(MORNING)
    await plain.tracker().tick(MORNING)
    learnt, seen = scene.fits.windows[0], plain.fits.windows[0]
    first, second = (
        learnt.between(at, at + timedelta(hours=1)) for at in (minutes_later(-day), minutes_later(-day / 2))
    )
    raw = seen.between(first.start, first.end)
    np.testing.assert_allclose(first.values, raw.values / 4)
    assert not second.known.any()
    assert learnt.known_s == seen.known_s - second.duration_s


async def test_forecasters_are_told_of_the_workloads_clock_and_holidays_and_of_the_fit_before() -> None:
    days = tuple(date(year, 12, 25) for year in (1999, 2025, 2026))
    scene = Scene()
    settings = replace(
        settings_of(), calendar=Calendar("Europe/Berlin", days), prophet=ProphetSettings(changepoints=3)
    )
    tracker = scene.tracker(settings)
    await scene.run(tracker, ticks=4 * 61)
    assert {context.calendar for context in scene.fits.contexts} == {Calendar("Europe/Berlin", days[1:])}
    assert {context.prophet.changepoints for context in scene.fits.contexts} == {3}
    first, second = scene.fits.previous
    assert first is None
    assert second is not None
    assert second.model == "seasonal-naive-day"


async def test_history_that_came_a_tick_late_is_forecast_from_within_its_own_bin() -> None:
    scene = Scene()
    steady, disturbed = scene.tracker(), scene.tracker()
    for tracker in (steady, disturbed):
        await tracker.tick(scene.clock.now())
        await tracker.fitted()
    scene.clock.advance(60)
    at = scene.clock.now()
    await steady.tick(at)
    scene.source.down = True
    late = await disturbed.tick(at)
    assert any("history could not be read" in note for note in late.notes)
    scene.source.down = False
    scene.clock.advance(15)
    one, other = [await tracker.tick(scene.clock.now()) for tracker in (steady, disturbed)]
    assert one.forecast is not None
    assert other.forecast is not None
    assert other.forecast.origin == one.forecast.origin
    assert one.forecast.values.tolist() == other.forecast.values.tolist()
