"""Kept decisions as columns: the grid, what stands in a step, and forecasts beside what came."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from past_scenes import decided, rising
from predictscale.control.decisionline import line_of
from predictscale.control.timeline import BANDS, LAST, Timeline, step_for, timeline
from predictscale.core.plan import Decision, Health
from predictscale.core.series import MetricWindow
from predictscale.sources.archivefile import Line
from worlds import at, policy

NOON_S = at(0).timestamp()


def lines_of(*decisions: Decision) -> list[Line]:
    return [line_of(decision) for decision in decisions]


def columns(lines: Sequence[Line], since_s: float, until_s: float, *, points: int = 500) -> Timeline:
    return timeline(lines, since_s=NOON_S + since_s, until_s=NOON_S + until_s, points=points)


@pytest.mark.parametrize("lead_s", [60, 240, 255, 600])
def test_a_forecast_stands_in_the_step_that_it_was_made_for(lead_s: float) -> None:
    obeyed = policy(lead_time_s=lead_s, level=0.95)
    lines = lines_of(
        *(decided(60.0 * m, float(m), forecast=rising(60.0 * m), obeyed=obeyed) for m in range(60))
    )
    told = columns(lines, 0, 3600)
    assert told.numbers["demand"] == list(range(60))
    begins = int(lead_s // 60)
    # Of each minute its number after noon had been forecast, as the median; 4.5 more at 0.95.
    assert told.numbers["median"] == [None] * begins + [float(m) for m in range(begins, 60)]
    assert told.numbers["high"][begins:] == pytest.approx([m + 4.5 for m in range(begins, 60)])
    assert told.numbers["high"] == told.numbers["p95"]


def test_what_was_forecast_before_the_beginning_is_told_at_the_beginning() -> None:
    lines = lines_of(*(decided(60.0 * m, forecast=rising(60.0 * m)) for m in range(30)))
    told = columns(lines, 600, 1740)
    assert told.at_s[0] == NOON_S + 600
    assert told.numbers["median"] == [float(m) for m in range(10, 30)]


def test_a_coarse_step_tells_the_mean_demand_the_highest_band_the_last_replicas_and_the_worst_health() -> (
    None
):
    decisions = [
        decided(0, 10, forecast=rising(0), replicas=2),
        decided(60, 40, forecast=rising(60), replicas=3),
        decided(120, None, replicas=None),
        decided(180, 70, replicas=5),
    ]
    lines = lines_of(*decisions)
    assert {line.health for line in lines} == {"ok", "unknown", "reactive"}
    told = columns(lines, 0, 60 * 60 * 24, points=100)
    assert (told.step_s, told.at_s) == (900, [NOON_S])
    assert told.numbers["demand"] == [40]
    assert told.numbers["median"] == [5]
    assert told.counts["replicas"] == [5]
    assert told.counts["target"] == [decisions[-1].plan.target]
    assert told.health == [Health.UNKNOWN]


def test_a_step_of_which_nothing_was_kept_is_unknown_in_every_column_of_decisions() -> None:
    told = columns(lines_of(decided(0), decided(180)), 0, 600)
    assert told.at_s == [NOON_S + second for second in (0, 60, 120, 180)]
    assert [value is None for value in told.numbers["demand"]] == [False, True, True, False]
    for name in ("target", "published", "reactive", "replicas", "ready"):
        assert [value is None for value in told.counts[name]] == [False, True, True, False], name
    assert told.counts["plain"] == [None] * 4
    assert told.health == [Health.REACTIVE, None, None, Health.REACTIVE]


def test_of_a_stretch_in_which_nothing_was_kept_there_are_columns_without_rows() -> None:
    told = columns(lines_of(decided(0)), 60, 600)
    assert (told.at_s, told.health) == ([], [])
    assert (set(told.numbers), set(told.counts)) == ({"demand", *BANDS}, set(LAST))


@given(
    since_s=st.floats(0, 2e9),
    span_s=st.floats(0, 400 * 86_400),
    points=st.integers(10, 3000),
)
def test_there_are_never_more_rows_than_asked_for_and_hardly_fewer(
    since_s: float, span_s: float, points: int
) -> None:
    until_s = since_s + span_s
    step_s = step_for(since_s, until_s, points=points)
    rows = int(until_s // step_s) - int(since_s // step_s) + 1
    assert rows <= points
    assert step_s % 60 == 0
    assume(step_s > 60)
    finer = step_s - 60
    assert int(until_s // finer) - int(since_s // finer) + 1 > points - 2


@given(st.lists(st.integers(0, 5000), unique=True, min_size=1, max_size=60), st.integers(10, 60))
def test_every_column_has_a_row_for_each_step_and_nothing_is_counted_twice(
    seconds: list[int], points: int
) -> None:
    lines = lines_of(*(decided(float(second)) for second in sorted(seconds)))
    told = columns(lines, 0, 5000, points=points)
    assert {len(column) for column in told.numbers.values()} == {len(told.at_s)} == {len(told.health)}
    assert {len(column) for column in told.counts.values()} == {len(told.at_s)}
    assert told.at_s == list(range(told.at_s[0], told.at_s[-1] + 1, told.step_s))
    known = {int((NOON_S + second) // told.step_s) * told.step_s for second in seconds}
    assert {a for a, n in zip(told.at_s, told.counts["target"], strict=True) if n is not None} == known


def test_demand_is_the_mean_of_whole_bins_where_they_are_known_and_a_sample_elsewhere() -> None:
    lines = lines_of(*(decided(60.0 * minute, 1000.0) for minute in range(6)))
    bins = MetricWindow(at(60), 60.0, np.array([10.0, 20.0, math.nan, 40.0]))

    def demand(points: int, bins: MetricWindow) -> list[float | None]:
        told = timeline(lines, since_s=NOON_S, until_s=NOON_S + 300, points=points, bins=bins)
        return told.numbers["demand"]

    assert demand(10, bins) == [1000.0, 10.0, 20.0, 1000.0, 40.0, 1000.0]
    assert demand(4, bins.between(at(120), at(300))) == [1000.0, 1000.0, 1000.0], (
        "no step has all of its bins"
    )
    full = MetricWindow(at(120), 60.0, np.array([20.0, 30.0]))
    assert demand(4, full) == [1000.0, 25.0, 1000.0]
    assert demand(10, full.resample(120.0, least_known=0.1)) == [1000.0] * 6, (
        "a bin of two steps tells neither"
    )
