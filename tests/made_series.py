"""Series whose making is known, for whoever learns from a window. Seeded; nothing was tuned on them."""

from datetime import UTC, datetime, timedelta

import numpy as np

from predictscale.core.series import Floats, MetricWindow

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
DAY_S = 86_400.0
HOUR_S = 3600.0


def window(values: Floats, *, step_s: float = 300.0, start: datetime = MONDAY) -> MetricWindow:
    """Values on a grid that begins on a Monday."""
    return MetricWindow(start, step_s, values)


def at(days: float) -> datetime:
    """The instant that many days after the Monday."""
    return MONDAY + timedelta(days=days)


def office_hours(
    *, days: float, step_s: float = 300.0, low: float = 20.0, high: float = 200.0
) -> MetricWindow:
    """Every day alike: low until 08:00, a straight ramp to high at 10:00, down again from 18:00 to 20:00."""
    hour = np.arange(round(days * DAY_S / step_s)) * step_s % DAY_S / HOUR_S
    return window(np.interp(hour, [8, 10, 18, 20], [low, high, high, low]), step_s=step_s)


def shop(*, days: float, step_s: float = 300.0, seed: int = 1, peak: float = 80.0) -> MetricWindow:
    """Days and quiet weekends, a level that wanders slowly, counted arrivals: noise as traffic has it."""
    rng = np.random.default_rng(seed)
    stamps = np.arange(round(days * DAY_S / step_s)) * step_s
    wave = 0.55 - 0.4 * np.cos(2 * np.pi * (stamps / DAY_S - 0.1)) + 0.1 * np.sin(4 * np.pi * stamps / DAY_S)
    weekend = np.where(stamps // DAY_S % 7 >= 5, 0.6, 1.0)
    wander = np.zeros(stamps.size)
    fade = np.exp(-step_s / (3 * HOUR_S))
    shocks = rng.normal(0.0, 0.15 * np.sqrt(1 - fade**2), stamps.size)
    for i in range(1, stamps.size):
        wander[i] = fade * wander[i - 1] + shocks[i]
    rate = peak * wave * weekend * np.exp(wander)
    return window(rng.poisson(rate * 20) / 20.0, step_s=step_s)


def with_gaps(whole: MetricWindow, *, seed: int = 2) -> MetricWindow:
    """The same, without one bin in twenty, two separate hours, and most of one day."""
    rng = np.random.default_rng(seed)
    values = whole.values.copy()
    values[rng.random(values.size) < 0.05] = np.nan
    hour, day = round(HOUR_S / whole.step_s), round(DAY_S / whole.step_s)
    for first in (values.size // 3, values.size // 2):
        values[first : first + hour] = np.nan
    values[values.size - 2 * day : values.size - 2 * day + day * 3 // 4] = np.nan
    return MetricWindow(whole.start, whole.step_s, values)


def replaced(whole: MetricWindow, place: int, value: float) -> MetricWindow:
    """The same with one other value."""
    values = whole.values.copy()
    values[place] = value
    return MetricWindow(whole.start, whole.step_s, values)
