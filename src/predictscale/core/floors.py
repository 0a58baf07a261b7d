"""Floors by the clock on the wall: so many replicas on these days, from this time to that.

An owner's window follows the clock that people look at. It may cross midnight, it keeps its
hour when the clocks change, and of windows that are open together the highest counts. Its
replicas are asked for one lead time before it opens, so that they serve when it does. Refuses to
guess at instants: a clock that skips or repeats an hour has stated rules, given at `spans_s`.
"""

from calendar import isleap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from predictscale.core.calendar import zone_of

DAY_S = 86_400
_LEAP = (2, 29)
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


@dataclass(frozen=True, slots=True)
class Floor:
    """Replicas that should stay, and why.

    Args:
        replicas: How many, 0 or more.
        because: The reason, in words.
    """

    replicas: int
    because: str

    def __post_init__(self) -> None:
        if self.replicas < 0 or not self.because:
            raise ValueError(f"floor: {self.replicas} because {self.because!r}; 0 or more, with a reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Days:
    """Local dates on which a window opens: any of what is named.

    Args:
        weekdays: 0 is Monday.
        yearly: Months and days of every year that has them; (2, 29) comes in leap years.
        dates: Single dates.
    """

    weekdays: frozenset[int] = frozenset()
    yearly: frozenset[tuple[int, int]] = frozenset()
    dates: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        if not (self.weekdays or self.yearly or self.dates):
            raise ValueError("days: names none; such a window never opens")
        if not self.weekdays <= frozenset(range(7)):
            raise ValueError(f"weekdays: {sorted(self.weekdays)}; 0 for Monday to 6 for Sunday")

    def __contains__(self, day: date) -> bool:
        return day.weekday() in self.weekdays or (day.month, day.day) in self.yearly or day in self.dates

    def soon(self, today: date) -> Iterator[date]:
        """Dates from `today` on, in no order: of each kind at least the first that comes after it."""
        near = (today + timedelta(days=ahead) for ahead in range(9))
        yield from (day for day in near if day.weekday() in self.weekdays)
        yield from (day for day in self.dates if day >= today)
        for month, day in self.yearly:
            for year in range(today.year, min(today.year + 9, MAXYEAR + 1)):
                if (month, day) != _LEAP or isleap(year):
                    yield date(year, month, day)


EVERY_DAY = Days(weekdays=frozenset(range(7)))


@dataclass(frozen=True, slots=True, kw_only=True)
class CalendarFloor:
    """Replicas that should serve while a window is open.

    Args:
        name: As its owner calls it.
        days: On which local dates it opens.
        opens_s: When, on the clock on the wall, in seconds after midnight [s].
        closes_s: When it closes, likewise, up to 86,400; at or before `opens_s` it is of the next day [s].
        replicas: How many should serve.
        zone: Whose clock: an IANA name.

    Raises:
        ValueError: A number that cannot be, or a zone that is none.
    """

    name: str
    days: Days
    opens_s: int
    closes_s: int
    replicas: int
    zone: str

    def __post_init__(self) -> None:
        if not (0 <= self.opens_s < DAY_S and 0 <= self.closes_s <= DAY_S) or self.replicas < 0:
            raise ValueError(
                f"{self.name}: opens {self.opens_s} s, closes {self.closes_s} s, {self.replicas} replicas"
            )
        zone_of(self.zone)

    @property
    def lasts_s(self) -> int:
        """How long it is open by the clock on the wall, at most a day [s]."""
        return (self.closes_s - self.opens_s) % DAY_S or DAY_S

    def spans_s(self, since_s: float, until_s: float) -> list[tuple[float, float]]:
        """When it is open within [since_s, until_s): begin and end, seconds since the epoch, ascending.

        Where the clock skips its opening, it opens when the clock jumps; where the clock skips all of it,
        it opens then and lasts as long as on other days. Where an hour comes twice, it opens at
        the first coming of its opening and closes at the second of its close.
        """
        zone = zone_of(self.zone)
        spans = (_span_s(self, day) for day in _dates(since_s, until_s, zone) if day in self.days)
        return [span for span in spans if span[0] < until_s and span[1] > since_s]

    def next_span_s(self, after_s: float) -> tuple[float, float] | None:
        """The first window that opens after an instant; begin and end, seconds since the epoch.

        Args:
            after_s: The instant, seconds since the epoch.

        Returns:
            None if it opens no more, or not within the next eight years: the rarest day is the
            29th of February, which a century may leave out once.
        """
        today = datetime.fromtimestamp(after_s, UTC).astimezone(zone_of(self.zone)).date()
        spans = (_span_s(self, day) for day in self.days.soon(today))
        return min((span for span in spans if span[0] > after_s), default=None)


def calendar_floor(floors: Sequence[CalendarFloor], *, now: datetime, lead_s: float) -> Floor | None:
    """The highest floor of the windows that are open, or open within the lead time.

    Args:
        floors: All windows.
        now: The instant of the decision, aware.
        lead_s: From a decision to serving replicas, and until the next decision [s].

    Returns:
        The floor, or None while every window is closed.
    """
    now_s = now.timestamp()
    found = [
        (floor, span)
        for floor in floors
        # A window that opens in exactly a lead time is asked for now.
        for span in floor.spans_s(now_s, now_s + lead_s + 1e-6)
    ]
    if not found:
        return None
    # Of equal ones that which stays longest is the reason.
    floor, span = max(found, key=lambda each: (each[0].replicas, each[1][1]))
    return Floor(floor.replicas, _because(floor, span, now=now, lead_s=lead_s, windows=len(found)))


def _because(
    floor: CalendarFloor, span: tuple[float, float], *, now: datetime, lead_s: float, windows: int
) -> str:
    zone = zone_of(floor.zone)
    start, end = (datetime.fromtimestamp(at_s, UTC).astimezone(zone) for at_s in span)
    others = "" if windows == 1 else f", the highest of {windows} windows"
    if span[0] > now.timestamp():
        ahead_s = span[0] - now.timestamp()
        return (
            f"{floor.name!r} asks for {floor.replicas} from {start:%a %H:%M} {floor.zone}, in "
            f"{ahead_s:.0f} s, and is asked for {lead_s:.0f} s ahead{others}"
        )
    return f"{floor.name!r} holds {floor.replicas} until {end:%a %H:%M} {floor.zone}{others}"


def _dates(since_s: float, until_s: float, zone: ZoneInfo) -> Iterator[date]:
    """Local dates whose windows can touch [since_s, until_s)."""
    first, last = (datetime.fromtimestamp(at_s, UTC).astimezone(zone).date() for at_s in (since_s, until_s))
    # A window opens up to a day, and a clock's jump, before it closes.
    day = first - timedelta(days=2)
    while day <= last:
        yield day
        day += timedelta(days=1)


@lru_cache(maxsize=8192)
def _span_s(floor: CalendarFloor, day: date) -> tuple[float, float]:
    """Begin and end of the window that opens on a local date. Asked at every tick, the same all day."""
    zone = zone_of(floor.zone)
    opens = datetime(day.year, day.month, day.day) + timedelta(seconds=floor.opens_s)  # noqa: DTZ001 - the clock on the wall
    start_s = _first_s(opens, zone)
    end_s = _last_s(opens + timedelta(seconds=floor.lasts_s), zone)
    return start_s, end_s if end_s > start_s else start_s + floor.lasts_s


def _first_s(wall: datetime, zone: ZoneInfo) -> float:
    """When the clock first shows `wall`, or jumps over it; seconds since the epoch."""
    old_s, new_s = _comings_s(wall, zone)
    return _jump_s(new_s, old_s, zone) if old_s > new_s else old_s


def _last_s(wall: datetime, zone: ZoneInfo) -> float:
    """When the clock last shows `wall`, or jumps over it; seconds since the epoch."""
    old_s, new_s = _comings_s(wall, zone)
    return _jump_s(new_s, old_s, zone) if old_s > new_s else new_s


def _comings_s(wall: datetime, zone: ZoneInfo) -> tuple[float, float]:
    """When the clock shows `wall` by the offset before a change of the clock, and by the one after it.

    Equal where there is no change; of a time that is skipped, the first is later, and the jump between.
    """
    old, new = (wall.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    return old.timestamp(), new.timestamp()


def _jump_s(low_s: float, high_s: float, zone: ZoneInfo) -> float:
    """The second at which the offset changes, which lies in (low_s, high_s]."""
    before = datetime.fromtimestamp(low_s, zone).utcoffset()
    while high_s - low_s > 1:
        middle_s = (low_s + high_s) // 2
        if datetime.fromtimestamp(middle_s, zone).utcoffset() == before:
            low_s = middle_s
        else:
            high_s = middle_s
    return high_s
