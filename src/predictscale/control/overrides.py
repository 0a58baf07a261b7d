"""What people override of a running workload: a pause, and its mode. Kept across restarts, told to replicas.

An override is an input with instants: it is in force from its stamp until its end, and what has ended
stays on record, so a tick that is lived through again after a restart obeys what was in force by
then. During a pause the time over which scale-down looks back grows with it, so the fleet keeps the highest
target of the pause and of the hold before it, and what was there when it began; it may grow, and a ceiling
may cut it.

Refuses a pause that is longer than a day, renewals included: a start would have to live through it all
again, and a floor that should stay is a setting.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from predictscale.config.durations import duration_text
from predictscale.config.orders import LONGEST_PAUSE_S, ModeOrder, PauseOrder
from predictscale.control.journal import Journal
from predictscale.control.journalfile import Kind, instant
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Mode, OnStale, Policy
from predictscale.errors import Problem, RefuseMore, SettingsError

MOST_OF_ONE = 100
"""Overrides of one workload on record; of more, the first that ended is forgotten first."""
MOST = 10_000
"""Overrides of all workloads; of more, likewise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Override:
    """One override.

    Args:
        id: Its name on record.
        workload: Whose.
        since: In force from then on.
        until: When it ends by itself; None for never, as a mode.
        mode: The mode in force; None of a pause.
        by: The name of the token it was ordered with.
        reason: Why.
        replicas: How many there were when a pause was ordered; None if that is not known.
        ended_at: When somebody ended or replaced it before that; None if nobody did.
        ended_by: Who, likewise.
    """

    id: str
    workload: WorkloadId
    since: datetime
    until: datetime | None
    mode: Mode | None
    by: str
    reason: str
    replicas: int | None = None
    ended_at: datetime | None = None
    ended_by: str | None = None

    @property
    def end(self) -> datetime | None:
        """Where it ceased or will cease to be in force; None if that is open."""
        return self.until if self.ended_at is None else self.ended_at

    def holds(self, at: datetime) -> bool:
        """Whether it is in force at `at`."""
        return self.since <= at and (self.end is None or at < self.end)


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What is in force of a workload at an instant.

    Args:
        pause: Until when the fleet does not shrink, and who says so; None if it may.
        paused_since: When that began, renewals left aside.
        paused_with: The replicas there were then, or at a renewal if more; 0 if nobody knew.
        mode: The mode that replaces the settings'; None if nobody replaced it.
    """

    pause: Override | None = None
    paused_since: datetime | None = None
    paused_with: int = 0
    mode: Override | None = None

    def paused_s(self, at: datetime) -> float:
        """How long the pause has lasted at `at` [s]."""
        return 0.0 if self.paused_since is None else (at - self.paused_since).total_seconds()

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of a decision should know."""
        notes = []
        if self.pause is not None and self.pause.until is not None:
            until = f"the fleet does not shrink until {self.pause.until:%Y-%m-%d %H:%M:%S} UTC"
            notes.append(f"paused by {self.pause.by}: {self.pause.reason} ({until})")
        if self.mode is not None:
            notes.append(f"mode {self.mode.mode} by {self.mode.by}: {self.mode.reason}")
        return tuple(notes)

    def obeyed(self, policy: Policy, *, held_s: float, at: datetime, tick_s: float) -> Policy:
        """The policy with what is in force; as it is if that is nothing.

        Args:
            policy: What a decision at `at` would obey.
            held_s: How long targets held when the pause began [s].
            at: The tick.
            tick_s: Between ticks [s]; the first one of a pause sees what the last one before it saw.
        """
        if self.mode is not None and self.mode.mode is not None:
            policy = replace(policy, mode=self.mode.mode)
        if self.pause is None:
            return policy
        hold_s = max(policy.hold_s, held_s) + self.paused_s(at) + tick_s
        # Neither the floor that doubt leads to nor KEDA's fallback may shrink it.
        return replace(policy, hold_s=hold_s, on_stale=OnStale.HOLD, paused_with=self.paused_with)


NOTHING = InForce()
"""Where nothing is overridden."""


