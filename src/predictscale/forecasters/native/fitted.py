"""Forecasts of the engine, for one workload or a thousand at once.

A prediction looks from the origins since the fit as the fit looked from those before, brings
the state up to date with the windows that have closed, and forgets it again: the same
`recent` gives the same forecast, on every replica and after every restart. Numpy costs
more to call than to compute with a few dozen numbers, so those who ask together are
computed together; one who asks alone is a batch of one, and hears the same to the last bit.

Refuses to reach: beyond two hours the last statement is held and widened.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.forecast import Components, Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import ForecastNotCredible, NotEnoughHistory, TryNextForecaster
from predictscale.forecasters.base import LEVELS
from predictscale.forecasters.curve import STALE_S
from predictscale.forecasters.native import mixture
from predictscale.forecasters.native.domain import Domain, to_demand
from predictscale.forecasters.native.experts import Views, leads_of, targets
from predictscale.forecasters.native.gather import Origins, Rhythm, Seen, high_of, sight
from predictscale.forecasters.native.judge import Trial, conclude, judge
from predictscale.forecasters.native.learn import Learned
from predictscale.forecasters.native.panel import bins
from predictscale.forecasters.native.rows import or_else
from predictscale.forecasters.robust import BELIEVED

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CELLS = 2000
"""So many statements, of a workload, a lead and an origin each, are computed at once: what caches hold."""


@dataclass(frozen=True, slots=True, eq=False)
class NativeFitted:
    """A fit: see the module.

    Args:
        model: The forecaster's name.
        step_s: The grid it was fitted on [s].
        end_s: Where the fitted window ends, seconds since the epoch.
        every: Bins between the origins that are followed.
        reach: The longest lead that the history could tell of, in bins.
        domain: The scale of the arithmetic.
        limits: The lowest and highest that experts are believed, in logs, shape (2,).
        learned: By lead, in the order of `leads_of`.
        calendar: Whose days and weeks they are.
    """

    model: str
    step_s: float
    end_s: float
    every: int
    reach: int
    domain: Domain
    limits: Floats
    learned: Learned
    calendar: Calendar

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        """Values and peaks. See `Fitted.predict`.

        Raises:
            NotEnoughHistory: Nothing is known of the last `STALE_S` of `recent`.
            ForecastNotCredible: `recent` ends more than `STALE_S` before the fitted window.
            ValueError: `recent` lies on another grid.
        """
        (answer,) = predict_together([Ask(self, recent, steps, tuple(levels))])
        if isinstance(answer, TryNextForecaster):
            raise answer
        return answer

    def components(self, recent: MetricWindow, *, steps: int) -> Components:
        """The present, what days and weeks make of it, and the rest. See `Decomposed.components`.

        The season is the mean of how demand changed from here on days ago and weeks ago; the week's part is
        what weeks add to what the days say alone. The correction is what the ridge, the other
        experts and the calibration make of it, and slow trends; holidays count as the day's.

        Raises:
            TryNextForecaster: As `predict`.
        """
        ask = Ask(self, recent, steps, (0.5,))
        kind, seen = _look(ask)
        told = _told(kind.rhythm, [self], [seen])
        (answer,) = _answers(kind, [ask], [seen], told.tables)
        if isinstance(answer, TryNextForecaster):
            raise answer
        level, by_days, by_weeks = (
            np.minimum(to_demand(_at_steps(logs, kind), seen.offset), BELIEVED * seen.high)[:, 0]
            for logs in (told.level, told.by_days, told.start)
        )
        return Components(
            level=level,
            day=by_days - level,
            week=by_weeks - by_days,
            events=np.zeros(steps),
            correction=answer.quantile(0.5) - by_weeks,
        )


class Ask(NamedTuple):
    """What `NativeFitted.predict` is asked: a fit, the newest history, steps ahead, quantile levels."""

    fitted: NativeFitted
    recent: MetricWindow
    steps: int
    levels: tuple[float, ...] = LEVELS


def predict_together(asks: Sequence[Ask]) -> list[Forecast | TryNextForecaster]:
    """What `predict` says to each of these, in their order, at a fraction of the cost.

    Any fits, windows and steps may come together, also one fit with many windows. A
    forecast does not depend on its company, and what cannot be answered is returned as the error that
    `predict` raises.

    Raises:
        ValueError: A window lies on another grid than its fit.
    """
    answers: dict[int, Forecast | TryNextForecaster] = {}
    groups: defaultdict[_Kind, list[tuple[int, Ask, Seen]]] = defaultdict(list)
    for place, ask in enumerate(asks):
        try:
            kind, seen = _look(ask)
        except TryNextForecaster as error:
            answers[place] = error
        else:
            groups[kind].append((place, ask, seen))
    for kind, members in groups.items():
        # Beside its likes, so that hardly any places stay empty.
        members.sort(key=lambda member: member[2].since)
        start = 0
        while start < len(members):
            part = members[start : start + _room(kind, [seen for _, _, seen in members[start:]])]
            said = _forecasts(kind, [ask for _, ask, _ in part], [seen for _, _, seen in part])
            answers.update(zip((place for place, _, _ in part), said, strict=True))
            start += len(part)
    return [answers[place] for place in range(len(asks))]


class _Kind(NamedTuple):
    """What those who are computed at once have in common."""

    rhythm: Rhythm
    age: int
    steps: int
    levels: tuple[float, ...]


def _look(ask: Ask) -> tuple[_Kind, Seen]:
    """What an ask is about, if it can be answered."""
    fitted, recent, steps, levels = ask
    step_s = fitted.step_s
    if recent.step_s != step_s:
        raise ValueError(f"recent: on a grid of {recent.step_s:g} s, {fitted.model} of {step_s:g} s")
    end_s = (recent.end - _EPOCH).total_seconds()
    since_s = end_s - fitted.end_s
    if since_s < -STALE_S:
        raise ForecastNotCredible(
            f"{fitted.model} was fitted on data until {-since_s:g} s after the asked origin"
        )
    age = _age(recent.values, step_s)
    values = recent.values[: recent.values.size - age]
    leads = leads_of(step_s, reach=fitted.reach)
    last = min((lead for lead in leads if lead >= steps + age), default=leads[-1])
    rhythm = Rhythm(step_s, fitted.every, leads[: leads.index(last) + 1], fitted.calendar)
    high = high_of(values, step_s, before=fitted.domain.high)
    seen = Seen(values, fitted.domain.offset, high, round(since_s / step_s) - age, end_s - age * step_s)
    return _Kind(rhythm, age, steps, levels), seen


def _age(values: Floats, step_s: float) -> int:
    """How many bins ago the newest known one ended, if it is not stale."""
    newest = values[-bins(STALE_S, step_s) :]
    known = np.flatnonzero(~np.isnan(newest))
    if not known.size:
        raise NotEnoughHistory(need_s=step_s, have_s=0.0)
    return newest.size - 1 - int(known[-1])


def _room(kind: _Kind, seen: Sequence[Seen]) -> int:
    """How many of them are computed at once, the first at least."""
    for count, one in enumerate(seen):
        each = len(kind.rhythm.leads) * (max(one.since, 0) // kind.rhythm.every + 2)
        if count and each * (count + 1) > _CELLS:
            return count
    return len(seen)


def _forecasts(kind: _Kind, asks: Sequence[Ask], seen: Sequence[Seen]) -> list[Forecast | TryNextForecaster]:
    """One forecast each, or why it is none."""
    return _answers(kind, asks, seen, _told(kind.rhythm, [ask.fitted for ask in asks], seen).tables)


def _answers(
    kind: _Kind, asks: Sequence[Ask], seen: Sequence[Seen], tables: Floats
) -> list[Forecast | TryNextForecaster]:
    """What tables of the mixture's quantiles (q, 2, l, b) say of each step, in demand."""
    limits = np.stack([ask.fitted.limits for ask in asks], axis=-1)
    top = BELIEVED * np.array([one.high for one in seen])
    offset = np.array([one.offset for one in seen])
    path = _at_levels(_between(tables, kind, limits), kind.levels)
    values, peaks = np.moveaxis(np.minimum(to_demand(path, offset), top), (1, 3), (0, 1))
    peaks = np.maximum.accumulate(np.maximum(values, peaks), axis=2)
    return [_forecast(ask, *both) for ask, *both in zip(asks, values, peaks, strict=True)]


