from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.events import PlannedEvent, Repeat, planned, usual
from predictscale.core.forecast import Components, Forecast
from predictscale.core.series import Floats, MetricWindow

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def event(
    start: datetime,
    end: datetime,
    *,
    times: float | None = None,
    demand: float | None = None,
    repeat: Repeat = Repeat.NONE,
) -> PlannedEvent:
    return PlannedEvent(name="sale", start=start, end=end, multiplier=times, demand=demand, repeat=repeat)


def from_noon(*values: float, step_s: float = 60.0) -> MetricWindow:
    return MetricWindow(NOON, step_s, np.array(values))


def said(values: Floats, *, peaks: Floats | None = None, step_s: float = 60.0) -> Forecast:
    levels = (0.5, 0.9)[: values.shape[0]]
    return Forecast(NOON, step_s, levels, values, "oracle", peaks=peaks)


def begins(spans: list[tuple[float, float]]) -> list[datetime]:
    return [datetime.fromtimestamp(start_s, UTC) for start_s, _ in spans]


def test_a_daily_event_keeps_its_hour_on_the_wall_when_the_clocks_change() -> None:
    lunch = event(
        datetime(2026, 3, 1, 12, tzinfo=BERLIN),
        datetime(2026, 3, 1, 13, tzinfo=BERLIN),
        times=2,
        repeat=Repeat.DAILY,
    )
    spring = datetime(2026, 3, 28, tzinfo=UTC).timestamp()
    assert begins(lunch.spans_s(spring, spring + 2 * 86400)) == [
        datetime(2026, 3, 28, 11, tzinfo=UTC),
        datetime(2026, 3, 29, 10, tzinfo=UTC),
    ]


def test_an_event_whose_hour_the_clock_skips_lasts_as_long_as_planned() -> None:
    skipped = event(
        datetime(2026, 3, 1, 2, 30, tzinfo=BERLIN),
        datetime(2026, 3, 1, 3, 15, tzinfo=BERLIN),
        times=2,
        repeat=Repeat.DAILY,
    )
    day = datetime(2026, 3, 29, tzinfo=BERLIN).timestamp()
    ((start_s, end_s),) = skipped.spans_s(day, day + 20 * 3600)
    assert end_s - start_s == 45 * 60
    assert datetime.fromtimestamp(end_s, BERLIN) == datetime(2026, 3, 29, 3, 15, tzinfo=BERLIN)


def test_a_weekly_event_comes_on_its_weekday_and_never_before_its_first() -> None:
    match = event(NOON, NOON + HOUR, times=2, repeat=Repeat.WEEKLY)
    month_s = 28 * 86400
    told = begins(match.spans_s(NOON.timestamp() - month_s, NOON.timestamp() + month_s))
    assert told == [NOON + timedelta(weeks=week) for week in range(4)]


def test_a_yearly_event_comes_on_its_date_and_the_leap_day_in_leap_years() -> None:
    start_s, end_s = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (2024, 2033))
    friday = datetime(2024, 11, 29, tzinfo=UTC)
    assert len(event(friday, friday + HOUR, times=3, repeat=Repeat.YEARLY).spans_s(start_s, end_s)) == 9
    leap = datetime(2024, 2, 29, tzinfo=UTC)
    told = begins(event(leap, leap + HOUR, times=3, repeat=Repeat.YEARLY).spans_s(start_s, end_s))
    assert [at.date() for at in told] == [date(2024, 2, 29), date(2028, 2, 29), date(2032, 2, 29)]


@given(
    repeat=st.sampled_from(list(Repeat)),
    start_h=st.integers(-20_000, 20_000),
    lasts_h=st.integers(1, 24),
    since_h=st.integers(-20_000, 20_000),
    for_h=st.integers(1, 2000),
)
def test_the_occurrences_asked_for_are_those_of_all_that_touch(
    repeat: Repeat, start_h: int, lasts_h: int, since_h: int, for_h: int
) -> None:
    start = (NOON + start_h * HOUR).astimezone(BERLIN)
    some = event(start, start + lasts_h * HOUR, times=2, repeat=repeat)
    since_s = NOON.timestamp() + since_h * 3600.0
    until_s = since_s + for_h * 3600.0
    every = some.spans_s(NOON.timestamp() - 1e9, NOON.timestamp() + 1e9)
    assert some.spans_s(since_s, until_s) == [s for s in every if s[0] < until_s and s[1] > since_s]


