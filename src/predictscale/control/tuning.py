"""Self-tuning of one workload: from the owner's objective to the settings in force.

Keeps the record of what was said and what was late, asks a worker at a slow rhythm which settings
would have met the objective most cheaply, and lets the budget make them more careful between
two answers. A choice comes into force at a stated time after the past that it was made
from, so that all replicas of the service obey it from the same tick. Refuses to
choose in this process: replays are slow, and the simulator is not control's to know.
"""

import hashlib
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import structlog

from predictscale.control.asks import HIGHEST_S, Ask, Goal, Retelling, Subject, Tuner
from predictscale.control.errand import Errand
from predictscale.control.recall import ReadyBefore, Recall
from predictscale.control.said import Said
from predictscale.control.spending import SETTLING_BINS, Spending
from predictscale.control.tuningshelf import Chosen, Kept, TuningShelf
from predictscale.core.capacity import linear
from predictscale.core.forecast import Forecast
from predictscale.core.knobs import Knobs
from predictscale.core.plan import Decision, Mode, Policy
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.core.slo import DAY_S, HOUR_S, Pacing
from predictscale.core.track import TRACKED_LEVELS, told_peaks
from predictscale.core.tuned import Tuning
from predictscale.errors import DAMAGE, TryNextForecaster

_log = structlog.get_logger(__name__)

_PACING = Pacing()
_ANSWERED_S = 300.0
"""A choice is in force this long after it was asked for [s]: by then every replica has it."""
_KEPT_CHOICES = 3
_UNSIZED = "what a replica serves is not learned yet"


