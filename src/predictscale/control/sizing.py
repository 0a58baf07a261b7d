"""What was measured of a workload's replicas, as a decision at an instant obeys it.

Two numbers are learnt beside demand: what a replica serves, and how long a new one takes
until it does. Each has a teller of its own; together they are a `Sizing`. What a teller says
of an instant depends on that instant, on what was kept, and on nothing else: a start lives
through the last ticks again and must find the numbers that were in force then. So numbers change at
boundaries of a grid only, as refits do, and those of the last hours are kept with the instant from
which they hold. Refuses to stand in for the owner: a teller that knows nothing says None.
"""

import asyncio
from datetime import datetime
from typing import Protocol

from predictscale.core.capacity import Capacity
from predictscale.core.law import Mix


class Teller(Protocol):
    """What both tellers share: how they live beside a tracker."""

    def notes_at(self, at: datetime) -> tuple[str, ...]:
        """What a reader of the decision at `at` should know of the number, in words."""
        ...

    def start_due(self, at: datetime) -> None:
        """Start in the background what is due at the tick `at`; returns at once, and never raises."""
        ...

    async def wake(self) -> None:
        """After a start: take what was kept from the shelf, before the first decision."""
        ...

    async def settled(self) -> None:
        """Return once what is under way in the background has ended."""
        ...

    async def stop(self) -> None:
        """End what is under way, and keep what a start needs."""
        ...


class CapacityTeller(Teller, Protocol):
    """Who knows what a replica serves."""

    def capacity_at(self, at: datetime, *, mix: Mix | None) -> Capacity | None:
        """The capacity that a decision at `at` obeys; None leaves the settings' own in force.

        Args:
            at: The tick, now or of the last hours.
            mix: The mean request of the hours before `at`, as the tracker follows it; None if unknown.
        """
        ...


class LeadTeller(Teller, Protocol):
    """Who knows how long a new replica takes to serve."""

    def lead_time_at(self, at: datetime) -> float | None:
        """The measured lead time that a decision at `at` obeys [s]; None leaves the owner's in force."""
        ...


class Sizing(CapacityTeller, LeadTeller, Protocol):
    """Both, as a tracker asks them."""


class Sized:
    """A `Sizing` of two tellers, either of which may be missing.

    Args:
        capacity: Who tells what a replica serves; None leaves the settings' own in force.
        lead: Who tells the lead time, likewise.
    """

    def __init__(self, capacity: CapacityTeller | None = None, lead: LeadTeller | None = None) -> None:
        self._capacity, self._lead = capacity, lead
        self._tellers: tuple[Teller, ...] = tuple(each for each in (capacity, lead) if each is not None)

    def capacity_at(self, at: datetime, *, mix: Mix | None) -> Capacity | None:
        """See `CapacityTeller.capacity_at`."""
        return None if self._capacity is None else self._capacity.capacity_at(at, mix=mix)

    def lead_time_at(self, at: datetime) -> float | None:
        """See `LeadTeller.lead_time_at`."""
        return None if self._lead is None else self._lead.lead_time_at(at)

    def notes_at(self, at: datetime) -> tuple[str, ...]:
        """The notes of both."""
        return tuple(note for teller in self._tellers for note in teller.notes_at(at))

    def start_due(self, at: datetime) -> None:
        """Start what is due of both."""
        for teller in self._tellers:
            teller.start_due(at)

    async def wake(self) -> None:
        """Wake both."""
        await asyncio.gather(*(teller.wake() for teller in self._tellers))

    async def settled(self) -> None:
        """Return once both have settled."""
        await asyncio.gather(*(teller.settled() for teller in self._tellers))

    async def stop(self) -> None:
        """Stop both, the one although the other fails.

        Raises:
            ExceptionGroup: What they raised.
        """
        ends = await asyncio.gather(*(teller.stop() for teller in self._tellers), return_exceptions=True)
        if failed := [end for end in ends if isinstance(end, Exception)]:
            raise ExceptionGroup("measurements could not be stopped", failed)
