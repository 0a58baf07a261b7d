"""What a workload's pools look like at an instant, from the newest answers of its source.

Each fact of each pool is asked for at every tick, only for what is not known yet, and kept for
as long as a start of the service looks back. Refuses to read silence as zero: a
pool whose Deployment nobody tells of is not seen, and then no pool of the workload is; a zone
without replicas is 0 only while its Deployment is told. A source whose clock is behind ours does not
know the newest instants yet: they are asked for again, Deployments first, for what they tell of an
instant shows that it is over there, too.
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from predictscale.config.poolfacts import ZONE_LABELS, PoolFact
from predictscale.config.pools import PoolSettings
from predictscale.control.poolpast import LOOK_S, PAST_S, PastLook, records
from predictscale.core.hazard import Record
from predictscale.core.pools import (
    PoolKind,
    PoolMemory,
    PoolPolicy,
    PoolsSeen,
    SplitMemory,
    ZoneMemory,
    ZoneSeen,
)
from predictscale.core.series import floor_to_grid
from predictscale.errors import HoldTarget
from predictscale.sources.base import EachSource, Labelled

Told = Mapping[str, float]
"""A fact's numbers by zone; `""` where no zone is told."""
_SPOT = "spot"
_COUNTS = (PoolFact.HELD, PoolFact.SERVING)
"""What a Deployment tells as long as it exists."""
_AGAIN_S = 30.0
"""Instants so young that nobody told of may still be told of [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A pool and how it is asked about.

    Args:
        pool: Which.
        queries: PromQL by fact.
        past: PromQL of its past, in steps of `LOOK_S`; of spot alone.
    """

    pool: PoolSettings
    queries: Mapping[PoolFact, str]
    past: Mapping[PoolFact, str] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Fact:
    """One fact of one pool: what was told at each instant and by which look.

    Beside it up to when it was asked, and up to when its source knew then.
    """

    told: dict[datetime, dict[str, float]] = field(default_factory=dict)
    by: dict[datetime, datetime] = field(default_factory=dict)
    until: datetime | None = None
    known: datetime | None = None
    problem: str = ""

    def note(self, answers: Sequence[Labelled], *, end: datetime, oldest: datetime) -> None:
        """Add what was answered up to `end`, and forget what is older than is looked back to."""
        for each in answers:
            zone = next((each.labels[name] for name in ZONE_LABELS if each.labels.get(name)), "")
            if each.labels.get("capacity_type", _SPOT) != _SPOT:
                continue
            step = timedelta(seconds=each.window.step_s)
            for place, value in enumerate(each.window.values.tolist()):
                if not math.isnan(value):
                    at = each.window.start + (place + 1) * step
                    self.told.setdefault(at, {})[zone] = value
                    self.by.setdefault(at, end)
        self.until = end
        for at in [at for at in self.told if at < oldest]:
            del self.told[at], self.by[at]

    def unknown_since(self, until: datetime, *, tick_s: float) -> datetime:
        """From when on it is to be asked for, once it was asked for up to `until`."""
        again = until - timedelta(seconds=max(_AGAIN_S, tick_s))
        return again if self.known is None else min(max(self.known, again), until)

    def newest(self, at: datetime, *, fresh_s: float) -> datetime | None:
        """The last instant at or before `at` that was told of, if it is fresh."""
        since = at - timedelta(seconds=fresh_s)
        return max((then for then in self.told if since <= then <= at), default=None)


