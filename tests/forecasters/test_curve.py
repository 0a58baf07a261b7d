"""Curves on their own grid, and forecasts that start from what is here."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_series import HOUR_S, at, office_hours, replaced, shop, window
from predictscale.forecasters.curve import Curve, fit_curve
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay, SeasonalNaiveWeek


def test_a_curve_is_linear_between_the_centres_of_its_bins_and_unknown_outside() -> None:
    curve = Curve(1000.0, 10.0, np.array([1.0, 3.0]))
    asked = np.array([999.0, 1000.0, 1005.0, 1010.0, 1015.0, 1020.0, 1021.0])
    np.testing.assert_allclose(curve.at(asked), [np.nan, 1, 1, 2, 3, 3, np.nan])
    assert curve.end_s == 1020.0


@given(st.floats(0.0, 1.0), st.integers(2, 40))
def test_a_shortened_curve_says_the_same_from_there_on(share: float, bins: int) -> None:
    curve = Curve(0.0, 7.0, np.random.default_rng(bins).normal(size=bins))
    start_s = share * curve.end_s
    asked = np.linspace(start_s, curve.end_s, 50)
    np.testing.assert_allclose(curve.since(start_s).at(asked), curve.at(asked))


def test_a_curve_without_numbers_is_refused() -> None:
    for values in (np.array([]), np.array([1.0, np.nan]), np.ones((2, 2))):
        with pytest.raises(ValueError, match="values"):
            Curve(0.0, 60.0, values)


def test_a_wrong_curve_is_corrected_by_as_much_of_the_deviation_as_stays() -> None:
    """The curve says 4, the series has been 9 throughout: roots 2 and 3."""
    nine = window(np.full(300, 9.0))
    curve = Curve(float(nine.stamps_s[0]), 300.0, np.full(400, 2.0))
    fitted = fit_curve("off", nine, curve, kept=None)
    np.testing.assert_allclose(fitted.predict(nine, steps=24).values, 9.0)


def test_one_bin_of_1e12_at_the_end_is_not_the_present_level() -> None:
    calm = shop(days=2)
    spiked = replaced(calm, -1, 1e12)
    top = LastValue().fit(calm).predict(spiked, steps=1).quantile(0.5)[0]
    assert top <= 3 * calm.values.max()


def test_a_surge_that_lasts_is_the_present_level() -> None:
    calm = shop(days=2)
    fitted = LastValue().fit(calm)
    surge = window(np.append(calm.values, np.full(6, 4000.0)))
    assert fitted.predict(surge, steps=1).quantile(0.5)[0] == pytest.approx(4000.0, rel=0.05)


def test_the_error_grows_with_the_lead() -> None:
    walk = 100 + np.cumsum(np.random.default_rng(9).normal(size=4000))
    series = window(np.abs(walk))
    forecast = LastValue().fit(series).predict(series, steps=60)
    width = forecast.quantile(0.95) - forecast.quantile(0.05)
    assert width[11] > 2 * width[0]
    assert width[59] > 1.5 * width[11]


def test_yesterday_decides_the_change_and_today_the_level() -> None:
    days = office_hours(days=4.5)
    now = at(3) + timedelta(hours=9)  # in the middle of the ramp, which yesterday was as steep
    past = days.between(days.start, now)
    forecast = SeasonalNaiveDay().fit(past).predict(past, steps=12)
    came = days.between(now, now + timedelta(hours=1)).values
    np.testing.assert_allclose(forecast.quantile(0.5), came, rtol=0.05)


def test_a_week_knows_what_a_day_does_not() -> None:
    """Two weeks with quiet weekends, on the second Saturday morning."""
    days = office_hours(days=14)
    weekend = days.stamps_s - days.stamps_s[0]
    quiet = window(np.where(weekend // 86_400 % 7 >= 5, 20.0, days.values))
    now = at(12) + timedelta(hours=7.75)
    past = quiet.between(quiet.start, now)
    week = SeasonalNaiveWeek().fit(past).predict(past, steps=24).quantile(0.5)
    day = SeasonalNaiveDay().fit(past).predict(past, steps=24).quantile(0.5)
    assert week[-1] == pytest.approx(20.0, rel=0.05)
    assert day[-1] > 100.0


def test_a_past_forecast_used_nothing_that_came_later() -> None:
    """Out of sample by construction: tomorrow, whatever it brings, changes no curve that was due today."""
    whole = shop(days=6)
    today = whole.between(whole.start, at(5))
    cut = SeasonalNaiveDay().fit(today)
    longer = SeasonalNaiveDay().fit(whole)
    assert cut.curve is not None
    assert longer.curve is not None
    due_s = np.arange(100) * 300.0 + today.stamps_s[-1]
    known = ~np.isnan(longer.curve.at(due_s))
    np.testing.assert_allclose(cut.curve.at(due_s)[known], longer.curve.at(due_s)[known])


def test_ten_minutes_of_history_are_enough_to_begin_with() -> None:
    first = shop(days=1, step_s=60.0).between(at(0.5), at(0.5) + timedelta(minutes=10))
    forecast = LastValue().fit(first).predict(first, steps=60)
    low, middle, high = (forecast.quantile(level) for level in (0.05, 0.5, 0.95))
    assert (low < first.values[-3:].mean()).all()
    assert middle == pytest.approx(middle[0])
    assert (high > first.values[-3:].mean()).all()
    assert high.max() <= 4 * first.values.max()


def test_what_is_kept_of_a_fit_is_small() -> None:
    month = shop(days=28, step_s=300.0)
    fitted = SeasonalNaiveWeek().fit(month)
    assert fitted.curve is not None
    assert fitted.curve.values.size * 8 < 20_000
    assert fitted.curve.start_s <= month.stamps_s[-1] - HOUR_S


@pytest.mark.parametrize("model", [LastValue(), SeasonalNaiveDay()])
def test_the_peak_of_half_an_hour_is_covered_as_often_as_was_said(
    model: LastValue | SeasonalNaiveDay,
) -> None:
    """The highest of six noisy values lies above any one of them; the quantile of one is not enough."""
    series = shop(days=8, seed=12)
    met = []
    for cut in range(6 * 288, 8 * 288 - 6, 12):
        past = window(series.values[:cut])
        forecast = model.fit(past).predict(past, steps=6, levels=(0.5, 0.9))
        assert forecast.peaks is not None
        met.append(series.values[cut : cut + 6].max() <= forecast.peaks[:, -1])
    half, nine_tenths = np.mean(met, axis=0)
    assert 0.3 <= half <= 0.7
    assert 0.8 <= nine_tenths <= 0.99


def test_the_peak_of_one_step_is_its_value() -> None:
    series = shop(days=3)
    forecast = LastValue().fit(series).predict(series, steps=4)
    assert forecast.peaks is not None
    np.testing.assert_allclose(forecast.peaks[:, 0], forecast.values[:, 0], rtol=1e-9)


def test_a_ramp_that_the_curve_knows_is_in_the_peak() -> None:
    days = office_hours(days=3.5)
    past = days.between(at(0), at(2) + timedelta(hours=8.5))
    forecast = SeasonalNaiveDay().fit(past).predict(past, steps=12)
    assert forecast.peaks is not None
    came = days.between(past.end, past.end + timedelta(hours=1)).values.max()
    assert forecast.peaks[forecast.levels.index(0.5), -1] == pytest.approx(came, rel=0.1)
