"""How candidates would have done lately, and who need not be asked.

Each is fitted on the history before the last days and asked at origins all
through them, for the peak that decides; losses are relative to the last value's.
A challenger has to be better all through those days, for on real traces a season that won them by
one good day lost the next. One that lost clearly cannot pay for its compute, and neither can a slow
one that is not better than the first candidate by its margin: it rests for two hours, then four, up to
a day, on a grid that all replicas share, and is asked sooner if the others become as bad. Refuses
percentage errors, and judges no model by days that it was fitted on.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple, Self

import numpy as np

from predictscale.core.series import Floats, MetricWindow
from predictscale.forecasters.base import Forecaster
from predictscale.forecasters.boosted import Boosted
from predictscale.forecasters.evaluate import TARGETS, actuals, rolling, spaced_origins
from predictscale.forecasters.naive import LastValue
from predictscale.forecasters.native import Native
from predictscale.forecasters.robust import DAY_S
from predictscale.forecasters.scoring import geometric_mean, weighted_quantile_loss

JUDGED_S = 3 * DAY_S
"""The last days are what candidates are judged by [s], at most a third of the history."""

ORIGINS = 72
"""Asked for at so many instants of them."""

CLEARLY = 0.9
"""A challenger replaces the first candidate only with less than this share of its loss, on the whole and in
each part of the judged days; the last value, which bets on no season, must only not be behind in any part."""

PARTS = 4
"""The judged days are looked at in so many parts."""

SLIGHTLY = 0.97
"""The same share, on the whole alone, of who holds the first candidate within itself."""

HOLDS = {Boosted.name: Native.name}
"""Who holds whom. One that errs much as the first candidate does puts little at risk: on the first 60 % of
real traces a wrong choice of it cost at most 6 % of a day's loss, one of a season nearly 100 %."""

LOST = 1.25
"""A challenger with more than this many times the least loss is not worth its fit; a slow one, whose fit
takes seconds, is not as soon as it is not better than the first candidate by its margin."""

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
        because: Why it did or did not come first when it was judged, in words.
    """

    name: str
    loss: float | None
    judged_s: float = 0.0
    lost: int = 0
    because: str = ""

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


class _Told(NamedTuple):
    """A standing, and the same loss in each of `PARTS`, NaN where nothing is known or nothing moved.

    `why` is the reason for having no loss.
    """

    standing: Standing
    parts: tuple[float, ...]
    why: str = ""


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
    asked = {c.name: trial.told(c) for c in candidates if c.name not in rests}
    home = asked[candidates[0].name]
    # Others that have become as bad as one that rests are compared with it at once.
    for candidate in candidates:
        rested = rests.get(candidate.name)
        bar = _bar(candidate, home, least=_least(asked.values()))
        if rested is not None and rested.loss is not None and rested.loss <= bar:
            asked[candidate.name] = trial.told(candidate)
            del rests[candidate.name]
    least, before = _least(asked.values()), {s.name: s.lost for s in past}
    behind = {c.name: _behind(c.name, asked[c.name], home) for c in candidates[1:] if c.name in asked}
    told = [home.standing]
    for candidate in candidates[1:]:
        if (found := asked.get(candidate.name)) is not None:
            standing = found.standing
            lost = trial.lost(candidate, standing, bar=_bar(candidate, home, least=least))
            told.append(replace(standing, lost=before.get(standing.name, 0) + 1) if lost else standing)

    def rank(standing: Standing) -> tuple[int, float]:
        if standing.loss is None:
            return 3, 0.0
        if standing.name == home.standing.name:
            return 1, 0.0
        if home.standing.loss is None:
            return 0, standing.loss
        margin = _margin(standing.name, home)
        return (2, standing.loss) if behind.get(standing.name, "rests") else (0, standing.loss / margin)

    first, *others = sorted(told, key=rank)
    reasoned = (
        replace(first, because=_won(first, home)),
        *(replace(s, because=behind.get(s.name) or _outdone(s, first, home)) for s in others),
    )
    return (*reasoned, *sorted(rests.values(), key=rank))


def _margin(name: str, home: _Told) -> float:
    """Which share of the first candidate's loss a challenger has to stay below."""
    return SLIGHTLY if HOLDS.get(name) == home.standing.name else CLEARLY


def _behind(name: str, told: _Told, home: _Told) -> str:
    """Why a challenger may not replace the first candidate; empty if it may."""
    mine, theirs = told.standing.loss, home.standing.loss
    if mine is None:
        return f"it cannot answer: {told.why}"
    if theirs is None:
        return ""
    margin = _margin(name, home)
    if mine >= margin * theirs:
        return f"its loss of {mine:.3f} is not below {margin:g} of the {theirs:.3f} of {home.standing.name}"
    if HOLDS.get(name) == home.standing.name:
        return ""
    share = 1.0 if name == LastValue.name else CLEARLY
    # A part that tells nothing is NaN, and behind nothing.
    parts = enumerate(zip(told.parts, home.parts, strict=True), start=1)
    lost = [(place, one, other) for place, (one, other) in parts if one > share * other]
    if not lost:
        return ""
    place, one, other = max(lost, key=lambda part: part[1] / part[2])
    return (
        f"its loss of {mine:.3f} is below the {theirs:.3f} of {home.standing.name} on the whole, but not in "
        f"each part of the judged days: in part {place} of {PARTS} it is {one:.3f} against {other:.3f}"
    )


