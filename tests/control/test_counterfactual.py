"""The counterfactual meter against the simulator, on the same demand."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.control.counterfactual import CounterfactualMeter
from predictscale.control.step import StepMemory, step
from predictscale.core.counterfactual import PlainHpa, Savings, Way
from predictscale.core.demand import Observation
from predictscale.core.fleet import FleetState
from predictscale.core.hpa import HpaSettings
from predictscale.core.law import LatencyTargets
from predictscale.core.lawcapacity import CapacityLaw
from predictscale.core.plan import Decision, Mode, Policy
from predictscale.core.series import MetricWindow
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.hpa import ExternalMetric, HorizontalPodAutoscaler
from predictscale.simulate.plant import Boot
from predictscale.simulate.world import Run, World, play, replay
from worlds import CHAT, NOON, at, policy, seen

STEP_S = 15.0
LEAD_S = 60.0
MOST = 40
POLICY = replace(
    policy(lead_time_s=LEAD_S, min_replicas=1, max_replicas=MOST, hold_s=120), fresh_s=10.0, stale_after_s=1e6
)
"""Ten units of demand per replica; a sample of the step before is fresh, an older one is not."""
DEMANDS = st.lists(st.floats(0, 300), min_size=2, max_size=80)
GAPPY = st.lists(st.floats(0, 300) | st.just(float("nan")), min_size=2, max_size=80)


def world(demand: Sequence[float], *, before: float, replicas: int, actuation: Actuation) -> World:
    return World(
        demand=MetricWindow(NOON, STEP_S, np.array(demand)),
        per_replica=10.0,
        boot=Boot.fixed(LEAD_S),
        wait_s=5.0,
        min_replicas=1,
        max_replicas=MOST,
        actuation=actuation,
        replicas=replicas,
        before=before,
    )


class Hpa:
    """A plain HPA in the simulator: its object, and a raw metric with a target."""

    def __init__(self, *, utilisation: float, replicas: int) -> None:
        self._hpa = HorizontalPodAutoscaler(HpaSettings(max_replicas=MOST))
        self._target, self._spec = 10.0 * utilisation, replicas

    def desired(self, step: int, seen: Observation) -> int:
        del step
        metric = None
        if seen.demand is not None and seen.age_s <= POLICY.fresh_s:
            metric = ExternalMetric(value=seen.demand, target=self._target)
        self._spec = self._hpa.sync(
            seen.now, [metric], spec_replicas=self._spec, status_replicas=self._spec, ready=self._spec
        )
        return self._spec


class Ours:
    """The live step in the simulator, with a meter that listens."""

    def __init__(self, meter: CounterfactualMeter, *, measured: bool, price: float | None = None) -> None:
        self.meter, self.reactive = meter, list[int]()
        self._measured, self._price, self._memory = measured, price, StepMemory()

    def desired(self, step_: int, seen: Observation) -> int:
        del step_
        told = seen if self._measured else replace(seen, fleet=FleetState())
        decision, self._memory = step(CHAT, told, None, POLICY, self._memory, unit="requests/s")
        self.meter.note(decision, price_per_h=self._price)
        reactive = self.meter.reactive_replicas
        assert reactive is not None
        self.reactive.append(reactive)
        return decision.answer.published


def accounts(meter: CounterfactualMeter) -> Savings:
    savings = meter.savings()
    assert savings is not None
    return savings


def hours_and_late(run: Run) -> tuple[float, float]:
    """Of all steps but the last, which no decision has looked back at."""
    held = run.billed[0, :-1].sum() / 3600
    return float(held), float((run.late[0] * run.scored)[:-1].sum())


@given(demand=GAPPY, replicas=st.integers(1, 30), utilisation=st.sampled_from([0.5, 0.7, 1.0]))
def test_the_reactive_counterfactual_is_the_simulators_run_replica_for_replica(
    demand: list[float], replicas: int, utilisation: float
) -> None:
    there = world(demand, before=100.0, replicas=replicas, actuation=Actuation.DIRECT)
    ours = Ours(CounterfactualMeter(plain=PlainHpa(utilisation=utilisation)), measured=True)
    live = play(there, ours)
    run = play(there, Hpa(utilisation=utilisation, replicas=replicas))
    assert ours.reactive == run.spec[0].tolist()
    savings = accounts(ours.meter)
    for way, outcome in ((Way.REACTIVE, run), (Way.OURS, live)):
        held_h, late = hours_and_late(outcome)
        assert savings.of(way).replica_h == pytest.approx(held_h, abs=1e-9)
        assert savings.of(way).late == pytest.approx(late, rel=1e-6, abs=1e-5)


@given(
    metric=st.lists(st.integers(0, 60), min_size=2, max_size=120),
    replicas=st.integers(1, MOST),
    before=st.integers(0, 60),
)
def test_it_is_also_the_run_of_the_simulators_own_actuation_where_the_metric_counts_replicas(
    metric: list[int], replicas: int, before: int
) -> None:
    # A demand of five at half of ten per replica is one replica: what the open loop publishes.
    demand = [5.0 * n for n in metric]
    there = world(demand, before=5.0 * before, replicas=replicas, actuation=Actuation.HPA)
    run = replay(there, np.array([[before, *metric[:-1]]]))
    ours = Ours(CounterfactualMeter(plain=PlainHpa(utilisation=0.5)), measured=True)
    play(replace(there, actuation=Actuation.DIRECT), ours)
    assert ours.reactive == run.spec[0].tolist()
    held_h, late = hours_and_late(run)
    reactive = accounts(ours.meter).reactive
    assert reactive.replica_h == pytest.approx(held_h, abs=1e-9)
    assert reactive.late == pytest.approx(late, rel=1e-6, abs=1e-5)


@given(demand=DEMANDS, replicas=st.integers(1, 30))
def test_a_fleet_that_nobody_measures_is_as_our_targets_and_the_lead_time_have_it(
    demand: list[float], replicas: int
) -> None:
    there = world(demand, before=100.0, replicas=replicas, actuation=Actuation.DIRECT)
    told, untold = (Ours(CounterfactualMeter(), measured=measured) for measured in (True, False))
    # Unmeasured ways begin with what is wanted first, so the fleet begins there as well.
    begins = play(there, Ours(CounterfactualMeter(), measured=True)).spec[0, 0]
    there = replace(there, replicas=int(begins))
    play(there, told)
    play(there, untold)
    assert accounts(untold.meter).ours.replica_h == pytest.approx(accounts(told.meter).ours.replica_h)
    assert accounts(untold.meter).ours.late == pytest.approx(accounts(told.meter).ours.late)


def decisions(
    demand: Sequence[float | None], *, obeyed: Policy = POLICY, replicas: int = 4
) -> list[Decision]:
    """A decision every 15 s from noon on, under each demand; None is one that is too old."""
    found, memory = [], StepMemory()
    for place, value in enumerate(demand):
        now = at(STEP_S * place)
        looked = seen(
            50.0 if value is None else value, now=now, age_s=60.0 * (value is None), replicas=replicas
        )
        decision, memory = step(CHAT, looked, None, obeyed, memory, unit="requests/s")
        found.append(decision)
    return found


def noted(every: Sequence[Decision], *, price: float | None = None) -> CounterfactualMeter:
    meter = CounterfactualMeter()
    for each in every:
        meter.note(each, price_per_h=price)
    return meter


def same(one: CounterfactualMeter, other: CounterfactualMeter, *, but: str = "") -> None:
    for name, rows in one.kept().items():
        if name == but:
            continue
        np.testing.assert_array_equal(rows, other.kept()[name], err_msg=name)


@given(demand=st.lists(st.floats(0, 300) | st.none(), min_size=4, max_size=60), cut=st.floats(0, 1))
def test_a_restart_changes_nothing(demand: list[float | None], cut: float) -> None:
    every = decisions(demand)
    stop = round(cut * len(every))
    first = noted(every[:stop], price=2.0)
    second = CounterfactualMeter()
    second.restore(first.kept())
    for each in every[stop:]:
        second.note(each, price_per_h=2.0)
    same(second, noted(every, price=2.0))


def test_what_is_kept_stays_bounded() -> None:
    meter = CounterfactualMeter(keep_s=2 * 3600)
    sizes = []
    for each in decisions([100.0 + 50 * (place // 40 % 2) for place in range(4 * 240)]):
        meter.note(each)
        sizes.append(sum(rows.size for rows in meter.kept().values()))
    # After the hours that are kept have passed it grows no more.
    assert max(sizes[3 * 240 :]) <= max(sizes[: 3 * 240])
    assert accounts(meter).known_s == pytest.approx(2 * 3600, abs=30)


def test_a_decision_between_two_syncs_adds_nothing() -> None:
    every = decisions([100.0, 120.0, 90.0])
    between = [
        replace(each, seen=replace(each.seen, now=each.seen.now + timedelta(seconds=7))) for each in every
    ]
    both = [each for pair in zip(every, between, strict=True) for each in pair]
    same(noted(both), noted(every))


def test_a_slower_tick_is_several_syncs_under_the_same_demand() -> None:
    slow, quick = CounterfactualMeter(tick_s=30), CounterfactualMeter()
    for each in decisions([100.0] + [n for n in (150.0, 90.0, 210.0, 30.0) for _ in range(2)]):
        quick.note(each)
        if round((each.seen.now - NOON).total_seconds()) % 30 == 0:
            slow.note(each)
    # What we want from now on is decided at half as many instants.
    same(slow, quick, but="ours")


def test_time_that_nobody_looked_at_saves_nothing_and_is_told() -> None:
    # Eleven decisions, ten minutes of silence, eleven more.
    every = decisions([100.0] * 61)
    meter = noted([*every[:11], *every[50:]])
    assert accounts(meter).known_s == 20 * STEP_S
    assert accounts(meter).unknown_s == 40 * STEP_S
    whole = accounts(noted(every))
    assert accounts(meter).ours.replica_h == pytest.approx(whole.ours.replica_h * 20 / 60)


def test_after_a_silence_what_was_asked_for_before_it_serves() -> None:
    # Both jump at the last decision before the silence, and start within it.
    every = decisions([50.0] * 20 + [200.0] * 60)
    shadow = [replace(each, policy=replace(each.policy, mode=Mode.SHADOW)) for each in every]
    meter = noted([*shadow[:23], *shadow[60:]])
    late_before = accounts(noted(shadow[:23])).reactive.late
    assert late_before > 0
    assert accounts(meter).reactive.late == pytest.approx(late_before)
    assert accounts(meter).ours.late == pytest.approx(accounts(noted(shadow[:23])).ours.late)


def test_a_partial_answer_is_not_counted() -> None:
    every = decisions([100.0] * 5)
    partial = replace(every[3], seen=replace(every[3].seen, partial=True))
    savings = accounts(noted([*every[:3], partial, every[4]]))
    assert (savings.known_s, savings.unknown_s) == (3 * STEP_S, STEP_S)


def test_without_an_answer_what_was_wanted_before_stays() -> None:
    every = decisions([100.0] * 2 + [300.0] * 3, obeyed=replace(POLICY, mode=Mode.SHADOW))
    mute = [replace(each, plan=replace(each.plan, available=False)) for each in every[2:]]
    assert accounts(noted([*every[:2], *mute])).ours.replica_h == pytest.approx(4 * 10 * STEP_S / 3600)


def test_between_two_slow_ticks_ours_is_what_the_first_of_them_wanted() -> None:
    meter = CounterfactualMeter(tick_s=30)
    for each in decisions([100.0, 100.0, 200.0, 200.0, 200.0], obeyed=replace(POLICY, mode=Mode.SHADOW))[::2]:
        meter.note(each)
    assert accounts(meter).ours.replica_h == pytest.approx((10 + 20) * 30 / 3600)


def test_an_hpa_that_finds_nothing_begins_with_its_minimum() -> None:
    nothing = replace(POLICY, min_replicas=0)
    none, many = (noted(decisions([0.0], obeyed=nothing, replicas=n)).reactive_replicas for n in (0, 90))
    assert (none, many) == (1, MOST)


def test_demand_that_is_not_known_is_not_none() -> None:
    savings = accounts(noted(decisions([100.0] * 5 + [None] * 4 + [100.0] * 4)))
    assert savings.unknown_s == 4 * STEP_S
    assert savings.known_s == 8 * STEP_S
    assert savings.came == 8 * STEP_S * 100.0


def test_a_static_fleet_is_the_highest_demand_of_what_is_kept() -> None:
    meter = CounterfactualMeter(keep_s=2 * 3600)
    held = []
    for each in decisions([95.0] + [305.0] + [50.0] * 600):
        meter.note(each)
        held.append(int(meter.kept()["now"][1]))
    # 305 at ten each are 31, in that hour and in the next one; then it is forgotten.
    assert held[:2] == [0, 31]
    assert set(held[1:480]) == {31}
    assert set(held[481:]) == {5}


def test_ways_keep_the_owners_floor_and_ceiling() -> None:
    low, high = (
        accounts(noted(decisions(demand, obeyed=replace(POLICY, min_replicas=3, max_replicas=6), replicas=4)))
        for demand in ([0.0] * 100, [1000.0] * 100)
    )
    hours = 99 * STEP_S / 3600
    assert low.static.replica_h == pytest.approx(3 * hours)
    assert 3 * hours < low.reactive.replica_h < 4 * hours
    assert high.static.replica_h == pytest.approx(6 * hours)
    assert high.reactive.replica_h == pytest.approx(6 * hours, rel=0.02)


def test_savings_are_ours_subtracted_and_may_be_negative() -> None:
    demand = [100.0] * 81
    few, many = (accounts(noted(decisions(demand, replicas=n), price=3.0)) for n in (10, 30))
    # A hundred a second at 70 % of ten each are fifteen replicas; ours were measured.
    assert few.saved_h(Way.STATIC) == pytest.approx(0.0)
    assert few.saved_h(Way.REACTIVE) > 0 > many.saved_h(Way.REACTIVE)
    assert few.saved_money(Way.REACTIVE) == pytest.approx(3.0 * few.saved_h(Way.REACTIVE))
    assert accounts(noted(decisions(demand))).saved_money(Way.REACTIVE) is None


def test_avoided_shortage_is_the_share_that_would_have_been_late() -> None:
    # A jump from 50 to 300: ours was there before, a plain HPA is a boot late.
    every = decisions([50.0] * 20 + [300.0] * 21, replicas=30)
    first = replace(every[0], seen=replace(every[0].seen, fleet=FleetState(replicas=8, ready=8)))
    savings = accounts(noted([first, *every[1:]]))
    shortage = savings.avoided_shortage(Way.REACTIVE)
    assert savings.late_share(Way.OURS) == 0
    assert shortage is not None
    assert 0.2 < shortage < 0.9
    assert savings.late_share(Way.REACTIVE) == pytest.approx(shortage)


def test_what_a_month_has_cost_is_on_the_books() -> None:
    meter = noted(decisions([100.0] * 241, replicas=10), price=3.0)
    assert meter.spent(NOON) == pytest.approx(10 * 3.0)
    # An hour of which nothing is known cost as much; more than that would be a guess.
    assert meter.spent(at(-3600)) == pytest.approx(20 * 3.0)
    assert meter.spent(at(-3700)) is None
    assert noted(decisions([100.0] * 241)).spent(NOON) is None


def test_what_was_spent_before_the_first_decision_or_while_nobody_looked_is_not_nothing() -> None:
    month = at(-9 * 86_400)
    assert CounterfactualMeter().spent(month, now=NOON) is None
    assert CounterfactualMeter().spent(NOON, now=NOON) == 0
    meter = noted(decisions([100.0] * 241, replicas=10), price=3.0)
    # The month turned, and ten days of it went by, while the service was down.
    assert meter.spent(at(20 * 86_400), now=at(30 * 86_400)) is None
    assert meter.spent(NOON, now=at(3615)) == meter.spent(NOON) == pytest.approx(10 * 3.0)


def test_in_shadow_mode_ours_is_what_we_would_have_held() -> None:
    shadow = replace(POLICY, mode=Mode.SHADOW)
    savings = accounts(noted(decisions([100.0] * 41, obeyed=shadow, replicas=25)))
    assert savings.ours.replica_h == pytest.approx(40 * STEP_S / 3600 * 10)


def test_a_capacity_that_nobody_knows_is_time_that_nobody_knows() -> None:
    unknown = replace(POLICY, capacity=CapacityLaw(slo=LatencyTargets(itl_s=0.05)))
    savings = accounts(noted([*decisions([100.0] * 4), *decisions([100.0] * 9, obeyed=unknown)[4:]]))
    assert (savings.known_s, savings.unknown_s) == (3 * STEP_S, 5 * STEP_S)


def test_what_is_not_its_own_is_refused() -> None:
    kept = noted(decisions([100.0] * 3)).kept()
    for name, rows in (("hours", np.zeros((2, 3))), ("queues", np.zeros(2)), ("now", np.zeros(5))):
        with pytest.raises(ValueError, match=r"."):
            CounterfactualMeter().restore({**kept, name: rows})
    with pytest.raises(KeyError):
        CounterfactualMeter().restore({})
