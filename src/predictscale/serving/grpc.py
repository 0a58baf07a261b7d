"""KEDA's side of the service: the external scaler protocol on grpc.aio.

KEDA sets no deadline when it polls, asks three questions per cycle and shares
one connection among all ScaledObjects. So every handler has a timeout of its
own, answers come from memory, GetMetrics and IsActive of a cycle read one
decision, and no limit on calls or streams lets push streams starve the rest.
Refuses to compute: it encodes what the desk says.
"""

import asyncio
import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from predictscale._proto import externalscaler_pb2 as pb
from predictscale.clock import Clock, SystemClock
from predictscale.core.plan import Decision, ReplicaPlan
from predictscale.errors import AnswerUnavailable, Problem, SettingsError
from predictscale.meters import Meters
from predictscale.serving.grpc_calls import Calls, Handler, Waits, Write
from predictscale.serving.ports import Desk, Ref

METRIC_NAME: Final = "predictscale-replicas"
SERVICE: Final = pb.DESCRIPTOR.services_by_name["ExternalScaler"].full_name

# KEDA up to 2.6 asks for the metric by the name that the HPA sees, `s0-...`.
_ASKED_NAME = re.compile(rf"(s\d+-)?{METRIC_NAME}", re.IGNORECASE)
# Long enough for the cycle's next question, shorter than the HPA's 15 s between cycles.
_CYCLE_S = 5.0
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # or a second process would silently share the port
    # By default a burst of more than 1,000 calls, as when KEDA reopens its streams, is cancelled at random.
    ("grpc.server.max_pending_requests", 1 << 16),
    ("grpc.server.max_pending_requests_hard_limit", 1 << 16),
    ("grpc.keepalive_time_ms", 30_000),  # a client that vanished is noticed within 40 s
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.max_receive_message_length", 1 << 20),
    ("grpc.max_metadata_size", 8 << 10),
    ("grpc.absolute_max_metadata_size", 16 << 10),
)

_SPEC: Final = pb.GetMetricSpecResponse(
    metricSpecs=[pb.MetricSpec(metricName=METRIC_NAME, targetSize=1, targetSizeFloat=1.0)]
).SerializeToString()
_ACTIVE: Final = {state: pb.IsActiveResponse(result=state).SerializeToString() for state in (False, True)}


class ScalerServer:
    """One gRPC port, from bind to drain.

    Args:
        desk: Where answers come from.
        meters: Where calls are counted.
        host: The address to bind, a name or an IP; `::` is every one.
        port: 0 is any free port; `port` tells which once started.
        credentials: TLS, as `serving.tls` makes it; None is plaintext.
        timeout_s: How long a call may take at most [s].
        drain_s: How long a drain goes on answering, so that probes and DNS see it coming [s].
        grace_s: How long calls in flight may take then [s].
        clock: Life's own, also where the data is replayed: KEDA does not run faster.
    """

    def __init__(
        self,
        desk: Desk,
        *,
        meters: Meters,
        host: str,
        port: int,
        credentials: grpc.ServerCredentials | None = None,
        timeout_s: float = 2.0,
        drain_s: float = 1.0,
        grace_s: float = 5.0,
        clock: Clock | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._credentials = credentials
        self._drain_s = drain_s
        self._grace_s = grace_s
        self._waits = Waits()
        clock = clock or SystemClock()
        calls = Calls(meters=meters, clock=clock, timeout_s=timeout_s)
        self._handlers = _Scaler(desk, waits=self._waits, clock=clock).handlers(calls)
        self._health = health.aio.HealthServicer()
        self._server: grpc.aio.Server | None = None

    @property
    def port(self) -> int:
        """The port that is bound, or is to be bound."""
        return self._port

    async def start(self) -> None:
        """Bind and serve.

        Raises:
            SettingsError: The address cannot be bound.
        """
        server = grpc.aio.server(options=_OPTIONS)
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, self._handlers),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        self._port = self._bind(server)
        for name in ("", SERVICE):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await server.start()
        self._server = server

    def _bind(self, server: grpc.aio.Server) -> int:
        here = address(self._host, self._port)
        try:
            if self._credentials is None:
                return server.add_insecure_port(here)
            return server.add_secure_port(here, self._credentials)
        except RuntimeError as error:
            got, wants = (
                f"{here} cannot be bound",
                "wants an address of this machine and a free port, or 0",
            )
            raise SettingsError([Problem(where="grpc_port", got=got, wants=wants)]) from error

    async def drain(self) -> None:
        """Leave without a failed call.

        Probes are told NOT_SERVING; after `drain_s` push streams end with OK, new calls
        go elsewhere, and calls in flight have `grace_s` to finish.
        """
        await self._health.enter_graceful_shutdown()
        await asyncio.sleep(self._drain_s)
        await self._close(self._grace_s)

    async def stop(self) -> None:
        """Leave at once; calls in flight are cancelled."""
        await self._close(None)

    async def _close(self, grace_s: float | None) -> None:
        self._waits.finish()
        if self._server is not None:
            await self._server.stop(grace_s)


