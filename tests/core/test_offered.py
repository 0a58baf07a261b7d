"""What is offered follows from what is counted, whatever a full fleet holds back."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.core.law import Mix
from predictscale.core.needed import Demands
from predictscale.core.offered import (
    GROWTH_S,
    LEAST_REQUESTS,
    MEAN_HOURS,
    Counted,
    Offered,
    Rate,
    arrived_now,
    offered_now,
    part_of,
    together,
)
from predictscale.core.series import Floats, MetricWindow

START = datetime(2026, 3, 2, 6, tzinfo=UTC)
STEP_S = GROWTH_S
"""Bins as wide as the queue's growth is taken over: there the arithmetic is exact."""
INPUT, OUTPUT, CACHED = 512.0, 256.0, 0.25

arrivals = st.lists(st.floats(1.0, 50.0), min_size=20, max_size=200).map(np.array)
capacities = st.floats(2.0, 60.0)


def window(values: Floats, *, step_s: float = STEP_S, start: datetime = START) -> MetricWindow:
    return MetricWindow(start, step_s, values)


def served_of(came_rps: Floats, capacity_rps: float, step_s: float = STEP_S) -> tuple[Floats, Floats]:
    """What a fleet serves of what comes, per second, and how many wait at each bin's end."""
    queue, served, waits = 0.0, [], []
    for came in came_rps:
        done = min(capacity_rps, came + queue / step_s)
        queue += (came - done) * step_s
        served.append(done)
        waits.append(max(queue, 0.0))
    return np.array(served), np.array(waits)


def counted(came: Floats, capacity: float, *, arrive: bool = True) -> Counted:
    """What the counters of a fleet say whose requests are all alike."""
    served, waits = served_of(came, capacity)
    return Counted(
        requests=window(came if arrive else served),
        arrivals=arrive,
        waiting=window(waits),
        input_tokens=window(served * INPUT * (1 - CACHED)),
        prompts=window(served * INPUT),
        output_tokens=window(served * OUTPUT),
    )


