"""From where trees look: past origins of one history, or the present of many.

An origin i knows the bins before i. What lies a day or a week back is read at `places`, which are
the same time of day by the workload's own clock. At a fit both lie in one long row. At a
forecast only what is looked at is copied, the newest day and a stretch around each place,
side by side into one row for each history. Refuses to keep anything, and to fill gaps.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats
from predictscale.forecasters.native.panel import Indices, Panel, bins
from predictscale.forecasters.robust import DAY_S, WEEK_S

LAGS_S = (DAY_S, 2 * DAY_S, WEEK_S, 2 * WEEK_S)
"""How far back seasons are looked up."""

AROUND_S = 600.0
"""So far before a place and after its lead demand is looked at."""

NEAR_S = DAY_S
"""So far back the present's own past is looked at."""

_SUNDAY = 3.0


class Sight(NamedTuple):
    """From where what is looked at, n origins of each of b histories.

    Args:
        panel: Logs of demand, b rows.
        origins: In bins of it, shape (n, b).
        places: The same time some days back, for each of `LAGS_S`, shape (d, n, b).
        local_s: Local time at each origin, seconds since a Thursday's midnight, shape (n, b).
        day: The day of the week, Thursday is 0, a holiday is a Sunday; shape (n, b).
    """

    panel: Panel
    origins: Indices
    places: Indices
    local_s: Floats
    day: Floats


class Past(NamedTuple):
    """One history as a forecast sees it.

    Args:
        values: Up to the newest known bin, shape (n,).
        now_s: The end of that bin, seconds since the epoch.
        back: The origins in bins before the present, the oldest first, shape (k,).
    """

    values: Floats
    now_s: float
    back: Indices


class Scale(NamedTuple):
    """What demand is counted in, in its unit, how much of it is believed, and a bin's width [s].

    `top` may differ by row, shape (b, 1).
    """

    offset: float
    top: float | Floats
    step_s: float

    def logs(self, values: Floats) -> Floats:
        """log(1 + demand / offset); NaN stays."""
        told: Floats = np.log1p(np.minimum(values, self.top) / self.offset)
        return told

    def demand(self, logs: Floats) -> Floats:
        """What `logs` was given."""
        told: Floats = np.clip(np.expm1(logs) * self.offset, 0.0, self.top)
        return told


def along(values: Floats, scale: Scale, *, end_s: float, every: float, calendar: Calendar) -> Sight:
    """Every so many bins of one history, the last of them at its end; n origins, b = 1.

    Args:
        values: Shape (m,).
        scale: Of the arithmetic.
        end_s: Where the last bin ends, seconds since the epoch.
        every: Bins between two origins.
        calendar: Whose clock.
    """
    origins: Indices = values.size - np.arange(0, values.size, every).astype(np.int64)[::-1, None]
    stamps_s: Floats = end_s - (values.size - origins).astype(np.float64) * scale.step_s
    panel = Panel(scale.logs(values)[None], step_s=scale.step_s)
    return Sight(
        panel, origins, origins - _lags(stamps_s, scale.step_s, calendar), *_clock(stamps_s, calendar)
    )


def together(pasts: Sequence[Past], scale: Scale, *, reach: int, calendar: Calendar) -> Sight:
    """Many histories side by side; where one has fewer origins than another the present stands in, first.

    Args:
        pasts: b of them; each with the present, 0, as its last origin.
        scale: Of the arithmetic.
        reach: The longest lead, in bins.
        calendar: Whose clock.
    """
    count = max(past.back.size for past in pasts)
    back = np.stack([np.pad(past.back, (count - past.back.size, 0)) for past in pasts], axis=1)
    now_s = np.array([past.now_s for past in pasts])
    oldest = int(back.max())
    around = bins(AROUND_S, scale.step_s)
    # By the present's clock: where clocks change among the origins, it is off by an hour for those before.
    lags = _lags(now_s[None], scale.step_s, calendar)[:, 0]
    widths = [around + oldest + reach + around] * len(LAGS_S) + [bins(NEAR_S, scale.step_s) + oldest]
    ends = np.cumsum(widths)
    table = np.full((len(pasts), int(ends[-1])), np.nan)
    for row, past in enumerate(pasts):
        size, first = past.values.size, past.values.size - int(past.back.max())
        for lag, end in zip(lags[:, row].tolist(), ends.tolist(), strict=False):
            stop = size - lag + reach + around
            _copy(past.values, table[row], first - lag - around, stop, end=end)
        _copy(past.values, table[row], first - bins(NEAR_S, scale.step_s), size, end=int(ends[-1]))
    panel = Panel(scale.logs(table), step_s=scale.step_s, rows=np.arange(len(pasts)))
    places = (ends[:-1] - around - reach)[:, None, None] - back
    return Sight(panel, panel.size - back, places, *_clock(now_s - back * scale.step_s, calendar))


def _copy(values: Floats, row: Floats, first: int, stop: int, *, end: int) -> None:
    """Copy the bins [first, stop) that there are, so that `stop` comes to lie at `end`."""
    shift = end - stop
    first, stop = max(first, 0), min(stop, values.size)
    if first < stop:
        row[first + shift : stop + shift] = values[first:stop]


def _lags(stamps_s: Floats, step_s: float, calendar: Calendar) -> Indices:
    """How many bins ago the clock on the wall showed the same, for each of `LAGS_S`, shape (d, n, b)."""
    lags_s = np.array(LAGS_S)[:, None, None]
    if calendar.zone != "UTC":
        lags_s = lags_s + calendar.offsets_s(stamps_s - lags_s) - calendar.offsets_s(stamps_s)
    lags: Indices = np.broadcast_to(np.rint(lags_s / step_s).astype(np.int64), (len(LAGS_S), *stamps_s.shape))
    return lags


def _clock(stamps_s: Floats, calendar: Calendar) -> tuple[Floats, Floats]:
    """Local time, seconds since a Thursday's midnight, and the day of the week."""
    # Within a week the numbers are small, and the same in every week.
    local_s = (stamps_s + calendar.offsets_s(stamps_s)) % WEEK_S
    # Of holidays there are too few in a month to learn from.
    day = np.where(calendar.holiday(stamps_s), _SUNDAY, local_s // DAY_S)
    return local_s, day
