"""The solver against the conditions of an optimum, and against a search that knows no algebra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from predictscale.core.nnls import MOST_UNKNOWNS, nonnegative_least_squares
from predictscale.core.series import Floats

NUMBERS = st.floats(-100, 100, allow_nan=False).map(lambda x: round(x, 3))


@st.composite
def problems(draw: st.DrawFn) -> tuple[Floats, Floats]:
    rows, unknowns = draw(st.integers(1, 8)), draw(st.integers(1, 3))
    return draw(arrays(np.float64, (rows, unknowns), elements=NUMBERS)), draw(
        arrays(np.float64, rows, elements=NUMBERS)
    )


def loss(design: Floats, values: Floats, x: Floats) -> float:
    return float(((design @ x - values) ** 2).sum())


def descended(design: Floats, values: Floats, rounds: int = 3000) -> Floats:
    """One coordinate at a time, clipped at 0: slow, and sure for a convex loss."""
    x = np.zeros(design.shape[1])
    for _ in range(rounds):
        for place, column in enumerate(design.T):
            length = column @ column
            if length > 0:
                x[place] = max(0.0, x[place] - column @ (design @ x - values) / length)
    return x


@given(problems())
def test_the_answer_meets_the_conditions_of_an_optimum(problem: tuple[Floats, Floats]) -> None:
    design, values = problem
    x = nonnegative_least_squares(design, values)
    slope = design.T @ (design @ x - values)
    slack = 1e-6 * (1 + np.abs(design).max() * (np.abs(values).max() + np.abs(design @ x).max()))
    assert (x >= 0).all()
    assert (slope >= -slack).all(), "no coefficient would gain by growing"
    assert (np.abs(slope[x > 0]) <= slack).all(), "no free coefficient would gain by moving"


@given(problems())
def test_no_search_finds_better(problem: tuple[Floats, Floats]) -> None:
    design, values = problem
    found = nonnegative_least_squares(design, values)
    searched = descended(design, values, rounds=200)
    assert loss(design, values, found) <= loss(design, values, searched) * (1 + 1e-9) + 1e-9


def test_an_unbounded_optimum_is_the_plain_one() -> None:
    draw = np.random.default_rng(1)
    design, truth = draw.normal(size=(50, 3)), np.array([2.0, 0.5, 3.0])
    assert nonnegative_least_squares(design, design @ truth) == pytest.approx(truth)


def test_a_coefficient_that_would_be_negative_is_held_at_zero() -> None:
    draw = np.random.default_rng(2)
    design = draw.normal(size=(50, 3))
    x = nonnegative_least_squares(design, design @ np.array([2.0, -1.0, 3.0]))
    assert x[1] == 0
    assert x == pytest.approx(descended(design, design @ np.array([2.0, -1.0, 3.0])), rel=1e-6)


def test_units_that_are_far_apart_do_not_spoil_it() -> None:
    draw = np.random.default_rng(3)
    design = np.column_stack((np.ones(100), -draw.uniform(0, 5000, 100), -draw.uniform(0, 1e6, 100)))
    truth = np.array([80.0, 2e-3, 3e-6])
    assert nonnegative_least_squares(design * 1e-7, design @ truth * 1e-7) == pytest.approx(truth, rel=1e-6)


def test_columns_that_depend_on_each_other_still_give_an_optimum() -> None:
    column = np.array([1.0, 2.0, 3.0])
    x = nonnegative_least_squares(np.column_stack((column, 2 * column)), 4 * column)
    assert x @ np.array([1.0, 2.0]) == pytest.approx(4)


@pytest.mark.parametrize(
    ("design", "values"),
    [
        (np.ones((3, 2)), np.ones(2)),
        (np.ones((3, MOST_UNKNOWNS + 1)), np.ones(3)),
        (np.full((3, 2), np.nan), np.ones(3)),
        (np.ones((3, 2)), np.array([1, np.inf, 1])),
    ],
)
def test_what_is_no_problem_is_refused(design: Floats, values: Floats) -> None:
    with pytest.raises(ValueError, match=r"design|not finite"):
        nonnegative_least_squares(design, values)
