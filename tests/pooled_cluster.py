"""A cluster with spot in zones and on-demand without limit, told as kube-state-metrics would tell it.

Every pod has a node. It knows nothing of decisions: Deployments are scaled by whoever holds them,
zones have the room that a test gives them, and a loss is announced as long before as the test says.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np

from predictscale.config.poolfacts import PoolFact
from predictscale.core.demand import Signal
from predictscale.core.fleet import FleetState
from predictscale.core.series import MetricWindow
from predictscale.errors import SourceUnavailable
from predictscale.sources.base import Answer, Labelled

ANYWHERE = "on-demand"
Room = Callable[[datetime], int]
"""How many nodes a zone holds at an instant."""


@dataclass(eq=False)
class Pod:
    """A pod; without a zone it waits for a node."""

    zone: str | None = None
    ready_at: datetime | None = None

    def serves(self, now: datetime) -> bool:
        """Whether it is ready."""
        return self.ready_at is not None and self.ready_at <= now


@dataclass(eq=False)
class PooledDeployment:
    """One pool's Deployment; a `ScaleTarget`."""

    zones: tuple[str, ...] = (ANYWHERE,)
    pods: list[Pod] = field(default_factory=list)

    @property
    def spec(self) -> int:
        """`spec.replicas`: it makes and deletes pods at once."""
        return len(self.pods)

    def state(self, now: datetime) -> FleetState:
        """All pods, and those that serve."""
        return FleetState(replicas=self.spec, ready=self.serving(now))

    def serving(self, now: datetime, zone: str | None = None) -> int:
        """Pods that serve, of one zone or of all."""
        return sum(pod.serves(now) and zone in (None, pod.zone) for pod in self.pods)

    def scale(self, spec: int, now: datetime) -> None:
        """Pods that do not serve go first, then those of the fullest zone."""
        self.pods += [Pod() for _ in range(spec - self.spec)]
        while self.spec > spec:
            crowd = Counter(pod.zone for pod in self.pods)
            self.pods.remove(min(self.pods, key=lambda pod: (pod.serves(now), -crowd[pod.zone])))

    def nodes_in(self, zone: str) -> list[Pod]:
        """The pods with a node there, the eldest first."""
        return [pod for pod in self.pods if pod.zone == zone]


class PooledCluster:
    """The world, and a source that remembers what was told of it.

    Args:
        deployments: By pool.
        rooms: Of each zone of spot.
        queries: How each fact of each pool is asked.
        demand: Per second.
        boot_s: From a node until the pod on it serves [s].
        notice_s: How long before a loss it is announced [s].

    While it is `mute`, nothing is told of pods and nodes.
    """

    def __init__(
        self,
        deployments: Mapping[str, PooledDeployment],
        *,
        rooms: Mapping[str, Room],
        queries: Mapping[str, Mapping[PoolFact, str]],
        demand: float,
        boot_s: float,
        notice_s: float,
    ) -> None:
        self.deployments, self.demand, self.mute = deployments, demand, False
        self._rooms, self._boot_s, self._notice_s = rooms, boot_s, notice_s
        self._asked = {text: (pool, fact) for pool, facts in queries.items() for fact, text in facts.items()}
        self._told: dict[tuple[str, PoolFact], dict[datetime, dict[str, int]]] = defaultdict(dict)

    def live(self, now: datetime) -> None:
        """Take what has no room any more, give nodes to pods that wait, and remember what can be told."""
        for deployment in self.deployments.values():
            for zone in deployment.zones:
                for pod in deployment.nodes_in(zone)[self._room(zone, now) :]:
                    pod.zone, pod.ready_at = None, None
            for pod in deployment.pods:
                if pod.zone is None:
                    self._place(pod, deployment, now)
        for name, deployment in self.deployments.items():
            self._tell(name, deployment, now)

    def serving(self, now: datetime) -> int:
        """Replicas of all pools that serve."""
        return sum(deployment.serving(now) for deployment in self.deployments.values())

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        """Demand has always been the same."""
        bins = round((end - start).total_seconds() / step_s)
        value = self.demand if signal.query == "demand" else np.nan
        return Answer(MetricWindow(start, step_s, np.full(bins, value)))

    async def read_each(
        self, query: str, *, start: datetime, end: datetime, step_s: float
    ) -> tuple[Labelled, ...]:
        """What was told of a pool, zone by zone; only a query that was announced is understood."""
        if self.mute:
            raise SourceUnavailable("nobody tells of pods")
        told = self._told[self._asked[query]]
        bins = round((end - start).total_seconds() / step_s)
        instants = [start + timedelta(seconds=(place + 1) * step_s) for place in range(bins)]
        zones = sorted({zone for at in instants for zone in told.get(at, {})})
        return tuple(
            Labelled(
                {"label_topology_kubernetes_io_zone": zone} if zone else {},
                MetricWindow(
                    start, step_s, np.array([told.get(at, {}).get(zone, np.nan) for at in instants], float)
                ),
            )
            for zone in zones
        )

    async def aclose(self) -> None:
        """Nothing to close."""

    def _room(self, zone: str, now: datetime) -> int:
        return self._rooms[zone](now) if zone in self._rooms else 10_000

    def _place(self, pod: Pod, deployment: PooledDeployment, now: datetime) -> None:
        free = {
            zone: len(deployment.nodes_in(zone))
            for zone in deployment.zones
            if len(deployment.nodes_in(zone)) < self._room(zone, now)
        }
        if free:
            pod.zone = min(free, key=lambda zone: (free[zone], zone))
            pod.ready_at = now + timedelta(seconds=self._boot_s)

    def _tell(self, name: str, deployment: PooledDeployment, now: datetime) -> None:
        facts: dict[PoolFact, dict[str, int]] = {
            PoolFact.HELD: {"": deployment.spec},
            PoolFact.WANTED: {"": deployment.spec},
            PoolFact.SERVING: {"": deployment.serving(now)},
            # Zones in which there is nothing to count are not told.
            PoolFact.READY: {zone: deployment.serving(now, zone) for zone in deployment.zones},
            PoolFact.NOTICED: {zone: self._leaving(deployment, zone, now) for zone in deployment.zones},
        }
        for fact, numbers in facts.items():
            counted = {zone: number for zone, number in numbers.items() if number or not zone}
            self._told[name, fact][now] = counted

    def _leaving(self, deployment: PooledDeployment, zone: str, now: datetime) -> int:
        soon = now + timedelta(seconds=self._notice_s)
        return max(0, len(deployment.nodes_in(zone)) - self._room(zone, soon))
