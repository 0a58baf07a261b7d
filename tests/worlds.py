"""Small worlds for tests: policies, observations and forecasts with stated numbers."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from predictscale.core.capacity import CapacityModel
from predictscale.core.demand import Observation, WorkloadId
from predictscale.core.fleet import FleetState
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Landing, Memory, Mode, OnStale, Policy

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CHAT = WorkloadId("prod", "chat")


def at(seconds: float) -> datetime:
    """An instant relative to noon."""
    return NOON + timedelta(seconds=seconds)


def policy(
    *,
    per_replica: float = 10,
    lead_time_s: float = 240,
    level: float = 0.9,
    min_replicas: int = 0,
    max_replicas: int = 100,
    warm_replicas: int = 0,
    hold_s: float = 600,
    stale_after_s: float = 600,
    on_stale: OnStale = OnStale.FLOOR,
    landing: Landing = Landing.EXACT,
    mode: Mode = Mode.LIVE,
    margin: float = 1.0,
    limit: float | None = None,
    headroom: float = 1.0,
) -> Policy:
    """A policy with ten units of demand per replica."""
    return Policy(
        capacity=CapacityModel(per_replica),
        lead_time_s=lead_time_s,
        level=level,
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        warm_replicas=warm_replicas,
        hold_s=hold_s,
        stale_after_s=stale_after_s,
        on_stale=on_stale,
        landing=landing,
        mode=mode,
        margin=margin,
        limit=limit,
        headroom=headroom,
    )


def seen(
    demand: float | None,
    *,
    now: datetime = NOON,
    age_s: float = 0,
    queue: float | None = None,
    replicas: int | None = None,
    partial: bool = False,
    highest: float | None = None,
) -> Observation:
    """An observation whose newest demand sample is `age_s` old."""
    return Observation(
        now=now,
        demand=demand,
        demand_at=None if demand is None else now - timedelta(seconds=age_s),
        queue=queue,
        fleet=FleetState(replicas=replicas, ready=replicas),
        partial=partial,
        highest=highest,
    )


def flat_forecast(demand: float, *, now: datetime = NOON, steps: int = 20) -> Forecast:
    """The same demand at every step and level."""
    return forecast_of([demand] * steps, now=now)


def forecast_of(path: Sequence[float], *, now: datetime = NOON, step_s: float = 60) -> Forecast:
    """One path for the levels 0.5 and 0.9."""
    values = np.tile(np.array(path, dtype=float), (2, 1))
    return Forecast(origin=now, step_s=step_s, levels=(0.5, 0.9), values=values, model="oracle")


def held(replicas: int) -> Memory:
    """The memory of a workload whose last good target was `replicas`."""
    return Memory(last_good=replicas)