def _forecast(ask: Ask, values: Floats, peaks: Floats) -> Forecast | TryNextForecaster:
    fitted, recent = ask.fitted, ask.recent
    try:
        return Forecast(recent.end, fitted.step_s, ask.levels, values, fitted.model, peaks)
    except TryNextForecaster as error:
        return error


class _Told(NamedTuple):
    """What is said from the present of b workloads, in logs.

    Args:
        tables: The mixture's quantiles, shape (q, 2, l, b).
        level: The present level, shape (l, b).
        by_days: The level and what days alone expect of the value at each lead, shape (l, b).
        start: The same with weeks, before any correction.
    """

    tables: Floats
    level: Floats
    by_days: Floats
    start: Floats


def _told(rhythm: Rhythm, fits: Sequence[NativeFitted], seen: Sequence[Seen]) -> _Told:
    """Look, follow what came since the fits, and conclude."""
    origins = Origins.of(seen, rhythm)
    views = Views.at(sight(seen, origins, rhythm))
    learned = Learned.together([fitted.learned for fitted in fits], leads=len(rhythm.leads))
    limits = np.stack([fitted.limits for fitted in fits], axis=-1)
    offset = np.array([one.offset for one in seen])
    outlook = views.towards(rhythm.leads)
    said = learned.say(outlook, limits)
    came = targets(views.sight.near, views.sight.origins, rhythm.leads)
    lead = np.array(rhythm.leads)[:, None, None]
    trial = Trial(
        came,
        new=~np.isnan(came) & origins.valid & ~np.isnan(views.base),
        ago_s=(origins.back - lead) * rhythm.step_s,
        since_s=np.array([one.since for one in seen]) * rhythm.step_s,
        closed=origins.closed,
    )
    verdict = judge(learned, said, trial, offset)
    ratios = mixture.exceedance(np.where(trial.new, came, np.nan), verdict.watched)
    spacing = mixture.follow(learned.spacing[..., 0, :], np.moveaxis(ratios, -2, 0))
    tables = mixture.widen(conclude(learned, said, verdict, offset), spacing)
    # A longer window holds the shorter one.
    np.maximum.accumulate(tables[:, 1], axis=1, out=tables[:, 1])
    tables = mixture.agreed(tables)
    level, days = views.base[:, -1], or_else(outlook.days[0, :, -1], 0.0)
    return _Told(tables, level, level + days, outlook.start[0, :, -1])


