"""Whether quantiles keep what they promise: of the peaks that came, the stated share lay at or below.

Asked of the outcomes of the last day, one horizon at a time. Forecasts are made every step, so windows
of a horizon overlap, and a surge that one of them misses its neighbours miss too: a day of one-minute
forecasts of five-minute windows says no more than its 288 windows that do not overlap, and so
many are counted. Misses come in clusters beyond that, which makes a verdict against a quantile
somewhat too sure; it is a hint for a person, and nothing is steered by it. Refuses a verdict from a
handful of windows.
"""

import math
from enum import StrEnum
from typing import NamedTuple

from predictscale.core.outcome import Outcome

LEAST_WINDOWS = 10
"""With fewer windows that do not overlap there is no verdict."""

DOUBT = 0.05
"""An honest horizon is called dishonest about so often, over all its levels and both sides."""


class Verdict(StrEnum):
    """What the outcomes of one horizon say."""

    TOO_FEW = "too few"
    HONEST = "honest"
    TOO_NARROW = "too narrow"  # more peaks came above a quantile than it allows
    TOO_WIDE = "too wide"  # fewer did than it says


class Judged(NamedTuple):
    """A verdict, and its numbers in words."""

    verdict: Verdict
    because: str


class _Tail(NamedTuple):
    """A level, the share that missed it, and how probable so much, or more, or less is of an honest one."""

    level: float
    missed: float
    more: float
    fewer: float


def independent(outcome: Outcome, *, step_s: float) -> int:
    """How many windows that do not overlap a horizon's outcomes are worth.

    Args:
        outcome: Of one horizon.
        step_s: Between forecasts [s].
    """
    # A window is scored by whole bins.
    return outcome.scored // max(1, math.ceil(outcome.lead_s / step_s - 1e-9))


def judged(outcome: Outcome, *, step_s: float) -> Judged:
    """The verdict on one horizon, by exact binomial tails of each level.

    A level is blamed when what came is less probable than `DOUBT`, shared among the levels and both
    sides. Of several that are blamed too narrow is told, for what it misses waits; of those, the one
    that is least probable.

    Args:
        outcome: Of one horizon.
        step_s: Between forecasts [s].
    """
    windows = independent(outcome, step_s=step_s)
    counted = f"{outcome.scored} windows, worth {windows} that do not overlap"
    if windows < LEAST_WINDOWS:
        return Judged(Verdict.TOO_FEW, f"{counted}; at least {LEAST_WINDOWS} are needed")
    tails = [
        _tail(level, share, windows) for level, share in zip(outcome.levels, outcome.coverage, strict=True)
    ]
    bar = DOUBT / (2 * len(tails))
    least = min(tails, key=lambda tail: tail.more)
    if least.more < bar:
        return Judged(Verdict.TOO_NARROW, f"{_words(least)}, of {counted}")
    least = min(tails, key=lambda tail: tail.fewer)
    if least.fewer < bar:
        return Judged(Verdict.TOO_WIDE, f"{_words(least)}, of {counted}")
    return Judged(Verdict.HONEST, f"each quantile held as often as it says, as far as {counted} can tell")


def exceeded(missed: int, windows: int, share: float) -> float:
    """How probable so many misses or more are, if each window misses with this probability."""
    if missed == 0 or share >= 1:
        return 1.0
    return max(0.0, 1 - _at_most(missed - 1, windows, share))


def _words(tail: _Tail) -> str:
    # A share, as coverage is: so many misses are what windows that overlap are worth, and never came.
    promised = f"where {1 - tail.level:.1%} are promised"
    return f"{tail.missed:.1%} of peaks came above the {tail.level:g} quantile {promised}"


def _tail(level: float, share: float, windows: int) -> _Tail:
    missed = round((1 - share) * windows)
    fewer = _at_most(missed, windows, 1 - level)
    return _Tail(level, 1 - share, exceeded(missed, windows, 1 - level), fewer)


def _at_most(count: int, trials: int, probability: float) -> float:
    """The probability of up to `count` successes among so many trials."""
    logs = (math.log(probability), math.log1p(-probability))
    terms = (
        math.lgamma(trials + 1)
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * logs[0]
        + (trials - k) * logs[1]
        for k in range(count + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))
