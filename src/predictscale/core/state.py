"""One word for how a workload fares, for a person who looks at a hundred of them, and why that word.

Several may hold at once: a fleet that is bound by its budget may also be served by a stand-in.
The worst is told, and what makes it so. Refuses to look anything up: the decision is the record,
and what it cannot know is an argument.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from predictscale.core.decide import floor_in_force
from predictscale.core.demand import Observation
from predictscale.core.plan import Decision, Health, Mode, OnStale, Policy, Stage

_EVENTS = " with planned event "
"""What a forecast that planned events changed adds to its author's name, see `core.events.planned`."""


class State(StrEnum):
    """How a workload fares, the worst last."""

    OK = "ok"  # demand is fresh, the forecaster at home serves
    REACTIVE = "reactive"  # demand is fresh, no forecast can be used
    DEMOTED = "demoted"  # a forecast serves, not by a forecaster at home
    BUDGET_BOUND = "budget-bound"  # a budget leaves less than what is wanted
    PAUSED = "paused"  # a person has asked that the fleet does not shrink
    HOLDING = "holding"  # demand is not fresh, the last good target holds
    STALE = "stale"  # held for as long as was stated; the owner's on_stale acts
    UNKNOWN = "unknown"  # demand was never seen
    UNAVAILABLE = "unavailable"  # KEDA is told no number


class Mark(StrEnum):
    """What else may hold of a decision, whatever its health; several may at once."""

    DEMOTED = State.DEMOTED
    BUDGET_BOUND = State.BUDGET_BOUND
    PAUSED = State.PAUSED
    UNAVAILABLE = State.UNAVAILABLE
    AT_CEILING = "at-ceiling"  # as many are wanted as the owner allows
    SHADOW = "shadow"  # the forecast was only recorded


class Told(NamedTuple):
    """A state, and what makes it so."""

    state: State
    because: str


def state_of(
    decision: Decision,
    *,
    told: bool,
    paused_until: datetime | None = None,
) -> Told:
    """The worst state that holds for a decision, and why.

    Args:
        decision: The newest of a workload.
        told: Whether KEDA is told its number now, and not UNAVAILABLE.
        paused_until: Until when a person keeps the fleet from shrinking; None if nobody does.
    """
    paused = None
    if paused_until is not None and paused_until > decision.seen.now:
        paused = f"the fleet does not shrink until {_clock(paused_until)}"
    return _worst(_holding(decision, told=told, paused=paused))


def state_then(decision: Decision, *, told: bool) -> Told:
    """The worst state that holds for a decision by what it knows itself, whenever that is asked.

    Args:
        decision: Any, of now or of the past.
        told: Whether KEDA is told its number, and not UNAVAILABLE.
    """
    return _worst(_holding(decision, told=told, paused=_paused(decision)))


def marks_of(decision: Decision) -> tuple[Mark, ...]:
    """What held of a decision when it was made, beside its health."""
    answered = decision.answer.available
    held = _holding(decision, told=answered, paused=_paused(decision))
    words = {each.state.value for each in held}
    words |= {Mark.AT_CEILING.value} if at_ceiling(decision) else set()
    words |= {Mark.SHADOW.value} if decision.policy.mode is Mode.SHADOW else set()
    return tuple(mark for mark in Mark if mark.value in words)


def author_of(decision: Decision) -> str | None:
    """Whose forecast a decision used; None without one."""
    return None if decision.forecast is None else decision.forecast.model.partition(_EVENTS)[0]


def stands_in(decision: Decision) -> str | None:
    """Who forecasts instead of the forecasters at home; None if they do, or it is not said who they are."""
    author = author_of(decision)
    return None if not decision.home or author in decision.home else author


def at_ceiling(decision: Decision) -> bool:
    """Whether as many replicas are wanted as the owner allows at most, or more."""
    return decision.plan.target >= decision.policy.max_replicas


def cut_by_ceiling(decision: Decision) -> bool:
    """Whether the forecast, or what is here, wants more replicas than the owner or a budget allows."""
    granted = decision.plan.granted
    wanted = next((s.value for s in decision.plan.steps if s.stage is Stage.STABILIZE), 0.0)
    return wanted > decision.policy.max_replicas or (granted is not None and granted.limited)


