"""The settings in force follow the past alone: the same on every replica and after every restart."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from inline_tuner import StubTuner
from predictscale.control.asks import RECORD_S, Goal, Subject
from predictscale.control.step import StepMemory, step
from predictscale.control.tuning import SelfTuning
from predictscale.control.tuningshelf import TuningShelf
from predictscale.core.demand import Observation
from predictscale.core.fleet import FleetState
from predictscale.core.forecast import Forecast
from predictscale.core.knobs import Bounds, Kind
from predictscale.core.plan import Decision, Mode, Policy
from predictscale.core.series import MetricWindow
from predictscale.core.slo import Slo
from predictscale.core.track import TRACKED_LEVELS
from predictscale.core.tuned import Tuning
from predictscale.forecasters.registry import Context
from predictscale.meters import Meters
from predictscale.sources.history import History
from predictscale.sources.synthetic import shop_requests
from worlds import CHAT, policy

NOW = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)
SHOP = shop_requests(seed=3).values(NOW - timedelta(days=11), NOW + timedelta(days=2), 60.0)
OWNER = policy(per_replica=20, lead_time_s=240, level=0.95, min_replicas=1, max_replicas=300)
SLO = Slo(max_violation=0.01, wait_s=5.0)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


class World:
    """Ticks of a minute with a stated forecast and a stated fleet, and a cache that outlives restarts."""

    def __init__(self, *, owner: Policy = OWNER, goal: Goal = Goal(slo=SLO)) -> None:  # noqa: B008 - frozen
        self.owner, self.goal = owner, goal
        self.history = History(path=None, meters=Meters())
        self.tuner = StubTuner()
        self.memory = StepMemory()
        self.now = NOW
        self.ready: int | None = 60
        self.tuning = self.fresh()

    def fresh(self) -> SelfTuning:
        """As after a restart."""
        subject = Subject(
            workload=CHAT,
            policy=self.owner,
            key="chat",
            forecasters=("seasonal-naive-day", "last-value"),
            context=Context(),
            events=(),
            tick_s=60.0,
            step_s=60.0,
            history_s=6 * 86400.0,
        )
        return SelfTuning(subject, self.goal, tuner=self.tuner, shelf=TuningShelf(self.history))

    def bins(self) -> MetricWindow:
        return SHOP.between(SHOP.start, self.now)

    async def tick(self) -> Decision:
        """One minute."""
        demand = float(self.bins().values[-1])
        path = np.repeat(demand * (0.8 + np.array(TRACKED_LEVELS)[:, None] / 2), 20, axis=1)
        forecast = Forecast(self.now, 60.0, TRACKED_LEVELS, path, model="stated")
        fleet = FleetState(replicas=self.ready, ready=self.ready)
        highest = self.tuning.highest(self.bins(), self.now)
        seen = Observation(self.now, demand, self.now, fleet=fleet, highest=highest)
        obeyed = self.tuning.policy_at(self.now)
        decision, self.memory = step(CHAT, seen, forecast, obeyed, self.memory, unit="requests/s")
        decision = replace(decision, tuning=self.tuning.note(decision, self.bins()))
        self.tuning.start_due(self.now, self.bins())
        await self.tuning.settled()
        self.now += minutes(1)
        return decision

    async def run(self, count: int) -> list[Tuning]:
        decisions = [await self.tick() for _ in range(count)]
        return [decision.tuning for decision in decisions if decision.tuning is not None]


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