def _won(first: Standing, home: _Told) -> str:
    """Why the one that comes first does."""
    if first.name == home.standing.name:
        return "it is at home, and no other is clearly better in each part of the judged days"
    if first.loss is None or home.standing.loss is None:
        return f"{home.standing.name}, which is at home, cannot answer: {home.why}"
    least = "not behind" if first.name == LastValue.name else "clearly ahead"
    where = "" if HOLDS.get(first.name) == home.standing.name else f", and {least} in each part of them"
    return (
        f"its loss of {first.loss:.3f} over the judged days is below {_margin(first.name, home):g} of the "
        f"{home.standing.loss:.3f} of {home.standing.name}, which is at home{where}"
    )


def _outdone(standing: Standing, first: Standing, home: _Told) -> str:
    """Why one that nothing else speaks against does not come first."""
    if standing.loss is None:
        return f"it is at home and cannot answer: {home.why}"
    if standing.name == home.standing.name:
        if HOLDS.get(first.name) == standing.name:
            return f"it is at home, but {first.name}, which holds it within itself, is slightly better"
        return f"it is at home, but {first.name} is better all through the judged days"
    return f"{first.name} is better still"


def _bar(candidate: Forecaster, home: _Told, *, least: float) -> float:
    """The loss above which a challenger is not worth its fit."""
    bar = LOST * least
    if not candidate.slow or home.standing.loss is None:
        return bar
    return min(bar, _margin(candidate.name, home) * home.standing.loss)


def _resting(challengers: Iterable[Forecaster], past: Sequence[Standing], *, end_s: float) -> list[Standing]:
    names = {challenger.name for challenger in challengers} - {LastValue.name}
    return [s for s in past if s.name in names and s.lost and end_s < s.again_s]


def _least(told: Iterable[_Told]) -> float:
    return min((t.standing.loss for t in told if t.standing.loss is not None), default=float("inf"))


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """What one window judges its candidates by.

    Args:
        window: The history.
        origins: When candidates are asked.
        leads_s: How far ahead [s].
        came: The highest value over each lead from each origin, shape (k, n).
        basis: The last value's losses, see `losses`.
    """

    window: MetricWindow
    origins: Sequence[datetime]
    leads_s: Sequence[float]
    came: Floats
    basis: Sequence[Sequence[float]] = ()

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
        if isinstance(basis, str) or not all(np.isfinite(loss) and loss > _NOTHING for loss in basis[0]):
            return None
        return replace(trial, basis=basis)

    def losses(self, candidate: Forecaster) -> list[list[float]] | str:
        """Weighted quantile losses by lead, of the whole, then of each part; or why it cannot be fitted."""
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
            return said.failures[-1].reason if said.failures else "its fit failed"
        peaks = said.values[TARGETS.index("peak")]
        # Where nobody could answer, nobody is judged.
        known = [np.where(np.isnan(p).any(axis=1), np.nan, c) for p, c in zip(peaks, self.came, strict=True)]
        edges = np.linspace(0, len(self.origins), PARTS + 1).astype(np.int64).tolist()
        spans = (slice(None), *(slice(*both) for both in pairwise(edges)))
        return [
            [weighted_quantile_loss(k[span], p[span], _LEVELS) for k, p in zip(known, peaks, strict=True)]
            for span in spans
        ]

    def told(self, candidate: Forecaster) -> _Told:
        """How a candidate does."""
        reached = self.basis if candidate.name == LastValue.name else self.losses(candidate)
        end_s = self.window.end.timestamp()
        if isinstance(reached, str):
            return _Told(Standing(candidate.name, None, end_s), (np.nan,) * PARTS, reached)
        whole, *parts = (_relative(mine, theirs) for mine, theirs in zip(reached, self.basis, strict=True))
        return _Told(Standing(candidate.name, whole, end_s), tuple(parts))

    def lost(self, candidate: Forecaster, standing: Standing, *, bar: float) -> bool:
        """Whether a candidate did worse than its bar, or could not answer although it should."""
        if candidate.name == LastValue.name:
            return False
        if standing.loss is not None:
            return standing.loss > bar
        had = self.window.between(self.window.start, self.origins[0])
        return had.known_s >= candidate.needs_s(self.window.step_s)


def _relative(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """The geometric mean over leads of losses relative to others, of the leads at which those are any."""
    return geometric_mean([a / b for a, b in zip(mine, theirs, strict=True) if b > _NOTHING])
