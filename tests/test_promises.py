"""The ten promises of the design, each by its name."""

import asyncio
import sys
from datetime import timedelta
from pathlib import Path

import grpc
import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from keda_client import KedaClient, ScaledObject
from predictscale.clock import ManualClock, SystemClock
from predictscale.control.step import StepMemory, step
from predictscale.core.capacity import Load
from predictscale.core.decide import decide
from predictscale.core.demand import Observation, SignalName
from predictscale.core.hpa import DeadBand, metric_milli, recommend_average
from predictscale.core.plan import Decision, Health, Landing, Memory, Mode, OnStale, ReplicaPlan, Stage
from predictscale.errors import HoldTarget
from predictscale.forecasters.registry import FORECASTERS
from predictscale.meters import Meters
from predictscale.sources.history import History
from predictscale.sources.prometheus import Bearer, PrometheusSource
from predictscale.sources.replay import ReplaySource
from predictscale.sources.synthetic import SyntheticDemand, shop_requests
from scenes import MORNING, SIGNALS, Scene, WatchedSource, settings_of
from small_service import small_service
from worlds import NOON, flat_forecast, held, policy, seen

UNIT = "requests/s"
demands = st.floats(0, 1e6)


@given(demands, demands, st.one_of(st.none(), demands), st.integers(0, 40))
def test_1_never_below_what_is_already_here(
    here: float, forecast: float, queue: float | None, last_good: int
) -> None:
    """Forecasts only add to the reactive need; only a stated ceiling cuts it, and says so."""
    observation, rules = seen(here, queue=queue), policy(max_replicas=1000)
    plan, _ = decide(observation, flat_forecast(forecast), rules, held(last_good), unit=UNIT)
    reactive, _ = decide(observation, None, rules, held(last_good), unit=UNIT)
    both = Load(primary=here + (queue or 0) / rules.drain_s, unit=UNIT)
    needed = rules.capacity.sized(both).replicas
    if needed > 1000:
        assert plan.target == 1000
        assert _reason(plan, Stage.CEILING).startswith("CUT from")
    else:
        assert plan.target >= needed
    assert plan.target >= reactive.target or reactive.target == 1  # without a forecast, zero waits


@given(st.integers(1, 50), st.floats(61, 1e6), st.sampled_from(list(OnStale)), demands)
def test_2_doubt_holds(last_good: int, age_s: float, on_stale: OnStale, forecast: float) -> None:
    """Old data is never zero demand: the last good target holds, then the floor or UNAVAILABLE."""
    rules = policy(min_replicas=0, stale_after_s=600, on_stale=on_stale)
    plan, _ = decide(seen(0, age_s=age_s), flat_forecast(forecast), rules, held(last_good), unit=UNIT)
    if age_s <= 600:
        assert plan.target >= last_good
        assert plan.health is Health.HOLDING
    else:
        assert plan.health is Health.STALE
        assert plan.target == (1 if on_stale is OnStale.FLOOR else last_good)
        assert plan.available == (on_stale is not OnStale.UNAVAILABLE)
    assert plan.active
    never_seen, _ = decide(seen(None), None, rules, Memory(), unit=UNIT)
    assert not never_seen.available


@given(demands, st.floats(0, 100), st.integers(0, 3), st.integers(0, 3), st.booleans())
def test_3_zero_is_a_decision(
    here: float,
    expected: float,
    least: int,
    warm: int,
    knows_what_comes: bool,  # noqa: FBT001 - hypothesis
) -> None:
    """Inactive only if nothing is here, nothing is expected, and the owner allows 0."""
    rules = policy(min_replicas=least, warm_replicas=warm)
    forecast = flat_forecast(expected) if knows_what_comes else None
    plan, _ = decide(seen(here), forecast, rules, Memory(), unit=UNIT)
    nothing = here == 0 and knows_what_comes and expected * rules.lookahead_s < 0.5
    assert plan.active == (not (nothing and least == 0 and warm == 0))


