"""Decisions of a made-up afternoon, for tests of what is kept of them."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from predictscale.control.step import StepMemory, step
from predictscale.core.demand import WorkloadId
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Decision, Policy
from worlds import CHAT, at, policy, seen

LEVELS = (0.05, 0.5, 0.9, 0.95, 0.99, 0.995)


def rising(second: float, *, steps: int = 30) -> Forecast:
    """Made at an instant: of each minute its number after noon, at the median; ten times the level above."""
    origin = second // 60 * 60
    minutes = origin / 60 + np.arange(steps)
    values = np.maximum(0.0, minutes + 10 * (np.array(LEVELS)[:, None] - 0.5))
    return Forecast(origin=at(origin), step_s=60, levels=LEVELS, values=values, model="oracle")


def decided(
    second: float,
    demand: float | None = 25,
    *,
    obeyed: Policy | None = None,
    forecast: Forecast | None = None,
    workload: WorkloadId = CHAT,
    replicas: int | None = 4,
    age_s: float = 0,
) -> Decision:
    """A decision so many seconds after noon, without a memory of others."""
    observed = seen(demand, now=at(second), replicas=replicas, age_s=age_s)
    made, _ = step(workload, observed, forecast, obeyed or policy(), StepMemory(), unit="requests/s")
    return replace(made, notes=() if forecast else ("no model is fitted yet",))


def afternoon(*, until_s: float, every_s: float = 15, workload: WorkloadId = CHAT) -> Iterator[Decision]:
    """A decision each tick, whose answer never changes."""
    second = 0.0
    while second < until_s:
        yield decided(second, workload=workload)
        second += every_s
