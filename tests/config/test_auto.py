"""Which backend `backend: auto` means: one that fits, or a doubt that says what was seen."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.config import promql
from predictscale.config.auto import Choice, Undecided, Wanted, choose, look_queries, pod_queries
from predictscale.config.backends import OwnBackend, with_own
from predictscale.config.detect import Seen
from predictscale.config.metadata import parse_trigger
from predictscale.config.presets import Presets, load_presets
from predictscale.config.settings import ServiceSettings
from predictscale.errors import SettingsError

PRESETS = load_presets()
SAYS = {"backend": "auto", "capacityPerReplica": "5", "maxReplicas": "9"}
CHAT, LARGE = "chat-7c9f8b6d5-x7k2b", "chat-large-7c9f8b6d5-x7k2b"
ROUTER = "router-7c9f8b6d5-x7k2b"

Series = tuple[Mapping[str, str], float]


def of(metric: str, *, label: str = "namespace", **labels: str) -> Series:
    return {"__name__": metric, label: "llm", **labels}, 1.0


def vllm(pod: str = CHAT, model: str = "m", **labels: str) -> Series:
    return of("vllm:num_requests_waiting", pod=pod, model_name=model, **labels)


def sglang(pod: str = CHAT) -> Series:
    return of("sglang:num_queue_reqs", pod=pod)


def router(model: str = "m") -> Series:
    return of("vllm:num_incoming_requests_total", pod=ROUTER, model=model)


def wanted(*, selector: str = "", target: str | None = None, unit: str = "requests/s") -> Wanted:
    bound = promql.parse_selector(selector, "llm", where="selector")
    return Wanted(namespace="llm", selector=bound, target=target, unit=unit)


def looked(
    *series: Series, presets: Presets = PRESETS, owners: Sequence[Seen] = ((), ()), **says: Any
) -> Choice | Undecided:
    seen: dict[str, list[Series]] = {}
    for one in series:
        label = next(name for name, value in one[0].items() if value == "llm")
        seen.setdefault(label, []).append(one)
    return choose(presets, wanted(**says), seen=seen, owners=owners)


def chosen(*series: Series, **says: Any) -> Choice:
    found = looked(*series, **says)
    assert isinstance(found, Choice), found
    return found


def doubt(*series: Series, **says: Any) -> str:
    found = looked(*series, **says)
    assert isinstance(found, Undecided), found
    return found.because


def trigger(**metadata: str) -> Any:
    service = ServiceSettings()
    return parse_trigger("llm", "chat", {**SAYS, **metadata}, service, service.presets())


def test_a_trigger_is_accepted_from_its_metadata_alone() -> None:
    settings = trigger(unit="tokens/s", selector='model_name="m"', target="chat")
    assert (settings.backend, settings.unit, settings.target) == ("auto", "tokens/s", "chat")
    assert settings.selector == 'namespace="llm",model_name="m"'


@pytest.mark.parametrize(
    ("metadata", "complaint"),
    [
        ({}, "unit: is missing; must be requests/s or tokens/s with backend auto (capacityPerReplica counts"),
        ({"unit": "things/s"}, "unit: 'things/s'; must be requests/s or tokens/s"),
        ({"unit": "requests/s", "query": "up"}, "backend: both are given"),
        ({"unit": "requests/s", "queueQuery": "up"}, "queueQuery: is given with a backend"),
        ({"unit": "requests/s", "selector": 'namespace="other"'}, "selector: selects namespace="),
    ],
)
def test_what_auto_needs_is_asked_for_before_anything_is_looked_for(
    metadata: dict[str, str], complaint: str
) -> None:
    with pytest.raises(SettingsError, match=re.escape(f"scalerMetadata.{complaint}")):
        trigger(**metadata)


def test_one_engine_of_the_target_is_chosen_and_its_pods_are_pinned() -> None:
    found = chosen(vllm(CHAT), vllm(LARGE), target="chat")
    assert (found.preset.name, found.deployment) == ("vllm", "chat")
    assert found.selector == 'namespace="llm",pod=~"chat-[0-9a-z]+-[0-9a-z]+"'
    assert "vllm:num_requests_waiting has 1 series in namespace llm" in found.because
    assert "pods of Deployment chat tell them" in found.because


def test_what_is_pinned_does_not_change_with_a_new_model_or_a_new_neighbour() -> None:
    first = chosen(vllm(CHAT, "old"), target="chat")
    rolled = chosen(vllm(CHAT, "old"), vllm("chat-6d5f8b7c9-x7k2b", "new"), target="chat")
    beside = chosen(vllm(CHAT, "new"), vllm(LARGE, "new"), sglang("x-0"), target="chat")
    assert first.agrees(rolled)
    assert first.agrees(beside)


def test_pods_whose_names_do_not_follow_their_deployment_are_chosen_by_what_they_tell() -> None:
    pods: Seen = [({"namespace": "llm", "pod": "odd", "owner_name": "rs"}, 1.0)]
    sets: Seen = [({"namespace": "llm", "replicaset": "rs", "owner_name": "chat"}, 1.0)]
    found = chosen(vllm("odd"), owners=(pods, sets), target="chat")
    assert found.selector == 'namespace="llm",model_name="m"'


def test_the_workloads_own_selector_stays() -> None:
    found = chosen(vllm(CHAT), target="chat", selector='model_name="m"')
    assert found.selector == 'namespace="llm",model_name="m",pod=~"chat-[0-9a-z]+-[0-9a-z]+"'


def test_a_selector_is_bound_by_the_label_of_the_backend_that_was_found() -> None:
    shop = of("nginx_ingress_controller_requests", label="exported_namespace", ingress="shop")
    found = chosen(shop, selector='ingress="shop"')
    assert (found.preset.name, found.selector) == ("nginx", 'exported_namespace="llm",ingress="shop"')


def test_a_routers_copies_are_not_counted_with_the_engines() -> None:
    found = chosen(vllm(CHAT), vllm(ROUTER, server="http://a"), target="chat")
    assert found.selector.endswith(',server=""')


@pytest.mark.parametrize(("unit", "name"), [("requests/s", "vllm"), ("tokens/s", "vllm-tokens")])
def test_the_unit_of_capacity_decides_what_of_a_server_is_read(unit: str, name: str) -> None:
    assert chosen(vllm(), target="chat", unit=unit).preset.name == name


def test_a_backend_that_counts_something_else_is_not_taken() -> None:
    assert doubt(of("tgi_request_count", pod=CHAT), target="chat", unit="tokens/s") == (
        "nothing counts tokens/s, only tgi (Text Generation Inference, requests) in requests/s"
    )


def test_of_several_that_fit_none_is_taken_and_all_are_listed() -> None:
    because = doubt(vllm(CHAT), sglang(LARGE))
    assert because.startswith("2 backends fit, ")
    assert "vllm (vLLM, requests) of Deployment chat" in because
    assert "sglang (SGLang, requests) of Deployment chat-large" in because
    assert because.endswith("name the backend, or narrow by target or selector")


def test_two_deployments_of_one_backend_are_two_that_fit() -> None:
    assert doubt(vllm(CHAT), vllm(LARGE)).startswith("2 backends fit, ")


def test_an_engine_comes_before_what_else_its_pods_tell() -> None:
    assert chosen(vllm(), of("http_requests_total", pod=CHAT), target="chat").preset.name == "vllm"


def test_a_gateway_is_taken_only_for_a_selector() -> None:
    assert "only gateways tell of this namespace" in doubt(router())
    assert "no series come from pods of Deployment chat" in doubt(router(), target="chat")
    found = chosen(router(), target="chat", selector='model="m"')
    assert (found.preset.name, found.deployment) == ("production-stack", None)


def test_series_of_no_deployment_are_not_taken_for_the_targets() -> None:
    assert "no series come from pods of Deployment chat" in doubt(vllm("x-0"), target="chat")
    assert chosen(vllm("x-0"), target="chat", selector='model_name="m"').preset.name == "vllm"


def test_nothing_seen_says_so_and_is_told_from_a_doubt() -> None:
    nothing = looked(selector='model_name="m"')
    assert isinstance(nothing, Undecided)
    assert not nothing.seen
    assert nothing.because == 'namespace llm has no series of a known backend that match model_name="m"'
    unclear = looked(vllm(CHAT), sglang(LARGE))
    assert isinstance(unclear, Undecided)
    assert unclear.seen


def test_a_long_list_is_cut() -> None:
    many = [vllm(f"d{number}-7c9f8b6d5-x7k2b") for number in range(9)]
    assert "3 more; name the backend" in doubt(*many)


def test_an_own_backend_is_found_as_the_packaged_ones_are() -> None:
    own = OwnBackend.model_validate(
        {
            "name": "mine",
            "title": "Mine",
            "source": "a test",
            "discovery": {"metrics": ["mine_total"], "told_by": "engine"},
            "signals": {
                "demand": {
                    "query": "sum(rate(mine_total{$selector}[$window]))",
                    "unit": "requests/s",
                    "meaning": "arrival",
                }
            },
        }
    )
    assert chosen(of("mine_total", pod=CHAT), presets=with_own([own]), target="chat").preset.name == "mine"


def test_another_can_succeed_only_where_the_same_pods_tell_it_in_the_same_way() -> None:
    engine, other = chosen(vllm(), target="chat"), chosen(sglang(), target="chat")
    gateway = chosen(router(), target="chat", selector='model="m"')
    assert other.succeeds(engine)
    assert not gateway.succeeds(engine)
    assert not chosen(vllm(LARGE), target="chat-large").succeeds(engine)


@given(st.text(max_size=20), st.sampled_from([0.0, 86400.0]))
def test_every_look_is_confined_to_the_workloads_namespace(value: str, back_s: float) -> None:
    try:
        quoted = promql.quote_label(value)
        says = wanted(selector=f"model_name={quoted}")
    except (SettingsError, ValueError):
        return
    for label, query in look_queries(PRESETS, says, back_s=back_s).items():
        assert f'{label}="llm"' in query
        assert promql.unconfined(query, "llm", label=label) == []
    for query in pod_queries(says, back_s=back_s):
        assert 'namespace=~"llm"' in query


def test_a_look_asks_for_every_backend_that_can_be_found() -> None:
    asked = " ".join(look_queries(PRESETS, wanted()).values())
    for preset in PRESETS.values():
        assert all(metric in asked for metric in (preset.discovery.metrics if preset.discovery else ()))
