"""Sums over a first axis, always in the same order.

Arrays of the engine carry what is added or chosen among (features, experts, days)
on the first axis and where it was looked from on the others, workloads last. A library
is free to add in another order when a shape changes; then a workload's forecast
would depend on which others are computed beside it. Refuses that freedom.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from predictscale.core.series import Floats


def added(rows: Iterable[Floats]) -> Floats:
    """The rows added from the first to the last, shape of a row."""
    first, *others = rows
    total: Floats = first.copy()
    for row in others:
        total += row
    return total


def dot(rows: Sequence[Floats], weights: Floats) -> Floats:
    """The sum of rows times weights, first to last.

    Args:
        rows: p of them, all products with a weight being of one shape.
        weights: Shape (p, ...).
    """
    total: Floats = rows[0] * weights[0]
    for row, weight in zip(rows[1:], weights[1:], strict=True):
        total += row * weight
    return total


def stacked(rows: Sequence[Floats], shape: tuple[int, ...]) -> Floats:
    """The rows, each broadcast to `shape`, as one array (p, *shape)."""
    table = np.empty((len(rows), *shape))
    for place, row in enumerate(rows):
        table[place] = row
    return table


def mean(rows: Floats) -> Floats:
    """The mean of the known ones of rows (d, ...); NaN where none is."""
    known = ~np.isnan(rows)
    counts = known.sum(axis=0)
    means = added(np.where(known, rows, 0.0)) / np.maximum(counts, 1)
    return np.where(counts > 0, means, np.nan)


def or_else(values: Floats, otherwise: Floats | float) -> Floats:
    """The values, and where they are NaN the others."""
    return np.where(np.isnan(values), otherwise, values)
