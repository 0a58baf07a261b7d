"""What SGLang's /metrics says of an engine, with and without the token counters of newer releases.

Names, labels and the instants at which counters move are those of the SGLang 0.5.23 wheel,
started with --enable-metrics. `sglang:utilization` is told as it is there: 0, for nothing sets it.
"""

from collections.abc import Sequence

from predictscale.simulate.engine.families import Families
from predictscale.simulate.engine.meters import SGLANG_E2E_S, SGLANG_ITL_S, SGLANG_TTFT_S, Meters
from predictscale.simulate.engine.replica import Engine


def tell(
    families: Families,
    engines: Sequence[Engine],
    *,
    model: str,
    where: dict[str, str],
    new: bool,
    now_s: float,
    up_since_s: float,
    load_s: float,
) -> None:
    """Add the samples of one server: of the scheduler of each rank, and of what takes in requests.

    Args:
        families: What they are added to.
        engines: One for each data-parallel rank.
        model: The served model's name.
        where: Labels that a scrape would add.
        new: Whether to tell tokens as they are computed, and not only of finished requests.
        now_s: The present [s after the origin].
        up_since_s: Since when the server answers [s after the origin].
        load_s: How long it took to load [s].
    """
    every = Meters()
    for rank, engine in enumerate(engines):
        every.add(engine.meters)
        ranks = {"tp_rank": "0", "pp_rank": "0", "moe_ep_rank": "0", "dp_rank": str(rank)}
        scheduler = {"model_name": model, "engine_type": "unified", **ranks, **where}
        _levels(families, engine, scheduler, load_s=load_s)
        _counters(families, engine, scheduler, new=new)
        idle_s = now_s - up_since_s - engine.busy_s(now_s)
        about = "Time without any work."
        families.counter("sglang:scheduler_idle_seconds_total", about, scheduler, max(idle_s, 0.0))
    _requests(families, every, {"model_name": model, **where})
    handled = {"endpoint": "/v1/chat/completions", "method": "POST", **where}
    families.counter("sglang:http_requests_total", "Requests that came in.", handled, every.received)


def _levels(families: Families, engine: Engine, labels: dict[str, str], *, load_s: float) -> None:
    gauge, meters, spec = families.gauge, engine.meters, engine.spec
    gauge("sglang:num_running_reqs", "Requests in the batch.", {**labels, "priority": ""}, engine.running)
    gauge("sglang:num_queue_reqs", "Requests in the queue.", {**labels, "priority": ""}, engine.waiting)
    gauge("sglang:token_usage", "Share of KV tokens in use, 0 to 1.", labels, engine.kv_usage)
    gauge("sglang:utilization", "Set by nothing.", labels, 0)
    used = engine.kv_blocks_used * spec.block_tokens
    gauge("sglang:num_used_tokens", "KV tokens in use.", labels, used)
    gauge("sglang:max_total_num_tokens", "KV tokens that there are.", labels, spec.kv_tokens)
    looked_up = meters.admitted_tokens
    rate = meters.hit_tokens / looked_up if looked_up else 0.0
    gauge("sglang:cache_hit_rate", "Share of prompt tokens found in the prefix cache.", labels, rate)
    about = "How long the start took, by phase."
    gauge("sglang:startup_time_seconds", about, {**labels, "phase": "scheduler_e2e"}, load_s)


def _counters(families: Families, engine: Engine, labels: dict[str, str], *, new: bool) -> None:
    counter, meters = families.counter, engine.meters
    about = "Requests that lost their KV cache to others."
    counter("sglang:num_retracted_requests_total", about, labels, meters.preemptions)
    if new:
        tokens = {
            "prefill_compute": meters.computed_tokens,
            "prefill_cache": meters.hit_tokens,
            "decode": meters.generation_tokens,
        }
        for mode, count in tokens.items():
            about = "Tokens as they are computed."
            counter("sglang:realtime_tokens_total", about, {**labels, "mode": mode}, count)


def _requests(families: Families, meters: Meters, labels: dict[str, str]) -> None:
    counter, histogram = families.counter, families.histogram
    counter("sglang:num_requests_total", "Requests that finished.", labels, meters.finished)
    counter("sglang:num_aborted_requests_total", "Requests that were aborted.", labels, meters.aborted)
    about = "Prompt tokens of requests that finished."
    counter("sglang:prompt_tokens_total", about, labels, meters.finished_prompt_tokens)
    about = "Tokens generated for them."
    counter("sglang:generation_tokens_total", about, labels, meters.finished_generation_tokens)
    about = "Prompt tokens of them that the prefix cache had."
    counter("sglang:cached_tokens_total", about, labels, meters.finished_cached_tokens)
    first, between = meters.ttft, meters.itl
    histogram("sglang:time_to_first_token_seconds", "Time to first token.", labels, first, SGLANG_TTFT_S)
    histogram("sglang:inter_token_latency_seconds", "Time between tokens.", labels, between, SGLANG_ITL_S)
    histogram(
        "sglang:e2e_request_latency_seconds", "From arrival to the end.", labels, meters.e2e, SGLANG_E2E_S
    )
