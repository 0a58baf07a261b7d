"""One workload's path from its history to its decisions.

Holds what can be rebuilt: the newest bins, the history, the strands that forecast it, the
memory of the last decisions. After a restart the memory is made again by taking
the same steps over the ticks that have passed, so the answer is the same. What was measured of
replicas is obeyed on top of the owner's settings, and self-tuning's choices before it.
"""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from predictscale.config.settings import WorkloadSettings
from predictscale.control.fitting import Fitting
from predictscale.control.idleness import Idleness
from predictscale.control.ledger import Ledger
from predictscale.control.observe import Watch, observation
from predictscale.control.overrides import NOTHING, InForce
from predictscale.control.past import Past
from predictscale.control.pools import PoolWatch
from predictscale.control.rates import Rates
from predictscale.control.reading import Reading
from predictscale.control.rhythm import relived_s, watched_s
from predictscale.control.shelf import ModelShelf
from predictscale.control.sizing import Sizing
from predictscale.control.step import StepMemory, step
from predictscale.control.strand import Fits, Grid, Strand
from predictscale.control.tuning import SelfTuning
from predictscale.core.demand import Observation, Signal, SignalName, WorkloadId
from predictscale.core.events import PlannedEvent
from predictscale.core.forecast import Forecast
from predictscale.core.law import Mix
from predictscale.core.lawcapacity import CapacityLaw
from predictscale.core.lawguards import Learned
from predictscale.core.offered import Rate
from predictscale.core.outcome import horizons_s
from predictscale.core.plan import Decision, Memory, Policy
from predictscale.core.series import floor_to_grid
from predictscale.forecasters.home import at_home
from predictscale.sources.base import Source

__all__ = ["Fits", "Grid", "Tracker"]

_Measured = tuple[float, Learned | None]

