"""A track answers as the forecasts that it remembers did."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.forecast import Forecast
from predictscale.core.track import TRACKED_LEVELS, Track
from worlds import NOON


def track(n: int = 6) -> Track:
    """Demand 0, 1, 2 ... and peaks that rise with the level and the bin."""
    peaks = np.arange(n)[:, None] + np.array(TRACKED_LEVELS)[None]
    return Track(
        start=NOON,
        step_s=60.0,
        demand=np.arange(float(n)),
        peaks=peaks.astype(np.float32),
        highest=np.ones(n),
    )


@given(st.floats(0.5, 0.995), st.lists(st.floats(0, 1e6, width=32), min_size=8, max_size=8))
def test_a_peak_is_what_the_forecast_said(level: float, said: list[float]) -> None:
    quantiles = np.sort(np.array([said], dtype=np.float32), axis=1)
    forecast = Forecast(NOON, 60.0, TRACKED_LEVELS, quantiles.T.astype(float), model="kept")
    kept = Track(start=NOON, step_s=60.0, demand=np.zeros(1), peaks=quantiles, highest=np.zeros(1))
    assert kept.peak(level)[0] == forecast.peak(level=level, since=NOON, until=NOON + timedelta(seconds=60))


def test_levels_that_are_not_on_record_are_refused() -> None:
    for level in (0.4, 0.999):
        with pytest.raises(ValueError, match=r"on record are 0\.5 to 0\.995"):
            track().peak(level)


def test_the_present_is_the_bin_before() -> None:
    assert np.array_equal(track(3).here, [np.nan, 0.0, 1.0], equal_nan=True)
    assert np.array_equal(track(6).last(180.0).here, [2.0, 3.0, 4.0])


def test_the_last_hours_are_the_end_of_the_track() -> None:
    short = track().last(120.0)
    assert short.end == track().end
    assert len(short) == 2
    assert len(track().last(1e6)) == 6


def test_a_bin_counts_as_told_with_a_forecast_and_a_demand() -> None:
    made = track(4)
    made.peaks[0] = np.nan
    made.demand[1] = np.nan
    assert made.told_s == 120.0


def test_shapes_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="peaks: shape"):
        Track(
            start=NOON, step_s=60.0, demand=np.ones(3), peaks=np.ones((2, 8), np.float32), highest=np.ones(3)
        )
