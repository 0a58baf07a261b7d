"""What people are shown of a workload's capacity: the law, how well it is known, what binds, the curve.

Read off the newest decision alone, so it is what that decision obeyed. Refuses to
draw a curve of what cannot be sized: then it says why.
"""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from predictscale.core.capacity import Capacity, Load, Origin
from predictscale.core.law import MOST_USABLE, Law
from predictscale.core.lawcapacity import CapacityLaw
from predictscale.core.lawfit import LawFit
from predictscale.core.needed import Demands, Needed
from predictscale.core.plan import Decision
from predictscale.errors import HoldTarget
from predictscale.serving.readers import Latest
from predictscale.serving.then import At, Then, card_then

SHARES = (0.25, 0.5, 1.0, 1.5, 2.0)
"""Of the present demand, for the curve."""
UTILIZATIONS = (0.0, 0.2, 0.4, 0.6, 0.7, 0.8, 0.9)
"""For the table of latencies; the boundary joins them."""


class TargetsView(BaseModel):
    """What the owner promises."""

    itl_s: float = Field(description="Mean time between tokens, or of a request where those are counted.")
    ttft_p95_s: float | None
    queue_s: float


class MixView(BaseModel):
    """The mean request that is sized for."""

    input_tokens: float
    output_tokens: float
    cached_share: float


class EngineView(BaseModel):
    """A replica's own limits; null is unknown."""

    kv_tokens: float | None
    max_running: int | None
    max_batched_tokens: int | None


class TtftView(BaseModel):
    """p95 TTFT per uncached input token = base + slope * (ITL / empty ITL - 1)."""

    base_s: float
    slope_s: float


class LawView(BaseModel):
    """ITL = empty / (1 - U), U = output tokens/s * per_output + input tokens/s * per_input."""

    empty_s: float = Field(description="Latency of an empty replica.")
    per_output_s: float = Field(description="Utilisation for each output token (or request) per second.")
    per_input_s: float = Field(description="Utilisation for each uncached input token per second.")
    per_context_s: float = Field(
        description="More per output token for each token of context beyond context_tokens; 0 if unknown."
    )
    context_tokens: float = Field(description="The context that per_output_s belongs to.")
    errors_s: tuple[float, float, float] = Field(
        description="Standard errors of empty, per_output and per_input."
    )
    ttft: TtftView | None
    mape: float = Field(description="Mean absolute error of the fitted latency, as a share.")
    windows: int = Field(description="That it was learned from.")
    left_out: dict[str, int] = Field(description="Windows that say nothing of capacity, by reason.")
    span_s: float = Field(description="How far back they reach.")
    highest_utilization: float = Field(description="The fullest of them.")


class BoundView(BaseModel):
    """What one limit asks for."""

    limit: str
    replicas: float = Field(description="Before imbalance, inflation and rounding.")
    because: str


class PointView(BaseModel):
    """One point of the curve."""

    share: float = Field(description="Of the present demand.")
    demand: float = Field(description="Per second, in the workload's unit.")
    replicas: int
    binding: str


class LatencyView(BaseModel):
    """What a replica does at one utilisation."""

    utilization: float
    itl_s: float
    ttft_p95_s: float | None
    output_per_s: float = Field(description="Output tokens, or requests, per second at the present mix.")
    boundary: bool = Field(description="Whether this is as full as the promises let it be.")


class CapacityView(BaseModel):
    """What a replica serves, and what that makes of demand."""

    namespace: str
    workload: str
    decided_at: datetime
    origin: Origin = Field(description="Configured, a start until it is learned, or learned.")
    unit: str
    per_replica: float | None = Field(description="In that unit; of a law a stand-in for a large fleet.")
    why_not_learned: str = Field(description="Empty if it is, or need not be.")
    targets: TargetsView | None
    mix: MixView | None
    engine: EngineView | None
    peakedness: float | None = Field(description="Variance over mean of arrivals; 1 is Poisson.")
    law: LawView | None
    binding: str | None = Field(description="The limit that binds at the present demand.")
    because: str = Field(description="Its numbers, and each guard that acted.")
    bounds: list[BoundView]
    curve: list[PointView]
    latencies: list[LatencyView]


def add_capacity(one: APIRouter, latest: Latest, then: Then) -> None:
    """Add the route.

    Args:
        one: The routes of one workload.
        latest: Its newest decision, or a 404.
        then: Who tells past ones.
    """

    @one.get("/capacity", response_model=CapacityView)
    async def capacity(namespace: str, name: str, at: At = None) -> CapacityView | Response:
        """The fitted law, its error, the limit that binds, and replicas by demand."""
        if at is None:
            return capacity_view(latest(namespace, name))
        return await card_then(then, namespace, name, at, card="capacity")


