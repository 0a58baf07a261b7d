"""From what is seen and forecast to a replica target, in stages whose order is policy.

The reactive need comes first, so a wrong forecast costs money and never the
traffic that is already here; the ceiling comes last, so that nothing breaks it.
Refuses to read missing data as zero: without fresh demand nothing is lowered
until the time that the owner stated has passed.
"""

from dataclasses import dataclass, replace
from datetime import timedelta

from predictscale.core.demand import Observation
from predictscale.core.forecast import Forecast
from predictscale.core.landing import land
from predictscale.core.plan import Health, Memory, OnStale, Policy, ReplicaPlan, Stage, Step
from predictscale.core.stabilize import highest, remember
from predictscale.errors import ForecastTooShort

LEAST_EXPECTED = 0.5
"""Less than this much demand (requests, tokens) within the look-ahead counts as nothing expected."""


@dataclass(frozen=True, slots=True)
class _Case:
    """One decision's inputs, as every stage sees them."""

    seen: Observation
    forecast: Forecast | None
    policy: Policy
    health: Health
    unit: str

    @property
    def sizable(self) -> bool:
        """Whether demand is known well enough to size by it."""
        return self.health not in (Health.STALE, Health.UNKNOWN)

    def expected(self, within_s: float) -> float:
        """The forecast's peak from now on.

        Raises:
            ForecastTooShort: It does not reach that far.
        """
        assert self.forecast is not None  # noqa: S101 - callers ask only where there is one
        until = self.seen.now + timedelta(seconds=within_s)
        return self.forecast.peak(level=self.policy.level, since=self.seen.now, until=until)


def health_of(seen: Observation, forecast: Forecast | None, policy: Policy, memory: Memory) -> Health:
    """How much can be known at this instant."""
    fresh = seen.age_s <= policy.fresh_s
    if fresh and not seen.partial:
        return Health.OK if forecast is not None else Health.REACTIVE
    if memory.last_good is None:
        return Health.REACTIVE if fresh else Health.UNKNOWN
    return Health.HOLDING if seen.age_s <= policy.stale_after_s else Health.STALE


def decide(
    seen: Observation, forecast: Forecast | None, policy: Policy, memory: Memory, *, unit: str
) -> tuple[ReplicaPlan, Memory]:
    """Choose a replica target.

    Args:
        seen: What was observed; `seen.now` is the instant of the decision.
        forecast: What is about to arrive, or None to decide on what is here alone.
        policy: What the owner wants.
        memory: What earlier decisions left.
        unit: The demand's unit, for the reasons.

    Returns:
        The plan with one step for each stage, and the memory for the next decision.

    Raises:
        ForecastTooShort: The forecast does not reach the lead time.
    """
    case = _Case(seen, forecast, policy, health_of(seen, forecast, policy, memory), unit)
    demand, because = _demand(case)
    steps = [Step(Stage.DEMAND, demand, unit, because)]

    def leave(stage: Stage, outcome: tuple[int, str]) -> int:
        steps.append(Step(stage, outcome[0], "replicas", outcome[1]))
        return outcome[0]

    target = leave(Stage.CAPACITY, _capacity(case, demand))
    target = leave(Stage.BACKLOG, _backlog(case, target))
    target = leave(Stage.WARM, _warm(case, target, memory))
    memory = remember(memory, now=seen.now, replicas=target, hold_s=policy.hold_s)
    target = leave(Stage.STABILIZE, _stabilize(case, target, memory))
    target = leave(Stage.CEILING, _ceiling(policy, target))
    landed = land(
        target,
        landing=policy.landing,
        status_replicas=seen.fleet.replicas,
        min_replicas=policy.min_replicas,
        max_replicas=policy.max_replicas,
        tolerance=policy.hpa_tolerance,
    )
    leave(Stage.LANDING, (landed.published, landed.because))
    if case.health in (Health.OK, Health.REACTIVE):
        memory = replace(memory, last_good=target)
    gone = case.health is Health.STALE and policy.on_stale is OnStale.UNAVAILABLE
    plan = ReplicaPlan(
        steps=tuple(steps),
        target=target,
        published=landed.published,
        active=landed.published > 0,
        health=case.health,
        available=not (gone or case.health is Health.UNKNOWN),
    )
    return plan, memory


