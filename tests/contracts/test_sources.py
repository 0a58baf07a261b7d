"""One suite for every source: whoever remembers the past, the bins mean the same."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from patience import WITHIN_S
from predictscale.clock import ManualClock
from predictscale.core.demand import Signal, SignalName
from predictscale.core.series import MetricWindow
from predictscale.errors import HoldTarget
from predictscale.meters import Meters
from predictscale.sources.base import Source
from predictscale.sources.cached import CachedSource
from predictscale.sources.history import History
from predictscale.sources.prometheus import PrometheusSource
from predictscale.sources.replay import ReplaySource
from prometheus_server import BackfilledSeries, PrometheusServer

START = datetime(2024, 3, 4, tzinfo=UTC)
STEP_S = 60.0
BINS = 1440
HOURS_OF_GAP = slice(300, 420)


def _truth() -> MetricWindow:
    values = np.random.default_rng(1).uniform(0, 1000, BINS).round(3)
    values[HOURS_OF_GAP] = np.nan
    values[700] = np.nan
    values[710] = 0.0
    return MetricWindow(START, STEP_S, values)


TRUTH = _truth()


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


@dataclass(frozen=True, slots=True)
class World:
    """One kind of source over the same truth."""

    kind: str
    url: str = ""

    @property
    def demand(self) -> Signal:
        # Prometheus: only a sample at the very instant, or it would look back over gaps.
        query = "last_over_time(demand[30s])" if self.url else "demand"
        return Signal(SignalName.DEMAND, query, "requests/s")

    @asynccontextmanager
    async def source(self, clock: ManualClock) -> AsyncGenerator[Source]:
        inner: Source
        if self.url:
            inner = PrometheusSource(url=self.url, meters=Meters(), clock=clock, timeout_s=WITHIN_S)
        else:
            inner = ReplaySource({"demand": TRUTH}, clock=clock)
        history = History(path=None, meters=Meters())
        cached = CachedSource(inner, history=history, workload="shop/web", clock=clock)
        source: Source = cached if self.kind.startswith("cached") else inner
        try:
            yield source
        finally:
            await source.aclose()
            await history.aclose()

    async def values(
        self, source: Source, first: int, stop: int
    ) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        answer = await source.read(self.demand, start=minutes(first), end=minutes(stop), step_s=STEP_S)
        assert not answer.partial
        assert answer.window.start == minutes(first)
        assert answer.window.step_s == STEP_S
        assert len(answer.window) == stop - first
        return answer.window.values


@pytest.fixture(
    scope="module",
    params=[
        "replay",
        "cached replay",
        pytest.param("prometheus", marks=pytest.mark.e2e),
        pytest.param("cached prometheus", marks=pytest.mark.e2e),
    ],
)
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    if "prometheus" not in request.param:
        yield World(request.param)
        return
    series = [BackfilledSeries("demand", {"pod": "a"}, TRUTH)]
    with PrometheusServer(tmp_path_factory.mktemp("prometheus"), series=series) as server:
        yield World(request.param, server.url)


async def test_a_bin_holds_what_the_query_gives_at_its_end_and_gaps_are_gaps(world: World) -> None:
    async with world.source(ManualClock(minutes(BINS))) as source:
        np.testing.assert_array_equal(await world.values(source, 0, BINS), TRUTH.values)


async def test_before_and_after_all_that_is_known_there_are_gaps(world: World) -> None:
    async with world.source(ManualClock(minutes(2 * BINS))) as source:
        values = await world.values(source, -5, BINS + 5)
        assert np.isnan(values[:5]).all()
        assert np.isnan(values[-5:]).all()
        np.testing.assert_array_equal(values[5:-5], TRUTH.values)


async def test_a_range_is_half_open(world: World) -> None:
    async with world.source(ManualClock(minutes(BINS))) as source:
        np.testing.assert_array_equal(await world.values(source, 100, 101), TRUTH.values[100:101])
        assert (await world.values(source, 100, 100)).size == 0


@pytest.mark.parametrize("into_the_bin_s", [0.0, 0.5, 59.0])
async def test_the_future_is_not_revealed_and_appears_when_it_is_past(
    world: World, into_the_bin_s: float
) -> None:
    clock = ManualClock(minutes(200) + timedelta(seconds=into_the_bin_s))
    async with world.source(clock) as source:
        values = await world.values(source, 190, 220)
        np.testing.assert_array_equal(values[:10], TRUTH.values[190:200])
        assert np.isnan(values[10:]).all()
        clock.advance(20 * STEP_S)
        np.testing.assert_array_equal(await world.values(source, 190, 220), TRUTH.values[190:220])


async def test_a_question_it_does_not_understand_holds_the_target(world: World) -> None:
    unknown = Signal(SignalName.DEMAND, "no such thing", "requests/s")
    async with world.source(ManualClock(minutes(BINS))) as source:
        with pytest.raises(HoldTarget):
            await source.read(unknown, start=START, end=minutes(10), step_s=STEP_S)


places = st.integers(-10, BINS + 10)


@settings(max_examples=20, deadline=None)
@given(ranges=st.lists(st.tuples(places, places).map(sorted), min_size=1, max_size=4), now=places)
async def test_every_read_of_a_range_tells_the_same(world: World, ranges: list[list[int]], now: int) -> None:
    known = np.where(np.arange(BINS) < now, TRUTH.values, np.nan)
    around = np.concatenate([np.full(10, np.nan), known, np.full(10, np.nan)])
    async with world.source(ManualClock(minutes(now))) as source:
        for first, stop in [*ranges, *ranges]:
            np.testing.assert_array_equal(
                await world.values(source, first, stop), around[first + 10 : stop + 10]
            )


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(places, min_size=3, max_size=3).map(sorted), now=places)
async def test_adjacent_reads_together_are_one_read(world: World, cuts: list[int], now: int) -> None:
    first, middle, stop = cuts
    async with world.source(ManualClock(minutes(now))) as source:
        parts = [await world.values(source, first, middle), await world.values(source, middle, stop)]
    async with world.source(ManualClock(minutes(now))) as source:
        np.testing.assert_array_equal(np.concatenate(parts), await world.values(source, first, stop))
