"""What forecasts look at, copied out of long histories: the newest day, and this hour of earlier days.

A forecast reads about a tenth of two weeks of minutes. Of many workloads those parts are
laid side by side, so that one call of the arithmetic serves them all. What is copied
of a workload depends on itself alone; the rest of its row is unknown. Refuses to
keep anything: a history is read anew each time, so the same history gives the same answer.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats
from predictscale.forecasters.curve import STALE_S
from predictscale.forecasters.native.domain import to_logs
from predictscale.forecasters.native.experts import PRESENT_S, SLOW_S, SMOOTH_S, Sight
from predictscale.forecasters.native.panel import Indices, Panel, bins
from predictscale.forecasters.native.wall import Back, Wall
from predictscale.forecasters.robust import BELIEVED, DAY_S, highest

FOLLOWED_S = 1.25 * DAY_S
"""Windows that closed longer ago than this are not judged any more [s]."""


class Seen(NamedTuple):
    """One workload's history.

    Args:
        values: Up to the newest known bin, shape (n,).
        offset: Of its domain.
        high: The highest confirmed demand of then and now.
        since: Bins between the end of the fitted window and the newest known bin.
        now_s: The end of that bin, seconds since the epoch.
    """

    values: Floats
    offset: float
    high: float
    since: int
    now_s: float


class Rhythm(NamedTuple):
    """What a batch has in common: a bin's width [s], bins between origins, leads in bins, the calendar."""

    step_s: float
    every: int
    leads: tuple[int, ...]
    calendar: Calendar = Calendar()


class Origins(NamedTuple):
    """Where b workloads are looked from, oldest first; the present comes last.

    Args:
        back: Bins before the present, shape (l, n, b); 0 where there is none.
        valid: Where there is one, shape (l, n, b).
        closed: How many of the windows had closed at each origin, shape (l, n).
    """

    back: Indices
    valid: NDArray[np.bool_]
    closed: Indices

    @classmethod
    def of(cls, seen: Sequence[Seen], rhythm: Rhythm) -> "Origins":
        """Those of the fit's rhythm whose windows have closed since the fit, for each lead its own."""
        since, size = np.array([one.since for one in seen]), _sizes(seen)
        every, lead = rhythm.every, np.array(rhythm.leads)[:, None]
        nearest = (since - 1) % every + 1
        nearest = nearest + every * np.maximum(0, -((nearest - lead) // every))
        oldest = np.minimum(since + lead - 1, bins(FOLLOWED_S, rhythm.step_s) + rhythm.leads[-1])
        count = np.maximum(0, (np.minimum(oldest, size - 1) - nearest) // every + 1)[:, None]
        turn = np.arange(int(count.max()) - 1, -2, -1)[:, None]
        valid = (turn < count) & (turn >= 0)
        back = np.where(valid, nearest[:, None] + every * turn, 0)
        valid[:, -1] = True
        rounds = -(-lead // every)
        place = np.arange(turn.size)
        closed = np.where(turn[:, 0] >= 0, np.maximum(place - rounds + 1, 0), place)
        return cls(back, valid, closed)


def sight(seen: Sequence[Seen], origins: Origins, rhythm: Rhythm) -> Sight:
    """What is seen from there."""
    now_s = np.array([one.now_s for one in seen])
    wall = Wall.of(now_s, origins.back.astype(np.float64) * rhythm.step_s, rhythm.calendar)
    near = _near(seen, origins.back.max(axis=(0, 1)), rhythm)
    past, places = _past(seen, origins, wall.back(rhythm.step_s), rhythm)
    return Sight(near, near.size - origins.back, past, places, wall)


def _near(seen: Sequence[Seen], oldest: Indices, rhythm: Rhythm) -> Panel:
    """The newest day before the oldest origin and what came since, each workload's at the end of its row."""
    step_s = rhythm.step_s
    before = max(bins(DAY_S, step_s), bins(SLOW_S, step_s) + rhythm.leads[-1])
    width = int(oldest.max()) + before
    table = np.full((len(seen), width), np.nan)
    for row, one, back in zip(table, seen, oldest.tolist(), strict=True):
        size = one.values.size
        _copy(one, row, size - back - before, size, shift=width - size, step_s=step_s)
    logs = to_logs(table, _offsets(seen))
    return Panel(logs, step_s=step_s, rows=np.arange(len(seen)), begin=width - _sizes(seen))


def _past(seen: Sequence[Seen], origins: Origins, back: Back, rhythm: Rhythm) -> tuple[Panel, Indices]:
    """Stretches around the places of days and weeks ago, a row for each lag and workload; and the places."""
    half = round(SMOOTH_S / 2 / rhythm.step_s)
    before = max(bins(PRESENT_S, rhythm.step_s), half)
    lags, ahead = back.lags(rhythm.step_s), back.later - origins.back
    lowest = ahead.min(axis=(0, 1, 2))
    left = before - int(lowest.min())
    width = left + int(ahead.max()) + rhythm.leads[-1] + half
    found = np.unique(lags)
    table = np.full((found.size, len(seen), width), np.nan)
    shared = lags.shape[-1] == 1
    for place, (one, low) in enumerate(zip(seen, lowest.tolist(), strict=True)):
        for row in range(found.size) if shared else np.flatnonzero(np.isin(found, lags[..., place])):
            now = one.values.size - int(found[row])
            _copy(
                one,
                table[row, place],
                now + low - before,
                now - left + width,
                shift=left - now,
                step_s=rhythm.step_s,
            )
    rows = np.searchsorted(found, lags) * len(seen) + np.arange(len(seen))
    panel = Panel(
        to_logs(table, _offsets(seen)).reshape(-1, width),
        step_s=rhythm.step_s,
        rows=np.broadcast_to(rows, ahead.shape),
        begin=np.broadcast_to(left - _sizes(seen) + lags, ahead.shape),
    )
    return panel, np.broadcast_to(back.places(left - origins.back), ahead.shape)


def _copy(seen: Seen, row: Floats, first: int, stop: int, *, shift: int, step_s: float) -> None:
    """Copy the bins [first, stop) that there are into a row, `shift` places to the right."""
    size = seen.values.size
    first, stop = max(first, 0), min(stop, size)
    if first >= stop:
        return
    np.minimum(seen.values[first:stop], seen.high, out=row[first + shift : stop + shift])
    # The past is winsorised; what is here now is believed beyond it, for it may be real.
    present = max(first, size - bins(STALE_S, step_s))
    if present < stop:
        here = row[present + shift : stop + shift]
        np.minimum(seen.values[present:stop], BELIEVED * seen.high, out=here)


def _sizes(seen: Sequence[Seen]) -> Indices:
    return np.array([one.values.size for one in seen])


def _offsets(seen: Sequence[Seen]) -> Floats:
    return np.array([one.offset for one in seen])[:, None]


def high_of(values: Floats, step_s: float, *, before: float) -> float:
    """The highest confirmed demand, before or now."""
    return max(before, highest(values[-bins(STALE_S, step_s) :]))
