"""What is looked at from an origin, and what each simple expert makes of it.

All of it is computed for many origins at once, the past ones as the present one.
Every seasonal statement is a change added to the present level; two experts keep
the season as it is, for the mixture to believe where it deserves it. Where a day or
a week ago is not known, an expert repeats the last value, so a short history has
fewer opinions and not other code. The calendar is UTC.

Refuses look-ahead: an origin reads bins before it; only `target` reads what came.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from predictscale.core.series import Floats
from predictscale.forecasters.native.panel import Indices, Panel
from predictscale.forecasters.robust import DAY_S, WEEK_S

_PRESENT_S = 180.0
_LEADS_S = (300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)
_DAYS = (1, 2, 3)
_WEEKS = (7, 14)
_SMOOTH_S = 240.0
_SLOW_S = 14_400.0
_HARMONICS = 4
_LEAST_MOVE = 1e-3
_LEAST_CHANGE = 0.01
_ENOUGH = 3
_ROOM = 2.0
_LEAST_ROOM = 0.1
_STILL = float(np.log(_LEAST_MOVE))


@dataclass(frozen=True, slots=True)
class Head:
    """One thing to forecast: the value of the bin `lead` bins ahead, or the peak until its end."""

    lead: int
    peak: bool

    def target(self, panel: Panel, origins: Indices) -> Floats:
        """What came, NaN where unknown."""
        return panel.peak(origins, self.lead) if self.peak else panel.at(origins + self.lead - 1)


def heads(step_s: float, *, reach: int) -> tuple[Head, ...]:
    """The values, then the peaks, at leads from one bin to two hours, and to `reach` bins at most."""
    asked = {max(1, round(lead_s / step_s)) for lead_s in _LEADS_S}
    leads = [1, *sorted(lead for lead in asked if 1 < lead <= reach)]
    return tuple(Head(lead, peak) for peak in (False, True) for lead in leads)


def present_level(panel: Panel, origins: Indices) -> Floats:
    """The level at each origin: the mean over the newest minutes, NaN where they are unknown."""
    return panel.before(origins, panel.bins(_PRESENT_S))


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What is known at n origins, whatever is to be forecast.

    Args:
        panel: Where it was read.
        origins: Shape (n,).
        base: The present level, shape (n,); NaN where it is unknown.
        shared: Features of the ridge that no head changes, shape (n, p).
        scale: Features of the error's log scale that no head changes, shape (n, s).
        waves: The calendar now, shape (n, w).
        recent: Other statements of the level, shape (n, 5): the last bin, means over a quarter
            of an hour, an hour and four hours, and the maximum of half an hour.
        past: The origins' places days and weeks ago, shape (d, n).
        levels: The levels then, shape (d, n).
    """

    panel: Panel
    origins: Indices
    base: Floats
    shared: Floats
    scale: Floats
    waves: Floats
    recent: Floats
    past: Indices
    levels: Floats

    @classmethod
    def at(cls, panel: Panel, origins: Indices) -> "Views":
        """Look from each of these origins."""
        base = present_level(panel, origins)
        last = panel.at(origins - 1)
        means = [panel.before(origins, panel.bins(s)) for s in (900.0, 3600.0, 14_400.0)]
        half_hour = panel.bins(1800.0)
        top = panel.peak(origins - half_hour, half_hour)
        longer = [panel.before(origins, panel.bins(s)) for s in (8 * 3600.0, DAY_S)]
        recent = np.stack([_or(x, base) for x in (last, *means, top)], axis=-1)
        quick, slow = panel.movements(origins, lag=1, bins=(half_hour, panel.bins(_SLOW_S)))
        gaps = recent - base[:, None]
        far = np.stack([_or(x, base) for x in longer], axis=-1) - base[:, None]
        shared = np.concatenate((np.ones((origins.size, 1)), gaps, far), axis=1)
        slow = _or(_log(slow), np.full_like(slow, _STILL))
        scale = np.stack((np.ones(origins.size), base, _or(_log(quick), slow), slow), axis=-1)
        lags = [round(days * DAY_S / panel.step_s) for days in (*_DAYS, *_WEEKS)]
        past = origins - np.array(lags, dtype=np.int64)[:, None]
        levels = present_level(panel, past)
        return cls(panel, origins, base, shared, scale, _waves(panel, origins), recent, past, levels)

    def ahead(self, lead: int) -> "Ahead":
        """What the calendar and the past movements say of a lead, whether value or peak."""
        moved = self.panel.movements(self.origins, lag=lead, bins=(self.panel.bins(_SLOW_S),))[0]
        return Ahead(_or(_log(moved), self.scale[:, 3]), _waves(self.panel, self.origins + lead))

    def towards(self, head: Head, ahead: "Ahead") -> "Outlook":
        """What the origins say of one head."""
        panel, lead = self.panel, head.lead
        if head.peak:
            plain = panel.peak(self.past, lead)
        else:
            half = round(_SMOOTH_S / 2 / panel.step_s)
            plain = panel.mean(self.past + lead - 1 - half, self.past + lead + half)
        return _outlook(self, ahead, plain)


