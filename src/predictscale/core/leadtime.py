"""How long a new replica really takes to serve, from the pods that started lately.

The time has two humps: with a free accelerator a pod loads its model, without one
a node is bought first. Both are kept apart, and the quantile over all of them is
what a decision plans with, since it cannot know which kind the next start will
be. What lies between a decision and a pod (scrape, poll, sync, rate limits) is
added by name.

Refuses to measure from a handful of starts: the configured value stands until
there are enough. Refuses to forget a start that hangs: it counts as slower than
the rest, up to `GIVE_UP_S`, where a start has failed and says no more of time.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from predictscale.core.podstarts import Node, PodStart, Took, first_starts, quantile_s

LEVEL = 0.9
LAST_STARTS = 50
LEAST_STARTS = 8
CONFIGURED_S = 300.0
"""Where nobody configured a lead time and none is measured [s]."""

GIVE_UP_S = 3600.0
"""A start that takes longer has failed; the longest that was published is a compilation of 2,222 s."""

BOUGHT_AFTER_S = 30.0
"""A scheduler with a free accelerator binds within seconds; who waits longer waits for a node [s]."""

_FAR_APART = 1.5
_LEAST_OF_A_KIND = 3
_EXPLAINED = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """What passes between a change of demand and the creation of pods, beside the decision itself.

    Args:
        scrape_s: Until the change is in the series: scrape interval and half the rate's window [s].
        poll_s: KEDA's polling [s].
        sync_s: The HPA's sync [s].
        rate_limit_s: What the HPA's scale-up policies hold back [s].
    """

    scrape_s: float = 0.0
    poll_s: float = 0.0
    sync_s: float = 0.0
    rate_limit_s: float = 0.0

    def __post_init__(self) -> None:
        for name, delay_s in self.named():
            if not (math.isfinite(delay_s) and delay_s >= 0):
                raise ValueError(f"{name}: {delay_s} s; a delay is finite, 0 or more")

    def named(self) -> tuple[tuple[str, float], ...]:
        """Each with the name that reasons use [s]."""
        return (
            ("scrape", self.scrape_s),
            ("poll", self.poll_s),
            ("HPA sync", self.sync_s),
            ("rate limit", self.rate_limit_s),
        )

    @property
    def total_s(self) -> float:
        """All of them [s]."""
        return sum(delay_s for _, delay_s in self.named())


@dataclass(frozen=True, slots=True, kw_only=True)
class Starts:
    """The starts of one kind.

    Args:
        start_s: Quantile of the time from created to ready [s]; None while too few became ready.
        seen: False if `start_s` is a lower bound, for too many are pending.
        ready: How many became ready.
        pending: How many have not, yet.
    """

    start_s: float | None
    seen: bool
    ready: int
    pending: int

    @classmethod
    def of(cls, took: Sequence[Took], *, level: float, least: int) -> "Starts":
        """Counted, and measured if at least `least` became ready."""
        ready = sum(start.done for start in took)
        found = quantile_s(took, level) if ready >= least else None
        start_s, seen = found or (None, False)
        return cls(start_s=start_s, seen=seen, ready=ready, pending=len(took) - ready)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadTime:
    """From a decision to serving replicas.

    Args:
        lead_s: What to plan with: the measured one, else the configured [s].
        measured_s: Starts and delays together [s]; None while too few were seen.
        configured_s: What the owner says, delays included [s].
        starts: All of the last ones.
        kinds: The same, by whether a node was there.
        delays: What was added to the starts.
        refused: Pods whose instants contradict each other.
        failed: Pods that took longer than a start may, or hang; in `starts` with that time.
        samples_s: How long each of the last starts took that became ready, by when it was created [s].
        because: In words.
    """

    lead_s: float
    measured_s: float | None
    configured_s: float
    starts: Starts
    kinds: Mapping[Node, Starts]
    delays: Delays
    refused: int
    failed: int
    samples_s: tuple[float, ...]
    because: str


def lead_time(
    looks: Iterable[PodStart],
    *,
    now: datetime,
    delays: Delays,
    configured_s: float = CONFIGURED_S,
    level: float = LEVEL,
    last: int = LAST_STARTS,
    least: int = LEAST_STARTS,
) -> LeadTime:
    """Measure the lead time from what was told of pods.

    Args:
        looks: In any order, several of one pod if they were taken at several times.
        now: The instant of the measurement.
        delays: What to add to starts.
        configured_s: The owner's lead time, from decision to serving [s].
        level: The share of starts that are no slower, in (0, 1).
        last: How many of the newest pods count.
        least: How many of them must have become ready.

    Raises:
        ValueError: `level`, `last`, `least` or `configured_s` cannot be.
    """
    if not (0 < level < 1 and last >= least >= 1 and math.isfinite(configured_s) and configured_s >= 0):
        raise ValueError(f"level {level}, last {last}, least {least}, configured_s {configured_s}")
    every = first_starts(looks)
    pods = [pod for pod in every if pod.sound(now)]
    newest = pods[-last:]
    took = [_took(pod, now) for pod in newest]
    starts = Starts.of(took, level=level, least=least)
    kinds = _kinds(newest, took, now)
    measured_s = None if starts.start_s is None else starts.start_s + delays.total_s
    return LeadTime(
        lead_s=configured_s if measured_s is None else measured_s,
        measured_s=measured_s,
        configured_s=configured_s,
        starts=starts,
        kinds={
            node: Starts.of(
                [start for start, kind in zip(took, kinds, strict=True) if kind is node],
                level=level,
                least=least,
            )
            for node in Node
        },
        delays=delays,
        refused=len(every) - len(pods),
        failed=sum(start.seconds >= GIVE_UP_S for start in took),
        samples_s=tuple(start.seconds for start in took if start.done),
        because=_words(starts, measured_s, configured_s, delays, level=level, least=least),
    )


def _took(pod: PodStart, now: datetime) -> Took:
    seconds = ((pod.ready or pod.gone or now) - pod.created).total_seconds()
    return Took(seconds=min(seconds, GIVE_UP_S), done=pod.ready is not None and seconds <= GIVE_UP_S)


def _kinds(pods: Sequence[PodStart], took: Sequence[Took], now: datetime) -> list[Node | None]:
    """Which starts had to wait for a node, by the best that is told of each.

    A node younger than the pod was bought for it, or for one like it. Else the wait
    for the scheduler tells. Where neither is told of any pod, the times themselves are
    parted in two, if they lie far enough apart; where it is of some, the others are of no
    known kind.
    """
    told = [_told(pod, now) for pod in pods]
    if any(kind is not None for kind in told):
        return told
    cut_s = _parting_s([start.seconds for start in took if start.done])
    return [Node.BOUGHT if start.seconds >= cut_s else Node.PRESENT for start in took]


def _told(pod: PodStart, now: datetime) -> Node | None:
    if pod.node_created is not None:
        return Node.BOUGHT if pod.node_created > pod.created else Node.PRESENT
    wait_s = pod.schedule_s(now)
    if wait_s is None:
        return None
    return Node.BOUGHT if wait_s > BOUGHT_AFTER_S else Node.PRESENT


def _parting_s(times_s: Sequence[float]) -> float:
    """Where times fall into two heaps [s]; infinite if they are one.

    The cut whose heaps are tightest, in logarithms. They are two if each has members
    enough, their middles lie apart, and the cut explains most of the spread.
    """
    ordered_s = sorted(times_s)
    logs = np.log(np.maximum(np.asarray(ordered_s, dtype=np.float64), 1.0))
    whole = float(((logs - logs.mean()) ** 2).sum()) if logs.size else 0.0
    best, least = math.inf, (1 - _EXPLAINED) * whole
    for size in range(_LEAST_OF_A_KIND, logs.size - _LEAST_OF_A_KIND + 1):
        low, high = logs[:size], logs[size:]
        within = float(((low - low.mean()) ** 2).sum() + ((high - high.mean()) ** 2).sum())
        if within < least and high.mean() - low.mean() >= math.log(_FAR_APART):
            best, least = ordered_s[size], within
    return best


def _words(
    starts: Starts,
    measured_s: float | None,
    configured_s: float,
    delays: Delays,
    *,
    level: float,
    least: int,
) -> str:
    pending = f" and {starts.pending} pending" if starts.pending else ""
    if measured_s is None or starts.start_s is None:
        return (
            f"configured, {configured_s:.0f} s: {starts.ready} of the {least} starts that a measurement "
            f"needs were seen{pending}"
        )
    added = " + ".join(f"{delay_s:.0f} s {name}" for name, delay_s in delays.named() if delay_s)
    bound = "" if starts.seen else "at least "
    return (
        f"measured, {bound}{measured_s:.0f} s: {level:.0%} of {starts.ready} starts{pending} took up to "
        f"{starts.start_s:.0f} s{' + ' + added if added else ''}; configured are {configured_s:.0f} s"
    )
