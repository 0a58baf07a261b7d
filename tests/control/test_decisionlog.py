"""The archive of decisions: what it keeps, and that nothing that befalls it stops anybody."""

import asyncio
import json
import signal
import sqlite3
import sys
import threading
import zlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from past_scenes import afternoon, decided, rising
from patience import WITHIN_S
from predictscale.control.decisionline import line_of
from predictscale.control.decisionlog import IN_MEMORY_S, DecisionLog
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision, Health, Mode
from predictscale.meters import Meters
from predictscale.sources.archivefile import ArchiveFile, Kept, instant, us
from worlds import CHAT, at, policy

SHOP = WorkloadId("prod", "shop")
ALWAYS_US = us(at(400 * 86_400))


def encode(decision: Decision) -> bytes:
    """What a test tells of a decision."""
    return json.dumps([str(decision.workload), decision.seen.now.isoformat(), decision.seen.demand]).encode()


@asynccontextmanager
async def log_at(
    path: Path | None,
    meters: Meters | None = None,
    *,
    keep_s: float = 7 * 86_400,
    max_bytes: int = 2**30,
    most_waiting: int = 1000,
) -> AsyncGenerator[DecisionLog]:
    log = DecisionLog(
        path=path,
        encode=encode,
        meters=meters or Meters(),
        keep_s=keep_s,
        max_bytes=max_bytes,
        most_waiting=most_waiting,
    )
    try:
        yield log
    finally:
        await log.aclose()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "decisions.db"


def faults(meters: Meters, reason: str) -> float:
    return meters.registry.get_sample_value("predictscale_archive_faults_total", {"reason": reason}) or 0.0


async def kept(log: DecisionLog, workload: WorkloadId = CHAT) -> list[float]:
    """The seconds after noon of the decisions that are kept, oldest first."""
    told = await log.told(workload, until_us=ALWAYS_US, most=10_000)
    lines = await log.lines(workload, since_us=0, until_us=ALWAYS_US)
    assert [us(past.at) for past in reversed(told)] == [line.at_us for line in lines]
    return [(instant(line.at_us) - at(0)).total_seconds() for line in lines]


async def keep(path: Path | None, *decisions: Decision) -> None:
    async with log_at(path) as log:
        for decision in decisions:
            log.note(decision)


async def test_the_first_decision_of_each_minute_is_kept() -> None:
    async with log_at(None) as log:
        for decision in afternoon(until_s=180):
            log.note(decision)
        assert await kept(log) == [0, 60, 120]


def with_plan(decision: Decision, **changed: Any) -> Decision:
    return replace(decision, plan=replace(decision.plan, **changed))


@pytest.mark.parametrize(
    "other",
    [
        with_plan(decided(15), target=9),
        with_plan(decided(15), published=9),
        with_plan(decided(15), health=Health.HOLDING),
        with_plan(decided(15), available=False),
        decided(15, obeyed=policy(mode=Mode.SHADOW)),
    ],
    ids=["target", "published", "health", "available", "mode"],
)
async def test_a_decision_that_changes_the_answer_is_kept_within_the_minute_and_so_is_the_way_back(
    other: Decision,
) -> None:
    async with log_at(None) as log:
        for decision in (decided(0), other, decided(30), decided(45), decided(60)):
            log.note(decision)
        assert await kept(log) == [0, 15, 30, 60]


async def test_a_workloads_neighbour_changes_nothing_for_it() -> None:
    async with log_at(None) as log:
        for one, other in zip(afternoon(until_s=60), afternoon(until_s=60, workload=SHOP), strict=True):
            log.note(one)
            log.note(replace(other, seen=replace(other.seen, demand=70.0)))
        assert (await kept(log), await kept(log, SHOP)) == ([0], [0])


async def test_what_was_told_then_is_told_after_a_restart(path: Path) -> None:
    decisions = list(afternoon(until_s=180))
    await keep(path, *decisions)
    async with log_at(path) as log:
        told = await log.told(CHAT, until_us=ALWAYS_US, most=10)
        assert [past.said for past in told] == [encode(decision) for decision in decisions[8::-4]]
        assert await kept(log) == [0, 60, 120]
        assert await log.unit(CHAT) == "requests/s"
        span = await log.span(CHAT)
        assert span == (at(0), at(120))
        assert (await log.span(SHOP), await log.unit(SHOP)) == (None, None)


