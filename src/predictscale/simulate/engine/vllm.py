"""What vLLM's /metrics says of an engine, under the names of old and new releases.

Names, labels and the instants at which counters move are those of the vLLM 0.33 wheel; the
old names are those that it renamed (deprecated from 0.9 to 0.11, gone since).
"""

from predictscale.simulate.engine.families import Families
from predictscale.simulate.engine.meters import (
    VLLM_ITL_S,
    VLLM_REQUEST_S,
    VLLM_TOKENS,
    VLLM_TTFT_S,
)
from predictscale.simulate.engine.replica import Engine


def tell(
    families: Families, engine: Engine, *, rank: int, model: str, where: dict[str, str], old: bool, new: bool
) -> None:
    """Add one engine's samples.

    Args:
        families: What they are added to.
        engine: Whose.
        rank: Its data-parallel rank.
        model: The served model's name.
        where: Labels that a scrape would add.
        old: Whether to tell names that are gone today.
        new: Whether to tell names that came later.
    """
    labels = {"model_name": model, "engine": str(rank), **where}
    _levels(families, engine, labels, old=old, new=new)
    _counters(families, engine, labels, old=old, new=new)
    _histograms(families, engine, labels, old=old, new=new)


def _levels(families: Families, engine: Engine, labels: dict[str, str], *, old: bool, new: bool) -> None:
    gauge = families.gauge
    gauge("vllm:num_requests_running", "Requests in the batch.", labels, engine.running)
    gauge("vllm:num_requests_waiting", "Requests in the queue.", labels, engine.waiting)
    usage = engine.kv_usage
    if new:
        gauge("vllm:kv_cache_usage_perc", "Share of KV cache in use, 0 to 1.", labels, usage)
        about = "Requests in the queue, by what they wait for."
        for reason, waiting in (("capacity", engine.waiting), ("deferred", 0)):
            gauge("vllm:num_requests_waiting_by_reason", about, {**labels, "reason": reason}, waiting)
    if old:
        gauge("vllm:gpu_cache_usage_perc", "Share of KV cache in use, 0 to 1.", labels, usage)
    cache = {
        "block_size": str(engine.spec.block_tokens),
        "num_gpu_blocks": str(engine.spec.kv_blocks),
        "enable_prefix_caching": "True",
        "cache_dtype": "auto",
    }
    place = {name: value for name, value in labels.items() if name != "model_name"}
    gauge("vllm:cache_config_info", "The cache's settings, as labels.", {**cache, **place}, 1)


def _counters(families: Families, engine: Engine, labels: dict[str, str], *, old: bool, new: bool) -> None:
    counter, meters = families.counter, engine.meters
    counter("vllm:num_preemptions_total", "Preemptions.", labels, meters.preemptions)
    counter("vllm:prompt_tokens_total", "Prompt tokens of ended prefills.", labels, meters.prompt_tokens)
    counter("vllm:generation_tokens_total", "Generated tokens.", labels, meters.generation_tokens)
    for reason, count in (("stop", meters.stopped), ("length", meters.cut), ("abort", meters.aborted)):
        about = "Requests that ended."
        counter("vllm:request_success_total", about, {**labels, "finished_reason": reason}, count)
    for told, prefix in ((new, "vllm:prefix_cache"), (old, "vllm:gpu_prefix_cache")):
        if told:
            counter(f"{prefix}_queries_total", "Prompt tokens looked up.", labels, meters.admitted_tokens)
            counter(f"{prefix}_hits_total", "Prompt tokens found.", labels, meters.hit_tokens)
    if new:
        cached = meters.cached_tokens
        sources = {
            "local_compute": meters.prompt_tokens - cached,
            "local_cache_hit": cached,
            "external_kv_transfer": 0,
        }
        about = "Prompt tokens of ended prefills, by where they came from."
        for source, tokens in sources.items():
            counter("vllm:prompt_tokens_by_source_total", about, {**labels, "source": source}, tokens)


def _histograms(families: Families, engine: Engine, labels: dict[str, str], *, old: bool, new: bool) -> None:
    meters = engine.meters
    every = [
        ("time_to_first_token_seconds", "Time to first token.", meters.ttft, VLLM_TTFT_S),
        ("e2e_request_latency_seconds", "From arrival to the end.", meters.e2e, VLLM_REQUEST_S),
        ("request_queue_time_seconds", "Time in the queue.", meters.queued, VLLM_REQUEST_S),
        ("request_prompt_tokens", "Prompt tokens of finished requests.", meters.prompt_lengths, VLLM_TOKENS),
        ("request_generation_tokens", "Tokens generated for them.", meters.generation_lengths, VLLM_TOKENS),
    ]
    if new:
        each = "Mean time per token after the first, of finished requests."
        every += [
            ("inter_token_latency_seconds", "Time between tokens.", meters.itl, VLLM_ITL_S),
            ("request_time_per_output_token_seconds", each, meters.tpot, VLLM_ITL_S),
        ]
    if old:
        every.append(("time_per_output_token_seconds", "Time between tokens.", meters.itl, VLLM_ITL_S))
    for name, about, histogram, bounds in every:
        families.histogram(f"vllm:{name}", about, labels, histogram, bounds)
