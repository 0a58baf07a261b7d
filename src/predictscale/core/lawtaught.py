"""All that a workload's windows teach at one instant: the law, the mean request, bursts, the cache.

One function of arrays, so that it can run in a worker and gives every replica of the service
the same. A pod's age is the shorter of what Kubernetes tells and of how long its metrics
have been there; where neither is known, it is not young.

Refuses to take a mean over few requests: without a mean request a law sizes nothing.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Self

import numpy as np
from numpy.typing import NDArray

from predictscale.core.concurrency import peakedness
from predictscale.core.law import LatencyTargets, Mix
from predictscale.core.lawcapacity import Engine
from predictscale.core.lawcontext import answer_spread, contexts
from predictscale.core.lawfit import INPUT_COST
from predictscale.core.lawguards import Learned, kv_tokens_seen, learn
from predictscale.core.lawttft import shape_of
from predictscale.core.lawwindows import Mask, Windows
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import NotEnoughHistory

RECENT_S = 86_400.0
"""The mean request, bursts and the shape of the time to first token are those of a day [s]."""

LEAST_REQUESTS = 50.0
"""A mean over fewer requests is noise."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PodRows:
    """Windows of pods, and what only the mean request needs; rows in no order.

    Args:
        windows: Shape (n,) each.
        pods: The number of each row's pod, shape (n,).
        prompt_tokens_per_s: Prefilled, cached ones included, shape (n,); NaN if not told.
        since_s: From when on all windows that there were are among them, seconds since the epoch.
    """

    windows: Windows
    pods: NDArray[np.int64]
    prompt_tokens_per_s: Floats
    since_s: float

    def __post_init__(self) -> None:
        shape = (len(self.windows),)
        if self.pods.shape != shape or self.prompt_tokens_per_s.shape != shape:
            raise ValueError(f"pods {self.pods.shape}, prompts {self.prompt_tokens_per_s.shape}; {shape}")

    def __len__(self) -> int:
        return len(self.windows)

    def where(self, mask: Mask | NDArray[np.intp]) -> Self:
        """The rows that a mask, shape (n,), or their places choose."""
        return type(self)(
            windows=self.windows.where(mask),
            pods=self.pods[mask],
            prompt_tokens_per_s=self.prompt_tokens_per_s[mask],
            since_s=self.since_s,
        )

    def aged(self) -> Self:
        """With the age of pods that were seen to begin, where that is less than what is told."""
        ends_s = self.windows.ends_s
        if not ends_s.size:
            return self
        firsts_s = np.full(int(self.pods.max()) + 1, np.inf)
        np.minimum.at(firsts_s, self.pods, ends_s)
        begun_s = firsts_s[self.pods] - self.windows.window_s
        # Who is there from the beginning of what is known may be of any age.
        seen_s = np.where(begun_s > self.since_s, ends_s - begun_s, np.nan)
        return replace(self, windows=replace(self.windows, pod_age_s=np.fmin(seen_s, self.windows.pod_age_s)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FirstTokens:
    """A histogram of the time to first token, of all pods together.

    Args:
        bounds_s: Upper ends of its buckets, rising, the last infinite, shape (k,) [s].
        counts: Requests within each, those of the lower ones included, shape (k,).
    """

    bounds_s: Floats
    counts: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Taught:
    """What was taught at one instant.

    Args:
        at: Where the windows end.
        learned: The law, or why there is none.
        mix: The mean request; None while there were too few.
        peakedness: Of arrivals, by minutes.
        engine: What replicas say of their size, and what was seen of it.
        pods: How many told of themselves.
        window_s: Width of the windows [s].
    """

    at: datetime
    learned: Learned
    mix: Mix | None
    peakedness: float = 1.0
    engine: Engine = field(default_factory=Engine)
    pods: int = 0
    window_s: float = 60.0


def teach(
    rows: PodRows,
    *,
    at: datetime,
    slo: LatencyTargets,
    input_cost: float = INPUT_COST,
    engine: Engine,
    first_tokens: FirstTokens | None = None,
    counts_tokens: bool = True,
) -> Taught:
    """What the windows up to `at` teach.

    Args:
        rows: Of the last days.
        at: The instant, where the newest windows end.
        slo: What is promised.
        input_cost: Of an input token in output tokens, where data cannot tell.
        engine: What replicas say of their size.
        first_tokens: Of about the last day; None if it is not told.
        counts_tokens: Whether work is tokens; else requests.
    """
    now_s = (at - _EPOCH).total_seconds()
    rows = rows.aged()
    recent = rows.where(rows.windows.within(now_s=now_s, keep_s=RECENT_S))
    mix = mean_request(recent) if counts_tokens else Mix.of_requests()
    told_kv = engine.kv_tokens
    if engine.kv_tokens is None and mix is not None:
        engine = replace(engine, kv_tokens=kv_tokens_seen(rows.windows, now_s=now_s, mix=mix))
    windows, spread = rows.windows, 0.0
    if counts_tokens and mix is not None:
        spread = answer_spread(recent.windows, mix, kv_tokens=told_kv)
        held = contexts(windows, mean_tokens=mix.context_tokens(spread))
        windows = replace(windows, context_tokens=held)
    return Taught(
        at=at,
        learned=learn(
            windows,
            now_s=now_s,
            slo=slo,
            input_cost=input_cost,
            ttft_shape=_shape(recent, first_tokens),
            answer_spread=spread,
        ),
        mix=mix,
        peakedness=_peakedness(recent),
        engine=engine,
        pods=int(np.unique(rows.pods).size),
        window_s=rows.windows.window_s,
    )


def mean_request(rows: PodRows) -> Mix | None:
    """The mean request over windows; None if they served few, or do not tell."""
    windows = rows.windows
    told = (windows.requests >= 0) & (windows.output_tokens_per_s >= 0) & (windows.input_tokens_per_s >= 0)
    requests = float(windows.requests[told].sum())
    if requests < LEAST_REQUESTS:
        return None
    rates = windows.input_tokens_per_s, rows.prompt_tokens_per_s, windows.output_tokens_per_s
    computed, prompt, output = (float(rate[told].sum()) * windows.window_s / requests for rate in rates)
    return Mix.of_tokens(computed=computed, prompt=prompt, output=output)


def _shape(rows: PodRows, first_tokens: FirstTokens | None) -> float | None:
    """How far the 95 % quantile of the time to first token lies above its mean."""
    if first_tokens is None:
        return None
    windows = rows.windows
    known = (windows.ttft_mean_s > 0) & (windows.requests > 0)
    requests = float(windows.requests[known].sum())
    if requests == 0:
        return None
    mean_s = float(windows.ttft_mean_s[known] @ windows.requests[known]) / requests
    return shape_of(first_tokens.bounds_s, first_tokens.counts, mean_s)


def _peakedness(rows: PodRows) -> float:
    """Of the arrivals at all pods, by windows in which each pod's count is known; 1 until it is."""
    windows = rows.windows
    if not len(windows):
        return 1.0
    places = np.rint((windows.ends_s - windows.ends_s.min()) / windows.window_s).astype(np.int64)
    # A pod whose count is not known makes the sum of its window unknown.
    counts = np.zeros(int(places.max()) + 1)
    np.add.at(counts, places, windows.requests)
    there = np.zeros(counts.size, dtype=np.bool_)
    there[places] = True
    start = _EPOCH + timedelta(seconds=float(windows.ends_s.min()) - windows.window_s)
    values = np.where(there, counts, np.nan) / windows.window_s
    try:
        return peakedness(MetricWindow(start, windows.window_s, values))
    except NotEnoughHistory:
        return 1.0
