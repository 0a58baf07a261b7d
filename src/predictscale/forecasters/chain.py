"""The order in which models are tried, at the fit and again at every forecast.

A fit keeps the champion, the first that could be fitted, and the quick ones behind it.
A forecast comes from the first of them that gives a credible one. Each that was
passed over is named with its reason. Refuses to mend a forecast: an incredible one is
not clipped into a likely one, the next model answers.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from predictscale.clock import SystemClock
from predictscale.core.forecast import Components, Forecast
from predictscale.core.series import MetricWindow
from predictscale.errors import (
    FitFailed,
    ForecastNotCredible,
    TryNextForecaster,
)
from predictscale.forecasters.base import LEVELS, Decomposed, Explained, Fitted, Follows, Forecaster, Hurried
from predictscale.forecasters.robust import highest

CREDIBLE = 5.0
"""A forecast is believed up to this many times the highest confirmed demand."""

_RECENT_S = 3600.0
_PRESENT_S = 180.0


class Skipped(NamedTuple):
    """A model that did not serve, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """How the fit of one forecaster ended: with a model, or with an error.

    Args:
        name: The forecaster's name.
        took_s: Duration of the fit [s].
        fitted: The model, or None.
        error: Why there is none, or None.
    """

    name: str
    took_s: float
    fitted: Fitted | None = None
    error: TryNextForecaster | None = None

    def __post_init__(self) -> None:
        assert (self.fitted is None) != (self.error is None)  # noqa: S101 - our own bug, not input


@dataclass(frozen=True, slots=True, eq=False)
class FittedChain:
    """Fitted models in the order in which they are asked.

    Args:
        members: The champion, then the quick ones that stand in for it.
        high: The highest confirmed demand of the window.
    """

    members: tuple[Fitted, ...]
    high: float

    def __post_init__(self) -> None:
        if not self.members:
            raise ValueError("members: is empty; a chain has a champion")

    @property
    def model(self) -> str:
        """The champion's name; a forecast carries the name of the one who made it."""
        return self.members[0].model

    @property
    def because(self) -> tuple[str, ...]:
        """Why members serve, of those that can say so."""
        return tuple(member.because for member in self.members if isinstance(member, Explained))

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        """The first credible forecast. See `Fitted.predict`.

        Raises:
            TryNextForecaster: No member gives one.
        """
        return self.forecast(recent, steps=steps, levels=levels)[0]

    def forecast(
        self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS
    ) -> tuple[Forecast, tuple[str, ...]]:
        """The first credible forecast, and a note for each member that was passed over: `name: why`.

        Raises:
            TryNextForecaster: No member gives one; the only reason there is, or all in one.
        """
        high = max(self.high, highest(recent.last(_RECENT_S).values))
        errors: list[tuple[str, TryNextForecaster]] = []
        for member in self.members:
            try:
                forecast = member.predict(recent, steps=steps, levels=levels)
                require_credible(forecast, high=high)
            except TryNextForecaster as error:
                errors.append((member.model, error))
            else:
                return forecast, tuple(map(str, _reasons(errors)))
        raise _nobody(errors, ForecastNotCredible)


@dataclass(frozen=True, slots=True, eq=False)
class ChainResult:
    """What came of fitting a chain.

    Args:
        fitted: The models that serve.
        skipped: Those that come before the champion, or were to stand in for it, and could not.
    """

    fitted: FittedChain
    skipped: tuple[Skipped, ...]


def require_credible(forecast: Forecast, *, high: float) -> None:
    """Refuse more than `CREDIBLE` times the highest demand that was confirmed.

    NaN and negative values never come this far: a `Forecast` refuses them itself.

    Raises:
        ForecastNotCredible: A quantile path goes beyond that.
    """
    top = float(max(np.max(table) for table in (forecast.values, forecast.peaks) if table is not None))
    if top > CREDIBLE * high * (1 + 1e-9):
        raise ForecastNotCredible(
            f"{forecast.model} forecasts up to {top:g}; the highest confirmed demand is {high:g}, "
            f"and {CREDIBLE:g} times that is the limit"
        )


def attempt(forecaster: Forecaster, window: MetricWindow) -> Attempt:
    """Fit one forecaster; whatever it raises ends as an error of the chain."""
    timer = SystemClock()
    start_s = timer.monotonic_s()
    try:
        fitted = forecaster.fit(window)
    except TryNextForecaster as error:
        return Attempt(forecaster.name, timer.monotonic_s() - start_s, error=error)
    except Exception as error:  # noqa: BLE001 - one model's bug must not cost the others
        failed = FitFailed(f"{type(error).__name__}: {error}")
        return Attempt(forecaster.name, timer.monotonic_s() - start_s, error=failed)
    return Attempt(forecaster.name, timer.monotonic_s() - start_s, fitted=fitted)


