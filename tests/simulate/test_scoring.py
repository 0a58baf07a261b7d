"""Costs at equal SLO are never promised where they were not had."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from made_series import MONDAY, shop
from predictscale.core.series import Floats, MetricWindow
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.clairvoyant import cheapest, need
from predictscale.simulate.plant import Boot
from predictscale.simulate.report import worst_stretch
from predictscale.simulate.rivals import Ints
from predictscale.simulate.scoring import (
    area,
    cost_at,
    days,
    hull,
    interval,
    resampled,
    scores,
    since,
    tail,
)
from predictscale.simulate.world import Tally, World, replay, tally

STEP_S = 300.0
POINTS = st.lists(st.tuples(st.floats(0.0, 0.5), st.floats(1.0, 5.0)), min_size=1, max_size=15)


def points(given: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    table = np.array(given)
    return table[:, 0], table[:, 1]


def test_between_two_settings_a_family_costs_what_they_cost_when_they_share_the_time() -> None:
    late, cost = np.array([0.02, 0.0]), np.array([1.0, 2.0])
    assert cost_at(late, cost, slo=0.005) == pytest.approx(1.75)


def test_a_family_that_is_always_later_has_no_cost() -> None:
    assert cost_at(np.array([0.011, 0.2]), np.array([1.5, 1.0]), slo=0.01) is None


def test_a_family_that_is_always_in_time_costs_its_cheapest_setting() -> None:
    assert cost_at(np.array([0.001, 0.0]), np.array([1.2, 3.0]), slo=0.01) == 1.2


def test_a_dearer_setting_that_is_later_changes_nothing() -> None:
    late, cost = np.array([0.0, 0.005, 0.02]), np.array([2.0, 2.5, 1.0])
    assert cost_at(late, cost, slo=0.01) == pytest.approx(1.5)


@given(POINTS)
def test_no_setting_lies_below_the_hull_and_its_corners_are_settings(
    given: list[tuple[float, float]],
) -> None:
    late, cost = points(given)
    at, price = hull(late, cost)
    inside = late >= at[0]
    assert (np.interp(late[inside], at, price) <= cost[inside] + 1e-9).all()
    assert {*zip(at.tolist(), price.tolist(), strict=True)} <= set(given)
    assert (np.diff(at) > 0).all()
    assert (np.diff(price) < 0).all()


@given(POINTS, st.floats(1e-4, 0.4), st.floats(1e-4, 0.4))
def test_more_lateness_is_never_dearer(given: list[tuple[float, float]], one: float, other: float) -> None:
    late, cost = points(given)
    strict, loose = (cost_at(late, cost, slo=slo) for slo in sorted((one, other)))
    assume(strict is not None)
    assert loose is not None
    assert strict is not None
    assert loose <= strict + 1e-9


def test_the_area_of_a_family_that_costs_the_same_throughout_is_what_it_costs_more() -> None:
    assert area(np.array([0.0]), np.array([1.3])) == pytest.approx(0.3)


def test_the_area_weighs_each_halving_alike() -> None:
    # One point at the geometric middle: dear on the strict half, cheap on the loose half.
    late, cost = np.array([0.001, 0.0031622, 0.0031623]), np.array([3.0, 3.0 - 1e-9, 1.0])
    found = area(late, cost)
    assert found is not None
    at = np.linspace(np.log(0.001), np.log(0.01), 2001)
    chord = np.interp(np.exp(at), [0.001, 0.0031623], [2.0, 0.0])
    assert found == pytest.approx(chord.mean(), abs=0.01)


def test_a_family_that_does_not_reach_the_stricter_slo_has_no_area() -> None:
    assert area(np.array([0.002]), np.array([1.3])) is None


def sums(late: Floats, arrived: Floats, billed: Floats) -> Tally:
    return Tally(start=MONDAY, bin_s=86_400.0, arrived=arrived, late=late, billed=billed)


def test_days_that_are_all_alike_leave_no_doubt() -> None:
    alike = sums(np.full((2, 5), 3.0), np.full(5, 100.0), np.full((2, 5), 7200.0))
    late, hours = resampled(alike, draws=20, seed=1)
    assert late.tolist() == [[0.03, 0.03]] * 20
    assert hours.tolist() == [[10.0, 10.0]] * 20


def test_one_bad_day_leaves_doubt_around_what_was_measured() -> None:
    late = np.zeros((1, 8))
    late[0, 3] = 8.0
    one = sums(late, np.full(8, 100.0), np.full((1, 8), 3600.0))
    shares, _ = resampled(one, draws=400, seed=1)
    low, high = interval(shares[:, 0].tolist())
    assert low == 0
    assert low < 0.01 < high


def test_one_seed_draws_the_same_days_for_whoever_asks() -> None:
    late = np.arange(6.0)[np.newaxis]
    one = sums(late, np.full(6, 10.0), late)
    np.testing.assert_array_equal(resampled(one, draws=9, seed=4)[0], resampled(one, draws=9, seed=4)[0])
    assert (resampled(one, draws=9, seed=4)[0] != resampled(one, draws=9, seed=5)[0]).any()


def test_where_no_demand_came_nothing_was_late() -> None:
    empty = sums(np.zeros((1, 3)), np.zeros(3), np.ones((1, 3)))
    assert resampled(empty, draws=2, seed=0)[0].tolist() == [[0.0], [0.0]]


DEMAND = shop(days=2, step_s=STEP_S)
LEAD_STEPS = 4


def world() -> World:
    return World(
        demand=DEMAND,
        per_replica=3.0,
        boot=Boot.fixed(LEAD_STEPS * STEP_S),
        actuation=Actuation.DIRECT,
        replicas=100,
    )


def plans() -> tuple[Ints, Ints]:
    needed = need(DEMAND.values, 3.0)
    perfect = cheapest(needed, LEAD_STEPS)
    return needed, np.stack([perfect, np.full_like(perfect, needed.max()), np.maximum(perfect - 2, 1)])


def test_the_clairvoyant_is_its_own_measure_and_a_fixed_fleet_for_the_peak_is_the_other() -> None:
    needed, wanted = plans()
    perfect, fixed, short = scores(
        ["perfect", "fixed", "short"], replay(world(), wanted), needed=needed, lead_steps=LEAD_STEPS
    )
    assert (perfect.violation, perfect.to_clairvoyant) == (0, 1)
    assert (fixed.violation, fixed.to_static, fixed.scale_events) == (0, 1, 0)
    assert perfect.to_static == pytest.approx(1 / fixed.to_clairvoyant)
    assert short.violation > 0
    assert short.to_clairvoyant < 1
    assert perfect.scale_events == (np.diff(wanted[0]) != 0).sum()


def test_money_is_hours_times_their_price() -> None:
    needed, wanted = plans()
    (score,) = scores(["fixed"], replay(world(), wanted[1:2]), needed=needed, lead_steps=LEAD_STEPS)
    assert score.replica_hours == pytest.approx(48.0 * needed.max())
    assert score.money(2.5) == pytest.approx(120.0 * needed.max())


def test_sums_by_days_and_since_some_hour_keep_what_they_cover() -> None:
    _, wanted = plans()
    hourly = tally(world(), wanted, bin_s=3600.0)
    daily = days(hourly)
    assert daily.arrived.size == 2
    np.testing.assert_allclose(daily.late.sum(axis=1), hourly.late.sum(axis=1))
    later = since(hourly, 24)
    assert later.start == MONDAY + timedelta(days=1)
    np.testing.assert_allclose(later.billed.sum(axis=1), daily.billed[:, 1])
    np.testing.assert_allclose(later.arrived.sum(), daily.arrived[1])


def test_a_tail_is_the_rest_of_a_run_with_what_was_queued_before() -> None:
    _, wanted = plans()
    run = replay(world(), wanted)
    rest = tail(run, 288)
    assert rest.start == MONDAY + timedelta(days=1)
    np.testing.assert_array_equal(rest.late, run.late[:, 288:])
    np.testing.assert_array_equal(rest.queue, run.queue[:, 288:])
    assert rest.replica_hours.tolist() == (wanted[:, 288:].sum(axis=1) * STEP_S / 3600).tolist()


def test_the_worst_stretch_holds_most_of_what_was_late() -> None:
    demand = np.full(100, 1.0)
    demand[60:63] = 9.0
    there = World(
        demand=MetricWindow(MONDAY, STEP_S, demand),
        per_replica=1.0,
        boot=Boot.fixed(0.0),
        actuation=Actuation.DIRECT,
    )
    run = replay(there, np.full((1, 100), 3))
    part = worst_stretch(run, duration_s=20 * STEP_S)
    assert part.stop - part.start == 20
    assert run.late[0, part].sum() == pytest.approx(run.late.sum())
    assert run.late.sum() > 0
