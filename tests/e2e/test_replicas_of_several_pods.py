"""Replicas of several pods (LeaderWorkerSet) and pods of several engines, in a real Prometheus.

The same simulated engines are told as by one pod for each, as by pods of two ranks each, and as by groups of
a leader and a worker: who tells a rank must not change what is counted.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from engine_fleets import backfill, chat_fleet, value_of
from predictscale.config.presets import Extra, load_presets
from predictscale.config.promql import parse_selector
from predictscale.core.demand import SignalName
from predictscale.simulate.engine.deployment import Names
from predictscale.simulate.engine.exposition import EngineName
from predictscale.simulate.engine.record import Recording, record
from predictscale.simulate.engine.traffic import Mix, RequestClass
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.e2e

LONG_S = 900.0
CACHED = Mix.only(RequestClass(input_tokens=512, output_tokens=256, cached_share=0.4))
ORIGIN = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(hours=2)
END = ORIGIN + timedelta(seconds=LONG_S)
RANKS = {"vllm": "engine", "sglang": "dp_rank"}
LEADERS = 'pod=~"chat-[0-9]+"'
COMPARED: tuple[SignalName | Extra, ...] = (
    SignalName.DEMAND, SignalName.QUEUE, Extra.INPUT_TOKENS, Extra.UNCACHED_TOKENS, Extra.OUTPUT_TOKENS,
    Extra.RUNNING, Extra.COMPLETED, Extra.KV_USAGE, Extra.KV_USAGE_MAX, Extra.ITL_MEAN, Extra.TTFT_P95,
)  # fmt: skip

Labels = dict[str, str]
Teller = Callable[[Labels, str], list[Labels]]
"""Who tells a series: its labels, and its rank's label, made into those of one or more series."""


def as_recorded(labels: Labels, _: str) -> list[Labels]:
    return [labels]


def by_its_own_pod(labels: Labels, rank: str) -> list[Labels]:
    """A leader tells rank 0 and what belongs to the whole server, a worker rank 1."""
    worker = "-1" if labels.get(rank) == "1" else ""
    return [{**labels, "pod": labels["pod"] + worker}]


def by_leader_and_worker_alike(labels: Labels, _: str) -> list[Labels]:
    """A worker repeats all that its leader tells."""
    return [{**labels, "pod": labels["pod"] + worker} for worker in ("", "-1")]


def by_two_tensor_ranks(labels: Labels, _: str) -> list[Labels]:
    """Schedulers of a model that is split over accelerators, all of which tell what is one engine's."""
    return [{**labels, "tp_rank": rank} for rank in "01"] if "tp_rank" in labels else [labels]


LAYOUTS: dict[str, Teller] = {
    "pods": as_recorded,
    "ranks": by_its_own_pod,
    "repeats": by_leader_and_worker_alike,
    "tensor": by_two_tensor_ranks,
}


def retold(recording: Recording, *, namespace: str, rank: str, teller: Teller) -> Recording:
    """The recording with its pods named as those of groups, in a namespace of its own."""
    pods: dict[str, str] = {}
    made = Recording(kinds=recording.kinds)
    for family, held in recording.series.items():
        if family.startswith("kube_"):
            continue
        into = made.series.setdefault(family, {})
        for (name, labels), samples in held.items():
            own = dict(labels)
            own["pod"] = pods.setdefault(own["pod"], f"chat-{len(pods)}")
            for told in teller({**own, "namespace": namespace}, rank):
                into[name, tuple(sorted(told.items()))] = samples
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusServer]:
    folder = tmp_path_factory.mktemp("groups")
    engines: tuple[EngineName, ...] = ("vllm", "sglang")
    for engine in engines:
        fleet = chat_fleet(
            16.0,
            pods=2,
            engines_per_pod=2,
            mix=CACHED,
            origin=ORIGIN,
            names=Names(namespace=engine),
            bin_s=60.0,
        )
        seen = record(fleet, END, engine=engine)
        told = [
            retold(seen, namespace=f"{engine}-{layout}", rank=RANKS[engine], teller=teller)
            for layout, teller in LAYOUTS.items()
        ]
        backfill(folder, told)
    with PrometheusServer(folder) as running:
        yield running


def told(
    server: PrometheusServer, engine: str, layout: str, signal: SignalName | Extra, selector: str = ""
) -> float:
    bound = parse_selector(selector, f"{engine}-{layout}", where="selector")
    query = load_presets()[engine].query(signal, selector=bound)
    assert query is not None
    return value_of(server, query, END)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("signal", COMPARED)
def test_it_does_not_matter_which_pod_of_a_replica_tells_a_rank(
    server: PrometheusServer, engine: str, signal: SignalName | Extra
) -> None:
    of_pods = told(server, engine, "pods", signal)
    assert told(server, engine, "ranks", signal) == pytest.approx(of_pods)


@pytest.mark.parametrize("signal", [*COMPARED, Extra.KV_TOKENS])
def test_ranks_that_repeat_one_engine_count_once(
    server: PrometheusServer, signal: SignalName | Extra
) -> None:
    of_pods = told(server, "sglang", "pods", signal)
    assert told(server, "sglang", "tensor", signal) == pytest.approx(of_pods)


@pytest.mark.parametrize("engine", ["vllm", "sglang"])
@pytest.mark.parametrize("signal", COMPARED)
def test_where_workers_repeat_their_leader_the_leaders_are_selected(
    server: PrometheusServer, engine: str, signal: SignalName | Extra
) -> None:
    of_pods = told(server, engine, "pods", signal)
    assert told(server, engine, "repeats", signal, LEADERS) == pytest.approx(of_pods)
    if signal in (SignalName.DEMAND, Extra.RUNNING, Extra.OUTPUT_TOKENS):
        # What happens without: too much, and never too little.
        assert told(server, engine, "repeats", signal) == pytest.approx(2 * of_pods)
