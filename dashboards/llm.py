"""LLM serving: are latencies as promised, and does the capacity law see the engines as they are.

What the engines themselves tell is asked with the same templates as decisions ask it
(`models/backends`), so a panel cannot mean something else than the service does.
"""

from string import Template
from typing import Literal, TypeAlias

from dashboards.board import NAMESPACE, WORKLOAD, Board, Variable
from dashboards.panels import BLUE, GREEN, ORANGE, RED, YELLOW, Query, line, lines, number, spans
from dashboards.queries import ONE, one
from predictscale.config.presets import Extra, Preset, load_presets
from predictscale.core.demand import SignalName

Asked: TypeAlias = Literal[SignalName.DEMAND, SignalName.QUEUE] | Extra
ENGINES = {"vllm": "vLLM", "sglang": "SGLang"}
"""Backends that are asked, by preset, and what they are called."""
_MODEL = Variable(
    name="model",
    label="Model",
    query='label_values({__name__=~"vllm:num_requests_running|sglang:num_running_reqs",namespace="$namespace"},'
    " model_name)",
    several=True,
)


def board() -> Board:
    """The dashboard."""
    made = Board(
        "llm",
        title="LLM serving",
        about="Tokens, latencies against what is promised, cache, queue and learned capacity. "
        "Engines' series "
        "are found by namespace and model, the service's by namespace and workload.",
        variables=(NAMESPACE, WORKLOAD, _MODEL),
    )
    _head(made)
    _latency(made)
    _load(made)
    _engines(made)
    _capacity(made)
    return made


def engine_queries(signal: Asked, called: str = "") -> list[Query]:
    """A signal of every engine that has it, over the models that a reader chose.

    Args:
        signal: Which.
        called: What stands before the engine's name in the legend.
    """
    presets = load_presets()
    found = []
    for name, title in ENGINES.items():
        preset = presets[name]
        if (template := preset.signals.get(signal)) is None:
            continue
        text = Template(template.query).substitute(
            selector=_selector(preset), window="$__rate_interval", window_s="($__rate_interval_ms / 1000)"
        )
        found.append(Query(" ".join(text.split()), f"{called} {title}".strip()))
    return found


def _selector(preset: Preset) -> str:
    """The models that a reader chose; a router before the engines may tell copies of their series."""
    chosen = 'namespace="$namespace",model_name=~"$model"'
    if preset.discovery is None or preset.discovery.copies_carry is None:
        return chosen
    return f'{chosen},{preset.discovery.copies_carry}=""'


def _head(made: Board) -> None:
    made.row(
        number(
            "ITL promised",
            "Mean time between tokens that the owner promises; capacity is sized by it.",
            Query(one("predictscale_slo_itl_seconds"), "ITL"),
            unit="s",
        ),
        number(
            "TTFT promised",
            "95 % quantile of the time to first token that the owner promises, if any.",
            Query(one("predictscale_slo_ttft_seconds"), "TTFT"),
            unit="s",
        ),
        number(
            "Offered utilisation",
            "How full what is offered makes the ready replicas, by the learned law. Beyond the limit beside "
            "it promises break; beyond 1 a queue grows.",
            Query(one("predictscale_offered_utilization_ratio"), "offered"),
            unit="percentunit",
            steps=((None, GREEN), (0.8, YELLOW), (0.92, RED)),
        ),
        number(
            "Utilisation limit",
            "How full a replica may be before a promise breaks, by the learned law.",
            Query(one("predictscale_utilization_limit_ratio"), "limit"),
            unit="percentunit",
        ),
        number(
            "Error of the law",
            "Mean absolute error of the latency that the law gives. Beyond 15 % a tenth more is bought.",
            Query(one("predictscale_law_error_ratio"), "error"),
            unit="percentunit",
            steps=((None, GREEN), (0.1, YELLOW), (0.15, RED)),
        ),
        number(
            "Waiting",
            "Requests that wait for an engine, as the service sees them.",
            Query(one("predictscale_waiting_requests"), "waiting"),
            unit="none",
            steps=((None, GREEN), (10, YELLOW), (100, RED)),
        ),
        height=4,
    )


def _latency(made: Board) -> None:
    made.heading("Latency against what is promised")
    made.row(
        lines(
            "Time between tokens, mean",
            "As the engines measure it; the dashed line is promised. This is what capacity is sized by.",
            *engine_queries(Extra.ITL_MEAN),
            Query(one("predictscale_slo_itl_seconds"), "promised"),
            unit="s",
            width=8,
            style={"promised": line(RED, dashed=True)},
        ),
        lines(
            "Time between tokens, p95",
            "The tail of the same. Nothing is promised of it; a wide gap to the mean is long "
            "prefills or preemption.",
            *engine_queries(Extra.ITL_P95),
            unit="s",
            width=8,
        ),
        lines(
            "Time to first token, p95",
            "Queueing included; the dashed line is promised. It rises before the time between tokens does.",
            *engine_queries(Extra.TTFT_P95),
            Query(one("predictscale_slo_ttft_seconds"), "promised"),
            unit="s",
            width=8,
            style={"promised": line(RED, dashed=True)},
        ),
        height=8,
    )


