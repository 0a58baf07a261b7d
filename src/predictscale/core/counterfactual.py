"""What other ways of scaling would have held under the same demand: the arithmetic of savings.

A plain reactive HPA reads the same metric and aims at a stated utilisation; it is the HPA of
`core.hpa`, its replicas serve a lead time after they are asked for, and its lateness is that of the
queue of `core.slo`. A static fleet is as large as the highest demand took. Refuses to flatter: both
have the owner's floor and ceiling, the static fleet has no headroom, and what is saved may be less
than nothing.
"""

import math
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from predictscale.core.hpa import HpaSettings, HpaState, metric_milli, recommend_average, sync
from predictscale.core.slo import lateness


class Way(StrEnum):
    """Who held replicas."""

    OURS = "ours"
    REACTIVE = "reactive"
    STATIC = "static"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """A metric of type AverageValue as the HPA reads it, in thousandths.

    Args:
        usage_milli: Its value.
        target_milli: What one replica should have of it, above 0.
    """

    usage_milli: int
    target_milli: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainHpa:
    """How the plain HPA is set.

    Args:
        utilisation: The share of a replica's capacity that it aims at, in (0, 1].
        tolerance: Its dead band, as a share.
        downscale_window_s: It goes down to the highest of this long only [s].
    """

    utilisation: float = 0.7
    tolerance: float = 0.1
    downscale_window_s: float = 300.0

    def __post_init__(self) -> None:
        if not 0 < self.utilisation <= 1:
            raise ValueError(f"utilisation: {self.utilisation}; a share of capacity, in (0, 1]")

    def settings(self, *, floor: int, max_replicas: int) -> HpaSettings:
        """Its HPA object; an HPA's minimum is at least 1, for by itself it never goes to zero."""
        return HpaSettings(
            min_replicas=min(max(1, floor), max_replicas),
            max_replicas=max_replicas,
            tolerance=self.tolerance,
            downscale_window_s=self.downscale_window_s,
        )

    def metric(self, demand: float, *, per_replica: float) -> Metric:
        """What it reads of the demand per second, if a replica serves `per_replica` of it."""
        # An API server takes no target of 0.
        target_milli = max(1, metric_milli(self.utilisation * per_replica))
        return Metric(usage_milli=metric_milli(demand), target_milli=target_milli)


@dataclass(frozen=True, slots=True)
class ImaginedFleet:
    """A fleet that is only computed.

    Args:
        spec: Replicas asked for.
        asked: What was asked for in the steps before, oldest first; as many as a start takes, if known.
        hpa: What its controller remembers.
    """

    spec: int
    asked: tuple[int, ...] = ()
    hpa: HpaState = field(default_factory=HpaState)

    def ready(self, lead_steps: int) -> int:
        """Replicas that serve, if each start takes so many steps and the newest go first.

        Before the oldest request that is known the fleet is taken to have been as large as then.
        """
        return min((self.spec, *_last(self.asked, lead_steps)))

    def at(self, spec: int, *, lead_steps: int) -> "ImaginedFleet":
        """A step later, with so many asked for."""
        return replace(self, spec=spec, asked=_last((*self.asked, self.spec), lead_steps))


def begun(replicas: int, *, lead_steps: int) -> ImaginedFleet:
    """A fleet that has been there, and ready, all the time."""
    return ImaginedFleet(replicas, (replicas,) * lead_steps)


def reacted(
    fleet: ImaginedFleet, *, now: datetime, metric: Metric | None, settings: HpaSettings
) -> tuple[int, HpaState]:
    """One sync of the plain HPA.

    Args:
        fleet: Its fleet.
        now: The instant of the sync.
        metric: What it reads; None if that cannot be read.
        settings: Its HPA object.

    Returns:
        The new `spec.replicas`, and what the controller remembers.
    """
    proposal = None
    if metric is not None:
        proposal = recommend_average(
            usage_milli=metric.usage_milli,
            target_milli=metric.target_milli,
            status_replicas=fleet.spec,
            band=settings.band,
        )
    return sync(fleet.hpa, settings=settings, now=now, spec_replicas=fleet.spec, proposals=[proposal])


def queued(
    queue: float, demand: float, ready: float, *, per_replica: float, step_s: float, wait_s: float
) -> tuple[float, float]:
    """The work of a step that waits too long, and the work left waiting at its end.

    Args:
        queue: Work that waits at the step's beginning, in the demand's unit without "per second".
        demand: What comes, per second.
        ready: Replicas that serve.
        per_replica: Demand that each serves per second.
        step_s: Width of the step [s].
        wait_s: What waits longer is late [s].
    """
    unit = per_replica * step_s
    share, left = lateness(queue / unit, demand / per_replica, ready, wait_steps=wait_s / step_s)
    return share * demand * step_s, left * unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What one way of scaling did over a stretch.

    Args:
        replica_h: Replica-hours held, from request to removal.
        late: Work that waited too long, in the demand's unit without "per second".
        money: What the replica-hours with a known price cost.
    """

    replica_h: float
    late: float
    money: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Savings:
    """Ours beside the others, over the same known steps.

    Args:
        since: Where the stretch begins.
        until: Where it ends.
        known_s: How much of it is accounted for [s].
        unknown_s: How much of it is not, because demand was not known or nobody looked [s].
        priced_s: How much of the known part had a price [s].
        came: Work that came in it.
        utilisation: What the plain HPA aimed at.
        wait_s: What waits longer is late [s].
        ours: What was held, or in shadow mode what would have been.
        reactive: The plain HPA's.
        static: The static fleet's.
    """

    since: datetime
    until: datetime
    known_s: float
    unknown_s: float
    priced_s: float
    came: float
    utilisation: float
    wait_s: float
    ours: Account
    reactive: Account
    static: Account

    def of(self, way: Way) -> Account:
        """The account of one way."""
        accounts = {Way.OURS: self.ours, Way.REACTIVE: self.reactive, Way.STATIC: self.static}
        return accounts[way]

    def saved_h(self, versus: Way) -> float:
        """Replica-hours that the other way held beyond ours; negative if ours held more [h]."""
        return self.of(versus).replica_h - self.ours.replica_h

    def saved_money(self, versus: Way) -> float | None:
        """The same in money; None if no price was known."""
        return self.of(versus).money - self.ours.money if self.priced_s > 0 else None

    def late_share(self, way: Way) -> float | None:
        """The share of work that waited too long; None if none came."""
        return self.of(way).late / self.came if self.came > 0 else None

    def avoided_shortage(self, versus: Way) -> float | None:
        """The share of work that would have been late the other way and was not; negative if more was."""
        return (self.of(versus).late - self.ours.late) / self.came if self.came > 0 else None


def steps_of(lead_s: float, step_s: float) -> int:
    """A lead time in whole steps, rounded up, with a hair against rounding."""
    return math.ceil(lead_s / step_s - 1e-9)


def _last(specs: tuple[int, ...], count: int) -> tuple[int, ...]:
    return specs[max(0, len(specs) - count) :]
