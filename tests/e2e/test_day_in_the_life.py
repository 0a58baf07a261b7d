"""A day in the life: engines, Prometheus, the service over its sockets, and an HPA that moves the engines.

Yesterday a schedule moved the fleet, and Prometheus kept what it saw. This morning the service takes
over twenty minutes before requests become three times as many, which takes a quarter of an hour; a
new pod takes four to five minutes. Beside the fleet that follows the forecast stands its twin under the
same requests, which follows what `mode: shadow` says: the same decision without a forecast.
"""

import asyncio
import json
import math
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from engine_day import (
    GRACE_S,
    ITL_S,
    RAMP,
    SLOW_ENGINE,
    TICK_S,
    TTFT_S,
    Arm,
    EngineDay,
    after_s,
    rate_rps,
    settings,
)
from engine_fleets import value_of
from predictscale.config.lead import DEFAULT_DELAYS
from predictscale.core.capacity import Origin
from predictscale.core.lawcapacity import IMBALANCE
from predictscale.core.needed import Limit
from predictscale.core.offered import Rate
from predictscale.core.plan import ReplicaPlan, Stage
from predictscale.simulate.engine.capacity import TrueCapacity, true_capacity
from predictscale.simulate.engine.traffic import CHAT, Mix
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.e2e

TODAY = RAMP + timedelta(days=1)
START, PEAK, END = TODAY - timedelta(minutes=20), TODAY + timedelta(minutes=15), TODAY + timedelta(minutes=45)
WORKLOAD: dict[str, Any] = {
    "backend": "vllm-tokens",
    "target": "chat",
    "capacity": {"itl_s": ITL_S, "ttft_p95_s": TTFT_S, "start_per_replica": 250},
    "lead_time_s": "2m",
    "forecasters": ["native", "last-value"],
}


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineDay]:
    folder = tmp_path_factory.mktemp("day")
    with PrometheusServer(folder, receives=True) as server:
        day = EngineDay(server)
        day.live_by_schedule(START)
        file = folder / "service.json"
        file.write_text(json.dumps(settings(server.url, WORKLOAD)))
        asyncio.run(day.live_by_decision(file, END))
        yield day


@pytest.fixture(scope="module")
def replica() -> TrueCapacity:
    """What a replica really serves, by trying."""
    return true_capacity(Mix.only(CHAT), itl_slo_s=ITL_S, ttft_slo_s=TTFT_S, spec=SLOW_ENGINE, run_s=1800.0)


def because(plan: ReplicaPlan, stage: Stage) -> str:
    """What a stage says."""
    return next(step.because for step in plan.steps if step.stage is stage)


def wanted(arm: Arm, pods: int) -> datetime:
    """When so many were first wanted."""
    return next(moment.decision.seen.now for moment in arm.moments if moment.spec >= pods)


def test_prometheus_was_told_what_the_fleets_did(day: EngineDay) -> None:
    span_s = (END - START).total_seconds()
    for arm in day.arms:
        at = f'{{namespace="{arm.namespace}"}}'
        truth = arm.fleet.truth(START, END)
        told = value_of(day.server, f"sum(increase(vllm:generation_tokens_total{at}[{span_s:.0f}s]))", END)
        assert told == pytest.approx(truth.generated_tokens, rel=0.03)
        for moment in arm.moments[::10]:
            now = moment.decision.seen.now
            told = value_of(day.server, f"count(vllm:num_requests_running{at})", now)
            assert len(arm.pods(now)) <= told <= len(arm.pods(now, drained_s=GRACE_S + TICK_S))
    # There was something to get wrong: pods that came, and pods that went.
    assert any(pod.deleted_s > after_s(START) for arm in day.arms for pod in arm.fleet.past_pods)


def test_the_fleets_got_what_keda_was_told(day: EngineDay) -> None:
    for arm in day.arms:
        assert [m.spec for m in arm.moments] == [m.decision.answer.published for m in arm.moments]
        assert len({m.spec for m in arm.moments}) > 4


