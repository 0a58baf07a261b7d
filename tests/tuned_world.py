"""A workload that tunes itself, minute by minute, without a tracker: a stated forecast and a stated fleet."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from inline_tuner import StubTuner
from predictscale.control.asks import Goal, Subject
from predictscale.control.recall import ReadyBefore
from predictscale.control.step import StepMemory, step
from predictscale.control.tuning import SelfTuning
from predictscale.control.tuningshelf import TuningShelf
from predictscale.core.capacity import Capacity
from predictscale.core.demand import Observation
from predictscale.core.fleet import FleetState
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Decision, Mode, Policy
from predictscale.core.series import MetricWindow
from predictscale.core.slo import Slo
from predictscale.core.track import TRACKED_LEVELS
from predictscale.core.tuned import Tuning
from predictscale.forecasters.registry import Context
from predictscale.meters import Meters
from predictscale.sources.history import History
from predictscale.sources.synthetic import shop_requests
from worlds import CHAT, policy

NOW = datetime(2026, 3, 9, 6, 0, tzinfo=UTC)
SHOP = shop_requests(seed=3).values(NOW - timedelta(days=11), NOW + timedelta(days=2), 60.0)
OWNER = policy(per_replica=20, lead_time_s=240, level=0.95, min_replicas=1, max_replicas=300)
SLO = Slo(max_violation=0.01, wait_s=5.0)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


class World:
    """Ticks of a minute with a stated forecast and a stated fleet, and a cache that outlives restarts.

    A capacity that was `learned` stands for the owner's, and a `mode` that was ordered for the settings'.
    """

    def __init__(
        self,
        *,
        owner: Policy = OWNER,
        goal: Goal = Goal(slo=SLO),  # noqa: B008 - frozen
        ready_before: ReadyBefore | None = None,
    ) -> None:
        self.owner, self.goal, self.ready_before = owner, goal, ready_before
        self.history = History(path=None, meters=Meters())
        self.tuner = StubTuner()
        self.memory = StepMemory()
        self.now = NOW
        self.ready: int | None = 60
        self.learned: Capacity | None = None
        self.mode: Mode | None = None
        self.blind = False
        """Whether the history cannot be read."""
        self.tuning = self.fresh()

    def fresh(self) -> SelfTuning:
        """As after a restart."""
        subject = Subject(
            workload=CHAT,
            policy=self.owner,
            key="chat",
            forecasters=("seasonal-naive-day", "last-value"),
            context=Context(),
            events=(),
            tick_s=60.0,
            step_s=60.0,
            history_s=6 * 86400.0,
        )
        return SelfTuning(
            subject,
            self.goal,
            tuner=self.tuner,
            shelf=TuningShelf(self.history),
            ready=self.ready_before,
        )

    def bins(self) -> MetricWindow:
        return SHOP.between(SHOP.start, self.now)

    async def tick(self) -> Decision:
        """One minute."""
        demand = float(self.bins().values[-1])
        path = np.repeat(demand * (0.8 + np.array(TRACKED_LEVELS)[:, None] / 2), 20, axis=1)
        forecast = Forecast(self.now, 60.0, TRACKED_LEVELS, path, model="stated")
        fleet = FleetState(replicas=self.ready, ready=self.ready)
        highest = self.tuning.highest(self.bins(), self.now)
        seen = Observation(self.now, demand, self.now, fleet=fleet, highest=highest)
        obeyed = self.tuning.policy_at(self.now).measured(capacity=self.learned, lead_time_s=None)
        obeyed = replace(obeyed, mode=self.mode or obeyed.mode)
        decision, self.memory = step(CHAT, seen, forecast, obeyed, self.memory, unit="requests/s")
        bins = None if self.blind else self.bins()
        decision = replace(decision, tuning=self.tuning.note(decision, bins))
        self.tuning.start_due(self.now, bins)
        await self.tuning.settled()
        self.now += minutes(1)
        return decision

    async def start(self) -> None:
        """As a tracker does at the first tick."""
        await self.tuning.wake(self.now)

    async def run(self, count: int) -> list[Tuning]:
        decisions = [await self.tick() for _ in range(count)]
        return [decision.tuning for decision in decisions if decision.tuning is not None]
