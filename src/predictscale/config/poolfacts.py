"""What a cluster is asked of a workload's pools: which facts of which pool, and in which words."""

from collections.abc import Mapping
from enum import StrEnum

from predictscale.config import promql
from predictscale.config.cluster import Place, load_cluster
from predictscale.config.pools import LossSource, PoolSettings
from predictscale.core.pools import PoolKind

ZONE_LABELS = ("label_topology_kubernetes_io_zone", "zone")
"""Labels by which answers tell zones apart."""
FAILED_S = 120.0
"""A launch that failed so lately means that a zone gives no more [s]."""
_PRESET = "pools"
_KARPENTER = "karpenter"


class PoolFact(StrEnum):
    """The signals of `pools.yaml`, and of `karpenter.yaml` the launches that failed."""

    HELD = "held"
    SERVING = "serving"
    WANTED = "wanted"
    READY = "ready"
    NOTICED = "noticed"
    REBALANCED = "rebalanced"
    LOST = "lost"
    OFFERED = "offered"
    LAUNCH_FAILURES = "launch_failures"


def past_queries(namespace: str, pool: PoolSettings, *, step_s: float) -> Mapping[PoolFact, str]:
    """PromQL of what a spot pool's past is told by.

    Args:
        namespace: The workload's.
        pool: Which.
        step_s: Between two looks [s].
    """
    place = Place(namespace=namespace, deployment=pool.target)
    facts = [PoolFact.SERVING, PoolFact.WANTED]
    facts += [PoolFact.READY] if pool.zones else []
    facts += [PoolFact.LOST] if pool.losses is LossSource.TAINTS else []
    return {fact: load_cluster()[_PRESET].query(fact, place, window_s=step_s) for fact in facts}


def pool_queries(namespace: str, pool: PoolSettings, *, step_s: float) -> Mapping[PoolFact, str]:
    """PromQL of all that a pool needs to have asked at each step.

    Args:
        namespace: The workload's.
        pool: Which.
        step_s: Between two looks: losses are told once [s].
    """
    facts = [PoolFact.HELD, PoolFact.SERVING]
    if pool.kind is PoolKind.SPOT:
        facts += [PoolFact.NOTICED, PoolFact.REBALANCED]
        facts += [PoolFact.READY] if pool.zones else []
        facts += [PoolFact.LOST] if pool.losses is LossSource.TAINTS else []
    place = Place(namespace=namespace, deployment=pool.target)
    preset = load_cluster()[_PRESET]
    queries = {fact: preset.query(fact, place, window_s=step_s) for fact in facts}
    if pool.zones:
        query = load_cluster()[_KARPENTER].query(PoolFact.LAUNCH_FAILURES, place, window_s=FAILED_S)
        queries[PoolFact.LAUNCH_FAILURES] = query
    if pool.zones and pool.instance_types:
        types = "|".join(name.replace(".", "\\.") for name in pool.instance_types)
        offers = Place(
            namespace=namespace,
            deployment=pool.target,
            nodes=f"instance_type=~{promql.quote_label(types)}",
        )
        queries[PoolFact.OFFERED] = preset.query(PoolFact.OFFERED, offers, window_s=step_s)
    return queries
