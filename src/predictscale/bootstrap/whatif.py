"""Where what-if questions meet the simulator: the last days of a workload, lived through with other settings.

A question is frozen and picklable: the bins that the tracker holds, the settings as they are and as
asked. A worker process of its own, niced and with a deadline, makes of it what `predictscale backtest`
makes of a trace, with the same code. Refuses to replay what is on no record: queues, fleets, pauses,
budgets.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np

from predictscale.config.resolve import Terms
from predictscale.config.settings import WorkloadSettings
from predictscale.config.whatif import WhatIf, read_what_if
from predictscale.control.asks import Goal
from predictscale.control.context import context_of
from predictscale.control.reading import Readable
from predictscale.control.refit import FitPool
from predictscale.control.store import DecisionStore
from predictscale.control.strand import Grid
from predictscale.control.whatif import Job, Replayed, Told, WhatIfQueue
from predictscale.core.capacity import CapacityModel, linear
from predictscale.core.demand import SignalName, WorkloadId
from predictscale.core.events import PlannedEvent
from predictscale.core.plan import Policy
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.core.slo import DAY_S
from predictscale.errors import AnswerUnavailable, AskOwner
from predictscale.forecasters.registry import resolve
from predictscale.meters import Meters
from predictscale.simulate.audit import OURS, lived
from predictscale.simulate.backtest import STEP_S, Trial
from predictscale.simulate.relive import Past
from predictscale.simulate.rivals import REACTIVE, STATIC, STOCK
from predictscale.simulate.scoring import Score
from predictscale.simulate.world import demand_grid

DEADLINE_S: Final = 1800.0
"""A replay is killed after this [s]."""
LEARNT_S: Final = DAY_S
"""So much history lies before the replayed days at least [s]."""
WAIT_S: Final = 5.0
"""Demand that waits longer is late, where no objective says it; as `predictscale backtest` has it [s]."""
QUICK: Final = ("native", "seasonal-naive-day", "last-value")
"""Where a chain has no quick ones."""
RIVALS: Final = (STATIC.name, STOCK.name, REACTIVE.name)

_RIVALS_SHARE = 0.05
"""Of the work, roughly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two that are compared.

    Args:
        settings: With a capacity that is given.
        policy: What decisions obey until tuning has chosen.
    """

    settings: WorkloadSettings
    policy: Policy


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """All that an answer depends on.

    Args:
        bins: The history of demand.
        start: Where the replayed days begin.
        grid: The service's rhythm.
        as_is: As the workload is set.
        changed: As was asked; None if nothing is to change.
        forecasters: The chain.
        events: Planned events that were known when the days began.
        notes: What a reader of the answer should know.
    """

    bins: MetricWindow
    start: datetime
    grid: Grid
    as_is: Side
    changed: Side | None
    forecasters: tuple[str, ...]
    events: tuple[PlannedEvent, ...]
    notes: tuple[str, ...]


class WhatIfs:
    """Takes what-if questions of workloads that are followed, and has them answered.

    Args:
        queue: Where they stand in line.
        tracker: Who follows a workload; None if nobody does.
        store: Where decisions are read, for what was measured.
        terms: What the service contributes to settings.
        grid: Its rhythm.
        announced: The planned events of a workload that were announced by an instant.
        meters: What is counted.
    """

    def __init__(
        self,
        queue: WhatIfQueue,
        *,
        tracker: Callable[[WorkloadId], object],
        store: DecisionStore,
        terms: Callable[[], Terms],
        grid: Grid,
        announced: Callable[[WorkloadSettings, datetime], tuple[PlannedEvent, ...]],
        meters: Meters,
    ) -> None:
        self.queue = queue
        self._tracker, self._store, self._terms, self._grid = tracker, store, terms, grid
        self._announced = announced
        self._meters = meters
        self._pool: FitPool | None = None

    def ask(self, settings: WorkloadSettings, fields: Mapping[str, Any]) -> Job:
        """Put a question in line.

        Args:
            settings: Of a workload that is followed.
            fields: What is asked, as it was sent.

        Raises:
            SettingsError: It cannot be asked; all problems at once.
            AnswerUnavailable: There is too little history, or nobody knows yet what a replica serves.
            RefuseMore: Too many wait.
        """
        question, asked = self._question(settings, fields)
        progress = _Progress()
        return self.queue.ask(
            settings.workload,
            {"days": asked.days, "settings": dict(asked.given)},
            work=lambda: self._answered(question, progress),
            told=progress.read,
        )

    def _question(self, settings: WorkloadSettings, fields: Mapping[str, Any]) -> tuple[Question, WhatIf]:
        if STEP_S % self._grid.tick_s and self._grid.tick_s % STEP_S:
            raise AskOwner(f"loop.tick_s: {self._grid.tick_s:g}; replays need one that fits {STEP_S:g} s")
        tracker, latest = self._tracker(settings.workload), self._store.latest(settings.workload)
        reading = tracker.reading() if isinstance(tracker, Readable) else None
        policy = settings.policy() if latest is None else latest.policy
        own, notes = _given_capacity(settings, policy, fields)
        asked = read_what_if(fields, settings=own, terms=self._terms())
        bins = None if reading is None else reading.bins
        if bins is None:
            raise AnswerUnavailable(f"{settings.workload}: its history is being read; ask again in a minute")
        bins, start = _span(bins, asked.days, settings.workload, self._grid)
        chain, chosen = _chain(settings.forecasters)
        measured_s = None if latest is None else latest.policy.lead_time_s
        as_is = _side(own, measured_s=measured_s)
        changed = None
        if asked.given:
            given_s = None if "lead_time_s" in asked.given else measured_s
            changed = _side(asked.settings, measured_s=given_s, headroom=asked.headroom)
        question = Question(
            bins=bins,
            start=start,
            grid=self._grid,
            as_is=as_is,
            changed=changed,
            forecasters=chain,
            events=(*settings.events, *self._announced(settings, start)),
            notes=(*notes, *chosen, "replayed from demand alone: queues, pauses and budgets are left out"),
        )
        return question, asked

    async def _answered(self, question: Question, progress: "_Progress") -> Replayed:
        if self._pool is None:
            # Its own: a replay of days must never delay a fit.
            self._pool = FitPool(meters=self._meters, workers=1, deadline_s=DEADLINE_S)
        with progress.told() as path:
            return await self._pool.run(answer, question, path)


class _Progress:
    """A number between two processes, in a file of a few bytes that is there while they work."""

    def __init__(self) -> None:
        self._known = 0.0
        self._path: Path | None = None

    @contextmanager
    def told(self) -> Iterator[str]:
        """The name of the file that a worker may write to; nothing is left behind."""
        with tempfile.TemporaryDirectory(prefix="predictscale-whatif-") as folder:
            self._path = Path(folder) / "progress"
            yield str(self._path)

    def read(self) -> float:
        """The share that is done; what was said last where nothing can be read."""
        if self._path is not None:
            with suppress(OSError, ValueError):
                self._known = float(self._path.read_text(encoding="ascii"))
        return self._known


def answer(question: Question, progress: str) -> Replayed:
    """The replay, in a worker process; `progress` names the file that its share is told in."""
    return asyncio.run(_answer(question, _Meter(Path(progress), parts=1 if question.changed is None else 2)))


async def _answer(question: Question, meter: "_Meter") -> Replayed:
    asked = question.changed if question.changed is not None else question.as_is
    # Both sides are late by one measure, or their shares could not be compared.
    wait_s = _wait_s(asked.settings)
    ours, *rivals = await _lived(question, asked, (OURS, *RIVALS), meter, wait_s=wait_s)
    as_is = ours
    if question.changed is not None:
        (as_is,) = await _lived(question, question.as_is, (OURS,), meter, wait_s=wait_s)
    return Replayed(
        start=question.start,
        until=question.bins.end,
        as_is=as_is,
        changed=ours,
        rivals=tuple(rivals),
        forecasters=question.forecasters,
        wait_s=wait_s,
        notes=question.notes,
    )


async def _lived(
    question: Question, side: Side, who: tuple[str, ...], meter: "_Meter", *, wait_s: float
) -> list[Told]:
    """What came of ours and of others in one side's circumstances."""
    trial, past = _trial(question, side, wait_s=wait_s), _past(question, side)
    told = await lived(trial, past, who, track=meter.track)
    settings = "" if told.ours is None else told.ours.settings
    return [_told(score, settings if score.policy == OURS else "") for score in trial.scores(told.plans)]


