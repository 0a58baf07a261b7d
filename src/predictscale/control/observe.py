"""What a workload looks like at an instant, from the newest answers of its source.

Reads each signal at every tick, asking only for what it has not got; a signal
that cannot be read keeps what it had and grows old, which the decision sees.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from predictscale.control.reading import SignalSeen
from predictscale.core.demand import Observation, Signal, SignalName
from predictscale.core.fleet import FleetState
from predictscale.core.law import Mix
from predictscale.core.needed import Demands
from predictscale.core.offered import GROWTH_S, Telling, arrived_now, offered_now
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.errors import HoldTarget
from predictscale.sources.base import Source

Live = Mapping[SignalName, MetricWindow]

_AGAIN_S = 30.0
"""Gaps so young may still be filled [s]."""


def observation(
    live: Live,
    *,
    at: datetime,
    fresh_s: float,
    partial: bool = False,
    telling: Telling | None = None,
    mix: Mix | None = None,
) -> Observation:
    """What was known at `at`: of each signal the newest bin that had ended by then.

    Demand is given whatever its age, which the observation states. All else is unknown once it
    is older than `fresh_s`.

    Args:
        live: The newest bins of each signal.
        at: The instant.
        fresh_s: Data no older than this is the present [s].
        partial: Whether the source warned that its answers lack data.
        telling: Which signals tell the load as rates; None where capacity is one number.
        mix: The mean request of the hours before, if it is known.
    """
    since = at - timedelta(seconds=fresh_s)

    def fresh(name: SignalName | None) -> float | None:
        newest = None if name is None else _newest(live, name, at, since)
        return None if newest is None else newest[1]

    demand = _newest(live, SignalName.DEMAND, at)
    fleet = (fresh(name) for name in (SignalName.REPLICAS, SignalName.READY, SignalName.STARTING))
    seen = Observation(
        now=at,
        demand=demand[1] if demand else None,
        demand_at=demand[0] if demand else None,
        queue=fresh(SignalName.QUEUE),
        fleet=FleetState(*(None if count is None else round(count) for count in fleet)),
        partial=partial,
    )
    if telling is None:
        return seen
    requests = fresh(telling.requests)
    if requests is not None:
        growth = None if telling.arrivals else _growth(live, telling.waiting, at, since)
        requests = arrived_now(requests, arrivals=telling.arrivals, growth=growth)
    counted = Demands(
        requests_rps=requests,
        input_tokens_per_s=fresh(telling.input_tokens),
        output_tokens_per_s=fresh(telling.output_tokens),
    )
    return replace(
        seen,
        rates=offered_now(counted, mix),
        waiting=fresh(telling.waiting),
        mix=mix,
        kv_usage=fresh(SignalName.KV_USAGE),
    )


def _growth(live: Live, waiting: SignalName | None, at: datetime, since: datetime) -> float | None:
    """Of the queue until its newest bin, per second; None if that is not known."""
    newest = None if waiting is None else _newest(live, waiting, at, since)
    if newest is None or waiting is None:
        return None
    window, before = live[waiting], newest[0] - timedelta(seconds=GROWTH_S)
    then = window.between(before - timedelta(seconds=window.step_s), before).newest
    return None if then is None else (newest[1] - then[1]) / GROWTH_S


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

    def seen(self) -> tuple[SignalSeen, ...]:
        """Every signal, and when it was last known."""
        return tuple(
            SignalSeen(name=name, query=signal.query, unit=signal.unit, newest_at=self._newest_at(name))
            for name, signal in self._signals.items()
        )

    def _newest_at(self, name: SignalName) -> datetime | None:
        window = self.live.get(name)
        newest = None if window is None else window.newest
        return None if newest is None else newest[0]

    async def look(self, at: datetime, *, further_s: float = 0.0) -> tuple[str, ...]:
        """Read every signal up to `at`, which lies on the grid.

        Args:
            at: The tick.
            further_s: How much further back than otherwise signals are wanted [s].

        Returns:
            Why a signal could not be read, one note each.
        """
        keep_s = self._keep_s + further_s
        answers = await asyncio.gather(*(self._read(s, at, keep_s) for s in self._signals.values()))
        self.partial = any(partial for partial, _ in answers)
        notes = tuple(note for _, note in answers if note)
        return (*notes, "the source warned that its answer lacks data") if self.partial else notes

    async def _read(self, signal: Signal, at: datetime, keep_s: float) -> tuple[bool, str]:
        had = self.live.get(signal.name)
        oldest = floor_to_grid(at - timedelta(seconds=keep_s), self._tick_s)
        if had is not None and had.end >= at:
            return False, ""
        start = oldest if had is None else max(self._unknown_since(had), oldest)
        try:
            answer = await self._source.read(signal, start=start, end=at, step_s=self._tick_s)
        except HoldTarget as missing:
            return False, f"{signal.name} could not be read: {missing}"
        joined = answer.window if had is None else had.join(answer.window)
        self.live[signal.name] = joined.between(oldest, joined.end)
        return answer.partial, ""

    def _unknown_since(self, had: MetricWindow) -> datetime:
        """Where to read on: the last gaps are asked for again, once more than their own tick did.

        A source whose clock is behind answers for a bin only when it is over there, too.
        """
        newest = had.newest
        known_until = had.start if newest is None else newest[0]
        return max(known_until, had.end - timedelta(seconds=max(_AGAIN_S, self._tick_s)))
