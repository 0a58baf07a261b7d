"""What presets' queries give in a real Prometheus where the metrics that they name exist.

The series are made from the queries themselves: each metric with the labels that its matchers
want. What a server really counts under these names is proved elsewhere, with simulated engines.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

import httpx2
import numpy as np
import promql_parser as pp
import pytest

from patience import WITHIN_S
from predictscale.config.detect import count_query
from predictscale.config.presets import Extra, Preset, load_presets
from predictscale.config.promql import parse_selector
from predictscale.core.demand import SignalName
from predictscale.core.series import MetricWindow
from prometheus_server import BackfilledSeries, PrometheusServer

pytestmark = pytest.mark.e2e

PRESETS = load_presets()
START = datetime(2024, 3, 4, tzinfo=UTC)
MINUTES = 90
END = START + timedelta(minutes=MINUTES)
BOUNDS = ("0.1", "1", "10", "+Inf")

# Of each pair a server tells the first, an older one the second, and one in between both.
RENAMED = {
    "vllm:inter_token_latency_seconds": "vllm:time_per_output_token_seconds",
    "vllm:kv_cache_usage_perc": "vllm:gpu_cache_usage_perc",
    "vllm:prefix_cache_hits_total": "vllm:gpu_prefix_cache_hits_total",
    "vllm:prefix_cache_queries_total": "vllm:gpu_prefix_cache_queries_total",
    "vllm:prompt_tokens_by_source_total": "vllm:prompt_tokens_total",
    "sglang:realtime_tokens_total": "sglang:generation_tokens_total",
    "trtllm_request_success_total": "trtllm:request_success_total",
    "trtllm_num_requests_waiting": "trtllm:num_requests_waiting",
    "trtllm_num_requests_running": "trtllm:num_requests_running",
    "trtllm_prompt_tokens_total": "trtllm:prompt_tokens_total",
    "trtllm_generation_tokens_total": "trtllm:generation_tokens_total",
    "trtllm_kv_cache_utilization": "trtllm:kv_cache_utilization",
    "trtllm_e2e_request_latency_seconds": "trtllm:e2e_request_latency_seconds",
    "trtllm_time_to_first_token_seconds": "trtllm:time_to_first_token_seconds",
    "trtllm_time_per_output_token_seconds": "trtllm:time_per_output_token_seconds",
    "kn_serving_invocation_duration_seconds_count": "revision_app_request_count",
    "kn_serving_queue_depth": "revision_queue_depth",
    "llm_d_epp_request_total": "inference_objective_request_total",
    "inference_objective_request_total": "inference_model_request_total",
    "llm_d_epp_flow_control_queue_size": "inference_extension_flow_control_queue_size",
    "llm_d_epp_request_input_tokens_sum": "inference_objective_input_tokens_sum",
    "llm_d_epp_request_output_tokens_sum": "inference_objective_output_tokens_sum",
    "llm_d_epp_request_running": "inference_objective_running_requests",
    "llm_d_epp_request_duration_seconds": "inference_objective_request_duration_seconds",
    "dynamo_frontend_active_requests": "dynamo_frontend_inflight_requests",
    "dynamo_frontend_requests_started_total": "dynamo_frontend_requests_total",
}
OLD_OF = {old: new for new, old in RENAMED.items()}
# Old names that live on beside their successors, and count less there.
SLOWER = ("vllm:prompt_tokens_total", "sglang:generation_tokens_total")
ROLLED = [
    ("vllm", Extra.ITL_P95), ("vllm", Extra.ITL_MEAN), ("vllm", Extra.KV_USAGE), ("vllm", Extra.KV_USAGE_MAX),
    ("vllm", Extra.CACHED_SHARE), ("vllm", Extra.UNCACHED_TOKENS),
    ("sglang", Extra.OUTPUT_TOKENS), ("sglang", Extra.UNCACHED_TOKENS), ("sglang-tokens", SignalName.DEMAND),
    ("tensorrt-llm", SignalName.DEMAND), ("tensorrt-llm", SignalName.QUEUE),
    ("tensorrt-llm", Extra.INPUT_TOKENS), ("tensorrt-llm", Extra.OUTPUT_TOKENS),
    ("tensorrt-llm", Extra.RUNNING), ("tensorrt-llm", Extra.LATENCY_P95), ("tensorrt-llm", Extra.KV_USAGE),
    ("tensorrt-llm", Extra.TTFT_P95), ("tensorrt-llm", Extra.ITL_P95), ("tensorrt-llm", Extra.COMPLETED),
    ("tensorrt-llm", Extra.KV_USAGE_MAX),
    ("knative", SignalName.DEMAND), ("knative", Extra.RUNNING),
    ("llm-d", SignalName.DEMAND), ("llm-d", SignalName.QUEUE), ("llm-d", Extra.INPUT_TOKENS),
    ("llm-d", Extra.OUTPUT_TOKENS), ("llm-d", Extra.RUNNING), ("llm-d", Extra.LATENCY_P95),
    ("dynamo", Extra.RUNNING),
]  # fmt: skip
# They name a metric of such a pair for its own sake, or what is old is not the same thing under another name.
NOT_RENAMED = {
    ("vllm", Extra.INPUT_TOKENS),  # all tokens; of those computed the older servers know nothing
    ("sglang-tokens", SignalName.QUEUE),  # of finished requests, as the count that it is divided by
    ("dynamo", SignalName.DEMAND),  # completions and growth for arrivals: below, in numbers of its own
    ("dynamo", Extra.COMPLETED),
}
# Scraped by address, without a label pod.
PODLESS = ("hosts", "host")
AWAKE = "vllm:engine_sleep_state"


def wanted(preset: Preset) -> dict[tuple[str, tuple[tuple[str, str], ...]], None]:
    """Every metric of a preset's queries, with labels that its matchers accept."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], None] = {}
    selector = parse_selector("", "x", where="selector", label=preset.confined_by)
    for name in preset.signals:
        query = preset.query(name, selector=selector)
        assert query is not None
        for node in selectors(pp.parse(query)):
            assert node.name is not None
            labels = {
                m.name: m.value if m.op == pp.MatchOp.Equal else "/generate" for m in node.matchers.matchers
            }
            found[node.name, tuple(sorted((n, v) for n, v in labels.items() if n != preset.confined_by))] = (
                None
            )
    return found


