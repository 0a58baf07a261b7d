"""How many spot replicas cover a need although some will be lost.

The probability is that of `losses`, exact. The answer is the smallest even spread over the
steadiest zones, which is how a topology spread constraint lays pods; of equally many
nodes, the spread that covers best. It departs twice from the bare minimum. What is enough
must be enough for any lower correlation too: perfect correlation can need fewer than
none, where one loss is already too many. And not all zones need be used: a zone more can
be a risk more. So more hazard, correlation, availability or need never means fewer, and
more zones never means more.

Refuses to answer with spot where no number of nodes is enough: there the cure is
another zone, or on-demand.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from predictscale.core.losses import covered

CORRELATION_STEP = 0.1
"""Correlations are rounded up to whole steps; nothing measures them finer."""

_MOST_TIMES = 16
_SPLITS = 64
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Zone:
    """A zone in which spot nodes can be had.

    Args:
        name: As in the cluster's labels.
        loss: Probability that a node is lost before a fallback would serve, in [0, 1].
        room: The most nodes that can be had in it; None if no limit is known.
    """

    name: str
    loss: float
    room: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.loss <= 1:
            raise ValueError(f"{self.name}: loss {self.loss}; a probability lies within [0, 1]")
        if self.room is not None and self.room < 0:
            raise ValueError(f"{self.name}: room for {self.room} nodes; nodes are counted")


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """Spot nodes that cover a need together with replicas that are not lost.

    Args:
        need: Replicas that must serve.
        base: Replicas on demand.
        nodes: Spot nodes in each zone, in the order that was asked; 0 where none are wanted.
        replicas_per_node: Replicas that go with a node.
        covered: Probability that `need` replicas are left, at the correlation that was asked.
        because: In words.
    """

    need: int
    base: int
    nodes: tuple[int, ...]
    replicas_per_node: int
    covered: float
    because: str

    @property
    def spot(self) -> int:
        """Spot replicas."""
        return sum(self.nodes) * self.replicas_per_node

    @property
    def extra(self) -> int:
        """Replicas beyond the need."""
        return self.base + self.spot - self.need


def margin(
    need: int,
    zones: Sequence[Zone],
    *,
    correlation: float,
    availability: float,
    base: int = 0,
    replicas_per_node: int = 1,
    most_nodes: int | None = None,
    even: bool = False,
) -> Margin | None:
    """The fewest spot nodes such that base and survivors cover the need.

    Args:
        need: Replicas that must serve.
        zones: Where nodes can be had.
        correlation: Of losses within a zone, in [0, 1]; rounded up to `CORRELATION_STEP`.
        availability: Wanted probability that the need is covered, in (0, 1).
        base: Replicas on demand, which are not lost.
        replicas_per_node: Replicas that go with a node; the node is the unit of loss.
        most_nodes: Give up beyond; None for 16 times the need.
        even: Whether all zones are used, as far as they have room; then a zone more can mean more.

    Returns:
        The margin; None if not even `most_nodes` are enough, or the zones have no room.

    Raises:
        ValueError: A number cannot be.
    """
    _check(need, base=base, correlation=correlation, availability=availability, per_node=replicas_per_node)
    order = sorted(range(len(zones)), key=lambda place: (zones[place].loss, place))
    need_nodes = -(-max(0, need - base) // replicas_per_node)
    most = _MOST_TIMES * max(1, need_nodes) if most_nodes is None else most_nodes
    spread = _fewest(
        need_nodes,
        tuple((zones[place].loss, zones[place].room) for place in order),
        round_up(correlation),
        availability,
        most,
        even=even,
    )
    if spread is None:
        return None
    nodes = [0] * len(zones)
    for place, count in zip(order, spread, strict=True):
        nodes[place] = count
    reached = covered(nodes, [zone.loss for zone in zones], round_up(correlation), need_nodes)
    found = Margin(
        need=need,
        base=base,
        nodes=tuple(nodes),
        replicas_per_node=replicas_per_node,
        covered=reached,
        because=_words(
            need, base, zones, nodes, per_node=replicas_per_node, asked=(correlation, availability)
        ),
    )
    assert found.extra >= 0 or need_nodes == 0  # noqa: S101 - our own bug, not input
    return found


def cheapest(
    need: int,
    zones: Sequence[Zone],
    *,
    correlation: float,
    availability: float,
    on_demand_price: float,
    spot_price: float,
    base: int = 0,
    replicas_per_node: int = 1,
    even: bool = False,
) -> Margin:
    """The cheapest split into on-demand and spot that covers the need; nearly always one or the other.

    All on demand is the answer where spot is no cheaper. Equal costs go to more on demand.
    For large needs 64 splits are compared, evenly spaced.

    Args:
        need: Replicas that must serve.
        zones: Where spot nodes can be had.
        correlation: Of losses within a zone.
        availability: Wanted probability that the need is covered.
        on_demand_price: Of a replica, in any unit.
        spot_price: Of a replica, in the same unit.
        base: Never fewer replicas on demand than this.
        replicas_per_node: Replicas that go with a spot node.
        even: Whether all zones are used.

    Raises:
        ValueError: A number cannot be.
    """
    if not (0 < on_demand_price < math.inf and 0 < spot_price < math.inf):
        raise ValueError(f"prices: on demand {on_demand_price}, spot {spot_price}; above 0")
    _check(need, base=base, correlation=correlation, availability=availability, per_node=replicas_per_node)
    all_base = max(need, base)
    best, cost = _only_on_demand(all_base, need, zones, replicas_per_node), on_demand_price * all_base
    step = max(1, -(-(all_base - base) // _SPLITS))
    for more in range(base, all_base, step):
        least = on_demand_price * more + spot_price * (need - more)
        if least >= cost * (1 - _ROUNDING):
            break
        nodes = math.ceil((cost - on_demand_price * more) / (spot_price * replicas_per_node) - _ROUNDING) - 1
        found = margin(
            need, zones, correlation=correlation, availability=availability, base=more,
            replicas_per_node=replicas_per_node, most_nodes=nodes, even=even,
        )  # fmt: skip
        if found is not None:
            best, cost = found, on_demand_price * more + spot_price * found.spot
    return best


def round_up(correlation: float) -> float:
    """The correlation on the grid of `CORRELATION_STEP`, not below what was given."""
    steps = math.ceil(correlation / CORRELATION_STEP - _ROUNDING)
    return min(1.0, round(steps * CORRELATION_STEP, 9))


def _check(need: int, *, base: int, correlation: float, availability: float, per_node: int) -> None:
    if need < 0 or base < 0 or per_node < 1:
        raise ValueError(f"need {need}, base {base}, {per_node} per node; replicas are counted")
    if not (0 <= correlation <= 1 and 0 < availability < 1):
        raise ValueError(f"correlation {correlation} in [0, 1], availability {availability} in (0, 1)")


def _upto(correlation: float) -> Iterator[float]:
    """The correlations of the grid up to this one, highest first."""
    steps = round(correlation / CORRELATION_STEP)
    return (round(step * CORRELATION_STEP, 9) for step in range(steps, -1, -1))


def _spread(total: int, rooms: Sequence[int | None]) -> tuple[int, ...] | None:
    """So many nodes round-robin over zones, as even as rooms allow; None if they do not fit."""
    counts, left = [0] * len(rooms), total
    open_places = list(range(len(rooms)))
    while left and open_places:
        share, more = divmod(left, len(open_places))
        for turn, place in enumerate(list(open_places)):
            room, wants = rooms[place], share + (turn < more)
            gets = wants if room is None else min(wants, room - counts[place])
            counts[place] += gets
            left -= gets
            if room is not None and counts[place] == room:
                open_places.remove(place)
    return None if left else tuple(counts)


@lru_cache(maxsize=65_536)
def _fewest(
    need: int,
    zones: tuple[tuple[float, int | None], ...],
    correlation: float,
    availability: float,
    most: int,
    *,
    even: bool,
) -> tuple[int, ...] | None:
    """Nodes in each of the zones, which are sorted by loss; None if `most` are not enough."""
    if need == 0:
        return (0,) * len(zones)
    best: tuple[int, ...] | None = None
    likely = 0.0
    for used in range(len(zones), len(zones) - 1 if even else 0, -1):
        found = _fewest_over(need, zones[:used], correlation, availability, most)
        if found is None:
            continue
        chance = covered(found, [loss for loss, _ in zones[:used]], correlation, need)
        if sum(found) < most or best is None or chance > likely + _ROUNDING:
            best, most, likely = found + (0,) * (len(zones) - used), sum(found), chance
    return best


def _fewest_over(
    need: int, zones: Sequence[tuple[float, int | None]], correlation: float, availability: float, most: int
) -> tuple[int, ...] | None:
    """The same with an even spread over all of them."""
    losses, rooms = [loss for loss, _ in zones], [room for _, room in zones]
    most = most if None in rooms else min(most, sum(room for room in rooms if room is not None))
    wanted = availability * (1 - _ROUNDING)

    def enough(total: int, rho: float) -> bool:
        counts = _spread(total, rooms)
        return counts is not None and covered(counts, losses, rho, need) >= wanted

    total = need
    for rho in _upto(correlation):
        if total > most:
            return None
        if enough(total, rho):
            continue
        if not enough(most, rho):
            return None
        below, reach = total, 1
        while below + reach < most and not enough(below + reach, rho):
            below, reach = below + reach, 2 * reach
        above = min(most, below + reach)
        while above - below > 1:
            middle = (above + below) // 2
            below, above = (below, middle) if enough(middle, rho) else (middle, above)
        total = above
    return _spread(total, rooms) if total <= most else None


def _only_on_demand(base: int, need: int, zones: Sequence[Zone], per_node: int) -> Margin:
    return Margin(
        need=need,
        base=base,
        nodes=(0,) * len(zones),
        replicas_per_node=per_node,
        covered=1.0,
        because=f"{need} needed, all on demand: no split with spot covers them for less",
    )


def _words(
    need: int,
    base: int,
    zones: Sequence[Zone],
    nodes: Sequence[int],
    *,
    per_node: int,
    asked: tuple[float, float],
) -> str:
    spot = sum(nodes) * per_node
    where = ", ".join(f"{count} in {zone.name}" for zone, count in zip(zones, nodes, strict=True) if count)
    risks = [zone.loss for zone, count in zip(zones, nodes, strict=True) if count]
    if not risks:
        return f"{need} needed, {base} on demand are enough"
    least, worst = min(risks), max(risks)
    hazard = f"{worst:.2%}" if worst - least < 5e-5 else f"{least:.2%} to {worst:.2%}"
    unit = "nodes" if per_node == 1 else f"nodes of {per_node} replicas"
    return (
        f"{need} needed, {base} on demand + {spot} spot ({where}; {base + spot - need} more than needed): "
        f"{hazard} of {unit} are lost before a fallback serves, correlation within a zone "
        f"{asked[0]:.2g}, and {asked[1]:.4g} of cases are to be covered"
    )
