"""Which model serves: all are judged by what they would have said lately, on the peak that decides.

At each fit the candidates are fitted on the history before the last days and asked
at origins all through them; the least pinball loss wins. The first candidate
keeps its place unless another is clearly better, so that the champion does not
change with the noise of a day. The last value always competes, and stands in at
once when a champion fails. Refuses percentage errors, and judges no model by
days that it was fitted on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from predictscale.core.forecast import Forecast
from predictscale.core.series import MetricWindow
from predictscale.forecasters.base import LEVELS, Fitted, Forecaster
from predictscale.forecasters.chain import FittedChain, assemble, attempt
from predictscale.forecasters.evaluate import TARGETS, actuals, rolling, spaced_origins
from predictscale.forecasters.naive import LastValue
from predictscale.forecasters.robust import DAY_S
from predictscale.forecasters.scoring import geometric_mean, weighted_quantile_loss

AUTO = "auto"
"""The name by which the tournament is chosen."""

JUDGED_S = 3 * DAY_S
"""The last days are what candidates are judged by [s], at most a third of the history."""

ORIGINS = 72
"""Asked for at so many instants of them."""

CLEARLY = 0.9
"""A challenger replaces the first candidate only with less than this share of its loss."""

_LEADS_S = (300.0, 600.0, 1800.0)
_LEVELS = (0.5, 0.9, 0.95, 0.99)
_LEAST_JUDGED_S = DAY_S / 4
_NOTHING = 1e-6
"""A loss below this is rounding: the series never moves, and there is nothing to be better at."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How one candidate did.

    Args:
        name: Whose.
        loss: Weighted quantile loss of the peak relative to the last value's, geometric mean over
            leads; None if the candidate could not answer.
    """

    name: str
    loss: float | None

    def __str__(self) -> str:
        return f"{self.name} cannot answer" if self.loss is None else f"{self.name} {self.loss:.3f}"


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
    def because(self) -> str:
        """Why this one serves, in words."""
        if not self.standings:
            return f"{self.model} serves: too little history to judge by"
        return (
            f"{self.model} serves: loss of the peak relative to last value: "
            f"{', '.join(map(str, self.standings))}"
        )

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        """The champion's forecast, or that of the last value when it fails. See `Fitted.predict`.

        Raises:
            TryNextForecaster: Neither can answer.
        """
        return self.chain.predict(recent, steps=steps, levels=levels)


class Tournament:
    """`auto`: the candidate that would have served best lately.

    Args:
        candidates: The first one is at home; each is fitted twice, once to be judged and once to serve.
    """

    name: ClassVar[str] = AUTO
    slow: ClassVar[bool] = True

    def __init__(self, candidates: Sequence[Forecaster]) -> None:
        self._candidates = tuple(candidates)

    def needs_s(self, step_s: float) -> float:
        """What the least demanding candidate needs [s]."""
        return min(candidate.needs_s(step_s) for candidate in self._candidates)

    def fit(self, window: MetricWindow) -> Fitted:
        """Judge, then fit the best on all there is. See `Forecaster.fit`.

        Raises:
            TryNextForecaster: No candidate can serve this window.
        """
        standings = judge(self._candidates, window)
        by_name = {candidate.name: candidate for candidate in self._candidates}
        order = [by_name[s.name] for s in standings] or list(self._candidates)
        attempts = []
        for candidate in order:
            attempts.append(attempt(candidate, window))
            if attempts[-1].fitted is not None:
                break
        if attempts[-1].name != LastValue.name:
            attempts.append(attempt(LastValue(), window))
        return Crowned(assemble(attempts, window).fitted, standings)


def judge(candidates: Sequence[Forecaster], window: MetricWindow) -> tuple[Standing, ...]:
    """How the candidates would have done on the window's last days, best first.

    Returns:
        Nothing if the window is too short to judge by, or holds nothing to judge.
    """
    judged_s = min(JUDGED_S, window.duration_s / 3)
    leads_s = [lead_s for lead_s in _LEADS_S if lead_s >= window.step_s] or [window.step_s]
    room = int((judged_s - leads_s[-1]) // window.step_s)
    if judged_s < _LEAST_JUDGED_S or room < 1:
        return ()
    origins = spaced_origins(
        window, min(ORIGINS, room), ahead_s=leads_s[-1], share=judged_s / window.duration_s
    )
    came = actuals(window, origins=origins, leads_s=leads_s)[TARGETS.index("peak")]

    def losses(candidate: Forecaster) -> list[float] | None:
        said = rolling(
            candidate,
            window,
            origins=origins,
            leads_s=leads_s,
            levels=_LEVELS,
            refit_s=2 * JUDGED_S,
            history_s=window.duration_s,
        )
        if said.fitted is None:
            return None
        peaks = said.values[TARGETS.index("peak")]
        # Where nobody could answer, nobody is judged.
        known = [np.where(np.isnan(p).any(axis=1), np.nan, c) for p, c in zip(peaks, came, strict=True)]
        return [weighted_quantile_loss(k, p, _LEVELS) for k, p in zip(known, peaks, strict=True)]

    basis = losses(LastValue())
    if basis is None or not all(np.isfinite(loss) and loss > _NOTHING for loss in basis):
        return ()
    standings = []
    for candidate in candidates:
        reached = losses(candidate)
        ratios = [mine / theirs for mine, theirs in zip(reached, basis, strict=True)] if reached else []
        standings.append(Standing(candidate.name, geometric_mean(ratios) if ratios else None))

    def rank(standing: Standing) -> float:
        loss = float("inf") if standing.loss is None else standing.loss
        return loss * CLEARLY if standing is standings[0] else loss

    return tuple(sorted(standings, key=rank))
