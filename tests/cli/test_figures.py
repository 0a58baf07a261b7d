"""Numbers as the tables of the commands print them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.cli.figures import figure


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (24216.4, "24,216"),
        (4.43478, "4.435"),
        (1200.0, "1,200"),
        (0.0, "0"),
        (-1234.5, "-1,234"),
        (12.0, "12"),
    ],
)
def test_four_digits_count_and_thousands_are_parted(value: float, said: str) -> None:
    assert figure(value) == said


@given(st.floats(min_value=0.001, max_value=1e15))
def test_what_is_printed_is_near_and_has_no_exponent(value: float) -> None:
    said = figure(value)
    assert "e" not in said
    assert math.isclose(float(said.replace(",", "")), value, rel_tol=1e-3)
