"""Capacity from PromQL to the law: simulated engines behind a real Prometheus, none ever busier than 35 %."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine_fleets import backfill, chat_fleet
from patience import WITHIN_S
from predictscale.bootstrap.sizing import learner_of
from predictscale.clock import SystemClock
from predictscale.config.capacity import LearnedCapacity, telling_of
from predictscale.config.presets import load_presets
from predictscale.config.settings import WorkloadSettings
from predictscale.control.learning import ANSWERED_S, EVERY_S, SETTLE_S
from predictscale.control.podwindows import Asked, PodReader
from predictscale.control.refit import FitPool
from predictscale.core.capacity import Origin
from predictscale.core.demand import WorkloadId
from predictscale.core.law import LatencyTargets, Mix
from predictscale.core.lawcapacity import CapacityLaw
from predictscale.meters import Meters
from predictscale.simulate.engine.capacity import true_capacity
from predictscale.simulate.engine.deployment import Names
from predictscale.simulate.engine.exposition import EngineName
from predictscale.simulate.engine.fleet import Fleet
from predictscale.simulate.engine.record import Recording, record
from predictscale.simulate.engine.spec import EngineSpec
from predictscale.simulate.engine.traffic import CHAT, GENERATION, RAG
from predictscale.simulate.engine.traffic import Mix as Classes
from predictscale.sources.history import History
from predictscale.sources.prometheus import PrometheusSource
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.e2e

SLO = LatencyTargets(itl_s=0.05, ttft_p95_s=1.0)
HOURS = 6
BLEND = Classes(((CHAT, 0.5), (GENERATION, 0.3), (RAG, 0.2)))
MIXES = {"chat": Classes.only(CHAT), "generation": Classes.only(GENERATION), "rag": Classes.only(RAG)}
TOLD_BY: dict[str, EngineName] = {"chat": "vllm", "generation": "sglang", "rag": "vllm"}
# A quarter and more of the past is gone when the tests ask: a slow start of theirs must not matter.
END = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
SHORT_S = 1200.0


def truth(mix: Classes) -> float:
    """What one replica really serves within the promises [requests/s]."""
    return true_capacity(mix, itl_slo_s=0.05, ttft_slo_s=1.0, run_s=1800.0, accuracy=0.01, seed=5).rps


def mean_request(mix: Classes) -> Mix:
    return Mix(
        input_tokens=sum(share * kind.input_tokens for kind, share in mix.parts),
        output_tokens=sum(share * kind.output_tokens for kind, share in mix.parts),
    )


def calm(name: str) -> Recording:
    """Half a day in which the pod is a third full at most."""
    top = 0.35 * truth(MIXES[name])

    def rate(at_s: float) -> float:
        return top * (0.1 + 0.9 * (1 - math.cos(2 * math.pi * at_s / (HOURS * 3600))) / 2)

    fleet = Fleet(
        spec=EngineSpec(),
        streams=MIXES[name].streams(rate),
        bin_s=60.0,
        origin=END - timedelta(hours=HOURS),
        names=Names(namespace=name),
    )
    return record(fleet, END, engine=TOLD_BY[name])


def brief(name: str, engine: EngineName, names: Any, **more: Any) -> tuple[Fleet, Recording]:
    """Twenty minutes of steady load."""
    fleet = chat_fleet(
        **{"rps": 10.0, **more},
        origin=END - timedelta(seconds=SHORT_S),
        names=Names(namespace=name),
        bin_s=60.0,
    )
    return fleet, record(fleet, END, engine=engine, names=names)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrometheusServer, dict[str, Fleet]]]:
    made = {
        "old": brief("old", "vllm", "old"),
        "ranks": brief("ranks", "vllm", "new", engines_per_pod=2),
        "sgl-ranks": brief("sgl-ranks", "sglang", "new", engines_per_pod=2),
        "two": brief("two", "sglang", "old", pods=2),
    }
    folder: Path = tmp_path_factory.mktemp("learned")
    backfill(folder, [calm(name) for name in MIXES] + [recording for _, recording in made.values()])
    with PrometheusServer(folder) as server:
        yield server, {name: fleet for name, (fleet, _) in made.items()}


def workload(name: str) -> WorkloadSettings:
    presets = load_presets()
    preset = presets[TOLD_BY[name]]
    found = telling_of(preset, presets)
    assert not isinstance(found, str)
    telling, primary = found
    return WorkloadSettings(
        workload=WorkloadId(name, "llm"),
        backend=preset.name,
        selector=f'namespace="{name}"',
        max_replicas=100,
        learned=LearnedCapacity(targets=SLO, telling=telling, primary=primary, engine_name=preset.name),
    )


async def learned(server: PrometheusServer, name: str) -> CapacityLaw:
    """What the learner has in force, two lessons after it was started."""
    meters = Meters()
    source = PrometheusSource(url=server.url, meters=meters, clock=SystemClock(), timeout_s=WITHIN_S)
    learner = learner_of(
        workload(name),
        load_presets(),
        source=source,
        fits=FitPool(meters=meters, deadline_s=WITHIN_S),
        history=History(path=None, meters=meters),
    )
    assert learner is not None
    await learner.wake()
    tick = END + timedelta(seconds=SETTLE_S)
    assert learner.capacity_at(tick, mix=None) is None
    learner.start_due(tick)
    await learner.settled()
    in_force = tick + timedelta(seconds=ANSWERED_S)
    learner.start_due(in_force)
    capacity = learner.capacity_at(in_force + timedelta(seconds=EVERY_S), mix=None)
    assert learner.notes_at(in_force + timedelta(seconds=EVERY_S)) == ()
    await learner.stop()
    await source.aclose()
    assert isinstance(capacity, CapacityLaw)
    return capacity


def boundary_rps(capacity: CapacityLaw, request: Mix) -> float:
    """Requests per second of one replica where the law says that the promises end."""
    assert capacity.learned is not None
    assert capacity.learned.fit is not None
    law = capacity.learned.fit.law.at(request)
    return law.output_per_replica(law.boundary(SLO, request).utilization, request) / request.output_tokens


@pytest.mark.parametrize("name", list(MIXES))
async def test_a_third_of_the_load_tells_where_the_promises_end(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str
) -> None:
    capacity = await learned(world[0], name)
    assert capacity.origin is Origin.LEARNED
    assert capacity.mix is not None
    assert capacity.mix.output_tokens == pytest.approx(mean_request(MIXES[name]).output_tokens, rel=0.05)
    assert boundary_rps(capacity, capacity.mix) == pytest.approx(truth(MIXES[name]), rel=0.10)
    assert capacity.engine.kv_tokens == EngineSpec().kv_tokens
    assert capacity.learned is not None
    assert capacity.learned.fit is not None
    # The best that was seen says little of what a replica can do: that is why there is a law.
    assert capacity.learned.fit.highest_utilization < 0.45
    for unseen in (BLEND, MIXES["generation"]) if name == "chat" else ():
        assert boundary_rps(capacity, mean_request(unseen)) == pytest.approx(truth(unseen), rel=0.15)


@pytest.mark.parametrize(
    ("name", "engine", "pods", "engines"),
    [
        ("old", "vllm", 1, 1),
        ("ranks", "vllm", 1, 2),
        ("sgl-ranks", "sglang", 1, 2),
        ("two", "sglang", 2, 1),
    ],
)
async def test_a_pod_is_one_replica_however_many_engines_and_whatever_their_names(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str, engine: str, pods: int, engines: int
) -> None:
    server, fleets = world
    source = PrometheusSource(url=server.url, meters=Meters(), clock=SystemClock(), timeout_s=WITHIN_S)
    windows = load_presets()[engine].windows
    assert windows is not None
    selector = f'namespace="{name}"'
    reader = PodReader(source, Asked(windows=windows, selector=selector, namespace=selector))
    start = END - timedelta(seconds=SHORT_S - 300)
    rows = await reader.between(start, END, width_s=60.0)
    size = await reader.engine(END)
    await source.aclose()
    told, really = rows.windows, fleets[name].truth(start, END)
    assert np.unique(rows.pods).size == pods
    assert len(rows) == pods * 15
    served = really.per_second(really.generated_tokens) / pods
    # Older SGLang counts tokens when a request finishes: the same in the long run, but not at once.
    rel = 0.06 if name == "two" else 0.02
    assert told.output_tokens_per_s.mean() == pytest.approx(served, rel=rel)
    computed = really.per_second(really.uncached_tokens) / pods
    assert told.input_tokens_per_s.mean() == pytest.approx(computed, rel=rel)
    assert told.work @ told.itl_s / told.work.sum() == pytest.approx(really.mean_itl_s, rel=0.02)
    assert told.requests.sum() == pytest.approx(really.ttft_s.size, abs=2)
    assert told.ttft_mean_s @ told.requests / told.requests.sum() == pytest.approx(
        really.ttft_s.mean(), rel=0.03
    )
    assert (told.waiting_share < 0.5).all()
    assert (told.preemptions == 0).all()
    assert np.nanmax(told.kv_usage) < 1
    # By kube-state-metrics: they were there half a minute or more before they told anything.
    assert (told.pod_age_s > 300).all()
    assert size.kv_tokens == engines * EngineSpec().kv_tokens
