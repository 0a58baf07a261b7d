"""The stand-in asks a real gRPC server as KEDA does, and moves the fleet as KEDA and the HPA do."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc
import grpc.aio
import pytest

from engine_fleets import QUIET, chat_fleet
from patience import WITHIN_S, soon
from predictscale._proto import externalscaler_pb2 as pb
from predictscale._proto import externalscaler_pb2_grpc
from predictscale.clock import ManualClock, ReplayClock
from predictscale.core.hpa import exact_behavior
from predictscale.simulate.engine.pods import PodBoot
from predictscale.simulate.fleet import BootTime, SimulatedFleet
from predictscale.simulate.keda import Change, KedaStandIn, ScaledObject, ScaleTarget

START = datetime(2026, 3, 1, tzinfo=UTC)
SCALED_OBJECT = ScaledObject(
    namespace="shop",
    name="shop",
    metadata={"workload": "shop", "scalerAddress": "127.0.0.1:6000"},
    max_replicas=100,
    behavior=exact_behavior(max_replicas=100),
)


class Scripted(externalscaler_pb2_grpc.ExternalScalerServicer):
    """A scaler that says what the test tells it, and remembers what it was asked."""

    def __init__(self) -> None:
        self.values: list[float] = [1.0]
        self.active: bool | None = None  # None: whether the value is above 0
        self.specs = [pb.MetricSpec(metricName="predictscale-replicas", targetSize=1, targetSizeFloat=1)]
        self.failures: dict[str, int] = {}
        self.calls: list[str] = []
        self.refs: list[pb.ScaledObjectRef] = []

    async def _enter(self, method: str, context: grpc.aio.ServicerContext) -> None:  # type: ignore[type-arg]
        self.calls.append(method)
        if self.failures.get(method, 0):
            self.failures[method] -= 1
            await context.abort(grpc.StatusCode.UNAVAILABLE, "out of order")

    async def GetMetricSpec(  # noqa: N802 - the protocol's name
        self,
        request: pb.ScaledObjectRef,
        context: grpc.aio.ServicerContext,  # type: ignore[type-arg]
    ) -> pb.GetMetricSpecResponse:
        self.refs.append(request)
        await self._enter("GetMetricSpec", context)
        return pb.GetMetricSpecResponse(metricSpecs=self.specs)

    async def GetMetrics(  # noqa: N802 - the protocol's name
        self,
        request: pb.GetMetricsRequest,
        context: grpc.aio.ServicerContext,  # type: ignore[type-arg]
    ) -> pb.GetMetricsResponse:
        await self._enter("GetMetrics", context)
        values = [
            pb.MetricValue(metricName=request.metricName, metricValue=round(v), metricValueFloat=v)
            for v in self.values
        ]
        return pb.GetMetricsResponse(metricValues=values)

    async def IsActive(  # noqa: N802 - the protocol's name
        self,
        request: pb.ScaledObjectRef,  # noqa: ARG002 - the protocol's signature
        context: grpc.aio.ServicerContext,  # type: ignore[type-arg]
    ) -> pb.IsActiveResponse:
        await self._enter("IsActive", context)
        return pb.IsActiveResponse(result=any(self.values) if self.active is None else self.active)

    def StreamIsActive(self, request: object, context: object) -> AsyncIterator[pb.IsActiveResponse]:  # noqa: N802 - the protocol's name
        raise NotImplementedError

    def StreamMetricSpec(self, request: object, context: object) -> AsyncIterator[pb.GetMetricSpecResponse]:  # noqa: N802 - the protocol's name
        raise NotImplementedError


class World:
    """A scripted scaler on a real port, a fleet, and the stand-in between them."""

    def __init__(
        self,
        scaled_object: ScaledObject,
        channel: grpc.aio.Channel,
        replicas: int = 0,
        fleet: ScaleTarget | None = None,
    ) -> None:
        self.clock = ManualClock(START)
        fluid = SimulatedFleet(per_replica=10.0, boot=BootTime(median_s=60.0), replicas=replicas)
        self.fleet: ScaleTarget = fleet or fluid
        self.changes: list[Change] = []
        self.keda = KedaStandIn(
            scaled_object,
            channel=channel,
            fleet=self.fleet,
            clock=self.clock,
            on_change=self.changes.append,
            rpc_timeout_s=WITHIN_S,
        )

    async def at(self, seconds: float) -> int:
        """The fleet's spec after what is due `seconds` after the start."""
        await self.keda.sync_once(START + timedelta(seconds=seconds))
        return self.fleet.spec


