import re
from collections.abc import Mapping, Sequence

import promql_parser as pp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.config.detect import (
    FILL_IN,
    Detected,
    Proposal,
    Seen,
    count_query,
    deployments_of,
    detect,
    owner_queries,
)
from predictscale.config.metadata import parse_trigger
from predictscale.config.presets import load_presets
from predictscale.config.settings import ServiceSettings
from predictscale.errors import SettingsError

PRESETS = load_presets()
OWNER_SAYS = {"capacityPerReplica": "5", "leadTime": "4m", "maxReplicas": "9", "target": "app"}


def seen(metric: str, **labels: str) -> tuple[Mapping[str, str], float]:
    return {"__name__": metric, "namespace": "llm", **labels}, 1.0


def vllm(model: str, pod: str, **labels: str) -> tuple[Mapping[str, str], float]:
    return seen("vllm:num_requests_waiting", model_name=model, pod=pod, **labels)


def found(answers: Mapping[str, Seen], deployments: Mapping[tuple[str, str], str] | None = None) -> Detected:
    return detect(PRESETS, answers, deployments or {})


def only(detected: Detected) -> Proposal:
    (proposal,) = detected.proposals
    return proposal


def test_a_model_of_one_deployment_is_proposed_with_its_label_and_its_target() -> None:
    pods = [f"chat-7c9f8b6d5-x7k2{end}" for end in "bcd"]
    proposal = only(found({"vllm": [vllm("llama-3", pod) for pod in pods]}))
    assert proposal.metadata == {
        "backend": "vllm",
        "selector": 'model_name="llama-3"',
        "target": "chat",
        "capacityPerReplica": FILL_IN,
        "leadTime": FILL_IN,
        "maxReplicas": FILL_IN,
    }
    assert "vllm:num_requests_waiting has 3 series in namespace llm, model_name llama-3" in proposal.because
    assert "pods of Deployment chat tell them: 3, by their names" in proposal.because
    assert proposal.besides == ("backend vllm-tokens, with capacityPerReplica in tokens/s",)


def test_kube_state_metrics_knows_better_than_a_pods_name() -> None:
    pods = [({"namespace": "llm", "pod": "chat-7c9f8b6d5-x7k2b", "owner_name": "rs"}, 1.0)]
    sets = [({"namespace": "llm", "replicaset": "rs", "owner_name": "front-chat"}, 1.0)]
    proposal = only(found({"vllm": [vllm("a", "chat-7c9f8b6d5-x7k2b")]}, deployments_of(pods, sets)))
    assert proposal.deployment == "front-chat"
    assert "pods of Deployment front-chat tell them: 1" in proposal.because


def test_owners_without_labels_or_with_odd_names_are_nobodys() -> None:
    pods: Sequence[tuple[dict[str, str], float]] = [
        ({}, 1.0),
        ({"namespace": "llm", "pod": "a", "owner_name": "rs"}, 1.0),
    ]
    sets = [({"namespace": "llm", "replicaset": "rs", "owner_name": "x\n- type: evil"}, 1.0)]
    assert deployments_of(pods, sets) == {}


def test_two_deployments_of_one_model_are_told_apart_by_their_pods() -> None:
    pods = ["chat-7c9f8b6d5-x7k2b", "chat-large-7c9f8b6d5-x7k2b"]
    proposals = found({"vllm": [vllm("llama-3", pod) for pod in pods]}).proposals
    assert [each.deployment for each in proposals] == ["chat", "chat-large"]
    for proposal, own, other in zip(proposals, pods, reversed(pods), strict=True):
        (matcher,) = re.findall(r'^pod=~"(.*)"$', proposal.selector)
        assert re.fullmatch(matcher, own)
        assert not re.fullmatch(matcher, other)


def test_models_of_one_deployment_scale_together() -> None:
    answer = [seen("nv_inference_request_success", model=name, pod="t-7c9f8b6d5-x7k2b") for name in "ab"]
    proposal = only(found({"triton": answer}))
    assert proposal.selector == ""
    assert "2 models or services in one Deployment scale together" in proposal.because


def test_pods_of_no_deployment_are_proposed_by_model_and_the_target_is_asked_for() -> None:
    proposals = found({"vllm": [vllm("a", "chat-0"), vllm("b", "other-0"), vllm("b", "")]}).proposals
    assert [each.selector for each in proposals] == ['model_name="a"', 'model_name="b"']
    assert all(each.deployment is None and each.metadata["target"] == FILL_IN for each in proposals)
    assert any("not known to be a Deployment's: 1, as chat-0" in line for line in proposals[0].because)


def test_workers_that_tell_series_beside_their_leader_are_pointed_out() -> None:
    group = only(found({"vllm": [vllm("a", pod) for pod in ("chat-0", "chat-0-1", "chat-1", "chat-1-1")]}))
    (said,) = [line for line in group.because if "LeaderWorkerSet" in line]
    assert said.startswith("pods of chat are named as those of a LeaderWorkerSet")
    assert said.endswith('select pod=~"chat-[0-9]+"')
    alone = only(found({"vllm": [vllm("a", pod) for pod in ("chat-0", "chat-1")]}))
    assert not any("LeaderWorkerSet" in line for line in alone.because)


