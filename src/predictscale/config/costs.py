"""What replicas cost and emit, and what may be spent, as the service's file describes it.

Nothing is assumed: without a price there are no costs, without watts no grams, without a budget
no ceiling of money. Refuses halves: a grid without watts, watts without a count of GPUs, an intensity
told in two ways.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from predictscale.config.calendars import zone_name
from predictscale.config.fields import Frozen, NotNegative, Positive
from predictscale.config.objective import HIGHEST_LEVEL, LOWEST_LEVEL
from predictscale.config.problems import refuse, show
from predictscale.core.budget import MonthlyBudget
from predictscale.core.carbon import Accounting, Power
from predictscale.core.cost import Price
from predictscale.core.intensity import GridIntensity, IntensityUnit, constant

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]
"""Three letters, such as EUR."""

_LABEL = re.compile(r"[a-z][a-z0-9_]{0,62}")
_LONGEST_VALUE = 120
_OURS = ("namespace", "workload", "pool", "currency", "versus", "label", "value")


def _not_ours(labels: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in labels.items():
        if not _LABEL.fullmatch(name) or name in _OURS:
            wants = "name labels with a-z, 0-9 and _, other than " + ", ".join(_OURS)
            raise refuse(got=f"sets {show(name)}", wants=wants)
        if not (value.isprintable() and 0 < len(value) <= _LONGEST_VALUE):
            raise refuse(got=f"sets {name} to {show(value)}", wants=f"use up to {_LONGEST_VALUE} characters")
    return labels


CostLabels = Annotated[Mapping[str, str], AfterValidator(_not_ours), Field(max_length=20)]
"""Labels that costs are summed by, such as `team: search`."""


class GridSettings(Frozen):
    """What the grid emits for a kilowatt-hour: a constant, a query, or a file that others keep fresh."""

    constant_g_per_kwh: NotNegative | None = Field(
        default=None, le=5000, description="Grams of CO2 for a kilowatt-hour, always; or give query or file."
    )
    query: str | None = Field(
        default=None, min_length=1, description="PromQL of the intensity; with unit and accounting."
    )
    unit: IntensityUnit = Field(default=IntensityUnit.G_PER_KWH, description="What query tells.")
    accounting: Accounting = Field(
        default=Accounting.AVERAGE,
        description="Which plants the constant or the query tells of; a file says it itself.",
    )
    electricity_maps_file: str | None = Field(
        default=None,
        min_length=1,
        description="A file with an answer of Electricity Maps (average); nothing is fetched.",
    )
    watttime_file: str | None = Field(
        default=None, min_length=1, description="A file with an answer of WattTime for co2_moer (marginal)."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        ways = ("constant_g_per_kwh", "query", "electricity_maps_file", "watttime_file")
        given = [name for name in ways if getattr(self, name) is not None]
        if len(given) != 1:
            got = f"is given with {given[0]}" if given else "is missing"
            raise refuse(
                got=got, wants=f"give one of {', '.join(ways)}", field=given[-1] if given else ways[0]
            )
        if given[0] not in ways[:2] and "accounting" in self.model_fields_set:
            raise refuse(got=f"is given with {given[0]}", wants="leave it out", field="accounting")
        if given[0] != "query" and "unit" in self.model_fields_set:
            raise refuse(got=f"is given with {given[0]}", wants="give it with query", field="unit")
        return self

    def fixed(self) -> GridIntensity | None:
        """The intensity if it is a constant, else None."""
        if self.constant_g_per_kwh is None:
            return None
        return constant(self.constant_g_per_kwh, self.accounting)


class PriceSettings(Frozen):
    """What a replica costs by the hour, and what it draws."""

    per_replica_hour: Positive | None = Field(
        default=None, description="Price of a replica-hour, for pools that pools does not name."
    )
    pools: Mapping[str, NotNegative] = Field(
        default_factory=dict, description="Prices by pool, such as spot: 1.4."
    )
    currency: Currency = Field(default="USD", description="Of all prices, three letters.")
    gpus_per_replica: Positive | None = Field(
        default=None, le=1024, description="GPUs that a replica holds, may be a part of one."
    )
    watts_per_gpu: Positive | None = Field(
        default=None, le=10_000, description="Watts of one GPU while it serves; with gpus_per_replica."
    )
    host_share: float = Field(
        default=1.15, ge=1, le=5, description="How many times the GPUs' power the whole host takes."
    )
    pue: float = Field(
        default=1.2, ge=1, le=5, description="How many times the host's power the building takes."
    )
    grid: GridSettings | None = Field(default=None, description="What the grid emits; with watts_per_gpu.")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.per_replica_hour is None and not self.pools:
            raise refuse(got="is missing", wants="give it, or pools", field="per_replica_hour")
        if self.watts_per_gpu is not None and self.gpus_per_replica is None:
            raise refuse(got="is missing", wants="give it beside watts_per_gpu", field="gpus_per_replica")
        if self.grid is not None and self.watts_per_gpu is None:
            raise refuse(got="is missing", wants="give it beside grid", field="watts_per_gpu")
        return self

    def price(self) -> Price:
        """As costs know it."""
        return Price(
            per_replica_h=self.per_replica_hour,
            pools=tuple(sorted(self.pools.items())),
            currency=self.currency,
            gpus_per_replica=self.gpus_per_replica,
        )

    def power(self) -> Power | None:
        """What a replica draws; None if the watts are not given."""
        if self.watts_per_gpu is None or self.gpus_per_replica is None:
            return None
        return Power(
            watts_per_gpu=self.watts_per_gpu,
            gpus_per_replica=self.gpus_per_replica,
            host_share=self.host_share,
            pue=self.pue,
        )


class BudgetSettings(Frozen):
    """What a workload may cost in a calendar month. It is a ceiling, and says so when it binds."""

    per_month: Positive = Field(description="So much, in the price's currency.")
    relaxed_quantile: float = Field(
        default=0.5,
        ge=LOWEST_LEVEL,
        le=HIGHEST_LEVEL,
        description="The quantile that is still covered once the budget binds, before traffic is refused.",
    )
    slack: float = Field(
        default=1.5, ge=1, le=10, description="How many times the even pace of what is left may be held."
    )
    time_zone: Annotated[str, AfterValidator(zone_name)] | None = Field(
        default=None, description="Whose months; the workload's if not given."
    )

    def monthly(self, *, currency: str, zone: str) -> MonthlyBudget:
        """As the ceiling knows it."""
        return MonthlyBudget(
            per_month=self.per_month, currency=currency, zone=self.time_zone or zone, slack=self.slack
        )

    def problem(self, price: PriceSettings | None, *, level: float) -> tuple[str, str, str] | None:
        """What is wrong beside other settings: the field, what came, what would do; None if nothing is.

        Args:
            price: The workload's.
            level: The quantile that is covered while the budget does not bind.
        """
        if price is None or price.per_replica_hour is None:
            return "per_month", "is given without a price", "give price.per_replica_hour"
        if self.relaxed_quantile > level:
            got = f"{self.relaxed_quantile:g} is above the quantile that is covered ({level:g})"
            return "relaxed_quantile", got, "must lie at or below it"
        return None
