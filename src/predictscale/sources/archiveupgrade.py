"""How an archive that an earlier version of the service wrote becomes one of this version.

The first version kept a number for what the HPA was told, even where that was UNAVAILABLE. Whether it was
stands in what was told of the decision, which is looked into here, and nowhere else below `serving`. Refuses
to guess: what the old file does not tell is not known.
"""

import re
import sqlite3
import zlib
from typing import Final

from predictscale.sources.sqlitefile import Upgrades

LINE: Final = """
CREATE TABLE line (
    workload INTEGER NOT NULL REFERENCES workload (id) ON DELETE CASCADE, at_us INTEGER NOT NULL,
    demand REAL, target INTEGER NOT NULL, published INTEGER, reactive INTEGER NOT NULL,
    plain INTEGER, replicas INTEGER, ready INTEGER, health TEXT NOT NULL, lead_s REAL NOT NULL,
    level REAL NOT NULL, median REAL, p90 REAL, p95 REAL, p99 REAL, high REAL, marks TEXT,
    told INTEGER NOT NULL, PRIMARY KEY (workload, at_us)
) STRICT, WITHOUT ROWID
"""
"""The table of lines as this version has it."""

_KEPT: Final = (
    "workload, at_us, demand, target, published, reactive, plain, replicas, ready, health, lead_s, level, "
    "median, p90, p95, p99, high, told"
)
"""The columns of the first version."""
_UNTOLD: Final = re.compile(rb'("published_replicas":)\d+(,"available":false)')
"""What was told of a decision, or of a pool's part in it, that KEDA was not told. Quotes within texts are
escaped, so this can only be the fields themselves."""
_DOUBTFUL: Final = ("stale", "unknown")
"""Decisions of any other health were told, but for those in shadow mode whose run without a forecast alone
could not be sized; and but for the part of a spot pool whose nodes were never seen, which says 0 there beside
`"available":false`."""


def _to_2(db: sqlite3.Connection) -> None:
    """A number is kept only where KEDA was told one; there is room for what else held."""
    db.execute("ALTER TABLE line RENAME TO line_1")
    db.execute(LINE)
    db.execute(f"INSERT INTO line ({_KEPT}) SELECT {_KEPT} FROM line_1")  # noqa: S608 - our own names
    doubtful = db.execute("SELECT workload, at_us, told FROM line_1 WHERE health IN (?, ?)", _DOUBTFUL)
    for workload, at_us, told in doubtful:
        said = _said(db, told)
        corrected = _UNTOLD.sub(rb"\1null\2", said)
        if corrected == said:
            continue
        db.execute("UPDATE told SET data = ? WHERE id = ?", (zlib.compress(corrected), told))
        # The decision comes first of what was told, its pools come last.
        if _UNTOLD.search(said.partition(b"\n")[0]):
            db.execute("UPDATE line SET published = NULL WHERE workload = ? AND at_us = ?", (workload, at_us))
    db.execute("DROP TABLE line_1")


def _said(db: sqlite3.Connection, told: int) -> bytes:
    """What was told of a decision; nothing if that is damaged or gone."""
    found = db.execute("SELECT data FROM told WHERE id = ?", (told,)).fetchone()
    try:
        return b"" if found is None else zlib.decompress(found[0])
    except zlib.error:
        return b""


UPGRADES: Final[Upgrades] = {1: _to_2}
"""From each earlier version to the next."""
