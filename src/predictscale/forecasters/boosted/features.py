"""What trees are asked about, as logs relative to the present level, and what came.

The present, what it was, how it moves, and what followed the same time of day and week
then. All are differences of logs but for the level, so a tree that has learned one Monday's
jump knows it at another level. Refuses look-ahead: features read bins before their origin, only
`growth` reads what came. NaN means unknown, and trees know what to do with it.
"""

from typing import NamedTuple

import numpy as np

from predictscale.core.series import Floats
from predictscale.forecasters.boosted.sight import AROUND_S, Sight
from predictscale.forecasters.native.rows import mean
from predictscale.forecasters.robust import DAY_S

PRESENT_S = 180.0
"""The present level is the mean over so long."""

_MEANS_S = (60.0, 600.0, 1800.0, 7200.0, 28_800.0, DAY_S)
_TOPS_S = (600.0, 3600.0)
_MOVES_S = (1800.0, 14_400.0)
_AGO_S = (120.0, 300.0, 900.0, 1800.0, 3600.0)
_TURNS_S = (DAY_S, 3600.0, 1800.0, 600.0)
_LEAST_MOVE = 1e-3


class Views(NamedTuple):
    """What no lead changes.

    Args:
        sight: Where it was read.
        base: The present level, shape (n, b); NaN where it is unknown.
        levels: The levels then, shape (d, n, b).
        shared: Features, each of shape (n, b).
    """

    sight: Sight
    base: Floats
    levels: Floats
    shared: tuple[Floats, ...]

    @classmethod
    def at(cls, sight: Sight) -> "Views":
        """Look from there."""
        panel, origins = sight.panel, sight.origins
        base = panel.before(origins, panel.bins(PRESENT_S))
        levels = panel.before(sight.places, panel.bins(PRESENT_S))
        ago = [panel.at(origins - 1 - panel.bins(ago_s)) for ago_s in _AGO_S]
        means = [panel.before(origins, panel.bins(mean_s)) for mean_s in _MEANS_S]
        tops = [panel.peak(origins - panel.bins(top_s), panel.bins(top_s)) for top_s in _TOPS_S]
        moves = panel.movements(origins, lag=1, bins=tuple(panel.bins(move_s) for move_s in _MOVES_S))
        shared = (
            *(level - base for level in (*means, *tops, *ago, *levels)),
            *(np.log(move + _LEAST_MOVE) for move in moves),
            base,
            sight.day,
            *(sight.local_s % turn_s for turn_s in _TURNS_S),
        )
        return cls(sight, base, levels, shared)

    def towards(self, lead: int) -> Floats:
        """All features for a lead in bins, one row for each origin, shape (n * b, p).

        In single precision, at the fit as at the forecast: a threshold lies between two values of it.
        """
        panel, places = self.sight.panel, self.sight.places
        around = panel.bins(AROUND_S)
        then = panel.peak(places, lead) - self.levels
        wide = panel.peak(places - around, lead + 2 * around) - self.base
        columns = (*self.shared, *then, *wide, mean(then), np.fmax.reduce(then, axis=0))
        table: Floats = np.stack([column.ravel() for column in columns], axis=1).astype(np.float32)
        return table

    def growth(self, lead: int) -> Floats:
        """What came: the log of the peak over the lead minus the present level, shape (n, b)."""
        return self.sight.panel.peak(self.sight.origins, lead) - self.base