def test_a_past_campaign_is_divided_out_and_other_bins_stay() -> None:
    campaign = event(NOON + timedelta(minutes=1), NOON + timedelta(minutes=3), times=4)
    told = usual(from_noon(10, 40, 80, 10), [campaign])
    np.testing.assert_array_equal(told.values, [10, 10, 20, 10])


def test_a_bin_that_an_event_covers_by_half_is_divided_by_half_of_the_rise() -> None:
    campaign = event(NOON, NOON + timedelta(seconds=30), times=3)
    np.testing.assert_array_equal(usual(from_noon(20, 20), [campaign]).values, [10, 20])


def test_what_an_event_set_is_not_learnt_from_and_not_zero() -> None:
    load_test = event(NOON, NOON + timedelta(minutes=2), demand=500)
    np.testing.assert_array_equal(usual(from_noon(500, 500, 7), [load_test]).values, [np.nan, np.nan, 7])


def test_the_present_level_of_a_set_event_stays_for_forecasts_until_it_ends() -> None:
    load_test = event(NOON, NOON + timedelta(minutes=2), demand=500)
    during, after = from_noon(500, 500), from_noon(500, 500, 7)
    np.testing.assert_array_equal(usual(during, [load_test], keep_present=True).values, [500, 500])
    np.testing.assert_array_equal(usual(during, [load_test]).values, [np.nan, np.nan])
    np.testing.assert_array_equal(usual(after, [load_test], keep_present=True).values, [np.nan, np.nan, 7])


def test_a_window_without_events_is_the_window() -> None:
    later = event(NOON + HOUR, NOON + 2 * HOUR, times=2)
    quiet = from_noon(1, 2, 3)
    assert usual(quiet, [later]) is quiet
    assert usual(quiet, []) is quiet


def test_steps_inside_a_coming_event_are_multiplied_and_the_author_says_so() -> None:
    sale = event(NOON + timedelta(minutes=1), NOON + timedelta(minutes=2), times=3)
    values = np.array([[10.0, 10, 10], [20, 20, 20]])
    told = planned(said(values, peaks=values), [sale])
    np.testing.assert_array_equal(told.values, [[10, 30, 10], [20, 60, 20]])
    assert told.peaks is not None
    np.testing.assert_array_equal(told.peaks, [[10, 30, 30], [20, 60, 60]])
    assert told.model == "oracle with planned event sale"


def test_a_set_event_raises_what_is_lower_and_lowers_nothing() -> None:
    launch = event(NOON, NOON + HOUR, demand=15)
    values = np.array([[10.0, 10], [20, 20]])
    told = planned(said(values, peaks=values + 2), [launch])
    np.testing.assert_array_equal(told.values, [[15, 15], [20, 20]])
    assert told.peaks is not None
    np.testing.assert_array_equal(told.peaks, [[15, 15], [22, 22]])


def test_a_small_event_after_a_high_evening_does_not_lift_the_evenings_peak() -> None:
    sale = event(NOON + timedelta(minutes=1), NOON + timedelta(minutes=2), times=3)
    told = planned(said(np.array([[90.0, 10]]), peaks=np.array([[100.0, 100]])), [sale])
    assert told.peaks is not None
    np.testing.assert_array_equal(told.peaks, [[100, 100]])


def test_a_forecast_that_no_event_touches_is_the_forecast() -> None:
    forecast = said(np.ones((2, 3)))
    assert planned(forecast, [event(NOON + HOUR, NOON + 2 * HOUR, times=2)]) is forecast


