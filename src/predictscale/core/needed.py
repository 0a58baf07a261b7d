"""What a fleet is asked for, and the replicas that answers it: the vector, the limits, the words.

Refuses to read an unknown rate as none: what is not known is derived from the
mean request, or stays unknown and holds the target.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from predictscale.core.law import Mix
from predictscale.errors import HoldTarget

BEYOND_ANY_FLEET = 1e9
"""Demand for more replicas than this is absurd, and still a number for the ceiling to cut."""

_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Demands:
    """Rates of work, offered to a fleet or served by a replica; None is unknown, never 0.

    Args:
        requests_rps: Requests per second.
        input_tokens_per_s: Prompt tokens that the prefix cache does not spare.
        output_tokens_per_s: Tokens to decode.
    """

    requests_rps: float | None = None
    input_tokens_per_s: float | None = None
    output_tokens_per_s: float | None = None

    def __post_init__(self) -> None:
        for rate in self.known():
            if not (math.isfinite(rate) and rate >= 0):
                raise ValueError(f"{self}: a rate is finite, 0 or more; say None where it is unknown")

    def known(self) -> tuple[float, ...]:
        """The rates that are known."""
        rates = (self.requests_rps, self.input_tokens_per_s, self.output_tokens_per_s)
        return tuple(rate for rate in rates if rate is not None)

    def completed(self, mix: Mix) -> Self:
        """With what the mean request says of the unknown rates, as far as it can.

        Unknown requests are the more that either token rate implies: the doubtful
        side is the larger fleet.
        """
        requests = self.requests_rps
        if requests is None:
            implied = [
                _finite(rate / tokens)
                for rate, tokens in (
                    (self.output_tokens_per_s, mix.output_tokens),
                    (self.input_tokens_per_s, mix.uncached_tokens),
                )
                if rate is not None and tokens > 0
            ]
            requests = max(implied, default=None)
        return type(self)(
            requests_rps=requests,
            input_tokens_per_s=_filled(self.input_tokens_per_s, requests, mix.uncached_tokens),
            output_tokens_per_s=_filled(self.output_tokens_per_s, requests, mix.output_tokens),
        )

    def plus(self, more: Self) -> Self:
        """Both at once, such as a queue to be drained beside what arrives; unknown in either is unknown."""
        return type(self)(
            requests_rps=_sum(self.requests_rps, more.requests_rps),
            input_tokens_per_s=_sum(self.input_tokens_per_s, more.input_tokens_per_s),
            output_tokens_per_s=_sum(self.output_tokens_per_s, more.output_tokens_per_s),
        )


def _filled(rate: float | None, requests: float | None, tokens: float) -> float | None:
    return rate if rate is not None or requests is None else _finite(requests * tokens)


def _sum(first: float | None, second: float | None) -> float | None:
    return None if first is None or second is None else _finite(first + second)


def _finite(rate: float) -> float:
    """An absurd rate is still a number, for the ceiling to cut."""
    return min(rate, sys.float_info.max)


def known(rate: float | None, what: str) -> float:
    """A rate that a limit cannot do without.

    Raises:
        HoldTarget: It is not known.
    """
    if rate is None:
        raise HoldTarget(f"{what} are not known, and the mean request does not tell them")
    return rate


class Limit(StrEnum):
    """What a replica can run out of."""

    COMPUTE = "compute"  # time on the accelerator, within the SLO
    KV = "kv-cache"  # memory for the tokens of running requests
    BURST = "burst"  # the same time, with headroom for arrivals that come in bursts
    SLOTS = "slots"  # requests that the engine runs at once, with the same headroom
    CONFIGURED = "configured"  # what the owner, or a closed form, says a replica serves
    SEEN = "seen"  # what replicas were seen to serve


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What one limit asks for.

    Args:
        limit: Which.
        replicas: As a real number, before imbalance, inflation and rounding.
        because: Its numbers, in words.
    """

    limit: Limit
    replicas: float
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Replicas for a demand.

    Args:
        replicas: The smallest number that every limit allows; 0 only for no demand.
        binding: The limit that asks for most.
        because: That limit's numbers and each guard that acted, in words.
        bounds: Every limit that was asked, in its own numbers.
        guards: What moved the number away from the plain law, one sentence each.
    """

    replicas: int
    binding: Limit
    because: str
    bounds: tuple[Bound, ...]
    guards: tuple[str, ...] = ()

    @classmethod
    def of(cls, bounds: Sequence[Bound], *, guards: Sequence[str], factor: float) -> Self:
        """The most that any limit asks for, times `factor`, rounded up."""
        most = max(bounds, key=lambda bound: bound.replicas)
        # 30.000000000000004 is thirty replicas, not thirty-one.
        real = min(most.replicas * factor, BEYOND_ANY_FLEET) * (1 - _ROUNDING)
        return cls(
            replicas=max(0, math.ceil(real)),
            binding=most.limit,
            because="; ".join((most.because, *guards)),
            bounds=tuple(bounds),
            guards=tuple(guards),
        )


def quantity(value: float) -> str:
    """A rate as people read it: `41,200`, `3.46`."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
