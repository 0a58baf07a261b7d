"""The load of one workload in requests and tokens, each a series of its own with a forecast of its own.

Kept beside the demand where what a replica serves is learned. What counters tell is what was served;
what is offered is made of it here, bin by bin, before a model sees it, so that no
forecast learns the ceiling of a fleet that was full.

Refuses to forecast a rate twice: where requests are the demand, they are its strand.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from predictscale.config.capacity import LearnedCapacity
from predictscale.control.past import Past
from predictscale.control.strand import Grid, Strand
from predictscale.core.demand import Signal, SignalName
from predictscale.core.forecast import Forecast
from predictscale.core.law import Mix
from predictscale.core.offered import Counted, Offered, Rate
from predictscale.core.series import MetricWindow
from predictscale.sources.base import Source


class Rates:
    """Follows the rates of one workload.

    Args:
        learned: Which signals tell them.
        signals: What is asked for.
        archive: The source through the cache.
        grid: The rhythm.
        strand: Makes the strand of a series by its name.
    """

    def __init__(
        self,
        learned: LearnedCapacity,
        signals: Mapping[SignalName, Signal],
        *,
        archive: Source,
        grid: Grid,
        strand: Callable[[str], Strand],
    ) -> None:
        self.telling = learned.telling
        self._primary = learned.primary
        telling = self.telling
        asked = {telling.requests, telling.waiting, telling.input_tokens, telling.prompts}
        self._pasts = {
            name: Past(signal, archive=archive, grid=grid)
            for name, signal in signals.items()
            if name in asked | {telling.output_tokens} and name is not SignalName.DEMAND
        }
        own = [rate for rate in telling.rates if not telling.is_demand(rate)]
        self._strands = {rate: strand(rate.value) for rate in own}
        self._offered: Offered | None = None
        self._laid: Mapping[SignalName, MetricWindow | None] = {}

    async def extend(self, at: datetime, demand: MetricWindow | None) -> tuple[str, ...]:
        """Bring all up to the last whole bin before `at`.

        Args:
            at: The tick.
            demand: The history of demand up to there; requests where they are the demand.
        """
        due = [past for past in self._pasts.values() if not past.reaches(at)]
        if demand is None or (not due and self._laid.get(SignalName.DEMAND) is demand):
            return ()
        answers = await asyncio.gather(*(past.extend(at) for past in due))
        notes = [
            f"{past.signal.name}: {note}" for past, told in zip(due, answers, strict=True) for note in told
        ]
        bins = {name: past.bins for name, past in self._pasts.items()} | {SignalName.DEMAND: demand}
        requests = bins.get(self.telling.requests)
        # What could not be read leaves the bins as they were, and the forecasts with them.
        if requests is not None and any(self._laid.get(name) is not told for name, told in bins.items()):
            self._lay(requests, bins)
            self._laid = bins
        return tuple(notes)

    def mix_at(self, at: datetime) -> Mix | None:
        """The mean request of the hours before `at`; None if it is not known."""
        if not self.telling.counts_tokens:
            return Mix.of_requests()
        return None if self._offered is None else self._offered.mix_at(at)

    def forecasts(
        self, at: datetime, *, reach_s: float, demand: Forecast | None
    ) -> tuple[dict[Rate, Forecast], tuple[str, ...]]:
        """The forecast of each rate that has one, and what a reader should know of them.

        Args:
            at: The tick.
            reach_s: How far from there they are needed [s].
            demand: The demand's own, which is that of requests where they are the demand.
        """
        found, notes, mix = {}, [], self.mix_at(at)
        if demand is not None and self.telling.is_demand(Rate.REQUESTS):
            found[Rate.REQUESTS] = demand
        for rate, strand in self._strands.items():
            forecast, told = strand.forecast(at, reach_s=reach_s, worth=self._worth(rate, mix))
            if forecast is not None:
                found[rate] = forecast
            notes += [f"{rate}: {note}" for note in told]
        return found, tuple(notes)

    async def wake(self, at: datetime, *, patience_s: float) -> None:
        """After a start: see `Strand.wake`."""
        await asyncio.gather(*(s.wake(at, patience_s=patience_s) for s in self._strands.values()))

    def overdue(self, decided: datetime) -> bool:
        """Whether a fit has come that a decision should have obeyed; see `Strand.overdue`."""
        late = [strand.overdue(decided) for strand in self._strands.values()]
        return any(late)

    def start_refit(self, at: datetime) -> None:
        """Fit what is due in the background."""
        for strand in self._strands.values():
            strand.start_refit(at)

    def refit_now(self) -> None:
        """Fit in the background what is not being fitted; see `Strand.refit_now`."""
        for strand in self._strands.values():
            strand.refit_now()

    async def fitted(self) -> None:
        """Return once all fits that are under way have ended."""
        await asyncio.gather(*(strand.fitted() for strand in self._strands.values()))

    async def stop(self) -> None:
        """End what is under way."""
        await asyncio.gather(*(strand.stop() for strand in self._strands.values()))

    def _lay(self, requests: MetricWindow, bins: Mapping[SignalName, MetricWindow | None]) -> None:
        telling = self.telling

        def told(name: SignalName | None) -> MetricWindow | None:
            return None if name is None else bins.get(name)

        self._offered = Offered.of(
            Counted(
                requests=requests,
                arrivals=telling.arrivals,
                waiting=told(telling.waiting),
                input_tokens=told(telling.input_tokens),
                prompts=told(telling.prompts),
                output_tokens=told(telling.output_tokens),
            )
        )
        for rate, strand in self._strands.items():
            strand.bins = self._offered.rates[rate]

    def _worth(self, rate: Rate, mix: Mix | None) -> float | None:
        """What one unit of demand is in a rate, by the mean request; None if that is not known."""
        if rate is self._primary:
            return 1.0
        if mix is None:
            return None
        each = {Rate.REQUESTS: 1.0, Rate.INPUT: mix.uncached_tokens, Rate.OUTPUT: mix.output_tokens}
        return each[rate] / each[self._primary]
