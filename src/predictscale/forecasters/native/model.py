"""The forecaster `native`: fit once an hour, then follow every minute.

A fit leaves weights and the state of the online part behind. Refuses to forget in between:
days and weeks join as they come, and nothing older than four weeks is asked.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import ClassVar

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import FitFailed
from predictscale.forecasters.native import mixture
from predictscale.forecasters.native.domain import Domain
from predictscale.forecasters.native.experts import Sight, Views, leads_of, present_level
from predictscale.forecasters.native.fitted import NativeFitted
from predictscale.forecasters.native.judge import Trial, judge
from predictscale.forecasters.native.learn import BEYOND, History, Learned, blocks_of, learn
from predictscale.forecasters.native.panel import Panel
from predictscale.forecasters.native.wall import Wall
from predictscale.forecasters.robust import DAY_S, require

_LEAST_S = 600.0
_LEAST_BINS = 8
_LONGEST_S = 28 * DAY_S
_SETTLED_S = 4 * DAY_S
_ORIGINS = 3000
_FEWEST = 5
_EVERY_S = 300.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Native:
    """Experts on the present level, weighed online.

    Args:
        calendar: Where the workload's people live.
    """

    calendar: Calendar = field(default_factory=Calendar)
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
        panel = Panel(domain.to(window.values)[None], step_s=window.step_s)
        usual = panel.bins(_EVERY_S)
        # Odd, so that a source that skips every other bin is not missed altogether.
        every = max(usual, -(-panel.size // _ORIGINS)) | 1 if panel.size > 10 * usual else 1
        end_s = (window.end - _EPOCH).total_seconds()
        history = _history(panel, domain, every=every, end_s=end_s, calendar=self.calendar)
        # As long a lead as fits in three times tells little enough.
        reach = panel.size // 3
        settled = panel.bins(_SETTLED_S) // every + 1
        parts = [_learned(history, lead) for lead in leads_of(window.step_s, reach=reach)]
        learned = Learned.joined([part for part, _ in parts])
        ratios = np.concatenate([part[..., -settled:, 0] for _, part in parts], axis=-2)
        spacing = mixture.follow(learned.spacing, np.moveaxis(ratios, -1, 0))
        return NativeFitted(
            model=self.name,
            step_s=window.step_s,
            end_s=end_s,
            every=every,
            reach=reach,
            domain=domain,
            limits=history.limits,
            learned=replace(learned, spacing=spacing),
            calendar=self.calendar,
        )


def _learned(history: History, lead: int) -> tuple[Learned, Floats]:
    """What the history says of one lead, its losses included; and what exceeded it, (g, 2, 1, n, 1)."""
    learned, said, came = learn(history, lead)
    panel, origins = history.views.sight.near, history.views.sight.origins[0, :, 0]
    trial = Trial(
        came,
        new=~np.isnan(came),
        ago_s=((panel.size - lead - origins) * panel.step_s)[None, :, None],
        since_s=np.zeros(1),
        closed=np.searchsorted(origins + lead, origins, side="right")[None],
    )
    verdict = judge(Learned.together((learned,), leads=1), said, trial, history.domain.offset)
    judged = replace(learned, losses=verdict.losses[..., 0], count=verdict.count[..., 0])
    return judged, mixture.exceedance(came, verdict.watched)


def _history(panel: Panel, domain: Domain, *, every: int, end_s: float, calendar: Calendar) -> History:
    """The views from every so many bins, the last of them from the end."""
    origins = np.arange(panel.size, 0, -every, dtype=np.int64)[::-1]
    # Only from where a present level is known.
    origins = origins[~np.isnan(present_level(panel, origins))]
    if origins.size < _FEWEST:
        raise FitFailed(f"gaps leave {origins.size} origins to look back from; {_FEWEST} are the least")
    origins = origins[None, :, None]
    wall = Wall.of(np.array([end_s]), (panel.size - origins) * panel.step_s, calendar)
    back = wall.back(panel.step_s)
    places = back.places(origins - back.lags(panel.step_s))
    views = Views.at(Sight(panel, origins, panel, places, wall))
    known = panel.logs[~np.isnan(panel.logs)]
    return History(views, domain, blocks_of(panel), np.array((known.min(), known.max() + BEYOND)))
