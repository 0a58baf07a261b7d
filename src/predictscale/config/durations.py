"""Durations and shares as people write them: `90s`, `4m`, `0.5%`.

Everything becomes float seconds, or a share of 1, here and only here. It refuses
what could be read in two ways: a bare unit, a sign, a calendar's month or year.
"""

import math
import re

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?|\.[0-9]+")
_PART = re.compile(rf"({_NUMBER.pattern})(ms|[smhdw])")
_WHOLE = re.compile(rf"(?:(?:{_NUMBER.pattern})(?:ms|[smhdw]))+")


def duration_s(value: object) -> float:
    """Seconds, from a number of seconds or from text such as `90s`, `1h30m` or `28d`.

    Raises:
        ValueError: It is neither, or not finite. The message says what would do.
    """
    wants = "write seconds, or text such as 90s, 4m, 2h or 28d"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(wants)  # noqa: TRY004 - pydantic collects ValueError, not TypeError
    if isinstance(value, str):
        text = value.strip()
        if _NUMBER.fullmatch(text):
            seconds = float(text)
        elif _WHOLE.fullmatch(text):
            seconds = sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))
        else:
            raise ValueError(wants)
    else:
        seconds = _as_float(value)
    if not math.isfinite(seconds):
        raise ValueError("a duration is finite; " + wants)
    return seconds


def duration_text(seconds: float) -> str:
    """The shortest text in one unit that `duration_s` reads back as `seconds`."""
    if seconds == 0:
        return "0s"
    for unit in ("d", "h", "m"):
        count = seconds / _UNITS_S[unit]
        if count.is_integer() and count * _UNITS_S[unit] == seconds:
            return f"{int(count)}{unit}"
    return f"{int(seconds)}s" if float(seconds).is_integer() else f"{seconds!r}s"


def share(value: object) -> float:
    """A share of 1, from a number or from text such as `0.005` or `0.5%`.

    Raises:
        ValueError: It is neither, or not finite. The message says what would do.
    """
    wants = "write a share such as 0.005, or a percentage such as 0.5%"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(wants)  # noqa: TRY004 - pydantic collects ValueError, not TypeError
    if not isinstance(value, str):
        number = _as_float(value)
    else:
        text = value.strip()
        digits = text.removesuffix("%").rstrip()
        if not _NUMBER.fullmatch(digits):
            raise ValueError(wants)
        # Hundredths by division: 0.5 / 100 is the float nearest to 0.005, 0.5 * 0.01 is not always.
        number = float(digits) / 100 if text.endswith("%") else float(digits)
    if not math.isfinite(number):
        raise ValueError(wants)
    return number


def _as_float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond every float
        return math.inf
