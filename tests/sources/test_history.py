"""The cache on disk: what it keeps, and that nothing that befalls it stops the service."""

import asyncio
import sqlite3
import sys
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import structlog.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.core.demand import Signal, SignalName
from predictscale.core.series import MetricWindow
from predictscale.meters import Meters
from predictscale.sources.blocks import Block
from predictscale.sources.cachefile import SCHEMA_VERSION
from predictscale.sources.history import History, SeriesKey

START = datetime(2024, 3, 4, 22, 0, tzinfo=UTC)  # two hours before a block ends
STEP_S = 60.0
DEMAND = Signal(SignalName.DEMAND, "sum(demand)", "requests/s")
KEY = SeriesKey.of("shop/web", DEMAND, step_s=STEP_S)


def minutes(count: int) -> datetime:
    return START + timedelta(minutes=count)


def window(first: int, *values: float, step_s: float = STEP_S) -> MetricWindow:
    return MetricWindow(minutes(first), step_s, np.array(values))


def faults(meters: Meters, reason: str) -> float:
    return meters.registry.get_sample_value("predictscale_cache_faults_total", {"reason": reason}) or 0.0


@asynccontextmanager
async def history_at(path: Path | None, meters: Meters | None = None) -> AsyncGenerator[History]:
    history = History(path=path, meters=meters or Meters())
    try:
        yield history
    finally:
        await history.aclose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "history.db"


async def kept(path: Path | None, *, meters: Meters | None = None) -> list[float]:
    """The first three minutes, as a new process would find them."""
    async with history_at(path, meters) as history:
        return list((await history.load(KEY, START, minutes(3))).values)


async def keep(path: Path, *values: float) -> None:
    async with history_at(path) as history:
        await history.store(KEY, window(0, *values))


async def test_bins_survive_a_restart(path: Path) -> None:
    await keep(path, 1, 2, 3)
    assert await kept(path) == [1.0, 2.0, 3.0]


async def test_what_was_never_stored_is_a_gap(path: Path) -> None:
    np.testing.assert_equal(await kept(path), [np.nan] * 3)
    np.testing.assert_equal(await kept(None), [np.nan] * 3)


async def test_a_gap_that_was_asked_for_is_covered_after_a_restart(path: Path) -> None:
    await keep(path, 1, np.nan, 3)
    async with history_at(path) as history:
        np.testing.assert_equal((await history.load(KEY, START, minutes(3))).values, [1, np.nan, 3])
        assert await history.covered(KEY) == [(START, minutes(3))]


@pytest.mark.parametrize("on_disk", [True, False])
async def test_covered_stretches_are_told_apart_across_days(path: Path, *, on_disk: bool) -> None:
    async with history_at(path if on_disk else None) as history:
        assert await history.covered(KEY) == []
        await history.store(KEY, window(118, 1, 2, 3, 4))  # over midnight
        await history.flush()
        await history.store(KEY, window(3000, 5))
        await history.store(KEY, window(122, 6))
        assert await history.covered(KEY) == [
            (minutes(118), minutes(123)),
            (minutes(3000), minutes(3001)),
        ]


async def test_a_gap_never_erases_a_value_and_a_newer_value_wins(path: Path) -> None:
    await keep(path, 1, 2, 3)
    await keep(path, np.nan, 7)
    assert await kept(path) == [1.0, 7.0, 3.0]


@pytest.mark.parametrize(
    "other",
    [
        SeriesKey.of("shop/api", DEMAND, step_s=STEP_S),
        SeriesKey.of("shop/web", Signal(SignalName.QUEUE, "sum(demand)", "requests"), step_s=STEP_S),
        SeriesKey.of("shop/web", Signal(SignalName.DEMAND, "sum(other)", "requests/s"), step_s=STEP_S),
        SeriesKey.of(
            "shop/web",
            Signal(SignalName.DEMAND, "sum(demand)", "requests/s", empty_is_zero=True),
            step_s=STEP_S,
        ),
        SeriesKey.of("shop/web", DEMAND, step_s=30),
    ],
    ids=["workload", "signal", "query", "empty_is_zero", "step"],
)
async def test_another_question_has_another_past(path: Path, other: SeriesKey) -> None:
    await keep(path, 1, 2, 3)
    async with history_at(path) as history:
        assert not (await history.load(other, START, minutes(3))).known.any()
        assert await history.covered(other) == []
    assert str(other) != str(KEY)


