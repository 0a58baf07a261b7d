"""What a real Prometheus makes of simulated engines, against what really happened in them."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx2
import pytest

from engine_fleets import backfill, chat_fleet, value_of
from patience import WITHIN_S, until
from predictscale.clock import SystemClock
from predictscale.config.presets import fleet_signals, load_presets
from predictscale.core.demand import SignalName
from predictscale.simulate.engine.deployment import Names
from predictscale.simulate.engine.exposition import EngineName
from predictscale.simulate.engine.fleet import Fleet
from predictscale.simulate.engine.ledger import Truth
from predictscale.simulate.engine.pods import PodBoot
from predictscale.simulate.engine.record import Recording, record
from predictscale.simulate.engine.server import FleetServer
from predictscale.simulate.engine.traffic import CHAT, Mix, RequestClass
from predictscale.simulate.fleet import BootTime
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.e2e

WARM_S, LONG_S = 300.0, 1500.0
CACHED = Mix.only(RequestClass(input_tokens=512, output_tokens=256, cached_share=0.4))
QUICK_BOOT = PodBoot(
    schedule=BootTime(median_s=1.0), pull=BootTime(median_s=5.0), load=BootTime(median_s=60.0)
)


@dataclass(frozen=True)
class Past:
    """A fleet that has been recorded, and how its metrics are called."""

    fleet: Fleet
    engine: EngineName

    @property
    def since(self) -> datetime:
        return self.fleet.origin + timedelta(seconds=WARM_S)

    @property
    def until(self) -> datetime:
        return self.fleet.origin + timedelta(seconds=WARM_S + LONG_S)

    @property
    def truth(self) -> Truth:
        """What happened in the part that averages over the queries' windows look at."""
        return self.fleet.truth(self.since - timedelta(seconds=60), self.until - timedelta(seconds=60))


def recorded(name: str, engine: EngineName, names: Any, **fleet: Any) -> tuple[Past, Recording]:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    given: dict[str, Any] = {"rps": 20.0, "pods": 2, "mix": CACHED, "boot": QUICK_BOOT, **fleet}
    made = chat_fleet(
        **given, origin=now - timedelta(hours=4), names=Names(namespace=name), seed=len(name), bin_s=60.0
    )
    past = Past(made, engine)
    seen = record(made, past.since + timedelta(seconds=LONG_S / 2), engine=engine, names=names)
    if name == "rolling":
        made.roll(made.now)
    record(made, past.until, engine=engine, names=names, into=seen)
    return past, seen


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[PrometheusServer, dict[str, Past]]]:
    made = {
        "old": recorded("old", "vllm", "old"),
        "new": recorded("new", "vllm", "new"),
        "rolling": recorded("rolling", "vllm", {1: "old", 2: "both"}),
        "ranks": recorded("ranks", "vllm", "new", pods=1, engines_per_pod=2),
        "saturated": recorded("saturated", "vllm", "new", rps=30.0, pods=1, mix=Mix.only(CHAT)),
        "sgl-old": recorded("sgl-old", "sglang", "old"),
        "sgl-new": recorded("sgl-new", "sglang", "new", pods=1, engines_per_pod=2),
    }
    folder = tmp_path_factory.mktemp("engines")
    backfill(folder, [recording for _, recording in made.values()])
    with PrometheusServer(folder) as server:
        yield server, {name: past for name, (past, _) in made.items()}


def mean_of(server: PrometheusServer, past: Past, query: str) -> float:
    """The mean of a query over the steady part, asked every 15 s."""
    return value_of(server, f"avg_over_time(({query})[{LONG_S:.0f}s:15s])", past.until)


def preset_query(name: str, signal: SignalName, past: Past) -> str:
    found = load_presets()[name].signal(signal, selector=f'namespace="{past.fleet.names.namespace}"')
    assert found is not None
    return found.query


@pytest.mark.parametrize("name", ["old", "new", "rolling", "ranks", "sgl-old", "sgl-new"])
def test_preset_queries_give_the_truth_within_two_percent(
    world: tuple[PrometheusServer, dict[str, Past]], name: str
) -> None:
    server, pasts = world
    past, truth = pasts[name], pasts[name].truth
    requests = mean_of(server, past, preset_query(past.engine, SignalName.DEMAND, past))
    assert requests == pytest.approx(truth.per_second(truth.arrived), rel=0.02)
    tokens = mean_of(server, past, preset_query(f"{past.engine}-tokens", SignalName.DEMAND, past))
    assert tokens == pytest.approx(truth.per_second(truth.generated_tokens), rel=0.02)
    assert tokens == pytest.approx(truth.per_second(truth.output_tokens), rel=0.03)


