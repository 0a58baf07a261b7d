"""The lead time of one workload, measured while the service runs.

Every few minutes, on a grid, it reads what kube-state-metrics told of the workload's pods and
measures how long their starts took. After a start of the service it reads back as far as starts
count, so nothing has to be kept on disk. The number in force at an instant is the highest of the
measurements of the hour before, rounded up: it rises at once, falls late, and does not jitter. It
depends on the instant and on what was told by then, so every replica of the service obeys the same.

Refuses to stand in for the owner: without enough starts nothing is measured, and
a source that does not answer leaves the last measurement in force.
"""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from predictscale.clock import Clock
from predictscale.config.cluster import PodFact
from predictscale.control.errand import Errand
from predictscale.control.podlog import FACTS, PodLog
from predictscale.core.demand import WorkloadId
from predictscale.core.leadtime import GIVE_UP_S, LAST_STARTS, Delays, LeadTime, lead_time
from predictscale.core.series import floor_to_grid
from predictscale.errors import HoldTarget
from predictscale.sources.base import EachSource, Labelled

_log = structlog.get_logger(__name__)

KEEP_S = 7 * 86400.0
"""Starts of so long count [s]."""
EVERY_S = 300.0
"""Between measurements [s]."""
STEP_S = 60.0
"""Width of the bins that pods are read in [s]; each evaluation looks over all of its bin."""
SETTLE_S = 60.0
"""How old a bin is when it is read: late scrapes are in by then [s]."""
ANSWERED_S = 60.0
"""From the reading until its measurement is in force [s]: by then every replica of the service has it."""
HOLD_S = 3600.0
"""The highest measurement of so long is in force [s]."""
ROUND_S = 15.0
"""What is in force is a multiple of this, rounded up [s]."""
LEAST_S, MOST_S = 30.0, GIVE_UP_S
"""What is in force lies between these, whatever is measured [s]."""

