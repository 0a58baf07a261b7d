"""What is said of warm nodes, and the YAML that keeps them: sized as said, and applied as it stands."""

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from predictscale.config.warmnodes import KEYS, PRIORITY, Kind, Sized, read_warm_nodes, render_warm_nodes
from predictscale.core.warmth import nodes_for
from predictscale.errors import SettingsError

SAID = {"gpusPerNode": "8", "nodes": "2"}
KINDS = pytest.mark.parametrize("kind", Kind)


def rendered(kind: Kind, **said: str) -> str:
    asked = read_warm_nodes("llm", "chat", {**SAID, **said})
    stated = asked.stated()
    assert stated is not None
    return render_warm_nodes(asked, kind, stated)


def documents(text: str) -> dict[str, Any]:
    return {document["kind"]: document for document in yaml.safe_load_all(text)}


def replicas_and_pod(kind: Kind, **said: str) -> tuple[int, dict[str, Any]]:
    """How many units are asked for, and the pod that one unit is."""
    found = documents(rendered(kind, **said))
    if kind is Kind.PLACEHOLDER:
        spec = found["Deployment"]["spec"]
        return spec["replicas"], spec["template"]["spec"]
    return found["CapacityBuffer"]["spec"]["replicas"], found["PodTemplate"]["template"]["spec"]


def problems(**said: str) -> dict[str, str]:
    """What is wrong, by where."""
    with pytest.raises(SettingsError) as wrong:
        read_warm_nodes("llm", "chat", said)
    return {problem.where: str(problem) for problem in wrong.value.problems}


@KINDS
@given(nodes=st.integers(0, 100_000), gpus=st.integers(1, 16))
def test_each_unit_holds_all_gpus_of_a_node_and_there_are_as_many_as_nodes(
    kind: Kind, nodes: int, gpus: int
) -> None:
    replicas, pod = replicas_and_pod(kind, nodes=str(nodes), gpusPerNode=str(gpus))
    (container,) = pod["containers"]
    assert replicas == nodes
    assert container["resources"] == {
        "requests": {"nvidia.com/gpu": str(gpus)},
        "limits": {"nvidia.com/gpu": str(gpus)},
    }


@given(replicas=st.integers(0, 500), each=st.integers(1, 32), node=st.integers(1, 16))
def test_replicas_are_given_the_nodes_that_hold_them(replicas: int, each: int, node: int) -> None:
    said = {"gpusPerNode": str(node), "gpusPerReplica": str(each), "replicas": str(replicas)}
    sized = read_warm_nodes("llm", "chat", said).stated()
    assert sized is not None
    assert sized.nodes == nodes_for(replicas, gpus_per_replica=each, gpus_per_node=node)
    assert f"replicas={replicas} was given." in sized.because


def test_a_buffer_is_of_the_template_beside_it_and_says_which_version_it_was_written_for() -> None:
    text = rendered(Kind.BUFFER)
    found = documents(text)
    assert set(found) == {"PodTemplate", "CapacityBuffer"}
    buffer = found["CapacityBuffer"]
    assert buffer["apiVersion"] == "autoscaling.x-k8s.io/v1beta1"
    assert buffer["spec"]["podTemplateRef"] == {"name": found["PodTemplate"]["metadata"]["name"]}
    assert buffer["metadata"]["namespace"] == found["PodTemplate"]["metadata"]["namespace"] == "llm"
    assert "# Written for CapacityBuffer autoscaling.x-k8s.io/v1beta1:" in text


def test_a_cluster_with_the_older_version_is_served_too() -> None:
    text = rendered(Kind.BUFFER, api="v1alpha1")
    assert documents(text)["CapacityBuffer"]["apiVersion"] == "autoscaling.x-k8s.io/v1alpha1"
    assert "# Written for CapacityBuffer autoscaling.x-k8s.io/v1alpha1:" in text


def test_placeholders_give_way_to_every_pod_and_still_have_nodes_bought_for_them() -> None:
    found = documents(rendered(Kind.PLACEHOLDER))
    assert set(found) == {"PriorityClass", "Deployment"}
    priority, spec = found["PriorityClass"], found["Deployment"]["spec"]
    # cluster-autoscaler leaves pods below -10 waiting, by default.
    assert -10 <= priority["value"] == PRIORITY < 0
    assert (priority["preemptionPolicy"], priority["globalDefault"]) == ("Never", False)
    pod = spec["template"]["spec"]
    assert pod["priorityClassName"] == priority["metadata"]["name"]
    assert pod["terminationGracePeriodSeconds"] == 0
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]


