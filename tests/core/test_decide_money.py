"""Floors, break-even and a month's budget in the stages of a decision."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.breakeven import BLIND, ColdStart, IdleTimeout, Rest
from predictscale.core.budget import Allowance, Giving
from predictscale.core.decide import decide
from predictscale.core.floors import DAY_S, EVERY_DAY, CalendarFloor
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Health, Landing, Memory, Policy, ReplicaPlan, Stage
from predictscale.core.warmth import WarmCosts, Warmth
from worlds import NOON, at, flat_forecast, forecast_of, held, policy, seen

UNIT = "requests/s"
EVENING = CalendarFloor(
    name="evening", days=EVERY_DAY, opens_s=43_500, closes_s=DAY_S, replicas=6, zone="UTC"
)
"""From five minutes past noon."""
ANY_MOST = st.one_of(st.none(), st.integers(0, 60))
demands = st.floats(0, 1000)


def plan_of(
    demand: float | None,
    forecast: Forecast | None = None,
    *,
    rules: Policy,
    most: int | None = None,
    rest: Rest | None = None,
    memory: Memory | None = None,
    age_s: float = 0,
    replicas: int | None = None,
) -> ReplicaPlan:
    observation = replace(
        seen(demand, age_s=age_s, replicas=replicas),
        allowance=None if most is None else Allowance(most, f"{most} are left"),
        rest=rest,
    )
    return decide(observation, forecast, rules, memory or Memory(), unit=UNIT)[0]


def reason(plan: ReplicaPlan, stage: Stage) -> str:
    return next(s.because for s in plan.steps if s.stage is stage)


def replicas_after(plan: ReplicaPlan, stage: Stage) -> float:
    return next(s.value for s in plan.steps if s.stage is stage)


def test_a_window_is_asked_for_a_lead_time_and_a_tick_before_it_opens() -> None:
    rules = replace(policy(lead_time_s=240, min_replicas=1), warmth=Warmth(floors=(EVENING,), every_s=15))
    wanted = {
        ahead_s: decide(seen(5, now=at(300 - ahead_s)), None, rules, Memory(), unit=UNIT)[0].target
        for ahead_s in (270, 256, 255, 241, 0)
    }
    assert wanted == {270: 1, 256: 1, 255: 6, 241: 6, 0: 6}


def test_a_floor_of_the_calendar_shows_in_the_step_that_it_moves() -> None:
    rules = replace(policy(min_replicas=0), warmth=Warmth(floors=(EVENING,)))
    plan, _ = decide(seen(0, now=at(600)), flat_forecast(0, now=at(600)), rules, Memory(), unit=UNIT)
    assert (replicas_after(plan, Stage.BACKLOG), replicas_after(plan, Stage.WARM), plan.target) == (0, 6, 6)
    assert reason(plan, Stage.WARM) == "the floor: 'evening' holds 6 until Tue 00:00 UTC"


def test_a_floor_of_the_calendar_lies_below_the_ceiling_and_beside_the_owners() -> None:
    open_now = seen(5, now=at(600))
    low = replace(policy(max_replicas=4), warmth=Warmth(floors=(EVENING,)))
    plan, _ = decide(open_now, None, low, Memory(), unit=UNIT)
    assert plan.target == 4
    assert reason(plan, Stage.CEILING) == "CUT from 6: max is 4"
    high = replace(policy(min_replicas=8), warmth=Warmth(floors=(EVENING,)))
    plan, _ = decide(open_now, None, high, Memory(), unit=UNIT)
    assert plan.target == 8
    assert reason(plan, Stage.WARM) == "the floor: min 8, warm 0"


def test_what_may_come_while_another_starts_stands_ready_if_missing_it_costs_more() -> None:
    path = forecast_of([30] * 20)
    ready = replace(path, values=path.values * [[1.0], [3.0]])  # 30 at the median, 90 at 0.9
    costs = WarmCosts(idle_per_h=1, shortage_per_h=9)
    bold = policy(level=0.5, lead_time_s=240)
    assert plan_of(5, ready, rules=bold).target == 3
    plan = plan_of(5, ready, rules=replace(bold, warmth=Warmth(costs=costs)))
    assert plan.target == 9
    assert "a missing one 9" in reason(plan, Stage.WARM)
    # Of what is not known nothing follows.
    assert plan_of(5, None, rules=replace(bold, warmth=Warmth(costs=costs))).target == 1


COLD = replace(policy(min_replicas=0), cold=ColdStart(lost_value=2, idle_per_h=4, lead_s=240))
WAIT = IdleTimeout(600, "as long as a cold start costs")


@pytest.mark.parametrize(
    ("rest", "target", "because"),
    [
        (Rest(599, WAIT), 1, "kept above zero: idle for 599 of 600 s; as long as a cold start costs"),
        (Rest(None, WAIT), 1, "kept above zero: whether there is demand is not known"),
        (None, 1, "kept above zero: how long nothing has been here is not known"),
        (Rest(600, WAIT), 0, "idle for 600 s, which is 600 s or more; as long as a cold start costs"),
    ],
)
def test_the_last_replica_goes_by_break_even(rest: Rest | None, target: int, because: str) -> None:
    plan = plan_of(0, flat_forecast(0), rules=COLD, rest=rest)
    assert plan.target == target
    assert reason(plan, Stage.WARM).endswith(because)


def test_break_even_never_sends_away_what_is_needed_or_expected() -> None:
    long_since = Rest(1e6, WAIT)
    assert plan_of(1, flat_forecast(0), rules=COLD, rest=long_since).target == 1
    assert plan_of(0, flat_forecast(5), rules=COLD, rest=long_since).target == 1
    assert plan_of(0, None, rules=COLD, rest=long_since).target == 1


def test_nobody_sleeps_who_could_not_be_woken() -> None:
    blind = replace(policy(min_replicas=0), sighted=False)
    for rules in (blind, replace(COLD, sighted=False)):
        plan = plan_of(0, flat_forecast(0), rules=rules, rest=Rest(1e6, WAIT))
        assert (plan.target, reason(plan, Stage.WARM)) == (1, BLIND)
    # Who sleeps already is not woken by doubt.
    assert plan_of(0, flat_forecast(0), rules=blind, memory=held(0), age_s=90).target == 0


def test_a_budget_takes_from_the_quantile_first_and_says_so() -> None:
    path = flat_forecast(60)
    forecast = replace(path, values=path.values * [[1.0], [1.5]])  # 60 at the median, 90 at 0.9
    plan = plan_of(20, forecast, rules=policy(), most=7)
    assert (plan.target, plan.published) == (7, 7)
    assert replicas_after(plan, Stage.STABILIZE) == 9
    assert plan.granted is not None
    assert plan.granted.giving is Giving.QUANTILE
    assert reason(plan, Stage.CEILING) == (
        "within max 100; CUT from 9 to 7 by the budget, "
        "no fewer than the 6 of the relaxed quantile; 7 are left"
    )


def test_a_budget_that_refuses_traffic_says_what_the_traffic_takes() -> None:
    plan = plan_of(80, flat_forecast(60), rules=policy(), most=5)
    assert plan.target == 5
    assert plan.granted is not None
    assert plan.granted.giving is Giving.REFUSED
    assert "although the relaxed quantile takes 8" in reason(plan, Stage.CEILING)
    # What waits is traffic as well.
    queued = replace(seen(20, queue=3600), allowance=Allowance(5, "5 are left"))
    plan, _ = decide(queued, None, policy(), Memory(), unit=UNIT)
    assert "although the relaxed quantile takes 8" in reason(plan, Stage.CEILING)


def test_a_budget_cuts_what_the_maximum_left_and_both_are_told() -> None:
    plan = plan_of(300, None, rules=policy(max_replicas=20), most=12)
    assert plan.target == 12
    assert reason(plan, Stage.CEILING).startswith("CUT from 30: max is 20; CUT from 20 to 12 by the budget")


def test_a_budget_cuts_a_target_that_doubt_holds_too() -> None:
    plan = plan_of(20, flat_forecast(20), rules=policy(), memory=held(14), age_s=90, most=9)
    assert (plan.health, plan.target) == (Health.HOLDING, 9)
    assert reason(plan, Stage.CEILING).startswith("within max 100; CUT from 14 to 9")
    # What was never seen has no quantile that could be relaxed.
    unknown = plan_of(None, None, rules=policy(warm_replicas=6), most=3)
    assert (unknown.health, unknown.target) == (Health.UNKNOWN, 3)


@given(here=demands, ahead=demands, most=ANY_MOST, age_s=st.sampled_from([0.0, 90.0, 900.0]))
def test_without_a_budget_nothing_changes_and_one_that_does_not_bind_changes_words_only(
    here: float, ahead: float, most: int | None, age_s: float
) -> None:
    rules, memory = policy(min_replicas=1, max_replicas=60), held(11)
    plain, after = decide(seen(here, age_s=age_s), flat_forecast(ahead), rules, memory, unit=UNIT)
    assert plain.granted is None
    # A purse of which nothing is known, or that holds enough.
    roomy = plain.target + (most or 0)
    for allowed in (Allowance(None, "what was spent is not known"), Allowance(roomy, "enough")):
        looked = replace(seen(here, age_s=age_s), allowance=allowed)
        budgeted, memory_after = decide(looked, flat_forecast(ahead), rules, memory, unit=UNIT)
        assert memory_after == after
        assert budgeted.granted is not None
        assert not budgeted.granted.limited
        assert replace(budgeted, granted=None, steps=plain.steps) == plain
        for one, other in zip(plain.steps, budgeted.steps, strict=True):
            assert (one.stage, one.value) == (other.stage, other.value)
            if one.stage is Stage.CEILING:
                assert other.because == f"{one.because}; {allowed.because}"
            else:
                assert one == other


@given(
    here=demands,
    ahead=demands,
    most=st.integers(0, 60),
    least=st.integers(0, 5),
    there=st.tuples(st.one_of(st.none(), st.integers(1, 60)), st.sampled_from(list(Landing))),
)
def test_no_more_is_published_than_the_money_allows_and_the_last_replica_is_not_its_to_take(
    here: float, ahead: float, most: int, least: int, there: tuple[int | None, Landing]
) -> None:
    replicas, landing = there
    rules = policy(min_replicas=least, landing=landing)
    plan = plan_of(here, flat_forecast(ahead), rules=rules, most=most, replicas=replicas)
    plain = plan_of(here, flat_forecast(ahead), rules=rules, replicas=replicas)
    assert plan.target == min(plain.target, max(most, least, 1))
    assert plan.granted is not None
    assert plan.granted.limited == (plan.target < plain.target)
    if landing is not Landing.HOLD:
        assert plan.published <= max(most, least, 1)
    assert plan.active == plain.active


def test_more_money_never_means_fewer_replicas() -> None:
    targets = [plan_of(200, flat_forecast(300), rules=policy(), most=most).target for most in range(40)]
    assert targets == sorted(targets)
    assert targets[-1] == 30


def test_the_hold_forgets_nothing_of_what_money_cut() -> None:
    # What was wanted is remembered, so that it is there again once the month is over.
    rules = policy(hold_s=600)
    cut = replace(seen(300), allowance=Allowance(10, "10 are left"))
    plan, memory = decide(cut, None, rules, Memory(), unit=UNIT)
    assert plan.target == 10
    later, _ = decide(seen(200, now=NOON + timedelta(seconds=15)), None, rules, memory, unit=UNIT)
    assert later.target == 30