@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize("flushed", [True, False])
async def test_what_is_asked_of_between_two_rows_is_the_row_before(
    path: Path, *, on_disk: bool, flushed: bool
) -> None:
    async with log_at(path if on_disk else None) as log:
        for decision in (decided(0), decided(60), decided(120)):
            log.note(decision)
        if flushed:
            await log.flush()
        for asked_s, found_s in ((-1, None), (0, 0), (59, 0), (60, 60), (119.9, 60), (5000, 120)):
            found = await log.told(CHAT, until_us=us(at(asked_s)))
            assert [past.at for past in found] == ([] if found_s is None else [at(found_s)])


@settings(deadline=None, max_examples=30)
@given(
    seconds=st.lists(st.integers(0, 500), unique=True, max_size=40),
    flush_after=st.sets(st.integers(0, 40)),
    size=st.integers(1, 7),
)
async def test_pages_yield_each_kept_decision_once_newest_first(
    seconds: list[int], flush_after: set[int], size: int
) -> None:
    async with log_at(None) as log:
        for place, second in enumerate(sorted(seconds)):
            log.note(decided(60.0 * second))
            if place in flush_after:
                await log.flush()
        pages, until_us = [], ALWAYS_US
        while page := await log.told(CHAT, until_us=until_us, most=size):
            pages += [(past.at - at(0)).total_seconds() / 60 for past in page]
            until_us = us(page[-1].at) - 1
        assert pages == sorted(seconds, reverse=True)


async def test_a_decision_made_again_for_the_same_instant_replaces_the_first(path: Path) -> None:
    await keep(path, decided(0, 25))
    await keep(path, decided(0, 33))
    async with log_at(path) as log:
        [told] = await log.told(CHAT, until_us=ALWAYS_US, most=10)
        assert json.loads(told.said)[2] == 33


async def test_every_number_of_a_line_survives_a_restart(path: Path) -> None:
    decision = decided(0, 25.5, forecast=rising(0), obeyed=policy(lead_time_s=240, level=0.93))
    async with log_at(path) as log:
        log.note(decision, plain=7)
        [waiting] = await log.lines(CHAT, since_us=0, until_us=ALWAYS_US)
    async with log_at(path) as log:
        [line] = await log.lines(CHAT, since_us=0, until_us=ALWAYS_US)
    assert line == waiting == line_of(decision, plain=7)
    assert (line.plain, line.lead_s, line.level, line.health) == (7, 240, 0.93, "ok")


def test_a_line_tells_the_forecast_for_the_end_of_its_lead_time() -> None:
    line = line_of(decided(75, forecast=rising(75), obeyed=policy(lead_time_s=240, level=0.93)))
    # At 12:01:15 what is asked for serves at 12:05:15, in the fifth minute.
    assert line.median == pytest.approx(5)
    assert (line.p90, line.p95, line.p99) == pytest.approx((9, 9.5, 9.9))
    assert line.high == pytest.approx(9.3)


@pytest.mark.parametrize(
    "decision",
    [
        decided(0, forecast=rising(0, steps=4)),
        decided(0),
    ],
    ids=["too short", "no forecast"],
)
def test_what_was_not_forecast_is_unknown_and_not_zero(decision: Decision) -> None:
    line = line_of(decision)
    assert {line.median, line.p90, line.p95, line.p99, line.high} == {None}


def of_a_partial_answer(decision: Decision) -> Decision:
    return replace(decision, seen=replace(decision.seen, partial=True))


@pytest.mark.parametrize(
    ("decision", "known"),
    [
        (decided(0, 25, age_s=30), 25),
        (decided(0, 25, age_s=300), None),
        (of_a_partial_answer(decided(0, 25)), None),
    ],
)
def test_demand_that_was_not_fresh_or_not_all_of_it_is_unknown(
    decision: Decision, known: float | None
) -> None:
    assert line_of(decision).demand == known


