"""A stand-in for KEDA and the HPA: it asks the service's own port and moves a simulated fleet.

Whatever can be counted and scaled may be moved: the fluid fleet of the demo, or engines with their queues.

The protocol is the real one, over a real channel, so what a demo shows is what a
cluster would see: every poll and every HPA sync calls GetMetricSpec, GetMetrics
and IsActive, each repeated once at once when it fails; an error scales nothing.

It refuses what a demo does not need: several triggers, `fallback`, cached
metrics, idle replicas, pauses, push, and the reconcile that writes a changed
target into the HPA only later. And where KEDA's poll has no deadline, this has
one, because a demo that hangs for ever shows nothing.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

import grpc
import grpc.aio

from predictscale._proto import externalscaler_pb2 as pb
from predictscale._proto import externalscaler_pb2_grpc
from predictscale.clock import Clock
from predictscale.core.fleet import FleetState
from predictscale.core.hpa import SYNC_S, Behavior, HpaSettings
from predictscale.errors import AnswerUnavailable
from predictscale.simulate.hpa import ExternalMetric, HorizontalPodAutoscaler, MetricKind

_Request_contra = TypeVar("_Request_contra", contravariant=True)
_Response_co = TypeVar("_Response_co", covariant=True)


class _Method(Protocol[_Request_contra, _Response_co]):
    """A unary method of the stub."""

    def __call__(
        self, request: _Request_contra, /, *, timeout: float | None = None
    ) -> Awaitable[_Response_co]: ...


class ScaleTarget(Protocol):
    """What can be scaled: the `scale` subresource of a Deployment, and its pods as the HPA counts them."""

    @property
    def spec(self) -> int:
        """`spec.replicas`."""
        ...

    def state(self, now: datetime) -> FleetState:
        """`status.replicas`, which a rollout takes above `spec`, and the pods that are ready; never None."""
        ...

    def scale(self, spec: int, now: datetime) -> None:
        """Ask for `spec` replicas."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaledObject:
    """What a user writes, as far as one `external` trigger goes.

    Args:
        namespace: Its namespace.
        name: Its name.
        metadata: The trigger's metadata, sent verbatim.
        min_replicas: minReplicaCount.
        max_replicas: maxReplicaCount.
        polling_s: pollingInterval [s].
        cooldown_s: cooldownPeriod, before the last replicas go [s].
        initial_cooldown_s: initialCooldownPeriod, for an object that was never active [s].
        metric_kind: metricType.
        behavior: Of the HPA that KEDA makes; None leaves the field out.
        tolerance: The cluster's, where `behavior` names none.
    """

    namespace: str
    name: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    min_replicas: int = 0
    max_replicas: int = 100
    polling_s: float = 30.0
    cooldown_s: float = 300.0
    initial_cooldown_s: float = 0.0
    metric_kind: MetricKind = MetricKind.AVERAGE_VALUE
    behavior: Behavior | None = None
    tolerance: float = 0.1

    def __post_init__(self) -> None:
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1:
            raise ValueError(f"replicas: min {self.min_replicas}, max {self.max_replicas}")
        if not self.polling_s > 0:
            raise ValueError(f"polling_s: {self.polling_s}; KEDA waits between polls")

    @property
    def hpa(self) -> HpaSettings:
        """The HPA that KEDA makes of it."""
        return HpaSettings(
            min_replicas=max(1, self.min_replicas),
            max_replicas=self.max_replicas,
            behavior=self.behavior,
            tolerance=self.tolerance,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a fleet's spec, and who made it."""

    at: datetime
    scaled_object: ScaledObject
    before: int
    after: int
    because: str


@dataclass(frozen=True, slots=True)
class _Cycle:
    """What one round of the three calls said; a metric is None if its answer was empty."""

    metrics: tuple[ExternalMetric | None, ...]
    active: bool


class KedaStandIn:
    """KEDA's and the HPA's loops for one ScaledObject.

    Args:
        scaled_object: Whose.
        channel: To the scaler; KEDA shares one among all ScaledObjects, and so may the caller, who closes it.
        fleet: What is moved.
        clock: Tells when to poll.
        on_change: Called with each change, after the fleet was told.
        rpc_timeout_s: For each call, in seconds of life, not of the clock [s].
    """

    def __init__(
        self,
        scaled_object: ScaledObject,
        *,
        channel: grpc.aio.Channel,
        fleet: ScaleTarget,
        clock: Clock,
        on_change: Callable[[Change], None] = lambda change: None,  # noqa: ARG005 - nobody listens
        rpc_timeout_s: float = 60.0,
    ) -> None:
        self.scaled_object = scaled_object
        self.fleet = fleet
        self.trouble: str | None = None
        """Why the last cycle scaled nothing; None if it was answered."""
        self._stub = externalscaler_pb2_grpc.ExternalScalerStub(channel)
        self._clock = clock
        self._on_change = on_change
        self._timeout_s = rpc_timeout_s
        self._hpa = HorizontalPodAutoscaler(scaled_object.hpa)
        self._ref = pb.ScaledObjectRef(
            name=scaled_object.name,
            namespace=scaled_object.namespace,
            scalerMetadata=scaled_object.metadata,
        )
        self._created_at: datetime | None = None
        self._active_at: datetime | None = None
        self._poll_due: datetime | None = None
        self._sync_due: datetime | None = None

    async def run(self) -> None:
        """Poll and sync for ever; ends by being cancelled."""
        while True:
            next_at = await self.sync_once(self._clock.now())
            await self._clock.wait_until(next_at)

    async def sync_once(self, now: datetime) -> datetime:
        """Do what is due at `now`: KEDA's poll, then the HPA's sync. Both are due at first.

        Returns:
            When something is due again.
        """
        if self._created_at is None:
            self._created_at = self._poll_due = self._sync_due = now
        assert self._poll_due is not None  # noqa: S101 - set together, above
        assert self._sync_due is not None  # noqa: S101 - the same
        if now >= self._poll_due:
            self._poll_due = _next(self._poll_due, self.scaled_object.polling_s, now)
            await self._poll(now)
        if now >= self._sync_due:
            self._sync_due = _next(self._sync_due, SYNC_S, now)
            await self._sync(now)
        return min(self._poll_due, self._sync_due)

    async def _poll(self, now: datetime) -> None:
        """KEDA's scale loop: it moves the fleet to and from zero only."""
        cycle = await self._cycle()
        if cycle is None:
            return
        least = max(1, self.scaled_object.min_replicas)
        if cycle.active:
            self._active_at = now
            if not self.fleet.spec:
                self._scale(least, now, f"KEDA activates: from 0 to {least}, the HPA follows")
        elif self.scaled_object.min_replicas:
            if self.fleet.spec < self.scaled_object.min_replicas:
                self._scale(least, now, f"KEDA restores minReplicaCount, {least}")
        elif self.fleet.spec and self._cooled(now):
            self._scale(0, now, "KEDA scales to zero: inactive throughout the cooldown")

    async def _sync(self, now: datetime) -> None:
        """The HPA's sync; at 0 replicas it is off and asks nothing."""
        if not self.fleet.spec:
            return
        cycle = await self._cycle()
        if cycle is None:
            return
        status = self.fleet.state(now)
        # Unlike a source, a target always knows its own.
        assert status.replicas is not None  # noqa: S101 - see above
        assert status.ready is not None  # noqa: S101 - see above
        replicas = self._hpa.sync(
            now,
            cycle.metrics,
            spec_replicas=self.fleet.spec,
            status_replicas=status.replicas,
            ready=status.ready,
        )
        values = ", ".join("nothing" if metric is None else f"{metric.value:g}" for metric in cycle.metrics)
        self._scale(replicas, now, f"HPA reads {values} at {self.fleet.spec} replicas")

    def _cooled(self, now: datetime) -> bool:
        """Whether the last replicas may go; an object that was never active has a wait of its own."""
        if self._active_at is not None:
            return (now - self._active_at).total_seconds() > self.scaled_object.cooldown_s
        assert self._created_at is not None  # noqa: S101 - sync_once sets it first
        return (now - self._created_at).total_seconds() >= self.scaled_object.initial_cooldown_s

    def _scale(self, replicas: int, now: datetime, because: str) -> None:
        before = self.fleet.spec
        if replicas == before:
            return
        self.fleet.scale(replicas, now)
        self._on_change(
            Change(at=now, scaled_object=self.scaled_object, before=before, after=replicas, because=because)
        )

    async def _cycle(self) -> _Cycle | None:
        """GetMetricSpec, then GetMetrics and IsActive for each spec; None if any of it failed."""
        try:
            cycle = await self._ask()
        except grpc.aio.AioRpcError as error:
            self.trouble = f"{error.code().name}: {error.details()}"
            return None
        except AnswerUnavailable as error:
            self.trouble = str(error)
            return None
        self.trouble = None
        return cycle

    async def _ask(self) -> _Cycle:
        metrics: list[ExternalMetric | None] = []
        active = False
        for spec in await self._specs():
            request = pb.GetMetricsRequest(scaledObjectRef=self._ref, metricName=spec.metricName)
            answer = await self._call(self._stub.GetMetrics, request)
            metrics.append(self._metric(spec, answer))
            active |= (await self._call(self._stub.IsActive, self._ref)).result
        return _Cycle(tuple(metrics), active)

    async def _specs(self) -> list[pb.MetricSpec]:
        """The specs; an empty list is asked for once more, as an error is."""
        for _ in range(2):
            answer = await self._call(self._stub.GetMetricSpec, self._ref)
            if answer.metricSpecs:
                return list(answer.metricSpecs)
        raise AnswerUnavailable("GetMetricSpec answered twice without a spec")

    def _metric(self, spec: pb.MetricSpec, answer: pb.GetMetricsResponse) -> ExternalMetric | None:
        """Values are relabelled with the name that was asked for, so all of them are summed."""
        if not answer.metricValues:
            return None
        values = (_float_or_int(each.metricValueFloat, each.metricValue) for each in answer.metricValues)
        target = _float_or_int(spec.targetSizeFloat, spec.targetSize)
        if not target > 0:
            raise AnswerUnavailable(f"{spec.metricName}: target {target:g}; an HPA's target is above 0")
        return ExternalMetric(value=sum(values), target=target, kind=self.scaled_object.metric_kind)

    async def _call(
        self, method: _Method[_Request_contra, _Response_co], request: _Request_contra
    ) -> _Response_co:
        """One call, repeated once at once if it fails, as KEDA does after it rebuilt the scaler."""
        try:
            return await method(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError:
            return await method(request, timeout=self._timeout_s)


def _float_or_int(new: float, old: int) -> float:
    """The float field if it says something; 0, negative and NaN leave it to the integer."""
    return new if new > 0 else float(old)


def _next(due: datetime, period_s: float, now: datetime) -> datetime:
    """The first instant after `now` on the grid of `due`; what was missed is not made up for."""
    missed = (now - due).total_seconds() // period_s
    return due + timedelta(seconds=(missed + 1) * period_s)
