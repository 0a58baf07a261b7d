"""Demand that was never anybody's: seeded, with the habits that real demand has.

For demos and tests, where no trace may be shipped. A pure function of absolute
time: the same bin has the same value whatever range is asked for, on every
machine. Refuses to pass for real: `label` says what it is.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from predictscale.core.series import Floats, MetricWindow
from predictscale.sources.regrid import regrid

BASE_STEP_S: Final = 15.0
"""The resolution that is made; wider bins are averages."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S: Final = 86_400
_BINS: Final = round(_DAY_S / BASE_STEP_S)
_QUARTERS: Final = 96  # offsets of time zones change on quarter hours
_WEEK_S: Final = 7 * _DAY_S
_GROWS_FROM_DAY: Final = 20_454  # 2026-01-01
_GROWS_AT_MOST_WEEKS: Final = 52.0
# One stream of random numbers for each purpose, so that one setting does not change another's noise.
_NOISE, _JITTER, _BURSTS, _OUTAGES = range(4)
# Hours of the day at which a shift comes and goes.
_SHIFT_KNOTS_H: Final = (9.0, 9.0 + 1 / 6, 17.5, 17.5 + 1 / 6)
_WORKING_DAYS: Final = 5
# Hours since Monday 00:00 at which working days fade into the weekend and back.
_WEEK_KNOTS_H: Final = (0.0, 4.0, 118.0, 124.0, 164.0, 168.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticDemand:
    """A demand with seasons, growth, noise and bursts, in units per second.

    Args:
        seed: Which one; equal seeds and settings are equal demands.
        level: Between the quietest and the busiest time of a working day, without noise.
        amplitude: Of the day's swing around the level, in [0, 1).
        evening: Share of the evening in the day's shape, in [0, 1]; the rest is working hours.
        shift: What a shift adds, relative to what is there: on working days from 9:00 on all of it is
            there within ten minutes, and as quickly gone at 17:30.
        weekend: Demand of a weekend as a multiple of a working day's.
        growth_per_week: Relative growth, such as 0.01; it stops a year from 2026 either way.
        noise: Relative standard deviation of the slow noise.
        noise_s: Its correlation time [s].
        jitter: Relative standard deviation of the noise of each 15 s.
        bursts_per_day: How many bursts to expect.
        burst_size: Their mean height, relative to what is there.
        burst_s: How fast they fade [s].
        outages_per_week: How many gaps in the record to expect; demand itself goes on.
        outage_s: Their mean length [s].
        time_zone: Where its users live, such as `Europe/Berlin`.

    Raises:
        ValueError: A setting is out of its range, or the time zone is not known here.
    """

    seed: int
    level: float
    amplitude: float = 0.7
    evening: float = 0.5
    shift: float = 0.0
    weekend: float = 0.7
    growth_per_week: float = 0.0
    noise: float = 0.05
    noise_s: float = 1800.0
    jitter: float = 0.03
    bursts_per_day: float = 1.0
    burst_size: float = 0.3
    burst_s: float = 600.0
    outages_per_week: float = 0.0
    outage_s: float = 1800.0
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        if not (self.level > 0 and 0 <= self.amplitude < 1 and 0 <= self.evening <= 1):
            raise ValueError(
                f"level {self.level}, amplitude {self.amplitude}, evening {self.evening}; "
                "must be above 0, in [0, 1) and in [0, 1]"
            )
        rest = (self.shift, self.weekend, self.noise, self.jitter, self.bursts_per_day, self.burst_size)
        if min(*rest, self.outages_per_week) < 0 or min(self.noise_s, self.burst_s, self.outage_s) <= 0:
            raise ValueError(f"{self}: rates and sizes must not be negative, durations above 0")
        _zone(self.time_zone)

    @property
    def label(self) -> str:
        """What it is, in words."""
        return f"synthetic demand, seed {self.seed}, {self.time_zone}"

    def values(self, start: datetime, end: datetime, step_s: float) -> MetricWindow:
        """The bins of [start, end) on the grid of `step_s`."""
        # A narrow bin looks back at the last base bin, so one more is made.
        first = int((start - _EPOCH).total_seconds() // BASE_STEP_S) - 1
        stop = max(first, -int(-(end - _EPOCH).total_seconds() // BASE_STEP_S))
        days = range(first // _BINS, stop // _BINS + 1)
        made = np.concatenate([_day(self, day) for day in days])
        base = MetricWindow(_EPOCH + timedelta(days=days.start), BASE_STEP_S, made)
        return regrid(base, start=start, end=end, step_s=step_s)


def chat_tokens(*, seed: int = 1) -> SyntheticDemand:
    """A chat assistant at work [LLM output tokens/s]: up to about 40 replicas of 1,200 tokens/s."""
    return SyntheticDemand(
        seed=seed,
        level=16_000.0,
        amplitude=0.85,
        evening=0.25,
        weekend=0.45,
        growth_per_week=0.01,
        noise=0.08,
        noise_s=10_800.0,
        jitter=0.04,
        bursts_per_day=1.5,
        burst_size=0.15,
        burst_s=900.0,
        time_zone="Europe/Berlin",
    )


def shop_requests(*, seed: int = 2) -> SyntheticDemand:
    """A shop in the evening [HTTP requests/s]: up to about 25 replicas of 80 requests/s."""
    return SyntheticDemand(
        seed=seed,
        level=680.0,
        amplitude=0.75,
        evening=0.65,
        weekend=1.15,
        growth_per_week=0.005,
        noise=0.07,
        noise_s=7200.0,
        jitter=0.05,
        bursts_per_day=2.0,
        burst_size=0.15,
        burst_s=600.0,
        time_zone="Europe/Berlin",
    )


def _zone(name: str) -> tzinfo:
    try:
        return UTC if name == "UTC" else ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"time_zone: {name}; this machine's time zone data has no such name") from None


@lru_cache(maxsize=256)
def _day(demand: SyntheticDemand, day: int) -> Floats:
    """All base bins of one UTC day, counted from the epoch; the same whoever asks."""
    local_s = _local_s(demand.time_zone, day)
    weeks = min(max((day - _GROWS_FROM_DAY) / 7, -_GROWS_AT_MOST_WEEKS), _GROWS_AT_MOST_WEEKS)
    level = demand.level * (1 + demand.growth_per_week) ** weeks
    swing = 1 + demand.amplitude * _shape(local_s % _DAY_S, demand.evening)
    mean = level * swing * _week(local_s, demand.weekend) * (1 + demand.shift * _on_shift(local_s))
    # Rounding hides the last digits, in which machines may differ.
    values: Floats = np.round(mean * _noise(demand, day) * (1 + _bursts(demand, day)), 3)
    values[_outages(demand, day)] = np.nan
    values.flags.writeable = False
    return values


def _local_s(time_zone: str, day: int) -> Floats:
    """Local seconds since a Monday 00:00, of each bin's middle."""
    zone = _zone(time_zone)
    midnight = _EPOCH + timedelta(days=day)
    offsets = [
        (midnight + timedelta(seconds=quarter * _DAY_S / _QUARTERS)).astimezone(zone).utcoffset()
        for quarter in range(_QUARTERS)
    ]
    offsets_s = np.array([offset.total_seconds() if offset else 0.0 for offset in offsets])
    # The epoch was a Thursday.
    utc_s: Floats = (day + 3) % 7 * _DAY_S + (np.arange(_BINS, dtype=np.float64) + 0.5) * BASE_STEP_S
    local_s: Floats = utc_s + np.repeat(offsets_s, _BINS // _QUARTERS)
    return local_s


def _shape(second_of_day: Floats, evening: float) -> Floats:
    """The day's shape in [-1, 1]: two humps of working hours, and one of the evening."""
    hours = second_of_day / 3600

    def hump(centre_h: float, sharpness: float) -> Floats:
        bell: Floats = np.exp(sharpness * (np.cos((hours - centre_h) * (2 * np.pi / 24)) - 1))
        return bell

    work = hump(10.5, 6.0) + 0.95 * hump(15.0, 6.0)
    mix = (1 - evening) * work / 1.25 + evening * hump(20.0, 7.0)
    # The highest hump reaches about 1 whatever the mix.
    shape: Floats = np.clip(2.0 * mix / max(1 - evening, evening, 0.5) - 1.0, -1.0, 1.0)
    return shape


def _week(local_s: Floats, weekend: float) -> Floats:
    hours = local_s % _WEEK_S / 3600
    levels = (weekend, 1.0, 1.0, weekend, weekend, weekend)
    faded: Floats = np.interp(hours, _WEEK_KNOTS_H, levels)
    return faded


def _on_shift(local_s: Floats) -> Floats:
    """How much of a shift is at work, in [0, 1]."""
    hours = local_s % _DAY_S / 3600
    working = local_s % _WEEK_S < _WORKING_DAYS * _DAY_S
    present: Floats = working * np.interp(hours, _SHIFT_KNOTS_H, (0.0, 1.0, 1.0, 0.0))
    return present


def _noise(demand: SyntheticDemand, day: int) -> Floats:
    """Log-normal noise of mean 1 that remembers `noise_s`, running on from the day before."""
    shocks = np.concatenate([_random(demand, d, _NOISE).standard_normal(_BINS) for d in (day - 1, day)])
    memory = np.exp(-BASE_STEP_S / demand.noise_s)
    kernel: Floats = np.sqrt(1 - memory**2) * memory ** np.arange(_BINS)
    size = 3 * _BINS
    slow = np.fft.irfft(np.fft.rfft(shocks, size) * np.fft.rfft(kernel, size), size)[_BINS : 2 * _BINS]
    quick = _random(demand, day, _JITTER).standard_normal(_BINS)
    spread = demand.noise * slow + demand.jitter * quick
    noise: Floats = np.exp(spread - (demand.noise**2 + demand.jitter**2) / 2)
    return noise


def _bursts(demand: SyntheticDemand, day: int) -> Floats:
    """What bursts add, relative; those of the day before may still fade."""
    at = np.arange(_BINS) * BASE_STEP_S
    total = np.zeros(_BINS)
    for began in (day - 1, day):
        random = _random(demand, began, _BURSTS)
        for _ in range(random.poisson(demand.bursts_per_day)):
            start_s = random.uniform(0, _DAY_S) + (began - day) * _DAY_S
            height = random.exponential(demand.burst_size)
            age = np.maximum(at - start_s, 0.0) / demand.burst_s
            total += height * (1 - np.exp(-8 * age)) * np.exp(-age)
    return total


def _outages(demand: SyntheticDemand, day: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    at = np.arange(_BINS) * BASE_STEP_S
    out = np.zeros(_BINS, dtype=bool)
    for began in (day - 1, day):
        random = _random(demand, began, _OUTAGES)
        for _ in range(random.poisson(demand.outages_per_week / 7)):
            start_s = random.uniform(0, _DAY_S) + (began - day) * _DAY_S
            out |= (at >= start_s) & (at < start_s + random.exponential(demand.outage_s))
    return out


def _random(demand: SyntheticDemand, day: int, purpose: int) -> np.random.Generator:
    # A seed's parts must not be negative; days before 1970 are.
    return np.random.default_rng((demand.seed, day + 1_000_000, purpose))
