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
        # Each row: whether each quantile held, then its pinball loss; shape (2, q).
        self._scored: deque[Floats] = deque(maxlen=max(1, round(span_s / step_s)))
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
                missed = float(came.values.max()) - told
                at = np.array(SCORED_LEVELS)
                self._scored.append(np.stack((missed <= 0, np.maximum(at * missed, (at - 1) * missed))))
        # Asked at every tick, changed once a bin.
        if len(self._open) < before and self._scored:
            self._outcome = self._means()

    @property
    def outcome(self) -> Outcome | None:
        """The shares and losses so far; None before the first window has closed."""
        return self._outcome

    def _means(self) -> Outcome:
        means = np.mean(self._scored, axis=0)
        return Outcome(
            lead_s=self.lead_s,
            levels=SCORED_LEVELS,
            coverage=tuple(means[0].tolist()),
            pinball=tuple(means[1].tolist()),
            scored=len(self._scored),
        )
