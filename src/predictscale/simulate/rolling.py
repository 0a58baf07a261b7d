"""The choices of self-tuning over a long past, at a fraction of what they cost live.

Live, each choice replays its candidates over the days before it. One after the other through the
same past, these replays overlap but for an hour, so here one replay goes on from choice to choice.
Record, candidates and rule are those of `simulate.tune`; what differs is that only the first replay
begins with a fleet that fits its first demand, while later ones find what their settings had
left there. Refuses to go back in time.
"""

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

import numpy as np

from predictscale.control.asks import Ask, Retelling
from predictscale.control.said import Peaks
from predictscale.core.capacity import CapacityModel
from predictscale.core.hpa import SYNC_S
from predictscale.core.knobs import Knobs
from predictscale.core.series import Floats
from predictscale.core.slo import HOUR_S
from predictscale.core.track import TRACKED_LEVELS, Track, told_peaks
from predictscale.core.tuned import Choice
from predictscale.forecasters.registry import resolve
from predictscale.simulate.foresight import Foresight
from predictscale.simulate.honest import Rule
from predictscale.simulate.plant import Boot, Plant
from predictscale.simulate.retell import retell
from predictscale.simulate.tune import RULE, candidates, pick, plans, track_of, tune
from predictscale.simulate.world import Tally

_RETOLD_S = 4 * HOUR_S
"""Between fits where the past is told again: a forecast long after its fit costs more than the fit."""
_AT_ONCE = 32
"""Candidates whose targets are computed together."""


class RollingTuner:
    """`control.tuning.Tuner` for one workload whose past is lived through in order, in this process.

    Args:
        every_s: Between two choices [s]; the record is made of bins of this width.
        rule: How candidates are compared; its `asked` is not read.
    """

    def __init__(self, *, every_s: float, rule: Rule = RULE) -> None:
        self._every_s, self._rule = every_s, rule
        self._replay: _Replay | None = None

    async def retell(self, asked: Retelling) -> Peaks:
        """See `Tuner.retell`; models that fit at once are fitted more than once a day, which is quicker."""
        forecasters = resolve(asked.forecasters, context=asked.context)
        if any(forecaster.slow for forecaster in forecasters):
            return retell(asked)
        step_s = asked.demand.step_s
        foresight = Foresight(
            asked.demand,
            forecasters,
            reach_s=asked.span_s,
            events=asked.events,
            history_s=asked.history_s,
            refit_s=_RETOLD_S,
            tick_s=step_s,
        )
        table = np.full((asked.bins, len(TRACKED_LEVELS)), np.nan, dtype=np.float32)
        for place, row in enumerate(table):
            start = asked.start + timedelta(seconds=place * step_s)
            if (told := foresight(start)) is not None:
                row[:] = told_peaks(told, at=start, span_s=asked.span_s)
        return table

    async def tune(self, ask: Ask) -> Choice:
        """See `Tuner.tune`."""
        track = track_of(ask).last(self._rule.record * HOUR_S)
        if track.told_s < self._rule.least * HOUR_S:
            return tune(ask, self._rule)
        if self._replay is None or not self._replay.follows(track):
            self._replay = _Replay.of(ask, track, every_s=self._every_s)
        self._replay.go_on(track)
        outcome = self._replay.outcome(round(self._rule.record * HOUR_S / self._every_s))
        rule = replace(self._rule, asked=ask.asked)
        return pick(outcome, self._replay.knobs, rule=rule, serving=ask.serving)


class _Sums(NamedTuple):
    """What came of the candidates in one bin of the record."""

    arrived: float
    late: Floats
    billed: Floats


@dataclass(slots=True, kw_only=True, eq=False)
class _Replay:
    """All candidates, and the instant that they have lived through the past to."""

    ask: Ask
    knobs: tuple[Knobs, ...]
    parts: int
    every_s: float
    plant: Plant
    until: datetime
    sums: deque[_Sums]

    @classmethod
    def of(cls, ask: Ask, track: Track, *, every_s: float) -> "_Replay":
        """The beginning, at the first whole bin of the record before the track's end."""
        knobs = candidates(ask.policy, ask.bounds)
        whole_s = len(track) * track.step_s // every_s * every_s
        parts = max(1, round(track.step_s / max(ask.tick_s, SYNC_S)))
        first = track.last(whole_s).demand
        known = first[~np.isnan(first)]
        capacity = CapacityModel(ask.policy.capacity.per_replica)
        need = capacity.replicas_for(float(known[0]) if known.size else 0.0)
        plant = Plant(
            fleets=len(knobs),
            per_replica=capacity.per_replica,
            step_s=track.step_s / parts,
            boot=Boot.fixed(ask.policy.lead_time_s),
            wait_s=ask.slo.wait_s,
            replicas=min(max(need, ask.policy.floor), ask.policy.max_replicas),
        )
        until = track.end - timedelta(seconds=whole_s)
        return cls(ask=ask, knobs=knobs, parts=parts, every_s=every_s, plant=plant, until=until, sums=deque())

    def follows(self, track: Track) -> bool:
        """Whether the track goes on from here by whole bins of the record."""
        left_s = (track.end - self.until).total_seconds()
        return left_s >= 0 and left_s % self.every_s == 0 and track.start <= self.until

    def go_on(self, track: Track) -> None:
        """Live through the past to the end of the track."""
        policy = self.ask.policy
        stop = len(track)
        first = stop - round((track.end - self.until).total_seconds() / track.step_s)
        if first == stop:
            return
        # So far back a target is remembered.
        warm_s = max(policy.stale_after_s, *(each.hold_s for each in self.knobs)) + track.step_s
        warm = min(first, ceil(warm_s / track.step_s))
        seen = track.between(first - warm, stop).finer(self.parts)
        groups = [self.knobs[at : at + _AT_ONCE] for at in range(0, len(self.knobs), _AT_ONCE)]
        wanted = np.concatenate([plans(seen, group, policy) for group in groups])[:, warm * self.parts :]
        scored = seen.told[warm * self.parts :]
        demand = np.where(scored, seen.demand[warm * self.parts :], np.nan)
        held = np.clip(wanted, policy.floor, policy.max_replicas)
        steps = round(self.every_s / seen.step_s)
        for begin in range(0, demand.size, steps):
            part = slice(begin, begin + steps)
            served = self.plant.advance(demand[part], held[:, part])
            billed = held[:, part] @ (scored[part] * seen.step_s)
            self.sums.append(_Sums(float(served.arrived.sum()), served.late.sum(axis=1), billed))
        self.until = track.end

    def outcome(self, bins: int) -> Tally:
        """What came of the last `bins` of the record."""
        while len(self.sums) > bins:
            self.sums.popleft()
        return Tally(
            start=self.until - timedelta(seconds=len(self.sums) * self.every_s),
            bin_s=self.every_s,
            arrived=np.array([each.arrived for each in self.sums]),
            late=np.stack([each.late for each in self.sums], axis=1),
            billed=np.stack([each.billed for each in self.sums], axis=1),
        )
