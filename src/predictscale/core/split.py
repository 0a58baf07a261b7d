"""One decision, split over the pools of a workload; or one pool's margin where its nodes are mixed.

It comes after the ceiling, which bounds what must serve. Cut after the split, on-demand would
be cut just when it stands in for spot; so each pool has a ceiling of its own, and all together
may hold more than the workload's while one replaces another. A margin on mixed nodes stays
below the ceiling as everything does.

Refuses to take silence for health: while pools cannot be seen the last split holds, more
need goes to on-demand, and in the end nothing is counted on but on-demand.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from predictscale.core.fallback import keep, plan_mixed, plan_pools
from predictscale.core.landing import land
from predictscale.core.plan import Policy
from predictscale.core.pools import (
    Kept,
    Pool,
    PoolKind,
    PoolMemory,
    PoolPlan,
    PoolPolicy,
    Pools,
    PoolsSeen,
    Share,
    SplitMemory,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """What was made of a need.

    Args:
        replicas: Of all pools, or the need with its margin.
        because: In words.
        shares: What each pool is told; none where there are no pools.
        plan: What was decided for the pools; None where they were not seen, or there are none.
    """

    replicas: int
    because: str
    shares: tuple[Share, ...] = ()
    plan: PoolPlan | None = None

    @property
    def published(self) -> int:
        """What all pools' HPAs are told together."""
        return sum(share.published for share in self.shares)

    @property
    def landed(self) -> str:
        """The same by pool, in words."""
        return "; ".join(f"{share.name} {_told(share)}: {share.because}" for share in self.shares)


def split(
    need: int, seen: PoolsSeen | None, policy: Policy, memory: SplitMemory, now: datetime, *, most: int
) -> tuple[Split, SplitMemory]:
    """Split what must serve over the workload's pools.

    Args:
        need: Replicas that must serve, within the ceiling.
        seen: The pools now; None if they cannot be seen.
        policy: The owner's settings, with pools.
        memory: What earlier decisions left.
        now: The instant of the decision.
        most: The ceiling, for a margin on mixed nodes; pools have their own.

    Returns:
        What each pool is told, and the memory for the next decision.

    Raises:
        ValueError: `need` is negative, or `now` lies before the last decision.
    """
    assert policy.pools is not None  # noqa: S101 - callers ask only where there are pools
    rule = replace(policy.pools.rule, lead_time_s=policy.lead_time_s)
    if not policy.pools.pools:
        found, after = _mixed(need, seen, rule, memory, now)
        return _below(found, most), after
    if seen is None:
        return _unseen(need, policy.pools, policy, memory, now), memory
    rule = replace(rule, even=any(len(pool.zones) > 1 for pool in policy.pools.pools))
    plan, pooled = plan_pools(need, seen, rule, memory.pools, now)
    kept = {
        pool.name: keep(
            memory.kept.get(pool.name, ()),
            now=now,
            number=sum(plan.margin[zone] for zone in pool.zones),
            hold_s=rule.hold_s,
        )
        for pool in policy.pools.pools
        if len(pool.zones) > 1
    }
    plan, pooled = _evened(plan, pooled, kept, policy.pools.pools, seen)
    because = "; ".join(step.because for step in plan.steps)
    whole = _over(plan, policy.pools.pools, seen, policy, because)
    return whole, SplitMemory(pools=pooled, last=plan, seen_at=now, kept=kept)


def _evened(
    plan: PoolPlan, memory: PoolMemory, kept: Mapping[str, Kept], pools: tuple[Pool, ...], seen: PoolsSeen
) -> tuple[PoolPlan, PoolMemory]:
    """The plan where pools of several zones are held as wholes, and spread evenly as one Deployment is.

    A zone's share cannot be asked for there. Held zone by zone, what is to leave one zone would be
    wanted twice.
    """
    spot, zones = dict(plan.spot), dict(memory.zones)
    covered = seen.on_demand_ready >= plan.on_demand
    for pool in pools:
        if pool.name not in kept:
            continue
        ready = sum(zone.ready for zone in seen.zones if zone.zone in pool.zones)
        # Make before break, as for a zone.
        wanted = max(kept[pool.name][0][1], 0 if covered else min(ready, plan.need))
        share, more = divmod(wanted, len(pool.zones))
        for place, zone in enumerate(pool.zones):
            spot[zone] = share + (place < more)
            zones[zone] = replace(zones[zone], wanted=spot[zone])
    return replace(plan, spot=spot), replace(memory, zones=zones)


