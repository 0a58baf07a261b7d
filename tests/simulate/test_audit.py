import asyncio
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_series import MONDAY, office_hours, shop, window
from predictscale.control.tracker import Grid
from predictscale.core.capacity import CapacityModel
from predictscale.core.demand import SignalName, WorkloadId
from predictscale.core.plan import Policy
from predictscale.core.series import MetricWindow
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay
from predictscale.simulate.audit import (
    AS_IT_WAS,
    CLAIRVOYANT,
    KNOWN,
    LEAST_DAYS,
    OURS,
    SHARE,
    Outcome,
    Saving,
    Tell,
    _savings,
    at_equal_lateness,
    frontier,
    lived,
    outcome,
    violation_of,
)
from predictscale.simulate.backtest import STEP_S, Trial
from predictscale.simulate.forecastable import forecastable
from predictscale.simulate.plant import Counts
from predictscale.simulate.relive import Past
from predictscale.simulate.rivals import DAY_S
from predictscale.simulate.roster import RIVALS
from predictscale.simulate.world import Tally, demand_grid

STEPS_A_DAY = 5760


def trial(*, days: float, scored: float, per_replica: float = 10.0) -> Trial:
    demand = demand_grid(shop(days=days, step_s=300.0), STEP_S)
    return Trial(
        demand=demand,
        first=round((days - scored) * STEPS_A_DAY),
        per_replica=per_replica,
        lead_time_s=240.0,
        wait_s=5.0,
        min_replicas=1,
        max_replicas=100,
    )


def fixed(of: Trial, replicas: int) -> Counts:
    return np.full(of.steps, replicas, dtype=np.int32)


def versus(came: Outcome, name: str) -> Saving:
    (found,) = (each for each in came.savings if each.versus == name)
    return found


def test_a_saving_is_the_difference_of_what_the_backtest_bills() -> None:
    one = trial(days=3, scored=1)
    plans = {OURS: one.clairvoyant(), "static": fixed(one, 12), "stock-reactive": fixed(one, 9)}
    came = outcome(one, plans)
    billed = {score.policy: score.replica_hours for score in one.scores(plans)}
    assert {score.policy: score.replica_hours for score in came.scores} == billed
    assert versus(came, "static").replica_hours == pytest.approx(billed["static"] - billed[OURS], abs=1e-9)
    assert versus(came, "static").share == pytest.approx(1 - billed[OURS] / billed["static"])


def test_few_whole_days_have_no_interval_and_enough_have_one_around_the_saving() -> None:
    short = trial(days=7, scored=LEAST_DAYS - 0.01)
    assert (
        versus(outcome(short, {OURS: short.clairvoyant(), "static": fixed(short, 12)}), "static").low is None
    )
    enough = trial(days=8, scored=LEAST_DAYS)
    saving = versus(outcome(enough, {OURS: enough.clairvoyant(), "static": fixed(enough, 12)}), "static")
    assert saving.low is not None
    assert saving.high is not None
    assert saving.low < saving.replica_hours < saving.high
    assert saving.days == LEAST_DAYS


