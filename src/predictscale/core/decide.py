"""From what is seen and forecast to a replica target, in stages whose order is policy.

The reactive need comes first, so a wrong forecast costs money and never the
traffic that is already here; the ceiling comes last, so that nothing breaks it.
Refuses to read missing data as zero: without fresh demand nothing is lowered
until the time that the owner stated has passed.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from predictscale.core.asked import Further, Question
from predictscale.core.breakeven import BLIND, may_sleep
from predictscale.core.budget import Granted, give_way
from predictscale.core.capacity import Load, spoken
from predictscale.core.demand import Observation
from predictscale.core.floors import Floor
from predictscale.core.forecast import Forecast
from predictscale.core.landing import land
from predictscale.core.needed import Demands, Needed
from predictscale.core.offered import Rate, part_of, together
from predictscale.core.plan import Decision, Health, Memory, OnStale, Policy, ReplicaPlan, Stage, Step
from predictscale.core.pressure import pressed
from predictscale.core.split import Split, split
from predictscale.core.stabilize import highest, remember
from predictscale.core.warmth import Stock, stocks
from predictscale.errors import ForecastTooShort, HoldTarget

LEAST_EXPECTED = 0.5
"""Less than this much demand (requests, tokens) within the look-ahead counts as nothing expected."""

_NO_FURTHER: Further = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case(Question):
    """One decision's inputs, as every stage sees them."""

    health: Health
    doubt: str = field(default="")
    """Why the load cannot be turned into replicas, though it is known; else empty."""

    @property
    def sizable(self) -> bool:
        """Whether demand is known well enough to size by it."""
        return self.health not in (Health.STALE, Health.UNKNOWN)


def health_of(seen: Observation, forecast: Forecast | None, policy: Policy, memory: Memory) -> Health:
    """How much can be known at this instant."""
    fresh = seen.age_s <= policy.fresh_s
    if fresh and not seen.partial:
        return Health.OK if forecast is not None else Health.REACTIVE
    if memory.last_good is None:
        return Health.REACTIVE if fresh else Health.UNKNOWN
    return Health.HOLDING if seen.age_s <= policy.stale_after_s else Health.STALE


def decide(
    seen: Observation,
    forecast: Forecast | None,
    policy: Policy,
    memory: Memory,
    *,
    unit: str,
    further: Further = _NO_FURTHER,
) -> tuple[ReplicaPlan, Memory]:
    """Choose a replica target.

    Args:
        seen: What was observed; `seen.now` is the instant of the decision.
        forecast: What is about to arrive, or None to decide on what is here alone.
        policy: What the owner wants.
        memory: What earlier decisions left.
        unit: The demand's unit, for the reasons.
        further: Forecasts of the load's rates, where capacity is learned; without `forecast`, unused.

    Returns:
        The plan with one step for each stage, and the memory for the next decision.

    Raises:
        ForecastTooShort: The forecast does not reach the lead time.
    """
    health = health_of(seen, forecast, policy, memory)
    case = _Case(seen=seen, forecast=forecast, further=further, policy=policy, health=health, unit=unit)
    load, because = _demand(case)
    steps = [Step(Stage.DEMAND, load.primary, unit, because)]
    case, needed = _needed(case, load, memory)

    def leave(stage: Stage, outcome: tuple[int, str]) -> int:
        steps.append(Step(stage, outcome[0], "replicas", outcome[1]))
        return outcome[0]

    target = leave(Stage.CAPACITY, _capacity(case, needed))
    target = leave(Stage.BACKLOG, _backlog(case, target))
    target = leave(Stage.WARM, _warm(case, target, memory))
    memory = remember(memory, now=seen.now, replicas=target, hold_s=policy.hold_s)
    target = leave(Stage.STABILIZE, _stabilize(case, target, memory))
    granted = _granted(case, min(target, policy.max_replicas))
    need = leave(Stage.CEILING, _ceiling(policy, target, granted))
    over, memory = _split(case, need, memory)
    target = leave(Stage.SPOT, (over.replicas, over.because))
    published = leave(Stage.LANDING, _landed(case, over, need))
    if case.health in (Health.OK, Health.REACTIVE):
        memory = replace(memory, last_good=need, good_at=seen.now)
    gone = case.health is Health.STALE and policy.on_stale is OnStale.UNAVAILABLE
    plan = ReplicaPlan(
        steps=tuple(steps),
        target=target,
        published=published,
        active=published > 0,
        health=case.health,
        available=not (gone or case.health is Health.UNKNOWN),
        needed=needed,
        granted=granted,
        shares=over.shares,
        pooled=over.plan,
    )
    return plan, memory


