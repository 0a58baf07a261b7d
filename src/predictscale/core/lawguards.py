"""What keeps a learned law honest: the loads that replicas were really seen to carry.

A window that met the SLO proves that a replica carries its load; a window in
which requests waited all the time and the SLO was missed proves that it carries
no more. Neither is an estimate of capacity: the first only tells how much load
there was, and a service sized by it never sees more. They bound the law.
"""

from dataclasses import dataclass

import numpy as np

from predictscale.core.law import LatencyTargets, Mix
from predictscale.core.lawfit import HALF_LIFE_S, INPUT_COST, LEAST_WINDOWS, LawFit, fit_law
from predictscale.core.lawwindows import LEAST_WORK, Mask, Windows
from predictscale.errors import FitFailed, NotEnoughHistory

SEEN_KEEP_S = 86_400.0
"""Bounds forget sooner than the law: after a slower release, what was carried before proves nothing [s]."""

LEAST_SEEN = 3
"""One window may be luck, or the minute in which a burst began."""

LEAST_KV_USAGE = 0.05
"""Below this share of the cache, blocks that are only half full hide what is held."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Loads of one replica, in units in which output and input tokens add up.

    Args:
        output_cost: Of an output token per second in these units.
        input_cost: Of an uncached input token per second.
        best: The highest load that `LEAST_SEEN` windows reached within the SLO; None if fewer were seen.
        saturated: The median load of windows that were full and missed it; None if fewer were seen.
    """

    output_cost: float
    input_cost: float
    best: float | None = None
    saturated: float | None = None

    def load(self, output_tokens_per_s: float, input_tokens_per_s: float) -> float:
        """A load in these units."""
        return self.output_cost * output_tokens_per_s + self.input_cost * input_tokens_per_s

    def bounded(self, load: float) -> tuple[float, str]:
        """An estimate of what a replica carries, and what was done to it; empty if nothing.

        First the floor, then the cap: where they disagree, more replicas are the safer answer.
        """
        bounded, to = max(load, self.best or 0.0), "the best seen within the SLO"
        if self.saturated is not None and 0 < self.saturated < bounded:
            bounded, to = self.saturated, "what full replicas served"
        if bounded == load:
            return load, ""
        moved = "raised" if bounded > load else "cut"
        return bounded, f"{moved} by {abs(bounded / load - 1):.0%} to {to}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """All that the windows of a workload taught.

    Args:
        fit: The law; None if there is none yet.
        why_not: Why there is none; empty if there is.
        seen: What replicas carried, in U if there is a law.
    """

    fit: LawFit | None
    why_not: str
    seen: Seen

    def __post_init__(self) -> None:
        if (self.fit is None) != bool(self.why_not):
            raise ValueError("a law that is missing has a reason, and one that is there needs none")


def learn(
    windows: Windows,
    *,
    now_s: float,
    slo: LatencyTargets,
    input_cost: float = INPUT_COST,
    least_windows: int = LEAST_WINDOWS,
    least_work: float = LEAST_WORK,
    half_life_s: float = HALF_LIFE_S,
    ttft_shape: float | None = None,
    answer_spread: float = 0.0,
) -> Learned:
    """Fit the law if the windows allow one, and read off what was carried.

    Args:
        windows: What pods did.
        now_s: The instant, seconds since the epoch.
        slo: Decides which windows went well.
        input_cost: Of an input token in output tokens, where data cannot tell.
        least_windows: Usable windows that a law needs.
        least_work: Tokens (or requests) that make a window usable.
        half_life_s: After which a window counts half [s].
        ttft_shape: The 95 % quantile of the time to first token over its mean; None if unknown.
        answer_spread: Of answers' lengths, by which windows' contexts were counted.
    """
    try:
        fit = fit_law(
            windows,
            now_s=now_s,
            input_cost=input_cost,
            least_windows=least_windows,
            least_work=least_work,
            half_life_s=half_life_s,
            ttft_shape=ttft_shape,
            answer_spread=answer_spread,
        )
    except (NotEnoughHistory, FitFailed) as why:
        why_not = str(why)
        if isinstance(why, NotEnoughHistory):
            why_not = (
                f"{why.have_s / windows.window_s:.0f} of the {least_windows} usable windows that it takes"
            )
        costs = _assumed(windows, input_cost)
        seen = carried(windows, now_s=now_s, slo=slo, costs=costs, least_work=least_work)
        return Learned(fit=None, why_not=why_not, seen=seen)
    costs = (fit.law.beta_s, fit.law.gamma_s)
    keep_s = min(SEEN_KEEP_S, fit.span_s)
    return Learned(
        fit=fit,
        why_not="",
        seen=carried(windows, now_s=now_s, slo=slo, costs=costs, least_work=least_work, keep_s=keep_s),
    )


def _assumed(windows: Windows, input_cost: float) -> tuple[float, float]:
    """Costs before there is a law; what a pool never does costs it nothing."""
    decodes = bool((windows.output_tokens_per_s > 0).any())
    computes = bool((windows.input_tokens_per_s > 0).any())
    return (1.0 if decodes or not computes else 0.0, input_cost if computes else 0.0)


def carried(
    windows: Windows,
    *,
    now_s: float,
    slo: LatencyTargets,
    costs: tuple[float, float],
    least_work: float = LEAST_WORK,
    keep_s: float = SEEN_KEEP_S,
) -> Seen:
    """What replicas carried within the SLO, and beyond it, of late.

    Args:
        windows: What pods did.
        now_s: The instant, seconds since the epoch.
        slo: What they had to meet.
        costs: Of an output and an input token per second.
        least_work: Tokens (or requests) below which a latency says nothing.
        keep_s: How long a window proves something [s].
    """
    loads = windows.rates @ np.array(costs)
    sound = windows.within(now_s=now_s, keep_s=keep_s) & ~windows.cold & ~np.isnan(loads)
    sound &= windows.work >= least_work
    met = sound & _met(windows, slo) & ~windows.queued & ~(windows.preemptions > 0)
    full = sound & windows.queued & _missed(windows, slo)
    return Seen(
        output_cost=costs[0],
        input_cost=costs[1],
        best=float(np.sort(loads[met])[-LEAST_SEEN]) if met.sum() >= LEAST_SEEN else None,
        saturated=float(np.median(loads[full])) if full.sum() >= LEAST_SEEN else None,
    )


def _met(windows: Windows, slo: LatencyTargets) -> Mask:
    """Where all that is promised was seen to hold; an untold promise was not."""
    kept: Mask = windows.itl_s <= slo.itl_s
    return kept if slo.ttft_p95_s is None else kept & (windows.ttft_p95_s <= slo.ttft_p95_s)


def _missed(windows: Windows, slo: LatencyTargets) -> Mask:
    missed: Mask = windows.itl_s > slo.itl_s
    return missed if slo.ttft_p95_s is None else missed | (windows.ttft_p95_s > slo.ttft_p95_s)


def kv_tokens_seen(windows: Windows, *, now_s: float, mix: Mix) -> float | None:
    """Tokens that a replica's cache holds, for engines that do not tell; None if too few windows do.

    What the running requests held, over the share of the cache that they took. Shared
    prefixes make it seem larger than it is, and the need for it smaller by as much.

    Args:
        windows: What pods did.
        now_s: The instant, seconds since the epoch.
        mix: The mean request.
    """
    usage, running = windows.kv_usage, windows.running
    telling = windows.within(now_s=now_s, keep_s=SEEN_KEEP_S) & (usage >= LEAST_KV_USAGE) & (running > 0)
    if telling.sum() < LEAST_WINDOWS:
        return None
    each = mix.input_tokens + mix.output_tokens / 2
    return float(np.median(running[telling] / usage[telling]) * each)
