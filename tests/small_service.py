"""The service itself on loopback with one small workload, for tests of what is around decisions."""

from typing import Any

from predictscale.bootstrap.service import Service
from predictscale.clock import ManualClock
from predictscale.config.load import load_service
from predictscale.sources.base import Source
from predictscale.sources.replay import ReplaySource
from predictscale.sources.synthetic import shop_requests
from scenes import SIGNALS

_LOOPBACK = {"host": "127.0.0.1", "port": 0}
_SHOP = {
    "namespace": "prod",
    "name": "shop",
    "query": "shop_demand",
    "capacity_per_replica": 80,
    "max_replicas": 100,
    "forecasters": ["last-value"],
}


def small_service(clock: ManualClock, source: Source | None = None, **more: Any) -> Service:
    """Not yet started; the test ends it.

    Args:
        clock: Whose ticks it lives by.
        source: What it reads; a replay of a shop if not given.
        more: Sections of its settings that replace these.
    """
    settings = load_service(
        env={},
        overrides={
            "grpc": {**_LOOPBACK, "drain_s": 0, "grace_s": 1},
            "http": _LOOPBACK,
            "metrics": _LOOPBACK,
            "loop": {"history_s": 2 * 86400},
            "workloads": [_SHOP],
            **more,
        },
    )
    source = source or ReplaySource({"shop_demand": shop_requests(seed=7)}, clock=clock)
    return Service(settings, clock=clock, source=source, signals=lambda _: SIGNALS)
