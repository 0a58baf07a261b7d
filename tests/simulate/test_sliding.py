import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.simulate.sliding import ahead_max, trailing_max


@given(
    values=st.lists(st.integers(-5, 5), min_size=1, max_size=40),
    width=st.integers(1, 50),
)
def test_each_window_gives_its_highest_and_the_edges_what_there_is(values: list[int], width: int) -> None:
    table = np.array([values, values[::-1]])
    n = len(values)
    ahead = [[max(row[i : i + width]) for i in range(n)] for row in table.tolist()]
    trailing = [[max(row[max(0, i - width + 1) : i + 1]) for i in range(n)] for row in table.tolist()]
    assert ahead_max(table, width).tolist() == ahead
    assert trailing_max(table, width).tolist() == trailing


def test_what_is_given_is_not_changed() -> None:
    values = np.arange(5.0)
    highest = ahead_max(values, 1)
    highest[:] = 9.0
    assert values.tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="width: 0"):
        ahead_max(np.zeros(3), 0)
