"""What kube-state-metrics says of a fleet: its pods' lives, and its Deployment's counts.

Instants are whole seconds since the epoch, as Kubernetes keeps them. A series is absent
where kube-state-metrics leaves it out: a pod that is not scheduled has no time of scheduling,
one that is not ready now has no time of readiness.
"""

from predictscale.simulate.engine.families import Families
from predictscale.simulate.engine.fleet import Fleet
from predictscale.simulate.engine.pods import Pod

CONTAINER = "engine"
"""The name of the container that serves."""

_PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")


def tell(families: Families, fleet: Fleet) -> None:
    """Add the samples of a fleet as it is now."""
    for pod in fleet.pods:
        _pod(families, fleet, pod)
    _owners(families, fleet)
    place = {"namespace": fleet.names.namespace, "deployment": fleet.names.deployment}
    kept = fleet.kept
    ready = sum(pod.ready(fleet.now_s) for pod in kept)
    updated = sum(pod.revision == fleet.revision for pod in kept)
    counts = {
        "kube_deployment_spec_replicas": ("Replicas that are wanted.", fleet.spec),
        "kube_deployment_status_replicas": ("Replicas that are there.", len(kept)),
        "kube_deployment_status_replicas_ready": ("Replicas that are ready.", ready),
        "kube_deployment_status_replicas_available": ("Replicas that are available.", ready),
        "kube_deployment_status_replicas_unavailable": ("Those that are not.", len(kept) - ready),
        "kube_deployment_status_replicas_updated": ("Replicas of the newest revision.", updated),
    }
    for name, (about, count) in counts.items():
        families.gauge(name, about, place, count)


def _pod(families: Families, fleet: Fleet, pod: Pod) -> None:
    now_s, birth, gauge = fleet.now_s, pod.birth, families.gauge
    labels = {"namespace": fleet.names.namespace, "pod": pod.name, "uid": pod.uid}
    scheduled, started, ready = now_s >= birth.scheduled_s, now_s >= birth.started_s, pod.ready(now_s)

    def instant(after_s: float) -> float:
        return float(int(fleet.origin.timestamp() + after_s))

    owner = {"created_by_kind": "ReplicaSet", "created_by_name": pod.replica_set}
    node = pod.node if scheduled else ""
    gauge("kube_pod_info", "What a pod is, as labels.", {**labels, **owner, "node": node}, 1)
    owned = {"owner_kind": "ReplicaSet", "owner_name": pod.replica_set, "owner_is_controller": "true"}
    gauge("kube_pod_owner", "Whose a pod is, as labels.", {**labels, **owned}, 1)
    gauge("kube_pod_created", "When it was created.", labels, instant(birth.created_s))
    if scheduled:
        gauge("kube_pod_status_scheduled_time", "When it got a node.", labels, instant(birth.scheduled_s))
    if started:
        container = {**labels, "container": CONTAINER}
        about = "When the container's present run began."
        gauge("kube_pod_container_state_started", about, container, instant(birth.started_s))
    if ready:
        about = "When its readiness last became true."
        gauge("kube_pod_status_ready_time", about, labels, instant(pod.ready_since_s))
    phase = "Running" if started else "Pending"
    for each in _PHASES:
        gauge("kube_pod_status_phase", "1 for its phase.", {**labels, "phase": each}, each == phase)
    for condition, holds in (("true", ready), ("false", not ready), ("unknown", False)):
        gauge("kube_pod_status_ready", "1 for its condition.", {**labels, "condition": condition}, holds)
        about = "1 for whether it has a node."
        has = {"true": scheduled, "false": not scheduled, "unknown": False}[condition]
        gauge("kube_pod_status_scheduled", about, {**labels, "condition": condition}, has)


def _owners(families: Families, fleet: Fleet) -> None:
    for replica_set in sorted({pod.replica_set for pod in fleet.pods}):
        labels = {
            "namespace": fleet.names.namespace,
            "replicaset": replica_set,
            "owner_kind": "Deployment",
            "owner_name": fleet.names.deployment,
            "owner_is_controller": "true",
        }
        families.gauge("kube_replicaset_owner", "Whose a ReplicaSet is, as labels.", labels, 1)
