"""The one contract of all sources of history."""

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
