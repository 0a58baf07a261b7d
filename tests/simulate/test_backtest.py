"""Policies side by side: one world, one rule, and no sight of what comes after a choice."""

from dataclasses import replace

import numpy as np
import pytest

from made_series import shop
from predictscale.core.series import MetricWindow
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.backtest import STEP_S, Trial
from predictscale.simulate.honest import Rule
from predictscale.simulate.rivals import RECENT_MAX, STATIC, STOCK, Rival, Scene
from predictscale.simulate.scoring import Score

DAY_STEPS = 5760
RULE = Rule(asked=0.01)


def trial(demand: MetricWindow | None = None, *, first_days: float = 2.5) -> Trial:
    return Trial(
        demand=demand or shop(days=3.0, step_s=STEP_S),
        first=round(first_days * DAY_STEPS),
        per_replica=4.0,
        lead_time_s=240.0,
        wait_s=5.0,
        min_replicas=1,
        max_replicas=200,
    )


def test_the_clairvoyant_is_never_late_and_costs_its_own_price() -> None:
    direct = replace(trial(), actuation=Actuation.DIRECT)
    (score,) = direct.scores({"clairvoyant": direct.clairvoyant()})
    # The fleet at the start fits the first step; what grows within its first cold start is nobody's fault.
    assert score.violation < 0.002
    assert score.to_clairvoyant == pytest.approx(1.0)


def test_a_fixed_fleet_for_the_highest_demand_costs_what_static_does() -> None:
    one = trial()
    (score,) = one.scores({"fixed": np.full(one.steps, one.needed.max())})
    assert score.to_static == pytest.approx(1.0, abs=0.005)


@pytest.mark.parametrize("rival", [STATIC, STOCK, RECENT_MAX], ids=lambda rival: rival.name)
def test_no_rival_is_chosen_or_sized_by_what_comes_later(rival: Rival) -> None:
    honest, cut = trial(), 900
    values = honest.demand.values.copy()
    values[honest.first + cut :] = np.random.default_rng(2).uniform(0, 1e4, honest.steps - cut)
    poisoned = trial(MetricWindow(honest.demand.start, STEP_S, values))
    one, two = (each.rival(rival, RULE) for each in (honest, poisoned))
    assert one.shape == (honest.steps,)
    assert one[: cut + 1].tolist() == two[: cut + 1].tolist()
    assert one.tolist() != two.tolist()


def test_a_rival_without_a_record_takes_its_most_careful_setting() -> None:
    young = trial(first_days=0.01)
    scene = Scene(
        demand=young.demand, first=young.first, per_replica=young.per_replica, lead_time_s=young.lead_time_s
    )
    # A choice takes a day of record.
    assert young.rival(STOCK, RULE)[:DAY_STEPS].tolist() == STOCK.sweep(scene)[0, :DAY_STEPS].tolist()


def test_who_has_one_setting_asks_for_what_it_says() -> None:
    one, only = trial(), replace(STOCK, knobs=STOCK.knobs[3:4])
    scene = Scene(
        demand=one.demand, first=one.first, per_replica=one.per_replica, lead_time_s=one.lead_time_s
    )
    assert one.rival(only, RULE).tolist() == only.sweep(scene)[0].tolist()


def test_nodes_that_cannot_be_had_are_late_and_not_billed() -> None:
    free = trial()
    short = replace(free, available=np.full(free.steps, 3))
    rich, poor = (each.scores({"all": np.full(free.steps, 40)})[0] for each in (free, short))
    assert poor.replica_hours == pytest.approx(3 * free.steps * STEP_S / 3600)
    assert poor.violation > rich.violation == 0.0


def test_bounds_hold_for_references_too() -> None:
    tight = replace(trial(), min_replicas=6, max_replicas=9)
    assert set(tight.needed.tolist()) <= {6, 7, 8, 9}
    (score,) = tight.scores({"all": np.full(tight.steps, 500)})
    assert isinstance(score, Score)
    assert score.replica_hours == pytest.approx(9 * tight.steps * STEP_S / 3600, rel=0.01)


def test_a_part_that_cannot_be_scored_is_refused() -> None:
    demand = shop(days=1.0, step_s=STEP_S)
    unknown = MetricWindow(demand.start, STEP_S, np.where(np.arange(len(demand)) < 100, 1.0, np.nan))
    with pytest.raises(ValueError, match="nothing to score"):
        trial(unknown, first_days=0.5)
    with pytest.raises(ValueError, match="needs a past"):
        trial(demand, first_days=0.0)
