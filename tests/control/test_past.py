"""The history of a signal is brought up to date by whole answers, and waits for what is late."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
import pytest

from predictscale.clock import ManualClock
from predictscale.control.past import Past
from predictscale.core.demand import Signal, SignalName
from predictscale.core.series import MetricWindow
from predictscale.meters import Meters
from predictscale.sources.base import Answer
from predictscale.sources.cached import CachedSource
from predictscale.sources.history import History
from predictscale.sources.replay import ReplaySource
from scenes import GRID, MORNING

DEMAND = Signal(SignalName.DEMAND, "demand", "requests/s")
DAYS = MetricWindow(MORNING - timedelta(days=9), GRID.step_s, np.arange(14_000.0) % 1440 + 1)
"""Nine days before the morning, and most of the day after."""


class Lagging:
    """A source that can be cut off from what came after an instant, and can warn."""

    def __init__(self, inner: ReplaySource) -> None:
        self.inner = inner
        self.cut_off_at: datetime | None = None
        self.partial = False
        self.asked_bins: list[int] = []

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        """As the inner source, without what it cannot know yet; half of it if it warns."""
        found = (await self.inner.read(signal, start=start, end=end, step_s=step_s)).window
        self.asked_bins.append(len(found))
        values = found.values.copy()
        if self.cut_off_at is not None:
            values[found.stamps_s >= self.cut_off_at.timestamp()] = np.nan
        if self.partial:
            values /= 2
        return Answer(MetricWindow(found.start, step_s, values), partial=self.partial)

    async def aclose(self) -> None:
        """Nothing is held."""


@dataclass
class Bench:
    """A clock, a source that lags, and a cache."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(MORNING))

    def __post_init__(self) -> None:
        self.source = Lagging(ReplaySource({"demand": DAYS}, clock=self.clock))
        self.history = History(path=None, meters=Meters())

    def past(self) -> Past:
        """Of a replica of the service that starts now, with the cache of those before it."""
        archive = CachedSource(self.source, history=self.history, workload="shop", clock=self.clock)
        return Past(DEMAND, archive=archive, grid=GRID)

    async def minutes(self, past: Past, count: int) -> tuple[str, ...]:
        """Let minutes pass; the notes of the last one."""
        notes: tuple[str, ...] = ()
        for _ in range(count):
            self.clock.advance(60)
            notes = await past.extend(self.clock.now())
        return notes


def values_of(past: Past) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """What is known."""
    assert past.bins is not None
    return past.bins.values


@pytest.mark.parametrize("minutes", [2, 10, 50])
async def test_what_a_source_tells_late_is_taken_up_as_by_one_that_starts_then(minutes: int) -> None:
    """Remote write was held up: for some minutes nothing is told, then all of it."""
    bench = Bench()
    steady = bench.past()
    await bench.minutes(steady, 2)
    bench.source.cut_off_at = bench.clock.now()
    await bench.minutes(steady, minutes)
    assert np.isnan(values_of(steady)[-minutes:]).all()
    bench.source.cut_off_at = None
    await bench.minutes(steady, 1)
    assert not np.isnan(values_of(steady)).any()
    fresh = Bench(clock=bench.clock).past()
    await fresh.extend(bench.clock.now())
    np.testing.assert_array_equal(values_of(steady), values_of(fresh))


async def test_what_is_never_told_is_asked_for_no_longer_than_an_hour_back() -> None:
    bench = Bench()
    past = bench.past()
    await bench.minutes(past, 1)
    bench.source.cut_off_at = bench.clock.now()
    begun = len(bench.source.asked_bins)
    await bench.minutes(past, 200)
    assert max(bench.source.asked_bins[begun:]) <= 62


async def test_an_incomplete_answer_is_not_learnt_from() -> None:
    bench = Bench()
    past = bench.past()
    bench.source.partial = True
    assert "lacks data" in (await bench.minutes(past, 1))[0]
    assert past.bins is None
    bench.source.partial = False
    assert await bench.minutes(past, 15) == ()
    known = values_of(past).copy()
    bench.source.partial = True
    assert "lacks data" in (await bench.minutes(past, 3))[0]
    np.testing.assert_array_equal(values_of(past), known)
    bench.source.partial = False
    assert await bench.minutes(past, 1) == ()
    assert past.bins is not None
    assert past.bins.end == bench.clock.now()
    np.testing.assert_array_equal(values_of(past), DAYS.between(past.bins.start, past.bins.end).values)


async def test_while_answers_lack_data_weeks_are_not_asked_for_at_every_tick() -> None:
    bench = Bench()
    past = bench.past()
    bench.source.partial = True
    for _ in range(4 * 60):
        bench.clock.advance(GRID.tick_s)
        notes = await past.extend(bench.clock.now())
        assert "lacks data" in notes[0]
    weeks = (GRID.oldest(MORNING), MORNING)
    pulls = sum(bench.source.asked_bins) * GRID.step_s / (weeks[1] - weeks[0]).total_seconds()
    assert 4 <= pulls <= 12