async def test_what_is_old_goes_and_so_do_workloads_of_which_nothing_is_left(path: Path) -> None:
    async with log_at(path, keep_s=100) as log:
        for decision in (decided(0), decided(60), decided(0, workload=SHOP)):
            log.note(decision)
        await log.flush()
        await log.prune(at(130))
        assert await kept(log) == [60]
        assert await log.unit(SHOP) is None
        # A workload that comes back is known again.
        log.note(decided(300, workload=SHOP))
        await log.flush()
        assert await kept(log, SHOP) == [300]
        assert log.state.problem is None


async def test_without_a_file_no_more_than_a_day_is_kept() -> None:
    async with log_at(None) as log:
        log.note(decided(0))
        log.note(decided(120))
        await log.flush()
        await log.prune(at(60) + timedelta(seconds=IN_MEMORY_S))
        assert await kept(log) == [120]
        assert log.state.on_disk is False


@pytest.mark.parametrize("told_bytes", [8000, 40_000])
def test_beyond_its_bytes_what_is_oldest_goes_of_whichever_workload(path: Path, told_bytes: int) -> None:
    most = 2**20
    with closing(ArchiveFile(path)) as file:
        for minute in range(400):
            workload = (CHAT, SHOP)[minute % 2]
            line = line_of(decided(60.0 * minute, workload=workload))
            file.add([Kept(workload, "requests/s", line, bytes(told_bytes))], max_bytes=most)
            assert file.used_bytes <= most
        spans = [file.span(workload) for workload in (CHAT, SHOP)]
    assert path.stat().st_size <= 1.1 * most
    newest = [us(at(60.0 * 398)), us(at(60.0 * 399))]
    assert [span[1] for span in spans if span is not None] == newest
    oldest = [span[0] for span in spans if span is not None]
    assert min(oldest) > us(at(0))
    assert max(oldest) - min(oldest) == 60_000_000


async def test_a_kill_in_the_middle_of_a_write_leaves_what_was_there(path: Path) -> None:
    await keep(path, decided(0), decided(60))
    crash = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from past_scenes import decided
from predictscale.control.decisionline import line_of
from predictscale.sources.archivefile import ArchiveFile, Kept, packed

file = ArchiveFile(Path(sys.argv[1]))
file._shrink = lambda *_, **__: os.kill(os.getpid(), 9)  # the rows are written, and not committed
one = decided(120)
file.add([Kept(one.workload, one.unit, line_of(one), packed(b"lost"))], max_bytes=2**30)
"""
    tests = str(Path(__file__).parents[1])
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", crash, str(path), tests)
    assert await process.wait() == -signal.SIGKILL
    meters = Meters()
    async with log_at(path, meters) as log:
        assert await kept(log) == [0, 60]
        assert log.state.problem is None
    assert faults(meters, "damaged") == 0


@pytest.mark.parametrize("content", [b"not sqlite " * 1000, b""])
async def test_a_damaged_file_is_set_aside_and_a_new_one_is_begun(path: Path, content: bytes) -> None:
    await asyncio.to_thread(path.parent.mkdir)
    await asyncio.to_thread(path.write_bytes, content)
    meters = Meters()
    async with log_at(path, meters) as log:
        assert await kept(log) == []
        log.note(decided(0))
    async with log_at(path) as log:
        assert await kept(log) == [0]
    assert faults(meters, "damaged") == bool(content)
    assert len(list(path.parent.glob("*.damaged-*"))) == bool(content)


async def test_a_file_of_another_version_is_set_aside(path: Path) -> None:
    await keep(path, decided(0))
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    meters = Meters()
    await keep_counted(path, meters, decided(60))
    async with log_at(path) as log:
        assert await kept(log) == [60]
    assert faults(meters, "schema") == 1


async def keep_counted(path: Path, meters: Meters, *decisions: Decision) -> None:
    async with log_at(path, meters) as log:
        for decision in decisions:
            log.note(decision)


async def test_one_damaged_row_is_left_out_and_counted(path: Path) -> None:
    await keep(path, decided(0), decided(60), decided(120))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        data = bytearray(zlib.compress(b"x" * 100))
        data[-1] ^= 1
        db.execute("UPDATE told SET data = ? WHERE at_us = ?", (bytes(data), us(at(60))))
    meters = Meters()
    async with log_at(path, meters) as log:
        told = await log.told(CHAT, until_us=ALWAYS_US, most=10)
        assert [past.at for past in told] == [at(120), at(0)]
    assert faults(meters, "crc") == 1


@pytest.mark.parametrize(
    ("pragma", "cure", "reason"),
    [
        ("max_page_count = 1", "max_page_count = 100000", "full"),
        ("query_only = 1", "query_only = 0", "read-only"),
    ],
)
async def test_a_full_or_read_only_disk_is_said_once_and_made_up_for_once_it_can_be_written_again(
    path: Path, pragma: str, cure: str, reason: str
) -> None:
    await keep(path, decided(0))
    meters = Meters()
    async with log_at(path, meters) as log:
        assert await kept(log) == [0]
        many = [decided(60.0 * minute) for minute in range(1, 700)]
        with structlog.testing.capture_logs() as logs:
            for decision in many:
                log.note(decision)
            for _ in range(3):
                await obey(log, pragma)
                await log.flush()
            # What waits is told as if it were written.
            assert len(await kept(log)) == 700
            assert log.state.problem == reason
        assert faults(meters, reason) >= 3
        assert [line["event"] for line in logs] == ["decision_archive_fault"]
        assert log.state.dropped == 0
        await obey(log, cure)
        await log.flush()
        assert log.state.problem is None
    async with log_at(path) as log:
        assert len(await kept(log)) == 700


async def obey(log: DecisionLog, pragma: str) -> None:
    """Tell the open file's connection something; one that was let go is opened first."""
    await log.span(CHAT)
    assert log._file.opened is not None
    log._file.opened._db.execute(f"PRAGMA {pragma}")