def _between(tables: Floats, kind: _Kind, limits: Floats) -> Floats:
    """Tables (q, 2, l, b) at each step, shape (q, 2, h, b).

    Beyond the last anchor the distance from the median grows with the root of the lead,
    as that of a random walk, within what was seen.
    """
    path = _at_steps(tables, kind)
    middle = path[mixture.MIDDLE]
    grown = np.sqrt(np.maximum(_leads(kind) / kind.rhythm.leads[-1], 1.0))[:, None]
    spread = middle + (path - middle) * grown
    within: Floats = np.clip(spread, np.minimum(path, limits[0]), np.maximum(path, limits[1]))
    return within


def _at_steps(tables: Floats, kind: _Kind) -> Floats:
    """Tables (..., l, b) at each step, shape (..., h, b): linear in the log of the lead, then held."""
    anchors = np.array(kind.rhythm.leads, dtype=np.float64)
    place = np.interp(np.log(_leads(kind)), np.log(anchors), np.arange(anchors.size, dtype=np.float64))
    low = np.minimum(place.astype(np.int64), anchors.size - 1)
    high = np.minimum(low + 1, anchors.size - 1)
    part = (place - low)[:, None]
    path: Floats = tables[..., low, :] * (1 - part) + tables[..., high, :] * part
    return path


def _leads(kind: _Kind) -> Floats:
    """Of each step from the newest known bin, shape (h,)."""
    leads: Floats = np.arange(1.0, kind.steps + 1.0) + kind.age
    return leads


def _at_levels(path: Floats, levels: tuple[float, ...]) -> Floats:
    """Rows of a path at `TABLE` as rows at any levels, shape (q, ...)."""
    if levels == LEVELS:
        return path[1:-1]
    at = np.interp(levels, mixture.TABLE, np.arange(len(mixture.TABLE), dtype=np.float64))
    low = at.astype(np.int64)
    high = np.minimum(low + 1, len(mixture.TABLE) - 1)
    part = (at - low)[:, None, None, None]
    picked: Floats = path[low] * (1 - part) + path[high] * part
    return picked
