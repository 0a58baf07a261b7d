"""What people are shown of a decision: the shapes of the REST answers, made from the one record."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from pydantic import BaseModel, Field

from predictscale.control.desk import Registration
from predictscale.control.moneybook import Money
from predictscale.core.capacity import Origin, linear
from predictscale.core.counterfactual import Way
from predictscale.core.demand import Observation
from predictscale.core.forecast import Components, Forecast
from predictscale.core.needed import Limit
from predictscale.core.offered import Rate
from predictscale.core.plan import Decision, Health, Landing, Mode, OnStale, ReplicaPlan, Stage
from predictscale.core.state import State, Told, at_ceiling, state_then
from predictscale.errors import ForecastTooShort


class StepView(BaseModel):
    """One stage of a decision: the number after it, and why."""

    stage: Stage
    value: float
    unit: str
    because: str


class BoundView(BaseModel):
    """What one limit of a replica asks for."""

    limit: Limit
    replicas: float = Field(description="As a real number, before guards and rounding.")
    because: str


class CapacityView(BaseModel):
    """How the load was turned into replicas."""

    origin: Origin = Field(description="Whether it is configured, learned, or a start until it is.")
    binding: Limit | None = Field(description="The limit that asks for most; null if nothing was sized.")
    because: str | None = Field(description="That limit's numbers and each guard that acted.")
    bounds: list[BoundView] = Field(description="Every limit that was asked.")
    guards: list[str] = Field(description="What moved the number away from the plain law.")


class PolicyView(BaseModel):
    """The settings that were obeyed."""

    capacity_per_replica: float | None = Field(
        description="Demand per second that one replica serves; a linear stand-in where capacity is "
        "learned, null while nothing is known of it."
    )
    capacity: CapacityView
    lead_time_s: float = Field(description="In force: measured, or the owner's.")
    configured_lead_time_s: float | None = Field(
        description="The owner's, where the measured one is in force; else null."
    )
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


class MixView(BaseModel):
    """The mean request of the last hours."""

    input_tokens: float
    output_tokens: float
    cached_share: float


class RatesView(BaseModel):
    """The offered load as requests and tokens; null is unknown."""

    requests_rps: float | None
    input_tokens_per_s: float | None = Field(description="Those that the prefix cache does not spare.")
    output_tokens_per_s: float | None
    waiting_requests: float | None
    kv_usage: float | None = Field(description="Share of the cache in use, mean of the replicas.")
    mix: MixView | None


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
    published_replicas: int | None = Field(
        description="What the HPA is told, after landing; null unless `available`."
    )
    available: bool = Field(description="Whether KEDA is told a number now; if not, UNAVAILABLE.")
    reactive_replicas: int = Field(description="Wanted without a forecast.")
    current_replicas: int | None
    ready_replicas: int | None
    starting_replicas: int | None = Field(description="Capacity to come: there, and not ready.")
    active: bool = Field(description="Whether KEDA may keep it above zero, which it is told if `available`.")
    decided_at: datetime


class RowView(WorkloadView):
    """A workload in one line, with how it fares and what it saved."""

    state: State = Field(description="The worst that holds; a table shows this one word.")
    state_because: str = Field(description="What makes it so.")
    policy_quantile: float = Field(description="The quantile of demand that is covered.")
    expected_peak: float | None = Field(
        description="That quantile of the highest demand within the lead time, per second; null without "
        "a forecast that says so much."
    )
    lead_time_s: float = Field(description="From a decision to replicas that serve [s].")
    max_replicas: int
    at_ceiling: bool = Field(description="Whether as many are wanted as there may be.")
    saved_replica_hours: float | None = Field(
        description="Held less than a plain HPA in the last month; negative if more, null before any account."
    )
    saved_money: float | None = Field(description="The same in money; null without a price.")
    currency: str | None = Field(description="Of that money; null without it.")
    demand_at: datetime | None = Field(description="When demand was measured; null if it never was.")
    valid_until: datetime = Field(description="After this instant KEDA is told UNAVAILABLE.")


class RefusedView(BaseModel):
    """A ScaledObject whose trigger metadata cannot be served."""

    namespace: str
    scaled_object: str
    problems: list[str]
    since: datetime


class WorkloadsView(BaseModel):
    """A page of the workloads with a decision, those that wait for one, and triggers that were refused."""

    workloads: list[RowView]
    waiting: list[str] = Field(description="Registered, but without a decision yet.")
    refused: list[RefusedView]
    total: int = Field(description="How many match, on all pages.")
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")
    as_of: datetime = Field(description="The instant of this answer, by which ages are told.")


class DecisionView(WorkloadView):
    """A decision with its steps."""

    state: State = Field(description="The worst that holds, by what the decision knows itself.")
    state_because: str = Field(description="What makes it so.")
    steps: list[StepView] = Field(description="The stages of the decision, which uses the forecast.")
    reactive_steps: list[StepView] = Field(
        description="The same stages without a forecast; in shadow mode KEDA is told where these lead."
    )
    policy: PolicyView
    rates: RatesView | None = Field(description="Where capacity is learned; else null.")
    at_ceiling: bool = Field(description="Whether as many are wanted as there may be.")
    budget_bound: str | None = Field(description="What a budget left of what was wanted; null if all of it.")
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


class RateForecastView(BaseModel):
    """The same of one rate of the load, where capacity is learned."""

    rate: Rate
    model: str
    levels: list[float]
    starts: list[datetime]
    values: list[list[float]] = Field(description="Per second by level and step, shape (levels, h).")
    peaks: list[list[float]] | None


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
    rates: list[RateForecastView] = Field(description="Of requests and tokens; empty where one number sizes.")
    outcomes: list[OutcomeView] = Field(description="How earlier forecasts came out, by horizon.")
    notes: list[str]


def is_told(decision: Decision, *, now: datetime) -> bool:
    """Whether KEDA is told the decision's number at `now`, and not UNAVAILABLE."""
    return decision.answer.available and now <= decision.valid_until


