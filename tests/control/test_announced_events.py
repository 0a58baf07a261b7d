"""Events that are announced to a running service: what decisions and models make of them, and when."""

import asyncio
from dataclasses import dataclass, field, replace

import numpy as np

from predictscale.config.planned import EventSettings
from predictscale.control.eventbook import EventBook
from predictscale.control.shelf import ModelShelf
from predictscale.control.tracker import Tracker
from predictscale.core.plan import Decision
from predictscale.core.series import MetricWindow
from predictscale.sources.cached import CachedSource
from scenes import GRID, SHOP, Scene, minutes_later, settings_of

SETTINGS = replace(settings_of(max_replicas=1000), capacity_per_replica=4)
DAY = 24 * 60


def campaign(start: float, end: float, *, multiplier: float = 5) -> EventSettings:
    """An event that begins and ends so many minutes after the scene's beginning."""
    begins, ends = minutes_later(start), minutes_later(end)
    return EventSettings(name="campaign", start=begins, end=ends, multiplier=multiplier)


@dataclass
class Announced:
    """A scene with a book of events."""

    scene: Scene = field(default_factory=Scene)
    book: EventBook = field(default_factory=EventBook)

    def tracker(self, *, forecasters: tuple[str, ...] = SETTINGS.forecasters) -> Tracker:
        scene = self.scene
        archive = CachedSource(scene.source, history=scene.history, workload=str(SHOP), clock=scene.clock)
        return Tracker(
            replace(SETTINGS, forecasters=forecasters),
            scene.signals,
            source=scene.source,
            archive=archive,
            fits=scene.fits,
            shelf=ModelShelf(scene.history, step_s=GRID.step_s),
            grid=GRID,
            turn=asyncio.Lock(),
            announced=lambda at: self.book.planned(SHOP, zone="UTC", at=at),
        )

    async def announce(self, event: EventSettings) -> str:
        kept, _ = await self.book.add(SHOP, event, at=self.scene.clock.now(), by="ann")
        return kept.id


def model(decision: Decision) -> str:
    assert decision.forecast is not None
    return decision.forecast.model


def told(decision: Decision) -> tuple[object, ...]:
    """What a person or KEDA could see of a decision."""
    return decision.answer, decision.plan, decision.reactive, decision.seen, decision.notes


async def test_an_announced_event_is_obeyed_by_the_next_tick_and_a_removed_one_no_more() -> None:
    announced = Announced()
    scene, tracker = announced.scene, announced.tracker()
    before = await scene.run(tracker, ticks=8)
    assert before.seen.now.second == 0  # the next tick shares this one's bin and forecast
    kept = await announced.announce(campaign(3, 60))
    during = await scene.run(tracker, ticks=1)
    assert model(during) == f"{model(before)} with planned event campaign"
    assert during.plan.target >= 4 * before.plan.target > 0
    await announced.book.remove(SHOP, kept)
    after = await scene.run(tracker, ticks=1)
    assert model(after) == model(before)


async def test_an_announced_event_counts_as_one_of_the_settings_does() -> None:
    announced, plain = Announced(), Scene()
    await announced.announce(campaign(5, 60))
    written = replace(SETTINGS, events=(campaign(5, 60).planned("UTC"),))
    first, second = announced.tracker(), plain.tracker(written)
    for _ in range(12):
        assert told(await announced.scene.run(first, ticks=1)) == told(await plain.run(second, ticks=1))


async def test_an_event_of_the_settings_that_is_announced_too_is_one_event() -> None:
    event, decisions = campaign(1, 60, multiplier=2), []
    for written in ((), (event.planned("UTC"),)):
        announced = Announced()
        await announced.announce(event)
        tracker = announced.tracker()
        tracker.settings = replace(SETTINGS, events=written)
        decisions.append(await tracker.tick(announced.scene.clock.now()))
    announced_only, both = (decision.forecast for decision in decisions)
    assert announced_only is not None
    assert both is not None
    assert both.model.count("campaign") == 1
    np.testing.assert_array_equal(both.values, announced_only.values)


async def test_an_event_that_lies_ahead_has_no_model_fitted_again_not_even_by_a_restart() -> None:
    announced = Announced()
    scene, tracker = announced.scene, announced.tracker()
    await scene.run(tracker, ticks=8)
    fits = len(scene.fits.windows)
    await announced.announce(campaign(30, 60))
    await scene.run(tracker, ticks=8)
    await scene.run(announced.tracker(), ticks=4)
    assert len(scene.fits.windows) == fits


def during(window: MetricWindow, event: EventSettings) -> MetricWindow:
    return window.between(event.start, event.end)


async def test_an_event_announced_after_it_was_is_taken_out_of_the_next_fit() -> None:
    announced, plain = Announced(), Announced()
    event = campaign(-DAY, 60 - DAY, multiplier=4)
    trackers = announced.tracker(), plain.tracker()
    for each, tracker in zip((announced, plain), trackers, strict=True):
        await each.scene.run(tracker, ticks=8)
    before = len(announced.scene.fits.windows)
    assert all(
        np.array_equal(during(w, event).values, during(v, event).values, equal_nan=True)
        for w, v in zip(announced.scene.fits.windows, plain.scene.fits.windows, strict=True)
    )
    await announced.announce(event)
    hour = round(GRID.refit_s / GRID.tick_s)
    for each, tracker in zip((announced, plain), trackers, strict=True):
        await each.scene.run(tracker, ticks=hour)
    learnt, seen = announced.scene.fits.windows[before], plain.scene.fits.windows[before]
    np.testing.assert_allclose(during(learnt, event).values, during(seen, event).values / 4)


async def test_a_forecast_starts_from_the_usual_as_soon_as_what_is_unusual_is_announced() -> None:
    announced = Announced()
    scene, tracker = announced.scene, announced.tracker(forecasters=("last-value",))
    before = await scene.run(tracker, ticks=8)
    await announced.announce(campaign(-60, 4, multiplier=2))
    after = await scene.run(tracker, ticks=1)
    assert before.forecast is not None
    assert after.forecast is not None
    assert after.forecast.origin == before.forecast.origin == minutes_later(2)
    shares = after.forecast.quantile(0.5) / before.forecast.quantile(0.5)
    np.testing.assert_allclose(shares[:2], 1, rtol=1e-3)
    np.testing.assert_allclose(shares[2:], 1 / 2, rtol=1e-3)


async def test_after_a_restart_the_past_is_relived_as_it_was_known_then() -> None:
    announced = Announced()
    scene, steady = announced.scene, announced.tracker()
    await scene.run(steady, ticks=90)
    scene.clock.advance(1)
    await announced.announce(campaign(90 / 4 + 1, 60, multiplier=0.01))
    scene.clock.advance(14)
    restarted = announced.tracker()
    first = await restarted.tick(scene.clock.now())
    await restarted.fitted()
    assert "campaign" in model(first)
    assert told(first) == told(await steady.tick(scene.clock.now()))
