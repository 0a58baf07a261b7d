"""Demand whose kind is known because it was made so. Seeded; seeds below 10,000 are for tests alone.

The thresholds of `core.kinds` were chosen on seeds from 10,000 on.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from predictscale.core.kinds import Kind
from predictscale.core.series import MetricWindow
from predictscale.sources.synthetic import SyntheticDemand

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
DAY_S = 86_400.0
HOUR_S = 3600.0
KNOWN = (Kind.ALWAYS_ON, Kind.SCHEDULED, Kind.EVENT_DRIVEN, Kind.UNPREDICTABLE)

_Maker = Callable[[np.random.Generator, int, datetime, datetime, float], MetricWindow]


def known_kind(
    kind: Kind, *, seed: int, days: float, step_s: float, end: datetime | None = None
) -> MetricWindow:
    """A demand of one kind that ends at `end`, or begins on a Monday."""
    start = MONDAY if end is None else end - timedelta(days=days)
    rng = np.random.default_rng((seed, KNOWN.index(kind)))
    return _MAKERS[kind](rng, seed, start, start + timedelta(days=days), step_s)


def _steady(
    rng: np.random.Generator, seed: int, start: datetime, end: datetime, step_s: float
) -> MetricWindow:
    """About the same day and night, a little livelier by day."""
    return SyntheticDemand(
        seed=seed,
        level=10 ** rng.uniform(1, 4),
        amplitude=rng.uniform(0.0, 0.08),
        weekend=rng.uniform(0.93, 1.05),
        noise=rng.uniform(0.02, 0.08),
        noise_s=rng.uniform(1800, 14_400),
        bursts_per_day=rng.uniform(0, 1),
        burst_size=0.1,
    ).values(start, end, step_s)


def _by_the_clock(
    rng: np.random.Generator, seed: int, start: datetime, end: datetime, step_s: float
) -> MetricWindow:
    """Users' days and weeks, or jobs that a timetable starts."""
    if rng.random() < 0.3:
        return _timetable(rng, start, end, step_s)
    return SyntheticDemand(
        seed=seed,
        level=10 ** rng.uniform(1, 4),
        amplitude=rng.uniform(0.45, 0.95),
        evening=rng.uniform(0, 1),
        weekend=rng.uniform(0.3, 1.2),
        growth_per_week=rng.uniform(-0.02, 0.05),
        noise=rng.uniform(0.05, 0.2),
        noise_s=rng.uniform(1800, 14_400),
        bursts_per_day=rng.uniform(0, 3),
        burst_size=rng.uniform(0.1, 0.4),
        time_zone=str(rng.choice(["UTC", "Europe/Berlin", "America/New_York"])),
    ).values(start, end, step_s)


def _timetable(rng: np.random.Generator, start: datetime, end: datetime, step_s: float) -> MetricWindow:
    stamps_s = np.arange(round((end - start).total_seconds() / step_s)) * step_s + start.timestamp()
    level = 10 ** rng.uniform(1, 4)
    values = level * rng.uniform(0.01, 0.1) * np.exp(rng.normal(0, 0.1, stamps_s.size))
    for _ in range(rng.integers(1, 4)):
        begin_s, lasts_s = rng.uniform(0, DAY_S), rng.uniform(0.75, 4) * HOUR_S
        weekdays = rng.random() < 0.3
        for day in range(int(stamps_s[0] // DAY_S), int(stamps_s[-1] // DAY_S) + 1):
            if weekdays and (day + 3) % 7 >= 5:
                continue
            from_s = day * DAY_S + begin_s + rng.normal(0, 240)
            on = (stamps_s >= from_s) & (stamps_s < from_s + lasts_s * rng.uniform(0.85, 1.15))
            values[on] += level * rng.uniform(0.8, 1.2) * np.exp(rng.normal(0, 0.08, int(on.sum())))
    return MetricWindow(start, step_s, values)


def _bursts(
    rng: np.random.Generator, seed: int, start: datetime, end: datetime, step_s: float
) -> MetricWindow:
    """Quiet, with bursts whenever something happens."""
    per_day = rng.uniform(0.6, 4)
    return SyntheticDemand(
        seed=seed,
        level=10 ** rng.uniform(0, 3),
        amplitude=rng.uniform(0, 0.3),
        weekend=rng.uniform(0.7, 1.1),
        noise=rng.uniform(0.03, 0.2),
        bursts_per_day=per_day,
        burst_size=rng.uniform(6, 40),
        burst_s=min(rng.uniform(600, 3600), 0.08 * DAY_S / per_day),
    ).values(start, end, step_s)


def _wandering(
    rng: np.random.Generator, seed: int, start: datetime, end: datetime, step_s: float
) -> MetricWindow:
    """Moves much and slowly, whatever the time of day."""
    return SyntheticDemand(
        seed=seed,
        level=10 ** rng.uniform(1, 4),
        amplitude=rng.uniform(0, 0.1),
        weekend=rng.uniform(0.9, 1.05),
        noise=rng.uniform(0.35, 0.8),
        noise_s=rng.uniform(3600, 28_800),
        jitter=rng.uniform(0.03, 0.2),
        bursts_per_day=0.5,
    ).values(start, end, step_s)


_MAKERS: dict[Kind, _Maker] = {
    Kind.ALWAYS_ON: _steady,
    Kind.SCHEDULED: _by_the_clock,
    Kind.EVENT_DRIVEN: _bursts,
    Kind.UNPREDICTABLE: _wandering,
}