def _trial(question: Question, side: Side, *, wait_s: float) -> Trial:
    settings, grid = side.settings, question.grid
    assert settings.capacity_per_replica is not None  # noqa: S101 - a side has one
    demand = demand_grid(question.bins, STEP_S)
    every = max(1, round(grid.tick_s / STEP_S))
    first = round((question.start - demand.start).total_seconds() / STEP_S) // every * every
    return Trial(
        demand=demand,
        first=first,
        per_replica=settings.capacity_per_replica,
        lead_time_s=side.policy.lead_time_s,
        wait_s=wait_s,
        min_replicas=settings.min_replicas,
        max_replicas=settings.max_replicas,
        landing=settings.landing,
        cooldown_s=settings.cooldown_s,
    )


def _past(question: Question, side: Side) -> Past:
    settings, tuning = side.settings, side.settings.tuning
    goal = None
    if settings.slo is not None and settings.tunes_itself:
        goal = Goal(slo=settings.slo, bounds=tuning.bounds, every_s=tuning.every_s)
    return Past(
        workload=settings.workload,
        policy=side.policy,
        live={SignalName.DEMAND: demand_grid(question.bins, question.grid.tick_s)},
        bins=question.bins,
        forecasters=question.forecasters,
        grid=question.grid,
        goal=goal,
        context=context_of(settings),
        events=question.events,
        unit=settings.unit,
    )


