"""The forecaster `boosted`: the engine, and trees for the peaks.

Trees know what no weighted mean knows: jumps at a minute of the hour, teeth of a saw, days that are one
of two kinds. They pay for it with seconds of fit and days of history. Refuses to stand alone: the engine
is fitted with them, and values are its, but for upper quantiles that the trees say no peak reaches.
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import ClassVar

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats, MetricWindow
from predictscale.forecasters.boosted.duel import duel
from predictscale.forecasters.boosted.features import Views
from predictscale.forecasters.boosted.fitted import BoostedFitted
from predictscale.forecasters.boosted.grow import library
from predictscale.forecasters.boosted.learn import LEAST_ROWS, Foretold, learn, parts_of
from predictscale.forecasters.boosted.sight import Scale, along
from predictscale.forecasters.native import Native
from predictscale.forecasters.native.panel import bins
from predictscale.forecasters.robust import BELIEVED, DAY_S, highest, require

_LEAST_S = 3 * DAY_S
_LEAST_BINS = 3 * LEAST_ROWS
_LONGEST_S = 28 * DAY_S
_LEADS_S = (300.0, 600.0, 1800.0)
_EVERY_S = 300.0
_ROWS = 8100
_GOLDEN = (5.0**0.5 - 1) / 2
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Boosted:
    """The engine's values, and peaks on which boosted trees have a say.

    Args:
        calendar: Whose clock and holidays the trees read.
    """

    name: ClassVar[str] = "boosted"
    slow: ClassVar[bool] = True

    calendar: Calendar = Calendar()

    def needs_s(self, step_s: float) -> float:
        """Three days, and bins enough to deal into three parts."""
        return max(_LEAST_S, _LEAST_BINS * step_s)

    def fit(self, window: MetricWindow) -> BoostedFitted:
        """Learn from up to four weeks. See `Forecaster.fit`.

        Raises:
            NotEnoughHistory: Less than three days are known.
            FitFailed: LightGBM is missing or failed, or gaps leave too little.
        """
        require(window, self.needs_s(window.step_s))
        library()
        window = window.last(_LONGEST_S)
        step_s, size = window.step_s, len(window)
        offset, top = _scale_of(window.values)
        scale = Scale(offset, top, step_s)
        end_s = (window.end - _EPOCH).total_seconds()
        every = _every(size, step_s)
        views = Views.at(along(window.values, scale, end_s=end_s, every=every, calendar=self.calendar))
        origins = views.sight.origins[:, 0]
        parts = parts_of(((size - origins) * step_s // DAY_S).astype(np.int64), int(size * step_s // DAY_S))
        leads = sorted({bins(lead_s, step_s) for lead_s in _LEADS_S})
        learned = [learn(views, lead, parts) for lead in leads]
        newest = parts == 0
        engine = Native(calendar=self.calendar)
        verdicts = duel(
            window,
            scale,
            origins=origins[newest],
            base=views.base[newest, 0],
            foretold=[Foretold(told.came[newest], told.table[:, newest]) for _, told in learned],
            leads=leads,
            engine=engine,
        )
        heads = tuple(
            replace(head, share=verdict.share, alike=verdict.alike)
            for (head, _), verdict in zip(learned, verdicts, strict=True)
        )
        return BoostedFitted(self.name, engine.fit(window), offset, top, heads, self.calendar)


def _scale_of(values: Floats) -> tuple[float, float]:
    """What these values are counted in, and how much is believed, in their own unit."""
    high = highest(values)
    mean = float(np.nanmean(np.minimum(values, high)))
    # Of nothing but zeros any scale tells the same.
    return mean or 1.0, BELIEVED * high or 1.0


def _every(size: int, step_s: float) -> float:
    """Bins between origins: about five minutes, and in step with nothing, so that no minute is never seen."""
    every = max(_EVERY_S / step_s, size / _ROWS)
    return every + _GOLDEN if every > 1.0 else 1.0