async def test_4_answers_come_from_memory() -> None:
    """A thousand calls ask the source nothing, and a source that hangs delays none of them."""
    clock = ManualClock(MORNING)
    source = WatchedSource(ReplaySource({"shop_demand": shop_requests(seed=7)}, clock=clock))
    service = small_service(clock, source)
    await service.start()
    keda = KedaClient(f"127.0.0.1:{service.grpc.port}")
    scaled = ScaledObject(name="shop", namespace="prod", metadata={"workload": "shop"})
    while service.store.latest(settings_of().workload) is None:
        await asyncio.sleep(0.01)
    asked = len(source.asked)
    for _ in range(100):
        await asyncio.gather(*(keda.poll(scaled) for _ in range(10)))
    assert len(source.asked) == asked
    source.hangs = True
    clock.advance(15)
    assert (await keda.poll(scaled))[0].value > 0
    await keda.close()
    source.hangs = False
    await service.stop()


@st.composite
def odd_observations(draw: st.DrawFn) -> Observation:
    """Anything that may be seen, or not."""
    return seen(
        draw(st.one_of(st.none(), demands)),
        age_s=draw(st.floats(0, 2000)),
        queue=draw(st.one_of(st.none(), demands)),
        replicas=draw(st.one_of(st.none(), st.integers(0, 200))),
        partial=draw(st.booleans()),
    )


@given(odd_observations(), st.one_of(st.none(), demands), st.sampled_from(list(Landing)))
def test_5_every_target_explains_itself(
    observation: Observation, expected: float | None, landing: Landing
) -> None:
    """Each stage leaves its number and a reason, and the last number is what is published."""
    forecast = None if expected is None else flat_forecast(expected)
    plan, _ = decide(observation, forecast, policy(landing=landing), held(7), unit=UNIT)
    assert [s.stage for s in plan.steps] == list(Stage)
    assert all(s.because.strip() for s in plan.steps)
    assert plan.steps[-1].value == plan.published
    assert plan.steps[-2].value == plan.target


async def test_6_same_inputs_same_answer() -> None:
    """A replica that has run for an hour and one that starts now, without a cache, agree to the letter."""
    scene = Scene()
    steady = scene.tracker()
    await scene.run(steady, ticks=4 * 45)
    fresh = scene.tracker(history=History(path=None, meters=Meters()))
    for _ in range(5):
        scene.clock.advance(15)
        now = scene.clock.now()
        ours, theirs = await steady.tick(now), await fresh.tick(now)
        await asyncio.gather(steady.fitted(), fresh.fitted())
        assert _told(ours) == _told(theirs)


async def test_7_what_was_tested_is_what_runs() -> None:
    """A live hour decides as `control.step` does on what that hour saw, and shadow mode as both."""
    scene = Scene()
    live, shadow = scene.tracker(), scene.tracker(settings_of(mode=Mode.SHADOW))
    await scene.run(live, ticks=1)
    memory: StepMemory = live._memory
    await scene.run(shadow, ticks=1)
    await scene.run(live, ticks=1)
    memory = live._memory
    moved = 0
    for _ in range(4 * 60):
        decision = await scene.run(live, ticks=1)
        shadowed = await shadow.tick(scene.clock.now())
        await shadow.fitted()
        again, memory = step(
            decision.workload,
            decision.seen,
            decision.forecast,
            decision.policy,
            memory,
            unit=decision.unit,
            notes=decision.notes,
        )
        assert _told(again) == _told(decision)
        assert shadowed.plan == decision.plan
        assert shadowed.answer == decision.reactive
        moved += decision.plan.target != decision.reactive.target
    assert moved, "the forecast never mattered, so this hour shows nothing"


