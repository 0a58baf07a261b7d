"""The questions of self-tuning with all that their answers depend on, and who answers.

Questions are frozen and picklable: the same one has the same answer in every process, on every
replica of the service. Refuses to hold anything that only the asking process knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from predictscale.control.said import Peaks
from predictscale.core.demand import WorkloadId
from predictscale.core.events import PlannedEvent
from predictscale.core.knobs import ANY_LEVEL, Bounds, Knobs
from predictscale.core.plan import Policy
from predictscale.core.series import MetricWindow
from predictscale.core.slo import DAY_S, HOUR_S, Slo
from predictscale.core.track import TRACKED_LEVELS
from predictscale.core.tuned import Choice
from predictscale.forecasters.registry import Context

HIGHEST_S = 5 * DAY_S
"""How far back the highest demand that limits refer to is looked for [s]."""
RECORD_S = 5 * DAY_S
"""Five days: a rule's record of 120 hours [s]."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ask:
    """Asks which settings should serve next.

    Args:
        demand: What came, on the grid of bins; reaches further back than the record.
        peaks: Quantiles of the highest demand within the lead time as they were said at the
            beginning of the last n bins of `demand`, shape (n, q), at `TRACKED_LEVELS`.
        policy: The owner's settings.
        slo: The owner's objective.
        asked: The share that may be late now; the budget says it.
        tick_s: Between decisions [s].
        bounds: The owner's bounds.
        serving: The settings chosen last, if any.
    """

    demand: MetricWindow
    peaks: Peaks
    policy: Policy
    slo: Slo
    asked: float
    tick_s: float
    bounds: Bounds = ANY_LEVEL
    serving: Knobs | None = None

    def __post_init__(self) -> None:
        n, q = self.peaks.shape
        if n > len(self.demand) or q != len(TRACKED_LEVELS):
            raise ValueError(f"peaks: shape {self.peaks.shape} for {len(self.demand)} bins of demand")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Retelling:
    """Asks what would have been forecast at the beginning of each bin of a stretch without a record.

    Args:
        demand: What came, on the grid of bins; nothing after a bin's beginning is used for it.
        start: Where the first bin begins.
        bins: How many, n.
        span_s: The length of the window whose highest demand is told [s].
        forecasters: The chain, as settings name it.
        context: What forecasters are told of the workload.
        events: Planned events, which models do not see.
        history_s: How much of the past a fit learns from [s].
    """

    demand: MetricWindow
    start: datetime
    bins: int
    span_s: float
    forecasters: Sequence[str]
    context: Context
    events: tuple[PlannedEvent, ...]
    history_s: float


class Tuner(Protocol):
    """Who answers: `simulate.tune` and `simulate.retell`, in worker processes."""

    async def tune(self, ask: Ask) -> Choice:
        """The settings that serve next.

        Raises:
            TryNextForecaster: The worker could not say.
        """
        ...

    async def retell(self, asked: Retelling) -> Peaks:
        """What would have been forecast, shape (n, q).

        Raises:
            TryNextForecaster: The worker could not say.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What the owner asks of self-tuning.

    Args:
        slo: The objective.
        bounds: Within what settings are chosen.
        every_s: Between two choices [s].
        record_s: How much of what was said a choice is made from [s].
    """

    slo: Slo
    bounds: Bounds = ANY_LEVEL
    every_s: float = HOUR_S
    record_s: float = RECORD_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Whose settings are tuned, and what a worker must know to tell its past again.

    Args:
        workload: Whose.
        policy: The owner's settings, which serve until there is a choice.
        key: What the record depends on, as text: another key is another record.
        forecasters: The chain, as settings name it.
        context: What forecasters are told.
        events: Planned events.
        tick_s: Between decisions [s].
        step_s: Width of a bin [s].
        history_s: How much of the past a fit learns from [s].
    """

    workload: WorkloadId
    policy: Policy
    key: str
    forecasters: Sequence[str]
    context: Context
    events: tuple[PlannedEvent, ...]
    tick_s: float
    step_s: float
    history_s: float

    @property
    def span_s(self) -> float:
        """From a bin's beginning to the end of the window that its last decision is told the peak of [s]."""
        return self.policy.lead_time_s + max(0.0, self.step_s - self.tick_s)
