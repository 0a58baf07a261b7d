"""Prefill and decode on separate pools: two engines, two laws, one demand.

A prefill pool is filled by input tokens alone and its latency is the time of a
prefill batch; a decode pool by output tokens alone, and it is the one that holds
the cache. So each is a `CapacityLaw` of its own whose other coefficient is 0.
Refuses to trade one pool against the other: each is sized for all of its part.
"""

from dataclasses import dataclass

from predictscale.core.law import LatencyTargets, Mix
from predictscale.core.lawcapacity import IMBALANCE, PROMPTS, CapacityLaw, Configured, Engine
from predictscale.core.lawguards import Learned
from predictscale.core.needed import Demands, Limit, Needed


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitNeeded:
    """Replicas of each pool."""

    prefill: Needed
    decode: Needed


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitLaw:
    """The laws of both pools; `prefill_pool` and `decode_pool` make them."""

    prefill: CapacityLaw
    decode: CapacityLaw

    def needed(self, demand: Demands) -> SplitNeeded:
        """Both pools for one demand.

        Raises:
            HoldTarget: As `CapacityLaw.needed`, for either.
        """
        return SplitNeeded(prefill=self.prefill.needed(demand), decode=self.decode.needed(demand))


def prefill_pool(
    *,
    batch_s: float,
    mix: Mix,
    learned: Learned | None = None,
    configured: Configured | None = None,
    imbalance: float = IMBALANCE,
) -> CapacityLaw:
    """The pool that computes prompts: ceil(gamma * input / U).

    Args:
        batch_s: What a prefill batch may take, the pool's part of the time to first token [s].
        mix: The mean request.
        learned: From `Windows.of_prefill`.
        configured: What the owner says.
        imbalance: As `CapacityLaw`'s.
    """
    return CapacityLaw(
        slo=LatencyTargets(itl_s=batch_s),
        mix=mix,
        learned=learned,
        configured=configured,
        imbalance=imbalance,
        limits=frozenset({Limit.COMPUTE}),
        work=PROMPTS,
    )


def decode_pool(
    *,
    itl_s: float,
    mix: Mix,
    engine: Engine,
    learned: Learned | None = None,
    configured: Configured | None = None,
    imbalance: float = IMBALANCE,
) -> CapacityLaw:
    """The pool that writes answers: the more of ceil(beta * output / U) and its KV cache.

    Args:
        itl_s: Mean inter-token latency that is promised [s].
        mix: The mean request.
        engine: With `kv_tokens` for the cache's limit.
        learned: From windows whose input rate is 0.
        configured: What the owner says.
        imbalance: As `CapacityLaw`'s.
    """
    return CapacityLaw(
        slo=LatencyTargets(itl_s=itl_s),
        mix=mix,
        learned=learned,
        configured=configured,
        engine=engine,
        imbalance=imbalance,
        limits=frozenset({Limit.COMPUTE, Limit.KV}),
    )