def capacity_view(decision: Decision) -> CapacityView:
    """The capacity that a decision obeyed."""
    namespace, workload = decision.workload
    capacity = decision.policy.capacity
    law = capacity if isinstance(capacity, CapacityLaw) else None
    fit = None if law is None or law.learned is None else law.learned.fit
    needed, because = _present(decision)
    return CapacityView(
        namespace=namespace,
        workload=workload,
        decided_at=decision.seen.now,
        origin=capacity.origin,
        unit=decision.unit,
        per_replica=_per_replica(capacity),
        why_not_learned=_why_not(law),
        targets=None if law is None else TargetsView.model_validate(asdict(law.slo)),
        mix=None if law is None or law.mix is None else MixView.model_validate(asdict(law.mix)),
        engine=None if law is None else EngineView.model_validate(asdict(law.engine)),
        peakedness=None if law is None else law.burst.peakedness,
        law=None if fit is None else _law(fit),
        binding=None if needed is None else needed.binding.value,
        because=because,
        bounds=[]
        if needed is None
        else [
            BoundView(limit=bound.limit.value, replicas=bound.replicas, because=bound.because)
            for bound in needed.bounds
        ],
        curve=list(_curve(decision)),
        latencies=[] if law is None or fit is None else list(_latencies(law, fit.law)),
    )


def _per_replica(capacity: Capacity) -> float | None:
    try:
        return capacity.per_replica
    except HoldTarget:
        return None


def _why_not(law: CapacityLaw | None) -> str:
    if law is None:
        return ""
    return "no windows were learned from yet" if law.learned is None else law.learned.why_not


def _law(fit: LawFit) -> LawView:
    law = fit.law
    return LawView(
        empty_s=law.alpha_s,
        per_output_s=law.beta_s,
        per_input_s=law.gamma_s,
        per_context_s=law.context_s,
        context_tokens=law.context_tokens,
        errors_s=fit.errors_s,
        ttft=None if law.ttft is None else TtftView.model_validate(asdict(law.ttft)),
        mape=fit.mape,
        windows=fit.windows,
        left_out=asdict(fit.left_out),
        span_s=fit.span_s,
        highest_utilization=fit.highest_utilization,
    )


def _present(decision: Decision) -> tuple[Needed | None, str]:
    """What the present demand needs, or why it cannot be told."""
    if decision.seen.demand is None:
        return None, "no demand is known"
    try:
        needed = decision.policy.capacity.sized(_load(decision, decision.seen.demand, share=1.0))
    except HoldTarget as unknown:
        return None, str(unknown)
    return needed, needed.because


def _curve(decision: Decision) -> Iterator[PointView]:
    demand = decision.seen.demand
    if demand is None:
        return
    for share in SHARES:
        try:
            needed = decision.policy.capacity.sized(_load(decision, demand, share=share))
        except HoldTarget:
            return
        yield PointView(
            share=share, demand=demand * share, replicas=needed.replicas, binding=needed.binding.value
        )


def _load(decision: Decision, demand: float, *, share: float) -> Load:
    rates = decision.seen.rates
    scaled = Demands(
        requests_rps=_times(rates.requests_rps, share),
        input_tokens_per_s=_times(rates.input_tokens_per_s, share),
        output_tokens_per_s=_times(rates.output_tokens_per_s, share),
    )
    return Load(primary=demand * share, unit=decision.unit, rates=scaled)


def _times(rate: float | None, share: float) -> float | None:
    return None if rate is None else rate * share


def _latencies(capacity: CapacityLaw, law: Law) -> Iterator[LatencyView]:
    """By utilisation, at the mix that is sized for."""
    mix = capacity.mix
    if mix is None:
        return
    law = law.at(mix)
    edge = law.boundary(capacity.slo, mix).utilization
    for share in sorted({*UTILIZATIONS, edge}):
        if share > max(MOST_USABLE, edge):
            continue
        stretch = law.itl_s(share) / law.alpha_s - 1
        yield LatencyView(
            utilization=share,
            itl_s=law.itl_s(share),
            ttft_p95_s=None if law.ttft is None else law.ttft.ttft_s(stretch, mix),
            output_per_s=law.output_per_replica(share, mix),
            boundary=share == edge,
        )
