"""The running floor by the costs of idle and missing replicas, and the tiers of standby."""

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.control.step import StepMemory, step
from predictscale.core.capacity import CapacityModel
from predictscale.core.decide import floor_in_force
from predictscale.core.floors import EVERY_DAY, CalendarFloor, Floor
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Stage
from predictscale.core.warmth import Standby, Stock, Tier, WarmCosts, Warmth, nodes_for, running_floor, stocks
from predictscale.errors import ForecastTooShort
from worlds import CHAT, NOON, flat_forecast, held, policy, seen

TEN = CapacityModel(10).replicas_for
RUNNING = Tier(Standby.RUNNING, 0.0)
TIERS = (RUNNING, Tier(Standby.ASLEEP, 6.0), Tier(Standby.LOADED_NODE, 60.0), Tier(Standby.EMPTY_NODE, 150.0))


def said(*rows: list[float], levels: tuple[float, ...] = (0.5, 0.9, 0.99)) -> Forecast:
    """A minute in each step, a level in each row."""
    return Forecast(NOON, 60.0, levels, np.array(rows, dtype=float), "oracle")


def test_nine_times_the_idle_cost_covers_nine_tenths() -> None:
    assert WarmCosts(idle_per_h=2.0, shortage_per_h=18.0).level == pytest.approx(0.9)


def test_the_running_floor_serves_that_quantile_of_the_peak_within_the_lead_time() -> None:
    forecast = said([20, 30, 25, 500], [40, 60, 50, 500], [70, 90, 80, 500])
    costs = WarmCosts(idle_per_h=1.0, shortage_per_h=9.0)
    floor = running_floor(forecast, now=NOON, lead_s=180, size=TEN, costs=costs, unit="requests/s")
    assert floor.replicas == 6
    assert floor.because == (
        "up to 60 requests/s may come within 180 s at level 0.9: "
        "an idle replica-hour costs 1, a missing one 9"
    )


def test_a_level_that_is_not_forecast_is_the_nearest_and_says_so() -> None:
    forecast = said([20.0], [40.0], [70.0])
    for shortage, replicas in ((9999.0, 7), (0.1, 2)):
        costs = WarmCosts(idle_per_h=1.0, shortage_per_h=shortage)
        floor = running_floor(forecast, now=NOON, lead_s=60, size=TEN, costs=costs, unit="requests/s")
        assert floor.replicas == replicas
        assert f"({costs.level:.4g} is not forecast)" in floor.because


def test_a_floor_is_not_told_by_a_forecast_that_is_too_short() -> None:
    with pytest.raises(ForecastTooShort):
        running_floor(
            said([1.0], [1.0], [1.0]),
            now=NOON,
            lead_s=61,
            size=TEN,
            costs=WarmCosts(idle_per_h=1, shortage_per_h=1),
            unit="requests/s",
        )


@given(dear=st.floats(0.01, 1000), dearer=st.floats(0.01, 1000), lead_s=st.floats(1, 300))
def test_a_dearer_shortage_never_means_fewer_replicas(dear: float, dearer: float, lead_s: float) -> None:
    forecast = said([20, 30, 25, 60, 10], [40, 60, 50, 80, 20], [70, 90, 80, 99, 30])
    few, many = (
        running_floor(
            forecast,
            now=NOON,
            lead_s=lead_s,
            size=TEN,
            costs=WarmCosts(idle_per_h=1.0, shortage_per_h=shortage),
            unit="requests/s",
        ).replicas
        for shortage in sorted((dear, dearer))
    )
    assert few <= many


def stocked(forecast: Forecast, tiers: tuple[Tier, ...] = TIERS, *, cold_s: float = 290.0) -> list[Stock]:
    return list(stocks(forecast, now=NOON, tiers=tiers, cold_s=cold_s, size=TEN, level=0.9))


def test_each_tier_covers_what_can_come_while_the_next_one_starts() -> None:
    # Within 6 s and a minute up to 20 come, within 150 s 60, within a cold start 100.
    forecast = said([20, 60, 60, 80, 100, 500], levels=(0.9,))
    assert [each.replicas for each in stocked(forecast)] == [2, 0, 4, 4]
    assert [each.needed for each in stocked(forecast)] == [2, 2, 6, 10]


def test_without_tiers_everything_runs() -> None:
    forecast = said([20, 60, 60, 80, 100], levels=(0.9,))
    (running,) = stocked(forecast, (RUNNING,))
    assert running.replicas == 10
    assert running.because == "10 serve what may come within 290 s at level 0.9, 0 are nearer"