def test_a_part_of_a_day_at_the_end_leaves_the_saving_within_its_interval() -> None:
    one = trial(days=9, scored=6.5)
    plan = fixed(one, 12)
    # Ours costs more in the last half day alone.
    plan[-STEPS_A_DAY // 2 :] = 40
    saving = versus(outcome(one, {OURS: plan, "static": fixed(one, 13)}), "static")
    assert saving.low is not None
    assert saving.high is not None
    assert saving.low <= saving.replica_hours <= saving.high < 0


@pytest.mark.parametrize("days", [LEAST_DAYS, 7, 14])
def test_a_range_holds_what_other_days_save_as_often_as_it_says(days: int) -> None:
    rng, held = np.random.default_rng(days), 0
    for _ in range(400):
        saved = rng.normal(10, 3, size=days)
        whole = Tally(
            start=MONDAY,
            bin_s=DAY_S,
            arrived=np.ones(days),
            late=np.zeros((2, days)),
            billed=np.vstack((np.full(days, 50.0), 50 + saved)) * 3600,
        )
        (found,) = _savings((OURS, "static"), whole, span_days=days)
        assert found.low is not None
        assert found.high is not None
        held += found.low <= 10 * days <= found.high
    # Of 400 the standard deviation of this share is 2 %.
    assert held / 400 == pytest.approx(SHARE, abs=0.05)


def test_days_that_are_all_alike_leave_no_doubt() -> None:
    one = trial(days=8, scored=6)
    saving = versus(outcome(one, {OURS: fixed(one, 8), "static": fixed(one, 12)}), "static")
    # The first fleet is that of the first demand, and grows within minutes: a hair of the first day.
    assert saving.low == pytest.approx(saving.replica_hours, rel=0.01)
    assert saving.high == pytest.approx(saving.replica_hours, rel=0.01)


def test_who_knows_the_future_is_no_policy_to_save_against() -> None:
    one = trial(days=3, scored=1)
    came = outcome(one, {OURS: fixed(one, 8), CLAIRVOYANT: one.clairvoyant()})
    assert came.savings == ()


@given(st.integers(1, 40))
def test_a_recorded_fleet_costs_what_it_was(replicas: int) -> None:
    one = trial(days=2, scored=0.25)
    fleet = window(np.full(2 * 288, float(replicas)))
    came = outcome(one, {OURS: fixed(one, 8)}, replicas=fleet)
    assert came.recorded_hours == pytest.approx(replicas * 6.0)
    mine = came.scores[0].replica_hours
    assert versus(came, AS_IT_WAS).replica_hours == pytest.approx(replicas * 6.0 - mine)


def test_a_gap_in_the_recorded_fleet_is_what_was_known_last_and_not_zero() -> None:
    one = trial(days=2, scored=1)
    values = np.full(2 * 288, 5.0)
    values[400:430] = np.nan
    assert outcome(one, {OURS: fixed(one, 8)}, replicas=window(values)).recorded_hours == pytest.approx(120.0)


def test_a_fleet_that_was_hardly_recorded_is_not_known() -> None:
    one = trial(days=2, scored=1)
    values = np.full(2 * 288, 5.0)
    values[300:] = np.nan
    came = outcome(one, {OURS: fixed(one, 8)}, replicas=window(values))
    assert came.recorded_hours is None
    assert came.savings == ()
    elsewhere = MetricWindow(MONDAY - timedelta(days=9), 300.0, np.full(288, 5.0))
    assert outcome(one, {OURS: fixed(one, 8)}, replicas=elsewhere).recorded_hours is None


def test_a_frontier_falls_and_tells_what_equal_lateness_costs() -> None:
    one = trial(days=3, scored=1)
    late, hours = frontier(one, "stock-reactive")
    assert (np.diff(late) > 0).all()
    assert (np.diff(hours) < 0).all()
    assert at_equal_lateness((late, hours), violation=float(late[-1])) == pytest.approx(float(hours[-1]))
    assert at_equal_lateness((late + 0.1, hours), violation=0.05) is None


def past(of: Trial) -> Past:
    return Past(
        workload=WorkloadId("a", "b"),
        policy=Policy(
            capacity=CapacityModel(of.per_replica),
            lead_time_s=of.lead_time_s,
            level=0.95,
            min_replicas=1,
            max_replicas=100,
        ),
        live={SignalName.DEMAND: of.demand},
        bins=of.demand.resample(60.0),
        forecasters=("seasonal-naive-day", "last-value"),
        grid=Grid(tick_s=15.0, step_s=60.0, history_s=7 * 86_400.0, refit_s=3600.0),
    )


def test_each_chosen_policy_is_lived_through_as_the_trial_has_it() -> None:
    one = trial(days=2, scored=0.05)
    told: dict[str, int] = {}

    def track(name: str, total: int) -> Tell:
        told[name] = 0

        def tell(place: int) -> None:
            told[name] += 1
            assert place < total

        return tell

    done = asyncio.run(lived(one, past(one), [OURS, "static", CLAIRVOYANT], track=track))
    assert told == {OURS: one.steps, "static": 1, CLAIRVOYANT: 1}
    assert done.ours is not None
    assert [*done.plans] == [OURS, "static", CLAIRVOYANT]
    assert all(plan.shape == (one.steps,) for plan in done.plans.values())
    np.testing.assert_array_equal(done.plans[CLAIRVOYANT], one.clairvoyant())
    assert set(KNOWN) == {OURS, CLAIRVOYANT, *RIVALS}


def test_without_an_objective_rivals_choose_by_what_the_level_leaves() -> None:
    mine = past(trial(days=2, scored=0.05))
    assert violation_of(replace(mine, policy=replace(mine.policy, level=0.9))) == 0.1


def test_a_season_is_forecastable_and_an_answer_no_better_than_the_last_value_has_no_skill() -> None:
    season = office_hours(days=9)
    found = forecastable(season, [SeasonalNaiveDay()], lead_s=7200.0)
    assert found is not None
    assert found.skill is not None
    assert found.skill > 0.3
    assert found.skill == pytest.approx(1 - found.losses["seasonal-naive-day"] / found.losses["last-value"])
    same = forecastable(season, [LastValue()], lead_s=7200.0)
    assert same is not None
    assert same.skill == 0.0
    assert len(found.coverage) == len(found.levels)
    assert all(0 <= share <= 1 for share in found.coverage)


def test_what_never_moves_leaves_nothing_to_be_better_at() -> None:
    flat = forecastable(window(np.full(3000, 7.0)), [LastValue()], lead_s=600.0)
    assert flat is not None
    assert flat.skill is None
    assert forecastable(window(np.full(3, 7.0)), [LastValue()], lead_s=600.0) is None
