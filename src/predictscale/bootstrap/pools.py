"""Where a workload's pools are seen: kube-state-metrics in the Prometheus that it is read from."""

from predictscale.config.poolfacts import past_queries, pool_queries
from predictscale.config.workload import WorkloadSettings
from predictscale.control.poolpast import LOOK_S
from predictscale.control.pools import PoolWatch, Watched
from predictscale.control.rhythm import watched_s
from predictscale.core.pools import PoolKind
from predictscale.sources.base import Source
from predictscale.sources.prometheus import PrometheusSource


def pool_watch(workload: WorkloadSettings, *, source: Source, tick_s: float) -> PoolWatch | None:
    """Who looks at a workload's pools; None if it has none, or only numbers are replayed.

    Args:
        workload: Which.
        source: Where its metrics are read; only a Prometheus can tell pods and nodes apart.
        tick_s: Between looks [s].
    """
    pools = workload.pools or ((workload.mixed,) if workload.mixed is not None else ())
    if not pools or not isinstance(source, PrometheusSource):
        return None
    namespace = workload.workload.namespace
    watched = [
        Watched(
            pool=pool,
            queries=pool_queries(namespace, pool, step_s=tick_s),
            past=past_queries(namespace, pool, step_s=LOOK_S) if pool.kind is PoolKind.SPOT else {},
        )
        for pool in pools
    ]
    keep_s = watched_s(workload.policy(), tick_s=tick_s, tuned=workload.tunes_itself)
    return PoolWatch(watched, source, tick_s=tick_s, keep_s=keep_s, fresh_s=workload.fresh_s)