async def test_a_window_on_another_grid_is_refused() -> None:
    async with history_at(None) as history:
        with pytest.raises(ValueError, match="steps of 30 s; the key says 60 s"):
            await history.store(KEY, window(0, 1, step_s=30))


stretches = st.lists(
    st.tuples(
        st.integers(0, 4000),
        st.lists(st.one_of(st.just(np.nan), st.floats(0, 1e9)), min_size=1, max_size=40),
        st.booleans(),
    ),
    max_size=6,
)


@settings(max_examples=25, deadline=None)
@given(stretches=stretches, step_s=st.sampled_from([15.0, 60.0, 7.0, 90_000.0]))
def test_whatever_is_stored_in_whatever_order_reads_as_one_window(
    tmp_path_factory: pytest.TempPathFactory,
    stretches: list[tuple[int, list[float], bool]],
    step_s: float,
) -> None:
    key = SeriesKey.of("shop/web", DEMAND, step_s=step_s)
    origin = key.instant(1_000_000)
    expected, asked = np.full(4100, np.nan), np.zeros(4100, dtype=bool)

    async def story() -> None:
        async with history_at(tmp_path_factory.mktemp("history") / "history.db") as history:
            for first, values, flush in stretches:
                start = key.instant(1_000_000 + first)
                await history.store(key, MetricWindow(start, step_s, np.array(values)))
                place = slice(first, first + len(values))
                expected[place] = np.where(np.isnan(values), expected[place], values)
                asked[place] = True
                if flush:
                    await history.flush()
            recall = await history.recall(key, origin, key.instant(1_004_100))
            np.testing.assert_equal(recall.window.values, expected)
            np.testing.assert_equal(recall.asked, asked)
            covered = await history.covered(key)
            assert sum(key.index(end) - key.index(start) for start, end in covered) == asked.sum()

    asyncio.run(story())


@settings(deadline=None)
@given(bins=st.integers(1, 50), known=st.sets(st.integers(0, 49)))
def test_a_block_is_the_same_after_its_way_through_bytes(bins: int, known: set[int]) -> None:
    block = Block.blank(bins)
    for place in known & set(range(bins)):
        block.values[place], block.asked[place] = place / 3, True
    data = block.encode()
    again = Block.decode(data, bins=bins, crc=zlib.crc32(data))
    np.testing.assert_equal(again.values, block.values)
    np.testing.assert_equal(again.asked, block.asked)


async def test_much_that_waits_is_written_without_being_told(path: Path) -> None:
    async with history_at(path) as history:
        days = MetricWindow(START, 3600.0, np.ones(70 * 24))
        await history.store(SeriesKey.of("shop/web", DEMAND, step_s=3600), days)
        with closing(sqlite3.connect(path)) as other:
            assert other.execute("SELECT count(*) FROM block").fetchone()[0] >= 70


async def test_what_is_on_disk_does_not_stay_in_memory(path: Path) -> None:
    async with history_at(path) as history:
        await history.store(KEY, window(0, 1))
        await history.blob_put("model", b"numbers")
        await history.flush()
        assert not history._waiting
        assert not history._waiting_blobs
        assert (await history.load(KEY, START, minutes(1))).values == [1]


async def test_services_that_begin_a_file_at_the_same_time_take_nothing_for_damage(tmp_path: Path) -> None:
    for attempt in range(10):
        path = tmp_path / f"history-{attempt}.db"
        meters = [Meters() for _ in range(4)]
        services = [History(path=path, meters=one) for one in meters]
        for place, one in enumerate(services):
            await one.store(KEY, window(place, place))
        await asyncio.gather(*(one.flush() for one in services))
        for one in services:
            await one.aclose()
        assert sum(faults(one, "schema") + faults(one, "damaged") for one in meters) == 0
        async with history_at(path) as history:
            assert list((await history.load(KEY, START, minutes(4))).values) == [0, 1, 2, 3]


async def test_pruning_forgets_old_days_and_keeps_the_rest(path: Path) -> None:
    async with history_at(path) as history:
        await history.store(KEY, window(0, 1))
        await history.store(KEY, window(3 * 1440, 2))
        await history.blob_put("old", b"1", at=START)
        await history.blob_put("undated", b"2")
        await history.flush()
        await history.store(KEY, window(1, 3))
        await history.prune(minutes(2 * 1440))
        assert await history.covered(KEY) == [(minutes(3 * 1440), minutes(3 * 1440 + 1))]
        assert await history.blob_get("old") is None
        assert await history.blob_get("undated") == b"2"


