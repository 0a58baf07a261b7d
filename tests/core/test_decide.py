from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.decide import decide
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Health, Memory, OnStale, ReplicaPlan, Stage
from predictscale.errors import ForecastTooShort
from worlds import NOON, at, flat_forecast, forecast_of, held, policy, seen

UNIT = "requests/s"


def plan_of(*args: object, memory: Memory | None = None) -> ReplicaPlan:
    observation, forecast, rules = args
    plan, _ = decide(observation, forecast, rules, memory or Memory(), unit=UNIT)  # type: ignore[arg-type]
    return plan


def reason(plan: ReplicaPlan, stage: Stage) -> str:
    return next(s.because for s in plan.steps if s.stage is stage)


def test_the_ramp_that_is_coming_is_served_before_it_is_here() -> None:
    ramp = forecast_of([20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 220, 240])
    plan = plan_of(seen(20), ramp, policy(lead_time_s=240))
    assert plan.target == 8
    assert "20 requests/s are here" in reason(plan, Stage.DEMAND)
    assert "expects up to 80 within 240 s" in reason(plan, Stage.DEMAND)


def test_a_peak_inside_the_lead_time_counts_although_it_is_over_by_then() -> None:
    spike = forecast_of([20, 90, 20, 20, 20, 20, 20, 20, 20, 20])
    assert plan_of(seen(20), spike, policy(lead_time_s=240)).target == 9


def test_headroom_counts_what_is_here_more_than_once_and_says_so() -> None:
    plan = plan_of(seen(50), None, policy(headroom=1.6))
    assert plan.target == 8
    assert "counted 1.6 times" in reason(plan, Stage.DEMAND)


def test_a_margin_counts_what_is_coming_more_than_once_and_none_leaves_it_aside() -> None:
    ramp = forecast_of([20, 40, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60])
    assert plan_of(seen(20), ramp, policy(margin=1.5)).target == 9
    aside = plan_of(seen(20), ramp, policy(margin=0))
    assert aside.target == 2
    assert "the forecast is left aside" in reason(aside, Stage.DEMAND)


def test_a_limit_cuts_the_forecast_to_what_was_seen_and_never_what_is_here() -> None:
    wild = flat_forecast(300)
    cut = plan_of(seen(20, highest=50), wild, policy(limit=1.1))
    assert cut.target == 6  # 1.1 x 50 = 55
    assert "cut to 1.1 times the highest of the last days" in reason(cut, Stage.DEMAND)
    assert plan_of(seen(90, highest=50), wild, policy(limit=1.1)).target == 9
    assert plan_of(seen(20), wild, policy(limit=1.1)).target == 30


@pytest.mark.parametrize("wrong", [{"margin": -1.0}, {"headroom": 0.9}, {"limit": float("nan")}])
def test_factors_that_would_undercut_what_is_here_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="what is here is always served"):
        policy(**wrong)  # type: ignore[arg-type]


def test_a_queue_is_served_in_time_beside_what_is_here() -> None:
    plan = plan_of(seen(20, queue=1200), flat_forecast(20), policy())
    assert plan.target == 4  # (20 + 1200 / 60) / 10
    assert "takes 4" in reason(plan, Stage.BACKLOG)


def test_the_queue_is_not_added_to_a_forecast_that_covers_it() -> None:
    assert plan_of(seen(20, queue=1200), flat_forecast(60), policy()).target == 6


def test_every_stage_leaves_a_step_in_order_with_a_reason() -> None:
    plan = plan_of(seen(20), flat_forecast(20), policy())
    assert [s.stage for s in plan.steps] == list(Stage)
    assert all(s.because for s in plan.steps)


def test_scale_down_waits_for_the_highest_target_of_the_hold() -> None:
    rules, memory = policy(hold_s=600), Memory()
    plan, memory = decide(seen(140), None, rules, memory, unit=UNIT)
    assert plan.target == 14
    plan, memory = decide(seen(30, now=at(585)), None, rules, memory, unit=UNIT)
    assert plan.target == 14
    assert "14 were wanted at 12:00:00" in reason(plan, Stage.STABILIZE)
    plan, memory = decide(seen(30, now=at(600)), None, rules, memory, unit=UNIT)
    assert plan.target == 3


def test_the_ceiling_cuts_last_and_says_so() -> None:
    plan = plan_of(seen(500), None, policy(max_replicas=30, warm_replicas=40))
    assert plan.target == 30
    assert reason(plan, Stage.CEILING) == "CUT from 50: max is 30"


def test_a_forecast_that_ends_before_the_lead_time_is_an_error_with_numbers() -> None:
    with pytest.raises(ForecastTooShort, match="asked 240 s ahead, reaches 60 s"):
        plan_of(seen(20), forecast_of([20]), policy(lead_time_s=240))


