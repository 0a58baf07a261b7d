"""Nodes that stand ready and empty, as YAML: a CapacityBuffer, or a placeholder Deployment.

A replica that finds a node starts minutes sooner than one whose node is bought first. One unit of
what is written holds one whole node: all its GPUs. Refuses a number that nobody gave and nothing
counted, and says beside each number where it comes from. What is written is a photograph: it is
rendered anew when the forecast has changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator

from predictscale.config.fields import DAY_S, Count, DnsLabel, DnsName, Frozen, Share, Span
from predictscale.config.problems import did_you_mean, problems_of, refuse
from predictscale.core.warmth import nodes_for
from predictscale.errors import Problem, SettingsError

KEYS: Mapping[str, str] = MappingProxyType(
    {
        "nodes": "nodes",
        "replicas": "replicas",
        "wake": "wake_s",
        "level": "level",
        "gpusPerNode": "gpus_per_node",
        "gpusPerReplica": "gpus_per_replica",
        "gpuResource": "gpu_resource",
        "nodeSelector": "node_selector",
        "tolerations": "tolerations",
        "image": "image",
        "api": "api",
    }
)
"""What may be said of warm nodes: its key, and the field of `WarmNodes`."""

PRIORITY = -10
"""Below every pod's that does not ask for less, and the lowest for which a cluster-autoscaler still buys."""

_SUFFIX = "-warm-nodes"
_PRIORITY_CLASS = "predictscale-placeholder"
_LONGEST_LABEL = 63
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


class Kind(StrEnum):
    """What keeps nodes warm."""

    BUFFER = "buffer"  # a CapacityBuffer: pods that only the autoscaler imagines
    PLACEHOLDER = "placeholder"  # a Deployment of pods that any other may push aside


def _labels(value: object) -> object:
    """`a=b,c=d` as a mapping."""
    if not isinstance(value, str):
        return value
    pairs = [part.strip().partition("=") for part in value.split(",")]
    if not all(key and equals for key, equals, _ in pairs):
        raise ValueError("write KEY=VALUE, more of them after commas")
    return {key: text for key, _, text in pairs}


def _tolerations(value: object) -> object:
    """`KEY=VALUE:EFFECT,...` as Kubernetes writes it; a toleration without a value is of any."""
    if not isinstance(value, str):
        return value
    return tuple(_toleration(part.strip()) for part in value.split(","))


def _toleration(text: str) -> dict[str, str]:
    taint, colon, effect = text.partition(":")
    key, equals, value = taint.partition("=")
    if not key or (colon and effect not in _EFFECTS):
        raise ValueError(
            f"write KEY, KEY:EFFECT or KEY=VALUE:EFFECT, more of them after commas; "
            f"an effect is one of {', '.join(_EFFECTS)}"
        )
    what = {"operator": "Equal", "value": value} if equals else {"operator": "Exists"}
    return {"key": key, **what, **({"effect": effect} if colon else {})}