@given(path=st.lists(st.floats(0, 1000), min_size=5, max_size=5), kept=st.sets(st.integers(1, 3)))
def test_sleepers_stand_in_for_running_replicas_and_never_for_fewer_in_all(
    path: list[float], kept: set[int]
) -> None:
    forecast = said(path, levels=(0.9,))
    some = stocked(forecast, (RUNNING, *(TIERS[place] for place in sorted(kept))))
    every, none = stocked(forecast), stocked(forecast, (RUNNING,))
    assert every[0].replicas <= some[0].replicas <= none[0].replicas
    assert every[-1].needed == some[-1].needed == none[-1].needed
    assert all(before.needed <= after.needed for before, after in pairwise(every))


@pytest.mark.parametrize(
    "tiers",
    [
        (),
        (TIERS[1],),
        (TIERS[0], TIERS[2], TIERS[1]),
        (Tier(Standby.RUNNING, 1.0),),
        (RUNNING, Tier(Standby.ASLEEP, 900)),
    ],
)
def test_tiers_out_of_order_are_refused(tiers: tuple[Tier, ...]) -> None:
    with pytest.raises(ValueError, match="tiers"):
        stocked(said([1.0] * 5, levels=(0.9,)), tiers)


def test_an_old_forecast_is_asked_for_what_lies_ahead() -> None:
    forecast = said([900, 20, 20, 20, 20, 20], levels=(0.9,))
    costs = WarmCosts(idle_per_h=1.0, shortage_per_h=9.0)
    later = NOON + timedelta(seconds=60)
    assert running_floor(forecast, now=later, lead_s=240, size=TEN, costs=costs, unit="r").replicas == 2


@pytest.mark.parametrize(
    ("replicas", "each", "node", "nodes"),
    [(0, 1, 8, 0), (1, 1, 8, 1), (9, 1, 8, 2), (3, 4, 8, 2), (3, 3, 8, 2), (2, 16, 8, 4), (2, 12, 8, 4)],
)
def test_nodes_hold_whole_replicas_and_a_large_replica_takes_whole_nodes(
    replicas: int, each: int, node: int, nodes: int
) -> None:
    assert nodes_for(replicas, gpus_per_replica=each, gpus_per_node=node) == nodes


@pytest.mark.parametrize(
    ("idle", "shortage"), [(0, 1), (1, 0), (-1, 1), (float("nan"), 1), (1, float("inf"))]
)
def test_costs_that_cannot_be_are_refused(idle: float, shortage: float) -> None:
    with pytest.raises(ValueError, match="finite, above 0"):
        WarmCosts(idle_per_h=idle, shortage_per_h=shortage)


OFFICE = CalendarFloor(name="office", days=EVERY_DAY, opens_s=43_200, closes_s=64_800, replicas=5, zone="UTC")


def floor_of(warmth: Warmth, forecast: Forecast | None) -> Floor | None:
    return warmth.floor(forecast, now=NOON, lead_s=60, size=TEN, unit="requests/s")


def test_of_the_calendar_and_of_costs_the_higher_floor_holds_and_says_which() -> None:
    costs = WarmCosts(idle_per_h=1.0, shortage_per_h=9.0)
    both = Warmth(floors=(OFFICE,), costs=costs)
    quiet, busy = (floor_of(both, said([d], [d], [d])) for d in (20.0, 90.0))
    assert quiet is not None
    assert busy is not None
    assert (quiet.replicas, busy.replicas) == (5, 9)
    assert quiet.because.startswith("'office' holds 5")
    assert busy.because.startswith("up to 90 requests/s")


def test_without_a_forecast_the_calendar_alone_says_what_stays() -> None:
    costs = WarmCosts(idle_per_h=1.0, shortage_per_h=9.0)
    office = floor_of(Warmth(floors=(OFFICE,), costs=costs), None)
    assert office is not None
    assert office.replicas == 5
    assert floor_of(Warmth(costs=costs), None) is None
    assert floor_of(Warmth(), said([90.0], [90.0], [90.0])) is None


@given(demand=st.floats(0, 2000), warm=st.integers(0, 9), age_s=st.sampled_from([0.0, 120.0, 900.0]))
def test_the_floor_in_force_is_the_one_that_the_decision_kept_to(
    demand: float, warm: int, age_s: float
) -> None:
    costs = WarmCosts(idle_per_h=1.0, shortage_per_h=4.0)
    obeyed = replace(policy(warm_replicas=warm, min_replicas=1), warmth=Warmth(floors=(OFFICE,), costs=costs))
    observed = seen(demand, now=NOON, age_s=age_s)
    memories = StepMemory(live=held(4), reactive=held(4))
    made, _ = step(CHAT, observed, flat_forecast(700), obeyed, memories, unit="requests/s")
    floor = floor_in_force(made)
    (warmed,) = (taken for taken in made.plan.steps if taken.stage is Stage.WARM)
    assert floor.replicas >= obeyed.floor
    if warmed.because.startswith("not below the floor of "):
        assert warmed.because == f"not below the floor of {floor.replicas}"
    else:
        assert (warmed.value, warmed.because) == (floor.replicas, floor.because)