def selectors(tree: object) -> Iterator[pp.VectorSelector]:
    if isinstance(tree, pp.VectorSelector):
        yield tree
    for part in ("vector_selector", "lhs", "rhs", "expr", "param"):
        if (inner := getattr(tree, part, None)) is not None:
            yield from selectors(inner)
    for inner in getattr(tree, "args", None) or ():
        yield from selectors(inner)


def stem(metric: str) -> str:
    for suffix in ("_bucket", "_sum", "_count"):
        if metric.removesuffix(suffix) in (*RENAMED, *OLD_OF):
            return metric.removesuffix(suffix)
    return metric


def ramp(metric: str, labels: Mapping[str, str], *, slope: float) -> list[BackfilledSeries]:
    """A series that grows; of a histogram one for each bucket."""
    bounds = BOUNDS if metric.endswith("_bucket") else ("",)
    minutes = np.arange(1, MINUTES + 1, dtype=float)
    return [
        BackfilledSeries(
            metric,
            {**labels, **({"le": bound} if bound else {})},
            MetricWindow(START, 60.0, slope * (place + 1) * minutes),
        )
        for place, bound in enumerate(bounds)
    ]


def made() -> list[BackfilledSeries]:
    """The namespace `all` with every name; `old`, `new` and `both` with two pods each.

    In `both`, pod a has been rolled and still tells its old names.
    """
    series: dict[tuple[str, tuple[tuple[str, str], ...]], BackfilledSeries] = {}
    for preset in PRESETS.values():
        for metric, labels in wanted(preset):
            for namespace, pod, slope in places(metric):
                where = {preset.confined_by: namespace, "pod": pod, "instance": pod, **dict(labels)}
                if namespace in PODLESS:
                    del where["pod"]
                for one in ramp(metric, where, slope=0.0 if metric == AWAKE else slope):
                    series.setdefault((metric, tuple(sorted(one.labels.items()))), one)
    return sorted(series.values(), key=lambda one: one.name)