class WarmNodes(Frozen):
    """What the owner says of the nodes that stand ready for a workload."""

    namespace: DnsLabel
    name: DnsName
    nodes: Count | None = Field(default=None, description="How many, if that is known.")
    replicas: Count | None = Field(default=None, description="Replicas that they are to hold, instead.")
    wake_s: Span | None = Field(
        default=None, le=DAY_S, description="From asking for a node to replicas that serve on it."
    )
    level: Share | None = Field(default=None, description="The quantile of the forecast to cover.")
    gpus_per_node: Count = Field(ge=1, description="How many GPUs a node has.")
    gpus_per_replica: Count = Field(default=1, ge=1, description="How many GPUs a replica takes.")
    gpu_resource: str = Field(default="nvidia.com/gpu", min_length=1)
    node_selector: Annotated[dict[str, str], BeforeValidator(_labels)] = Field(default_factory=dict)
    tolerations: Annotated[tuple[dict[str, str], ...], BeforeValidator(_tolerations)] = ()
    image: str = Field(default="registry.k8s.io/pause:3.10", min_length=1)
    api: Literal["v1beta1", "v1alpha1"] = Field(default="v1beta1", description="Of the CapacityBuffer.")

    @model_validator(mode="after")
    def _counted_once(self) -> Self:
        given = [key for key in ("nodes", "replicas") if getattr(self, key) is not None]
        if len(given) > 1:
            got = f"{self.replicas} comes beside nodes={self.nodes}"
            raise refuse(got=got, wants="give one of the two", field="replicas")
        if not given and self.wake_s is None:
            wants = "give it, such as 4m, for a number from the forecast; or a number as nodes= or replicas="
            raise refuse(got="is missing", wants=wants, field="wake_s")
        for field in ("wake_s", "level"):
            if given and getattr(self, field) is not None:
                got = f"is of the forecast, which is not asked beside {given[0]}="
                raise refuse(got=got, wants="leave one of the two out", field=field)
        if len(self.name) > (most := _LONGEST_LABEL - len(_SUFFIX)):
            got = f"is {len(self.name)} characters long"
            raise refuse(got=got, wants=f"at most {most}", why=f"{_SUFFIX} is put after it", field="name")
        return self

    def stated(self) -> "Sized | None":
        """The number that the owner gave; None if the forecast is to tell it."""
        if self.nodes is not None:
            return Sized(self.nodes, (f"nodes={self.nodes} was given.",))
        if self.replicas is not None:
            return self.holding(self.replicas, f"replicas={self.replicas} was given.")
        return None

    def holding(self, replicas: int, *because: str) -> "Sized":
        """The nodes that hold so many replicas, with the reasons for that number."""
        nodes = nodes_for(replicas, gpus_per_replica=self.gpus_per_replica, gpus_per_node=self.gpus_per_node)
        sizes = f"GPUs per replica {self.gpus_per_replica}, per node {self.gpus_per_node}"
        return Sized(nodes, (*because, f"Replicas to hold: {replicas}. {sizes}: nodes {nodes}."))


@dataclass(frozen=True, slots=True)
class Sized:
    """How many nodes stand ready, and why.

    Args:
        nodes: How many, 0 or more.
        because: The reasons, a line each.
    """

    nodes: int
    because: tuple[str, ...]


def read_warm_nodes(namespace: str, name: str, said: Mapping[str, str]) -> WarmNodes:
    """What was said of warm nodes, as KEY=VALUE.

    Args:
        namespace: Of the workload, and of what is rendered.
        name: Of the workload.
        said: By the names of `KEYS`.

    Raises:
        SettingsError: Something is missing, unknown or wrong; all of it at once.
    """
    unknown = [
        Problem(key, "is not known of warm nodes", did_you_mean(key, KEYS) or f"known are {', '.join(KEYS)}")
        for key in said
        if key not in KEYS
    ]
    fields: dict[str, Any] = {KEYS[key]: text for key, text in said.items() if key in KEYS}
    try:
        found = WarmNodes.model_validate({"namespace": namespace, "name": name, **fields})
    except ValidationError as error:
        raise SettingsError([*unknown, *problems_of(error, WarmNodes, where=_key_at)]) from None
    if unknown:
        raise SettingsError(unknown)
    return found


def _key_at(place: tuple[str | int, ...]) -> str:
    return next((key for key, field in KEYS.items() if field == place[0]), str(place[0]))


def render_warm_nodes(asked: WarmNodes, kind: Kind, sized: Sized) -> str:
    """YAML of what keeps so many nodes ready, with the numbers and where they come from."""
    documents = _buffer(asked, sized.nodes) if kind is Kind.BUFFER else _placeholder(asked, sized.nodes)
    written_for = _FOR_BUFFER.format(api=asked.api) if kind is Kind.BUFFER else _FOR_PLACEHOLDER
    head = f"Nodes that stand ready for {asked.namespace}/{asked.name}: {sized.nodes}."
    lines = [_on_one_line(line) for line in (head, *sized.because, *written_for.splitlines())]
    body = yaml.safe_dump_all(documents, sort_keys=False, allow_unicode=True, width=1000)
    return "".join(f"# {line}\n" for line in lines) + body