class _Scaler:
    """The five methods, over bytes."""

    def __init__(self, desk: Desk, *, waits: Waits, clock: Clock) -> None:
        self._desk = desk
        self._waits = waits
        self._cycles = _Cycles(clock)

    def handlers(self, calls: Calls) -> dict[str, Handler]:
        """All methods by their names in the protocol."""
        return {
            "IsActive": calls.unary("IsActive", self.is_active),
            "GetMetricSpec": calls.unary("GetMetricSpec", self.metric_spec),
            "GetMetrics": calls.unary("GetMetrics", self.metrics),
            "StreamIsActive": calls.stream("StreamIsActive", self.admit, self.push_active),
            "StreamMetricSpec": calls.stream("StreamMetricSpec", self.admit, self.push_spec),
        }

    async def metric_spec(self, raw: bytes) -> bytes:
        """The one metric and its target, 1: the HPA lands on the value itself."""
        await self.admit(raw)
        return _SPEC

    async def metrics(self, raw: bytes) -> bytes:
        """The replicas to have, published by the newest decision."""
        request = pb.GetMetricsRequest.FromString(raw)
        _check_name(request.metricName)
        ref = _ref(request.scaledObjectRef)
        key = _Cycles.key(ref)
        try:
            decision = await self._desk.decision(ref)
            answer = _metrics(_told(ref, decision).published)
        except BaseException:
            self._cycles.forget(key)  # IsActive may not speak for an earlier cycle
            raise
        self._cycles.remember(key, decision)
        return answer

    async def is_active(self, raw: bytes) -> bytes:
        """Whether the value that this cycle's GetMetrics gave is above 0."""
        ref = _ref(pb.ScaledObjectRef.FromString(raw))
        decision = self._cycles.recall(_Cycles.key(ref)) or await self._desk.decision(ref)
        return _ACTIVE[_told(ref, decision).active]

    async def admit(self, raw: bytes) -> Ref:
        """Check and register; all that a stream needs before it may wait."""
        ref = _ref(pb.ScaledObjectRef.FromString(raw))
        await self._desk.spec(ref)
        return ref

    async def push_active(self, ref: Ref, write: Write) -> None:
        """The state once it is known, then its changes only.

        Repeating `true` would keep KEDA from ever scaling to zero, and a decision that
        says nothing is not `false`.
        """
        told: bool | None = None
        changes = self._desk.changes(ref)
        try:
            while (decision := await self._waits.next(changes)) is not None:
                answer = decision.answer
                if answer.available and answer.active is not told:
                    await write(_ACTIVE[answer.active])
                    told = answer.active
        finally:
            if (close := getattr(changes, "aclose", None)) is not None:
                await close()

    async def push_spec(self, _ref: Ref, write: Write) -> None:
        """The spec, which never changes, and then silence."""
        await write(_SPEC)
        await self._waits.end()


class _Cycles:
    """Which decision each GetMetrics was answered from, for the IsActive that follows it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cycles: OrderedDict[object, _Cycle] = OrderedDict()  # eldest first

    @staticmethod
    def key(ref: Ref) -> object:
        """Who asks. Two triggers of one ScaledObject differ in their metadata alone."""
        return ref.namespace, ref.name, frozenset(ref.metadata.items())

    def forget(self, key: object) -> None:
        """Let nothing be said in the name of an earlier cycle."""
        self._cycles.pop(key, None)

    def remember(self, key: object, decision: Decision) -> None:
        """Keep `decision` as the newest, and drop those that are too old to be recalled."""
        now_s = self._clock.monotonic_s()
        cycle = self._cycles.get(key)
        if cycle is None:
            self._cycles[key] = _Cycle(now_s, decision)
        else:  # in place: what a busy server keeps anew per call, its garbage collector must visit
            cycle.at_s, cycle.decision = now_s, decision
            self._cycles.move_to_end(key)
        while now_s - next(iter(self._cycles.values())).at_s > _CYCLE_S:
            self._cycles.popitem(last=False)

    def recall(self, key: object) -> Decision | None:
        """The decision of this cycle, if its GetMetrics was a moment ago."""
        cycle = self._cycles.get(key)
        if cycle is None or self._clock.monotonic_s() - cycle.at_s > _CYCLE_S:
            return None
        return cycle.decision


@dataclass(slots=True)
class _Cycle:
    at_s: float
    decision: Decision


def address(host: str, port: int) -> str:
    """A host and a port as one text; an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@lru_cache(maxsize=4096)
def _metrics(replicas: int) -> bytes:
    """The answer that lands on `replicas`: one whole number, for clients of any age.

    Raises:
        ValueError: `replicas` is negative, which KEDA would read as 0, or beyond an int64.
    """
    if replicas < 0:
        raise ValueError(f"replicas: {replicas}; a fleet is not negative")
    value = pb.MetricValue(metricName=METRIC_NAME, metricValue=replicas, metricValueFloat=float(replicas))
    return pb.GetMetricsResponse(metricValues=[value]).SerializeToString()


def _check_name(asked: str) -> None:
    if asked != METRIC_NAME and not _ASKED_NAME.fullmatch(asked):
        wants = f"the only metric is {METRIC_NAME}"
        raise SettingsError([Problem(where="metricName", got=repr(asked[:100]), wants=wants)])


def _ref(message: pb.ScaledObjectRef) -> Ref:
    """Read whom a call is about.

    Raises:
        SettingsError: The name or namespace is missing, or longer than Kubernetes allows.
    """
    namespace, name = message.namespace, message.name
    if not (0 < len(namespace) <= 63 and 0 < len(name) <= 253):
        got = f"a namespace of {len(namespace)} and a name of {len(name)} characters"
        wants = "a ScaledObject has 1 to 63 and 1 to 253"
        raise SettingsError([Problem(where="scaledObjectRef", got=got, wants=wants)])
    return Ref(namespace, name, dict(message.scalerMetadata.items()))


def _told(ref: Ref, decision: Decision) -> ReplicaPlan:
    """What KEDA is told.

    Raises:
        AnswerUnavailable: The decision is to say nothing.
    """
    answer = decision.answer
    if not answer.available:
        # The first stage tells what is known of demand; the later ones go on from there.
        why = [step.because for step in answer.steps[:1]]
        why += [note for note in decision.notes if note.startswith("demand ")]
        because = f": {'; '.join(why)}" if why else ""
        raise AnswerUnavailable(f"{ref.namespace}/{ref.name} is {answer.health}{because}")
    return answer
