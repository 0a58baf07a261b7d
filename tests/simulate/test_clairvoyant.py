"""The bound is the optimum: by trying all plans, and by taking one replica away anywhere."""

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from made_series import MONDAY, shop
from predictscale.core.series import Floats, MetricWindow
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.clairvoyant import cheapest, frontier, need
from predictscale.simulate.plant import Boot
from predictscale.simulate.rivals import Ints
from predictscale.simulate.world import Run, World, replay

STEP_S = 15.0


def live(demand: Floats, plans: Ints, *, lead_steps: int, wait_s: float = 0.0) -> Run:
    world = World(
        demand=MetricWindow(MONDAY, STEP_S, demand),
        per_replica=1.0,
        boot=Boot.fixed(lead_steps * STEP_S),
        wait_s=wait_s,
        actuation=Actuation.DIRECT,
        replicas=int(plans[:, 0].max()),
    )
    return replay(world, plans)


@settings(max_examples=40, deadline=None)
@given(needed=st.lists(st.integers(1, 3), min_size=1, max_size=6), lead=st.integers(0, 3))
def test_no_plan_that_covers_all_is_cheaper(needed: list[int], lead: int) -> None:
    steps = range(len(needed))
    costs = [
        sum(plan)
        for plan in product(range(1, 4), repeat=len(needed))
        if all(min(plan[max(0, t - lead) : t + 1]) >= needed[t] for t in steps)
    ]
    plan = cheapest(np.array(needed, dtype=np.int32), lead)
    assert plan.sum() == min(costs)
    assert all(plan[max(0, t - lead) : t + 1].min() >= needed[t] for t in steps)


@settings(max_examples=60, deadline=None)
@given(
    loads=st.lists(st.floats(0.1, 6.0), min_size=2, max_size=12),
    lead=st.integers(0, 4),
    data=st.data(),
)
def test_in_the_world_nothing_is_late_and_no_replica_can_be_spared(
    loads: list[float], lead: int, data: st.DataObject
) -> None:
    demand = np.array(loads)
    plan = cheapest(need(demand, 1.0), lead)
    # The first fleet is there from the beginning, so a replica is spared from a later step on.
    places = [place for place in range(1, plan.size) if plan[place] > 1]
    assert live(demand, plan[np.newaxis], lead_steps=lead).late.sum() == 0
    if places:
        spared = plan.copy()
        spared[data.draw(st.sampled_from(places))] -= 1
        assert live(demand, spared[np.newaxis], lead_steps=lead).late.sum() > 0


def test_a_gap_needs_no_more_than_one() -> None:
    assert need(np.array([np.nan, 2.5]), 1.0).tolist() == [1, 3]


def test_a_whole_number_of_replicas_is_not_rounded_up_by_a_hair() -> None:
    assert need(np.array([0.1 + 0.2]), 0.1).tolist() == [3]


PRICES = (0.0, 0.5, 2.0, 8.0, 32.0, 128.0, np.inf)


def test_at_any_price_all_is_covered() -> None:
    demand = shop(days=1, step_s=300.0).values / 3.0
    plans = frontier(demand, 1.0, lead_steps=5, prices=PRICES)
    np.testing.assert_array_equal(plans[-1], cheapest(need(demand, 1.0), 5))


def test_for_nothing_nothing_is_covered() -> None:
    demand = shop(days=1, step_s=300.0).values / 3.0
    assert (frontier(demand, 1.0, lead_steps=5, prices=PRICES)[0] == 1).all()


def test_what_is_worth_more_is_covered_more_and_is_late_less() -> None:
    demand = shop(days=2, step_s=300.0).values / 3.0
    plans = frontier(demand, 1.0, lead_steps=5, prices=PRICES)
    assert (np.diff(plans, axis=0) >= 0).all()
    late = live(demand, plans, lead_steps=5, wait_s=5.0).violation
    assert (np.diff(late) <= 1e-12).all()
    assert late[0] > 0.1
    assert late[-1] == 0


def test_a_single_spike_is_left_out_below_the_price_of_its_cold_start() -> None:
    demand = np.full(30, 0.9)
    demand[20] = 2.0
    # One step and ten steps of cold start for one replica-step of demand.
    dear, fair = frontier(demand, 1.0, lead_steps=10, prices=(10.9, 11.1))
    assert dear.max() == 1
    assert fair.tolist() == [1] * 10 + [2] * 11 + [1] * 9
