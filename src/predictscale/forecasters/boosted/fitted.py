"""Forecasts of the trees and the engine together, for one window or many of them.

Values are the engine's. Peaks lie between what both say, in logs and by shares that the fit found;
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
from predictscale.core.forecast import Components, Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import TryNextForecaster
from predictscale.forecasters import native
from predictscale.forecasters.base import LEVELS
from predictscale.forecasters.boosted.features import Views
from predictscale.forecasters.boosted.learn import Head
from predictscale.forecasters.boosted.sight import Past, Scale, together
from predictscale.forecasters.curve import STALE_S
from predictscale.forecasters.native import NativeFitted, mixture
from predictscale.forecasters.native.panel import bins
from predictscale.forecasters.robust import BELIEVED, DAY_S, highest

FOLLOWED_S = 1.25 * DAY_S
"""Windows that closed longer ago than this are not judged any more [s]."""

EVERY_S = 900.0
"""Between the origins that are followed after a fit [s]."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FADES = 4.0
_UPPER = 1
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

    @property
    def because(self) -> str:
        """How far the trees are trusted, in words."""
        step_s = self.engine.step_s
        shares = ", ".join(f"{head.share[_UPPER]:.0%} at {head.lead * step_s:g} s" for head in self.heads)
        return f"{self.model}: share of the trees in the upper quantiles of the peak: {shares}"

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

    def components(self, recent: MetricWindow, *, steps: int) -> Components:
        """What the values are made of, which are the engine's. See `Decomposed.components`."""
        return self.engine.components(recent, steps=steps)


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
    heads = [_needed(ask) for ask in asks]
    reaches = [max(ask.steps, those[-1].lead) for ask, those in zip(asks, heads, strict=True)]
    told = native.predict_together(
        [
            native.Ask(ask.fitted.engine, ask.recent, reach, _with_median(ask.levels))
            for ask, reach in zip(asks, reaches, strict=True)
        ]
    )
    answers: list[Forecast | TryNextForecaster] = list(told)
    groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for place, (ask, answer) in enumerate(zip(asks, told, strict=True)):
        if isinstance(answer, Forecast):
            groups[id(ask.fitted), len(heads[place])].append(place)
    for places in groups.values():
        for part in _rooms(places, asks):
            tables = _tables([asks[place] for place in part], heads[part[0]])
            for column, place in enumerate(part):
                answer = answers[place]
                assert isinstance(answer, Forecast)  # noqa: S101 - errors are in no group
                answers[place] = _blended(asks[place], answer, tables[..., column])
    return answers


def _needed(ask: Ask) -> tuple[Head, ...]:
    """The heads up to the one that reaches as far as is asked."""
    heads, last = ask.fitted.heads, ask.steps + _age(ask.recent)
    return heads[: next((place for place, head in enumerate(heads, 1) if head.lead >= last), len(heads))]


def _with_median(levels: tuple[float, ...]) -> tuple[float, ...]:
    return levels if 0.5 in levels else tuple(sorted((*levels, 0.5)))


def _top(ask: Ask) -> float:
    """What is believed at most: what is here now may be real beyond all that was learned from."""
    near = ask.recent.values[-bins(STALE_S, ask.recent.step_s) :]
    return max(ask.fitted.top, BELIEVED * highest(near))


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
    """How many bins ago the newest known one ended, if there is one."""
    known = np.flatnonzero(recent.known)
    return recent.values.size - 1 - int(known[-1]) if known.size else 0


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


def _tables(asks: Sequence[Ask], heads: Sequence[Head]) -> Floats:
    """What the trees of one fit say of the present, in logs at `mixture.TABLE`, shape (q, l, b)."""
    fitted = asks[0].fitted
    pasts = [_past(ask) for ask in asks]
    scale = fitted.scale._replace(top=np.array([[_top(ask)] for ask in asks]))
    sight = together(pasts, scale, reach=heads[-1].lead, calendar=fitted.calendar)
    count, width = sight.origins.shape
    views = Views.at(sight)
    tables = []
    for head in heads:
        said = head.say(views.towards(head.lead)).reshape(-1, count, width)
        # Of the present, and of what stands in for it, nothing has come yet: NaN.
        ratios = mixture.exceedance(views.growth(head.lead), said[list(mixture.WATCHED)])
        start = np.repeat(head.spacing[:, None], width, axis=1)
        spacing = mixture.follow(start, np.moveaxis(ratios, 1, 0))
        tables.append(mixture.widen(said[:, -1], spacing) + views.base[-1])
    return np.stack(tables, axis=1)


