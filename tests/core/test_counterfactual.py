"""The arithmetic of other ways of scaling, step by step."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.counterfactual import (
    Account,
    ImaginedFleet,
    PlainHpa,
    Savings,
    Way,
    begun,
    queued,
    reacted,
    steps_of,
)
from predictscale.core.series import Floats
from predictscale.simulate.plant import Boot, Plant
from worlds import NOON, at

SETTINGS = PlainHpa().settings(floor=1, max_replicas=100)


def walked(demand: Sequence[float | None], *, fleet: ImaginedFleet) -> list[int]:
    """What the plain HPA asks for at each sync, at ten units per replica."""
    specs = []
    for place, value in enumerate(demand):
        metric = None if value is None else PlainHpa().metric(value, per_replica=10.0)
        spec, hpa = reacted(fleet, now=at(15.0 * place), metric=metric, settings=SETTINGS)
        fleet = replace(fleet.at(spec, lead_steps=2), hpa=hpa)
        specs.append(spec)
    return specs


def test_a_plain_hpa_aims_at_seventy_percent_and_doubles_at_most() -> None:
    # 280 over 7 each are 40; a sync at most doubles.
    assert walked([28.0, 280.0, 280.0, 280.0, 280.0], fleet=begun(4, lead_steps=2)) == [4, 8, 16, 32, 40]


def test_it_goes_down_to_the_highest_of_five_minutes() -> None:
    specs = walked([280.0] + [28.0] * 22, fleet=begun(40, lead_steps=2))
    assert specs[:21] == [40] * 21
    assert specs[21:] == [4, 4]


def test_within_its_dead_band_it_stays() -> None:
    assert walked([76.9, 77.1, 63.1, 62.9], fleet=begun(10, lead_steps=2)) == [10, 12, 12, 12]


def test_what_cannot_be_read_moves_nothing() -> None:
    assert walked([280.0, None, None], fleet=begun(40, lead_steps=2)) == [40, 40, 40]


def test_its_minimum_is_one_and_no_more_than_its_ceiling() -> None:
    assert PlainHpa().settings(floor=0, max_replicas=5).min_replicas == 1
    assert PlainHpa().settings(floor=9, max_replicas=5).min_replicas == 5


@given(
    specs=st.lists(st.integers(0, 30), min_size=1, max_size=40),
    lead_steps=st.integers(0, 6),
    first=st.integers(0, 30),
)
def test_replicas_are_ready_as_the_simulators_plant_has_it(
    specs: list[int], lead_steps: int, first: int
) -> None:
    plant = Plant(
        fleets=1,
        per_replica=1.0,
        step_s=15.0,
        boot=Boot.fixed(15.0 * lead_steps),
        wait_s=5.0,
        replicas=first,
    )
    expected = plant.advance(np.zeros(len(specs)), np.array([specs])).ready[0].tolist()
    fleet, ready = begun(first, lead_steps=lead_steps), []
    for place, spec in enumerate(specs):
        fleet = fleet.at(spec, lead_steps=lead_steps) if place else replace(fleet, spec=spec)
        ready.append(fleet.ready(lead_steps))
    assert ready == expected


@given(demand=st.lists(st.floats(0, 200), min_size=1, max_size=40), ready=st.integers(0, 20))
def test_work_is_late_as_the_simulators_plant_has_it(demand: list[float], ready: int) -> None:
    plant = Plant(fleets=1, per_replica=10.0, step_s=15.0, boot=Boot.fixed(0.0), wait_s=5.0, replicas=ready)
    served = plant.advance(np.array(demand), np.full((1, len(demand)), ready))
    queue, late = 0.0, []
    for value in demand:
        share, queue = queued(queue, value, ready, per_replica=10.0, step_s=15.0, wait_s=5.0)
        late.append(share)
    assert_close(served.late[0], late)
    assert queue == pytest.approx(float(plant.queue[0]), rel=1e-6, abs=1e-5)


def assert_close(one: Floats, other: list[float]) -> None:
    np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-5)


def test_a_longer_lead_time_than_before_finds_the_oldest_that_is_known() -> None:
    fleet = begun(2, lead_steps=3)
    for spec in (6, 8, 9):
        fleet = fleet.at(spec, lead_steps=3)
    # Asked for were 2, 6, 8, and now 9.
    assert [fleet.ready(steps) for steps in (0, 1, 2, 3, 5)] == [9, 8, 6, 2, 2]
    assert fleet.at(9, lead_steps=0).ready(0) == 9
    assert fleet.at(9, lead_steps=5).asked == (2, 6, 8, 9)


@pytest.mark.parametrize(("lead_s", "steps"), [(0, 0), (15, 1), (16, 2), (240, 16), (15.000000001, 1)])
def test_a_lead_time_is_whole_steps_rounded_up(lead_s: float, steps: int) -> None:
    assert steps_of(lead_s, 15.0) == steps


@given(hours=st.tuples(*[st.floats(0, 1e4)] * 3), late=st.tuples(*[st.floats(0, 100)] * 3))
def test_savings_are_differences_and_shares_of_the_same_work(
    hours: tuple[float, float, float], late: tuple[float, float, float]
) -> None:
    ours, reactive, static = (
        Account(replica_h=h, late=w, money=2 * h) for h, w in zip(hours, late, strict=True)
    )
    savings = Savings(
        since=NOON,
        until=at(3600),
        known_s=3600,
        unknown_s=0,
        priced_s=3600,
        came=100.0,
        utilisation=0.7,
        wait_s=5.0,
        ours=ours,
        reactive=reactive,
        static=static,
    )
    assert savings.saved_h(Way.OURS) == 0
    for way in Way:
        money, share = savings.saved_money(way), savings.avoided_shortage(way)
        assert money == pytest.approx(2 * savings.saved_h(way))
        assert share == pytest.approx((savings.late_share(way) or 0) - (savings.late_share(Way.OURS) or 0))


@pytest.mark.parametrize("utilisation", [0.0, 1.1, float("nan")])
def test_a_utilisation_that_cannot_be_is_refused(utilisation: float) -> None:
    with pytest.raises(ValueError, match="utilisation"):
        PlainHpa(utilisation=utilisation)
