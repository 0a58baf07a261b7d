"""Announced events: kept, shared, limited, forgotten."""

import asyncio
import errno
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patience import WITHIN_S
from predictscale.config.planned import EventSettings
from predictscale.control import eventbook, journalfile
from predictscale.control.eventbook import EventBook
from predictscale.core.demand import WorkloadId
from predictscale.core.events import Repeat
from predictscale.errors import FileUnusable, RefuseMore

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
# Bounds of hypothesis' datetimes are naive.
EARLY, LATE = (datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (1991, 2050))
CHAT, SHOP = WorkloadId("prod", "chat"), WorkloadId("prod", "shop")


def sale(name: str = "sale", *, day: int = 27, **more: Any) -> EventSettings:
    fields = {"name": name, "start": f"2026-11-{day}T08:00", "end": f"2026-11-{day}T20:00", "multiplier": 3}
    return EventSettings.model_validate(fields | more)


async def announce(book: EventBook, *events: EventSettings, workload: WorkloadId = CHAT) -> list[str]:
    return [(await book.add(workload, event, at=NOW, by="ann"))[0].id for event in events]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.json"


async def test_a_book_that_is_opened_again_holds_what_was_announced_by_whom_and_when(path: Path) -> None:
    book = EventBook(path)
    await announce(book, sale(), sale("launch", repeat="weekly"))
    await announce(book, sale(start="2026-11-27T08:00-05:00", end="2026-11-27T20:00Z"), workload=SHOP)
    again = EventBook(path)
    assert again.persisted
    assert again.of(CHAT) == book.of(CHAT)
    assert again.of(SHOP) == book.of(SHOP)
    assert [(each.event.name, each.added_by, each.added_at) for each in again.of(CHAT)] == [
        ("sale", "ann", NOW),
        ("launch", "ann", NOW),
    ]


async def test_without_a_path_events_live_in_memory() -> None:
    book = EventBook()
    (kept,) = await announce(book, sale())
    assert not book.persisted
    assert [each.id for each in book.of(CHAT)] == [kept]
    assert await book.remove(CHAT, kept) is not None
    assert book.of(CHAT) == ()


async def test_what_is_removed_stays_removed(path: Path) -> None:
    book = EventBook(path)
    first, second = await announce(book, sale(), sale("launch"))
    gone = await book.remove(CHAT, first)
    assert gone is not None
    assert gone.event.name == "sale"
    assert await book.remove(CHAT, first) is None
    assert [each.id for each in EventBook(path).of(CHAT)] == [second]


async def test_an_event_is_removed_by_its_own_workload_alone(path: Path) -> None:
    book = EventBook(path)
    (kept,) = await announce(book, sale())
    assert await book.remove(SHOP, kept) is None
    assert len(book.of(CHAT)) == 1


async def test_the_same_event_twice_is_one_lest_demand_multiplies_twice(path: Path) -> None:
    book = EventBook(path)
    first, new = await book.add(CHAT, sale(), at=NOW, by="ann")
    second, newer = await book.add(CHAT, sale(), at=NOW + timedelta(hours=1), by="bob")
    assert (new, newer) == (True, False)
    assert second == first
    assert len(book.of(CHAT)) == 1
    await announce(book, sale(), workload=SHOP)
    assert len(book.of(SHOP)) == 1


async def test_a_decision_knows_of_an_event_from_when_it_was_announced() -> None:
    book = EventBook()
    await announce(book, sale())
    a_tick_before = NOW - timedelta(seconds=15)
    assert book.planned(CHAT, zone="UTC", at=a_tick_before) == ()
    assert book.planned(CHAT, zone="UTC", at=NOW) == (sale().planned("UTC"),)
    assert book.planned(SHOP, zone="UTC", at=NOW) == ()


async def test_each_workload_reads_the_same_words_by_its_own_clock() -> None:
    book = EventBook()
    await announce(book, sale())
    (berlin,), (tokyo,) = (book.planned(CHAT, zone=zone, at=NOW) for zone in ("Europe/Berlin", "Asia/Tokyo"))
    assert berlin.start - tokyo.start == timedelta(hours=8)


