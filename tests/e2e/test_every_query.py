"""Every query of every preset parses in a real Prometheus: of backends, of their pods, of the cluster."""

from collections.abc import Iterator

import httpx2
import pytest

from patience import WITHIN_S
from predictscale.config.auto import BACK_S, Wanted, look_queries, pod_queries
from predictscale.config.cluster import Place, load_cluster
from predictscale.config.detect import count_query, owner_queries
from predictscale.config.presets import fleet_signals, load_presets
from predictscale.config.promql import parse_selector
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.e2e

PRESETS, CLUSTER = load_presets(), load_cluster()
ODD = 'model_name=~"a$|b\\\\d",job!="x\\"y"'
PLACES = (
    Place(namespace="llm", deployment="chat"),
    Place(namespace="llm", deployment="chat.v1", nodes='label_zone="a"'),
)


def backends() -> Iterator[tuple[str, str]]:
    for name, preset in PRESETS.items():
        for text in ("", ODD):
            selector = parse_selector(text, "llm", where="selector", label=preset.confined_by)
            for signal in preset.signals:
                query = preset.query(signal, selector=selector)
                assert query is not None
                yield f"{name}: signals.{signal}", query
            if preset.windows is None:
                continue
            namespace = parse_selector("", "llm", where="namespace", label=preset.confined_by)
            told = {"selector": selector, "namespace": namespace}
            for column, query in preset.windows.queries(**told, window_s=60.0).items():
                yield f"{name}: windows.{column}", query
            for limit, (query, _) in preset.windows.limit_queries(**told).items():
                yield f"{name}: windows.limits.{limit}", query
            if (query := preset.windows.buckets_query(**told, window_s=60.0)) is not None:
                yield f"{name}: windows.ttft_buckets", query
        if (query := count_query(preset, ["llm"])) is not None:
            yield f"{name}: discovery", query


def cluster() -> Iterator[tuple[str, str]]:
    for name, preset in CLUSTER.items():
        for signal in preset.signals:
            for place in PLACES:
                for window_s in (60.0, 7 * 86400.0):
                    yield f"{name}: {signal}", preset.query(signal, place, window_s=window_s)
    for each in fleet_signals("llm", "chat"):
        yield f"fleet: {each.name}", each.query


def detection() -> Iterator[tuple[str, str]]:
    bound = parse_selector(ODD, "llm", where="selector")
    wanted = Wanted(namespace="llm", selector=bound, target=None, unit="requests/s")
    for back_s in (0.0, BACK_S):
        for label, query in look_queries(PRESETS, wanted, back_s=back_s).items():
            yield f"auto by {label}", query
        for query in (*pod_queries(wanted, back_s=back_s), *owner_queries(["a", "b"])):
            yield "owners", query


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    with (
        PrometheusServer(tmp_path_factory.mktemp("parses")) as running,
        httpx2.Client(base_url=running.url, timeout=WITHIN_S, trust_env=False) as client,
    ):
        yield client


def refusal(prometheus: httpx2.Client, query: str) -> str | None:
    """Why Prometheus does not take a query; None if it does."""
    answer = prometheus.get("/api/v1/query", params={"query": query, "time": 1_700_000_000})
    told = answer.json()
    if answer.status_code == 200:
        assert told["status"] == "success"
        return None
    assert told["errorType"] == "bad_data", answer.text
    return str(told["error"])


@pytest.mark.parametrize("queries", [backends, cluster, detection], ids=lambda each: each.__name__)
def test_prometheus_takes_every_query(prometheus: httpx2.Client, queries: object) -> None:
    assert callable(queries)
    asked = list(queries())
    refused = {
        where: (why, query) for where, query in asked if (why := refusal(prometheus, query)) is not None
    }
    assert refused == {}
    assert len(asked) > 10


def test_what_is_no_query_is_refused(prometheus: httpx2.Client) -> None:
    assert refusal(prometheus, "sum(") is not None
    assert refusal(prometheus, "sum(rate(a[2m]) offset)") is not None
