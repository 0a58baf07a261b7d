"""The counterfactual meter of one workload: what we held, beside what others would have held.

It listens to every decision and takes the same steps, one for each sync of an HPA, for a plain
reactive HPA and for a static fleet. Equal decisions give equal accounts, and what `kept` tells
after any of them can be gone on from.

Refuses to count what is not known: a step without fresh demand, or that nobody looked at, costs
nobody anything and saves nobody anything, and the time is told as unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from predictscale.control.accounts import Accounts
from predictscale.core.budget import spent_in_all
from predictscale.core.capacity import CapacityModel
from predictscale.core.counterfactual import (
    ImaginedFleet,
    PlainHpa,
    Savings,
    Way,
    begun,
    queued,
    reacted,
    steps_of,
)
from predictscale.core.hpa import SYNC_S, HpaState
from predictscale.core.plan import Decision, Mode
from predictscale.core.series import Floats, floor_to_grid
from predictscale.errors import HoldTarget

KEPT_S = 32 * 86_400.0
"""Accounts reach back so far [s]; so does the highest demand that a static fleet is sized for."""
WAIT_S = 5.0
"""Work of a workload without an objective is late if it waits longer [s], as in the simulator."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SYNC = timedelta(seconds=SYNC_S)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """What a decision tells of the time since the one before.

    Args:
        demand: What came per second; None if that is not known.
        per_replica: What a replica serves of it; None if that is not known, and then nor is demand.
        lead_steps: From a request to service, in steps.
        floor: The owner's, and the ceiling.
        ceiling: The same.
        held: Replicas there were; None if our own targets must tell.
        ready: Those of them that served, likewise.
        wanted: What we want from now on; None if no answer was given.
        price: Of a replica-hour.
    """

    demand: float | None
    per_replica: float | None
    lead_steps: int
    floor: int
    ceiling: int
    held: int | None
    ready: int | None
    wanted: int | None
    price: float | None


class CounterfactualMeter:
    """Accounts of one workload.

    Args:
        plain: How the plain HPA is set.
        tick_s: Between decisions; a longer silence is time that nobody looked at [s].
        wait_s: Work that waits longer is late [s].
        keep_s: How far back accounts reach [s].
    """

    def __init__(
        self,
        *,
        plain: PlainHpa | None = None,
        tick_s: float = SYNC_S,
        wait_s: float = WAIT_S,
        keep_s: float = KEPT_S,
    ) -> None:
        self._plain = PlainHpa() if plain is None else plain
        self._tick_s, self._wait_s = tick_s, wait_s
        self._accounts = Accounts(keep_s=keep_s)
        self._begun, self._at = False, _EPOCH
        self._ours = self._reactive = ImaginedFleet(0)
        self._static = 0
        self._queues = (0.0,) * len(Way)

    @property
    def reactive_replicas(self) -> int | None:
        """What the plain HPA asks for now; None before the first decision."""
        return self._reactive.spec if self._begun else None

    def note(self, decision: Decision, *, price_per_h: float | None = None) -> None:
        """Account for the time since the decision before, and let the plain HPA sync.

        Decisions come in the order of time; one that no sync lies before adds nothing.

        Args:
            decision: The newest.
            price_per_h: What a replica costs by the hour, the same for all ways; None if unknown.
        """
        at, step = floor_to_grid(decision.seen.now, SYNC_S), _told(decision, price_per_h)
        if not self._begun:
            self._begin(at, step)
            return
        count = round((at - self._at) / _SYNC)
        silent = count * SYNC_S > self._tick_s + SYNC_S
        if silent:
            self._pass_over(at - _SYNC, step)
            count = 1
        for left in range(count - 1, -1, -1):
            self._take(replace(step, demand=None) if silent else step)
            self._at += _SYNC
            spec, hpa = self._synced(self._at, step)
            self._reactive = replace(self._reactive.at(spec, lead_steps=step.lead_steps), hpa=hpa)
            wanted = self._ours.spec if left or step.wanted is None else step.wanted
            self._ours = self._ours.at(wanted, lead_steps=step.lead_steps)

    def savings(self, *, span_s: float | None = None) -> Savings | None:
        """The accounts of the hours that touch the last `span_s`; of all that is kept without one [s].

        Returns:
            None as long as nothing is accounted for.
        """
        return self._accounts.savings(
            self._at, span_s=span_s, utilisation=self._plain.utilisation, wait_s=self._wait_s
        )

    def spent(self, since: datetime, *, now: datetime | None = None) -> float | None:
        """What our replicas have cost since an instant, such as a month's beginning.

        Args:
            since: From then on.
            now: The present: time in which decisions were missing, or that came before the first, is
                not known. None for the last decision's instant.

        Returns:
            None if prices or demand were not known for half of that time; what is missing of the
            other half is taken to have cost as much by the hour.
        """
        silent = now is not None and (now - self._at).total_seconds() > self._tick_s + SYNC_S
        until = now if now is not None and silent else self._at
        money, priced_s = self._accounts.paid(since)
        return spent_in_all(money, priced_s=priced_s, span_s=(until - since).total_seconds())

    def kept(self) -> dict[str, Floats]:
        """All of it as arrays, for the cache."""
        wanted = [[(at - _EPOCH).total_seconds(), n] for at, n in self._reactive.hpa.wanted]
        at_s = (self._at - _EPOCH).total_seconds() if self._begun else np.nan
        return {
            "hours": self._accounts.kept(),
            "now": np.array([at_s, self._static]),
            "queues": np.array(self._queues),
            "ours": np.array([*self._ours.asked, self._ours.spec], dtype=np.float64),
            "reactive": np.array([*self._reactive.asked, self._reactive.spec], dtype=np.float64),
            "wanted": np.array(wanted, dtype=np.float64).reshape(-1, 2),
        }

    def restore(self, kept: Mapping[str, Floats]) -> None:
        """Go on from what `kept` gave; on an error nothing has changed.

        Raises:
            ValueError: It is not that.
            KeyError: The same.
        """
        at_s, static = kept["now"].tolist()
        begun_, static = not np.isnan(at_s), int(static)
        at = _EPOCH + timedelta(seconds=at_s if begun_ else 0.0)
        first, second, third = kept["queues"].tolist()
        hpa = HpaState(tuple((_EPOCH + timedelta(seconds=s), int(n)) for s, n in kept["wanted"].tolist()))
        ours, reactive = (_fleet(kept[name]) for name in ("ours", "reactive"))
        # Last of what may fail.
        self._accounts.restore(kept["hours"])
        self._begun, self._at, self._static = begun_, at, static
        self._queues = (first, second, third)
        self._ours, self._reactive = ours, replace(reactive, hpa=hpa)

    def _begin(self, at: datetime, step: _Step) -> None:
        """All ways begin with the fleet that is there, and ready."""
        first = next((n for n in (step.held, step.wanted) if n is not None), step.floor)
        bounded = min(max(first, 1, step.floor), step.ceiling)
        ours, self._reactive = (begun(n, lead_steps=step.lead_steps) for n in (first, bounded))
        self._ours = ours if step.wanted is None else replace(ours, spec=step.wanted)
        spec, hpa = self._synced(at, step)
        self._reactive = replace(self._reactive, spec=spec, hpa=hpa)
        self._begun, self._at = True, at

    def _synced(self, at: datetime, step: _Step) -> tuple[int, HpaState]:
        """What the plain HPA makes of the metric."""
        metric = None
        if step.demand is not None and step.per_replica is not None:
            metric = self._plain.metric(step.demand, per_replica=step.per_replica)
        settings = self._plain.settings(floor=step.floor, max_replicas=step.ceiling)
        return reacted(self._reactive, now=at, metric=metric, settings=settings)

    def _take(self, step: _Step) -> None:
        """Account for one step, in which the fleets are as the last sync left them."""
        if step.per_replica is None:
            self._queues = (0.0,) * len(Way)
            self._accounts.skip(self._at, SYNC_S)
            return
        # Where nothing is known to come, what waits is served all the same.
        came = 0.0 if step.demand is None else step.demand
        self._static = self._peak_fleet(step, self._accounts.see(self._at, came), step.per_replica)
        held, ready = self._fleets(step)
        served = [
            queued(q, came, n, per_replica=step.per_replica, step_s=SYNC_S, wait_s=self._wait_s)
            for q, n in zip(self._queues, ready, strict=True)
        ]
        self._queues = tuple(left for _, left in served)
        if step.demand is None:
            self._accounts.skip(self._at, SYNC_S)
            return
        self._accounts.add(
            self._at,
            step_s=SYNC_S,
            came=came * SYNC_S,
            price_per_h=step.price,
            held=held,
            late=tuple(late for late, _ in served),
        )

    def _fleets(self, step: _Step) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Replicas held and ready in a step, in the order of `Way`."""
        ours_held = self._ours.spec if step.held is None else step.held
        ours_ready = self._ours.ready(step.lead_steps) if step.ready is None else step.ready
        reactive_ready = self._reactive.ready(step.lead_steps)
        return (
            (ours_held, self._reactive.spec, self._static),
            (ours_ready, reactive_ready, self._static),
        )

    @staticmethod
    def _peak_fleet(step: _Step, highest: float, per_replica: float) -> int:
        """What serves the highest demand, without headroom."""
        return min(max(CapacityModel(per_replica).replicas_for(highest), step.floor, 1), step.ceiling)

    def _pass_over(self, until: datetime, step: _Step) -> None:
        """Time that nobody looked at: fleets stay as they were asked for, queues are served."""
        unknown_s = (until - self._at).total_seconds()
        self._accounts.skip(until, unknown_s)
        for _ in range(min(round(unknown_s / SYNC_S), step.lead_steps)):
            self._reactive, self._ours = (
                fleet.at(fleet.spec, lead_steps=step.lead_steps) for fleet in (self._reactive, self._ours)
            )
        self._queues = (0.0,) * len(Way)
        self._at = until


def _told(decision: Decision, price: float | None) -> _Step:
    """What a decision tells of the step before it, and what it wants."""
    seen, policy = decision.seen, decision.policy
    shadow = policy.mode is Mode.SHADOW
    known = not seen.partial and seen.age_s <= policy.fresh_s
    per_replica: float | None
    try:
        per_replica = policy.capacity.per_replica
    except HoldTarget:
        known, per_replica = False, None
    return _Step(
        demand=seen.demand if known else None,
        per_replica=per_replica,
        lead_steps=steps_of(policy.lead_time_s, SYNC_S),
        floor=policy.floor,
        ceiling=policy.max_replicas,
        # In shadow mode the fleet is another's: what ours would have been counts.
        held=None if shadow else seen.fleet.replicas,
        ready=None if shadow else seen.fleet.ready,
        wanted=decision.plan.published if decision.plan.available else None,
        price=price,
    )


def _fleet(specs: Floats) -> ImaginedFleet:
    *asked, spec = (int(n) for n in specs.tolist())
    return ImaginedFleet(spec, tuple(asked))