def floor_in_force(decision: Decision) -> Floor:
    """The floor that a decision's stages kept to, and why it is as high.

    A decision that wanted more does not say in its steps where its floor came from. One that was only
    kept above zero says why in them, and then that is the floor.
    """
    floor, reached = Floor(*_floor(_case_of(decision))), {step.stage: step for step in decision.plan.steps}
    warm, before = reached[Stage.WARM], reached[Stage.BACKLOG].value
    return Floor(int(warm.value), warm.because) if warm.value > max(before, floor.replicas) else floor


def standby_for(decision: Decision) -> tuple[Stock, ...]:
    """How many replicas of each kind of standby cover what the decision saw coming; none if nobody can say.

    Told to whoever keeps them: the decision asks for running ones alone. A kind that wakes no sooner
    than a start from nothing is left out.
    """
    case, lead_s = _case_of(decision), decision.policy.lead_time_s
    tiers = [tier for tier in decision.policy.warmth.tiers if tier.wake_s < lead_s]
    if not tiers or case.forecast is None or case.doubt or not case.sizable:
        return ()
    return stocks(
        case.forecast,
        now=case.seen.now,
        tiers=tiers,
        cold_s=lead_s,
        size=case.replicas_for,
        level=decision.policy.level,
    )


def _case_of(decision: Decision) -> _Case:
    return _Case(
        seen=decision.seen,
        forecast=decision.forecast,
        further=decision.further,
        policy=decision.policy,
        health=decision.plan.health,
        unit=decision.unit,
        doubt="" if decision.plan.needed is not None else "it was not sized",
    )


def _demand(case: _Case) -> tuple[Load, str]:
    """The load to size for."""
    seen = case.seen
    if seen.demand is None:
        nothing = Load(primary=0.0, unit=case.unit)
        return nothing, "demand was never seen; that is not the same as no demand"
    if not case.sizable:
        last = Load(primary=seen.demand, unit=case.unit)
        return last, f"the newest sample is {seen.age_s:.0f} s old: too old to size by"
    return case.asked()


def _needed(case: _Case, load: Load, memory: Memory) -> tuple[_Case, Needed | None]:
    """The replicas that serve the load; where nobody can say, the case as doubt leaves it."""
    if not case.sizable:
        return case, None
    try:
        return case, case.policy.capacity.sized(load)
    except HoldTarget as doubt:
        health = Health.UNKNOWN
        if memory.last_good is not None and memory.good_at is not None:
            held_s = (case.seen.now - memory.good_at).total_seconds()
            health = Health.HOLDING if held_s <= case.policy.stale_after_s else Health.STALE
        return replace(case, health=health, doubt=str(doubt)), None


def _capacity(case: _Case, needed: Needed | None) -> tuple[int, str]:
    """The replicas that serve it."""
    if needed is None:
        return 0, f"not sized: {case.doubt or 'demand is not known'}"
    starting = case.seen.fleet.starting
    coming = f"; {starting} start already and will serve" if starting else ""
    return needed.replicas, needed.because + coming


def _backlog(case: _Case, target: int) -> tuple[int, str]:
    """What serves the queue in time, beside the load that is here, and what full replicas ask for."""
    needed, because = _drained(case, target)
    signs = pressed(case.seen)
    if signs is None:
        return needed, because
    wanted, why = signs
    return max(needed, wanted), f"{because}; {why}" + ("" if wanted > needed else ", which is no more")


