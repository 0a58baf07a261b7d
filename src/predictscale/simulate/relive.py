"""The service's decisions over a recorded past, tick for tick as it would have made them live.

What `control.tracker` does with sources, worker processes and caches is done here with windows, so
that days take seconds: the same observation, the same fits at the same boundaries, the same
settings, the same step. A test holds the two equal. The service starts at the first tick with an
empty cache; what lies before it is its history.

Refuses to show a tick what had not ended by then, and to apply a budget: what its month had cost
by then is on no record.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from math import ceil

import numpy as np

from predictscale.control.asks import Goal, Subject
from predictscale.control.idleness import Idleness
from predictscale.control.observe import observation
from predictscale.control.recall import ReadyBefore
from predictscale.control.rhythm import kept_s, relived_s, watched_s
from predictscale.control.step import StepMemory, step
from predictscale.control.tracker import Grid
from predictscale.control.tuning import SelfTuning
from predictscale.control.tuningshelf import TuningShelf
from predictscale.core.demand import Observation, SignalName, WorkloadId
from predictscale.core.events import PlannedEvent
from predictscale.core.forecast import Forecast
from predictscale.core.outcome import Outcome, Scoreboard
from predictscale.core.plan import Decision, Policy
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.forecasters.registry import Context, resolve
from predictscale.meters import Meters
from predictscale.simulate.foresight import Foresight
from predictscale.simulate.plant import Ints
from predictscale.simulate.rolling import RollingTuner
from predictscale.sources.history import History

_NOBODYS = Context()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Past:
    """A workload and what was recorded of it.

    Args:
        workload: Whose.
        policy: The owner's settings.
        live: Its signals on the grid of ticks, demand among them.
        bins: Its demand on the grid of forecasts.
        forecasters: The chain, as settings name it.
        grid: The service's rhythm.
        goal: What self-tuning is asked; None if the owner's settings serve throughout.
        context: What forecasters are told.
        events: Planned events.
        unit: What demand counts.
    """

    workload: WorkloadId
    policy: Policy
    live: Mapping[SignalName, MetricWindow]
    bins: MetricWindow
    forecasters: tuple[str, ...]
    grid: Grid
    goal: Goal | None = None
    context: Context = _NOBODYS
    events: tuple[PlannedEvent, ...] = ()
    unit: str = "requests/s"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relived:
    """What was decided.

    Args:
        start: The first tick.
        tick_s: Between two [s].
        targets: After the ceiling, shape (n,).
        desired: What was published, after landing; what is held where KEDA was told UNAVAILABLE. Shape (n,).
        outcome: How the forecasts of the lead time came out; None if none was closed.
        settings: What was in force at the end, in words.
    """

    start: datetime
    tick_s: float
    targets: Ints
    desired: Ints
    outcome: Outcome | None
    settings: str


async def relive(
    past: Past,
    *,
    start: datetime,
    ticks: int,
    told: Callable[[int], None] | None = None,
    record: Callable[[Decision], None] | None = None,
) -> Relived:
    """The decisions of `ticks` ticks from `start` on, which lies on the grid of ticks.

    Args:
        past: Of whom.
        start: When the service starts.
        ticks: How many, n.
        told: Called with each tick that is done, for those who show progress.
        record: Called with each decision.

    Raises:
        SettingsError: A forecaster is unknown.
    """
    life = _Life(past, start)
    targets, desired = np.zeros(ticks, dtype=np.int64), np.zeros(ticks, dtype=np.int64)
    decision: Decision | None = None
    for place in range(ticks):
        decision = await life.tick(start + timedelta(seconds=place * past.grid.tick_s))
        # The plan with the forecast, in shadow mode too: what it would do is what is asked.
        targets[place], desired[place] = decision.plan.target, decision.plan.published
        if record is not None:
            record(decision)
        if told is not None:
            told(place)
    # All at once: what came does not change, and means are taken at each closing.
    life.board.close(life.bins)
    return Relived(
        start=start,
        tick_s=past.grid.tick_s,
        targets=targets,
        desired=desired,
        outcome=life.board.outcome,
        settings=str((past.policy if decision is None else decision.policy).knobs),
    )


@dataclass(slots=True, eq=False)
class _Life:
    """The service from its start on."""

    past: Past
    start: datetime
    bins: MetricWindow = field(init=False)
    foresight: Foresight = field(init=False)
    board: Scoreboard = field(init=False)
    _tuning: SelfTuning | None = field(init=False)
    _idleness: Idleness = field(init=False)
    _memory: StepMemory | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        past, grid = self.past, self.past.grid
        # Live, a history that is asked for is as long as it was asked for, whatever is known of it.
        oldest = floor_to_grid(self.start, grid.step_s) - _kept(grid)
        self.bins = _reaching_back(past.bins, oldest)
        self.foresight = Foresight(
            self.bins,
            resolve(past.forecasters, context=past.context.around(past.bins.start, past.bins.end)),
            reach_s=past.policy.lookahead_s,
            events=past.events,
            history_s=grid.history_s,
            refit_s=grid.refit_s,
            tick_s=grid.tick_s,
            workload=past.workload,
        )
        lead_s = max(past.policy.lead_time_s, grid.step_s)
        self.board = Scoreboard(lead_s=lead_s, span_s=past.bins.duration_s, step_s=grid.step_s)
        self._tuning = None if past.goal is None else _tuning(past, past.goal)
        self._idleness = Idleness(past.policy.cold)

    async def tick(self, at: datetime) -> Decision:
        """Decide at `at`."""
        if self._memory is None:
            if self._tuning is not None:
                await self._tuning.wake(at)
            self._memory = self._relive(at)
        bins = self._bins(at)
        forecast = self.foresight(at)
        decision, self._memory = self._step(at, forecast, self._memory)
        if forecast is not None:
            self.board.note(forecast)
        if self._tuning is not None:
            self._tuning.note(decision, bins)
            self._tuning.start_due(at, bins)
            await self._tuning.settled()
        return decision

    def _relive(self, at: datetime) -> StepMemory:
        """The memory that the ticks before the first one leave behind."""
        past, memory = self.past, StepMemory()
        back_s = relived_s(past.policy, tick_s=past.grid.tick_s, tuned=self._tuning is not None)
        before = floor_to_grid(at - timedelta(seconds=back_s), past.grid.tick_s)
        while before < at:
            _, memory = self._step(before, self.foresight(before), memory)
            before += timedelta(seconds=past.grid.tick_s)
        return memory

    def _step(
        self, at: datetime, forecast: Forecast | None, memory: StepMemory
    ) -> tuple[Decision, StepMemory]:
        policy = self.past.policy if self._tuning is None else self._tuning.policy_at(at)
        return step(self.past.workload, self._seen(at), forecast, policy, memory, unit=self.past.unit)

    def _seen(self, at: datetime) -> Observation:
        """What was known at `at`, of signals that are kept no longer than live."""
        past, tick_s = self.past, self.past.grid.tick_s
        keep_s = watched_s(past.policy, tick_s=tick_s, tuned=self._tuning is not None)
        oldest = floor_to_grid(max(at, self.start) - timedelta(seconds=keep_s), tick_s)
        live = {name: window.between(oldest, at) for name, window in past.live.items()}
        seen = observation(live, at=at, fresh_s=past.policy.fresh_s)
        bins = self._bins(max(at, self.start))
        return replace(
            seen,
            highest=None if self._tuning is None else self._tuning.highest(bins, at),
            rest=self._idleness.at(at, bins),
        )

    def _bins(self, at: datetime) -> MetricWindow:
        """The history that is kept at `at`."""
        grid = self.past.grid
        end = floor_to_grid(at, grid.step_s)
        return self.bins.between(end - _kept(grid), end)


def _kept(grid: Grid) -> timedelta:
    return timedelta(seconds=kept_s(history_s=grid.history_s, refit_s=grid.refit_s))


def _reaching_back(bins: MetricWindow, oldest: datetime) -> MetricWindow:
    """The bins with gaps before them, from `oldest` on."""
    missing = max(0, ceil((bins.start - oldest).total_seconds() / bins.step_s - 1e-6))
    values = np.concatenate((np.full(missing, np.nan), bins.values))
    return MetricWindow(bins.start - timedelta(seconds=missing * bins.step_s), bins.step_s, values)


def _tuning(past: Past, goal: Goal) -> SelfTuning:
    subject = Subject(
        workload=past.workload,
        policy=past.policy,
        key=str(past.workload),
        forecasters=past.forecasters,
        context=past.context,
        events=past.events,
        tick_s=past.grid.tick_s,
        step_s=past.grid.step_s,
        history_s=past.grid.history_s,
    )
    shelf = TuningShelf(History(path=None, meters=Meters()))
    tuner = RollingTuner(every_s=goal.every_s)
    return SelfTuning(subject, goal, tuner=tuner, shelf=shelf, ready=_ready_before(past))


def _ready_before(past: Past) -> ReadyBefore | None:
    """Who tells the ready replicas before the start, as live; None where none were recorded."""
    ready = past.live.get(SignalName.READY)
    if ready is None:
        return None

    async def read(*, start: datetime, end: datetime) -> MetricWindow:
        step_s = past.grid.step_s
        first = floor_to_grid(max(start, ready.start + timedelta(seconds=step_s - ready.step_s)), step_s)
        told, each = ready.between(first, end), round(step_s / ready.step_s)
        return MetricWindow(first, step_s, told.values[each - 1 :: each])

    return read
