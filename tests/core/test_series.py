from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.series import MetricWindow, floor_to_grid

START = datetime(2026, 3, 2, tzinfo=UTC)
EPOCH_S = START.timestamp()


def window(*values: float, step_s: float = 60, start: datetime = START) -> MetricWindow:
    return MetricWindow(start, step_s, np.array(values, dtype=float))


NAN = float("nan")


def test_a_bin_that_no_sample_falls_into_is_a_gap_not_zero() -> None:
    laid, _ = MetricWindow.from_samples(
        [EPOCH_S, EPOCH_S + 120], [1.0, 3.0], start=START, end=START + timedelta(seconds=180), step_s=60
    )
    np.testing.assert_array_equal(laid.values, [1.0, NAN, 3.0])


def test_nan_infinite_and_negative_samples_are_dropped_and_counted() -> None:
    laid, dropped = MetricWindow.from_samples(
        EPOCH_S + np.arange(5) * 60.0,
        [1.0, NAN, np.inf, -4.0, 5.0],
        start=START,
        end=START + timedelta(seconds=300),
        step_s=60,
    )
    np.testing.assert_array_equal(laid.values, [1.0, NAN, NAN, NAN, 5.0])
    assert (dropped.nan, dropped.infinite, dropped.negative, dropped.total) == (1, 1, 1, 3)


def test_of_equal_stamps_the_last_given_stays_and_order_does_not_matter() -> None:
    laid, dropped = MetricWindow.from_samples(
        [EPOCH_S + 60, EPOCH_S, EPOCH_S],
        [7.0, 1.0, 2.0],
        start=START,
        end=START + timedelta(seconds=120),
        step_s=60,
    )
    np.testing.assert_array_equal(laid.values, [2.0, 7.0])
    assert dropped.duplicate == 1
    assert dropped.unordered == 1


def test_samples_outside_the_window_are_counted_not_moved_into_it() -> None:
    laid, dropped = MetricWindow.from_samples(
        [EPOCH_S - 1, EPOCH_S + 61], [1.0, 2.0], start=START, end=START + timedelta(seconds=60), step_s=60
    )
    assert np.isnan(laid.values).all()
    assert dropped.outside == 2


@given(st.lists(st.tuples(st.floats(0, 3599), st.floats(allow_nan=True, allow_infinity=True)), max_size=50))
def test_whatever_the_samples_the_window_holds_only_known_values_or_gaps(
    samples: list[tuple[float, float]],
) -> None:
    stamps = [EPOCH_S + s for s, _ in samples]
    values = [v for _, v in samples]
    laid, dropped = MetricWindow.from_samples(
        stamps, values, start=START, end=START + timedelta(hours=1), step_s=60
    )
    known = laid.values[laid.known]
    assert np.isfinite(known).all()
    assert (known >= 0).all()
    assert len(laid) == 60
    good = [v for v in values if np.isfinite(v) and v >= 0]
    assert bool(known.size) == bool(good)
    assert dropped.total <= len(samples)


def test_join_leaves_a_gap_between_windows_that_do_not_touch() -> None:
    joined = window(1, 2).join(window(9, start=START + timedelta(seconds=240)))
    np.testing.assert_array_equal(joined.values, [1, 2, NAN, NAN, 9])


def test_join_takes_the_newer_value_but_never_a_newer_gap() -> None:
    joined = window(1, 2, 3).join(window(NAN, 30, start=START + timedelta(seconds=60)))
    np.testing.assert_array_equal(joined.values, [1, 2, 30])


def test_windows_off_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match="do not lie on one grid"):
        window(1).join(window(1, start=START + timedelta(seconds=7)))


@given(st.integers(0, 30), st.integers(0, 30), st.lists(st.floats(0, 1e6), min_size=1, max_size=30))
def test_between_gives_exactly_the_bins_inside(first: int, stop: int, values: list[float]) -> None:
    whole = window(*values)
    part = whole.between(START + timedelta(seconds=60 * first), START + timedelta(seconds=60 * stop))
    np.testing.assert_array_equal(part.values, np.array(values)[first : max(stop, first)])
    if len(part):
        assert part.start == START + timedelta(seconds=60 * first)


def test_newest_is_the_end_of_the_last_known_bin() -> None:
    assert window(1, 2, NAN, NAN).newest == (START + timedelta(seconds=120), 2.0)
    assert window(NAN, NAN).newest is None


def test_resample_averages_what_is_known_and_ends_where_the_window_ends() -> None:
    wide = window(99, 1, 3, NAN, 5).resample(120)
    np.testing.assert_array_equal(wide.values, [2, 5])
    assert wide.end == START + timedelta(seconds=300)


def test_resample_calls_a_bin_a_gap_when_too_little_of_it_is_known() -> None:
    wide = window(NAN, NAN, NAN, 8).resample(240)
    assert np.isnan(wide.values).all()


def test_a_window_cannot_be_written_to() -> None:
    values = np.array([1.0])
    held = MetricWindow(START, 60, values)
    values[0] = 5
    assert held.values[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        held.values[0] = 2


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.sampled_from([15, 60, 300, 3600]))  # noqa: DTZ001 - hypothesis wants naive bounds
def test_the_grid_is_the_same_for_everybody(at: datetime, step_s: int) -> None:
    on_grid = floor_to_grid(at.replace(tzinfo=UTC), step_s)
    assert on_grid.timestamp() % step_s == 0
    assert 0 <= (at.replace(tzinfo=UTC) - on_grid).total_seconds() < step_s
