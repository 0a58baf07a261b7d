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
from typing import Protocol, runtime_checkable

import structlog

from predictscale.config.settings import WorkloadSettings
from predictscale.control.context import context_of
from predictscale.control.errand import Errand
from predictscale.control.fitting import Fitting
from predictscale.control.rhythm import (
    begun_after_s,
    due_boundary,
    fit_window,
    kept_s,
    next_boundary,
    serving_boundary,
)
from predictscale.control.shelf import ModelShelf, ShelvedModel
from predictscale.core.events import PlannedEvent, planned, usual
from predictscale.core.forecast import Forecast
from predictscale.core.outcome import Outcome, Scoreboard
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.errors import TryNextForecaster
from predictscale.forecasters.base import Fitted
from predictscale.forecasters.chain import ChainResult, FittedChain, decomposed
from predictscale.forecasters.registry import Context, resolve

_log = structlog.get_logger(__name__)

_SCORED_S = 86400.0
"""Coverage is of the last day."""
_KEPT_FITS = 4
"""The fit to come, the one in force, and those that the ticks before obeyed."""
_BEFORE = "@before"
"""Where the fit before the newest lies on the shelf, beside the series' name."""

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
        """Where the bins begin that are kept at `at`; see `kept_s`."""
        back_s = kept_s(history_s=self.history_s, refit_s=self.refit_s)
        return floor_to_grid(at, self.step_s) - timedelta(seconds=back_s)


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