class SelfTuning:
    """The settings in force for one workload, and what they come from.

    Args:
        subject: Whose.
        goal: What the owner asks.
        tuner: Who answers.
        shelf: Where the record lies between restarts.
        ready: Who knows of the replicas before a start without a record; None if nobody does.
    """

    def __init__(
        self,
        subject: Subject,
        goal: Goal,
        *,
        tuner: Tuner,
        shelf: TuningShelf,
        ready: ReadyBefore | None = None,
    ) -> None:
        self._subject, self._goal = subject, goal
        self._tuner, self._shelf = tuner, shelf
        self._ready = ready
        capacity = linear(subject.policy.capacity)
        self._key = f"{subject.key}#{goal.slo}#{subject.policy.lead_time_s:g}#{capacity}"
        # The past that a question is about may lie so far back.
        self._reach_s = goal.record_s + goal.every_s + self._asked_after_s
        self._said = Said(step_s=subject.step_s, keep_s=self._reach_s + HOUR_S)
        self._spending = Spending(goal.slo, subject.policy, step_s=subject.step_s)
        self._chosen: tuple[Chosen, ...] = ()
        self._asked_at: datetime | None = None
        self._retold = False
        # Up to when the record was told again, if that was more than an hour of it.
        self._retold_until: datetime | None = None
        self._work = Errand()
        self._highest: tuple[datetime, float | None] | None = None
        # The newest decision on record; and whether the record of before was looked for.
        self._noted: datetime | None = None
        self._awake = False
        # Under way after a start without a record.
        self._recall: Recall | None = None

    async def wake(self, at: datetime) -> None:
        """Take the record from the shelf; if there is none, ask who was ready before `at`."""
        kept = await self._shelf.get(self._key)
        self._awake = True
        if kept is not None and self._restored(kept, at):
            self._chosen, self._retold_until = kept.chosen, kept.retold_until
        # In shadow mode what was ready is not ours.
        elif self._ready is not None and self._subject.policy.mode is not Mode.SHADOW:
            back_s = min(self._goal.slo.window_s, self._subject.history_s)
            self._recall = Recall(self._ready, before=at, back_s=back_s, step_s=self._subject.step_s)

    def _restored(self, kept: Kept, at: datetime) -> bool:
        ahead_s = (kept.at - at).total_seconds()
        if ahead_s > HOUR_S:
            _log.warning("what tuning kept is of the future", workload=self._name, by_s=round(ahead_s))
            return False
        try:
            self._said.restore(kept.said_end, kept.said)
            self._spending.restore(kept.spending)
        except DAMAGE as damaged:
            _log.warning("what tuning kept does not fit", workload=self._name, because=str(damaged))
            return False
        return True

    def policy_at(self, at: datetime) -> Policy:
        """The settings that a decision at `at` obeys."""
        return self._subject.policy.obeying(self._in_force(at)[1])

    def notes_at(self, at: datetime) -> tuple[str, ...]:
        """What a reader of the decision at `at` should know of the choice in force, or of its absence."""
        if self._in_force(at)[0] is None:
            return ("no settings are chosen for the objective yet; the owner's are in force",)
        if (told := self._retold_until) is None:
            return ()
        gone = told + timedelta(seconds=self._goal.record_s)
        note = (
            f"forecasts of before {told:%d %b %H:%M} UTC are told again by daily fits; until "
            f"{gone:%d %b %H:%M} another replica of the service may choose other settings"
        )
        return (note,) if at < gone else ()

    def highest(self, bins: MetricWindow | None, at: datetime) -> float | None:
        """The highest demand of the last days before the bin of `at`; None if none is known."""
        if bins is None:
            return None
        end = floor_to_grid(at, self._subject.step_s)
        if self._highest is None or self._highest[0] != end:
            values = bins.between(end - timedelta(seconds=HIGHEST_S), end).values
            known = values[~np.isnan(values)]
            self._highest = (end, float(known.max()) if known.size else None)
        return self._highest[1]

    def note(self, decision: Decision, bins: MetricWindow | None) -> Tuning:
        """Put a decision on record: what it was told, what it saw ready, what it wanted.

        Returns:
            The state of tuning, for readers.
        """
        at = self._noted = decision.seen.now
        # One that is learned moves; a replay knows one number, that of the newest decision.
        self._spending.capacity = linear(decision.policy.capacity)
        if decision.forecast is not None:
            self._hear(decision.forecast, floor_to_grid(at, self._subject.step_s))
        # In shadow mode the fleet is another's: what ours would have had ready counts.
        ready = None if decision.policy.mode is Mode.SHADOW else decision.seen.fleet.ready
        plan = decision.plan
        self._spending.note(at, ready=ready, target=plan.target if plan.available else None)
        if bins is not None and self._recalled(at, mode=decision.policy.mode):
            self._spending.settle(bins, at=at)
        return self._state(at)

    def _recalled(self, at: datetime, *, mode: Mode) -> bool:
        """Put what was told of the time before the start on record; whether nothing more is to come."""
        recall = self._recall
        if recall is None:
            return True
        # Lateness is counted with what a replica serves; one that is learned comes later.
        if not recall.over(at, usable=self._spending.capacity is not None):
            return False
        # A person may have put it in shadow mode, whatever the settings say.
        if recall.told is not None and mode is not Mode.SHADOW:
            self._spending.remember(recall.told)
        self._recall = None
        return True

    def start_due(self, at: datetime, bins: MetricWindow | None) -> None:
        """Ask for a new choice in the background when one is due."""
        if self._recall is not None:
            self._recall.start_due(at)
        boundary = self._boundary(at)
        if bins is None or boundary == self._asked_at or self._work.busy:
            return
        # How much lateness may be asked for follows from all that is known of it.
        if self._recall is not None or self._spending.behind(at):
            return
        if self._retold and self._chosen and self._chosen[-1].choice.at >= boundary:
            return
        self._asked_at = boundary
        self._work.start(self._choose(boundary, bins))

    async def settled(self) -> None:
        """Return once the question under way, if there is one, is answered."""
        if self._recall is not None:
            await self._recall.settled()
        await self._work.settled()

    async def stop(self) -> None:
        """Put the question under way aside, and the record on the shelf."""
        if self._recall is not None:
            await self._recall.stop()
        await self._work.cancel()
        await self._keep()

    @property
    def _name(self) -> str:
        return str(self._subject.workload)

    @property
    def _asked_after_s(self) -> float:
        """How long after the past that it is about a question is put: late samples are in by then [s]."""
        return (SETTLING_BINS + 1) * self._subject.step_s

    def _hear(self, forecast: Forecast, start: datetime) -> None:
        """Put on record what was said at a bin's beginning."""
        if self._said.knows(start):
            return
        low, high = TRACKED_LEVELS[0], TRACKED_LEVELS[-1]
        if forecast.levels[0] <= low and forecast.levels[-1] >= high:
            try:
                told = told_peaks(forecast, at=start, span_s=self._subject.span_s)
            except TryNextForecaster:
                return
            self._said.note(start, told)

    def _in_force(self, at: datetime) -> tuple[Chosen | None, Knobs, int]:
        """The choice that is obeyed at `at`, the settings that come of it, and by how many notches."""
        delay = timedelta(seconds=self._asked_after_s + _ANSWERED_S)
        chosen = next((each for each in reversed(self._chosen) if each.choice.at + delay <= at), None)
        knobs = self._subject.policy.knobs if chosen is None else chosen.choice.knobs
        notches = self._spending.budget(at).notches(_PACING)
        return chosen, knobs.careful(notches, highest=self._goal.bounds.highest_level), notches

    def _state(self, at: datetime) -> Tuning:
        chosen, knobs, notches = self._in_force(at)
        budget = self._spending.budget(at)
        because = (
            "the owner's settings, until a choice is in force" if chosen is None else chosen.choice.because
        )
        if notches:
            because += (
                f"; {notches} more careful for now, because lateness outran the budget in the last hours"
            )
        return Tuning(
            slo=self._goal.slo,
            choice=None if chosen is None else chosen.choice,
            knobs=knobs,
            since=None if chosen is None else chosen.since,
            because=because,
            notches=notches,
            violation=budget.violation,
            spent=budget.spent,
            known_s=budget.known_s,
            every_s=self._goal.every_s,
            next_at=self._boundary(at) + timedelta(seconds=self._goal.every_s + self._asked_after_s),
        )

    async def _choose(self, boundary: datetime, bins: MetricWindow) -> None:
        """Fill the gaps of the record, ask for settings, and keep the answer."""
        try:
            await self._fill_gaps(bins)
            if self._chosen and self._chosen[-1].choice.at >= boundary:
                return
            if (ask := self._ask(boundary, bins)) is None:
                _log.info("no settings could be chosen", workload=self._name, because=_UNSIZED)
                return
            choice = await self._tuner.tune(ask)
        except TryNextForecaster as failed:
            _log.info("no settings could be chosen", workload=self._name, because=str(failed))
            return
        before = self._chosen[-1] if self._chosen else None
        same = before is not None and before.choice.knobs == choice.knobs
        since = before.since if same and before is not None else choice.at
        self._chosen = (*self._chosen, Chosen(choice=choice, since=since))[-_KEPT_CHOICES:]
        if not same:
            _log.info("settings chosen", workload=self._name, knobs=str(choice.knobs), because=choice.because)
        await self._keep()

    async def _fill_gaps(self, bins: MetricWindow) -> None:
        """Once after a start: have told again what is not on record."""
        if self._retold:
            return
        step = timedelta(seconds=self._subject.step_s)
        least = max(bins.end - timedelta(seconds=self._reach_s), bins.start + step)
        count = max(0, round((bins.end - least) / step))
        missing = np.flatnonzero(np.isnan(self._said.before(bins.end, count)).any(axis=1))
        day = round(DAY_S / self._subject.step_s)
        # A day at a time: each answer is kept, should the next one take too long.
        for first in sorted({int(place) // day * day for place in missing}):
            part = missing[(missing >= first) & (missing < first + day)]
            start = least + int(part[0]) * step
            self._said.fill(
                start,
                await self._tuner.retell(
                    Retelling(
                        demand=bins,
                        start=start,
                        bins=int(part[-1] - part[0]) + 1,
                        span_s=self._subject.span_s,
                        forecasters=tuple(self._subject.forecasters),
                        context=self._subject.context,
                        events=self._subject.events,
                        history_s=self._subject.history_s,
                    )
                ),
            )
        filled = missing[~np.isnan(self._said.before(bins.end, count)[missing]).any(axis=1)]
        if filled.size * self._subject.step_s > HOUR_S:
            self._retold_until = least + int(filled[-1] + 1) * step
        self._retold = True

    def _ask(self, boundary: datetime, bins: MetricWindow) -> Ask | None:
        """The question; None while nobody knows what a replica serves."""
        if (capacity := self._spending.capacity) is None:
            return None
        demand = bins.between(boundary - timedelta(seconds=self._goal.record_s + HIGHEST_S), boundary)
        count = min(len(demand), round(self._goal.record_s / self._subject.step_s))
        # Whole hours before the boundary: whoever asks, whenever, has them settled.
        whole = floor_to_grid(boundary, HOUR_S) - timedelta(seconds=1)
        return Ask(
            demand=demand,
            peaks=self._said.before(demand.end, count),
            policy=replace(self._subject.policy, capacity=capacity),
            slo=self._goal.slo,
            asked=self._spending.budget(whole).asked(_PACING),
            tick_s=self._subject.tick_s,
            bounds=self._goal.bounds,
            serving=self._chosen[-1].choice.knobs if self._chosen else None,
        )

    async def _keep(self) -> None:
        # Without what is being recalled it would be a record, and nobody would ask again.
        if self._noted is None or self._recall is not None:
            return
        if not self._awake and await self._shelf.get(self._key) is not None:
            # A record of days that was not looked at yet is worth more than what came since the start.
            return
        self._awake = True
        end, table = self._said.kept()
        kept = Kept(
            at=self._noted,
            chosen=self._chosen,
            said_end=end,
            said=table,
            spending=self._spending.kept(),
            retold_until=self._retold_until,
        )
        await self._shelf.put(self._key, kept)

    def _boundary(self, at: datetime) -> datetime:
        """Where the past ends that the newest choice at `at` is made from: the same on every replica.

        Shifted by workload, so that a thousand of them do not ask in the same second.
        """
        every_s, step_s = self._goal.every_s, self._subject.step_s
        digest = hashlib.sha256(f"tuning of {self._subject.workload}".encode()).digest()
        shift = timedelta(seconds=int.from_bytes(digest[:4]) % round(every_s))
        by = at - timedelta(seconds=self._asked_after_s)
        return floor_to_grid(floor_to_grid(by - shift, every_s) + shift, step_s)
