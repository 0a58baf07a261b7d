"""An archive that the first version wrote is read on, and no longer tells what KEDA was not told."""

import asyncio
import json
import re
import signal
import sqlite3
import sys
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from past_scenes import decided
from predictscale.control.decisionlog import DecisionLog
from predictscale.control.step import StepMemory, step
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision, Memory, OnStale, Policy
from predictscale.meters import Meters
from predictscale.serving.pastreader import encode
from predictscale.sources.archivefile import SCHEMA_VERSION, ArchiveFile, Line, us
from worlds import CHAT, at, policy, seen

SHOP = WorkloadId("prod", "shop")
FIRST = """
PRAGMA page_size = 16384; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE workload (
    id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, name TEXT NOT NULL, unit TEXT NOT NULL,
    UNIQUE (namespace, name)
) STRICT;
CREATE TABLE told (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at_us INTEGER NOT NULL, data BLOB NOT NULL
) STRICT;
CREATE TABLE line (
    workload INTEGER NOT NULL REFERENCES workload (id) ON DELETE CASCADE, at_us INTEGER NOT NULL,
    demand REAL, target INTEGER NOT NULL, published INTEGER NOT NULL, reactive INTEGER NOT NULL,
    plain INTEGER, replicas INTEGER, ready INTEGER, health TEXT NOT NULL, lead_s REAL NOT NULL,
    level REAL NOT NULL, median REAL, p90 REAL, p95 REAL, p99 REAL, high REAL,
    told INTEGER NOT NULL, PRIMARY KEY (workload, at_us)
) STRICT, WITHOUT ROWID;
PRAGMA application_id = 1886610276;
PRAGMA user_version = 1;
INSERT INTO workload VALUES (1, 'prod', 'chat', 'requests/s'), (2, 'prod', 'shop', 'requests/s');
COMMIT;
"""
"""The file as the first version made it."""

GONE = policy(on_stale=OnStale.UNAVAILABLE)


def long_ago(second: float, obeyed: Policy | None = None) -> Decision:
    """A decision whose demand is too old to hold a target by."""
    memory = Memory(last_good=10)
    made, _ = step(
        CHAT,
        seen(95, now=at(second), age_s=700, replicas=4),
        None,
        obeyed or policy(),
        StepMemory(live=memory, reactive=memory),
        unit="requests/s",
    )
    return made


NIGHT = (
    decided(0, 95),
    long_ago(60),
    long_ago(120, GONE),
    decided(180, None),
    decided(240, 70),
)
TOLD = [10, 1, None, None, 7]
"""What KEDA was told: a number, the floor while demand is stale, nothing, nothing, and a number."""


def said_before(decision: Decision) -> bytes:
    """What the first version told of a decision: a number, whether KEDA was told it or not, and no state."""
    number = decision.answer.published
    said = json.loads(encode(decision).split(b"\n")[0])
    del said["state"], said["state_because"]
    text = json.dumps(said, separators=(",", ":"))
    text = re.sub(r'"published_replicas":(\d+|null)', f'"published_replicas":{number}', text)
    return text.encode() + b'\nnull\n{"pools":{"pools":[{"published_replicas":3,"available":true}]}}'