def _line(decision: Decision, *, now: datetime) -> dict[str, Any]:
    """The fields of a decision in one line."""
    seen, plan, told = decision.seen, decision.plan, is_told(decision, now=now)
    namespace, workload = decision.workload
    return {
        "namespace": namespace,
        "workload": workload,
        "health": plan.health,
        "mode": decision.policy.mode,
        "model": decision.forecast.model if decision.forecast is not None else None,
        "demand": seen.demand,
        "unit": decision.unit,
        "demand_age_s": (now - seen.demand_at).total_seconds() if seen.demand_at is not None else None,
        "target_replicas": plan.target,
        "published_replicas": decision.answer.published if told else None,
        "available": told,
        "reactive_replicas": decision.reactive.target,
        "current_replicas": seen.fleet.replicas,
        "ready_replicas": seen.fleet.ready,
        "starting_replicas": seen.fleet.starting,
        "active": decision.answer.active,
        "decided_at": seen.now,
    }


def row_view(decision: Decision, *, fares: Told, money: Money | None, now: datetime) -> RowView:
    """A decision in one line, with how its workload fares and what it saved."""
    policy = decision.policy
    savings = None if money is None else money.savings
    saved_money = None if savings is None else savings.saved_money(Way.REACTIVE)
    return RowView(
        **_line(decision, now=now),
        state=fares.state,
        state_because=fares.because,
        policy_quantile=policy.level,
        expected_peak=_expected_peak(decision),
        lead_time_s=policy.lead_time_s,
        max_replicas=policy.max_replicas,
        at_ceiling=at_ceiling(decision),
        saved_replica_hours=None if savings is None else savings.saved_h(Way.REACTIVE),
        saved_money=saved_money,
        currency=None if money is None or saved_money is None else money.currency,
        demand_at=decision.seen.demand_at,
        valid_until=decision.valid_until,
    )


def _expected_peak(decision: Decision) -> float | None:
    """The covered quantile of the highest demand within the lead time; None if nobody forecasts it."""
    forecast, policy, now = decision.forecast, decision.policy, decision.seen.now
    if forecast is None or not forecast.levels[0] <= policy.level <= forecast.levels[-1]:
        return None
    try:
        return forecast.peak(level=policy.level, since=now, until=now + timedelta(seconds=policy.lead_time_s))
    except ForecastTooShort:
        return None


def decision_view(decision: Decision, *, now: datetime) -> DecisionView:
    """A decision with its steps."""
    granted = decision.answer.granted
    fares = state_then(decision, told=is_told(decision, now=now))
    return DecisionView(
        **_line(decision, now=now),
        state=fares.state,
        state_because=fares.because,
        steps=_steps(decision.plan),
        reactive_steps=_steps(decision.reactive),
        policy=_policy(decision),
        rates=_rates(decision.seen),
        at_ceiling=at_ceiling(decision),
        budget_bound=granted.because if granted is not None and granted.limited else None,
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
        rates=[_rate_forecast(rate, ahead) for rate, ahead in decision.further.items()],
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


def _rate_forecast(rate: Rate, forecast: Forecast) -> RateForecastView:
    return RateForecastView(
        rate=rate,
        model=forecast.model,
        levels=list(forecast.levels),
        starts=forecast.starts,
        values=forecast.values.tolist(),
        peaks=forecast.peaks.tolist() if forecast.peaks is not None else None,
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


def _rates(seen: Observation) -> RatesView | None:
    rates, mix = seen.rates, seen.mix
    if not rates.known() and mix is None:
        return None
    return RatesView(
        requests_rps=rates.requests_rps,
        input_tokens_per_s=rates.input_tokens_per_s,
        output_tokens_per_s=rates.output_tokens_per_s,
        waiting_requests=seen.waiting,
        kv_usage=seen.kv_usage,
        mix=None
        if mix is None
        else MixView(
            input_tokens=mix.input_tokens, output_tokens=mix.output_tokens, cached_share=mix.cached_share
        ),
    )


def _capacity(decision: Decision) -> CapacityView:
    needed = decision.answer.needed
    return CapacityView(
        origin=decision.policy.capacity.origin,
        binding=None if needed is None else needed.binding,
        because=None if needed is None else needed.because,
        bounds=[]
        if needed is None
        else [
            BoundView(limit=bound.limit, replicas=bound.replicas, because=bound.because)
            for bound in needed.bounds
        ],
        guards=[] if needed is None else list(needed.guards),
    )


def _policy(decision: Decision) -> PolicyView:
    policy = decision.policy
    each = linear(policy.capacity)
    return PolicyView(
        capacity_per_replica=None if each is None else each.per_replica,
        capacity=_capacity(decision),
        lead_time_s=policy.lead_time_s,
        configured_lead_time_s=policy.configured_lead_time_s,
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
