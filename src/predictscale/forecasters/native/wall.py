"""The clock on the wall at origins, and which earlier days resemble today.

Demand follows local time: a day ago is the same hour of yesterday's clock, an hour of the
sun sooner or later where summer time began or ended in between. A holiday on a working
day is like the days of rest before it, and tells working days nothing. Refuses to
guess: without a zone and holidays a day is 24 hours, and all days of a week are working days or weekends.
"""

from datetime import date
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictscale.core.calendar import Calendar
from predictscale.core.series import Floats
from predictscale.forecasters.native.panel import Indices
from predictscale.forecasters.robust import DAY_S, WEEK_S

DAYS = (1, 2, 3)
"""Days ago at which a season is looked up."""

WEEKS = (7, 14)
"""The same of weeks."""

_AGO = (*DAYS, *WEEKS)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_NOWHERE = -(1 << 40)
"""A place where nothing is known."""


class Moment(NamedTuple):
    """Local seconds since a Thursday's midnight, and 1.0 on days of rest, each shape (l, n, b)."""

    seconds: Floats
    rest: Floats


class Back(NamedTuple):
    """Where days and weeks ago lie, each shape (d, l, n, b) or one that broadcasts to it.

    Args:
        days: How many days ago.
        later: How many bins later than so many times 24 hours ago, for the clock on the wall.
        known: Whether that day tells anything of the origin's.
    """

    days: Indices
    later: Indices
    known: NDArray[np.bool_]

    def lags(self, step_s: float) -> Indices:
        """The days in bins."""
        lags: Indices = np.rint(self.days * DAY_S / step_s).astype(np.int64)
        return lags

    def places(self, origins: Indices) -> Indices:
        """Places that so lie before the origins, where the row of a lag ends as that of the origins does."""
        places: Indices = np.where(self.known, origins + self.later, _NOWHERE)
        return places


class Wall(NamedTuple):
    """Origins of workloads that share a calendar.

    Args:
        week_s: A Thursday's midnight before each workload's newest bin, seconds since the epoch, shape (b,).
        seconds: The origins since then [s], shape (l, n, b).
        calendar: Whose clock hangs there.
    """

    week_s: Floats
    seconds: Floats
    calendar: Calendar

    @classmethod
    def of(cls, now_s: Floats, ago_s: Floats, calendar: Calendar) -> "Wall":
        """Origins (l, n, b) so long before now, seconds since the epoch, shape (b,)."""
        # Within a week the numbers are small, and the same in every week.
        within = now_s % WEEK_S
        return cls(now_s - within, within - ago_s, calendar)

    def at(self, ahead_s: Floats | float) -> Moment:
        """What the clock shows so long after the origins."""
        seconds = self.seconds + ahead_s
        stamps = self.week_s + seconds
        if self.calendar.zone != "UTC":
            seconds = seconds + self.calendar.offsets_s(stamps)
        seconds %= WEEK_S
        rest = _weekend(seconds // DAY_S)
        if self.calendar.holidays:
            rest |= self.calendar.holiday(stamps)
        return Moment(seconds, rest.astype(np.float64))

    def back(self, step_s: float) -> Back:
        """The same time of earlier days."""
        days = np.array(_AGO, dtype=np.int64)[:, None, None, None]
        known = np.ones_like(days, dtype=np.bool_)
        if self.calendar == Calendar():
            return Back(days, np.zeros_like(days), known)
        now = self.week_s + self.seconds
        if self.calendar.holidays:
            days = self._like_today(now, days)
        then = now - days * DAY_S
        behind_s = self.calendar.offsets_s(now) - self.calendar.offsets_s(then)
        if self.calendar.holidays:
            # What rests today may well learn from a day of rest; a working day may not.
            known = ~self._worked_off(then) | self.calendar.holiday(now) | _weekend(self._day(now) % 7)
        return Back(days, np.rint(behind_s / step_s).astype(np.int64), known)

    def _like_today(self, now: Floats, days: Indices) -> Indices:
        """The days to look back at, those of rest if today is a holiday; shape (d, l, n, b)."""
        today = self._day(now)
        off = self._worked_off(now)
        days = np.broadcast_to(days, (len(_AGO), *now.shape)).copy()
        for day in np.unique(today[off]).tolist():
            here = off & (today == day)
            days[:, here] = np.array(_resting(int(day), self.calendar))[:, None]
        return days

    def _worked_off(self, stamps_s: Floats) -> NDArray[np.bool_]:
        """Whether these lie in holidays that would be working days."""
        return self.calendar.holiday(stamps_s) & ~_weekend(self._day(stamps_s) % 7)

    def _day(self, stamps_s: Floats) -> Floats:
        """Local days since the epoch."""
        return np.floor((stamps_s + self.calendar.offsets_s(stamps_s)) / DAY_S)


def _weekend(day: Floats) -> NDArray[np.bool_]:
    """Whether days counted from a Thursday on are Saturdays or Sundays."""
    return (day >= 2) & (day < 4)


def _resting(day: int, calendar: Calendar) -> tuple[int, ...]:
    """How many days before a day since the epoch people rested: the last days of rest, then the last Sundays.

    Holidays count as Sundays. Two weeks hold enough of both.
    """
    holidays = {one.toordinal() - _EPOCH_DAY for one in calendar.holidays}
    ago = range(1, max(WEEKS) + 1)
    sundays = [back for back in ago if (day - back) % 7 == 3 or day - back in holidays]
    rested = [back for back in ago if (day - back) % 7 == 2 or back in sundays]
    return (*rested[: len(DAYS)], *sundays[: len(WEEKS)])