def _drained(case: _Case, target: int) -> tuple[int, str]:
    seen, drain_s = case.seen, case.policy.drain_s
    waits = seen.queue if seen.queue is not None else seen.waiting
    if case.doubt:
        return target, "not sized either"
    if waits is None or seen.demand is None or not case.sizable:
        return target, "no queue is known"
    if waits <= 0:
        return target, "nothing waits"
    # Room to spare is for what comes, not for what waits already.
    both = Load(
        primary=seen.demand + (seen.queue or 0.0) / drain_s,
        unit=case.unit,
        rates=_beside(seen, drain_s),
    )
    needed = case.policy.capacity.sized(both).replicas
    because = f"{spoken(waits)} wait; serving them within {drain_s:.0f} s beside what is here takes {needed}"
    return (needed, because) if needed > target else (target, f"{because}, which is no more")


def _beside(seen: Observation, drain_s: float) -> Demands:
    """The rates that are here, and those at which waiting requests are served in time."""
    if seen.waiting is None or not seen.rates.known():
        return seen.rates
    queue = Demands(requests_rps=seen.waiting / drain_s)
    if seen.mix is not None:
        queue = queue.completed(seen.mix)
    parts = {rate: (part_of(seen.rates, rate), part_of(queue, rate)) for rate in Rate}
    return together({rate: _sum(here, more) for rate, (here, more) in parts.items()})


def _sum(here: float | None, more: float | None) -> float | None:
    """What is here stays, though nobody knows how much of it waits."""
    return here if here is None or more is None else here + more


def _warm(case: _Case, target: int, memory: Memory) -> tuple[int, str]:
    """The floor, and whether zero may be."""
    floor, because = _floor(case)
    if target >= max(floor, 1):
        return target, f"not below the floor of {floor}"
    return (floor, because) if floor else _zero(case, memory)


def _floor(case: _Case) -> tuple[int, str]:
    """The owner's floor, or that of the calendar or of costs where it is higher."""
    policy, now = case.policy, case.seen.now
    forecast = case.forecast if case.sizable and not case.doubt else None
    warm = policy.warmth.floor(
        forecast, now=now, lead_s=policy.lead_time_s, size=case.replicas_for, unit=case.unit
    )
    if warm is not None and warm.replicas > policy.floor:
        return warm.replicas, f"the floor: {warm.because}"
    return policy.floor, f"the floor: min {policy.min_replicas}, warm {policy.warm_replicas}"


def _zero(case: _Case, memory: Memory) -> tuple[int, str]:
    """0 or 1, where nothing is here and the owner allows 0."""
    policy = case.policy
    if _here(case):
        return 1, "kept above zero: something is here or waits, though nobody can say what serves it"
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
        return 1, f"kept above zero: up to {spoken(expected)} {case.unit} are expected {within}"
    return _rested(case, f"nothing is here, nothing is expected {within}, and min is 0")


def _here(case: _Case) -> bool:
    """Whether anything is known to come or to wait at present."""
    seen = case.seen
    comes = seen.demand if seen.age_s <= case.policy.fresh_s else None
    return any(number is not None and number > 0 for number in (comes, seen.queue, seen.waiting))


def _rested(case: _Case, because: str) -> tuple[int, str]:
    """0 or 1, where nothing else speaks against 0."""
    policy, rest = case.policy, case.seen.rest
    if not policy.sighted:
        return 1, BLIND
    if policy.cold is None:
        return 0, because
    if rest is None:
        return 1, "kept above zero: how long nothing has been here is not known"
    sleeps, why = may_sleep(idle_s=rest.idle_s, timeout=rest.timeout, sighted=True)
    return (0, f"{because}; {why}") if sleeps else (1, why)


def _stabilize(case: _Case, target: int, memory: Memory) -> tuple[int, str]:
    """Down only to what was wanted lately; in doubt not down at all, nor during a pause."""
    held, because = _held(case, target, memory)
    there = case.policy.paused_with or 0
    if there <= held:
        return held, because
    # Not remembered as wanted: when the pause ends they may go at once.
    return there, f"{there} were there when the fleet was paused, and stay"


