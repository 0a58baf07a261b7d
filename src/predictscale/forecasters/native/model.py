"""The forecaster `native`: fit once an hour, then follow every minute.

A fit leaves weights and the state of the online part behind. A prediction looks from the
origins since then as the fit looked from those before, brings the state up to
date with the windows that have closed, and forgets it again: the same
`recent` gives the same forecast, on every replica and after every restart.

Refuses to reach: beyond two hours the last statement is held and widened.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar

import numpy as np

from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import FitFailed, ForecastNotCredible, NotEnoughHistory
from predictscale.forecasters.base import LEVELS
from predictscale.forecasters.curve import STALE_S
from predictscale.forecasters.native import mixture
from predictscale.forecasters.native.domain import Domain
from predictscale.forecasters.native.experts import Ahead, Head, Views, heads, present_level
from predictscale.forecasters.native.judge import Trial, judge
from predictscale.forecasters.native.learn import BEYOND, History, Learned, blocks_of, learn
from predictscale.forecasters.native.panel import Indices, Panel
from predictscale.forecasters.robust import BELIEVED, DAY_S, highest, require

_LEAST_S = 600.0
_LEAST_BINS = 8
_LONGEST_S = 28 * DAY_S
_SEASON_S = 14 * DAY_S + 8 * 3600.0
_FOLLOWED_S = 1.25 * DAY_S
_SETTLED_S = 4 * DAY_S
_ORIGINS = 3000
_FEWEST = 5
_EVERY_S = 300.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
        learned: By head, in the order of `heads`.
        spacing: Log factors of the upper spacings by head, shape (k, g).
    """

    model: str
    step_s: float
    end_s: float
    every: int
    reach: int
    domain: Domain
    learned: tuple[Learned, ...]
    spacing: Floats

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        """Values and peaks. See `Fitted.predict`.

        Raises:
            NotEnoughHistory: Nothing is known of the last `STALE_S` of `recent`.
            ForecastNotCredible: `recent` ends more than `STALE_S` before the fitted window.
            ValueError: `recent` lies on another grid.
        """
        if recent.step_s != self.step_s:
            raise ValueError(f"recent: on a grid of {recent.step_s:g} s, {self.model} of {self.step_s:g} s")
        since_s = (recent.end - _EPOCH).total_seconds() - self.end_s
        if since_s < -STALE_S:
            raise ForecastNotCredible(
                f"{self.model} was fitted on data until {-since_s:g} s after the asked origin"
            )
        values = recent.last(_SEASON_S + min(max(since_s, 0.0), _FOLLOWED_S)).values
        newest = self._newest(values)
        age = values.size - 1 - newest
        start_s = (recent.end - _EPOCH).total_seconds() - values.size * self.step_s
        logs, high = self._logs(values[: newest + 1])
        panel = Panel(logs, start_s=start_s, step_s=self.step_s)
        leads = np.arange(1.0, steps + 1.0) + age
        asked = self._asked(float(leads[-1]))
        tables = self._tables(panel, asked, fitted=values.size - round(since_s / self.step_s))
        demand = self._paths(tables, leads, levels, high)
        return Forecast(recent.end, self.step_s, tuple(levels), demand[0], self.model, demand[1])

    def _newest(self, values: Floats) -> int:
        """The newest known bin, if it is not stale."""
        known = np.flatnonzero(~np.isnan(values[-max(1, round(STALE_S / self.step_s)) :]))
        if not known.size:
            raise NotEnoughHistory(need_s=self.step_s, have_s=0.0)
        return int(known[-1]) + max(0, values.size - max(1, round(STALE_S / self.step_s)))

    def _logs(self, values: Floats) -> tuple[Floats, float]:
        """The values in logs, and the highest confirmed demand of then and now."""
        present = values[-max(1, round(STALE_S / self.step_s)) :]
        high = max(self.domain.high, highest(present))
        logs = self.domain.to(values, most=high)
        # The past is winsorised; what is here now is believed beyond it, for it may be real.
        logs[-present.size :] = self.domain.to(present, most=BELIEVED * high)
        return logs, high

    def _asked(self, farthest: float) -> list[tuple[Head, Learned, Floats]]:
        """The heads that reach just so far, with what was learned of them."""
        every = heads(self.step_s, reach=self.reach)
        reaching = [head.lead for head in every if head.lead >= farthest]
        last = min(reaching, default=every[-1].lead)
        whole = zip(every, self.learned, self.spacing, strict=True)
        return [(head, learned, spacing) for head, learned, spacing in whole if head.lead <= last]

    def _tables(self, panel: Panel, asked: Sequence[tuple[Head, Learned, Floats]], *, fitted: int) -> Floats:
        """The mixture's quantiles of the heads from the present, shape (k, q), in logs.

        `fitted` is the bin that the fit ended at.
        """
        whom = [head for head, _, _ in asked]
        views = _views(panel, self._origins(panel, fitted, farthest=max(head.lead for head in whom)))
        tables, ratios = [], []
        for (head, learned, _), ahead in zip(asked, _aheads(views, whom), strict=True):
            said = learned.say(views.towards(head, ahead))
            came = head.target(panel, views.origins)
            trial = Trial(views.origins, head.lead, came, fitted, panel.size, self.step_s)
            table = judge(learned, said, trial, self.domain).table
            new = np.where(views.origins + head.lead > fitted, came, np.nan)
            tables.append(table[-1])
            ratios.append(mixture.exceedance(new, table))
        spacing = mixture.follow(np.stack([part for _, _, part in asked]), np.stack(ratios, axis=1))
        return mixture.widen(np.stack(tables), spacing)

    def _origins(self, panel: Panel, fitted: int, *, farthest: int) -> Indices:
        """Those of the fit's rhythm whose windows have closed since, and the present, which is the last."""
        back = -(-farthest // self.every) * self.every
        past = np.arange(fitted - back, panel.size, self.every, dtype=np.int64)
        oldest = panel.size - panel.bins(_FOLLOWED_S) - farthest
        return np.append(past[(past > 0) & (past >= oldest)], panel.size)

    def _paths(
        self, tables: Floats, leads: Floats, levels: Sequence[float], high: float
    ) -> tuple[Floats, Floats]:
        """Demand and peaks at each level and lead, each (q, h)."""
        half, limits = tables.shape[0] // 2, self.learned[0].limits
        values = heads(self.step_s, reach=self.reach)[:half]
        anchors = np.array([head.lead for head in values], dtype=np.float64)
        paths = [_between(anchors, part, leads, limits) for part in (tables[:half], tables[half:])]
        top = BELIEVED * high
        at, peak = (np.minimum(self.domain.back(_at_levels(path, levels)), top) for path in paths)
        return at, np.maximum.accumulate(np.maximum(at, peak), axis=1)


@dataclass(frozen=True, slots=True)
class Native:
    """Experts on the present level, weighed online."""

    name: ClassVar[str] = "native"
    slow: ClassVar[bool] = False

    def needs_s(self, step_s: float) -> float:
        """Ten minutes, at least eight bins; days and weeks join as they come."""
        return max(_LEAST_S, _LEAST_BINS * step_s)

    def fit(self, window: MetricWindow) -> NativeFitted:
        """Learn from up to four weeks. See `Forecaster.fit`."""
        require(window, self.needs_s(window.step_s))
        window = window.last(_LONGEST_S)
        domain = Domain.of(window.values)
        end_s = (window.end - _EPOCH).total_seconds()
        panel = Panel(domain.to(window.values), start_s=end_s - window.duration_s, step_s=window.step_s)
        usual = panel.bins(_EVERY_S)
        # Odd, so that a source that skips every other bin is not missed altogether.
        every = max(usual, -(-panel.size // _ORIGINS)) | 1 if panel.size > 10 * usual else 1
        history = _history(panel, domain, every=every)
        # As long a lead as fits in three times tells little enough.
        reach = panel.size // 3
        asked = heads(window.step_s, reach=reach)
        learned, ratios = [], []
        for head, ahead in zip(asked, _aheads(history.views, asked), strict=True):
            part, said = learn(head, ahead, history)
            came = head.target(panel, history.views.origins)
            trial = Trial(history.views.origins, head.lead, came, -1, panel.size, panel.step_s)
            verdict = judge(part, said, trial, domain)
            learned.append(replace(part, losses=verdict.losses, count=verdict.number))
            ratios.append(mixture.exceedance(came, verdict.table))
        newest = np.stack(ratios, axis=1)[-(panel.bins(_SETTLED_S) // every + 1) :]
        spacing = mixture.follow(np.zeros(newest.shape[1:]), newest)
        return NativeFitted(self.name, window.step_s, end_s, every, reach, domain, tuple(learned), spacing)


def _history(panel: Panel, domain: Domain, *, every: int) -> History:
    """The views from every so many bins, the last of them from the end."""
    views = _views(panel, np.arange(panel.size, 0, -every, dtype=np.int64)[::-1])
    if views.origins.size < _FEWEST:
        raise FitFailed(f"gaps leave {views.origins.size} origins to look back from; {_FEWEST} are the least")
    known = panel.logs[~np.isnan(panel.logs)]
    return History(views, domain, blocks_of(panel), np.array((known.min(), known.max() + BEYOND)))


def _views(panel: Panel, origins: Indices) -> Views:
    """The views from those of the origins that know a present level."""
    return Views.at(panel, origins[~np.isnan(present_level(panel, origins))])


def _aheads(views: Views, asked: Sequence[Head]) -> list[Ahead]:
    """What is ahead of each head; values and peaks share it."""
    by_lead = {head.lead: views.ahead(head.lead) for head in asked}
    return [by_lead[head.lead] for head in asked]


def _between(anchors: Floats, tables: Floats, leads: Floats, limits: Floats) -> Floats:
    """Tables (a, q) at any leads, shape (q, h): linear in the log of the lead.

    Beyond the last anchor the distance from the median grows with the root of the lead,
    as that of a random walk, within what was seen.
    """
    place = np.interp(np.log(leads), np.log(anchors), np.arange(anchors.size, dtype=np.float64))
    low = np.minimum(place.astype(np.int64), anchors.size - 1)
    high = np.minimum(low + 1, anchors.size - 1)
    part = (place - low)[:, None]
    path = tables[low] * (1 - part) + tables[high] * part
    middle = path[:, mixture.MIDDLE, None]
    grown = np.sqrt(np.maximum(leads / anchors[-1], 1.0))[:, None]
    spread = middle + (path - middle) * grown
    within: Floats = np.clip(spread, np.minimum(path, limits[0]), np.maximum(path, limits[1])).T
    return within


def _at_levels(path: Floats, levels: Sequence[float]) -> Floats:
    """Rows of a path at `TABLE` as rows at any levels, shape (q, h)."""
    if tuple(levels) == LEVELS:
        return path[1:-1]
    at = np.interp(levels, mixture.TABLE, np.arange(len(mixture.TABLE), dtype=np.float64))
    low = at.astype(np.int64)
    high = np.minimum(low + 1, len(mixture.TABLE) - 1)
    part = (at - low)[:, None]
    picked: Floats = path[low] * (1 - part) + path[high] * part
    return picked
