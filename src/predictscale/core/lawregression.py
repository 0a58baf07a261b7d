"""The regression behind a capacity law: coefficients of 1/ITL, and how sure they are.

Apart from `lawfit` because it is algebra about rows, whatever they mean. The
prior is one more observation, as doubtful as its own value is large: it decides
only what the rows leave open, and its doubt stays in the errors. Rows by which one
of the two rates would cost nothing, which no engine does, show what the law leaves
out, such as contexts that are short just after a burst of prompts. They are
believed about what both rates cost together, and the prior splits it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictscale.core.nnls import nonnegative_least_squares
from predictscale.core.series import Floats

Places = NDArray[np.intp]

_REWEIGHTINGS = 2
_LEAST_PRIOR = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """1/ITL = c0 - c1 * output - c2 * input, in tokens per second.

    Args:
        coefficients: c0, c1 and c2, shape (3,), none negative.
        covariance: Of them, shape (3, 3); 0 where a coefficient was held at 0.
        slope_error: Standard error of c1 * output + c2 * input at the mean load, as a share of it;
            infinite if it is 0.
    """

    coefficients: Floats
    covariance: Floats
    slope_error: float

    def law_errors(self) -> tuple[float, float, float]:
        """Standard errors of 1/c0, c1/c0 and c2/c0, by their first derivatives."""
        idle, output, computed = self.coefficients.tolist()
        rows = [
            [-1 / idle**2, 0, 0],
            [-output / idle**2, 1 / idle, 0],
            [-computed / idle**2, 0, 1 / idle],
        ]
        by = np.array(rows)
        first, second, third = np.sqrt(np.maximum(np.diag(by @ self.covariance @ by.T), 0.0)).tolist()
        return first, second, third


def regress(itl_s: Floats, rates: Floats, *, recency: Floats, input_cost: float) -> Regression:
    """Fit by weighted least squares, none of the coefficients negative.

    A row weighs ITL to the fourth: an error of ITL is one of 1/ITL times ITL
    squared. First the measured ITL, then the fitted one, for a row that came out
    slow by chance must not weigh more for it.

    Args:
        itl_s: Shape (n,), above 0 [s].
        rates: Output and input tokens per second, shape (n, 2).
        recency: Weight of each row for its age, shape (n,), in (0, 1].
        input_cost: Prior of c2 / c1.
    """
    design = np.column_stack((np.ones(itl_s.size), -rates))
    weight_s = itl_s
    for _ in range(_REWEIGHTINGS):
        coefficients = _solve(design, itl_s, np.sqrt(recency) * weight_s**2, recency, input_cost).coefficients
        fitted = np.maximum(design @ coefficients, 1 / itl_s.max())
        weight_s = np.maximum(1 / fitted, itl_s.min())
    return _solve(design, itl_s, np.sqrt(recency) * weight_s**2, recency, input_cost)


def _solve(design: Floats, itl_s: Floats, roots: Floats, recency: Floats, input_cost: float) -> Regression:
    """One weighted fit; `roots` are the roots of the rows' weights, shape (n,)."""
    rows, values = design * roots[:, None], roots / itl_s
    if rows[:, 1].any() and rows[:, 2].any() and not nonnegative_least_squares(rows, values)[1:].all():
        return _tied(rows, values, input_cost, loads=_mean_loads(design, recency))
    noise, penalty = _prior(rows, values, recency, input_cost)
    coefficients = nonnegative_least_squares(np.vstack((rows, penalty)), np.append(values, 0.0))
    covariance = _covariance(
        rows, values - rows @ coefficients, penalty, noise, free=np.flatnonzero(coefficients)
    )
    return _regression(coefficients, covariance, loads=_mean_loads(design, recency))


def _tied(rows: Floats, values: Floats, input_cost: float, *, loads: Floats) -> Regression:
    """A fit in which an input token costs what the prior says, in output tokens."""
    joined = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, input_cost]])
    tied = rows @ joined
    found = nonnegative_least_squares(tied, values)
    within = _covariance(tied, values - tied @ found, np.zeros(2), 0.0, free=np.flatnonzero(found))
    # The split is as doubtful as the prior is large; what both cost at the mean load is not.
    split = input_cost * found[1] * np.array([0.0, -loads[2] / loads[1], 1.0])
    covariance = joined @ within @ joined.T + np.outer(split, split)
    return _regression(joined @ found, covariance, loads=loads)


def _mean_loads(design: Floats, recency: Floats) -> Floats:
    """By what each coefficient is multiplied in the mean slope, shape (3,)."""
    return np.concatenate(([0.0], np.average(-design[:, 1:], axis=0, weights=recency)))


def _regression(coefficients: Floats, covariance: Floats, *, loads: Floats) -> Regression:
    slope = float(coefficients @ loads)
    error = math.sqrt(max(0.0, float(loads @ covariance @ loads)))
    return Regression(
        coefficients=coefficients,
        covariance=covariance,
        slope_error=error / slope if slope > 0 else np.inf,
    )


def _prior(rows: Floats, values: Floats, recency: Floats, input_cost: float) -> tuple[float, Floats]:
    """The rows' noise variance, and the prior as one more row, shape (3,).

    Both come from a fit in which an input token costs exactly what the prior says: that
    one is determined whatever the mix does. The prior's own standard deviation is its value.
    """
    none = np.zeros(3)
    if not (rows[:, 1].any() and rows[:, 2].any()):
        return _noise(rows, values, recency), none
    tied = np.column_stack((rows[:, 0], rows[:, 1] + input_cost * rows[:, 2]))
    found = nonnegative_least_squares(tied, values)
    noise = _spread(values - tied @ found, recency)
    doubt = input_cost * float(found[1])
    if doubt == 0:
        return noise, none
    weight = max(noise / doubt**2, _LEAST_PRIOR * float((rows[:, 2] ** 2).sum()))
    return noise, np.sqrt(weight) * np.array([0.0, -input_cost, 1.0])


def _noise(rows: Floats, values: Floats, recency: Floats) -> float:
    return _spread(values - rows @ nonnegative_least_squares(rows, values), recency)


def _spread(residuals: Floats, recency: Floats) -> float:
    """Variance of a residual of full recency; residuals carry the root of theirs."""
    effective = float(recency.sum() ** 2 / (recency**2).sum())
    return float((residuals**2).sum() / recency.sum()) * effective / max(effective - 3, 1.0)


def _covariance(rows: Floats, residuals: Floats, penalty: Floats, noise: float, *, free: Places) -> Floats:
    """Of the free coefficients, by the sandwich: it needs no belief that the weights are right."""
    covariance = np.zeros((rows.shape[1], rows.shape[1]))
    if free.size:
        scale = np.linalg.norm(rows[:, free], axis=0)
        columns, prior = rows[:, free] / scale, penalty[free] / scale
        bread = np.linalg.pinv(columns.T @ columns + np.outer(prior, prior))
        scores = columns * residuals[:, None]
        filling = scores.T @ scores + noise * np.outer(prior, prior)
        covariance[np.ix_(free, free)] = bread @ filling @ bread / np.outer(scale, scale)
    return covariance