def lay(path: Path, *decisions: Decision, workload: int = 1) -> None:
    """An archive of the first version with decisions in it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        if not path.stat().st_size:
            db.executescript(FIRST)
        for decision in decisions:
            at_us, data = us(decision.seen.now), zlib.compress(said_before(decision))
            told = db.execute("INSERT INTO told (at_us, data) VALUES (?, ?)", (at_us, data)).lastrowid
            plan = decision.plan
            row = (
                workload, at_us, decision.seen.demand, plan.target, decision.answer.published,
                decision.reactive.target, 9, 4, 4, plan.health.value, 240.0, 0.9, 1.5, 2.5, 3.5, 4.5, 2.5,
                told,
            )  # fmt: skip
            db.execute(f"INSERT INTO line VALUES ({', '.join('?' * len(row))})", row)  # noqa: S608 - no name


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.db"


def lines(file: ArchiveFile, workload: WorkloadId = CHAT) -> list[Line]:
    return file.lines(workload, since_us=0, until_us=us(at(86_400)))


def told(file: ArchiveFile) -> list[Any]:
    """What was told of decisions, oldest first."""
    found, damaged = file.told(CHAT, until_us=us(at(86_400)), most=100)
    assert damaged == 0
    return [json.loads(each.said.split(b"\n")[0]) for each in reversed(found)]


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("PRAGMA user_version").fetchone()[0])


def test_where_keda_was_told_nothing_no_number_is_told_any_more_and_all_else_is_kept(path: Path) -> None:
    lay(path, *NIGHT)
    lay(path, decided(0, 50), workload=2)
    with closing(ArchiveFile(path)) as file:
        kept = lines(file)
        assert [line.published for line in kept] == TOLD
        assert [line.at_us for line in kept] == [us(decision.seen.now) for decision in NIGHT]
        assert [line.target for line in kept] == [decision.plan.target for decision in NIGHT]
        assert [line.health for line in kept] == [decision.plan.health for decision in NIGHT]
        assert {(line.plain, line.ready, line.lead_s, line.median, line.high) for line in kept} == {
            (9, 4, 240.0, 1.5, 2.5)
        }
        assert {line.marks for line in kept} == {None}, "what else held was not kept then"
        assert [line.published for line in lines(file, SHOP)] == [5]
        said = told(file)
        assert [each["published_replicas"] for each in said] == TOLD
        for each, decision in zip(said, NIGHT, strict=True):
            before = json.loads(said_before(decision).split(b"\n")[0])
            assert each | {"published_replicas": before["published_replicas"]} == before
    assert version(path) == SCHEMA_VERSION
    assert list(path.parent.glob("*.damaged-*")) == []


async def test_the_archive_goes_on_in_the_file_of_the_version_before(path: Path) -> None:
    await asyncio.to_thread(lay, path, *NIGHT)
    meters = Meters()
    log = DecisionLog(path=path, encode=encode, meters=meters, keep_s=7 * 86_400, max_bytes=2**30)
    log.note(decided(300, None))
    await log.flush()
    kept = await log.lines(CHAT, since_us=0, until_us=us(at(86_400)))
    assert [line.published for line in kept] == [*TOLD, None]
    assert [line.marks for line in kept] == [None] * 5 + ["unavailable"]
    assert log.state == (True, None, 0)
    await log.aclose()
    assert meters.registry.get_sample_value("predictscale_archive_faults_total", {"reason": "schema"}) in (
        None,
        0.0,
    )


def test_only_the_part_of_a_pool_that_was_told_nothing_loses_its_number(path: Path) -> None:
    lay(path, long_ago(0))
    pools = (
        b'{"published_replicas":4,"available":true}',
        b'{"published_replicas":2,"available":false}',
    )
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        said = said_before(long_ago(0)).split(b"\n")[0] + b"\nnull\n" + b",".join(pools)
        db.execute("UPDATE told SET data = ?", (zlib.compress(said),))
    with closing(ArchiveFile(path)) as file:
        [line] = lines(file)
        assert line.published == 1, "the workload was told its floor"
        [one], _ = file.told(CHAT, until_us=us(at(86_400)), most=1)
        assert one.said.endswith(pools[0] + b',{"published_replicas":null,"available":false}')


def test_what_was_told_of_a_damaged_row_stays_damaged_and_stops_nothing(path: Path) -> None:
    lay(path, *NIGHT)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE told SET data = x'00' WHERE id = 3")
        db.execute("DELETE FROM told WHERE id = 4")
    with closing(ArchiveFile(path)) as file:
        assert len(lines(file)) == len(NIGHT)
        found, damaged = file.told(CHAT, until_us=us(at(86_400)), most=100)
        assert (len(found), damaged) == (3, 1)


@pytest.mark.parametrize("after", [0, 1, 2])
async def test_a_kill_in_the_middle_of_bringing_it_up_leaves_the_old_file_and_the_next_start_does_it(
    path: Path, after: int
) -> None:
    await asyncio.to_thread(lay, path, *NIGHT)
    crash = """
import os, sys
from pathlib import Path
from predictscale.sources import archiveupgrade
from predictscale.sources.archivefile import ArchiveFile

left, said = int(sys.argv[2]), archiveupgrade._said

def dies(db, told):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    return said(db, told)

archiveupgrade._said = dies
ArchiveFile(Path(sys.argv[1]))
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", crash, str(path), str(after))
    assert await process.wait() == -signal.SIGKILL
    assert version(path) == 1
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT published FROM line ORDER BY at_us").fetchall() == [
            (decision.answer.published,) for decision in NIGHT
        ]
    with closing(ArchiveFile(path)) as file:
        assert [line.published for line in lines(file)] == TOLD


def test_a_full_disk_leaves_the_old_file_as_it_is(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(path, *NIGHT)
    connect = sqlite3.connect

    def full(*args: Any, **options: Any) -> sqlite3.Connection:
        db: sqlite3.Connection = connect(*args, **options)
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count = {pages}")
        return db

    monkeypatch.setattr(sqlite3, "connect", full)
    with pytest.raises(sqlite3.OperationalError, match="full"):
        ArchiveFile(path)
    monkeypatch.setattr(sqlite3, "connect", connect)
    assert version(path) == 1
    with closing(ArchiveFile(path)) as file:
        assert [line.published for line in lines(file)] == TOLD


def test_the_disk_has_the_room_back_that_bringing_it_up_took(path: Path) -> None:
    lay(path, *NIGHT)
    with closing(ArchiveFile(path)):
        assert path.with_name(f"{path.name}-wal").stat().st_size == 0


def test_whoever_opens_it_second_finds_it_brought_up(path: Path) -> None:
    lay(path, *NIGHT)
    with closing(ArchiveFile(path)) as one, closing(ArchiveFile(path)) as other:
        assert lines(one) == lines(other)


def test_a_new_file_and_one_that_was_brought_up_have_the_same_tables(path: Path) -> None:
    lay(path, *NIGHT)
    fresh = path.with_name("fresh.db")
    for each in (path, fresh):
        ArchiveFile(each).close()

    def tables(of: Path) -> list[Any]:
        with closing(sqlite3.connect(of)) as db:
            names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
            return sorted(
                (name, *column) for name in names for column in db.execute(f"PRAGMA table_xinfo({name})")
            )

    assert tables(path) == tables(fresh)
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
