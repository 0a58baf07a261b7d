"""What an owner asks for instead of a quantile, and within what tuning may answer.

Refuses an objective that no replay could check: over less than a day, or no share at all.
"""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from predictscale.config.fields import DAY_S, Frozen, Share, Span
from predictscale.config.problems import refuse
from predictscale.core.knobs import Bounds
from predictscale.core.slo import Slo

LOWEST_LEVEL, HIGHEST_LEVEL = 0.5, 0.995
"""The quantile levels that may be covered; forecasts carry none beyond."""

_SHORT = {"wait": "wait_s", "window": "window_s"}


class SloSettings(Frozen):
    """How much of demand may wait too long, instead of `quantile`; `wait` and `window` will do as names."""

    max_violation: Share = Field(
        le=0.5, description="The share of demand that may wait longer than wait_s, such as 0.5%."
    )
    wait_s: Span = Field(
        default=2.0,
        le=DAY_S,
        description="How long demand may wait; a queue is served within a minute, or within this if longer.",
    )
    window_s: Span = Field(
        default=30 * DAY_S, ge=DAY_S, le=90 * DAY_S, description="Over how long the share is taken."
    )

    @model_validator(mode="before")
    @classmethod
    def _units_by_text(cls, given: Any) -> Any:
        # A duration brings its unit as text, so the name may leave it out: `wait: 2s`.
        if not isinstance(given, Mapping):
            return given
        return {_SHORT[n] if n in _SHORT and _SHORT[n] not in given else n: v for n, v in given.items()}

    @property
    def objective(self) -> Slo:
        """As decisions know it."""
        return Slo(max_violation=self.max_violation, wait_s=self.wait_s, window_s=self.window_s)


class TuningSettings(Frozen):
    """How settings are chosen where `slo` is given: by replays of the last days."""

    enabled: bool = Field(
        default=True,
        description="Whether replays choose quantile, hold and the rest; if not, the quantile "
        "1 - slo.max_violation is covered.",
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

    @property
    def bounds(self) -> Bounds:
        """As tuning knows them."""
        return Bounds(lowest_level=self.lowest_quantile, highest_level=self.highest_quantile)


DEFAULT_TUNING = TuningSettings()
"""An owner who says nothing of tuning."""
