"""The replicas that exist, as the cluster reports them. Unknown is None, never 0."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FleetState:
    """Replicas of a workload.

    Args:
        replicas: `status.replicas` of the scale target, which the HPA measures against.
        ready: How many of them serve.
        coming: Pods that are on their way to ready, where the cluster counts them: neither on their
            way out, nor so old that their start has failed.
    """

    replicas: int | None = None
    ready: int | None = None
    coming: int | None = None

    @property
    def starting(self) -> int | None:
        """How many do not serve yet: capacity to come, never demand. Where nobody counts them, the rest."""
        if self.coming is not None:
            return self.coming
        if self.replicas is None or self.ready is None:
            return None
        return max(0, self.replicas - self.ready)
