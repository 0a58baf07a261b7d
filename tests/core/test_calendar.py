from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.calendar import FIRST_YEAR, LAST_YEAR, Calendar
from predictscale.core.series import Floats

HOUR_S = 3600.0

# Summer time north and south and of half an hour, none, a pause in it for a month, and abolished.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Sydney",
    "Australia/Lord_Howe",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Africa/Casablanca",
    "America/Sao_Paulo",
)


def stamps(*instants: datetime) -> Floats:
    return np.array([at.timestamp() for at in instants])


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@given(
    zone=st.sampled_from(ZONES),
    at_s=st.lists(
        st.integers(int(utc(FIRST_YEAR, 1, 1).timestamp()), int(utc(LAST_YEAR, 1, 1).timestamp()) - 1),
        max_size=20,
    ),
)
def test_offsets_are_those_of_the_zone_database_at_any_instant(zone: str, at_s: list[int]) -> None:
    told = Calendar(zone).offsets_s(np.array(at_s, dtype=float))
    offsets = [datetime.fromtimestamp(s, ZoneInfo(zone)).utcoffset() or timedelta() for s in at_s]
    np.testing.assert_array_equal(told, [offset.total_seconds() for offset in offsets])


def test_clocks_in_europe_go_forward_at_one_utc_in_march_and_back_at_one_utc_in_october() -> None:
    second = timedelta(seconds=1)
    spring, autumn = utc(2026, 3, 29, 1), utc(2026, 10, 25, 1)
    told = Calendar("Europe/Berlin").offsets_s(stamps(spring - second, spring, autumn - second, autumn))
    np.testing.assert_array_equal(told, [HOUR_S, 2 * HOUR_S, 2 * HOUR_S, HOUR_S])


def test_summer_in_the_south_begins_in_october_and_ends_in_april() -> None:
    second = timedelta(seconds=1)
    spring, autumn = utc(2026, 10, 3, 16), utc(2026, 4, 4, 16)
    told = Calendar("Australia/Sydney").offsets_s(stamps(autumn - second, autumn, spring - second, spring))
    np.testing.assert_array_equal(told, np.array([11, 10, 10, 11]) * HOUR_S)


@pytest.mark.parametrize(
    ("zone", "winter_h", "summer_h"),
    [("Asia/Kolkata", 5.5, 5.5), ("Asia/Kathmandu", 5.75, 5.75), ("Australia/Lord_Howe", 11.0, 10.5)],
)
def test_zones_of_half_and_quarter_hours_keep_them(zone: str, winter_h: float, summer_h: float) -> None:
    told = Calendar(zone).offsets_s(stamps(utc(2026, 1, 15), utc(2026, 7, 15)))
    np.testing.assert_array_equal(told, np.array([winter_h, summer_h]) * HOUR_S)


def test_outside_the_years_that_are_known_the_nearest_known_offset_holds() -> None:
    told = Calendar("Europe/Berlin").offsets_s(
        stamps(utc(1950, 7, 1), utc(FIRST_YEAR, 1, 1), utc(LAST_YEAR, 1, 1), utc(2200, 7, 1))
    )
    np.testing.assert_array_equal(told, [HOUR_S] * 4)


def test_offsets_keep_the_shape_they_are_asked_in() -> None:
    asked = utc(2026, 7, 1).timestamp() + np.zeros((3, 4))
    calendar = Calendar("Europe/Berlin", (date(2026, 7, 1),))
    assert calendar.offsets_s(asked).shape == calendar.holiday(asked).shape == (3, 4)
    assert Calendar().offsets_s(np.empty(0)).shape == Calendar().holiday(np.empty(0)).shape == (0,)
    assert Calendar().holiday(asked).shape == (3, 4)


def test_a_zone_that_is_not_there_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'Europe/Berlni' is no time zone; did you mean Europe/Berlin\?"):
        Calendar("Europe/Berlni")


@pytest.mark.parametrize("name", ["", "Europe", "../etc/passwd", "a\0b", "/etc/localtime"])
def test_what_is_no_name_of_a_zone_is_refused_in_words(name: str) -> None:
    with pytest.raises(ValueError, match="is no time zone; "):
        Calendar(name)


def test_a_holiday_begins_and_ends_at_midnight_where_the_people_are() -> None:
    calendar = Calendar("America/New_York", (date(2026, 7, 4), date(2026, 12, 25)))
    second = timedelta(seconds=1)
    begins, ends = utc(2026, 7, 4, 4), utc(2026, 7, 5, 4)
    told = calendar.holiday(stamps(begins - second, begins, ends - second, ends))
    np.testing.assert_array_equal(told, [False, True, True, False])
    assert calendar.holiday(stamps(utc(2026, 12, 25, 12))).all()


@given(
    zone=st.sampled_from(ZONES),
    days=st.lists(st.dates(date(2024, 1, 1), date(2027, 12, 31)), max_size=6),
    at_s=st.integers(int(utc(2024, 1, 2).timestamp()), int(utc(2027, 12, 30).timestamp())),
)
def test_an_instant_is_on_a_holiday_exactly_if_its_local_date_is_one(
    zone: str, days: list[date], at_s: int
) -> None:
    local = datetime.fromtimestamp(at_s, ZoneInfo(zone)).date()
    calendar = Calendar(zone, (*days, *([local] if at_s % 2 else [])))
    assert calendar.holiday(np.array([float(at_s)]))[0] == (local in calendar.holidays)


def test_calendars_are_values() -> None:
    days = (date(2026, 1, 1),)
    assert Calendar("Europe/Berlin", days) == Calendar("Europe/Berlin", days)
    assert hash(Calendar("Europe/Berlin", days)) == hash(Calendar("Europe/Berlin", days))