def _load(made: Board) -> None:
    made.heading("Load")
    rates = ("requests", "input", "output")
    made.row(
        *(
            lines(
                f"Offered: {title}",
                "As decisions see it, queue growth included, and what is expected at level 0.95 a "
                "lead time ahead.",
                Query(one("predictscale_offered_rate", where=f'rate="{rate}"'), "offered"),
                Query(one("predictscale_forecast_rate", where=f'rate="{rate}",level="0.95"'), "expected"),
                unit=unit,
                width=8,
                style={"offered": line(GREEN, bold=True), "expected": line(ORANGE, dashed=True)},
            )
            for rate, title, unit in zip(
                rates,
                ("requests", "input tokens", "output tokens"),
                ("reqps", "cps", "cps"),
                strict=True,
            )
        ),
        height=8,
    )
    made.row(
        lines(
            "Tokens served",
            "What the engines took in and gave out. A flat top under a growing queue is a full fleet.",
            *engine_queries(Extra.INPUT_TOKENS, "in,"),
            *engine_queries(Extra.OUTPUT_TOKENS, "out,"),
            unit="cps",
            width=8,
        ),
        lines(
            "Tokens per request",
            "Of finished requests. A change of the mix changes what a replica serves; the law "
            "follows within hours.",
            *engine_queries(Extra.INPUT_LENGTH, "in,"),
            *engine_queries(Extra.OUTPUT_LENGTH, "out,"),
            unit="none",
            width=8,
        ),
        lines(
            "Prefix cache",
            "Share of input tokens that were not computed again. When it falls, each request costs more.",
            *engine_queries(Extra.CACHED_SHARE),
            unit="percentunit",
            most=1,
            width=8,
        ),
        height=8,
    )


def _engines(made: Board) -> None:
    made.heading("Engines")
    made.row(
        lines(
            "KV cache in use",
            "Mean of the engines, and the one that has least left. Beyond 0.9 requests lose their place.",
            *engine_queries(Extra.KV_USAGE, "mean,"),
            *engine_queries(Extra.KV_USAGE_MAX, "fullest,"),
            Query(one("predictscale_kv_cache_usage_ratio"), "as decisions see it"),
            unit="percentunit",
            most=1,
            limit=((None, "transparent"), (0.9, RED)),
            width=8,
        ),
        lines(
            "Running and waiting",
            "Requests in the batches and in the queues.",
            *engine_queries(Extra.RUNNING, "running,"),
            *engine_queries(SignalName.QUEUE, "waiting,"),
            unit="none",
            width=8,
        ),
        lines(
            "Preemptions",
            "Running requests that lost their place in the cache, per second. For long above 0, "
            "memory binds.",
            *engine_queries(Extra.PREEMPTED),
            unit="cps",
            width=8,
        ),
        height=8,
    )


def _capacity(made: Board) -> None:
    made.heading("Capacity")
    made.row(
        lines(
            "Replicas that each limit asks for",
            "Compute, cache, bursts, slots. The highest binds.",
            Query(one("predictscale_capacity_limit_replicas", "limit"), "{{limit}}"),
            Query(one("predictscale_ready_replicas"), "ready"),
            unit="none",
            width=8,
            style={"ready": line(GREEN, dashed=True)},
        ),
        lines(
            "Utilisation and its limit",
            "How full what is offered makes the ready replicas, and how full they may be.",
            Query(one("predictscale_offered_utilization_ratio"), "offered"),
            Query(one("predictscale_utilization_limit_ratio"), "limit"),
            unit="percentunit",
            width=8,
            style={"offered": line(BLUE, bold=True), "limit": line(RED, dashed=True)},
        ),
        lines(
            "What a replica serves",
            "In the workload's unit, within the promises; learned, a start, or configured.",
            Query(one("predictscale_capacity_per_replica", "unit", "origin"), "{{origin}}, {{unit}}"),
            unit="short",
            width=8,
        ),
        height=8,
    )
    made.row(
        spans(
            "What binds",
            "The limit that decided the number of replicas.",
            Query(f"max by (limit) (predictscale_capacity_binding{{{ONE}}})", "{{limit}}"),
        ),
        lines(
            "The law",
            "Latency of an empty replica, as learned, against what is promised.",
            Query(one("predictscale_law_empty_itl_seconds"), "empty"),
            Query(one("predictscale_slo_itl_seconds"), "promised"),
            unit="s",
            width=6,
            style={"promised": line(RED, dashed=True)},
        ),
        lines(
            "Windows learned from",
            "Minutes of single pods under load that the law rests on; 60 at least.",
            Query(one("predictscale_law_windows"), "windows"),
            unit="none",
            width=6,
        ),
        height=7,
    )
