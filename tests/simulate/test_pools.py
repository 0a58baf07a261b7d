"""The world of pools: what is lost, what fails to launch, what is paid, and who knows."""

from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.fallback import plan_pools
from predictscale.core.pools import PoolMemory, PoolPolicy, PoolsSeen
from predictscale.simulate.pools import PoolRun, PoolWorld, Wanted, clairvoyant, run_pools, score

LEAD = 2
ROOMS = st.lists(st.integers(0, 4), min_size=12, max_size=12)


def world(*rooms: list[int], need: int = 2, lead_s: float = LEAD * 60.0, notice_s: float = 0.0) -> PoolWorld:
    return PoolWorld(
        room={f"zone-{place}": np.array(room, dtype=np.int64) for place, room in enumerate(rooms)},
        need=np.full(len(rooms[0]), need, dtype=np.int64),
        step_s=60.0,
        spot_lead_s=lead_s,
        on_demand_lead_s=lead_s,
        notice_s=notice_s,
    )


class Always:
    """The same at every step; keeps what it saw."""

    def __init__(self, *spot: int, on_demand: int = 0) -> None:
        self.wanted = Wanted(
            spot={f"zone-{place}": count for place, count in enumerate(spot)}, on_demand=on_demand
        )
        self.looks: list[PoolsSeen] = []

    def __call__(self, seen: PoolsSeen, now: datetime) -> Wanted:
        assert now.tzinfo is not None
        self.looks.append(seen)
        return self.wanted


class Planned:
    """The service's own decision; keeps what it wanted on demand and how many nodes it saw announced."""

    def __init__(self, need: int, policy: PoolPolicy) -> None:
        self.need, self.policy, self.memory = need, policy, PoolMemory()
        self.announced: list[int] = []

    def __call__(self, seen: PoolsSeen, now: datetime) -> Wanted:
        plan, self.memory = plan_pools(self.need, seen, self.policy, self.memory, now)
        self.announced.append(sum(zone.noticed for zone in seen.zones))
        return Wanted(spot=plan.spot, on_demand=plan.on_demand)


def lived(where: PoolWorld, buyer: Always) -> PoolRun:
    return run_pools(where, buyer)


def test_what_is_asked_for_serves_a_cold_start_later_and_is_paid_from_the_start() -> None:
    run = lived(world([4] * 5), Always(2, on_demand=1))
    assert run.spot.tolist() == [0, 0, 2, 2, 2]
    assert run.spot_billed.tolist() == [2] * 5
    assert run.on_demand.tolist() == [0, 0, 1, 1, 1]
    assert run.on_demand_billed.tolist() == [1] * 5


def test_what_exceeds_the_room_is_lost_at_once_and_boots_again_when_there_is_room() -> None:
    run = lived(world([2, 2, 2, 0, 0, 2, 2, 2, 2]), Always(2))
    assert run.spot.tolist() == [0, 0, 2, 0, 0, 0, 0, 2, 2]
    assert run.spot_billed.tolist() == [2, 2, 2, 0, 0, 2, 2, 2, 2]


def test_spot_that_returns_at_once_is_the_optimists_world() -> None:
    run = lived(world([2, 0, 2], lead_s=0.0), Always(2))
    assert run.spot.tolist() == [2, 0, 2]


def test_a_policy_is_told_of_losses_and_of_launches_that_failed_in_the_next_look() -> None:
    buyer = Always(3)
    lived(world([3, 3, 3, 1, 1]), buyer)
    assert [look.zones[0].lost for look in buyer.looks] == [0, 0, 0, 2, 0]
    assert [look.zones[0].failed for look in buyer.looks] == [0, 0, 0, 0, 2]
    assert [look.zones[0].pending for look in buyer.looks] == [0, 3, 0, 2, 2]


def test_a_notice_comes_as_long_before_a_loss_as_it_is_given() -> None:
    room = [3, 3, 3, 3, 3, 1, 1]
    told, silent = Always(3), Always(3)
    lived(world(room, notice_s=120.0), told)
    lived(world(room), silent)
    assert [look.zones[0].noticed for look in told.looks] == [0, 0, 0, 2, 2, 0, 0]
    assert [look.zones[0].noticed for look in silent.looks] == [0] * 7


@given(first=ROOMS, second=ROOMS, spot=st.tuples(st.integers(0, 5), st.integers(0, 5)))
def test_no_zone_ever_holds_more_than_its_room(
    first: list[int], second: list[int], spot: tuple[int, int]
) -> None:
    run = lived(world(first, second), Always(*spot))
    room = np.minimum(first, spot[0]) + np.minimum(second, spot[1])
    assert (run.spot <= run.spot_billed).all()
    assert (run.spot_billed == room).all()


@given(first=ROOMS, second=ROOMS, on_demand=st.integers(0, 4))
def test_a_policy_that_is_never_short_pays_no_less_than_the_clairvoyant(
    first: list[int], second: list[int], on_demand: int
) -> None:
    where = world(first, second, lead_s=0.0)
    found = score(lived(where, Always(4, 4, on_demand=on_demand)), spot_price=0.35)
    if found.time_short == 0:
        assert found.cost >= clairvoyant(where, spot_price=0.35) - 1e-12


def test_the_clairvoyant_is_on_spot_wherever_it_can_be() -> None:
    assert clairvoyant(world([2, 1, 0, 0], [0, 0, 2, 0]), spot_price=0.35) == pytest.approx(
        (0.7 + 1.35 + 0.7 + 2) / 8
    )


def test_the_score_counts_time_amount_money_and_moves() -> None:
    run = lived(world([4] * 4), Always(1, on_demand=1))
    found = score(run, spot_price=0.5)
    assert (found.time_short, found.missing) == (0.5, 0.5)
    assert found.cost == pytest.approx(0.75)
    assert found.moves == 0
    assert score(run.since(2), spot_price=0.5).time_short == 0


def test_a_world_whose_parts_do_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="one number for each step"):
        world([1, 2], [1])
    with pytest.raises(ValueError, match="not negative"):
        world([1, 2], notice_s=-1.0)


@pytest.mark.parametrize("notice_s", [0.0, 120.0])
def test_through_the_loss_of_all_zones_the_need_is_missed_no_longer_than_a_fallback_takes(
    notice_s: float,
) -> None:
    hours, lead_s = 12, 300.0
    room = np.full(hours * 60, 9)
    room[360:480] = 0
    where = world(room.tolist(), room.tolist(), need=6, lead_s=lead_s, notice_s=notice_s)
    policy = PoolPolicy(availability=0.95, lead_time_s=lead_s, notice_s=notice_s)
    buyer = Planned(6, policy)
    run = run_pools(where, buyer)
    # From the beginning, when nothing is there, until everything is on spot.
    assert run.on_demand_billed[350] == 0
    loss = 360 - int(notice_s // 60)
    assert (run.asked[:loss][300:] == 0).all()
    assert run.asked[loss] == 6
    assert buyer.announced[loss] == (6 if notice_s else 0)
    assert (run.short[30:] > 0).sum() == (lead_s - notice_s) / 60
    assert run.on_demand_billed[-1] == 0
    assert np.count_nonzero(np.diff(run.asked[30:])) <= 4


def test_a_margin_over_two_zones_survives_the_loss_of_one() -> None:
    room = [9] * 720
    gone = [9] * 360 + [0] * 360
    run = run_pools(
        world(room, gone, need=4, lead_s=300.0),
        Planned(4, PoolPolicy(availability=0.9999, lead_time_s=300.0)),
    )
    assert (run.asked[330:360] == 0).all()
    assert (run.short[60:] == 0).all()
