"""What a replica does under load: the law of processor sharing, and where the SLO ends it.

An iteration of a batching engine takes a fixed time plus a share for each
running request and each prefilled token, and gives every running request one
token. With Little's law for both,

    ITL = alpha / (1 - U),   U = beta * output tokens/s + gamma * input tokens/s

so 1/ITL is linear in two rates that Prometheus has, and the boundary of the SLO
follows from windows that never came near it. Here stand the values and the
algebra; `lawfit` finds the coefficients. A server of plain HTTP requests obeys
the same law with a request for a token and its latency for ITL.

Refuses to buy what replicas cannot give: a latency that even an empty replica
misses leaves `LEAST_USABLE` of each replica in use, and the reason says so.
"""

import math
from dataclasses import dataclass, replace
from typing import Self

MOST_USABLE = 0.92
"""Beyond this utilisation a small error of the law is a large one of the latency."""

LEAST_USABLE = 0.25
"""No latency target empties replicas further than this; an assumption, nothing measured stands behind it."""


def _check(owner: str, **values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{owner}.{name}: {value}; must be finite, 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTargets:
    """What the owner promises.

    Args:
        itl_s: Mean inter-token latency, or the latency of a request where those are counted [s].
        ttft_p95_s: 95 % quantile of the time to first token [s]; None promises none.
        queue_s: Mean time that a request may spend waiting before the engine takes it [s].
    """

    itl_s: float
    ttft_p95_s: float | None = None
    queue_s: float = 0.0

    def __post_init__(self) -> None:
        _check("slo", itl_s=self.itl_s, ttft_p95_s=self.ttft_p95_s or 0.0, queue_s=self.queue_s)
        if self.itl_s == 0 or self.ttft_p95_s == 0:
            raise ValueError("slo: a latency of 0 s cannot be promised")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """The mean request; measured over hours, for it says how to size and not how much.

    Args:
        input_tokens: Of the prompt, cached ones included.
        output_tokens: Of the answer; above 0.
        cached_share: Of the prompt that the prefix cache spares, in [0, 1].
    """

    input_tokens: float
    output_tokens: float
    cached_share: float = 0.0

    def __post_init__(self) -> None:
        _check("mix", input_tokens=self.input_tokens, output_tokens=self.output_tokens)
        if not (self.output_tokens > 0 and 0 <= self.cached_share <= 1):
            raise ValueError(f"mix: {self.output_tokens} output tokens, {self.cached_share} cached")

    @classmethod
    def of_requests(cls) -> Self:
        """Where requests are counted and not tokens: one each."""
        return cls(input_tokens=0.0, output_tokens=1.0)

    @classmethod
    def of_tokens(cls, *, computed: float, prompt: float, output: float) -> Self | None:
        """From mean token counts of a request; None where they do not say one.

        The cached share is a difference of sums that end differently in their last digit from one
        reader of the same history to the next, so it is told to twelve decimals.

        Args:
            computed: Input tokens that are computed; NaN where unknown.
            prompt: All input tokens; NaN where unknown, and then nothing was cached.
            output: Output tokens; NaN where unknown.
        """
        if not (computed >= 0 and output > 0):
            return None
        # Counted at other instants of a request, a part may come out above its whole; NaN is never more.
        whole = max(computed, prompt)
        share = round(1 - computed / whole, 12) if whole > 0 else 0.0
        return cls(input_tokens=whole, output_tokens=output, cached_share=share)

    def context_tokens(self, answer_spread: float) -> float:
        """That a request holds in the cache, on average while it runs.

        Long answers run longer, so at an instant more of those that run are long: the mean over
        time of what was generated is E[O^2] / (2 E[O]).

        Args:
            answer_spread: Variance of the answers' lengths over their squared mean.
        """
        return self.input_tokens + self.output_tokens / 2 * (1 + answer_spread)

    @property
    def uncached_tokens(self) -> float:
        """Of the prompt that are computed."""
        return self.input_tokens * (1 - self.cached_share)


@dataclass(frozen=True, slots=True, kw_only=True)
class TtftLine:
    """p95 of the time to first token, per uncached input token, linear in ITL.

    p95 TTFT = uncached tokens * (base_s + slope_s * (ITL / alpha - 1)).

    Args:
        base_s: On an empty replica [s/token].
        slope_s: More for each multiple of alpha that ITL rises by [s/token].
    """

    base_s: float
    slope_s: float

    def __post_init__(self) -> None:
        _check("ttft", base_s=self.base_s, slope_s=self.slope_s)

    def ttft_s(self, stretch: float, mix: Mix) -> float:
        """At a stretch, which is ITL / alpha - 1 [s]."""
        return mix.uncached_tokens * (self.base_s + self.slope_s * stretch)

    def stretch(self, ttft_s: float, mix: Mix) -> float:
        """The stretch at which the time to first token reaches `ttft_s`; negative if it always does."""
        spare_s = ttft_s - mix.uncached_tokens * self.base_s
        rise_s = mix.uncached_tokens * self.slope_s
        if rise_s == 0:
            return math.inf if spare_s >= 0 else -1.0
        return spare_s / rise_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """Where a replica is as full as the SLO lets it be.

    Args:
        utilization: U there, within [`LEAST_USABLE`, `MOST_USABLE`].
        itl_s: The latency that the law expects there [s].
        because: What ends it, in words.
        in_reach: Whether even an empty replica would meet the SLO.
    """

    utilization: float
    itl_s: float
    because: str
    in_reach: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Law:
    """The coefficients of one engine, model and accelerator.

    Args:
        alpha_s: ITL of an empty replica [s], above 0.
        beta_s: Utilisation for each output token per second [s/token].
        gamma_s: The same for each uncached input token per second [s/token].
        ttft: The line of the time to first token; None if it was not measured.
        context_s: By how much more an output token costs for each token of its context beyond
            `context_tokens`; 0 if that was not measured.
        context_tokens: The context that `beta_s` belongs to; see `Mix.context_tokens`.
        answer_spread: Of answers' lengths, variance over squared mean, by which contexts are counted.
    """

    alpha_s: float
    beta_s: float
    gamma_s: float
    ttft: TtftLine | None = None
    context_s: float = 0.0
    context_tokens: float = 0.0
    answer_spread: float = 0.0

    def __post_init__(self) -> None:
        _check("law", alpha_s=self.alpha_s, beta_s=self.beta_s, gamma_s=self.gamma_s)
        _check("law", context_s=self.context_s, context_tokens=self.context_tokens)
        _check("law", answer_spread=self.answer_spread)
        if self.alpha_s == 0 or self.beta_s + self.gamma_s == 0:
            raise ValueError(f"law: {self}; an empty replica takes time, and so does work")

    def at(self, mix: Mix) -> Self:
        """The law for requests of this mix, whose contexts may be longer or shorter."""
        if not self.context_s:
            return self
        tokens = mix.context_tokens(self.answer_spread)
        beta_s = max(0.0, self.beta_s + self.context_s * (tokens - self.context_tokens))
        return replace(self, beta_s=beta_s, context_s=0.0, context_tokens=tokens)

    def utilization(self, output_tokens_per_s: float, input_tokens_per_s: float) -> float:
        """U of one replica under this load, or the replicas that a fleet's load fills."""
        return self.beta_s * output_tokens_per_s + self.gamma_s * input_tokens_per_s

    def itl_s(self, utilization: float) -> float:
        """ITL at a utilisation [s]; infinite from 1 on."""
        return self.alpha_s / (1 - utilization) if utilization < 1 else math.inf

    def ttft_factors(self) -> tuple[float, float] | None:
        """k0 and k1: the TTFT line in multiples of gamma; None without a line or with a gamma of 0."""
        if self.ttft is None or self.gamma_s == 0:
            return None
        return self.ttft.base_s / self.gamma_s, self.ttft.slope_s / self.gamma_s

    def boundary(self, slo: LatencyTargets, mix: Mix) -> Boundary:
        """The fullest a replica may be: the tighter of both latencies, and never beyond `MOST_USABLE`."""
        limits = [(slo.itl_s / self.alpha_s - 1, f"ITL {milliseconds(slo.itl_s)}")]
        if self.ttft is not None and slo.ttft_p95_s is not None:
            words = f"p95 TTFT {milliseconds(slo.ttft_p95_s)}"
            limits.append((self.ttft.stretch(slo.ttft_p95_s, mix), words))
        stretch, because = min(limits)
        share = max(0.0, 1 - 1 / (1 + stretch)) if stretch > -1 else 0.0
        if share > MOST_USABLE:
            share, because = MOST_USABLE, f"{MOST_USABLE:.0%} of a replica"
        elif share < LEAST_USABLE:
            missed = "even an empty replica misses" if stretch <= 0 else "only a nearly empty replica meets"
            share, because = LEAST_USABLE, f"{LEAST_USABLE:.0%} of a replica, for {missed} {because}"
        return Boundary(utilization=share, itl_s=self.itl_s(share), because=because, in_reach=stretch > 0)

    def output_per_replica(self, utilization: float, mix: Mix) -> float:
        """Output tokens per second of one replica at a utilisation, for requests of this mix."""
        each = self.utilization(mix.output_tokens, mix.uncached_tokens)
        return utilization * mix.output_tokens / each if each > 0 else math.inf

    def time_in_system_s(self, itl_s: float, slo: LatencyTargets, mix: Mix) -> float:
        """From arrival to the last token of the mean request [s]."""
        return slo.queue_s + self.gamma_s * mix.uncached_tokens + mix.output_tokens * itl_s


def milliseconds(seconds: float) -> str:
    """A latency as people say it: `50 ms`, `1.5 s`."""
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
