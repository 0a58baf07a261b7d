"""Whether a manifest is what Kubernetes and the operators would take, without a cluster.

Kubernetes' own kinds are held against its published schemas. Kinds of operators are held against
`tests/deploy/schemas`, which are stricter than a cluster: it drops a field that it does not know, and
a typing error there is a setting that is silently not there. What they embed of Kubernetes' own, pods
and the HPA's behavior, is held against Kubernetes' schemas again.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import yaml

KUBERNETES = "1.35"
"""The first release in which the HPA's tolerance is on by default."""

Manifest = dict[str, Any]

_FOLDER = Path(__file__).resolve().parent / "deploy" / "schemas"
_METADATA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name"],
    "properties": {
        "name": {"type": "string", "pattern": r"^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$"},
        "namespace": {"type": "string"},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "annotations": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_OUR_WORDS = ("scope", "pods")


@cache
def schemas() -> Mapping[str, Mapping[str, Any]]:
    """Files of schemas by the apiVersion that they are of."""
    files = [yaml.safe_load(path.read_text()) for path in sorted(_FOLDER.glob("*.yaml"))]
    return {file["apiVersion"]: file for file in files}


def problems(document: Manifest) -> list[str]:
    """What would be refused or dropped of one manifest; nothing if it is good."""
    file = schemas().get(document.get("apiVersion", ""))
    if file is None:
        return _of_kubernetes(document)
    kind = file["kinds"].get(document.get("kind"))
    if kind is None:
        return [f"{document['apiVersion']} has no kind {document.get('kind')!r} here"]
    found = [
        f"{'.'.join(map(str, error.instance_path))}: {error.message}"
        for error in jsonschema_rs.validator_for(_whole(file, kind)).iter_errors(document)
    ]
    found += [text for inner in _embedded(document, kind) for text in _of_kubernetes(inner)]
    return found


def _whole(file: Mapping[str, Any], kind: Mapping[str, Any]) -> Manifest:
    """The schema of a manifest, from that of its spec."""
    cluster_wide = kind.get("scope") == "Cluster"
    spec = {name: part for name, part in kind.items() if name not in _OUR_WORDS}
    metadata = {**_METADATA, "required": ["name"] if cluster_wide else ["name", "namespace"]}
    if cluster_wide:
        metadata["not"] = {"required": ["namespace"]}
    said = {name: {"enum": values} for name, values in file.get("annotations", {}).items()}
    annotations = {"properties": {"annotations": {"properties": said}}} if said else {}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "additionalProperties": False,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {},
            "kind": {},
            "metadata": {"allOf": [metadata, annotations]},
            "spec": {"type": "object", "additionalProperties": False, **spec},
        },
    }


def _of_kubernetes(document: Manifest) -> list[str]:
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as wrong:
        return [f"{'.'.join(map(str, wrong.path))}: {wrong.message}"]
    except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError) as unknown:
        return [f"{document.get('apiVersion')} {document.get('kind')}: no schema is known: {unknown}"]
    return []


def _embedded(document: Manifest, kind: Mapping[str, Any]) -> Iterator[Manifest]:
    """Kinds of Kubernetes that stand for the parts of it within a manifest."""
    behavior = at(document, "spec", "advanced", "horizontalPodAutoscalerConfig", "behavior")
    if behavior is not None:
        target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "any"}
        spec = {"maxReplicas": 1, "scaleTargetRef": target, "behavior": behavior}
        yield _named("autoscaling/v2", "HorizontalPodAutoscaler", spec)
    for place in kind.get("pods", ()):
        pod = at(document, *place["at"])
        if isinstance(pod, dict):
            yield _named("v1", "Pod", _pod(pod, place))


def _pod(written: Manifest, place: Mapping[str, Any]) -> Manifest:
    pod = {name: part for name, part in written.items() if name not in place.get("leave_out", ())}
    for name in place.get("container", ()):
        own = {key: part for key, part in written[name].items() if key not in place["container_leave_out"]}
        pod["containers"] = [{"name": name, **own}]
    if place.get("name_containers"):
        pod["containers"] = [{"name": "user-container", **one} for one in pod["containers"]]
    return pod


def _named(version: str, kind: str, spec: Manifest) -> Manifest:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": "any"}, "spec": spec}


def at(tree: Any, *names: str) -> Any:
    """A value deep in a manifest, or None where the way to it ends."""
    for name in names:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree
