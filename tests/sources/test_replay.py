"""A replay tells at each instant what was known then, and no more."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.clock import ManualClock
from predictscale.core.demand import Signal, SignalName
from predictscale.core.series import MetricWindow
from predictscale.errors import SourceRefused
from predictscale.sources.regrid import regrid
from predictscale.sources.replay import Recorded, ReplaySource
from predictscale.sources.synthetic import shop_requests

START = datetime(2024, 3, 4, tzinfo=UTC)


def minutes(count: float) -> datetime:
    return START + timedelta(minutes=count)


def signal(name: str) -> Signal:
    return Signal(SignalName.DEMAND, name, "requests/s")


def window(*values: float, step_s: float = 60.0) -> MetricWindow:
    return MetricWindow(START, step_s, np.array(values))


def on_grid(source: MetricWindow, step_s: float, *, bins: int, first: int = 0) -> list[float]:
    start = START + timedelta(seconds=first * step_s)
    end = start + timedelta(seconds=bins * step_s)
    return list(regrid(source, start=start, end=end, step_s=step_s).values)


def test_on_its_own_grid_a_window_is_itself_and_unknown_around() -> None:
    np.testing.assert_equal(
        on_grid(window(1, np.nan, 3), 60, bins=5, first=-1), [np.nan, 1, np.nan, 3, np.nan]
    )


def test_a_wider_bin_is_the_average_of_what_is_known_of_it() -> None:
    assert on_grid(window(1, 3, 5, np.nan, 7, 9), 120, bins=3) == [2, 5, 8]
    np.testing.assert_equal(on_grid(window(1, np.nan, np.nan, 4), 240, bins=1), [2.5])
    np.testing.assert_equal(on_grid(window(1, np.nan, np.nan, np.nan), 240, bins=1), [np.nan])


def test_a_narrower_bin_holds_the_last_one_that_was_over() -> None:
    told = on_grid(window(6, 9, step_s=180), 60, bins=9)
    np.testing.assert_equal(told, [np.nan, np.nan, 6, 6, 6, 9, 9, 9, np.nan])


@settings(deadline=None)
@given(
    values=st.lists(st.one_of(st.just(np.nan), st.floats(0, 1e12)), min_size=1, max_size=60),
    step_s=st.sampled_from([15.0, 60.0, 195.0, 300.0]),
    asked_s=st.sampled_from([15.0, 60.0, 90.0, 300.0, 420.0]),
    at=st.integers(0, 80),
    change=st.integers(0, 59),
)
def test_no_bin_depends_on_what_was_not_over_at_its_end(
    values: list[float], step_s: float, asked_s: float, at: int, change: int
) -> None:
    changed = [*values]
    changed[change % len(values)] = 123.0
    bin_ends_s = (at + 1) * asked_s
    if (change % len(values) + 1) * step_s <= bin_ends_s:
        return
    np.testing.assert_equal(
        on_grid(window(*values, step_s=step_s), asked_s, bins=1, first=at),
        on_grid(window(*changed, step_s=step_s), asked_s, bins=1, first=at),
    )


@settings(deadline=None)
@given(
    values=st.lists(st.one_of(st.just(np.nan), st.floats(0, 1e12)), min_size=1, max_size=60),
    asked_s=st.sampled_from([15.0, 60.0, 90.0, 300.0]),
    cut=st.integers(0, 40),
)
def test_the_range_asked_for_does_not_change_a_bin(values: list[float], asked_s: float, cut: int) -> None:
    source = window(*values)
    whole = on_grid(source, asked_s, bins=40)
    parts = on_grid(source, asked_s, bins=cut) + on_grid(source, asked_s, bins=40 - cut, first=cut)
    np.testing.assert_array_equal(whole, parts)


async def test_bins_appear_as_the_clock_moves_on() -> None:
    clock = ManualClock(minutes(1.9))
    source = ReplaySource({"demand": window(1, 2, 3)}, clock=clock)

    async def told() -> list[float]:
        answer = await source.read(signal("demand"), start=START, end=minutes(3), step_s=60)
        return list(answer.window.values)

    np.testing.assert_equal(await told(), [1, np.nan, np.nan])
    clock.advance(6)
    np.testing.assert_equal(await told(), [1, 2, np.nan])
    clock.advance(60)
    assert await told() == [1, 2, 3]


async def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    source = ReplaySource({"shop": window(1), "chat": shop_requests()}, clock=ManualClock(START))
    with pytest.raises(SourceRefused, match="no series is called 'shpo'; there are: chat, shop"):
        await source.read(signal("shpo"), start=START, end=minutes(1), step_s=60)
    source.add("shpo", window(4))
    answer = await source.read(signal("shpo"), start=START, end=minutes(1), step_s=60)
    assert len(answer.window) == 1


async def test_a_synthetic_demand_is_a_series() -> None:
    source = ReplaySource({"shop": shop_requests()}, clock=ManualClock(minutes(60)))
    answer = await source.read(signal("shop"), start=START, end=minutes(90), step_s=60)
    assert answer.window.known[:60].all()
    assert not answer.window.known[60:].any()


def gauge(*records: tuple[float, float], lookback_s: float = 300) -> Recorded:
    recorded = Recorded(lookback_s=lookback_s)
    for at, value in records:
        recorded.record(minutes(at), value)
    return recorded


def told_by(recorded: Recorded, bins: int) -> list[float]:
    return list(recorded.values(START, minutes(bins), 60).values)


def test_a_recorded_value_stands_until_the_next_one_or_until_it_is_old() -> None:
    recorded = gauge((0.5, 3), (2, 4), lookback_s=120)
    np.testing.assert_equal(told_by(recorded, 5), [3, 4, 4, 4, np.nan])


def test_nothing_recorded_is_nothing_known() -> None:
    np.testing.assert_equal(told_by(Recorded(), 2), [np.nan, np.nan])


def test_a_second_record_of_an_instant_replaces_the_first() -> None:
    assert told_by(gauge((1, 3), (1, 5)), 1) == [5]


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_only_numbers_are_recorded(value: float) -> None:
    with pytest.raises(ValueError, match="must be a number that is not negative"):
        gauge((1, value))


def test_records_come_in_order() -> None:
    with pytest.raises(ValueError, match="60 s before the last record"):
        gauge((2, 1), (1, 1))


def test_what_is_recorded_for_long_does_not_grow_for_ever() -> None:
    recorded = Recorded(most=10)
    for minute in range(1000):
        recorded.record(minutes(minute + 1), minute)
    assert len(recorded._values) <= 20
    assert list(recorded.values(minutes(990), minutes(1000), 60).values) == list(range(990, 1000))


@settings(deadline=None)
@given(
    records=st.lists(st.tuples(st.integers(1, 600), st.integers(0, 50)), max_size=30),
    cut=st.integers(0, 12),
)
def test_a_recorded_gauge_reads_the_same_in_parts(records: list[tuple[int, int]], cut: int) -> None:
    recorded = Recorded(lookback_s=60)
    for at_s, value in sorted(records):
        recorded.record(START + timedelta(seconds=at_s), value)
    parts = np.concatenate(
        [
            recorded.values(START, minutes(cut), 60).values,
            recorded.values(minutes(cut), minutes(12), 60).values,
        ]
    )
    np.testing.assert_array_equal(recorded.values(START, minutes(12), 60).values, parts)
