"""What people are shown of a workload's data: how much of its history is known, how old each signal is.

Refuses to call a young history a bad one: shares count from its first known bin on.
"""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from predictscale.control.reading import Reading, SignalSeen
from predictscale.core.demand import SignalName
from predictscale.core.plan import Decision
from predictscale.core.quality import Known, known
from predictscale.serving.readers import Latest, Now, Readers, reading_of

SPANS_S = {"1h": 3600.0, "24h": 86400.0, "7d": 7 * 86400.0, "all": None}
"""Over which spans shares are told [s]."""
MOST_GAPS = 50


class GapView(BaseModel):
    """A stretch of which nothing is known."""

    start: datetime
    end: datetime
    duration_s: float


class SignalView(BaseModel):
    """One signal that is asked for."""

    name: SignalName
    known: bool = Field(description="Whether its newest value counts as the present.")
    age_s: float | None = Field(description="Of its newest value; null if there is none.")
    query: str | None = Field(description="How the source is asked.")


class QualityView(BaseModel):
    """The data of one workload."""

    known_share: dict[str, float | None] = Field(
        description="Share of the bins that hold a value, over the last hour, day, week, and all; a history "
        "that is shorter counts from its beginning on. Null while there is none."
    )
    history_s: float = Field(description="From its first known bin until now.")
    oldest: datetime | None = Field(description="Where the first known bin begins.")
    newest: datetime | None = Field(description="Where the last known bin ends.")
    demand_age_s: float | None
    fresh_s: float = Field(description="Data no older than this counts as the present.")
    stale_after_s: float = Field(description="So old it no longer holds a target.")
    partial: bool = Field(description="Whether the source warned that its last answers lack data.")
    gaps: list[GapView] = Field(description=f"Newest first, at most {MOST_GAPS}.")
    gaps_total: int
    signals: list[SignalView]
    notes: list[str]


def quality_view(decision: Decision, reading: Reading, *, now: datetime) -> QualityView:
    """The data behind the newest decision.

    Args:
        decision: The newest.
        reading: What is held.
        now: The present, for ages.
    """
    bins, seen, policy = reading.bins, decision.seen, decision.policy
    # Bins that end after the last decision are nobody's loss yet.
    told = None if bins is None else known(bins, until=seen.now)
    gaps, gaps_total = ([], 0) if told is None else told.gaps(most=MOST_GAPS)
    newest = None if bins is None else bins.newest
    return QualityView(
        known_share={name: None if told is None else told.share(s) for name, s in SPANS_S.items()},
        history_s=0.0 if told is None else len(told.known) * told.step_s,
        oldest=None if told is None else told.start,
        newest=None if newest is None else newest[0],
        demand_age_s=None if seen.demand_at is None else (now - seen.demand_at).total_seconds(),
        fresh_s=policy.fresh_s,
        stale_after_s=policy.stale_after_s,
        partial=reading.partial,
        gaps=[GapView(start=g.start, end=g.end, duration_s=g.duration_s) for g in gaps],
        gaps_total=gaps_total,
        signals=[_signal(signal, now=now, fresh_s=policy.fresh_s) for signal in reading.signals],
        notes=_notes(reading, told),
    )


def add_quality(one: APIRouter, readers: Readers, latest: Latest, now: Now) -> None:
    """The route of a workload's data.

    Args:
        one: The router of one workload.
        readers: Who shows its data.
        latest: Its newest decision.
        now: The present instant, for ages.
    """

    @one.get("/quality")
    async def quality(namespace: str, name: str) -> QualityView:
        """How much of the history is known, where its gaps are, and how old each signal is."""
        newest = latest(namespace, name)
        return quality_view(newest, reading_of(readers, newest), now=now())


def _signal(signal: SignalSeen, *, now: datetime, fresh_s: float) -> SignalView:
    age_s = None if signal.newest_at is None else max(0.0, (now - signal.newest_at).total_seconds())
    return SignalView(
        name=signal.name, known=age_s is not None and age_s <= fresh_s, age_s=age_s, query=signal.query
    )


def _notes(reading: Reading, told: Known | None) -> list[str]:
    notes = []
    if reading.bins is None:
        notes.append("the history has not been read yet")
    elif told is None:
        notes.append("the history holds no value")
    if reading.partial:
        notes.append("the source warned that its last answers lack data")
    never = [signal.name.value for signal in reading.signals if signal.newest_at is None]
    if never:
        notes.append(f"never seen since the start or for long: {', '.join(never)}")
    return notes
