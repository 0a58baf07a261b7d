"""Who goes live first, and what the two groups tell of each other."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.canary import Measured, compared, first

NAMES = st.lists(st.text("abcdef/", min_size=1, max_size=8), min_size=1, max_size=40, unique=True)
SHARES = st.floats(0.001, 1)


@given(names=NAMES, share=SHARES, more=SHARES)
def test_a_larger_share_holds_the_smaller_one(names: list[str], share: float, more: float) -> None:
    small, large = sorted((share, more))
    assert set(first(names, share=small)) <= set(first(names, share=large))
    assert set(first(names, share=1)) == set(names)


@given(names=NAMES, share=SHARES, seed=st.integers(0, 99))
def test_the_order_in_which_they_are_named_does_not_matter(names: list[str], share: float, seed: int) -> None:
    shuffled = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    assert first(names, share=share) == first(shuffled, share=share)


def test_a_share_of_few_is_at_least_one_and_of_eight_a_quarter_is_two() -> None:
    names = [f"llm/{n}" for n in range(8)]
    assert [len(first(names[:n], share=0.25)) for n in (1, 3, 4, 8)] == [1, 1, 1, 2]
    assert len(first([f"llm/{n}" for n in range(10)], share=0.3)) == 3
    with pytest.raises(ValueError, match="share"):
        first(names, share=0)


def side(*late: float) -> list[Measured]:
    return [Measured(late=each, cost=1.0 + each) for each in late]


def test_one_empty_side_tells_nothing_and_two_workloads_tell_no_interval() -> None:
    assert compared(side(), side(0.1)).late is None
    few = compared(side(0.2, 0.4), side(0.1, 0.1, 0.1)).late
    assert few is not None
    assert few.mean == pytest.approx(0.2)
    assert few.within is None
    assert not few.worse


def test_a_difference_beyond_what_workloads_differ_by_is_worse() -> None:
    far = compared(side(0.30, 0.31, 0.32), side(0.10, 0.11, 0.12))
    assert far.late is not None
    assert far.late.worse
    near = compared(side(0.0, 0.3, 0.32), side(0.10, 0.2, 0.12)).late
    assert near is not None
    assert not near.worse
    better = compared(side(0.10, 0.11, 0.12), side(0.30, 0.31, 0.32)).late
    assert better is not None
    assert not better.worse


@pytest.mark.parametrize(("live", "shadow"), [(3, 3), (4, 12), (25, 30)])
def test_the_interval_holds_what_is_true_about_as_often_as_it_says(live: int, shadow: int) -> None:
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        found = compared(side(*rng.normal(0.2, 0.1, live)), side(*rng.normal(0.1, 0.1, shadow))).late
        assert found is not None
        assert found.within is not None
        held += abs(found.mean - 0.1) <= found.within
    # Too wide rather than too narrow: the smaller side's freedom is taken for both.
    assert held >= 0.93 * 400
