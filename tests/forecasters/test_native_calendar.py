"""The engine on local time: clocks that change, and days on which people rest."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_series import DAY_S, HOUR_S, MONDAY, at, shop, window
from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats, MetricWindow
from predictscale.forecasters.codec import decode, encode
from predictscale.forecasters.native import Ask, Native, predict_together
from predictscale.forecasters.native.wall import Wall
from predictscale.sources.synthetic import chat_tokens, shop_requests

_BERLIN = Calendar("Europe/Berlin")
_STEP_S = 300.0
_STEPS = 6


def _midnight(calendar: Calendar, day: date) -> datetime:
    """When a local day begins."""
    utc = datetime(day.year, day.month, day.day, tzinfo=UTC)
    offset_s = float(calendar.offsets_s(np.array([utc.timestamp()]))[0])
    return utc - timedelta(seconds=offset_s)


def _followed(
    series: MetricWindow, calendar: Calendar, *, first: datetime, hours: int
) -> tuple[float, float]:
    """Half an hour ahead of each bin, refitted every six hours: coverage of the peak at .95, and loss."""
    asks, came = [], []
    for hour in range(0, hours, 6):
        start = first + timedelta(hours=hour)
        fitted = Native(calendar).fit(series.between(series.start, start))
        for bin_ in range(72):
            origin = start + timedelta(seconds=bin_ * _STEP_S)
            asks.append(Ask(fitted, series.between(series.start, origin), _STEPS, (0.5, 0.95)))
            ahead = series.between(origin, origin + timedelta(seconds=_STEPS * _STEP_S))
            came.append(ahead.values.max())
    said = np.array([_peak(answer) for answer in predict_together(asks)])
    off, levels = np.array(came)[:, None] - said, np.array((0.5, 0.95))
    loss = np.maximum(levels * off, (levels - 1) * off).sum() / np.sum(came)
    return float((off[:, 1] <= 0).mean()), float(loss)


def _peak(answer: object) -> Floats:
    peaks = getattr(answer, "peaks", None)
    assert isinstance(peaks, np.ndarray)
    return np.asarray(peaks[:, -1], dtype=np.float64)


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25)])
def test_the_day_the_clock_changes_is_covered_if_the_zone_is_known(day: date) -> None:
    covered, losses = [], []
    start = _midnight(_BERLIN, day)
    for seed in (1, 2):
        series = chat_tokens(seed=seed).values(start - timedelta(days=16), start + timedelta(days=2), _STEP_S)
        told = [
            _followed(series, cal, first=start + timedelta(hours=3), hours=18)
            for cal in (Calendar(), _BERLIN)
        ]
        covered.append([share for share, _ in told])
        losses.append([loss for _, loss in told])
    unknown, known = np.mean(covered, axis=0)
    assert known > 0.91
    assert unknown < known
    assert np.mean(losses, axis=0)[1] < 0.75 * np.mean(losses, axis=0)[0]


@pytest.mark.parametrize("calendar", [Calendar("Atlantic/Reykjavik"), Calendar("UTC", (date(2001, 1, 1),))])
def test_a_calendar_without_anything_to_tell_changes_not_a_bit(calendar: Calendar) -> None:
    series = shop(days=16)
    cut = series.between(MONDAY, at(15.8))
    plain, known = (Native(cal).fit(cut).predict(series, steps=30) for cal in (Calendar(), calendar))
    np.testing.assert_array_equal(known.values, plain.values)
    assert plain.peaks is not None
    assert known.peaks is not None
    np.testing.assert_array_equal(known.peaks, plain.peaks)


def test_a_zone_is_the_same_as_a_series_that_lives_by_it() -> None:
    """Three hours east of Greenwich everything is three hours earlier."""
    series = shop(days=16)
    east = MetricWindow(MONDAY - timedelta(hours=3), series.step_s, series.values)
    there, here = (
        Native(calendar).fit(whole.last(15.5 * DAY_S)).predict(whole, steps=12)
        for calendar, whole in ((Calendar("Etc/GMT-3"), east), (Calendar(), series))
    )
    np.testing.assert_allclose(there.values, here.values, rtol=1e-9)


@given(
    st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kolkata"]),
    st.integers(0, 365 * 24 * 60),
)
def test_days_ago_the_clock_on_the_wall_showed_the_same(zone: str, minute: int) -> None:
    calendar = Calendar(zone)
    now = np.array([MONDAY.timestamp() + 60.0 * minute])
    back = Wall.of(now, np.zeros((1, 1, 1)), calendar).back(60.0)
    then = (now - back.days * DAY_S + back.later * 60.0).ravel()
    around = np.stack([calendar.offsets_s(then + hours * HOUR_S) for hours in (-2, 0, 2)])
    same = (then + calendar.offsets_s(then)) % DAY_S == (now + calendar.offsets_s(now)) % DAY_S
    # Near a change an hour is missing, or there twice.
    assert (same | (np.ptp(around, axis=0) > 0)).all()


def _looked_at(day: date, holidays: tuple[date, ...]) -> tuple[list[int], list[bool]]:
    calendar = Calendar("Europe/Berlin", holidays)
    noon = np.array([_midnight(calendar, day).timestamp() + 12 * HOUR_S])
    back = Wall.of(noon, np.zeros((1, 1, 1)), calendar).back(60.0)
    known = np.broadcast_to(back.known, (5, 1, 1, 1))
    return np.broadcast_to(back.days, (5, 1, 1, 1)).ravel().tolist(), known.ravel().tolist()


def test_a_holiday_looks_back_at_days_of_rest_and_a_working_day_not_at_holidays() -> None:
    easter = (date(2026, 4, 3), date(2026, 4, 5), date(2026, 4, 6))
    # Good Friday: the last Sunday, Saturday and Sunday before; of Sundays the last two.
    assert _looked_at(date(2026, 4, 3), easter) == ([5, 6, 12, 5, 12], [True] * 5)
    # Easter Monday: Sunday, Saturday, Good Friday.
    assert _looked_at(date(2026, 4, 6), easter) == ([1, 2, 3, 1, 3], [True] * 5)
    # The Tuesday after does not learn from Easter Monday, nor the next Friday from Good Friday.
    assert _looked_at(date(2026, 4, 7), easter) == ([1, 2, 3, 7, 14], [False, True, True, True, True])
    assert _looked_at(date(2026, 4, 10), easter) == ([1, 2, 3, 7, 14], [True, True, True, False, True])
    # A Sunday rests anyway.
    assert _looked_at(date(2026, 4, 12), easter) == ([1, 2, 3, 7, 14], [True] * 5)


def test_a_holiday_is_a_day_of_rest_by_the_clock_on_the_wall() -> None:
    calendar = Calendar("Europe/Berlin", (date(2026, 5, 14),))
    begins = _midnight(calendar, date(2026, 5, 14)).timestamp()
    hours = np.array([-1.0, 0.0, 23.0, 24.0, 47.0, 48.0, 95.0, 96.0])[None, :, None]
    moment = Wall.of(np.array([begins]), np.zeros((1, 8, 1)), calendar).at(hours * HOUR_S)
    # Ascension Day is a Thursday; a working day follows, then the weekend.
    assert moment.rest.ravel().tolist() == [0, 1, 1, 0, 0, 1, 1, 0]
    assert (moment.seconds.ravel() / HOUR_S).tolist() == [167, 0, 23, 24, 47, 48, 95, 96]


def test_a_holiday_that_is_known_is_foreseen_as_a_day_of_rest() -> None:
    """On holidays and weekends people come in the evening and not for work."""
    holiday = date(2026, 5, 14)
    calendar, start = Calendar("Europe/Berlin", (holiday,)), _midnight(_BERLIN, holiday)
    losses = []
    for seed in (1, 2):
        span = (start - timedelta(days=22), start + timedelta(days=1, hours=1))
        work = chat_tokens(seed=seed).values(*span, _STEP_S)
        home = shop_requests(seed=seed + 500).values(*span, _STEP_S)
        local = np.floor((work.stamps_s + calendar.offsets_s(work.stamps_s)) / DAY_S) % 7
        rest = (local == 2) | (local == 3) | calendar.holiday(work.stamps_s)
        series = MetricWindow(work.start, _STEP_S, np.where(rest, 14.0 * home.values, work.values))
        told = [_followed(series, cal, first=start, hours=24) for cal in (_BERLIN, calendar)]
        losses.append([loss for _, loss in told])
    unknown, known = np.mean(losses, axis=0)
    assert known < 0.85 * unknown


def test_a_fit_takes_its_calendar_along() -> None:
    series = window(shop(days=16).values)
    fitted = Native(Calendar("Europe/Berlin", (date(2026, 3, 17),))).fit(series.between(MONDAY, at(15)))
    back = decode(encode(fitted))
    for end in (15.2, 15.9):
        recent = series.between(MONDAY, at(end))
        np.testing.assert_array_equal(
            back.predict(recent, steps=9).values, fitted.predict(recent, steps=9).values
        )
