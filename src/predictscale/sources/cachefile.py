"""The sqlite file behind the history cache: rows in, rows out, in transactions.

Blocking; `History` calls it from a thread. Refuses to decide what a fault
means: sqlite's errors pass through, and a file that is not ours, is of another
version, or is damaged is `RebuildCache`.
"""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from predictscale.errors import RebuildCache
from predictscale.sources.blocks import Block, SeriesKey
from predictscale.sources.sqlitefile import open_database, rows_of, transaction

SCHEMA_VERSION: Final = 1
_APPLICATION_ID: Final = 0x70736361  # "psca": tells our files from other sqlite files
_BUSY_MS: Final = 1000

_TABLES = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, workload TEXT NOT NULL, signal TEXT NOT NULL, query_hash TEXT NOT NULL,
    step_s REAL NOT NULL, UNIQUE (workload, signal, query_hash, step_s)
) STRICT;
CREATE TABLE IF NOT EXISTS block (
    series INTEGER NOT NULL REFERENCES series (id) ON DELETE CASCADE, number INTEGER NOT NULL,
    crc INTEGER NOT NULL, data BLOB NOT NULL, PRIMARY KEY (series, number)
) STRICT;
CREATE TABLE IF NOT EXISTS blob (
    key TEXT PRIMARY KEY, at_s REAL, crc INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
"""


class CacheFile:
    """One open file.

    Raises:
        RebuildCache: It exists and is not ours, or is of another version.
        sqlite3.Error: It cannot be opened.
        OSError: Its folder cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._db = open_database(
            path, application_id=_APPLICATION_ID, version=SCHEMA_VERSION, tables=_TABLES, busy_ms=_BUSY_MS
        )

    def blocks(self, key: SeriesKey, first: int, last: int) -> tuple[dict[int, Block], int]:
        """The blocks numbered [first, last], and how many are damaged and left out."""
        rows = self._rows(
            "SELECT number, crc, data FROM block JOIN series ON series.id = block.series "
            "WHERE workload = ? AND signal = ? AND query_hash = ? AND step_s = ? AND number BETWEEN ? AND ?",
            (*_columns(key), first, last),
        )
        good: dict[int, Block] = {}
        for number, crc, data in rows:
            try:
                good[number] = Block.decode(data, bins=key.bins_per_block, crc=crc)
            except RebuildCache:
                continue  # it counts as never asked; what is asked again replaces it
        return good, len(rows) - len(good)

    def span(self, key: SeriesKey) -> tuple[int, int] | None:
        """The first and last number of the blocks there are."""
        ((first, last),) = self._rows(
            "SELECT min(number), max(number) FROM block JOIN series ON series.id = block.series "
            "WHERE workload = ? AND signal = ? AND query_hash = ? AND step_s = ?",
            _columns(key),
        )
        return None if first is None else (first, last)

    def merge(
        self,
        blocks: Mapping[tuple[SeriesKey, int], Block],
        blobs: Mapping[str, tuple[bytes, float | None]],
    ) -> int:
        """Lay `blocks` over what is there and put `blobs` (bytes, instant) in place, all or none.

        Merging reads what is there inside the transaction, so two services that
        share a file lose nothing of each other's.

        Returns:
            How many damaged blocks were replaced.
        """
        with transaction(self._db):
            damaged = sum(self._merge_one(key, number, newer) for (key, number), newer in blocks.items())
            self._db.executemany(
                "INSERT OR REPLACE INTO blob VALUES (?, ?, ?, ?)",
                [(name, at_s, zlib.crc32(data), data) for name, (data, at_s) in blobs.items()],
            )
        return damaged

    def _merge_one(self, key: SeriesKey, number: int, newer: Block) -> int:
        there, damaged = self.blocks(key, number, number)
        whole = there.get(number) or Block.blank(key.bins_per_block)
        whole.put(newer)
        data = whole.encode()
        self._db.execute(
            "INSERT OR REPLACE INTO block VALUES (?, ?, ?, ?)",
            (self._series(key), number, zlib.crc32(data), data),
        )
        return damaged

    def prune(self, before_s: float) -> None:
        """Forget blocks that end, and dated blobs that were made, before `before_s` [s since the epoch]."""
        for series, step_s in self._rows("SELECT id, step_s FROM series"):
            key = SeriesKey(workload="", signal="", query_hash="", step_s=step_s)
            oldest = int(before_s // (step_s * key.bins_per_block))
            self._db.execute("DELETE FROM block WHERE series = ? AND number < ?", (series, oldest))
        self._db.execute("DELETE FROM series WHERE id NOT IN (SELECT series FROM block)")
        self._db.execute("DELETE FROM blob WHERE at_s < ?", (before_s,))

    def blob(self, name: str) -> bytes | None:
        """The bytes under a name, or None.

        Raises:
            RebuildCache: They are not those that were kept.
        """
        rows = self._rows("SELECT crc, data FROM blob WHERE key = ?", (name,))
        if not rows:
            return None
        crc, data = rows[0]
        if zlib.crc32(data) != crc:
            raise RebuildCache(f"the bytes kept as {name} are damaged")
        return bytes(data)

    def close(self) -> None:
        """Write what sqlite still holds, and let go."""
        self._db.close()

    def _series(self, key: SeriesKey) -> int:
        self._db.execute(
            "INSERT OR IGNORE INTO series (workload, signal, query_hash, step_s) VALUES (?, ?, ?, ?)",
            _columns(key),
        )
        rows = self._rows(
            "SELECT id FROM series WHERE workload = ? AND signal = ? AND query_hash = ? AND step_s = ?",
            _columns(key),
        )
        return int(rows[0][0])

    def _rows(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        return rows_of(self._db, sql, values)


def _columns(key: SeriesKey) -> tuple[str, str, str, float]:
    return key.workload, key.signal, key.query_hash, key.step_s
