"""The settings in force follow the past alone: the same on every replica and after every restart."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest

from predictscale.control.asks import RECORD_S, Goal
from predictscale.control.tuningshelf import TuningShelf
from predictscale.core.knobs import Bounds, Kind
from predictscale.core.plan import Mode
from predictscale.core.track import TRACKED_LEVELS
from tuned_world import NOW, OWNER, SHOP, SLO, World, minutes


async def test_the_owners_settings_serve_until_the_first_choice_is_in_force() -> None:
    world = World()
    states = await world.run(80)
    assert states[0].choice is None
    assert states[0].knobs == OWNER.knobs
    assert "owner's settings" in states[0].because
    chosen = next(state for state in states if state.choice is not None)
    assert chosen.choice is not None
    assert chosen.knobs == chosen.choice.knobs
    assert chosen.because == chosen.choice.because


async def test_a_choice_is_in_force_ten_minutes_after_the_past_that_it_was_made_from() -> None:
    world = World()
    await world.run(90)
    first = world.tuner.asks[0].demand.end
    before = world.tuning.policy_at(first + minutes(10) - timedelta(seconds=1))
    assert before == OWNER
    assert world.tuning.policy_at(first + minutes(10)).knobs != OWNER.knobs


async def test_the_record_is_told_again_once_and_kept_live_after_that() -> None:
    world = World()
    await world.run(130)
    # A day at a time; and what had been said live before the first question is not told again.
    parts = world.tuner.retellings
    assert all(part.bins <= 1440 for part in parts)
    ends = [part.start + minutes(part.bins) for part in parts]
    assert ends[:-1] == [part.start for part in parts[1:]]
    assert ends[-1] == NOW
    last = world.tuner.asks[-1]
    assert last.peaks.shape[0] == RECORD_S / 60
    assert not np.isnan(last.peaks).any()
    demand = float(last.demand.values[-2])
    assert last.peaks[-1] == pytest.approx([demand * (0.8 + q / 2) for q in TRACKED_LEVELS], rel=1e-6)


async def test_questions_are_an_hour_apart_and_end_on_the_same_minute_on_every_replica() -> None:
    one, other = World(), World()
    await one.run(200)
    other.now += minutes(7)
    await other.run(193)
    ends = [ask.demand.end for ask in one.tuner.asks]
    assert {after - end for end, after in pairwise(ends)} == {timedelta(hours=1)}
    assert ends[1:] == [ask.demand.end for ask in other.tuner.asks][-len(ends) + 1 :]


async def test_a_restarted_replica_goes_on_as_if_it_had_never_stopped() -> None:
    whole, stopped = World(), World()
    states = await whole.run(240)
    await stopped.run(150)
    await stopped.tuning.stop()
    before = list(stopped.tuner.retellings)
    stopped.tuning = stopped.fresh()
    await stopped.tuning.wake(stopped.now)
    assert await stopped.run(90) == states[150:]
    assert stopped.tuner.retellings == before


async def test_a_replica_that_is_killed_keeps_its_last_choice() -> None:
    world = World()
    state = (await world.run(150))[-1]
    world.tuning = world.fresh()
    await world.tuning.wake(world.now)
    again = (await world.run(1))[-1]
    assert again.choice == state.choice
    assert again.choice is not None


async def test_a_burst_of_lateness_makes_the_settings_more_careful_at_once() -> None:
    world = World()
    calm = (await world.run(120))[-1]
    assert calm.notches == 0
    world.ready = 5
    states = await world.run(30)
    tense = states[-1]
    assert tense.notches > 0
    assert tense.choice is not None
    assert tense.knobs == tense.choice.knobs.careful(tense.notches)
    assert "more careful for now" in tense.because
    assert tense.spent > calm.spent


async def test_what_is_asked_for_falls_after_lateness() -> None:
    calm, tense = World(), World()
    tense.ready = 5
    await calm.run(700)
    await tense.run(700)
    assert tense.tuner.asks[-1].asked < SLO.max_violation <= calm.tuner.asks[-1].asked


async def test_in_shadow_mode_the_fleet_of_others_is_not_held_against_us() -> None:
    world = World(owner=replace(OWNER, mode=Mode.SHADOW))
    world.ready = 1
    state = (await world.run(120))[-1]
    assert state.violation < 0.05
    assert state.known_s > 0


async def test_without_a_worker_the_settings_stay_and_the_next_hour_asks_again() -> None:
    world = World()
    world.tuner.down = True
    states = await world.run(200)
    assert {state.knobs for state in states} == {OWNER.knobs}
    assert len(world.tuner.retellings) >= 3
    world.tuner.down = False
    assert (await world.run(90))[-1].choice is not None


async def test_the_owners_bounds_hold_also_when_the_budget_is_gone() -> None:
    world = World(goal=Goal(slo=SLO, bounds=Bounds(lowest_level=0.9, highest_level=0.95)))
    world.ready = 1
    states = await world.run(300)
    levels = {state.knobs.level for state in states if state.knobs.kind is Kind.PREDICTIVE}
    assert levels <= {0.9, 0.925, 0.95}


async def test_damage_on_the_shelf_is_a_record_that_is_told_again() -> None:
    world = World()
    await world.run(120)
    told_once = len(world.tuner.retellings)
    await world.history.blob_put("chat#anything#tuning", b"no archive")
    assert await TuningShelf(world.history).get("chat#anything") is None
    world.tuning = world.fresh()
    blobs: Sequence[str] = list(world.history._waiting_blobs)
    for name in blobs:
        await world.history.blob_put(name, b"no archive")
    await world.tuning.wake(world.now)
    await world.run(70)
    assert len(world.tuner.retellings) == 2 * told_once


def test_the_highest_is_of_five_days() -> None:
    world = World()
    values = SHOP.between(NOW - timedelta(days=5), NOW).values
    assert world.tuning.highest(world.bins(), NOW + timedelta(seconds=30)) == values.max()
    assert world.tuning.highest(None, NOW) is None


async def test_a_record_outlives_a_start_that_ends_before_it_was_looked_at() -> None:
    """A start in an outage: no decision is made on history, and the next start finds what it would have."""
    world = World()
    await world.run(120)
    await world.tuning.stop()
    before = world.tuning
    for ticks in (0, 3):
        world.tuning = world.fresh()
        world.tuner.down = True
        await world.run(ticks)
        await world.tuning.stop()
    world.tuning = world.fresh()
    await world.tuning.wake(world.now)
    assert world.tuning.policy_at(world.now).knobs == before.policy_at(world.now).knobs != OWNER.knobs
