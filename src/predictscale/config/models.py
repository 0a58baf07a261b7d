"""What can be set of single forecasters. Refuses what would make one slow without making it better."""

from typing import Annotated

from pydantic import Field

from predictscale.config.fields import DAY_S, Count, Frozen, Positive, Span

Harmonics = Annotated[Count, Field(le=48)]
"""How many sines and cosines a season is made of."""


class SeasonalitySettings(Frozen):
    """A season besides the day, the week and the year."""

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$", description="Its name, lower case.")
    period_s: Span = Field(ge=3600, le=730 * DAY_S, description="How long it takes to come again.")
    harmonics: Harmonics = Field(default=3, ge=1, description="How sharp its corners may be.")


class ProphetSettings(Frozen):
    """What Prophet is told, where `forecasters` name it."""

    changepoints: Count = Field(default=10, le=200, description="Where its trend may bend, at most so often.")
    changepoint_prior_scale: Positive = Field(
        default=0.05, le=10, description="How readily the trend bends at them."
    )
    daily_harmonics: Harmonics = Field(default=6, description="Of the day; 0 leaves it out.")
    weekly_harmonics: Harmonics = Field(
        default=3, description="Of the week, once there are two; 0 leaves it out."
    )
    yearly: bool = Field(
        default=False, description="Whether it looks for a year, once history_s holds one; fits take longer."
    )
    seasonalities: tuple[SeasonalitySettings, ...] = Field(
        default=(), max_length=8, description="Further seasons, each once history holds two of it."
    )
    holidays_prior_scale: Positive = Field(
        default=10.0, le=100, description="How much a holiday may differ from its weekday."
    )


class FourierSettings(Frozen):
    """What SARIMAX is told, where `forecasters` name sarimax-fourier."""

    daily_harmonics: Harmonics = Field(default=6, ge=1, description="Of the day.")
    weekly_harmonics: Harmonics = Field(
        default=3, description="Of the week, once there are two; 0 leaves it out."
    )
