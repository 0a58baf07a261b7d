"""The contracts of all sources of history: one series for a signal, or one for each that a query gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from predictscale.core.demand import Signal
from predictscale.core.series import MetricWindow


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A window, and whether the source warned that data is missing from it."""

    window: MetricWindow
    partial: bool = False


class Source(Protocol):
    """Something that remembers metrics."""

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        """The bins of [start, end) of one signal.

        A bin's value is what the signal's query gives at the bin's end; bins that the
        source knows nothing of are gaps. `start` and `end` lie on the grid of `step_s`.

        Raises:
            HoldTarget: One of its kinds; the caller keeps what it has.
        """
        ...

    async def aclose(self) -> None:
        """Give back connections and files."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """One series of several.

    Args:
        labels: What tells it from the others.
        window: Its bins.
    """

    labels: Mapping[str, str]
    window: MetricWindow


class EachSource(Protocol):
    """Something that remembers metrics, and tells those of several pods or nodes apart."""

    async def read_each(
        self, query: str, *, start: datetime, end: datetime, step_s: float
    ) -> tuple[Labelled, ...]:
        """The bins of [start, end) of every series of a query, in a steady order.

        A bin's value is what the query gives at the bin's end; every window covers
        [start, end), and where its series is not told there is a gap. No series at
        all is an empty answer. `start` and `end` lie on the grid of `step_s`.

        Raises:
            PartialAnswer: The source warns that data is missing: a series that is not
                here may be there.
            HoldTarget: Another of its kinds, too many series among them.
        """
        ...
