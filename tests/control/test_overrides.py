"""What people override: kept, in force by instants, obeyed by ticks and by those that are relived."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.clock import ManualClock
from predictscale.config.orders import LONGEST_PAUSE_S, ModeOrder, PauseOrder, read_order
from predictscale.config.settings import WorkloadSettings
from predictscale.control import overrides
from predictscale.control.overrides import NOTHING, OverrideBook
from predictscale.control.shelf import ModelShelf
from predictscale.control.tracker import Tracker
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision, Mode, OnStale, Stage
from predictscale.core.series import MetricWindow
from predictscale.core.state import state_of
from predictscale.errors import FileUnusable, RefuseMore, SettingsError
from predictscale.meters import Meters
from predictscale.sources.cached import CachedSource
from predictscale.sources.history import History
from predictscale.sources.replay import ReplaySource
from scenes import GRID, MORNING, SHOP, Scene, WatchedSource, settings_of

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
CHAT = WorkloadId("prod", "chat")


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def a_pause(reason: str = "a launch", **fields: Any) -> PauseOrder:
    return read_order(PauseOrder, {"for": "30m", "reason": reason} | fields)


def a_mode(mode: str = "shadow") -> ModeOrder:
    return read_order(ModeOrder, {"mode": mode, "reason": "a trial"})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "overrides.json"


async def test_a_pause_is_in_force_from_its_stamp_until_its_end_and_no_tick_before_knows_of_it() -> None:
    book = OverrideBook()
    await book.pause(SHOP, a_pause(), at=NOW, by="ann")
    assert book.at(SHOP, NOW - timedelta(microseconds=1)) == NOTHING
    for at in (NOW, NOW + minutes(29.9)):
        now = book.at(SHOP, at)
        assert now.pause is not None
        assert (now.pause.by, now.pause.until, now.paused_since) == ("ann", NOW + minutes(30), NOW)
    assert book.at(SHOP, NOW + minutes(30)) == NOTHING
    assert book.at(CHAT, NOW) == NOTHING


async def test_what_was_ended_stays_known_to_the_ticks_it_was_in_force_at() -> None:
    book = OverrideBook()
    await book.pause(SHOP, a_pause(), at=NOW, by="ann")
    await book.set_mode(SHOP, a_mode(), at=NOW + minutes(1), by="ann")
    ended = await book.resume(SHOP, at=NOW + minutes(10), by="bob")
    assert ended is not None
    assert await book.resume(SHOP, at=NOW + minutes(11), by="bob") is None
    await book.clear_mode(SHOP, at=NOW + minutes(12), by="bob")
    then = book.at(SHOP, NOW + minutes(5))
    assert then.pause is not None
    assert then.mode is not None
    assert book.at(SHOP, NOW + minutes(10)).pause is None
    assert book.at(SHOP, NOW + minutes(10)).mode is not None
    assert book.at(SHOP, NOW + minutes(12)) == NOTHING


async def test_a_pause_that_is_renewed_began_when_the_first_did() -> None:
    book = OverrideBook()
    await book.pause(SHOP, a_pause(), at=NOW, by="ann")
    await book.pause(SHOP, a_pause("more"), at=NOW + minutes(20), by="bob")
    await book.pause(SHOP, a_pause("yet more"), at=NOW + minutes(50), by="bob")
    now = book.at(SHOP, NOW + minutes(60))
    assert now.paused_since == NOW
    assert now.paused_s(NOW + minutes(60)) == 3600
    assert now.pause is not None
    assert now.pause.reason == "yet more"
    await book.resume(SHOP, at=NOW + minutes(61), by="bob")
    await book.pause(SHOP, a_pause(), at=NOW + minutes(62), by="bob")
    assert book.at(SHOP, NOW + minutes(63)).paused_since == NOW + minutes(62)


async def test_renewals_included_a_pause_lasts_a_day_at_most() -> None:
    book = OverrideBook()
    await book.pause(SHOP, a_pause(**{"for": "23h"}), at=NOW, by="ann")
    with pytest.raises(SettingsError, match="within 1d of its beginning"):
        await book.pause(SHOP, a_pause(**{"for": "2h"}), at=NOW + timedelta(hours=22.5), by="ann")
    await book.pause(SHOP, a_pause(**{"for": "1h"}), at=NOW + timedelta(hours=22.5), by="ann")
    later = NOW + timedelta(hours=23.4)
    assert book.at(SHOP, later).paused_s(later) == pytest.approx(23.4 * 3600)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"for": "25h"}, "for: is 25h from now; must lie ahead, by at most 1d"),
        ({"for": 0}, "for: 0; must be above 0"),
        ({"for": None, "until": "2026-11-20T11:59:00Z"}, "until: lies 1m in the past"),
        ({"for": None, "until": "2026-11-20T12:00:00Z"}, "in the past"),
        ({"for": None, "until": "2026-11-22T12:00:00Z"}, "until: is 2d from now"),
        ({"for": None, "until": "2026-11-20T13:00:00"}, "has no offset"),
        ({"for": None, "until": 1764230400}, "until: 1764230400; must be a date and time"),
        ({"until": "2026-11-20T13:00:00Z"}, "for: is given with until"),
        ({"for": None}, "for: is missing"),
        ({"reason": ""}, "reason: ''; must be text"),
        ({"reason": "  "}, "reason: '  '; must be text"),
        ({"reason": None}, "reason: null"),
        ({"fr": "1h"}, "fr: is not a known setting; did you mean 'for'?"),
    ],
)
async def test_an_order_that_cannot_be_obeyed_says_why(fields: dict[str, Any], said: str) -> None:
    book = OverrideBook()
    order = {"for": "30m", "reason": "a launch"} | fields
    sent = {name: value for name, value in order.items() if value is not None or name == "reason"}
    with pytest.raises(SettingsError) as wrong:
        await book.pause(SHOP, read_order(PauseOrder, sent), at=NOW, by="ann")
    assert said in str(wrong.value)
    assert book.at(SHOP, NOW) == NOTHING


async def test_a_book_that_is_opened_again_holds_the_same_and_another_learns_of_changes(path: Path) -> None:
    book, other = OverrideBook(path), OverrideBook(path)
    await book.pause(SHOP, a_pause(), at=NOW, by="ann")
    await book.set_mode(SHOP, a_mode(), at=NOW, by="bob")
    await book.resume(SHOP, at=NOW + minutes(5), by="bob")
    assert other.at(SHOP, NOW) == NOTHING
    await other.refresh()
    for again in (other, OverrideBook(path)):
        assert again.persisted
        for minute in (0, 4, 5, 31):
            assert again.at(SHOP, NOW + minutes(minute)) == book.at(SHOP, NOW + minutes(minute))
    assert "set overrides.path" in OverrideBook().note


@pytest.mark.parametrize(
    "edit",
    [
        lambda row: row.update(until=None),
        lambda row: row.update(mode="dark", until=None),
        lambda row: row.update(since="2026-11-20T12:00"),
        lambda row: row.pop("by"),
    ],
)
def test_a_file_that_was_edited_wrongly_is_refused(path: Path, edit: Any) -> None:
    asyncio.run(OverrideBook(path).pause(SHOP, a_pause(), at=NOW, by="ann"))
    kept = json.loads(path.read_text())
    edit(kept["overrides"][0])
    path.write_text(json.dumps(kept))
    with pytest.raises(FileUnusable, match=r"overrides\.path: .* does not hold overrides"):
        OverrideBook(path)


async def test_what_ended_is_forgotten_when_no_start_reaches_back_to_it(path: Path) -> None:
    book = OverrideBook(path)
    await book.pause(SHOP, a_pause(), at=NOW, by="ann")
    await book.set_mode(SHOP, a_mode(), at=NOW, by="ann")
    await book.prune(NOW + minutes(30))
    assert book.at(SHOP, NOW).pause is not None
    await book.prune(NOW + minutes(31))
    assert book.at(SHOP, NOW).pause is None
    assert book.at(SHOP, NOW + timedelta(days=90)).mode is not None


async def test_there_is_a_limit_and_of_one_workload_the_oldest_that_ended_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overrides, "MOST_OF_ONE", 3)
    monkeypatch.setattr(overrides, "MOST", 4)
    book = OverrideBook()
    await book.set_mode(SHOP, a_mode(), at=NOW, by="ann")
    for minute in range(6):
        await book.pause(SHOP, a_pause(str(minute)), at=NOW + minutes(minute), by="ann")
    now = book.at(SHOP, NOW + minutes(6))
    assert now.pause is not None
    assert now.pause.reason == "5"
    assert now.mode is not None
    # Whose beginning is forgotten is one pause still, and a day is its most.
    assert now.paused_since == NOW
    with pytest.raises(SettingsError, match="within 1d of its beginning"):
        await book.pause(SHOP, a_pause(**{"for": "24h"}), at=NOW + minutes(7), by="ann")
    await book.pause(CHAT, a_pause(), at=NOW, by="ann")
    with pytest.raises(RefuseMore, match="4 overrides are on record"):
        await book.pause(WorkloadId("prod", "third"), a_pause(), at=NOW, by="ann")


async def test_what_has_ended_never_stands_in_the_way_of_a_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overrides, "MOST", 5)
    book = OverrideBook()
    many = [WorkloadId("prod", f"shop-{number}") for number in range(12)]
    for number, workload in enumerate(many):
        await book.pause(workload, a_pause(), at=NOW + minutes(10 * number), by="ann")
    assert [workload.name for workload in many if book.at(workload, NOW + minutes(111)).pause] == [
        "shop-9",
        "shop-10",
        "shop-11",
    ]


# What ticks make of it.


class Paused:
    """A scene with a book, and a demand of one's own, in replicas' worth."""

    def __init__(self, replicas: list[float], *, settings: WorkloadSettings | None = None) -> None:
        self.book = OverrideBook()
        self.scene = Scene(clock=ManualClock(MORNING))
        past = [replicas[0] * 79.0] * 1440
        values = np.array(past + [each * 79.0 for each in replicas for _ in range(1)])
        window = MetricWindow(MORNING - timedelta(days=1), 60.0, values)
        replay = ReplaySource({"shop_demand": window}, clock=self.scene.clock)
        self.scene.source = WatchedSource(replay)
        self.settings = settings or replace(
            settings_of(forecasters=("last-value",), stale_after_s=300), hold_s=120.0
        )

    def tracker(self, history: History | None = None) -> Tracker:
        cache = history or History(path=None, meters=Meters())
        workload = str(self.settings.workload)
        return Tracker(
            self.settings,
            self.scene.signals,
            source=self.scene.source,
            archive=CachedSource(self.scene.source, history=cache, workload=workload, clock=self.scene.clock),
            fits=self.scene.fits,
            shelf=ModelShelf(cache, step_s=GRID.step_s),
            grid=GRID,
            turn=asyncio.Lock(),
            overrides=lambda at: self.book.at(self.settings.workload, at),
        )

    @property
    def now(self) -> datetime:
        return self.scene.clock.now()

    async def run(self, tracker: Tracker, *, ticks: int) -> list[Decision]:
        decisions = []
        for _ in range(ticks):
            self.scene.clock.advance(15)
            decisions.append(await tracker.tick(self.now))
            await tracker.fitted()
        return decisions


def targets(decisions: list[Decision]) -> list[int]:
    return [decision.plan.published for decision in decisions]


def stepwise(*parts: tuple[int, float]) -> list[float]:
    return [level for length, level in parts for _ in range(length)]


async def test_a_paused_fleet_does_not_shrink_may_grow_and_shrinks_when_the_pause_ends() -> None:
    scene = Paused(stepwise((3, 20), (8, 5), (3, 30), (16, 5)))
    tracker = scene.tracker()
    await scene.run(tracker, ticks=3 * 4)
    await scene.book.pause(SHOP, a_pause(**{"for": "2h"}), at=scene.now, by="ann")
    paused = await scene.run(tracker, ticks=4 * 20)
    assert targets(paused) == sorted(targets(paused))
    assert min(targets(paused)) >= 20
    assert max(targets(paused)) >= 30
    stays = next(step.because for step in paused[-1].plan.steps if step.stage is Stage.STABILIZE)
    assert stays.endswith("; no fewer while the fleet is paused")
    note = paused[-1].notes[0]
    assert note.startswith(
        "paused by ann: a launch (the fleet does not shrink until 2026-03-02 08:33:00 UTC)"
    )
    await scene.book.resume(SHOP, at=scene.now, by="ann")
    after = await scene.run(tracker, ticks=4)
    assert max(targets(after)) < 10
    assert "paused" not in " ".join(after[-1].notes)


async def test_without_an_override_nothing_changes() -> None:
    one, other = (Paused(stepwise((4, 20), (20, 5))) for _ in range(2))
    await other.book.pause(CHAT, a_pause(), at=NOW, by="ann")
    plain = await one.run(one.tracker(), ticks=4 * 18)
    beside = await other.run(other.tracker(), ticks=4 * 18)
    assert targets(plain) == targets(beside)
    assert [each.policy for each in plain] == [each.policy for each in beside]
    assert [each.notes for each in plain] == [each.notes for each in beside]


@settings(max_examples=40, deadline=None)
@given(
    levels=st.lists(st.integers(1, 60), min_size=4, max_size=7),
    pause_at=st.integers(4, 20),
    late_s=st.integers(0, 15),
)
async def test_whatever_comes_no_tick_of_a_pause_is_told_less_than_the_one_before(
    levels: list[int], pause_at: int, late_s: int
) -> None:
    scene = Paused(stepwise(*((2, float(level)) for level in levels)))
    tracker = scene.tracker()
    before = await scene.run(tracker, ticks=pause_at)
    # Between two ticks, as people do.
    await scene.book.pause(SHOP, a_pause(), at=scene.now + timedelta(seconds=late_s), by="ann")
    paused = await scene.run(tracker, ticks=len(levels) * 8 - pause_at)
    told = targets([before[-1], *paused])
    assert told == sorted(told)


async def test_data_that_goes_away_does_not_shrink_a_paused_fleet() -> None:
    scene = Paused(stepwise((60, 20)))
    tracker = scene.tracker()
    await scene.run(tracker, ticks=12)
    await scene.book.pause(SHOP, a_pause(**{"for": "2h"}), at=scene.now, by="ann")
    scene.scene.source.down = True
    paused = await scene.run(tracker, ticks=4 * 8)
    assert set(targets(paused)) == {targets(paused)[0]}
    assert paused[-1].policy.on_stale is OnStale.HOLD
    stays = next(step.because for step in paused[-1].plan.steps if step.stage is Stage.STABILIZE)
    assert stays.endswith("stays while the fleet is paused")
    # Not by its owner's wish.
    told = state_of(paused[-1], told=True).because
    assert told.endswith("the fleet is paused, so the last good target stays")
    await scene.book.resume(SHOP, at=scene.now, by="ann")
    assert targets(await scene.run(tracker, ticks=2))[-1] == 1


@pytest.mark.parametrize("halt_s", [60, 600, 3600])
async def test_a_service_that_stood_still_for_a_while_does_not_shrink_a_paused_fleet(halt_s: float) -> None:
    scene = Paused(stepwise((3, 20), (90, 5)))
    tracker = scene.tracker()
    await scene.run(tracker, ticks=3 * 4)
    await scene.book.pause(SHOP, a_pause(**{"for": "6h"}), at=scene.now, by="ann")
    await scene.run(tracker, ticks=4 * 5)
    scene.scene.clock.advance(halt_s)
    assert min(targets(await scene.run(tracker, ticks=4))) >= 20
    await scene.book.resume(SHOP, at=scene.now, by="ann")
    assert max(targets(await scene.run(tracker, ticks=4))) < 10


async def test_a_start_in_the_middle_of_a_pause_decides_as_if_it_had_never_stopped() -> None:
    scene = Paused(stepwise((3, 20), (40, 5)))
    steady = scene.tracker()
    await scene.run(steady, ticks=3 * 4)
    await scene.book.pause(SHOP, a_pause(**{"for": "6h"}), at=scene.now, by="ann")
    await scene.run(steady, ticks=4 * 25)
    restarted = scene.tracker()
    scene.scene.clock.advance(15)
    now = scene.now
    fresh = await restarted.tick(now)
    await restarted.fitted()
    kept = await steady.tick(now)
    assert fresh.plan.published == kept.plan.published >= 20
    assert [step.because for step in fresh.plan.steps] == [step.because for step in kept.plan.steps]


async def test_a_mode_that_is_ordered_decides_what_is_published_and_the_settings_come_back() -> None:
    scene = Paused(stepwise((60, 20)))
    tracker = scene.tracker()
    assert (await scene.run(tracker, ticks=4))[-1].policy.mode is Mode.LIVE
    await scene.book.set_mode(SHOP, a_mode(), at=scene.now, by="ann")
    decision = (await scene.run(tracker, ticks=1))[-1]
    assert decision.policy.mode is Mode.SHADOW
    assert decision.answer is decision.reactive
    assert decision.notes[0] == "mode shadow by ann: a trial"
    await scene.book.clear_mode(SHOP, at=scene.now, by="ann")
    assert (await scene.run(tracker, ticks=1))[-1].policy.mode is Mode.LIVE


async def test_a_fit_now_uses_all_bins_and_the_next_one_of_the_grid_is_not_put_off() -> None:
    scene = Paused(stepwise((200, 20)))
    tracker = scene.tracker()
    assert tracker.refit_now() == "its history is being read; there is nothing to fit on yet"
    await scene.run(tracker, ticks=4 * 3)
    ends = [window.end for window in scene.scene.fits.windows]
    assert tracker.refit_now() is None
    assert tracker.refit_now() == "a fit is under way already; its model serves as soon as it is done"
    await tracker.fitted()
    assert scene.scene.fits.windows[-1].end == scene.now > max(ends)
    count = len(scene.scene.fits.windows)
    await scene.run(tracker, ticks=1)
    assert len(scene.scene.fits.windows) == count
    await scene.run(tracker, ticks=4 * 61)
    grid = [window.end for window in scene.scene.fits.windows[count:]]
    assert len(grid) >= 1
    assert (grid[0] - ends[-1]).total_seconds() % GRID.refit_s == 0


def test_a_pause_is_at_most_a_day_long() -> None:
    assert LONGEST_PAUSE_S == 86400


async def test_a_pause_from_the_very_tick_at_which_the_fleet_would_shrink_keeps_it() -> None:
    demand = stepwise((3, 20), (8, 5))
    twin = Paused(demand)
    told = targets(await twin.run(twin.tracker(), ticks=40))
    falls = next(place for place in range(1, 40) if told[place] < told[place - 1])
    scene = Paused(demand)
    tracker = scene.tracker()
    (*_, last) = targets(await scene.run(tracker, ticks=falls))
    await scene.book.pause(SHOP, a_pause(), at=scene.now + timedelta(seconds=15), by="ann")
    assert targets(await scene.run(tracker, ticks=1)) == [last]


async def test_a_fleet_that_an_hpa_is_about_to_shrink_stays_when_it_is_paused_and_goes_after() -> None:
    scene = Paused(stepwise((3, 20), (20, 5)))
    tracker = scene.tracker()
    (*_, last) = targets(await scene.run(tracker, ticks=4 * 7))
    assert last < 10
    await scene.book.pause(SHOP, a_pause(), at=scene.now, by="ann", replicas=18)
    await scene.run(tracker, ticks=2)
    await scene.book.pause(SHOP, a_pause("more"), at=scene.now, by="ann", replicas=17)
    (*_, kept) = await scene.run(tracker, ticks=4)
    assert kept.plan.published == kept.reactive.published == 18
    assert "18 were there when the fleet was paused, and stay" in {s.because for s in kept.plan.steps}
    (restarted,) = await scene.run(scene.tracker(), ticks=1)
    assert restarted.plan.steps == kept.plan.steps
    await scene.book.resume(SHOP, at=scene.now, by="ann")
    assert max(targets(await scene.run(tracker, ticks=1))) <= last


async def test_what_was_there_is_kept_across_restarts(path: Path) -> None:
    await OverrideBook(path).pause(SHOP, a_pause(), at=NOW, by="ann", replicas=18)
    assert OverrideBook(path).at(SHOP, NOW).paused_with == 18
    await OverrideBook(path).pause(CHAT, a_pause(), at=NOW, by="ann")
    assert OverrideBook(path).at(CHAT, NOW).paused_with == 0


@pytest.mark.parametrize("pause", ["2h", None])
async def test_shadow_mode_takes_a_forecast_out_at_once_unless_its_fleet_is_paused(pause: str | None) -> None:
    scene, kept = Paused(stepwise((3, 20), (3, 40), (60, 20))), History(path=None, meters=Meters())
    tracker = scene.tracker(kept)
    (*_, live) = await scene.run(tracker, ticks=4)
    while live.answer.published <= live.reactive.published:
        (live,) = await scene.run(tracker, ticks=1)
    if pause is not None:
        # Between two ticks, as people do.
        since = scene.now + timedelta(seconds=1)
        await scene.book.pause(SHOP, a_pause(**{"for": pause}), at=since, by="ann")
        (live,) = await scene.run(tracker, ticks=1)
    await scene.book.set_mode(SHOP, a_mode(), at=scene.now, by="ann")
    shadowed = await scene.run(tracker, ticks=4 * 6)
    assert {each.policy.mode for each in shadowed} == {Mode.SHADOW}
    told = [each.answer.published for each in (live, *shadowed)]
    (restarted,) = await scene.run(scene.tracker(kept), ticks=1)
    assert restarted.answer.published == told[-1]
    if pause is not None:
        assert told == sorted(told)
    else:
        assert told[1] < told[0]
