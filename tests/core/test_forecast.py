from contextlib import nullcontext
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from predictscale.core.forecast import Forecast
from predictscale.errors import ForecastNotCredible, ForecastTooShort

ORIGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)


def forecast(*paths: list[float], levels: tuple[float, ...] = (0.5, 0.9)) -> Forecast:
    return Forecast(origin=ORIGIN, step_s=60, levels=levels, values=np.array(paths, dtype=float), model="m")


def after(seconds: float) -> datetime:
    return ORIGIN + timedelta(seconds=seconds)


def test_the_peak_is_the_highest_step_on_the_way_not_the_value_at_the_end() -> None:
    spike = forecast([1, 8, 2, 1], [2, 9, 3, 2])
    assert spike.peak(level=0.9, since=ORIGIN, until=after(240)) == 9


def test_the_peak_of_an_old_forecast_leaves_out_what_has_passed() -> None:
    falling = forecast([9, 8, 2, 1], [10, 9, 3, 2])
    assert falling.peak(level=0.9, since=after(120), until=after(240)) == 3


def test_a_step_that_is_under_way_counts() -> None:
    falling = forecast([9, 8, 2, 1], [10, 9, 3, 2])
    assert falling.peak(level=0.9, since=after(90), until=after(90)) == 9


def test_between_two_levels_the_quantile_is_interpolated() -> None:
    assert forecast([1.0], [3.0]).quantile(0.7)[0] == pytest.approx(2.0)


def test_beyond_the_levels_nothing_is_extrapolated() -> None:
    with pytest.raises(ValueError, match=r"level: 0\.99"):
        forecast([1.0], [3.0]).quantile(0.99)


def test_asking_beyond_the_end_says_how_far_it_reaches() -> None:
    with pytest.raises(ForecastTooShort, match="asked 300 s ahead, reaches 240 s"):
        forecast([1, 1, 1, 1], [1, 1, 1, 1]).peak(level=0.9, since=ORIGIN, until=after(300))


@pytest.mark.parametrize(
    "paths", [([float("nan")], [1.0]), ([1.0], [float("inf")]), ([-1.0], [1.0]), ([2.0], [1.0])]
)
def test_nan_infinite_negative_and_crossing_quantiles_are_not_credible(
    paths: tuple[list[float], list[float]],
) -> None:
    with pytest.raises(ForecastNotCredible):
        forecast(*paths)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf"), -1e-300])
@pytest.mark.parametrize("place", [(0, 0), (1, 2), (2, 3)])
def test_one_wrong_number_anywhere_in_values_or_peaks_is_enough(wrong: float, place: tuple[int, int]) -> None:
    fine, spoilt = np.zeros((3, 4)), np.zeros((3, 4))
    spoilt[place] = wrong
    for values, peaks in ((spoilt, fine), (fine, spoilt)):
        with pytest.raises(ForecastNotCredible):
            Forecast(ORIGIN, 60.0, (0.1, 0.5, 0.9), values, "m", peaks)


def test_what_rounding_takes_away_is_not_a_crossing_but_more_is() -> None:
    flat = np.zeros((2, 2))
    for below, credible in ((0.5e-9, True), (2e-9, False)):
        crossed = 1e6 * np.array([[1.0, 1.0], [1.0 - below, 2.0]])
        fallen = 1e6 * np.array([[1.0, 1.0 - below], [2.0, 2.0]])
        for values, peaks in ((crossed, None), (flat, crossed), (flat, fallen)):
            with nullcontext() if credible else pytest.raises(ForecastNotCredible):
                Forecast(ORIGIN, 60.0, (0.5, 0.9), values, "m", peaks)


@pytest.mark.parametrize("levels", [(), (0.0, 0.5), (0.5, 1.0), (0.9, 0.5), (0.5, 0.5), (0.5, float("nan"))])
def test_levels_ascend_between_0_and_1(levels: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="levels"):
        Forecast(ORIGIN, 60.0, levels, np.ones((len(levels), 2)), "m")


@pytest.mark.parametrize(
    ("values", "peaks"), [((1, 2), None), ((2,), None), ((2, 0), None), ((2, 2), (2, 3))]
)
def test_tables_have_a_row_for_each_level_and_one_shape(
    values: tuple[int, ...], peaks: tuple[int, ...] | None
) -> None:
    with pytest.raises(ValueError, match="shape"):
        Forecast(
            ORIGIN, 60.0, (0.5, 0.9), np.ones(values), "m", peaks=None if peaks is None else np.ones(peaks)
        )


def test_a_forecast_is_its_own_and_cannot_be_written_to() -> None:
    values = np.ones((1, 2))
    told = Forecast(ORIGIN, 60.0, (0.5,), values, "m", values)
    values[0, 0] = 7.0
    assert told.quantile(0.5)[0] == 1.0
    assert told.peaks is not None
    for table in (told.values, told.peaks):
        with pytest.raises(ValueError, match="read-only"):
            table[0, 0] = 7.0


def test_a_model_of_peaks_answers_with_the_quantile_of_the_maximum() -> None:
    with_peaks = Forecast(
        origin=ORIGIN,
        step_s=60,
        levels=(0.5, 0.9),
        values=np.array([[1.0, 1.0], [2.0, 2.0]]),
        model="m",
        peaks=np.array([[1.0, 1.5], [2.0, 3.0]]),
    )
    assert with_peaks.peak(level=0.9, since=ORIGIN, until=after(60)) == 2
    assert with_peaks.peak(level=0.9, since=after(30), until=after(120)) == 3
    assert with_peaks.peak(level=0.9, since=after(60), until=after(120)) == 2  # an older forecast


def test_a_peak_cannot_fall_when_its_window_grows() -> None:
    with pytest.raises(ForecastNotCredible, match="fall with a longer window"):
        Forecast(
            origin=ORIGIN,
            step_s=60,
            levels=(0.5,),
            values=np.ones((1, 2)),
            model="m",
            peaks=np.array([[2.0, 1.0]]),
        )
