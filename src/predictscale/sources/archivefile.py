"""The sqlite file in which past decisions lie: a line of numbers for each, and what was told of it.

Lines stand in the order of time for each workload, so that a week of one is read in one sweep; what was
told is larger, lies beside them in the order in which it came, and is read one at a time. Blocking;
`control.decisionlog` calls it from a thread. Refuses to look into what was told: bytes in, bytes out; but
for once, when a file of the first version is brought up, see `sources.archiveupgrade`.
"""

import sqlite3
import zlib
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

from predictscale.core.demand import WorkloadId
from predictscale.sources.archiveupgrade import LINE, UPGRADES
from predictscale.sources.sqlitefile import open_database, pragma, rows_of, transaction

SCHEMA_VERSION: Final = 2
_APPLICATION_ID: Final = 0x70736364  # "pscd": tells these files from others
_BUSY_MS: Final = 1000
_PAGE_BYTES: Final = 16_384
"""What is told of a decision takes some 4 kB; in small pages most of it would overflow."""
_SPARE_PAGES: Final = 1024
_LEAST_DROPPED: Final = 64

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """The numbers of one decision, as charts want them; None is unknown.

    Args:
        at_us: Its instant [us since the epoch].
        demand: Offered load per second, if it was fresh.
        target: Replicas wanted, after the ceiling.
        published: What the HPA was told; None if that was UNAVAILABLE.
        reactive: Wanted without a forecast.
        plain: What a plain HPA would have asked for.
        replicas: Those there were.
        ready: Those that served.
        health: How much the decision knew.
        lead_s: The lead time it planned with [s].
        level: The quantile it covered.
        median: Demand that was forecast for the instant `lead_s` later, at level 0.5; then at others.
        p90: The same at 0.9.
        p95: The same at 0.95.
        p99: The same at 0.99.
        high: The same at `level`.
        marks: What else held, words with commas between; None if that was not kept.
    """

    at_us: int
    demand: float | None
    target: int
    published: int | None
    reactive: int
    plain: int | None
    replicas: int | None
    ready: int | None
    health: str
    lead_s: float
    level: float
    median: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    high: float | None
    marks: str | None


class Kept(NamedTuple):
    """A decision to be kept."""

    workload: WorkloadId
    unit: str
    line: Line
    packed: bytes


class Told(NamedTuple):
    """What was told of a past decision, and when it was made."""

    at_us: int
    said: bytes


_COLUMNS = tuple(field.name for field in fields(Line))
_LINE = ", ".join(_COLUMNS)
_TABLES = f"""
CREATE TABLE workload (
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, unit TEXT NOT NULL,
    UNIQUE (namespace, name)
) STRICT;
CREATE TABLE told (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
{LINE};
"""
_FIRST = f"PRAGMA page_size = {_PAGE_BYTES}; PRAGMA auto_vacuum = INCREMENTAL;"
_OF = "workload = (SELECT id FROM workload WHERE namespace = ? AND name = ?)"


