"""What people are shown of a decision: the shapes of the REST answers, made from the one record."""

from collections.abc import Iterable
from datetime import datetime

from pydantic import BaseModel, Field

from predictscale.control.desk import Registration
from predictscale.core.forecast import Components, Forecast
from predictscale.core.plan import Decision, Health, Landing, Mode, OnStale, Policy, ReplicaPlan, Stage


class StepView(BaseModel):
    """One stage of a decision: the number after it, and why."""

    stage: Stage
    value: float
    unit: str
    because: str


class PolicyView(BaseModel):
    """The settings that were obeyed."""

    capacity_per_replica: float = Field(description="Demand per second that one replica serves.")
    lead_time_s: float
    quantile: float
    margin: float = Field(description="The forecast counts so many times; 0 sizes for what is here.")
    limit: float | None = Field(description="The forecast counts up to so many times the highest of days.")
    headroom: float = Field(description="What is here counts so many times.")
    min_replicas: int
    max_replicas: int
    warm_replicas: int
    drain_s: float
    hold_s: float
    fresh_s: float
    stale_after_s: float
    on_stale: OnStale
    cooldown_s: float
    landing: Landing
    mode: Mode


class ProblemView(BaseModel):
    """An error, as RFC 9457 shapes it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class ProbeView(BaseModel):
    """What a probe is told."""

    status: str


class WorkloadView(BaseModel):
    """A workload in one line."""

    namespace: str
    workload: str
    health: Health
    mode: Mode
    model: str | None = Field(description="The forecaster that serves, if any.")
    demand: float | None = Field(description="Offered load per second; null if it was never seen.")
    unit: str
    demand_age_s: float | None
    target_replicas: int = Field(description="Wanted, after the ceiling.")
    published_replicas: int = Field(description="What the HPA is told, after landing, if `available`.")
    available: bool = Field(description="Whether KEDA is told a number now; if not, UNAVAILABLE.")
    reactive_replicas: int = Field(description="Wanted without a forecast.")
    current_replicas: int | None
    ready_replicas: int | None
    active: bool
    decided_at: datetime


class RefusedView(BaseModel):
    """A ScaledObject whose trigger metadata cannot be served."""

    namespace: str
    scaled_object: str
    problems: list[str]
    since: datetime


class WorkloadsView(BaseModel):
    """All workloads with a decision, and the triggers that were refused."""

    workloads: list[WorkloadView]
    waiting: list[str] = Field(description="Registered, but without a decision yet.")
    refused: list[RefusedView]


class DecisionView(WorkloadView):
    """A decision with its steps."""

    steps: list[StepView] = Field(description="The stages of the decision, which uses the forecast.")
    reactive_steps: list[StepView] = Field(
        description="The same stages without a forecast; in shadow mode KEDA is told where these lead."
    )
    policy: PolicyView
    notes: list[str]
    valid_until: datetime


class OutcomeView(BaseModel):
    """How the peak forecasts of one horizon came out over the last day."""

    lead_s: float
    levels: list[float]
    coverage: list[float] = Field(description="Share of closed windows whose peak lay at or below.")
    pinball: list[float] = Field(description="Mean pinball loss of each level, in the demand's unit.")
    scored: int = Field(description="How many windows have closed; with few of them shares say little.")


class ComponentsView(BaseModel):
    """What the median is made of; the parts add up to it. Each has one value for each step."""

    level: list[float] = Field(description="What demand is at now, carried ahead.")
    day: list[float] = Field(description="The change that the time of day brings.")
    week: list[float] = Field(description="The change that the day of the week brings.")
    events: list[float] = Field(description="What planned events add.")
    correction: list[float] = Field(description="The rest, which the model does not name.")


class ForecastView(BaseModel):
    """Quantiles of what is about to arrive."""

    namespace: str
    workload: str
    model: str
    unit: str
    origin: datetime = Field(description="The end of the last bin that the forecast knows.")
    age_s: float
    step_s: float
    levels: list[float]
    starts: list[datetime] = Field(description="Where each step begins, h of them.")
    values: list[list[float]] = Field(description="Demand by level and step, shape (levels, h).")
    peaks: list[list[float]] | None = Field(
        description="Highest demand from the origin to each step's end, by level; null if not forecast."
    )
    components: ComponentsView | None = Field(
        description="What the median is made of, in the demand's unit; null if the model was not asked."
    )
    outcomes: list[OutcomeView] = Field(description="How earlier forecasts came out, by horizon.")
    notes: list[str]


class HistoryView(BaseModel):
    """Recent decisions, newest first, as they were made."""

    namespace: str
    workload: str
    decisions: list[DecisionView]


def is_told(decision: Decision, *, now: datetime) -> bool:
    """Whether KEDA is told the decision's number at `now`, and not UNAVAILABLE."""
    return decision.answer.available and now <= decision.valid_until


