"""One workload's path from its history to its decisions.

Holds what can be rebuilt: the newest bins, the history, the fitted model, the
memory of the last decisions. After a restart the memory is made again by taking
the same steps over the ticks that have passed, so the answer is the same.
Planned events are taken out of what models see and laid over what they say
here, so that no model knows of them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from predictscale.config.settings import WorkloadSettings
from predictscale.control.context import context_of
from predictscale.control.observe import Watch, observation
from predictscale.control.rhythm import fit_boundary, fit_window, relived_s, watched_s
from predictscale.control.shelf import ModelShelf, ShelvedModel
from predictscale.control.step import StepMemory, step
from predictscale.control.tuning import SelfTuning
from predictscale.core.demand import Observation, Signal, SignalName, WorkloadId
from predictscale.core.events import planned, usual
from predictscale.core.forecast import Forecast
from predictscale.core.outcome import Outcome, Scoreboard
from predictscale.core.plan import Decision, Policy
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.errors import HoldTarget, TryNextForecaster
from predictscale.forecasters.base import Fitted
from predictscale.forecasters.chain import ChainResult, FittedChain, decomposed
from predictscale.forecasters.registry import Context
from predictscale.sources.base import Source

_log = structlog.get_logger(__name__)

_SETTLING_BINS = 3
_SCORED_S = 86400.0
"""Coverage is of the last day."""
_FIRST_FIT_S = 5.0
"""How long the first answer waits for a quick model; the reactive need is published after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """The rhythm that all replicas of the service share.

    Args:
        tick_s: Between decisions [s].
        step_s: Width of the bins that forecasters learn from [s].
        history_s: How much of them is kept [s].
        refit_s: Between fits [s].
    """

    tick_s: float
    step_s: float
    history_s: float
    refit_s: float


class Fits(Protocol):
    """Who fits chains of forecasters: `control.refit.FitPool`, in worker processes."""

    async def fit(
        self,
        names: Sequence[str],
        window: MetricWindow,
        *,
        quick_only: bool = False,
        context: Context = ...,
        previous: Fitted | None = None,
    ) -> ChainResult:
        """See `FitPool.fit`."""
        ...


