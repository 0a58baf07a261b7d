"""What is promised of latency and what the law makes of it, told to Prometheus."""

from dataclasses import replace

import pytest

from made_windows import CHAT as MIX
from made_windows import NOW_S, TRUE, drawn
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.capacity import Capacity
from predictscale.core.fleet import FleetState
from predictscale.core.law import LatencyTargets
from predictscale.core.lawcapacity import CapacityLaw
from predictscale.core.lawguards import learn
from predictscale.core.needed import Demands
from predictscale.core.plan import Decision
from predictscale.serving.telemetry_llm import LawCollector, offered_utilization
from worlds import CHAT, flat_forecast, policy, seen

SLO = LatencyTargets(itl_s=0.05, ttft_p95_s=1.0)
LEARNED = learn(drawn(mix_spread=0.3), now_s=NOW_S, slo=SLO)
LAW = CapacityLaw(slo=SLO, mix=MIX, learned=LEARNED)
READY = 20


def decided(capacity: Capacity, *, output: float | None = 40_000.0, ready: int | None = READY) -> Decision:
    """A decision that sees output tokens in requests of the mean kind."""
    made, _ = step(CHAT, seen(25), flat_forecast(50), policy(), StepMemory(), unit="tokens/s")
    rates = Demands() if output is None else Demands(output_tokens_per_s=output).completed(MIX)
    observed = replace(seen(25), rates=rates, fleet=FleetState(replicas=READY, ready=ready))
    return replace(made, seen=observed, policy=replace(made.policy, capacity=capacity))


def exposed(decision: Decision) -> dict[str, float]:
    store = DecisionStore()
    store.put(decision)
    return {
        sample.name.removeprefix("predictscale_"): sample.value
        for family in LawCollector(store).collect()
        for sample in family.samples
        if (sample.labels["namespace"], sample.labels["workload"]) == CHAT
    }


def test_promises_and_the_law_stand_side_by_side() -> None:
    told = exposed(decided(LAW))
    assert (told["slo_itl_seconds"], told["slo_ttft_seconds"]) == (0.05, 1.0)
    assert told["law_empty_itl_seconds"] == pytest.approx(TRUE.alpha_s, rel=0.02)
    assert told["law_windows"] == 300
    assert 0 < told["law_error_ratio"] < 0.05
    # Both latencies end a replica at the same limit: what the law gives there is the promise.
    assert LEARNED.fit is not None
    assert LEARNED.fit.law.itl_s(told["utilization_limit_ratio"]) <= SLO.itl_s * 1.001


def test_a_fleet_at_its_limit_is_as_full_as_its_need_over_what_is_ready() -> None:
    told = exposed(decided(LAW))
    compute = next(bound for bound in LAW.needed(decided(LAW).seen.rates).bounds if bound.limit == "compute")
    full = told["offered_utilization_ratio"] / told["utilization_limit_ratio"]
    assert full == pytest.approx(compute.replicas / READY)


def test_twice_the_work_or_half_the_replicas_make_it_twice_as_full() -> None:
    once = offered_utilization(decided(LAW), LAW)
    assert once is not None
    assert offered_utilization(decided(LAW, output=80_000.0), LAW) == pytest.approx(2 * once)
    assert offered_utilization(decided(LAW, ready=READY // 2), LAW) == pytest.approx(2 * once)


@pytest.mark.parametrize(("output", "ready"), [(None, READY), (40_000.0, None), (40_000.0, 0)])
def test_how_full_replicas_are_is_not_told_where_it_is_not_known(
    output: float | None, ready: int | None
) -> None:
    told = exposed(decided(LAW, output=output, ready=ready))
    assert "offered_utilization_ratio" not in told
    assert "utilization_limit_ratio" in told


def test_before_there_is_a_law_only_promises_are_told() -> None:
    few = learn(drawn(rows=12), now_s=NOW_S, slo=SLO)
    for capacity in (replace(LAW, learned=few), replace(LAW, learned=None, mix=None)):
        assert set(exposed(decided(capacity))) == {"slo_itl_seconds", "slo_ttft_seconds"}
    without = replace(LAW, slo=LatencyTargets(itl_s=0.05), learned=None)
    assert set(exposed(decided(without))) == {"slo_itl_seconds"}


def test_a_capacity_that_is_not_learned_promises_nothing() -> None:
    assert exposed(decided(policy().capacity)) == {}