def long_enough(came: Floats, capacity: float) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Where enough was served to tell a mean, whichever hour it is."""
    served, _ = served_of(came, capacity)
    hour = np.arange(served.size) // 30
    running = np.array(
        [served[(hour == hour[i]) & (np.arange(served.size) <= i)].sum() for i in range(served.size)]
    )
    # The first bin's growth is not known.
    return (running * STEP_S >= 3 * LEAST_REQUESTS) & (np.arange(served.size) >= 1)


@given(came=arrivals, capacity=capacities, arrive=st.booleans())
@settings(deadline=None)
def test_tokens_are_told_as_they_are_offered_however_little_is_served(
    came: Floats, capacity: float, *, arrive: bool
) -> None:
    offered = Offered.of(counted(came, capacity, arrive=arrive))
    sure = long_enough(came, capacity)
    requests = offered.rates[Rate.REQUESTS].values[1:]
    np.testing.assert_allclose(requests, came[1:], rtol=1e-6, atol=1e-6)
    # The queue of the first bin came in before anybody could see it grow.
    first = np.abs(came[0] - served_of(came, capacity)[0][0]) * STEP_S
    slack = first / LEAST_REQUESTS + 1e-6
    for rate, each in ((Rate.INPUT, INPUT * (1 - CACHED)), (Rate.OUTPUT, OUTPUT)):
        told = offered.rates[rate].values[sure]
        # A queue that drains is served faster than it comes, and what is counted is never made less.
        most = np.maximum(came, served_of(came, capacity)[0])
        np.testing.assert_allclose(told, most[sure] * each, rtol=slack)


@given(came=arrivals, capacity=capacities, gaps=st.sets(st.integers(0, 199)))
@settings(deadline=None)
def test_never_less_is_offered_than_was_counted_and_a_gap_stays_one(
    came: Floats, capacity: float, gaps: set[int]
) -> None:
    told = counted(came, capacity)
    assert told.output_tokens is not None
    values = told.output_tokens.values.copy()
    values[[gap for gap in gaps if gap < values.size]] = np.nan
    offered = Offered.of(replace(told, output_tokens=window(values))).rates[Rate.OUTPUT].values
    np.testing.assert_array_equal(np.isnan(offered), np.isnan(values))
    assert (offered[~np.isnan(values)] >= values[~np.isnan(values)]).all()


@given(came=arrivals, capacity=capacities, late=st.integers(1, 60))
@settings(deadline=None)
def test_where_a_history_begins_changes_nothing_hours_later(came: Floats, capacity: float, late: int) -> None:
    longer = np.tile(came, 4)
    whole = Offered.of(counted(longer, capacity))
    told = counted(longer, capacity)
    begin = START + timedelta(seconds=late * STEP_S)

    def later(one: MetricWindow | None) -> MetricWindow | None:
        return None if one is None else one.between(begin, one.end)

    requests = later(told.requests)
    assert requests is not None
    part = Offered.of(
        Counted(
            requests=requests,
            waiting=later(told.waiting),
            input_tokens=later(told.input_tokens),
            prompts=later(told.prompts),
            output_tokens=later(told.output_tokens),
        )
    )
    settled = round(MEAN_HOURS * 3600 / STEP_S) + 1
    np.testing.assert_array_equal(part.means[:, settled:], whole.means[:, late + settled :])


def test_the_mean_request_is_that_of_hours_and_follows_a_change_within_them() -> None:
    bins = 8 * 30
    came = np.full(bins, 10.0)
    output = np.where(np.arange(bins) < bins // 2, 100.0, 300.0) * came
    told = Offered.of(Counted(requests=window(came), input_tokens=window(came), output_tokens=window(output)))

    def length(hours: float) -> float:
        mix = told.mix_at(START + timedelta(hours=hours))
        assert mix is not None
        return mix.output_tokens

    assert length(4) == pytest.approx(100)
    assert 100 < length(5) < length(6) < 300
    assert length(8) == pytest.approx(300)
    assert length(80) == length(8)
    assert told.mix_at(START) is None


def test_the_share_that_a_cache_had_is_tracked() -> None:
    came = np.full(60, 10.0)
    mix = Offered.of(counted(came, 20.0)).mix_at(START + timedelta(hours=2))
    assert mix is not None
    assert mix.input_tokens == pytest.approx(INPUT)
    assert mix.output_tokens == pytest.approx(OUTPUT)
    assert mix.cached_share == pytest.approx(CACHED)


def test_few_requests_tell_no_length_and_tokens_stay_as_counted() -> None:
    came = np.full(30, 0.4 * LEAST_REQUESTS / 3600)
    offered = Offered.of(counted(came, 20.0))
    assert np.isnan(offered.means).all()
    np.testing.assert_allclose(offered.rates[Rate.OUTPUT].values, came * OUTPUT)


def test_a_queue_that_nobody_tells_leaves_completions_as_they_are() -> None:
    served = np.full(40, 5.0)
    told = Offered.of(Counted(requests=window(served), arrivals=False))
    np.testing.assert_array_equal(told.rates[Rate.REQUESTS].values, served)


def test_absurd_counts_are_still_numbers() -> None:
    told = Offered.of(
        Counted(
            requests=window(np.array([1.0] * 30 + [1e300])),
            input_tokens=window(np.full(31, 1e200)),
            output_tokens=window(np.full(31, 1e200)),
        )
    )
    assert all(np.isfinite(each.values).all() for each in told.rates.values())
    assert together({Rate.OUTPUT: float("inf")}).output_tokens_per_s is not None


@given(
    requests=st.none() | st.floats(0, 1e6),
    output=st.none() | st.floats(0, 1e9),
    computed=st.none() | st.floats(0, 1e9),
)
def test_at_an_instant_nothing_unknown_becomes_known_and_nothing_known_shrinks(
    requests: float | None, output: float | None, computed: float | None
) -> None:
    seen = Demands(requests_rps=requests, input_tokens_per_s=computed, output_tokens_per_s=output)
    told = offered_now(seen, Mix(input_tokens=512, output_tokens=256, cached_share=0.5))
    for rate in Rate:
        before, after = part_of(seen, rate), part_of(told, rate)
        assert (before is None) == (after is None)
        assert before is None or after is None or after >= before
    assert offered_now(seen, None) == seen


def test_completions_and_the_growth_of_the_queue_are_arrivals_and_never_negative() -> None:
    assert arrived_now(5.0, arrivals=False, growth=2.5) == 7.5
    assert arrived_now(5.0, arrivals=False, growth=-9.0) == 0.0
    assert arrived_now(5.0, arrivals=True, growth=2.5) == 5.0
    assert arrived_now(5.0, arrivals=False, growth=None) == 5.0
