"""Floors by the calendar, as the service's file describes them.

Times are those of the clock on the wall. Refuses a time that YAML has made a number of, and a day
that no year has.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from predictscale.config.calendars import zone_name
from predictscale.config.crontab import cron_opening
from predictscale.config.fields import DAY_S, Count, Frozen, Span
from predictscale.config.problems import did_you_mean, refuse
from predictscale.core.floors import EVERY_DAY, WEEKDAYS, CalendarFloor, Days

_TIME = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9]))?")
_DATE = re.compile(r"(?:([0-9]{4})-)?([0-9]{2})-([0-9]{2})")
_LONG = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NAMES = {name: place % 7 for place, name in enumerate((*WEEKDAYS, *_LONG))}
_SHORT = {"from": "opens", "to": "closes", "lasts": "lasts_s"}
_LEAP_YEAR = 2024


def wall_time(value: object) -> str:
    """A time of the day as it is written, `08:00` or `24:00`.

    Raises:
        ValueError: It is none, or YAML read it as a number, as it does `18:00` without quotes.
    """
    wants = "must be a time such as 08:00, or 24:00"
    if isinstance(value, int) and not isinstance(value, bool) and 60 <= value < DAY_S:
        minutes = value if value <= DAY_S // 60 else value // 60
        likely = f"'{minutes // 60:02d}:{minutes % 60:02d}'"
        raise ValueError(f"{wants}, in quotes: without them YAML reads {likely} as a number")
    text = value.strip() if isinstance(value, str) else ""
    if not (_TIME.fullmatch(text) or text == "24:00"):
        raise ValueError(wants)
    return text


def day_text(value: object) -> str:
    """Days as they are written: `mon`, `mon-fri`, `02-29` of every year, `2026-12-24`.

    Raises:
        ValueError: They are none.
    """
    text = value.isoformat() if isinstance(value, date) else str(value).strip().lower()
    _days_of(text)
    return text


WallTime = Annotated[str, BeforeValidator(wall_time)]
"""A time of the day by the clock on the wall."""

DayText = Annotated[str, BeforeValidator(day_text)]
"""A day, or a range of them."""


class FloorSettings(Frozen):
    """Replicas that should serve in a window of the calendar; `from` and `to` will do for its times."""

    name: str = Field(min_length=1, max_length=60, description="As reasons call it.")
    days: tuple[DayText, ...] = Field(
        default=(),
        description="On which days it opens: mon, mon-fri, 12-24 of every year, 2026-12-24; every day "
        "if not given.",
    )
    opens: WallTime | None = Field(
        default=None, description="When it opens, by the clock of time_zone, such as 08:00; or give cron."
    )
    closes: WallTime | None = Field(
        default=None, description="When it closes, of the next day if that is not after it opens."
    )
    cron: str | None = Field(
        default=None,
        max_length=200,
        description="When it opens as five fields of cron, such as 0 8 * * 1-5, instead of days and opens.",
    )
    lasts_s: Span | None = Field(
        default=None, ge=60, le=DAY_S, description="How long it is open, with cron, instead of closes."
    )
    replicas: Count = Field(ge=1, description="How many should serve from its opening to its close.")
    time_zone: Annotated[str, AfterValidator(zone_name)] | None = Field(
        default=None, description="Whose clock it follows; the workload's if not given."
    )

    @model_validator(mode="before")
    @classmethod
    def _short_names(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        named = {_SHORT[n] if n in _SHORT and _SHORT[n] not in given else n: v for n, v in given.items()}
        days = named.get("days")
        return {**named, "days": days.split(",")} if isinstance(days, str) else named

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.name.isprintable():
            raise refuse(got="holds characters that nobody can read", wants="use text", field="name")
        if self.cron is not None:
            self._check_cron(self.cron)
            return self
        for name, value in (("opens", self.opens), ("closes", self.closes)):
            if value is None:
                raise refuse(got="is missing", wants="give the time, such as 08:00, or cron", field=name)
        if self.lasts_s is not None:
            raise refuse(got="is given without cron", wants="give closes", field="lasts_s")
        if self.opens in (self.closes, "24:00"):
            got = f"{self.opens}, and it closes at {self.closes}"
            raise refuse(got=got, wants="must be another time; 00:00 to 24:00 is a whole day", field="opens")
        return self

    def _check_cron(self, cron: str) -> None:
        for name in ("days", "opens", "closes"):
            if getattr(self, name):
                raise refuse(got="is given with cron", wants="give one of them", field=name)
        if self.lasts_s is None:
            raise refuse(got="is missing", wants="give how long it is open, such as 12h", field="lasts_s")
        try:
            cron_opening(cron)
        except ValueError as wrong:
            wants = str(wrong)
            raise refuse(got=repr(cron), wants=wants, field="cron") from None

    def floor(self, zone: str) -> CalendarFloor:
        """The floor by its own clock, or by that of `zone`."""
        if self.cron is not None and self.lasts_s is not None:
            opens_s, days = cron_opening(self.cron)
            closes_s = (opens_s + round(self.lasts_s)) % int(DAY_S)
        else:
            opens_s, closes_s = _seconds(self.opens or ""), _seconds(self.closes or "")
            days = _together([_days_of(text) for text in self.days]) if self.days else EVERY_DAY
        return CalendarFloor(
            name=self.name,
            days=days,
            opens_s=opens_s,
            closes_s=closes_s,
            replicas=self.replicas,
            zone=self.time_zone or zone,
        )


def floors_of(floors: Sequence[FloorSettings], zone: str) -> tuple[CalendarFloor, ...]:
    """All floors, by their own clocks or by that of `zone`."""
    return tuple(each.floor(zone) for each in floors)


def _seconds(text: str) -> int:
    hours, minutes, *seconds = (int(part) for part in text.split(":"))
    return (hours * 60 + minutes) * 60 + sum(seconds)


def _together(parts: Sequence[Days]) -> Days:
    return Days(
        weekdays=frozenset().union(*(part.weekdays for part in parts)),
        yearly=frozenset().union(*(part.yearly for part in parts)),
        dates=frozenset().union(*(part.dates for part in parts)),
    )


def _days_of(text: str) -> Days:
    if matched := _DATE.fullmatch(text):
        year, month, day = matched.groups()
        return _date_of(year, int(month), int(day))
    first, dash, last = text.partition("-")
    ends = [_weekday(end) for end in ((first, last) if dash else (first, first))]
    # A range may pass Sunday: fri-mon is four days.
    length = (ends[1] - ends[0]) % 7 + 1
    return Days(weekdays=frozenset((ends[0] + place) % 7 for place in range(length)))


def _date_of(year: str | None, month: int, day: int) -> Days:
    try:
        whole = date(int(year) if year else _LEAP_YEAR, month, day)
    except ValueError:
        raise ValueError(f"must be a day that {year or 'some year'} has") from None
    if year:
        return Days(dates=frozenset({whole}))
    return Days(yearly=frozenset({(month, day)}))


def _weekday(name: str) -> int:
    if name not in _NAMES:
        near = did_you_mean(name, _NAMES)
        wants = "must be days such as mon, mon-fri, 12-24 or 2026-12-24"
        raise ValueError(f"{wants}; {near}" if near else wants)
    return _NAMES[name]
