"""What a start learns of pools from coarse looks: losses, and nothing that was given up."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from predictscale.control.poolpast import LOOK_S, PastLook, records
from predictscale.core.pools import PoolPolicy
from worlds import at

RULE = PoolPolicy(availability=0.99, lead_time_s=300)
ZONES = ("a", "b")


def look(place: int, ready: Mapping[str, int], wanted: int | None, lost: int | None = None) -> PastLook:
    return PastLook(
        at=at(LOOK_S * place), ready=ready, wanted=wanted, lost=None if lost is None else {"a": lost}
    )


def lost(*looks: PastLook, rule: PoolPolicy = RULE) -> tuple[float, float]:
    found = records(looks, ZONES, rule)
    return round(found["a"].normal.events, 2), round(found["b"].normal.events, 2)


def test_what_vanishes_is_lost_and_what_is_given_up_is_not() -> None:
    assert lost(look(0, {"a": 4, "b": 2}, 6), look(1, {"a": 1, "b": 2}, 6)) == (3, 0)
    assert lost(look(0, {"a": 4, "b": 2}, 6), look(1, {"a": 2, "b": 2}, 4)) == (0, 0)
    assert lost(look(0, {"a": 4, "b": 2}, 6), look(1, {"a": 2, "b": 1}, 5)) == (1, 1)


def test_replicas_of_one_node_are_lost_together() -> None:
    by_four = PoolPolicy(availability=0.99, lead_time_s=300, replicas_per_node=4)
    assert lost(look(0, {"a": 8}, 8), look(1, {"a": 3}, 8), rule=by_four) == (2, 0)


def test_a_counter_of_losses_is_believed() -> None:
    assert lost(look(0, {"a": 4}, 4, lost=0), look(1, {"a": 4}, 4, lost=2)) == (2, 0)


def test_hours_that_nobody_told_of_count_neither_as_calm_nor_as_losses() -> None:
    found = records([look(0, {"a": 4}, 4), look(20, {"a": 0}, 4)], ZONES, RULE)["a"]
    assert (found.normal.events, found.normal.exposure_h) == (0, 0)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 18)), max_size=20))
def test_no_more_is_lost_than_ever_served(counts: list[tuple[int, int, int]]) -> None:
    looks = [look(place, {"a": a, "b": b}, wanted) for place, (a, b, wanted) in enumerate(counts)]
    found = records(looks, ZONES, RULE)
    assert found["a"].normal.events <= sum(a for a, _, _ in counts)
    assert found["b"].normal.events <= sum(b for _, b, _ in counts)
