"""One decision for all pools of a workload: on-demand base, spot by zone, on-demand in spot's place.

On-demand rises in the same look that tells of a loss, a notice, or a launch that failed,
since only ready spot counts. It falls no sooner than a stated time after it was last
needed, so that a pool that comes and goes moves it once. Spot is given up only when what
replaces it serves. Zones that just lost nodes get no new ones for a while, unless all did.

Memory is a value that is passed in and out, time is an argument. Refuses to read silence
as loss or as health: without a counter of losses it counts replicas that vanished, and
an offering that nobody speaks of is neither there nor gone.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache

from predictscale.core.hazard import (
    correlation,
    hazard,
    observed,
    together_counts,
)
from predictscale.core.pools import (
    Kept,
    PoolMemory,
    PoolPlan,
    PoolPolicy,
    PoolsSeen,
    PoolStage,
    PoolStep,
    ZoneMemory,
    ZoneSeen,
)
from predictscale.core.spot import Margin, Zone, cheapest, margin, round_up

_GRADES = 20
_MOST_MIXED = 2
_TOTAL = "total"


def plan_pools(
    need: int, seen: PoolsSeen, policy: PoolPolicy, memory: PoolMemory, now: datetime
) -> tuple[PoolPlan, PoolMemory]:
    """Decide on all pools of a workload together.

    Args:
        need: Replicas that must serve, whatever they run on.
        seen: The pools at this instant.
        policy: What the owner wants.
        memory: What earlier decisions left.
        now: The instant of the decision.

    Returns:
        The plan with one step for each stage, and the memory for the next decision.

    Raises:
        ValueError: `need` is negative, or `now` lies before the last decision.
    """
    zones = _zones(need, seen, policy, memory, now)
    risks = _risks(zones, policy)
    chosen = _margin(need, _choice(seen.zones, zones, risks, policy, now), risks, policy)
    filled, why = _fill(need, seen.zones, chosen, policy)
    kept = keep(memory.kept, now=now, number=filled, hold_s=policy.hold_s)
    on_demand = max(filled, min(kept[0][1], max(need, policy.base)))
    steps = (
        PoolStep(PoolStage.HAZARD, max(risks.losses.values(), default=0.0), risks.because),
        PoolStep(PoolStage.MARGIN, chosen.spot, chosen.because),
        PoolStep(PoolStage.FALLBACK, filled, why),
        PoolStep(PoolStage.HOLD, on_demand, _held_words(kept, filled, on_demand, policy)),
    )
    # Make before break: spot goes only when what stands in for it serves.
    covered = seen.on_demand_ready >= on_demand
    after = {
        zone.zone: _wanted(zone, zones[zone.zone], nodes, policy, now=now, may_fall=covered)
        for zone, nodes in zip(seen.zones, chosen.nodes, strict=True)
    }
    plan = PoolPlan(
        need=need,
        base=chosen.base,
        spot={name: zone.wanted for name, zone in after.items()},
        on_demand=on_demand,
        steps=steps,
        margin={
            zone.zone: count * policy.replicas_per_node
            for zone, count in zip(seen.zones, chosen.nodes, strict=True)
        },
    )
    return plan, PoolMemory(zones=after, kept=kept)


def plan_mixed(
    need: int, seen: PoolsSeen, policy: PoolPolicy, memory: PoolMemory, now: datetime
) -> tuple[PoolPlan, PoolMemory]:
    """Add a margin to the need of a workload whose one Deployment runs on nodes of which some may be lost.

    Nodes that are announced to go are replaced at once. The margin is held, as on-demand is; it is never
    more than the need: where that is not enough, nodes of one kind are no cure.

    Args:
        need: Replicas that must serve.
        seen: The Deployment as zones; nothing of it is on demand for certain but the policy's base.
        policy: What the owner wants.
        memory: What earlier decisions left.
        now: The instant of the decision.

    Returns:
        The plan, which tells all but the base as spot, and the memory for the next decision.

    Raises:
        ValueError: `need` is negative, or `now` lies before the last decision.
    """
    zones = _zones(need, seen, policy, memory, now)
    risks, base = _risks(zones, policy), min(policy.base, need)
    most = _nodes(_MOST_MIXED * need - base, policy)
    found = margin(
        need,
        tuple(Zone(name=zone.zone, loss=risks.losses[zone.zone]) for zone in seen.zones),
        correlation=round_up(risks.correlated),
        availability=policy.availability,
        base=base,
        replicas_per_node=policy.replicas_per_node,
        most_nodes=most,
        even=True,
    )
    spot = most * policy.replicas_per_node if found is None else found.spot
    leaving = sum(zone.noticed + zone.rebalanced for zone in seen.zones) if need else 0
    wanted = base + spot + leaving * policy.replicas_per_node
    # A margin is held, not the need that it was added to, which is held already.
    extra = wanted - need
    kept = keep(memory.kept, now=now, number=extra, hold_s=policy.hold_s)
    held = kept[0][1] if need else extra
    going = f"; {leaving} nodes are announced to go or at risk" if leaving else ""
    share = -(-(need + held) // len(seen.zones))
    after = {name: replace(zone, wanted=share) for name, zone in zones.items()}
    plan = PoolPlan(
        need=need,
        base=base,
        spot={_TOTAL: need + held - base},
        on_demand=base,
        steps=(
            PoolStep(PoolStage.HAZARD, max(risks.losses.values(), default=0.0), risks.because),
            PoolStep(PoolStage.MARGIN, base + spot, _mixed_words(need, spot, found) + going),
            PoolStep(PoolStage.HOLD, need + held, _extra_words(kept, extra, held, policy)),
        ),
    )
    return plan, PoolMemory(zones=after, kept=kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Risks:
    """The loss probability of a node in each zone, and how losses come together."""

    losses: Mapping[str, float]
    correlated: float
    because: str


def _risks(zones: Mapping[str, ZoneMemory], policy: PoolPolicy) -> _Risks:
    records = [zone.record for zone in zones.values()]
    correlated = correlation(records, policy.prior)
    design = together_counts(records, correlated.value)
    losses, texts = {}, []
    for name, zone in zones.items():
        siblings = [other.record for key, other in zones.items() if key != name]
        rate = hazard(zone.record, siblings, policy.prior, design=design)
        losses[name] = _graded(rate.loss(policy.lead_time_s, notice_s=policy.notice_s))
        texts.append(f"{name}: {rate.because}")
    because = f"{'; '.join(texts)}; correlation {correlated.because}" if texts else "no spot pool is known"
    return _Risks(losses=losses, correlated=correlated.value, because=because)


def _zones(
    need: int, seen: PoolsSeen, policy: PoolPolicy, memory: PoolMemory, now: datetime
) -> dict[str, ZoneMemory]:
    """What is remembered of each zone once this look is in it.

    Raises:
        ValueError: `need` is negative, or `now` lies before the last decision.
    """
    if need < 0:
        raise ValueError(f"need: {need}; replicas are counted")
    return {
        zone.zone: _looked(zone, memory.zones.get(zone.zone, ZoneMemory()), policy, now)
        for zone in seen.zones
    }


def _looked(zone: ZoneSeen, before: ZoneMemory, policy: PoolPolicy, now: datetime) -> ZoneMemory:
    """The zone's memory with what this look tells."""
    vanished = min(before.ready, before.wanted) - zone.ready
    lost = max(0, -(-vanished // policy.replicas_per_node)) if zone.lost is None else zone.lost
    record = observed(
        before.record,
        now=now,
        nodes=_nodes(zone.ready, policy),
        lost=lost,
        window_s=policy.lead_time_s,
        prior=policy.prior,
    )
    troubled = lost > 0 or zone.noticed > 0
    return replace(before, record=record, ready=zone.ready, trouble_at=now if troubled else before.trouble_at)


def _choice(
    seen: Sequence[ZoneSeen],
    zones: Mapping[str, ZoneMemory],
    risks: _Risks,
    policy: PoolPolicy,
    now: datetime,
) -> tuple[Zone, ...]:
    """The zones as the margin is to see them: those that refuse or are avoided have no room for more."""
    since = now - timedelta(seconds=policy.avoid_s)
    avoided = {name for name, zone in zones.items() if zone.trouble_at and zone.trouble_at > since}
    if len(avoided) == len(zones):
        avoided = set()
    return tuple(
        Zone(
            name=zone.zone,
            loss=risks.losses[zone.zone],
            room=_steady(zone, policy) if zone.refuses or zone.zone in avoided else None,
        )
        for zone in seen
    )


def _margin(need: int, zones: tuple[Zone, ...], risks: _Risks, policy: PoolPolicy) -> Margin:
    """The cheapest base and spot over them."""
    return _cheapest(
        need,
        zones,
        correlation=round_up(risks.correlated),
        availability=policy.availability,
        on_demand_price=policy.on_demand_price,
        spot_price=policy.spot_price,
        base=policy.base,
        replicas_per_node=policy.replicas_per_node,
        even=policy.even,
    )


def _fill(need: int, seen: Sequence[ZoneSeen], margin: Margin, policy: PoolPolicy) -> tuple[int, str]:
    """On-demand replicas: the base, and one for each spot replica that is wanted and cannot be relied on."""
    ready = sum(_steady(zone, policy) for zone in seen) * policy.replicas_per_node
    announced = sum(zone.noticed + zone.rebalanced for zone in seen)
    going = f", {announced} nodes are announced to go or at risk" if announced else ""
    refusing = [zone.zone for zone in seen if zone.refuses]
    refused = f", no more from {', '.join(refusing)}" if refusing else ""
    missing = max(0, margin.spot - ready)
    filled = min(max(need, margin.base), margin.base + missing)
    text = f"base {margin.base} + {missing}: {margin.spot} spot wanted, {ready} ready{going}{refused}"
    return filled, text + ("" if filled == margin.base + missing else f"; no more than the need of {need}")


# Hazards are graded, so that the same questions come again and again.
_cheapest = lru_cache(maxsize=16_384)(cheapest)


def _wanted(
    zone: ZoneSeen, memory: ZoneMemory, nodes: int, policy: PoolPolicy, *, now: datetime, may_fall: bool
) -> ZoneMemory:
    """The zone's memory with the replicas that are wanted in it."""
    kept = keep(memory.kept, now=now, number=nodes, hold_s=policy.hold_s)
    ready = _nodes(zone.ready, policy)
    # A zone that refuses is asked for one more than it gave, to see when it gives again.
    probing = ready + policy.probes if zone.refuses else policy.probes
    most = max(kept[0][1], probing, 0 if may_fall else ready)
    return replace(memory, kept=kept, wanted=most * policy.replicas_per_node)


def keep(kept: Kept, *, now: datetime, number: int, hold_s: float) -> Kept:
    """The trailing window of `hold_s` seconds with one more number; the first is the highest."""
    since = now - timedelta(seconds=hold_s)
    return (*((at, old) for at, old in kept if since < at < now and old > number), (now, number))


def _held_words(kept: Kept, filled: int, on_demand: int, policy: PoolPolicy) -> str:
    if on_demand == filled:
        return f"no more were needed in the last {policy.hold_s:.0f} s"
    at, most = kept[0]
    ends = at + timedelta(seconds=policy.hold_s)
    return f"{most} were needed at {at:%H:%M:%S}; no fewer than {on_demand} until {ends:%H:%M:%S} UTC"


def _mixed_words(need: int, spot: int, found: Margin | None) -> str:
    if found is None:
        return (
            f"{need} needed, {spot} on nodes that may be lost: {_MOST_MIXED} times the need would not "
            "cover them as wanted; the cure is a zone more, or a pool on demand"
        )
    return found.because


def _extra_words(kept: Kept, extra: int, held: int, policy: PoolPolicy) -> str:
    if held == extra:
        return f"no larger margin was needed in the last {policy.hold_s:.0f} s"
    at, most = kept[0]
    ends = at + timedelta(seconds=policy.hold_s)
    return f"a margin of {most} was needed at {at:%H:%M:%S}; no smaller until {ends:%H:%M:%S} UTC"


def _nodes(replicas: int, policy: PoolPolicy) -> int:
    return -(-replicas // policy.replicas_per_node)


def _steady(zone: ZoneSeen, policy: PoolPolicy) -> int:
    """Nodes that serve and are not announced to go, nor at risk."""
    return max(0, zone.ready // policy.replicas_per_node - zone.noticed - zone.rebalanced)


def _graded(loss: float) -> float:
    """Rounded up to twenty steps a decade: no rate is known finer, and equal questions are answered once."""
    if loss <= 1e-9:
        return 1e-9
    return min(1.0, 10 ** (math.ceil(math.log10(loss) * _GRADES - 1e-9) / _GRADES))
