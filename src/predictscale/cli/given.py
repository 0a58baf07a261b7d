"""What the options of the offline commands mean: leads, levels, origins, models, whose calendar.

Each reader returns what the evaluation takes, or says which option or line is wrong, what
came and what would do. Refuses to run anything.
"""

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic_core import PydanticCustomError

from predictscale.config.calendars import holiday_code, holidays_of, zone_name
from predictscale.config.durations import duration_s
from predictscale.core.calendar import Calendar
from predictscale.core.series import MetricWindow
from predictscale.errors import AskOwner, FileUnusable, Problem, SettingsError
from predictscale.forecasters.base import Forecaster
from predictscale.forecasters.evaluate import reaching, spaced_origins
from predictscale.forecasters.registry import FORECASTERS, Context, resolve

_DAY_S = 86_400.0


def models(
    names: str | None, window: MetricWindow, *, where: str = "--models", refit_s: float, context: Context
) -> tuple[Forecaster, ...]:
    """The forecasters of these names, joined by commas, `auto` among them; all if None.

    Args:
        names: As the option gives them.
        window: The trace that they will forecast.
        where: The option.
        refit_s: How old their fits may become [s].
        context: What they are told of whose trace it is.

    Raises:
        AskOwner: A name is unknown or comes twice.
    """
    wanted = [*FORECASTERS] if names is None else [name.strip() for name in names.split(",")]
    # Twice as far as fits are apart: one that fails leaves the older one in place.
    reach_s = 2 * refit_s + _DAY_S
    told = resolve(wanted, where=where, context=context.around(window.start, window.end))
    return tuple(reaching(each, reach_s) for each in told)


def model(name: str, window: MetricWindow, *, refit_s: float, context: Context) -> Forecaster:
    """The one forecaster of this name, or `auto`; see `models`.

    Raises:
        AskOwner: There is none of that name.
    """
    found = models(name, window, where="--model", refit_s=refit_s, context=context)
    if len(found) != 1:
        raise AskOwner(f"--model: {name!r}; must be one name")
    return found[0]


def context(time_zone: str, holidays: str | None) -> Context:
    """What an owner's settings `time_zone` and `holidays` tell forecasters.

    Raises:
        SettingsError: There is no such zone, or no holidays are known of the code; or both.
    """
    problems: list[Problem] = []
    zone = _read(zone_name, time_zone, "--time-zone", problems)
    code = "" if holidays is None else _read(holiday_code, holidays, "--holidays", problems)
    if problems:
        raise SettingsError(problems)
    return Context(calendar=Calendar(zone, holidays_of(code) if code else ()))


def calendar(time_zone: str) -> Calendar:
    """The calendar of a time zone, without holidays.

    Raises:
        SettingsError: There is no such zone.
    """
    return context(time_zone, None).calendar


def _read(reader: Callable[[str], str], text: str, where: str, problems: list[Problem]) -> str:
    """What a setting's own reader makes of an option; a refusal joins the problems."""
    try:
        return reader(text)
    except PydanticCustomError as wrong:
        said = wrong.context or {}
        problems.append(Problem(where, said["got"], said["wants"], said["why"]))
        return ""


def span_s(text: str, where: str) -> float:
    """A duration [s], above 0.

    Raises:
        AskOwner: It is none.
    """
    try:
        seconds = duration_s(text)
    except ValueError as wrong:
        raise AskOwner(f"{where}: {text!r}; {wrong}") from None
    if seconds <= 0:
        raise AskOwner(f"{where}: {text!r}; must be above 0")
    return seconds


def leads_s(text: str) -> tuple[float, ...]:
    """Leads [s], each once, ascending.

    Raises:
        AskOwner: One is no duration above 0.
    """
    return tuple(sorted({span_s(part, "--leads") for part in text.split(",")}))


def levels(text: str) -> tuple[float, ...]:
    """Levels, each once, ascending.

    Raises:
        AskOwner: One does not lie between 0 and 1.
    """
    found = set()
    for part in text.split(","):
        try:
            level = float(part)
        except ValueError:
            level = math.nan
        if not 0 < level < 1:
            raise AskOwner(f"--levels: {part.strip()!r}; must be a number between 0 and 1")
        found.add(level)
    return tuple(sorted(found))


def origins(asked: str, window: MetricWindow, *, ahead_s: float, trace: Path) -> tuple[datetime, ...]:
    """So many origins, or those of a file, ascending and each once.

    Args:
        asked: A number, or the name of a file with one instant per line.
        window: The trace.
        ahead_s: The longest lead; so much of the trace is left after each of a number of origins.
        trace: The trace's name, for the message.

    Raises:
        AskOwner: The trace does not have so many, or a line is not an instant within it.
    """
    if asked.strip().isdecimal():
        try:
            return spaced_origins(window, int(asked), ahead_s=ahead_s)
        except ValueError as wrong:
            raise AskOwner(f"{trace}: --origins: {wrong}") from None
    found = set()
    for line, at in _instants(Path(asked)):
        if (at - window.start).total_seconds() < window.step_s or at > window.end:
            raise FileUnusable(
                f"{asked}:{line}: {at.isoformat()} lies outside the trace; must be from one step after "
                f"{window.start.isoformat()} to {window.end.isoformat()}"
            )
        found.add(at)
    if not found:
        raise FileUnusable(f"{asked}: holds no instants; write one such as 2026-01-31T23:59:00Z per line")
    return tuple(sorted(found))


def _instants(file: Path) -> Iterator[tuple[int, datetime]]:
    """Line numbers and instants of a file."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FileUnusable(
            f"--origins: {error}; must be a number, or a file with one instant per line"
        ) from None
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            at = datetime.fromisoformat(text.strip())
        except ValueError:
            raise FileUnusable(f"{file}:{line}: {text[:40]!r}; must look like 2026-01-31T23:59:00Z") from None
        if at.tzinfo is None:
            raise FileUnusable(f"{file}:{line}: {text[:40]!r} has no time zone; end it with Z if it is UTC")
        yield line, at.astimezone(UTC)
