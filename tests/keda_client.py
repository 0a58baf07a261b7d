"""KEDA's external scaler client, call for call, so that tests meet what production will send.

After KEDA 2.20: one connection for all ScaledObjects, round robin, calls that
fail fast; GetMetricSpec, then GetMetrics and IsActive for each metric; the poll
loop without a deadline, the HPA's path with 60 s; after an error the scaler is
rebuilt and the call repeated once, at once; push streams reconnect after 2, 4,
8 .. 60 s, counted anew only after an end with OK.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Never, TypeVar

import grpc

from patience import WITHIN_S
from predictscale._proto import externalscaler_pb2 as pb
from predictscale._proto.externalscaler_pb2_grpc import ExternalScalerStub

if TYPE_CHECKING:  # only the stub file has it
    from predictscale._proto.externalscaler_pb2_grpc import ExternalScalerAsyncStub

T = TypeVar("T")

HPA_DEADLINE_S = 60.0
_PASSES = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}
FIRST_WAIT_S, LONGEST_WAIT_S = 2.0, 60.0
_OPTIONS = (
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.use_local_subchannel_pool", 1),  # two clients of one test are two operators
)


@dataclass(frozen=True, slots=True)
class ScaledObject:
    """A ScaledObject with one external trigger."""

    name: str = "chat"
    namespace: str = "prod"
    metadata: Mapping[str, str] = field(default_factory=lambda: {"scalerAddress": "scaler:6000"})

    @property
    def ref(self) -> pb.ScaledObjectRef:
        """As KEDA sends it."""
        return pb.ScaledObjectRef(
            name=self.name, namespace=self.namespace, scalerMetadata=dict(self.metadata)
        )


@dataclass(frozen=True, slots=True)
class Sample:
    """What one cycle made of one metric: the HPA's view, and the activity."""

    metric: str
    target: float
    value: float
    active: bool


class EmptyMetricSpec(Exception):
    """KEDA's "got empty metric spec": two tries gave none. Fallback never fires for this."""


