"""Pods as kube-state-metrics sees them: created, scheduled, started, ready, and gone.

A pod's instants are drawn when it is created, so its state is a function of time.
Times are seconds after the fleet's origin; those of pods that were there before are negative.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from predictscale.simulate.engine.replica import Engine
from predictscale.simulate.fleet import BootTime

_SCHEDULE = BootTime(median_s=1.0)
_NODE = BootTime(median_s=150.0, spread=0.2)
_PULL = BootTime(median_s=20.0, spread=0.2)
_LOAD = BootTime(median_s=90.0, spread=0.1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodBoot:
    """From a pod's creation until it is ready.

    Args:
        schedule: Until it has a node that is there.
        node: What buying a node adds.
        node_share: In how many cases one is bought, in [0, 1].
        pull: From the node until the container runs.
        load: From the running container until it serves: weights, compilation, warm-up.
    """

    schedule: BootTime = _SCHEDULE
    node: BootTime = _NODE
    node_share: float = 0.0
    pull: BootTime = _PULL
    load: BootTime = _LOAD

    def __post_init__(self) -> None:
        if not 0 <= self.node_share <= 1:
            raise ValueError(f"node_share: {self.node_share}; a share of bought nodes, in [0, 1]")

    def draw(self, created_s: float, rng: np.random.Generator) -> "Birth":
        """The instants of one more pod; the same draws whatever the share is."""
        bought = bool(rng.random() < self.node_share)
        schedule_s, node_s, pull_s, load_s = (
            part.draw_s(rng) for part in (self.schedule, self.node, self.pull, self.load)
        )
        scheduled_s = created_s + schedule_s + (node_s if bought else 0.0)
        started_s = scheduled_s + pull_s
        return Birth(
            created_s=created_s,
            scheduled_s=scheduled_s,
            started_s=started_s,
            ready_s=started_s + load_s,
            bought=bought,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """When a pod got where [s]; `bought` says whether a node was bought for it."""

    created_s: float
    scheduled_s: float
    started_s: float
    ready_s: float
    bought: bool

    @property
    def boot_s(self) -> float:
        """From its creation until it was ready for the first time."""
        return self.ready_s - self.created_s

    def shifted(self, by_s: float) -> "Birth":
        """The same, so much later [s]."""
        return Birth(
            created_s=self.created_s + by_s,
            scheduled_s=self.scheduled_s + by_s,
            started_s=self.started_s + by_s,
            ready_s=self.ready_s + by_s,
            bought=self.bought,
        )


@dataclass(slots=True, kw_only=True, eq=False)
class Pod:
    """One pod of the Deployment and the engines in it.

    Args:
        name: Its name.
        uid: Its uid.
        replica_set: Name of its ReplicaSet.
        revision: Which version of the server it runs, counted from 1.
        node: Its node's name.
        birth: When it was created, scheduled, started and ready for the first time.
        engines: One for each data-parallel rank.
    """

    name: str
    uid: str
    replica_set: str
    revision: int
    node: str
    birth: Birth
    engines: tuple[Engine, ...]
    ready_since_s: float = field(init=False)
    """When its readiness last became true."""
    unready_until_s: float = field(default=-math.inf, init=False)
    """Its readiness is false until then although it was ready before."""
    deleted_s: float = field(default=math.inf, init=False)
    """When its deletion was asked for; it drains since."""

    def __post_init__(self) -> None:
        self.ready_since_s = self.birth.ready_s

    def booted(self, at_s: float) -> bool:
        """Whether its server answers, also to a scrape."""
        return at_s >= self.birth.ready_s

    def ready(self, at_s: float) -> bool:
        """Whether its readiness probe succeeds."""
        return self.booted(at_s) and at_s >= self.unready_until_s

    def serves(self, at_s: float) -> bool:
        """Whether the router sends it requests: ready, and not on its way out."""
        return self.ready(at_s) and self.deleted_s == math.inf

    @property
    def outstanding(self) -> int:
        """Requests in its engines."""
        return sum(engine.outstanding for engine in self.engines)

    def flap(self, at_s: float, until_s: float) -> None:
        """Its readiness probe fails from now until then; the engines work on."""
        self.unready_until_s = until_s
        if until_s > at_s:
            self.ready_since_s = until_s