def test_what_events_add_is_a_component_and_the_parts_still_add_up() -> None:
    sale = event(NOON, NOON + timedelta(minutes=1), times=3)
    zero = np.zeros(2)
    level = np.array([10.0, 10.0])
    parts = Components(level=level, day=zero, week=zero, events=zero, correction=zero)
    forecast = Forecast(NOON, 60.0, (0.5,), np.array([[10.0, 10]]), "oracle", components=parts)
    told = planned(forecast, [sale])
    assert told.components is not None
    np.testing.assert_array_equal(told.components.events, [20, 0])
    np.testing.assert_array_equal(told.components.total, told.quantile(0.5))


_table = st.lists(st.floats(0, 1e6), min_size=12, max_size=12).map(
    lambda numbers: np.sort(np.array(numbers).reshape(2, 6), axis=0)
)


@given(
    values=_table,
    more=st.floats(0, 100),
    spans=st.lists(st.tuples(st.integers(-300, 500), st.integers(1, 400)), min_size=1, max_size=3),
    times=st.floats(0.01, 100),
    demand=st.floats(0, 1e6),
    sets=st.booleans(),
)
def test_events_leave_quantiles_ordered_and_peaks_at_or_above_every_value(
    values: Floats, more: float, spans: list[tuple[int, int]], times: float, demand: float, *, sets: bool
) -> None:
    events = [
        event(
            NOON + timedelta(seconds=start_s),
            NOON + timedelta(seconds=start_s + lasts_s),
            times=None if sets else times,
            demand=demand if sets else None,
        )
        for start_s, lasts_s in spans
    ]
    peaks = np.maximum.accumulate(values, axis=1) * (1 + more)
    told = planned(said(values, peaks=peaks), events)  # a Forecast refuses what crosses or falls
    assert told.peaks is not None
    assert (told.peaks >= told.values).all()
    if sets:
        assert (told.values >= values).all()
        assert (told.peaks >= peaks).all()


@given(
    values=st.lists(st.floats(0.01, 1e6), min_size=4, max_size=4),
    times=st.floats(0.01, 100),
    start_s=st.integers(-100, 200),
    lasts_s=st.integers(1, 300),
)
def test_what_is_laid_over_a_forecast_is_what_is_taken_out_of_history(
    values: list[float], times: float, start_s: int, lasts_s: int
) -> None:
    start = NOON + timedelta(seconds=start_s)
    some = event(start, start + timedelta(seconds=lasts_s), times=times)
    came = planned(said(np.array([values])), [some]).values[0]
    np.testing.assert_allclose(usual(from_noon(*came), [some]).values, values)


@pytest.mark.parametrize(
    ("start", "end", "times", "demand", "repeat"),
    [
        (NOON, NOON, 2.0, None, Repeat.NONE),
        (NOON, NOON + 25 * HOUR, 2.0, None, Repeat.DAILY),
        (NOON, NOON + HOUR, None, None, Repeat.NONE),
        (NOON, NOON + HOUR, 2.0, 5.0, Repeat.NONE),
        (NOON, NOON + HOUR, -1.0, None, Repeat.NONE),
        (NOON, NOON + HOUR, 0.0, None, Repeat.NONE),
        (NOON, NOON + HOUR, None, -1.0, Repeat.NONE),
        (NOON.replace(tzinfo=None), NOON.replace(tzinfo=None) + HOUR, 2.0, None, Repeat.NONE),
        (NOON, (NOON + HOUR).astimezone(BERLIN), 2.0, None, Repeat.NONE),
    ],
)
def test_an_event_that_makes_no_sense_cannot_be_made(
    start: datetime, end: datetime, times: float | None, demand: float | None, repeat: Repeat
) -> None:
    with pytest.raises(ValueError, match="sale"):
        event(start, end, times=times, demand=demand, repeat=repeat)


def test_components_are_of_one_length_and_finite() -> None:
    two, three = np.ones(2), np.ones(3)
    with pytest.raises(ValueError, match="shapes"):
        Components(level=two, day=two, week=two, events=two, correction=three)
    with pytest.raises(ValueError, match="finite"):
        Components(level=two, day=two, week=two, events=two, correction=two * np.nan)
