"""A replica of the service without a record counts lateness as its twin does that lived through it."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pytest

from predictscale.control.asks import Goal
from predictscale.control.recall import Recall
from predictscale.core.capacity import CapacityModel
from predictscale.core.law import LatencyTargets
from predictscale.core.lawcapacity import CapacityLaw
from predictscale.core.plan import Decision, Mode
from predictscale.core.series import MetricWindow
from predictscale.errors import SourceUnavailable
from tuned_world import NOW, OWNER, SLO, World, minutes

UNSIZED = CapacityLaw(slo=LatencyTargets(itl_s=0.05, ttft_p95_s=1.0))
RUSH = (100, 130)
"""Minutes in which far too few are ready."""


@dataclass
class Fleet:
    """Who was ready at each minute, and who tells it; of the time before `since` nobody knows."""

    since: datetime = NOW
    down: bool = False
    asked: list[tuple[datetime, datetime]] = field(default_factory=list)

    def ready(self, at: datetime) -> int:
        minute = round((at - NOW) / minutes(1))
        return 5 if RUSH[0] <= minute < RUSH[1] else 60 + minute % 7

    async def __call__(self, *, start: datetime, end: datetime) -> MetricWindow:
        """See `ReadyBefore`."""
        self.asked.append((start, end))
        await asyncio.sleep(0)
        if self.down:
            raise SourceUnavailable("switched off")
        ends = [start + minutes(place + 1) for place in range(round((end - start) / minutes(1)))]
        told = [float(self.ready(at)) if at > self.since else np.nan for at in ends]
        return MetricWindow(start, 60.0, np.array(told))


async def live(world: World, fleet: Fleet, count: int) -> list[Decision]:
    """Minutes in which the world sees the fleet."""
    decisions = []
    for _ in range(count):
        world.ready = fleet.ready(world.now)
        decisions.append(await world.tick())
    return decisions


def newcomer(fleet: Fleet, *, at: datetime, world: World | None = None) -> World:
    """A replica of the service that starts with nothing."""
    late = World(ready_before=fleet) if world is None else world
    late.now = at
    return late


def spent(decision: Decision) -> tuple[float, ...]:
    """What is known of lateness, in numbers."""
    tuning = decision.tuning
    assert tuning is not None
    return tuning.notches, tuning.violation, tuning.spent, tuning.known_s


async def test_one_that_starts_without_a_record_counts_lateness_as_its_twin_that_lived_through_it() -> None:
    fleet = Fleet()
    steady = World()
    await live(steady, fleet, 420)
    since = steady.now
    late = newcomer(fleet, at=since)
    await late.start()
    both = [(await live(steady, fleet, 1))[0] for _ in range(130)], await live(late, fleet, 130)
    assert spent(both[1][0])[3] == 0
    for one, other in list(zip(*both, strict=True))[4:]:
        assert spent(other) == pytest.approx(spent(one), rel=1e-9)
    # The rush of before is remembered, and forgotten, on both.
    assert {spent(one)[0] for one in both[0]} == {0, 4}
    asked = [[ask.asked for ask in world.tuner.asks if ask.demand.end > since] for world in (steady, late)]
    assert asked[0] == pytest.approx(asked[1], rel=1e-9)
    assert asked[0][0] < SLO.max_violation
    # Once, as far back as there is demand to count.
    assert fleet.asked == [(since - timedelta(days=6), since)]


async def test_nothing_is_asked_for_or_kept_until_what_was_before_is_counted() -> None:
    """A stop meanwhile leaves no record, or the next start would not ask who was ready."""
    fleet = Fleet(down=True)
    late = newcomer(fleet, at=NOW + minutes(420))
    await late.start()
    await live(late, fleet, 10)
    assert not late.tuner.asks
    assert not late.tuner.retellings
    await late.tuning.stop()
    fleet.down = False
    late.tuning = late.fresh()
    await late.start()
    newest = (await live(late, fleet, 10))[-1]
    assert spent(newest)[3] > 5 * 3600


async def test_a_source_that_fails_is_asked_ever_more_rarely_and_given_up_after_an_hour() -> None:
    fleet = Fleet(down=True)
    late = newcomer(fleet, at=NOW + minutes(420))
    await late.start()
    began = late.now
    asks = []
    for _ in range(70):
        before = len(fleet.asked)
        await live(late, fleet, 1)
        if len(fleet.asked) > before:
            asks.append(round((late.now - began) / minutes(1)) - 1)
    assert asks == [0, 1, 2, 4, 8, 16, 32]
    counted = (await live(late, fleet, 60))[-1]
    # What came since the start, and no more; and from then on settings are chosen.
    assert 0 < spent(counted)[3] <= 3 * 3600
    assert late.tuner.asks
    fleet.down = False
    await live(late, fleet, 5)
    assert len(fleet.asked) == 7


async def test_a_source_that_comes_back_within_the_hour_is_heard() -> None:
    fleet = Fleet(down=True)
    late = newcomer(fleet, at=NOW + minutes(420))
    await late.start()
    await live(late, fleet, 12)
    fleet.down = False
    assert spent((await live(late, fleet, 10))[-1])[3] > 5 * 3600


async def test_an_outage_at_the_start_is_waited_out_for_demand_cannot_be_read_either() -> None:
    fleet = Fleet(down=True)
    late = newcomer(fleet, at=NOW + minutes(420))
    late.blind = True
    await late.start()
    await live(late, fleet, 90)
    fleet.down = late.blind = False
    assert spent((await live(late, fleet, 10))[-1])[3] > 5 * 3600


async def test_what_was_told_waits_for_the_capacity_that_is_learned_later() -> None:
    unlearned = replace(OWNER, capacity=UNSIZED)
    fleet = Fleet()
    late = newcomer(fleet, at=NOW + minutes(420), world=World(ready_before=fleet, owner=unlearned))
    await late.start()
    early = (await live(late, fleet, 40))[-1]
    assert spent(early)[3] == 0
    late.learned = CapacityModel(20.0)
    newest = (await live(late, fleet, 10))[-1]
    assert spent(newest)[3] > 5 * 3600
    assert len(fleet.asked) == 1


@pytest.mark.parametrize("mode", [Mode.SHADOW, Mode.LIVE])
async def test_in_shadow_mode_nobody_is_asked_and_whose_mode_is_overridden_counts_no_other_s_fleet(
    mode: Mode,
) -> None:
    fleet = Fleet()
    late = newcomer(
        fleet, at=NOW + minutes(420), world=World(ready_before=fleet, owner=replace(OWNER, mode=mode))
    )
    late.mode = Mode.SHADOW
    await late.start()
    newest = (await live(late, fleet, 30))[-1]
    assert len(fleet.asked) == (mode is Mode.LIVE)
    assert spent(newest)[3] <= 3600


async def test_with_a_record_nobody_is_asked() -> None:
    fleet = Fleet()
    world = World(ready_before=fleet)
    await world.start()
    await live(world, fleet, 90)
    assert len(fleet.asked) == 1
    await world.tuning.stop()
    world.tuning = world.fresh()
    await world.start()
    await live(world, fleet, 5)
    assert len(fleet.asked) == 1


async def test_a_record_of_a_time_that_is_still_to_come_is_left_aside() -> None:
    """The clock was ahead: to wait until it is there again would be to count and choose nothing for long."""
    fleet = Fleet()
    world = World(ready_before=fleet)
    await live(world, fleet, 420)
    await world.tuning.stop()
    world.tuning, world.now = world.fresh(), NOW + minutes(300)
    asked = len(world.tuner.asks)
    await world.start()
    assert world.tuning.policy_at(world.now) == OWNER
    newest = (await live(world, fleet, 80))[-1]
    assert len(fleet.asked) == 1
    assert spent(newest)[3] > 5 * 3600
    assert len(world.tuner.asks) > asked


async def test_a_clock_that_was_a_little_ahead_costs_no_record() -> None:
    fleet = Fleet()
    world = World(ready_before=fleet)
    await live(world, fleet, 120)
    obeyed = world.tuning.policy_at(world.now - minutes(5))
    await world.tuning.stop()
    world.tuning, world.now = world.fresh(), world.now - minutes(5)
    await world.start()
    assert world.tuning.policy_at(world.now) == obeyed != OWNER
    assert fleet.asked == []


async def test_that_forecasts_were_told_again_is_said_while_a_choice_may_rest_on_them() -> None:
    goal = Goal(slo=SLO, record_s=4 * 3600.0)
    world = World(goal=goal)
    await live(world, Fleet(), 80)
    said = f"forecasts of before {NOW:%d %b %H:%M} UTC are told again"
    (note,) = world.tuning.notes_at(world.now)
    assert note.startswith(said)
    until = NOW + minutes(240)
    assert f"until {until:%d %b %H:%M}" in note
    # It outlives a restart, and ends when none of them is in the record any more.
    await world.tuning.stop()
    world.tuning = world.fresh()
    await world.start()
    await live(world, Fleet(), 5)
    assert world.tuning.notes_at(until - timedelta(seconds=1)) == (note,)
    assert world.tuning.notes_at(until) == ()


async def test_an_end_ends_the_reading() -> None:
    may_end = asyncio.Event()

    async def slowly(*, start: datetime, end: datetime) -> MetricWindow:
        await may_end.wait()
        raise AssertionError((start, end))

    recall = Recall(slowly, before=NOW, back_s=3600.0, step_s=60.0)
    assert not recall.over(NOW, usable=True)
    recall.start_due(NOW)
    await asyncio.sleep(0)
    # While somebody may still answer, it is waited for.
    assert not recall.over(NOW + timedelta(hours=2), usable=True)
    await recall.stop()
    await recall.settled()
    assert recall.over(NOW + timedelta(hours=2), usable=True)
