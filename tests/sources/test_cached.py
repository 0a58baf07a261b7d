"""The cached source asks for each bin once, and never learns a gap that was only late."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.clock import ManualClock
from predictscale.core.demand import Signal, SignalName
from predictscale.core.series import MetricWindow
from predictscale.errors import SourceUnavailable
from predictscale.meters import Meters
from predictscale.sources.base import Answer
from predictscale.sources.cached import CachedSource
from predictscale.sources.history import History
from predictscale.sources.replay import ReplaySource

START = datetime(2024, 3, 4, tzinfo=UTC)
STEP_S = 60.0
DEMAND = Signal(SignalName.DEMAND, "demand", "requests/s")
TRUTH = MetricWindow(START, STEP_S, np.arange(40_000.0))


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


class Asked:
    """A source that notes what it is asked, and can be told to fail or to warn."""

    def __init__(self, inner: ReplaySource) -> None:
        self.inner = inner
        self.ranges: list[tuple[int, int]] = []
        self.fails_at: set[int] = set()
        self.partial = False
        self.closed = False

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        self.ranges.append(
            (round((start - START) / timedelta(minutes=1)), round((end - START) / timedelta(minutes=1)))
        )
        await asyncio.sleep(0)
        if len(self.ranges) in self.fails_at:
            raise SourceUnavailable("told to fail")
        answer = await self.inner.read(signal, start=start, end=end, step_s=step_s)
        return Answer(answer.window, partial=self.partial)

    async def aclose(self) -> None:
        self.closed = True

    @property
    def bins(self) -> int:
        return sum(end - start for start, end in self.ranges)


class Bench:
    """A cached source over `truth`, at minute `now`."""

    def __init__(self, *, now: float, truth: MetricWindow = TRUTH, path: Path | None = None) -> None:
        self.clock = ManualClock(minutes(now))
        self.replay = ReplaySource({"demand": truth}, clock=self.clock)
        self.asked = Asked(self.replay)
        self.history = History(path=path, meters=Meters())
        self.source = CachedSource(self.asked, history=self.history, workload="shop/web", clock=self.clock)

    async def read(self, first: int, stop: int) -> Sequence[float]:
        answer = await self.source.read(DEMAND, start=minutes(first), end=minutes(stop), step_s=STEP_S)
        assert answer.window.start == minutes(first)
        assert len(answer.window) == stop - first
        return list(answer.window.values)


async def test_what_was_asked_once_is_not_asked_again() -> None:
    bench = Bench(now=1000)
    assert await bench.read(100, 200) == list(range(100, 200))
    assert await bench.read(100, 200) == list(range(100, 200))
    assert bench.asked.ranges == [(100, 200)]


async def test_only_what_is_missing_is_asked() -> None:
    bench = Bench(now=1000)
    await bench.read(100, 200)
    await bench.read(300, 400)
    assert await bench.read(50, 450) == list(range(50, 450))
    assert bench.asked.ranges[2:] == [(50, 100), (200, 300), (400, 450)]


async def test_after_a_restart_only_new_bins_are_asked(tmp_path: Path) -> None:
    before = Bench(now=1000, path=tmp_path / "history.db")
    await before.read(0, 900)
    await before.history.aclose()
    after = Bench(now=1010, path=tmp_path / "history.db")
    assert await after.read(0, 950) == list(range(950))
    assert after.asked.ranges == [(900, 950)]
    await after.history.aclose()


async def test_a_true_gap_is_not_asked_for_again() -> None:
    values = np.arange(2000.0)
    values[100:700] = np.nan
    bench = Bench(now=1000, truth=MetricWindow(START, STEP_S, values))
    await bench.read(0, 900)
    np.testing.assert_equal(await bench.read(0, 900), values[:900])
    assert bench.asked.ranges == [(0, 900)]


async def test_the_newest_bins_are_asked_again_until_they_have_settled() -> None:
    bench = Bench(now=100)
    await bench.read(0, 100)
    await bench.read(0, 100)
    assert bench.asked.ranges == [(0, 100), (98, 100)]
    bench.clock.advance(120)
    await bench.read(0, 102)
    await bench.read(0, 102)
    assert bench.asked.ranges[2:] == [(98, 102), (100, 102)]


async def test_late_samples_are_still_seen_when_the_newest_bins_were_gaps() -> None:
    # The source knows nothing of the last 30 minutes yet: it lags, or our clock is ahead.
    late = MetricWindow(START, STEP_S, np.arange(970.0))
    bench = Bench(now=1000, truth=late)
    assert np.isnan(await bench.read(960, 1000)).sum() == 30
    bench.replay.add("demand", TRUTH)
    assert await bench.read(960, 1000) == list(range(960, 1000))


async def test_a_series_that_ended_long_ago_is_not_asked_for_ever() -> None:
    bench = Bench(now=20_000, truth=MetricWindow(START, STEP_S, np.arange(100.0)))
    await bench.read(0, 20_000)
    before = bench.asked.bins
    await bench.read(0, 20_000)
    assert bench.asked.bins - before <= 60


async def test_a_bin_of_the_future_is_not_taken_for_a_gap() -> None:
    bench = Bench(now=100)
    assert np.isnan(await bench.read(50, 150)).sum() == 50
    bench.clock.advance(3600 * 24)
    assert await bench.read(50, 150) == list(range(50, 150))


async def test_a_partial_answer_is_given_but_not_remembered() -> None:
    bench = Bench(now=1000)
    bench.asked.partial = True
    answer = await bench.source.read(DEMAND, start=START, end=minutes(10), step_s=STEP_S)
    assert answer.partial
    assert answer.window.known.all()
    bench.asked.partial = False
    answer = await bench.source.read(DEMAND, start=START, end=minutes(10), step_s=STEP_S)
    assert not answer.partial
    assert bench.asked.ranges == [(0, 10), (0, 10)]


async def test_after_a_failure_the_next_read_goes_on_from_there() -> None:
    bench = Bench(now=39_000)
    bench.asked.fails_at = {3}
    with pytest.raises(SourceUnavailable):
        await bench.read(0, 35_000)
    assert await bench.read(0, 35_000) == list(range(35_000))
    assert bench.asked.ranges == [
        (0, 10_000), (10_000, 20_000), (20_000, 30_000), (20_000, 30_000), (30_000, 35_000),
    ]  # fmt: skip


async def test_readers_at_the_same_time_share_one_question() -> None:
    bench = Bench(now=39_000)
    reads = await asyncio.gather(*(bench.read(0, 15_000) for _ in range(5)))
    assert all(one == reads[0] for one in reads)
    assert bench.asked.ranges == [(0, 10_000), (10_000, 15_000)]


async def test_closing_it_closes_the_source_behind_it() -> None:
    bench = Bench(now=1)
    await bench.source.aclose()
    assert bench.asked.closed


@settings(max_examples=40, deadline=None)
@given(
    reads=st.lists(
        st.tuples(st.integers(0, 3000), st.integers(0, 200), st.integers(0, 300)), min_size=1, max_size=12
    ),
    gaps=st.sets(st.integers(0, 3500), max_size=40),
)
def test_a_cached_source_says_what_the_source_says(reads: list[tuple[int, int, int]], gaps: set[int]) -> None:
    values = np.arange(4000.0)
    values[list(gaps)] = np.nan

    async def story() -> None:
        bench = Bench(now=500, truth=MetricWindow(START, STEP_S, values))
        for first, length, wait in reads:
            bench.clock.advance(wait * STEP_S)
            direct = await bench.replay.read(
                DEMAND, start=minutes(first), end=minutes(first + length), step_s=STEP_S
            )
            np.testing.assert_equal(await bench.read(first, first + length), direct.window.values)

    asyncio.run(story())
