"""What a workload looks like at an instant, from the newest answers of its source.

Reads each signal at every tick, asking only for what it has not got; a signal
that cannot be read keeps what it had and grows old, which the decision sees.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime, timedelta

from predictscale.core.demand import Observation, Signal, SignalName
from predictscale.core.fleet import FleetState
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.errors import HoldTarget
from predictscale.sources.base import Source

Live = Mapping[SignalName, MetricWindow]


def observation(live: Live, *, at: datetime, fresh_s: float, partial: bool = False) -> Observation:
    """What was known at `at`: of each signal the newest bin that had ended by then.

    Demand is given whatever its age, which the observation states. Queue and fleet
    are unknown once they are older than `fresh_s`.
    """
    since = at - timedelta(seconds=fresh_s)
    demand = _newest(live, SignalName.DEMAND, at)
    queue = _newest(live, SignalName.QUEUE, at, since)
    replicas = _newest(live, SignalName.REPLICAS, at, since)
    ready = _newest(live, SignalName.READY, at, since)
    return Observation(
        now=at,
        demand=demand[1] if demand else None,
        demand_at=demand[0] if demand else None,
        queue=queue[1] if queue else None,
        fleet=FleetState(
            replicas=round(replicas[1]) if replicas else None, ready=round(ready[1]) if ready else None
        ),
        partial=partial,
    )


def _newest(
    live: Live, name: SignalName, at: datetime, since: datetime | None = None
) -> tuple[datetime, float] | None:
    window = live.get(name)
    newest = window.between(window.start, at).newest if window is not None else None
    return None if newest is None or (since is not None and newest[0] < since) else newest


class Watch:
    """The newest bins of a workload's signals, on the grid of ticks."""

    def __init__(
        self, signals: Mapping[SignalName, Signal], source: Source, *, tick_s: float, keep_s: float
    ) -> None:
        self._signals = signals
        self._source = source
        self._tick_s = tick_s
        self._keep_s = keep_s
        self.live: dict[SignalName, MetricWindow] = {}
        self.partial = False

    async def look(self, at: datetime) -> tuple[str, ...]:
        """Read every signal up to `at`, which lies on the grid.

        Returns:
            Why a signal could not be read, one note each.
        """
        answers = await asyncio.gather(*(self._read(s, at) for s in self._signals.values()))
        self.partial = any(partial for partial, _ in answers)
        notes = tuple(note for _, note in answers if note)
        return (*notes, "the source warned that its answer lacks data") if self.partial else notes

    async def _read(self, signal: Signal, at: datetime) -> tuple[bool, str]:
        had = self.live.get(signal.name)
        oldest = floor_to_grid(at - timedelta(seconds=self._keep_s), self._tick_s)
        start = max(had.end, oldest) if had is not None else oldest
        if start >= at:
            return False, ""
        try:
            answer = await self._source.read(signal, start=start, end=at, step_s=self._tick_s)
        except HoldTarget as missing:
            return False, f"{signal.name} could not be read: {missing}"
        joined = answer.window if had is None else had.join(answer.window)
        self.live[signal.name] = joined.between(oldest, joined.end)
        return answer.partial, ""
