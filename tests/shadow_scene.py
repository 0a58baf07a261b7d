"""Workloads in shadow whose days pass as fast as they can be computed, on a real service with real ports.

Demand is made, the clock is moved by hand, and what is published is what the fleet then is: nobody boots
faster than the lead time, so a reactive fleet is late on every rise.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from patience import WITHIN_S
from predictscale.bootstrap import Service, replay_signals
from predictscale.clock import ManualClock
from predictscale.config.load import load_service
from predictscale.control.tracker import Tracker
from predictscale.core.series import Floats, MetricWindow
from predictscale.sources.replay import ReplaySource

NAMESPACE = "prod"
TOKEN = "a-token-of-the-shadows-0123456789"  # noqa: S105 - good in this scene alone
START = datetime(2026, 3, 18, tzinfo=UTC)
"""A Wednesday: three days of shadow end before the weekend does."""
LEARNT_DAYS, LIVED_DAYS = 9, 4
TICK_S = STEP_S = 600.0

_DAY_S = 86_400.0


def days(*, noise: float, seed: int = 3) -> Floats:
    """Every day alike, with relative noise; a value for each bin."""
    rng = np.random.default_rng(seed)
    stamps_s = np.arange(round((LEARNT_DAYS + LIVED_DAYS) * _DAY_S / STEP_S)) * STEP_S
    shape = 300 - 150 * np.cos(2 * np.pi * stamps_s / _DAY_S)
    return np.asarray(shape * np.exp(rng.normal(0, noise, stamps_s.size)), dtype=np.float64)


def surging(*, seed: int = 4) -> Floats:
    """A calm that is learnt from, and after it a surge in every other quarter of an hour or so."""
    rng = np.random.default_rng(seed)
    calm = np.full(round((LEARNT_DAYS + LIVED_DAYS) * _DAY_S / STEP_S), 100.0)
    calm *= np.exp(rng.normal(0, 0.01, calm.size))
    lived = np.arange(calm.size) >= LEARNT_DAYS * _DAY_S / STEP_S
    return np.asarray(np.where(lived & (rng.random(calm.size) < 0.2), 3 * calm, calm), dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Shadows:
    """The scene.

    Args:
        service: Whom commands and KEDA ask.
        clock: Moved by `live`.
        tokens: The file with its token.
    """

    service: Service
    clock: ManualClock
    tokens: Path

    @property
    def url(self) -> str:
        """Of REST."""
        return f"http://127.0.0.1:{self.service.http_port}"

    @property
    def grpc(self) -> str:
        """Where KEDA calls."""
        return f"127.0.0.1:{self.service.grpc.port}"

    async def live(self, seconds: float) -> None:
        """Let time pass, tick by tick, with all workloads deciding at each."""
        for _ in range(round(seconds / TICK_S)):
            self.clock.advance(TICK_S)
            await self.decided()

    async def decided(self) -> None:
        """Return once all workloads have decided for the present instant, and what is due is fitted.

        Days pass in seconds: if nobody waited, a fit would be days late, more so on a slow machine.
        """
        async with asyncio.timeout(WITHIN_S):
            for workload in self.service.desk.workloads():
                newest = self.service.store.latest
                while (found := newest(workload)) is None or found.seen.now < self.clock.now():
                    await asyncio.sleep(0.001)
            # The tick itself ends a moment after its decision is told.
            await asyncio.sleep(0.001)
            for workload in self.service.desk.workloads():
                tracker = self.service.loop.tracker(workload)
                assert isinstance(tracker, Tracker)
                await tracker.fitted()


@asynccontextmanager
async def shadows(
    folder: Path,
    demand: Mapping[str, Floats],
    *,
    cache: Path | None = None,
    at: datetime = START,
    **more: Any,
) -> AsyncIterator[Shadows]:
    """Workloads in shadow, one for each series, from an instant of the lived days on."""
    clock = ManualClock(at)
    began = START - timedelta(days=LEARNT_DAYS)
    series = {name: MetricWindow(began, STEP_S, values) for name, values in demand.items()}
    tokens = folder / "tokens"
    tokens.write_text(f"ann {TOKEN}\n")
    local = {part: {"host": "127.0.0.1", "port": 0} for part in ("grpc", "http", "metrics")}
    settings = load_service(
        env={},
        overrides={
            **local,
            "http": {**local["http"], "write_token_file": str(tokens)},
            "loop": {"tick_s": TICK_S, "step_s": STEP_S, "history_s": LEARNT_DAYS * _DAY_S},
            "fit": {"every_s": "12h"},
            "defaults": {"lead_time_s": 1200},
            **({} if cache is None else {"cache": {"path": str(cache)}}),
            "workloads": [_workload(name, **more) for name in series],
        },
    )
    source = ReplaySource(dict(series), clock=clock)
    service = Service(settings, clock=clock, source=source, signals=replay_signals(series))
    await service.start()
    scene = Shadows(service, clock, tokens)
    try:
        await scene.decided()
        yield scene
    finally:
        await service.stop()


def _workload(name: str, **more: Any) -> dict[str, Any]:
    return {
        "namespace": NAMESPACE,
        "name": name,
        "query": name,
        "mode": "shadow",
        "capacity_per_replica": 10,
        "stale_after_s": 7200,
        "max_replicas": 200,
        "quantile": 0.99,
        "forecasters": ["native", "last-value"],
        **more,
    }
