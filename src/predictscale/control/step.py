"""The one step from an observation to a decision, the same live, in shadow and in a simulation.

Pure: no clock, no I/O. Whoever calls it decides where the observation and the
forecast come from.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import MappingProxyType

from predictscale.core.decide import decide
from predictscale.core.demand import Observation, WorkloadId
from predictscale.core.forecast import Forecast
from predictscale.core.offered import Rate
from predictscale.core.plan import Decision, Memory, Mode, Policy
from predictscale.errors import TryNextForecaster

_NO_FURTHER: Mapping[Rate, Forecast] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class StepMemory:
    """What both runs of the stages remember: the one with a forecast, the one without.

    Args:
        live: Of the one with.
        reactive: Of the one without.
        mode: Which of them was published; None before the first decision.
    """

    live: Memory = field(default_factory=Memory)
    reactive: Memory = field(default_factory=Memory)
    mode: Mode | None = None


def step(
    workload: WorkloadId,
    seen: Observation,
    forecast: Forecast | None,
    policy: Policy,
    memory: StepMemory,
    *,
    unit: str,
    notes: tuple[str, ...] = (),
    further: Mapping[Rate, Forecast] = _NO_FURTHER,
) -> tuple[Decision, StepMemory]:
    """Decide for one workload at one instant.

    The stages run twice: with the forecast, and without it as the reactive
    counterfactual, which is what shadow mode publishes and savings are counted from.

    Returns:
        The decision, valid for as long as the policy lets a target hold, and the memory.
    """
    reactive, reactive_memory = decide(seen, None, policy, _reactive(memory, policy), unit=unit)
    try:
        plan, live_memory = decide(seen, forecast, policy, memory.live, unit=unit, further=further)
    except TryNextForecaster as unusable:
        notes = (*notes, f"forecast not used: {unusable}")
        forecast, further = None, _NO_FURTHER
        plan, live_memory = decide(seen, None, policy, memory.live, unit=unit)
    decision = Decision(
        workload=workload,
        seen=seen,
        unit=unit,
        policy=policy,
        plan=plan,
        reactive=reactive,
        forecast=forecast,
        valid_until=seen.now + timedelta(seconds=policy.stale_after_s),
        notes=notes,
        further=further,
    )
    return decision, StepMemory(live=live_memory, reactive=reactive_memory, mode=policy.mode)


def _reactive(memory: StepMemory, policy: Policy) -> Memory:
    """What the run without a forecast remembers.

    Where it takes over during a pause, the fleet it takes over does not shrink either: it remembers
    what was wanted with a forecast, which was never less.
    """
    own, live = memory.reactive, memory.live
    takes_over = memory.mode is Mode.LIVE and policy.mode is Mode.SHADOW
    if policy.paused_with is None or not takes_over:
        return own
    good = own if (own.last_good or 0) > (live.last_good or 0) else live
    return replace(own, wanted=live.wanted, last_good=good.last_good, good_at=good.good_at)
