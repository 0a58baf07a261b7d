"""How candidates would have done lately, and who need not be asked.

Each is fitted on the history before the last days and asked at origins all
through them, for the peak that decides; losses are relative to the last value's.
A challenger that lost clearly cannot pay for its compute, and neither can a slow
one that would not serve: it rests for two hours, then four, up to a day, on a
grid that all replicas share, and is asked sooner if the others become as bad. Refuses percentage errors, and
judges no model by days that it was fitted on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

import numpy as np

from predictscale.core.series import Floats, MetricWindow
from predictscale.forecasters.base import Forecaster
from predictscale.forecasters.evaluate import TARGETS, actuals, rolling, spaced_origins
from predictscale.forecasters.naive import LastValue
from predictscale.forecasters.robust import DAY_S
from predictscale.forecasters.scoring import geometric_mean, weighted_quantile_loss

JUDGED_S = 3 * DAY_S
"""The last days are what candidates are judged by [s], at most a third of the history."""

ORIGINS = 72
"""Asked for at so many instants of them."""

CLEARLY = 0.9
"""A challenger replaces the first candidate only with less than this share of its loss."""

LOST = 1.25
"""A challenger with more than this many times the least loss is not worth its fit; a slow one, whose fit
takes seconds, is not as soon as it does not replace the first candidate."""

RESTS_S = (0.0, *(hours * 3600.0 for hours in (2, 4, 8, 16, 24)))
"""How long it rests, by how many times in a row it was not worth its fit [s]."""

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
        judged_s: Where the window ended that it was judged by, seconds since the epoch.
        lost: How many times in a row it was not worth its fit by then.
    """

    name: str
    loss: float | None
    judged_s: float = 0.0
    lost: int = 0

    @property
    def again_s(self) -> float:
        """From when on it is asked again, seconds since the epoch."""
        rest_s = RESTS_S[min(self.lost, len(RESTS_S) - 1)]
        # Whole rests since the epoch: replicas that began to judge at other times ask together again.
        return (self.judged_s // rest_s + 1) * rest_s if rest_s else self.judged_s

    def __str__(self) -> str:
        told = f"{self.name} cannot answer" if self.loss is None else f"{self.name} {self.loss:.3f}"
        if not self.lost:
            return told
        times = "once" if self.lost == 1 else f"{self.lost} times in a row"
        again = datetime.fromtimestamp(self.again_s, UTC)
        return f"{told} (not worth its fit {times}, asked again from {again:%d %b %H:%M} UTC on)"


def judge(
    candidates: Sequence[Forecaster], window: MetricWindow, *, past: Sequence[Standing] = ()
) -> tuple[Standing, ...]:
    """How the candidates would have done on the window's last days, best first.

    Args:
        candidates: The first is at home and always asked, as the last value is.
        window: The history.
        past: How they did before; those that rest come last, as they stood.

    Returns:
        Nothing if the window is too short to judge by, or holds nothing to judge.
    """
    trial = _Trial.of(window)
    if trial is None:
        return ()
    rests = {s.name: s for s in _resting(candidates[1:], past, end_s=window.end.timestamp())}
    asked = {c.name: trial.standing(c) for c in candidates if c.name not in rests}
    home = asked[candidates[0].name]
    # Others that have become as bad as one that rests are compared with it at once.
    for candidate in candidates:
        rested = rests.get(candidate.name)
        bar = _bar(candidate, home, least=_least(asked.values()))
        if rested is not None and rested.loss is not None and rested.loss <= bar:
            asked[candidate.name] = trial.standing(candidate)
            del rests[candidate.name]
    least, before = _least(asked.values()), {s.name: s.lost for s in past}
    told = [home]
    for candidate in candidates[1:]:
        if (standing := asked.get(candidate.name)) is not None:
            lost = trial.lost(candidate, standing, bar=_bar(candidate, home, least=least))
            told.append(replace(standing, lost=before.get(standing.name, 0) + 1) if lost else standing)

    def rank(standing: Standing) -> float:
        loss = float("inf") if standing.loss is None else standing.loss
        return loss * CLEARLY if standing.name == candidates[0].name else loss

    return (*sorted(told, key=rank), *sorted(rests.values(), key=rank))


def _bar(candidate: Forecaster, home: Standing, *, least: float) -> float:
    """The loss above which a challenger is not worth its fit."""
    bar = LOST * least
    if not candidate.slow or home.loss is None:
        return bar
    return min(bar, CLEARLY * home.loss)


def _resting(challengers: Iterable[Forecaster], past: Sequence[Standing], *, end_s: float) -> list[Standing]:
    names = {challenger.name for challenger in challengers} - {LastValue.name}
    return [s for s in past if s.name in names and s.lost and end_s < s.again_s]


def _least(standings: Iterable[Standing]) -> float:
    return min((s.loss for s in standings if s.loss is not None), default=float("inf"))


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """What one window judges its candidates by.

    Args:
        window: The history.
        origins: When candidates are asked.
        leads_s: How far ahead [s].
        came: The highest value over each lead from each origin, shape (k, n).
        basis: The last value's loss at each lead.
    """

    window: MetricWindow
    origins: Sequence[datetime]
    leads_s: Sequence[float]
    came: Floats
    basis: Sequence[float] = ()

    @classmethod
    def of(cls, window: MetricWindow) -> Self | None:
        """The trial on the last days of a window; None if there is nothing to judge by."""
        judged_s = min(JUDGED_S, window.duration_s / 3)
        leads_s = [lead_s for lead_s in _LEADS_S if lead_s >= window.step_s] or [window.step_s]
        room = int((judged_s - leads_s[-1]) // window.step_s)
        if judged_s < _LEAST_JUDGED_S or room < 1:
            return None
        share = judged_s / window.duration_s
        origins = spaced_origins(window, min(ORIGINS, room), ahead_s=leads_s[-1], share=share)
        came = actuals(window, origins=origins, leads_s=leads_s)[TARGETS.index("peak")]
        trial = cls(window, origins, leads_s, came)
        basis = trial.losses(LastValue())
        if basis is None or not all(np.isfinite(loss) and loss > _NOTHING for loss in basis):
            return None
        return replace(trial, basis=basis)

    def losses(self, candidate: Forecaster) -> list[float] | None:
        """Weighted quantile losses by lead; None if the candidate cannot be fitted."""
        said = rolling(
            candidate,
            self.window,
            origins=self.origins,
            leads_s=self.leads_s,
            levels=_LEVELS,
            refit_s=2 * JUDGED_S,
            history_s=self.window.duration_s,
        )
        if said.fitted is None:
            return None
        peaks = said.values[TARGETS.index("peak")]
        # Where nobody could answer, nobody is judged.
        known = [np.where(np.isnan(p).any(axis=1), np.nan, c) for p, c in zip(peaks, self.came, strict=True)]
        return [weighted_quantile_loss(k, p, _LEVELS) for k, p in zip(known, peaks, strict=True)]

    def standing(self, candidate: Forecaster) -> Standing:
        """How a candidate does."""
        reached = self.basis if candidate.name == LastValue.name else self.losses(candidate)
        ratios = [mine / theirs for mine, theirs in zip(reached, self.basis, strict=True)] if reached else []
        end_s = self.window.end.timestamp()
        return Standing(candidate.name, geometric_mean(ratios) if ratios else None, end_s)

    def lost(self, candidate: Forecaster, standing: Standing, *, bar: float) -> bool:
        """Whether a candidate did worse than its bar, or could not answer although it should."""
        if candidate.name == LastValue.name:
            return False
        if standing.loss is not None:
            return standing.loss > bar
        had = self.window.between(self.window.start, self.origins[0])
        return had.known_s >= candidate.needs_s(self.window.step_s)