def test_the_steps_name_tokens_the_limit_that_binds_and_the_lead_time(day: EngineDay) -> None:
    for arm in day.arms:
        learned = [m.decision for m in arm.moments if m.decision.policy.capacity.origin is Origin.LEARNED]
        # At first nothing is learned, and the owner's start is said to be one.
        begun = arm.moments[0].decision.plan
        assert "capacity is configured until it is learned" in because(begun, Stage.CAPACITY)
        assert len(learned) > 0.9 * len(arm.moments)
        for decision in learned:
            demand, capacity = (because(decision.plan, stage) for stage in (Stage.DEMAND, Stage.CAPACITY))
            assert all(f"{rate} " in demand for rate in Rate)
            assert f" within {decision.policy.lead_time_s:.0f} s at level 0.95" in demand
            assert re.match(
                r"output tokens bind: [\d,]+ tok/s over \d+ tok/s per replica at ITL 200 ms", capacity
            )
            assert decision.plan.needed is not None
            # The cache of one engine would hold all that the fleet ever runs at once.
            assert decision.plan.needed.binding in {Limit.COMPUTE, Limit.BURST}
        last, shown = arm.moments[-1].decision, arm.shown["decision"]
        assert [step["because"] for step in shown["steps"]] == [step.because for step in last.plan.steps]


def test_the_capacity_that_was_learned_is_the_engines(day: EngineDay, replica: TrueCapacity) -> None:
    for arm in day.arms:
        assert arm.shown["capacity"]["origin"] == "learned"
        # Routers do not spread evenly, for which a share is set aside.
        served = arm.shown["capacity"]["per_replica"] * (1 + IMBALANCE)
        assert served == pytest.approx(replica.output_tokens_per_s, rel=0.1)
        assert arm.shown["capacity"]["law"]["empty_s"] == pytest.approx(SLOW_ENGINE.iteration_s, rel=0.1)
        served_each = f"{arm.shown['capacity']['per_replica']:,.4g} tokens/s per replica"
        assert f"{arm.workload}: {served_each}, learned from the workload's own pods" in arm.shown["printed"]


def test_the_lead_time_is_what_pods_took_and_what_lies_before_them(day: EngineDay) -> None:
    delays_s = DEFAULT_DELAYS.delays(rate_window_s=None, from_zero=False).total_s
    for arm in day.arms:
        policy = arm.moments[-1].decision.policy
        assert policy.configured_lead_time_s == 120
        every = (*arm.fleet.pods, *arm.fleet.past_pods)
        took_s = [pod.birth.boot_s for pod in every if pod.booted(min(pod.deleted_s, arm.fleet.now_s))]
        assert len(took_s) > 15
        # What is in force is rounded up, and the highest of an hour.
        assert np.mean([boot_s <= policy.lead_time_s - delays_s for boot_s in took_s]) >= 0.9
        assert policy.lead_time_s - delays_s <= max(took_s) + TICK_S
        assert arm.shown["lead-time"]["is_measured"]
        assert arm.shown["lead-time"]["in_force_s"] == policy.lead_time_s


def test_pods_are_started_before_the_peak_and_without_the_forecast_later(
    day: EngineDay, replica: TrueCapacity
) -> None:
    pods = math.ceil(rate_rps(after_s(PEAK)) / replica.rps)
    live, shadow = (wanted(arm, pods) for arm in day.arms)
    assert live <= PEAK - timedelta(minutes=4)
    assert shadow - live >= timedelta(minutes=3)
    # So at the peak the one has them, and the other has not.
    at_peak = [next(m for m in arm.moments if m.decision.seen.now == PEAK) for arm in day.arms]
    assert at_peak[0].ready >= pods > at_peak[1].ready
    # Of either the forecast only ever adds to what is here.
    for arm in day.arms:
        assert all(m.decision.plan.target >= m.decision.reactive.target for m in arm.moments)


def test_the_promises_hold_on_the_ramp_and_without_the_forecast_they_break(day: EngineDay) -> None:
    live, shadow = (arm.judged(START, END) for arm in day.arms)
    assert live.broken <= 0.05
    assert shadow.broken >= 0.12
    assert live.late < 0.005 < shadow.late
    # It takes a few more replicas, earlier.
    assert live.replica_hours <= 1.2 * shadow.replica_hours
