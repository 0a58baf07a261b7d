"""A fleet that boots slowly loses no work, and is the same for the same seed."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.fleet import FleetState
from predictscale.simulate.fleet import BootTime, FleetStats, SimulatedFleet

START = datetime(2026, 3, 1, tzinfo=UTC)
STEPS = st.lists(
    st.tuples(st.integers(0, 30), st.floats(0, 500), st.sampled_from([1.0, 15.0, 100.0])),
    min_size=1,
    max_size=30,
)


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def four_minutes(*, replicas: int = 0, seed: int = 0, spread: float = 0.0) -> SimulatedFleet:
    boot = BootTime(median_s=240.0, spread=spread)
    return SimulatedFleet(per_replica=10.0, boot=boot, replicas=replicas, seed=seed)


def replay(fleet: SimulatedFleet, steps: list[tuple[int, float, float]]) -> list[FleetStats]:
    now, stats = START, []
    for spec, demand, step_s in steps:
        fleet.scale(spec, now)
        stats.append(fleet.advance(now, demand, step_s))
        now += timedelta(seconds=step_s)
    return stats


def test_a_new_replica_is_pending_for_the_lead_time_and_then_ready() -> None:
    fleet = four_minutes(replicas=2)
    fleet.scale(5, START)
    assert fleet.state(after(239.9)) == FleetState(replicas=5, ready=2)
    assert fleet.state(after(240)) == FleetState(replicas=5, ready=5)


def test_removal_takes_the_pending_first_and_then_the_newest() -> None:
    fleet = four_minutes(replicas=2)
    fleet.scale(3, START)  # ready at 240
    fleet.scale(5, after(200))  # ready at 440
    fleet.scale(3, after(300))
    assert fleet.state(after(300)) == FleetState(replicas=3, ready=3)
    fleet.scale(2, after(300))
    # Had one of the first two gone, the third would not have been ready before 240.
    assert fleet.ready(START) == 2


def test_an_older_pending_replica_goes_before_a_newer_ready_one() -> None:
    fleets = (_two_booted(seed) for seed in range(50))
    fleet = next(f for f in fleets if f._ready_at[0] > after(240) >= f._ready_at[1])
    fleet.scale(1, after(240))
    assert fleet.state(after(240)) == FleetState(replicas=1, ready=1)


def _two_booted(seed: int) -> SimulatedFleet:
    fleet = four_minutes(seed=seed, spread=1.0)
    fleet.scale(2, START)
    return fleet


def test_replicas_that_become_ready_within_a_step_serve_the_rest_of_it() -> None:
    fleet = four_minutes(replicas=1)
    fleet.scale(2, START)
    stats = fleet.advance(START, 20.0, 300.0)
    # One replica for 240 s, two for 60 s, of 20 per second that came.
    assert stats.served == pytest.approx(240 * 10 + 60 * 20)
    assert stats.queued == pytest.approx(240 * 10)
    # Who comes at 240 s finds 2400 waiting and 20 per second served.
    assert stats.wait_s == pytest.approx(120.0)


def test_who_comes_while_all_replicas_boot_waits_for_them() -> None:
    fleet = four_minutes()
    fleet.scale(1, START)
    stats = fleet.advance(START, 1.0, 100.0)
    assert stats.served == 0
    assert stats.queued == pytest.approx(100.0)
    assert stats.wait_s == pytest.approx(140.0 + 10.0)


def test_without_replicas_the_wait_has_no_end() -> None:
    stats = four_minutes().advance(START, 1.0, 10.0)
    assert math.isinf(stats.wait_s)


def test_enough_replicas_leave_no_queue_and_no_wait() -> None:
    stats = four_minutes(replicas=3).advance(START, 30.0, 60.0)
    assert (stats.served, stats.queued, stats.wait_s) == (1800.0, 0.0, 0.0)


def test_a_step_without_demand_drains_the_queue() -> None:
    fleet = four_minutes(replicas=1)
    fleet.advance(START, 15.0, 60.0)
    stats = fleet.advance(after(60), 0.0, 60.0)
    assert stats.arrived == stats.queued == 0
    assert stats.served == pytest.approx(300.0)


@given(steps=STEPS, seed=st.integers(0, 5), spread=st.sampled_from([0.0, 0.5]))
def test_no_work_is_lost_and_none_is_served_twice(
    steps: list[tuple[int, float, float]], seed: int, spread: float
) -> None:
    stats = replay(four_minutes(replicas=3, seed=seed, spread=spread), steps)
    arrived = sum(step.arrived for step in stats)
    served = sum(step.served for step in stats)
    assert served + stats[-1].queued == pytest.approx(arrived, abs=1e-6)
    assert all(step.queued >= 0 and step.served >= 0 and step.wait_s >= 0 for step in stats)


@given(steps=STEPS)
def test_a_step_serves_no_more_than_its_replicas_can(steps: list[tuple[int, float, float]]) -> None:
    for (spec, _, step_s), step in zip(steps, replay(four_minutes(replicas=3), steps), strict=True):
        assert step.served <= spec * 10.0 * step_s * (1 + 1e-9)


@given(steps=STEPS, parts=st.integers(2, 5))
def test_how_time_is_cut_into_steps_does_not_matter(
    steps: list[tuple[int, float, float]], parts: int
) -> None:
    fine = [(spec, demand, step_s / parts) for spec, demand, step_s in steps for _ in range(parts)]
    whole = replay(four_minutes(replicas=3), steps)[-1]
    cut = replay(four_minutes(replicas=3), fine)[-1]
    assert cut.queued == pytest.approx(whole.queued, rel=1e-6, abs=0.1)


@given(steps=STEPS, seed=st.integers(0, 1000))
def test_equal_seeds_make_equal_fleets(steps: list[tuple[int, float, float]], seed: int) -> None:
    fleets = [four_minutes(seed=seed, spread=0.7) for _ in range(2)]
    assert replay(fleets[0], steps) == replay(fleets[1], steps)


def test_another_seed_makes_another_fleet() -> None:
    ready = []
    for seed in range(2):
        fleet = four_minutes(seed=seed, spread=0.7)
        fleet.scale(50, START)
        ready.append([fleet.ready(after(second)) for second in range(0, 600, 5)])
    assert ready[0] != ready[1]


def test_drawn_boot_times_scatter_around_their_median() -> None:
    fleet = four_minutes(spread=0.3)
    fleet.scale(1000, START)
    assert 450 < fleet.ready(after(240)) < 550
    assert fleet.ready(after(120)) > 0
    assert fleet.ready(after(480)) < 1000


@pytest.mark.parametrize("demand", [-1.0, float("nan"), float("inf")])
def test_missing_demand_is_not_zero_demand(demand: float) -> None:
    with pytest.raises(ValueError, match="demand"):
        four_minutes().advance(START, demand, 15.0)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="spec"):
        four_minutes().scale(-1, START)
    with pytest.raises(ValueError, match="step_s"):
        four_minutes().advance(START, 1.0, 0.0)
    with pytest.raises(ValueError, match="per_replica"):
        SimulatedFleet(per_replica=0.0, boot=BootTime(median_s=1.0))
    with pytest.raises(ValueError, match="boot"):
        BootTime(median_s=float("inf"))