async def test_a_file_that_cannot_be_made_lets_the_oldest_go_and_counts_them(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    meters = Meters()
    async with log_at(tmp_path / "file" / "decisions.db", meters, most_waiting=10) as log:
        with structlog.testing.capture_logs() as logs:
            for minute in range(15):
                log.note(decided(60.0 * minute))
                await log.flush()
            assert await kept(log) == [60.0 * minute for minute in range(5, 15)]
        assert log.state == (True, "io", 5)
    assert meters.registry.get_sample_value("predictscale_archive_dropped_total") == 5
    assert [line["event"] for line in logs] == ["decision_archive_fault", "decision_archive_drops"]


async def test_a_decision_that_cannot_be_told_does_not_hold_up_the_others() -> None:
    meters = Meters()

    def picky(decision: Decision) -> bytes:
        if decision.seen.now == at(60):
            raise ValueError("cannot tell this one")
        return encode(decision)

    log = DecisionLog(path=None, encode=picky, meters=meters)
    for minute in range(3):
        log.note(decided(60.0 * minute))
    await log.flush()
    assert await kept(log) == [0, 120]
    assert faults(meters, "encode") == 1
    await log.aclose()


@pytest.mark.parametrize("plain", [np.int64(3), 2**70])
async def test_a_number_that_sqlite_does_not_take_does_not_hold_up_the_others(path: Path, plain: Any) -> None:
    meters = Meters()
    async with log_at(path, meters) as log:
        log.note(decided(0))
        log.note(decided(60), plain=plain)
        log.note(decided(120))
        await log.flush()
        assert log.state.problem is None
        assert await kept(log) == [0, 120]
    assert faults(meters, "encode") == 1


async def test_noting_does_not_wait_for_a_write_that_is_under_way() -> None:
    begun, go_on = threading.Event(), threading.Event()

    def slow(decision: Decision) -> bytes:
        begun.set()
        assert go_on.wait(WITHIN_S)
        return encode(decision)

    log = DecisionLog(path=None, encode=slow, meters=Meters())
    log.note(decided(0))
    writing = asyncio.create_task(log.flush())
    assert await asyncio.to_thread(begun.wait, WITHIN_S)
    log.note(decided(60))
    await log.flush()  # returns: another is under way
    assert not writing.done()
    go_on.set()
    await writing
    assert await kept(log) == [0, 60]
    await log.aclose()