def _holding(decision: Decision, *, told: bool, paused: str | None) -> Iterator[Told]:
    """All states that hold; `paused` is what is said of a pause, if there is one."""
    yield _known(decision)
    if (author := stands_in(decision)) is not None:
        yield Told(State.DEMOTED, _demoted(decision, author))
    granted = decision.answer.granted
    if granted is not None and granted.limited:
        yield Told(State.BUDGET_BOUND, granted.because)
    if paused is not None:
        yield Told(State.PAUSED, paused)
    if not told:
        yield Told(State.UNAVAILABLE, _untold(decision))


def _worst(holding: Iterable[Told]) -> Told:
    order = list(State)
    return max(holding, key=lambda each: order.index(each.state))


def _paused(decision: Decision) -> str | None:
    """What a decision itself says of a pause: not until when, for that may be changed at any time."""
    there = decision.policy.paused_with
    if there is None:
        return None
    begun = f"; {there} were there when that began" if there else ""
    return f"a person has asked that the fleet does not shrink{begun}"


def _known(decision: Decision) -> Told:
    """What follows from how much the decision knows."""
    seen, policy = decision.seen, decision.policy
    match decision.plan.health:
        case Health.OK:
            return Told(State.OK, f"{_fresh(seen)}, {_forecaster(decision)} forecasts")
        case Health.REACTIVE:
            why = "; ".join(decision.notes)
            return Told(State.REACTIVE, f"{_fresh(seen)}, no forecast is used{why and f': {why}'}")
        case Health.HOLDING:
            return Told(State.HOLDING, f"{_doubt(seen)}; the last good target holds {_until(seen, policy)}")
        case Health.STALE:
            return Told(State.STALE, f"{_doubt(seen)}, {_acts(decision)}")
        case Health.UNKNOWN:
            why = "; ".join(decision.notes)
            return Told(State.UNKNOWN, f"demand was never seen{why and f': {why}'}")


def _fresh(seen: Observation) -> str:
    return "demand is known" if seen.age_s == 0 else f"demand is {_spoken(seen.age_s)} old"


def _forecaster(decision: Decision) -> str:
    return "nobody" if decision.forecast is None else decision.forecast.model


def _doubt(seen: Observation) -> str:
    if seen.demand_at is None:
        return "demand is not known"
    warned = " and the source warns that it lacks data" if seen.partial else ""
    return f"demand is {_spoken(seen.age_s)} old{warned}"


def _until(seen: Observation, policy: Policy) -> str:
    if seen.demand_at is None or seen.age_s > policy.stale_after_s:
        return "for now"
    return f"until {_clock(seen.demand_at + timedelta(seconds=policy.stale_after_s))}"


def _acts(decision: Decision) -> str:
    """What the owner wants of data that is older than a target may be held."""
    policy = decision.policy
    beyond = f"beyond the {_spoken(policy.stale_after_s)} that a target is held"
    if policy.paused_with is not None:
        return f"{beyond}; the fleet is paused, so the last good target stays"
    match policy.on_stale:
        case OnStale.HOLD:
            return f"{beyond}; on_stale is hold, so the last good target stays without end"
        case OnStale.FLOOR:
            return f"{beyond}; on_stale is floor, so {_floor(decision)}"
        case OnStale.UNAVAILABLE:
            return f"{beyond}; on_stale is unavailable, so KEDA's own fallback acts"


def _floor(decision: Decision) -> str:
    """The floor that stays, with its reason where it is not the owner's own number."""
    floor = floor_in_force(decision)
    stays = f"only the floor of {floor.replicas} stays"
    why = floor.because.removeprefix("the floor: ")
    return stays if floor.replicas == decision.policy.floor else f"{stays}, {why}"


def _demoted(decision: Decision, author: str) -> str:
    """Who forecasts instead of whom, and what the record says of either."""
    home = decision.home
    names = ", ".join(home) if len(home) < 2 else "one of " + ", ".join(home)
    said = [note for note in decision.notes if note.startswith((author, *home))]
    return "; ".join((f"{author} forecasts, not {names}", *said))


def _untold(decision: Decision) -> str:
    if decision.answer.available:
        return f"KEDA is told UNAVAILABLE: the last decision was valid until {_clock(decision.valid_until)}"
    if decision.plan.health is Health.UNKNOWN:
        return f"KEDA is told UNAVAILABLE: {_known(decision).because}"
    return f"KEDA is told UNAVAILABLE: {_doubt(decision.seen)}, {_acts(decision)}"


def _clock(at: datetime) -> str:
    return f"{at:%d %b %H:%M:%S} UTC"


def _spoken(seconds: float) -> str:
    """A duration for a person, exact enough to compare with a setting."""
    if seconds < 7200:
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:.1f} h"