@asynccontextmanager
async def serving(scaler: Scripted) -> AsyncIterator[tuple[grpc.aio.Server, grpc.aio.Channel]]:
    server = grpc.aio.server()
    externalscaler_pb2_grpc.add_ExternalScalerServicer_to_server(scaler, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield server, channel
    finally:
        await server.stop(None)


@pytest.fixture
def scaler() -> Scripted:
    return Scripted()


async def test_with_tolerance_zero_the_fleet_lands_on_each_value_at_the_next_sync(scaler: Scripted) -> None:
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=9)
        steps = [9, 10, 11, 12, 11, 10, 9, 20, 21, 22, 23, 21, 20, 18, 16, 50, 51, 55, 56, 45]
        for number, step in enumerate(steps):
            scaler.values = [step]
            assert await world.at(15 * number) == step
        assert [change.after for change in world.changes] == steps[1:]


async def test_with_the_clusters_tolerance_a_tenth_is_swallowed(scaler: Scripted) -> None:
    stock = exact_behavior(max_replicas=100)
    stock = replace(stock, up=replace(stock.up, tolerance=None), down=replace(stock.down, tolerance=None))
    async with serving(scaler) as (_, channel):
        world = World(replace(SCALED_OBJECT, behavior=stock), channel, replicas=20)
        landed = []
        for number, value in enumerate([22, 23, 21, 50, 55, 56, 45]):
            scaler.values = [value]
            landed.append(await world.at(15 * number))
        assert landed == [20, 23, 23, 50, 50, 56, 45]


async def test_a_cycle_is_spec_metrics_active_and_carries_the_metadata_verbatim(scaler: Scripted) -> None:
    async with serving(scaler) as (_, channel):
        await World(SCALED_OBJECT, channel, replicas=1).at(0)
    # KEDA's poll, then the HPA's sync.
    assert scaler.calls == ["GetMetricSpec", "GetMetrics", "IsActive"] * 2
    assert scaler.refs[0].namespace == scaler.refs[0].name == "shop"
    assert dict(scaler.refs[0].scalerMetadata) == SCALED_OBJECT.metadata


async def test_in_a_minute_there_are_two_polls_and_four_syncs(scaler: Scripted) -> None:
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=1)
        for second in range(60):
            await world.at(second)
    assert len(scaler.calls) == 3 * (2 + 4)


async def test_a_service_that_goes_away_leaves_the_fleet_as_it_is(scaler: Scripted) -> None:
    scaler.values = [12]
    async with serving(scaler) as (server, channel):
        world = World(SCALED_OBJECT, channel, replicas=5)
        assert await world.at(0) == 12
        await server.stop(None)
        # Longer than the cooldown: an error is not inactivity.
        assert {await world.at(seconds) for seconds in range(15, 1200, 15)} == {12}
        assert world.keda.trouble is not None
        assert "UNAVAILABLE" in world.keda.trouble


@pytest.mark.parametrize("method", ["GetMetricSpec", "GetMetrics", "IsActive"])
async def test_a_call_that_fails_once_is_repeated_at_once(scaler: Scripted, method: str) -> None:
    scaler.values, scaler.failures = [7], {method: 1}
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=5)
        assert await world.at(0) == 7
        assert world.keda.trouble is None


@pytest.mark.parametrize("method", ["GetMetricSpec", "GetMetrics", "IsActive"])
async def test_a_call_that_fails_twice_voids_the_cycle(scaler: Scripted, method: str) -> None:
    scaler.values, scaler.failures = [7], {method: 4}
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=5)
        assert await world.at(0) == 5
        assert world.keda.trouble == "UNAVAILABLE: out of order"
        assert await world.at(15) == 7
        assert world.keda.trouble is None


async def test_an_empty_answer_holds_the_fleet(scaler: Scripted) -> None:
    scaler.values, scaler.active = [], True
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=5)
        assert await world.at(0) == 5
        assert world.keda.trouble is None


async def test_an_empty_spec_is_an_error(scaler: Scripted) -> None:
    scaler.specs = []
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=5)
        assert await world.at(0) == 5
        assert world.keda.trouble is not None


async def test_activation_from_zero_sets_one_and_the_hpa_follows(scaler: Scripted) -> None:
    scaler.values = [8]
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=0)
        assert await world.at(0) == 8
        assert [(change.before, change.after) for change in world.changes] == [(0, 1), (1, 8)]


async def test_activation_from_zero_sets_the_minimum(scaler: Scripted) -> None:
    scaler.values = [3]
    async with serving(scaler) as (_, channel):
        world = World(replace(SCALED_OBJECT, min_replicas=3), channel, replicas=0)
        assert await world.at(0) == 3
        assert [(change.before, change.after) for change in world.changes] == [(0, 3)]


async def test_at_zero_only_the_poll_asks(scaler: Scripted) -> None:
    scaler.values = [0]
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=0)
        for second in range(0, 60, 15):
            assert await world.at(second) == 0
    assert len(scaler.calls) == 3 * 2


