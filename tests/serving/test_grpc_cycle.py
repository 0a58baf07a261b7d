"""One cycle of KEDA: GetMetricSpec, GetMetrics, IsActive."""

from collections.abc import AsyncIterator

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fake_desk import T0, FakeDesk, decision, served
from keda_client import EmptyMetricSpec, KedaClient, Sample, ScaledObject, keda
from predictscale._proto import externalscaler_pb2 as pb
from predictscale.clock import ManualClock
from predictscale.errors import AnswerUnavailable, Problem, SettingsError
from predictscale.serving import grpc as scaler
from predictscale.serving.grpc import METRIC_NAME
from predictscale.serving.ports import Ref

CHAT = ScaledObject()


@pytest.fixture
def desk() -> FakeDesk:
    return FakeDesk(published=7)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(T0)


@pytest.fixture
async def client(desk: FakeDesk, clock: ManualClock) -> AsyncIterator[KedaClient]:
    async with served(desk, clock=clock) as server, keda(f"127.0.0.1:{server.port}") as client:
        yield client


async def test_polls_and_hpa_syncs_see_the_published_replicas_over_a_target_of_one(
    client: KedaClient,
) -> None:
    expected = [Sample(metric="s0-predictscale-replicas", target=1.0, value=7.0, active=True)]
    assert await client.poll(CHAT) == expected
    assert await client.hpa(CHAT) == expected
    assert client.rebuilds == 0


async def test_the_metadata_arrives_whole(client: KedaClient, desk: FakeDesk) -> None:
    metadata = {"workload": "chat", "enableTLS": "false", "leadTime": "4m", "empty": "", "größe": "°"}
    await client.poll(ScaledObject("web", "shop", metadata))
    assert [method for method, _ in desk.asked] == ["spec", "decision"]
    assert [ref for _, ref in desk.asked] == [Ref("shop", "web", metadata)] * 2


async def test_the_spec_and_the_value_fill_the_fields_of_old_and_new_clients(client: KedaClient) -> None:
    (spec,) = (await client.stub.GetMetricSpec(CHAT.ref)).metricSpecs
    assert (spec.metricName, spec.targetSize, spec.targetSizeFloat) == (METRIC_NAME, 1, 1.0)
    request = pb.GetMetricsRequest(scaledObjectRef=CHAT.ref, metricName=METRIC_NAME)
    (value,) = (await client.stub.GetMetrics(request)).metricValues
    assert (value.metricName, value.metricValue, value.metricValueFloat) == (METRIC_NAME, 7, 7.0)


async def test_zero_replicas_are_zero_and_inactive(client: KedaClient, desk: FakeDesk) -> None:
    desk.publish(decision(0))
    (sample,) = await client.poll(CHAT)
    assert (sample.value, sample.active) == (0.0, False)


async def test_the_spec_needs_no_decision() -> None:
    async with served(FakeDesk()) as server, keda(f"127.0.0.1:{server.port}") as client:
        assert len((await client.stub.GetMetricSpec(CHAT.ref)).metricSpecs) == 1
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await client.poll(CHAT)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE


async def _metrics(client: KedaClient, name: str, scaled: ScaledObject = CHAT) -> int:
    request = pb.GetMetricsRequest(scaledObjectRef=scaled.ref, metricName=name)
    (value,) = (await client.stub.GetMetrics(request)).metricValues
    return value.metricValue


@pytest.mark.parametrize("name", [METRIC_NAME, "s0-predictscale-replicas", "S12-PredictScale-Replicas"])
async def test_the_metric_is_known_with_an_old_clients_prefix_and_in_any_case(
    client: KedaClient, name: str
) -> None:
    assert await _metrics(client, name) == 7


@pytest.mark.parametrize("name", ["", "queue-length", "x-predictscale-replicas", "predictscale-replicas-2"])
async def test_another_metric_is_refused(client: KedaClient, name: str) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await _metrics(client, name)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert METRIC_NAME in (refused.value.details() or "")


