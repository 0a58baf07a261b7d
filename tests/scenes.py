"""A replayed workload and its tracker, for tests of the control layer."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from inline_fits import InlineFits
from predictscale.clock import ManualClock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.ledger import Ledger
from predictscale.control.shelf import ModelShelf
from predictscale.control.tracker import Grid, Tracker
from predictscale.core.demand import Signal, SignalName, WorkloadId
from predictscale.core.plan import Decision, Mode, OnStale
from predictscale.errors import SourceUnavailable
from predictscale.meters import Meters
from predictscale.sources.base import Answer, Source
from predictscale.sources.cached import CachedSource
from predictscale.sources.history import History
from predictscale.sources.replay import ReplaySource
from predictscale.sources.synthetic import shop_requests

MORNING = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
SHOP = WorkloadId("prod", "shop")
GRID = Grid(tick_s=15, step_s=60, history_s=8 * 86400, refit_s=3600)
SIGNALS = {SignalName.DEMAND: Signal(SignalName.DEMAND, "shop_demand", "requests/s")}


def settings_of(
    *,
    workload: WorkloadId = SHOP,
    forecasters: tuple[str, ...] = ("seasonal-naive-day", "last-value"),
    min_replicas: int = 1,
    max_replicas: int = 100,
    lead_time_s: float = 240,
    stale_after_s: float = 300,
    on_stale: OnStale = OnStale.FLOOR,
    mode: Mode = Mode.LIVE,
    query: str = "shop_demand",
) -> WorkloadSettings:
    """A workload of 80 requests/s per replica."""
    return WorkloadSettings(
        workload=workload,
        query=query,
        capacity_per_replica=80,
        max_replicas=max_replicas,
        min_replicas=min_replicas,
        lead_time_s=lead_time_s,
        stale_after_s=stale_after_s,
        on_stale=on_stale,
        mode=mode,
        forecasters=forecasters,
    )


class WatchedSource:
    """A source that can be switched off, and remembers what it was asked."""

    def __init__(self, inner: Source) -> None:
        self.inner = inner
        self.down = False
        self.hangs = False
        self.asked: list[tuple[Signal, datetime, datetime, float]] = []

    async def read(self, signal: Signal, *, start: datetime, end: datetime, step_s: float) -> Answer:
        """Ask the inner source, unless switched off."""
        self.asked.append((signal, start, end, step_s))
        if self.down:
            raise SourceUnavailable("switched off")
        while self.hangs:
            await asyncio.sleep(0.01)
        return await self.inner.read(signal, start=start, end=end, step_s=step_s)

    async def aclose(self) -> None:
        """Close the inner source."""
        await self.inner.aclose()


@dataclass
class Scene:
    """A clock, a source, a cache, and as many trackers as a test wants."""

    clock: ManualClock = field(default_factory=lambda: ManualClock(MORNING))
    history: History = field(default_factory=lambda: History(path=None, meters=Meters()))
    fits: InlineFits = field(default_factory=InlineFits)
    signals: Mapping[SignalName, Signal] = field(default_factory=lambda: SIGNALS)

    def __post_init__(self) -> None:
        self.source = WatchedSource(ReplaySource({"shop_demand": shop_requests(seed=7)}, clock=self.clock))

    def tracker(
        self,
        settings: WorkloadSettings | None = None,
        *,
        history: History | None = None,
        ledger: Ledger | None = None,
    ) -> Tracker:
        """A tracker on this scene's source, with this scene's cache unless another is given."""
        settings = settings or settings_of()
        cache = history or self.history
        archive = CachedSource(self.source, history=cache, workload=str(settings.workload), clock=self.clock)
        return Tracker(
            settings,
            self.signals,
            source=self.source,
            archive=archive,
            fits=self.fits,
            shelf=ModelShelf(cache, step_s=GRID.step_s),
            grid=GRID,
            turn=asyncio.Lock(),
            ledger=ledger,
        )

    async def run(self, tracker: Tracker, *, ticks: int) -> Decision:
        """Let `ticks` ticks pass and return the last decision; a fit that is due gets done between them."""
        decisions = []
        for _ in range(ticks):
            self.clock.advance(15)
            decisions.append(await tracker.tick(self.clock.now()))
            await tracker.fitted()
        return decisions[-1]


def minutes_later(minutes: float) -> datetime:
    """An instant after the scene's beginning."""
    return MORNING + timedelta(minutes=minutes)


async def soon() -> None:
    """Let tasks that are ready run."""
    for _ in range(20):
        await asyncio.sleep(0)