@pytest.mark.parametrize("name", ["new", "rolling", "ranks", "sgl-new"])
def test_latencies_lengths_and_shares_are_told_as_they_are(
    world: tuple[PrometheusServer, dict[str, Past]], name: str
) -> None:
    server, pasts = world
    past, truth = pasts[name], pasts[name].truth
    at = f'{{namespace="{name}"}}'
    family = f"{past.engine}:inter_token_latency_seconds"
    between = f"rate({family}_sum{at}[2m])", f"rate({family}_count{at}[2m])"
    if name == "rolling":
        old = "vllm:time_per_output_token_seconds"
        between = (
            f"({between[0]} or rate({old}_sum{at}[2m]))",
            f"({between[1]} or rate({old}_count{at}[2m]))",
        )
    itl_s = mean_of(server, past, f"sum({between[0]})") / mean_of(server, past, f"sum({between[1]})")
    assert itl_s == pytest.approx(truth.mean_itl_s, rel=0.02)
    first = f"sum by (le) (rate({past.engine}:time_to_first_token_seconds_bucket{at}[25m]))"
    ttft_s = value_of(server, f"histogram_quantile(0.95, {first})", past.until)
    # A quantile from buckets is as good as its bucket.
    assert truth.ttft_quantile_s(0.95) / 2.5 < ttft_s < truth.ttft_quantile_s(0.95) * 2.5
    computed = {
        "vllm": f'rate(vllm:prompt_tokens_by_source_total{{namespace="{name}",source="local_compute"}}[2m])',
        "sglang": f'rate(sglang:realtime_tokens_total{{namespace="{name}",mode="prefill_compute"}}[2m])',
    }[past.engine]
    if name != "rolling":
        tokens = mean_of(server, past, f"sum({computed})")
        assert tokens == pytest.approx(truth.per_second(truth.uncached_tokens), rel=0.02)


def test_old_and_new_names_join_to_one_kv_usage_per_pod_in_a_rolling_upgrade(
    world: tuple[PrometheusServer, dict[str, Past]],
) -> None:
    server, pasts = world
    past = pasts["rolling"]
    at = '{namespace="rolling"}'
    joined = f"count(vllm:kv_cache_usage_perc{at} or vllm:gpu_cache_usage_perc{at})"
    told = f"count(count by (pod) (vllm:num_requests_running{at}))"
    half = past.since + timedelta(seconds=LONG_S / 2)
    for at_s in (-60, 45, 75, 150, 600):
        when = half + timedelta(seconds=at_s)
        assert value_of(server, joined, when) == value_of(server, told, when)
    assert {pod.revision for pod in past.fleet.past_pods} == {1}
    assert [pod.revision for pod in past.fleet.pods] == [2, 2]


def test_offered_load_is_not_capped_by_what_a_saturated_fleet_serves(
    world: tuple[PrometheusServer, dict[str, Past]],
) -> None:
    server, pasts = world
    past, truth = pasts["saturated"], pasts["saturated"].truth
    assert truth.finished < 0.6 * truth.arrived
    offered = mean_of(server, past, preset_query("vllm", SignalName.DEMAND, past))
    assert offered == pytest.approx(truth.per_second(truth.arrived), rel=0.02)
    queue = value_of(server, preset_query("vllm", SignalName.QUEUE, past), past.until)
    engines = [engine for pod in past.fleet.pods for engine in pod.engines]
    assert queue == sum(engine.waiting for engine in engines) > 1000
    tokens = value_of(server, preset_query("vllm-tokens", SignalName.QUEUE, past), past.until)
    assert tokens == pytest.approx(queue * CHAT.output_tokens, rel=0.1)


