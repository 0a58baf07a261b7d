"""What a Deployment does with its pods: creates and deletes them, and rolls out a new revision.

Deletes as a ReplicaSet does: the pending first, then the newest. A pod that is deleted gets no
more requests and may finish those it has, for a while. Knows nothing of who asks for what.
"""

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from predictscale.simulate.engine.pods import Pod, PodBoot
from predictscale.simulate.engine.replica import Engine

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_STRIDE = 5_795_387
_DRAIN_SEEN_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """How the fleet is called in a cluster and in its own metrics."""

    namespace: str = "prod"
    deployment: str = "chat"
    model: str = "example/chat-8b"


class Agenda:
    """What happens later, in the order of time, then of entry; and the present [s after the origin]."""

    __slots__ = ("_due", "_sequence", "now_s")

    def __init__(self) -> None:
        self.now_s = 0.0
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0

    @property
    def next_s(self) -> float:
        """When something is due; infinite if nothing is."""
        return self._due[0][0] if self._due else math.inf

    def add(self, at_s: float, happens: Callable[[], None]) -> None:
        """Let it happen then."""
        self._sequence += 1
        heapq.heappush(self._due, (at_s, self._sequence, happens))

    def happen(self) -> None:
        """Let the next thing happen."""
        heapq.heappop(self._due)[2]()


class Deployment:
    """The pods of one Deployment.

    Args:
        names: How it is called.
        boot: How long new pods take.
        grace_s: How long a deleted pod may finish its requests [s].
        agenda: Where its future is kept.
        engines: Makes the engines of the pod of a number.
        on_change: Told whenever who serves may have changed.
        on_removed: Told of each pod that is gone.
        seed: Of boot times, and part of the pods' uids.
    """

    def __init__(
        self,
        *,
        names: Names,
        boot: PodBoot,
        grace_s: float,
        agenda: Agenda,
        engines: Callable[[int], tuple[Engine, ...]],
        on_change: Callable[[], None],
        on_removed: Callable[[Pod], None],
        seed: int,
    ) -> None:
        self.spec = 0
        self.revision = 1
        self.pods: list[Pod] = []
        """Those that exist, the ones that drain included, oldest first."""
        self.gone: list[Pod] = []
        self._names, self._boot, self._grace_s, self._agenda = names, boot, grace_s, agenda
        self._engines, self._on_change, self._on_removed = engines, on_change, on_removed
        self._seed = seed
        self._rng = np.random.default_rng([seed, 1])
        self._created = 0

    @property
    def kept(self) -> tuple[Pod, ...]:
        """Pods that nobody asked to delete: what `status.replicas` counts."""
        return tuple(pod for pod in self.pods if pod.deleted_s == math.inf)

    def begin(self, spec: int) -> None:
        """Start with so many pods that have just become ready."""
        self.spec = spec
        for _ in range(spec):
            self._create(already=True)

    def scale(self, spec: int) -> None:
        """Want `spec` pods."""
        self.spec = spec
        self._settle()

    def roll(self) -> None:
        """Replace every pod by one of the next revision; who serves goes only when another does."""
        self.revision += 1
        for pod in self.kept:
            if not pod.booted(self._agenda.now_s):
                self._delete(pod)
        self._settle()

    def kill(self, pod: Pod) -> None:
        """A pod is gone at once; another is created for it."""
        self._remove(pod)
        self._settle()

    def flap(self, pod: Pod, until_s: float) -> None:
        """A pod's readiness is false until then."""
        pod.flap(self._agenda.now_s, until_s)
        self._on_change()
        self._agenda.add(until_s, self._on_change)

    def _settle(self) -> None:
        """Create or delete until there are as many as wanted, and one more during a rollout."""
        while True:
            kept = self.kept
            old = [pod for pod in kept if pod.revision < self.revision]
            wanted = self.spec + (1 if old and self.spec else 0)
            if len(kept) == wanted:
                return
            if len(kept) < wanted:
                self._create()
            else:
                newest_first = list(reversed(old or kept))
                pending = (pod for pod in newest_first if not pod.booted(self._agenda.now_s))
                self._delete(next(pending, newest_first[0]))

    def _create(self, *, already: bool = False) -> None:
        number, self._created = self._created, self._created + 1
        birth = self._boot.draw(self._agenda.now_s, self._rng)
        replica_set = f"{self._names.deployment}-{_letters(self.revision, 10)}"
        pod = Pod(
            name=f"{replica_set}-{_letters(number + 1, 5)}",
            uid=f"00000000-0000-4000-8000-{self._seed % 2**16:04x}{number:08x}",
            replica_set=replica_set,
            revision=self.revision,
            node=f"node-{number}",
            birth=birth.shifted(-birth.boot_s) if already else birth,
            engines=self._engines(number),
        )
        self.pods.append(pod)
        self._agenda.add(pod.birth.ready_s, lambda: self._became_ready(pod))
        self._on_change()

    def _became_ready(self, pod: Pod) -> None:
        """A pod serves for the first time; in a rollout, one of the old ones may go for it."""
        self._on_change()
        old = next((each for each in self.kept if each.revision < self.revision), None)
        if old is not None and pod in self.kept and pod.revision == self.revision:
            self._delete(old)
            self._settle()

    def _delete(self, pod: Pod) -> None:
        pod.deleted_s = self._agenda.now_s
        self._on_change()
        if pod.booted(self._agenda.now_s):
            self._drain(pod)
        else:
            self._remove(pod)

    def _drain(self, pod: Pod) -> None:
        """Look now and then whether a deleted pod is done."""
        if pod not in self.pods:
            return
        now_s = self._agenda.now_s
        left_s = pod.deleted_s + self._grace_s - now_s
        if not pod.outstanding or left_s <= 0:
            self._remove(pod)
        else:
            self._agenda.add(now_s + min(_DRAIN_SEEN_S, left_s), lambda: self._drain(pod))

    def _remove(self, pod: Pod) -> None:
        self.pods.remove(pod)
        self.gone.append(pod)
        pod.deleted_s = min(pod.deleted_s, self._agenda.now_s)
        self._on_change()
        self._on_removed(pod)


def _letters(number: int, length: int) -> str:
    """Letters as Kubernetes appends them to names, different for different numbers."""
    # A stride without a factor in common with the number of names visits each of them once.
    place = number * _STRIDE % len(_LETTERS) ** length
    text = ""
    for _ in range(length):
        place, digit = divmod(place, len(_LETTERS))
        text += _LETTERS[digit]
    return text
