"""What an owner asks for instead of a quantile, and within what tuning may answer.

Refuses an objective that no replay could check: less than a day, or no share at all.
"""

from typing import Self

from pydantic import Field, model_validator

from predictscale.config.fields import DAY_S, Duration, Frozen, Share, Span
from predictscale.config.problems import refuse

LOWEST_LEVEL, HIGHEST_LEVEL = 0.5, 0.995
"""The quantile levels that may be covered; forecasts carry none beyond."""


class SloSettings(Frozen):
    """How much of demand may wait too long; settings are then chosen to meet it, see `tuning`."""

    max_violation: Share = Field(
        le=1 - LOWEST_LEVEL, description="The share of demand that may wait longer than wait, such as 0.5%."
    )
    wait: Duration = Field(
        default=2.0, le=DAY_S, description="How long demand may wait: a duration, such as 2s."
    )
    window: Span = Field(
        default=30 * DAY_S, ge=DAY_S, le=90 * DAY_S, description="Over how long the share is taken, as 30d."
    )


class TuningSettings(Frozen):
    """How settings are chosen from an objective; without `slo`, or with `quantile`, nothing is."""

    enabled: bool = Field(
        default=True,
        description="Whether replays of the last days choose quantile, hold and the rest where `slo` is given; "
        "if not, the quantile 1 - max_violation is covered.",
    )
    every_s: Span = Field(
        default=3600.0, ge=900.0, le=DAY_S, description="Time between two choices of a workload."
    )
    lowest_quantile: float = Field(
        default=LOWEST_LEVEL, ge=LOWEST_LEVEL, le=HIGHEST_LEVEL, description="No lower quantile is chosen."
    )
    highest_quantile: float = Field(
        default=HIGHEST_LEVEL, ge=LOWEST_LEVEL, le=HIGHEST_LEVEL, description="No higher quantile is chosen."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.lowest_quantile > self.highest_quantile:
            got = f"{self.lowest_quantile:g} is above highest_quantile ({self.highest_quantile:g})"
            raise refuse(got=got, wants="must lie at or below it", field="lowest_quantile")
        return self
