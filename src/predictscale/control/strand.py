"""One series of a workload, from its bins to its forecasts: the model, its fits, how it came out.

A workload whose capacity is one number has one strand; one whose capacity is learned has one more for
each rate of its load. Whoever holds a strand lays its bins; it is rebuilt from them after a
start, with the model that lies on the shelf. Planned events are taken out of what models see
and laid over what they say here, so that no model knows of them.

Refuses to read anything: where bins come from is not its business.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from predictscale.config.settings import WorkloadSettings
from predictscale.control.context import context_of
from predictscale.control.errand import Errand
from predictscale.control.rhythm import fit_boundary, fit_window
from predictscale.control.shelf import ModelShelf, ShelvedModel
from predictscale.core.events import PlannedEvent, planned, usual
from predictscale.core.forecast import Forecast
from predictscale.core.outcome import Outcome, Scoreboard
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.errors import TryNextForecaster
from predictscale.forecasters.base import Fitted
from predictscale.forecasters.chain import ChainResult, FittedChain, decomposed
from predictscale.forecasters.registry import Context

_log = structlog.get_logger(__name__)

_SCORED_S = 86400.0
"""Coverage is of the last day."""

_Asked = tuple[datetime, float, tuple[PlannedEvent, ...]]
"""What a forecast depends on beside the model: where it begins, how far it reaches [s], its events."""


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

    def oldest(self, at: datetime) -> datetime:
        """Where the bins begin that are kept at `at`: a fit's boundary lies up to a refit in the past."""
        return floor_to_grid(at, self.step_s) - timedelta(seconds=self.history_s + self.refit_s)


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


