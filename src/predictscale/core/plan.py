"""The settings a decision obeys, and the record that explains it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from predictscale.core.breakeven import ColdStart
from predictscale.core.budget import Granted
from predictscale.core.capacity import Capacity
from predictscale.core.demand import Observation, WorkloadId
from predictscale.core.forecast import Forecast
from predictscale.core.knobs import Knobs
from predictscale.core.needed import Needed
from predictscale.core.offered import Rate
from predictscale.core.outcome import Outcome
from predictscale.core.pools import PoolPlan, Pools, Share, SplitMemory
from predictscale.core.tuned import Tuning
from predictscale.core.warmth import Warmth


class Landing(StrEnum):
    """How a target is published, knowing what the HPA does with it."""

    EXACT = "exact"  # the HPA's tolerance is 0: publish the target
    HOLD = "hold"  # inside the dead band, stay
    OVERSHOOT = "overshoot"  # inside the dead band above, go just beyond it


class OnStale(StrEnum):
    """What follows once the last good target has been held for `stale_after_s`."""

    HOLD = "hold"  # hold on, without end
    FLOOR = "floor"  # go to the floor
    UNAVAILABLE = "unavailable"  # answer UNAVAILABLE, so that KEDA's own fallback acts


class Mode(StrEnum):
    """Whether the forecast moves the fleet, or is only recorded."""

    LIVE = "live"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What the owner of a workload wants, resolved and checked.

    Args:
        capacity: From demand to replicas.
        lead_time_s: From a decision to serving replicas, measured or configured [s].
        level: The quantile of demand that is covered, in (0, 1).
        margin: The forecast counts this many times; 0 sizes for what is here alone.
        limit: The forecast counts up to this many times the highest demand of the last days; None counts
            all of it. For workloads that something else saturates.
        headroom: What is here counts this many times, at least once: 1 over the utilisation aimed at.
        min_replicas: Never fewer, whatever the demand; 0 allows scale to zero.
        max_replicas: Never more.
        warm_replicas: A floor that stays even when min_replicas is lower.
        warmth: Floors beside it, by the calendar and by costs.
        cold: What a cold start costs; None if the last replica goes as soon as nothing is expected.
        sighted: Whether demand can be seen while there is no replica; if not, the last one stays.
        relaxed_level: The quantile that is still covered once a budget binds, in (0, 1).
        drain_s: A queue that waits is served within this time [s].
        hold_s: Scale down only to the highest target of this long ago until now [s].
        fresh_s: Data no older than this counts as the present [s].
        stale_after_s: How long the last good target holds, counted from the newest sample [s].
        on_stale: What follows then.
        cooldown_s: KEDA's wait before it scales to zero; IsActive looks ahead beyond it [s].
        landing: How the target is published.
        hpa_tolerance: The HPA's dead band, as a share; used by hold and overshoot.
        mode: Live, or shadow.
        configured_lead_time_s: The owner's, where the measured one is in force instead [s]; else None.
        pools: How the decision is split over pools, or what margin mixed nodes need; None for neither.
        paused_with: The replicas there were when the fleet was paused, of which none go; 0 if nobody knew,
            None of a fleet that is not paused.
    """

    capacity: Capacity
    lead_time_s: float
    level: float
    min_replicas: int
    max_replicas: int
    margin: float = 1.0
    limit: float | None = None
    headroom: float = 1.0
    warm_replicas: int = 0
    warmth: Warmth = field(default_factory=Warmth)
    cold: ColdStart | None = None
    sighted: bool = True
    relaxed_level: float = 0.5
    drain_s: float = 60.0
    hold_s: float = 600.0
    fresh_s: float = 60.0
    stale_after_s: float = 600.0
    on_stale: OnStale = OnStale.FLOOR
    cooldown_s: float = 300.0
    landing: Landing = Landing.EXACT
    hpa_tolerance: float = 0.1
    mode: Mode = Mode.LIVE
    configured_lead_time_s: float | None = None
    pools: Pools | None = None
    paused_with: int | None = None

    def __post_init__(self) -> None:
        if not (0 < self.level < 1 and 0 < self.relaxed_level < 1):
            raise ValueError(f"level: {self.level}, relaxed {self.relaxed_level}; must lie within (0, 1)")
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1:
            raise ValueError(f"replicas: min {self.min_replicas}, max {self.max_replicas}")
        factors = (self.margin, self.headroom, 0.0 if self.limit is None else self.limit)
        if not all(math.isfinite(f) and f >= 0 for f in factors) or self.headroom < 1:
            raise ValueError(
                f"margin {self.margin}, limit {self.limit}, headroom {self.headroom}: must be "
                "finite, 0 or more, and headroom at least 1: what is here is always served"
            )
        durations = (self.lead_time_s, self.drain_s, self.hold_s, self.fresh_s, self.stale_after_s)
        if not all(math.isfinite(d) and d >= 0 for d in (*durations, self.cooldown_s)) or self.drain_s <= 0:
            raise ValueError("a duration is negative or not finite, or drain_s is 0")

    @property
    def floor(self) -> int:
        """The replicas that stay when nothing is known or needed."""
        return min(max(self.min_replicas, self.warm_replicas), self.max_replicas)

    @property
    def lookahead_s(self) -> float:
        """How far ahead IsActive looks: cooldown, then a cold start [s]."""
        return self.cooldown_s + self.lead_time_s

    @property
    def knobs(self) -> Knobs:
        """The settings that tuning may turn, as they are."""
        return Knobs(
            level=self.level,
            margin=self.margin,
            limit=self.limit,
            headroom=self.headroom,
            hold_s=self.hold_s,
        )

    def obeying(self, knobs: Knobs) -> "Policy":
        """The same policy with other settings of those."""
        return replace(
            self,
            level=knobs.level,
            margin=knobs.margin,
            limit=knobs.limit,
            headroom=knobs.headroom,
            hold_s=knobs.hold_s,
        )

    def measured(self, *, capacity: Capacity | None, lead_time_s: float | None) -> "Policy":
        """The same policy with what was measured of replicas; None leaves what there is."""
        sized = self if capacity is None else replace(self, capacity=capacity)
        if lead_time_s is None:
            return sized
        return replace(sized, lead_time_s=lead_time_s, configured_lead_time_s=self.lead_time_s)