class ArchiveFile:
    """One open file, or the same in memory.

    Args:
        path: Where it lies; None for memory.

    Raises:
        RebuildCache: It exists and is not ours, or is of a later version.
        sqlite3.Error: It cannot be opened.
        OSError: Its folder cannot be made.
    """

    def __init__(self, path: Path | None) -> None:
        self._db: sqlite3.Connection = open_database(
            path,
            application_id=_APPLICATION_ID,
            version=SCHEMA_VERSION,
            tables=_TABLES,
            busy_ms=_BUSY_MS,
            first=_FIRST,
            upgrades=UPGRADES,
        )
        self._ids: dict[tuple[WorkloadId, str], int] = {}

    def add(self, kept: Sequence[Kept], *, max_bytes: int) -> None:
        """Keep decisions, all or none; one of the same workload and instant takes the old one's place.

        What is oldest goes, of whichever workload, until no more than `max_bytes` are used.
        """
        try:
            with transaction(self._db):
                for one in kept:
                    self._add(one)
                self._shrink(max_bytes, drop=max(2 * len(kept), _LEAST_DROPPED))
        except BaseException:
            self._ids.clear()  # some may have been undone
            raise
        self._give_back()

    def lines(self, workload: WorkloadId, *, since_us: int, until_us: int) -> list[Line]:
        """The lines of [since, until], oldest first."""
        rows = rows_of(
            self._db,
            f"SELECT {_LINE} FROM line WHERE {_OF} AND at_us BETWEEN ? AND ? ORDER BY at_us",  # noqa: S608 - our own names
            (*workload, since_us, until_us),
        )
        return [Line(**dict(zip(_COLUMNS, row, strict=True))) for row in rows]

    def told(self, workload: WorkloadId, *, until_us: int, most: int) -> tuple[list[Told], int]:
        """What was told at or before an instant, newest first; and how many damaged ones are left out."""
        rows = rows_of(
            self._db,
            f"SELECT line.at_us, data FROM line JOIN told ON told.id = line.told "  # noqa: S608 - our own names
            f"WHERE {_OF} AND line.at_us <= ? ORDER BY line.at_us DESC LIMIT ?",
            (*workload, until_us, most),
        )
        good = []
        for at_us, data in rows:
            try:
                good.append(Told(at_us, zlib.decompress(data)))
            except zlib.error:
                continue  # its checksum is wrong
        return good, len(rows) - len(good)

    def span(self, workload: WorkloadId) -> tuple[int, int] | None:
        """The instants of the oldest and the newest line [us since the epoch]; None if there is none."""
        ((first, last),) = rows_of(
            self._db,
            f"SELECT (SELECT min(at_us) FROM line WHERE {_OF}), (SELECT max(at_us) FROM line WHERE {_OF})",  # noqa: S608 - our own names
            (*workload, *workload),
        )
        return None if first is None else (first, last)

    def unit(self, workload: WorkloadId) -> str | None:
        """What its demand counts; None if nothing is kept of it."""
        rows = rows_of(
            self._db, "SELECT unit FROM workload WHERE namespace = ? AND name = ?", tuple(workload)
        )
        return str(rows[0][0]) if rows else None

    def prune(self, before: datetime) -> None:
        """Forget what is older than an instant, and workloads of which nothing is left."""
        self._ids.clear()
        with transaction(self._db):
            self._forget(us(before))
            self._db.execute("DELETE FROM workload WHERE NOT EXISTS (SELECT 1 FROM line WHERE workload = id)")
        self._give_back()

    @property
    def used_bytes(self) -> int:
        """What is used of the file, beside sqlite's log of changes [bytes]."""
        return (pragma(self._db, "page_count") - pragma(self._db, "freelist_count")) * _PAGE_BYTES

    def close(self) -> None:
        """Write what sqlite still holds, and let go."""
        self._db.close()

    def _add(self, one: Kept) -> None:
        told = self._db.execute(
            "INSERT INTO told (at_us, data) VALUES (?, ?)", (one.line.at_us, one.packed)
        ).lastrowid
        values = (self._id(one.workload, one.unit), *astuple(one.line), told)
        places = ", ".join("?" * len(values))
        self._db.execute(
            f"INSERT OR REPLACE INTO line (workload, {_LINE}, told) VALUES ({places})",  # noqa: S608 - our own names
            values,
        )

    def _id(self, workload: WorkloadId, unit: str) -> int:
        known = self._ids.get((workload, unit))
        if known is None:
            ((known,),) = rows_of(
                self._db,
                "INSERT INTO workload (namespace, name, unit) VALUES (?, ?, ?) "
                "ON CONFLICT (namespace, name) DO UPDATE SET unit = excluded.unit RETURNING id",
                (*workload, unit),
            )
            self._ids[workload, unit] = int(known)
        return int(known)

    def _shrink(self, max_bytes: int, *, drop: int) -> None:
        while self.used_bytes > max_bytes:
            cut = rows_of(self._db, "SELECT at_us FROM told ORDER BY id LIMIT 1 OFFSET ?", (drop,))
            if cut:
                self._forget(int(cut[0][0]))
                drop *= 2
            elif drop > 1:
                drop //= 2  # there are fewer
            else:
                return  # the newest stays, however large it is

    def _forget(self, before_us: int) -> None:
        """Lines before an instant; and of what was told the part that came before anything of it."""
        workloads = rows_of(self._db, "SELECT id FROM workload")
        self._db.executemany(
            "DELETE FROM line WHERE workload = ? AND at_us < ?", [(each, before_us) for (each,) in workloads]
        )
        # What was told came about in the order of time: this looks at little more than what goes.
        self._db.execute(
            "DELETE FROM told WHERE id < coalesce("
            "(SELECT id FROM told WHERE at_us >= ? ORDER BY id LIMIT 1), (SELECT max(id) + 1 FROM told))",
            (before_us,),
        )

    def _give_back(self) -> None:
        """Let the disk have the pages that are free, if they are many; few will be used again."""
        if pragma(self._db, "freelist_count") > _SPARE_PAGES:
            rows_of(self._db, "PRAGMA incremental_vacuum")


def us(at: datetime) -> int:
    """An instant as the file counts it [us since the epoch]."""
    return (at - _EPOCH) // _US


def instant(at_us: int) -> datetime:
    """The instant of such a count."""
    return _EPOCH + timedelta(microseconds=at_us)


def packed(said: bytes) -> bytes:
    """What was told, as the file holds it: its checksum is looked at when it is read."""
    return zlib.compress(said)
