"""What a replica serves, learned from what the workload's own pods did.

Once an hour, on a grid boundary, the windows since the last time are read, and a fit
worker learns from those of the last days. After a start of the service they are read again,
a day at a time and the newest first; what had been learned is in force meanwhile, for it lies on
the shelf. Until there is a law, it is tried for every ten minutes.

What was learned up to a boundary holds from a stated time after it, so that every replica of the
service obeys it from the same tick. Where reading took longer, decisions until then were made without
it, and two replicas may differ by what an hour more of windows changes; the tracker then lives through
the last ticks again, so that both remember the same. The instant is kept with what was learned.

Refuses to stand in for the owner: while nothing was learned, the settings hold.
"""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from predictscale.control.errand import Errand
from predictscale.control.learnshelf import InForce, LearnShelf
from predictscale.control.podwindows import PodReader, joined, newest
from predictscale.core.capacity import Capacity
from predictscale.core.demand import WorkloadId
from predictscale.core.law import LatencyTargets, Mix
from predictscale.core.lawcapacity import CapacityLaw, Engine
from predictscale.core.lawfit import INPUT_COST
from predictscale.core.lawguards import Learned
from predictscale.core.lawtaught import FirstTokens, PodRows, Taught, teach
from predictscale.core.lawwindows import KEEP_S
from predictscale.core.series import floor_to_grid
from predictscale.errors import HoldTarget, TryNextForecaster

_log = structlog.get_logger(__name__)

EVERY_S = 3600.0
"""Between lessons, once there is a law [s]."""
YOUNG_EVERY_S = 600.0
"""Between lessons while there is none, and after one that failed [s]."""
SETTLE_S = 120.0
"""How old a window is when it is read: late scrapes are in by then [s]."""
ANSWERED_S = 300.0
"""From the reading until what it taught is in force [s]."""

_KEPT = 24
_TOO_FAR_BEHIND = timedelta(hours=6)
"""After an outage of so long all is read again as after a start, in parts that a source can answer."""


