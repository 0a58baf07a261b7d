"""What a tracker shows to readers: the history it holds, how old each signal is, and its models.

A view for people, made when it is asked for. Refuses to hand out anything that could be changed, and
credentials: a signal is told by its query, never by the headers that it is asked with.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from predictscale.control.fitting import Fitting
from predictscale.core.demand import SignalName
from predictscale.core.series import MetricWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalSeen:
    """One signal as it was last read.

    Args:
        name: What decisions use it for.
        query: How the source is asked.
        unit: What it counts.
        newest_at: The end of the newest bin with a value; None if there is none.
    """

    name: SignalName
    query: str
    unit: str
    newest_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reading:
    """What is held of a workload's data.

    Args:
        bins: The history of its demand, up to the last whole bin that was read; None before the first
            answer.
        unit: Of demand.
        signals: All that are asked for.
        partial: Whether the source warned that its last answers lack data.
    """

    bins: MetricWindow | None
    unit: str
    signals: tuple[SignalSeen, ...]
    partial: bool


@runtime_checkable
class Readable(Protocol):
    """Who can show that: `control.tracker.Tracker`, or one that has found its backend."""

    def fitting(self, at: datetime) -> Fitting | None:
        """The models at an instant; None while nothing is followed."""
        ...

    def reading(self) -> Reading | None:
        """The data as it was last read; None while nothing is followed."""
        ...
