from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.series import Floats, MetricWindow
from predictscale.simulate.bridge import bridged

START = datetime(2026, 3, 2, tzinfo=UTC)


def coarse(values: Floats | list[float], step_s: float = 600) -> MetricWindow:
    return MetricWindow(START, step_s, np.asarray(values, dtype=np.float64))


def random_walk(size: int, *, seed: int) -> Floats:
    walk: Floats = 100 * np.exp(np.cumsum(0.02 * np.random.default_rng(seed).standard_normal(size)))
    return walk


def test_a_sample_is_met_at_the_centre_of_its_bin() -> None:
    values = random_walk(50, seed=1)
    fine = bridged(coarse(values), 60, seed=2)
    np.testing.assert_allclose(fine.values[5::10], values, rtol=1e-9)


def test_a_fine_trace_is_left_alone() -> None:
    window = coarse([1.0, 2.0], step_s=60)
    assert bridged(window, 60, seed=1) is window


def test_equal_seeds_draw_equal_paths_and_others_do_not() -> None:
    window = coarse(random_walk(50, seed=1))
    once, again, other = (bridged(window, 60, seed=seed).values for seed in (3, 3, 4))
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


def test_the_slope_of_a_path_does_not_tell_the_next_sample_of_a_random_walk() -> None:
    values = random_walk(20_000, seed=5)
    logs = np.log(bridged(coarse(values), 60, seed=6).values)
    knots = np.arange(5, logs.size - 20, 10)
    seen, left = logs[knots + 3] - logs[knots], logs[knots + 10] - logs[knots + 3]
    assert abs(np.corrcoef(seen, left)[0, 1]) < 0.03
    line = np.interp(np.arange(logs.size), np.arange(5, logs.size, 10), np.log(values))
    straight = np.corrcoef(line[knots + 3] - line[knots], line[knots + 10] - line[knots + 3])[0, 1]
    assert straight > 0.99


def test_a_path_moves_as_much_within_a_bin_as_a_random_walk_does() -> None:
    values = random_walk(20_000, seed=7)
    logs = np.log(bridged(coarse(values), 60, seed=8).values)
    # A tenth of a move's variance in a tenth of its time.
    assert np.var(np.diff(logs)) * 10 == pytest.approx(np.var(np.diff(np.log(values))), rel=0.1)


@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1e6)), min_size=1, max_size=30),
    st.sampled_from([60.0, 120.0, 300.0]),
)
def test_gaps_stay_gaps_and_nothing_is_negative(values: list[float | None], step_s: float) -> None:
    window = coarse([np.nan if value is None else value for value in values])
    fine = bridged(window, step_s, seed=1)
    parts = round(600 / step_s)
    assert (fine.start, fine.end, fine.step_s) == (window.start, window.end, step_s)
    np.testing.assert_array_equal(fine.known, np.repeat(window.known, parts))


def test_a_step_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="no whole multiple"):
        bridged(coarse([1.0, 2.0]), 70, seed=1)
