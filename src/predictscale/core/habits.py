"""What a demand's history shows of its habits: how steady it is, what the clock tells, how it bursts.

Measures and no judgement; `core.kinds` names what they amount to. All of them are relative to the
demand's own size, so that a constant factor changes nothing, and its days are those of its people's clock,
which moves twice a year where they say so. Refuses to fill: what is not known takes no part.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from predictscale.core.calendar import DAY_S, Calendar
from predictscale.core.series import Floats, MetricWindow

FINE_S: Final = 300.0
"""Bursts are looked for in bins of this width, or in the history's own if they are wider [s]."""
SLOT_S: Final = 1800.0
"""The clock is asked in slots of this width [s]."""
NEAR_ZERO: Final = 0.02
"""Near zero is below this share of the high level."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SLOTS = round(DAY_S / SLOT_S)
_THURSDAY = 3  # the epoch's
_WEEKEND = 5
_HIGH = 0.997
_BASE = 0.4
_QUIET = 0.15
_STANDS_OUT = 0.35
_MERGED_S = 1800.0
_SUDDEN_S = 900.0
_SAME_TIME_S = 1800.0
_INSTANTS_S: Final = np.arange(0.0, DAY_S, FINE_S)
_UTC: Final = Calendar()
_NO_BURST: Final = (float("nan"), float("nan"), float("nan"))
_MOST_OF_A_DAY = 0.5
_LEVEL_DAYS = 3
_GROUPINGS: Final = (("time of day", 2), ("workday or weekend", 8), ("day of the week", 15))

Table = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """The measures.

    Args:
        days: How much is known [d].
        peak_to_mean: The high level (99.7th percentile of bins) over the mean [1].
        near_zero: Share of the time below `NEAR_ZERO` of the high level [1].
        clock: Share of the variance of held-out days that the clock explains: each day is told from the
            median of the others of its sort. 1 is all; 0 or below is nothing; NaN with too few days.
        sort: Of the ways to sort days, the one that told most: time of day alone, workday or weekend,
            or day of the week.
        bursts: How often demand rose from quiet to something that stands out.
        quiet: Share of the time near the base level [1].
        sudden: Share of bursts that rose within a quarter of an hour [1]; NaN without any.
        repeated: For a burst, the share of other days that have one at the same time of day [1]; NaN without.
        by_chance: The same share for any instant of the day: where bursts are many, one is near any [1].
        change: Mean change from one slot to the next over the mean [1].
    """

    days: float
    peak_to_mean: float
    near_zero: float
    clock: float
    sort: str
    bursts: int
    quiet: float
    sudden: float
    repeated: float
    by_chance: float
    change: float


def habits(window: MetricWindow, calendar: Calendar = _UTC) -> Habits | None:
    """Measure a history; None if no demand was ever seen in it.

    Args:
        window: The history.
        calendar: By whose clock days begin.
    """
    fine = window if window.step_s >= FINE_S else _coarser(window, FINE_S)
    known = fine.values[fine.known]
    if not known.size or not known.max() > 0:
        return None
    high = float(np.quantile(known, _HIGH))
    high = high if high > 0 else float(known.max())
    table, first_day = by_clock(fine, calendar)
    clock, sort = _clock(table, first_day)
    bursts, quiet, sudden, repeated, by_chance = _bursts(fine, high, calendar)
    flat = table.ravel()
    steps = np.abs(np.diff(flat))
    return Habits(
        days=window.known_s / DAY_S,
        peak_to_mean=high / float(known.mean()),
        near_zero=float((known < NEAR_ZERO * high).mean()),
        clock=clock,
        sort=sort,
        bursts=bursts,
        quiet=quiet,
        sudden=sudden,
        repeated=repeated,
        by_chance=by_chance,
        change=float(np.nanmean(steps)) / float(known.mean()) if (~np.isnan(steps)).any() else float("nan"),
    )


def by_clock(window: MetricWindow, calendar: Calendar = _UTC) -> tuple[Table, int]:
    """Demand by days and slots of the day, and the first day since the epoch, all by the calendar's clock.

    A bin wider than a slot fills all that it covers. An hour that the clock skips is not known, and one that
    it tells twice is the mean of both.

    Returns:
        Means, shape (d, 48), NaN where less than half of a slot is known.
    """
    if window.step_s > SLOT_S:
        parts = int(np.ceil(window.step_s / SLOT_S))
        window = MetricWindow(window.start, window.step_s / parts, np.repeat(window.values, parts))
    sums, counts, first = _binned(window, SLOT_S, calendar)
    means = np.full(sums.size, np.nan)
    np.divide(sums, counts, out=means, where=counts >= max(1.0, _MOST_OF_A_DAY * SLOT_S / window.step_s))
    day = first // _SLOTS
    before = first - day * _SLOTS
    after = -(before + means.size) % _SLOTS
    table: Table = np.pad(means, (before, after), constant_values=np.nan).reshape(-1, _SLOTS)
    return table, day


def _coarser(window: MetricWindow, step_s: float) -> MetricWindow:
    """Means over bins on the clock's grid, so that a shift of the window's end changes none of them."""
    sums, counts, first = _binned(window, step_s, _UTC)
    every = max(1.0, step_s / window.step_s)
    means = np.full(sums.size, np.nan)
    np.divide(sums, counts, out=means, where=counts >= _MOST_OF_A_DAY * every)
    return MetricWindow(_EPOCH + timedelta(seconds=first * step_s), step_s, means)


def _binned(window: MetricWindow, step_s: float, calendar: Calendar) -> tuple[Floats, Floats, int]:
    """Sums and counts of known values by bins since the epoch, and the first bin's number."""
    middles = window.stamps_s + min(window.step_s, step_s) / 2
    places = np.floor(_local(middles, calendar) / step_s).astype(np.int64)
    # A clock that is put back comes to some bins again.
    first = int(places.min())
    known = window.known
    size = int(places.max()) - first + 1
    sums = np.bincount(places[known] - first, weights=window.values[known], minlength=size).astype(np.float64)
    counts = np.bincount(places[known] - first, minlength=size).astype(np.float64)
    return sums, counts, first


