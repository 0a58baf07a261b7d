"""How many slots are enough that few requests wait: the square-root rule, and its exact cousin.

With R requests in flight on average, the number in flight at an instant strays
from R by about its root; b roots of headroom make the chance to wait small
(Halfin and Whitt, 1981). Arrivals burstier than Poisson stray further: the
variance is `peakedness` times the mean. Only bursts inside a control interval
belong here; what a forecast's quantile covers must not be paid for twice, so
peakedness is measured in a way that is blind to slow changes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from predictscale.core.series import MetricWindow
from predictscale.errors import NotEnoughHistory

_HALVINGS = 200
_MOST_HEADROOM = 40.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Burst:
    """What headroom has to absorb.

    Args:
        wait_probability: Share of requests that may wait for a slot, in (0, 1).
        peakedness: Variance over mean of arrivals in windows as long as a request is in the system; 1 is
            Poisson.
    """

    wait_probability: float = 0.05
    peakedness: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.wait_probability < 1:
            raise ValueError(f"wait_probability: {self.wait_probability}; must lie within (0, 1)")
        if not (math.isfinite(self.peakedness) and self.peakedness >= 0):
            raise ValueError(f"peakedness: {self.peakedness}; must be finite, 0 or more")

    def headroom(self, in_flight: float) -> float:
        """Slots beyond the mean number of requests in flight."""
        return headroom_factor(self.wait_probability) * math.sqrt(self.peakedness * in_flight)

    def utilization(self, slots: float) -> float:
        """The share of `slots` that may be in use on average, in (0, 1).

        Solves R + b sqrt(z R) = slots for R.
        """
        half = headroom_factor(self.wait_probability) * math.sqrt(self.peakedness) / 2
        root = math.sqrt(half * half + slots) - half
        return root * root / slots


def wait_probability(headroom: float) -> float:
    """The chance to wait with `headroom` roots of slots beyond the mean.

    Source: Halfin and Whitt (1981): 1 / (1 + b Phi(b) / phi(b)).
    """
    below = 0.5 * (1 + math.erf(headroom / math.sqrt(2)))
    density = math.exp(-headroom * headroom / 2) / math.sqrt(2 * math.pi)
    return density / (density + headroom * below)


@lru_cache(maxsize=256)
def headroom_factor(wait: float) -> float:
    """The b whose `wait_probability` is `wait`, in (0, 1); falls as `wait` rises."""
    return _bisect(lambda b: wait_probability(b) <= wait, low=0.0, high=_MOST_HEADROOM)


def erlang_c(servers: int, offered: float) -> float:
    """The chance to wait in M/M/c, exactly.

    Args:
        servers: c.
        offered: Load in servers, arrival rate times service time; from c on, all wait.
    """
    if offered >= servers:
        return 1.0
    blocked = 1.0  # Erlang B, by its recursion in the number of servers
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))


def exact_utilization(servers: int, wait: float) -> float:
    """The highest utilisation of M/M/c at which no more than the share `wait` waits."""
    return _bisect(lambda share: erlang_c(servers, share * servers) > wait, low=0.0, high=1.0)


def peakedness(arrivals: MetricWindow, *, least_pairs: int = 60) -> float:
    """Variance over mean of the arrivals counted in bins, at least 1.

    From the squared differences of neighbouring bins: a trend or a season hardly
    shows in those, a burst does. Smoother than Poisson is read as Poisson, for
    pacing ends with the client that paced.

    Args:
        arrivals: Rates per second in bins about as long as a request is in the system.
        least_pairs: Pairs of neighbouring known bins that an estimate needs.

    Raises:
        NotEnoughHistory: There are fewer.
    """
    counts = arrivals.values * arrivals.step_s
    steps = np.diff(counts)
    both = ~np.isnan(steps)
    pairs = int(both.sum())
    if pairs < least_pairs:
        raise NotEnoughHistory(need_s=(least_pairs + 1) * arrivals.step_s, have_s=pairs * arrivals.step_s)
    mean = float(((counts[:-1] + counts[1:]) / 2)[both].mean())
    variance = float((steps[both] ** 2).mean()) / 2
    return max(1.0, variance / mean) if mean > 0 else 1.0


def _bisect(reached: Callable[[float], bool], *, low: float, high: float) -> float:
    """Where `reached` turns from false to true between `low` and `high`."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
