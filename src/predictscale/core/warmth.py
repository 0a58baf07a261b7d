"""How many replicas stand ready for what has not come yet: the running floor, and what may sleep.

A replica that idles costs money, one that is missing costs more: the share of the two costs is the
quantile of demand that is worth covering (the newsvendor's). What wakes quickly may be kept
asleep, for each tier only has to cover what can come while the next one starts. Refuses to
extrapolate: a level that is not forecast is replaced by the nearest that is, and the words say so.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

from predictscale.core.floors import CalendarFloor, Floor, calendar_floor
from predictscale.core.forecast import Forecast

Size = Callable[[float], int]
"""From demand per second to replicas. Where capacity is learned, its rates grow in step with demand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WarmCosts:
    """What idle and missing replicas cost; only their ratio decides.

    Args:
        idle_per_h: One replica-hour that nobody needed, above 0.
        shortage_per_h: One replica-hour that was needed and missing, in the same money, above 0.

    Raises:
        ValueError: A cost is not finite or not above 0.
    """

    idle_per_h: float
    shortage_per_h: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(cost) and cost > 0 for cost in (self.idle_per_h, self.shortage_per_h)):
            raise ValueError(f"idle {self.idle_per_h}, shortage {self.shortage_per_h}: finite, above 0")

    @property
    def level(self) -> float:
        """The quantile worth covering: shortage over shortage and idle, in (0, 1)."""
        return self.shortage_per_h / (self.shortage_per_h + self.idle_per_h)


def running_floor(
    forecast: Forecast, *, now: datetime, lead_s: float, size: Size, costs: WarmCosts, unit: str
) -> Floor:
    """Replicas that should run now for the peak that may come while another one starts.

    Args:
        forecast: What is about to arrive.
        now: The instant of the decision.
        lead_s: From a decision to serving replicas [s].
        size: From demand to replicas.
        costs: Of idle and of missing replicas.
        unit: The demand's, for the reason.

    Raises:
        ForecastTooShort: The forecast does not reach the lead time.
    """
    level, how = _within(forecast, costs.level)
    peak = forecast.peak(level=level, since=now, until=now + timedelta(seconds=lead_s))
    because = (
        f"up to {peak:,.4g} {unit} may come within {lead_s:.0f} s at level {level:.3g}{how}: "
        f"an idle replica-hour costs {costs.idle_per_h:g}, a missing one {costs.shortage_per_h:g}"
    )
    return Floor(size(peak), because)


class Standby(StrEnum):
    """How far a replica is from serving, nearest first."""

    RUNNING = "running"
    ASLEEP = "asleep"  # weights out of the GPU, the process alive
    LOADED_NODE = "loaded-node"  # a node with the image and the weights at hand
    EMPTY_NODE = "empty-node"  # a node, and nothing on it


@dataclass(frozen=True, slots=True)
class Tier:
    """A kind of standby that may be stocked.

    Args:
        standby: Which.
        wake_s: From a decision until its replicas serve; 0 for running ones [s].
    """

    standby: Standby
    wake_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmth:
    """What the owner keeps ready beside `min_replicas`.

    Args:
        floors: By the calendar.
        costs: Of idle and of missing replicas; None for no floor by costs.
        every_s: Between decisions: a window that opens before the next one is asked for by this one [s].
        tiers: The kinds of standby there are, `RUNNING` first; empty if only running ones are.
    """

    floors: tuple[CalendarFloor, ...] = ()
    costs: WarmCosts | None = None
    every_s: float = 0.0
    tiers: tuple[Tier, ...] = ()

    def floor(
        self, forecast: Forecast | None, *, now: datetime, lead_s: float, size: Size, unit: str
    ) -> Floor | None:
        """The highest of its floors, and why; None if there is none now.

        Args:
            forecast: What is about to arrive; without one, no floor follows from costs.
            now: The instant of the decision.
            lead_s: From a decision to serving replicas [s].
            size: From demand to replicas.
            unit: The demand's, for the reason.

        Raises:
            ForecastTooShort: The forecast does not reach the lead time.
        """
        found = [calendar_floor(self.floors, now=now, lead_s=lead_s + self.every_s)]
        if self.costs is not None and forecast is not None:
            found.append(
                running_floor(forecast, now=now, lead_s=lead_s, size=size, costs=self.costs, unit=unit)
            )
        known = [floor for floor in found if floor is not None]
        return max(known, key=lambda floor: floor.replicas, default=None)


@dataclass(frozen=True, slots=True)
class Stock:
    """How many replicas of a tier should stand by.

    Args:
        tier: Which.
        replicas: How many of it.
        needed: How many of it and of all nearer tiers.
        because: The reason, in words.
    """

    tier: Tier
    replicas: int
    needed: int
    because: str


