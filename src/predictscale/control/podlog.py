"""What was told of a workload's pods, so that any instant of the last days can be asked again.

A fact of a pod counts as it was first told, and from the end of the bin in which that
was: readiness that flaps and containers that restart move nothing, and a start of the
service that reads all of it at once finds at each instant what a service knew that was running then.

Refuses to guess: a pod that vanishes is gone only if the rest of its Deployment was still
told of, and one that was ready when it was first seen, long after its creation, is left out.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from predictscale.config.cluster import PodFact
from predictscale.core.leadtime import LAST_STARTS
from predictscale.core.podstarts import PodStart
from predictscale.core.series import Floats, MetricWindow
from predictscale.sources.base import Labelled

FACTS = (
    PodFact.CREATED,
    PodFact.SCHEDULED,
    PodFact.STARTED,
    PodFact.READY,
    PodFact.DELETED,
    PodFact.NODE_CREATED,
)
"""What is read of each pod."""

GONE_AFTER_S = 180.0
"""Silence about a pod that is its end, if its Deployment is told of meanwhile: two slow scrapes [s]."""

MOST_PODS = 2_000
"""The newest that are remembered; a start is measured from `LAST_STARTS` of them."""

_OFFERED = 2 * LAST_STARTS
"""Of the newest pods so many are offered to a measurement: some may be unsound."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Told = Mapping[PodFact, Iterable[Labelled]]
"""The answers to one stretch of time, by fact; `TOLD` among them."""


@dataclass(slots=True)
class _Pod:
    """One pod; instants are seconds since the epoch, each with when it was known."""

    created_s: float
    first_told_s: float
    last_told_s: float
    facts: dict[PodFact, tuple[float, float]] = field(default_factory=dict)
    vanished_known_s: float | None = None

    def fact(self, name: PodFact, at_s: float) -> float | None:
        """The instant as it was known at `at_s`; None if it was not."""
        known_s, value_s = self.facts.get(name, (np.inf, np.inf))
        return value_s if known_s <= at_s else None

    def gone(self, at_s: float) -> float | None:
        """When it was deleted, as far as that was known at `at_s`."""
        ends = []
        if self.vanished_known_s is not None and self.vanished_known_s <= at_s:
            ends.append(self.last_told_s)
        if (deleted_s := self.fact(PodFact.DELETED, at_s)) is not None:
            # A deletion's time is when the grace will have passed; the pod gave up when it was told.
            ends.append(min(deleted_s, self.facts[PodFact.DELETED][0]))
        return max(min(ends), self.created_s) if ends else None

    @property
    def watched(self) -> bool:
        """Whether its first readiness is known: it was seen soon enough, or was not ready then."""
        known_s, ready_s = self.facts.get(PodFact.READY, (np.inf, np.inf))
        soon = self.first_told_s - self.created_s <= GONE_AFTER_S
        return soon or min(known_s, ready_s) > self.first_told_s


class PodLog:
    """The pods of one workload.

    Args:
        keep_s: How far back pods count, by their creation [s].
    """

    def __init__(self, *, keep_s: float) -> None:
        self._keep_s = keep_s
        self._pods: dict[str, _Pod] = {}

    def note(self, told: Told) -> None:
        """Take over one stretch; of overlapping ones what was known first stays."""
        for one in told[PodFact.CREATED]:
            self._see(one)
        for fact in FACTS[1:]:
            for one in told[fact]:
                if (pod := self._pods.get(_identity(one))) is not None:
                    _learn(pod, fact, one.window)
        ends_s = _ends_s([one.window for one in told.get(PodFact.TOLD, ())])
        for pod in self._pods.values():
            # Of one that became ready the end says nothing of its start.
            if PodFact.READY not in pod.facts:
                _miss(pod, ends_s)
        self._prune()

    def starts(self, at: datetime) -> list[PodStart]:
        """The newest pods as they were known at `at`, oldest first."""
        at_s = (at - _EPOCH).total_seconds()
        known = [
            (pod.created_s, name, pod)
            for name, pod in self._pods.items()
            if pod.watched and pod.first_told_s <= at_s and pod.created_s >= at_s - self._keep_s
        ]
        return [
            _start(name, pod, at_s) for _, name, pod in sorted(known, key=lambda each: each[:2])[-_OFFERED:]
        ]

    def _see(self, one: Labelled) -> None:
        ends_s = _ends_s([one.window])
        if not ends_s.size:
            return
        created_s = float(np.nanmin(one.window.values))
        pod = self._pods.setdefault(
            _identity(one), _Pod(created_s=created_s, first_told_s=np.inf, last_told_s=-np.inf)
        )
        pod.created_s = min(pod.created_s, created_s)
        pod.first_told_s = min(pod.first_told_s, float(ends_s[0]))
        if ends_s[-1] > pod.last_told_s:
            pod.last_told_s, pod.vanished_known_s = float(ends_s[-1]), None

    def _prune(self) -> None:
        if not self._pods:
            return
        newest_s = max(pod.created_s for pod in self._pods.values())
        by_age = sorted(self._pods.items(), key=lambda each: -each[1].created_s)[:MOST_PODS]
        # Twice, for instants of the past are still asked of it.
        self._pods = {name: pod for name, pod in by_age if pod.created_s >= newest_s - 2 * self._keep_s}


def _identity(one: Labelled) -> str:
    # Old releases of kube-state-metrics tell no uid; a ReplicaSet's pods never take a name again.
    return one.labels.get("uid") or one.labels.get("pod", "")


def _learn(pod: _Pod, fact: PodFact, window: MetricWindow) -> None:
    known = np.flatnonzero(window.known)
    if known.size:
        first = int(known[0])
        found = float(window.stamps_s[first] + window.step_s), float(window.values[first])
        pod.facts[fact] = min(pod.facts.get(fact, found), found)


def _miss(pod: _Pod, ends_s: Floats) -> None:
    """Note when it was known that the pod had vanished."""
    # Of an age at which a start has failed a pod is not told of any more. It has waited as long as is known.
    later_s = ends_s[ends_s >= pod.last_told_s + GONE_AFTER_S]
    if later_s.size:
        known_s = float(later_s[0])
        pod.vanished_known_s = min(pod.vanished_known_s or known_s, known_s)


def _ends_s(windows: list[MetricWindow]) -> Floats:
    """The ends of all bins that hold anything, in order [s]."""
    found = [window.stamps_s[window.known] + window.step_s for window in windows]
    return np.unique(np.concatenate([np.empty(0), *found]))


def _start(name: str, pod: _Pod, at_s: float) -> PodStart:
    def instant(value_s: float | None) -> datetime | None:
        return None if value_s is None else _EPOCH + timedelta(seconds=value_s)

    scheduled_s = pod.fact(PodFact.SCHEDULED, at_s)
    return PodStart(
        uid=name,
        created=_EPOCH + timedelta(seconds=pod.created_s),
        scheduled=instant(scheduled_s),
        started=instant(pod.fact(PodFact.STARTED, at_s)),
        ready=instant(pod.fact(PodFact.READY, at_s)),
        node_created=instant(pod.fact(PodFact.NODE_CREATED, at_s)),
        gone=instant(pod.gone(at_s)),
    )
