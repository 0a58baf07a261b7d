"""Zones, holidays, planned events and the options of models, as people write them."""

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from predictscale.config.calendars import FIRST_YEAR, LAST_YEAR, holidays_of
from predictscale.config.intake import read_workload
from predictscale.config.load import load_service
from predictscale.config.metadata import parse_trigger
from predictscale.config.models import FourierSettings, ProphetSettings, SeasonalitySettings
from predictscale.config.presets import load_presets
from predictscale.config.resolve import Origin
from predictscale.config.settings import ServiceSettings
from predictscale.config.workload import WorkloadSettings
from predictscale.core.calendar import Calendar
from predictscale.core.events import PlannedEvent, Repeat
from predictscale.errors import SettingsError

PRESETS = load_presets()
SHOP: dict[str, object] = {
    "namespace": "web",
    "name": "shop",
    "backend": "http",
    "capacity_per_replica": 80,
    "max_replicas": 25,
}
BERLIN = ZoneInfo("Europe/Berlin")
SALE = {"name": "sale", "start": "2026-11-27T08:00", "end": "2026-11-27T22:00", "multiplier": 3}


def resolved(defaults: dict[str, Any] | None = None, **fields: Any) -> WorkloadSettings:
    terms = ServiceSettings.model_validate({"defaults": defaults or {}}).terms(PRESETS)
    return read_workload({**SHOP, **fields}, terms=terms, origin=Origin())[1]


