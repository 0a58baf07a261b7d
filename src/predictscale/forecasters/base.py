"""The one contract of all forecasters.

A forecaster fits on a window, away from the serving process, and leaves a
`Fitted` behind: a frozen value of numbers and numpy arrays that predicts with
numpy alone, in a few milliseconds at most, or a third of one in company
(`native.predict_together`). So a slow library is paid for once a refit, in a worker, and
never in the process that answers KEDA.
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol, runtime_checkable

from predictscale.core.forecast import Components, Forecast
from predictscale.core.series import MetricWindow

LEVELS = (0.05, 0.1, 0.25, 0.5, 0.75, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995)
"""The quantile levels every forecast carries."""


class Fitted(Protocol):
    """What a fit leaves behind: picklable, frozen, made of numbers and arrays."""

    @property
    def model(self) -> str:
        """Who speaks: the forecaster's name, or that of the one it chose."""
        ...

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        """Quantiles of the `steps` steps after `recent` ends.

        Args:
            recent: The newest part of the history, on the grid of the window that was
                fitted; may end with gaps, and later than the fitted window.
            steps: How many steps ahead, h.
            levels: Ascending levels in (0, 1).

        Returns:
            A forecast whose origin is `recent.end` and whose step is `recent.step_s`.

        Raises:
            NotEnoughHistory: `recent` is too short to start from.
            ForecastTooShort: The fit does not reach that far beyond its own window.
            ForecastNotCredible: The result is not a number, or beyond all that was seen.
        """
        ...


@runtime_checkable
class Explained(Protocol):
    """A fit that can say why it serves."""

    @property
    def because(self) -> str:
        """The reason, in words."""
        ...


@runtime_checkable
class Decomposed(Protocol):
    """A fit that can say what its median is made of."""

    def components(self, recent: MetricWindow, *, steps: int) -> Components:
        """Level, seasons and the rest of what `predict` says of the same window.

        The parts add up to the median. What the model does not know is zero: one
        without a week has no season of week. Events are not a model's to know.

        Args:
            recent: As `Fitted.predict` takes it.
            steps: How many steps ahead, h.

        Raises:
            TryNextForecaster: As `Fitted.predict`.
        """
        ...


class Forecaster(Protocol):
    """A model before it has seen data."""

    name: ClassVar[str]
    """As the settings call it: lower case, words joined by hyphens."""
    slow: ClassVar[bool]
    """Whether a fit takes more than about 0.1 s: then a quick one serves until it is done."""

    def needs_s(self, step_s: float) -> float:
        """The least known history on a grid of `step_s` that `fit` accepts [s]."""
        ...

    def fit(self, window: MetricWindow) -> Fitted:
        """Learn from a window; gaps are allowed. Deterministic.

        Raises:
            NotEnoughHistory: Less known history than `needs_s`.
            FitFailed: The library raised, did not converge, or gave no numbers.
        """
        ...


@runtime_checkable
class Follows(Protocol):
    """A forecaster that learns from its fit before, too."""

    def after(self, previous: Fitted) -> Forecaster:
        """The same forecaster, with what the fit before found out.

        Args:
            previous: What serves now; of any forecaster, or a chain of several.
        """
        ...


@runtime_checkable
class Hurried(Protocol):
    """A slow forecaster that has quick ones to offer until it is fitted."""

    def at_once(self) -> tuple[Forecaster, ...]:
        """Those, the best guess first."""
        ...
