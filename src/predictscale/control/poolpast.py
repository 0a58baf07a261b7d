"""What a start of the service learns of its pools' past: losses over node-hours of the last days.

Looks of five minutes stand for those that nobody took. They see a node that is lost and replaced
within one of them as if nothing had been, so a service that just started counts a little less
than one that has watched all along; hazards are graded, and the two agree within one grade
or a few until the short half-life has passed. What is remembered beside hazards is lived
through again, tick by tick, by the tracker.

Refuses to count what the owner gave up: replicas that vanish as fewer are wanted are not lost.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from predictscale.core.hazard import Record, observed
from predictscale.core.pools import PoolPolicy

PAST_S = 7 * 86400.0
"""So much of the past is read [s]."""
LOOK_S = 300.0
"""Between two of its looks [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLook:
    """One look at a spot pool.

    Args:
        at: When.
        ready: Replicas that served, by zone.
        wanted: Replicas that its Deployment was told to have; None if nobody told.
        lost: Nodes that were lost since the look before, by zone; None where nothing counts them.
    """

    at: datetime
    ready: Mapping[str, int]
    wanted: int | None
    lost: Mapping[str, int] | None


def records(looks: Sequence[PastLook], zones: Sequence[str], rule: PoolPolicy) -> dict[str, Record]:
    """What is counted of each zone of a pool, as if it had been watched.

    Args:
        looks: In order; those at which the pool was not seen are left out.
        zones: Its zones.
        rule: For prior, lead time and replicas per node.
    """
    found = dict.fromkeys(zones, Record())
    before: PastLook | None = None
    for look in looks:
        lost = _lost(before, look, zones, rule)
        for zone in zones:
            found[zone] = observed(
                found[zone],
                now=look.at,
                nodes=_nodes(look.ready.get(zone, 0), rule),
                lost=lost[zone],
                window_s=rule.lead_time_s,
                prior=rule.prior,
            )
        before = look
    return found


def _lost(
    before: PastLook | None, look: PastLook, zones: Sequence[str], rule: PoolPolicy
) -> Mapping[str, int]:
    """Nodes that were lost in each zone between two looks."""
    if look.lost is not None:
        return {zone: look.lost.get(zone, 0) for zone in zones}
    if before is None:
        return dict.fromkeys(zones, 0)
    given_up = 0
    if before.wanted is not None and look.wanted is not None:
        given_up = max(0, before.wanted - look.wanted)
    lost = {}
    for zone in zones:
        vanished = max(0, before.ready.get(zone, 0) - look.ready.get(zone, 0))
        spared = min(vanished, given_up)
        given_up -= spared
        lost[zone] = _nodes(vanished - spared, rule)
    return lost


def _nodes(replicas: int, rule: PoolPolicy) -> int:
    return -(-replicas // rule.replicas_per_node)