class LawOf(Protocol):
    """Makes the capacity of what was taught; the settings' part of it, as `LearnedCapacity.law`."""

    def __call__(
        self, *, mix: Mix | None, learned: Learned | None, engine: Engine, peakedness: float
    ) -> CapacityLaw:
        """The capacity."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pupil:
    """Whose capacity is learned, and what its owner says of it.

    Args:
        workload: Whose.
        key: Under which it is kept: what it is learned from and for.
        law: Makes the capacity.
        slo: What is promised.
        engine: A replica's own size, as the owner knows it.
        input_cost: Prior of an input token in output tokens.
        counts_tokens: Whether work is tokens; else requests.
    """

    workload: WorkloadId
    key: str
    law: LawOf
    slo: LatencyTargets
    engine: Engine
    input_cost: float = INPUT_COST
    counts_tokens: bool = True


Teach = Callable[["Lesson"], Awaitable[Taught]]
"""Learns somewhere else than on the path of answers; raises TryNextForecaster if it cannot."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """All that `core.lawtaught.teach` takes, as it travels to a worker."""

    rows: PodRows
    at: datetime
    slo: LatencyTargets
    input_cost: float
    engine: Engine
    first_tokens: FirstTokens | None
    counts_tokens: bool


def taught_by(lesson: Lesson) -> Taught:
    """What a lesson teaches; runs in a worker."""
    return teach(
        lesson.rows,
        at=lesson.at,
        slo=lesson.slo,
        input_cost=lesson.input_cost,
        engine=lesson.engine,
        first_tokens=lesson.first_tokens,
        counts_tokens=lesson.counts_tokens,
    )


class CapacityLearner:
    """A `control.sizing.CapacityTeller` that learns.

    Args:
        pupil: Whose capacity.
        reader: Reads its windows; None where nobody tells its pods apart.
        teach: Learns from them.
        shelf: Where what was learned lies between restarts.
    """

    def __init__(self, pupil: Pupil, *, reader: PodReader | None, teach: Teach, shelf: LearnShelf) -> None:
        self._pupil, self._reader, self._teach, self._shelf = pupil, reader, teach, shelf
        self._kept: tuple[InForce, ...] = ()
        self._answer: Taught | None = None
        self._rows: PodRows | None = None
        self._read_until: datetime | None = None
        self._width_s: float | None = None
        self._tried: datetime | None = None
        self._trouble = ""
        self._awake = False
        self._work = Errand()

    async def wake(self) -> None:
        """Take what was learned from the shelf; what was taught meanwhile comes after it."""
        before = await self._shelf.get(self._pupil.key)
        newest = None if not before else before[-1].taught.at
        fresh = [each for each in self._kept if newest is None or each.taught.at > newest]
        self._kept = (*before, *fresh)[-_KEPT:]
        self._awake = True

    def capacity_at(self, at: datetime, *, mix: Mix | None) -> Capacity | None:
        """See `CapacityTeller.capacity_at`."""
        taught = self.taught_at(at)
        if taught is None:
            return None
        return self._pupil.law(
            mix=mix if mix is not None else taught.mix,
            learned=taught.learned,
            engine=taught.engine,
            peakedness=taught.peakedness,
        )

    def taught_at(self, at: datetime) -> Taught | None:
        """What is in force at an instant; None if nothing was learned by then."""
        return next((each.taught for each in reversed(self._kept) if each.since <= at), None)

    def notes_at(self, at: datetime) -> tuple[str, ...]:
        """What hinders learning, and from when on there will be something."""
        if self._reader is None:
            return ("capacity cannot be learned: source and backend tell no pods apart; the settings hold",)
        notes = (f"capacity is not learned anew: {self._trouble}",) if self._trouble else ()
        if not self._trouble and self.taught_at(at) is None:
            notes = ("no windows were learned from yet; the settings' capacity holds",)
        return notes

    def start_due(self, at: datetime) -> None:
        """Put what was taught in force, and start the lesson that is due."""
        if self._install():
            self._work.start(self._keep())
            return
        # After a start what is in force comes first, then what will be.
        boundary = self._boundary(at if self._kept else at - timedelta(seconds=ANSWERED_S))
        if self._reader is None or boundary == self._tried:
            return
        if self._work.busy:
            return
        if self._rows is not None and self._kept and self._kept[-1].taught.at >= boundary:
            return
        self._tried = boundary
        self._work.start(self._learn(boundary, self._reader))

    async def settled(self) -> None:
        """Return once the lesson under way, if there is one, has ended."""
        await self._work.settled()

    async def stop(self) -> None:
        """Put the lesson under way aside, and what was learned on the shelf."""
        await self._work.cancel()
        await self._keep()

    async def _keep(self) -> None:
        """Put what was learned on the shelf, beside what lies there if nobody has looked yet."""
        if not self._awake:
            await self.wake()
        await self._shelf.put(self._pupil.key, self._kept)

    def _install(self) -> bool:
        """What was taught holds from the instant at which it was due, also where it took longer."""
        answer, self._answer = self._answer, None
        if answer is None:
            return False
        due = answer.at + timedelta(seconds=SETTLE_S + ANSWERED_S)
        self._kept = (*self._kept, InForce(since=due, taught=answer))[-_KEPT:]
        return True

    async def _learn(self, boundary: datetime, reader: PodReader) -> None:
        """Read what is new, and learn from all of it."""
        try:
            rows = await self._read(boundary, reader)
            if rows is None:
                self._trouble = "no pod told anything for a day"
                return
            told = await reader.engine(boundary)
            lesson = Lesson(
                rows=rows,
                at=boundary,
                slo=self._pupil.slo,
                input_cost=self._pupil.input_cost,
                engine=_merged(self._pupil.engine, told),
                first_tokens=await reader.first_tokens(boundary),
                counts_tokens=self._pupil.counts_tokens,
            )
            self._answer = await self._teach(lesson)
        except (HoldTarget, TryNextForecaster) as failed:
            self._trouble = str(failed)
            _log.info("no capacity learned", workload=str(self._pupil.workload), because=str(failed))
            return
        self._trouble = ""

    async def _read(self, boundary: datetime, reader: PodReader) -> PodRows | None:
        """The rows of the last days; only what is new is asked for."""
        if self._width_s is None:
            self._width_s = await reader.width_s(boundary)
        width_s = self._width_s
        if width_s is None:
            return None
        end = floor_to_grid(boundary, width_s)
        if self._rows is None or self._read_until is None or end - self._read_until > _TOO_FAR_BEHIND:
            rows = await reader.past(end, width_s=width_s)
        else:
            new = await reader.between(self._read_until, end, width_s=width_s)
            rows = newest(joined([self._rows, new]))
        least_s = (end - timedelta(seconds=KEEP_S)).timestamp()
        kept = rows.where(rows.windows.ends_s > least_s)
        self._rows, self._read_until = replace(kept, since_s=max(kept.since_s, least_s)), end
        return self._rows

    def _boundary(self, at: datetime) -> datetime:
        """Where the windows of a lesson at `at` end: the same on every replica.

        Shifted by workload, so that a thousand of them do not ask in the same second.
        """
        # A start asks on the grid of those that have a law: only there is one that others obey.
        lawless = bool(self._kept) and self._kept[-1].taught.learned.fit is None
        every_s = YOUNG_EVERY_S if lawless or self._trouble else EVERY_S
        digest = hashlib.sha256(f"capacity of {self._pupil.workload}".encode()).digest()
        shift = timedelta(seconds=int.from_bytes(digest[:4]) % round(every_s))
        by = at - timedelta(seconds=SETTLE_S)
        return floor_to_grid(floor_to_grid(by - shift, every_s) + shift, 60.0)


def _merged(owner: Engine, told: Engine) -> Engine:
    """The owner's word where there is one, else what replicas say."""
    return replace(
        owner,
        kv_tokens=owner.kv_tokens if owner.kv_tokens is not None else told.kv_tokens,
        max_running=owner.max_running if owner.max_running is not None else told.max_running,
    )