def assemble(attempts: Iterable[Attempt], window: MetricWindow) -> ChainResult:
    """Make a chain of the attempts that succeeded, in the order given.

    Raises:
        TryNextForecaster: None did; the only kind of reason there is, or all in one `FitFailed`.
    """
    members: list[Fitted] = []
    errors: list[tuple[str, TryNextForecaster]] = []
    for tried in attempts:
        if tried.fitted is not None:
            members.append(tried.fitted)
        elif tried.error is not None:
            errors.append((tried.name, tried.error))
    if not members:
        raise _nobody(errors, FitFailed)
    return ChainResult(FittedChain(tuple(members), highest(window.values)), _reasons(errors))


def fit_chain(forecasters: Sequence[Forecaster], window: MetricWindow) -> ChainResult:
    """Fit in order, here and now; slow ones only until the first that succeeds.

    Raises:
        TryNextForecaster: No forecaster can serve this window.
    """
    attempts: list[Attempt] = []
    champion = False
    for forecaster in forecasters:
        if not (champion and forecaster.slow):
            attempts.append(attempt(forecaster, window))
            champion = champion or attempts[-1].fitted is not None
    return assemble(attempts, window)


def quick_ones(forecasters: Sequence[Forecaster]) -> tuple[Forecaster, ...]:
    """Those that fit at once, each once: the chain of the first minutes, until the slow ones are done."""
    found: dict[str, Forecaster] = {}
    for forecaster in forecasters:
        at_once = forecaster.at_once() if isinstance(forecaster, Hurried) else ()
        for each in at_once if forecaster.slow else (forecaster,):
            found.setdefault(each.name, each)
    return tuple(found.values())


def following(forecasters: Sequence[Forecaster], previous: Fitted | None) -> tuple[Forecaster, ...]:
    """The forecasters with what the fit before found out, where they have a use for it."""
    if previous is None:
        return tuple(forecasters)
    return tuple(f.after(previous) if isinstance(f, Follows) else f for f in forecasters)


def decomposed(forecast: Forecast, fitted: Fitted, recent: MetricWindow) -> Forecast:
    """The forecast with its components, by the model that made it.

    A model that knows no parts is told by what everybody can see: the present level, and
    the rest. The rest always makes the parts add up to this forecast's median.

    Args:
        forecast: What `fitted` said of `recent`.
        fitted: A model, or a chain of models one of which made the forecast.
        recent: What it was made from.
    """
    parts = _parts(_author(fitted, forecast.model), recent, forecast.steps)
    rest = parts.correction + forecast.quantile(0.5) - parts.total
    return replace(forecast, components=replace(parts, correction=rest))


def _parts(author: Fitted | None, recent: MetricWindow, steps: int) -> Components:
    """What a model says its median is made of, or the present level alone."""
    if isinstance(author, Decomposed):
        with suppress(TryNextForecaster):
            return author.components(recent, steps=steps)
    near = recent.last(max(_PRESENT_S, recent.step_s))
    present = float(np.nanmean(near.values)) if near.known.any() else 0.0
    nothing = np.zeros(steps)
    return Components(
        level=np.full(steps, present), day=nothing, week=nothing, events=nothing, correction=nothing
    )


def _author(fitted: Fitted, name: str) -> Fitted | None:
    """The model of that name among those of a chain, however deep."""
    members: tuple[Fitted, ...] = getattr(fitted, "members", ())
    if not members:
        return fitted if fitted.model == name else None
    return next((found for member in members if (found := _author(member, name)) is not None), None)


def _reasons(errors: Sequence[tuple[str, TryNextForecaster]]) -> tuple[Skipped, ...]:
    return tuple(Skipped(name, str(error)) for name, error in errors)


def _nobody(
    errors: Sequence[tuple[str, TryNextForecaster]], otherwise: type[FitFailed | ForecastNotCredible]
) -> TryNextForecaster:
    """The last error if all are of its kind, so that its numbers survive; else all in words."""
    kinds = {type(error) for _, error in errors}
    if len(kinds) == 1:
        return errors[-1][1]
    return otherwise("; ".join(map(str, _reasons(errors))) or "the chain is empty")