def _on_one_line(text: str) -> str:
    # A reason carries names of others' making: a line break in one must not end the comment, and YAML
    # with a control character is none.
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


_FOR_BUFFER = """\
Written for CapacityBuffer autoscaling.x-k8s.io/{api}: cluster-autoscaler 1.35 with
--capacity-buffer-controller-enabled and --capacity-buffer-pod-injection-enabled, GKE 1.35.2-gke.1842000,
or Karpenter with its alpha gate for capacity buffers; each or newer. api=v1alpha1 is for clusters without
v1beta1: kubectl api-resources --api-group autoscaling.x-k8s.io tells which."""

_FOR_PLACEHOLDER = f"""\
A pod holds the GPUs of a node until another needs them: it goes at once, and a new node is bought for it.
Priority {PRIORITY} is below every pod's by default, and the lowest for which cluster-autoscaler, as it is
delivered, buys nodes."""


def _buffer(asked: WarmNodes, nodes: int) -> list[dict[str, Any]]:
    pod = {"metadata": {"labels": _own_labels(asked)}, "spec": _pod(asked)}
    return [
        {"apiVersion": "v1", "kind": "PodTemplate", "metadata": _metadata(asked), "template": pod},
        {
            "apiVersion": f"autoscaling.x-k8s.io/{asked.api}",
            "kind": "CapacityBuffer",
            "metadata": _metadata(asked),
            "spec": {
                "provisioningStrategy": "buffer.x-k8s.io/active-capacity",
                "podTemplateRef": {"name": asked.name + _SUFFIX},
                "replicas": nodes,
            },
        },
    ]


def _placeholder(asked: WarmNodes, nodes: int) -> list[dict[str, Any]]:
    priority = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": _PRIORITY_CLASS},
        "value": PRIORITY,
        "globalDefault": False,
        "preemptionPolicy": "Never",
        "description": "Holds nodes for pods that are not there yet; gives way to any.",
    }
    pod = {
        "priorityClassName": _PRIORITY_CLASS,
        # Nothing in it wants to be ended with care, and what pushes it aside waits for its end.
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        # Even a namespace that admits only what Kubernetes calls restricted lets it in.
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65535,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **_pod(asked),
    }
    spec = {
        "replicas": nodes,
        "selector": {"matchLabels": _own_labels(asked)},
        "template": {"metadata": {"labels": _own_labels(asked)}, "spec": pod},
    }
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": _metadata(asked), "spec": spec}
    return [priority, deployment]


def _pod(asked: WarmNodes) -> dict[str, Any]:
    gpus = {asked.gpu_resource: str(asked.gpus_per_node)}
    container = {
        "name": "placeholder",
        "image": asked.image,
        # Of GPUs, Kubernetes wants as many requested as allowed.
        "resources": {"requests": gpus, "limits": dict(gpus)},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec: dict[str, Any] = {"containers": [container]}
    if asked.node_selector:
        spec["nodeSelector"] = dict(asked.node_selector)
    if asked.tolerations:
        spec["tolerations"] = [dict(toleration) for toleration in asked.tolerations]
    return spec


def _metadata(asked: WarmNodes) -> dict[str, Any]:
    return {
        "name": asked.name + _SUFFIX,
        "namespace": asked.namespace,
        "labels": _own_labels(asked),
    }


def _own_labels(asked: WarmNodes) -> dict[str, str]:
    return {"app.kubernetes.io/name": asked.name + _SUFFIX, "app.kubernetes.io/created-by": "predictscale"}
