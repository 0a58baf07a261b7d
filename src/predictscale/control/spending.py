"""How much of one workload's demand was late, bin by bin: what its objective was spent on.

Nobody measures waits of all kinds of workloads alike, so lateness is computed: demand that came
against the replicas that were ready, through the queue of `core.slo`. Where ready
replicas are not measured, they are those that the targets we published would have had ready after
the lead time. A bin is settled once late samples are in. A replica of the service that starts without
a record is told who was ready before it. Refuses to call unknown lateness none.
"""

from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime
from math import ceil, isnan

import numpy as np

from predictscale.core.capacity import linear
from predictscale.core.plan import Policy
from predictscale.core.series import Floats, MetricWindow, floor_to_grid
from predictscale.core.slo import HOUR_S, Budget, Slo, lateness

SETTLING_BINS = 4
"""So many bins after its end a bin changes no more."""

_AT_ONCE = 720
"""Bins that are settled at once: some milliseconds, in which nobody is answered; a month takes 60 ticks."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Spending:
    """Lateness of one workload by hours, over the window of its objective.

    Args:
        slo: The objective.
        policy: The owner's settings; capacity, until another is told, and lead time are read.
        step_s: Width of a bin [s].
    """

    def __init__(self, slo: Slo, policy: Policy, *, step_s: float) -> None:
        self._slo, self._step_s = slo, step_s
        self.capacity = linear(policy.capacity)
        """What a replica serves, by which bins are accounted from now on; None if that is not known."""
        self._lead_bins = ceil(policy.lead_time_s / step_s - 1e-9)
        # By the number of the bin: sums and counts of ready replicas, then of targets.
        self._open: dict[int, Floats] = {}
        self._targets: dict[int, float] = {}
        # By the number of the hour: what came, what was late, known bins.
        self._hours: dict[int, Floats] = {}
        self._queue = 0.0
        self._next: int | None = None
        self._first: datetime | None = None
        self._budget: tuple[tuple[int, int | None], Budget] | None = None

    def note(self, at: datetime, *, ready: float | None, target: int | None) -> None:
        """What a decision at `at` saw ready, and what it asked for; None if it told no number.

        Who was ready is of the tick that ended at `at`, and counts in its bin: one tick later, a fleet that
        grows would be late when it was not.
        """
        bin_ = self._bin(at)
        counts = self._open.setdefault(bin_, np.zeros(4))
        if target is not None:
            counts[2:] += target, 1.0
        if self._next is None:
            self._next, self._first = bin_, at
        if ready is not None:
            served = int(self._ended((at - _EPOCH).total_seconds()))
            self._open.setdefault(served, np.zeros(4))[:2] += ready, 1.0

    def remember(self, ready: MetricWindow) -> None:
        """Put who was ready before the first decision on record, where nobody else has told.

        Args:
            ready: On the grid of ticks or a coarser one.
        """
        ends_s = ready.stamps_s + ready.step_s
        before = np.inf if self._first is None else (self._first - _EPOCH).total_seconds()
        known = ready.known & (ends_s <= before)
        if not known.any():
            return
        first = int(self._ended(ends_s[known]).min())
        self._next = first if self._next is None else min(self._next, first)
        # The tick that ended with the first decision was told by it.
        chosen = known & (ends_s < before)
        numbers = self._ended(ends_s[chosen]).astype(np.int64)
        found, places = np.unique(numbers, return_inverse=True)
        told = np.zeros((found.size, 4))
        told[:, 0] = np.bincount(places, weights=ready.values[chosen])
        told[:, 1] = np.bincount(places)
        # Weeks of bins, while decisions wait: one table for all of them.
        remembered = dict(zip(found.tolist(), told, strict=True))
        for number in remembered.keys() & self._open.keys():
            remembered[number] += self._open[number]
        self._open |= remembered

    def behind(self, at: datetime) -> bool:
        """Whether bins that change no more at `at` are still to be accounted for."""
        return self._next is not None and self._next < self._bin(at) - SETTLING_BINS

    def settle(self, demand: MetricWindow, *, at: datetime) -> None:
        """Account for bins that change no more at `at`: for all, or the first `_AT_ONCE` of very many.

        Args:
            demand: What came, on the grid of bins.
            at: The present.
        """
        stop = self._bin(at) - SETTLING_BINS
        known: list[int] | None = None
        for _ in range(_AT_ONCE):
            if self._next is None or self._next >= stop:
                return
            if not self._targets and self._next not in self._open:
                # A silence may be of weeks: nothing can be said of its bins, and decisions wait for this.
                self._queue = 0.0
                known = sorted(self._open) if known is None else known
                following = bisect_right(known, self._next)
                self._next = min(known[following], stop) if following < len(known) else stop
                continue
            self._account(self._next, demand)
            self._next += 1

    def budget(self, at: datetime) -> Budget:
        """What is spent of the objective in the hours up to `at`; the newest one may not be over."""
        last = int((at - _EPOCH).total_seconds() // HOUR_S)
        # Asked at every tick, changed once a bin.
        key = (last, self._next)
        if self._budget is None or self._budget[0] != key:
            self._budget = (key, self._summed(last))
        return self._budget[1]

    def kept(self) -> dict[str, Floats]:
        """All of it as arrays, for the cache."""
        return {
            "hours": _rows(self._hours, 3),
            "open": _rows(self._open, 4),
            "targets": _rows({bin_: np.array([target]) for bin_, target in self._targets.items()}, 1),
            "queue": np.array([self._queue, np.nan if self._next is None else self._next]),
        }

    def restore(self, kept: Mapping[str, Floats]) -> None:
        """Go on from what `kept` gave.

        Raises:
            ValueError: It is not that.
            KeyError: The same.
        """
        hours, waiting = _by_number(kept["hours"], 3), _by_number(kept["open"], 4)
        targets = {bin_: float(row[0]) for bin_, row in _by_number(kept["targets"], 1).items()}
        queue, following = kept["queue"].tolist()
        # All of it or nothing: what does not fit is begun anew.
        self._hours, self._open, self._targets = hours, waiting, targets
        self._queue, self._next = queue, None if np.isnan(following) else int(following)

    def _summed(self, last: int) -> Budget:
        kept = round(self._slo.window_s / HOUR_S)
        hours = [hour for hour in self._hours if last - kept < hour <= last]
        table = np.full((last - min(hours) + 1 if hours else 0, 2), np.nan)
        for hour in hours:
            came, late, _ = self._hours[hour]
            table[hour - min(hours)] = came, late
        return Budget(slo=self._slo, arrived=table[:, 0], late=table[:, 1])

    def _account(self, bin_: int, demand: MetricWindow) -> None:
        counts = self._open.pop(bin_, None)
        if counts is not None and counts[3]:
            self._targets[bin_] = float(counts[2] / counts[3])
        serving = self._serving(bin_, counts)
        self._targets.pop(bin_ - self._lead_bins, None)
        place = bin_ - self._bin(demand.start)
        came = float(demand.values[place]) if 0 <= place < len(demand) else np.nan
        if serving is None or self.capacity is None or isnan(came):
            self._queue = 0.0
            return
        steps = self._slo.wait_s / self._step_s
        each = self.capacity.per_replica
        share, self._queue = lateness(self._queue, came / each, serving, wait_steps=steps)
        number = int(bin_ * self._step_s // HOUR_S)
        if number not in self._hours:
            self._hours.pop(number - round(self._slo.window_s / HOUR_S), None)
        hour = self._hours.setdefault(number, np.zeros(3))
        work = came * self._step_s
        hour += work, share * work, 1.0

    def _serving(self, bin_: int, counts: Floats | None) -> float | None:
        """Replicas that served in a bin: as measured, or as the targets of the lead time before had it."""
        if counts is not None and counts[1]:
            return float(counts[0] / counts[1])
        wanted = [self._targets.get(bin_ - back) for back in range(self._lead_bins + 1)]
        return None if None in wanted else min(target for target in wanted if target is not None)

    def _ended(self, ends_s: Floats | float) -> Floats:
        """The bins in which ticks lie that ended at instants, seconds since the epoch."""
        found: Floats = np.ceil(np.asarray(ends_s) / self._step_s - 1e-9) - 1
        return found

    def _bin(self, at: datetime) -> int:
        start = floor_to_grid(at, self._step_s)
        return round((start - _EPOCH).total_seconds() / self._step_s)


def _rows(table: Mapping[int, Floats], width: int) -> Floats:
    """A number and its values in each row."""
    rows = np.empty((len(table), width + 1))
    for place, (number, values) in enumerate(table.items()):
        rows[place] = number, *values
    return rows


def _by_number(rows: Floats, width: int) -> dict[int, Floats]:
    if rows.ndim != 2 or rows.shape[1] != width + 1:
        raise ValueError(f"rows: shape {rows.shape}; {width + 1} columns")
    return {int(row[0]): row[1:].copy() for row in rows}
