"""Latency targets instead of a capacity: what is written, what is refused, and what it becomes."""

from typing import Any

import pytest
from pydantic import ValidationError

from predictscale.config.capacity import CapacitySettings, telling_of
from predictscale.config.metadata import parse_trigger
from predictscale.config.presets import load_presets
from predictscale.config.settings import ServiceSettings, WorkloadSettings
from predictscale.core.capacity import Origin
from predictscale.core.demand import SignalName
from predictscale.core.law import LatencyTargets, Mix
from predictscale.core.lawcapacity import REQUESTS, TOKENS, CapacityLaw, Engine
from predictscale.core.needed import Demands
from predictscale.core.offered import Rate
from predictscale.errors import SettingsError

PRESETS = load_presets()
SERVICE = ServiceSettings()
CHAT = {"backend": "vllm", "maxReplicas": "25", "itl": "50ms"}


def parse(metadata: dict[str, str]) -> WorkloadSettings:
    return parse_trigger("llm", "chat", metadata, SERVICE, PRESETS)


def problems(metadata: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(metadata)
    return [str(problem) for problem in caught.value.problems]


def law_of(settings: WorkloadSettings) -> CapacityLaw:
    capacity = settings.policy().capacity
    assert isinstance(capacity, CapacityLaw)
    return capacity


def test_a_target_latency_is_enough_to_have_a_capacity_learned() -> None:
    chat = parse(CHAT)
    assert chat.capacity_per_replica is None
    assert chat.learned is not None
    assert chat.learned.targets == LatencyTargets(itl_s=0.05)
    law = law_of(chat)
    assert (law.work, law.primary, law.origin) == (TOKENS, Rate.REQUESTS, Origin.START)


def test_every_key_of_a_learned_capacity_sets_its_field() -> None:
    chat = parse(
        CHAT
        | {
            "ttftP95": "1s",
            "queueTime": "200ms",
            "startPerReplica": "6",
            "imbalance": "0.1",
            "waitProbability": "2%",
            "kvTokens": "400000",
            "maxRunning": "256",
            "maxBatchedTokens": "8192",
            "model": "llama-70b",
            "accelerator": "h100",
        }
    )
    learned = chat.learned
    assert learned is not None
    assert learned.targets == LatencyTargets(itl_s=0.05, ttft_p95_s=1.0, queue_s=0.2)
    assert learned.engine == Engine(kv_tokens=400_000, max_running=256, max_batched_tokens=8192)
    assert (learned.model, learned.accelerator, learned.engine_name) == ("llama-70b", "h100", "vllm")
    law = law_of(chat)
    assert law.configured is not None
    assert law.configured.per_replica == Demands(requests_rps=6)
    assert law.configured.until_learned
    assert (law.imbalance, law.burst.wait_probability) == (0.1, 0.02)


def test_in_a_file_it_is_a_section_whose_durations_bring_their_units() -> None:
    written = CapacitySettings.model_validate({"itl": "50ms", "ttft_p95": "1s", "queue": 0})
    assert written == CapacitySettings(itl_s=0.05, ttft_p95_s=1.0)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        (
            {"backend": "vllm", "maxReplicas": "9"},
            (
                "scalerMetadata.capacityPerReplica: is missing; give it, or latency targets (itl) "
                "to have it learned"
            ),
        ),
        (
            CHAT | {"capacityPerReplica": "6"},
            (
                "scalerMetadata.itl: is given with capacityPerReplica; give one of them; "
                "a capacity that is given is never learned"
            ),
        ),
        (
            CHAT | {"backend": "llm-d"},
            (
                "scalerMetadata.itl: is given with 'llm-d', which does not tell latencies pod by pod; "
                "give capacityPerReplica instead"
            ),
        ),
        (
            CHAT | {"backend": "llama-cpp"},
            (
                "scalerMetadata.itl: is given with 'llama-cpp', which does not tell requests; "
                "give capacityPerReplica instead"
            ),
        ),
        (
            CHAT | {"backend": "http"},
            (
                "scalerMetadata.itl: is given with 'http', which counts requests, and no tokens; "
                "give latency instead"
            ),
        ),
        (
            {"backend": "vllm", "maxReplicas": "9", "latency": "2s"},
            "scalerMetadata.latency: is given with 'vllm', which counts tokens; give itl instead",
        ),
        (
            CHAT | {"latency": "2s"},
            (
                "scalerMetadata.itl: is given with latency_s; give itl_s where tokens are counted, "
                "latency_s where only requests are"
            ),
        ),
        (
            {"backend": "vllm", "maxReplicas": "9", "ttftP95": "2s"},
            (
                "scalerMetadata.itl: is missing, as latency_s is; give itl_s where tokens are counted, "
                "latency_s where only requests are"
            ),
        ),
    ],
)
def test_what_cannot_be_learned_is_refused_with_what_would_do(metadata: dict[str, str], told: str) -> None:
    assert problems(metadata) == [told]


