"""What a run was worth: lateness and cost, compared at equal SLO, with the doubt that few days leave.

Policies are points (share of demand late, replica time); a family with a knob is a frontier of
them. Families are compared where they are equally late. Refuses to extrapolate: a family
that is never so good has no cost there.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from statistics import NormalDist

import numpy as np

from predictscale.core.series import Floats
from predictscale.simulate.clairvoyant import cheapest
from predictscale.simulate.rivals import DAY_S, Ints
from predictscale.simulate.world import Run, Tally

SLOS = (0.01, 0.005, 0.001)

_AREA_POINTS = 65
_BY_STEP = ("desired", "spec", "held", "ready", "scored", "arrived", "late", "lost", "queue")


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What one policy did, in the terms of its owner.

    Args:
        policy: Whose.
        violation: Share of demand that waited beyond the bound.
        replica_hours: What is paid for, from request to removal [h].
        scale_events: How often the fleet's size was changed.
        to_clairvoyant: Replica-hours as a multiple of the cheapest plan with perfect knowledge.
        to_static: The same of a fixed fleet for the highest demand that came.
    """

    policy: str
    violation: float
    replica_hours: float
    scale_events: int
    to_clairvoyant: float
    to_static: float

    def money(self, price_per_hour: float) -> float:
        """What it costs at a price of one replica-hour, in the price's currency."""
        return self.replica_hours * price_per_hour


def scores(names: Sequence[str], run: Run, *, needed: Ints, lead_steps: int) -> list[Score]:
    """One score for each policy of a run.

    Args:
        names: Of the policies, as many as the run has rows.
        run: What became of them.
        needed: Replicas that serve each step's demand as it comes, shape (n,).
        lead_steps: The cold start under which the clairvoyant would have asked.
    """
    hours = run.step_s / 3600
    perfect = float(cheapest(needed, lead_steps)[run.scored].sum()) * hours
    fixed = float(needed.max()) * float(run.scored.sum()) * hours
    return [
        Score(
            policy=name,
            violation=float(violation),
            replica_hours=float(cost),
            scale_events=int(events),
            to_clairvoyant=float(cost) / perfect,
            to_static=float(cost) / fixed,
        )
        for name, violation, cost, events in zip(
            names, run.violation, run.replica_hours, run.scale_events, strict=True
        )
    ]


def since(tally: Tally, bins: int) -> Tally:
    """The sums without the first `bins`."""
    return Tally(
        start=tally.start + timedelta(seconds=bins * tally.bin_s),
        bin_s=tally.bin_s,
        arrived=tally.arrived[bins:],
        late=tally.late[:, bins:],
        billed=tally.billed[:, bins:],
    )


def tail(run: Run, steps: int) -> Run:
    """The run without its first `steps`; what was decided and queued in them stays as it was."""
    cut = {name: getattr(run, name)[..., steps:] for name in _BY_STEP}
    return replace(run, start=run.start + timedelta(seconds=steps * run.step_s), **cut)


def days(tally: Tally) -> Tally:
    """The same by days from its start; the last one may be shorter."""
    starts = np.arange(0, tally.arrived.size, round(DAY_S / tally.bin_s))
    return Tally(
        start=tally.start,
        bin_s=DAY_S,
        arrived=np.add.reduceat(tally.arrived, starts),
        late=np.add.reduceat(tally.late, starts, axis=1),
        billed=np.add.reduceat(tally.billed, starts, axis=1),
    )


def hull(violation: Floats, cost: Floats) -> tuple[Floats, Floats]:
    """The lower convex hull of a family's settings, from the least late to the cheapest.

    Every point of it can be had: two settings that share the time share lateness and cost in the same
    proportion. Over the logarithm of the violation it would promise what no mixture keeps.

    Args:
        violation: Share late, shape (k,).
        cost: In any unit, shape (k,).

    Returns:
        Violations, ascending, and costs, descending, each of shape (h,), h >= 1.
    """
    order = np.lexsort((cost, violation))
    late, price = violation[order], cost[order]
    # Only points that are cheaper than all that are less late.
    cheaper = np.append(True, price[1:] < np.minimum.accumulate(price)[:-1])
    kept: list[tuple[float, float]] = []
    for point in zip(late[cheaper].tolist(), price[cheaper].tolist(), strict=True):
        while len(kept) >= 2 and _above(kept[-2], kept[-1], point):
            kept.pop()
        kept.append(point)
    table = np.array(kept)
    return table[:, 0], table[:, 1]


def cost_at(violation: Floats, cost: Floats, *, slo: float) -> float | None:
    """What a family costs when so much is late, on its `hull`.

    A family whose cheapest setting is less late than asked costs that setting; one that is always
    later has no cost.

    Args:
        violation: Share late of each setting, shape (k,).
        cost: Of each setting, shape (k,).
        slo: The share late at which families are compared.
    """
    late, price = hull(violation, cost)
    return float(np.interp(slo, late, price)) if late[0] <= slo else None


def area(violation: Floats, cost: Floats, *, least: float = 0.001, most: float = 0.01) -> float | None:
    """The mean of `cost - 1` over the logarithm of the violation between two SLOs.

    With costs relative to clairvoyant this is the area between its line and the family's curve, per unit
    of width: each halving of the violation counts alike. None if the family does not reach `least`.
    """
    late, price = hull(violation, cost)
    if late[0] > least:
        return None
    at = np.linspace(math.log(least), math.log(most), _AREA_POINTS)
    curve = np.interp(np.exp(at), late, price) - 1
    return float((curve[1:] + curve[:-1]).mean() / 2)


def resampled(tally: Tally, *, draws: int, seed: int) -> tuple[Floats, Floats]:
    """Violations and replica time, had other days come: bins drawn with replacement.

    The same seed draws the same bins, so that families of one trace can be compared draw by draw.

    Args:
        tally: By days.
        draws: How often, b.
        seed: Of the draws.

    Returns:
        Shares late and replica-hours, each of shape (b, k).
    """
    bins = tally.arrived.size
    rng = np.random.default_rng(seed)
    weight = rng.multinomial(bins, np.full(bins, 1 / bins), size=draws).astype(np.float64)
    came = (weight @ tally.arrived)[:, np.newaxis]
    late = weight @ tally.late.T
    violation = np.divide(late, came, out=np.zeros_like(late), where=came > 0)
    return violation, weight @ tally.billed.T / 3600


def interval(values: Sequence[float], *, share: float = 0.95) -> tuple[float, float]:
    """The middle `share` of resampled values."""
    low, high = np.quantile(np.asarray(values), [(1 - share) / 2, (1 + share) / 2])
    return float(low), float(high)


def widened(days: int, *, share: float) -> float:
    """How many times as wide a range of resampled sums must be, where it comes from few days.

    Days drawn from n of them spread by (n - 1) / n of their variance, and as if that were known; the
    second part is the ratio of Student's quantile to the normal one, by Fisher's expansion (Abramowitz and
    Stegun 26.7.5), which is within 0.5 % from 5 days on.

    Args:
        days: Drawn from, at least 2.
        share: Of values that the range is to hold [1].
    """
    free = days - 1
    z = NormalDist().inv_cdf((1 + share) / 2)
    student = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return math.sqrt(days / free) * student / z


def _above(before: tuple[float, float], middle: tuple[float, float], after: tuple[float, float]) -> bool:
    """Whether `middle` lies on or above the line from `before` to `after`."""
    slope = (after[1] - before[1]) * (middle[0] - before[0])
    return (middle[1] - before[1]) * (after[0] - before[0]) >= slope
