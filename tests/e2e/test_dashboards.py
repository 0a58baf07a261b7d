"""Every query of every panel, in a real Prometheus that scrapes the real service and its engines."""

import asyncio
import math
import re
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from dashboard_scene import TICK_S, WORKLOADS, Cluster, Scene
from grafana_boards import BOARDS, filled, names_in, panels, queries, recorded, rules, variables
from patience import WITHIN_S
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.e2e

NEED_TROUBLE = {
    "predictscale_fit_errors_total": "a fit fails",
    "predictscale_dropped_samples_total": "a sample cannot be used",
    "predictscale_cache_faults_total": "the cache on disk cannot be used",
    "predictscale_archive_faults_total": "the archive on disk cannot be used",
}
"""Metrics whose series begin with the first trouble, which a good day does not have."""
OLD_NAMES = {
    "vllm:gpu_cache_usage_perc",
    "vllm:gpu_prefix_cache_hits_total",
    "vllm:gpu_prefix_cache_queries_total",
    "vllm:time_per_output_token_seconds_bucket",
    "vllm:time_per_output_token_seconds_sum",
    "vllm:time_per_output_token_seconds_count",
}
"""Asked beside the new names, which are the ones that the scene's engines tell."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    cluster = Cluster(tmp_path_factory.mktemp("dashboards"))
    with cluster.server:
        cluster.remember()
        yield asyncio.run(cluster.live())
    CLIENT.close()


CLIENT = httpx2.Client(timeout=WITHIN_S, trust_env=False)


def asked(server: PrometheusServer, path: str, **given: str) -> Any:
    """What the API answers."""
    answer = CLIENT.get(f"{server.url}/api/v1/{path}", params=given)
    assert answer.status_code == 200, f"{given}: {answer.text}"
    return answer.json()["data"]


def numbers(scene: Scene, query: str, *, instant: bool) -> list[float]:
    """Every number that a query gives, at the end or over the time that the service was alive."""
    if instant:
        found = asked(scene.server, "query", query=query, time=f"{scene.at.timestamp():.3f}")
        return [float(series["value"][1]) for series in found["result"]]
    times = {"start": scene.since.timestamp(), "end": scene.at.timestamp()}
    span = {name: f"{at:.3f}" for name, at in times.items()}
    found = asked(scene.server, "query_range", query=query, step=f"{TICK_S:g}", **span)
    return [float(value) for series in found["result"] for _, value in series["values"]]


def values_of(scene: Scene, variable: dict[str, Any], chosen: dict[str, str]) -> list[str]:
    """The values that Grafana would offer."""
    query = filled(variable["query"]["query"], chosen)
    if labels := re.fullmatch(r"label_values\((.*), (\w+)\)", query):
        since, until = scene.since.timestamp(), scene.at.timestamp()
        match = {"match[]": labels[1], "start": f"{since:.3f}", "end": f"{until:.3f}"}
        return list(asked(scene.server, f"label/{labels[2]}/values", **match))
    wrapped = re.fullmatch(r"query_result\((.*)\)", query)
    assert wrapped is not None, query
    found = asked(scene.server, "query", query=wrapped[1], time=f"{scene.at.timestamp():.3f}")["result"]
    texts = [f"{{}} {series['value'][1]} {round(1000 * series['value'][0])}" for series in found]
    matches = [re.search(variable["regex"].strip("/"), text) for text in texts]
    return [match[1] for match in matches if match is not None]


def choices(scene: Scene, name: str) -> list[dict[str, str]]:
    """Every way in which a reader may choose a dashboard's variables; where several may be, all are."""
    found: list[dict[str, str]] = [{}]
    for variable in variables(BOARDS[name]).values():
        further = []
        for chosen in found:
            offered = values_of(scene, variable, chosen)
            assert offered or variable["name"] == "model", f"{name}: {variable['name']} offers nothing"
            several = [variable["allValue"]] if variable["multi"] else offered
            further += [{**chosen, variable["name"]: value} for value in several]
        found = further
    return found


@pytest.mark.parametrize("name", list(BOARDS))
def test_every_query_of_every_panel_returns_numbers(scene: Scene, name: str) -> None:
    ways = choices(scene, name)
    assert ways
    empty, infinite = [], []
    for panel in panels(BOARDS[name]):
        for target in panel["targets"]:
            instant = bool(target.get("instant"))
            told = [numbers(scene, filled(target["expr"], way), instant=instant) for way in ways]
            where = f"{panel['title']} {target['refId']}: {target['expr']}"
            # A quantile of nothing is no number, and drawn as a gap.
            if not any(math.isfinite(value) for found in told for value in found):
                empty.append(where)
            if any(math.isinf(value) for found in told for value in found):
                infinite.append(where)
    assert (empty, infinite) == ([], [])


def test_a_reader_is_offered_what_there_is(scene: Scene) -> None:
    known = {(one["namespace"], one["name"]) for one in WORKLOADS}
    workloads = [(way["namespace"], way["workload"]) for way in choices(scene, "workload")]
    assert set(workloads) == known
    leads = {way["workload"]: float(way["lead"]) for way in choices(scene, "workload")}
    assert leads["code"] >= 60
    models = values_of(scene, variables(BOARDS["llm"])["model"], {"namespace": "llm"})
    assert models == ["example/chat", "example/code"]


def test_the_forecast_is_drawn_where_what_came_is(scene: Scene) -> None:
    """The shift by the lead time is what makes the two lines of the panel one comparison."""
    (way,) = (way for way in choices(scene, "workload") if way["workload"] == "search")
    query = 'max(predictscale_forecast_demand{workload="$workload",level="0.5"} offset ${lead}s)'
    told = numbers(scene, filled(query, way), instant=False)
    assert told == pytest.approx([60.0] * len(told))


def test_every_metric_that_dashboards_and_rules_name_is_told_by_the_service_or_an_engine(
    scene: Scene,
) -> None:
    known = set(asked(scene.server, "label/__name__/values"))
    values = {name: "x" for board in BOARDS.values() for name in variables(board)} | {
        "lead": "60",
        "model": ".*",
    }
    named = {name for _, query in queries() for name in names_in(filled(query, values))}
    named |= {name for rule in rules() for name in names_in(rule["expr"])}
    unknown = named - known - recorded()
    assert unknown <= set(NEED_TROUBLE) | OLD_NAMES
    # What is excused has to be excused.
    assert OLD_NAMES.isdisjoint(known)


def test_the_labels_of_workloads_survive_the_scrape(scene: Scene) -> None:
    """Without `honor_labels` a workload's namespace would be that of the service's pod."""
    last = f"{scene.at.timestamp():.3f}"
    scraped = f"{(scene.at - scene.written).total_seconds():.0f}s"
    query = f"last_over_time(predictscale_target_replicas[{scraped}])"
    found = asked(scene.server, "query", query=query, time=last)
    labels = [{**series["metric"]} for series in found["result"]]
    assert {(each["namespace"], each["workload"]) for each in labels} == {
        (one["namespace"], one["name"]) for one in WORKLOADS
    }


def test_every_rule_can_be_evaluated(scene: Scene) -> None:
    for rule in rules():
        asked(scene.server, "query", query=rule["expr"], time=f"{scene.at.timestamp():.3f}")
