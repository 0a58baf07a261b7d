"""What people are shown of floors: which one is in force, why, and when the next window opens."""

from datetime import UTC, datetime

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from predictscale.core.decide import floor_in_force, standby_for
from predictscale.core.floors import EVERY_DAY, WEEKDAYS, CalendarFloor, Days
from predictscale.core.plan import Decision, Stage
from predictscale.serving.readers import Latest, Now
from predictscale.serving.then import At, Then, card_then


class RuleView(BaseModel):
    """A window of the calendar."""

    model_config = ConfigDict(serialize_by_alias=True)

    name: str
    replicas: int = Field(description="How many should serve while it is open.")
    days: str = Field(description="On which it opens, such as mon-fri or 12-24.")
    opens: str = Field(serialization_alias="from", description="By the clock on the wall.")
    closes: str = Field(
        serialization_alias="to", description="Likewise; of the next day if that is not after it opens."
    )
    zone: str
    active: bool = Field(description="Whether it is open now.")
    next_start: datetime | None = Field(description="When it next opens; null if it does not.")
    next_end: datetime | None = Field(
        description="When it closes if it is open, or closes after it next opened; null if neither."
    )


class StandbyView(BaseModel):
    """A kind of standby, and how many replicas of it cover what may come while the next kind starts."""

    kind: str = Field(description="running, asleep, loaded-node or empty-node.")
    wake_s: float = Field(description="From a decision until its replicas serve.")
    replicas: int
    because: str


class FloorsView(BaseModel):
    """The floors of one workload."""

    floor: int = Field(description="In force now: without demand there are no fewer, if nothing cuts it.")
    min_replicas: int
    warm_replicas: int
    because: str = Field(description="The words of the decision's step, and those of the floor.")
    rules: list[RuleView]
    standby: list[StandbyView] = Field(
        description="For whoever keeps them, as nobody can ask KEDA for a sleeping replica or a node; empty "
        "without wake times in `warmth`, or without a forecast."
    )


def floors_view(decision: Decision, *, now: datetime) -> FloorsView:
    """The floors that a decision kept to.

    Args:
        decision: The newest.
        now: The present, for the windows of the calendar.
    """
    policy, floor = decision.policy, floor_in_force(decision)
    words = [step.because for step in decision.plan.steps if step.stage is Stage.WARM]
    return FloorsView(
        floor=floor.replicas,
        min_replicas=policy.min_replicas,
        warm_replicas=policy.warm_replicas,
        because="; ".join(dict.fromkeys((*words, floor.because))),
        rules=[_rule(rule, now=now) for rule in policy.warmth.floors],
        standby=[
            StandbyView(
                kind=stock.tier.standby,
                wake_s=stock.tier.wake_s,
                replicas=stock.replicas,
                because=stock.because,
            )
            for stock in standby_for(decision)
        ],
    )


def add_floors(one: APIRouter, latest: Latest, now: Now, then: Then) -> None:
    """The route of a workload's floors.

    Args:
        one: The router of one workload.
        latest: Its newest decision.
        now: The present instant.
        then: Who tells past decisions.
    """

    @one.get("/floors", response_model=FloorsView)
    async def floors(namespace: str, name: str, at: At = None) -> FloorsView | Response:
        """The floor in force with its reason, and the windows of the calendar with their next opening."""
        if at is None:
            return floors_view(latest(namespace, name), now=now())
        return await card_then(then, namespace, name, at, card="floors")


def days_text(days: Days) -> str:
    """Days as settings write them: `every day`, `mon-fri`, `sat, 12-24, 2026-12-31`."""
    if days == EVERY_DAY:
        return "every day"
    parts = [*_runs(sorted(days.weekdays))]
    parts += [f"{month:02d}-{day:02d}" for month, day in sorted(days.yearly)]
    parts += [day.isoformat() for day in sorted(days.dates)]
    return ", ".join(parts)


def _rule(rule: CalendarFloor, *, now: datetime) -> RuleView:
    now_s = now.timestamp()
    open_now = max(rule.spans_s(now_s, now_s + 1e-6), default=None)
    coming = rule.next_span_s(now_s)
    ends = open_now or coming
    return RuleView(
        name=rule.name,
        replicas=rule.replicas,
        days=days_text(rule.days),
        opens=_clock(rule.opens_s),
        closes=_clock(rule.closes_s),
        zone=rule.zone,
        active=open_now is not None,
        next_start=None if coming is None else _instant(coming[0]),
        next_end=None if ends is None else _instant(ends[1]),
    )


def _runs(weekdays: list[int]) -> list[str]:
    """Weekdays that follow each other as one: `mon-fri`."""
    runs: list[list[int]] = []
    for day in weekdays:
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return [WEEKDAYS[r[0]] if len(r) == 1 else f"{WEEKDAYS[r[0]]}-{WEEKDAYS[r[-1]]}" for r in runs]


def _clock(second_of_day: int) -> str:
    minutes, seconds = divmod(second_of_day, 60)
    text = f"{minutes // 60:02d}:{minutes % 60:02d}"
    return f"{text}:{seconds:02d}" if seconds else text


def _instant(epoch_s: float) -> datetime:
    return datetime.fromtimestamp(epoch_s, UTC)
