"""Choices look back, keep a promise where one can be kept, and do not flutter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from predictscale.core.series import Floats
from predictscale.simulate.honest import Rule, choose, compose, operate

RULE = Rule(asked=0.01, aim=0.5, record=4, least=2, keep=0.05)


def floats(*values: float) -> Floats:
    return np.array(values)


def test_the_cheapest_that_met_the_aim_serves() -> None:
    late, billed = floats(0.0, 0.4, 0.6), floats(30.0, 20.0, 10.0)
    assert choose(late, 100.0, billed, rule=RULE) == 1


def test_a_candidate_at_exactly_the_aim_has_met_it() -> None:
    assert choose(floats(0.0, 0.5), 100.0, floats(30.0, 20.0), rule=RULE) == 1


def test_if_none_met_the_aim_the_least_late_serves_whatever_it_costs() -> None:
    assert choose(floats(9.0, 3.0, 3.0), 100.0, floats(1.0, 30.0, 20.0), rule=RULE) == 2


def test_without_demand_the_cheapest_serves() -> None:
    assert choose(floats(0.0, 0.0), 0.0, floats(3.0, 2.0), rule=RULE) == 1


def test_who_serves_stays_until_another_is_clearly_cheaper() -> None:
    late = floats(0.0, 0.0)
    assert choose(late, 100.0, floats(100.0, 96.0), rule=RULE, serving=0) == 0
    assert choose(late, 100.0, floats(100.0, 94.0), rule=RULE, serving=0) == 1


def test_who_serves_and_no_longer_meets_the_aim_goes_at_once() -> None:
    assert choose(floats(0.6, 0.0), 100.0, floats(10.0, 90.0), rule=RULE, serving=0) == 1


RECORDS = st.integers(3, 20).flatmap(
    lambda periods: st.tuples(
        arrays(np.float64, (3, periods), elements=st.integers(0, 3).map(float)),
        arrays(np.float64, (periods,), elements=st.integers(50, 200).map(float)),
        arrays(np.float64, (3, periods), elements=st.integers(1, 50).map(float)),
    )
)


@given(RECORDS)
def test_each_choice_is_made_from_the_periods_before_it(record: tuple[Floats, Floats, Floats]) -> None:
    late, arrived, billed = record
    chosen = operate(late, arrived, billed, rule=RULE)
    serving = None
    for period in range(arrived.size):
        if period < RULE.least:
            assert chosen[period] == 0
            continue
        past = slice(max(0, period - RULE.record), period)
        serving = choose(
            late[:, past].sum(axis=1),
            float(arrived[past].sum()),
            billed[:, past].sum(axis=1),
            rule=RULE,
            serving=serving,
        )
        assert chosen[period] == serving


@given(RECORDS, st.integers(0, 19))
def test_what_comes_later_changes_no_choice(record: tuple[Floats, Floats, Floats], at: int) -> None:
    late, arrived, billed = record
    other = [table.copy() for table in (late, arrived, billed)]
    for table in other:
        table[..., at:] = table[..., at:] * 5 + 1
    was, now = operate(late, arrived, billed, rule=RULE), operate(*other, rule=RULE)
    assert was[: at + 1].tolist() == now[: at + 1].tolist()


def test_a_frugal_candidate_serves_until_it_begins_to_be_late_and_again_when_that_is_forgotten() -> None:
    # Careful 20 an hour and never late; frugal 10 an hour and late in hour 6 alone.
    late = np.zeros((2, 14))
    late[1, 6] = 5.0
    billed = np.array([[20.0], [10.0]]) * np.ones(14)
    chosen = operate(late, np.full(14, 100.0), billed, rule=RULE)
    assert chosen.tolist() == [0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1, 1]


def test_a_plan_is_pieced_together_from_those_who_served() -> None:
    desired = np.array([[1, 2, 3, 4, 5], [10, 20, 30, 40, 50]], dtype=np.int32)
    assert compose(desired, np.array([1, 0, 1]), period_steps=2).tolist() == [10, 20, 3, 4, 50]


@pytest.mark.parametrize(
    "wrong", [{"asked": 0.0}, {"aim": 0.0}, {"keep": 1.0}, {"least": 0}, {"least": 9, "record": 8}]
)
def test_a_rule_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"asked|record"):
        Rule(**{"asked": 0.01, **wrong})  # type: ignore[arg-type]
