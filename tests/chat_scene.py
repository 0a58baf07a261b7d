"""A chat service whose capacity is learned, told in requests and tokens, for tests of the control layer."""

import asyncio
from datetime import datetime, timedelta

import numpy as np

from predictscale.config.capacity import LearnedCapacity
from predictscale.config.settings import WorkloadSettings
from predictscale.control.shelf import ModelShelf
from predictscale.control.sizing import Sizing
from predictscale.control.tracker import Tracker
from predictscale.control.tuning import SelfTuning
from predictscale.core.demand import Signal, SignalName, WorkloadId
from predictscale.core.law import LatencyTargets
from predictscale.core.offered import Rate, Telling
from predictscale.core.series import MetricWindow
from predictscale.sources.cached import CachedSource
from predictscale.sources.history import History
from predictscale.sources.replay import ReplaySource
from predictscale.sources.synthetic import shop_requests
from scenes import GRID, MORNING, Scene, WatchedSource

CHAT = WorkloadId("llm", "chat")
INPUT, OUTPUT, CACHED = 400.0, 200.0, 0.25
NAMES = {
    SignalName.DEMAND: ("chat_requests", "requests/s"),
    SignalName.QUEUE: ("chat_waiting", "requests"),
    SignalName.INPUT_TOKENS: ("chat_prompts", "tokens/s"),
    SignalName.UNCACHED_TOKENS: ("chat_computed", "tokens/s"),
    SignalName.OUTPUT_TOKENS: ("chat_output", "tokens/s"),
    SignalName.KV_USAGE: ("chat_kv", "share"),
    SignalName.REPLICAS: ("chat_replicas", "replicas"),
    SignalName.READY: ("chat_ready", "replicas"),
}
TELLING = Telling(
    input_tokens=SignalName.UNCACHED_TOKENS,
    prompts=SignalName.INPUT_TOKENS,
    output_tokens=SignalName.OUTPUT_TOKENS,
    waiting=SignalName.QUEUE,
)
LEARNED = LearnedCapacity(
    targets=LatencyTargets(itl_s=0.05),
    telling=TELLING,
    primary=Rate.REQUESTS,
    engine_name="vllm",
    start_per_replica=20.0,
)
SETTINGS = WorkloadSettings(
    workload=CHAT,
    backend="vllm",
    learned=LEARNED,
    max_replicas=200,
    lead_time_s=240,
    stale_after_s=300,
    forecasters=("seasonal-naive-day", "last-value"),
)


class ChatScene(Scene):
    """A chat service that serves all that comes, until `full_from`, and half of it from then on."""

    def __init__(self, *, full_from: datetime | None = None) -> None:
        super().__init__(signals={name: Signal(name, *told) for name, told in NAMES.items()})
        days = 9
        start = MORNING - timedelta(days=days)
        came = shop_requests(seed=7).values(start, MORNING + timedelta(hours=6), 15.0).values
        stamps = start.timestamp() + 15.0 * np.arange(1, came.size + 1)
        full = np.zeros(came.size, dtype=bool) if full_from is None else stamps > full_from.timestamp()
        served = np.where(full, came / 2, came)
        waiting = np.cumsum((came - served) * 15.0)
        told = {
            SignalName.DEMAND: came,
            SignalName.QUEUE: waiting,
            SignalName.INPUT_TOKENS: served * INPUT,
            SignalName.UNCACHED_TOKENS: served * INPUT * (1 - CACHED),
            SignalName.OUTPUT_TOKENS: served * OUTPUT,
            SignalName.KV_USAGE: np.where(full, 0.99, 0.5),
            SignalName.REPLICAS: np.full(came.size, 12.0),
            SignalName.READY: np.full(came.size, 10.0),
        }
        windows = {NAMES[name][0]: MetricWindow(start, 15.0, values) for name, values in told.items()}
        self.came = windows["chat_requests"]
        self.source = WatchedSource(ReplaySource(windows, clock=self.clock))

    def chat(
        self,
        settings: WorkloadSettings = SETTINGS,
        *,
        sizing: Sizing | None = None,
        tuning: SelfTuning | None = None,
        cache: History | None = None,
    ) -> Tracker:
        """A tracker of the chat service."""
        history = cache or self.history
        return Tracker(
            settings,
            self.signals,
            source=self.source,
            archive=CachedSource(self.source, history=history, workload=str(CHAT), clock=self.clock),
            fits=self.fits,
            shelf=ModelShelf(history, step_s=GRID.step_s),
            grid=GRID,
            turn=asyncio.Lock(),
            tuning=tuning,
            sizing=sizing,
        )
