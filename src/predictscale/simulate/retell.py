"""What would have been forecast, for stretches of which no record was kept.

A service that starts for the first time, or lost its cache, walks its history forward as it
would have lived it, with one fit a day instead of one an hour. Refuses to look ahead: what is
told at a bin's beginning comes from bins that had ended by then.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from predictscale.control.asks import Retelling
from predictscale.control.rhythm import fit_window
from predictscale.core.events import planned, usual
from predictscale.core.forecast import Forecast
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.core.slo import DAY_S
from predictscale.core.track import TRACKED_LEVELS, told_peaks
from predictscale.errors import TryNextForecaster
from predictscale.forecasters.base import Fitted
from predictscale.forecasters.chain import FittedChain, fit_chain
from predictscale.forecasters.native import Ask, NativeFitted, predict_together
from predictscale.forecasters.registry import resolve
from predictscale.forecasters.tournament import Crowned

_AT_ONCE = 240


def retell(asked: Retelling) -> NDArray[np.float32]:
    """Quantiles of the highest demand over the span, as they would have been said at each bin's beginning.

    Returns:
        Shape (n, q), at `TRACKED_LEVELS`; NaN where nothing could have been said.
    """
    step_s = asked.demand.step_s
    starts = [asked.start + timedelta(seconds=place * step_s) for place in range(asked.bins)]
    table = np.full((asked.bins, len(TRACKED_LEVELS)), np.nan, dtype=np.float32)
    place = 0
    for boundary, group in groupby(starts, lambda start: floor_to_grid(start, DAY_S)):
        day = list(group)
        chain = _fitted(asked, max(boundary, asked.demand.start))
        for first in range(0, len(day) if chain is not None else 0, _AT_ONCE):
            assert chain is not None  # noqa: S101 - the range is empty without one
            part = day[first : first + _AT_ONCE]
            for row, told in enumerate(_forecasts(asked, chain, part), place + first):
                if told is not None:
                    table[row] = told_peaks(told, at=starts[row], span_s=asked.span_s)
        place += len(day)
    return table


def _fitted(asked: Retelling, boundary: datetime) -> FittedChain | None:
    window = fit_window(asked.demand, boundary, history_s=asked.history_s)
    if not len(window):
        return None
    context = asked.context.around(window.start, window.end)
    try:
        return fit_chain(resolve(asked.forecasters, context=context), usual(window, asked.events)).fitted
    except TryNextForecaster:
        return None


def _until(asked: Retelling, end: datetime) -> MetricWindow:
    return asked.demand.between(end - timedelta(seconds=asked.history_s), end)


def _forecasts(asked: Retelling, chain: FittedChain, starts: Sequence[datetime]) -> list[Forecast | None]:
    """From each bin's beginning; all at once where the champion can."""
    windows = [usual(_until(asked, start), asked.events, keep_present=True) for start in starts]
    step_s = asked.demand.step_s
    steps = [
        int(asked.span_s // step_s) + 2 + round((start - window.end).total_seconds() / step_s)
        for start, window in zip(starts, windows, strict=True)
    ]
    native = _native(chain.members[0])
    answers: Sequence[Forecast | TryNextForecaster | None] = [None] * len(windows)
    if native is not None:
        answers = predict_together([Ask(native, w, n) for w, n in zip(windows, steps, strict=True)])
    return [
        planned(told, asked.events) if told is not None else None
        for told in (
            answer if isinstance(answer, Forecast) else _alone(chain, window, ahead)
            for answer, window, ahead in zip(answers, windows, steps, strict=True)
        )
    ]


def _native(champion: Fitted) -> NativeFitted | None:
    """The engine's fit, if that is who serves."""
    if isinstance(champion, Crowned):
        return _native(champion.members[0])
    return champion if isinstance(champion, NativeFitted) else None


def _alone(chain: FittedChain, window: MetricWindow, steps: int) -> Forecast | None:
    try:
        return chain.predict(window, steps=steps)
    except TryNextForecaster:
        return None
