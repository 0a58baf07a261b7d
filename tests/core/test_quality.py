"""How much of a history is known: counted from its beginning, with what is overdue."""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.quality import known, recent_share
from predictscale.core.series import MetricWindow
from worlds import NOON, at

GAP = float("nan")
_bins = st.lists(st.sampled_from([1.0, GAP]), max_size=40)


def window(values: list[float]) -> MetricWindow:
    return MetricWindow(NOON, 60, np.array(values, dtype=float))


def test_what_lies_before_the_first_known_bin_was_never_lost() -> None:
    told = known(window([GAP, GAP, 1, 1, GAP, 1]), until=at(360))
    assert told is not None
    assert told.start == at(120)
    assert told.share() == 0.75
    assert told.gaps(most=9) == ([(at(240), at(300))], 1)


def test_bins_that_are_due_and_were_not_read_are_a_gap_and_those_not_due_are_not() -> None:
    told = known(window([1, 1]), until=at(60 * 4 + 59))
    assert told is not None
    assert told.share() == 0.5
    assert told.gaps(most=9) == ([(at(120), at(240))], 1)
    assert told.share(60) == 0.0


def test_bins_that_were_read_before_they_are_due_are_no_gap() -> None:
    told = known(window([1, GAP, 1, GAP, GAP]), until=at(60 * 3))
    assert told is not None
    assert told.gaps(most=9) == ([(at(60), at(120))], 1)
    assert told.share() == pytest.approx(2 / 3)


def test_a_history_without_any_value_has_no_share() -> None:
    assert known(window([GAP, GAP]), until=at(120)) is None
    assert known(MetricWindow.empty(start=NOON, step_s=60), until=at(120)) is None


def test_a_span_that_is_longer_than_the_history_counts_from_its_beginning() -> None:
    told = known(window([1, GAP, 1, 1]), until=at(240))
    assert told is not None
    assert told.share(120) == 1.0
    assert told.share(86400) == told.share() == 0.75
    assert told.share(0) is None


def test_only_the_newest_gaps_are_told_and_all_are_counted() -> None:
    told = known(window([1, GAP, 1, GAP, GAP, 1, GAP, 1]), until=at(480))
    assert told is not None
    gaps, total = told.gaps(most=2)
    assert [gap.start for gap in gaps] == [at(360), at(180)]
    assert [gap.duration_s for gap in gaps] == [60, 120]
    assert total == 3


@given(values=_bins, late=st.integers(0, 5), span=st.integers(1, 50))
def test_gaps_and_shares_tell_the_same_and_the_short_way_agrees(
    values: list[float], late: int, span: int
) -> None:
    bins = window(values)
    until = bins.end + timedelta(seconds=60 * late)
    told = known(bins, until=until)
    assert recent_share(bins, until=until, span_s=60 * span) == (
        None if told is None else told.share(60 * span)
    )
    if told is None:
        assert all(np.isnan(value) for value in values)
        return
    gaps, total = told.gaps(most=99)
    assert total == len(gaps)
    lost_s = sum(gap.duration_s for gap in gaps)
    share = told.share()
    assert share == pytest.approx(1 - lost_s / (60 * len(told.known)))
    assert [gap.start for gap in gaps] == sorted((gap.start for gap in gaps), reverse=True)
