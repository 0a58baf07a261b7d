"""The record of write calls: kept, shared, rotated, and not to be washed away."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from predictscale.control import auditlog
from predictscale.control.auditlog import AuditLog
from predictscale.core.demand import WorkloadId

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SHOP = WorkloadId("prod", "shop")


async def noted(log: AuditLog, number: int = 0, *, by: str | None = "ann", at: datetime = NOW) -> None:
    await log.note_call(at=at, by=by, action="pause", workload=SHOP, details={"number": number})


async def numbers(log: AuditLog, *, limit: int = 1000) -> list[Any]:
    records, _ = await log.records(limit=limit)
    return [record.details.get("number") for record in records]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


async def test_records_outlive_a_restart_newest_first(path: Path) -> None:
    log = AuditLog(path)
    for number in range(3):
        await noted(log, number)
    again = AuditLog(path)
    (newest, *_), _ = await again.records(limit=10)
    assert (newest.at, newest.by, newest.action, newest.workload) == (NOW, "ann", "pause", "prod/shop")
    assert (newest.outcome, newest.details) == ("done", {"number": 2})
    assert await numbers(again) == [2, 1, 0]
    await noted(again, 3)
    assert await numbers(again) == await numbers(AuditLog(path)) == [3, 2, 1, 0]
    assert again.note == ""


async def test_without_a_path_the_last_thousand_are_in_memory_and_that_is_said() -> None:
    log = AuditLog()
    for number in range(auditlog.KEPT + 2):
        await noted(log, number)
    assert await numbers(log) == list(range(auditlog.KEPT + 1, 1, -1))
    assert "set http.audit_path" in log.note


async def test_pages_tell_each_record_once(path: Path) -> None:
    log = AuditLog(path)
    for number in range(7):
        await noted(log, number)
    told, before, pages = [], None, 0
    while True:
        records, before = await log.records(limit=3, before=before)
        told += [record.details["number"] for record in records]
        pages += 1
        if before is None:
            break
    assert (told, pages) == ([6, 5, 4, 3, 2, 1, 0], 3)
    with pytest.raises(KeyError):
        await log.records(limit=3, before="nothing")


async def test_replicas_that_share_a_file_lose_nothing_and_see_each_others_records(path: Path) -> None:
    logs = [AuditLog(path), AuditLog(path)]
    await asyncio.gather(*(noted(logs[number % 2], number) for number in range(20)))
    told = [await numbers(log) for log in logs]
    assert told[0] == told[1]
    assert sorted(told[0]) == list(range(20))


async def test_a_file_steps_aside_at_its_size_and_a_few_are_kept(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditlog, "MOST_BYTES", 700)
    log, other = AuditLog(path), AuditLog(path)
    for number in range(60):
        await noted(log, number)
        if number % 3 == 0:
            await other.records(limit=1)
    files = sorted(each.name for each in path.parent.iterdir())
    assert files == ["audit.jsonl", *(f"audit.jsonl.{n}" for n in range(1, 5)), "audit.jsonl.lock"]
    assert all(each.stat().st_size <= 700 for each in path.parent.iterdir())
    # In memory they are still there, for the writer and for the one that looked on.
    assert await numbers(log) == await numbers(other) == list(range(59, -1, -1))
    # A start reads the newest two files.
    fresh = await numbers(AuditLog(path))
    assert fresh == list(range(59, 59 - len(fresh), -1))
    assert len(fresh) > len(_content(path).splitlines())


async def test_calls_by_nobody_are_counted_when_they_are_many(path: Path) -> None:
    log = AuditLog(path)
    await noted(log, -1)
    for number in range(auditlog.STRANGERS + 500):
        await noted(log, number, by=None)
    assert len(await numbers(log)) == 1 + auditlog.STRANGERS
    await noted(log, 7)
    (newest, *_), _ = await log.records(limit=1)
    assert newest.details == {"number": 7, "unrecorded": 500}
    await noted(log, 8, by=None, at=NOW + timedelta(minutes=1))
    (newest, *_), _ = await log.records(limit=1)
    assert newest.details == {"number": 8}


async def test_a_disk_that_takes_nothing_holds_up_nobody_and_is_told(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = AuditLog(path)
    await noted(log, 0)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("predictscale.control.auditlog.os.fsync", full)
        await noted(log, 1)
    assert "No space left" in log.note
    assert 1 in await numbers(log)
    await noted(log, 2)
    assert log.note == ""


async def test_a_line_that_was_cut_short_costs_itself_alone(path: Path) -> None:
    await noted(AuditLog(path), 0)
    torn = json.dumps({"id": "x"})[:-3]
    _add(path, torn)
    log = AuditLog(path)
    await noted(log, 1)
    _add(path, "not ours\n")
    await noted(log, 2)
    assert await numbers(log) == await numbers(AuditLog(path)) == [2, 1, 0]
    assert torn in _content(path)


def _add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def _content(path: Path) -> str:
    return path.read_text()


async def test_a_folder_that_is_not_there_is_told_and_stops_nobody(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "missing" / "audit.jsonl")
    assert "cannot be read" in log.note
    await noted(log, 0)
    assert await numbers(log) == [0]
    assert "cannot be written" in log.note