_FIRST_FIT_S = 5.0
"""How long the first answer waits for a quick model; the reactive need is published after that."""


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
        sizing: Who tells what was measured of replicas; None if nobody does.
        ledger: Who keeps the books; None if nobody does, and then no budget binds.
        announced: The planned events that were announced by an instant, beside those of the settings.
        pools: Who looks at the workload's pools, or at nodes that may be lost; None if nobody does.
        overrides: What people have put in force at an instant, by what was ordered by then.
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
        sizing: Sizing | None = None,
        ledger: Ledger | None = None,
        announced: Callable[[datetime], tuple[PlannedEvent, ...]] = lambda _: (),
        pools: PoolWatch | None = None,
        overrides: Callable[[datetime], InForce] = lambda _: NOTHING,
    ) -> None:
        self.settings = settings
        self.policy = settings.policy()
        self._past = Past(signals[SignalName.DEMAND], archive=archive, grid=grid)
        self._grid = grid
        self._turn = turn
        self._tuning = tuning
        self._sizing = sizing
        self._ledger = ledger
        self._idleness = Idleness(self.policy.cold)
        self._announced = announced
        self._pools = pools
        self._overrides = overrides
        tuned = tuning is not None
        self._replay_s = relived_s(self.policy, tick_s=grid.tick_s, tuned=tuned)
        keep_s = watched_s(self.policy, tick_s=grid.tick_s, tuned=tuned)
        self._watch = Watch(signals, source, tick_s=grid.tick_s, keep_s=keep_s)

        def strand(series: str = "", scored_s: Collection[float] = ()) -> Strand:
            return Strand(
                settings,
                series=series,
                fits=fits,
                shelf=shelf,
                grid=grid,
                scored_s=scored_s,
                relived_s=self._replay_s,
                events=self._events_at,
            )

        self._strand = strand(scored_s=horizons_s(lead_s=self.policy.lead_time_s, step_s=grid.step_s))
        self._rates: Rates | None = None
        if settings.learned is not None:
            self._rates = Rates(settings.learned, signals, archive=archive, grid=grid, strand=strand)
        self._memory = StepMemory()
        self._awake = self._taken_up = False
        # The newest tick, and what of its policy was measured.
        self._decided: tuple[datetime, _Measured] | None = None

    @property
    def workload(self) -> WorkloadId:
        """Whose path this is."""
        return self.settings.workload

    async def tick(self, at: datetime) -> Decision:
        """Decide for the grid instant `at`, with what can be known by then."""
        notes = await self._look(at)
        notes += await self._extend(at)
        await self._take_up(at)
        if not self._awake and self._strand.bins is not None:
            await self._wake(at)
        else:
            await self._make_up(at)
        async with self._turn:
            # One workload computes at a time, and calls are answered in between: a forecast
            # takes milliseconds, and all of them are due in the same second.
            await asyncio.sleep(0)
            decision = self._decide(at, notes)
        self._decided = at, self._measured(decision.policy)
        self._start_due(at)
        return decision

    async def _make_up(self, at: datetime) -> None:
        """Remember at `at` what a replica of the service remembers that was neither late nor held up."""
        if self._decided is None:
            return
        following = self._decided[0] + timedelta(seconds=self._grid.tick_s)
        # What a pause keeps is older than what is read again: it is remembered, however long the halt was.
        forgotten = (at - following).total_seconds() > self._replay_s and not self._overrides(at).paused_s(at)
        if self._overdue(at) or forgotten:
            self._memory = await self._relive(at)
        elif following < at:
            self._memory = await self._live_through(following, at, self._memory)
        else:
            return
        if self._pools is not None:
            self._pools.made_up()

    def _overdue(self, at: datetime) -> bool:
        """Whether the last decisions lacked a fit, or a measurement, that is there now.

        What was read during a pause is not kept for as long as it holds: nothing of it is forgotten.
        """
        if self._decided is None:
            return False
        before, obeyed = self._decided
        late = [self._strand.overdue(before)]
        if self._rates is not None:
            late.append(self._rates.overdue(before))
        late.append(self._measured(self._policy_at(before)) != obeyed)
        return any(late) and not self._overrides(at).paused_s(at)

    @staticmethod
    def _measured(policy: Policy) -> _Measured:
        """What of a policy is in force from a stated instant on, and may have come later than that."""
        law = policy.capacity
        return policy.lead_time_s, law.learned if isinstance(law, CapacityLaw) else None

    async def _look(self, at: datetime) -> tuple[str, ...]:
        """Read what is new of the workload and of its pools."""
        # A start in the middle of a pause lives through all of it again.
        look = self._watch.look(at, further_s=0.0 if self._awake else self._overrides(at).paused_s(at))
        if self._pools is None:
            return await look
        notes, more = await asyncio.gather(look, self._pools.look(at))
        return (*notes, *more, *self._pools.notes_at(at))

    def fitting(self, at: datetime) -> Fitting:
        """Its models at `at`, for readers."""
        return self._strand.fitting(at)

    def reading(self) -> Reading:
        """Its data as it was last read, for readers."""
        return Reading(
            bins=self._past.bins,
            unit=self._past.signal.unit,
            signals=self._watch.seen(),
            partial=self._watch.partial,
        )

    def refit_now(self) -> str | None:
        """Have its models fitted in the background, beside the fits of the grid; see `Strand.refit_now`."""
        if self._rates is not None:
            self._rates.refit_now()
        return self._strand.refit_now()

    async def fitted(self) -> None:
        """Return once what is under way in the background has ended: fits, choices, measurements."""
        await self._strand.fitted()
        for part in (self._rates, self._tuning, self._sizing, self._ledger):
            if part is not None:
                await (part.fitted() if isinstance(part, Rates) else part.settled())

    async def stop(self) -> None:
        """End what may be under way in the background."""
        await self._strand.stop()
        for part in (self._rates, self._tuning, self._sizing, self._ledger):
            if part is not None:
                await part.stop()

    def _decide(self, at: datetime, notes: tuple[str, ...]) -> Decision:
        """Forecast and step, from what has been read."""
        policy = self._policy_at(at)
        forecast, further, forecast_notes = self._predict(at, policy)
        sizing_notes = () if self._sizing is None else self._sizing.notes_at(at)
        tuning_notes = () if self._tuning is None else self._tuning.notes_at(at)
        decision, self._memory = step(
            self.workload,
            self._observe(at, partial=self._watch.partial),
            forecast,
            policy,
            self._memory,
            unit=self._past.signal.unit,
            notes=(*notes, *self._overrides(at).notes, *forecast_notes, *sizing_notes, *tuning_notes),
            further=further,
        )
        home = at_home(self.settings.forecasters)
        decision = replace(decision, outcomes=self._strand.score(forecast), home=home)
        if self._ledger is not None:
            self._ledger.note(decision)
        if self._tuning is None:
            return decision
        return replace(decision, tuning=self._tuning.note(decision, self._strand.bins))

    def _start_due(self, at: datetime) -> None:
        """Start in the background what is due: fits, a choice of settings, measurements."""
        self._strand.start_refit(at)
        if self._rates is not None:
            self._rates.start_refit(at)
        if self._tuning is not None:
            self._tuning.start_due(at, self._strand.bins)
        for part in (self._sizing, self._ledger):
            if part is not None:
                part.start_due(at)

    def _observe(self, at: datetime, *, partial: bool = False) -> Observation:
        """What was known at `at`."""
        seen = observation(
            self._watch.live,
            at=at,
            fresh_s=self.policy.fresh_s,
            partial=partial,
            telling=None if self._rates is None else self._rates.telling,
            mix=self._mix_at(at),
        )
        bins, pools = self._strand.bins, None if self._pools is None else self._pools.seen_at(at)
        return replace(
            seen,
            # Of several Deployments nobody tells but the pools.
            fleet=pools.fleet if pools is not None and self.settings.pools else seen.fleet,
            highest=None if self._tuning is None else self._tuning.highest(bins, at),
            rest=self._idleness.at(at, bins),
            allowance=None if self._ledger is None else self._ledger.allowance_at(at),
            pools=pools,
        )

    def _policy_at(self, at: datetime) -> Policy:
        """The settings that a decision at `at` obeys: the owner's, tuned, measured, overridden."""
        policy = self._tuned_at(at)
        lead_time_s = None if self._sizing is None else self._sizing.lead_time_at(at)
        capacity, learned = None, self.settings.learned
        if learned is not None:
            mix = self._mix_at(at)
            capacity = None if self._sizing is None else self._sizing.capacity_at(at, mix=mix)
            capacity = learned.law(mix=mix) if capacity is None else capacity
        measured = policy.measured(capacity=capacity, lead_time_s=lead_time_s)
        override = self._overrides(at)
        began = override.paused_since
        held_s = policy.hold_s if began is None else self._tuned_at(began).hold_s
        return override.obeyed(measured, held_s=held_s, at=at, tick_s=self._grid.tick_s)

    def _tuned_at(self, at: datetime) -> Policy:
        """The owner's settings, or those that were chosen to meet the objective."""
        return self.policy if self._tuning is None else self._tuning.policy_at(at)

    def _events_at(self, at: datetime) -> tuple[PlannedEvent, ...]:
        """The owner's planned events and those announced by `at`; one that is both is one."""
        return tuple(dict.fromkeys((*self.settings.events, *self._announced(at))))

    def _mix_at(self, at: datetime) -> Mix | None:
        return None if self._rates is None else self._rates.mix_at(at)

    async def _extend(self, at: datetime) -> tuple[str, ...]:
        """Bring the history up to the last whole bin before `at`."""
        notes = await self._past.extend(at)
        self._strand.bins = self._past.bins
        if self._rates is not None:
            notes += await self._rates.extend(at, self._past.bins)
        return notes

    async def _take_up(self, at: datetime) -> None:
        """Once after a start: take what was chosen, measured and paid from where it was left.

        None of it needs the history, and decisions that are made before that can be read obey it as well.
        """
        if self._taken_up:
            return
        if self._tuning is not None:
            await self._tuning.wake(at)
        if self._sizing is not None:
            await self._sizing.wake()
        if self._ledger is not None:
            await self._ledger.wake(at)
        self._taken_up = True

    async def _wake(self, at: datetime) -> None:
        """After a start: take models from the shelf or fit quick ones, then relive the last ticks."""
        waking = [self._strand.wake(at, patience_s=_FIRST_FIT_S)]
        if self._rates is not None:
            waking.append(self._rates.wake(at, patience_s=_FIRST_FIT_S))
        await asyncio.gather(*waking)
        self._memory = await self._relive(at)
        self._awake = True

    async def _relive(self, at: datetime) -> StepMemory:
        """The memory that the ticks before `at` leave behind, by the same step on the same data."""
        grid = self._grid
        back_s = self._replay_s + self._overrides(at).paused_s(at)
        past = floor_to_grid(at - timedelta(seconds=back_s), grid.tick_s)
        return await self._live_through(past, at, await self._begin(past))

    async def _live_through(self, past: datetime, at: datetime, memory: StepMemory) -> StepMemory:
        """The memory after the ticks of [past, at)."""
        grid = self._grid
        while past < at:
            seen = self._observe(past)
            async with self._turn:
                await asyncio.sleep(0)
                policy = self._policy_at(past)
                forecast, further, _ = self._predict(past, policy)
            unit = self._past.signal.unit
            _, memory = step(self.workload, seen, forecast, policy, memory, unit=unit, further=further)
            past += timedelta(seconds=grid.tick_s)
        return memory

    async def _begin(self, at: datetime) -> StepMemory:
        """What is known of pools by then; nothing else is remembered so long."""
        if self._pools is None or self.policy.pools is None:
            return StepMemory()
        split = await self._pools.begin(at, self.policy.pools.rule)
        return StepMemory(live=Memory(split=split), reactive=Memory(split=split))

    def _predict(
        self, at: datetime, policy: Policy
    ) -> tuple[Forecast | None, Mapping[Rate, Forecast], tuple[str, ...]]:
        """The forecasts of demand and of its rates, and what a reader should know of them."""
        forecast, notes = self._strand.forecast(at, reach_s=policy.lookahead_s)
        if self._rates is None:
            return forecast, {}, notes
        further, more = self._rates.forecasts(at, reach_s=policy.lookahead_s, demand=forecast)
        return forecast, further, (*notes, *more)
