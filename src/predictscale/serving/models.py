"""What people are shown of a workload's models: who serves, how all would have done, why others do not.

Reads what the fits left behind; judges nothing itself.
"""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from predictscale.control.fitting import Candidate, Fitting
from predictscale.core.plan import Decision
from predictscale.core.state import author_of
from predictscale.serving.readers import Latest, Readers, fitting_of


class CandidateView(BaseModel):
    """One forecaster that may serve."""

    name: str
    loss: float | None = Field(
        description="Weighted quantile loss of the peak, relative to the last value's: below 1 is better "
        "than to bet on what is here. Null if it was not judged, or could not answer."
    )
    serving: bool = Field(description="Whether the newest forecast is its own.")
    judged_at: datetime | None = Field(description="Where the days ended that it was judged by.")
    lost: int = Field(description="How many times in a row it was not worth its fit.")
    asked_again_at: datetime | None = Field(description="Until when it rests; null if it does not.")
    because: str = Field(description="Why it does or does not serve.")


class SkippedView(BaseModel):
    """A forecaster of the chain that could not be fitted."""

    name: str
    because: str


class ModelsView(BaseModel):
    """The models of one workload."""

    serving: str | None = Field(description="Whose the newest forecast is; null if there is none.")
    because: list[str] = Field(description="Why, in the words of whoever chose.")
    fitted_until: datetime | None = Field(description="Where the history ended that was fitted on.")
    next_fit_at: datetime | None = Field(description="When the next fit is due; null without history.")
    quick: bool = Field(description="Whether only quick forecasters were fitted so far.")
    candidates: list[CandidateView] = Field(description="The best first, then those that stand in.")
    skipped: list[SkippedView]


def models_view(decision: Decision, fitting: Fitting) -> ModelsView:
    """The models, and what the newest decision made of them."""
    serving, model = author_of(decision), fitting.model
    passed_over = () if serving is not None else decision.notes
    return ModelsView(
        serving=serving,
        because=list(dict.fromkeys((*fitting.because, *passed_over))),
        fitted_until=None if model is None else model.boundary,
        next_fit_at=fitting.next_fit_at,
        quick=model is not None and model.quick,
        candidates=[_candidate(each) for each in fitting.candidates(serving=serving, notes=decision.notes)],
        skipped=[SkippedView(name=name, because=reason) for name, reason in fitting.skipped],
    )


def add_models(one: APIRouter, readers: Readers, latest: Latest) -> None:
    """The route of a workload's models.

    Args:
        one: The router of one workload.
        readers: Who shows its models.
        latest: Its newest decision.
    """

    @one.get("/models")
    async def models(namespace: str, name: str) -> ModelsView:
        """Which forecaster serves and why, how all candidates would have done, and when they are asked."""
        newest = latest(namespace, name)
        return models_view(newest, fitting_of(readers, newest))


def _candidate(candidate: Candidate) -> CandidateView:
    return CandidateView(
        name=candidate.name,
        loss=candidate.loss,
        serving=candidate.serves,
        judged_at=candidate.judged_at,
        lost=candidate.lost,
        asked_again_at=candidate.asked_again_at,
        because=candidate.because,
    )
