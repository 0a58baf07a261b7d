"""Floors by the clock on the wall, where clocks jump, repeat an hour, and pass midnight."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from predictscale.core.floors import EVERY_DAY, CalendarFloor, Days, calendar_floor

HOUR_S = 3600
DAY_S = 86_400
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia")
CHANGES = {
    # Of each zone the days on which its clocks jump and go back, in 2026.
    "Europe/Berlin": (date(2026, 3, 29), date(2026, 10, 25)),
    "America/New_York": (date(2026, 3, 8), date(2026, 11, 1)),
    "Australia/Lord_Howe": (date(2026, 10, 4), date(2026, 4, 5)),
}


def floor(
    opens: str = "08:00",
    closes: str = "20:00",
    *,
    zone: str = "Europe/Berlin",
    days: Days = EVERY_DAY,
    replicas: int = 4,
    name: str = "office",
) -> CalendarFloor:
    first, last = ((int(text[:2]) * 60 + int(text[3:])) * 60 for text in (opens, closes))
    return CalendarFloor(name=name, days=days, opens_s=first, closes_s=last, replicas=replicas, zone=zone)


def spans(window: CalendarFloor, since: datetime, until: datetime) -> list[tuple[str, str]]:
    """Begin and end of each opening, UTC."""
    found = window.spans_s(since.timestamp(), until.timestamp())
    return [(f"{_utc(a):%d %H:%M}", f"{_utc(b):%d %H:%M}") for a, b in found]


def _utc(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)


def on(day: date, hours: float = 0.0) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hours)


def held(windows: list[CalendarFloor], now: datetime, *, lead_s: float = 0.0) -> int:
    found = calendar_floor(windows, now=now, lead_s=lead_s)
    return 0 if found is None else found.replicas


@pytest.mark.parametrize(
    ("zone", "spring", "autumn"),
    [
        ("Europe/Berlin", [("28 07:00", "28 19:00"), ("29 06:00", "29 18:00")], [("25 07:00", "25 19:00")]),
        (
            "America/New_York",
            [("07 13:00", "08 01:00"), ("08 12:00", "09 00:00")],
            [("01 13:00", "02 01:00")],
        ),
        # Half an hour of summer time, in the southern summer.
        (
            "Australia/Lord_Howe",
            [("02 21:30", "03 09:30"), ("03 21:00", "04 09:00")],
            [("04 21:30", "05 09:30")],
        ),
    ],
)
def test_a_window_keeps_its_hours_on_the_wall_when_the_clocks_change(
    zone: str, spring: list[tuple[str, str]], autumn: list[tuple[str, str]]
) -> None:
    window = floor(zone=zone)
    jumps, back = (datetime(d.year, d.month, d.day, 12, tzinfo=ZoneInfo(zone)) for d in CHANGES[zone])
    assert spans(window, jumps - timedelta(days=1), jumps + timedelta(hours=1)) == spring
    assert spans(window, back, back + timedelta(hours=1)) == autumn


@pytest.mark.parametrize(
    ("zone", "opens", "closes", "begins", "ends"),
    [
        # 02:00 to 03:00 are skipped, at 01:00 UTC.
        ("Europe/Berlin", "02:30", "04:00", "29 01:00", "29 02:00"),
        ("America/New_York", "02:30", "04:00", "08 07:00", "08 08:00"),
        # 02:00 to 02:30 are skipped, at 15:30 UTC of the day before.
        ("Australia/Lord_Howe", "02:10", "04:00", "03 15:30", "03 17:00"),
        # One that closes in the skipped hour closes when the clock jumps.
        ("Europe/Berlin", "01:00", "02:30", "29 00:00", "29 01:00"),
        # One that the clock skips altogether lasts as long as on other days.
        ("Europe/Berlin", "02:10", "02:40", "29 01:00", "29 01:30"),
        ("Australia/Lord_Howe", "02:05", "02:25", "03 15:30", "03 15:50"),
    ],
)
def test_a_window_that_opens_in_the_skipped_hour_opens_when_the_clock_jumps(
    zone: str, opens: str, closes: str, begins: str, ends: str
) -> None:
    day = CHANGES[zone][0]
    window = floor(opens, closes, zone=zone, days=Days(dates=frozenset({day})))
    assert spans(window, on(day, -48), on(day, 48)) == [(begins, ends)]


@pytest.mark.parametrize(
    ("zone", "opens", "closes", "begins", "ends"),
    [
        # 02:00 to 03:00 come twice, at 00:00 and 01:00 UTC.
        ("Europe/Berlin", "02:15", "02:45", "25 00:15", "25 01:45"),
        ("Europe/Berlin", "02:30", "06:00", "25 00:30", "25 05:00"),
        ("Europe/Berlin", "00:30", "02:30", "24 22:30", "25 01:30"),
        ("America/New_York", "01:15", "01:45", "01 05:15", "01 06:45"),
        # 01:30 to 02:00 come twice, at 14:30 and 15:00 UTC of the day before.
        ("Australia/Lord_Howe", "01:35", "01:55", "04 14:35", "04 15:25"),
    ],
)
def test_a_window_in_the_doubled_hour_covers_both_comings(
    zone: str, opens: str, closes: str, begins: str, ends: str
) -> None:
    day = CHANGES[zone][1]
    window = floor(opens, closes, zone=zone, days=Days(dates=frozenset({day})))
    assert spans(window, on(day, -48), on(day, 48)) == [(begins, ends)]


def test_a_window_across_midnight_belongs_to_the_day_on_which_it_opens() -> None:
    friday = Days(weekdays=frozenset({4}))
    night = floor("22:00", "06:00", zone="UTC", days=friday)
    saturday = datetime(2026, 3, 7, tzinfo=UTC)
    assert spans(night, saturday, saturday + timedelta(days=7)) == [
        ("06 22:00", "07 06:00"),
        ("13 22:00", "14 06:00"),
    ]
    assert held([night], saturday + timedelta(hours=5, minutes=59)) == 4
    assert held([night], saturday + timedelta(hours=6)) == 0
    assert held([night], saturday - timedelta(hours=4)) == 0


def test_a_night_in_which_the_clocks_change_is_an_hour_shorter_or_longer() -> None:
    night = floor("22:00", "06:00")
    for day, hours in ((date(2026, 3, 28), 7), (date(2026, 10, 24), 9), (date(2026, 7, 1), 8)):
        ((start_s, end_s),) = night.spans_s(on(day, 21.5).timestamp(), on(day, 22).timestamp())
        assert end_s - start_s == hours * HOUR_S


def test_a_window_from_midnight_to_midnight_is_the_whole_day() -> None:
    whole = [floor("00:00", "24:00"), floor("00:00", "00:00")]
    assert {held([each], on(date(2026, 5, 5), hour)) for each in whole for hour in range(24)} == {4}


def test_of_overlapping_windows_the_highest_holds() -> None:
    windows = [
        floor("08:00", "20:00", zone="UTC", replicas=4),
        floor("12:00", "14:00", zone="UTC", replicas=9, name="lunch"),
        floor("13:00", "23:00", zone="UTC", replicas=2),
    ]
    day = date(2026, 3, 2)
    assert [held(windows, on(day, hour)) for hour in (7, 8, 12, 13.9, 14, 20, 22.9, 23)] == [
        0,
        4,
        9,
        9,
        4,
        2,
        2,
        0,
    ]
    found = calendar_floor(windows, now=on(day, 13), lead_s=0)
    assert found is not None
    assert found.because == "'lunch' holds 9 until Mon 14:00 UTC, the highest of 3 windows"


def test_the_29th_of_february_comes_in_leap_years_alone() -> None:
    leap = floor("22:00", "06:00", zone="UTC", days=Days(yearly=frozenset({(2, 29)})))
    for year, times in ((2027, 0), (2028, 1), (2032, 1), (2100, 0)):
        january, december = (datetime(year, month, 1, tzinfo=UTC) for month in (1, 12))
        assert len(leap.spans_s(january.timestamp(), december.timestamp())) == times


def test_every_day_means_the_29th_of_february_too() -> None:
    night = floor("22:00", "06:00", zone="UTC")
    since, until = datetime(2028, 2, 28, tzinfo=UTC), datetime(2028, 3, 1, 12, tzinfo=UTC)
    assert spans(night, since, until) == [
        ("27 22:00", "28 06:00"),
        ("28 22:00", "29 06:00"),
        ("29 22:00", "01 06:00"),
    ]


def test_replicas_are_asked_for_one_lead_time_before_the_window_opens() -> None:
    opens = on(date(2026, 3, 2), 8)
    window = [floor(zone="UTC")]
    assert held(window, opens - timedelta(seconds=301), lead_s=300) == 0
    assert held(window, opens - timedelta(seconds=300), lead_s=300) == 4
    found = calendar_floor(window, now=opens - timedelta(seconds=240), lead_s=300)
    assert found is not None
    assert found.because == "'office' asks for 4 from Mon 08:00 UTC, in 240 s, and is asked for 300 s ahead"
    # The window's end is not led up to: what is there serves until then.
    assert held(window, on(date(2026, 3, 2), 20) - timedelta(seconds=1), lead_s=300) == 4
    assert held(window, on(date(2026, 3, 2), 20), lead_s=300) == 0


def test_no_window_is_no_floor_and_not_a_floor_of_zero() -> None:
    assert calendar_floor([], now=on(date(2026, 3, 2)), lead_s=300) is None


@given(
    zone=st.sampled_from(ZONES),
    opens=st.integers(0, DAY_S // 60 - 1),
    closes=st.integers(0, DAY_S // 60),
    weekdays=st.frozensets(st.integers(0, 6), min_size=1),
    at_s=st.integers(1_300_000_000, 1_900_000_000)
    | st.sampled_from([1_774_746_000, 1_792_890_000, 1_772_953_200, 1_791_041_400, 1_775_314_800]).flatmap(
        lambda change: st.integers(change - 2 * DAY_S, change + 2 * DAY_S)
    ),
)
def test_a_window_is_open_whenever_the_clock_on_the_wall_says_so(
    zone: str, opens: int, closes: int, weekdays: frozenset[int], at_s: int
) -> None:
    days = Days(weekdays=weekdays)
    window = CalendarFloor(
        name="any", days=days, opens_s=60 * opens, closes_s=60 * closes, replicas=1, zone=zone
    )
    here = ZoneInfo(zone)
    local = datetime.fromtimestamp(at_s, here)
    shown_s = local.hour * HOUR_S + local.minute * 60 + local.second
    open_today = local.date() in days and window.opens_s <= shown_s < window.opens_s + window.lasts_s
    yesterday = local.date() - timedelta(days=1)
    open_since = yesterday in days and shown_s + DAY_S < window.opens_s + window.lasts_s
    is_open = any(start <= at_s < end for start, end in window.spans_s(at_s, at_s + 1))
    steady = len({datetime.fromtimestamp(at_s + HOUR_S * h, here).utcoffset() for h in range(-50, 51)}) == 1
    if open_today or open_since:
        assert is_open
    elif steady:
        assert not is_open


@given(
    zone=st.sampled_from(ZONES),
    since_s=st.integers(1_300_000_000, 1_900_000_000),
    hours=st.integers(1, 500),
    opens=st.integers(0, 1439),
    closes=st.integers(0, 1440),
)
def test_openings_ascend_and_are_those_that_touch(
    zone: str, since_s: int, hours: int, opens: int, closes: int
) -> None:
    window = CalendarFloor(
        name="any", days=EVERY_DAY, opens_s=60 * opens, closes_s=60 * closes, replicas=1, zone=zone
    )
    until_s = since_s + hours * HOUR_S
    every = window.spans_s(since_s - 10 * DAY_S, until_s + 10 * DAY_S)
    assert window.spans_s(since_s, until_s) == [s for s in every if s[0] < until_s and s[1] > since_s]
    assert all(start < end for start, end in every)
    assert every == sorted(every)


@given(
    windows=st.lists(st.tuples(st.integers(0, 23), st.integers(0, 24), st.integers(0, 9))),
    hour=st.floats(0, 48),
)
def test_another_window_never_lowers_the_floor(windows: list[tuple[int, int, int]], hour: float) -> None:
    floors = [
        CalendarFloor(
            name="any", days=EVERY_DAY, opens_s=a * HOUR_S, closes_s=b * HOUR_S, replicas=n, zone="UTC"
        )
        for a, b, n in windows
    ]
    now = on(date(2026, 3, 2), hour)
    assert all(held(floors, now) >= held(floors[:count], now) for count in range(len(floors)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"opens_s": DAY_S},
        {"closes_s": DAY_S + 1},
        {"opens_s": -1},
        {"replicas": -1},
        {"zone": "Mars/Olympus"},
    ],
)
def test_a_window_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    right: dict[str, object] = {
        "name": "w", "days": EVERY_DAY, "opens_s": 0, "closes_s": 1, "replicas": 1, "zone": "UTC"
    }  # fmt: skip
    with pytest.raises(ValueError, match=r"w: opens|Mars/Olympus"):
        CalendarFloor(**{**right, **wrong})  # type: ignore[arg-type]  # wrong on purpose


def test_days_that_name_none_are_refused() -> None:
    with pytest.raises(ValueError, match="never opens"):
        Days()
    with pytest.raises(ValueError, match="0 for Monday"):
        Days(weekdays=frozenset({7}))


@given(
    zone=st.sampled_from(ZONES),
    now_s=st.integers(1_300_000_000, 1_900_000_000),
    opens=st.integers(0, 1439),
    closes=st.integers(0, 1440),
    weekdays=st.frozensets(st.integers(0, 6), max_size=3),
    yearly=st.frozensets(st.sampled_from([(1, 1), (2, 29), (7, 4), (12, 31)]), max_size=2),
    ahead=st.lists(st.integers(-400, 400), max_size=2),
)
def test_the_next_opening_is_the_first_that_any_search_finds(
    *,
    zone: str,
    now_s: int,
    opens: int,
    closes: int,
    weekdays: frozenset[int],
    yearly: frozenset[tuple[int, int]],
    ahead: list[int],
) -> None:
    dates = frozenset(_utc(now_s).date() + timedelta(days=days) for days in ahead)
    assume(weekdays or yearly or dates)
    days = Days(weekdays=weekdays, yearly=yearly, dates=dates)
    window = CalendarFloor(
        name="any", days=days, opens_s=60 * opens, closes_s=60 * closes, replicas=1, zone=zone
    )
    reach_s = (420 if yearly != {(2, 29)} or weekdays or dates else 1600) * DAY_S
    later = [span for span in window.spans_s(now_s, now_s + reach_s) if span[0] > now_s]
    if later:
        assert window.next_span_s(now_s) == later[0]
    elif dates and not (weekdays or yearly):
        assert window.next_span_s(now_s) is None


def test_a_single_day_that_is_over_opens_no_more_and_a_leap_day_is_years_away() -> None:
    past = floor(days=Days(dates=frozenset({date(2026, 3, 2)})))
    assert past.next_span_s(on(date(2026, 3, 2), 12).timestamp()) is None
    assert past.next_span_s(on(date(2026, 3, 1), 12).timestamp()) is not None
    leap = floor(days=Days(yearly=frozenset({(2, 29)})))
    coming = leap.next_span_s(on(date(2096, 3, 1)).timestamp())
    assert coming is not None
    # 2100 is no leap year.
    assert _utc(coming[0]).date() == date(2104, 2, 29)
