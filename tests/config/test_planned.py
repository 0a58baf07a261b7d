"""Planned events as they are written: their times, and what is refused."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from predictscale.config.planned import EventSettings
from predictscale.config.problems import problems_of
from predictscale.core.events import Repeat

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu"]
FOREVER_S = 4e9
# Bounds of hypothesis' datetimes are naive.
EARLY, LATE, LATER = (datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (1991, 2029, 2050))


def written(start: str, end: str, **more: Any) -> EventSettings:
    return EventSettings.model_validate({"name": "sale", "start": start, "end": end, "multiplier": 2} | more)


def complaint(**fields: Any) -> str:
    with pytest.raises(ValidationError) as wrong:
        written(**{"start": "2026-11-27T08:00", "end": "2026-11-27T20:00"} | fields)
    return "\n".join(map(str, problems_of(wrong.value, EventSettings)))


def first_span(event: EventSettings, zone: str) -> tuple[datetime, datetime]:
    begin_s, end_s = event.planned(zone).spans_s(0, FOREVER_S if event.repeat is Repeat.NONE else 1.9e9)[0]
    return datetime.fromtimestamp(begin_s, UTC), datetime.fromtimestamp(end_s, UTC)


def test_offsets_from_utc_mean_their_instants_even_across_the_hour_that_a_clock_shows_twice() -> None:
    # Berlin's clock shows half past two at both ends.
    event = written("2026-10-25T00:30Z", "2026-10-25T01:30Z")
    assert first_span(event, "Europe/Berlin") == (
        datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 1, 30, tzinfo=UTC),
    )


def test_an_event_with_offsets_that_repeats_follows_the_clock_on_the_wall() -> None:
    event = written("2026-10-24T06:00Z", "2026-10-24T07:00Z", repeat="daily").planned("Europe/Berlin")
    spans = event.spans_s(event.start.timestamp(), event.start.timestamp() + 2.5 * 86400)
    begins = [datetime.fromtimestamp(begin_s, UTC).hour for begin_s, _ in spans]
    assert begins == [6, 7, 7]
    assert {end_s - begin_s for begin_s, end_s in spans} == {3600.0}


@given(
    start=st.datetimes(EARLY, LATER, timezones=st.just(UTC)),
    minutes=st.integers(1, 20_000),
    zone=st.sampled_from(ZONES),
)
def test_an_event_with_offsets_that_comes_once_lies_at_its_instants_in_every_zone(
    start: datetime, minutes: int, zone: str
) -> None:
    end = start + timedelta(minutes=minutes)
    begin, over = first_span(written(start.isoformat(), end.isoformat()), zone)
    assert abs(begin - start) < timedelta(milliseconds=1)
    assert abs(over - end) < timedelta(milliseconds=1)


@given(
    start=st.datetimes(EARLY, LATE),
    minutes=st.integers(1, 1440),
    zone=st.sampled_from(ZONES),
    repeat=st.sampled_from(Repeat),
    aware=st.booleans(),
)
def test_whatever_is_accepted_can_be_planned_in_every_zone_and_lasts_some_time(
    start: datetime, minutes: int, zone: str, repeat: Repeat, *, aware: bool
) -> None:
    offset = "+05:30" if aware else ""
    event = written(
        start.isoformat() + offset,
        (start + timedelta(minutes=minutes)).isoformat() + offset,
        repeat=repeat,
    )
    planned = event.planned(zone)
    since_s = planned.start.timestamp()
    spans = planned.spans_s(since_s, since_s + 400 * 86400)
    assert spans
    assert all(end_s > begin_s for begin_s, end_s in spans)


def test_a_time_without_offset_is_by_the_workloads_clock_in_summer_and_in_winter() -> None:
    for day, hour in (("2026-07-01", 6), ("2026-12-01", 7)):
        begin, _ = first_span(written(f"{day}T08:00", f"{day}T09:00"), "Europe/Berlin")
        assert begin.hour == hour


@pytest.mark.parametrize(
    "start", ["2026", "1764230400", "480", 480, 1.5, True, "tomorrow", "08:00", "", None]
)
def test_a_number_is_no_time_not_even_as_text(start: object) -> None:
    assert complaint(start=start).startswith("start: ")


@pytest.mark.parametrize("year", ["0001", "1989", "2060", "9999"])
def test_years_that_no_clock_here_knows_are_refused(year: str) -> None:
    told = complaint(start=f"{year}-01-01T00:00", end=f"{year}-01-02T00:00")
    assert told == f"start: is in the year {int(year)}; must lie from 1990 to 2059"


@pytest.mark.parametrize("demand", [-1, 1e13, "inf", "nan", True])
def test_a_demand_that_is_none_is_refused(demand: object) -> None:
    assert complaint(multiplier=None, demand=demand).startswith("demand: ")