@KINDS
def test_where_a_node_is_and_what_it_repels_is_passed_through_as_given(kind: Kind) -> None:
    _, pod = replicas_and_pod(
        kind,
        nodeSelector="pool=gpu, spot=true",
        tolerations="nvidia.com/gpu:NoSchedule, team=ml:NoExecute, quiet=",
        gpuResource="amd.com/gpu",
        image="mirror/pause:1",
    )
    assert pod["nodeSelector"] == {"pool": "gpu", "spot": "true"}
    assert pod["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "team", "operator": "Equal", "value": "ml", "effect": "NoExecute"},
        {"key": "quiet", "operator": "Equal", "value": ""},
    ]
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == {"amd.com/gpu": "8"}
    assert container["image"] == "mirror/pause:1"


@KINDS
def test_what_was_not_said_is_not_rendered(kind: Kind) -> None:
    _, pod = replicas_and_pod(kind)
    assert not {"nodeSelector", "tolerations"} & set(pod)


@KINDS
@given(reason=st.text())
def test_the_numbers_and_whatever_the_reasons_hold_stay_a_comment(kind: Kind, reason: str) -> None:
    plain = documents(rendered(kind))
    asked = read_warm_nodes("llm", "chat", SAID)
    text = render_warm_nodes(asked, kind, Sized(2, (reason, "kind: Secret\n---\nkind: Pod")))
    assert documents(text) == plain
    assert text.startswith("# Nodes that stand ready for llm/chat: 2.\n")


def test_everything_that_is_wrong_is_said_at_once() -> None:
    found = problems(gpuPerNode="8", nodes="-1", level="2", tolerations="gpu:Never", nodeSelector="pool")
    assert set(found) == {"gpuPerNode", "gpusPerNode", "nodes", "level", "tolerations", "nodeSelector"}
    assert found["gpuPerNode"].endswith("did you mean 'gpusPerNode'?")
    assert found["gpusPerNode"] == "gpusPerNode: is missing; must be given (how many GPUs a node has)"
    assert "one of NoSchedule, PreferNoSchedule, NoExecute" in found["tolerations"]


@pytest.mark.parametrize(
    ("said", "where", "words"),
    [
        ({}, "wake", "is missing; give it, such as 4m"),
        ({"nodes": "2", "replicas": "3"}, "replicas", "3 comes beside nodes=2; give one of the two"),
        ({"nodes": "2", "wake": "4m"}, "wake", "not asked beside nodes="),
        ({"replicas": "2", "level": "0.9"}, "level", "not asked beside replicas="),
        ({"wake": "0s"}, "wake", "must be above 0"),
        ({"wake": "soon"}, "wake", "write seconds, or text such as 90s"),
        ({"nodes": "many"}, "nodes", "'many'"),
        ({"nodes": "1", "gpusPerReplica": "0"}, "gpusPerReplica", "must be 1 or more"),
        ({"nodes": "1", "taint": "gpu"}, "taint", "is not known of warm nodes; known are nodes, replicas"),
        ({"nodes": "1", "api": "v2"}, "api", "must be one of v1beta1, v1alpha1"),
        ({"nodes": "1", "nodeSelector": ""}, "nodeSelector", "write KEY=VALUE"),
        ({"nodes": "1", "tolerations": ",gpu"}, "tolerations", "write KEY"),
    ],
)
def test_what_cannot_be_is_refused_where_it_was_said(said: dict[str, str], where: str, words: str) -> None:
    found = problems(gpusPerNode="8", **said)
    assert set(found) == {where}
    assert words in found[where]


@pytest.mark.parametrize(
    ("namespace", "name", "where"), [("Llm", "chat", "namespace"), ("llm", "Chat", "name")]
)
def test_a_name_that_kubernetes_would_refuse_is_refused(namespace: str, name: str, where: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{where}: .*must be a Kubernetes name"):
        read_warm_nodes(namespace, name, SAID)


def test_a_name_is_as_long_as_its_label_can_be() -> None:
    asked = read_warm_nodes("llm", "c" * 52, SAID)
    (first, *_) = yaml.safe_load_all(render_warm_nodes(asked, Kind.BUFFER, Sized(1, ())))
    assert len(first["metadata"]["labels"]["app.kubernetes.io/name"]) == 63
    with pytest.raises(SettingsError, match=r"^name: is 53 characters long; at most 52"):
        read_warm_nodes("llm", "c" * 53, SAID)


def test_without_a_number_nothing_is_stated() -> None:
    assert read_warm_nodes("llm", "chat", {"gpusPerNode": "8", "wake": "4m"}).stated() is None


def test_every_key_is_of_a_field() -> None:
    assert len(set(KEYS.values())) == len(KEYS)
