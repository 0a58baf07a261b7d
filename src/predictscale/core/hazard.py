"""How often spot nodes are lost, counted where we run: losses over node-hours of a zone.

A pool is one instance type in one zone. What is known of it has two layers. Over weeks
its losses, shrunk to those of the same type elsewhere, say what is normal. Over the last
hours they say what holds now: nodes that have just come back are lost an order of
magnitude more often than those that have stayed for a night, and a rate with a short
half-life falls with every calm hour just so. Losses within a zone come together; how
much is measured by moments, over windows as long as a fallback takes.

Refuses an advisor's table, which is off by orders of magnitude for accelerators, and
refuses to count hours that nobody watched: neither their losses nor their calm.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

UNWATCHED_S = 900.0
"""Between two looks further apart nothing is counted, except losses that a counter tells [s]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prior:
    """What is assumed before anything is counted, and how quickly it is forgotten.

    Args:
        per_node_hour: Losses of a node in an hour, where nothing is known [1/h].
        events: How many losses that assumption weighs.
        pooled_events: How many losses the same type in other zones may weigh at most.
        half_life_s: Of what is normal [s].
        recent_half_life_s: Of what holds now [s].
        recent_events: How many losses the normal rate weighs against recent ones.
        correlation: Of losses within a zone until `least_events` were seen, in [0, 1].
        least_events: Losses that a measured correlation needs.
    """

    per_node_hour: float = 0.05
    events: float = 0.5
    pooled_events: float = 2.0
    half_life_s: float = 14 * 86_400.0
    recent_half_life_s: float = 7_200.0
    recent_events: float = 0.5
    correlation: float = 0.5
    least_events: float = 20.0

    def __post_init__(self) -> None:
        above = (
            self.per_node_hour,
            self.events,
            self.pooled_events,
            self.half_life_s,
            self.recent_half_life_s,
            self.recent_events,
            self.least_events,
        )
        if not all(math.isfinite(number) and number > 0 for number in above):
            raise ValueError(f"prior: {self}; rates, weights and half-lives are finite and above 0")
        if not 0 <= self.correlation <= 1:
            raise ValueError(f"prior: correlation {self.correlation}; within [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Losses over exposure, older ones counting less.

    Args:
        events: Nodes that were lost.
        exposure_h: Node-hours in which they could be.
    """

    events: float = 0.0
    exposure_h: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.events < math.inf and 0 <= self.exposure_h < math.inf):
            raise ValueError(f"{self.events} losses in {self.exposure_h} node-hours; finite, 0 or more")

    def then(self, *, events: float, exposure_h: float, past: float) -> "Counted":
        """With what came since, and the past counted as the share `past`."""
        return Counted(events=past * self.events + events, exposure_h=past * self.exposure_h + exposure_h)


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Sums over windows of the nodes n at their beginnings and the lost k, for moments.

    Args:
        nodes: Sum of n.
        lost: Sum of k.
        nodes_squared: Sum of n squared.
        both: Sum of n times k.
        lost_squared: Sum of k squared.
    """

    nodes: float = 0.0
    lost: float = 0.0
    nodes_squared: float = 0.0
    both: float = 0.0
    lost_squared: float = 0.0

    def then(self, nodes: int, lost: int) -> "Together":
        """With one more window."""
        return Together(
            nodes=self.nodes + nodes,
            lost=self.lost + lost,
            nodes_squared=self.nodes_squared + nodes * nodes,
            both=self.both + nodes * lost,
            lost_squared=self.lost_squared + lost * lost,
        )

    def __add__(self, other: "Together") -> "Together":
        return Together(
            nodes=self.nodes + other.nodes,
            lost=self.lost + other.lost,
            nodes_squared=self.nodes_squared + other.nodes_squared,
            both=self.both + other.both,
            lost_squared=self.lost_squared + other.lost_squared,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What was counted of one pool; grows by `observed`, and can be rebuilt by replay.

    Args:
        normal: With the long half-life.
        recent: With the short one.
        together: Of all windows that ended.
        at: The last look; None before the first.
        nodes: Nodes at that look.
        window_since: When the window that is open began.
        window_nodes: Nodes at its beginning.
        window_lost: Lost in it until now.
    """

    normal: Counted = field(default_factory=Counted)
    recent: Counted = field(default_factory=Counted)
    together: Together = field(default_factory=Together)
    at: datetime | None = None
    nodes: int = 0
    window_since: datetime | None = None
    window_nodes: int = 0
    window_lost: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hazard:
    """The posterior of a pool's loss rate: Gamma(shape, rate).

    Args:
        shape: Losses, the prior's among them.
        rate_h: Node-hours, the prior's among them [h].
        because: In words.
    """

    shape: float
    rate_h: float
    because: str

    @property
    def per_node_hour(self) -> float:
        """Expected losses of a node in an hour [1/h]."""
        return self.shape / self.rate_h

    def loss(self, within_s: float, *, notice_s: float = 0.0) -> float:
        """Predictive probability that a node is lost within a time, less the notice that is given.

        What is not known of the rate is in it, so that it lies below that of the mean rate.

        Args:
            within_s: As long as a fallback takes to serve [s].
            notice_s: How long before a loss it is announced [s].
        """
        hours = max(0.0, within_s - notice_s) / 3600
        return -math.expm1(self.shape * (math.log(self.rate_h) - math.log(self.rate_h + hours)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """Of losses within a zone.

    Args:
        value: In [0, 1].
        measured: False while too few losses were seen and the prior's stands.
        because: In words.
    """

    value: float
    measured: bool
    because: str


def observed(
    record: Record, *, now: datetime, nodes: int, lost: int, window_s: float, prior: Prior
) -> Record:
    """The record after one more look.

    Args:
        record: Until now.
        now: The instant of the look.
        nodes: Nodes that are there.
        lost: Nodes that were taken from us since the last look; those that we gave up are not lost.
        window_s: Length of the windows over which losses count as coming together [s].
        prior: For its half-lives.

    Raises:
        ValueError: The look lies before the last one, or a count is negative.
    """
    if nodes < 0 or lost < 0:
        raise ValueError(f"{nodes} nodes, {lost} lost; nodes are counted")
    if record.at is None:
        return replace(record, at=now, nodes=nodes, window_since=now, window_nodes=nodes)
    passed_s = (now - record.at).total_seconds()
    if passed_s < 0:
        raise ValueError(f"a look at {now} after one at {record.at}; they come in order")
    watched = passed_s <= UNWATCHED_S
    exposure_h = record.nodes * passed_s / 3600 if watched else 0.0
    # Without the hours the losses of that time would make a rate of nothing.
    events = lost if watched else 0
    after = replace(
        record,
        normal=record.normal.then(
            events=events, exposure_h=exposure_h, past=0.5 ** (passed_s / prior.half_life_s)
        ),
        recent=record.recent.then(
            events=events, exposure_h=exposure_h, past=0.5 ** (passed_s / prior.recent_half_life_s)
        ),
        at=now,
        nodes=nodes,
        window_lost=record.window_lost + events,
    )
    return _windowed(after, now=now, window_s=window_s, watched=watched)


def counted_elsewhere(record: Record, counted: Counted) -> Record:
    """A record that begins with what counters say of the past: losses and node-hours of this pool."""
    return replace(record, normal=counted)


def hazard(record: Record, siblings: Iterable[Record], prior: Prior, *, design: float = 1.0) -> Hazard:
    """The rate at which nodes of a pool are lost now.

    Args:
        record: Of the pool.
        siblings: Of the same type in other zones.
        prior: Where nothing is known.
        design: How many losses that come together tell as much as one, at least 1; `together_counts`.

    Source:
        Gamma-Poisson, models.md section 4, applied twice: the normal rate is the recent one's prior.
    """
    usual = normal(record, siblings, prior, design=design)
    mean = usual.per_node_hour
    recent = record.recent
    shape = prior.recent_events + recent.events / design
    rate_h = prior.recent_events / mean + recent.exposure_h / design
    return Hazard(
        shape=shape,
        rate_h=rate_h,
        because=(
            f"{shape / rate_h:.2g} losses per node-hour now: {recent.events:.1f} in {recent.exposure_h:.1f} "
            f"recent node-hours, normal are {usual.because}"
        ),
    )


def normal(record: Record, siblings: Iterable[Record], prior: Prior, *, design: float = 1.0) -> Hazard:
    """The same over weeks, without what holds now.

    The type's losses in other zones are the prior of a zone, weighing `pooled_events` at most:
    a small pool is drawn to its type, a large one speaks for itself.
    """
    others = [other.normal for other in siblings]
    shape = prior.events + sum(other.events for other in others) / design
    rate_h = prior.events / prior.per_node_hour + sum(other.exposure_h for other in others) / design
    weight = min(1.0, prior.pooled_events / shape)
    own = record.normal
    found = Hazard(
        shape=weight * shape + own.events / design,
        rate_h=weight * rate_h + own.exposure_h / design,
        because="",
    )
    text = (
        f"{found.per_node_hour:.2g}, from {own.events:.1f} in {own.exposure_h:.0f} node-hours and "
        f"{shape / rate_h:.2g} {'in other zones' if others else 'assumed'}"
    )
    return replace(found, because=text)


def correlation(records: Iterable[Record], prior: Prior) -> Correlation:
    """How much losses of a type come together within a zone, by moments over all its zones.

    Windows differ in their numbers of nodes n, so the excess of the variance of the lost over
    the binomial's is set against the sum of n (n - 1) q (1 - q). At least 0: less than the
    binomial is noise.

    Source:
        models.md section 4.
    """
    sums = Together()
    for record in records:
        sums = sums + record.together
    pairs = sums.nodes_squared - sums.nodes
    if sums.lost < prior.least_events or pairs <= 0 or sums.lost >= sums.nodes:
        text = (
            f"{prior.correlation:.2g} assumed: {sums.lost:.0f} of the {prior.least_events:.0f} losses that a "
            "measurement needs were seen among several nodes"
        )
        return Correlation(value=prior.correlation, measured=False, because=text)
    share = sums.lost / sums.nodes
    around = sums.lost_squared - 2 * share * sums.both + share * share * sums.nodes_squared
    excess = around - share * (1 - share) * sums.nodes
    value = min(1.0, max(0.0, excess / (share * (1 - share) * pairs)))
    text = f"{value:.2f} measured from {sums.lost:.0f} losses"
    return Correlation(value=value, measured=True, because=text)


def together_counts(records: Iterable[Record], correlated: float) -> float:
    """How many losses tell as much as one, because they come together; at least 1.

    Source:
        Kish's design effect, 1 + (n - 1) rho, n the mean of nodes weighed by nodes.
    """
    sums = Together()
    for record in records:
        sums = sums + record.together
    if not sums.nodes:
        return 1.0
    return 1 + max(0.0, sums.nodes_squared / sums.nodes - 1) * correlated


def _windowed(record: Record, *, now: datetime, window_s: float, watched: bool) -> Record:
    """Close the window that is open if its time has come; one with a gap in it is dropped."""
    since = record.window_since
    if since is not None and watched and (now - since).total_seconds() < window_s:
        return record
    together = record.together
    if watched and record.window_nodes:
        # Nodes that came within the window and were lost again would make more than all.
        together = together.then(record.window_nodes, min(record.window_nodes, record.window_lost))
    return replace(record, together=together, window_since=now, window_nodes=record.nodes, window_lost=0)
