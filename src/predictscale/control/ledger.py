"""The money of one workload: keeps its meter, tells its budget's allowance, publishes what it costs.

The books lie on the shelf between restarts; they are put there by the hour and at the end, so a
kill loses an hour, which is then told as unknown. Refuses to open new books over those on
the shelf: nothing is noted before they were looked for.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from predictscale.config.settings import WorkloadSettings
from predictscale.control.counterfactual import CounterfactualMeter
from predictscale.control.errand import Errand
from predictscale.control.gridwatch import GridWatch
from predictscale.control.metershelf import MeterShelf
from predictscale.control.moneybook import Money, MoneyBook, Purse
from predictscale.control.replicahours import ReplicaHours
from predictscale.core.budget import Allowance, allowance
from predictscale.core.carbon import Carbon, Intensity, emitted
from predictscale.core.cost import Served, Spend, spent
from predictscale.core.counterfactual import Savings
from predictscale.core.lawcapacity import CapacityLaw
from predictscale.core.plan import Decision
from predictscale.core.pools import PoolKind
from predictscale.core.series import floor_to_grid

HOUR_S = 3600.0
TOLD_EVERY_S = 60.0
"""Sums over the books are made anew so often [s]."""

_GENERATED = ("output tokens/s",)
_GENERATED_BY_BACKENDS = "tokens/s"
"""What backends call the tokens that they generate; an owner's own query may count others."""


@dataclass(slots=True)
class _Due:
    """When what is done now and then was done last."""

    kept: datetime | None = None
    told: datetime | None = None


