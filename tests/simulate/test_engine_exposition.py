"""Engines say of themselves what vLLM and SGLang would, and kube-state-metrics of their pods."""

import subprocess
from collections.abc import Iterator

import httpx2
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from engine_fleets import QUIET, after, asked, chat_fleet
from predictscale.clock import ManualClock
from predictscale.simulate.engine.exposition import EngineName, NamesOf, exposition, kube_exposition
from predictscale.simulate.engine.families import Families
from predictscale.simulate.engine.fleet import ORIGIN, Fleet
from predictscale.simulate.engine.meters import VLLM_ITL_S, Histogram, Meters
from predictscale.simulate.engine.pods import PodBoot
from predictscale.simulate.engine.record import record
from predictscale.simulate.engine.server import FleetServer
from predictscale.simulate.engine.traffic import Mix, RequestClass
from predictscale.simulate.fleet import BootTime

KIND = RequestClass(input_tokens=400, output_tokens=100, cached_share=0.5, timeout_s=30.0)
BOOT = PodBoot(schedule=BootTime(median_s=2.0), pull=BootTime(median_s=8.0), load=BootTime(median_s=30.0))
ENGINES: tuple[EngineName, ...] = ("vllm", "sglang")
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture(scope="module")
def fleet() -> Fleet:
    made = chat_fleet(20.0, mix=Mix.only(KIND), pods=2, boot=BOOT, bin_s=5.0)
    made.run(after(120))
    return made


def parsed(text: str) -> list[Metric]:
    return list(text_string_to_metric_families(text))


def samples(text: str) -> Samples:
    found = [s for family in parsed(text) for s in family.samples]
    told = {(s.name, frozenset(s.labels.items())): s.value for s in found}
    assert len(told) == len(found), "no series twice"
    return told


def total(told: Samples, name: str, **labels: str) -> float:
    chosen = [value for (n, has), value in told.items() if n == name and labels.items() <= dict(has).items()]
    assert chosen, name
    return sum(chosen)


def names_in(text: str) -> set[str]:
    return {sample.name for family in parsed(text) for sample in family.samples}


@pytest.mark.e2e
@pytest.mark.parametrize("names", ["old", "new", "both"])
@pytest.mark.parametrize("engine", ENGINES)
def test_promtool_accepts_the_text(fleet: Fleet, engine: EngineName, names: NamesOf) -> None:
    for text in (exposition(fleet, engine=engine, names=names), kube_exposition(fleet)):
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        complaints = done.stdout.splitlines() + done.stderr.splitlines()
        # The backends' own names have colons, which promtool would keep for recording rules.
        assert [c for c in complaints if c and not c.endswith("metric names should not contain ':'")] == []


@pytest.mark.parametrize("engine", ENGINES)
def test_counters_and_buckets_never_fall_and_nothing_is_called_created(engine: EngineName) -> None:
    fleet = chat_fleet(20.0, mix=Mix.only(KIND))
    before: Samples = {}
    for second in range(10, 60, 10):
        fleet.run(after(second))
        text = exposition(fleet, engine=engine, names="both")
        assert "_created" not in text
        counters = {f.name for f in parsed(text) if f.type in ("counter", "histogram")}
        now = {
            key: value
            for key, value in samples(text).items()
            if any(key[0].startswith(name) for name in counters)
        }
        assert now.keys() >= before.keys()
        assert all(now[key] >= value for key, value in before.items())
        assert sum(now.values()) > sum(before.values())
        before = now


def test_vllm_tells_what_the_engines_are_and_did(fleet: Fleet) -> None:
    told, truth = samples(exposition(fleet)), fleet.truth(ORIGIN, after(120))
    engines = [engine for pod in fleet.pods for engine in pod.engines]
    assert total(told, "vllm:num_requests_running") == sum(engine.running for engine in engines)
    assert total(told, "vllm:num_requests_waiting") == sum(engine.waiting for engine in engines)
    assert total(told, "vllm:generation_tokens_total") == truth.generated_tokens
    assert total(told, "vllm:request_success_total", finished_reason="stop") == truth.finished
    assert total(told, "vllm:time_to_first_token_seconds_count") == truth.ttft_s.size
    assert total(told, "vllm:time_to_first_token_seconds_sum") == pytest.approx(truth.ttft_s.sum())
    gaps = total(told, "vllm:inter_token_latency_seconds_count")
    assert total(told, "vllm:inter_token_latency_seconds_sum") / gaps == pytest.approx(truth.mean_itl_s)
    assert total(told, "vllm:e2e_request_latency_seconds_count") == truth.finished
    hits, queries = "vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total"
    assert total(told, hits) / total(told, queries) == pytest.approx(0.5, abs=0.01)
    local = total(told, "vllm:prompt_tokens_by_source_total", source="local_compute")
    assert local + total(told, "vllm:prompt_tokens_by_source_total", source="local_cache_hit") == total(
        told, "vllm:prompt_tokens_total"
    )
    (cache,) = {
        (dict(has)["num_gpu_blocks"], dict(has)["block_size"])
        for name, has in told
        if name == "vllm:cache_config_info"
    }
    assert cache == ("25000", "16")