@dataclass(frozen=True, slots=True, eq=False)
class Ahead:
    """Log of past movements over a lead, shape (n,), and the calendar at its end, shape (n, w)."""

    moved: Floats
    waves: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Outlook:
    """What n origins say of one head: locations of e experts but the ridge, its start and its features."""

    locations: Floats
    start: Floats
    features: Floats
    scale: Floats
    highest: Floats


class _Season(NamedTuple):
    """How demand changed from that place of the day or week on, each shape (n,); the mean where unknown."""

    yesterday: Floats
    last_week: Floats
    days: Floats
    weeks: Floats
    mean: Floats
    lowest: Floats
    highest: Floats

    @classmethod
    def of(cls, changes: Floats) -> "_Season":
        """From the changes (d, n) that followed days, then weeks ago."""
        days, weeks = _mean(changes[: len(_DAYS)]), _mean(changes[len(_DAYS) :])
        mean = _or(_mean(np.stack((days, weeks))), np.zeros_like(days))
        lowest, highest = np.fmin.reduce(changes, axis=0), np.fmax.reduce(changes, axis=0)
        parts = (changes[0], changes[len(_DAYS)], days, weeks, mean, lowest, highest)
        return cls(*(_or(part, mean) for part in parts))


def _outlook(views: Views, ahead: Ahead, plain: Floats) -> Outlook:
    season = _Season.of(_tamed(plain - views.levels))
    return Outlook(
        locations=_locations(views, season, plain),
        start=views.base + season.mean,
        features=_features(views, ahead, season),
        scale=_scale(views, ahead, season),
        highest=views.recent.max(axis=1),
    )


def _locations(views: Views, season: _Season, plain: Floats) -> Floats:
    """What each expert but the ridge expects, shape (n, e); the last value comes first."""
    base = views.base
    changes = (season.yesterday, season.last_week, season.days, season.weeks, season.mean)
    as_they_were = (_or(plain[0], base), _or(plain[len(_DAYS)], base))
    return np.stack((base, *views.recent.T, *(base + change for change in changes), *as_they_were), axis=-1)


def _features(views: Views, ahead: Ahead, season: _Season) -> Floats:
    """What the ridge corrects the mean change by, shape (n, p)."""
    levels, size = _tamed(views.levels - views.base), np.abs(season.mean)
    zero = np.zeros_like(views.base)
    off_day, off_week = _or(_mean(levels[: len(_DAYS)]), zero), _or(_mean(levels[len(_DAYS) :]), zero)
    seasonal = (
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
    )
    livelier = views.scale[:, 2:] - views.scale[:, 3:]
    return np.concatenate(
        (views.shared, np.stack(seasonal, axis=-1), ahead.waves - views.waves, livelier), axis=1
    )


def _scale(views: Views, ahead: Ahead, season: _Season) -> Floats:
    """What the size of the errors may depend on, shape (n, s)."""
    size = np.log(np.abs(season.mean) + _LEAST_CHANGE)
    discord = np.log(np.abs(season.highest - season.lowest) + _LEAST_CHANGE)
    moving = np.stack((ahead.moved, size, discord), axis=-1)
    return np.concatenate((views.scale, moving, ahead.waves[:, :4]), axis=1)


EXPERTS = 14
"""Locations of an `Outlook`, and the ridge, which comes last."""


def _tamed(changes: Floats) -> Floats:
    """Changes (d, n) of which none stands out: what happened on one day only is not a season."""
    known = (~np.isnan(changes)).sum(axis=0)
    ordered = np.sort(changes, axis=0)
    second = np.take_along_axis(ordered, np.maximum(known - 2, 0)[None], axis=0)[0]
    room = _ROOM * (second - ordered[1]) + _LEAST_ROOM
    tame = np.clip(changes, ordered[1] - room, second + room)
    return np.where(known >= _ENOUGH, tame, changes)


def _waves(panel: Panel, origins: Indices) -> Floats:
    """Sines and cosines of the day and the hour, and the weekend's own, shape (n, w)."""
    # Within a week the numbers are small, and the same in every week.
    stamps = (panel.start_s % WEEK_S + origins * panel.step_s) % WEEK_S
    turns = [k / DAY_S for k in range(1, _HARMONICS + 1)]
    if panel.step_s <= 300.0:
        turns += [1 / 3600.0, 2 / 3600.0]
    angles = 2 * np.pi * np.outer(stamps, turns)
    sines, cosines = np.sin(angles), np.cos(angles)
    # The epoch began on a Thursday.
    weekend = ((stamps // DAY_S >= 2) & (stamps // DAY_S < 4)).astype(np.float64)[:, None]
    waves = np.empty((origins.size, 2 * len(turns)))
    waves[:, 0::2], waves[:, 1::2] = sines, cosines
    return np.concatenate((waves, weekend, weekend * waves[:, :4]), axis=1)


def _or(values: Floats, otherwise: Floats) -> Floats:
    return np.where(np.isnan(values), otherwise, values)


def _mean(rows: Floats) -> Floats:
    known = ~np.isnan(rows)
    counts = known.sum(axis=0)
    means: Floats = np.where(known, rows, 0.0).sum(axis=0) / np.maximum(counts, 1)
    return np.where(counts > 0, means, np.nan)


def _log(movement: Floats) -> Floats:
    """Logs of movements; one of nothing is small and not minus infinity."""
    return np.log(movement + _LEAST_MOVE)