def _local(stamps_s: Floats, calendar: Calendar) -> Floats:
    """What the calendar's clock shows at each instant, as seconds since its own epoch."""
    local: Floats = stamps_s + calendar.offsets_s(stamps_s)
    return local


def _clock(table: Table, first_day: int) -> tuple[float, str]:
    """The best that the clock tells, and how days were sorted for it."""
    if np.isnan(table).all():
        return float("nan"), _GROUPINGS[0][0]
    shapes = _levelled(table)
    whole = (~np.isnan(shapes)).mean(axis=1) > _MOST_OF_A_DAY
    weekday = (np.arange(len(shapes)) + first_day + _THURSDAY) % 7
    sorts = (np.zeros_like(weekday), weekday >= _WEEKEND, weekday)
    best, told_by = float("nan"), _GROUPINGS[0][0]
    for (name, least), sort in zip(_GROUPINGS, sorts, strict=True):
        if int(whole.sum()) < least:
            continue
        told = _held_out(shapes[whole], np.asarray(sort, dtype=np.int64)[whole])
        if np.isnan(best) or told > best:
            best, told_by = told, name
    return best, told_by


def _levelled(table: Table) -> Table:
    """Demand over the level of its week, so that growth is no noise, and spikes cut at the high level."""
    means = np.array([np.nanmean(day) if (~np.isnan(day)).any() else np.nan for day in table])
    around = [means[max(0, d - _LEVEL_DAYS) : d + _LEVEL_DAYS + 1] for d in range(len(means))]
    levels = np.array([np.nanmedian(near) if (~np.isnan(near)).any() else np.nan for near in around])
    overall = float(np.nanmean(means))
    levels = np.where(levels > _QUIET * overall, levels, overall)
    shapes = table / levels[:, None]
    cut: Table = np.minimum(shapes, np.nanquantile(shapes, 0.99))
    return cut


def _held_out(shapes: Table, sort: NDArray[np.int64]) -> float:
    """1 - squared error over variance, each day told from the median of the other days of its sort."""
    middle = float(np.nanmean(shapes))
    error = spread = 0.0
    for day, shape in enumerate(shapes):
        others = np.flatnonzero((sort == sort[day]) & (np.arange(len(sort)) != day))
        if not others.size:
            continue
        rest = shapes[others]
        seen = ~np.isnan(rest).all(axis=0) & ~np.isnan(shape)
        told = np.nanmedian(rest[:, seen], axis=0)
        error += float(((shape[seen] - told) ** 2).sum())
        spread += float(((shape[seen] - middle) ** 2).sum())
    return 1 - error / spread if spread > 0 else 0.0


def _bursts(fine: MetricWindow, high: float, calendar: Calendar) -> tuple[int, float, float, float, float]:
    """How many bursts, and the shares quiet, sudden, repeated and by_chance of `Habits`."""
    values = fine.values
    base = float(np.nanquantile(values, _BASE))
    known = fine.known
    calm = base + _QUIET * (high - base)
    quiet = float((values[known] <= calm).mean())
    up = np.flatnonzero(np.where(known, values, base) > base + _STANDS_OUT * (high - base))
    if not up.size or high <= base:
        return 0, quiet, *_NO_BURST
    apart = max(1, round(_MERGED_S / fine.step_s))
    starts = up[np.append(True, np.diff(up) > apart)]
    last_calm = np.maximum.accumulate(np.where(known & (values <= calm), np.arange(values.size), -1))
    came = [int(start) for start in starts if last_calm[start] >= 0]
    if not came:
        return 0, quiet, *_NO_BURST
    rises_s = np.array([(start - last_calm[start]) * fine.step_s for start in came])
    sudden = float((rises_s <= max(_SUDDEN_S, fine.step_s) + 1e-6).mean())
    return len(came), quiet, sudden, *_repeated(_local(fine.stamps_s[came], calendar), fine)


def _repeated(onsets_s: Floats, fine: MetricWindow) -> tuple[float, float]:
    """How many other days have an onset at the same time of day, as a share of days, for a mean onset.

    And how many have one at any time of day, by how much of each day lies near its onsets.
    """
    day, second = np.divmod(onsets_s, DAY_S)
    days = max(1, round(fine.known_s / DAY_S) - 1)
    covered = {each: _covered(second[day == each]) for each in np.unique(day).tolist()}
    shares, by_chance = [], []
    for own_day, own_second in zip(day.tolist(), second.tolist(), strict=True):
        near = _near(second, own_second) & (day != own_day)
        shares.append(min(1.0, np.unique(day[near]).size / days))
        others = sum(share for each, share in covered.items() if each != own_day)
        by_chance.append(min(1.0, others / days))
    return float(np.mean(shares)), float(np.mean(by_chance))


def _covered(onsets_s: Floats) -> float:
    """The share of a day's instants that lie near one of these times of day."""
    return float(_near(onsets_s[:, np.newaxis], _INSTANTS_S).any(axis=0).mean())


def _near(one_s: Floats, other_s: Floats | float) -> NDArray[np.bool_]:
    """Whether times of day are the same, midnight being no border."""
    apart_s = np.abs(one_s - other_s)
    near: NDArray[np.bool_] = np.minimum(apart_s, DAY_S - apart_s) <= _SAME_TIME_S
    return near