async def test_is_active_reads_the_decision_of_the_get_metrics_before_it(
    client: KedaClient, desk: FakeDesk
) -> None:
    assert await _metrics(client, METRIC_NAME) == 7
    desk.publish(decision(0))
    assert (await client.stub.IsActive(CHAT.ref)).result is True
    assert await _metrics(client, METRIC_NAME) == 0
    desk.publish(decision(3))
    assert (await client.stub.IsActive(CHAT.ref)).result is False


async def test_is_active_forgets_a_cycle_after_a_few_seconds(
    client: KedaClient, desk: FakeDesk, clock: ManualClock
) -> None:
    await _metrics(client, METRIC_NAME)
    desk.publish(decision(0))
    clock.advance(4.9)
    assert (await client.stub.IsActive(CHAT.ref)).result is True
    clock.advance(0.2)
    assert (await client.stub.IsActive(CHAT.ref)).result is False


async def test_two_triggers_of_one_scaledobject_have_cycles_of_their_own(
    client: KedaClient, desk: FakeDesk
) -> None:
    day, night = (ScaledObject(metadata={"workload": name}) for name in ("day", "night"))
    assert await _metrics(client, METRIC_NAME, day) == 7
    desk.publish(decision(0))
    assert await _metrics(client, METRIC_NAME, night) == 0
    assert (await client.stub.IsActive(day.ref)).result is True
    assert (await client.stub.IsActive(night.ref)).result is False


async def test_is_active_does_not_speak_for_a_cycle_whose_get_metrics_failed(
    client: KedaClient, desk: FakeDesk
) -> None:
    await _metrics(client, METRIC_NAME)
    unseen = AnswerUnavailable("demand was never seen")
    desk.fail("decision", unseen, unseen)
    with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
        await _metrics(client, METRIC_NAME)
    with pytest.raises(grpc.aio.AioRpcError, match="UNAVAILABLE"):
        await client.stub.IsActive(CHAT.ref)


async def test_one_error_costs_keda_a_rebuild_and_nothing_else(client: KedaClient, desk: FakeDesk) -> None:
    for method in ("spec", "decision"):
        desk.fail(method, AnswerUnavailable("not yet"))
        (sample,) = await client.poll(CHAT)
        assert sample.value == 7.0
    assert client.rebuilds == 2


async def test_bad_metadata_reaches_keda_as_its_text(client: KedaClient, desk: FakeDesk) -> None:
    error = SettingsError([Problem("leadTime", "got '4 lightyears'", "a duration such as 90s")])
    desk.fail("spec", error, error)
    with pytest.raises(EmptyMetricSpec, match="INVALID_ARGUMENT: leadTime: got '4 lightyears'"):
        await client.poll(CHAT)


@given(replicas=st.integers(0, 2**63 - 1))
def test_every_fleet_size_is_said_as_one_value_that_every_client_reads(replicas: int) -> None:
    (value,) = pb.GetMetricsResponse.FromString(scaler._metrics(replicas)).metricValues
    assert value.metricValue == replicas
    assert value.metricValueFloat == float(replicas)


@given(replicas=st.integers(max_value=-1) | st.integers(min_value=2**63))
def test_a_fleet_size_that_keda_would_misread_is_never_said(replicas: int) -> None:
    with pytest.raises(ValueError, match=str(replicas)):
        scaler._metrics(replicas)


@given(steps=st.lists(st.tuples(st.integers(0, 5), st.floats(0, 20), st.integers(0, 3))))
def test_what_cycles_remember_is_fresh_and_bounded(steps: list[tuple[int, float, int]]) -> None:
    clock = ManualClock(T0)
    cycles = scaler._Cycles(clock)
    last: dict[int, tuple[float, int]] = {}
    for who, passed_s, published in steps:
        clock.advance(passed_s)
        key = cycles.key(Ref("prod", f"w{who}", {"a": "b"}))
        known = cycles.recall(key)
        if who in last and clock.monotonic_s() - last[who][0] <= scaler._CYCLE_S:
            assert known is not None
            assert known.answer.published == last[who][1]
        else:
            assert known is None
        cycles.remember(key, decision(published))
        last[who] = clock.monotonic_s(), published
        fresh = [at for at, _ in last.values() if clock.monotonic_s() - at <= scaler._CYCLE_S]
        assert len(cycles._cycles) == len(fresh)
