"""What was said is kept for some days, and never said again otherwise."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.control.said import Said
from predictscale.core.track import TRACKED_LEVELS

START = datetime(2026, 3, 1, tzinfo=UTC)
Q = len(TRACKED_LEVELS)


def minute(number: int) -> datetime:
    return START + timedelta(minutes=number)


def told(value: float) -> list[float]:
    return [value] * Q


@given(st.lists(st.integers(0, 300), min_size=1, max_size=60).map(sorted), st.integers(1, 40))
def test_the_record_is_what_was_said_in_the_last_bins_and_nothing_else(minutes: list[int], keep: int) -> None:
    said = Said(step_s=60.0, keep_s=60.0 * keep)
    for number in minutes:
        said.note(minute(number), told(number))
    end = minutes[-1] + 1
    table = said.before(minute(end), keep)[:, 0]
    expected = [number if number in minutes else np.nan for number in range(end - keep, end)]
    assert np.array_equal(table, expected, equal_nan=True)


def test_the_first_to_say_it_is_kept_and_gaps_are_filled() -> None:
    said = Said(step_s=60.0, keep_s=600.0)
    said.note(minute(2), told(1.0))
    said.note(minute(2), told(9.0))
    said.fill(minute(0), np.full((4, Q), 5.0, dtype=np.float32))
    assert said.before(minute(4), 4)[:, 0].tolist() == [5.0, 5.0, 1.0, 5.0]


def test_what_lies_ahead_of_the_record_is_not_known() -> None:
    said = Said(step_s=60.0, keep_s=600.0)
    said.note(minute(3), told(1.0))
    assert not said.knows(minute(4))
    assert np.isnan(said.before(minute(14), 10)[1:]).all()


@given(st.lists(st.integers(0, 100), min_size=1, max_size=30).map(sorted))
def test_a_record_goes_on_from_the_shelf(minutes: list[int]) -> None:
    said, again = Said(step_s=60.0, keep_s=1200.0), Said(step_s=60.0, keep_s=1200.0)
    for number in minutes:
        said.note(minute(number), told(number))
    again.restore(*said.kept())
    end = minute(minutes[-1] + 3)
    assert np.array_equal(again.before(end, 20), said.before(end, 20), equal_nan=True)
    again.note(minute(minutes[-1] + 1), told(7.0))
    assert again.knows(minute(minutes[-1] + 1))


def test_a_record_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="table: shape"):
        Said(step_s=60.0, keep_s=600.0).restore(0, np.zeros((3, Q), dtype=np.float32))


def test_what_is_told_of_days_long_past_takes_no_place_of_newer_ones() -> None:
    said = Said(step_s=60.0, keep_s=600.0)
    for number in (20, 21):
        said.note(minute(number), told(number))
    said.fill(minute(8), np.full((6, Q), 5.0, dtype=np.float32))
    kept = said.before(minute(22), 10)[:, 0]
    assert np.array_equal(kept, [5.0, 5.0, *[np.nan] * 6, 20.0, 21.0], equal_nan=True)