class KedaClient:
    """One operator's connection to one scaler address.

    Args:
        address: host:port.
        credentials: TLS; None is plaintext.
        trigger: The trigger's index, which KEDA puts before the metric's name.
        guard_s: KEDA waits for ever, a test fails after this long [s].
        sleep: How push streams wait before they reconnect.
        options: More channel options.
    """

    def __init__(
        self,
        address: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        trigger: int = 0,
        guard_s: float = WITHIN_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        options: Sequence[tuple[str, str | int]] = (),
    ) -> None:
        every = (*_OPTIONS, *options)
        self.channel = (
            grpc.aio.insecure_channel(address, options=every)
            if credentials is None
            else grpc.aio.secure_channel(address, credentials, options=every)
        )
        self.stub: ExternalScalerAsyncStub = ExternalScalerStub(self.channel)
        self.rebuilds = 0
        self._trigger = trigger
        self._guard_s = guard_s
        self._sleep = sleep

    async def close(self) -> None:
        """Hang up."""
        await self.channel.close()

    async def poll(self, scaled: ScaledObject) -> list[Sample]:
        """One round of the poll loop, which sets no deadline.

        Raises:
            EmptyMetricSpec: GetMetricSpec failed twice.
            grpc.aio.AioRpcError: GetMetrics or IsActive failed twice.
            TimeoutError: KEDA would hang here for ever.
        """
        return await self._cycle(scaled, None)

    async def first(self, scaled: ScaledObject) -> list[Sample]:
        """`poll`, again and again as KEDA does, until there is a target to be told.

        Raises:
            EmptyMetricSpec: There was none in time, nor a GetMetricSpec at last.
            grpc.aio.AioRpcError: The same of GetMetrics or IsActive; or an error that will stay.
        """
        until_s = time.monotonic() + self._guard_s
        while True:
            try:
                return await self.poll(scaled)
            except EmptyMetricSpec:
                if time.monotonic() > until_s:
                    raise
            except grpc.aio.AioRpcError as not_yet:
                if not_yet.code() not in _PASSES or time.monotonic() > until_s:
                    raise
            await asyncio.sleep(0.1)

    async def hpa(self, scaled: ScaledObject) -> list[Sample]:
        """One sync of the HPA, as the metrics adapter passes it on. Raises as `poll`."""
        return await self._cycle(scaled, HPA_DEADLINE_S)

    async def watch_active(self, scaled: ScaledObject, told: Callable[[bool], None]) -> Never:
        """An external-push trigger's StreamIsActive, until cancelled."""
        await self._watch(lambda: self.stub.StreamIsActive(scaled.ref), lambda said: told(said.result))

    async def watch_spec(self, scaled: ScaledObject, told: Callable[[list[pb.MetricSpec]], None]) -> Never:
        """Its StreamMetricSpec (2.21), until cancelled."""
        await self._watch(
            lambda: self.stub.StreamMetricSpec(scaled.ref), lambda said: told(list(said.metricSpecs))
        )

    async def _cycle(self, scaled: ScaledObject, deadline_s: float | None) -> list[Sample]:
        async with asyncio.timeout(self._guard_s):
            specs = await self._specs(scaled, deadline_s)
            return [
                await self._repeated(lambda spec=spec: self._sample(scaled, spec, deadline_s))  # type: ignore[misc]
                for spec in specs
            ]

    async def _specs(self, scaled: ScaledObject, deadline_s: float | None) -> list[pb.MetricSpec]:
        async def ask() -> list[pb.MetricSpec]:
            answer = await self.stub.GetMetricSpec(scaled.ref, timeout=deadline_s)
            if not answer.metricSpecs:
                raise EmptyMetricSpec("no specs in the answer")
            return list(answer.metricSpecs)

        try:
            return await self._repeated(ask)
        except grpc.aio.AioRpcError as error:
            raise EmptyMetricSpec(f"{error.code().name}: {error.details()}") from error

    async def _sample(self, scaled: ScaledObject, spec: pb.MetricSpec, deadline_s: float | None) -> Sample:
        request = pb.GetMetricsRequest(scaledObjectRef=scaled.ref, metricName=spec.metricName)
        values = (await self.stub.GetMetrics(request, timeout=deadline_s)).metricValues
        active = (await self.stub.IsActive(scaled.ref, timeout=deadline_s)).result
        target = spec.targetSizeFloat if spec.targetSizeFloat > 0 else spec.targetSize
        # The HPA sums whatever came under the name that was asked for.
        value = sum(v.metricValueFloat if v.metricValueFloat > 0 else float(v.metricValue) for v in values)
        return Sample(f"s{self._trigger}-{spec.metricName}", round(target, 3), round(value, 3), active)

    async def _repeated(self, ask: Callable[[], Awaitable[T]]) -> T:
        try:
            return await ask()
        except (grpc.aio.AioRpcError, EmptyMetricSpec):
            self.rebuilds += 1  # a new scaler on the old connection
            return await ask()

    async def _watch(self, open_stream: Callable[[], AsyncIterable[T]], told: Callable[[T], None]) -> Never:
        wait_s = FIRST_WAIT_S
        while True:
            try:
                async for said in open_stream():
                    told(said)
                wait_s = FIRST_WAIT_S
            except grpc.aio.AioRpcError:
                pass
            await self._sleep(wait_s)
            wait_s = min(wait_s * 2, LONGEST_WAIT_S)


@asynccontextmanager
async def keda(
    address: str,
    *,
    credentials: grpc.ChannelCredentials | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    options: Sequence[tuple[str, str | int]] = (),
) -> AsyncIterator[KedaClient]:
    """A client for the length of a test."""
    client = KedaClient(address, credentials=credentials, sleep=sleep, options=options)
    try:
        yield client
    finally:
        await client.close()