@pytest.mark.parametrize("name", ["new", "sgl-new"])
def test_the_queue_of_tokens_is_empty_when_nobody_waits(
    world: tuple[PrometheusServer, dict[str, Past]], name: str
) -> None:
    server, pasts = world
    past = pasts[name]
    queue = preset_query(f"{past.engine}-tokens", SignalName.QUEUE, past)
    waits = preset_query(past.engine, SignalName.QUEUE, past)
    per_request = value_of(server, queue, past.until), value_of(server, waits, past.until)
    assert per_request[0] == pytest.approx(per_request[1] * CHAT.output_tokens, rel=0.1)


def test_lead_times_are_read_from_kube_state_metrics(
    world: tuple[PrometheusServer, dict[str, Past]],
) -> None:
    server, pasts = world
    past = pasts["rolling"]
    at = 'namespace="rolling"'
    query = (
        f"quantile(0.5, min_over_time(kube_pod_status_ready_time{{{at}}}[1h])"
        f" - on (namespace, pod, uid) max_over_time(kube_pod_created{{{at}}}[1h]))"
    )
    boots = sorted(pod.birth.boot_s for pod in (*past.fleet.pods, *past.fleet.past_pods))
    assert value_of(server, query, past.until) == pytest.approx((boots[1] + boots[2]) / 2, abs=1.0)
    replicas, ready, _ = fleet_signals("rolling", past.fleet.names.deployment)
    half = past.since + timedelta(seconds=LONG_S / 2 + 30)
    assert value_of(server, replicas.query, half) == 3
    assert value_of(server, ready.query, half) == 2


async def test_a_prometheus_scrapes_a_fleet_that_lives_and_scales(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    origin = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=2)
    boot = PodBoot(schedule=BootTime(median_s=0.1), pull=BootTime(median_s=0.1), load=BootTime(median_s=1.0))
    fleet = chat_fleet(24.0, pods=2, origin=origin, bin_s=1.0, boot=boot)
    clock = SystemClock()
    with FleetServer(fleet, clock) as metrics:
        configs = metrics.scrape_config(every_s=1.0)
        with PrometheusServer(tmp_path_factory.mktemp("live"), scrape_configs=configs) as server:
            fleet.scale(3, clock.now())
            await asyncio.to_thread(until, lambda: standing(server, clock.now()) == [2.0, 3.0, 3.0])
            began = clock.now()
            # An answer may be as late as its scrape's timeout, a second: of these that is three in a hundred.
            await asyncio.to_thread(until, lambda: scraped_for_s(server, began, clock.now()) >= 30)
            first, *_, last = generated(server, began, clock.now())
    # It lives when somebody looks, and the last scrape may lie before that second.
    fleet.run(clock.now() + timedelta(seconds=1))
    since, to = (datetime.fromtimestamp(round(stamp_s), UTC) for stamp_s, _ in (first, last))
    truth = fleet.truth(since, to)
    told = (last[1] - first[1]) / (last[0] - first[0])
    assert told == pytest.approx(truth.per_second(truth.generated_tokens), rel=0.05)


def standing(server: PrometheusServer, at: datetime) -> list[float]:
    """Who is scraped, which pods are told and how many of them are ready; nothing if one is not known."""
    queries = ("up", "vllm:num_requests_running", "kube_deployment_status_replicas_ready")
    try:
        return [
            value_of(server, f"{how}({query})", at)
            for how, query in zip(("sum", "count", "max"), queries, strict=True)
        ]
    except ValueError:
        return []


def scraped_for_s(server: PrometheusServer, since: datetime, at: datetime) -> float:
    """How long the samples reach that were scraped since an instant [s]."""
    samples = generated(server, since, at)
    return samples[-1][0] - samples[0][0] if samples else 0.0


def generated(server: PrometheusServer, since: datetime, at: datetime) -> list[tuple[float, float]]:
    """Stamps of scrapes, and what the pods together had generated; where one failed there is none."""
    span_ms = round((at - since).total_seconds() * 1000)
    answer = httpx2.get(
        f"{server.url}/api/v1/query",
        params={"query": f"vllm:generation_tokens_total[{max(span_ms, 1)}ms]", "time": at.timestamp()},
        timeout=WITHIN_S,
        trust_env=False,
    )
    sums: dict[float, list[float]] = {}
    for series in answer.raise_for_status().json()["data"]["result"]:
        for stamp_s, value in series["values"]:
            sums.setdefault(stamp_s, []).append(float(value))
    return [(stamp_s, sum(values)) for stamp_s, values in sorted(sums.items()) if len(values) == 3]