def test_sglang_tells_what_the_engines_are_and_did(fleet: Fleet) -> None:
    told, truth = samples(exposition(fleet, engine="sglang")), fleet.truth(ORIGIN, after(120))
    engines = [engine for pod in fleet.pods for engine in pod.engines]
    assert total(told, "sglang:num_running_reqs") == sum(engine.running for engine in engines)
    assert total(told, "sglang:http_requests_total") == truth.arrived
    assert total(told, "sglang:num_requests_total") == truth.finished
    assert total(told, "sglang:realtime_tokens_total", mode="decode") == truth.generated_tokens
    assert total(told, "sglang:realtime_tokens_total", mode="prefill_compute") == truth.computed_tokens
    # Tokens of those who are not finished are told by the other counter only.
    assert total(told, "sglang:generation_tokens_total") < truth.generated_tokens
    assert total(told, "sglang:max_total_num_tokens") == 2 * 400_000
    usage = total(told, "sglang:token_usage")
    assert usage == pytest.approx(sum(engine.kv_usage for engine in engines))
    idle = total(told, "sglang:scheduler_idle_seconds_total")
    assert idle == pytest.approx(240 - sum(engine.busy_s(120) for engine in engines))
    assert 0 < idle < 240
    assert "model_name" not in next(dict(has) for name, has in told if name == "sglang:http_requests_total")


@pytest.mark.parametrize(
    ("engine", "old", "new"),
    [
        (
            "vllm",
            {"vllm:gpu_cache_usage_perc", "vllm:time_per_output_token_seconds_sum"},
            {"vllm:kv_cache_usage_perc", "vllm:inter_token_latency_seconds_sum"},
        ),
        ("sglang", set(), {"sglang:realtime_tokens_total"}),
    ],
)
def test_old_new_and_both_names(fleet: Fleet, engine: EngineName, old: set[str], new: set[str]) -> None:
    told = {
        names: names_in(exposition(fleet, engine=engine, names=names)) for names in ("old", "new", "both")
    }
    assert told["both"] == told["old"] | told["new"]
    assert old <= told["old"] - told["new"] or not old
    assert new <= told["new"] - told["old"]


def test_ranks_of_a_pod_are_told_apart_by_vllm_and_requests_only_once_by_sglang() -> None:
    fleet = chat_fleet(20.0, engines_per_pod=2)
    fleet.run(after(60))
    vllm, sglang = samples(exposition(fleet)), samples(exposition(fleet, engine="sglang"))
    received = [engine.meters.received for engine in fleet.pods[0].engines]
    assert min(received) > 0
    for rank, engine in enumerate(fleet.pods[0].engines):
        assert total(vllm, "vllm:num_requests_running", engine=str(rank)) == engine.running
        assert total(sglang, "sglang:num_running_reqs", dp_rank=str(rank)) == engine.running
    assert total(sglang, "sglang:http_requests_total") == sum(received)
    finished = sum(engine.meters.finished for engine in fleet.pods[0].engines)
    assert total(sglang, "sglang:e2e_request_latency_seconds_count") == finished


def test_a_pod_that_boots_has_no_metrics_and_little_in_kubernetes() -> None:
    fleet = chat_fleet(1.0, boot=BOOT)
    fleet.scale(2, after(10))
    name = fleet.pods[1].name
    seen = []
    for second in (11, 15, 25, 55):
        fleet.run(after(second))
        kube = samples(kube_exposition(fleet))
        here = {n for n, has in kube if ("pod", name) in has}
        marks = (
            "kube_pod_status_scheduled_time",
            "kube_pod_container_state_started",
            "kube_pod_status_ready_time",
        )
        seen.append([mark in here for mark in marks] + [name in exposition(fleet)])
        assert total(kube, "kube_pod_status_phase", pod=name) == 1
        assert total(kube, "kube_pod_status_ready", pod=name) == 1
        assert total(kube, "kube_deployment_status_replicas") == 2
        assert total(kube, "kube_deployment_status_replicas_ready") == (2 if second == 55 else 1)
    assert seen == [
        [False, False, False, False],
        [True, False, False, False],
        [True, True, False, False],
        [True, True, True, True],
    ]
    kube = samples(kube_exposition(fleet))
    at = ORIGIN.timestamp()
    assert total(kube, "kube_pod_created", pod=name) == at + 10
    assert total(kube, "kube_pod_status_scheduled_time", pod=name) == at + 12
    assert total(kube, "kube_pod_container_state_started", pod=name) == at + 20
    assert total(kube, "kube_pod_status_ready_time", pod=name) == at + 50


def test_a_flap_moves_the_time_of_readiness_and_leaves_it_out_while_it_lasts() -> None:
    fleet = chat_fleet(1.0)
    name = fleet.pods[0].name
    fleet.flap(name, after(30), for_s=20.0)
    assert "kube_pod_status_ready_time" not in names_in(kube_exposition(fleet))
    assert name in exposition(fleet)
    fleet.run(after(60))
    ready = total(samples(kube_exposition(fleet)), "kube_pod_status_ready_time")
    assert ready == ORIGIN.timestamp() + 50


