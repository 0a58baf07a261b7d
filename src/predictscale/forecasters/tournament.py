"""Which model serves: all are judged by what they would have said lately, on the peak that decides.

At each fit the candidates are fitted on the history before the last days and asked
at origins all through them; the least pinball loss wins. The first candidate
keeps its place unless another is clearly better all through those days, so that the champion
does not change with the noise of one of them. The last value always competes, and stands in at
once when a champion fails. How they are judged is `standings`' business. Refuses
to ask those that rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from predictscale.core.forecast import Forecast
from predictscale.core.series import MetricWindow
from predictscale.forecasters.base import LEVELS, Fitted, Forecaster
from predictscale.forecasters.chain import FittedChain, assemble, attempt
from predictscale.forecasters.naive import LastValue
from predictscale.forecasters.standings import CLEARLY, Standing, judge

AUTO = "auto"
"""The name by which the tournament is chosen."""


@dataclass(frozen=True, slots=True, eq=False)
class Crowned:
    """The champion of a tournament, and who stands in for it.

    Args:
        chain: The champion, then the last value.
        standings: All candidates, best first; empty if there was too little history to judge.
    """

    chain: FittedChain
    standings: tuple[Standing, ...]

    @property
    def model(self) -> str:
        """The champion's name."""
        return self.chain.model

    @property
    def members(self) -> tuple[Fitted, ...]:
        """The champion, then the last value."""
        return self.chain.members

    @property
    def because(self) -> str:
        """Why this one serves, in words."""
        if not self.standings:
            return f"{self.model} serves: too little history to judge by"
        return (
            f"{self.model} serves: loss of the peak relative to last value: "
            f"{', '.join(map(self._told, self.standings))}"
        )

    def _told(self, standing: Standing) -> str:
        """A standing; whose loss alone would have made it the champion is told why it is not."""
        first = self.standings[0].loss
        better = first is not None and standing.loss is not None and standing.loss < CLEARLY * first
        return f"{standing} (but not in each part of the judged days)" if better else str(standing)

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        """The champion's forecast, or that of the last value when it fails. See `Fitted.predict`.

        Raises:
            TryNextForecaster: Neither can answer.
        """
        return self.chain.predict(recent, steps=steps, levels=levels)


@dataclass(frozen=True, slots=True)
class Tournament:
    """`auto`: the candidate that would have served best lately.

    Args:
        candidates: The first one is at home; each is fitted twice, once to be judged and once to serve.
        past: How they did when they were last judged.
    """

    name: ClassVar[str] = AUTO
    slow: ClassVar[bool] = True

    candidates: tuple[Forecaster, ...]
    past: tuple[Standing, ...] = ()

    def after(self, previous: Fitted) -> "Tournament":
        """The same, knowing how its candidates did at its fit before. See `Follows.after`."""
        members: tuple[Fitted, ...] = previous.members if isinstance(previous, FittedChain) else (previous,)
        crowned = next((member for member in members if isinstance(member, Crowned)), None)
        return self if crowned is None else replace(self, past=crowned.standings)

    def at_once(self) -> tuple[Forecaster, ...]:
        """The candidates that fit at once, unjudged. See `Hurried.at_once`."""
        return tuple(candidate for candidate in self.candidates if not candidate.slow)

    def needs_s(self, step_s: float) -> float:
        """What the least demanding candidate needs [s]."""
        return min(candidate.needs_s(step_s) for candidate in self.candidates)

    def fit(self, window: MetricWindow) -> Fitted:
        """Judge, then fit the best on all there is. See `Forecaster.fit`.

        Raises:
            TryNextForecaster: No candidate can serve this window.
        """
        standings = judge(self.candidates, window, past=self.past)
        by_name = {candidate.name: candidate for candidate in self.candidates}
        order = [by_name[s.name] for s in standings] or list(self.candidates)
        attempts = []
        for candidate in order:
            attempts.append(attempt(candidate, window))
            if attempts[-1].fitted is not None:
                break
        if attempts[-1].name != LastValue.name:
            attempts.append(attempt(LastValue(), window))
        return Crowned(assemble(attempts, window).fitted, standings)
