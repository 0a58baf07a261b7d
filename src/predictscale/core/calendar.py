"""Where a workload's people live: the offset of their clocks, and the days on which they rest.

Demand follows the clock on the wall and not the sun, so a season is a season of
local time, and the hour that a clock skips in spring moves it. Refuses to know
countries: holidays are dates, whoever found them. Refuses half of a zone: an
instant has one offset, whatever the clock on the wall says twice.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import numpy as np
from numpy.typing import NDArray

from predictscale.core.series import Floats

Ints = NDArray[np.int64]

DAY_S = 86_400.0
FIRST_YEAR, LAST_YEAR = 1990, 2060
"""Transitions are known from the start of the first year to that of the last; the offsets at the two ends
hold before and after."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_LOOK_EVERY_S = 2 * 86_400


@dataclass(frozen=True, slots=True)
class Calendar:
    """A time zone and its holidays.

    Args:
        zone: An IANA name, such as `Europe/Berlin`.
        holidays: Local dates on which people rest, in any order.

    Raises:
        ValueError: There is no such zone.
    """

    zone: str = "UTC"
    holidays: tuple[date, ...] = ()

    def __post_init__(self) -> None:
        zone_of(self.zone)

    def offsets_s(self, stamps_s: Floats) -> Floats:
        """Local time minus UTC at each instant [s], in the shape of `stamps_s`.

        Args:
            stamps_s: Seconds since the epoch, any shape.
        """
        changes_s, offsets_s = _transitions(self.zone)
        found: Floats = offsets_s[np.searchsorted(changes_s, stamps_s, side="right")]
        return found

    def holiday(self, stamps_s: Floats) -> NDArray[np.bool_]:
        """Whether the local date at each instant is a holiday, in the shape of `stamps_s`.

        Args:
            stamps_s: Seconds since the epoch, any shape.
        """
        days = _days(self.holidays)
        if not days.size:
            return np.zeros(np.shape(stamps_s), dtype=np.bool_)
        local = np.floor((stamps_s + self.offsets_s(stamps_s)) / DAY_S).astype(np.int64)
        places = np.minimum(np.searchsorted(days, local), days.size - 1)
        found: NDArray[np.bool_] = days[places] == local
        return found


@lru_cache(maxsize=256)
def zone_of(name: str) -> ZoneInfo:
    """The zone of an IANA name.

    Raises:
        ValueError: There is none; the message names one that is written alike.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        # A path outside the database is a ValueError, a folder of it an OSError.
        close = difflib.get_close_matches(name, sorted(available_timezones()), n=1)
        wants = f"did you mean {close[0]}?" if close else "write an IANA name, such as Europe/Berlin"
        raise ValueError(f"{name!r} is no time zone; {wants}") from None


@lru_cache(maxsize=64)
def _transitions(name: str) -> tuple[Floats, Floats]:
    """Instants at which the offset changes, shape (k,), and the offsets around them [s], shape (k + 1,)."""
    zone = zone_of(name)
    start_s, end_s = (
        int((datetime(year, 1, 1, tzinfo=UTC) - _EPOCH).total_seconds()) for year in (FIRST_YEAR, LAST_YEAR)
    )
    # The default of every workload is not searched for what it does not have.
    changes = [] if name == "UTC" else list(_changes(zone, start_s, end_s))
    offsets = [_offset_s(zone, start_s), *(_offset_s(zone, change_s) for change_s in changes)]
    return np.array(changes, dtype=np.float64), np.array(offsets, dtype=np.float64)


def _changes(zone: ZoneInfo, start_s: int, end_s: int) -> Iterator[int]:
    """The seconds at which a new offset begins. zoneinfo does not tell them, so they are looked for."""
    before_s, before = start_s, _offset_s(zone, start_s)
    while before_s < end_s:
        after_s = min(before_s + _LOOK_EVERY_S, end_s)
        after = _offset_s(zone, after_s)
        if after != before:
            low_s, high_s = before_s, after_s
            while high_s - low_s > 1:
                middle_s = (low_s + high_s) // 2
                if _offset_s(zone, middle_s) == before:
                    low_s = middle_s
                else:
                    high_s = middle_s
            yield high_s
        before_s, before = after_s, after


def _offset_s(zone: ZoneInfo, stamp_s: int) -> float:
    offset = (_EPOCH + timedelta(seconds=stamp_s)).astimezone(zone).utcoffset()
    assert offset is not None  # noqa: S101 - an aware datetime has one
    return offset.total_seconds()


@lru_cache(maxsize=256)
def _days(holidays: tuple[date, ...]) -> Ints:
    """Days since the epoch, ascending, shape (k,)."""
    return np.array(sorted({day.toordinal() - _EPOCH_DAY for day in holidays}), dtype=np.int64)
