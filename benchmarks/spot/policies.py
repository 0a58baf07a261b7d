"""What others do with spot, as policies of `simulate.pools`, re-implemented from what they publish.

Zones are chosen as SkyServe's placer does: one that lost a node or refused one is left out
until fewer than two are left, then all take part again. Refuses to help rivals with what
their rule does not look at: notices and hazard.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from predictscale.core.fallback import plan_pools
from predictscale.core.pools import Kept, PoolMemory, PoolPlan, PoolPolicy, PoolsSeen
from predictscale.simulate.pools import Wanted


@dataclass(slots=True)
class Placer:
    """Spreads replicas over the zones that did not fail lately."""

    resting: set[str] = field(default_factory=set)

    def place(self, total: int, seen: PoolsSeen) -> dict[str, int]:
        """Replicas in each zone: those that live stay, new ones go where fewest are."""
        names = [zone.zone for zone in seen.zones]
        self.resting |= {zone.zone for zone in seen.zones if zone.failed or zone.lost}
        if len(names) - len(self.resting) < min(2, len(names)):
            self.resting.clear()
        alive = {
            zone.zone: max(0, zone.ready + zone.pending - zone.failed - (zone.lost or 0))
            for zone in seen.zones
        }
        active = [name for name in names if name not in self.resting]
        while sum(alive.values()) < total:
            alive[min(active, key=lambda name: alive[name])] += 1
        while sum(alive.values()) > total:
            alive[max(names, key=lambda name: alive[name])] -= 1
        return alive


@dataclass(slots=True)
class Fixed:
    """So many spot replicas, and the on-demand that is always there.

    Args:
        spot: Replicas on spot.
        on_demand: Replicas on demand.
    """

    spot: int
    on_demand: int = 0
    placer: Placer = field(default_factory=Placer)

    def __call__(self, seen: PoolsSeen, now: datetime) -> Wanted:
        """The same at every step."""
        del now
        return Wanted(spot=self.placer.place(self.spot, seen), on_demand=self.on_demand)


@dataclass(slots=True)
class Fallback:
    """On-demand stands in for every spot replica that is wanted and not ready, up to the need.

    Args:
        need: Replicas that must serve.
        extra: Spot replicas beyond them.
        base: Replicas that are always on demand.
        hold_s: On-demand falls only to the most of this long [s]; SkyServe's rule has none.
    """

    need: int
    extra: int = 0
    base: int = 0
    hold_s: float = 0.0
    placer: Placer = field(default_factory=Placer)
    kept: Kept = ()

    def __call__(self, seen: PoolsSeen, now: datetime) -> Wanted:
        """What SkyServe's autoscaler wants."""
        spot = self.need + self.extra - self.base
        ready = sum(zone.ready for zone in seen.zones)
        lacks = min(self.need, self.base + max(0, spot - ready))
        since = now - timedelta(seconds=self.hold_s)
        self.kept = (*((at, old) for at, old in self.kept if at > since and old > lacks), (now, lacks))
        return Wanted(spot=self.placer.place(spot, seen), on_demand=self.kept[0][1])


@dataclass(slots=True)
class Ours:
    """The service's own decision.

    Args:
        need: Replicas that must serve.
        policy: What the owner wants of pools.
    """

    need: int
    policy: PoolPolicy
    memory: PoolMemory = field(default_factory=PoolMemory)
    plan: PoolPlan | None = None

    def __call__(self, seen: PoolsSeen, now: datetime) -> Wanted:
        """What `plan_pools` wants."""
        self.plan, self.memory = plan_pools(self.need, seen, self.policy, self.memory, now)
        spot: Mapping[str, int] = self.plan.spot
        return Wanted(spot=spot, on_demand=self.plan.on_demand)