@runtime_checkable
class Refittable(Protocol):
    """Whose models can be fitted on request: `control.tracker.Tracker`, or one that looks for its backend."""

    def refit_now(self) -> str | None:
        """Fit in the background; see `Strand.refit_now`."""
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
        relived_s: How far before its first tick a start asks for forecasts [s].
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
        relived_s: float = 0.0,
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
        self._relived_s = relived_s
        # In the order of their boundaries; a quick one serves only while there is none.
        self._models: tuple[ShelvedModel, ...] = ()
        # Fits that have come since the last tick began: none is obeyed from the middle of one on.
        self._fresh: tuple[ShelvedModel, ...] = ()
        self._quick: ShelvedModel | None = None
        self._told: tuple[_Asked, Forecast | None, tuple[str, ...]] | None = None
        self._told_of: tuple[MetricWindow, ShelvedModel] | None = None
        self._refit, self._quick_fit = Errand(), Errand()
        self._tried: set[datetime] = set()
        self._relived_from: datetime | None = None
        self._arrived: list[datetime] = []

    async def wake(self, at: datetime, *, patience_s: float) -> None:
        """After a start: take models from the shelf, and fit what is in force and not among them.

        Args:
            at: The first tick.
            patience_s: How long to wait for the fits [s]. If they take longer, a quick one serves meanwhile.
        """
        names = (self.series + _BEFORE, self.series)
        kept = [await self._shelf.get(self._settings, series=name) for name in names]
        # A clock that was ahead, and is right now, left fits of what is still to come.
        self._models = tuple(model for model in kept if model is not None and model.boundary <= at)
        self._relived_from = at - timedelta(seconds=self._relived_s)
        self._start(at, until=self._serving(at))
        if not self._models and self._may_take_long:
            self._quick_fit.start(self._fit(self._serving(at), quick=True))
        await self._refit.settled(timeout_s=patience_s)
        self._adopt()
        self._arrived.clear()
        if not self._models:
            await self._quick_fit.settled(timeout_s=patience_s)

    def overdue(self, decided: datetime) -> bool:
        """Take what has been fitted since this was last asked, at the beginning of a tick.

        Returns:
            Whether a decision of before should have obeyed it.
        """
        self._adopt()
        arrived, self._arrived = self._arrived, []
        return any(boundary <= self._serving(decided) for boundary in arrived)

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
        model = self._model_at(at)
        if self.bins is None or model is None:
            return None, ("no model is fitted yet",)
        end = floor_to_grid(at, self._grid.step_s)
        events = self._events(at)
        asked = (end, reach_s, events)
        # Bins that were read late, within the bin that a forecast was made in, are forecast from as well.
        if self._told is not None and self._told[0] == asked and self._told_of == (self.bins, model):
            return self._told[1:]
        recent = self.bins.between(end - timedelta(seconds=self._grid.history_s), end)
        missing = round((end - recent.end).total_seconds() / self._grid.step_s)
        steps = int((reach_s + self._grid.tick_s) // self._grid.step_s) + 2 + missing
        try:
            forecast, notes = _foresee(model.fitted, recent, steps, events, worth=worth)
        except TryNextForecaster as unusable:
            forecast, notes = None, (f"no forecaster can serve: {unusable}",)
        notes = (*self._unusual(model, at), *model.notes, *notes)
        self._told, self._told_of = (asked, forecast, notes), (self.bins, model)
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
        """Fit in the background what is due at `at`."""
        if not self._refit.busy:
            self._start(at, until=self._coming(at))

    def _start(self, at: datetime, *, until: datetime) -> None:
        due = [boundary for boundary in self._due(at) if boundary <= until]
        if self.bins is not None and due:
            self._tried = {boundary for boundary in self._tried if boundary >= due[0]} | set(due)
            self._refit.start(self._fit_all(due))

    def _due(self, at: datetime) -> list[datetime]:
        """The boundaries that are to be fitted: what a start lives through, what is in force, what comes."""
        wanted = {self._serving(at), self._coming(at)}
        if self._relived_from is not None:
            wanted.add(self._serving(self._relived_from))
        had = {model.boundary for model in (*self._models, *self._fresh) if not model.ordered} | self._tried
        return sorted(wanted - had)

    def fitting(self, at: datetime) -> Fitting:
        """What is known at `at` of the model that serves, and of the fit to come."""
        due = None if self.bins is None else at
        if self.bins is not None and not self._due(at):
            late = timedelta(seconds=begun_after_s(**self._known, step_s=self._grid.step_s))
            due = next_boundary(at - late, workload=self._settings.workload, **self._known) + late
        return Fitting(
            chain=self._settings.forecasters,
            model=self._model_at(at),
            under_way=self._refit.busy,
            next_fit_at=due,
        )

    def refit_now(self) -> str | None:
        """Fit in the background on all whole bins that are known, beside the fits of the grid.

        The next fit of the grid is not put off: with it the replicas of the service agree again.

        Returns:
            Why nothing was begun; None if a fit was.
        """
        if self.bins is None:
            return "its history is being read; there is nothing to fit on yet"
        if self._refit.busy:
            return "a fit is under way already; its model serves as soon as it is done"
        self._refit.start(self._fit(self.bins.end, ordered=True))
        return None

    async def fitted(self) -> None:
        """Return once the fits that are under way, if there are any, have ended."""
        await self._refit.settled()
        await self._quick_fit.settled()

    async def stop(self) -> None:
        """End the fits that may be under way."""
        await self._refit.cancel()
        await self._quick_fit.cancel()

    async def _fit_all(self, boundaries: Sequence[datetime]) -> None:
        """The oldest first: a tournament goes on from the one before."""
        for boundary in boundaries:
            await self._fit(boundary)

    async def _fit(self, boundary: datetime, *, quick: bool = False, ordered: bool = False) -> None:
        """Fit the chain on the history up to a boundary, and keep the result."""
        if self.bins is None:
            return
        window = fit_window(self.bins, boundary, history_s=self._grid.history_s)
        before = [model for model in self._newest() if model.boundary < boundary]
        try:
            result = await self._fits.fit(
                self._settings.forecasters,
                usual(window, self._events(boundary)),
                quick_only=quick,
                context=self._context.around(window.start, window.end),
                previous=before[-1].fitted if before else None,
            )
        except TryNextForecaster as failed:
            workload = str(self._settings.workload)
            _log.info(
                "no forecaster could be fitted", workload=workload, series=self.series, because=str(failed)
            )
            return
        skipped = tuple(f"{name} not used: {why}" for name, why in result.skipped)
        model = ShelvedModel(
            fitted=result.fitted,
            boundary=boundary,
            quick=quick,
            notes=() if quick else (*skipped, *result.fitted.because),
            skipped=result.skipped,
            ordered=ordered,
        )
        if quick:
            self._quick = model
        else:
            await self._take(model)

    async def _take(self, model: ShelvedModel) -> None:
        self._fresh = (*self._fresh, model)
        names = (self.series, self.series + _BEFORE)
        for series, kept in zip(names, reversed(self._newest()), strict=False):
            await self._shelf.put(self._settings, kept, series=series)

    def _adopt(self) -> None:
        """Let what has come serve from now on."""
        self._arrived += [model.boundary for model in self._fresh if not model.ordered]
        self._models, self._fresh = self._newest(), ()

    def _newest(self) -> tuple[ShelvedModel, ...]:
        """The last fits, those that do not serve yet among them, in the order of their boundaries."""
        return tuple(sorted((*self._models, *self._fresh), key=lambda each: each.boundary)[-_KEPT_FITS:])

    def _model_at(self, at: datetime) -> ShelvedModel | None:
        """The model that a forecast at `at` is made with; one that is too new rather than a quick one."""
        serving = self._serving(at)
        in_force = [m for m in self._models if m.boundary <= (at if m.ordered else serving)]
        if in_force:
            return in_force[-1]
        return self._models[0] if self._models else self._quick

    def _unusual(self, model: ShelvedModel, at: datetime) -> tuple[str, ...]:
        """Whether another replica of the service may obey another fit now, and why."""
        due = self._serving(at)
        if model.quick:
            return (f"quick forecasters serve until the fit of {due:%H:%M} UTC is done",)
        if model.ordered:
            return (f"fitted on request at {model.boundary:%H:%M} UTC, on this replica of the service",)
        if model.boundary != due:
            return (f"the fit of {due:%H:%M} UTC is not there; that of {model.boundary:%H:%M} UTC serves",)
        return ()

    def _serving(self, at: datetime) -> datetime:
        return serving_boundary(at, workload=self._settings.workload, step_s=self._grid.step_s, **self._known)

    def _coming(self, at: datetime) -> datetime:
        return due_boundary(at, workload=self._settings.workload, step_s=self._grid.step_s, **self._known)

    @property
    def _known(self) -> dict[str, float]:
        """What the grid of fits depends on: how much of the history is known, and the owner's rhythm [s]."""
        known_s = self.bins.known_s if self.bins is not None else 0.0
        return {"known_s": known_s, "refit_s": self._grid.refit_s}

    @property
    def _may_take_long(self) -> bool:
        return any(each.slow for each in resolve(self._settings.forecasters, context=self._context))


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
