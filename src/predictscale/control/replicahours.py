"""What a workload's replicas have cost since a month began, by the replicas that Prometheus tells of.

The books of `control.ledger` know what this replica of the service has seen. A budget needs a number that
does not depend on how long it has run: all replicas of the service, and one that lost its cache,
read the same counts of the same bins, and obey a bin from the same tick.

Refuses to fill in: bins that nobody tells of are not known, nor what a source calls incomplete, and with
less than half of the time known there is no number. A Prometheus that forgets sooner than half a
month ends so.
"""

from datetime import datetime, timedelta

import numpy as np
import structlog

from predictscale.control.errand import Errand
from predictscale.core.budget import spent_in_all
from predictscale.core.demand import Signal
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.errors import HoldTarget, PartialAnswer
from predictscale.sources.base import Source

_log = structlog.get_logger(__name__)

STEP_S = 300.0
"""Width of a bin [s]; its last count stands for it."""
SETTLE_S = 60.0
"""How old a bin is when it is read: late scrapes are in by then [s]."""
ANSWERED_S = 60.0
"""From the reading until it counts [s]: by then every replica of the service has it."""
_WAKING_S = 5.0
"""How long the first decision waits for the month [s]."""


class ReplicaHours:
    """Of one workload.

    Args:
        signal: Its replicas, ready or not.
        archive: The source through the cache.
        price_per_h: Of a replica.
    """

    def __init__(self, signal: Signal, *, archive: Source, price_per_h: float) -> None:
        self._signal, self._archive = signal, archive
        self._price_per_h = price_per_h
        self._bins: MetricWindow | None = None
        self._tried: datetime | None = None
        self._work = Errand()

    def spent(self, since: datetime, *, now: datetime) -> float | None:
        """What they have cost since an instant, by what counts at `now`; None if that is not known."""
        until = floor_to_grid(now - timedelta(seconds=SETTLE_S + ANSWERED_S), STEP_S)
        if self._bins is None:
            return None
        known = self._bins.between(since, max(until, since))
        counts = known.values[~np.isnan(known.values)]
        money = float(counts.sum()) * STEP_S / 3600.0 * self._price_per_h
        span_s = (now - since).total_seconds()
        return spent_in_all(money, priced_s=counts.size * STEP_S, span_s=span_s)

    def start_due(self, at: datetime, *, since: datetime) -> None:
        """Read in the background what is due at the tick `at`.

        Args:
            at: The tick.
            since: Where the month begins.
        """
        end = floor_to_grid(at - timedelta(seconds=SETTLE_S), STEP_S)
        if end != self._tried and not self._work.busy:
            self._tried = end
            self._work.start(self._read(floor_to_grid(since, STEP_S), end))

    async def wake(self, at: datetime, *, since: datetime) -> None:
        """Read the month; if that takes long, it goes on in the background."""
        self.start_due(at, since=since)
        await self._work.settled(timeout_s=_WAKING_S)

    async def settled(self) -> None:
        """Return once the reading under way, if there is one, has ended."""
        await self._work.settled()

    async def stop(self) -> None:
        """End the reading under way."""
        await self._work.cancel()

    async def _read(self, since: datetime, end: datetime) -> None:
        had = self._bins
        # Gaps at the end may have been late: they are asked for again.
        newest = None if had is None else had.newest
        start = since if newest is None else max(newest[0], since)
        if start >= end:
            return
        try:
            answer = await self._archive.read(self._signal, start=start, end=end, step_s=STEP_S)
            if answer.partial:
                # Fewer replicas than there were would allow more of them.
                raise PartialAnswer("the source warned that its answer lacks data")
        except HoldTarget as missing:
            _log.info("what was spent could not be read", signal=self._signal.query, because=str(missing))
            return
        joined = answer.window if had is None or had.end < start else had.join(answer.window)
        self._bins = joined.between(since, joined.end)
