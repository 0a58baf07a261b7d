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
_KNOWN_SHARE = 0.7


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
        peaks: The same of the highest value from the next step to the lead, against the highest of
            the curve there plus what is left of the deviation at the lead, shape (q, k).
        widest: The range of the whole history; no extrapolated error exceeds it,
            unless an error did that was made.
    """

    leads: Floats
    kept: Floats
    errors: Floats
    peaks: Floats
    widest: float

    def __post_init__(self) -> None:
        arrays = (self.leads, self.kept, self.errors, self.peaks)
        shapes = tuple(array.shape for array in arrays)
        count = self.leads.size
        table = (len(_LEVELS), count)
        if not count or shapes != ((count,), (count,), table, table):
            raise ValueError(
                f"leads, kept, errors, peaks: shapes {shapes}; must be (k,), (k,), {table} twice"
            )
        if not all(np.isfinite(array).all() for array in arrays):
            raise ValueError("leads, kept, errors or peaks: not finite")

    @classmethod
    def measure(
        cls,
        deviation: Floats,
        present: Floats,
        *,
        curve: Floats | None = None,
        longest: int,
        kept: float | None,
        widest: float,
    ) -> Self:
        """Predict from every origin in the past, and keep the quantiles of the errors.

        The deviation at origin + lead is predicted as a share of the present one.

        Args:
            deviation: Value minus curve of each bin, NaN where either is unknown, shape (n,).
            present: What a forecast from the end of each bin takes for the present
                deviation, NaN where there is none, shape (n,).
            curve: The curve at each bin, NaN where it is unknown, shape (n,); None is no curve.
            longest: The longest lead to measure, in steps; leads are spaced geometrically.
            kept: The share of the deviation that stays at every lead. None: by least
                squares for each lead, within [0, 1] and never growing with it.
            widest: As in the class.

        Raises:
            FitFailed: Gaps leave fewer than a handful of errors at every lead.
        """
        asked = np.unique(np.geomspace(1, max(longest, 1), _LEADS).round().astype(np.int64))
        highest = _Highest(deviation, np.zeros_like(deviation) if curve is None else curve)
        leads, shares, errors, peaks = [], [], [], []
        share = 1.0
        for lead in asked:
            origins = _spaced(deviation.size - int(lead))
            before, after = present[origins], deviation[origins + lead]
            both = ~(np.isnan(before) | np.isnan(after))
            before, after = before[both], after[both]
            if before.size < _FEWEST:
                continue  # where every other bin is unknown, odd leads have no pairs
            share = min(share, _least_squares(before, after)) if kept is None else kept
            leads.append(float(lead))
            shares.append(share)
            errors.append(_quantiles(after - share * before))
            over = highest.rise(origins[both], int(lead)) - share * before
            over = over[~np.isnan(over)]
            # A peak that no window shows is at least what the last step may be.
            peaks.append(np.maximum(_quantiles(over), errors[-1]) if over.size >= _FEWEST else errors[-1])
        if not leads:
            raise FitFailed(f"gaps leave fewer than {_FEWEST} past errors to measure")
        return cls(np.array(leads), np.array(shares), np.array(errors).T, np.array(peaks).T, widest)

    def share_kept(self, leads: Floats) -> Floats:
        """Share of the present deviation left at `leads` [steps], shape (h,)."""
        share: Floats = np.interp(leads, self.leads, self.kept)
        return share

    def quantiles(self, leads: Floats, levels: Sequence[float]) -> Floats:
        """Quantiles of the error at `leads` [steps], shape (q, h); not falling with the level."""
        return self._picked(self.errors, leads, levels)

    def peak_quantiles(self, leads: Floats, levels: Sequence[float]) -> Floats:
        """Quantiles of the error of the highest value until `leads` [steps], shape (q, h)."""
        return self._picked(self.peaks, leads, levels)

    def _picked(self, errors: Floats, leads: Floats, levels: Sequence[float]) -> Floats:
        """A table of quantiles by measured lead, at any leads and levels.

        Beyond the longest lead measured, errors grow with the root of the lead, as
        those of a random walk, until they reach `widest`. Beyond the outermost
        levels measured, the outermost holds.
        """
        place = np.interp(leads, self.leads, np.arange(self.leads.size))
        below = np.minimum(place.astype(np.int64), self.leads.size - 1)
        above = np.minimum(below + 1, self.leads.size - 1)
        share = place - below
        table = errors[:, below] * (1 - share) + errors[:, above] * share
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


class _Highest:
    """How far the highest value of the coming steps lies above the highest of the curve there."""

    def __init__(self, deviation: Floats, curve: Floats) -> None:
        known = ~(np.isnan(deviation) | np.isnan(curve))
        self._counts = np.concatenate(([0], np.cumsum(known)))
        # By power of two: maxima over that many bins from each bin on, of values and curve.
        self._tops = [np.where(known, np.stack((deviation + curve, curve)), -np.inf)]

    def rise(self, origins: "np.ndarray[tuple[int], np.dtype[np.int64]]", lead: int) -> Floats:
        """For the `lead` bins after each origin; NaN where too few of them are known."""
        power = lead.bit_length() - 1
        while len(self._tops) <= power:
            last, half = self._tops[-1], 1 << (len(self._tops) - 1)
            self._tops.append(np.maximum(last[:, :-half], last[:, half:]))
        tops, first = self._tops[power], origins + 1
        values, curve = np.maximum(tops[:, first], tops[:, first + lead - (1 << power)])
        enough = self._counts[first + lead] - self._counts[first] >= _KNOWN_SHARE * lead
        return np.where(enough, values - np.where(enough, curve, 0.0), np.nan)


def _quantiles(missed: Floats) -> Floats:
    """Quantiles of errors at the levels of this module."""
    if missed.size < _ONE_SIDED:
        # Too few to tell up from down: ten minutes that fell do not rule out a rise.
        missed = np.concatenate((missed, -missed))
    table: Floats = np.quantile(missed, _LEVELS)
    return table


def _spaced(count: int) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Origins 0 to count - 1, thinned evenly to what a quantile needs."""
    if count <= _ORIGINS:
        return np.arange(max(count, 0))
    return np.linspace(0, count - 1, _ORIGINS).astype(np.int64)


def _least_squares(before: Floats, after: Floats) -> float:
    """The share of `before` that is best left of it in `after`, in [0, 1]; 0 if it never deviated."""
    square = float(before @ before)
    return min(max(float(before @ after) / square, 0.0), 1.0) if square > 0 else 0.0
