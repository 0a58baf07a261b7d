"""Seasons by the clock on the wall, when the clocks change and when people rest."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from made_series import DAY_S, HOUR_S, office_hours, shop
from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats, MetricWindow
from predictscale.forecasters.fourier import FourierOptions
from predictscale.forecasters.naive import SeasonalNaiveDay, SeasonalNaiveWeek
from predictscale.forecasters.prophet import ProphetCorrected, ProphetOptions, Seasonality
from predictscale.forecasters.registry import FORECASTERS, Context, resolve

BERLIN = Calendar("Europe/Berlin")
SPRING = datetime(2026, 3, 29, 1, tzinfo=UTC)
AUTUMN = datetime(2026, 10, 25, 1, tzinfo=UTC)
CHANGES = pytest.mark.parametrize("change", [SPRING, AUTUMN], ids=["spring", "autumn"])


def by_the_wall(start: datetime, *, days: float, calendar: Calendar = BERLIN) -> MetricWindow:
    """Opens at 8 and closes at 18 local time; holidays are as quiet as nights."""
    stamps_s: Floats = start.timestamp() + np.arange(round(days * DAY_S / 300.0), dtype=np.float64) * 300.0
    hour = (stamps_s + calendar.offsets_s(stamps_s)) % DAY_S / HOUR_S
    demand = np.interp(hour, [8, 9.5, 17, 18.5], [20.0, 200.0, 200.0, 20.0])
    rate = np.where(calendar.holiday(stamps_s), 20.0, demand)
    rng = np.random.default_rng(6)
    # Hours that are busier or calmer than usual: without any, a model of noise has none to find.
    moods = np.repeat(np.exp(rng.normal(0.0, 0.05, stamps_s.size // 12 + 1)), 12)[: stamps_s.size]
    return MetricWindow(start, 300.0, rng.poisson(rate * moods * 20) / 20.0)


def error_of_the_ramp(name: str, change: datetime, *, calendar: Calendar) -> float:
    """Mean error of the median over the morning after the change, asked for half an hour before it opens."""
    whole = by_the_wall(change - timedelta(days=20), days=22)
    opens = change.replace(hour=0) + timedelta(hours=8) - timedelta(hours=2 if change is SPRING else 1)
    before = opens - timedelta(minutes=30)
    past = whole.between(whole.start, before)
    (forecaster,) = resolve((name,), context=Context(calendar=calendar))
    median = forecaster.fit(past).predict(past, steps=18).quantile(0.5)
    came = whole.between(before, before + timedelta(seconds=18 * 300)).values
    return float(np.abs(median - came).mean())


@CHANGES
@pytest.mark.parametrize("name", ["seasonal-naive-day", "seasonal-naive-week", "sarimax-fourier", "prophet"])
def test_the_morning_after_the_clocks_change_begins_on_time_where_the_zone_is_known(
    name: str, change: datetime
) -> None:
    told = error_of_the_ramp(name, change, calendar=BERLIN)
    untold = error_of_the_ramp(name, change, calendar=Calendar())
    assert told < 0.5 * untold
    assert told < 25.0


@pytest.mark.parametrize("forecaster", [SeasonalNaiveDay(), SeasonalNaiveWeek()], ids=lambda f: f.name)
def test_a_zone_whose_clocks_never_change_changes_no_bit(
    forecaster: SeasonalNaiveDay | SeasonalNaiveWeek,
) -> None:
    series = shop(days=9)
    there = type(forecaster)(calendar=Calendar("Asia/Kolkata"))
    plain, same = (f.fit(series).predict(series, steps=36).values for f in (forecaster, there))
    np.testing.assert_array_equal(plain, same)


def test_yesterday_reaches_an_hour_less_far_when_an_hour_was_skipped() -> None:
    past = by_the_wall(SPRING - timedelta(days=8), days=8 + 2 / 24)
    fitted = SeasonalNaiveDay(calendar=BERLIN).fit(past)
    assert fitted.curve is not None
    # In 24 hours it will be an hour later on the wall than it is now: nobody has seen that yesterday.
    assert fitted.curve.end_s - past.end.timestamp() == 24 * HOUR_S
    earlier = SeasonalNaiveDay(calendar=BERLIN).fit(past.between(past.start, SPRING - timedelta(hours=2)))
    assert earlier.curve is not None
    assert earlier.curve.end_s - (SPRING - timedelta(hours=2)).timestamp() == 23 * HOUR_S


def test_prophet_expects_a_quiet_day_on_a_holiday() -> None:
    days = tuple(date(2026, 3, 3) + timedelta(days=5 * turn) for turn in range(5))
    resting = Calendar("Europe/Berlin", days)
    whole = by_the_wall(datetime(2026, 3, 1, tzinfo=UTC), days=24, calendar=resting)
    noon = datetime(2026, 3, 23, 6, 30, tzinfo=UTC)
    past = whole.between(whole.start, noon)

    def at_noon(calendar: Calendar) -> float:
        (prophet,) = resolve(("prophet",), context=Context(calendar=calendar))
        return float(prophet.fit(past).predict(past, steps=60).quantile(0.5)[-1])

    assert days[-1] == noon.date()
    assert at_noon(resting) < 0.6 * at_noon(BERLIN)


def test_options_reach_the_curve_of_each_model() -> None:
    series = shop(days=15)
    week = Seasonality(name="daily", period_s=2.5 * DAY_S, harmonics=2)
    told = Context(
        prophet=ProphetOptions(changepoints=0, daily_harmonics=1, weekly_harmonics=0, seasonalities=(week,)),
        fourier=FourierOptions(daily_harmonics=1, weekly_harmonics=0),
    )
    for name in ("prophet", "sarimax-fourier"):
        plain, changed = (resolve((name,), context=c)[0].fit(series) for c in (Context(), told))
        ours, theirs = (fitted.predict(series, steps=36).values for fitted in (plain, changed))
        assert np.abs(ours - theirs).max() > 0.5
        assert getattr(plain, "weekly", None) is not None
        assert getattr(changed, "weekly", None) is None


def test_a_context_that_says_nothing_leaves_every_forecaster_as_it_is() -> None:
    names = tuple(FORECASTERS)
    assert resolve(names, context=Context()) == tuple(FORECASTERS.values())


def test_candidates_of_the_tournament_are_told_as_well() -> None:
    (auto,) = resolve(("auto",), context=Context(calendar=BERLIN))
    calendars = {c.name: getattr(c, "calendar", None) for c in getattr(auto, "candidates")}  # noqa: B009 - not in the protocol
    assert calendars["seasonal-naive-week"] == calendars["seasonal-naive-day"] == BERLIN
    assert calendars["last-value"] is None


def test_only_holidays_near_a_window_travel_with_its_fit() -> None:
    days = tuple(date(year, 12, 25) for year in range(2005, 2046))
    context = Context(calendar=Calendar("Europe/Berlin", days))
    window = office_hours(days=3)
    near = context.around(window.start, window.end).calendar
    assert near == Calendar("Europe/Berlin", tuple(date(year, 12, 25) for year in (2025, 2026, 2027)))


def test_prophet_looks_for_a_year_where_one_has_been_seen_and_stays_lean_where_not() -> None:
    """Three times as much in summer as in winter; asked in the steepest weeks how ten days will change it."""
    days = np.arange(420 * 4) / 4
    level = 200.0 + 100.0 * np.sin(2 * np.pi * (days - 420) / 365.25)
    noise = np.random.default_rng(4).lognormal(0.0, 0.1, days.size)
    series = MetricWindow(datetime(2025, 1, 1, tzinfo=UTC), 6 * HOUR_S, level * noise)

    def change(window: MetricWindow, *, yearly: bool) -> float:
        model = ProphetCorrected(reach_s=10 * DAY_S, prophet=ProphetOptions(yearly=yearly))
        curve = model.fit(window).curve
        assert curve is not None
        return float(curve.values[-4:].mean() - curve.values[:4].mean())

    came = np.sqrt(200.0 + 100.0 * np.sin(2 * np.pi * 10 / 365.25)) - np.sqrt(200.0)
    assert abs(change(series, yearly=True) - came) < 0.5 * abs(change(series, yearly=False) - came)
    young = series.last(300 * DAY_S)
    assert change(young, yearly=True) == change(young, yearly=False)