def places(metric: str) -> Iterator[tuple[str, str, float]]:
    """Namespaces and pods that tell a metric, and how fast it grows there each minute."""
    is_old, is_new = stem(metric) in OLD_OF, stem(metric) in RENAMED
    yield "all", "a", 60.0
    yield "both", "a", 30.0 if metric in SLOWER else 60.0
    for pod, slope in (("a", 60.0), ("b", 120.0)):
        if is_new or not is_old:
            yield "new", pod, slope
        if not is_new:
            yield "old", pod, slope
    if not is_new:
        yield "both", "b", 120.0
    if re.fullmatch(r"(vllm|sglang):num_.*", metric):
        yield from (("hosts", "a", 60.0), ("hosts", "b", 120.0), ("host", "a", 60.0))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    with PrometheusServer(tmp_path_factory.mktemp("presets"), series=made()) as running:
        yield running


def ask(server: PrometheusServer, query: str) -> list[float]:
    asked: dict[str, str | float] = {"query": query, "time": END.timestamp() - 30}
    answer = httpx2.get(f"{server.url}/api/v1/query", params=asked, timeout=WITHIN_S, trust_env=False)
    assert answer.status_code == 200, answer.text
    return [float(one["value"][1]) for one in answer.json()["data"]["result"]]


def told(server: PrometheusServer, name: str, signal: SignalName | Extra, namespace: str) -> list[float]:
    preset = PRESETS[name]
    selector = parse_selector("", namespace, where="selector", label=preset.confined_by)
    query = preset.query(signal, selector=selector)
    assert query is not None
    return ask(server, query)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_query_gives_one_number_where_its_metrics_are(server: PrometheusServer, name: str) -> None:
    for signal in PRESETS[name].signals:
        (value,) = told(server, name, signal, "all")
        assert math.isfinite(value), signal
        assert value > 0, signal


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_no_query_gives_anything_where_nothing_is(server: PrometheusServer, name: str) -> None:
    for signal in PRESETS[name].signals:
        assert told(server, name, signal, "none") == []


@pytest.mark.parametrize(("name", "signal"), ROLLED, ids=str)
def test_old_names_new_names_and_both_in_a_rolling_upgrade_give_the_same(
    server: PrometheusServer, name: str, signal: SignalName | Extra
) -> None:
    (new,) = told(server, name, signal, "new")
    assert told(server, name, signal, "old") == pytest.approx([new])
    assert told(server, name, signal, "both") == pytest.approx([new])


def test_every_signal_with_an_old_name_is_tried_in_a_rolling_upgrade() -> None:
    named = {
        (name, signal)
        for name, preset in PRESETS.items()
        for signal in preset.signals
        if preset.further_of is None or isinstance(signal, SignalName)
        for node in selectors(pp.parse(preset.query(signal, selector='namespace="x"') or ""))
        if stem(str(node.name)) in {*RENAMED, *OLD_OF}
    }
    assert named == {*ROLLED, *NOT_RENAMED}


@pytest.mark.parametrize(
    ("name", "signal"),
    [
        ("sglang", SignalName.QUEUE),
        ("sglang", Extra.RUNNING),
        ("vllm", SignalName.QUEUE),
        ("vllm", Extra.RUNNING),
    ],
)
def test_servers_that_no_label_pod_tells_apart_add_up_all_the_same(
    server: PrometheusServer, name: str, signal: SignalName | Extra
) -> None:
    (of_both,), (of_one,) = (told(server, name, signal, namespace) for namespace in ("hosts", "host"))
    assert of_both == pytest.approx(3 * of_one)


def test_frontends_that_count_starts_and_those_that_count_ends_add_up(server: PrometheusServer) -> None:
    # Of a pod's counters and levels each grows by 1 a second, of the other's by 2: what starts is what
    # ends and what is added to those in flight.
    assert told(server, "dynamo", SignalName.DEMAND, "new") == pytest.approx([1 + 2])
    assert told(server, "dynamo", SignalName.DEMAND, "old") == pytest.approx([(1 + 1) + (2 + 2)])
    assert told(server, "dynamo", SignalName.DEMAND, "both") == pytest.approx([1 + (2 + 2)])


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_what_shows_a_backend_can_be_counted(server: PrometheusServer, name: str) -> None:
    query = count_query(PRESETS[name], ("all", "none"))
    assert (query is None) == (PRESETS[name].discovery is None)
    assert query is None or sum(ask(server, query)) >= 1
