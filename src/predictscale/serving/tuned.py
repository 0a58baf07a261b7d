"""What people are shown of self-tuning: the chosen settings, why, and what is left of the budget."""

from datetime import datetime

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, Field

from predictscale.core.knobs import Kind, Knobs
from predictscale.core.plan import Decision
from predictscale.core.tuned import Score, Tuning
from predictscale.serving.readers import Latest
from predictscale.serving.then import At, Then, card_then


class KnobsView(BaseModel):
    """Settings that tuning chooses."""

    kind: Kind = Field(description="What is sized for: a quantile, what is here, or the highest of days.")
    quantile: float = Field(description="Of the peak within the lead time.")
    margin: float = Field(description="The forecast counts so many times; 0 sizes for what is here.")
    limit: float | None = Field(description="The forecast counts up to so many times the highest of days.")
    headroom: float = Field(description="What is here counts so many times.")
    hold_s: float


class ScoreView(BaseModel):
    """What settings would have done over the days compared."""

    knobs: KnobsView
    violation: float = Field(description="Share of demand that would have been late.")
    replica_hours: float


class SloView(BaseModel):
    """What the owner asked for."""

    max_violation: float
    wait_s: float
    window_s: float


class ChoiceView(BaseModel):
    """What the last replay chose."""

    at: datetime = Field(description="Where the past ends that was replayed.")
    knobs: KnobsView
    because: str
    asked: float = Field(description="Share that was allowed to be late, before the rule's own caution.")
    replayed_s: float
    compared: int = Field(description="How many candidates.")
    scores: list[ScoreView] = Field(description="The best, plain reactive and static; cheapest first.")


class TuningView(BaseModel):
    """The state of self-tuning at the newest decision."""

    namespace: str
    workload: str
    slo: SloView
    knobs: KnobsView = Field(description="What is in force.")
    since: datetime | None = Field(description="Since when the choice has been the same; null before one.")
    because: str
    notches: int = Field(description="How many notches the budget made the choice more careful by.")
    violation: float = Field(description="Share of demand that was late in the window, as far as known.")
    budget_spent: float = Field(description="Part of the window's budget that is gone; above 1 it is broken.")
    known_s: float = Field(description="How much of the window is known.")
    every_s: float
    next_at: datetime = Field(description="When the next replay is due.")
    choice: ChoiceView | None


def tuning_view(decision: Decision, tuning: Tuning) -> TuningView:
    """The tuning that a decision obeyed."""
    namespace, workload = decision.workload
    slo, choice = tuning.slo, tuning.choice
    return TuningView(
        namespace=namespace,
        workload=workload,
        slo=SloView(max_violation=slo.max_violation, wait_s=slo.wait_s, window_s=slo.window_s),
        knobs=_knobs(tuning.knobs),
        since=tuning.since,
        because=tuning.because,
        notches=tuning.notches,
        violation=tuning.violation,
        budget_spent=tuning.spent,
        known_s=tuning.known_s,
        every_s=tuning.every_s,
        next_at=tuning.next_at,
        choice=None
        if choice is None
        else ChoiceView(
            at=choice.at,
            knobs=_knobs(choice.knobs),
            because=choice.because,
            asked=choice.asked,
            replayed_s=choice.replayed_s,
            compared=choice.compared,
            scores=[_score(score) for score in choice.scores],
        ),
    )


def add_tuning(one: APIRouter, latest: Latest, then: Then) -> None:
    """The route of a workload's tuning.

    Args:
        one: The router of one workload.
        latest: Its newest decision.
        then: Who tells past ones.
    """

    @one.get("/tuning", response_model=TuningView)
    async def tuning(namespace: str, name: str, at: At = None) -> TuningView | Response:
        """Which settings the owner's objective led to, why, and what is left of its budget."""
        if at is not None:
            return await card_then(then, namespace, name, at, card="tuning", none="was not tuned")
        newest = latest(namespace, name)
        if newest.tuning is None:
            raise HTTPException(
                404, f"{namespace}/{name} is not tuned: its settings give no slo, or a quantile"
            )
        return tuning_view(newest, newest.tuning)


def _knobs(knobs: Knobs) -> KnobsView:
    return KnobsView(
        kind=knobs.kind,
        quantile=knobs.level,
        margin=knobs.margin,
        limit=knobs.limit,
        headroom=knobs.headroom,
        hold_s=knobs.hold_s,
    )


def _score(score: Score) -> ScoreView:
    return ScoreView(knobs=_knobs(score.knobs), violation=score.violation, replica_hours=score.replica_hours)