def _demand(case: _Case) -> tuple[float, str]:
    """The load to size for, per second."""
    seen, policy = case.seen, case.policy
    if seen.demand is None:
        return 0.0, "demand was never seen; that is not the same as no demand"
    if not case.sizable:
        return seen.demand, f"the newest sample is {seen.age_s:.0f} s old: too old to size by"
    here = f"{_number(seen.demand)} {case.unit} are here"
    if seen.age_s > policy.fresh_s:
        here = f"{_number(seen.demand)} {case.unit} were here {seen.age_s:.0f} s ago, nothing newer is known"
    elif seen.partial:
        here += ", by an answer that its source calls incomplete"
    if policy.headroom > 1:
        here += f", counted {policy.headroom:.3g} times"
    least = seen.demand * policy.headroom
    if case.forecast is None:
        return least, f"{here}; no forecast can be used"
    if not policy.margin:
        return least, f"{here}; the forecast is left aside, which met the objective most cheaply"
    peak, how = _counted(case, case.expected(policy.lead_time_s))
    return max(least, peak), (
        f"{here}; {case.forecast.model} expects up to {_number(peak)} within {policy.lead_time_s:.0f} s "
        f"at level {policy.level:g}{how}, which is {'more' if peak > least else 'not more'}"
    )


def _counted(case: _Case, peak: float) -> tuple[float, str]:
    """What of the forecast's peak is sized for, and how it differs from the peak."""
    policy, highest = case.policy, case.seen.highest
    counted, how = peak * policy.margin, "" if policy.margin == 1 else f" times {policy.margin:.3g}"
    if policy.limit is None or highest is None or counted <= policy.limit * highest:
        return counted, how
    return policy.limit * highest, f"{how}, cut to {policy.limit:.3g} times the highest of the last days"


def _capacity(case: _Case, demand: float) -> tuple[int, str]:
    """The replicas that serve it."""
    if not case.sizable:
        return 0, "not sized: demand is not known"
    capacity = case.policy.capacity
    because = f"{_number(demand)} {case.unit} at {_number(capacity.per_replica)} per replica"
    return capacity.replicas_for(demand), because


def _backlog(case: _Case, target: int) -> tuple[int, str]:
    """What serves the queue in time, beside the load that is here."""
    queue, demand, drain_s = case.seen.queue, case.seen.demand, case.policy.drain_s
    if queue is None or demand is None or not case.sizable:
        return target, "no queue is known"
    if queue <= 0:
        return target, "nothing waits"
    needed = case.policy.capacity.replicas_for(demand + queue / drain_s)
    because = f"{_number(queue)} wait; serving them within {drain_s:.0f} s beside what is here takes {needed}"
    return (needed, because) if needed > target else (target, f"{because}, which is no more")


def _warm(case: _Case, target: int, memory: Memory) -> tuple[int, str]:
    """The floor, and whether zero may be."""
    policy = case.policy
    if target >= max(policy.floor, 1):
        return target, f"not below the floor of {policy.floor}"
    if policy.floor:
        return policy.floor, f"the floor: min {policy.min_replicas}, warm {policy.warm_replicas}"
    return _zero(case, memory)


def _zero(case: _Case, memory: Memory) -> tuple[int, str]:
    """0 or 1, where nothing is here and the owner allows 0."""
    policy = case.policy
    if case.health in (Health.HOLDING, Health.STALE, Health.UNKNOWN):
        if memory.last_good == 0:
            return 0, "it was at zero when demand was last known, and stays there"
        return 1, "kept above zero: missing data is no reason for zero"
    within = f"within cooldown {policy.cooldown_s:.0f} s + lead time {policy.lead_time_s:.0f} s"
    try:
        expected = case.expected(policy.lookahead_s) if case.forecast is not None else None
    except ForecastTooShort:
        expected = None
    if expected is None:
        return 1, f"kept above zero: no forecast says what comes {within}"
    if expected * policy.lookahead_s >= LEAST_EXPECTED:
        return 1, f"kept above zero: up to {_number(expected)} {case.unit} are expected {within}"
    return 0, f"nothing is here, nothing is expected {within}, and min is 0"


def _stabilize(case: _Case, target: int, memory: Memory) -> tuple[int, str]:
    """Down only to what was wanted lately; in doubt not down at all."""
    policy, last_good = case.policy, memory.last_good
    if case.health is Health.STALE and policy.on_stale is OnStale.FLOOR:
        return target, f"the last good target was held until data was {policy.stale_after_s:.0f} s old"
    if case.health in (Health.HOLDING, Health.STALE) and last_good is not None and last_good > target:
        until = (
            "without end"
            if case.health is Health.STALE
            else f"until data is {policy.stale_after_s:.0f} s old"
        )
        return last_good, f"doubt holds: the last good target {last_good} stays {until}"
    at, most = highest(memory)
    if most > target:
        ends = at + timedelta(seconds=policy.hold_s)
        return most, f"{most} were wanted at {at:%H:%M:%S}; no fewer until {ends:%H:%M:%S} UTC"
    return target, f"no more were wanted in the last {policy.hold_s:.0f} s"


def _ceiling(policy: Policy, target: int) -> tuple[int, str]:
    if target > policy.max_replicas:
        return policy.max_replicas, f"CUT from {target}: max is {policy.max_replicas}"
    return target, f"within max {policy.max_replicas}"


def _number(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
