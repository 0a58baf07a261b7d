"""What is learned of one lead: where the peak will lie, how far off that is, and by which quantiles.

Days are dealt into three parts, and each part is foretold by trees that saw the other two.
The newest days are a part of their own, foretold by the past alone. So errors are as large as those to come,
and the trees that made them are the trees that serve: their mean. Refuses errors on rows that were
learned from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictscale.core.series import Floats
from predictscale.errors import FitFailed
from predictscale.forecasters.boosted.features import Views
from predictscale.forecasters.boosted.forest import Forest
from predictscale.forecasters.boosted.grow import Rows, Size
from predictscale.forecasters.boosted.sight import LAGS_S
from predictscale.forecasters.native import mixture
from predictscale.forecasters.native.panel import Indices, bins
from predictscale.forecasters.robust import DAY_S

Mask = NDArray[np.bool_]

NEWEST_DAYS = 3
"""So many days are foretold by the past alone, at most a third of them."""

SETTLED_S = 4 * DAY_S
"""Spacings are what they have become after so long."""

LEAST_ROWS = 48
"""So few known windows are too few to learn from."""

_LOCATION = Size(trees=80, depth=5, least_rows=15)
_SCALE = Size(trees=30, depth=3, least_rows=25)
_PARTS = 3
_JUDGED_S = 3 * DAY_S
_FLOOR = 0.25
_LEAST_ERROR = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What was learned of the peak over one lead. Logs are relative to the present level.

    Args:
        lead: In bins.
        location: Says where the log of the peak lies.
        scale: Says the log of how far off that is.
        bounds: Between these two the log scale is believed, shape (2,).
        errors: Quantiles of error over scale at `mixture.TABLE`, shape (q,).
        spacing: Log factors of the spacings of `mixture.GUARDED`, shape (g,).
        share: The trees' share in what is said, for each of `mixture.GROUPS`, shape (j,).
        alike: How alike trees and engine err, from 0 to 1.
    """

    lead: int
    location: Forest
    scale: Forest
    bounds: Floats
    errors: Floats
    spacing: Floats
    share: Floats
    alike: float

    def say(self, rows: Floats) -> Floats:
        """Quantiles at `mixture.TABLE` of the log of the peak minus the present level, shape (q, n).

        Args:
            rows: Features for this lead, shape (n, p).
        """
        scale = np.exp(np.clip(self.scale.say(rows), self.bounds[0], self.bounds[1]))
        said: Floats = self.location.say(rows) + self.errors[:, None] * scale
        return said


class Foretold(NamedTuple):
    """What was said of past origins by trees that had not seen what came.

    Args:
        came: Growth, shape (n,); NaN where unknown.
        table: Quantiles of it at `mixture.TABLE`, shape (q, n).
    """

    came: Floats
    table: Floats


def parts_of(ages: Indices, days: int) -> Indices:
    """Which part each origin belongs to, 0 being the newest days; shape as `ages`.

    Args:
        ages: Whole days from each origin to the end.
        days: How many there are.
    """
    newest = max(1, min(NEWEST_DAYS, days // _PARTS))
    return np.where(ages < newest, 0, 1 + (ages - newest) % (_PARTS - 1))


def seen_by(parts: Indices, origins: Indices, lead: int) -> list[Mask]:
    """From which origins the trees of each part learn: those whose windows lie outside of it.

    Args:
        parts: See `parts_of`, shape (n,).
        origins: Ascending, in bins, shape (n,).
        lead: In bins.
    """
    ends = np.minimum(np.searchsorted(origins, origins + lead), origins.size - 1)
    return [(parts != part) & (parts[ends] != part) for part in range(_PARTS)]


def judged_from(size: int, step_s: float) -> int:
    """The origin, in bins, after which errors tell of those to come.

    Who could not look back a day or a week erred as nobody will who can. So as much is left out as
    leaves a few older days, the first day at least.

    Args:
        size: Of the history, in bins.
        step_s: Width of a bin [s].
    """
    older_s = size * step_s - NEWEST_DAYS * DAY_S
    lag_s = max((lag_s for lag_s in LAGS_S if older_s - lag_s >= _JUDGED_S), default=DAY_S)
    return bins(lag_s, step_s)


def learn(views: Views, lead: int, parts: Indices) -> tuple[Head, Foretold]:
    """Grow the trees of one lead.

    Args:
        views: From n origins of one history.
        lead: In bins.
        parts: See `parts_of`, shape (n,).

    Raises:
        FitFailed: Gaps leave too little, or the library failed.
    """
    step_s = views.sight.panel.step_s
    came = views.growth(lead).ravel()
    known = ~np.isnan(came)
    seen = [known & those for those in seen_by(parts, views.sight.origins[:, 0], lead)]
    if min(int(those.sum()) for those in seen) < LEAST_ROWS:
        raise FitFailed(f"{int(known.sum())} known windows of {lead} bins; too few to learn from")
    rows = Rows(views.towards(lead))
    located, location = _foretell(rows, came, seen, parts, _LOCATION)
    missed = came - location
    sizes = np.abs(missed)
    logs = np.log(sizes + _FLOOR * sizes[known].mean() + _LEAST_ERROR)
    scaled, scale = _foretell(rows, logs, seen, parts, _SCALE)
    judged = known & (views.sight.origins[:, 0] > judged_from(views.sight.panel.size, step_s))
    if not (judged & (parts != 0)).any():
        raise FitFailed(f"gaps leave no windows of {lead} bins to judge by")
    bounds = np.array((np.quantile(logs[judged], 0.02), logs[judged].max()))
    scale = np.exp(np.clip(scale, *bounds))
    ratios = missed / scale
    head = Head(
        lead=lead,
        location=located,
        scale=scaled,
        bounds=bounds,
        errors=np.quantile(ratios[judged], mixture.TABLE),
        spacing=np.zeros(len(mixture.GUARDED)),
        share=np.full(len(mixture.GROUPS), 0.5),
        alike=1.0,
    )
    # The newest part is judged by errors of the older ones.
    before = np.quantile(ratios[judged & (parts != 0)], mixture.TABLE)
    table = location + np.where(parts == 0, before[:, None], head.errors[:, None]) * scale
    settled = views.sight.origins[:, 0] > views.sight.panel.size - views.sight.panel.bins(SETTLED_S)
    ratios = mixture.exceedance(came[settled], table[list(mixture.WATCHED)][:, settled])
    return replace(head, spacing=mixture.follow(head.spacing, ratios.T)), Foretold(came, table)


def _foretell(
    rows: Rows, targets: Floats, seen: Sequence[Mask], parts: Indices, size: Size
) -> tuple[Forest, Floats]:
    """The mean of the parts' forests, and what each part's own said of it, shape (n,)."""
    said = np.zeros(targets.size)
    forests = []
    for part, those in enumerate(seen):
        forest, told = rows.grow(targets, those, size)
        forests.append(forest)
        said[parts == part] = told[parts == part]
    return Forest.mean(forests), said
