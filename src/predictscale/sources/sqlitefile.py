"""What every sqlite file of ours has in common: how it is opened, whose it is, what its faults are called.

Blocking; callers use a thread. Refuses a file that is not ours, or of a version from which nothing leads to
this one.
"""

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from predictscale.errors import RebuildCache

Upgrades = Mapping[int, Callable[[sqlite3.Connection], None]]
"""By version: what makes a file of it one of the next version. Runs within a transaction."""

_BESIDE = ("-wal", "-shm")
_SET_ASIDE = 3
"""So many damaged files are kept for whoever wants to know why."""
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH}


def open_database(
    path: Path | None,
    *,
    application_id: int,
    version: int,
    tables: str,
    busy_ms: int,
    first: str = "",
    upgrades: Upgrades | None = None,
) -> sqlite3.Connection:
    """A connection to a file of ours, which is made if it is not there, and brought up if it is older.

    Args:
        path: The file; None for one in memory.
        application_id: Tells files of this kind from others.
        version: Of its tables.
        tables: The statements that make them.
        busy_ms: How long another's lock is waited for [ms].
        first: Pragmas that only an empty file takes.
        upgrades: How files of earlier versions are brought up.

    Raises:
        RebuildCache: It exists and is not ours, or is of another version that cannot be brought up.
        sqlite3.Error: It cannot be opened.
        OSError: Its folder cannot be made.
    """
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    # Calls come from a thread pool, one at a time.
    db = sqlite3.connect(path or ":memory:", check_same_thread=False, isolation_level=None)
    try:
        db.execute(f"PRAGMA busy_timeout = {busy_ms}")
        db.execute("PRAGMA foreign_keys = ON")
        found = _version_of(db, application_id=application_id)
        if found is None:
            db.executescript(first)
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(
                f"BEGIN IMMEDIATE;\n{tables}\nPRAGMA application_id = {application_id};\n"
                f"PRAGMA user_version = {version};\nCOMMIT;"
            )
        elif found != version:
            _bring_up(db, version=version, upgrades=upgrades or {})
            # What was rewritten is in the log of changes as well, which keeps its size by itself.
            rows_of(db, "PRAGMA wal_checkpoint(TRUNCATE)")
        # A crash may lose the last transactions; it cannot damage the file.
        db.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        db.close()
        raise
    return db


def _version_of(db: sqlite3.Connection, *, application_id: int) -> int | None:
    """The version of our tables in the file; None if it is new and empty."""
    # In one transaction: another service may be making the tables just now.
    db.execute("BEGIN")
    found = tuple(pragma(db, name) for name in ("application_id", "user_version", "schema_version"))
    db.execute("COMMIT")
    if found == (0, 0, 0):
        return None
    if found[0] != application_id:
        raise RebuildCache("it is a file of another kind")
    return found[1]


def _bring_up(db: sqlite3.Connection, *, version: int, upgrades: Upgrades) -> None:
    """Make an older file one of this version: as a whole, or not at all."""
    with transaction(db):
        # Looked at again under the lock: another service may have brought it up meanwhile.
        while (found := pragma(db, "user_version")) != version:
            if found not in upgrades:
                raise RebuildCache(f"its schema is {found}, this version of the service has {version}")
            upgrades[found](db)
            db.execute(f"PRAGMA user_version = {found + 1}")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All that is written within, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # After a full disk sqlite has rolled back already.
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def rows_of(db: sqlite3.Connection, sql: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
    """All rows of a question."""
    with closing(db.execute(sql, values)) as cursor:
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows


def pragma(db: sqlite3.Connection, name: str) -> int:
    """One of sqlite's own numbers."""
    return int(rows_of(db, f"PRAGMA {name}")[0][0])


def fault_of(error: sqlite3.Error | OSError) -> str:
    """Why the file cannot be used, as a counter's label: damaged, locked, full, read-only or io."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
    return {
        **dict.fromkeys(_DAMAGE, "damaged"),
        sqlite3.SQLITE_BUSY: "locked",
        sqlite3.SQLITE_LOCKED: "locked",
        sqlite3.SQLITE_FULL: "full",
        sqlite3.SQLITE_READONLY: "read-only",
    }.get(code, "io")


def set_aside(path: Path) -> Path:
    """Rename a damaged file, with sqlite's files beside it, to the next free `<name>.damaged-N`.

    Of those that were set aside before, the newest stay: what is damaged time and again fills no disk.

    Raises:
        OSError: The folder does not allow it.
    """
    prefix = f"{path.name}.damaged-"
    names = (file.name.removeprefix(prefix) for file in path.parent.iterdir() if file.name.startswith(prefix))
    taken = sorted(int(number) for number in names if number.isdecimal())
    aside = path.with_name(f"{prefix}{(taken[-1] if taken else 0) + 1}")
    path.rename(aside)
    for suffix in _BESIDE:
        beside = path.with_name(path.name + suffix)
        if beside.exists():
            beside.rename(aside.with_name(aside.name + suffix))
    for number in taken[: max(0, len(taken) + 1 - _SET_ASIDE)]:
        for suffix in ("", *_BESIDE):
            path.with_name(f"{prefix}{number}{suffix}").unlink(missing_ok=True)
    return aside