def _blended(ask: Ask, answer: Forecast, table: Floats) -> Forecast:
    """The engine's forecast with peaks that the trees (q, l) had a say in."""
    fitted, steps = ask.fitted, ask.steps
    assert answer.peaks is not None  # noqa: S101 - the engine forecasts them
    theirs = np.log1p(answer.peaks / fitted.offset)
    logs = theirs[:, :steps] + _corrections(
        fitted, answer.levels, theirs, table, steps=steps, age=_age(ask.recent)
    )
    rows = [answer.levels.index(level) for level in ask.levels]
    logs = np.maximum.accumulate(np.maximum.accumulate(logs[rows], axis=0), axis=1)
    both = np.stack((np.log1p(answer.values[rows, :steps] / fitted.offset), logs), axis=1)
    # Where the trees say that the peak stays below the engine's values, both give way alike; but the
    # middle of the values is the engine's, whose parts add up to it.
    upper = np.searchsorted(ask.levels, 0.5, side="right")
    mixture.agreed(both[upper:])
    demand = np.maximum(np.expm1(np.maximum.accumulate(both, axis=0)), 0.0) * fitted.offset
    values, peaks = demand[:, 0], np.minimum(demand[:, 1], _top(ask))
    peaks = np.maximum.accumulate(np.maximum.accumulate(np.maximum(peaks, values), axis=1), axis=0)
    return Forecast(answer.origin, answer.step_s, ask.levels, values, fitted.model, peaks)


def _corrections(
    fitted: BoostedFitted, levels: tuple[float, ...], theirs: Floats, table: Floats, *, steps: int, age: int
) -> Floats:
    """By how much the engine's log peaks (q, h) move at the first steps, linear in the log of the lead."""
    known = [(place, head) for place, head in enumerate(fitted.heads[: table.shape[1]]) if head.lead > age]
    moved = [_moved(head, table[:, place], theirs[:, head.lead - age - 1], levels) for place, head in known]
    if not moved or not np.isfinite(moved).all():
        return np.zeros((len(levels), steps))
    nothing = np.zeros(len(levels))
    anchors, rows = [float(head.lead) for _, head in known], [*moved, nothing]
    anchors.append(_FADES * anchors[-1])
    if anchors[0] > 1.0:
        anchors, rows = [1.0, *anchors], [nothing, *rows]
    at = np.log(np.arange(1.0, steps + 1.0) + age)
    return np.stack([np.interp(at, np.log(anchors), row) for row in np.stack(rows, axis=1)])


def _moved(head: Head, table: Floats, theirs: Floats, levels: tuple[float, ...]) -> Floats:
    """By how much the engine's log peaks (q,) move towards the trees' at this lead, shape (q,).

    Medians meet in between. Distances from them add up as those of errors do that are more or less alike:
    by squares, and by themselves only where both err together.
    """
    share = np.empty(len(mixture.TABLE))
    for group, value in zip(mixture.GROUPS, head.share, strict=True):
        share[group.start : group.stop] = value
    said, part = (np.interp(levels, mixture.TABLE, row) for row in (table, share))
    middle, median = theirs[levels.index(0.5)], table[mixture.MIDDLE]
    mine, other = part * (said - median), (1 - part) * (theirs - middle)
    squares = mine**2 + other**2 + 2 * head.alike * mine * other
    spread = np.sign(mine + other) * np.sqrt(np.maximum(squares, 0.0))
    moved: Floats = middle + part * (median - middle) + spread - theirs
    return moved