def test_a_pod_is_told_alone_as_it_would_tell_itself(fleet: Fleet) -> None:
    alone = samples(exposition(fleet, pod=fleet.pods[0].name))
    assert total(alone, "vllm:num_requests_running") == fleet.pods[0].engines[0].running
    assert not any({"pod", "namespace"} & dict(has).keys() for _, has in alone)
    with pytest.raises(ValueError, match="no such pod answers"):
        exposition(fleet, pod="nobody")


def test_a_histogram_is_told_exactly_at_its_bounds() -> None:
    histogram = Histogram([1.0, 2.0], [2.0, 5.0])
    for value in (0.5, 1.0, 1.5, 2.0, 7.0):
        histogram.observe(value)
    histogram.observe(3.0, times=4)
    assert histogram.cumulative([1.0, 2.0, 5.0]) == [2, 4, 8]
    assert histogram.cumulative([2.0]) == [4]
    assert (histogram.count, histogram.total) == (9, 24.0)
    families = Families()
    families.histogram("h", "H.", {}, histogram, [2.0])
    assert samples(families.text()) == {
        ("h_bucket", frozenset({("le", "2.0")})): 4,
        ("h_bucket", frozenset({("le", "+Inf")})): 9,
        ("h_count", frozenset()): 9,
        ("h_sum", frozenset()): 24,
    }


def test_meters_of_two_engines_add_up() -> None:
    one, two = Meters(received=2, busy_s=1.5), Meters(received=3)
    one.itl.observe(0.02, times=2)
    two.itl.observe(0.3)
    one.add(two)
    assert (one.received, one.busy_s, one.itl.count) == (5, 1.5, 3)
    assert one.itl.cumulative(VLLM_ITL_S)[:2] == [0, 2]
    assert two.itl.count == 1


def test_a_record_is_what_scrapes_would_have_seen() -> None:
    fleet, twin = (chat_fleet(5.0, pods=2, boot=BOOT) for _ in range(2))
    taken = record(fleet, after(60), every_s=15.0)
    fleet.scale(3, after(60))
    record(fleet, after(123), every_s=15.0, into=taken)
    assert fleet.now == after(123)
    twin.scale(3, after(60))
    twin.run(after(120))
    now = samples(exposition(twin) + kube_exposition(twin))
    for (name, labels), value in now.items():
        (series,) = taken.select(name, **dict(labels)).values() if "le" not in dict(labels) else [None]
        if series is not None:
            assert series[-1] == (after(120).timestamp(), value)
    tokens = taken.select("vllm:generation_tokens_total", pod=twin.pods[0].name)
    (looks,) = tokens.values()
    assert [at for at, _ in looks] == [after(second).timestamp() for second in range(15, 121, 15)]
    # The new pod answers 40 s after it was asked for, at the look at 105 s.
    (late,) = taken.select("vllm:generation_tokens_total", pod=twin.pods[2].name).values()
    assert len(late) == 2


def test_a_record_is_written_family_by_family_and_ends() -> None:
    lines = [line.rstrip("\n") for line in record(chat_fleet(5.0), after(45)).openmetrics()]
    assert lines[-1] == "# EOF"
    families = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(families) == len(set(families)) > 20
    assert "# TYPE vllm:generation_tokens counter" in lines
    with pytest.raises(ValueError, match="every_s"):
        record(chat_fleet(5.0), after(45), every_s=0.0)


@pytest.fixture
def served() -> Iterator[tuple[FleetServer, ManualClock, httpx2.Client]]:
    clock = ManualClock(after(30))
    with (
        FleetServer(chat_fleet(5.0, pods=2), clock, engine="sglang") as server,
        httpx2.Client(base_url=f"http://{server.address}", trust_env=False, timeout=60.0) as client,
    ):
        yield server, clock, client


def test_a_scrape_sees_the_fleet_at_the_clocks_present(
    served: tuple[FleetServer, ManualClock, httpx2.Client],
) -> None:
    server, clock, client = served
    arrived = total(samples(client.get("/metrics").text), "sglang:http_requests_total")
    assert server.fleet.now == after(30)
    clock.advance(60.0)
    answer = client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert total(samples(answer.text), "sglang:http_requests_total") > 2 * arrived
    assert server.fleet.now == after(90)


def test_each_pod_and_kubernetes_have_a_path_of_their_own(
    served: tuple[FleetServer, ManualClock, httpx2.Client],
) -> None:
    server, _, client = served
    pod = server.fleet.pods[1].name
    assert "pod=" not in client.get(f"/metrics/{pod}").text
    assert "kube_pod_created" in client.get("/kube/metrics").text
    assert client.get("/metrics/nobody").status_code == 404
    assert client.get("/").status_code == 404


def test_a_context_that_is_full_ends_an_answer_for_its_length() -> None:
    fleet = chat_fleet(0.0, spec=QUIET)
    request = asked(fleet.pods[0].engines[0], tokens=10, answer=5)
    request.cut = True
    fleet.run(after(5))
    told = samples(exposition(fleet))
    assert total(told, "vllm:request_success_total", finished_reason="length") == 1
    assert total(told, "vllm:request_success_total", finished_reason="stop") == 0