def problems(**fields: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        resolved(**fields)
    return [str(problem) for problem in caught.value.problems]


def only_event(**changes: Any) -> PlannedEvent:
    (event,) = resolved(time_zone="Europe/Berlin", events=[{**SALE, **changes}]).events
    return event


def test_without_a_zone_and_a_country_the_calendar_is_utc_without_holidays() -> None:
    assert resolved().calendar == Calendar()


def test_a_country_becomes_its_holidays_in_the_workloads_zone() -> None:
    calendar = resolved(time_zone="Europe/Berlin", holidays="DE").calendar
    assert calendar.zone == "Europe/Berlin"
    assert {date(2026, 1, 1), date(2026, 10, 3)} <= set(calendar.holidays)
    assert date(2026, 1, 6) not in calendar.holidays


@pytest.mark.parametrize("code", ["DE-BY", "de-by", " DE-by "])
def test_a_part_of_a_country_has_holidays_of_its_own(code: str) -> None:
    assert date(2026, 1, 6) in resolved(holidays=code).calendar.holidays


@pytest.mark.parametrize("code", ["DE", "US", "CN", "IN", "SA"])
def test_holidays_ascend_within_the_years_that_are_told(code: str) -> None:
    days = holidays_of(code)
    assert list(days) == sorted(set(days))
    assert FIRST_YEAR <= days[0].year <= days[-1].year <= LAST_YEAR
    assert {2025, 2026, 2027} <= {day.year for day in days}


def test_zone_and_country_of_the_defaults_stand_behind_a_workloads_own() -> None:
    defaults = {"time_zone": "Asia/Tokyo", "holidays": "JP"}
    assert resolved(defaults).calendar == Calendar("Asia/Tokyo", holidays_of("JP"))
    assert resolved(defaults, time_zone="UTC", holidays=None).calendar == Calendar()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        (
            {"time_zone": "Europe/Berlni"},
            (
                "time_zone: 'Europe/Berlni'; must be a zone's IANA name, such as Europe/Berlin "
                "(did you mean 'Europe/Berlin'?)"
            ),
        ),
        (
            {"time_zone": "my desk"},
            "time_zone: 'my desk'; must be a zone's IANA name, such as Europe/Berlin",
        ),
        (
            {"holidays": "Germany"},
            "holidays: 'Germany'; must be a country's code, such as DE, US-CA or DE-BY (did you mean 'DE'?)",
        ),
        (
            {"holidays": "DE-BYX"},
            (
                "holidays: 'DE-BYX'; parts of DE are BB, BE, BW, BY, HB, HE, HH, MV, NI, NW, RP, SH, SL, SN, "
                "ST, TH, Augsburg (did you mean 'BY'?)"
            ),
        ),
        ({"holidays": "SG-XX"}, "holidays: 'SG-XX'; SG has no parts"),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_nearest(fields: dict[str, Any], problem: str) -> None:
    assert problems(**fields) == [problem]


@pytest.mark.parametrize("code", ["", "-", "DE-", "XX", "123", "🦆"])
def test_what_is_no_country_is_refused(code: str) -> None:
    (problem,) = problems(holidays=code)
    assert problem.startswith("holidays: ")


def test_a_trigger_may_say_zone_and_country() -> None:
    metadata = {"backend": "http", "capacityPerReplica": "80", "maxReplicas": "25"}
    shop = parse_trigger(
        "web",
        "shop",
        {**metadata, "timeZone": "Asia/Kolkata", "holidays": "IN-KA"},
        ServiceSettings(),
        PRESETS,
    )
    assert shop.calendar == Calendar("Asia/Kolkata", holidays_of("IN-KA"))
    with pytest.raises(SettingsError, match=r"scalerMetadata\.timeZoneFromEnv: a value that is not repeated"):
        parse_trigger("web", "shop", {**metadata, "timeZoneFromEnv": "Nowhere"}, ServiceSettings(), PRESETS)


def test_an_events_time_is_that_of_the_workloads_clock_on_the_wall() -> None:
    event = only_event()
    assert event.start == datetime(2026, 11, 27, 8, tzinfo=BERLIN)
    assert (event.multiplier, event.demand, event.repeat) == (3, None, Repeat.NONE)


def test_an_events_time_with_an_offset_is_that_instant() -> None:
    event = only_event(start="2026-11-27T08:00+00:00", end="2026-11-27T09:00Z", repeat="daily")
    assert event.start == datetime(2026, 11, 27, 8, tzinfo=UTC)
    assert event.start.tzinfo is BERLIN


def test_events_are_read_from_a_file_as_yaml_writes_times(tmp_path: Path) -> None:
    path = tmp_path / "predictscale.yaml"
    path.write_text(
        """
        replay: {series: {shop: "synthetic:shop"}}
        defaults:
          time_zone: Europe/Berlin
        workloads:
          - {namespace: web, name: shop, query: shop, capacity_per_replica: 80, max_replicas: 9, events: [
              {name: day, start: 2026-11-27, end: 2026-11-28, multiplier: 2},
              {name: night, start: 2026-11-27 22:30, end: 2026-11-28T01:00:00, demand: 500, repeat: weekly},
              {name: launch, start: 2026-11-27T08:00:00Z, end: 2026-11-27T10:00:00+01:00, demand: 10}]}
        """
    )
    (shop,) = load_service(path).named_workloads(PRESETS)
    day, night, launch = shop.events
    assert (day.start, day.lasts.days) == (datetime(2026, 11, 27, tzinfo=BERLIN), 1)
    assert night.start == datetime(2026, 11, 27, 22, 30, tzinfo=BERLIN)
    assert launch.end.timestamp() - launch.start.timestamp() == 3600


@pytest.mark.parametrize(
    ("changes", "where", "words"),
    [
        ({"demand": 5}, "multiplier", "is given with demand"),
        ({"multiplier": None}, "multiplier", "is missing, as demand is"),
        ({"end": "2026-11-27T08:00"}, "end", "must be after start"),
        ({"end": "2026-11-27T22:00Z"}, "end", "both with an offset from UTC, or both without"),
        ({"end": "2026-12-27T22:00", "repeat": "weekly"}, "repeat", "must end before it comes again"),
        ({"start": 480}, "start", "must be a date and time"),
        ({"start": "soon"}, "start", "'soon'"),
        ({"multiplier": 0}, "multiplier", "above 0"),
        ({"multiplier": 1000}, "multiplier", "must be 100 or less"),
        ({"multiplier": None, "demand": -1}, "demand", "must be 0 or more"),
        ({"multiplier": None, "demand": True}, "demand", "must be a number"),
        ({"name": "a\nb"}, "name", "nobody can read"),
        ({"repeat": "dayly"}, "repeat", "did you mean 'daily'?"),
        ({"multiplyer": 2}, "multiplyer", "did you mean 'multiplier'?"),
    ],
)
def test_an_event_that_makes_no_sense_is_refused_where_it_stands(
    changes: dict[str, Any], where: str, words: str
) -> None:
    (problem,) = problems(events=[SALE, {**SALE, **changes}])
    assert problem.startswith(f"events[1].{where}: ")
    assert words in problem


def test_options_of_models_are_the_lean_ones_unless_said_otherwise() -> None:
    shop = resolved()
    assert (shop.prophet, shop.fourier) == (ProphetSettings(), FourierSettings())
    told = resolved(
        prophet={
            "changepoints": 25,
            "yearly": True,
            "seasonalities": [{"name": "month", "period_s": "30d", "harmonics": 5}],
        },
        fourier={"weekly_harmonics": 0},
    )
    month = SeasonalitySettings(name="month", period_s=30 * 86400, harmonics=5)
    assert told.prophet == ProphetSettings(changepoints=25, yearly=True, seasonalities=(month,))
    assert told.fourier.weekly_harmonics == 0


def test_an_option_that_is_wrong_is_refused_where_it_stands() -> None:
    wrong = {"changepoint": 3, "seasonalities": [{"name": "Month", "period_s": "30d"}]}
    first, second = problems(prophet=wrong)
    assert first.startswith("prophet.seasonalities[0].name: 'Month'")
    assert second == "prophet.changepoint: is not a known setting; did you mean 'changepoints'?"


def test_whatever_changes_what_is_learnt_changes_the_fingerprint() -> None:
    told: list[dict[str, Any]] = [
        {},
        {"time_zone": "Asia/Tokyo"},
        {"holidays": "DE"},
        {"holidays": "DE-BY"},
        {"events": [SALE]},
        {"events": [{**SALE, "multiplier": 4}]},
        {"events": [{**SALE, "repeat": "yearly"}]},
        {"events": [SALE], "time_zone": "Asia/Tokyo"},
        {"prophet": {"yearly": True}},
        {"fourier": {"daily_harmonics": 3}},
    ]
    assert len({resolved(**fields).fingerprint() for fields in told}) == len(told)
    renamed = resolved(events=[{**SALE, "name": "black friday"}])
    assert renamed.fingerprint() == resolved(events=[SALE]).fingerprint()


def test_nobody_pays_for_the_library_of_holidays_who_names_no_country() -> None:
    script = (
        "import sys; from predictscale.config.load import load_service; load_service(); "
        "print('holidays' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
