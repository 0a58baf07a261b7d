"""Replicas that may be wanted before a new node serves, beyond those that are here."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.capacity import CapacityModel
from predictscale.core.floors import Floor
from predictscale.core.forecast import Forecast
from predictscale.core.warmth import surge
from predictscale.errors import ForecastTooShort
from worlds import NOON

LEVELS = (0.5, 0.9, 0.99)


def asked(
    forecast: Forecast, *, wake_s: float = 180, level: float = 0.9, here: int = 0, most: int = 100
) -> Floor:
    """Of a fleet whose replicas serve 10 requests/s each."""
    size = CapacityModel(10).replicas_for
    return surge(
        forecast, now=NOON, wake_s=wake_s, size=size, level=level, here=here, most=most, unit="requests/s"
    )


def said(*rows: list[float]) -> Forecast:
    """A minute in each step, a level in each row."""
    return Forecast(NOON, 60.0, LEVELS, np.array(rows, dtype=float), "oracle")


RISING = said([20, 30, 25, 500], [40, 60, 50, 500], [70, 90, 80, 500])


def test_what_may_come_meanwhile_is_wanted_beyond_what_is_here() -> None:
    assert asked(RISING, here=4) == Floor(
        2,
        "up to 60 requests/s may come within 180 s at level 0.9: 6 replicas; "
        "4 are here, 2 more may be wanted",
    )


def test_a_fleet_that_is_large_enough_wants_no_more() -> None:
    assert asked(RISING, here=7).replicas == 0


def test_the_workload_never_wants_more_than_it_may_have() -> None:
    floor = asked(RISING, wake_s=240, here=4, most=30)
    assert floor.replicas == 26
    assert "50 replicas, of which the workload may have 30; 4 are here, 26 more" in floor.because


def test_a_level_beyond_the_forecast_is_its_highest_and_says_so() -> None:
    floor = asked(RISING, level=0.999)
    assert floor.replicas == 9
    assert "at level 0.99 (0.999 is not forecast):" in floor.because


@given(
    levels=st.tuples(st.sampled_from(LEVELS), st.sampled_from(LEVELS)),
    waits_s=st.tuples(st.integers(1, 240), st.integers(1, 240)),
    here=st.integers(0, 60),
)
def test_more_care_and_a_longer_wait_never_want_fewer(
    levels: tuple[float, float], waits_s: tuple[int, int], here: int
) -> None:
    low = asked(RISING, level=min(levels), wake_s=min(waits_s), here=here)
    high = asked(RISING, level=max(levels), wake_s=max(waits_s), here=here)
    assert low.replicas <= high.replicas


def test_a_forecast_that_ends_before_the_node_serves_tells_nothing() -> None:
    with pytest.raises(ForecastTooShort):
        asked(RISING, wake_s=241)


@pytest.mark.parametrize(("here", "most"), [(-1, 5), (5, -1)])
def test_a_negative_fleet_is_a_bug(here: int, most: int) -> None:
    with pytest.raises(ValueError, match="none is negative"):
        asked(RISING, here=here, most=most)