def test_a_gap_in_the_data_holds_the_last_good_target() -> None:
    plan = plan_of(seen(20, age_s=90), flat_forecast(20), policy(), memory=held(14))
    assert (plan.target, plan.health) == (14, Health.HOLDING)
    assert "doubt holds" in reason(plan, Stage.STABILIZE)


def test_while_it_holds_a_forecast_may_still_raise_the_target() -> None:
    assert plan_of(seen(20, age_s=90), flat_forecast(200), policy(), memory=held(14)).target == 20


def test_an_incomplete_answer_lowers_nothing() -> None:
    plan = plan_of(seen(20, partial=True), flat_forecast(20), policy(), memory=held(14))
    assert (plan.target, plan.health) == (14, Health.HOLDING)


@pytest.mark.parametrize(
    ("on_stale", "target", "available"),
    [(OnStale.FLOOR, 2, True), (OnStale.HOLD, 14, True), (OnStale.UNAVAILABLE, 14, False)],
)
def test_after_the_stated_time_the_owners_choice_acts(
    on_stale: OnStale, target: int, *, available: bool
) -> None:
    rules = policy(min_replicas=2, stale_after_s=600, on_stale=on_stale)
    plan = plan_of(seen(20, age_s=601), flat_forecast(200), rules, memory=held(14))
    assert (plan.target, plan.available, plan.health) == (target, available, Health.STALE)


def test_demand_that_was_never_seen_is_unavailable_not_zero() -> None:
    plan = plan_of(seen(None), None, policy(min_replicas=0))
    assert not plan.available
    assert plan.health is Health.UNKNOWN
    assert plan.published > 0


def test_after_a_cold_start_old_data_alone_is_unavailable() -> None:
    assert not plan_of(seen(20, age_s=601), None, policy()).available


def test_a_stale_floor_of_zero_does_not_switch_off_what_ran() -> None:
    assert plan_of(seen(20, age_s=601), None, policy(), memory=held(14)).target == 1


def test_what_slept_when_the_data_stopped_sleeps_on() -> None:
    for age_s in (90, 601):
        assert plan_of(seen(0, age_s=age_s), None, policy(), memory=held(0)).target == 0


def test_zero_needs_an_owner_who_allows_it() -> None:
    assert plan_of(seen(0), flat_forecast(0), policy(min_replicas=1)).target == 1
    assert plan_of(seen(0), flat_forecast(0), policy(warm_replicas=2)).target == 2
    assert plan_of(seen(0), flat_forecast(0), policy()).target == 0


def test_zero_looks_ahead_by_cooldown_and_lead_time() -> None:
    rules = policy(lead_time_s=240)  # cooldown 300 s
    soon = forecast_of([0] * 8 + [5] * 4)
    later = forecast_of([0] * 9 + [5] * 4)
    assert plan_of(seen(0), soon, rules).active
    assert not plan_of(seen(0), later, rules).active


def test_without_a_forecast_nobody_can_say_that_nothing_comes() -> None:
    plan = plan_of(seen(0), None, policy())
    assert plan.active
    assert "no forecast says" in reason(plan, Stage.WARM)


def test_a_forecast_too_short_for_the_look_ahead_keeps_it_above_zero() -> None:
    assert plan_of(seen(0), flat_forecast(0, steps=5), policy(lead_time_s=240)).active


demands = st.floats(0, 1e7)


@given(demands, demands, demands)
def test_more_demand_never_means_fewer_replicas(less: float, more: float, ahead: float) -> None:
    low, high = sorted((less, more))
    rules = policy(max_replicas=10**7)
    forecast = flat_forecast(ahead)
    assert plan_of(seen(low), forecast, rules).target <= plan_of(seen(high), forecast, rules).target


@given(
    st.lists(st.tuples(demands, st.one_of(st.none(), demands), st.floats(0, 2000)), min_size=1, max_size=30),
    st.sampled_from(list(OnStale)),
)
def test_whatever_comes_the_answer_is_a_number_within_bounds(
    story: list[tuple[float, float | None, float]], on_stale: OnStale
) -> None:
    rules, memory, now = policy(max_replicas=50, on_stale=on_stale), Memory(), NOON
    for demand, queue, age_s in story:
        now += timedelta(seconds=15)
        forecast: Forecast = flat_forecast(demand / 2, now=now)
        plan, memory = decide(
            seen(demand, now=now, age_s=age_s, queue=queue), forecast, rules, memory, unit=UNIT
        )
        assert 0 <= plan.target <= 50
        assert plan.active == (plan.published > 0)
        assert len(memory.wanted) <= len(story)


def test_absurd_demand_is_cut_by_the_ceiling_like_any_other() -> None:
    plan = plan_of(seen(1e308), flat_forecast(1e308), policy(per_replica=1e-9))
    assert plan.target == 100
    assert "CUT from" in reason(plan, Stage.CEILING)
