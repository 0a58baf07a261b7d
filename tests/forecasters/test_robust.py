"""What is believed of a series, and what is not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from made_series import DAY_S, window
from predictscale.core.series import Floats
from predictscale.errors import FitFailed, NotEnoughHistory
from predictscale.forecasters.robust import (
    BELIEVED,
    coarse_step_s,
    filled,
    highest,
    require,
    roots,
    trailing_mean,
)

_demand = st.one_of(st.floats(0, 1e6), st.just(float("nan")))
_series = hnp.arrays(np.float64, st.integers(1, 60), elements=_demand)


@given(_series)
def test_no_more_than_two_samples_lie_above_the_highest_confirmed_one(values: Floats) -> None:
    assert (values > highest(values)).sum() <= 2


@given(_series, st.integers(0, 59))
def test_one_spike_cannot_move_what_is_believed_beyond_the_next_highest(values: Floats, place: int) -> None:
    spiked = values.copy()
    spiked[place % values.size] = 1e12
    known = np.sort(spiked[~np.isnan(spiked)])
    ordinary = known[-2] if known.size > 1 else 1e12
    assert highest(spiked) <= ordinary


def test_nothing_known_has_no_highest() -> None:
    assert highest(np.array([])) == 0.0
    assert highest(np.array([np.nan, np.nan])) == 0.0


def test_a_spike_counts_a_few_times_the_confirmed_highest() -> None:
    values = np.array([4.0, 9.0, 9.0, 9.0, 1e12, np.nan])
    believed = roots(values, high=highest(values))
    np.testing.assert_allclose(believed[:5], [2, 3, 3, 3, np.sqrt(BELIEVED * 9)])
    assert np.isnan(believed[5])


@given(_series, st.integers(1, 70))
def test_a_trailing_mean_is_the_mean_of_what_is_known_of_the_last_bins(values: Floats, bins: int) -> None:
    means = trailing_mean(values, bins)
    for i, mean in enumerate(means):
        if np.isnan(values[i]):
            assert np.isnan(mean)
        else:
            assert mean == pytest.approx(np.nanmean(values[max(0, i + 1 - bins) : i + 1]), abs=1e-6)


@given(_series, st.integers(1, 70))
def test_filling_leaves_no_gap_and_touches_nothing_known(values: Floats, period: int) -> None:
    known = ~np.isnan(values)
    if not known.any():
        with pytest.raises(FitFailed, match=f"all of {values.size}"):
            filled(values, period=period)
        return
    whole = filled(values, period=period)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(whole[known], values[known])
    assert whole.min() >= values[known].min()
    assert whole.max() <= values[known].max()


def test_a_gap_takes_the_value_of_the_season_before_else_of_the_one_after() -> None:
    nan = np.nan
    values = np.array([nan, 2, 3, 1, nan, 3, 1, nan, 4])
    np.testing.assert_array_equal(filled(values, period=3), [1, 2, 3, 1, 2, 3, 1, 2, 4])


@pytest.mark.parametrize(
    ("step_s", "near_s", "wanted_s"),
    [(60, 300, 300), (15, 900, 900), (45, 300, 270), (3600, 300, 3600), (70, 300, 280), (7, 300, 301)],
)
def test_a_coarse_grid_is_a_multiple_of_the_fine_one_and_divides_the_day_if_any_near_does(
    step_s: float, near_s: float, wanted_s: float
) -> None:
    coarse_s = coarse_step_s(step_s, near_s=near_s)
    assert coarse_s % step_s == 0
    near = [k * step_s for k in range(1, 1000) if near_s / 2 <= k * step_s <= 2 * near_s]
    if any(DAY_S % c == 0 for c in near):
        assert DAY_S % coarse_s == 0
    assert coarse_s == wanted_s


def test_only_known_bins_are_history() -> None:
    half_known = window(np.array([1.0, np.nan] * 10))
    require(half_known, 3000.0)
    with pytest.raises(NotEnoughHistory, match="needs 3001 s of history, has 3000 s"):
        require(half_known, 3001.0)