def _over(
    plan: PoolPlan, pools: tuple[Pool, ...], seen: PoolsSeen | None, policy: Policy, because: str
) -> Split:
    shares = tuple(_share(pool, _wanted(pool, plan), seen, policy) for pool in pools)
    return Split(replicas=sum(share.wanted for share in shares), because=because, shares=shares, plan=plan)


def _wanted(pool: Pool, plan: PoolPlan) -> int:
    if pool.kind is PoolKind.ON_DEMAND:
        return plan.on_demand
    return sum(plan.spot.get(zone, 0) for zone in pool.zones)


def _share(pool: Pool, wanted: int, seen: PoolsSeen | None, policy: Policy) -> Share:
    """What a pool is told: within its ceiling, so that its HPA lands there."""
    within = min(wanted, pool.max_replicas)
    landed = land(
        within,
        landing=policy.landing,
        status_replicas=None if seen is None else _held(pool, seen),
        min_replicas=0,
        max_replicas=max(1, pool.max_replicas),
        tolerance=policy.hpa_tolerance,
    )
    cut = f"CUT from {wanted}: its max is {pool.max_replicas}; " if within < wanted else ""
    return Share(
        name=pool.name,
        kind=pool.kind,
        wanted=within,
        published=landed.published,
        available=True,
        because=cut + landed.because,
    )


def _held(pool: Pool, seen: PoolsSeen) -> int:
    """Replicas of a pool, serving or not."""
    if pool.kind is PoolKind.ON_DEMAND:
        return seen.on_demand_ready + seen.on_demand_pending
    return sum(zone.ready + zone.pending for zone in seen.zones if zone.zone in pool.zones)


def _unseen(need: int, pools: Pools, policy: Policy, memory: SplitMemory, now: datetime) -> Split:
    """What is told while pools cannot be seen."""
    all_of_it, last = max(need, pools.rule.base), memory.last
    if last is None or memory.seen_at is None:
        text = f"pools were never seen: {all_of_it} on demand, and of spot nothing is said"
        blank = PoolPlan(need=need, base=pools.rule.base, spot={}, on_demand=all_of_it, steps=())
        found = _over(blank, pools.pools, None, policy, text)
        shares = tuple(
            share if share.kind is PoolKind.ON_DEMAND else _silent(share) for share in found.shares
        )
        return replace(found, shares=shares, plan=None)
    silent_s = (now - memory.seen_at).total_seconds()
    if silent_s <= policy.stale_after_s:
        on_demand = last.on_demand + max(0, need - last.need)
        text = f"pools were last seen {silent_s:.0f} s ago: their split holds, and more need is met on demand"
    else:
        on_demand = max(last.on_demand, all_of_it)
        text = f"pools were last seen {silent_s:.0f} s ago: no spot is counted on, {on_demand} on demand"
    held = replace(last, need=need, on_demand=on_demand, steps=())
    return replace(_over(held, pools.pools, None, policy, text), plan=None)


def _silent(share: Share) -> Share:
    return replace(share, available=False, because="not known: its replicas were never seen")


def _mixed(
    need: int, seen: PoolsSeen | None, rule: PoolPolicy, memory: SplitMemory, now: datetime
) -> tuple[Split, SplitMemory]:
    """The need with a margin for the nodes that may be lost."""
    if seen is None:
        extra = 0 if memory.last is None else memory.last.replicas - memory.last.need
        why = f"nodes cannot be seen; the last margin of {extra} stays" if extra else "nodes cannot be seen"
        return Split(replicas=need + extra if need else 0, because=why), memory
    plan, after = plan_mixed(need, seen, rule, memory.pools, now)
    because = "; ".join(step.because for step in plan.steps)
    found = Split(replicas=plan.replicas, because=because, plan=plan)
    return found, SplitMemory(pools=after, last=plan, seen_at=now)


def _below(found: Split, most: int) -> Split:
    if found.replicas <= most:
        return found
    because = f"{found.because}; CUT from {found.replicas}: no more than {most} are allowed"
    return replace(found, replicas=most, because=because)


def _told(share: Share) -> str:
    return str(share.published) if share.available else "is told nothing"
