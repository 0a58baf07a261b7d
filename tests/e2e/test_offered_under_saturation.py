"""What is asked of engines that can serve only half of it, as decisions see it through a real Prometheus.

Every counter of tokens is capped by what the engines do. The truth is what clients sent.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from engine_fleets import backfill
from inline_fits import InlineFits
from patience import WITHIN_S
from predictscale.clock import ManualClock
from predictscale.config.capacity import CapacitySettings
from predictscale.config.presets import load_presets
from predictscale.config.resolve import Origin, resolve
from predictscale.config.settings import ServiceSettings
from predictscale.config.workload import NamedWorkload, WorkloadSettings
from predictscale.control.shelf import ModelShelf
from predictscale.control.tracker import Grid, Tracker
from predictscale.core.offered import Rate
from predictscale.core.plan import Decision, Stage
from predictscale.meters import Meters
from predictscale.simulate.engine.deployment import Names
from predictscale.simulate.engine.exposition import EngineName
from predictscale.simulate.engine.fleet import Fleet
from predictscale.simulate.engine.ledger import Truth
from predictscale.simulate.engine.record import record
from predictscale.simulate.engine.spec import EngineSpec
from predictscale.simulate.engine.traffic import Mix, RequestClass
from predictscale.sources.cached import CachedSource
from predictscale.sources.history import History
from predictscale.sources.prometheus import PrometheusSource
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.e2e

CALM_S, FULL_S, TOLD_S = 3600.0, 1800.0, 300.0
CALM_RPS, FULL_RPS = 8.0, 37.0
CACHED = Mix.only(RequestClass(input_tokens=512, output_tokens=256, cached_share=0.4))
ENGINES: dict[str, EngineName] = {"vllm": "vllm", "sglang": "sglang", "vllm-tokens": "vllm"}
GRID = Grid(tick_s=15, step_s=60, history_s=86400, refit_s=3600)
WITHIN = 0.1


def crowded(engine: str) -> Fleet:
    """Two pods with time to spare, then twice what they can do."""
    origin = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(seconds=CALM_S + FULL_S + 600)

    def rate_rps(at_s: float) -> float:
        return 2 * (CALM_RPS if at_s < CALM_S else FULL_RPS)

    return Fleet(
        spec=EngineSpec(),
        streams=CACHED.streams(rate_rps),
        pods=2,
        origin=origin,
        names=Names(namespace=engine),
        bin_s=60.0,
        seed=3,
    )


def end_of(fleet: Fleet) -> datetime:
    return fleet.origin + timedelta(seconds=CALM_S + FULL_S)


def truth_of(fleet: Fleet) -> Truth:
    """The last minutes."""
    return fleet.truth(end_of(fleet) - timedelta(seconds=TOLD_S), end_of(fleet))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrometheusServer, dict[str, Fleet]]]:
    folder = tmp_path_factory.mktemp("crowded")
    fleets = {name: crowded(name) for name in ENGINES}
    backfill(folder, [record(fleet, end_of(fleet), engine=ENGINES[name]) for name, fleet in fleets.items()])
    with PrometheusServer(folder) as server:
        yield server, fleets


def settings_of(backend: str) -> WorkloadSettings:
    written = NamedWorkload(
        namespace=backend,
        name="chat",
        backend=backend,
        capacity=CapacitySettings(itl_s=0.05, ttft_p95_s=1.0, start_per_replica=6.0),
        max_replicas=100,
        forecasters=("last-value",),
    )
    presets = load_presets()
    return resolve(written, terms=ServiceSettings().terms(presets), origin=Origin(trusted=True))


async def decided(server: PrometheusServer, backend: str, at: datetime) -> Decision:
    settings, clock = settings_of(backend), ManualClock(at)
    source = PrometheusSource(url=server.url, meters=Meters(), clock=clock, timeout_s=WITHIN_S)
    history = History(path=None, meters=Meters())
    tracker = Tracker(
        settings,
        settings.signals(load_presets()),
        source=source,
        archive=CachedSource(source, history=history, workload=backend, clock=clock),
        fits=InlineFits(),
        shelf=ModelShelf(history, step_s=GRID.step_s),
        grid=GRID,
        turn=asyncio.Lock(),
    )
    try:
        return await tracker.tick(at)
    finally:
        await tracker.stop()
        await source.aclose()
        await history.aclose()


@pytest.mark.parametrize("backend", list(ENGINES))
async def test_what_is_offered_is_told_within_a_tenth_while_half_of_it_is_served(
    world: tuple[PrometheusServer, dict[str, Fleet]], backend: str
) -> None:
    server, fleets = world
    truth = truth_of(fleets[backend])
    served = truth.per_second(truth.generated_tokens) / truth.per_second(truth.output_tokens)
    assert 0.45 < served < 0.55
    decision = await decided(server, backend, end_of(fleets[backend]))
    rates, mix = decision.seen.rates, decision.seen.mix
    assert rates.requests_rps == pytest.approx(truth.per_second(truth.arrived), rel=WITHIN)
    assert rates.input_tokens_per_s == pytest.approx(truth.per_second(truth.uncached_tokens), rel=WITHIN)
    assert rates.output_tokens_per_s == pytest.approx(truth.per_second(truth.output_tokens), rel=WITHIN)
    assert mix is not None
    assert mix.output_tokens == pytest.approx(256, rel=WITHIN)
    assert mix.cached_share == pytest.approx(0.4, abs=0.04)


@pytest.mark.parametrize("backend", list(ENGINES))
async def test_what_models_learn_from_is_what_was_offered(
    world: tuple[PrometheusServer, dict[str, Fleet]], backend: str
) -> None:
    server, fleets = world
    truth = truth_of(fleets[backend])
    decision = await decided(server, backend, end_of(fleets[backend]))
    output = decision.further[Rate.OUTPUT]
    # The last value, a minute's mean, is what is forecast.
    assert float(output.quantile(0.5)[0]) == pytest.approx(truth.per_second(truth.output_tokens), rel=WITHIN)
    demand, backlog = (
        next(step.because for step in decision.plan.steps if step.stage is stage)
        for stage in (Stage.DEMAND, Stage.BACKLOG)
    )
    for rate in Rate:
        assert f"{rate} " in demand
    assert "beside what is here takes" in backlog
