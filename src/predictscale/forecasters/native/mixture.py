"""Who is believed how much, and by how much the mixture was off: both online, both forgetting.

Experts are weighed by the inverse of a high power of their discounted pinball loss
(half-life a day), the median and the upper quantiles each by their own. What
the mixture then says is widened or narrowed, level by level, by how often it was
exceeded. A loss counts from the moment its window has closed, never earlier.
Refuses to compute levels that nobody asks for: of the past only `WATCHED` are looked at.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from predictscale.core.series import Floats
from predictscale.forecasters.base import LEVELS
from predictscale.forecasters.native.rows import added

TABLE = (0.01, *LEVELS, 0.999)
"""Levels at which errors are kept; beyond the outermost nothing is extrapolated."""

ALL = tuple(range(len(TABLE)))
"""Places of all levels in `TABLE`."""

MIDDLE = TABLE.index(0.5)

JUDGED = (TABLE.index(0.5), TABLE.index(0.9), TABLE.index(0.975))
"""Places of the levels whose pinball loss is followed."""

GROUPS = (
    range(TABLE.index(0.8)),
    range(TABLE.index(0.8), TABLE.index(0.95)),
    range(TABLE.index(0.95), len(TABLE)),
)
"""The levels that each of `JUDGED` speaks for: who knows the middle need not know the tail."""

GUARDED = (0.9, 0.95, 0.99)
_GUARDED = tuple(TABLE.index(level) for level in GUARDED)

WATCHED = tuple(sorted({MIDDLE, *JUDGED, *_GUARDED, *(group[-1] for group in GROUPS[:-1])}))
"""Places of the levels that tell how the mixture did. The highest of each group is among them:
levels of one group never cross, so it is all that the next group may not fall below."""

_DOUBLINGS = 4
"""How often the power of the inverse loss is doubled: to the 16th."""

DUEL = 5
"""The same where the last value stands against the whole mixture: of two, the better is nearly all."""

_RATE = 0.12
_MOST = float(np.log(4.0))


def pinball(came: Floats, said: Floats, levels: Floats) -> Floats:
    """The quantile loss of saying `said` at `levels` when `came` came, elementwise."""
    off = came - said
    loss: Floats = np.maximum(levels * off, (levels - 1.0) * off)
    return loss


def weights(losses: Floats, *, doublings: int = _DOUBLINGS) -> Floats:
    """Weights (j, e, ...) that sum to 1 over e, from discounted mean losses (j, e, ...), all above 0."""
    merit: Floats = losses.min(axis=1, keepdims=True) / losses
    for _ in range(doublings):
        merit *= merit
    merit /= added(merit.swapaxes(0, 1))[:, None]
    return merit


def mix(
    locations: Floats,
    scales: Floats,
    errors: Floats,
    plain: Floats,
    *,
    share: Floats,
    places: Sequence[int],
) -> Floats:
    """The mixture's quantiles.

    Args:
        locations: Of each expert, shape (e, ...).
        scales: Of each expert's error, shape (e, ...).
        errors: Quantiles of each expert's error over its scale, at `TABLE`, shape (e, q, ...).
        plain: Quantiles of the experts that need no scale, shape (r, c, ...).
        share: Weights of each expert for each of `GROUPS`, shape (j, e + r, ...).
        places: Which c of the levels.

    Returns:
        Shape (c, ...), not falling with the level.
    """
    count = locations.shape[0]
    middle = added((share[:, :count] * locations).swapaxes(0, 1))
    spread = share[:, :count] * scales
    table = np.empty((len(places), *locations.shape[1:]))
    for group, (own, rows) in enumerate(_grouped(places)):
        part = table[rows]
        part[:] = middle[group]
        for expert in range(count):
            part += spread[group, expert] * errors[expert, own]
        for place in range(plain.shape[0]):
            part += share[group, count + place] * plain[place, rows]
    return ascending(table)


def between(table: Floats, other: Floats, share: Floats, places: Sequence[int]) -> Floats:
    """A table (c, ...), moved to another by a share for each of `GROUPS`, (j, ...)."""
    moved = np.empty_like(table)
    for group, (_, rows) in enumerate(_grouped(places)):
        moved[rows] = table[rows] * (1 - share[group]) + other[rows] * share[group]
    return ascending(moved)


def ascending(table: Floats) -> Floats:
    """The table (c, ...) itself, each row raised to the one before."""
    for lower, row in pairwise(table):
        np.maximum(lower, row, out=row)
    return table


def agreed(table: Floats) -> Floats:
    """The table of values and peaks (c, 2, ...) itself, in which no value lies above its peak.

    A peak is at least as high as each value around it is, at each level. Where what is said of
    the two contradicts that, nobody knows which is wrong, and both give way alike; peaks that were raised to
    the values were exceeded too seldom.
    """
    over = table[:, 0] - table[:, 1]
    np.maximum(over, 0.0, out=over)
    over *= 0.5
    table[:, 0] -= over
    table[:, 1] += over
    return table


def _grouped(places: Sequence[int]) -> list[tuple[slice | list[int], slice]]:
    """For each of `GROUPS`: its levels in `TABLE`, and their rows among `places`."""
    found: list[tuple[slice | list[int], slice]] = []
    for group in GROUPS:
        own = [place for place in places if place in group]
        first = places.index(own[0])
        whole = len(own) == len(group)
        found.append((slice(own[0], own[-1] + 1) if whole else own, slice(first, first + len(own))))
    return found


def exceedance(came: Floats, table: Floats) -> Floats:
    """How far above the median it came, in spacings of each guarded level, shape (g, ...).

    Args:
        came: Shape (...).
        table: At `WATCHED`, shape (c, ...).
    """
    middle = table[WATCHED.index(MIDDLE)]
    spacing = np.stack([table[WATCHED.index(place)] for place in _GUARDED]) - middle
    ratio: Floats = (came - middle) / np.maximum(spacing, 1e-9)
    return ratio


def follow(logs: Floats, ratios: Floats) -> Floats:
    """Move the log factors of the spacings by each coverage error, in order of time.

    Adaptive conformal inference (Gibbs and Candès 2021) on the spacing.

    Args:
        logs: Where to start, shape (g, ...).
        ratios: See `exceedance`, the oldest first; a NaN moves nothing; shape (n, g, ...).

    Returns:
        The log factors after the last ratio, shape (g, ...).
    """
    miss = (1.0 - np.asarray(GUARDED)).reshape(-1, *[1] * (logs.ndim - 1))
    known = ~np.isnan(ratios)
    for row, seen in zip(ratios, known, strict=True):
        exceeded = row > np.exp(logs)
        logs = logs + np.where(seen, _RATE * (exceeded - miss), 0.0)
        logs = np.minimum(np.maximum(logs, -_MOST), _MOST)
    return logs


def widen(table: Floats, logs: Floats) -> Floats:
    """The quantiles (q, ...) with the spacing above the median scaled by the log factors (g, ...).

    Between two guarded levels the log factor is between theirs, beyond the last it is the last.
    """
    spots = (MIDDLE, *_GUARDED)
    wide = table.copy()
    for place in range(MIDDLE + 1, len(TABLE)):
        upper = next((i for i, spot in enumerate(spots) if spot >= place), len(spots) - 1)
        part = min(1.0, (place - spots[upper - 1]) / (spots[upper] - spots[upper - 1]))
        # The median's own factor is 1.
        log = part * logs[upper - 1] + ((1 - part) * logs[upper - 2] if upper > 1 else 0.0)
        wide[place] = table[MIDDLE] + (table[place] - table[MIDDLE]) * np.exp(log)
    return ascending(wide)