class OverrideBook:
    """Overrides by workload, in a file if there is a path, else in memory; see `Journal`.

    Args:
        path: The file; it need not be there yet, its folder must.

    Raises:
        FileUnusable: It cannot be read, or holds something else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._journal = Journal(path, _KIND, workload_of=lambda override: override.workload)

    @property
    def persisted(self) -> bool:
        """Whether overrides outlive the process."""
        return self._journal.persisted

    @property
    def note(self) -> str:
        """What a reader should know of how they are kept; empty if there is nothing."""
        return self._journal.note

    def at(self, workload: WorkloadId, at: datetime) -> InForce:
        """What is in force of a workload at `at`, by what was ordered by then."""
        rows = self._journal.of(workload)
        return _in_force(rows, at) if rows else NOTHING

    async def pause(
        self, workload: WorkloadId, order: PauseOrder, *, at: datetime, by: str, replicas: int | None = None
    ) -> Override:
        """Keep the fleet from shrinking from `at` on; a pause that lasts is renewed.

        Args:
            workload: Whose.
            order: How long, and why.
            at: The present.
            by: Who says so.
            replicas: How many there are, if that is known; an HPA may be about to take some of them.

        Raises:
            SettingsError: It ends in the past, or lasts too long, renewals included.
            RefuseMore: There are too many overrides.
            FileUnusable: The file cannot be read or written; nothing has changed.
        """
        until = order.end(at)
        new = _new(workload, since=at, until=until, mode=None, by=by, reason=order.reason)
        new = replace(new, replicas=replicas)

        def edit(rows: tuple[Override, ...]) -> tuple[Override, ...]:
            begun = _in_force((row for row in rows if row.workload == workload), at).paused_since
            if begun is not None and (until - begun).total_seconds() > LONGEST_PAUSE_S:
                got = f"{until:%Y-%m-%d %H:%M:%S} UTC, for a pause that began at {begun:%Y-%m-%d %H:%M:%S}"
                wants = f"must lie within {duration_text(LONGEST_PAUSE_S)} of its beginning, or end it first"
                raise SettingsError([Problem("until", got, wants)])
            return _with(rows, new)

        await self._journal.change(edit)
        return new

    async def resume(self, workload: WorkloadId, *, at: datetime, by: str) -> Override | None:
        """End the pause; the fleet may shrink again. None if there was none.

        Raises:
            FileUnusable: As above.
        """
        return await self._end(workload, paused=True, at=at, by=by)

    async def set_mode(self, workload: WorkloadId, order: ModeOrder, *, at: datetime, by: str) -> Override:
        """Put another mode in force from `at` on.

        Raises:
            RefuseMore: There are too many overrides.
            FileUnusable: As above.
        """
        new = _new(workload, since=at, until=None, mode=order.mode, by=by, reason=order.reason)
        await self._journal.change(lambda rows: _with(rows, new))
        return new

    async def clear_mode(self, workload: WorkloadId, *, at: datetime, by: str) -> Override | None:
        """Go back to the mode of the settings. None if nobody had replaced it.

        Raises:
            FileUnusable: As above.
        """
        return await self._end(workload, paused=False, at=at, by=by)

    async def prune(self, before: datetime) -> None:
        """Forget what ended before `before`; a fault of the file is only logged.

        Args:
            before: No start lives through ticks before that again.
        """
        await self._journal.prune(lambda row: row.end is not None and row.end < before)

    async def refresh(self) -> None:
        """Take up what another process has written. A fault leaves in force what is known, and is logged."""
        await self._journal.refresh()

    async def _end(self, workload: WorkloadId, *, paused: bool, at: datetime, by: str) -> Override | None:
        gone: list[Override] = []

        def edit(rows: tuple[Override, ...]) -> tuple[Override, ...]:
            gone.extend(
                row
                for row in rows
                if row.workload == workload and (row.mode is None) is paused and row.holds(at)
            )
            return tuple(replace(row, ended_at=at, ended_by=by) if row in gone else row for row in rows)

        await self._journal.change(edit)
        return gone[0] if gone else None


def _in_force(rows: Iterable[Override], at: datetime) -> InForce:
    told = tuple(rows)
    holding = [row for row in told if row.holds(at)]
    pause = next((row for row in reversed(holding) if row.mode is None), None)
    mode = next((row for row in reversed(holding) if row.mode is not None), None)
    if pause is None:
        return InForce(mode=mode)
    renewed = _renewed(pause, told)
    return InForce(
        pause=pause,
        paused_since=renewed[-1].since,
        paused_with=max(row.replicas or 0 for row in renewed),
        mode=mode,
    )


def _renewed(pause: Override, rows: tuple[Override, ...]) -> list[Override]:
    """A pause and those that it renews, the newest first: each one ends where the next begins."""
    ends = {row.end: row for row in rows if row.mode is None and row.since < pause.since}
    found = [pause]
    while found[-1].since in ends:
        found.append(ends.pop(found[-1].since))
    return found


def _new(
    workload: WorkloadId, *, since: datetime, until: datetime | None, mode: Mode | None, by: str, reason: str
) -> Override:
    digest = hashlib.sha256(f"{workload} {since.isoformat()} {until} {mode} {by} {reason}".encode())
    return Override(
        id=digest.hexdigest()[:12],
        workload=workload,
        since=since,
        until=until,
        mode=mode,
        by=by,
        reason=reason,
    )


def _with(rows: tuple[Override, ...], new: Override) -> tuple[Override, ...]:
    """The rows with a new one, in whose place none of its kind is in force any more."""
    kind = new.mode is None

    def replaced(row: Override) -> bool:
        return row.workload == new.workload and (row.mode is None) is kind and row.holds(new.since)

    kept = [replace(r, ended_at=new.since, ended_by=new.by) if replaced(r) else r for r in rows]
    own = [row for row in kept if row.workload == new.workload]
    if len(own) >= MOST_OF_ONE:
        # At most two hold, so there is one that ended.
        kept, new = _forgetting(own, kept, new)
    ended = [row for row in kept if row.end is not None and row.end <= new.since]
    if len(kept) >= MOST and ended:
        kept, new = _forgetting(ended, kept, new)
    if len(kept) >= MOST:
        raise RefuseMore(f"{len(kept)} overrides are on record and in force, which is the most; end some")
    return (*kept, new)


def _forgetting(
    some: Iterable[Override], kept: Iterable[Override], new: Override
) -> tuple[list[Override], Override]:
    """All without the one of some that ended first."""
    gone = min((row for row in some if row.end is not None), key=lambda row: row.end or row.since)
    return [_heir(row, gone) for row in kept if row is not gone], _heir(new, gone)


def _heir(row: Override, gone: Override) -> Override:
    """A pause that renewed one which is forgotten begins where that did, so that it stays one pause."""
    if row.workload != gone.workload or not (row.mode is gone.mode is None) or row.since != gone.end:
        return row
    counts = [each for each in (row.replicas, gone.replicas) if each is not None]
    return replace(row, since=gone.since, replicas=max(counts, default=None))


def _written(row: Override) -> dict[str, Any]:
    return {
        "id": row.id,
        "namespace": row.workload.namespace,
        "workload": row.workload.name,
        "mode": row.mode,
        "since": row.since.isoformat(),
        "until": row.until and row.until.isoformat(),
        "by": row.by,
        "reason": row.reason,
        "replicas": row.replicas,
        "ended_at": row.ended_at and row.ended_at.isoformat(),
        "ended_by": row.ended_by,
    }


def _read(row: Mapping[str, Any]) -> Override:
    if (row["mode"] is None) == (row["until"] is None):
        raise ValueError(f"{row['id']}: a pause has an end, a mode has none")
    return Override(
        id=str(row["id"]),
        workload=WorkloadId(str(row["namespace"]), str(row["workload"])),
        since=instant(row["since"]),
        until=None if row["until"] is None else instant(row["until"]),
        mode=None if row["mode"] is None else Mode(row["mode"]),
        by=str(row["by"]),
        reason=str(row["reason"]),
        replicas=None if row.get("replicas") is None else int(row["replicas"]),
        ended_at=None if row["ended_at"] is None else instant(row["ended_at"]),
        ended_by=None if row["ended_by"] is None else str(row["ended_by"]),
    )


_KIND = Kind(
    setting="overrides.path",
    holds="overrides",
    key="overrides",
    schema=1,
    written=_written,
    read=_read,
    model=PauseOrder,
)