_STRETCH_S = 86400.0
"""What is asked for at once [s]."""
_OVERLAP_S = 600.0
"""Stretches overlap by so much: late scrapes, and pods that vanished at an edge [s]."""
_RELIVED_S = 6 * 3600.0
"""Instants so far in the past are still asked about, after a start [s]."""
_WAKING_S = 5.0
"""How long the first decision waits for the starts of the past [s]."""
_KEPT_MEASURES = 200
_HELD_S = tuple(EVERY_S * place for place in range(round(HOLD_S / EVERY_S) + 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadState:
    """What is known of a workload's lead time.

    Args:
        in_force_s: What decisions plan with [s]; None while the owner's value stands.
        lead: The newest measurement, or why there is none.
        at: Of which instant it is.
        problem: Why the newest reading failed; empty if it did not.
    """

    in_force_s: float | None
    lead: LeadTime
    at: datetime
    problem: str = ""


class LeadBook:
    """The newest state of every workload whose lead time is measured, for readers."""

    def __init__(self) -> None:
        self._states: dict[WorkloadId, LeadState] = {}

    def put(self, workload: WorkloadId, state: LeadState) -> None:
        """Replace what was known."""
        self._states[workload] = state

    def forget(self, workload: WorkloadId, state: LeadState | None) -> None:
        """Who put this state does not follow the workload any more; what a successor has put stays."""
        if self._states.get(workload) is state:
            self._states.pop(workload, None)

    def get(self, workload: WorkloadId) -> LeadState | None:
        """What is known of one; None if nothing is, or its lead time is not measured."""
        return self._states.get(workload)

    def items(self) -> list[tuple[WorkloadId, LeadState]]:
        """Everything, by workload."""
        return sorted(self._states.items(), key=lambda each: each[0])


class LeadTimes:
    """Measures one workload's lead time; a `control.sizing.LeadTeller`.

    Args:
        workload: Whose.
        source: Where its pods are told of.
        queries: How it is asked, by fact; each looks back over `STEP_S`.
        delays: What passes beside the starts.
        configured_s: The owner's lead time [s].
        clock: Tells a start of the service which past to read.
        book: Where readers find the state.
    """

    def __init__(
        self,
        workload: WorkloadId,
        *,
        source: EachSource,
        queries: Mapping[PodFact, str],
        delays: Delays,
        configured_s: float,
        clock: Clock,
        book: LeadBook,
    ) -> None:
        self._workload = workload
        self._source = source
        self._queries = {fact: queries[fact] for fact in (*FACTS, PodFact.TOLD)}
        self._delays, self._configured_s = delays, configured_s
        self._clock, self._book = clock, book
        self._log = PodLog(keep_s=KEEP_S)
        self._since: datetime | None = None
        self._until: datetime | None = None
        self._caught_up = False
        self._tried: datetime | None = None
        self._problem = ""
        self._measures: dict[datetime, LeadTime] = {}
        self._told: LeadState | None = None
        self._work = Errand()

    def lead_time_at(self, at: datetime) -> float | None:
        """The measured lead time that a decision at `at` obeys [s]; None leaves the owner's in force."""
        boundary = self._known_boundary(at)
        if boundary is None or self._measure(boundary).measured_s is None:
            return None
        held = (self._measure(boundary - timedelta(seconds=ago_s)) for ago_s in _HELD_S)
        highest_s = max(one.measured_s for one in held if one.measured_s is not None)
        return min(max(math.ceil(highest_s / ROUND_S) * ROUND_S, LEAST_S), MOST_S)

    def notes_at(self, at: datetime) -> tuple[str, ...]:
        """Where the lead time of the decision at `at` comes from, and what could not be read."""
        problem = (f"pod starts could not be read: {self._problem}",) if self._problem else ()
        boundary, in_force_s = self._known_boundary(at), self.lead_time_at(at)
        if boundary is None:
            return (f"lead time: configured, {self._configured_s:.0f} s, until pod starts are read", *problem)
        because = self._measure(boundary).because
        held = "" if in_force_s is None else f"; {in_force_s:.0f} s are in force"
        return (f"lead time: {because}{held}", *problem)

    def state_at(self, at: datetime) -> LeadState | None:
        """What readers are told at `at`; None before pods were read."""
        boundary = self._known_boundary(at)
        if boundary is None:
            return None
        return LeadState(
            in_force_s=self.lead_time_at(at), lead=self._measure(boundary), at=boundary, problem=self._problem
        )

    def start_due(self, at: datetime) -> None:
        """Read in the background what is due at the tick `at`."""
        self._publish(at)
        boundary = self._boundary(at - timedelta(seconds=SETTLE_S))
        if boundary == self._tried or self._work.busy:
            return
        self._tried = boundary
        self._work.start(self._read(boundary))

    async def wake(self) -> None:
        """Read the starts of the last days; if that takes long, it goes on in the background."""
        now = self._clock.now()
        self.start_due(now)
        await self._work.settled(timeout_s=_WAKING_S)
        self._publish(now)

    async def settled(self) -> None:
        """Return once the reading under way, if there is one, has ended."""
        await self._work.settled()

    async def stop(self) -> None:
        """End the reading under way, and tell readers no more."""
        await self._work.cancel()
        self._book.forget(self._workload, self._told)

    def _publish(self, at: datetime) -> None:
        if (state := self.state_at(at)) is not None:
            self._told = state
            self._book.put(self._workload, state)

    def _known_boundary(self, at: datetime) -> datetime | None:
        """Up to where the measurement in force at `at` knows of pods; None before they were read."""
        if self._until is None or not self._caught_up:
            return None
        # A reading that is late leaves an earlier measurement in force.
        return self._boundary(min(at - timedelta(seconds=SETTLE_S + ANSWERED_S), self._until))

    def _boundary(self, at: datetime) -> datetime:
        """The last one at or before `at`. Shifted by workload, so that not all of them read at once."""
        digest = hashlib.sha256(f"lead time of {self._workload}".encode()).digest()
        shift = timedelta(seconds=STEP_S * (digest[0] % round(EVERY_S / STEP_S)))
        return floor_to_grid(at - shift, EVERY_S) + shift

    def _measure(self, boundary: datetime) -> LeadTime:
        """What the starts that were known at a boundary measure."""
        if boundary not in self._measures:
            self._measures[boundary] = lead_time(
                self._log.starts(boundary),
                now=boundary,
                delays=self._delays,
                configured_s=self._configured_s,
            )
            for old in sorted(self._measures)[:-_KEPT_MEASURES]:
                del self._measures[old]
        return self._measures[boundary]

    async def _read(self, boundary: datetime) -> None:
        """Read on to the boundary; the first time, and until it succeeds, back over the days before, too."""
        try:
            await self._read_on(boundary)
            await self._read_back(boundary)
        except HoldTarget as missing:
            if not self._problem:
                _log.info("pod starts could not be read", workload=str(self._workload), because=str(missing))
            self._problem = str(missing)
            return
        self._problem = ""
        self._caught_up = True

    async def _read_on(self, boundary: datetime) -> None:
        if self._since is None or self._until is None:
            self._since = self._until = boundary
        self._until = max(self._until, boundary - timedelta(seconds=KEEP_S))
        while self._until < boundary:
            end = min(self._until + timedelta(seconds=_STRETCH_S), boundary)
            await self._take(self._until - timedelta(seconds=_OVERLAP_S), end)
            self._until = end

    async def _read_back(self, boundary: datetime) -> None:
        """The newest day first; as many as it takes to know the starts that count."""
        assert self._since is not None  # noqa: S101 - `_read_on` set it
        assert self._until is not None  # noqa: S101 - likewise
        oldest = boundary - timedelta(seconds=KEEP_S + _RELIVED_S + HOLD_S)
        while not self._caught_up and self._since > oldest and not self._knows_enough(boundary):
            start = max(self._since - timedelta(seconds=_STRETCH_S), oldest)
            await self._take(start, min(self._since + timedelta(seconds=_OVERLAP_S), self._until))
            self._since = start

    def _knows_enough(self, boundary: datetime) -> bool:
        earliest = boundary - timedelta(seconds=_RELIVED_S + HOLD_S)
        sound = [pod for pod in self._log.starts(earliest) if pod.sound(earliest)]
        # The first starts of a stretch may have begun before it.
        whole_since = self._since + timedelta(seconds=GIVE_UP_S) if self._since is not None else boundary
        return sum(pod.created >= whole_since for pod in sound) >= LAST_STARTS

    async def _take(self, start: datetime, end: datetime) -> None:
        told: dict[PodFact, tuple[Labelled, ...]] = {}
        for fact, query in self._queries.items():
            # One after the other: nothing here is as urgent as a tick's own questions.
            told[fact] = await self._source.read_each(query, start=start, end=end, step_s=STEP_S)
        self._log.note(told)
