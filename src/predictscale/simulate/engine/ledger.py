"""What really happened, bin by bin, so that what Prometheus says can be compared with it.

Kept apart from the meters: counted where things happen, never derived from a metric.
"""

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from predictscale.core.series import Floats


@dataclass(slots=True)
class Bin:
    """What happened within one bin; see `Truth`."""

    arrived: int = 0
    retried: int = 0
    input_tokens: int = 0
    uncached_tokens: int = 0
    output_tokens: int = 0
    computed_tokens: int = 0
    generated_tokens: int = 0
    finished: int = 0
    aborted: int = 0
    lost: int = 0
    preempted: int = 0
    itl_sum_s: float = 0.0
    itl_count: int = 0
    e2e_sum_s: float = 0.0
    ttft_s: "array[float]" = field(default_factory=lambda: array("d"))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Truth:
    """What happened in an interval; rates are per second of it.

    Args:
        duration_s: Its length [s].
        arrived: Requests that came to the router, those that try again included.
        retried: Those that try again.
        input_tokens: Prompt tokens of the arrivals.
        uncached_tokens: Those of them that the prefix cache does not hold.
        output_tokens: Tokens that the arrivals' answers will have.
        computed_tokens: Prompt tokens that engines computed, repeated after preemptions too.
        generated_tokens: Tokens that engines generated.
        finished: Requests answered to the end.
        aborted: Requests whose client gave up.
        lost: Requests whose pod went away under them.
        preempted: How often a running request lost its memory.
        mean_itl_s: Mean time between a request's tokens, each gap counted once; NaN without any [s].
        mean_e2e_s: Mean time from arrival to the last token, of requests that finished; NaN without [s].
        ttft_s: Times from arrival to first token of those that came to it, shape (n,).
    """

    duration_s: float
    arrived: int
    retried: int
    input_tokens: int
    uncached_tokens: int
    output_tokens: int
    computed_tokens: int
    generated_tokens: int
    finished: int
    aborted: int
    lost: int
    preempted: int
    mean_itl_s: float
    mean_e2e_s: float
    ttft_s: Floats

    def per_second(self, count: float) -> float:
        """A count of the interval as a rate."""
        return count / self.duration_s

    def ttft_quantile_s(self, level: float) -> float:
        """A quantile of the time to first token; NaN if nobody came to it [s]."""
        return float(np.quantile(self.ttft_s, level)) if self.ttft_s.size else math.nan


class Ledger:
    """Bins of equal width from the fleet's origin on.

    Args:
        bin_s: Their width [s].
    """

    __slots__ = ("_bins", "_edge_s", "_present", "bin_s")

    def __init__(self, bin_s: float) -> None:
        if not (math.isfinite(bin_s) and bin_s > 0):
            raise ValueError(f"bin_s: {bin_s}; a bin has a width")
        self.bin_s = bin_s
        self._bins: dict[int, Bin] = {}
        self._edge_s = -math.inf
        self._present = Bin()

    def at(self, at_s: float) -> Bin:
        """The bin of an instant, which is not before one asked for earlier; made if need be."""
        if at_s >= self._edge_s:
            place = math.floor(at_s / self.bin_s)
            self._edge_s = (place + 1) * self.bin_s
            self._present = self._bins.setdefault(place, Bin())
        return self._present

    def between(self, since_s: float, until_s: float) -> list[Bin]:
        """Bins of [since_s, until_s) that something happened in.

        Raises:
            ValueError: An end lies within a bin, or the interval is empty.
        """
        first, stop = since_s / self.bin_s, until_s / self.bin_s
        if any(abs(edge - round(edge)) > 1e-6 for edge in (first, stop)) or round(stop) <= round(first):
            raise ValueError(f"[{since_s:g}, {until_s:g}) s; whole bins of {self.bin_s:g} s, one or more")
        return [self._bins[place] for place in range(round(first), round(stop)) if place in self._bins]


def sum_up(ledgers: Iterable[Ledger], since_s: float, until_s: float) -> Truth:
    """What all of them hold of [since_s, until_s).

    Raises:
        ValueError: An end lies within a bin, or the interval is empty.
    """
    bins = [one for ledger in ledgers for one in ledger.between(since_s, until_s)]
    gaps, finished = sum(b.itl_count for b in bins), sum(b.finished for b in bins)
    return Truth(
        duration_s=until_s - since_s,
        arrived=sum(b.arrived for b in bins),
        retried=sum(b.retried for b in bins),
        input_tokens=sum(b.input_tokens for b in bins),
        uncached_tokens=sum(b.uncached_tokens for b in bins),
        output_tokens=sum(b.output_tokens for b in bins),
        computed_tokens=sum(b.computed_tokens for b in bins),
        generated_tokens=sum(b.generated_tokens for b in bins),
        finished=finished,
        aborted=sum(b.aborted for b in bins),
        lost=sum(b.lost for b in bins),
        preempted=sum(b.preempted for b in bins),
        mean_itl_s=sum(b.itl_sum_s for b in bins) / gaps if gaps else math.nan,
        mean_e2e_s=sum(b.e2e_sum_s for b in bins) / finished if finished else math.nan,
        ttft_s=np.concatenate([np.zeros(0), *(np.asarray(b.ttft_s, dtype=np.float64) for b in bins)]),
    )