@pytest.mark.parametrize("on_disk", [True, False])
async def test_blobs_come_back_as_they_were_put(path: Path, *, on_disk: bool) -> None:
    where = path if on_disk else None
    async with history_at(where) as history:
        await history.blob_put("a", b"first")
        await history.blob_put("a", b"second")
        assert await history.blob_get("a") == b"second"
        assert await history.blob_get("b") is None
        await history.flush()
        assert await history.blob_get("a") == b"second"
    if on_disk:
        async with history_at(path) as history:
            assert await history.blob_get("a") == b"second"


async def test_two_services_that_share_a_file_lose_nothing_of_each_other(path: Path) -> None:
    async with history_at(path) as one, history_at(path) as other:
        await one.store(KEY, window(0, 1))
        await other.store(KEY, window(1, 2))
        await asyncio.gather(one.flush(), other.flush())
        await one.store(KEY, window(2, 3))
        await one.flush()
        assert list((await other.load(KEY, START, minutes(3))).values) == [1.0, 2.0, 3.0]


# --- what may befall the file


def scribble(path: Path) -> bytes:
    path.write_bytes(b"not a database, but long enough to be taken for one" * 100)
    return path.read_bytes()


def other_schema(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    return path.read_bytes()


def another_s_database(path: Path) -> bytes:
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE guests (name TEXT)")
    return path.read_bytes()


def lost_table(path: Path) -> bytes:
    with closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE block")
    return path.read_bytes()


def torn_pages(path: Path) -> bytes:
    data = bytearray(path.read_bytes())
    data[4096:] = b"\x99" * (len(data) - 4096)
    path.write_bytes(data)
    return bytes(data)


@pytest.mark.parametrize("harm", [scribble, other_schema, another_s_database, lost_table, torn_pages])
async def test_a_damaged_file_is_set_aside_and_a_new_one_is_begun(
    path: Path, harm: Callable[[Path], bytes]
) -> None:
    await keep(path, 1, 2, 3)
    harmed = harm(path)
    meters = Meters()
    with structlog.testing.capture_logs() as logs:
        np.testing.assert_equal(await kept(path, meters=meters), [np.nan] * 3)
    assert faults(meters, "schema") + faults(meters, "damaged") == 1
    assert [line["event"] for line in logs] == ["history_cache_fault", "history_cache_set_aside"]
    assert path.with_name("history.db.damaged-1").read_bytes() == harmed
    await keep(path, 4, 5, 6)
    assert await kept(path) == [4.0, 5.0, 6.0]


async def test_a_second_damaged_file_does_not_replace_the_first(path: Path) -> None:
    for _ in range(2):
        await keep(path, 1)
        scribble(path)
        await kept(path)
    assert {file.name for file in path.parent.glob("*.damaged-*")} == {
        "history.db.damaged-1",
        "history.db.damaged-2",
    }


async def test_of_files_that_are_damaged_again_and_again_the_newest_are_kept(path: Path) -> None:
    """A disk that damages whatever is written must not be filled with what it damaged."""
    for _ in range(7):
        await keep(path, 1)
        scribble(path)
        await kept(path)
    assert {file.name for file in path.parent.glob("*.damaged-*")} == {
        "history.db.damaged-5",
        "history.db.damaged-6",
        "history.db.damaged-7",
    }


async def test_a_damaged_row_is_only_asked_for_again(path: Path) -> None:
    await keep(path, 1, 2, 3)
    async with history_at(path) as history:
        await history.store(KEY, window(1440, 4))
        await history.blob_put("model", b"numbers")
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE block SET crc = crc + 1 WHERE number = (SELECT min(number) FROM block)")
        db.execute("UPDATE blob SET data = x'00'")
        db.commit()
    meters = Meters()
    async with history_at(path, meters) as history:
        assert await history.covered(KEY) == [(minutes(1440), minutes(1441))]
        assert await history.blob_get("model") is None
        assert faults(meters, "crc") == 2
        await history.store(KEY, window(0, 5, 6, 7))
    assert await kept(path) == [5.0, 6.0, 7.0]
    assert not list(path.parent.glob("*.damaged-*"))


async def test_a_locked_file_is_written_once_the_lock_is_gone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("predictscale.sources.cachefile._BUSY_MS", 1)
    await keep(path, 1)
    meters = Meters()
    async with history_at(path, meters) as history:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await history.store(KEY, window(1, 2))
            await history.flush()
            assert faults(meters, "locked") == 1
            # Readers are not kept waiting, and what waits is seen.
            assert (await history.load(KEY, START, minutes(2))).known.all()
            other.execute("ROLLBACK")
        await history.flush()
        assert faults(meters, "locked") == 1
    np.testing.assert_equal(await kept(path), [1.0, 2.0, np.nan])


async def test_while_a_file_is_locked_no_store_waits_for_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a thousand workloads each stores a bin a minute; a second's wait for each would stop them all."""
    monkeypatch.setattr("predictscale.sources.cachefile._BUSY_MS", 1)
    await keep(path, 1)
    meters = Meters()
    many = MetricWindow(START, 3600.0, np.ones(70 * 24))
    keys = [SeriesKey.of(f"shop/{n}", DEMAND, step_s=3600) for n in range(9)]
    async with history_at(path, meters) as history:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            for key in keys:
                await history.store(key, many)
            assert faults(meters, "locked") == 1
            other.execute("ROLLBACK")
        await history.flush()
        assert not history._waiting
        await history.store(keys[0], many)
        assert not history._waiting


@pytest.mark.parametrize(
    ("pragma", "cure", "reason"),
    [
        ("max_page_count = 1", "max_page_count = 100000", "full"),
        ("query_only = 1", "query_only = 0", "read-only"),
    ],
)
async def test_a_full_or_read_only_disk_leaves_the_service_in_memory_and_says_so_once(
    path: Path, pragma: str, cure: str, reason: str
) -> None:
    await keep(path, 1)
    meters = Meters()
    async with history_at(path, meters) as history:
        await history.load(KEY, START, minutes(1))
        file = history._file
        assert file is not None
        assert file.opened is not None
        file.opened._db.execute(f"PRAGMA {pragma}")
        many = MetricWindow(minutes(1), STEP_S, np.ones(5000))
        with structlog.testing.capture_logs() as logs:
            await history.store(KEY, many)
            for _ in range(3):
                if file.opened is not None:
                    file.opened._db.execute(f"PRAGMA {pragma}")
                await history.flush()
            assert (await history.load(KEY, minutes(1), minutes(5001))).known.all()
        assert faults(meters, reason) >= 1
        assert len(logs) == 1
        if file.opened is not None:
            file.opened._db.execute(f"PRAGMA {cure}")
    async with history_at(path) as history:
        assert (await history.load(KEY, START, minutes(5001))).known.all()


async def test_a_folder_that_cannot_be_made_leaves_the_service_in_memory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    meters = Meters()
    async with history_at(tmp_path / "file" / "history.db", meters) as history:
        await history.store(KEY, window(0, 1, 2, 3))
        await history.blob_put("model", b"numbers")
        await history.flush()
        assert list((await history.load(KEY, START, minutes(3))).values) == [1.0, 2.0, 3.0]
        assert await history.blob_get("model") == b"numbers"
        assert await history.covered(KEY) == [(START, minutes(3))]
        await history.prune(minutes(0))
        assert faults(meters, "io") >= 1


async def test_a_crash_in_the_middle_of_a_write_leaves_the_old_rows(path: Path) -> None:
    await keep(path, 1, 2, 3)
    crash = """
import os, sys
from pathlib import Path
import numpy as np
from predictscale.sources.blocks import Block, SeriesKey
from predictscale.sources.cachefile import CacheFile

class Crash(dict):
    def items(self):
        yield from list(super().items())
        os._exit(9)  # after the rows are written, before they are committed

key = SeriesKey(workload="shop/web", signal="demand", query_hash=sys.argv[2], step_s=60.0)
file = CacheFile(Path(sys.argv[1]))
number = file.span(key)[0]
block = Block.blank(1440)
block.values[:] = 9.0
block.asked[:] = True
file.merge(Crash({(key, number): block}), {})
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", crash, str(path), KEY.query_hash)
    assert await process.wait() == 9
    meters = Meters()
    assert await kept(path, meters=meters) == [1.0, 2.0, 3.0]
    assert faults(meters, "damaged") == 0