def test_a_model_that_a_deployment_shares_with_other_pods_says_so() -> None:
    first, second = found({"vllm": [vllm("a", "chat-0"), vllm("a", "chat-7c9f8b6d5-x7k2b")]}).proposals
    assert first.selector == 'model_name="a"'
    assert "other pods of the namespace have the same labels: narrow the selector" in first.because
    assert second.selector.startswith('pod=~"chat-')


def test_a_routers_copies_are_left_out_of_the_engines_series() -> None:
    answer = [vllm("a", "chat-7c9f8b6d5-x7k2b"), vllm("", "router-7c9f8b6d5-x7k2b", server="http://1:8000")]
    proposal = only(found({"vllm": answer}))
    assert proposal.deployment == "chat"
    assert proposal.selector == 'model_name="a",server=""'
    assert 'server=""' in proposal.demand_query


def test_a_gateway_tells_each_of_its_models_and_no_deployment() -> None:
    answer = [
        seen("vllm:num_incoming_requests_total", model=name, pod="router-7c9f8b6d5-x7k2b") for name in "ab"
    ]
    proposals = found({"production-stack": answer}).proposals
    assert [each.selector for each in proposals] == ['model="a"', 'model="b"']
    assert all(each.deployment is None for each in proposals)


def test_an_engine_is_proposed_before_a_client_library_in_the_same_pods() -> None:
    pod = "chat-7c9f8b6d5-x7k2b"
    http = [seen("http_requests_total", pod=pod), seen("http_requests_total", pod="shop-7c9f8b6d5-x7k2b")]
    proposals = found({"http": http, "vllm": [vllm("a", pod)]}).proposals
    assert [(each.preset.name, each.deployment) for each in proposals] == [("vllm", "chat"), ("http", "shop")]


def test_namespaces_are_not_mixed() -> None:
    there = ({"__name__": "tgi_request_count", "namespace": "b", "pod": "t-7c9f8b6d5-x7k2b"}, 1.0)
    proposals = found({"tgi": [seen("tgi_request_count", pod="t-7c9f8b6d5-x7k2b"), there]}).proposals
    assert [(each.namespace, each.selector) for each in proposals] == [("b", ""), ("llm", "")]


def test_what_no_trigger_could_read_is_told_as_left_out() -> None:
    odd = ({"__name__": "tgi_request_count", "namespace": "No\nSuch"}, 1.0)
    left = found({"tgi": [odd], "vllm": [vllm("a\x00b", "chat-0")]})
    assert left.proposals == ()
    assert len(left.left_out) == 2
    assert all(line.isprintable() for line in left.left_out)


LABELS = st.text(max_size=20)
PODS = st.sampled_from(["", "a-0", "chat-7c9f8b6d5-x7k2b", "chat-7c9f8b6d5-x7k2c", "b-7c9f8b6d5-x7k2b"])


@given(st.lists(st.tuples(st.sampled_from(sorted(PRESETS)), LABELS, PODS, st.booleans()), max_size=12))
def test_whatever_labels_say_each_proposal_is_a_trigger_once_the_owner_filled_it_in(
    series: list[tuple[str, str, str, bool]],
) -> None:
    answers: dict[str, list[tuple[Mapping[str, str], float]]] = {}
    for name, value, pod, copied in series:
        discovery = PRESETS[name].discovery
        if discovery is None:
            continue
        labels = {PRESETS[name].confined_by: "llm", "pod": pod, **dict.fromkeys(discovery.labels, value)}
        if discovery.copies_carry and copied:
            labels[discovery.copies_carry] = "x"
        answers.setdefault(name, []).append(({"__name__": discovery.metrics[0], **labels}, 1.0))
    for proposal in found(answers).proposals:
        filled = {
            key: OWNER_SAYS[key] if text == FILL_IN else text for key, text in proposal.metadata.items()
        }
        settings = parse_trigger("llm", "x", filled, ServiceSettings(), PRESETS)
        assert settings.backend == proposal.preset.name
        pp.parse(proposal.demand_query)
        assert all(line.isprintable() for line in proposal.because)


def test_a_trigger_that_was_not_filled_in_is_refused() -> None:
    proposal = only(found({"vllm": [vllm("a", "chat-0")]}))
    with pytest.raises(SettingsError) as caught:
        parse_trigger("llm", "x", proposal.metadata, ServiceSettings(), PRESETS)
    refused = {problem.where.rpartition(".")[2] for problem in caught.value.problems}
    assert refused == set(proposal.fill_in) == {"target", "capacityPerReplica", "leadTime", "maxReplicas"}


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_questions_are_promql_and_ask_only_where_they_should(name: str) -> None:
    for namespaces, asks in (((), '!=""'), (("a", "b"), '=~"a|b"')):
        query = count_query(PRESETS[name], namespaces)
        if query is not None:
            pp.parse(query)
            assert f"{PRESETS[name].confined_by}{asks}" in query
    for query in owner_queries(("a", "b")):
        pp.parse(query)
        assert 'namespace=~"a|b"' in query
