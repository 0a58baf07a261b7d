"""A notch makes settings more careful, whatever they size for, and never bolder."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.decide import decide
from predictscale.core.knobs import ALONE, LEVEL_LADDER, Kind, Knobs
from predictscale.core.plan import Memory
from worlds import forecast_of, policy, seen

KNOBS = st.builds(
    Knobs,
    level=st.floats(0.5, 0.9),
    margin=st.sampled_from([0.0, 1.0, 1.2, 2.0, ALONE]),
    limit=st.sampled_from([None, 0.8, 1.0, 1.1]),
    headroom=st.sampled_from([1.0, 1.25, 2.0]),
    hold_s=st.sampled_from([60.0, 600.0]),
)


def target(knobs: Knobs, *, demand: float, peak: float, highest: float) -> int:
    forecast = forecast_of([peak] * 20)
    plan, _ = decide(
        seen(demand, highest=highest), forecast, policy().obeying(knobs), Memory(), unit="requests/s"
    )
    return plan.target


@given(KNOBS, st.integers(0, 6), st.floats(0, 500), st.floats(0, 500), st.floats(1, 500))
def test_careful_settings_never_want_fewer_replicas(
    knobs: Knobs, notches: int, demand: float, peak: float, highest: float
) -> None:
    # The forecast of this world carries levels to 0.9, which the ladder must not leave.
    careful = knobs.careful(notches, highest=0.9)
    assert target(careful, demand=demand, peak=peak, highest=highest) >= target(
        knobs, demand=demand, peak=peak, highest=highest
    )


@given(KNOBS, st.integers(1, 6))
def test_a_notch_moves_what_the_settings_size_for(knobs: Knobs, notches: int) -> None:
    assert knobs.careful(notches) != knobs
    assert knobs.careful(notches).kind is knobs.kind
    assert knobs.careful(0) == knobs


def test_a_notch_takes_the_next_level_and_beyond_the_ladder_a_margin() -> None:
    assert Knobs(level=0.95).careful(1) == Knobs(level=0.965)
    assert Knobs(level=0.98).careful(1) == Knobs(level=0.983)
    assert Knobs(level=0.99).careful(3) == Knobs(level=0.995, margin=1.5)
    assert Knobs(level=0.995).careful(9) == Knobs(level=0.995, margin=2.0)


def test_the_owners_highest_level_is_not_exceeded_nor_multiplied() -> None:
    assert Knobs(level=0.9).careful(9, highest=0.95) == Knobs(level=0.95)


def test_reactive_settings_get_room_and_static_ones_a_higher_limit() -> None:
    reactive = Knobs(level=0.9, margin=0.0, headroom=1 / 0.7)
    assert reactive.kind is Kind.REACTIVE
    assert 1 / reactive.careful(2).headroom == pytest.approx(0.6)
    static = Knobs(level=0.995, margin=ALONE, limit=1.0)
    assert static.kind is Kind.STATIC
    assert static.careful(2).limit == pytest.approx(1.2)


def test_a_policy_obeys_the_knobs_and_shows_them_again() -> None:
    knobs = Knobs(level=0.7, margin=1.2, limit=1.1, headroom=1.5, hold_s=60.0)
    obeying = policy(max_replicas=7).obeying(knobs)
    assert obeying.knobs == knobs
    assert obeying.max_replicas == 7


def test_knobs_tell_what_they_do() -> None:
    assert str(Knobs(level=0.95, limit=1.0)) == "level 0.95, limit 1, hold 600 s"
    assert "utilisation 0.70" in str(Knobs(level=0.95, margin=0.0, headroom=1 / 0.7))
    assert "static" in str(Knobs(level=0.995, margin=ALONE, limit=1.1))
    assert LEVEL_LADDER[-1] == 0.995
