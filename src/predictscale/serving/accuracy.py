"""What people are shown of how forecasts came out: a verdict on each horizon, with its numbers."""

import json
from collections.abc import Sequence

from anyio import to_thread
from fastapi import APIRouter
from pydantic import BaseModel, Field, TypeAdapter

from predictscale.core.calibration import Verdict, judged
from predictscale.core.outcome import Outcome
from predictscale.core.plan import Decision
from predictscale.serving.readers import Latest
from predictscale.serving.then import At, Then, forecast_in

_SCORED = "windows of the last day that this process has seen close are scored; one with a gap in it is not"
_OVERLAP = (
    "the windows of a horizon overlap: a verdict counts no more of them than fit side by side, and as "
    "misses come in clusters all the same, one against a quantile is somewhat too sure"
)
_OUTCOME = TypeAdapter(Outcome)


class HorizonView(BaseModel):
    """How the peak forecasts of one horizon came out over the last day."""

    lead_s: float = Field(description="How far ahead.")
    levels: list[float]
    coverage: list[float] = Field(description="Share of closed windows whose peak lay at or below.")
    pinball: list[float] = Field(description="Mean pinball loss of each level, in the demand's unit.")
    scored: int = Field(description="How many windows; they overlap.")
    verdict: Verdict
    because: str


class AccuracyView(BaseModel):
    """How forecasts came out, by horizon."""

    horizons: list[HorizonView] = Field(description="The shortest first; one that nothing reaches is absent.")
    notes: list[str]


def accuracy_view(decision: Decision) -> AccuracyView:
    """The outcomes that a decision knows of."""
    forecast = decision.forecast
    return _judged(decision.outcomes, step_s=None if forecast is None else forecast.step_s)


def accuracy_then(forecast: bytes) -> AccuracyView:
    """The outcomes that were told with a past forecast, judged as those of now are."""
    told = json.loads(forecast)
    return _judged([_OUTCOME.validate_python(each) for each in told["outcomes"]], step_s=told["step_s"])


def add_accuracy(one: APIRouter, latest: Latest, then: Then) -> None:
    """The route of how a workload's forecasts came out.

    Args:
        one: The router of one workload.
        latest: Its newest decision.
        then: Who tells past ones.
    """

    @one.get("/accuracy")
    async def accuracy(namespace: str, name: str, at: At = None) -> AccuracyView:
        """How often each quantile held and what its misses cost, by horizon, and whether that is honest."""
        # A day of short steps makes tails of tens of thousands of terms; KEDA may ask meanwhile.
        if at is not None:
            told = forecast_in(await then(namespace, name, at), namespace, name)
            return await to_thread.run_sync(accuracy_then, told)
        return await to_thread.run_sync(accuracy_view, latest(namespace, name))


def _judged(outcomes: Sequence[Outcome], *, step_s: float | None) -> AccuracyView:
    if not outcomes:
        return AccuracyView(horizons=[], notes=["no window has closed yet that a forecast was made for"])
    between_s = min(outcome.lead_s for outcome in outcomes) if step_s is None else step_s
    return AccuracyView(
        horizons=[_horizon(outcome, step_s=between_s) for outcome in outcomes],
        notes=[_SCORED, _OVERLAP],
    )


def _horizon(outcome: Outcome, *, step_s: float) -> HorizonView:
    verdict, because = judged(outcome, step_s=step_s)
    return HorizonView(
        lead_s=outcome.lead_s,
        levels=list(outcome.levels),
        coverage=list(outcome.coverage),
        pinball=list(outcome.pinball),
        scored=outcome.scored,
        verdict=verdict,
        because=because,
    )
