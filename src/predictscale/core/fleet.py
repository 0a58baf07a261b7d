"""The replicas that exist, as the cluster reports them. Unknown is None, never 0."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FleetState:
    """Replicas of a workload.

    Args:
        replicas: `status.replicas` of the scale target, which the HPA measures against.
        ready: How many of them serve.
    """

    replicas: int | None = None
    ready: int | None = None
