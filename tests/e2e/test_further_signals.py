"""What presets tell beyond demand and queue, against what really happened in simulated engines."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine_fleets import backfill, chat_fleet, value_of
from predictscale.config.presets import Extra, load_presets
from predictscale.simulate.engine.deployment import Names
from predictscale.simulate.engine.exposition import EngineName
from predictscale.simulate.engine.fleet import Fleet
from predictscale.simulate.engine.ledger import Truth
from predictscale.simulate.engine.pods import PodBoot
from predictscale.simulate.engine.record import Recording, record
from predictscale.simulate.engine.traffic import Mix, RequestClass
from predictscale.simulate.fleet import BootTime
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.e2e

WARM_S, LONG_S = 300.0, 1200.0
CACHED = Mix.only(RequestClass(input_tokens=512, output_tokens=256, cached_share=0.4))
BOOT = PodBoot(schedule=BootTime(median_s=1.0), pull=BootTime(median_s=5.0), load=BootTime(median_s=60.0))
ENGINES: dict[str, EngineName] = {"new": "vllm", "rolling": "vllm", "ranks": "sglang"}


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


@pytest.mark.parametrize("name", list(ENGINES))
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
    # Little's law: those in service are arrivals times their stay.
    stay = truth.per_second(truth.arrived) * truth.mean_e2e_s
    assert told(world, name, Extra.RUNNING) == pytest.approx(stay, rel=0.05)


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


@pytest.mark.parametrize("name", ["new", "rolling"])
def test_the_cached_share_is_one_over_both_names(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str
) -> None:
    truth = truth_of(world[1][name])
    share = 1 - truth.uncached_tokens / truth.input_tokens
    assert told(world, name, Extra.CACHED_SHARE) == pytest.approx(share, rel=0.02)


@pytest.mark.parametrize("name", list(ENGINES))
def test_the_use_of_the_cache_is_a_mean_of_replicas(
    world: tuple[PrometheusServer, dict[str, Fleet]], name: str
) -> None:
    server, fleets = world
    fleet = fleets[name]
    query = load_presets()[ENGINES[name]].query(Extra.KV_USAGE, selector=f'namespace="{name}"')
    assert query is not None
    used = [engine.kv_usage for pod in fleet.pods for engine in pod.engines]
    assert value_of(server, query, until(fleet)) == pytest.approx(sum(used) / len(used), rel=0.02)
