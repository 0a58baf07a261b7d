"""How much of a history is known, and where it is not.

A history begins with its first known bin: what lies before was never there to be lost. From then on
every bin that was due and holds nothing is a gap, those since the last read ones included. Refuses to
fill anything.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictscale.core.series import MetricWindow


class Gap(NamedTuple):
    """A run of bins that hold nothing."""

    start: datetime
    end: datetime

    @property
    def duration_s(self) -> float:
        """How long [s]."""
        return (self.end - self.start).total_seconds()


class Known(NamedTuple):
    """Which bins hold a value, from the first that does until an instant.

    `start` is where the first of them begins; `known` has shape (n,).
    """

    start: datetime
    step_s: float
    known: NDArray[np.bool_]

    def share(self, span_s: float | None = None) -> float | None:
        """The share of bins that are known [1].

        Args:
            span_s: Of the last so many seconds; None for all. A history that began within them counts
                from its beginning on.

        Returns:
            None if no bin lies within.
        """
        bins = len(self.known) if span_s is None else max(0, round(span_s / self.step_s))
        part = self.known[max(0, len(self.known) - bins) :]
        return float(part.mean()) if part.size else None

    def gaps(self, *, most: int) -> tuple[list[Gap], int]:
        """The newest `most` runs of bins that hold nothing, newest first, and how many there are in all."""
        edges = np.flatnonzero(np.diff(np.concatenate(([True], self.known, [True])))).reshape(-1, 2)
        newest = edges[::-1][:most].tolist()
        return [Gap(self._begins(first), self._begins(stop)) for first, stop in newest], len(edges)

    def _begins(self, place: int) -> datetime:
        return self.start + timedelta(seconds=place * self.step_s)


def recent_share(bins: MetricWindow, *, until: datetime, span_s: float) -> float | None:
    """The share of bins of the last `span_s` seconds that are known, as `Known.share` tells it [1].

    Looks at no more than those where their first is known, which spares weeks of them at every scrape.
    """
    recent = bins.between(until - timedelta(seconds=span_s), until)
    whole = bins if not len(recent) or np.isnan(recent.values[0]) else recent
    told = known(whole, until=until)
    return None if told is None else told.share(span_s)


def known(bins: MetricWindow, *, until: datetime) -> Known | None:
    """Which bins hold a value until an instant, by when all that ended before are due.

    Args:
        bins: The history, as far as it was read.
        until: The instant; a bin that has not ended by then is not due.

    Returns:
        None if none does.
    """
    places = np.flatnonzero(bins.known)
    if not places.size:
        return None
    first = int(places[0])
    due = int((until - bins.start).total_seconds() // bins.step_s)
    told = np.zeros(max(due, int(places[-1]) + 1), dtype=np.bool_)
    told[places] = True
    return Known(bins.start + timedelta(seconds=first * bins.step_s), bins.step_s, told[first:])
