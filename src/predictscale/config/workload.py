"""One workload's settings: as they are written, and as the service obeys them.

`WorkloadDefaults` and `NamedWorkload` are what people write; `WorkloadSettings`
is what `config.resolve` makes of them, whatever their origin, and is all that
the layers above ever see. Nothing here guesses a capacity or a ceiling: a ceiling
must be given, and a capacity, or the latency targets that one is learned from.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated

from pydantic import AfterValidator, Field

from predictscale.config.calendars import holiday_code, zone_name
from predictscale.config.capacity import CapacitySettings, LearnedCapacity
from predictscale.config.costs import BudgetSettings, CostLabels, GridSettings, PriceSettings
from predictscale.config.fields import (
    DAY_S,
    Count,
    DnsLabel,
    DnsName,
    Duration,
    Frozen,
    Positive,
    Span,
    Url,
)
from predictscale.config.floors import FloorSettings
from predictscale.config.lead import DEFAULT_DELAYS, DelaySettings
from predictscale.config.models import FourierSettings, ProphetSettings
from predictscale.config.objective import (
    DEFAULT_TUNING,
    HIGHEST_LEVEL,
    LOWEST_LEVEL,
    SloSettings,
    TuningSettings,
)
from predictscale.config.planned import EventSettings
from predictscale.config.pools import PoolSettings, SpotSettings
from predictscale.config.presets import Presets, fleet_signals
from predictscale.config.warmth import WarmthSettings
from predictscale.core.breakeven import ColdStart
from predictscale.core.budget import MonthlyBudget
from predictscale.core.calendar import Calendar
from predictscale.core.capacity import Capacity, CapacityModel
from predictscale.core.carbon import Power
from predictscale.core.cost import Price
from predictscale.core.demand import Signal, SignalName, WorkloadId
from predictscale.core.events import PlannedEvent
from predictscale.core.plan import Landing, Mode, OnStale, Policy
from predictscale.core.pools import PoolKind, PoolPolicy, Pools
from predictscale.core.slo import Slo
from predictscale.core.warmth import Warmth

DEFAULT_FORECASTERS = ("auto", "native", "seasonal-naive-day", "last-value")
"""The chain of a workload whose owner chose none."""

DRAIN_S = 60.0
"""A queue that waits is served within this time, or within `slo.wait_s` if that is longer [s]."""
_SHORTEST_HOLD_S = 600.0


class WorkloadDefaults(Frozen):
    """What a workload does where it says nothing itself."""

    lead_time_s: Span = Field(
        default=300.0,
        le=DAY_S,
        description="From a decision to replicas that serve: image, weights, warm-up. Where it is measured, "
        "until it is.",
    )
    measure_lead_time: bool = Field(
        default=True,
        description="Whether the lead time is measured from the pods that started lately, where target is "
        "given and kube-state-metrics tells of them.",
    )
    delays: DelaySettings = Field(
        default=DEFAULT_DELAYS, description="What is added to the starts that are measured."
    )
    quantile: float | None = Field(
        default=None,
        ge=LOWEST_LEVEL,
        le=HIGHEST_LEVEL,
        description="The quantile of demand that is covered; 0.95 if slo is not given either.",
    )
    slo: SloSettings | None = Field(
        default=None,
        description="How much of demand may wait too long, instead of quantile. Settings are chosen to "
        "meet it; until there are two days of forecasts, the quantile 1 - max_violation is covered.",
    )
    tuning: TuningSettings = Field(
        default=DEFAULT_TUNING, description="How settings are chosen where slo is given."
    )
    min_replicas: Count = Field(default=1, description="Never fewer; 0 allows scale to zero.")
    warm_replicas: Count = Field(default=0, description="A floor that stays even when min_replicas is lower.")
    hold_s: Duration | None = Field(
        default=None,
        le=7 * DAY_S,
        description="Scale down only to the highest target of this long; twice the lead time, at least 10m, "
        "if not given.",
    )
    on_stale: OnStale = Field(
        default=OnStale.FLOOR, description="What follows when data has been missing for stale_after_s."
    )
    stale_after_s: Span = Field(
        default=600.0,
        le=7 * DAY_S,
        description="How long the last good target holds, from the newest sample on.",
    )
    fresh_s: Span | None = Field(
        default=None, le=DAY_S, description="Data no older than this is the present; four ticks if not given."
    )
    cooldown_s: Duration = Field(
        default=300.0, le=DAY_S, description="KEDA's cooldownPeriod; activity is foreseen beyond it."
    )
    landing: Landing = Field(
        default=Landing.EXACT, description="How a target is published, given the HPA's dead band."
    )
    mode: Mode = Field(
        default=Mode.LIVE, description="Whether the forecast moves the fleet or is only recorded."
    )
    empty_is_zero: bool = Field(
        default=False, description="Whether no series at all means no demand, instead of missing data."
    )
    forecasters: tuple[str, ...] = Field(
        default=DEFAULT_FORECASTERS, min_length=1, description="Forecasters to try, in this order."
    )
    time_zone: Annotated[str, AfterValidator(zone_name)] = Field(
        default="UTC", description="Whose clock its days and weeks follow: an IANA name, as Europe/Berlin."
    )
    holidays: Annotated[str, AfterValidator(holiday_code)] | None = Field(
        default=None,
        description="Whose public holidays it keeps: a country's code, or that of a part of it, as DE-BY.",
    )
    floors: tuple[FloorSettings, ...] = Field(
        default=(), max_length=200, description="Replicas that should serve in windows of the calendar."
    )
    warmth: WarmthSettings | None = Field(
        default=None, description="What stands ready by what idle and missing replicas cost."
    )
    price: PriceSettings | None = Field(
        default=None, description="What a replica costs by the hour, and what it draws."
    )
    labels: CostLabels = Field(
        default_factory=dict, description="Labels that costs are summed by, such as team: search."
    )
    events: tuple[EventSettings, ...] = Field(
        default=(),
        max_length=200,
        description="Planned events: expected when they come, and not learnt from when they are over.",
    )
    prophet: ProphetSettings = Field(
        default=ProphetSettings(), description="What Prophet is told, where `forecasters` name it."
    )
    fourier: FourierSettings = Field(
        default=FourierSettings(),
        description="What SARIMAX is told, where `forecasters` name sarimax-fourier.",
    )


class NamedWorkload(WorkloadDefaults):
    """A workload as it is written, in the service's file or in a trigger; what it leaves out is a default."""

    namespace: DnsLabel = Field(
        description="The namespace it lives in; only triggers from there may name it."
    )
    name: DnsName = Field(description="Its name, as triggers say it with `workload`.")
    backend: str | None = Field(
        default=None,
        description="A preset of signals, such as vllm, or auto to have it found; or give query.",
    )
    selector: str | None = Field(
        default=None,
        description="Label matchers that choose its series within the namespace, with backend; "
        "without one, all series of the backend in the namespace count.",
    )
    query: str | None = Field(
        default=None, min_length=1, description="PromQL of demand per second; or give backend."
    )
    queue_query: str | None = Field(
        default=None, min_length=1, description="PromQL of the work that waits, in demand's unit; with query."
    )
    unit: str | None = Field(
        default=None,
        min_length=1,
        max_length=40,
        description="What query counts; requests/s if not given. With backend auto it must be given.",
    )
    target: DnsName | None = Field(
        default=None,
        description="The Deployment that is scaled; tells its replicas, which some landings need.",
    )
    prometheus: Url | None = Field(default=None, description="Another Prometheus than the service's own.")
    capacity_per_replica: Positive | None = Field(
        default=None,
        description="Demand per second that one replica serves within its SLO; or give capacity.",
    )
    capacity: CapacitySettings | None = Field(
        default=None, description="Latency targets, to have what a replica serves learned."
    )
    max_replicas: Count = Field(ge=1, description="Never more.")
    budget: BudgetSettings | None = Field(
        default=None, description="What it may cost in a calendar month; with price."
    )
    pools: tuple[PoolSettings, ...] = Field(
        default=(),
        max_length=10,
        description="Its pools, each a Deployment with a ScaledObject of its own, instead of target.",
    )
    spot: SpotSettings | None = Field(
        default=None,
        description="What is wanted of spot nodes, with pools; without them, a margin for target's nodes.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadSettings:
    """One workload, resolved and checked. Two that are equal behave the same.

    Args:
        workload: Whose.
        capacity_per_replica: Demand that a replica serves, per second; None if that is learned.
        learned: How it is learned; None if it is given.
        max_replicas: The ceiling; with pools, of what must serve.
        backend: The preset of its signals, or None if it has a query.
        asks: What the preset asks, as a hash: the owner may have changed it under the same name.
        selector: Matchers for the preset, bound to the namespace and ready to be put inside braces.
        query: PromQL of demand, or None if it has a backend; bound to the namespace unless the
            service's owner wrote it.
        queue_query: PromQL of waiting work, likewise.
        unit: What demand counts.
        target: The Deployment that is scaled.
        prometheus: Where to ask, if not the service's own Prometheus.
        lead_time_s: From a decision to serving replicas [s], until it is measured.
        measure_lead_time: Whether it is, where there is a target.
        delays: What is added to measured starts.
        level: The quantile of demand that is covered; with `slo`, until tuning has chosen.
        slo: The owner's objective; None if the owner set the quantile.
        tuning: How settings are chosen from it.
        drain_s: A queue is served within this time [s].
        min_replicas: Never fewer.
        warm_replicas: A floor beside it.
        warmth: Floors by the calendar and by costs.
        cold: What a cold start costs; None if the last replica goes as soon as nothing is expected.
        sighted: Whether demand can be seen while there is no replica; None until a backend is found.
        price: What replicas cost; None if that is not known.
        power: What they draw, likewise.
        grid: What the grid emits, likewise.
        budget: What they may cost in a month; None for no such ceiling.
        relaxed_level: The quantile that is still covered once the budget binds.
        labels: Names and values that costs are summed by.
        pools: Its pools, if it has any.
        spot: What is wanted of them, or of nodes that may be lost; None for neither.
        mixed: The one Deployment on such nodes, where there are no pools.
        hold_s: How long a target is remembered before scale-down [s].
        on_stale: What follows when data is missing for long.
        stale_after_s: How long that is [s].
        fresh_s: Data no older than this is the present [s].
        cooldown_s: KEDA's wait before zero [s].
        landing: How the target is published.
        mode: Live or shadow.
        empty_is_zero: Whether no series means no demand.
        forecasters: Names, in the order they are tried; the caller knows which there are.
        calendar: Whose clock and holidays its seasons follow.
        events: What its owner knows of before it comes.
        prophet: What Prophet is told.
        fourier: What SARIMAX is told.
    """

    workload: WorkloadId
    max_replicas: int
    capacity_per_replica: float | None = None
    learned: LearnedCapacity | None = None
    backend: str | None = None
    asks: str = ""
    selector: str = ""
    query: str | None = None
    queue_query: str | None = None
    unit: str = "requests/s"
    target: str | None = None
    prometheus: str | None = None
    lead_time_s: float = 300.0
    measure_lead_time: bool = True
    delays: DelaySettings = DEFAULT_DELAYS
    level: float = 0.95
    slo: Slo | None = None
    tuning: TuningSettings = DEFAULT_TUNING
    drain_s: float = DRAIN_S
    min_replicas: int = 1
    warm_replicas: int = 0
    warmth: Warmth = field(default_factory=Warmth)
    cold: ColdStart | None = None
    sighted: bool | None = True
    price: Price | None = None
    power: Power | None = None
    grid: GridSettings | None = None
    budget: MonthlyBudget | None = None
    relaxed_level: float = 0.5
    labels: tuple[tuple[str, str], ...] = ()
    pools: tuple[PoolSettings, ...] = ()
    spot: PoolPolicy | None = None
    mixed: PoolSettings | None = None
    hold_s: float = _SHORTEST_HOLD_S
    on_stale: OnStale = OnStale.FLOOR
    stale_after_s: float = 600.0
    fresh_s: float = 60.0
    cooldown_s: float = 300.0
    landing: Landing = Landing.EXACT
    mode: Mode = Mode.LIVE
    empty_is_zero: bool = False
    forecasters: tuple[str, ...] = DEFAULT_FORECASTERS
    calendar: Calendar = Calendar()
    events: tuple[PlannedEvent, ...] = ()
    prophet: ProphetSettings = ProphetSettings()
    fourier: FourierSettings = FourierSettings()

    def __post_init__(self) -> None:
        if (self.backend is None) == (self.query is None):
            raise ValueError(f"{self.workload}: has either a backend or a query")
        if (self.capacity_per_replica is None) == (self.learned is None):
            raise ValueError(f"{self.workload}: its capacity is either given or learned")

    @property
    def tunes_itself(self) -> bool:
        """Whether settings are chosen from the objective."""
        return self.slo is not None and self.tuning.enabled

    @property
    def measured_target(self) -> str | None:
        """The Deployment whose starts tell the lead time: with pools, the one that stands in for spot."""
        on_demand = (pool.target for pool in self.pools if pool.kind is PoolKind.ON_DEMAND)
        return next(on_demand, self.target)

    def pool(self, name: str) -> PoolSettings | None:
        """One of its pools; None if there is none of that name."""
        return next((pool for pool in self.pools if pool.name == name), None)

    def policy(self) -> Policy:
        """What a decision obeys; of a capacity that is learned, as long as nothing was."""
        return Policy(
            capacity=self._capacity(),
            lead_time_s=self.lead_time_s,
            level=self.level,
            min_replicas=self.min_replicas,
            max_replicas=self.max_replicas,
            warm_replicas=self.warm_replicas,
            warmth=self.warmth,
            cold=self.cold,
            sighted=bool(self.sighted),
            relaxed_level=self.relaxed_level,
            drain_s=self.drain_s,
            hold_s=self.hold_s,
            fresh_s=self.fresh_s,
            stale_after_s=self.stale_after_s,
            on_stale=self.on_stale,
            cooldown_s=self.cooldown_s,
            landing=self.landing,
            mode=self.mode,
            pools=self._split(),
        )

    def signals(self, presets: Presets) -> dict[SignalName, Signal]:
        """What is asked of the source: demand always, a queue and the fleet where they are known.

        Where capacity is learned, also what tells the load in requests and tokens.

        Raises:
            KeyError: The presets do not hold its backend; `config.resolve` refuses that.
        """
        found = self._load(presets)
        if self.target is not None:
            found += fleet_signals(self.workload.namespace, self.target)
        return {signal.name: signal for signal in found}

    def fingerprint(self) -> str:
        """A hash of what a history and a fitted model depend on: whose, how measured, how learnt from.

        Stable across processes and releases of Python. Limits, floors and modes are
        not in it: another ceiling does not make a model wrong.
        """
        parts: Mapping[str, object] = {
            "workload": list(self.workload),
            "backend": self.backend,
            "asks": self.asks,
            "selector": self.selector,
            "query": self.query,
            "queue_query": self.queue_query,
            "unit": self.unit,
            "prometheus": self.prometheus,
            "empty_is_zero": self.empty_is_zero,
            "forecasters": list(self.forecasters),
            "time_zone": self.calendar.zone,
            "holidays": [day.isoformat() for day in self.calendar.holidays],
            "events": [_event_parts(event) for event in self.events],
            "prophet": self.prophet.model_dump(mode="json"),
            "fourier": self.fourier.model_dump(mode="json"),
        }
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def _split(self) -> Pools | None:
        if self.spot is None:
            return None
        pools = tuple(pool.pool(most=self.max_replicas) for pool in self.pools)
        return Pools(pools=pools, rule=self.spot)

    def _capacity(self) -> Capacity:
        if self.learned is not None:
            return self.learned.law()
        assert self.capacity_per_replica is not None  # noqa: S101 - __post_init__ made sure
        return CapacityModel(self.capacity_per_replica)

    def _load(self, presets: Presets) -> tuple[Signal, ...]:
        if self.backend is not None:
            preset = presets[self.backend]
            asked = (SignalName.DEMAND, SignalName.QUEUE)
            maybe = (
                preset.signal(n, selector=self.selector, empty_is_zero=self.empty_is_zero) for n in asked
            )
            found = tuple(signal for signal in maybe if signal is not None)
            if self.learned is None:
                return found
            further = self.learned.signals(
                preset, presets, selector=self.selector, empty_is_zero=self.empty_is_zero
            )
            return (*found, *further)
        assert self.query is not None  # noqa: S101 - __post_init__ made sure
        demand = Signal(SignalName.DEMAND, self.query, self.unit, empty_is_zero=self.empty_is_zero)
        if self.queue_query is None:
            return (demand,)
        waiting = self.unit.removesuffix("/s")
        return demand, Signal(SignalName.QUEUE, self.queue_query, waiting, empty_is_zero=self.empty_is_zero)


def _event_parts(event: PlannedEvent) -> dict[str, str]:
    """An event as text that is the same everywhere."""
    parts = {field.name: getattr(event, field.name) for field in fields(event) if field.name != "name"}
    return {name: str(part) for name, part in parts.items()}