class PoolWatch:
    """The newest facts of a workload's pools, on the grid of ticks.

    Args:
        pools: Which, and how they are asked about.
        source: Where.
        tick_s: Between looks [s].
        keep_s: How far back looks are kept [s].
        fresh_s: A fact no older than this is the present [s].
    """

    def __init__(
        self,
        pools: Sequence[Watched],
        source: EachSource,
        *,
        tick_s: float,
        keep_s: float,
        fresh_s: float,
    ) -> None:
        self._pools = {each.pool.name: each.pool for each in pools}
        self._source = source
        self._tick_s, self._keep_s, self._fresh_s = tick_s, keep_s, fresh_s
        self._queries = {(p.pool.name, fact): query for p in pools for fact, query in p.queries.items()}
        self._facts = {key: _Fact() for key in self._queries}
        self._watched = tuple(pools)
        self._blind: tuple[str, ...] = ()
        # The newest look; and up to when, by pool, the last one at which they were seen told of losses.
        self._looked: datetime | None = None
        self._since: dict[str, datetime] = {}

    async def begin(self, at: datetime, rule: PoolPolicy) -> SplitMemory:
        """What is remembered at an instant before which nobody watched.

        Args:
            at: From then on ticks are lived through.
            rule: What the owner wants.
        """
        end = floor_to_grid(at, LOOK_S)
        zones: dict[str, ZoneMemory] = {}
        blind: list[str] = []
        for each in self._watched:
            try:
                found = await self._past(each, end, rule)
            except HoldTarget as missing:
                blind.append(f"losses of pool {each.pool.name} count from the start on: {missing}")
                continue
            zones |= {zone: ZoneMemory(record=record) for zone, record in found.items()}
        self._blind = tuple(blind)
        return SplitMemory(pools=PoolMemory(zones=zones))

    async def look(self, at: datetime) -> tuple[str, ...]:
        """Read every fact up to `at`, which lies on the grid.

        Returns:
            Why a fact could not be read, one note each.
        """
        if self._looked != at:
            if self._looked is not None and self.seen_at(self._looked) is not None:
                counts = {name: self._counts(pool, self._looked) for name, pool in self._pools.items()}
                self._since = {name: each.at for name, each in counts.items() if each is not None}
            self._looked = at
        await asyncio.gather(*(self._read(key, at) for key in self._queries if key[1] in _COUNTS))
        if any(self._facts[key].until == at for key in self._queries if key[1] in _COUNTS):
            # Of an instant that a Deployment has told of, whatever is asked for now is known.
            await asyncio.gather(*(self._read(key, at) for key in self._queries if key[1] not in _COUNTS))
        problems = ((key, fact.problem) for key, fact in self._facts.items() if fact.problem)
        return tuple(f"{fact} of pool {pool} could not be read: {why}" for (pool, fact), why in problems)

    def made_up(self) -> None:
        """The ticks since the look before were lived through: the newest tells of losses of its own alone."""
        self._since = {}

    def seen_at(self, at: datetime) -> PoolsSeen | None:
        """The pools as they were told by an instant; None if one of them was not told of."""
        ready = pending = 0
        zones: list[ZoneSeen] = []
        for pool in self._pools.values():
            counts = self._counts(pool, at)
            if counts is None:
                return None
            if pool.kind is PoolKind.ON_DEMAND:
                ready, pending = counts.serving, counts.held - counts.serving
                continue
            found = self._zones(pool, counts, at)
            if found is None:
                return None
            zones += found
        return PoolsSeen(on_demand_ready=ready, on_demand_pending=pending, zones=tuple(zones))

    def notes_at(self, at: datetime) -> tuple[str, ...]:
        """What a reader should know of the pools at an instant."""
        notes = list(self._blind)
        for pool in self._pools.values():
            counts = self._counts(pool, at)
            if counts is None:
                notes.append(f"pool {pool.name} is not seen: nobody tells of its Deployment {pool.target}")
            elif pool.zones and (told := self._at(pool, PoolFact.READY, counts)) is not None:
                elsewhere = counts.serving - round(sum(told.get(zone, 0.0) for zone in pool.zones))
                if elsewhere > 0:
                    notes.append(
                        f"{elsewhere} replicas of pool {pool.name} serve in zones that its settings do not "
                        "list, or nobody tells their nodes' zones; they are not counted on"
                    )
        return tuple(notes)

    async def _past(self, each: Watched, end: datetime, rule: PoolPolicy) -> dict[str, Record]:
        if not each.past:
            return {}
        told = {}
        start = end - timedelta(seconds=PAST_S)
        for fact, query in each.past.items():
            told[fact] = _Fact()
            answers = await self._source.read_each(query, start=start, end=end, step_s=LOOK_S)
            told[fact].note(answers, end=end, oldest=start)
        return records(_looks(each.pool, told), each.pool.zone_keys, rule)

    async def _read(self, key: tuple[str, PoolFact], at: datetime) -> None:
        fact = self._facts[key]
        oldest = floor_to_grid(at - timedelta(seconds=self._keep_s), self._tick_s)
        if fact.until is not None and fact.until >= at:
            return
        start = (
            oldest if fact.until is None else max(fact.unknown_since(fact.until, tick_s=self._tick_s), oldest)
        )
        try:
            answers = await self._source.read_each(
                self._queries[key], start=start, end=at, step_s=self._tick_s
            )
        except HoldTarget as missing:
            fact.problem = str(missing)
            return
        fact.problem = ""
        fact.note(answers, end=at, oldest=oldest)
        fact.known = self._known(key)

    def _known(self, key: tuple[str, PoolFact]) -> datetime | None:
        """The last instant that the source told of, and so knew; of a Deployment it has to tell itself."""
        telling = (key,) if key[1] in _COUNTS else tuple(each for each in self._facts if each[1] in _COUNTS)
        return max((at for each in telling for at in self._facts[each].told), default=None)

    def _counts(self, pool: PoolSettings, at: datetime) -> "_Counts | None":
        """The pool's own numbers; None if its Deployment is not told of."""
        held, serving = (self._facts[pool.name, fact] for fact in _COUNTS)
        found = (held.newest(at, fresh_s=self._fresh_s), serving.newest(at, fresh_s=self._fresh_s))
        if found[0] is None or found[1] is None:
            return None
        ready = round(sum(serving.told[found[1]].values()))
        return _Counts(
            at=min(found[0], found[1]),
            by=max(held.by[found[0]], serving.by[found[1]]),
            held=max(ready, round(sum(held.told[found[0]].values()))),
            serving=ready,
        )

    def _at(self, pool: PoolSettings, name: PoolFact, counts: "_Counts") -> Told | None:
        """What a fact told at an instant at which its pool was seen; None if it was not asked since then."""
        fact = self._facts.get((pool.name, name))
        if fact is None or fact.until is None or fact.until < counts.by:
            return None
        return fact.told.get(counts.at, {})

    def _zones(self, pool: PoolSettings, counts: "_Counts", at: datetime) -> list[ZoneSeen] | None:
        """A spot pool by zone; None if its zones cannot be told apart."""
        ready = {"": float(counts.serving)}
        if pool.zones:
            told = self._at(pool, PoolFact.READY, counts)
            if told is None:
                return None
            ready = dict(told)
        names = pool.zones or ("",)
        pending = counts.held - counts.serving
        found = []
        for place, (zone, key) in enumerate(zip(names, pool.zone_keys, strict=True)):
            share, more = divmod(pending, len(names))
            found.append(
                ZoneSeen(
                    zone=key,
                    ready=round(ready.get(zone, 0.0)),
                    # A pod without a node has no zone yet; pods are spread evenly.
                    pending=share + (place < more),
                    noticed=self._nodes(pool, PoolFact.NOTICED, zone, counts) or 0,
                    rebalanced=self._nodes(pool, PoolFact.REBALANCED, zone, counts) or 0,
                    lost=self._lost(pool, zone, counts, at),
                    failed=self._nodes(pool, PoolFact.LAUNCH_FAILURES, zone, counts) or 0,
                    available=self._offered(pool, zone, counts),
                )
            )
        return found

    def _nodes(self, pool: PoolSettings, name: PoolFact, zone: str, counts: "_Counts") -> int | None:
        """A count of a zone, or of all of them where the pool is not split by zone; None if unknown."""
        told = self._at(pool, name, counts)
        if told is None:
            return None
        return _nodes(pool, told, zone)

    def _lost(self, pool: PoolSettings, zone: str, counts: "_Counts", at: datetime) -> int | None:
        """Since the tick before, or where ticks were skipped or saw nothing, since the last one that saw."""
        fact = self._facts.get((pool.name, PoolFact.LOST))
        if fact is None:
            return None
        since = self._since.get(pool.name) if at == self._looked else None
        if since is None:
            tick = timedelta(seconds=self._tick_s)
            before = self._counts(pool, at - tick)
            since = counts.at - tick if before is None else before.at
        if since >= counts.at:
            # An answer that is used a second time tells of no second loss.
            return 0
        if fact.until is None or fact.until < counts.by:
            # A counter that could not be read does not tell of none; what vanished is counted then.
            return None
        return sum(_nodes(pool, told, zone) for then, told in fact.told.items() if since < then <= counts.at)

    def _offered(self, pool: PoolSettings, zone: str, counts: "_Counts") -> bool | None:
        told = self._at(pool, PoolFact.OFFERED, counts)
        return None if told is None or zone not in told else told[zone] > 0


