"""A month's budget: how many replicas it allows, and what gives way first."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.budget import (
    Allowance,
    Giving,
    MonthlyBudget,
    allowance,
    give_way,
    spent_in_all,
)

BUDGET = MonthlyBudget(per_month=10_000.0, currency="EUR")
START = datetime(2026, 6, 1, tzinfo=UTC)
COUNTS = st.integers(0, 60)


def most(
    *, days: float, spent: float | None, price: float = 4.0, budget: MonthlyBudget = BUDGET
) -> int | None:
    return allowance(budget, now=START + timedelta(days=days), spent=spent, per_replica_h=price).most


def test_what_is_left_is_spread_over_what_is_left_of_the_month_with_slack() -> None:
    # 10,000 / (720 h x 4) x 1.5 = 5.2; half of it after half the month is the same pace.
    assert most(days=0, spent=0.0) == 5
    assert most(days=15, spent=5_000.0) == 5
    assert most(days=15, spent=8_000.0) == 2
    assert most(days=15, spent=12_000.0) == 0


def test_a_month_is_its_owners_own() -> None:
    berlin = MonthlyBudget(per_month=1.0, currency="EUR", zone="Europe/Berlin")
    # March has the hour less, October the hour more.
    for month, hours in ((3, 31 * 24 - 1), (10, 31 * 24 + 1), (2, 28 * 24), (12, 31 * 24)):
        begin, end = berlin.month(datetime(2026, month, 15, tzinfo=UTC))
        assert end - begin == timedelta(hours=hours)
    for hour in (22.5, 34.0):
        now = datetime(2026, 5, 31, tzinfo=UTC) + timedelta(hours=hour)
        assert berlin.month(now)[0] == datetime(2026, 5, 31, 22, tzinfo=UTC)


@given(
    price=st.floats(0.1, 50),
    slack=st.floats(1, 3),
    hours=st.integers(0, 40),
    minutes=st.sampled_from([1, 5, 15, 60]),
)
def test_a_budget_that_is_held_to_is_never_overspent(
    price: float, slack: float, hours: int, minutes: int
) -> None:
    budget = MonthlyBudget(per_month=500.0, currency="EUR", slack=slack)
    now, end = START + timedelta(days=30, hours=-hours), START + timedelta(days=30)
    spent = 0.0
    while now < end:
        allowed = allowance(budget, now=now, spent=spent, per_replica_h=price).most
        assert allowed is not None
        spent += allowed * price * minutes / 60
        now += timedelta(minutes=minutes)
    assert spent <= 500.0 * (1 + 1e-9)


def test_what_was_spent_and_is_not_known_binds_nothing_and_says_so() -> None:
    allowed = allowance(BUDGET, now=START, spent=None, per_replica_h=4.0)
    assert allowed.most is None
    assert "what was spent this month is not known" in allowed.because
    granted = give_way(allowed, wanted=1000, relaxed=10, batch=50)
    assert (granted.replicas, granted.batch, granted.limited) == (1000, 50, False)
    assert granted.because == allowed.because


@pytest.mark.parametrize(
    ("allowed", "giving", "replicas", "batch"),
    [
        (20, Giving.NOTHING, 10, 4),
        (14, Giving.NOTHING, 10, 4),
        (13, Giving.BATCH, 10, 3),
        (10, Giving.BATCH, 10, 0),
        (9, Giving.QUANTILE, 9, 0),
        (7, Giving.QUANTILE, 7, 0),
        (6, Giving.REFUSED, 6, 0),
        (0, Giving.REFUSED, 1, 0),
    ],
)
def test_batch_gives_way_first_then_the_quantile_then_what_is_here(
    allowed: int, giving: Giving, replicas: int, batch: int
) -> None:
    granted = give_way(Allowance(allowed, "the money"), wanted=10, relaxed=7, batch=4, least=1)
    assert (granted.giving, granted.replicas, granted.batch) == (giving, replicas, batch)
    assert granted.limited == (giving is not Giving.NOTHING)
    if granted.limited:
        assert granted.because.startswith("CUT")
    assert granted.because.endswith("the money")


def test_no_budget_goes_below_the_owners_minimum_and_that_is_said() -> None:
    over = give_way(Allowance(1, "the money"), wanted=3, relaxed=3, least=3)
    assert (over.replicas, over.giving) == (3, Giving.NOTHING)
    assert over.because == "OVER the budget by the minimum of 3; the money"
    kept = give_way(Allowance(1, "the money"), wanted=9, relaxed=9, least=3)
    assert kept.replicas == 3
    assert "kept up by the minimum of 3" in kept.because


@given(allowed=COUNTS, wanted=COUNTS, relaxed=COUNTS, batch=COUNTS, least=st.integers(0, 5))
def test_a_grant_keeps_to_the_money_and_to_the_order(
    allowed: int, wanted: int, relaxed: int, batch: int, least: int
) -> None:
    granted = give_way(Allowance(allowed, "m"), wanted=wanted, relaxed=relaxed, batch=batch, least=least)
    assert granted.replicas <= wanted
    assert granted.batch <= batch
    # As much of the money is used as is wanted, and nothing more but for the minimum.
    total = granted.replicas + granted.batch
    assert total == min(wanted + batch, allowed) or granted.replicas == min(least, wanted) > allowed
    # Nobody gives way before the one that comes first has given everything.
    if granted.replicas < wanted:
        assert granted.batch == 0
    if granted.giving is Giving.REFUSED:
        assert granted.replicas < relaxed


@given(spent=st.floats(0, 20_000), more=st.floats(0, 20_000), days=st.floats(0, 29.9))
def test_more_spent_never_allows_more(spent: float, more: float, days: float) -> None:
    before, after = most(days=days, spent=spent), most(days=days, spent=spent + more)
    assert before is not None
    assert after is not None
    assert after <= before


@pytest.mark.parametrize("wrong", [{"per_month": 0.0}, {"slack": 0.5}, {"zone": "Mars/Olympus"}])
def test_a_budget_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    right: dict[str, object] = {"per_month": 1.0, "currency": "EUR"}
    with pytest.raises(ValueError, match=r"per_month|slack|Mars"):
        MonthlyBudget(**{**right, **wrong})  # type: ignore[arg-type]  # wrong on purpose


def test_time_that_is_not_known_is_taken_to_have_cost_as_much_as_the_rest() -> None:
    assert spent_in_all(300.0, priced_s=3000.0, span_s=4000.0) == pytest.approx(400.0)
    assert spent_in_all(300.0, priced_s=4000.0, span_s=4000.0) == 300.0
    assert spent_in_all(0.0, priced_s=0.0, span_s=0.0) == 0.0


def test_less_than_half_of_a_month_is_no_account_of_it() -> None:
    assert spent_in_all(300.0, priced_s=1999.0, span_s=4000.0) is None
    assert spent_in_all(0.0, priced_s=0.0, span_s=10.0) is None