def _held(case: _Case, target: int, memory: Memory) -> tuple[int, str]:
    policy, last_good = case.policy, memory.last_good
    if case.health is Health.STALE and policy.on_stale is OnStale.FLOOR:
        held = f"for {policy.stale_after_s:.0f} s"
        if not case.doubt:
            held = f"until data was {policy.stale_after_s:.0f} s old"
        return target, f"the last good target was held {held}"
    if case.health in (Health.HOLDING, Health.STALE) and last_good is not None and last_good > target:
        return last_good, f"doubt holds: the last good target {last_good} stays {_held_until(case)}"
    at, most = highest(memory)
    if most > target:
        return most, f"{most} were wanted at {at:%H:%M:%S}; no fewer {_kept_until(policy, at)}"
    return target, f"no more were wanted in the last {policy.hold_s:.0f} s"


def _kept_until(policy: Policy, at: datetime) -> str:
    if policy.paused_with is not None:
        return "while the fleet is paused"
    return f"until {at + timedelta(seconds=policy.hold_s):%H:%M:%S} UTC"


def _held_until(case: _Case) -> str:
    if case.policy.paused_with is not None:
        return "while the fleet is paused"
    if case.health is Health.STALE:
        return "without end"
    stale_after_s = case.policy.stale_after_s
    return f"for {stale_after_s:.0f} s" if case.doubt else f"until data is {stale_after_s:.0f} s old"


def _granted(case: _Case, wanted: int) -> Granted | None:
    """What the month's budget leaves of what is wanted; None without a budget."""
    allowed = case.seen.allowance
    if allowed is None:
        return None
    # Money never takes the last replica: zero is decided where nothing is here.
    least = max(case.policy.min_replicas, 1)
    within = allowed.most is None or wanted <= allowed.most
    relaxed = wanted if within else _relaxed(case, wanted)
    return give_way(allowed, wanted=wanted, relaxed=relaxed, least=least)


def _relaxed(case: _Case, wanted: int) -> int:
    """Replicas at the quantile that a budget relaxes to, for what is here and what waits at least."""
    if case.doubt or not case.sizable:
        return wanted
    policy = case.policy
    relaxed = replace(case, policy=replace(policy, level=min(policy.relaxed_level, policy.level)))
    load, _ = relaxed.asked()
    needed, _ = _backlog(relaxed, policy.capacity.sized(load).replicas)
    return needed


def _ceiling(policy: Policy, target: int, granted: Granted | None) -> tuple[int, str]:
    """The owner's maximum, and what the budget leaves below it."""
    within = f"within max {policy.max_replicas}"
    if target > policy.max_replicas:
        target, within = policy.max_replicas, f"CUT from {target}: max is {policy.max_replicas}"
    if granted is None:
        return target, within
    return granted.replicas, f"{within}; {granted.because}"


def _split(case: _Case, need: int, memory: Memory) -> tuple[Split, Memory]:
    """What the workload's pools make of what must serve, and what nodes that may be lost add to it."""
    if case.policy.pools is None:
        return Split(replicas=need, because="one pool, of which no spot is named"), memory
    seen, most = case.seen, _most(case, need)
    over, after = split(need, seen.pools, case.policy, memory.split, seen.now, most=most)
    return over, replace(memory, split=after)


def _landed(case: _Case, over: Split, need: int) -> tuple[int, str]:
    """What HPAs are told, so that they land there."""
    if over.shares:
        return over.published, over.landed
    policy = case.policy
    landed = land(
        over.replicas,
        landing=policy.landing,
        status_replicas=case.seen.fleet.replicas,
        min_replicas=policy.min_replicas,
        max_replicas=policy.max_replicas,
        tolerance=policy.hpa_tolerance,
    )
    most = _most(case, max(need, over.replicas))
    if landed.published > most and most < policy.max_replicas:
        # The HPA knows the owner's maximum, and would go beyond this one.
        return most, f"{landed.because}; but no more than the {most} that the budget allows"
    return landed.published, landed.because


def _most(case: _Case, target: int) -> int:
    """What may be published at most: landing may go beyond a target, and never beyond a ceiling."""
    allowed, most = case.seen.allowance, case.policy.max_replicas
    if allowed is None or allowed.most is None:
        return most
    return min(most, max(target, allowed.most, 1))
