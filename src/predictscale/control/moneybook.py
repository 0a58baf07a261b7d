"""What every workload costs, saves and may spend, for readers: REST and Prometheus.

A reader sees one whole state of a workload, made when it last decided. Refuses to compute for a
reader: scrapes come from other threads, and the books move on meanwhile.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from predictscale.core.budget import MonthlyBudget
from predictscale.core.carbon import Carbon, Intensity
from predictscale.core.cost import Spend
from predictscale.core.counterfactual import Savings
from predictscale.core.demand import WorkloadId


@dataclass(frozen=True, slots=True, kw_only=True)
class Purse:
    """A budget, and how far it is spent.

    Args:
        budget: The owner's.
        since: Where its month began.
        until: Where it ends.
        spent: What the month has cost so far; None if that is not known.
    """

    budget: MonthlyBudget
    since: datetime
    until: datetime
    spent: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Money:
    """The state of one workload.

    Args:
        at: Of which instant it is.
        currency: Of all its money; None without a price.
        labels: What costs are summed by.
        savings: What others would have held; None before anything is accounted for.
        hourly: What an hour with the fleet and the load of that instant costs; None if the fleet or its
            price is not known.
        carbon: What such an hour emits; None if the fleet, its power or the grid is not known.
        intensity: The grid's, likewise.
        tokens: Tokens that such an hour generates; None if they are not counted.
        purse: The budget; None without one.
        plain_replicas: What a plain HPA on the same metric asks for; None before it began.
    """

    at: datetime
    currency: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    savings: Savings | None = None
    hourly: Spend | None = None
    carbon: Carbon | None = None
    intensity: Intensity | None = None
    tokens: float | None = None
    purse: Purse | None = None
    plain_replicas: int | None = None


class MoneyBook:
    """The newest state of every workload."""

    def __init__(self) -> None:
        self._states: dict[WorkloadId, Money] = {}

    def put(self, workload: WorkloadId, state: Money) -> None:
        """Replace what was known."""
        self._states[workload] = state

    def forget(self, workload: WorkloadId) -> None:
        """The workload is not followed any more."""
        self._states.pop(workload, None)

    def get(self, workload: WorkloadId) -> Money | None:
        """What is known of one; None before its first decision."""
        return self._states.get(workload)

    def items(self) -> list[tuple[WorkloadId, Money]]:
        """Everything, by workload."""
        # Copied at once: a scrape comes from another thread.
        return sorted(list(self._states.items()), key=lambda each: each[0])  # noqa: C414 - see above
