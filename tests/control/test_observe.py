"""Watching signals tick by tick: what is asked for again, and what is not."""

from datetime import UTC, datetime, timedelta

import numpy as np

from predictscale.control.observe import Watch, observation
from predictscale.core.demand import Signal, SignalName
from predictscale.core.series import MetricWindow
from predictscale.sources.base import Answer

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TICK_S = 15.0
SIGNALS = {SignalName.DEMAND: Signal(SignalName.DEMAND, "demand", "requests/s")}


class Behind:
    """A source whose clock is behind: a bin that is not over there is a gap."""

    def __init__(self, *, behind_s: float) -> None:
        self.behind_s = behind_s
        self.now = NOON
        self.asked: list[tuple[datetime, datetime]] = []

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        self.asked.append((start, end))
        assert signal.name is SignalName.DEMAND
        bins = round((end - start).total_seconds() / step_s)
        ends_s = start.timestamp() + step_s * np.arange(1, bins + 1)
        over = ends_s <= self.now.timestamp() - self.behind_s
        return Answer(MetricWindow(start, step_s, np.where(over, ends_s % 1000, np.nan)))

    async def aclose(self) -> None:
        """Nothing is open."""


async def watched(source: Behind, *, ticks: int) -> Watch:
    watch = Watch(SIGNALS, source, tick_s=TICK_S, keep_s=600.0)
    for _ in range(ticks):
        source.now += timedelta(seconds=TICK_S)
        await watch.look(source.now)
    return watch


async def test_a_source_whose_clock_is_seconds_behind_is_still_seen() -> None:
    source = Behind(behind_s=3.0)
    watch = await watched(source, ticks=40)
    seen = observation(watch.live, at=source.now, fresh_s=60.0)
    assert seen.age_s == TICK_S
    told = watch.live[SignalName.DEMAND]
    assert np.isnan(told.values).sum() == 1


async def test_what_is_known_is_asked_for_once() -> None:
    source = Behind(behind_s=0.0)
    await watched(source, ticks=10)
    assert all(end - start == timedelta(seconds=TICK_S) for start, end in source.asked[1:])


async def test_a_signal_that_nobody_tells_is_asked_for_no_further_back_than_late_answers_come() -> None:
    source = Behind(behind_s=1e6)
    await watched(source, ticks=10)
    assert all(end - start <= timedelta(seconds=45) for start, end in source.asked[1:])
