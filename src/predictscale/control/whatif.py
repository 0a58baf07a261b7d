"""Replays that people asked for: one at a time, a few that wait, results for an hour.

What a replay is, is not this module's business: it is handed work that tells its progress, and keeps
what comes of it. Refuses more than a few in line: whoever asks next is told when to come back.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

import structlog

from predictscale.clock import Clock
from predictscale.core.demand import WorkloadId
from predictscale.errors import PredictscaleError, RefuseMore

_log = structlog.get_logger(__name__)

MOST_WAITING: Final = 4
"""Replays in line behind the one that runs."""
KEPT: Final = 32
"""Replays that ended, of which the results are kept."""
KEPT_S: Final = 3600.0
"""For so long [s]."""


class JobState(StrEnum):
    """How far a replay is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What one policy did, in the terms of its owner; see `simulate.scoring.Score`.

    Args:
        policy: Whose.
        violation: Share of demand that waited too long.
        replica_hours: What is paid for [h].
        cost_to_clairvoyant: As a multiple of the cheapest plan with perfect knowledge.
        cost_to_static: As a multiple of a fixed fleet for the highest demand that came.
        scale_events: How often the fleet's size was changed.
        settings: What was in force at the end, in words; empty of others than ours.
    """

    policy: str
    violation: float
    replica_hours: float
    cost_to_clairvoyant: float
    cost_to_static: float
    scale_events: int
    settings: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What came of a replay.

    Args:
        start: Where the replayed days begin.
        until: Where they end.
        as_is: With the settings as they are.
        changed: With those that were asked for; equal if none were.
        rivals: Others, in the circumstances of `changed`.
        forecasters: The chain that forecast.
        wait_s: Demand that waits longer is late, on either side: as `changed` has it [s].
        notes: What a reader should know.
    """

    start: datetime
    until: datetime
    as_is: Told
    changed: Told
    rivals: tuple[Told, ...]
    forecasters: tuple[str, ...]
    wait_s: float
    notes: tuple[str, ...] = ()


Tell = Callable[[], float]
Work = Callable[[], Awaitable[Replayed]]


@dataclass(slots=True, eq=False)
class Job:
    """One replay.

    Args:
        id: Its name.
        workload: Of what.
        asked: What was asked, as it was written.
        asked_at: When.
        work: Does it.
        told: How much of it is done, while it runs.
    """

    id: str
    workload: WorkloadId
    asked: Mapping[str, Any]
    asked_at: datetime
    work: Work
    told: Tell
    state: JobState = JobState.WAITING
    result: Replayed | None = None
    error: str | None = None
    ended_s: float | None = field(default=None)

    @property
    def progress(self) -> float:
        """The share that is done, in [0, 1]."""
        if self.state is JobState.RUNNING:
            return min(max(self.told(), 0.0), 1.0)
        return 1.0 if self.state is JobState.DONE else 0.0


class WhatIfQueue:
    """Replays in the order in which they were asked for.

    Args:
        clock: For ages.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._running: asyncio.Task[None] | None = None

    def ask(
        self, workload: WorkloadId, asked: Mapping[str, Any], *, work: Work, told: Tell = lambda: 0.0
    ) -> Job:
        """Put a replay in line.

        Raises:
            RefuseMore: As many wait as may.
        """
        if (waiting := len(self._waiting())) >= MOST_WAITING:
            raise RefuseMore(f"{waiting} replays wait already, which is the most; ask again in a minute")
        job = Job(
            id=secrets.token_hex(8),
            workload=workload,
            asked=asked,
            asked_at=self._clock.now(),
            work=work,
            told=told,
        )
        self._forget()
        self._jobs[job.id] = job
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(self._run())
        return job

    def get(self, job_id: str) -> Job | None:
        """A replay; None of one that never was, or is forgotten."""
        self._forget()
        return self._jobs.get(job_id)

    def ahead_of(self, job: Job) -> int:
        """How many stand before it: those that wait longer, and the one that runs."""
        before = [each for each in self._jobs.values() if each.ended_s is None]
        return before.index(job) if job in before else 0

    async def settled(self) -> None:
        """Return once all that were asked for have ended."""
        if self._running is not None:
            await asyncio.wait({self._running})

    async def stop(self) -> None:
        """End what is under way."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _waiting(self) -> Sequence[Job]:
        return [job for job in self._jobs.values() if job.state is JobState.WAITING]

    async def _run(self) -> None:
        while waiting := self._waiting():
            await self._one(waiting[0])

    async def _one(self, job: Job) -> None:
        job.state = JobState.RUNNING
        try:
            job.result = await job.work()
            job.state = JobState.DONE
        except PredictscaleError as failed:
            job.state, job.error = JobState.FAILED, str(failed)
        except Exception as failed:  # noqa: BLE001 - whatever it is, the next in line has its turn
            _log.exception("a replay failed", workload=str(job.workload))
            job.state, job.error = (
                JobState.FAILED,
                f"our own fault ({type(failed).__name__}); the log says why",
            )
        job.ended_s = self._clock.monotonic_s()

    def _forget(self) -> None:
        """Results that are old, and the oldest of too many."""
        ended = sorted(
            (j for j in self._jobs.values() if j.ended_s is not None), key=lambda j: j.ended_s or 0.0
        )
        now_s = self._clock.monotonic_s()
        old = [job for job in ended if job.ended_s is not None and now_s - job.ended_s > KEPT_S]
        for job in {job.id: job for job in (*old, *ended[: max(0, len(ended) - KEPT)])}.values():
            del self._jobs[job.id]