class Tracker:
    """Follows one workload.

    Args:
        settings: What its owner wants.
        signals: What to ask the source for; demand is among them.
        source: Read at each tick.
        archive: The same history through the cache, read once a minute.
        fits: Who fits models.
        shelf: Where they are kept across restarts.
        grid: The rhythm.
        turn: Held while a workload computes; one for the whole service.
        tuning: Who chooses the settings from the owner's objective; None if the owner set them.
    """

    def __init__(
        self,
        settings: WorkloadSettings,
        signals: Mapping[SignalName, Signal],
        *,
        source: Source,
        archive: Source,
        fits: Fits,
        shelf: ModelShelf,
        grid: Grid,
        turn: asyncio.Lock,
        tuning: SelfTuning | None = None,
    ) -> None:
        self.settings = settings
        self.policy = settings.policy()
        self._context = context_of(settings)
        self._demand = signals[SignalName.DEMAND]
        self._archive = archive
        self._fits = fits
        self._shelf = shelf
        self._grid = grid
        self._turn = turn
        self._tuning = tuning
        tuned = tuning is not None
        self._replay_s = relived_s(self.policy, tick_s=grid.tick_s, tuned=tuned)
        keep_s = watched_s(self.policy, tick_s=grid.tick_s, tuned=tuned)
        self._watch = Watch(signals, source, tick_s=grid.tick_s, keep_s=keep_s)
        self._bins: MetricWindow | None = None
        self._model: ShelvedModel | None = None
        self._forecast: tuple[datetime, Forecast | None, tuple[str, ...]] | None = None
        self._boards = [
            Scoreboard(lead_s=lead_s, span_s=_SCORED_S, step_s=grid.step_s)
            for lead_s in sorted({grid.step_s, max(self.policy.lead_time_s, grid.step_s)})
        ]
        self._memory = StepMemory()
        self._awake = False
        self._refit: asyncio.Task[None] | None = None
        self._tried: datetime | None = None

    @property
    def workload(self) -> WorkloadId:
        """Whose path this is."""
        return self.settings.workload

    async def tick(self, at: datetime) -> Decision:
        """Decide for the grid instant `at`, with what can be known by then."""
        notes = await self._watch.look(at)
        notes += await self._extend(at)
        if not self._awake and self._bins is not None:
            await self._wake(at)
        async with self._turn:
            # One workload computes at a time, and calls are answered in between: a forecast
            # takes milliseconds, and all of them are due in the same second.
            await asyncio.sleep(0)
            decision = self._decide(at, notes)
        self._start_refit(at)
        if self._tuning is not None:
            self._tuning.start_due(at, self._bins)
        return decision

    def _decide(self, at: datetime, notes: tuple[str, ...]) -> Decision:
        """Forecast and step, from what has been read."""
        forecast, forecast_notes = self._predict(at)
        decision, self._memory = step(
            self.workload,
            self._observe(at, partial=self._watch.partial),
            forecast,
            self._policy_at(at),
            self._memory,
            unit=self._demand.unit,
            notes=(*notes, *forecast_notes),
        )
        decision = replace(decision, outcomes=self._score(forecast))
        if self._tuning is None:
            return decision
        return replace(decision, tuning=self._tuning.note(decision, self._bins))

    def _observe(self, at: datetime, *, partial: bool = False) -> Observation:
        """What was known at `at`."""
        seen = observation(self._watch.live, at=at, fresh_s=self.policy.fresh_s, partial=partial)
        return seen if self._tuning is None else replace(seen, highest=self._tuning.highest(self._bins, at))

    def _policy_at(self, at: datetime) -> Policy:
        """The settings that a decision at `at` obeys."""
        return self.policy if self._tuning is None else self._tuning.policy_at(at)

    async def fitted(self) -> None:
        """Return once what is under way in the background, a fit or a choice of settings, has ended."""
        if self._refit is not None:
            await asyncio.wait({self._refit})
        if self._tuning is not None:
            await self._tuning.settled()

    async def stop(self) -> None:
        """End what may be under way in the background."""
        if self._refit is not None:
            self._refit.cancel()
            await asyncio.gather(self._refit, return_exceptions=True)
        if self._tuning is not None:
            await self._tuning.stop()

    async def _extend(self, at: datetime) -> tuple[str, ...]:
        """Bring the history up to the last whole bin before `at`."""
        grid, had = self._grid, self._bins
        end = floor_to_grid(at, grid.step_s)
        # A fit learns from history_s before its boundary, which lies up to a refit in the past.
        oldest = end - timedelta(seconds=grid.history_s + grid.refit_s)
        if had is not None and had.end >= end:
            return ()
        # The last bins are read once more: late samples are in them by now, and the
        # cache keeps a bin only when it can change no more.
        settled = timedelta(seconds=_SETTLING_BINS * grid.step_s)
        start = max(had.end - settled, oldest) if had is not None else oldest
        try:
            answer = await self._archive.read(self._demand, start=start, end=end, step_s=grid.step_s)
        except HoldTarget as missing:
            return (f"history could not be read: {missing}",)
        joined = answer.window if had is None else had.join(answer.window)
        self._bins = joined.between(oldest, joined.end)
        return ()

    async def _wake(self, at: datetime) -> None:
        """After a start: take the model from the shelf or fit a quick one, then relive the last ticks."""
        self._model = await self._shelf.get(self.settings)
        if self._model is None:
            self._refit = asyncio.create_task(self._fit(at, quick=True))
            await asyncio.wait({self._refit}, timeout=_FIRST_FIT_S)
        if self._tuning is not None:
            await self._tuning.wake()
        self._memory = await self._relive(at)
        self._awake = True

    async def _relive(self, at: datetime) -> StepMemory:
        """The memory that the ticks before `at` leave behind, by the same step on the same data."""
        grid, memory = self._grid, StepMemory()
        past = floor_to_grid(at - timedelta(seconds=self._replay_s), grid.tick_s)
        while past < at:
            seen = self._observe(past)
            async with self._turn:
                await asyncio.sleep(0)
                forecast, _ = self._predict(past)
            policy = self._policy_at(past)
            _, memory = step(self.workload, seen, forecast, policy, memory, unit=self._demand.unit)
            past += timedelta(seconds=grid.tick_s)
        return memory

    def _predict(self, at: datetime) -> tuple[Forecast | None, tuple[str, ...]]:
        """The forecast from the last whole bin before `at`; one for all ticks that share that bin."""
        if self._bins is None or self._model is None:
            return None, ("no model is fitted yet",)
        end = floor_to_grid(at, self._grid.step_s)
        if self._forecast is not None and self._forecast[0] == end:
            return self._forecast[1:]
        recent = self._bins.between(end - timedelta(seconds=self._grid.history_s), end)
        missing = round((end - recent.end).total_seconds() / self._grid.step_s)
        steps = int((self.policy.lookahead_s + self._grid.tick_s) // self._grid.step_s) + 2 + missing
        try:
            forecast, notes = self._foresee(self._model.fitted, recent, steps)
        except TryNextForecaster as unusable:
            forecast, notes = None, (f"no forecaster can serve: {unusable}",)
        self._forecast = (end, forecast, (*self._model.notes, *notes))
        return self._forecast[1:]

    def _foresee(
        self, fitted: FittedChain, recent: MetricWindow, steps: int
    ) -> tuple[Forecast, tuple[str, ...]]:
        """What the chain says of a window without its events, with those that are to come."""
        events = self.settings.events
        recent = usual(recent, events, keep_present=True)
        forecast, notes = fitted.forecast(recent, steps=steps)
        return planned(decomposed(forecast, fitted, recent), events), notes

    def _score(self, forecast: Forecast | None) -> tuple[Outcome, ...]:
        """How the forecasts whose windows have closed came out; `forecast` joins those that are open."""
        for board in self._boards:
            if self._bins is not None:
                board.close(self._bins)
            if forecast is not None:
                board.note(forecast)
        return tuple(board.outcome for board in self._boards if board.outcome is not None)

    def _start_refit(self, at: datetime) -> None:
        """Fit in the background when a boundary of the refit grid has passed."""
        if self._bins is None or (self._refit is not None and not self._refit.done()):
            return
        boundary = self._boundary(at)
        if self._tried == boundary or (
            self._model is not None and not self._model.quick and self._model.boundary >= boundary
        ):
            return
        self._tried = boundary
        self._refit = asyncio.create_task(self._fit(at, quick=False))

    async def _fit(self, at: datetime, *, quick: bool) -> None:
        """Fit the workload's chain on the history up to the refit boundary and serve the result."""
        if self._bins is None:
            return
        boundary = self._boundary(at)
        window = fit_window(self._bins, boundary, history_s=self._grid.history_s)
        try:
            result = await self._fits.fit(
                self.settings.forecasters,
                usual(window, self.settings.events),
                quick_only=quick,
                context=self._context.around(window.start, window.end),
                previous=self._model.fitted if self._model is not None else None,
            )
        except TryNextForecaster as failed:
            _log.info("no forecaster could be fitted", workload=str(self.workload), because=str(failed))
            return
        if quick and self._model is not None:
            return
        skipped = tuple(f"{name} not used: {why}" for name, why in result.skipped)
        notes = () if quick else (*skipped, *result.fitted.because)
        self._model = ShelvedModel(fitted=result.fitted, boundary=boundary, quick=quick, notes=notes)
        self._forecast = None
        if not quick:
            await self._shelf.put(self.settings, self._model)

    def _boundary(self, at: datetime) -> datetime:
        """Where the window of a fit made at `at` ends."""
        return fit_boundary(
            at,
            workload=self.workload,
            known_s=self._bins.known_s if self._bins is not None else 0.0,
            step_s=self._grid.step_s,
            refit_s=self._grid.refit_s,
        )
