"""What presets tell beyond demand and queue, against what really happened in simulated engines."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from engine_fleets import backfill, chat_fleet, value_of
from predictscale.config.presets import Extra, load_presets
from predictscale.core.demand import SignalName
from predictscale.core.series import Floats
from predictscale.simulate.engine.deployment import Names
from predictscale.simulate.engine.exposition import EngineName
from predictscale.simulate.engine.fleet import Fleet
from predictscale.simulate.engine.ledger import Truth
from predictscale.simulate.engine.meters import SGLANG_TTFT_S, VLLM_TTFT_S
from predictscale.simulate.engine.pods import PodBoot
from predictscale.simulate.engine.record import Recording, record
from predictscale.simulate.engine.spec import EngineSpec
from predictscale.simulate.engine.traffic import Mix, RequestClass
from predictscale.simulate.fleet import BootTime
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.e2e

WARM_S, LONG_S = 300.0, 1200.0
CACHED = Mix.only(RequestClass(input_tokens=512, output_tokens=256, cached_share=0.4))
BOOT = PodBoot(schedule=BootTime(median_s=1.0), pull=BootTime(median_s=5.0), load=BootTime(median_s=60.0))
# Less memory than their load wants: requests wait, and lose their place.
PRESSED = EngineSpec(kv_blocks=2100)
CHATTY = Mix.only(RequestClass(input_tokens=256, output_tokens=512))
ENGINES: dict[str, EngineName] = {
    "new": "vllm",
    "rolling": "vllm",
    "ranks": "sglang",
    "pressed": "vllm",
    "pressed-ranks": "sglang",
}
CALM = ("new", "rolling", "ranks")
SHORT = ("pressed", "pressed-ranks")
BOUNDS_S = {"vllm": VLLM_TTFT_S, "sglang": SGLANG_TTFT_S}


def recorded(name: str, names: Any, **fleet: Any) -> tuple[Fleet, Recording]:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    given: dict[str, Any] = {"rps": 16.0, "pods": 2, "mix": CACHED, "boot": BOOT, **fleet}
    origin, names_of = now - timedelta(hours=3), Names(namespace=name)
    made = chat_fleet(**given, origin=origin, names=names_of, seed=len(name), bin_s=60.0)
    engine = ENGINES[name]
    seen = record(made, origin + timedelta(seconds=WARM_S + LONG_S / 2), engine=engine, names=names)
    if name == "rolling":
        made.roll(made.now)
    record(made, until(made), engine=engine, names=names, into=seen)
    return made, seen


def until(fleet: Fleet) -> datetime:
    return fleet.origin + timedelta(seconds=WARM_S + LONG_S)


def truth_of(fleet: Fleet) -> Truth:
    since = fleet.origin + timedelta(seconds=WARM_S - 60)
    return fleet.truth(since, until(fleet) - timedelta(seconds=60))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrometheusServer, dict[str, Fleet]]]:
    made = {
        "new": recorded("new", "new"),
        "rolling": recorded("rolling", {1: "old", 2: "both"}),
        "ranks": recorded("ranks", "new", pods=1, engines_per_pod=2),
        "pressed": recorded("pressed", "new", pods=1, rps=6.0, mix=CHATTY, spec=PRESSED),
        "pressed-ranks": recorded(
            "pressed-ranks", "new", pods=1, rps=12.0, mix=CHATTY, spec=PRESSED, engines_per_pod=2
        ),
    }
    folder = tmp_path_factory.mktemp("further")
    backfill(folder, [recording for _, recording in made.values()])
    with PrometheusServer(folder) as server:
        yield server, {name: fleet for name, (fleet, _) in made.items()}


def told(world: tuple[PrometheusServer, dict[str, Fleet]], name: str, signal: Extra) -> float:
    """The mean of a signal over the steady part."""
    server, fleets = world
    query = load_presets()[ENGINES[name]].query(signal, selector=f'namespace="{name}"')
    assert query is not None
    return value_of(server, f"avg_over_time(({query})[{LONG_S:.0f}s:15s])", until(fleets[name]))


def at_the_end(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str, signal: Extra | SignalName
) -> float:
    """A signal at the last instant, at which the engines still stand."""
    server, fleets = world
    query = load_presets()[ENGINES[name]].query(signal, selector=f'namespace="{name}"')
    assert query is not None
    return value_of(server, query, until(fleets[name]))


@pytest.mark.parametrize("name", CALM)
def test_tokens_and_times_are_told_as_they_are(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str
) -> None:
    truth = truth_of(world[1][name])
    generated = truth.per_second(truth.generated_tokens)
    assert told(world, name, Extra.OUTPUT_TOKENS) == pytest.approx(generated, rel=0.02)
    came = truth.per_second(truth.input_tokens)
    assert told(world, name, Extra.INPUT_TOKENS) == pytest.approx(came, rel=0.02)
    assert told(world, name, Extra.ITL_MEAN) == pytest.approx(truth.mean_itl_s, rel=0.02)
    # A quantile from buckets is as good as its bucket.
    p95_s = truth.ttft_quantile_s(0.95)
    assert p95_s / 2.5 < told(world, name, Extra.TTFT_P95) < p95_s * 2.5
    assert truth.mean_itl_s < told(world, name, Extra.ITL_P95) < truth.mean_itl_s * 5
    assert truth.mean_e2e_s < told(world, name, Extra.LATENCY_P95) < truth.mean_e2e_s * 3
    assert told(world, name, Extra.COMPLETED) == pytest.approx(truth.per_second(truth.finished), rel=0.02)


@pytest.mark.parametrize("name", ["new", "ranks"])
def test_tokens_that_the_cache_had_are_not_computed(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str
) -> None:
    truth = truth_of(world[1][name])
    computed = truth.per_second(truth.uncached_tokens)
    assert told(world, name, Extra.UNCACHED_TOKENS) == pytest.approx(computed, rel=0.02)


def test_servers_that_do_not_tell_computed_tokens_count_all_of_theirs(
    world: tuple[PrometheusServer, dict[str, Fleet]],
) -> None:
    truth = truth_of(world[1]["rolling"])
    low, high = truth.per_second(truth.uncached_tokens), truth.per_second(truth.input_tokens)
    between = told(world, "rolling", Extra.UNCACHED_TOKENS)
    assert low * 1.02 < between < high * 0.98


@pytest.mark.parametrize("name", CALM)
def test_the_cached_share_is_one_over_both_names(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str
) -> None:
    truth = truth_of(world[1][name])
    share = 1 - truth.uncached_tokens / truth.input_tokens
    assert told(world, name, Extra.CACHED_SHARE) == pytest.approx(share, rel=0.02)


@pytest.mark.parametrize("name", list(ENGINES))
def test_levels_are_those_of_the_engines_at_that_instant(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str
) -> None:
    fleet = world[1][name]
    engines = [engine for pod in fleet.pods for engine in pod.engines]
    used = [engine.kv_usage for engine in engines]
    assert at_the_end(world, name, Extra.KV_USAGE) == pytest.approx(sum(used) / len(used), rel=0.02)
    assert at_the_end(world, name, Extra.KV_USAGE_MAX) == pytest.approx(max(used), rel=0.02)
    assert at_the_end(world, name, Extra.RUNNING) == sum(engine.running for engine in engines)
    assert at_the_end(world, name, SignalName.QUEUE) == sum(engine.waiting for engine in engines)


@pytest.mark.parametrize("name", SHORT)
def test_what_memory_costs_is_told_as_it_is(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str
) -> None:
    truth = truth_of(world[1][name])
    assert truth.preempted > 100
    assert told(world, name, Extra.PREEMPTED) == pytest.approx(truth.per_second(truth.preempted), rel=0.02)
    assert told(world, name, Extra.COMPLETED) == pytest.approx(truth.per_second(truth.finished), rel=0.02)
    assert at_the_end(world, name, SignalName.QUEUE) > 100
    assert at_the_end(world, name, Extra.KV_USAGE_MAX) > 0.9


@pytest.mark.parametrize("name", ["new", "ranks", *SHORT])
def test_a_quantile_is_that_of_the_truth_as_far_as_buckets_can_tell(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str
) -> None:
    server, fleets = world
    fleet, end = fleets[name], until(fleets[name])
    preset = load_presets()[ENGINES[name]].model_copy(update={"window_s": LONG_S})
    query = preset.query(Extra.TTFT_P95, selector=f'namespace="{name}"')
    assert query is not None
    truth = fleet.truth(end - timedelta(seconds=LONG_S), end)
    wants = in_buckets(truth.ttft_s, BOUNDS_S[ENGINES[name]], 0.95)
    assert value_of(server, query, end) == pytest.approx(wants, rel=0.02)


def in_buckets(values: Floats, bounds: tuple[float, ...], level: float) -> float:
    """A quantile as Prometheus makes it from counts: by a straight line within its bucket."""
    below = np.array([0, *(np.count_nonzero(values <= bound) for bound in bounds)])
    return float(np.interp(level * values.size, below, np.array([0.0, *bounds])))


def test_requests_that_wait_are_what_the_time_in_the_queue_tells(
    world: tuple[PrometheusServer, dict[str, Fleet]],
) -> None:
    # In a fleet that is short of memory nearly all of the time to a first token is spent there.
    truth = truth_of(world[1]["pressed"])
    p95_s = truth.ttft_quantile_s(0.95)
    assert p95_s / 2.5 < told(world, "pressed", Extra.QUEUE_TIME_P95) < p95_s * 2.5
    assert told(world, "new", Extra.QUEUE_TIME_P95) <= 0.3


@pytest.mark.parametrize("name", ["new", "rolling"])
def test_lengths_are_those_of_the_requests(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str
) -> None:
    assert told(world, name, Extra.INPUT_LENGTH) == pytest.approx(512, rel=0.02)
    assert told(world, name, Extra.OUTPUT_LENGTH) == pytest.approx(256, rel=0.02)


def test_a_server_tells_its_cache_and_how_long_it_loaded(
    world: tuple[PrometheusServer, dict[str, Fleet]],
) -> None:
    fleet = world[1]["pressed-ranks"]
    births = [pod.birth for pod in fleet.pods]
    assert at_the_end(world, "pressed-ranks", Extra.KV_TOKENS) == PRESSED.kv_tokens
    loads_s = [birth.ready_s - birth.started_s for birth in births]
    assert at_the_end(world, "pressed-ranks", Extra.LOAD_TIME) == pytest.approx(max(loads_s), rel=0.02)


@pytest.mark.parametrize("name", list(ENGINES))
def test_every_further_signal_is_compared_or_has_no_series_here(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str
) -> None:
    server, fleets = world
    silent = {Extra.REJECTED, Extra.ASLEEP}  # the simulated engines turn nobody away and never sleep
    compared = {
        Extra.INPUT_TOKENS, Extra.UNCACHED_TOKENS, Extra.OUTPUT_TOKENS, Extra.CACHED_SHARE, Extra.RUNNING,
        Extra.TTFT_P95, Extra.ITL_P95, Extra.ITL_MEAN, Extra.LATENCY_P95, Extra.KV_USAGE, Extra.KV_USAGE_MAX,
        Extra.KV_TOKENS, Extra.COMPLETED, Extra.PREEMPTED, Extra.INPUT_LENGTH, Extra.OUTPUT_LENGTH,
        Extra.QUEUE_TIME_P95, Extra.LOAD_TIME,
    }  # fmt: skip
    preset = load_presets()[ENGINES[name]]
    assert set(preset.extras) <= compared | silent
    for signal in silent & set(preset.extras):
        query = preset.query(signal, selector=f'namespace="{name}"')
        with pytest.raises(ValueError, match="not enough values"):
            value_of(server, query or "", until(fleets[name]))
