"""A simulated pod's past as rows that a law is learned from, without a Prometheus in between.

From samples every 15 s, as a scrape would take them; a window is what counters grew by within a
minute. That a real Prometheus makes the same of them is what `tests/e2e/test_capacity_learned.py`
shows. It reads what the engine tells and nothing of how it is made.
"""

import math
from collections.abc import Callable
from datetime import timedelta

import numpy as np

from predictscale.core.lawtaught import FirstTokens, PodRows
from predictscale.core.lawwindows import Windows
from predictscale.core.series import Floats
from predictscale.simulate.engine.fleet import Fleet
from predictscale.simulate.engine.record import Recording, record
from predictscale.simulate.engine.spec import EngineSpec
from predictscale.simulate.engine.traffic import Mix

SCRAPES = 4
"""Of each window of a minute."""
LOWEST = 0.1
"""The emptiest hour's load, of the fullest's."""


def half_day(mix: Mix, *, top_rps: float, hours: float, seed: int) -> tuple[PodRows, FirstTokens]:
    """One pod under a load that rises to `top_rps` and falls again."""

    def rate(at_s: float) -> float:
        risen = (1 - math.cos(2 * math.pi * at_s / (hours * 3600))) / 2
        return top_rps * (LOWEST + (1 - LOWEST) * risen)

    fleet = Fleet(spec=EngineSpec(), streams=mix.streams(rate), seed=seed, bin_s=60.0)
    return rows_of(record(fleet, fleet.origin + timedelta(hours=hours)))


def rows_of(recording: Recording) -> tuple[PodRows, FirstTokens]:
    """The windows of the only pod, and the histogram of all its first tokens."""
    told = _reader(recording)
    itl_s, itl_count = (told(f"vllm:inter_token_latency_seconds_{part}") for part in ("sum", "count"))
    first_s, firsts = (told(f"vllm:time_to_first_token_seconds_{part}") for part in ("sum", "count"))
    output, prompts = told("vllm:generation_tokens_total"), told("vllm:prompt_tokens_total")
    computed = told("vllm:prompt_tokens_by_source_total", source="local_compute")
    bounds_s, cumulative = _buckets(recording)
    within = np.diff(cumulative[::SCRAPES], axis=0)
    ends_s = _stamps(recording)[::SCRAPES][1:]
    with np.errstate(invalid="ignore", divide="ignore"):
        windows = Windows(
            ends_s=ends_s,
            itl_s=_grown(itl_s) / _grown(itl_count),
            output_tokens_per_s=_grown(output) / 60,
            input_tokens_per_s=_grown(computed) / 60,
            work=_grown(itl_count),
            requests=_grown(firsts),
            running=_averaged(told("vllm:num_requests_running")),
            ttft_p95_s=np.array([_quantile(0.95, bounds_s, counts) for counts in within]),
            ttft_mean_s=_grown(first_s) / _grown(firsts),
            waiting_share=_averaged(np.where(told("vllm:num_requests_waiting") > 0, 1.0, 0.0)),
            preemptions=_grown(told("vllm:num_preemptions_total")),
            kv_usage=_averaged(told("vllm:kv_cache_usage_perc")),
        )
    rows = PodRows(
        windows=windows,
        pods=np.zeros(ends_s.size, dtype=np.int64),
        prompt_tokens_per_s=_grown(prompts) / 60,
        since_s=float(ends_s[0]) - 60,
    )
    return rows, FirstTokens(bounds_s=bounds_s, counts=cumulative[-1] - cumulative[0])


def _reader(recording: Recording) -> Callable[..., Floats]:
    def told(name: str, **labels: str) -> Floats:
        (samples,) = recording.select(name, **labels).values()
        return np.array(samples)[:, 1]

    return told


def _stamps(recording: Recording) -> Floats:
    (samples,) = recording.select("vllm:generation_tokens_total").values()
    return np.array(samples)[:, 0]


def _buckets(recording: Recording) -> tuple[Floats, Floats]:
    """Upper ends (k,) [s], and counts within them by sample (n, k)."""
    found = recording.select("vllm:time_to_first_token_seconds_bucket")
    by_bound = sorted(
        (float(dict(labels)["le"]), np.array(samples)[:, 1]) for (_, labels), samples in found.items()
    )
    return np.array([bound for bound, _ in by_bound]), np.array([counts for _, counts in by_bound]).T


def _grown(counter: Floats) -> Floats:
    """By how much a counter grew in each window."""
    return np.diff(counter[::SCRAPES])


def _averaged(gauge: Floats) -> Floats:
    whole = (gauge.size - 1) // SCRAPES * SCRAPES
    averages: Floats = gauge[1 : whole + 1].reshape(-1, SCRAPES).mean(axis=1)
    return averages


def _quantile(level: float, bounds_s: Floats, counts: Floats) -> float:
    """As Prometheus' histogram_quantile: a straight line within a bucket; NaN of nothing."""
    rank = level * counts[-1]
    if rank == 0:
        return math.nan
    place = int(np.searchsorted(counts, rank))
    if math.isinf(bounds_s[place]):
        return float(bounds_s[place - 1])
    low_s, below = (0.0, 0.0) if place == 0 else (bounds_s[place - 1], counts[place - 1])
    return float(low_s + (bounds_s[place] - low_s) * (rank - below) / (counts[place] - below))
