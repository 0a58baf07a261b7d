"""Forecasts of the trees and the engine together, for one window or many of them.

Values are the engine's. Peaks are a geometric mean of what both say, by shares that the fit found;
they start as the engine's at a lead of one step, where a peak is a value, and return to them beyond
the longest lead that trees learned. Errors of windows that closed since the fit widen or narrow what
the trees say, and are forgotten again: the same `recent` gives the same forecast.
Refuses to answer where the engine does not.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import TryNextForecaster
from predictscale.forecasters import native
from predictscale.forecasters.base import LEVELS
from predictscale.forecasters.boosted.features import Views
from predictscale.forecasters.boosted.learn import Head
from predictscale.forecasters.boosted.sight import Past, Scale, together
from predictscale.forecasters.native import NativeFitted, mixture
from predictscale.forecasters.native.panel import bins
from predictscale.forecasters.robust import BELIEVED, DAY_S, highest

FOLLOWED_S = 1.25 * DAY_S
"""Windows that closed longer ago than this are not judged any more [s]."""

EVERY_S = 900.0
"""Between the origins that are followed after a fit [s]."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FADES = 4.0
_CELLS = 4000
"""So many origins are computed at once: what caches hold."""


@dataclass(frozen=True, slots=True, eq=False)
class BoostedFitted:
    """A fit: see the module.

    Args:
        model: The forecaster's name.
        engine: The engine's own fit.
        offset: What demand is counted in, in its unit.
        top: More than this is not believed, in the demand's unit.
        heads: By ascending lead.
        calendar: Whose clock the trees read.
    """

    model: str
    engine: NativeFitted
    offset: float
    top: float
    heads: tuple[Head, ...]
    calendar: Calendar = Calendar()

    @property
    def scale(self) -> Scale:
        """The scale of the trees' arithmetic."""
        return Scale(self.offset, self.top, self.engine.step_s)

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        """Values and peaks. See `Fitted.predict`.

        Raises:
            NotEnoughHistory: Nothing is known of the last hour of `recent`.
            ForecastNotCredible: `recent` ends long before the fitted window.
            ValueError: `recent` lies on another grid.
        """
        (answer,) = predict_together([Ask(self, recent, steps, tuple(levels))])
        if isinstance(answer, TryNextForecaster):
            raise answer
        return answer


class Ask(NamedTuple):
    """What `BoostedFitted.predict` is asked: a fit, the newest history, steps ahead, quantile levels."""

    fitted: BoostedFitted
    recent: MetricWindow
    steps: int
    levels: tuple[float, ...] = LEVELS


def predict_together(asks: Sequence[Ask]) -> list[Forecast | TryNextForecaster]:
    """What `predict` says to each of these, in their order, at a fraction of the cost where fits are shared.

    A forecast does not depend on its company, and what cannot be answered is returned as the error that
    `predict` raises.

    Raises:
        ValueError: A window lies on another grid than its fit.
    """
    reaches = [max(ask.steps, ask.fitted.heads[-1].lead) for ask in asks]
    told = native.predict_together(
        [
            native.Ask(ask.fitted.engine, ask.recent, reach, ask.levels)
            for ask, reach in zip(asks, reaches, strict=True)
        ]
    )
    answers: list[Forecast | TryNextForecaster] = list(told)
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for place, (ask, answer) in enumerate(zip(asks, told, strict=True)):
        if isinstance(answer, Forecast):
            groups[id(ask.fitted)].append(place)
    for places in groups.values():
        for part in _rooms(places, asks):
            tables = _tables([asks[place] for place in part])
            for column, place in enumerate(part):
                answer = answers[place]
                assert isinstance(answer, Forecast)  # noqa: S101 - errors are in no group
                answers[place] = _blended(asks[place], answer, tables[..., column])
    return answers


def _rooms(places: Sequence[int], asks: Sequence[Ask]) -> list[list[int]]:
    """The places, by how much has to be looked at, in parts that are computed at once."""
    ordered = sorted(places, key=lambda place: asks[place].recent.end)
    rooms: list[list[int]] = [[]]
    for place in ordered:
        each = _followed(asks[place], 0) + 1
        if rooms[-1] and each * (len(rooms[-1]) + 1) > _CELLS:
            rooms.append([])
        rooms[-1].append(place)
    return rooms


def _age(recent: MetricWindow) -> int:
    """How many bins ago the newest known one ended; there is one."""
    return recent.values.size - 1 - int(np.flatnonzero(recent.known)[-1])


