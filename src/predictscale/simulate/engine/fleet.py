"""Pods of engines behind a router, as one Deployment in a cluster.

Two ways to let time pass: `run` as fast as it goes, or `run` to what a clock says whenever
somebody looks (`server`, `keep_pace`). Either way the same seed gives the same fleet, however
often it is looked at.

Refuses to lose a request unseen: every attempt that arrived is held at the router, waiting,
running, finished, aborted by its client, or lost with its pod. Safe to use from several threads.
"""

import math
import threading
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from predictscale.clock import Clock
from predictscale.core.fleet import FleetState
from predictscale.simulate.engine.deployment import Agenda, Deployment, Names
from predictscale.simulate.engine.gateway import Gateway, Retry, Router
from predictscale.simulate.engine.ledger import Ledger, Truth, sum_up
from predictscale.simulate.engine.pods import Pod, PodBoot
from predictscale.simulate.engine.replica import Engine
from predictscale.simulate.engine.request import Request
from predictscale.simulate.engine.spec import EngineSpec
from predictscale.simulate.engine.traffic import SLICE_S, Arrivals, Stream

ORIGIN: Final = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)

# One stream of random numbers for each purpose; the Deployment's is 1.
_ENGINES, _TRAFFIC = 0, 2


class Fleet:
    """One Deployment and its clients. Equal arguments and calls, equal histories.

    Instants are taken as aware UTC datetimes; a call with an earlier one than the last call's
    finds the fleet as it is.

    Args:
        spec: Every engine.
        streams: What is asked of the fleet.
        pods: Those that are there and ready from the beginning.
        boot: How long new ones take.
        engines_per_pod: Data-parallel ranks, each an engine of its own.
        router: Who gets a request.
        retry: What clients do that got no answer; None makes them go away.
        grace_s: A pod that is deleted may finish its requests for so long [s].
        origin: When it all begins.
        bin_s: Width of the truth's bins [s].
        names: As metrics call it.
        seed: Of everything that is drawn.

    Raises:
        ValueError: An argument that cannot be.
    """

    def __init__(
        self,
        *,
        spec: EngineSpec,
        streams: Sequence[Stream],
        pods: int = 1,
        boot: PodBoot | None = None,
        engines_per_pod: int = 1,
        router: Router = Router.LEAST_OUTSTANDING,
        retry: Retry | None = None,
        grace_s: float = 30.0,
        origin: datetime = ORIGIN,
        bin_s: float = 15.0,
        names: Names | None = None,
        seed: int = 0,
    ) -> None:
        if engines_per_pod < 1 or pods < 0 or not 0 <= grace_s < math.inf:
            raise ValueError(f"pods: {pods}, engines_per_pod: {engines_per_pod}, grace_s: {grace_s}")
        self.engine_spec, self.origin, self.names = spec, origin, names or Names()
        self.lock = threading.RLock()
        """Held by whoever reads several things that must belong together."""
        self._engines_per_pod, self._seed = engines_per_pod, seed
        self._arrivals = [
            Arrivals(stream, seed=[seed, _TRAFFIC, place], context_tokens=spec.context_tokens)
            for place, stream in enumerate(streams)
        ]
        self._slices = 0
        self._coming: deque[Request] = deque()
        self._ledger = Ledger(bin_s)
        self._all: list[Engine] = []
        self._agenda = Agenda()
        self._gateway = Gateway(router=router, retry=retry, ledger=self._ledger, agenda=self._agenda)
        self._deployment = Deployment(
            names=self.names,
            boot=boot or PodBoot(),
            grace_s=grace_s,
            agenda=self._agenda,
            engines=self._make_engines,
            on_change=self._refresh,
            on_removed=self._lose,
            seed=seed,
        )
        self._deployment.begin(pods)

    @property
    def now_s(self) -> float:
        """How far it has come [s after the origin]."""
        return self._agenda.now_s

    @property
    def now(self) -> datetime:
        """How far it has come."""
        return self.origin + timedelta(seconds=self.now_s)

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Those that exist, the ones that drain included, oldest first."""
        return tuple(self._deployment.pods)

    @property
    def past_pods(self) -> tuple[Pod, ...]:
        """Those that are gone."""
        return tuple(self._deployment.gone)

    @property
    def kept(self) -> tuple[Pod, ...]:
        """Those that nobody asked to delete: what `status.replicas` counts."""
        return self._deployment.kept

    @property
    def revision(self) -> int:
        """Which version new pods run, counted from 1."""
        return self._deployment.revision

    @property
    def spec(self) -> int:
        """`spec.replicas`."""
        return self._deployment.spec

    @property
    def held(self) -> int:
        """Requests at the router, for which no pod serves."""
        return self._gateway.held

    @property
    def outstanding(self) -> int:
        """Requests at the router or in an engine."""
        return self.held + sum(engine.outstanding for engine in self._all)

    def ready(self, now: datetime) -> int:
        """Replicas that are ready."""
        return self.state(now).ready or 0

    def state(self, now: datetime) -> FleetState:
        """The fleet as kube-state-metrics would tell it."""
        with self.lock:
            self.run(now)
            return FleetState(replicas=len(self.kept), ready=sum(pod.ready(self.now_s) for pod in self.kept))

    def scale(self, spec: int, now: datetime) -> None:
        """Ask for `spec` replicas; the pending go first, then the newest.

        Raises:
            ValueError: `spec` is negative.
        """
        if spec < 0:
            raise ValueError(f"spec: {spec}; replicas are counted")
        with self.lock:
            self.run(now)
            self._deployment.scale(spec)

    def roll(self, now: datetime) -> None:
        """Replace every pod by one of the next revision, one by one, each before its predecessor goes."""
        with self.lock:
            self.run(now)
            self._deployment.roll()

    def flap(self, pod: str, now: datetime, *, for_s: float) -> None:
        """Let a pod's readiness be false for a while although it works.

        Raises:
            ValueError: There is no such pod, it was never ready yet, or `for_s` is not above 0.
        """
        with self.lock:
            self.run(now)
            found = self._named(pod)
            if not (found.booted(self.now_s) and 0 < for_s < math.inf):
                raise ValueError(f"{pod}: first ready at {found.birth.ready_s:g} s, for {for_s:g} s")
            self._deployment.flap(found, self.now_s + for_s)

    def kill(self, pod: str, now: datetime) -> None:
        """Take a pod away at once, with its requests; the Deployment creates another.

        Raises:
            ValueError: There is no such pod.
        """
        with self.lock:
            self.run(now)
            self._deployment.kill(self._named(pod))

    def run(self, until: datetime) -> None:
        """Let everything happen until `until`; nothing if that is past.

        Raises:
            ValueError: A rate is negative or not finite.
        """
        with self.lock:
            end_s = (until - self.origin).total_seconds()
            while self._slices * SLICE_S <= end_s:
                self._run_to(self._slices * SLICE_S)
                drawn = [r for arrivals in self._arrivals for r in arrivals.slice(self._slices)]
                self._coming.extend(sorted(drawn, key=lambda request: request.arrived_s))
                self._slices += 1
            self._run_to(end_s)

    def truth(self, since: datetime, until: datetime) -> Truth:
        """What happened in [since, until), on whole bins.

        Raises:
            ValueError: An end lies within a bin, the interval is empty, or it is not over yet.
        """
        with self.lock:
            since_s, until_s = ((at - self.origin).total_seconds() for at in (since, until))
            if until_s > self.now_s:
                raise ValueError(f"until {until_s:g} s; the fleet has come to {self.now_s:g} s")
            ledgers = [engine.ledger for pod in (*self.pods, *self.past_pods) for engine in pod.engines]
            return sum_up([self._ledger, *ledgers], since_s, until_s)

    def _run_to(self, end_s: float) -> None:
        """Arrivals and the agenda in the order of time, then every engine to the end."""
        while True:
            event_s = self._agenda.next_s
            arrival_s = self._coming[0].arrived_s if self._coming else math.inf
            next_s = min(event_s, arrival_s)
            if next_s > end_s:
                break
            self._engines_to(next_s)
            if event_s == next_s:
                self._agenda.happen()
            else:
                self._gateway.offer(self._coming.popleft())
        self._engines_to(end_s)

    def _engines_to(self, at_s: float) -> None:
        for engine in self._all:
            if engine.ends_s <= at_s:
                engine.run(at_s)
        self._agenda.now_s = max(self.now_s, at_s)

    def _lose(self, pod: Pod) -> None:
        """Everything that a pod still held goes with it."""
        for engine in pod.engines:
            self._gateway.lose(engine.evict())

    def _refresh(self) -> None:
        """Pods came, went, or became ready or unready."""
        pods = self._deployment.pods
        self._all = [engine for pod in pods for engine in pod.engines]
        self._gateway.serve_with([e for pod in pods if pod.serves(self.now_s) for e in pod.engines])

    def _make_engines(self, number: int) -> tuple[Engine, ...]:
        return tuple(
            Engine(
                self.engine_spec,
                seed=[self._seed, _ENGINES, number, rank],
                bin_s=self._ledger.bin_s,
                on_gone=self._gateway.ended,
            )
            for rank in range(self._engines_per_pod)
        )

    def _named(self, name: str) -> Pod:
        found = next((pod for pod in self.pods if pod.name == name), None)
        if found is None:
            raise ValueError(f"pod: {name}; there are {', '.join(pod.name for pod in self.pods) or 'none'}")
        return found


async def keep_pace(fleet: Fleet, clock: Clock, *, every_s: float = 1.0) -> None:
    """Run a fleet beside a clock for ever, so that whoever looks at it has little to wait for.

    Args:
        fleet: Which one.
        clock: Whose time; a faster one accelerates the fleet.
        every_s: How often, in the clock's time [s].
    """
    while True:
        fleet.run(clock.now())
        await clock.wait_until(clock.now() + timedelta(seconds=every_s))
