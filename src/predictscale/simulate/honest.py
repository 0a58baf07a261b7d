"""Choosing settings by replay of the past alone: what may run, when nobody has seen the future.

Demand does not depend on the fleet, so what other settings would have cost lately is known
exactly. At a slow rhythm the record of the last days is compared and the cheapest
candidate that met a part of the asked violation serves next. The same rule stands for every
family, and for the live service. Refuses to look at what comes after the choice.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictscale.core.series import Floats

Choices = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How candidates are compared.

    Args:
        asked: Share of demand that may be late.
        aim: The part of `asked` that a candidate may have used up in the record, since the best of
            many looks better than it is. How it was chosen: docs/adr/0011.
        record: How many periods back are compared.
        least: How many periods there must be; until then the first candidate serves.
        keep: A candidate that serves and still meets the aim stays, unless another is cheaper by more
            than this share.

    Raises:
        ValueError: A share is out of its range, or the record is shorter than the least.
    """

    asked: float
    aim: float = 0.9
    record: int = 120
    least: int = 24
    keep: float = 0.02

    def __post_init__(self) -> None:
        if not (0 < self.asked < 1 and self.aim > 0 and math.isfinite(self.aim) and 0 <= self.keep < 1):
            raise ValueError(f"asked {self.asked}, aim {self.aim}, keep {self.keep}; shares are in (0, 1)")
        if not 1 <= self.least <= self.record:
            raise ValueError(f"record: {self.record} periods, least: {self.least}; must be at least that")

    @property
    def allowed(self) -> float:
        """Share of the record's demand that may have been late."""
        return self.asked * self.aim


def choose(late: Floats, arrived: float, billed: Floats, *, rule: Rule, serving: int | None = None) -> int:
    """The candidate that serves next, from what each would have done over one record.

    The cheapest of those that met the aim; of none the one that was least late. Equals are decided
    by their order.

    Args:
        late: Demand that would have been late, shape (k,).
        arrived: Demand that came, whoever serves it.
        billed: Replica time, in any unit, shape (k,).
        rule: What counts.
        serving: The candidate that serves now, if any.

    Returns:
        Its index.
    """
    good = late <= rule.allowed * arrived
    if not good.any():
        least_late = late <= late.min()
        return int(np.where(least_late, billed, np.inf).argmin())
    best = int(np.where(good, billed, np.inf).argmin())
    if serving is not None and good[serving] and billed[best] >= (1 - rule.keep) * billed[serving]:
        return serving
    return best


def operate(late: Floats, arrived: Floats, billed: Floats, *, rule: Rule) -> Choices:
    """Who serves in each period, chosen at its beginning from the periods before it.

    Args:
        late: Demand that would have been late by candidate and period, shape (k, p).
        arrived: Demand that came, shape (p,).
        billed: Replica time, shape (k, p).
        rule: How they are compared.

    Returns:
        Indices of candidates, shape (p,).
    """
    late_until, billed_until = (_until(table) for table in (late, billed))
    arrived_until = _until(arrived)
    chosen = np.zeros(arrived.size, dtype=np.int64)
    serving: int | None = None
    for period in range(rule.least, arrived.size):
        since = max(0, period - rule.record)
        serving = choose(
            late_until[..., period] - late_until[..., since],
            float(arrived_until[period] - arrived_until[since]),
            billed_until[..., period] - billed_until[..., since],
            rule=rule,
            serving=serving,
        )
        chosen[period] = serving
    return chosen


def compose(desired: NDArray[np.int32], chosen: Choices, *, period_steps: int) -> NDArray[np.int32]:
    """The plan of whoever was chosen, shape (n,).

    Args:
        desired: Replicas by candidate and step, shape (k, n).
        chosen: Who serves in each period, shape (p,).
        period_steps: Steps of one period; the last one may be cut short.
    """
    who = np.repeat(chosen, period_steps)[: desired.shape[1]]
    plan: NDArray[np.int32] = desired[who, np.arange(desired.shape[1])]
    return plan


def _until(table: Floats) -> Floats:
    """Sums of all periods before each, with one more at the end."""
    sums = np.zeros((*table.shape[:-1], table.shape[-1] + 1))
    np.cumsum(table, axis=-1, out=sums[..., 1:])
    return sums
