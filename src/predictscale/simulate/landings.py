"""What the way to the Deployment takes from a perfect plan.

An oracle asks for the highest need of the coming lead time, the cheapest plan without
lateness. Whatever is late or dearer after that is the work of the dead band, the windows and
the rate limits between the plan and the fleet, and of nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

import numpy as np

from predictscale.core.plan import Landing
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.clairvoyant import cheapest, need
from predictscale.simulate.plant import Counts
from predictscale.simulate.world import World, tally

_HOUR_S = 3600.0


class Way(NamedTuple):
    """A way for a plan to be carried out.

    Args:
        name: For a table.
        actuation: Who moves the Deployment.
        landing: How the plan is published to a stock HPA.
        padding: What the plan is multiplied by, rounded up.
    """

    name: str
    actuation: Actuation
    landing: Landing = Landing.EXACT
    padding: float = 1.0


WAYS = (
    Way("direct", Actuation.DIRECT),
    Way("hpa-exact", Actuation.HPA_EXACT),
    Way("hpa", Actuation.HPA),
    Way("hpa, hold", Actuation.HPA, Landing.HOLD),
    Way("hpa, overshoot", Actuation.HPA, Landing.OVERSHOOT),
    Way("hpa, plan padded by 10 %", Actuation.HPA, padding=1.1),
)
"""The comparison of ADR 7."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OracleLanding:
    """What became of a perfect plan on one way.

    Args:
        way: Which.
        violation: Share of the work that waits beyond the bound.
        replica_hours: What was billed [h].
        to_direct: The same, relative to a fleet that is moved directly.
    """

    way: Way
    violation: float
    replica_hours: float
    to_direct: float


def oracle_landings(world: World, ways: Sequence[Way] = WAYS) -> list[OracleLanding]:
    """The same perfect plan on every way, in the order of `ways`.

    Args:
        world: Its actuation and landing are those of each way instead; its boot is fixed.
        ways: Which.

    Raises:
        ValueError: The world's boot times are drawn: then no plan is perfect.
    """
    plan = _plan(world)
    direct_h = _outcome(world, plan, Way("direct", Actuation.DIRECT))[1]
    found = []
    for way in ways:
        violation, hours = _outcome(world, plan, way)
        found.append(
            OracleLanding(way=way, violation=violation, replica_hours=hours, to_direct=hours / direct_h)
        )
    return found


def _plan(world: World) -> Counts:
    """The highest need of each step's lead time, shape (1, n)."""
    if world.boot.fixed_s is None:
        raise ValueError("boot: is drawn; an oracle knows demand, not luck")
    lead_steps = ceil(world.boot.fixed_s / world.step_s - 1e-9)
    return cheapest(need(world.demand.values, world.per_replica), lead_steps)[None]


def _outcome(world: World, plan: Counts, way: Way) -> tuple[float, float]:
    """Share of late work, and replica-hours."""
    padded = np.ceil(plan * way.padding - 1e-9).astype(np.int64)
    sums = tally(
        replace(world, actuation=way.actuation, landing=way.landing, replicas=_first(world, padded)),
        padded,
        bin_s=_HOUR_S,
    )
    return float(sums.violation[0]), float(sums.replica_hours[0])


def _first(world: World, plan: Counts) -> int:
    """An oracle's fleet has booted before its world begins."""
    return min(max(int(plan[0, 0]), world.min_replicas), world.max_replicas)
