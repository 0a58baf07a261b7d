"""What is told of a decision beside its steps, kept with it: capacity, floors, pools, tuning.

All of it is read off the decision alone, at its own instant, by those who tell it of now; so the past
is told in the same words and shapes. Refuses what the decision does not hold: costs, the scores of
models and the quality of data are of the present only.
"""

from pydantic import BaseModel

from predictscale.core.plan import Decision
from predictscale.serving.capacity import CapacityView, capacity_view
from predictscale.serving.floors import FloorsView, floors_view
from predictscale.serving.pools import PoolsView, pools_view
from predictscale.serving.tuned import TuningView, tuning_view


class CardsView(BaseModel):
    """The cards of one decision; null is what its workload did not have."""

    capacity: CapacityView
    floors: FloorsView
    pools: PoolsView | None
    tuning: TuningView | None


def cards_view(decision: Decision) -> CardsView:
    """The cards of a decision as they were told at its instant."""
    at, tuning = decision.seen.now, decision.tuning
    return CardsView(
        capacity=capacity_view(decision),
        floors=floors_view(decision, now=at),
        pools=None if decision.policy.pools is None else pools_view(decision, now=at),
        tuning=None if tuning is None else tuning_view(decision, tuning),
    )
