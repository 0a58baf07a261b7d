"""What KEDA was not told is not counted as a fleet that would have been ready."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from predictscale.control.spending import SETTLING_BINS, Spending
from predictscale.core.plan import Mode
from predictscale.core.series import MetricWindow
from predictscale.core.slo import Slo
from tuned_world import OWNER, World
from worlds import NOON, policy

SLO = Slo(max_violation=0.01, wait_s=6.0)
DEMAND = MetricWindow(NOON, 60.0, np.full(60, 50.0))
UNTOLD = range(20, 30)


def spent(*, ready: int | None) -> float:
    """The requests that are counted of an hour of 50/s, in ten minutes of which nothing was told."""
    spending = Spending(SLO, policy(per_replica=10, lead_time_s=240), step_s=60.0)
    for minute in range(60):
        target = None if minute in UNTOLD else 9
        spending.note(NOON + timedelta(minutes=minute), ready=ready, target=target)
    spending.settle(DEMAND, at=NOON + timedelta(minutes=60 + SETTLING_BINS))
    return float(np.nansum(spending.budget(NOON + timedelta(minutes=59)).arrived))


def test_minutes_for_which_a_target_was_not_told_are_unknown_until_a_lead_time_after() -> None:
    lead = 4
    assert spent(ready=None) == (60 - lead - len(UNTOLD) - lead) * 50.0 * 60
    assert spent(ready=9) == 60 * 50.0 * 60, "a fleet that was measured is known, whatever was told"


@pytest.mark.parametrize("told", [True, False])
async def test_self_tuning_counts_no_target_that_was_not_told(*, told: bool) -> None:
    shadow = replace(OWNER, mode=Mode.SHADOW)  # where targets stand for a fleet that is another's
    maker, world = World(owner=shadow), World(owner=shadow)
    known_s = 0.0
    for _ in range(120):
        decision = await maker.tick()
        made = replace(decision, plan=replace(decision.plan, available=told))
        known_s = world.tuning.note(made, maker.bins()).known_s
    assert (known_s > 0) is told
