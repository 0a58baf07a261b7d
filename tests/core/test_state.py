"""The one word for how a workload fares: the worst that holds, and why."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.control.step import StepMemory, step
from predictscale.core.budget import Allowance
from predictscale.core.decide import floor_in_force
from predictscale.core.demand import Observation
from predictscale.core.events import PlannedEvent, planned
from predictscale.core.floors import EVERY_DAY, CalendarFloor
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Decision, Memory, OnStale, Policy
from predictscale.core.state import State, at_ceiling, author_of, cut_by_ceiling, stands_in, state_of
from predictscale.core.warmth import Warmth
from worlds import CHAT, NOON, at, flat_forecast, held, policy, seen

HOME = ("oracle",)


def decided(
    observed: Observation,
    *,
    forecast: Forecast | None = None,
    obeyed: Policy | None = None,
    memory: Memory | None = None,
    notes: tuple[str, ...] = (),
    home: tuple[str, ...] = (),
) -> Decision:
    memories = StepMemory() if memory is None else StepMemory(live=memory, reactive=memory)
    made, _ = step(CHAT, observed, forecast, obeyed or policy(), memories, unit="requests/s", notes=notes)
    return replace(made, home=home)


ALL_DAY = CalendarFloor(name="day", days=EVERY_DAY, opens_s=0, closes_s=0, replicas=4, zone="UTC")
FINE = decided(seen(50), forecast=flat_forecast(60), home=HOME)


def test_a_forecast_by_the_forecaster_at_home_is_ok_and_names_it() -> None:
    state, because = state_of(FINE, told=True)
    assert (state, because) == (State.OK, "demand is known, oracle forecasts")


def test_without_a_forecast_it_is_reactive_for_the_reasons_on_record() -> None:
    state, because = state_of(decided(seen(50, age_s=15), notes=("no model is fitted yet",)), told=True)
    assert (state, because) == (
        State.REACTIVE,
        "demand is 15 s old, no forecast is used: no model is fitted yet",
    )


def test_a_stand_in_is_told_with_what_the_record_says_of_either() -> None:
    notes = ("native not used: needs 2 days", "oracle serves: it is all there is", "something else")
    made = decided(seen(50), forecast=flat_forecast(60), notes=notes, home=("native",))
    state, because = state_of(made, told=True)
    assert state is State.DEMOTED
    assert because == (
        "oracle forecasts, not native; native not used: needs 2 days; oracle serves: it is all there is"
    )


def test_where_nobody_is_known_to_be_at_home_nobody_stands_in() -> None:
    made = replace(FINE, home=())
    assert state_of(made, told=True).state is State.OK
    assert stands_in(made) is None
    assert stands_in(replace(FINE, home=("native", "boosted"))) == "oracle"


def test_planned_events_do_not_change_who_the_author_is() -> None:
    event = PlannedEvent(name="sale", start=NOON, end=at(600), multiplier=2.0)
    made = decided(seen(50), forecast=planned(flat_forecast(60), [event]), home=HOME)
    assert made.forecast is not None
    assert made.forecast.model != "oracle"
    assert author_of(made) == "oracle"
    assert state_of(made, told=True).state is State.OK


def test_a_budget_that_binds_is_told_in_its_own_words() -> None:
    observed = replace(seen(50), allowance=Allowance(2, "2 are left of the money"))
    made = decided(observed, forecast=flat_forecast(60), home=HOME)
    state, because = state_of(made, told=True)
    assert state is State.BUDGET_BOUND
    assert made.plan.granted is not None
    assert because == made.plan.granted.because
    unbound = decided(replace(seen(50), allowance=Allowance(90, "plenty")), forecast=flat_forecast(60))
    assert state_of(unbound, told=True).state is State.OK


def test_a_pause_counts_until_it_ends() -> None:
    state, because = state_of(FINE, told=True, paused_until=at(90))
    assert (state, because) == (State.PAUSED, "the fleet does not shrink until 02 Mar 12:01:30 UTC")
    assert state_of(FINE, told=True, paused_until=NOON).state is State.OK


def test_holding_says_how_old_demand_is_and_until_when_it_holds() -> None:
    made = decided(seen(50, age_s=120), memory=held(5))
    state, because = state_of(made, told=True)
    assert state is State.HOLDING
    assert because == "demand is 120 s old; the last good target holds until 02 Mar 12:08:00 UTC"


@pytest.mark.parametrize("on_stale", OnStale)
def test_stale_says_what_the_owner_wants_of_it(on_stale: OnStale) -> None:
    made = decided(seen(50, age_s=700), obeyed=policy(on_stale=on_stale, warm_replicas=3), memory=held(5))
    state, because = state_of(made, told=True)
    assert state is State.STALE
    assert because.startswith(
        f"demand is 700 s old, beyond the 600 s that a target is held; on_stale is {on_stale}"
    )
    assert ("floor of 3" in because) == (on_stale is OnStale.FLOOR)


@pytest.mark.parametrize(
    ("obeyed", "last_good", "words"),
    [
        (policy(min_replicas=2), 5, "only the floor of 2 stays"),
        (policy(), 5, "only the floor of 1 stays, kept above zero: missing data is no reason for zero"),
        (policy(), 0, "only the floor of 0 stays"),
        (
            replace(policy(min_replicas=1), warmth=Warmth(floors=(ALL_DAY,))),
            5,
            "only the floor of 4 stays, 'day' holds 4",
        ),
    ],
)
def test_the_floor_that_is_said_to_stay_is_the_number_that_is_told(
    obeyed: Policy, last_good: int, words: str
) -> None:
    made = decided(seen(50, age_s=700), obeyed=obeyed, memory=held(last_good))
    assert f"on_stale is floor, so {words}" in state_of(made, told=True).because
    assert f"floor of {made.answer.published} stays" in words
    assert floor_in_force(made).replicas == made.answer.published


def test_demand_that_was_never_seen_is_unknown_and_then_nothing_is_told() -> None:
    made = decided(seen(None), notes=("no backend is chosen",))
    assert state_of(made, told=True) == (State.UNKNOWN, "demand was never seen: no backend is chosen")
    assert state_of(made, told=False) == (
        State.UNAVAILABLE,
        "KEDA is told UNAVAILABLE: demand was never seen: no backend is chosen",
    )


def test_a_decision_that_is_too_old_is_unavailable_and_says_since_when() -> None:
    state, because = state_of(FINE, told=False)
    assert state is State.UNAVAILABLE
    assert because == "KEDA is told UNAVAILABLE: the last decision was valid until 02 Mar 12:10:00 UTC"


@given(
    told=st.booleans(),
    paused=st.booleans(),
    bound=st.booleans(),
    home=st.sampled_from([(), HOME, ("native",)]),
    age_s=st.sampled_from([0.0, 120.0, 700.0]),
)
def test_of_several_states_the_worst_is_told(
    *, told: bool, paused: bool, bound: bool, home: tuple[str, ...], age_s: float
) -> None:
    observed = seen(50, age_s=age_s)
    if bound:
        observed = replace(observed, allowance=Allowance(2, "2 are left"))
    made = decided(observed, forecast=flat_forecast(60), memory=held(8), home=home)
    paused_until = NOON + timedelta(hours=1) if paused else None
    order = list(State)
    base = {0.0: State.OK, 120.0: State.HOLDING, 700.0: State.STALE}[age_s]
    holding = [base]
    holding += [State.DEMOTED] * (home == ("native",))
    holding += [State.BUDGET_BOUND] * (made.plan.granted is not None and made.plan.granted.limited)
    holding += [State.PAUSED] * paused
    holding += [State.UNAVAILABLE] * (not told)
    state, because = state_of(made, told=told, paused_until=paused_until)
    assert state is max(holding, key=order.index)
    assert because


def test_the_ceiling_is_reached_when_as_many_are_wanted_as_there_may_be() -> None:
    for most, reached in ((4, True), (5, True), (6, True), (7, False)):
        made = decided(seen(50), forecast=flat_forecast(60), obeyed=policy(max_replicas=most))
        assert at_ceiling(made) is reached


@pytest.mark.parametrize(("demand", "cut"), [(95.0, False), (100.0, False), (101.0, True)])
def test_a_ceiling_cuts_what_is_above_it_and_not_what_just_reaches_it(demand: float, cut: bool) -> None:  # noqa: FBT001 - one of a table
    assert cut_by_ceiling(decided(seen(demand), obeyed=policy(max_replicas=10))) is cut
