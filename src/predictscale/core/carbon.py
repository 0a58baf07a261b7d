"""Grams of CO2 that replicas cause, by power, building and grid.

What a grid emits per kilowatt-hour is told in two ways that answer two questions: the average of
all plants, for a report, and the marginal plant, for a choice between two hours. Refuses to mix
them. Watts, host share and PUE are what the owner says; none of them is measured here.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Self


class Accounting(StrEnum):
    """Which plants a kilowatt-hour is laid on."""

    AVERAGE = "average"  # all that run
    MARGINAL = "marginal"  # the one that answers to more demand


@dataclass(frozen=True, slots=True)
class Intensity:
    """What the grid emits.

    Args:
        g_per_kwh: Grams of CO2 equivalent for a kilowatt-hour, 0 or more.
        accounting: On which plants it is laid.
        source: Who says so, for the reason.
    """

    g_per_kwh: float
    accounting: Accounting
    source: str

    def __post_init__(self) -> None:
        if not (math.isfinite(self.g_per_kwh) and self.g_per_kwh >= 0):
            raise ValueError(f"g_per_kwh: {self.g_per_kwh}; finite, 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """What a replica draws from the grid.

    Args:
        watts_per_gpu: Of one GPU while it serves [W].
        gpus_per_replica: How many a replica holds.
        host_share: How many times the GPUs' power the whole host takes, at least 1.
        pue: How many times the host's power the building takes, at least 1.

    Raises:
        ValueError: A number that cannot be.
    """

    watts_per_gpu: float
    gpus_per_replica: float
    host_share: float = 1.15
    pue: float = 1.2

    def __post_init__(self) -> None:
        numbers = (self.watts_per_gpu, self.gpus_per_replica, self.host_share, self.pue)
        if not all(math.isfinite(n) and n > 0 for n in numbers) or min(self.host_share, self.pue) < 1:
            raise ValueError(f"power: {numbers}; finite, above 0, host share and PUE at least 1")

    def kw(self, replicas: float) -> float:
        """Power of so many replicas, host and building included [kW]."""
        return replicas * self.gpus_per_replica * self.watts_per_gpu * self.host_share * self.pue / 1000.0


@dataclass(frozen=True, slots=True)
class Carbon:
    """Grams of one accounting; grams of another cannot be added.

    Args:
        g: How many [g].
        accounting: On which plants they are laid.
    """

    g: float
    accounting: Accounting

    def __add__(self, other: Self) -> Self:
        if self.accounting is not other.accounting:
            raise ValueError(f"carbon: {self.accounting} and {other.accounting} grams cannot be added")
        return type(self)(self.g + other.g, self.accounting)


def emitted(power: Power, intensity: Intensity, *, replicas: float, span_s: float = 3600.0) -> Carbon:
    """What so many replicas emit over a stretch; over an hour unless another length is given.

    Args:
        power: What a replica draws.
        intensity: What the grid emits.
        replicas: Mean replicas held, pending ones too.
        span_s: Length of the stretch [s].
    """
    return Carbon(power.kw(replicas) * span_s / 3600.0 * intensity.g_per_kwh, intensity.accounting)


def g_per_million_tokens(carbon: Carbon, *, tokens: float) -> float | None:
    """Grams for a million tokens [g]; None if none were generated, for then no number is right.

    Args:
        carbon: What was emitted.
        tokens: What was generated for it.
    """
    return carbon.g / tokens * 1e6 if tokens > 0 else None
