"""Losses by hand, and what must hold of any loss."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from predictscale.core.series import Floats
from predictscale.forecasters.scoring import (
    coverage,
    geometric_mean,
    mase,
    mean_change,
    pinball,
    weighted_quantile_loss,
)

LEVELS = (0.5, 0.9)
SAID = np.array([[8.0, 12.0], [10.0, 15.0], [30.0, 30.0]])
CAME = np.array([10.0, 20.0, 25.0])

demand = arrays(np.float64, st.integers(1, 30), elements=st.floats(0.0, 1e9, allow_subnormal=False))


def test_pinball_charges_a_miss_above_by_the_level_and_below_by_the_rest() -> None:
    # Level 0.5: (0.5*2 + 0.5*10 + 0.5*5) / 3; level 0.9: (0.1*2 + 0.9*5 + 0.1*5) / 3.
    np.testing.assert_allclose(pinball(CAME, SAID, LEVELS), [8.5 / 3, 5.2 / 3])


def test_wql_is_twice_the_loss_over_the_demand() -> None:
    # Summed losses 8.5 and 5.2, summed demand 55.
    assert weighted_quantile_loss(CAME, SAID, LEVELS) == pytest.approx(2 * (8.5 + 5.2) / 2 / 55)


def test_at_the_median_wql_is_the_share_of_absolute_errors() -> None:
    assert weighted_quantile_loss(CAME, SAID[:, :1], (0.5,)) == pytest.approx((2 + 10 + 5) / 55)


def test_coverage_counts_what_was_not_exceeded() -> None:
    np.testing.assert_allclose(coverage(CAME, SAID, LEVELS), [1 / 3, 2 / 3])


def test_mase_compares_with_the_change_from_step_to_step() -> None:
    history = np.array([1.0, 3.0, np.nan, 5.0, 4.0, 4.0])
    assert mean_change(history) == pytest.approx((2 + 1 + 0) / 3)
    assert mase(CAME, SAID[:, 0], scale=mean_change(history)) == pytest.approx(17 / 3)


@given(demand)
def test_a_perfect_forecast_loses_nothing_and_is_always_covered(came: Floats) -> None:
    said = np.repeat(came[:, None], 2, axis=1)
    np.testing.assert_array_equal(pinball(came, said, LEVELS), 0.0)
    np.testing.assert_array_equal(coverage(came, said, LEVELS), 1.0)
    assert mase(came, came, scale=1.0) == 0.0
    if came.any():
        assert weighted_quantile_loss(came, said, LEVELS) == 0.0


@given(demand, st.floats(1.0, 1e6), st.floats(0.1, 100.0))
def test_wql_does_not_depend_on_the_unit(came: Floats, miss: float, unit: float) -> None:
    came = came + 1.0
    said = np.stack((came + miss, came + 2 * miss), axis=1)
    assert weighted_quantile_loss(came * unit, said * unit, LEVELS) == pytest.approx(
        weighted_quantile_loss(came, said, LEVELS)
    )


def test_the_true_quantile_loses_least() -> None:
    came = np.arange(1.0, 101.0)

    def loss(quantile: float) -> float:
        return float(pinball(came, np.full((100, 1), quantile), (0.9,))[0])

    assert min(range(1, 101), key=loss) in (90, 91)


def test_what_is_not_known_is_not_scored() -> None:
    came = np.append(CAME, np.nan)
    said = np.vstack((SAID, [[np.nan, 7.0]]))
    np.testing.assert_array_equal(pinball(came, said, LEVELS), pinball(CAME, SAID, LEVELS))
    np.testing.assert_array_equal(coverage(came, said, LEVELS), coverage(CAME, SAID, LEVELS))
    assert weighted_quantile_loss(came, said, LEVELS) == weighted_quantile_loss(CAME, SAID, LEVELS)


def test_nothing_known_has_no_score_and_no_demand_has_no_size() -> None:
    nothing = np.full(3, np.nan)
    assert np.isnan(pinball(nothing, SAID, LEVELS)).all()
    assert np.isnan(coverage(nothing, SAID, LEVELS)).all()
    assert np.isnan(weighted_quantile_loss(nothing, SAID, LEVELS))
    assert np.isnan(weighted_quantile_loss(np.zeros(3), SAID, LEVELS))
    assert np.isnan(mase(nothing, SAID[:, 0], scale=1.0))
    assert np.isnan(mase(CAME, SAID[:, 0], scale=0.0))
    assert np.isnan(mean_change(np.array([1.0, np.nan, 2.0])))


def test_a_forecast_of_a_known_value_is_a_number() -> None:
    with pytest.raises(ValueError, match="1 values are not finite"):
        pinball(CAME, np.where(SAID == 12.0, np.nan, SAID), LEVELS)


def test_shapes_have_to_fit() -> None:
    with pytest.raises(ValueError, match=r"must be \(n,\) and \(n, 2\)"):
        pinball(CAME, SAID[:2], LEVELS)


def test_twice_and_half_cancel() -> None:
    assert geometric_mean([2.0, 0.5]) == pytest.approx(1.0)
    assert geometric_mean([0.0, 5.0]) == 0.0
    assert np.isnan(geometric_mean([]))