class _Meter:
    """Tells how much is done, from the process that does it."""

    def __init__(self, path: Path, *, parts: int) -> None:
        self._path, self._parts = path, parts
        self._begun, self._told = 0.0, 0.0

    def track(self, policy: str, steps: int) -> Callable[[int], None]:
        """One policy begins that takes `steps` steps."""
        weight = (1 - _RIVALS_SHARE) / self._parts if policy == OURS else _RIVALS_SHARE / len(RIVALS)
        begun = self._begun
        self._begun += weight

        def told(place: int) -> None:
            share = begun + weight * (place + 1) / steps
            if share - self._told >= 0.005 or place + 1 == steps:
                self._told = share
                # A reader that comes in between finds nothing, and says what it knew.
                self._path.write_text(f"{share:.3f}", encoding="ascii")

        return told


def _given_capacity(
    settings: WorkloadSettings, policy: Policy, fields: Mapping[str, Any]
) -> tuple[WorkloadSettings, tuple[str, ...]]:
    """The settings with what a replica serves as a number: the owner's, or as it was learned."""
    if settings.capacity_per_replica is not None:
        return settings, ()
    inner = fields.get("settings")
    given = inner.get("capacity_per_replica") if isinstance(inner, Mapping) else None
    known = linear(policy.capacity)
    per_replica = known.per_replica if known is not None else given
    if not isinstance(per_replica, int | float) or per_replica <= 0:
        raise AnswerUnavailable(
            f"{settings.workload}: what a replica serves is not learned yet; give capacity_per_replica"
        )
    note = f"a replica serves {per_replica:,.4g} {settings.unit} throughout, as the law says it now"
    return replace(settings, capacity_per_replica=float(per_replica), learned=None), (note,)


def _side(settings: WorkloadSettings, *, measured_s: float | None, headroom: float = 1.0) -> Side:
    per_replica = settings.capacity_per_replica
    assert per_replica is not None  # noqa: S101 - callers have made sure
    policy = replace(settings.policy(), capacity=CapacityModel(per_replica), headroom=headroom)
    if measured_s is not None:
        policy = replace(policy, lead_time_s=measured_s)
    return Side(settings=settings, policy=policy)


def _span(bins: MetricWindow, days: float, workload: WorkloadId, grid: Grid) -> tuple[MetricWindow, datetime]:
    """The history from its first known bin on, and where its last days begin, on the grid of ticks."""
    known = np.flatnonzero(bins.known)
    first = int(known[0]) if known.size else len(bins)
    bins = bins.between(bins.start + timedelta(seconds=first * bins.step_s), bins.end)
    start = floor_to_grid(bins.end - timedelta(days=days), max(grid.tick_s, STEP_S))
    if (start - bins.start).total_seconds() < LEARNT_S:
        raise AnswerUnavailable(
            f"{workload} has {bins.duration_s / DAY_S:.1f} days of history; to live through {days:g} takes "
            f"{days + LEARNT_S / DAY_S:g}: those before are learnt from"
        )
    if not bins.between(start, bins.end).known.any():
        raise AnswerUnavailable(f"{workload}: nothing is known of the last {days:g} days")
    return bins, start


def _chain(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The chain as it is, or its quick ones where it has slow ones, and a note that says so.

    A slow one takes seconds for each fit, and a replayed day has as many fits as a day has hours: the
    answer would come after many minutes, on processors that serve.
    """
    chain = resolve(names)
    slow = [each.name for each in chain if each.slow]
    if not slow:
        return names, ()
    quick = tuple(each.name for each in chain if not each.slow) or QUICK
    left = f"{', '.join(slow)} would take seconds for each of many fits, and is left out"
    return quick, (f"forecast by {', '.join(quick)}: {left}, on both sides alike",)


def _wait_s(settings: WorkloadSettings) -> float:
    return settings.slo.wait_s if settings.slo is not None else WAIT_S


def _told(score: Score, settings: str) -> Told:
    return Told(
        policy=score.policy,
        violation=score.violation,
        replica_hours=score.replica_hours,
        cost_to_clairvoyant=score.to_clairvoyant,
        cost_to_static=score.to_static,
        scale_events=score.scale_events,
        settings=settings,
    )