class Ledger:
    """Of one workload.

    Args:
        settings: What its owner wants.
        meter: Its books; one that was noted to already goes on as it is.
        key: Under which its books lie; those of another history have another one.
        shelf: Where they lie.
        book: Where readers find the state.
        grid: Who tells what its grid emits; None if nobody does.
        paid: Who tells what the month has cost, the same to every replica of the service; None if nobody
            does, and then a budget goes by the books.
    """

    def __init__(
        self,
        settings: WorkloadSettings,
        *,
        meter: CounterfactualMeter,
        key: str,
        shelf: MeterShelf,
        book: MoneyBook,
        grid: GridWatch | None = None,
        paid: ReplicaHours | None = None,
    ) -> None:
        self._settings, self._key, self._shelf, self._book = settings, key, shelf, book
        self._grid, self._paid = grid, paid
        self._meter = meter
        self._savings: Savings | None = None
        # A replica-hour as the newest fleet pays it; pools have prices of their own.
        self._price = None if settings.price is None else settings.price.per_replica_h
        self._due = _Due()
        # A thousand workloads do not put their books away in the same second.
        digest = hashlib.sha256(f"books of {settings.workload}".encode()).digest()
        self._shift = timedelta(seconds=int.from_bytes(digest[:2]) % HOUR_S)
        self._awake = False
        # The newest decision on the books, if any was put there.
        self._noted: datetime | None = None
        self._work = Errand()

    def allowance_at(self, at: datetime) -> Allowance | None:
        """The replicas that the budget allows at an instant, by what is on the books; None without one."""
        purse = self._purse(at)
        if purse is None:
            return None
        return allowance(purse.budget, now=at, spent=purse.spent, per_replica_h=self._price)

    def note(self, decision: Decision) -> None:
        """Put a decision on the books, and tell readers."""
        if not self._awake:
            return
        at, load = decision.seen.now, self._served(decision)
        self._noted = at
        hourly = self._hourly(decision, load)
        if hourly is not None and hourly.replica_h > 0:
            self._price = hourly.money / hourly.replica_h
        self._meter.note(decision, price_per_h=self._price)
        minute = floor_to_grid(at, TOLD_EVERY_S)
        if self._due.told != minute:
            self._due.told, self._savings = minute, self._meter.savings()
        self._book.put(self._settings.workload, self._state(decision, load, hourly))

    def start_due(self, at: datetime) -> None:
        """Put the books on the shelf, and look at the grid, in the background, if it is time."""
        if self._grid is not None:
            self._grid.start_due(at)
        self._read_month(at)
        hour = floor_to_grid(at - self._shift, HOUR_S)
        if self._due.kept is None:
            self._due.kept = hour
        if self._due.kept == hour or not self._awake or self._work.busy:
            return
        self._due.kept = hour
        self._work.start(self._shelf.put(self._key, self._meter, at=at))

    async def wake(self, at: datetime | None = None) -> None:
        """Go on with the books that are on the shelf, if there are any.

        Args:
            at: The first tick, before which a budget's month is read; without it that is done later.
        """
        budget = self._settings.budget
        if self._paid is not None and budget is not None and at is not None:
            await self._paid.wake(at, since=budget.month(at)[0])
        if self._meter.reactive_replicas is None:
            await self._shelf.restore(self._key, self._meter, now=at)
        self._awake = True

    async def settled(self) -> None:
        """Return once what is under way in the background has ended."""
        if self._grid is not None:
            await self._grid.settled()
        if self._paid is not None:
            await self._paid.settled()
        await self._work.settled()

    async def stop(self) -> None:
        """Put the books on the shelf, and tell readers no more."""
        self._book.forget(self._settings.workload)
        if self._grid is not None:
            await self._grid.stop()
        if self._paid is not None:
            await self._paid.stop()
        await self.settled()
        if self._noted is not None:
            await self._shelf.put(self._key, self._meter, at=self._noted)

    def _read_month(self, at: datetime) -> None:
        if self._paid is not None and self._settings.budget is not None:
            self._paid.start_due(at, since=self._settings.budget.month(at)[0])

    def _purse(self, at: datetime) -> Purse | None:
        budget = self._settings.budget
        if budget is None:
            return None
        since, until = budget.month(at)
        known = None if self._paid is None else self._paid.spent(since, now=at)
        # Before they were looked for the books are empty, which is not the same as nothing spent.
        if known is None and self._awake:
            known = self._meter.spent(since, now=at)
        return Purse(budget=budget, since=since, until=until, spent=known)

    def _state(self, decision: Decision, load: Served, hourly: Spend | None) -> Money:
        settings, at = self._settings, decision.seen.now
        intensity = None if self._grid is None else self._grid.at(at)
        tokens = None if load.output_tokens is None else load.output_tokens * HOUR_S
        return Money(
            at=at,
            currency=None if settings.price is None else settings.price.currency,
            labels=dict(settings.labels),
            savings=self._savings,
            hourly=hourly,
            carbon=self._carbon(decision, intensity),
            intensity=intensity,
            tokens=tokens,
            purse=self._purse(at),
            plain_replicas=self._meter.reactive_replicas,
        )

    def _hourly(self, decision: Decision, load: Served) -> Spend | None:
        price, held = self._settings.price, held_by_pool(decision)
        if price is None or held is None:
            return None
        try:
            return spent(price, held, load, span_s=HOUR_S)
        except ValueError:
            # A pool that holds replicas has no price.
            return None

    def _carbon(self, decision: Decision, intensity: Intensity | None) -> Carbon | None:
        power, held = self._settings.power, held_by_pool(decision)
        if power is None or held is None or intensity is None:
            return None
        return emitted(power, intensity, replicas=sum(held.values()), span_s=HOUR_S)

    def _served(self, decision: Decision) -> Served:
        """The load of the instant, as far as it is counted; old or doubtful numbers are not."""
        seen, policy, settings = decision.seen, decision.policy, self._settings
        if seen.demand is None or seen.partial or seen.age_s > policy.fresh_s:
            return Served()
        generates = settings.unit in _GENERATED or (
            settings.backend is not None and settings.unit == _GENERATED_BY_BACKENDS
        )
        rates = seen.rates
        return Served(
            requests=seen.demand if settings.unit == "requests/s" else rates.requests_rps,
            input_tokens=rates.input_tokens_per_s,
            output_tokens=seen.demand if generates else rates.output_tokens_per_s,
            input_weight=_input_weight(decision),
        )


def held_by_pool(decision: Decision) -> Mapping[str, float] | None:
    """Replicas that are there, ready or not, by the name of their pool; None if they are not known.

    Those of a workload without pools stand under no name.
    """
    seen, split = decision.seen, decision.policy.pools
    if split is None or not split.pools:
        return None if seen.fleet.replicas is None else {"": seen.fleet.replicas}
    if seen.pools is None:
        return None
    zones = {zone.zone: zone.ready + zone.pending for zone in seen.pools.zones}
    return {
        pool.name: sum(zones.get(zone, 0) for zone in pool.zones)
        if pool.kind is PoolKind.SPOT
        else seen.pools.on_demand_ready + seen.pools.on_demand_pending
        for pool in split.pools
    }


def _input_weight(decision: Decision) -> float | None:
    """What an input token takes beside an output token, by the capacity law; None if none is fitted."""
    capacity = decision.policy.capacity
    if not isinstance(capacity, CapacityLaw) or capacity.learned is None or capacity.learned.fit is None:
        return None
    law = capacity.learned.fit.law
    return law.gamma_s / law.beta_s if law.beta_s > 0 else None
