"""A load told in requests and tokens: each forecast, the limit that binds, and doubt that holds."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_windows import CHAT as CHAT_MIX
from made_windows import TRUE
from predictscale.core.capacity import Origin
from predictscale.core.decide import decide
from predictscale.core.demand import Observation
from predictscale.core.fleet import FleetState
from predictscale.core.forecast import Forecast
from predictscale.core.law import LatencyTargets, Mix
from predictscale.core.lawcapacity import CapacityLaw, Configured
from predictscale.core.lawfit import LawFit
from predictscale.core.lawguards import Learned, Seen
from predictscale.core.lawwindows import KEEP_S, LeftOut
from predictscale.core.needed import Demands, Limit
from predictscale.core.offered import Rate, together
from predictscale.core.plan import Health, Memory, OnStale, Policy, ReplicaPlan, Stage
from predictscale.core.warmth import WarmCosts, Warmth
from worlds import NOON, at, flat_forecast, forecast_of, policy

FIT = LawFit(
    law=TRUE,
    errors_s=(0.0, 0.0, 0.0),
    slope_error=0.01,
    mape=0.03,
    windows=500,
    highest_utilization=0.35,
    span_s=KEEP_S,
    left_out=LeftOut(),
)
LAW = CapacityLaw(
    slo=LatencyTargets(itl_s=0.05),
    mix=CHAT_MIX,
    learned=Learned(fit=FIT, why_not="", seen=Seen(output_cost=TRUE.beta_s, input_cost=TRUE.gamma_s)),
    primary=Rate.REQUESTS,
)
BLANK = replace(LAW, mix=None, learned=None)
RULES = replace(policy(min_replicas=1, max_replicas=10_000), capacity=LAW)

rates = st.floats(0, 1e5)


def load(
    requests: float,
    *,
    output: float | None = None,
    computed: float | None = None,
    now: datetime = NOON,
    age_s: float = 0.0,
    **more: object,
) -> Observation:
    """Requests of the mean length, unless other tokens are told."""
    told = {
        Rate.REQUESTS: requests,
        Rate.INPUT: requests * CHAT_MIX.uncached_tokens if computed is None else computed,
        Rate.OUTPUT: requests * CHAT_MIX.output_tokens if output is None else output,
    }
    seen = Observation(now=now, demand=requests, demand_at=at(-age_s), rates=together(told), mix=CHAT_MIX)
    return replace(seen, **more)  # type: ignore[arg-type]


def plan_of(
    seen: Observation,
    forecast: Forecast | None = None,
    further: Mapping[Rate, Forecast] | None = None,
    rules: Policy = RULES,
    memory: Memory | None = None,
) -> ReplicaPlan:
    plan, _ = decide(seen, forecast, rules, memory or Memory(), unit="requests/s", further=further or {})
    return plan


def because(plan: ReplicaPlan, stage: Stage) -> str:
    (step,) = (step for step in plan.steps if step.stage is stage)
    return step.because


def replicas(plan: ReplicaPlan, stage: Stage) -> float:
    (step,) = (step for step in plan.steps if step.stage is stage)
    return step.value


def test_the_reasons_name_each_rate_and_the_limit_that_binds() -> None:
    compute = replace(RULES, capacity=replace(LAW, limits=frozenset({Limit.COMPUTE}), imbalance=0.0))
    further = {
        Rate.REQUESTS: flat_forecast(120),
        Rate.OUTPUT: flat_forecast(41_200),
        Rate.INPUT: flat_forecast(0),
    }
    plan = plan_of(load(100, computed=0), flat_forecast(120), further, compute)
    demand = because(plan, Stage.DEMAND)
    assert demand.startswith("100 requests/s are here; oracle expects up to 120 within 240 s")
    assert "sized for requests 120/s (here 100, up to 120 expected)" in demand
    assert "output tokens 41,200/s (here 25,600, up to 41,200 expected)" in demand
    expected = "output tokens bind: 41,200 tok/s over 3,455 tok/s per replica at ITL 50 ms"
    assert because(plan, Stage.CAPACITY) == expected
    assert replicas(plan, Stage.CAPACITY) == 12
    assert plan.needed is not None
    assert plan.needed.binding is Limit.COMPUTE


@given(here=st.tuples(rates, rates, rates), ahead=st.tuples(rates, rates, rates))
def test_forecasts_of_rates_only_add_to_what_is_here(
    here: tuple[float, float, float], ahead: tuple[float, float, float]
) -> None:
    seen = load(here[0], computed=here[1], output=here[2])
    further = {rate: flat_forecast(each) for rate, each in zip(Rate, ahead, strict=True)}
    plan = plan_of(seen, further[Rate.REQUESTS], further)
    assert plan.target >= plan_of(seen).target
    assert plan.needed is not None
    wanted = together({rate: max(one, other) for rate, one, other in zip(Rate, here, ahead, strict=True)})
    assert plan.needed.replicas == LAW.needed(wanted).replicas


@given(low=st.tuples(rates, rates, rates), more=st.tuples(rates, rates, rates))
def test_more_of_any_rate_never_means_fewer_replicas(
    low: tuple[float, float, float], more: tuple[float, float, float]
) -> None:
    high = [one + other for one, other in zip(low, more, strict=True)]
    fewer = plan_of(load(low[0], computed=low[1], output=low[2]))
    assert plan_of(load(high[0], computed=high[1], output=high[2])).target >= fewer.target


def test_a_rate_without_a_forecast_follows_the_others_through_the_mean_request() -> None:
    alone = plan_of(load(100), flat_forecast(300), {Rate.REQUESTS: flat_forecast(300)})
    assert alone.needed is not None
    assert alone.needed.replicas == LAW.needed(Demands(requests_rps=300)).replicas


def test_a_forecast_of_a_rate_that_is_too_short_is_left_out() -> None:
    short = forecast_of([1e9])
    plan = plan_of(load(100), flat_forecast(100), {Rate.REQUESTS: flat_forecast(100), Rate.OUTPUT: short})
    assert plan.target == plan_of(load(100)).target


def test_what_tuning_makes_of_the_forecast_it_makes_of_every_rate() -> None:
    further = {
        Rate.REQUESTS: flat_forecast(200),
        Rate.INPUT: flat_forecast(200 * CHAT_MIX.uncached_tokens),
        Rate.OUTPUT: flat_forecast(200 * CHAT_MIX.output_tokens),
    }

    def sized(**knobs: float) -> float:
        return replicas(
            plan_of(load(10, highest=100), further[Rate.REQUESTS], further, replace(RULES, **knobs)),  # type: ignore[arg-type]
            Stage.CAPACITY,
        )

    def needed(requests: float) -> int:
        return LAW.needed(Demands(requests_rps=requests)).replicas

    assert sized() == needed(200)
    assert sized(margin=1.5) == needed(300)
    assert sized(limit=1.2) == needed(120)
    assert sized(margin=1000.0, limit=1.2) == needed(120)
    assert sized(margin=0.0) == needed(10)
    assert sized(margin=0.0, headroom=2.0) == needed(20)


def test_a_queue_is_drained_in_tokens_beside_what_is_here() -> None:
    plan = plan_of(load(100, queue=6000.0, waiting=6000.0))
    assert replicas(plan, Stage.BACKLOG) == LAW.needed(Demands(requests_rps=200)).replicas
    assert because(plan, Stage.BACKLOG).startswith(
        "6,000 wait; serving them within 60 s beside what is here takes"
    )
    # Where demand counts tokens the queue in requests alone will do.
    assert replicas(plan_of(load(100, waiting=6000.0)), Stage.BACKLOG) == replicas(plan, Stage.BACKLOG)


def test_a_full_cache_raises_the_need_at_once_and_says_so() -> None:
    calm = plan_of(load(100, fleet=FleetState(replicas=40, ready=40), kv_usage=0.9))
    full = plan_of(load(100, fleet=FleetState(replicas=40, ready=40), kv_usage=0.96))
    assert calm.target < 40
    assert full.target == 48
    assert because(full, Stage.BACKLOG).endswith("the KV cache is 96% full on 40 ready, which asks for 48")


def test_replicas_that_start_are_told_and_neither_subtracted_nor_asked_for_again() -> None:
    full = load(100, kv_usage=1.0, waiting=500.0, queue=500.0)
    none = plan_of(replace(full, fleet=FleetState(replicas=40, ready=40)))
    coming = plan_of(replace(full, fleet=FleetState(replicas=50, ready=40)))
    assert coming.target == none.target
    assert because(coming, Stage.CAPACITY).endswith("; 10 start already and will serve")


def test_a_rate_that_is_not_known_holds_the_last_good_target_then_the_floor() -> None:
    rules = replace(RULES, stale_after_s=300, min_replicas=2, hold_s=0.0)
    plan, memory = decide(load(100), None, rules, Memory(), unit="requests/s")
    good = plan.target
    assert plan.health is Health.REACTIVE
    blind = replace(load(100), rates=Demands(), mix=None)
    held, memory = decide(
        replace(blind, now=at(300), demand_at=at(300)), None, rules, memory, unit="requests/s"
    )
    assert (held.health, held.target, held.available) == (Health.HOLDING, good, True)
    assert because(held, Stage.CAPACITY) == "not sized: no rate of demand is known"
    assert "doubt holds" in because(held, Stage.STABILIZE)
    later = replace(blind, now=at(315), demand_at=at(315))
    stale, _ = decide(later, None, rules, memory, unit="requests/s")
    assert (stale.health, stale.target) == (Health.STALE, 2)
    forever = replace(rules, on_stale=OnStale.HOLD)
    assert plan_of(later, rules=forever, memory=memory).target == good
    gone = plan_of(later, rules=replace(rules, on_stale=OnStale.UNAVAILABLE), memory=memory)
    assert not gone.available


def test_a_capacity_of_which_nothing_is_known_answers_nobody_and_does_not_crash() -> None:
    plan = plan_of(load(100), flat_forecast(500), rules=replace(RULES, capacity=BLANK))
    assert (plan.health, plan.available, plan.needed) == (Health.UNKNOWN, False, None)
    assert "nothing is known of what a replica serves" in because(plan, Stage.CAPACITY)
    # Signs that replicas are full still count.
    full = load(100, fleet=FleetState(replicas=4, ready=4), kv_usage=0.99)
    assert plan_of(full, rules=replace(RULES, capacity=BLANK)).target == 5


def test_the_stand_in_is_what_one_of_many_replicas_serves() -> None:
    many = 1_000_000
    needed = LAW.needed(Demands(requests_rps=LAW.per_replica * many)).replicas
    assert needed == pytest.approx(many, rel=1e-4)
    # Few replicas need more room for bursts, each.
    assert LAW.needed(Demands(requests_rps=LAW.per_replica * 4)).replicas >= 4
    output = replace(LAW, primary=Rate.OUTPUT)
    assert output.per_replica == pytest.approx(LAW.per_replica * CHAT_MIX.output_tokens, rel=1e-4)


@given(per_replica=st.floats(1e-5, 1e7))
def test_the_stand_in_of_a_start_is_the_start_but_for_nothing(per_replica: float) -> None:
    start = Configured(per_replica=Demands(requests_rps=per_replica), until_learned=True)
    law = replace(BLANK, configured=start)
    assert law.per_replica == pytest.approx(per_replica, rel=1e-3)
    assert law.origin is Origin.START


def test_origins_are_told_apart() -> None:
    owner = Configured(per_replica=Demands(requests_rps=5.0))
    assert LAW.origin is Origin.LEARNED
    assert BLANK.origin is Origin.START
    assert replace(LAW, configured=owner).origin is Origin.CONFIGURED
    assert replace(LAW, configured=replace(owner, until_learned=True)).origin is Origin.LEARNED


def test_absurd_rates_end_at_the_ceiling() -> None:
    huge = sys.float_info.max
    seen = load(1.0, output=huge, computed=huge)
    tuned = replace(RULES, margin=1000.0, headroom=10.0, max_replicas=7)
    assert plan_of(seen, flat_forecast(1e300), {Rate.OUTPUT: flat_forecast(1e308)}, tuned).target == 7


def test_a_mix_with_plain_requests_takes_a_request_for_a_token() -> None:
    served = CapacityLaw(
        slo=LatencyTargets(itl_s=0.2),
        mix=Mix.of_requests(),
        configured=Configured(per_replica=Demands(requests_rps=20.0), until_learned=True),
        primary=Rate.REQUESTS,
    )
    seen = Observation(now=NOON, demand=90.0, demand_at=NOON, rates=Demands(requests_rps=90.0))
    plan = plan_of(
        seen, flat_forecast(150), {Rate.REQUESTS: flat_forecast(150)}, replace(RULES, capacity=served)
    )
    assert plan.target == 8


@pytest.mark.parametrize("here", [0.0, 20.0])
def test_what_stands_ready_is_sized_by_the_law_too(here: float) -> None:
    """What may come is taken to be of the present mix, and where nothing is here of the mean request."""
    path = flat_forecast(60)
    bold = replace(path, values=path.values * [[1.0], [3.0]])  # 60 at the median, 180 at 0.9
    median = replace(RULES, level=0.5)
    ready = replace(median, warmth=Warmth(costs=WarmCosts(idle_per_h=1, shortage_per_h=9)))
    needed = replicas(plan_of(load(180.0)), Stage.CAPACITY)
    assert needed > replicas(plan_of(load(60.0)), Stage.CAPACITY) > 1
    floor = replicas(plan_of(load(here), bold, rules=ready), Stage.WARM)
    assert floor == pytest.approx(needed, rel=0 if here else 0.2, abs=1 if not here else 0)
    assert floor > replicas(plan_of(load(here), bold, rules=median), Stage.WARM)


def test_what_slept_is_woken_by_what_is_here_though_nobody_can_say_what_serves_it() -> None:
    rules = replace(RULES, min_replicas=0, stale_after_s=300)
    slept = Memory(last_good=0, good_at=at(-30))
    blind = replace(load(100), rates=Demands(), mix=None)
    plan = plan_of(blind, rules=rules, memory=slept)
    assert (plan.health, plan.target, plan.active) == (Health.HOLDING, 1, True)
    assert "something is here" in because(plan, Stage.WARM)
    late = replace(blind, now=at(400), demand_at=at(400))
    assert plan_of(late, rules=rules, memory=slept).target == 1
    # A queue is known by itself; old demand is no present.
    old = replace(load(0), now=at(900), rates=Demands(), mix=None)
    assert plan_of(replace(old, waiting=3.0), rules=rules, memory=slept).target == 1
    assert plan_of(replace(old, queue=3.0), rules=rules, memory=slept).target == 1
    assert plan_of(old, rules=rules, memory=slept).target == 0
    assert plan_of(replace(old, demand=100.0), rules=rules, memory=slept).target == 0


def test_what_waits_keeps_the_last_replica_though_its_tokens_are_not_known() -> None:
    rules = replace(RULES, min_replicas=0)
    waits = load(0, waiting=3.0, mix=None)
    plan = plan_of(waits, flat_forecast(0), rules=rules)
    assert (plan.health, plan.target, plan.active) == (Health.OK, 1, True)
    assert plan_of(replace(waits, waiting=0.0), flat_forecast(0), rules=rules).target == 0


def test_few_requests_whose_answers_still_stream_make_no_large_floor() -> None:
    costs = WarmCosts(idle_per_h=1, shortage_per_h=9)
    rules = replace(RULES, warmth=Warmth(costs=costs), lead_time_s=60)
    coming = flat_forecast(20)
    usual = plan_of(load(0.02), coming, rules=rules)
    streaming = plan_of(load(0.02, output=40.0), coming, rules=rules)
    assert replicas(streaming, Stage.WARM) == replicas(usual, Stage.WARM)
    assert 1 < replicas(usual, Stage.WARM) < 10