class Strand:
    """Follows one series.

    Args:
        settings: Of its workload.
        series: Which series, as models are shelved by; empty for the demand itself.
        fits: Who fits models.
        shelf: Where they are kept across restarts.
        grid: The rhythm.
        scored_s: The horizons whose forecasts are scored [s].
        events: The planned events that are known at an instant; those of the settings if not given.
    """

    def __init__(
        self,
        settings: WorkloadSettings,
        *,
        series: str = "",
        fits: Fits,
        shelf: ModelShelf,
        grid: Grid,
        scored_s: Collection[float] = (),
        events: Callable[[datetime], tuple[PlannedEvent, ...]] | None = None,
    ) -> None:
        self.series = series
        self.bins: MetricWindow | None = None
        """The history, up to the last whole bin; laid by the strand's holder."""
        self._settings = settings
        self._context = context_of(settings)
        self._events = events or (lambda _: settings.events)
        self._fits, self._shelf, self._grid = fits, shelf, grid
        self._boards = [
            Scoreboard(lead_s=lead_s, span_s=_SCORED_S, step_s=grid.step_s) for lead_s in sorted(scored_s)
        ]
        self._model: ShelvedModel | None = None
        self._told: tuple[_Asked, Forecast | None, tuple[str, ...]] | None = None
        self._told_of: MetricWindow | None = None
        self._refit = Errand()
        self._tried: datetime | None = None

    async def wake(self, at: datetime, *, patience_s: float) -> None:
        """After a start: take the model from the shelf, or fit a quick one and wait so long for it [s]."""
        self._model = await self._shelf.get(self._settings, series=self.series)
        if self._model is None:
            self._refit.start(self._fit(at, quick=True))
            await self._refit.settled(timeout_s=patience_s)

    def forecast(
        self, at: datetime, *, reach_s: float, worth: float | None = 1.0
    ) -> tuple[Forecast | None, tuple[str, ...]]:
        """The forecast from the last whole bin before `at`; one for all ticks that share bin and events.

        Args:
            at: The tick.
            reach_s: How far from there it is needed [s].
            worth: What one unit of demand is in this series, for events that set demand; None if
                that is not known, and such events are left out.

        Returns:
            The forecast, or None, and what a reader should know of it.
        """
        if self.bins is None or self._model is None:
            return None, ("no model is fitted yet",)
        end = floor_to_grid(at, self._grid.step_s)
        events = self._events(at)
        asked = (end, reach_s, events)
        # Bins that were read late, within the bin that a forecast was made in, are forecast from as well.
        if self._told is not None and self._told[0] == asked and self._told_of is self.bins:
            return self._told[1:]
        recent = self.bins.between(end - timedelta(seconds=self._grid.history_s), end)
        missing = round((end - recent.end).total_seconds() / self._grid.step_s)
        steps = int((reach_s + self._grid.tick_s) // self._grid.step_s) + 2 + missing
        try:
            forecast, notes = _foresee(self._model.fitted, recent, steps, events, worth=worth)
        except TryNextForecaster as unusable:
            forecast, notes = None, (f"no forecaster can serve: {unusable}",)
        self._told, self._told_of = (asked, forecast, (*self._model.notes, *notes)), self.bins
        return self._told[1:]

    def score(self, forecast: Forecast | None) -> tuple[Outcome, ...]:
        """How the forecasts whose windows have closed came out; `forecast` joins those that are open."""
        for board in self._boards:
            if self.bins is not None:
                board.close(self.bins)
            if forecast is not None:
                board.note(forecast)
        return tuple(board.outcome for board in self._boards if board.outcome is not None)

    def start_refit(self, at: datetime) -> None:
        """Fit in the background when a boundary of the refit grid has passed."""
        if self.bins is None or self._refit.busy:
            return
        boundary = self._boundary(at)
        if self._tried == boundary or (
            self._model is not None and not self._model.quick and self._model.boundary >= boundary
        ):
            return
        self._tried = boundary
        self._refit.start(self._fit(at, quick=False))

    async def fitted(self) -> None:
        """Return once the fit that is under way, if there is one, has ended."""
        await self._refit.settled()

    async def stop(self) -> None:
        """End the fit that may be under way."""
        await self._refit.cancel()

    async def _fit(self, at: datetime, *, quick: bool) -> None:
        """Fit the workload's chain on the history up to the refit boundary and serve the result."""
        if self.bins is None:
            return
        boundary = self._boundary(at)
        window = fit_window(self.bins, boundary, history_s=self._grid.history_s)
        try:
            result = await self._fits.fit(
                self._settings.forecasters,
                usual(window, self._events(at)),
                quick_only=quick,
                context=self._context.around(window.start, window.end),
                previous=self._model.fitted if self._model is not None else None,
            )
        except TryNextForecaster as failed:
            workload = str(self._settings.workload)
            _log.info(
                "no forecaster could be fitted", workload=workload, series=self.series, because=str(failed)
            )
            return
        if quick and self._model is not None:
            return
        skipped = tuple(f"{name} not used: {why}" for name, why in result.skipped)
        notes = () if quick else (*skipped, *result.fitted.because)
        self._model = ShelvedModel(fitted=result.fitted, boundary=boundary, quick=quick, notes=notes)
        self._told = None
        if not quick:
            await self._shelf.put(self._settings, self._model, series=self.series)

    def _boundary(self, at: datetime) -> datetime:
        """Where the window of a fit made at `at` ends."""
        return fit_boundary(
            at,
            workload=self._settings.workload,
            known_s=self.bins.known_s if self.bins is not None else 0.0,
            step_s=self._grid.step_s,
            refit_s=self._grid.refit_s,
        )


def _foresee(
    fitted: FittedChain,
    recent: MetricWindow,
    steps: int,
    events: Sequence[PlannedEvent],
    *,
    worth: float | None,
) -> tuple[Forecast, tuple[str, ...]]:
    """What the chain says of a window without its events, with those that are to come."""
    recent = usual(recent, events, keep_present=True)
    forecast, notes = fitted.forecast(recent, steps=steps)
    counted = (_counted(event, worth) for event in events)
    coming = [event for event in counted if event is not None]
    return planned(decomposed(forecast, fitted, recent), coming), notes


def _counted(event: PlannedEvent, worth: float | None) -> PlannedEvent | None:
    """An event in a series' own unit; None if what it sets cannot be told there."""
    if event.demand is None or worth == 1:
        return event
    return None if worth is None else replace(event, demand=event.demand * worth)