@given(st.integers(1, 300), st.integers(1, 300), st.floats(0, 3000), st.sampled_from(list(Landing)), demands)
def test_8_it_lands(least: int, most: int, demand: float, landing: Landing, expected: float) -> None:
    """What is published goes through the HPA's arithmetic to the target, or within the stated distance."""
    low, high = sorted((least, most))
    rules = policy(min_replicas=low, max_replicas=high, landing=landing)
    for replicas in (low, (low + high) // 2, high):
        observation = seen(demand, replicas=replicas)
        plan, _ = decide(observation, flat_forecast(expected), rules, Memory(), unit=UNIT)
        tolerance = 0.0 if landing is Landing.EXACT else rules.hpa_tolerance
        wanted = recommend_average(
            usage_milli=metric_milli(plan.published),
            target_milli=1000,
            status_replicas=replicas,
            band=DeadBand(up=tolerance, down=tolerance),
        )
        lands = min(max(wanted, low), high)
        if landing is Landing.EXACT or plan.target in (low, high) or replicas < 10:
            assert lands == plan.target
        elif landing is Landing.HOLD:
            assert plan.target == lands or abs(lands - plan.target) <= 0.1 * replicas + 1e-9
        else:
            assert plan.target <= lands <= plan.target + 0.1 * replicas + 1


@pytest.mark.parametrize("name", ["last-value", "seasonal-naive-day", "seasonal-naive-week", "native"])
def test_9_quantiles_are_honest(name: str) -> None:
    """Of two days that no fit has seen, the stated share lies below each upper quantile, within 5 points."""
    demand = SyntheticDemand(
        seed=4711, level=300, amplitude=0.7, noise=0.1, jitter=0.05, bursts_per_day=1.0, weekend=0.6
    )
    begin = NOON + timedelta(days=300)
    past = demand.values(begin - timedelta(days=15), begin, 60)
    future = demand.values(begin - timedelta(days=15), begin + timedelta(days=2, hours=1), 60)
    fits = [FORECASTERS[name].fit(future.between(past.start, begin + timedelta(hours=h))) for h in range(48)]
    levels, ahead = (0.5, 0.8, 0.9, 0.95), 10
    below = []
    for minute in range(0, 2 * 24 * 60, 7):
        origin = begin + timedelta(minutes=minute)
        forecast = fits[minute // 60].predict(
            future.between(origin - timedelta(days=10), origin), steps=ahead, levels=levels
        )
        actual = future.values[len(past) + minute + ahead - 1]
        if not np.isnan(actual):
            below.append(actual <= forecast.values[:, -1])
    coverage = np.mean(below, axis=0)
    assert len(below) > 300
    np.testing.assert_allclose(coverage[1:], levels[1:], atol=0.05)


async def test_10_nothing_leaves_the_cluster(tmp_path: Path) -> None:
    """No address but those of the settings is called, no secret is logged, no tenant reads another's data."""
    calls: list[object] = []
    sys.addaudithook(lambda event, details: calls.append(details[1]) if event == "socket.connect" else None)
    token = tmp_path / "token"
    token.write_text("s3cret-t0ken")
    with structlog.testing.capture_logs() as logs:
        source = PrometheusSource(
            url="http://127.0.0.1:9",
            meters=Meters(),
            clock=SystemClock(),
            auth=Bearer(token_file=token),
            retries=0,
        )
        now = SystemClock().now().replace(second=0, microsecond=0)
        with pytest.raises(HoldTarget) as refused:
            await source.read(
                SIGNALS[SignalName.DEMAND], start=now - timedelta(minutes=5), end=now, step_s=60
            )
        assert "s3cret" not in f"{refused.value!r} {source!r} {vars(source)!r}"
        await source.aclose()
        clock = ManualClock(MORNING)
        service = small_service(clock)
        await service.start()
        keda = KedaClient(f"127.0.0.1:{service.grpc.port}")
        other = {"workload": "shop", "tokenFromEnv": "s3cret-t0ken"}
        with pytest.raises(grpc.aio.AioRpcError) as denied:
            await keda.stub.GetMetricSpec(
                ScaledObject(name="thief", namespace="elsewhere", metadata=other).ref
            )
        await keda.close()
        await service.stop()
    assert denied.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "s3cret" not in f"{denied.value.details()} {logs}"
    hosts = {str(call[0]) for call in calls if isinstance(call, tuple)}
    assert hosts <= {"127.0.0.1", "::1"}


def _told(decision: Decision) -> tuple[object, ...]:
    return decision.answer, decision.plan, decision.reactive, decision.seen, decision.notes


def _reason(plan: ReplicaPlan, stage: Stage) -> str:
    return next(s.because for s in plan.steps if s.stage is stage)
