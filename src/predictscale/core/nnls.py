"""Least squares with unknowns that cannot be negative, exactly, for a handful of unknowns.

Physical coefficients (seconds per token, seconds of an empty replica) have a
sign, and a noisy fit must not give a replica that gets faster under load. With
at most `MOST_UNKNOWNS` unknowns every set of free ones can be tried, so the
answer is the optimum itself and not where an iteration stopped. It refuses more
unknowns, for the sets double with each.
"""

from itertools import combinations

import numpy as np

from predictscale.core.series import Floats

MOST_UNKNOWNS = 6

_RANK_TOLERANCE = 1e-10


def nonnegative_least_squares(design: Floats, values: Floats) -> Floats:
    """The x >= 0 with the least |design x - values|².

    Weights and ridge terms are rows: multiply a row and its value by the root of
    its weight; append a row for each penalty.

    Args:
        design: Shape (n, k), finite, k at most `MOST_UNKNOWNS`.
        values: Shape (n,), finite.

    Returns:
        Shape (k,). Where columns depend on each other, one of the optima.

    Raises:
        ValueError: Shapes that do not fit, too many unknowns, or a value that is not finite.
    """
    rows, unknowns = design.shape
    if values.shape != (rows,) or unknowns > MOST_UNKNOWNS:
        raise ValueError(
            f"design {design.shape}, values {values.shape}; (n, k) and (n,), k at most {MOST_UNKNOWNS}"
        )
    if not (np.isfinite(design).all() and np.isfinite(values).all()):
        raise ValueError("design or values: not finite")
    # Columns of one length: the rank test then sees directions and not units.
    lengths = np.linalg.norm(design, axis=0)
    scale = np.where(lengths > 0, lengths, 1.0)
    # The triangle of [A b] has all that the normal equations have, without squaring the condition.
    triangle: Floats = np.linalg.qr(np.column_stack((design / scale, values))).R
    best = np.zeros(unknowns)
    least = float(np.linalg.norm(triangle[:, -1]))
    usable = [int(place) for place in np.flatnonzero(lengths)]
    for count in range(len(usable), 0, -1):
        for free in combinations(usable, count):
            found = _solve(triangle[:, list(free)], triangle[:, -1])
            if found is not None and found[1] < least:
                best, least = np.zeros(unknowns), found[1]
                best[list(free)] = found[0]
    solution: Floats = best / scale
    return solution


def _solve(columns: Floats, values: Floats) -> tuple[Floats, float] | None:
    """The plain optimum over some columns and its residual norm; None if it is negative somewhere.

    Dependent columns are skipped too: a smaller set of them reaches the same optimum.
    """
    solution, _, rank, _ = np.linalg.lstsq(columns, values, rcond=_RANK_TOLERANCE)
    if rank < columns.shape[1] or (solution < 0).any():
        return None
    found = np.asarray(solution, dtype=np.float64)
    return found, float(np.linalg.norm(columns @ found - values))