def workload_view(decision: Decision, *, now: datetime) -> WorkloadView:
    """A decision in one line; `now` gives the age of its data."""
    seen, plan = decision.seen, decision.plan
    namespace, workload = decision.workload
    return WorkloadView(
        namespace=namespace,
        workload=workload,
        health=plan.health,
        mode=decision.policy.mode,
        model=decision.forecast.model if decision.forecast is not None else None,
        demand=seen.demand,
        unit=decision.unit,
        demand_age_s=(now - seen.demand_at).total_seconds() if seen.demand_at is not None else None,
        target_replicas=plan.target,
        published_replicas=decision.answer.published,
        available=is_told(decision, now=now),
        reactive_replicas=decision.reactive.target,
        current_replicas=seen.fleet.replicas,
        ready_replicas=seen.fleet.ready,
        active=decision.answer.active,
        decided_at=seen.now,
    )


def decision_view(decision: Decision, *, now: datetime) -> DecisionView:
    """A decision with its steps."""
    return DecisionView(
        **workload_view(decision, now=now).model_dump(),
        steps=_steps(decision.plan),
        reactive_steps=_steps(decision.reactive),
        policy=_policy(decision.policy),
        notes=list(decision.notes),
        valid_until=decision.valid_until,
    )


def forecast_view(decision: Decision, forecast: Forecast, *, now: datetime) -> ForecastView:
    """The forecast that a decision used."""
    namespace, workload = decision.workload
    return ForecastView(
        namespace=namespace,
        workload=workload,
        model=forecast.model,
        unit=decision.unit,
        origin=forecast.origin,
        age_s=(now - forecast.origin).total_seconds(),
        step_s=forecast.step_s,
        levels=list(forecast.levels),
        starts=forecast.starts,
        values=forecast.values.tolist(),
        peaks=forecast.peaks.tolist() if forecast.peaks is not None else None,
        components=_components(forecast.components) if forecast.components is not None else None,
        outcomes=[
            OutcomeView(
                lead_s=outcome.lead_s,
                levels=list(outcome.levels),
                coverage=list(outcome.coverage),
                pinball=list(outcome.pinball),
                scored=outcome.scored,
            )
            for outcome in decision.outcomes
        ],
        notes=list(decision.notes),
    )


def refused_views(registrations: Iterable[tuple[str, str, Registration]]) -> list[RefusedView]:
    """The triggers that cannot be served, with every problem."""
    return [
        RefusedView(
            namespace=namespace,
            scaled_object=name,
            problems=[str(problem) for problem in registration.error.problems],
            since=registration.since,
        )
        for namespace, name, registration in registrations
        if registration.error is not None
    ]


def _components(parts: Components) -> ComponentsView:
    return ComponentsView(
        level=parts.level.tolist(),
        day=parts.day.tolist(),
        week=parts.week.tolist(),
        events=parts.events.tolist(),
        correction=parts.correction.tolist(),
    )


def _steps(plan: ReplicaPlan) -> list[StepView]:
    return [StepView(stage=s.stage, value=s.value, unit=s.unit, because=s.because) for s in plan.steps]


def _policy(policy: Policy) -> PolicyView:
    return PolicyView(
        capacity_per_replica=policy.capacity.per_replica,
        lead_time_s=policy.lead_time_s,
        quantile=policy.level,
        margin=policy.margin,
        limit=policy.limit,
        headroom=policy.headroom,
        min_replicas=policy.min_replicas,
        max_replicas=policy.max_replicas,
        warm_replicas=policy.warm_replicas,
        drain_s=policy.drain_s,
        hold_s=policy.hold_s,
        fresh_s=policy.fresh_s,
        stale_after_s=policy.stale_after_s,
        on_stale=policy.on_stale,
        cooldown_s=policy.cooldown_s,
        landing=policy.landing,
        mode=policy.mode,
    )
