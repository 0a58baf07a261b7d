"""Five fields of cron as the opening of a window: one time of the day, on some days.

Those who move from a cron trigger bring such lines. Read is what a window can say: a minute and an
hour that are numbers, and days of the month, months and days of the week as cron has them. Refuses
steps, names of months, and lines that fire more than once a day, and says what to write instead.
"""

import re
from datetime import date

from predictscale.core.floors import WEEKDAYS, Days

_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")
_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_PART = re.compile(r"([0-9]{1,2}|[a-z]{3})(?:-([0-9]{1,2}|[a-z]{3}))?")
_CRON_NAMES = {name: str((place + 1) % 7) for place, name in enumerate(WEEKDAYS)}
_LEAP_YEAR = 2024


def cron_opening(line: str) -> tuple[int, Days]:
    """When the windows of a cron line open: seconds after midnight [s], and the days.

    As in cron, a day that either the day of the month or that of the week names is meant if
    both are given.

    Raises:
        ValueError: It is none, or no window can say it. The message says what would do.
    """
    texts = line.lower().split()
    if len(texts) != len(_FIELDS):
        raise ValueError(f"must be five fields: {', '.join(_FIELDS)}")
    minutes, hours, month_days, months, week_days = (
        _numbers(text, name, bounds) for text, name, bounds in zip(texts, _FIELDS, _BOUNDS, strict=True)
    )
    if minutes is None or hours is None or len(minutes) * len(hours) != 1:
        raise ValueError(
            "must open once a day, with one minute and one hour; give one floor for each opening"
        )
    opens_s = (min(hours) * 60 + min(minutes)) * 60
    return opens_s, _days(month_days, months, week_days)


def _days(month_days: set[int] | None, months: set[int] | None, week_days: set[int] | None) -> Days:
    yearly: frozenset[tuple[int, int]] = frozenset()
    if month_days is not None or (months is not None and week_days is None):
        yearly = frozenset(
            (month, day)
            for month in months or range(1, 13)
            for day in month_days or range(1, 32)
            if _exists(month, day)
        )
        if not yearly:
            raise ValueError("must name a day that some year has")
    elif months is not None:
        raise ValueError("must not name months and days of the week; give days such as mon-fri, or dates")
    # Cron's week begins with Sunday, which is 0 and 7.
    of_week = None if week_days is None else frozenset((day - 1) % 7 for day in week_days)
    if of_week is None:
        of_week = frozenset() if yearly else frozenset(range(7))
    return Days(weekdays=of_week, yearly=yearly)


def _numbers(text: str, name: str, bounds: tuple[int, int]) -> set[int] | None:
    """The numbers that a field names; None for all."""
    if text == "*":
        return None
    found: set[int] = set()
    for part in text.split(","):
        matched = _PART.fullmatch(part)
        if matched is None:
            raise ValueError(f"must have numbers, ranges and lists in the {name}; {part!r} is none of them")
        first, last = (_number(end, name, bounds) for end in (matched[1], matched[2] or matched[1]))
        if first > last:
            raise ValueError(f"must have ranges that ascend in the {name}; {part!r} does not")
        found |= set(range(first, last + 1))
    return found


def _number(text: str, name: str, bounds: tuple[int, int]) -> int:
    text = _CRON_NAMES.get(text, text) if name == _FIELDS[-1] else text
    if not text.isdigit() or not bounds[0] <= int(text) <= bounds[1]:
        raise ValueError(f"must have {bounds[0]} to {bounds[1]} in the {name}; {text!r} is not")
    return int(text)


def _exists(month: int, day: int) -> bool:
    try:
        date(_LEAP_YEAR, month, day)
    except ValueError:
        return False
    return True