async def test_scale_to_zero_waits_for_the_cooldown_of_inactivity(scaler: Scripted) -> None:
    scaler.values = [6]
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=6)
        await world.at(0)  # the last time that it is active
        scaler.values = [0]
        # The HPA goes to its minimum at once, KEDA's last step waits.
        assert {await world.at(seconds) for seconds in range(15, 315, 15)} == {1}
        await world.at(315)
        assert await world.at(330) == 0


async def test_a_moment_of_activity_begins_the_cooldown_anew(scaler: Scripted) -> None:
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=1)
        for seconds in range(0, 600, 30):
            scaler.values = [1 if seconds in {0, 270} else 0]
            assert await world.at(seconds) == (1 if seconds <= 570 else 0)
        scaler.values = [0]
        assert await world.at(600) == 0


async def test_keda_goes_to_zero_from_any_number_whatever_the_metric_says(scaler: Scripted) -> None:
    scaler.values, scaler.active = [40], False
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=40)
        # Never active: no cooldown applies.
        assert await world.at(0) == 0


async def test_with_a_minimum_inactivity_does_not_scale_to_zero(scaler: Scripted) -> None:
    scaler.values = [0]
    async with serving(scaler) as (_, channel):
        world = World(replace(SCALED_OBJECT, min_replicas=2), channel, replicas=6)
        assert {await world.at(seconds) for seconds in range(0, 1200, 15)} == {2}


async def test_several_values_are_summed_and_an_old_services_integers_are_read(scaler: Scripted) -> None:
    scaler.specs = [pb.MetricSpec(metricName="predictscale-replicas", targetSize=2)]
    scaler.values = [6, 8]
    async with serving(scaler) as (_, channel):
        assert await World(SCALED_OBJECT, channel, replicas=1).at(0) == 7


async def test_run_polls_on_the_clock_until_it_is_cancelled(scaler: Scripted) -> None:
    scaler.values = [4]
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=1)
        running = asyncio.create_task(world.keda.run())
        await soon(lambda: world.changes)
        scaler.values = [9]
        while len(world.changes) < 2:
            world.clock.advance(15.0)
            await asyncio.sleep(0.001)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert [change.after for change in world.changes] == [4, 9]
        assert all(change.because for change in world.changes)


async def test_run_keeps_up_with_a_clock_that_is_faster_than_life(scaler: Scripted) -> None:
    changed = asyncio.Event()
    scaler.values = [4]
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=1)
        keda = KedaStandIn(
            SCALED_OBJECT,
            channel=channel,
            fleet=world.fleet,
            clock=ReplayClock(start=START, speed=3000.0),
            on_change=lambda _: changed.set(),
        )
        running = asyncio.create_task(keda.run())
        for value in (4, 9, 2):
            scaler.values = [value]
            await changed.wait()
            changed.clear()
            assert world.fleet.spec == value
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_engines_are_moved_as_the_fluid_fleet_is(scaler: Scripted) -> None:
    boot = PodBoot(pull=BootTime(median_s=10.0), load=BootTime(median_s=100.0))
    fleet = chat_fleet(5.0, pods=2, spec=QUIET, boot=boot, origin=START)
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, fleet=fleet)
        for number, value in enumerate([2, 5, 5, 3]):
            scaler.values = [value]
            assert await world.at(15 * number) == value == len(fleet.kept)
        assert fleet.ready(START + timedelta(seconds=60)) == 2
        assert fleet.ready(START + timedelta(seconds=180)) == 3


async def test_in_a_rollout_the_hpa_measures_against_the_pods_there_are_not_those_that_are_wanted(
    scaler: Scripted,
) -> None:
    stock = exact_behavior(max_replicas=100)
    stock = replace(stock, up=replace(stock.up, tolerance=None), down=replace(stock.down, tolerance=None))
    fleet = chat_fleet(5.0, pods=10, spec=QUIET, origin=START)
    async with serving(scaler) as (_, channel):
        world = World(replace(SCALED_OBJECT, behavior=stock), channel, fleet=fleet)
        scaler.values = [10]
        assert await world.at(0) == 10
        fleet.roll(START + timedelta(seconds=5))
        # The surge is within tolerance of the metric, so the HPA takes it for what is wanted.
        assert await world.at(15) == 11


async def test_polls_that_were_missed_are_not_made_up_for(scaler: Scripted) -> None:
    async with serving(scaler) as (_, channel):
        world = World(SCALED_OBJECT, channel, replicas=1)
        await world.at(0)
        scaler.calls.clear()
        due = await world.keda.sync_once(START + timedelta(seconds=3601))
        assert len(scaler.calls) == 3 * 2
        assert due == START + timedelta(seconds=3615)


@pytest.mark.parametrize("broken", [{"min_replicas": 5, "max_replicas": 4}, {"polling_s": 0.0}])
def test_a_scaled_object_that_cannot_be_is_refused(broken: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"replicas|polling_s"):
        replace(SCALED_OBJECT, **broken)  # type: ignore[arg-type]  # by name
