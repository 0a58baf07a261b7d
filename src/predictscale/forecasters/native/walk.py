"""Least squares that only ever learns from what had happened.

The history is cut into blocks of about a day. What is predicted in a block comes
from weights fitted on windows that closed before the block began, so errors made on
the history are as large as those to come. Older blocks count less.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from predictscale.core.series import Floats
from predictscale.forecasters.native.panel import Indices


class Blocks(NamedTuple):
    """Where the blocks begin, in bins, ascending, shape (b + 1,), the last is the end; and how one fades."""

    edges: Indices
    fade: float


class Walked(NamedTuple):
    """Predictions at each origin (e, n) made by earlier blocks alone, and the newest weights (p, e)."""

    said: Floats
    weights: Floats


def walk(
    features: Floats,
    targets: Floats,
    origins: Indices,
    lead: int,
    blocks: Blocks,
    *,
    penalty: float,
    seed: bool,
) -> Walked:
    """Ridge regression, refitted at each block's edge.

    Args:
        features: Shape (p, n); the first row is the constant, which is not held back.
        targets: Shape (e, n); a column with a NaN is not learned from.
        origins: Ascending, shape (n,).
        lead: A column's target is known `lead` bins after its origin.
        blocks: When to learn.
        penalty: Columns that pull each weight to 0, the features being of the size they had.
        seed: Whether the first block, which nothing comes before, is predicted by
            itself; else by zeros.
    """
    known = np.isfinite(targets.sum(axis=0))
    x = features * known
    y = np.where(known, targets, 0.0)
    edges = blocks.edges
    closed = np.searchsorted(origins + lead, edges, side="right")
    width = x.shape[0]
    gram, moment = np.zeros((width, width)), np.zeros((width, y.shape[0]))
    grams, moments = [gram], [moment]
    for first, stop in pairwise(closed):
        part = x[:, first:stop]
        gram = blocks.fade * gram + part @ part.T
        moment = blocks.fade * moment + part @ y[:, first:stop].T
        grams.append(gram)
        moments.append(moment)
    weights = _solve(np.stack(grams), np.stack(moments), penalty)
    if seed:
        weights[0] = weights[1]
    starts = np.searchsorted(origins, edges)
    said = np.empty_like(y)
    for block, (first, stop) in enumerate(pairwise(starts)):
        said[:, first:stop] = weights[block].T @ features[:, first:stop]
    said[:, starts[-1] :] = weights[-1].T @ features[:, starts[-1] :]
    return Walked(said, weights[-1])


def _solve(grams: Floats, moments: Floats, penalty: float) -> Floats:
    """Weights of every block at once, shape (b, p, e)."""
    width = grams.shape[-1]
    rows = grams[:, 0, 0]
    size = np.einsum("bpp->bp", grams) / np.maximum(rows, 1.0)[:, None]
    size = size + 1e-9 * size.max(axis=1, keepdims=True) + 1e-12
    held = np.full(width, penalty)
    held[0] = 1e-3
    # Scaled by the features' own size, so that a penalty means the same to each.
    root = np.sqrt(size)
    scaled = grams / root[:, :, None] / root[:, None, :]
    scaled[:, np.arange(width), np.arange(width)] += held
    solved: Floats = np.linalg.solve(scaled, moments / root[:, :, None]) / root[:, :, None]
    return solved