class Stage(StrEnum):
    """The stages of a decision, in their order, which is policy."""

    DEMAND = "demand"
    CAPACITY = "capacity"
    BACKLOG = "backlog"
    WARM = "warm"
    STABILIZE = "stabilize"
    CEILING = "ceiling"
    SPOT = "spot"  # of workloads with pools, or on mixed nodes
    LANDING = "landing"


@dataclass(frozen=True, slots=True)
class Step:
    """What one stage made of the target, and why.

    Args:
        stage: Which stage.
        value: The number after it: demand per second after DEMAND, replicas after all others.
        unit: What `value` counts.
        because: The reason, in words, for a person who is paged.
    """

    stage: Stage
    value: float
    unit: str
    because: str

    def __post_init__(self) -> None:
        if not self.because:
            raise ValueError(f"{self.stage}: a step has a reason")


class Health(StrEnum):
    """How much a decision knows."""

    OK = "ok"  # demand is fresh, a forecast reaches the lead time
    REACTIVE = "reactive"  # demand is fresh, no forecast can be used
    HOLDING = "holding"  # demand is not fresh, the last good target holds
    STALE = "stale"  # held for as long as was stated; the owner's on_stale acts
    UNKNOWN = "unknown"  # demand was never seen


@dataclass(frozen=True, slots=True)
class ReplicaPlan:
    """What one run through the stages decided.

    Args:
        steps: One for each stage, in order.
        target: Replicas wanted, after the ceiling.
        published: What the HPA is told, after landing.
        active: Whether KEDA may keep the workload above zero; equals `published > 0`.
        health: How much it knows.
        available: False if the answer is UNAVAILABLE instead of a number.
        needed: What capacity asked for, with the limit that binds; None where demand could not be sized.
        granted: What the month's budget left of what was wanted; None without a budget.
        shares: What each pool is told; none where there are no pools. `published` is their sum.
        pooled: How that came about; None where pools were not seen, or there are none.
    """

    steps: tuple[Step, ...]
    target: int
    published: int
    active: bool
    health: Health
    available: bool = True
    needed: Needed | None = None
    granted: Granted | None = None
    shares: tuple[Share, ...] = ()
    pooled: PoolPlan | None = None

    def __post_init__(self) -> None:
        assert self.active == (self.published > 0)  # noqa: S101 - our own bug, not input
        assert self.target >= 0  # noqa: S101 - the same

    def of_pool(self, name: str) -> "ReplicaPlan":
        """The same plan as one pool is told of it.

        Raises:
            KeyError: The plan was not split over such a pool.
        """
        share = {share.name: share for share in self.shares}[name]
        return replace(
            self,
            published=share.published,
            active=share.published > 0,
            available=self.available and share.available,
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """What a decision remembers of earlier ones; rebuilt by replay, never needed on disk.

    Args:
        wanted: (instant, replicas) that recent decisions wanted before STABILIZE, oldest first;
            only those that can still be the highest of a trailing window.
        last_good: The target of the last decision with fresh demand.
        good_at: When that was.
        split: What splitting over pools remembers.
    """

    wanted: tuple[tuple[datetime, int], ...] = ()
    last_good: int | None = None
    good_at: datetime | None = None
    split: SplitMemory = field(default_factory=SplitMemory)


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """All that is known about one decision of one workload. API, page, log and metrics read this.

    Args:
        workload: Whose.
        seen: What was observed; `seen.now` is the tick.
        unit: The demand's unit.
        policy: The settings that were obeyed.
        plan: The stages and what they led to.
        reactive: What the same stages give without a forecast; published in shadow mode.
        forecast: The forecast that was used, if any.
        notes: What else a reader should know: a forecaster that failed, a partial answer.
        outcomes: How forecasts of earlier decisions came out, by horizon.
        tuning: What self-tuning chose; None if the owner set the quantile.
        further: Forecasts of the further rates, where capacity is learned.
        valid_until: After this instant the decision may not be served.
        pool: The pool that asked, where it is told of one.
        home: The forecasters that served by right then, see `forecasters.home.at_home`; empty if nobody
            says.
    """

    workload: WorkloadId
    seen: Observation
    unit: str
    policy: Policy
    plan: ReplicaPlan
    reactive: ReplicaPlan
    forecast: Forecast | None
    valid_until: datetime
    notes: tuple[str, ...] = field(default=())
    outcomes: tuple[Outcome, ...] = field(default=())
    tuning: Tuning | None = None
    further: Mapping[Rate, Forecast] = field(default_factory=dict)
    pool: str | None = None
    home: tuple[str, ...] = ()

    @property
    def answer(self) -> ReplicaPlan:
        """The plan that KEDA is told, or its pool's part: the reactive one in shadow mode."""
        whole = self.reactive if self.policy.mode is Mode.SHADOW else self.plan
        return whole if self.pool is None else whole.of_pool(self.pool)