async def test_a_workload_and_the_book_have_a_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventbook, "MOST_OF_ONE", 2)
    monkeypatch.setattr(eventbook, "MOST", 3)
    book = EventBook(path)
    await announce(book, sale("a"), sale("b"))
    with pytest.raises(RefuseMore, match="prod/chat has 2 planned events"):
        await announce(book, sale("c"))
    await announce(book, sale("a"), workload=SHOP)
    with pytest.raises(RefuseMore, match="3 planned events are kept"):
        await announce(book, sale("b"), workload=SHOP)
    assert len(await announce(book, sale("a"))) == 1  # the same one is not one more
    assert (len(EventBook(path).of(CHAT)), len(EventBook(path).of(SHOP))) == (2, 1)


async def test_an_event_is_forgotten_only_once_no_history_reaches_back_to_it(path: Path) -> None:
    book = EventBook(path)
    await announce(book, sale("once"), sale("always", repeat="yearly"), sale("later", day=29))
    end = datetime(2026, 11, 27, 20, tzinfo=UTC)
    await book.prune(end)
    assert len(book.of(CHAT)) == 3
    await book.prune(end + timedelta(days=1, seconds=1))
    assert [each.event.name for each in EventBook(path).of(CHAT)] == ["always", "later"]


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Midway"])
async def test_pruning_never_takes_an_event_that_some_clock_still_shows(zone: str) -> None:
    book = EventBook()
    await announce(book, sale())
    (planned,) = book.planned(CHAT, zone=zone, at=NOW)
    await book.prune(planned.end.astimezone(UTC))
    assert len(book.of(CHAT)) == 1


async def test_two_books_of_one_file_lose_nothing_of_what_either_is_told(path: Path) -> None:
    one, other = EventBook(path), EventBook(path)
    names = [f"event {number}" for number in range(20)]
    await asyncio.gather(
        *(announce(book, sale(name)) for book, name in zip([one, other] * 10, names, strict=True))
    )
    assert sorted(each.event.name for each in EventBook(path).of(CHAT)) == sorted(names)
    for book in (one, other):
        await book.refresh()
        assert book.of(CHAT) == EventBook(path).of(CHAT)


WRITER = """
import asyncio, sys
from datetime import datetime, timezone
from pathlib import Path
from predictscale.config.planned import EventSettings
from predictscale.control import journalfile
from predictscale.control.eventbook import EventBook
from predictscale.core.demand import WorkloadId

# Where every write waits for a slow disk, those of one can hold the lock for longer than the other waits.
journalfile._TURN_S = 180.0

async def write() -> None:
    book = EventBook(Path(sys.argv[1]))
    for number in range(20):
        event = EventSettings(name=f"{sys.argv[2]} {number}", start="2026-11-27", end="2026-11-28", demand=1)
        at = datetime(2026, 11, 20, tzinfo=timezone.utc)
        await book.add(WorkloadId("prod", "chat"), event, at=at, by=sys.argv[2])

asyncio.run(write())
"""


def test_two_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    command = [sys.executable, "-c", WRITER, str(path)]
    writers = [subprocess.Popen([*command, name]) for name in ("one", "two")]
    assert [writer.wait(timeout=180) for writer in writers] == [0, 0]
    assert len(EventBook(path).of(CHAT)) == 40


async def test_the_limit_holds_for_two_writers_together(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventbook, "MOST_OF_ONE", 5)
    books = [EventBook(path), EventBook(path)]
    told = await asyncio.gather(
        *(announce(books[n % 2], sale(f"event {n}")) for n in range(12)), return_exceptions=True
    )
    assert sum(isinstance(each, RefuseMore) for each in told) == 7
    assert len(EventBook(path).of(CHAT)) == 5


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not JSON",
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"schema": 2, "events": []}',
        b'{"schema": 1, "events": [{}]}',
        b'{"schema": 1, "events": 3}',
        b"[" * 100_000,
    ],
)
def test_a_file_that_holds_something_else_is_refused_and_never_written_over(
    path: Path, content: bytes
) -> None:
    path.write_bytes(content)
    with pytest.raises(FileUnusable, match=r"events\.path"):
        EventBook(path)
    path.unlink()
    book = EventBook(path)
    path.write_bytes(content)
    with pytest.raises(FileUnusable):
        asyncio.run(announce(book, sale()))
    assert path.read_bytes() == content
    assert book.of(CHAT) == ()


def edited(path: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    kept = json.loads(path.read_text())
    edit(kept["events"][0])
    path.write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda row: row["event"].update(end="2026-11-26T08:00"), "end: "),
        (lambda row: row["event"].update(multiplier=-1), "multiplier: "),
        (lambda row: row.update(added_at="2026-11-20T12:00"), "no offset"),
    ],
)
async def test_a_file_that_was_edited_wrongly_says_where(
    path: Path, edit: Callable[[dict[str, Any]], None], said: str
) -> None:
    await announce(EventBook(path), sale())
    edited(path, edit)
    with pytest.raises(FileUnusable, match=said):
        EventBook(path)