def _nodes(pool: PoolSettings, told: Told, zone: str) -> int:
    """What was told of a zone, or of all of them where the pool is not split by zone."""
    return math.ceil(told.get(zone, 0.0) if pool.zones else sum(told.values()))


def _looks(pool: PoolSettings, facts: Mapping[PoolFact, _Fact]) -> list[PastLook]:
    """The looks at which a pool was seen."""

    def by_zone(told: Told) -> dict[str, int]:
        if not pool.zones:
            return {pool.zone_keys[0]: round(sum(told.values()))}
        return {key: round(told.get(zone, 0.0)) for zone, key in zip(pool.zones, pool.zone_keys, strict=True)}

    lost, wanted = facts.get(PoolFact.LOST), facts[PoolFact.WANTED].told
    serving = facts[PoolFact.SERVING].told
    ready = facts[PoolFact.READY].told if pool.zones else serving
    return [
        PastLook(
            at=at,
            ready=by_zone(ready.get(at, {})),
            wanted=round(sum(wanted[at].values())) if at in wanted else None,
            lost=None if lost is None else by_zone(lost.told.get(at, {})),
        )
        for at in sorted(serving)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """What a Deployment was told to hold.

    Args:
        at: When.
        by: The look that told it.
        held: Its replicas.
        serving: Those that are ready.
    """

    at: datetime
    by: datetime
    held: int
    serving: int
