"""A workload on spot and on-demand nodes, while a trace says how many spot nodes can be had.

Each replica has a node. Spot that is asked for starts if the zone has room, and fails to
launch, visibly, if it has none; what exceeds the room is lost at once, serving nodes first.
On-demand always starts. Both serve after a cold start, both are billed from launch to end.
Refuses to foresee: a policy sees what a cluster shows at the step, and a notice only as
long before a loss as the cloud gives.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from predictscale.core.pools import PoolsSeen, ZoneSeen
from predictscale.core.series import Floats
from predictscale.simulate.plant import Ints

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a policy asks for.

    Args:
        spot: Replicas in each zone; zones that are left out get none.
        on_demand: Replicas on demand.
    """

    spot: Mapping[str, int]
    on_demand: int


Buyer = Callable[[PoolsSeen, datetime], Wanted]
"""A policy: from what is seen at an instant to what is wanted; it may remember."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolWorld:
    """What happens to pools whatever a policy does.

    Args:
        room: Spot nodes that can be held at each step, by zone, each of shape (n,).
        need: Replicas that must serve at each step, shape (n,).
        step_s: Width of a step [s].
        spot_lead_s: From a launch until a spot replica serves [s].
        on_demand_lead_s: The same on demand [s].
        notice_s: How long before a loss it is announced [s].
    """

    room: Mapping[str, Ints]
    need: Ints
    step_s: float
    spot_lead_s: float
    on_demand_lead_s: float
    notice_s: float = 0.0

    def __post_init__(self) -> None:
        if any(room.shape != self.need.shape for room in self.room.values()):
            raise ValueError("room and need: every zone and the need have one number for each step")
        if not self.step_s > 0 or min(self.spot_lead_s, self.on_demand_lead_s, self.notice_s) < 0:
            raise ValueError("step_s is above 0, leads and notice are not negative")

    def steps(self, seconds: float) -> int:
        """Whole steps that cover a time."""
        return math.ceil(seconds / self.step_s - 1e-9)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PoolRun:
    """What a policy made of a world, each of shape (n,).

    Args:
        need: Replicas that had to serve.
        spot: Spot replicas that served.
        spot_billed: Spot nodes that were paid.
        on_demand: Replicas on demand that served.
        on_demand_billed: Those that were paid.
        asked: Replicas on demand that were wanted.
    """

    need: Ints
    spot: Ints
    spot_billed: Ints
    on_demand: Ints
    on_demand_billed: Ints
    asked: Ints

    @property
    def short(self) -> Ints:
        """Replicas that were missing, shape (n,)."""
        missing: Ints = np.maximum(0, self.need - self.spot - self.on_demand)
        return missing

    def since(self, first: int) -> "PoolRun":
        """The run from a step on."""
        return PoolRun(
            need=self.need[first:],
            spot=self.spot[first:],
            spot_billed=self.spot_billed[first:],
            on_demand=self.on_demand[first:],
            on_demand_billed=self.on_demand_billed[first:],
            asked=self.asked[first:],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolScore:
    """What a run comes to.

    Args:
        time_short: Share of steps with too few replicas.
        missing: Missing replica-steps over needed ones.
        cost: Over that of the need served by on-demand alone.
        moves: Changes of what was wanted on demand.
    """

    time_short: float
    missing: float
    cost: float
    moves: int


def score(run: PoolRun, *, spot_price: float) -> PoolScore:
    """Time short and cost.

    Args:
        run: Of one policy.
        spot_price: Of a spot node, relative to one on demand.
    """
    paid = spot_price * float(run.spot_billed.sum()) + float(run.on_demand_billed.sum())
    return PoolScore(
        time_short=float((run.short > 0).mean()),
        missing=float(run.short.sum()) / float(run.need.sum()),
        cost=paid / float(run.need.sum()),
        moves=int(np.count_nonzero(np.diff(run.asked))),
    )


class _Pool:
    """Replicas of one pool: those that serve, and when each of the others will."""

    __slots__ = ("boots", "ready")

    def __init__(self) -> None:
        self.ready = 0
        self.boots: list[int] = []

    @property
    def held(self) -> int:
        return self.ready + len(self.boots)

    def arrive(self, step: int) -> None:
        due = sum(at <= step for at in self.boots)
        if due:
            self.ready += due
            del self.boots[:due]

    def lose(self, count: int) -> None:
        from_ready = min(self.ready, count)
        self.ready -= from_ready
        if count > from_ready:
            del self.boots[: count - from_ready]

    def give_up(self, count: int) -> None:
        """Those that do not serve yet go first, the newest before."""
        booting = min(len(self.boots), count)
        if booting:
            del self.boots[-booting:]
        self.ready -= count - booting

    def scale(self, wanted: int, room: int | None, due: int) -> int:
        """Towards what is wanted; how many launches failed."""
        if wanted < self.held:
            self.give_up(self.held - wanted)
            return 0
        starts = wanted - self.held
        if room is not None:
            starts = min(starts, max(0, room - self.held))
        failed = wanted - self.held - starts
        self.boots.extend([due] * starts)
        return failed


def run_pools(world: PoolWorld, buyer: Buyer) -> PoolRun:
    """Let a policy live through a world."""
    names = list(world.room)
    rooms = {name: world.room[name].tolist() for name in names}
    told = {name: _told(world, name) for name in names}
    pools, on_demand = {name: _Pool() for name in names}, _Pool()
    failed = dict.fromkeys(names, 0)
    wanted = dict.fromkeys(names, 0)
    lead, on_demand_lead = world.steps(world.spot_lead_s), world.steps(world.on_demand_lead_s)
    columns = np.zeros((5, world.need.size), dtype=np.int64)
    for step in range(world.need.size):
        looks = []
        for name in names:
            pool = pools[name]
            lost = max(0, pool.held - rooms[name][step])
            pool.lose(lost)
            pool.arrive(step)
            noticed = max(0, pool.ready - told[name][step])
            looks.append(
                ZoneSeen(
                    zone=name,
                    ready=pool.ready,
                    pending=max(0, wanted[name] - pool.ready),
                    noticed=noticed,
                    lost=lost,
                    failed=failed[name],
                )
            )
        on_demand.arrive(step)
        seen = PoolsSeen(
            on_demand_ready=on_demand.ready, on_demand_pending=len(on_demand.boots), zones=tuple(looks)
        )
        asked = buyer(seen, BEGIN + timedelta(seconds=step * world.step_s))
        for name in names:
            wanted[name] = asked.spot.get(name, 0)
            failed[name] = pools[name].scale(wanted[name], rooms[name][step], step + lead)
        on_demand.scale(asked.on_demand, None, step + on_demand_lead)
        if not lead or not on_demand_lead:
            for pool in (*pools.values(), on_demand):
                pool.arrive(step)
        columns[:, step] = (
            sum(pool.ready for pool in pools.values()),
            sum(pool.held for pool in pools.values()),
            on_demand.ready,
            on_demand.held,
            asked.on_demand,
        )
    spot, spot_billed, ready, billed, counts = columns
    return PoolRun(
        need=world.need,
        spot=spot,
        spot_billed=spot_billed,
        on_demand=ready,
        on_demand_billed=billed,
        asked=counts,
    )


def _told(world: PoolWorld, name: str) -> Sequence[int]:
    """The fewest nodes that the zone will hold within the notice, at each step."""
    room = world.room[name]
    ahead = int(world.notice_s // world.step_s)
    padded = np.concatenate([room, np.full(ahead, room[-1])])
    windows = np.lib.stride_tricks.sliding_window_view(padded, ahead + 1)
    least: list[int] = windows.min(axis=1).tolist()
    return least


def clairvoyant(world: PoolWorld, *, spot_price: float) -> float:
    """Cost of the cheapest plan that knows every loss ahead and is never short, relative to on-demand.

    Every replica of the need is looked at alone, since on-demand has no limit: as long as any zone
    has room for one more, spot serves, and what lacks is on demand. Cold starts and the cost
    of changing zones are left out, so nobody reaches it: a bound from below.
    """
    total: Floats = np.zeros(world.need.size, dtype=np.float64)
    for room in world.room.values():
        total += room
    spot = np.minimum(total, world.need)
    return float((spot_price * spot + (world.need - spot)).sum() / world.need.sum())
