"""What is looked at from an origin, and what each simple expert makes of it.

All of it is computed for many origins at once, the past ones as the present one, of
one workload or of many. Every seasonal statement is a change added to the present level;
two experts keep the season as it is, for the mixture to believe where it deserves it.
Where a day or a week ago is not known, an expert repeats the last value, so a short
history has fewer opinions and not other code.

Shapes: origins are (l, n, b): l leads, n origins of each, b workloads. What is said
of them is (2, l, n, b): of the value of the bin that many bins ahead, and of the peak
until its end. Rows, such as features or experts, come before. Refuses look-ahead: an origin
reads bins before it; only `targets` reads what came.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from predictscale.core.series import Floats
from predictscale.forecasters.native.panel import Indices, Panel
from predictscale.forecasters.native.rows import mean, or_else
from predictscale.forecasters.native.wall import DAYS, Moment, Wall
from predictscale.forecasters.robust import DAY_S

PRESENT_S = 180.0
"""The present level is the mean over so long."""

SMOOTH_S = 240.0
"""A value of a day or a week ago is the mean over so long."""

SLOW_S = 14_400.0
"""The longest window of movements."""

_LEADS_S = (300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)
_HARMONICS = 4
_LEAST_MOVE = 1e-3
_LEAST_CHANGE = 0.01
_ENOUGH = 3
_ROOM = 2.0
_LEAST_ROOM = 0.1
_STILL = float(np.log(_LEAST_MOVE))


def leads_of(step_s: float, *, reach: int) -> tuple[int, ...]:
    """The leads that are learned, in bins: from one to two hours, and to `reach` at most."""
    asked = {max(1, round(lead_s / step_s)) for lead_s in _LEADS_S}
    return (1, *sorted(lead for lead in asked if 1 < lead <= reach))


def targets(panel: Panel, origins: Indices, leads: Sequence[int]) -> Floats:
    """What came, shape (2, l, n, b); NaN where unknown."""
    values = panel.at(origins + _column(leads) - 1)
    peaks = [panel.peak(part, lead) for part, lead in zip(origins, leads, strict=True)]
    return np.stack((values, np.stack(peaks)))


def present_level(panel: Panel, origins: Indices) -> Floats:
    """The level at each origin: the mean over the newest minutes, NaN where they are unknown."""
    return panel.before(origins, panel.bins(PRESENT_S))


class Sight(NamedTuple):
    """From where what is looked at.

    Args:
        near: The newest part of each workload.
        origins: In bins of it, shape (l, n, b).
        past: What lies days and weeks back.
        places: The origins' places then, in bins of it, shape (d, l, n, b).
        wall: The clock on the wall there.
    """

    near: Panel
    origins: Indices
    past: Panel
    places: Indices
    wall: Wall


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What is known at origins, whatever is to be forecast.

    Args:
        sight: Where it was read.
        base: The present level, shape (l, n, b); NaN where it is unknown.
        shared: Features of the ridge that no lead changes, each as `base`.
        scale: Features of the error's log scale that no lead changes, each as `base`.
        waves: The calendar now, shape (w, l, n, b).
        recent: Other statements of the level, shape (5, l, n, b): the last bin, means over a quarter
            of an hour, an hour and four hours, and the maximum of half an hour.
        levels: The levels days and weeks ago, shape (d, l, n, b).
    """

    sight: Sight
    base: Floats
    shared: tuple[Floats, ...]
    scale: tuple[Floats, ...]
    waves: Floats
    recent: Floats
    levels: Floats

    @classmethod
    def at(cls, sight: Sight) -> "Views":
        """Look from there."""
        panel, origins = sight.near, sight.origins
        base = present_level(panel, origins)
        means = [panel.before(origins, panel.bins(s)) for s in (900.0, 3600.0, 14_400.0)]
        half_hour = panel.bins(1800.0)
        top = panel.peak(origins - half_hour, half_hour)
        recent = np.stack([or_else(x, base) for x in (panel.at(origins - 1), *means, top)])
        far = [or_else(panel.before(origins, panel.bins(s)), base) for s in (8 * 3600.0, DAY_S)]
        quick, slow = panel.movements(origins, lag=1, bins=(half_hour, panel.bins(SLOW_S)))
        slow = or_else(_log(slow), _STILL)
        one = np.ones_like(base)
        return cls(
            sight,
            base,
            shared=(one, *(recent - base), *(level - base for level in far)),
            scale=(one, base, or_else(_log(quick), slow), slow),
            waves=_waves(sight.wall.at(0.0), panel.step_s),
            recent=recent,
            levels=present_level(sight.past, sight.places),
        )

    def towards(self, leads: Sequence[int]) -> "Outlook":
        """What the origins say of their leads."""
        plain = _past(self.sight, leads)
        season = _Season.of(_tamed(plain - self.levels[:, None]))
        ahead = _Ahead.of(self, leads)
        return Outlook(
            locations=_locations(self, season, plain),
            start=self.base + season.mean,
            features=_features(self, ahead, season),
            scale=_scale(self, ahead, season),
            highest=self.recent.max(axis=0),
            days=season.days_alone,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What origins say of their leads.

    Args:
        locations: Of all experts but the ridge, e - 1 rows; the last value comes first.
        start: What the ridge corrects, shape (2, l, n, b).
        features: By what, p rows.
        scale: What the size of the errors may depend on, s rows.
        highest: The highest of the recent levels, shape (l, n, b).
        days: The mean change that followed days ago, of what is in `start`; NaN where none is known.
    """

    locations: tuple[Floats, ...]
    start: Floats
    features: tuple[Floats, ...]
    scale: tuple[Floats, ...]
    highest: Floats
    days: Floats


EXPERTS = 14
"""Locations of an `Outlook`, and the ridge, which comes last."""


class _Ahead(NamedTuple):
    """Log of past movements over a lead, shape (l, n, b), and the calendar at its end, shape (w, l, n, b)."""

    moved: Floats
    waves: Floats

    @classmethod
    def of(cls, views: Views, leads: Sequence[int]) -> "_Ahead":
        panel, origins = views.sight.near, views.sight.origins
        width = (panel.bins(SLOW_S),)
        moved = [
            panel.movements(part, lag=lead, bins=width)[0] for part, lead in zip(origins, leads, strict=True)
        ]
        then = views.sight.wall.at(_column(leads).astype(np.float64) * panel.step_s)
        return cls(or_else(_log(np.stack(moved)), views.scale[3]), _waves(then, panel.step_s))


class _Season(NamedTuple):
    """How demand changed from that place of the day or week on; the mean where unknown.

    `days_alone` is NaN there.
    """

    yesterday: Floats
    last_week: Floats
    days: Floats
    weeks: Floats
    mean: Floats
    lowest: Floats
    highest: Floats
    days_alone: Floats

    @classmethod
    def of(cls, changes: Floats) -> "_Season":
        """From the changes (d, ...) that followed days, then weeks ago."""
        days, weeks = mean(changes[: len(DAYS)]), mean(changes[len(DAYS) :])
        whole = or_else(mean(np.stack((days, weeks))), 0.0)
        lowest, highest = np.fmin.reduce(changes, axis=0), np.fmax.reduce(changes, axis=0)
        parts = (changes[0], changes[len(DAYS)], days, weeks, whole, lowest, highest)
        return cls._make((*(or_else(part, whole) for part in parts), days))


def _past(sight: Sight, leads: Sequence[int]) -> Floats:
    """What came after the places of days and weeks ago, shape (d, 2, l, n, b)."""
    half = round(SMOOTH_S / 2 / sight.past.step_s)
    ends = sight.places + _column(leads)
    values = sight.past.mean(ends - 1 - half, ends + half)
    peaks = [
        sight.past.for_lead(place).peak(sight.places[:, place, None], lead)
        for place, lead in enumerate(leads)
    ]
    return np.stack((values, np.concatenate(peaks, axis=1)), axis=1)


def _locations(views: Views, season: _Season, plain: Floats) -> tuple[Floats, ...]:
    base = views.base
    changes = (season.yesterday, season.last_week, season.days, season.weeks, season.mean)
    as_they_were = (or_else(plain[0], base), or_else(plain[len(DAYS)], base))
    return (base, *views.recent, *(base + change for change in changes), *as_they_were)


def _features(views: Views, ahead: _Ahead, season: _Season) -> tuple[Floats, ...]:
    levels, size = _tamed(views.levels - views.base), np.abs(season.mean)
    off_day, off_week = or_else(mean(levels[: len(DAYS)]), 0.0), or_else(mean(levels[len(DAYS) :]), 0.0)
    return (
        *views.shared,
        season.yesterday - season.mean,
        season.last_week - season.mean,
        season.days - season.weeks,
        season.mean,
        season.lowest - season.mean,
        season.highest - season.mean,
        off_day,
        off_week,
        off_day * size,
        off_week * size,
        *(ahead.waves - views.waves),
        views.scale[2] - views.scale[3],
    )


def _scale(views: Views, ahead: _Ahead, season: _Season) -> tuple[Floats, ...]:
    size = np.log(np.abs(season.mean) + _LEAST_CHANGE)
    discord = np.log(np.abs(season.highest - season.lowest) + _LEAST_CHANGE)
    return (*views.scale, ahead.moved, size, discord, *ahead.waves[:4])


def _tamed(changes: Floats) -> Floats:
    """Changes (d, ...) of which none stands out: what happened on one day only is not a season."""
    unknown = np.isnan(changes)
    low = _second(np.where(unknown, np.inf, changes))
    high = -_second(np.where(unknown, np.inf, -changes))
    several = (~unknown).sum(axis=0) >= _ENOUGH
    room = _ROOM * np.where(several, high - low, 0.0) + _LEAST_ROOM
    tame = np.clip(changes, low - room, high + room)
    return np.where(several, tame, changes)


def _second(rows: Floats) -> Floats:
    """The second lowest of rows (d, ...), without NaN."""
    lowest: Floats = np.minimum(rows[0], rows[1])
    second: Floats = np.maximum(rows[0], rows[1])
    for row in rows[2:]:
        second = np.minimum(second, np.maximum(lowest, row))
        lowest = np.minimum(lowest, row)
    return second


def _waves(moment: Moment, step_s: float) -> Floats:
    """Sines and cosines of the day and the hour, and those of days of rest, shape (w, l, n, b)."""
    turns = [k / DAY_S for k in range(1, _HARMONICS + 1)]
    if step_s <= 300.0:
        turns += [1 / 3600.0, 2 / 3600.0]
    angles = 2 * np.pi * np.multiply.outer(np.array(turns), moment.seconds)
    waves = np.stack((np.sin(angles), np.cos(angles)), axis=1).reshape(-1, *moment.rest.shape)
    whole: Floats = np.concatenate((waves, moment.rest[None], moment.rest * waves[:4]))
    return whole


def _column(leads: Sequence[int]) -> Indices:
    """The leads, shape (l, 1, 1)."""
    return np.array(leads, dtype=np.int64)[:, None, None]


def _log(movement: Floats) -> Floats:
    """Logs of movements; one of nothing is small and not minus infinity."""
    return np.log(movement + _LEAST_MOVE)