def test_a_backend_that_is_to_be_found_has_no_capacity_learned() -> None:
    (told,) = problems(CHAT | {"backend": "auto", "unit": "requests/s"})
    assert told.startswith("scalerMetadata.itl: is given without a backend that is named; give ")


def test_an_unknown_backend_is_one_problem_and_not_two() -> None:
    (told,) = problems(CHAT | {"backend": "vlm"})
    assert told.startswith("scalerMetadata.backend: ")


def test_a_wrong_target_is_found_with_all_other_problems() -> None:
    found = problems(CHAT | {"itl": "soon", "maxRunning": "0", "leadTime": "1s"})
    places = {line.split(":")[0].removeprefix("scalerMetadata.") for line in found}
    assert places == {"itl", "maxRunning", "leadTime"}


def test_a_hidden_target_is_not_repeated() -> None:
    (told,) = problems({"backend": "vllm", "maxReplicas": "9", "itlFromEnv": "s3cret"})
    assert told.startswith("scalerMetadata.itlFromEnv: ")
    assert "s3cret" not in told


@pytest.mark.parametrize(
    "wrong",
    [
        {"itl": "0s"},
        {"itl": "2m"},
        {"itl": "50ms", "imbalance": -0.1},
        {"itl": "50ms", "start_per_replica": 0},
        {"itl": "50ms", "wait_probability": 1},
        {"latency": "1s", "ttft_p95": "1s"},
        {"itl": "50ms", "typo": 1},
    ],
)
def test_numbers_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CapacitySettings.model_validate(wrong)


def test_tokens_are_asked_for_beside_demand_and_queue() -> None:
    signals = parse(CHAT).signals(PRESETS)
    assert set(signals) == {
        SignalName.DEMAND,
        SignalName.QUEUE,
        SignalName.INPUT_TOKENS,
        SignalName.UNCACHED_TOKENS,
        SignalName.OUTPUT_TOKENS,
        SignalName.KV_USAGE,
    }
    assert 'namespace="llm"' in signals[SignalName.OUTPUT_TOKENS].query


def test_where_demand_is_tokens_requests_are_asked_of_the_server_it_belongs_to() -> None:
    chat = parse(CHAT | {"backend": "vllm-tokens", "startPerReplica": "3000", "emptyIsZero": "true"})
    signals = chat.signals(PRESETS)
    assert chat.learned is not None
    assert chat.learned.engine_name == "vllm"
    assert chat.unit == "tokens/s"
    plain = parse(CHAT).signals(PRESETS)
    assert signals[SignalName.REQUESTS].query == plain[SignalName.DEMAND].query
    assert signals[SignalName.WAITING].query == plain[SignalName.QUEUE].query
    assert signals[SignalName.REQUESTS].empty_is_zero
    assert not signals[SignalName.KV_USAGE].empty_is_zero
    law = law_of(chat)
    assert law.primary is Rate.OUTPUT
    assert law.configured is not None
    assert law.configured.per_replica == Demands(output_tokens_per_s=3000)


def test_plain_requests_are_learned_from_their_latency() -> None:
    shop = parse({"backend": "http", "maxReplicas": "9", "latency": "200ms", "startPerReplica": "80"})
    law = law_of(shop)
    assert (law.work, law.primary, law.mix) == (REQUESTS, Rate.REQUESTS, Mix.of_requests())
    assert set(shop.signals(PRESETS)) == {SignalName.DEMAND}
    assert shop.learned is not None
    assert shop.learned.telling.is_demand(Rate.REQUESTS)


def test_every_backend_either_tells_what_a_law_is_learned_from_or_what_it_lacks() -> None:
    told = {name: telling_of(preset, PRESETS) for name, preset in PRESETS.items()}
    for name, answer in told.items():
        if isinstance(answer, str):
            assert answer
            continue
        telling, primary = answer
        unit = {Rate.REQUESTS: "requests/s", Rate.OUTPUT: "tokens/s"}[primary]
        assert PRESETS[name].signals[SignalName.DEMAND].unit == unit
        itl = "itl" if telling.counts_tokens else "latency"
        start = {"backend": name, "maxReplicas": "9", itl: "1s", "startPerReplica": "5"}
        signals = parse(start).signals(PRESETS)
        wanted = {
            telling.requests,
            telling.input_tokens,
            telling.prompts,
            telling.output_tokens,
            telling.waiting,
        }
        assert wanted - {None} <= signals.keys()
    assert not isinstance(told["vllm"], str)
    assert not isinstance(told["sglang-tokens"], str)
