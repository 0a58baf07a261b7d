"""How wrong a way to forecast was, lead by lead, on the history it can see.

Quantiles come from errors that were made, not from a formula: for each of some
leads, what was predicted from every past origin is compared with what came.
Refuses a bell curve.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from predictscale.core.series import Floats
from predictscale.errors import FitFailed
from predictscale.forecasters.base import LEVELS

_LEVELS = (0.001, 0.01, *LEVELS, 0.999)
_LEADS = 14
_ORIGINS = 4000
_FEWEST = 5
_ONE_SIDED = 60


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Errors by lead, and how much of the present deviation is left by then.

    All in roots of the demand's unit.

    Args:
        leads: Leads that were measured, in steps, ascending, shape (k,).
        kept: Share of the present deviation from the curve that is left at each lead,
            in [0, 1], shape (k,).
        errors: Quantiles of the error, what came minus what was predicted,
            at the levels of this module, shape (q, k).
        widest: The range of the whole history; no extrapolated error exceeds it,
            unless an error did that was made.
    """

    leads: Floats
    kept: Floats
    errors: Floats
    widest: float

    def __post_init__(self) -> None:
        shapes = (self.leads.shape, self.kept.shape, self.errors.shape)
        count = self.leads.size
        if not count or shapes != ((count,), (count,), (len(_LEVELS), count)):
            raise ValueError(f"leads, kept, errors: shapes {shapes}; must be (k,), (k,), ({len(_LEVELS)}, k)")
        if not all(np.isfinite(a).all() for a in (self.leads, self.kept, self.errors)):
            raise ValueError("leads, kept or errors: not finite")

    @classmethod
    def measure(
        cls, deviation: Floats, present: Floats, *, longest: int, kept: float | None, widest: float
    ) -> Self:
        """Predict from every origin in the past, and keep the quantiles of the errors.

        The deviation at origin + lead is predicted as a share of the present one.

        Args:
            deviation: Value minus curve of each bin, NaN where either is unknown, shape (n,).
            present: What a forecast from the end of each bin takes for the present
                deviation, NaN where there is none, shape (n,).
            longest: The longest lead to measure, in steps; leads are spaced geometrically.
            kept: The share of the deviation that stays at every lead. None: by least
                squares for each lead, within [0, 1] and never growing with it.
            widest: As in the class.

        Raises:
            FitFailed: Gaps leave fewer than a handful of errors at every lead.
        """
        asked = np.unique(np.geomspace(1, max(longest, 1), _LEADS).round().astype(np.int64))
        leads, shares, errors = [], [], []
        share = 1.0
        for lead in asked:
            origins = _spaced(deviation.size - int(lead))
            before, after = present[origins], deviation[origins + lead]
            both = ~(np.isnan(before) | np.isnan(after))
            before, after = before[both], after[both]
            if before.size < _FEWEST:
                continue  # where every other bin is unknown, odd leads have no pairs
            share = min(share, _least_squares(before, after)) if kept is None else kept
            missed = after - share * before
            if missed.size < _ONE_SIDED:
                # Too few to tell up from down: ten minutes that fell do not rule out a rise.
                missed = np.concatenate((missed, -missed))
            leads.append(float(lead))
            shares.append(share)
            errors.append(np.quantile(missed, _LEVELS))
        if not leads:
            raise FitFailed(f"gaps leave fewer than {_FEWEST} past errors to measure")
        return cls(np.array(leads), np.array(shares), np.array(errors).T, widest)

    def share_kept(self, leads: Floats) -> Floats:
        """Share of the present deviation left at `leads` [steps], shape (h,)."""
        share: Floats = np.interp(leads, self.leads, self.kept)
        return share

    def quantiles(self, leads: Floats, levels: Sequence[float]) -> Floats:
        """Quantiles of the error at `leads` [steps], shape (q, h); not falling with the level.

        Beyond the longest lead measured, errors grow with the root of the lead, as
        those of a random walk, until they reach `widest`. Beyond the outermost
        levels measured, the outermost holds.
        """
        place = np.interp(leads, self.leads, np.arange(self.leads.size))
        below = np.minimum(place.astype(np.int64), self.leads.size - 1)
        above = np.minimum(below + 1, self.leads.size - 1)
        share = place - below
        table = self.errors[:, below] * (1 - share) + self.errors[:, above] * share
        growth = np.sqrt(np.maximum(leads / self.leads[-1], 1.0))
        if growth.size and growth[-1] > 1:
            bound = np.maximum(np.abs(table), self.widest)
            table = np.clip(table * growth, -bound, bound)
        if tuple(levels) == LEVELS:
            return table[2:-1]
        at = np.interp(levels, _LEVELS, np.arange(len(_LEVELS)))
        low = at.astype(np.int64)
        high = np.minimum(low + 1, len(_LEVELS) - 1)
        part = (at - low)[:, None]
        picked: Floats = table[low] * (1 - part) + table[high] * part
        return picked


def _spaced(count: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Origins 0 to count - 1, thinned evenly to what a quantile needs."""
    if count <= _ORIGINS:
        return np.arange(max(count, 0))
    return np.linspace(0, count - 1, _ORIGINS).astype(np.int64)


def _least_squares(before: Floats, after: Floats) -> float:
    """The share of `before` that is best left of it in `after`, in [0, 1]; 0 if it never deviated."""
    square = float(before @ before)
    return min(max(float(before @ after) / square, 0.0), 1.0) if square > 0 else 0.0
