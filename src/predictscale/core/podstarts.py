"""How pods came up: their instants, made sound, and what share had started after a time.

kube-state-metrics moves `ready_time` with every flap of readiness and `started`
with every restart of a container, so a pod's records are merged and the first of
each instant counts. Refuses clocks that disagree: a start that ends before it
begins is counted and left out, not clipped to 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

import numpy as np


class Node(StrEnum):
    """Whether a start found its node there."""

    PRESENT = "node present"
    BOUGHT = "node bought"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodStart:
    """What one look at one pod told of its start; aware UTC instants, None where not told.

    Args:
        uid: The pod's.
        created: By the API server.
        scheduled: To a node.
        started: The container.
        ready: For the first time, as far as this look knows.
        node_created: When its node joined.
        gone: When the pod was deleted.
    """

    uid: str
    created: datetime
    scheduled: datetime | None = None
    started: datetime | None = None
    ready: datetime | None = None
    node_created: datetime | None = None
    gone: datetime | None = None

    def __post_init__(self) -> None:
        told = (self.created, self.scheduled, self.started, self.ready, self.node_created, self.gone)
        if any(at is not None and at.tzinfo is None for at in told):
            raise ValueError(f"pod {self.uid}: an instant has no time zone; instants are aware UTC")

    def sound(self, now: datetime) -> bool:
        """Whether no clock contradicts another."""
        told = [at for at in (self.scheduled, self.ready, self.gone) if at is not None]
        if not all(self.created <= at <= now for at in (self.created, *told)):
            return False
        return self.scheduled is None or self.ready is None or self.scheduled <= self.ready

    def schedule_s(self, now: datetime) -> float | None:
        """How long it waited for a node, or has until now [s]; None if it is ready and nobody told."""
        if self.scheduled is None and self.ready is not None:
            return None
        return ((self.scheduled or self.gone or now) - self.created).total_seconds()

    def load_s(self) -> float | None:
        """From the container's start to ready [s]; None if not told, or if it had restarted in between."""
        if self.started is None or self.ready is None or self.started > self.ready:
            return None
        return (self.ready - self.started).total_seconds()


def first_starts(looks: Iterable[PodStart]) -> list[PodStart]:
    """One record for each pod, with the first of each instant that any look told; by creation."""
    pods: dict[str, PodStart] = {}
    for look in looks:
        pods[look.uid] = _merged(pods[look.uid], look) if look.uid in pods else look
    return sorted(pods.values(), key=lambda pod: (pod.created, pod.uid))


def _merged(one: PodStart, other: PodStart) -> PodStart:
    return replace(
        one,
        created=min(one.created, other.created),
        scheduled=_first(one.scheduled, other.scheduled),
        started=_first(one.started, other.started),
        ready=_first(one.ready, other.ready),
        node_created=_first(one.node_created, other.node_created),
        gone=_first(one.gone, other.gone),
    )


def _first(one: datetime | None, other: datetime | None) -> datetime | None:
    return min((at for at in (one, other) if at is not None), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Took:
    """How long one start took, or has taken so far.

    Args:
        seconds: From created to ready; to now, or to its deletion, while it is not.
        done: Whether it became ready.
    """

    seconds: float
    done: bool


def quantile_s(took: Sequence[Took], level: float) -> tuple[float, bool] | None:
    """The time within which the share `level` of starts has become ready [s], and whether it was seen.

    A start that still goes on is not dropped: at each time the share is taken of
    those that had not ended before (Kaplan and Meier, 1958), so it counts as
    slower than all that ended within its time. Where the pending are so many
    that the share was never reached, the longest time seen is a lower bound.

    Returns:
        The time, and False if it is only a lower bound; None without any start.
    """
    if not took:
        return None
    pending = 1.0
    times = np.array([start.seconds for start in took])
    done = np.array([start.done for start in took])
    for at_s in np.unique(times[done]):
        pending *= 1 - float((done & (times == at_s)).sum()) / float((times >= at_s).sum())
        # Nine tenths of ten starts is the ninth, whatever the product's rounding says.
        if pending <= 1 - level + 1e-9:
            return float(at_s), True
    return float(times.max()), False
