"""Planned events, as the service's file and its REST describe them.

Times without an offset are those of the workload's clock on the wall. Refuses an
event that says twice, or not at all, how much demand it brings, and a number where
a time is meant.
"""

import re
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from predictscale.config.durations import duration_text
from predictscale.config.fields import Frozen, NotNegative, Positive
from predictscale.config.problems import refuse
from predictscale.core.calendar import FIRST_YEAR, LAST_YEAR, zone_of
from predictscale.core.events import PERIODS_S, PlannedEvent, Repeat

_BEGINS_WITH_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def _not_number(value: object) -> object:
    # YAML reads 08:00 as 480, which pydantic would read as eight minutes past midnight of 1970; so it
    # would read the text "480", or "2026".
    if isinstance(value, bool | int | float) or (
        isinstance(value, str) and not _BEGINS_WITH_DATE.match(value)
    ):
        raise ValueError("must be a date and time, such as 2026-11-27T08:00")
    return value


When = Annotated[datetime, BeforeValidator(_not_number)]
"""A date and time, with an offset from UTC or by the workload's clock."""


class EventSettings(Frozen):
    """Demand that its owner knows of before it comes."""

    name: str = Field(min_length=1, max_length=60, description="As messages and forecasts call it.")
    start: When = Field(description="When it begins, by the clock of time_zone unless it has an offset.")
    end: When = Field(description="When it ends, likewise.")
    multiplier: Positive | None = Field(
        default=None, ge=0.01, le=100, description="How many times the usual demand comes; or give demand."
    )
    demand: NotNegative | None = Field(
        default=None, le=1e12, description="The least demand per second while it lasts; or give multiplier."
    )
    repeat: Repeat = Field(
        default=Repeat.NONE, description="Whether it comes again, at the same time by the clock on the wall."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.name.isprintable():
            raise refuse(got="holds characters that nobody can read", wants="use text", field="name")
        if (self.multiplier is None) == (self.demand is None):
            got = "is given with demand" if self.demand is not None else "is missing, as demand is"
            raise refuse(got=got, wants="give one of them", field="multiplier")
        self._check_years()
        if (self.start.utcoffset() is None) != (self.end.utcoffset() is None):
            wants = "give both with an offset from UTC, or both without"
            raise refuse(got="and start are not of one kind", wants=wants, field="end")
        lasts_s = (self.end - self.start).total_seconds()
        if lasts_s <= 0:
            raise refuse(got=f"{self.end} is not after start", wants="must be after start", field="end")
        period_s = PERIODS_S.get(self.repeat)
        if period_s is not None and lasts_s > period_s:
            got = f"{self.repeat}, and lasts {duration_text(lasts_s)}"
            raise refuse(got=got, wants="must end before it comes again", field="repeat")
        return self

    def _check_years(self) -> None:
        for field in ("start", "end"):
            year = getattr(self, field).year
            if not FIRST_YEAR <= year < LAST_YEAR:
                wants = f"must lie from {FIRST_YEAR} to {LAST_YEAR - 1}"
                raise refuse(got=f"is in the year {year}", wants=wants, field=field)

    def planned(self, zone: str) -> PlannedEvent:
        """The event by the clock of `zone`.

        One with offsets from UTC that comes once lies at those instants, whatever clocks do
        between them. One that repeats begins each time at the hour that the clock of `zone` shows
        at its first start, and lasts as long on that clock as it was written.
        """
        here = zone_of(zone)
        if self.start.utcoffset() is None:
            start, end = (at.replace(tzinfo=here) for at in (self.start, self.end))
        elif self.repeat is Repeat.NONE:
            start, end = (at.astimezone(UTC) for at in (self.start, self.end))
        else:
            start = self.start.astimezone(here)
            end = start + (self.end - self.start)
        return PlannedEvent(
            name=self.name,
            start=start,
            end=end,
            multiplier=self.multiplier,
            demand=self.demand,
            repeat=self.repeat,
        )
