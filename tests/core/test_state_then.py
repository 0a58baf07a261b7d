"""What a decision itself says of how its workload fared, whenever that is asked."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.control.step import StepMemory, step
from predictscale.core.budget import Allowance
from predictscale.core.plan import Decision, Memory, Mode, OnStale, Policy
from predictscale.core.state import Mark, State, marks_of, state_of, state_then
from worlds import CHAT, flat_forecast, policy, seen


def decided(
    demand: float | None = 50,
    *,
    age_s: float = 0,
    obeyed: Policy | None = None,
    allowance: Allowance | None = None,
    home: tuple[str, ...] = ("oracle",),
) -> Decision:
    """A decision with a forecast of the oracle's, and a memory of 10 replicas if there ever was demand."""
    memory = Memory(last_good=None if demand is None else 10)
    made, _ = step(
        CHAT,
        replace(seen(demand, age_s=age_s, replicas=10), allowance=allowance),
        flat_forecast(60),
        obeyed or policy(),
        StepMemory(live=memory, reactive=memory),
        unit="requests/s",
    )
    return replace(made, home=home)


GONE = policy(on_stale=OnStale.UNAVAILABLE)
PAUSED = replace(policy(), paused_with=10)
POOR = Allowance(most=2, because="of 100 a month 10 are left")


@pytest.mark.parametrize(
    ("decision", "marks", "state"),
    [
        (decided(), (), State.OK),
        (decided(home=("native",)), (Mark.DEMOTED,), State.DEMOTED),
        (decided(home=()), (), State.OK),
        (decided(obeyed=PAUSED), (Mark.PAUSED,), State.PAUSED),
        (decided(age_s=5000), (), State.STALE),
        (decided(age_s=5000, obeyed=GONE), (Mark.UNAVAILABLE,), State.UNAVAILABLE),
        (decided(None), (Mark.UNAVAILABLE,), State.UNAVAILABLE),
        (decided(allowance=POOR), (Mark.BUDGET_BOUND,), State.BUDGET_BOUND),
        (decided(50_000), (Mark.AT_CEILING,), State.OK),
        (decided(obeyed=policy(mode=Mode.SHADOW)), (Mark.SHADOW,), State.OK),
        (
            decided(50_000, obeyed=replace(PAUSED, mode=Mode.SHADOW), home=("native",)),
            (Mark.DEMOTED, Mark.PAUSED, Mark.AT_CEILING, Mark.SHADOW),
            State.PAUSED,
        ),
    ],
    ids=[
        "fine", "stand-in", "nobody says who is at home", "paused", "stale", "gone", "never seen", "budget",
        "ceiling", "shadow", "many",
    ],
)  # fmt: skip
def test_each_thing_that_held_is_a_mark_and_the_worst_is_the_state(
    decision: Decision, marks: tuple[Mark, ...], state: State
) -> None:
    assert marks_of(decision) == marks
    assert state_then(decision, told=decision.answer.available).state is state


def test_a_pause_is_told_with_who_was_there_and_without_an_end_that_may_change() -> None:
    _, because = state_then(decided(obeyed=PAUSED), told=True)
    assert because == "a person has asked that the fleet does not shrink; 10 were there when that began"
    _, because = state_then(decided(obeyed=replace(policy(), paused_with=0)), told=True)
    assert because == "a person has asked that the fleet does not shrink"


@given(
    demand=st.one_of(st.none(), st.floats(0, 1e5)),
    age_s=st.floats(0, 5000),
    on_stale=st.sampled_from(OnStale),
    mode=st.sampled_from(Mode),
    home=st.sampled_from([(), ("oracle",), ("native",)]),
    told=st.booleans(),
)
def test_without_a_pause_it_is_what_is_told_of_the_newest(
    *,
    demand: float | None,
    age_s: float,
    on_stale: OnStale,
    mode: Mode,
    home: tuple[str, ...],
    told: bool,
) -> None:
    decision = decided(demand, age_s=age_s, obeyed=policy(on_stale=on_stale, mode=mode), home=home)
    assert state_then(decision, told=told) == state_of(decision, told=told)
    assert (Mark.UNAVAILABLE in marks_of(decision)) is not decision.answer.available
    assert Mark.PAUSED not in marks_of(decision)


def test_marks_and_states_of_the_same_thing_are_the_same_word() -> None:
    both = {mark.value for mark in Mark} & {state.value for state in State}
    assert both == {"demoted", "budget-bound", "paused", "unavailable"}
