"""The gap in demand that a workload is in, as decisions are told of it."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from predictscale.control.idleness import Idleness
from predictscale.core.breakeven import ColdStart
from predictscale.core.series import MetricWindow
from worlds import NOON, at

COLD = ColdStart(lost_value=1.0, idle_per_h=2.0, lead_s=360.0)
"""As dear as 36 minutes of idling."""


def bins(values: Sequence[float]) -> MetricWindow:
    return MetricWindow(NOON, 60.0, np.array(values))


def test_the_gap_is_as_long_as_it_was_by_then() -> None:
    idle, day = Idleness(COLD), bins([5, 0, 0, 0, 7, 0])
    told = [idle.at(at(60 * minute + 59), day) for minute in range(7)]
    assert [None if rest is None else rest.idle_s for rest in told] == [None, 0, 60, 120, 180, 0, 60]
    assert {rest.timeout.wait_s for rest in told if rest is not None} == {36 * 60}


def test_a_late_sample_counts_once_it_is_there() -> None:
    idle = Idleness(COLD)
    told = [idle.at(at(180), bins(values)) for values in ([5, 0, 0], [5, 0, 3], [5, 0, 3])]
    assert [None if rest is None else rest.idle_s for rest in told] == [120, 0, 0]


def test_gaps_on_record_teach_the_wait() -> None:
    # Two-minute gaps throughout: waiting them through is cheaper than a cold start each.
    rest = Idleness(COLD).at(at(60 * 123), bins([5, 0, 0] * 41))
    assert rest is not None
    assert rest.timeout.wait_s == 120
    assert "40 gaps on record" in rest.timeout.because


def test_what_is_not_known_is_no_rest() -> None:
    rest = Idleness(COLD).at(at(180), bins([5, 0, float("nan")]))
    assert rest is not None
    assert rest.idle_s is None
    assert Idleness(COLD).at(at(180), None) is None
    assert Idleness(None).at(at(180), bins([5, 0, 0])) is None
    before = Idleness(COLD).at(NOON - timedelta(minutes=9), bins([5, 0, 0]))
    assert before is not None
    assert before.idle_s is None


@given(st.lists(st.sampled_from([0.0, 1.0, float("nan")]), min_size=1, max_size=60), st.data())
def test_what_came_later_changes_nothing(values: list[float], data: st.DataObject) -> None:
    minute = data.draw(st.integers(0, len(values)))
    whole, cut = Idleness(COLD), Idleness(COLD)
    whole.at(at(60 * len(values)), bins(values))
    assert whole.at(at(60 * minute), bins(values)) == cut.at(at(60 * minute), bins(values[:minute] or [1.0]))