def stocks(
    forecast: Forecast,
    *,
    now: datetime,
    tiers: Sequence[Tier],
    cold_s: float,
    size: Size,
    level: float,
) -> tuple[Stock, ...]:
    """How many replicas each tier keeps, so that each covers what can come while the next one starts.

    Of the tiers up to any one, together at least the replicas that serve the quantile of the
    peak until the next one serves; the last of them until a cold start does.

    Args:
        forecast: What is about to arrive.
        now: The instant of the decision.
        tiers: Those that there are, `RUNNING` first, each slower than the one before.
        cold_s: From nothing to serving replicas [s].
        size: From demand to replicas.
        level: The quantile that is covered; the nearest that is forecast.

    Returns:
        One stock for each tier, in their order.

    Raises:
        ForecastTooShort: The forecast does not reach the cold start.
        ValueError: The tiers are not in order.
    """
    _require_order(tiers, cold_s)
    level, _ = _within(forecast, level)
    found: list[Stock] = []
    for tier, next_s in zip(tiers, [*(tier.wake_s for tier in tiers[1:]), cold_s], strict=True):
        peak = forecast.peak(level=level, since=now, until=now + timedelta(seconds=next_s))
        nearer = found[-1].needed if found else 0
        needed = size(peak)
        because = (
            f"{needed} serve what may come within {next_s:g} s at level {level:.3g}, {nearer} are nearer"
        )
        found.append(Stock(tier, needed - nearer, needed, because))
    return tuple(found)


def surge(
    forecast: Forecast,
    *,
    now: datetime,
    wake_s: float,
    size: Size,
    level: float,
    here: int,
    most: int,
    unit: str,
) -> Floor:
    """Replicas beyond those that are here that may be wanted before a new node serves.

    They are what room is kept for: whatever comes later still finds a node that is asked for then.

    Args:
        forecast: What is about to arrive.
        now: The instant that is asked about.
        wake_s: From asking for a node to replicas that serve on it [s].
        size: From demand to replicas.
        level: The quantile that is covered; the nearest that is forecast.
        here: Replicas that are here, those that start included.
        most: Replicas that the workload may ever have.
        unit: The demand's, for the reason.

    Raises:
        ForecastTooShort: The forecast does not reach so far.
        ValueError: A number of replicas is negative.
    """
    if here < 0 or most < 0:
        raise ValueError(f"{here} replicas here, at most {most}: none is negative")
    level, how = _within(forecast, level)
    peak = forecast.peak(level=level, since=now, until=now + timedelta(seconds=wake_s))
    wanted = size(peak)
    cut = f", of which the workload may have {most}" if wanted > most else ""
    more = max(min(wanted, most) - here, 0)
    because = (
        f"up to {peak:,.4g} {unit} may come within {wake_s:g} s at level {level:.3g}{how}: "
        f"{wanted} replicas{cut}; {here} are here, {more} more may be wanted"
    )
    return Floor(more, because)


def nodes_for(replicas: int, *, gpus_per_replica: int, gpus_per_node: int) -> int:
    """Nodes that hold so many replicas; a replica larger than a node takes whole nodes.

    Raises:
        ValueError: A count of GPUs below 1, or negative replicas.
    """
    if replicas < 0 or gpus_per_replica < 1 or gpus_per_node < 1:
        raise ValueError(f"{replicas} replicas of {gpus_per_replica} GPUs on nodes of {gpus_per_node}")
    if gpus_per_replica > gpus_per_node:
        return replicas * -(-gpus_per_replica // gpus_per_node)
    return -(-replicas // (gpus_per_node // gpus_per_replica))


def _within(forecast: Forecast, level: float) -> tuple[float, str]:
    """The level, or the nearest one that is forecast, and what there is to say of it."""
    lowest, highest = forecast.levels[0], forecast.levels[-1]
    nearest = min(max(level, lowest), highest)
    return nearest, "" if nearest == level else f" ({level:.4g} is not forecast)"


def _require_order(tiers: Sequence[Tier], cold_s: float) -> None:
    if not tiers or tiers[0].standby is not Standby.RUNNING or tiers[0].wake_s:
        raise ValueError("tiers: the first is running, and wakes in 0 s")
    waits = [tier.wake_s for tier in tiers] + [cold_s]
    if not all(math.isfinite(wait) for wait in waits) or any(a >= b for a, b in pairwise(waits)):
        raise ValueError(f"tiers: wake within {waits} s; each is slower than the one before")
