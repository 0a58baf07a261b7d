"""From a demand of requests and tokens to replicas, by the best that is known of a replica.

What the owner configured always wins. Else the learned law, within the bounds of
what was seen; until there is one, the configured start, then the engine's own
limits in closed form, then the best that was seen. Each guard that acts says so.
More demand never needs fewer replicas: how requests are made up is a setting of
the law (`mix`), not read off the demand, whose rates are forecast one by one.

Refuses to size by nothing: with none of these known, the target holds.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from predictscale.core.capacity import Load, Origin
from predictscale.core.concurrency import Burst
from predictscale.core.law import MOST_USABLE, Boundary, LatencyTargets, Law, Mix, TtftLine, milliseconds
from predictscale.core.lawfit import LawFit
from predictscale.core.lawguards import Learned, Seen
from predictscale.core.lawwindows import KEEP_S
from predictscale.core.needed import Bound, Demands, Limit, Needed, known, quantity
from predictscale.core.offered import Rate, together
from predictscale.errors import HoldTarget

POOR_MAPE = 0.15
"""A law that misses ITL by more than this on average is not trusted as it is."""

DOUBT = 1.10
"""What is bought more while it is not."""

KV_USABLE = 0.9
"""Beyond this share of the cache, requests are preempted."""

TTFT_K0, TTFT_K1 = 3.3, 1.85
"""Prior of the line of the time to first token, in gammas, until it is measured. From simulation."""

IMBALANCE = 0.07
"""A router does not spread requests evenly; models agree on 0.05 to 0.10."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A replica's own limits, as its flags and metrics tell them; None is unknown.

    Args:
        kv_tokens: Tokens that the cache of a replica holds.
        max_running: Requests that run at once.
        max_batched_tokens: Token budget of an iteration.
    """

    kv_tokens: float | None = None
    max_running: int | None = None
    max_batched_tokens: int | None = None

    def __post_init__(self) -> None:
        for limit in (self.kv_tokens, self.max_running, self.max_batched_tokens):
            if limit is not None and not (math.isfinite(limit) and limit > 0):
                raise ValueError(f"engine: {self}; a limit is above 0, or None")


@dataclass(frozen=True, slots=True, kw_only=True)
class Configured:
    """What the owner says a replica serves.

    Args:
        per_replica: Rates within the SLO, one of them at least; each known one is a limit.
        until_learned: Only a start, until the law is known. Else it always wins.
    """

    per_replica: Demands
    until_learned: bool = False

    def __post_init__(self) -> None:
        if not self.per_replica.known() or min(self.per_replica.known()) <= 0:
            raise ValueError(f"configured: {self.per_replica}; a replica serves something")


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a workload's demand is counted in, as reasons say it."""

    name: str = "output tokens"
    unit: str = "tok/s"
    latency: str = "ITL"


TOKENS = Work()
REQUESTS = Work(name="requests", unit="req/s", latency="latency")
PROMPTS = Work(name="input tokens", unit="tok/s", latency="prefill time")

_MANY_REPLICAS = 1e6
"""In a fleet this large neither rounding nor room for bursts is seen."""

