"""Every family of policies with all its knobs, run through a case, and the settings chosen for it.

A family's settings are those that were cheapest on the cases for choosing among those that kept
time short within the goal there, or, if none did, the ones with the least time short.
Refuses to choose on what is scored: `chosen` is given the cases for choosing alone.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from benchmarks.spot.cases import LEAD_S, Case
from benchmarks.spot.policies import Fallback, Fixed, Ours

from predictscale.core.pools import PoolPolicy
from predictscale.simulate.pools import Buyer, PoolRun, PoolScore, run_pools, score

SPOT_PRICE = 0.35
GOAL_SHORT = 0.01
GOAL_COST = 0.60
WARM_UP_STEPS = 60
"""The first hour is not scored: everybody begins with nothing."""

OURS = "margin + fallback + hold"
_AVAILABILITIES = (0.8, 0.9, 0.95, 0.99, 0.999)
_HOLDS_S = (1800.0, 3600.0)
_QUICK_AVAILABILITIES = (0.9, 0.97)
_QUICK_HOLDS_S = (1800.0,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One policy with its knobs.

    Args:
        family: Whose.
        knobs: By name; shares of the need where they count replicas.
    """

    family: str
    knobs: Mapping[str, float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Its knobs for people."""
        return " ".join(f"{name}={value:g}" for name, value in self.knobs.items()) or "-"


def entries(*, quick: bool) -> list[Entry]:
    """All that take part."""
    extras = (0.0, 0.5, 1.0)
    holds_s = (0.0, 1800.0, 3600.0)
    ours = itertools.product(
        _QUICK_AVAILABILITIES if quick else _AVAILABILITIES, _QUICK_HOLDS_S if quick else _HOLDS_S
    )
    return [
        Entry(family="all on demand"),
        Entry(family="spot only"),
        *(Entry(family="over-provisioned spot", knobs={"extra": extra}) for extra in (0.5, 1.0, 2.0)),
        *(Entry(family="fallback only", knobs={"extra": extra}) for extra in extras),
        *(
            Entry(family="fallback + hold", knobs={"extra": extra, "base": base, "hold_s": hold_s})
            for extra, base, hold_s in itertools.product(extras, (0.0, 1 / 3), holds_s[1:])
        ),
        *(Entry(family=OURS, knobs={"availability": level, "hold_s": hold_s}) for level, hold_s in ours),
    ]


def buyer(entry: Entry, need: int, *, notice_s: float = 0.0) -> Buyer:
    """The policy of an entry, new and without memory."""
    knobs = entry.knobs
    if entry.family == "all on demand":
        return Fixed(spot=0, on_demand=need)
    if entry.family in ("spot only", "over-provisioned spot"):
        return Fixed(spot=need + round(need * knobs.get("extra", 0.0)))
    if entry.family == OURS:
        policy = PoolPolicy(
            availability=knobs["availability"],
            lead_time_s=LEAD_S,
            notice_s=notice_s,
            spot_price=SPOT_PRICE,
            hold_s=knobs["hold_s"],
        )
        return Ours(need, policy)
    return Fallback(
        need=need,
        extra=round(need * knobs.get("extra", 0.0)),
        base=round(need * knobs.get("base", 0.0)),
        hold_s=knobs.get("hold_s", 0.0),
    )


def lived(case: Case, entry: Entry) -> PoolRun:
    """The scored part of one policy's life."""
    bought = buyer(entry, case.need, notice_s=case.world.notice_s)
    return run_pools(case.world, bought).since(WARM_UP_STEPS)


def scored(case: Case, entry: Entry) -> PoolScore:
    """What it comes to."""
    return score(lived(case, entry), spot_price=SPOT_PRICE)


def compete(case: Case, among: Sequence[Entry]) -> list[PoolScore]:
    """All of them on one case, over the processors."""
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as workers:
        return list(workers.map(partial(scored, case), among))


def chosen(among: Sequence[Entry], results: Sequence[Sequence[PoolScore]]) -> dict[str, Entry]:
    """The settings of each family, by its scores on the cases for choosing alone.

    Args:
        among: All entries.
        results: One row of scores for each case for choosing.
    """
    found = {}
    for family in dict.fromkeys(entry.family for entry in among):
        rows = [
            (
                sum(row[place].time_short for row in results) / len(results),
                sum(row[place].cost for row in results) / len(results),
                entry,
            )
            for place, entry in enumerate(among)
            if entry.family == family
        ]
        within = [row for row in rows if row[0] <= GOAL_SHORT]
        best = min(within, key=lambda row: row[1]) if within else min(rows, key=lambda row: row[:2])
        found[family] = best[2]
    return found


def cheapest_within(among: Sequence[Entry], scores: Sequence[PoolScore], family: str) -> float | None:
    """The least cost at which a family's settings kept the goal on a case, in hindsight; None if none did."""
    costs = [
        one.cost
        for entry, one in zip(among, scores, strict=True)
        if entry.family == family and one.time_short <= GOAL_SHORT
    ]
    return min(costs, default=None)


def plain(one: PoolScore) -> dict[str, Any]:
    """A score as plain numbers."""
    return {name: round(value, 6) for name, value in asdict(one).items()}