def _since(ask: Ask, age: int) -> int:
    """Bins from the end of the fitted window to the newest known bin."""
    step_s = ask.fitted.engine.step_s
    return round(((ask.recent.end - _EPOCH).total_seconds() - ask.fitted.engine.end_s) / step_s) - age


def _followed(ask: Ask, age: int) -> int:
    """How many origins since the fit are looked at again."""
    step_s = ask.fitted.engine.step_s
    since = _since(ask, age)
    return max(0, min(since, bins(FOLLOWED_S, step_s))) // bins(EVERY_S, step_s)


def _past(ask: Ask) -> Past:
    age = _age(ask.recent)
    values = ask.recent.values[: ask.recent.values.size - age]
    every, since = bins(EVERY_S, ask.fitted.engine.step_s), _since(ask, age)
    # On a grid of the fit, so that a minute later the same windows are judged.
    nearest = (since - 1) % every + 1
    back = nearest + every * np.arange(_followed(ask, age) - 1, -1, -1, dtype=np.int64)
    now_s = (ask.recent.end - _EPOCH).total_seconds() - age * ask.fitted.engine.step_s
    return Past(values, now_s, np.append(back, 0))


def _tables(asks: Sequence[Ask]) -> Floats:
    """What the trees of one fit say of the present, in logs at `mixture.TABLE`, shape (q, l, b)."""
    fitted = asks[0].fitted
    pasts = [_past(ask) for ask in asks]
    sight = together(pasts, fitted.scale, reach=fitted.heads[-1].lead, calendar=fitted.calendar)
    count, width = sight.origins.shape
    own = np.array([past.back.size for past in pasts])
    fresh = np.arange(count)[:, None] >= count - own
    views = Views.at(sight)
    tables = []
    for head in fitted.heads:
        said = head.say(views.towards(head.lead)).reshape(-1, count, width)
        came = np.where(fresh, views.growth(head.lead), np.nan)
        ratios = mixture.exceedance(came, said[list(mixture.WATCHED)])
        start = np.repeat(head.spacing[:, None], width, axis=1)
        spacing = mixture.follow(start, np.moveaxis(ratios, 1, 0))
        tables.append(mixture.widen(said[:, -1], spacing) + views.base[-1])
    return np.stack(tables, axis=1)


def _blended(ask: Ask, answer: Forecast, table: Floats) -> Forecast:
    """The engine's forecast with peaks that the trees (q, l) had a say in."""
    fitted, steps = ask.fitted, ask.steps
    values = answer.values[:, :steps]
    assert answer.peaks is not None  # noqa: S101 - the engine forecasts them
    age = _age(ask.recent)
    theirs = fitted.scale.logs(answer.peaks)
    known = [place for place, head in enumerate(fitted.heads) if head.lead > age]
    leads = np.array([fitted.heads[place].lead for place in known], dtype=np.float64)
    corrections = [
        _correction(fitted.heads[place], table[:, place], theirs[:, int(lead) - age - 1], ask.levels)
        for place, lead in zip(known, leads, strict=True)
    ]
    logs = theirs[:, :steps]
    if corrections and np.isfinite(corrections).all():
        anchors = np.concatenate(([1.0] if leads[0] > 1 else [], leads, [_FADES * leads[-1]]))
        at = np.log(np.arange(1.0, steps + 1.0) + age)
        zero = np.zeros_like(corrections[0])
        rows = np.stack([*([zero] if leads[0] > 1 else []), *corrections, zero], axis=1)
        logs = logs + np.stack([np.interp(at, np.log(anchors), row) for row in rows])
    # Where an engine's own peak lies beyond what the trees believe it is not cut.
    top = max(fitted.top, BELIEVED * highest(ask.recent.values[-bins(3600.0, answer.step_s) :]))
    peaks = np.minimum(np.maximum(np.expm1(logs), 0.0) * fitted.offset, top)
    peaks = np.maximum.accumulate(np.maximum.accumulate(np.maximum(peaks, values), axis=1), axis=0)
    return Forecast(answer.origin, answer.step_s, answer.levels, values, fitted.model, peaks)


def _correction(head: Head, table: Floats, theirs: Floats, levels: tuple[float, ...]) -> Floats:
    """By how much the engine's log peak (q,) moves towards the trees' at this lead, shape (q,)."""
    share = np.empty(len(mixture.TABLE))
    for group, value in zip(mixture.GROUPS, head.share, strict=True):
        share[group.start : group.stop] = value
    said, part = (np.interp(levels, mixture.TABLE, row) for row in (table, share))
    moved: Floats = part * (said - theirs)
    return moved