ALL_LIMITS = frozenset({Limit.COMPUTE, Limit.KV, Limit.BURST, Limit.SLOTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class CapacityLaw:
    """Everything that turns a workload's demand into replicas.

    Args:
        slo: What is promised.
        mix: The mean request; None only where the owner's figures are in the demand's own units.
        learned: What windows taught; None if nothing was learned from.
        configured: What the owner says.
        engine: The replica's own limits.
        burst: What concurrency's headroom absorbs.
        imbalance: Share by which the fullest replica exceeds the mean.
        limits: Which limits of the law are asked.
        work: What demand is counted in.
        primary: The rate that stands for the demand where one number must do, as in `per_replica`.
    """

    slo: LatencyTargets
    mix: Mix | None = None
    learned: Learned | None = None
    configured: Configured | None = None
    engine: Engine = field(default_factory=Engine)
    burst: Burst = field(default_factory=Burst)
    imbalance: float = IMBALANCE
    limits: frozenset[Limit] = ALL_LIMITS
    work: Work = TOKENS
    primary: Rate = Rate.OUTPUT

    def __post_init__(self) -> None:
        if not (math.isfinite(self.imbalance) and self.imbalance >= 0):
            raise ValueError(f"imbalance: {self.imbalance}; must be finite, 0 or more")
        if self.learned is not None and self.mix is None:
            raise ValueError("mix: a law that was learned needs the mean request")

    @property
    def origin(self) -> Origin:
        """What an answer rests on at present."""
        learned = self.learned is not None and self.learned.fit is not None
        if self.configured is not None and not (learned and self.configured.until_learned):
            return Origin.START if self.configured.until_learned else Origin.CONFIGURED
        return Origin.LEARNED if learned else Origin.START

    @property
    def per_replica(self) -> float:
        """The linear stand-in: of the primary rate, what one of very many replicas serves at the present mix.

        For those who replay one series of demand, as self-tuning does. It leaves out what one number
        cannot say: that a few replicas need more room for bursts, each, than many; that requests may
        change while the primary rate does not; that a queue holds tokens.

        Raises:
            HoldTarget: As `needed`.
        """
        rate = 1.0
        for _ in range(2):
            replicas = self.needed(together({self.primary: rate * _MANY_REPLICAS})).replicas
            if not replicas:
                raise HoldTarget(f"{self.primary} take no replicas, however many come")
            rate *= _MANY_REPLICAS / replicas
        return rate

    def sized(self, load: Load) -> Needed:
        """See `Capacity.sized`; the rates alone count."""
        return self.needed(load.rates)

    def needed(self, demand: Demands) -> Needed:
        """The replicas that serve `demand` within the SLO; monotone in each rate.

        Raises:
            HoldTarget: A rate that a limit needs is unknown, or nothing is known of a replica.
        """
        if not demand.known():
            raise HoldTarget("no rate of demand is known")
        whole = demand if self.mix is None else demand.completed(self.mix)
        fit = None if self.learned is None else self.learned.fit
        if self.configured is not None and (fit is None or not self.configured.until_learned):
            return self._by_owner(whole, self.configured)
        if self.mix is not None and fit is not None:
            return self._by_law(whole, fit, self.mix)
        return self._by_start(whole)

    def _by_owner(self, demand: Demands, configured: Configured) -> Needed:
        each = configured.per_replica
        rates = (
            ("requests", "req/s", demand.requests_rps, each.requests_rps),
            ("input tokens", "tok/s", demand.input_tokens_per_s, each.input_tokens_per_s),
            ("output tokens", "tok/s", demand.output_tokens_per_s, each.output_tokens_per_s),
        )
        bounds = [
            _ratio(Limit.CONFIGURED, name, unit, known(rate, name), per_replica)
            for name, unit, rate, per_replica in rates
            if per_replica is not None
        ]
        guard = "capacity is configured"
        if configured.until_learned:
            guard += f" until it is learned: {self._why_not()}"
        elif self.learned is not None and self.learned.fit is not None:
            guard += ", so the learned law is not used"
        return Needed.of(bounds, guards=[guard], factor=1.0)

    def _by_start(self, demand: Demands) -> Needed:
        """Without a law and without the owner's word."""
        best = self.learned.seen.best if self.learned is not None else None
        if self.mix is not None and self.engine.max_batched_tokens is not None and self._batches_all:
            bound, guards = self._closed_form(demand, self.mix, self.engine.max_batched_tokens)
        elif self.learned is not None and best:
            bound, guards = self._best_seen(demand, self.learned.seen, best), ["sized by the best seen"]
        else:
            raise HoldTarget(f"nothing is known of what a replica serves: {self._why_not()}")
        guards[0] += f" until capacity is learned: {self._why_not()}"
        return Needed.of([bound], guards=guards, factor=1 + self.imbalance)

    @property
    def _batches_all(self) -> bool:
        """Whether one engine prefills and decodes, as the closed form of its batch supposes."""
        return self.work == TOKENS and self.limits == ALL_LIMITS

    def _closed_form(self, demand: Demands, mix: Mix, budget: int) -> tuple[Bound, list[str]]:
        """Output tokens of the batch that an iteration's budget allows, each once per target ITL."""
        running = budget * mix.output_tokens / (mix.input_tokens + mix.output_tokens)
        running = min(self.engine.max_running or math.inf, running)
        each = running / self.slo.itl_s
        latency = f"{quantity(running)} running at {self.work.latency} {milliseconds(self.slo.itl_s)}"
        guards = [f"a start from the engine's own limits, {latency},"]
        if self.learned is not None:
            seen = self.learned.seen
            load = seen.load(each, each * mix.uncached_tokens / mix.output_tokens)
            bounded, moved = seen.bounded(load)
            each *= bounded / load
            guards += [moved] if moved else []
        output = known(demand.output_tokens_per_s, self.work.name)
        return _ratio(Limit.CONFIGURED, self.work.name, self.work.unit, output, each), guards

    def _best_seen(self, demand: Demands, seen: Seen, best: float) -> Bound:
        load = seen.load(
            known(demand.output_tokens_per_s, self.work.name) if seen.output_cost else 0.0,
            known(demand.input_tokens_per_s, "input tokens") if seen.input_cost else 0.0,
        )
        name = f"{self.work.name} with input weighed in" if seen.input_cost else self.work.name
        return _ratio(Limit.SEEN, name, self.work.unit, load, best)

    def _by_law(self, demand: Demands, fit: LawFit, mix: Mix) -> Needed:
        law, guards = self._with_ttft(fit.law.at(mix))
        output = known(demand.output_tokens_per_s, self.work.name) if law.beta_s else 0.0
        computed = known(demand.input_tokens_per_s, "input tokens") if law.gamma_s else 0.0
        boundary, acted = self._bounded(law, law.boundary(self.slo, mix))
        guards += acted
        bounds = [self._compute(law, boundary, output, computed)]
        if self.limits != {Limit.COMPUTE}:
            waiting = self.slo.queue_s * known(demand.requests_rps, "requests") if self.slo.queue_s else 0.0
            # Little's law for each part of a request's time, so each rate counts by itself.
            in_flight = waiting + law.gamma_s * computed + output * boundary.itl_s
            slots = law.output_per_replica(boundary.utilization, mix) * boundary.itl_s
            bounds += self._in_flight(in_flight, mix, slots=slots, work=bounds[0].because)
        factor = 1 + self.imbalance
        if fit.mape > POOR_MAPE:
            factor *= DOUBT
            guards.append(f"{DOUBT - 1:.0%} more, for the law misses by {fit.mape:.0%} on average")
        if fit.span_s < KEEP_S:
            guards.append(f"learned from the last {fit.span_s / 3600:.0f} h only, for replicas changed")
        if fit.left_out.cold:
            guards.append(f"{fit.left_out.cold} windows of cold pods left out")
        return Needed.of(bounds, guards=guards, factor=factor)

    def _with_ttft(self, law: Law) -> tuple[Law, list[str]]:
        """The law with a line of the time to first token, if one is promised: measured, else the prior."""
        if self.slo.ttft_p95_s is None or law.ttft is not None or not law.gamma_s:
            return law, []
        line = TtftLine(base_s=TTFT_K0 * law.gamma_s, slope_s=TTFT_K1 * law.gamma_s)
        return replace(law, ttft=line), ["a prior stands in for the time to first token until it is measured"]

    def _bounded(self, law: Law, plain: Boundary) -> tuple[Boundary, list[str]]:
        """The boundary within what was seen, and what there is to say of it."""
        assert self.learned is not None  # noqa: S101 - it holds the law
        guards = [] if plain.in_reach else [f"more replicas cannot meet the SLO: {plain.because}"]
        share, moved = self.learned.seen.bounded(plain.utilization)
        share = min(share, MOST_USABLE)
        if share == plain.utilization:
            return plain, guards
        guards.append(moved)
        because = f"{share:.0%} of a replica"
        return Boundary(utilization=share, itl_s=law.itl_s(share), because=because), guards

    def _compute(self, law: Law, boundary: Boundary, output: float, computed: float) -> Bound:
        replicas = law.utilization(output, computed) / boundary.utilization
        if not replicas:
            return Bound(limit=Limit.COMPUTE, replicas=0.0, because="no work is asked for")
        decodes = law.beta_s * output >= law.gamma_s * computed
        name, rate = (self.work.name, output) if decodes else ("input tokens", computed)
        unit = self.work.unit if decodes else "tok/s"
        each = rate / replicas
        at = boundary.because.replace("ITL", self.work.latency)
        because = f"{name} bind: {quantity(rate)} {unit} over {quantity(each)} {unit} per replica at {at}"
        return Bound(limit=Limit.COMPUTE, replicas=replicas, because=because)

    def _in_flight(self, in_flight: float, mix: Mix, *, slots: float, work: str) -> Iterator[Bound]:
        """The limits that hold requests rather than work.

        Args:
            in_flight: Requests in the system, by Little's law.
            mix: The mean request.
            slots: That a replica fills at the boundary.
            work: What compute says, which a burst only adds to.
        """
        engine, spare = self.engine, self.burst.headroom(in_flight)
        if Limit.KV in self.limits and engine.kv_tokens is not None:
            held = in_flight * (mix.input_tokens + mix.output_tokens / 2)
            room = KV_USABLE * engine.kv_tokens
            because = (
                f"KV cache binds: {quantity(held)} tokens of {quantity(in_flight)} requests over "
                f"{quantity(room)} per replica"
            )
            yield Bound(limit=Limit.KV, replicas=held / room, because=because)
        bursts = (
            f"{quantity(in_flight)} requests in flight and {quantity(spare)} spare for bursts, so that "
            f"{self.burst.wait_probability:.0%} wait at peakedness {self.burst.peakedness:.3g}"
        )
        if Limit.BURST in self.limits and math.isfinite(slots):
            because = f"{work}, with {bursts}"
            yield Bound(limit=Limit.BURST, replicas=(in_flight + spare) / slots, because=because)
        if Limit.SLOTS in self.limits and engine.max_running is not None:
            because = f"slots bind: {bursts}, over {engine.max_running} per replica"
            replicas = (in_flight + spare) / engine.max_running
            yield Bound(limit=Limit.SLOTS, replicas=replicas, because=because)

    def _why_not(self) -> str:
        return self.learned.why_not if self.learned is not None else "nothing was learned from"


def _ratio(limit: Limit, name: str, unit: str, rate: float, each: float) -> Bound:
    because = f"{name} bind: {quantity(rate)} {unit} over {quantity(each)} {unit} per replica"
    return Bound(limit=limit, replicas=rate / each, because=because)
