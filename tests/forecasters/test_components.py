"""What a median is made of: the parts add up, and no model claims what it does not know."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_series import DAY_S, HOUR_S, at, office_hours, shop, window, with_gaps
from predictscale.core.forecast import Components, Forecast
from predictscale.core.series import MetricWindow
from predictscale.errors import ForecastNotCredible, ForecastTooShort
from predictscale.forecasters.base import LEVELS, Decomposed
from predictscale.forecasters.chain import FittedChain, decomposed
from predictscale.forecasters.fourier import SarimaxFourier
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay, SeasonalNaiveWeek
from predictscale.forecasters.native import Native
from predictscale.forecasters.tournament import Crowned
from stub_forecasters import Says

_SHOP = shop(days=17)


def parts(fitted: Decomposed, recent: MetricWindow, steps: int = 36) -> Components:
    return fitted.components(recent, steps=steps)


@given(minutes=st.integers(0, 6 * 12).map(lambda fives: 5 * fives), steps=st.integers(1, 60))
@settings(max_examples=20, deadline=None)
def test_the_parts_of_every_curve_add_up_to_its_median(minutes: int, steps: int) -> None:
    past = _SHOP.between(_SHOP.start, at(15))
    recent = _SHOP.between(_SHOP.start, at(15 + minutes / 1440))
    for forecaster in (LastValue(), SeasonalNaiveDay(), SeasonalNaiveWeek(), Native()):
        fitted = forecaster.fit(past)
        median = fitted.predict(recent, steps=steps).quantile(0.5)
        np.testing.assert_allclose(parts(fitted, recent, steps).total, median, rtol=1e-9, atol=1e-9)


@given(
    days=st.floats(0.2, 15.0), late=st.floats(0.0, 0.4), steps=st.integers(1, 150), lost=st.integers(0, 11)
)
@settings(max_examples=12, deadline=None)
def test_the_parts_of_the_engine_add_up_on_gaps_and_beyond_its_leads(
    days: float, late: float, steps: int, lost: int
) -> None:
    whole = with_gaps(_SHOP)
    fitted = Native().fit(whole.between(whole.start, at(days)))
    seen = whole.between(whole.start, at(days + late)).values.copy()
    # The newest hour is known, but for the last minutes.
    seen[-12:] = 70.0
    seen[seen.size - lost :] = np.nan
    recent = window(seen)
    median = fitted.predict(recent, steps=steps).quantile(0.5)
    told = parts(fitted, recent, steps)
    np.testing.assert_allclose(told.total, median, rtol=1e-12, atol=1e-12 * told.level[0])
    assert (told.level > 0).all()
    assert np.ptp(told.level) == pytest.approx(0.0, abs=1e-9 * told.level[0])
    assert not told.events.any()


def _office_week(*, days: float) -> MetricWindow:
    """Office hours from Monday to Friday, quiet weekends, a little noise."""
    work = office_hours(days=days)
    day = np.arange(len(work)) * work.step_s // DAY_S % 7
    noise = np.random.default_rng(5).lognormal(0.0, 0.02, len(work))
    return window(np.where(day < 5, work.values, 20.0) * noise)


def test_the_engine_tells_a_ramp_that_every_day_has_by_the_day_alone() -> None:
    days = office_hours(days=16 + 8 / 24)
    noise = np.random.default_rng(4).lognormal(0.0, 0.02, len(days))
    recent = window(days.values * noise)
    told = parts(Native().fit(recent), recent, steps=24)
    np.testing.assert_allclose(told.level, 20.0, rtol=0.05)
    assert told.day[-1] == pytest.approx(180.0, rel=0.15)
    assert np.abs(told.week).max() < 0.06 * told.day[-1]
    assert np.abs(told.correction).max() < 0.15 * told.day[-1]


@pytest.mark.parametrize(
    ("day", "least", "most"), [("Monday", 0.1, 1.0), ("Thursday", -0.1, 0.1), ("Saturday", -1.0, -0.4)]
)
def test_the_engine_tells_that_weekends_lack_a_ramp_by_the_week(day: str, least: float, most: float) -> None:
    """At eight in the morning: days before a Saturday had the ramp, two of three before a Monday did not."""
    days = 14 + {"Monday": 0, "Thursday": 3, "Saturday": 5}[day] + 8 / 24
    recent = _office_week(days=days)
    told = parts(Native().fit(recent), recent, steps=24)
    assert least * 180.0 < told.week[-1] < most * 180.0
    assert (told.day[-1] > 160.0) == (day != "Monday")


def test_the_engine_claims_no_season_that_it_has_not_seen() -> None:
    series = _office_week(days=16)
    for days, knows_day in ((0.5, False), (6 + 8 / 24, True)):
        recent = series.between(series.start, at(days))
        told = parts(Native().fit(recent), recent, steps=24)
        assert told.day.any() == knows_day
        assert not told.week.any()


def test_where_the_days_are_lost_the_weeks_speak_for_themselves() -> None:
    series = _office_week(days=15 + 8 / 24)
    lost = series.values.copy()
    lost[-round(3.3 * DAY_S / 300.0) : -round(0.5 * DAY_S / 300.0)] = np.nan
    recent = window(lost)
    told = parts(Native().fit(recent), recent, steps=24)
    assert not told.day.any()
    assert told.week[-1] == pytest.approx(180.0, rel=0.15)


def test_the_last_value_knows_no_season() -> None:
    told = parts(LastValue().fit(_SHOP), _SHOP)
    assert not told.day.any()
    assert not told.week.any()
    assert not told.events.any()
    assert np.ptp(told.level) == 0


def test_yesterdays_ramp_is_the_days_and_last_weeks_the_weeks() -> None:
    days = office_hours(days=14 + 8 / 24)
    for forecaster, own, other in (
        (SeasonalNaiveDay(), "day", "week"),
        (SeasonalNaiveWeek(), "week", "day"),
    ):
        told = parts(forecaster.fit(days), days)
        np.testing.assert_allclose(told.level, 20.0, rtol=0.05)
        assert getattr(told, own)[-1] == pytest.approx(180.0, rel=0.05)
        np.testing.assert_allclose(getattr(told, other), 0.0, atol=1e-9)
        assert np.abs(told.correction).max() < 10.0


def test_a_regression_tells_its_week_from_its_day() -> None:
    """Weekends at half: on Friday night the week takes away, and the day is as any night."""
    series = shop(days=26, peak=200.0)
    friday = at(26 - 3 / 24)
    past = series.between(series.start, friday)
    told = parts(SarimaxFourier(reach_s=20 * HOUR_S).fit(past), past, steps=15 * 12)
    assert told.week[-1] < -0.15 * (told.level + told.day)[-1]
    assert told.day[-1] > 0


def test_a_model_that_names_no_parts_is_told_by_the_present_and_the_rest() -> None:
    recent = window(np.array([1.0, 4.0, 8.0]))
    chain = FittedChain((Says("oracle", value=10.0),), high=10.0)
    told = decomposed(chain.predict(recent, steps=3), chain, recent).components
    assert told is not None
    np.testing.assert_array_equal(told.level, [8, 8, 8])
    np.testing.assert_array_equal(told.correction, [2, 2, 2])
    assert not np.stack((told.day, told.week, told.events)).any()


def test_the_parts_are_those_of_the_model_that_answered() -> None:
    days = office_hours(days=9 + 8 / 24)
    broken = Says("broken", error=ForecastNotCredible("absurd"))
    inner = FittedChain((broken, SeasonalNaiveDay().fit(days)), high=200.0)
    chain = FittedChain((Says("late", error=ForecastTooShort(need_s=2, have_s=1)), Crowned(inner, ())), 200.0)
    forecast = chain.predict(days, steps=36)
    assert forecast.model == "seasonal-naive-day"
    told = decomposed(forecast, chain, days).components
    assert told is not None
    assert told.day[-1] > 100
    np.testing.assert_allclose(told.total, forecast.quantile(0.5))


def test_with_an_unknown_present_all_is_the_rest() -> None:
    recent = window(np.array([1.0, np.nan, np.nan]))
    says = Says("oracle", value=10.0)
    told = decomposed(says.predict(recent, steps=2), says, recent).components
    assert told is not None
    np.testing.assert_array_equal(told.level, [0, 0])
    np.testing.assert_array_equal(told.correction, [10, 10])


@dataclass(frozen=True)
class _Boastful:
    """Says more parts than it says demand, or nothing at all."""

    model: str = "boastful"
    silent: bool = False

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        return Says(self.model, value=10.0).predict(recent, steps=steps, levels=levels)

    def components(self, recent: MetricWindow, *, steps: int) -> Components:
        if self.silent:
            raise ForecastNotCredible(f"no parts at {recent.end}")
        part = np.full(steps, 7.0)
        return Components(level=part, day=part, week=part, events=0 * part, correction=part)


def test_what_does_not_add_up_is_corrected_and_what_cannot_be_told_is_the_rest() -> None:
    recent = window(np.full(3, 4.0))
    for silent, level, correction in ((False, 7, -11), (True, 4, 6)):
        model = replace(_Boastful(), silent=silent)
        told = decomposed(model.predict(recent, steps=2), model, recent).components
        assert told is not None
        np.testing.assert_allclose(told.level, level)
        np.testing.assert_allclose(told.correction, correction)
        np.testing.assert_allclose(told.total, 10.0)
