"""A desk whose decisions, delays and errors a test sets, and a server in front of it."""

import asyncio
import socket
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta

import grpc

from patience import WITHIN_S
from predictscale.clock import Clock
from predictscale.core.capacity import CapacityModel
from predictscale.core.demand import Observation, WorkloadId
from predictscale.core.plan import Decision, Health, Policy, ReplicaPlan, Stage, Step
from predictscale.errors import AnswerUnavailable
from predictscale.meters import Meters
from predictscale.serving.grpc import ScalerServer
from predictscale.serving.ports import Ref

T0 = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
POLICY = Policy(
    capacity=CapacityModel(per_replica=10.0), lead_time_s=120.0, level=0.9, min_replicas=0, max_replicas=100
)

RECONNECT_SOON = (("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 50))
"""For clients of a server that comes back; what is not set is for how long they wait to be taken, 20 s."""


def decision(published: int, *, available: bool = True, because: str = "a test says so") -> Decision:
    """A decision that publishes `published` replicas."""
    plan = ReplicaPlan(
        steps=(Step(Stage.LANDING, published, "replicas", because),),
        target=max(published, 0),
        published=published,
        active=published > 0,
        health=Health.OK if available else Health.STALE,
        available=available,
    )
    return Decision(
        workload=WorkloadId("prod", "chat"),
        seen=Observation(now=T0, demand=10.0 * published, demand_at=T0),
        unit="requests/s",
        policy=POLICY,
        plan=plan,
        reactive=plan,
        forecast=None,
        valid_until=T0 + timedelta(seconds=60),
    )


class FakeDesk:
    """Answers what it was told to, per ScaledObject, and counts who is looking."""

    def __init__(self, published: int | None = None) -> None:
        self.default = None if published is None else decision(published)
        self.asked: list[tuple[str, Ref]] = []
        self.gate = asyncio.Event()
        """Cleared, questions about decisions and specs wait."""
        self.gate.set()
        self.waiting = asyncio.Semaphore(0)
        """Released whenever a question meets a cleared gate."""
        self._current: dict[tuple[str, str], Decision] = {}
        self._watchers: dict[tuple[str, str], set[asyncio.Queue[Decision]]] = {}
        self._faults: dict[str, deque[Exception]] = {}

    def fail(self, method: str, *errors: Exception) -> None:
        """Let the next calls of `spec`, `decision` or `changes` raise."""
        self._faults.setdefault(method, deque()).extend(errors)

    def publish(self, decided: Decision, *, namespace: str = "prod", name: str = "chat") -> None:
        """Replace a decision; whoever watches sees every one."""
        key = (namespace, name)
        self._current[key] = decided
        for watcher in self._watchers.get(key, ()):
            watcher.put_nowait(decided)

    @property
    def watchers(self) -> int:
        """How many iterators of `changes` are open."""
        return sum(len(queues) for queues in self._watchers.values())

    async def spec(self, ref: Ref) -> None:
        """As the port says."""
        await self._enter("spec", ref)

    async def decision(self, ref: Ref) -> Decision:
        """As the port says."""
        await self._enter("decision", ref)
        if (current := self._now(ref)) is None:
            raise AnswerUnavailable(f"{ref.namespace}/{ref.name}: demand was never seen")
        return current

    async def changes(self, ref: Ref) -> AsyncIterator[Decision]:
        """As the port says."""
        await self._enter("changes", ref)
        queue = asyncio.Queue[Decision]()
        if (current := self._now(ref)) is not None:
            queue.put_nowait(current)
        watchers = self._watchers.setdefault((ref.namespace, ref.name), set())
        watchers.add(queue)
        try:
            while True:
                yield await queue.get()
        finally:
            watchers.remove(queue)

    def _now(self, ref: Ref) -> Decision | None:
        return self._current.get((ref.namespace, ref.name), self.default)

    async def _enter(self, method: str, ref: Ref) -> None:
        self.asked.append((method, ref))
        if not self.gate.is_set():
            self.waiting.release()
            await self.gate.wait()
        if faults := self._faults.get(method):
            raise faults.popleft()


@contextmanager
def kept_port() -> Iterator[int]:
    """A port of this machine that nobody is given while the server on it is away."""
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield keeper.getsockname()[1]


@asynccontextmanager
async def served(
    desk: FakeDesk,
    *,
    port: int = 0,
    credentials: grpc.ServerCredentials | None = None,
    timeout_s: float = WITHIN_S,
    grace_s: float = WITHIN_S,
    meters: Meters | None = None,
    clock: Clock | None = None,
) -> AsyncIterator[ScalerServer]:
    """A server before `desk`, on a free port of this machine."""
    server = ScalerServer(
        desk,
        meters=meters or Meters(),
        host="127.0.0.1",
        port=port,
        credentials=credentials,
        timeout_s=timeout_s,
        drain_s=0.0,
        grace_s=grace_s,
        clock=clock,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop()
