"""Planned events, as the service's file describes them.

Times without an offset are those of the workload's clock on the wall. Refuses an
event that says twice, or not at all, how much demand it brings.
"""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from predictscale.config.durations import duration_text
from predictscale.config.fields import Frozen, NotNegative, Positive
from predictscale.config.problems import refuse
from predictscale.core.calendar import zone_of
from predictscale.core.events import PERIODS_S, PlannedEvent, Repeat


def _not_number(value: object) -> object:
    # YAML reads 08:00 as 480, which pydantic would read as eight minutes past midnight of 1970.
    if isinstance(value, bool | int | float):
        raise ValueError("must be a date and time, such as 2026-11-27T08:00")  # noqa: TRY004 - pydantic collects ValueError
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
        default=None, description="The least demand per second while it lasts; or give multiplier."
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

    def planned(self, zone: str) -> PlannedEvent:
        """The event by the clock of `zone`."""
        here = zone_of(zone)
        start, end = (
            at.replace(tzinfo=here) if at.utcoffset() is None else at.astimezone(here)
            for at in (self.start, self.end)
        )
        return PlannedEvent(
            name=self.name,
            start=start,
            end=end,
            multiplier=self.multiplier,
            demand=self.demand,
            repeat=self.repeat,
        )
