"""Records of all workloads: looked for before anything is noted, put away, forgotten with their workload."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from past_scenes import decided
from patience import WITHIN_S
from predictscale.bootstrap.shadow import ShadowBook
from predictscale.config.settings import WorkloadSettings
from predictscale.core.demand import WorkloadId
from predictscale.core.slo import Slo
from predictscale.meters import Meters
from predictscale.sources.history import History
from worlds import CHAT

SETTINGS = WorkloadSettings(workload=CHAT, capacity_per_replica=10, query="x", max_replicas=100)


def book(history: History, settings: Callable[[], WorkloadSettings | None] = lambda: SETTINGS) -> ShadowBook:
    def of(workload: WorkloadId) -> WorkloadSettings | None:
        assert workload == CHAT
        return settings()

    return ShadowBook(history, tick_s=15, settings_of=of, persisted=False)


async def noted(kept: ShadowBook, first: int, last: int) -> None:
    """Decisions of some ticks, the first of them until the shelf was looked at."""
    kept.note(decided(first))
    async with asyncio.timeout(WITHIN_S):
        while kept.meter(CHAT) is None:
            await asyncio.sleep(0.001)
    for second in range(first + 15, last, 15):
        kept.note(decided(second))


def known_s(kept: ShadowBook) -> float:
    meter = kept.meter(CHAT)
    assert meter is not None
    watched = meter.watched(span_s=86_400)
    assert watched is not None
    return watched.now.known_s


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(path=tmp_path / "cache.db", meters=Meters())


async def test_a_record_goes_on_after_a_restart(history: History) -> None:
    before = book(history)
    assert before.meter(CHAT) is None
    await noted(before, 0, 600)
    await before.stop()
    after = book(history)
    await noted(after, 600, 1200)
    assert known_s(before) == 570
    # The decision that woke it is the only one that was not noted.
    assert known_s(after) > known_s(before) + 500
    await history.aclose()


async def test_books_are_put_away_by_the_hour(history: History) -> None:
    first = book(history)
    await noted(first, 0, 3 * 3600)
    second = book(history)
    # Nobody stopped the first one: it was killed.
    async with asyncio.timeout(WITHIN_S):
        while not await history.blob_get(_only_key(first)):
            await asyncio.sleep(0.001)
    await noted(second, 3 * 3600, 3 * 3600 + 60)
    assert known_s(second) > 3600
    await history.aclose()


async def test_another_ceiling_leaves_the_record_and_another_bound_begins_anew(
    history: History,
) -> None:
    settings = [SETTINGS]
    kept = book(history, lambda: settings[0])
    await noted(kept, 0, 600)
    settings[0] = replace(SETTINGS, max_replicas=50)
    kept.note(decided(600))
    assert known_s(kept) == 585
    settings[0] = replace(SETTINGS, slo=Slo(max_violation=0.01, wait_s=30))
    kept.note(decided(615))
    assert kept.meter(CHAT) is None
    await kept.stop()
    await history.aclose()


async def test_what_nobody_follows_is_neither_noted_nor_kept_in_memory(history: History) -> None:
    settings: list[WorkloadSettings | None] = [SETTINGS]
    kept = book(history, lambda: settings[0])
    await noted(kept, 0, 600)
    settings[0] = None
    kept.note(decided(600))
    assert known_s(kept) == 570
    kept.forget()
    assert kept.meter(CHAT) is None
    await history.aclose()


def _only_key(kept: ShadowBook) -> str:
    (record,) = kept._records.values()
    return f"{record.key}#counterfactual"


async def test_a_record_of_a_time_that_is_still_to_come_is_begun_anew(history: History) -> None:
    """The clock was ahead by a day, and is set back: while the service runs, or while it did not."""
    running = book(history)
    await noted(running, 86_400, 87_000)
    running.note(decided(600))
    assert running.meter(CHAT) is None
    await noted(running, 600, 1200)
    assert 0 < known_s(running) < 600
    ahead = book(history)
    await noted(ahead, 86_400, 90_000)
    await ahead.stop()
    again = book(history)
    await noted(again, 1200, 1800)
    assert 0 < known_s(again) < 600
    await history.aclose()
