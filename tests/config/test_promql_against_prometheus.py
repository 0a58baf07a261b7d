"""Confinement against a real Prometheus that holds two tenants: one reads the other never."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx2
import numpy as np
import pytest

from patience import WITHIN_S
from predictscale.config.presets import load_presets
from predictscale.config.promql import confine, parse_selector
from predictscale.core.demand import SignalName
from predictscale.core.series import MetricWindow
from predictscale.errors import SettingsError
from prometheus_server import BackfilledSeries, PrometheusServer

pytestmark = pytest.mark.e2e

START = datetime(2024, 3, 4, tzinfo=UTC)
END = START + timedelta(hours=3)
OWN, SECRET = 1.0, 1e6

# Each would show the other tenant's million if the matcher did not hold.
REACHES = (
    "load",
    "sum(load)",
    '{__name__=~".+"}',
    '{"load"}',
    'load{namespace!=""}',
    'load{namespace=~".*"}',
    'load{namespace="theirs"}',
    'load{namespace="own" or namespace="theirs"}',
    'load{job="x"} or load',
    "max_over_time(load[1h])",
    "max_over_time(sum(load)[1h:1m])",
    "scalar(max(load))",
    "topk(1, load)",
    "topk(scalar(count(load)), load)",
    'label_replace(load, "namespace", "own", "", "")',
    "load * on () group_left () vector(1)",
    "load # } or load{",
    'load{job="x\\"} or load{job=\\"x"}',
    "load{job='x\"} or load{job=\"x'}",
    "load{job=`x\\`} or load{job=`x\\`}",
    'count_values("namespace", load)',
    "quantile_over_time(1, load[1h] offset 1m)",
    'absent(load{job="none"}) * scalar(max(load))',
    "load @ end()",
    "-(-load)",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    def series(namespace: str, job: str, value: float) -> BackfilledSeries:
        window = MetricWindow(START, 60.0, np.full(180, value))
        return BackfilledSeries("load", {"namespace": namespace, "job": job}, window)

    held = [series("own", "x", OWN), series("theirs", "x", SECRET), series("theirs", "y", SECRET)]
    with PrometheusServer(tmp_path_factory.mktemp("tenants"), series=held) as running:
        yield running


def ask(server: PrometheusServer, query: str) -> list[float]:
    """All values that a query gives, as Prometheus understands it."""
    asked: dict[str, str | float] = {"query": query, "time": END.timestamp() - 600}
    answer = httpx2.get(f"{server.url}/api/v1/query", params=asked, timeout=WITHIN_S, trust_env=False)
    assert answer.status_code == 200, answer.text
    data = answer.json()["data"]
    if data["resultType"] == "scalar":
        return [float(data["result"][1])]
    return [float(item["value"][1]) for item in data["result"]]


def test_the_other_tenant_is_there_to_be_seen(server: PrometheusServer) -> None:
    assert sum(ask(server, "load")) == OWN + 2 * SECRET


@pytest.mark.parametrize("query", REACHES)
def test_no_query_of_one_tenant_shows_the_other(server: PrometheusServer, query: str) -> None:
    try:
        text = confine(query, "own", where="query")
    except SettingsError:
        return
    assert all(abs(value) < SECRET for value in ask(server, text))


def test_a_confined_query_still_reads_its_own(server: PrometheusServer) -> None:
    assert ask(server, confine("sum(load)", "own", where="query")) == [OWN]
    assert ask(server, confine("max_over_time(sum(load)[1h:1m])", "own", where="query")) == [OWN]


@pytest.mark.parametrize("name", sorted(load_presets()))
def test_prometheus_understands_every_signal_of_every_preset(server: PrometheusServer, name: str) -> None:
    preset = load_presets()[name]
    selector = parse_selector('job="x",quote="a\\"b"', "own", where="selector", label=preset.confined_by)
    for signal in preset.signals:
        query = preset.query(signal, selector=selector)
        assert query is not None
        assert ask(server, query) == []


def test_an_empty_token_queue_is_zero_although_no_request_ever_finished(server: PrometheusServer) -> None:
    queue = load_presets()["vllm-tokens"].signal(SignalName.QUEUE, selector='namespace="own"')
    assert queue is not None
    names = {"vllm:num_requests_waiting": "(load * 0)", "vllm:request_generation_tokens_count": "load"}
    query = queue.query.replace("vllm:request_generation_tokens_sum", "load")
    for name, stand_in in names.items():
        query = query.replace(f'{name}{{namespace="own"}}', stand_in.replace("load", 'load{namespace="own"}'))
    query = query.replace("vllm:request_generation_tokens_count", "load")
    assert ask(server, query) == [0.0]