async def test_what_another_writes_is_obeyed_after_a_refresh_and_an_own_change_keeps_it(
    path: Path,
) -> None:
    one, other = EventBook(path), EventBook(path)
    await announce(one, sale("a"))
    assert other.of(CHAT) == ()
    await other.refresh()
    assert [each.event.name for each in other.of(CHAT)] == ["a"]
    await announce(one, sale("b"))
    await announce(other, sale("c"))
    assert [each.event.name for each in EventBook(path).of(CHAT)] == ["a", "b", "c"]


def _content(path: Path) -> bytes:
    return path.read_bytes()


def _put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_text("x")])
async def test_a_file_that_is_lost_or_damaged_while_it_serves_leaves_in_force_what_was_known(
    path: Path, damage: Callable[[Path], object]
) -> None:
    book = EventBook(path)
    await announce(book, sale())
    whole = _content(path)
    damage(path)
    await book.refresh()
    assert len(book.of(CHAT)) == 1
    assert "events.path" in book.problem
    with pytest.raises(FileUnusable):
        await announce(book, sale("launch"))
    await book.prune(NOW + timedelta(days=365))  # must not raise between ticks
    assert len(book.of(CHAT)) == 1
    _put(path, whole)
    await book.refresh()
    assert book.problem == ""
    await announce(book, sale("launch"))
    assert len(EventBook(path).of(CHAT)) == 2


async def test_a_disk_that_is_full_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = EventBook(path)
    (kept,) = await announce(book, sale())

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("predictscale.control.journalfile.os.fsync", full)
        with pytest.raises(FileUnusable, match="No space left"):
            await announce(book, sale("launch"))
        with pytest.raises(FileUnusable, match="No space left"):
            await book.remove(CHAT, kept)
    assert [each.id for each in book.of(CHAT)] == [kept]
    assert EventBook(path).of(CHAT) == book.of(CHAT)
    await announce(book, sale("launch"))
    assert len(EventBook(path).of(CHAT)) == 2


def test_a_folder_that_is_not_there_is_said_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileUnusable, match=r"events\.path: .* cannot be read"):
        EventBook(tmp_path / "missing" / "events.json")


async def test_a_writer_that_gets_no_turn_gives_up(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journalfile, "_TURN_S", 0.04)
    book = EventBook(path)
    with (
        journalfile.JournalFile(path, eventbook._KIND).turn(),
        pytest.raises(FileUnusable, match="another process holds its lock"),
    ):
        await announce(book, sale())
    await announce(book, sale())


@st.composite
def events(draw: st.DrawFn) -> EventSettings:
    """Any event that is accepted, with an offset or without."""
    start = draw(st.datetimes(EARLY, LATE, timezones=st.sampled_from([None, UTC])))
    return EventSettings(
        name=draw(st.text(min_size=1, max_size=60).filter(str.isprintable)),
        start=start,
        end=start + timedelta(seconds=draw(st.integers(1, 86_400))),
        multiplier=draw(st.floats(0.01, 100)),
        repeat=draw(st.sampled_from(Repeat)),
    )


async def test_a_disk_that_hangs_holds_one_thread_however_many_ticks_pass(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book, looks, released = EventBook(path), list[int](), threading.Event()

    def hang() -> None:
        looks.append(len(looks))
        released.wait(WITHIN_S)

    with monkeypatch.context() as hanging:
        hanging.setattr(book._journal, "_look", hang)
        first = asyncio.create_task(book.refresh())
        while not looks:
            await asyncio.sleep(0.001)
        await asyncio.gather(*(book.refresh() for _ in range(100)))
        released.set()
        await first
    assert looks == [0]
    await announce(EventBook(path), sale())
    await book.refresh()
    assert len(book.of(CHAT)) == 1


@settings(max_examples=30)
@given(event=events())
def test_every_event_comes_back_from_the_file_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, event: EventSettings
) -> None:
    path = tmp_path_factory.mktemp("book") / "events.json"
    asyncio.run(announce(EventBook(path), event))
    (back,) = EventBook(path).of(CHAT)
    assert back.event == event
    assert back.event.planned("Europe/Berlin") == event.planned("Europe/Berlin")
