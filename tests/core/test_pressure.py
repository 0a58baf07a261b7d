"""Full replicas ask for more of what is ready, and not again at each look."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.demand import Observation
from predictscale.core.fleet import FleetState
from predictscale.core.pressure import KV_FULL, QUEUE_FULL, pressed
from worlds import NOON

CALM = Observation(now=NOON, demand=1.0, demand_at=NOON, fleet=FleetState(replicas=10, ready=10))


def test_a_calm_fleet_asks_for_nothing() -> None:
    assert pressed(CALM) is None
    assert pressed(replace(CALM, kv_usage=KV_FULL, waiting=QUEUE_FULL * 10 - 1)) is None


def test_a_full_cache_asks_for_as_many_as_bring_it_back() -> None:
    assert pressed(replace(CALM, kv_usage=0.96)) == (
        12,
        "the KV cache is 96% full on 10 ready, which asks for 12",
    )


def test_a_queue_on_every_replica_asks_for_one_more() -> None:
    told = pressed(replace(CALM, waiting=QUEUE_FULL * 10))
    assert told == (11, "50 requests wait on 10 ready, which asks for 11")


def test_requests_that_wait_for_a_fleet_of_none_ask_for_one() -> None:
    told = pressed(replace(CALM, waiting=9.0, fleet=FleetState(replicas=3, ready=0)))
    assert told == (1, "9 requests wait, and no replica is ready")


def test_of_a_fleet_that_is_not_told_nothing_is_said() -> None:
    assert pressed(replace(CALM, kv_usage=1.0, waiting=1e6, fleet=FleetState())) is None


@given(
    usage=st.none() | st.floats(0, 1),
    waiting=st.none() | st.floats(0, 1e6),
    ready=st.integers(0, 1000),
    more=st.integers(0, 1000),
)
def test_replicas_that_start_are_never_asked_for_twice(
    usage: float | None, waiting: float | None, ready: int, more: int
) -> None:
    seen = replace(CALM, kv_usage=usage, waiting=waiting, fleet=FleetState(replicas=ready, ready=ready))
    told = pressed(seen)
    assert told == pressed(replace(seen, fleet=FleetState(replicas=ready + more, ready=ready)))
    assert told is None or ready < told[0] <= max(1.25 * ready + 1, ready + 1)
