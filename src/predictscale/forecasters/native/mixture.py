"""Who is believed how much, and by how much the mixture was off: both online, both forgetting.

Experts are weighed by the inverse of a high power of their discounted pinball loss
(half-life a day), the median and the upper quantiles each by their own. What
the mixture then says is widened or narrowed, level by level, by how often it was
exceeded. A loss counts from the moment its window has closed, never earlier.
"""

import numpy as np

from predictscale.core.series import Floats
from predictscale.forecasters.base import LEVELS

TABLE = (0.01, *LEVELS, 0.999)
"""Levels at which errors are kept; beyond the outermost nothing is extrapolated."""

MIDDLE = TABLE.index(0.5)

JUDGED = (TABLE.index(0.5), TABLE.index(0.9), TABLE.index(0.975))
"""Columns whose pinball loss is followed."""

GROUPS = (slice(TABLE.index(0.8)), slice(TABLE.index(0.8), TABLE.index(0.95)), slice(TABLE.index(0.95), None))
"""The columns that each of `JUDGED` speaks for: who knows the middle need not know the tail."""

GUARDED = (0.9, 0.95, 0.99)
_GUARDED = tuple(TABLE.index(level) for level in GUARDED)

_DOUBLINGS = 4
"""How often the power of the inverse loss is doubled: to the 16th."""

DUEL = 5
"""The same where the last value stands against the whole mixture: of two, the better is nearly all."""

_RATE = 0.12
_MOST = float(np.log(4.0))
_PRIOR = 0.05


def pinball(came: Floats, said: Floats, levels: Floats) -> Floats:
    """The quantile loss of saying `said` at `levels` when `came` came, elementwise."""
    off = came - said
    loss: Floats = np.maximum(levels * off, (levels - 1.0) * off)
    return loss


def weights(losses: Floats, *, doublings: int = _DOUBLINGS) -> Floats:
    """Weights (..., e) that sum to 1, from discounted mean losses (..., e), all above 0."""
    merit = losses.min(axis=-1, keepdims=True) / losses
    for _ in range(doublings):
        merit = merit * merit
    share: Floats = merit / merit.sum(axis=-1, keepdims=True)
    return share


def mix(locations: Floats, scales: Floats, errors: Floats, plain: Floats, share: Floats) -> Floats:
    """The mixture's quantiles.

    Args:
        locations: Of each expert, shape (n, e).
        scales: Of each expert's error, shape (n, e).
        errors: Quantiles of each expert's error over its scale, at `TABLE`, shape (e, q).
        plain: Quantiles of the experts that need no scale, at `TABLE`, shape (n, r, q).
        share: Weights of each expert for each of `GROUPS`, shape (n, j, e + r).

    Returns:
        Shape (n, q), not falling with the level.
    """
    parts = [
        _mixed(locations, scales, errors[:, group], plain[:, :, group], share[:, place])
        for place, group in enumerate(GROUPS)
    ]
    table: Floats = np.maximum.accumulate(np.concatenate(parts, axis=1), axis=1)
    return table


def between(table: Floats, other: Floats, share: Floats) -> Floats:
    """A table (n, q), moved to another by a share for each of `GROUPS`, (n, j)."""
    part = np.repeat(share, [len(range(*group.indices(table.shape[1]))) for group in GROUPS], axis=1)
    moved: Floats = np.maximum.accumulate(table * (1 - part) + other * part, axis=1)
    return moved


def _mixed(locations: Floats, scales: Floats, errors: Floats, plain: Floats, share: Floats) -> Floats:
    count = locations.shape[1]
    scaled = share[:, :count]
    table: Floats = (scaled * locations).sum(axis=1)[:, None] + (scaled * scales) @ errors
    for place in range(plain.shape[1]):
        table = table + share[:, count + place, None] * plain[:, place]
    return table


def exceedance(came: Floats, table: Floats) -> Floats:
    """How far above the median it came, in spacings of each guarded level, shape (n, g)."""
    middle = table[:, MIDDLE, None]
    spacing = np.maximum(table[:, _GUARDED] - middle, 1e-9)
    ratio: Floats = (came[:, None] - middle) / spacing
    return ratio


def follow(logs: Floats, ratios: Floats) -> Floats:
    """Move the log factors of the spacings by each coverage error, in order of time.

    Adaptive conformal inference (Gibbs and Candès 2021) on the spacing.

    Args:
        logs: Where to start, shape (k, g).
        ratios: See `exceedance`; a NaN moves nothing; shape (n, k, g).

    Returns:
        The log factors after the last ratio, shape (k, g).
    """
    miss = 1.0 - np.asarray(GUARDED)
    known = ~np.isnan(ratios)
    for row, seen in zip(ratios, known, strict=True):
        exceeded = row > np.exp(logs)
        logs = np.clip(logs + np.where(seen, _RATE * (exceeded - miss), 0.0), -_MOST, _MOST)
    return logs


def widen(table: Floats, logs: Floats) -> Floats:
    """The quantiles (n, q) with the spacing above the median scaled by the log factors (n, g)."""
    spots = np.array((MIDDLE, *_GUARDED), dtype=np.float64)
    place = np.arange(MIDDLE, table.shape[1], dtype=np.float64)
    factors = np.exp(np.stack([np.interp(place, spots, np.concatenate(([0.0], row))) for row in logs]))
    middle = table[:, MIDDLE, None]
    above = middle + (table[:, MIDDLE:] - middle) * factors
    wide: Floats = np.concatenate((table[:, :MIDDLE], above), axis=1)
    return np.maximum.accumulate(wide, axis=1)
