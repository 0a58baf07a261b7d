"""What became of forecasts: how often each quantile held, and what its misses cost.

Only windows that have closed are scored, against what was told when they began.
Refuses to guess: a window with a gap in it is scored by nobody.
"""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow

SCORED_LEVELS = (0.5, 0.9, 0.95, 0.99)
"""The quantile levels that are followed."""

_LEVELS = np.array(SCORED_LEVELS)
_COMMON_S = 300.0
_NEAR = 0.25


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the peak forecasts of one horizon did lately.

    Args:
        lead_s: The horizon: the window was [origin, origin + lead] [s].
        levels: Quantile levels, q of them.
        coverage: The share of windows whose peak lay at or below each quantile [1], shape (q,).
        pinball: Mean pinball loss of each level, in the demand's unit, shape (q,).
        scored: How many windows; with few of them the shares say little.
    """

    lead_s: float
    levels: tuple[float, ...]
    coverage: tuple[float, ...]
    pinball: tuple[float, ...]
    scored: int


def horizons_s(*, lead_s: float, step_s: float) -> tuple[float, ...]:
    """The horizons that forecasts are scored at, ascending [s].

    One step, the lead time that decisions look ahead, twice that, and five minutes, which
    compare workloads with each other; the last only where no other lies near it, for each is a
    set of series. Those that a forecast does not reach have no outcome.

    Args:
        lead_s: The lead time [s].
        step_s: Between forecasts, the shortest horizon [s].
    """
    lead_s = max(lead_s, step_s)
    found = {step_s, lead_s, 2 * lead_s}
    if step_s <= _COMMON_S and not any(abs(each - _COMMON_S) <= _NEAR * _COMMON_S for each in found):
        found.add(_COMMON_S)
    return tuple(sorted(found))


class Scoreboard:
    """Follows the peak forecasts of one horizon over a trailing span.

    Args:
        lead_s: The horizon [s].
        span_s: How far back windows count [s].
        step_s: Between forecasts [s].
    """

    def __init__(self, *, lead_s: float, span_s: float, step_s: float) -> None:
        self.lead_s = lead_s
        self._open: deque[tuple[datetime, Floats]] = deque()
        # A row for each window, the oldest overwritten: whether each quantile held, and its pinball loss.
        rows = max(1, round(span_s / step_s))
        self._held = np.empty((rows, len(SCORED_LEVELS)), dtype=np.bool_)
        self._losses = np.empty(self._held.shape)
        self._closed = 0
        self._outcome: Outcome | None = None

    def note(self, forecast: Forecast) -> None:
        """Remember what was told at the forecast's origin; a second one for the same origin is ignored."""
        if self._open and self._open[-1][0] >= forecast.origin:
            return
        until = forecast.origin + timedelta(seconds=self.lead_s)
        if until <= forecast.end:
            told = [forecast.peak(level=q, since=forecast.origin, until=until) for q in SCORED_LEVELS]
            self._open.append((forecast.origin, np.array(told)))

    def close(self, seen: MetricWindow) -> None:
        """Score every window that has ended by the end of `seen`."""
        before = len(self._open)
        while self._open and self._open[0][0] + timedelta(seconds=self.lead_s) <= seen.end:
            origin, told = self._open.popleft()
            steps = int(np.ceil(self.lead_s / seen.step_s - 1e-9))
            came = seen.between(origin, origin + timedelta(seconds=steps * seen.step_s))
            if len(came) == steps and came.known.all():
                self._score(float(came.values.max()) - told)
        # Asked at every tick, changed once a bin.
        if len(self._open) < before and self._closed:
            self._outcome = self._means()

    @property
    def outcome(self) -> Outcome | None:
        """The shares and losses so far; None before the first window has closed."""
        return self._outcome

    def _score(self, missed: Floats) -> None:
        """Keep how a window came out, by how far its peak lay above each quantile, shape (q,)."""
        row = self._closed % len(self._held)
        self._held[row] = missed <= 0
        self._losses[row] = np.maximum(_LEVELS * missed, (_LEVELS - 1) * missed)
        self._closed += 1

    def _means(self) -> Outcome:
        scored = min(self._closed, len(self._held))
        return Outcome(
            lead_s=self.lead_s,
            levels=SCORED_LEVELS,
            coverage=tuple(self._held[:scored].mean(axis=0).tolist()),
            pinball=tuple(self._losses[:scored].mean(axis=0).tolist()),
            scored=scored,
        )
