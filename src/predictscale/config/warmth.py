"""What stands ready by its cost, as the service's file describes it.

Refuses costs of which only one half is known, and standby that takes as long as a start from nothing.
"""

from itertools import pairwise
from typing import Self

from pydantic import Field, model_validator

from predictscale.config.costs import PriceSettings
from predictscale.config.fields import DAY_S, Frozen, NotNegative, Positive, Span
from predictscale.config.problems import refuse
from predictscale.core.breakeven import ColdStart
from predictscale.core.warmth import Standby, Tier, WarmCosts


class WarmthSettings(Frozen):
    """What stands ready for demand that has not come, by what idle and missing replicas cost."""

    idle_cost: Positive | None = Field(
        default=None, description="A replica-hour that nobody needed; the price if not given."
    )
    shortage_cost: Positive | None = Field(
        default=None,
        description="A replica-hour that was needed and missing, in the same money; without it no floor "
        "follows from costs. Nine times idle_cost covers the 0.9 quantile.",
    )
    cold_start_cost: NotNegative | None = Field(
        default=None,
        description="What the requests lose that meet a cold start; with it the last replica goes by "
        "break-even, where min_replicas is 0.",
    )
    seen_at_zero: bool | None = Field(
        default=None,
        description="Whether demand is counted while there is no replica; only then does the last one go. If "
        "not given: what a backend's engine or sidecar counts is not, what a gateway or query counts is.",
    )
    asleep_wake_s: Span | None = Field(
        default=None,
        le=DAY_S,
        description="How long a sleeping replica takes to serve, if some may sleep. How many should is told "
        "under floors, and not asked of KEDA.",
    )
    loaded_node_wake_s: Span | None = Field(
        default=None,
        le=DAY_S,
        description="How long one takes on a node with image and weights at hand; likewise.",
    )
    empty_node_wake_s: Span | None = Field(
        default=None, le=DAY_S, description="How long one takes on a node that is there, and empty; likewise."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        given = [(name, value) for name, value in self._wakes() if value is not None]
        for (near, sooner), (far, later) in pairwise(given):
            if later <= sooner:
                got = f"{later:g} is not longer than {near} ({sooner:g})"
                raise refuse(got=got, wants="what is further from serving takes longer", field=far)
        return self

    def costs(self, price: PriceSettings | None) -> WarmCosts | None:
        """What idle and missing replicas cost; None if the owner does not say.

        Raises:
            ValueError: The idle cost is not known; `problem` says so first.
        """
        if self.shortage_cost is None:
            return None
        return WarmCosts(idle_per_h=self._idle(price), shortage_per_h=self.shortage_cost)

    def cold_start(self, price: PriceSettings | None, *, lead_s: float) -> ColdStart | None:
        """What a cold start costs; None if the owner does not say.

        Raises:
            ValueError: As `costs`.
        """
        if self.cold_start_cost is None:
            return None
        return ColdStart(lost_value=self.cold_start_cost, idle_per_h=self._idle(price), lead_s=lead_s)

    def tiers(self) -> tuple[Tier, ...]:
        """The kinds of standby that there are, running ones first; none if only running ones are."""
        kinds = zip((Standby.ASLEEP, Standby.LOADED_NODE, Standby.EMPTY_NODE), self._wakes(), strict=True)
        found = tuple(Tier(kind, wake) for kind, (_, wake) in kinds if wake is not None)
        return (Tier(Standby.RUNNING, 0.0), *found) if found else ()

    def problem(self, price: PriceSettings | None, *, lead_s: float) -> tuple[str, str, str] | None:
        """What is wrong beside other settings: the field, what came, what would do; None if nothing is."""
        costly = next((n for n in ("shortage_cost", "cold_start_cost") if getattr(self, n) is not None), None)
        if costly and self.idle_cost is None and (price is None or price.per_replica_hour is None):
            return "idle_cost", "is missing", f"give it, or price.per_replica_hour, beside {costly}"
        for field, wake_s in self._wakes():
            if wake_s is not None and wake_s >= lead_s:
                return field, f"{wake_s:g} is not shorter than a start from nothing", "leave it out"
        return None

    def _idle(self, price: PriceSettings | None) -> float:
        known = self.idle_cost or (price.per_replica_hour if price is not None else None)
        if known is None:
            raise ValueError("idle_cost: is missing, and no price is given")
        return known

    def _wakes(self) -> tuple[tuple[str, float | None], ...]:
        names = ("asleep_wake_s", "loaded_node_wake_s", "empty_node_wake_s")
        return tuple((name, getattr(self, name)) for name in names)
