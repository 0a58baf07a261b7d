"""A ceiling of money: how many replicas a month's budget still allows, and what gives way first.

What is left is spread over what is left of the month, with some slack for days that need more; so
the money lasts. When it binds, batch work gives way first, then the quantile that is covered,
and only then what is here; each is said in words. Refuses to bind on a guess: as long as it is not
known what was spent, nothing is cut, and that is said too.
"""

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from predictscale.core.calendar import zone_of

_HOUR_S = 3600.0
_LEAST_KNOWN = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class MonthlyBudget:
    """What may be spent in a calendar month.

    Args:
        per_month: So much, above 0.
        currency: Of it.
        zone: Whose months: an IANA name.
        slack: How many times the even pace of what is left may be held now, at least 1.

    Raises:
        ValueError: A number that cannot be, or a zone that is none.
    """

    per_month: float
    currency: str
    zone: str = "UTC"
    slack: float = 1.5

    def __post_init__(self) -> None:
        if not (math.isfinite(self.per_month) and self.per_month > 0):
            raise ValueError(f"per_month: {self.per_month}; finite, above 0")
        if not (math.isfinite(self.slack) and self.slack >= 1):
            raise ValueError(f"slack: {self.slack}; at least 1, or the budget is never used up")
        zone_of(self.zone)

    def month(self, now: datetime) -> tuple[datetime, datetime]:
        """Where the month of an instant begins and ends, UTC."""
        local = now.astimezone(zone_of(self.zone))
        first = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
        following = (first + timedelta(days=32)).replace(day=1)
        return first.astimezone(UTC), following.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many replicas may be held now.

    Args:
        most: So many; None if no ceiling can be told.
        because: The reason, in words.
    """

    most: int | None
    because: str


def allowance(
    budget: MonthlyBudget, *, now: datetime, spent: float | None, per_replica_h: float | None
) -> Allowance:
    """The replicas that the money left allows.

    floor(left / (hours left x price) x slack), and never more than what is left pays for in the
    next hour, or until the month ends if that is sooner: held at this number the whole time, a
    budget ends with its month and not before.

    Args:
        budget: The owner's.
        now: The instant of the decision.
        spent: What this month has cost so far; None if it is not known.
        per_replica_h: What a replica costs by the hour, in the budget's currency; None if it is not known.
    """
    if spent is None:
        return Allowance(None, "the budget is not applied: what was spent this month is not known")
    if per_replica_h is None or not per_replica_h > 0:
        return Allowance(None, "the budget is not applied: a replica has no price")
    _, end = budget.month(now)
    hours = max((end - now).total_seconds(), 0.0) / _HOUR_S
    left = max(budget.per_month - spent, 0.0)
    affordable = min(
        left * budget.slack / max(hours * per_replica_h, 1e-12),
        left / max(min(hours, 1.0) * per_replica_h, 1e-12),
    )
    # 29.999999999999996 replicas are thirty.
    most = math.floor(min(affordable, 1e9) * (1 + 1e-12))
    return Allowance(
        most,
        f"{left:,.2f} of {budget.per_month:,.2f} {budget.currency} are left for {hours:.0f} h: "
        f"{most} at {per_replica_h:g} an hour",
    )


def spent_in_all(money: float, *, priced_s: float, span_s: float) -> float | None:
    """What a stretch cost, if the part that is not known cost as much by the hour as the rest.

    Args:
        money: What the known part cost.
        priced_s: How long that is [s].
        span_s: Length of the stretch [s].

    Returns:
        None if less than half of it is known: then it would be a guess.
    """
    if span_s <= 0:
        return 0.0
    return money * max(span_s / priced_s, 1.0) if priced_s >= span_s * _LEAST_KNOWN else None


class Giving(StrEnum):
    """What gave way to the budget, least first."""

    NOTHING = "nothing"
    BATCH = "batch"
    QUANTILE = "quantile"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Granted:
    """What the budget leaves of what is wanted.

    Args:
        giving: How far it reached.
        replicas: For traffic that waits for answers.
        batch: For work that can wait.
        because: The reason, in words.
    """

    giving: Giving
    replicas: int
    batch: int
    because: str

    @property
    def limited(self) -> bool:
        """Whether anything gave way."""
        return self.giving is not Giving.NOTHING


def give_way(allowed: Allowance, *, wanted: int, relaxed: int, batch: int = 0, least: int = 0) -> Granted:
    """Fit what is wanted into an allowance, in the stated order.

    Batch first, down to nothing; then the quantile, down to what `relaxed` takes; then the
    traffic itself is refused replicas, down to `least`, below which no budget goes.

    Args:
        allowed: The allowance.
        wanted: Replicas at the owner's quantile.
        relaxed: Replicas at the relaxed quantile, what is here included; at most `wanted` counts.
        batch: Replicas of work that can wait.
        least: The owner's minimum.
    """
    most = allowed.most
    if most is None or wanted + batch <= most:
        return Granted(Giving.NOTHING, wanted, batch, allowed.because)
    if wanted <= most:
        kept = most - wanted
        because = f"CUT: batch from {batch} to {kept} by the budget; {allowed.because}"
        return Granted(Giving.BATCH, wanted, kept, because)
    granted, floor = max(most, min(least, wanted)), min(relaxed, wanted)
    gone = f"; batch gives up {batch}" if batch else ""
    if granted == wanted:
        giving = Giving.BATCH if batch else Giving.NOTHING
        because = f"OVER the budget by the minimum of {least}{gone}; {allowed.because}"
        return Granted(giving, wanted, 0, because)
    kept_up = f", kept up by the minimum of {least}" if granted > most else ""
    if floor <= granted:
        giving, why = Giving.QUANTILE, f"no fewer than the {floor} of the relaxed quantile"
    else:
        giving, why = Giving.REFUSED, f"although the relaxed quantile takes {floor}"
    because = f"CUT from {wanted} to {granted} by the budget{kept_up}, {why}{gone}; {allowed.because}"
    return Granted(giving, granted, 0, because)
