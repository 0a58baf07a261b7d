"""The forecasters by the names that settings use, and what a workload's owner tells them.

The only list of them. Refuses to know which forecaster wants what: each is given what it
has a field for.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime
from types import MappingProxyType

from predictscale.core.calendar import Calendar
from predictscale.errors import Problem, SettingsError
from predictscale.forecasters.base import Forecaster
from predictscale.forecasters.boosted import Boosted
from predictscale.forecasters.fourier import FourierOptions, SarimaxFourier
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay, SeasonalNaiveWeek
from predictscale.forecasters.native import Native
from predictscale.forecasters.prophet import ProphetCorrected, ProphetOptions
from predictscale.forecasters.smoothing import HoltWinters
from predictscale.forecasters.tournament import Tournament

_ALL: tuple[Forecaster, ...] = (
    Native(),
    LastValue(),
    SeasonalNaiveDay(),
    SeasonalNaiveWeek(),
    HoltWinters(),
    SarimaxFourier(),
    ProphetCorrected(),
    Boosted(),
    Tournament((Native(), Boosted(), HoltWinters(), SeasonalNaiveWeek(), SeasonalNaiveDay(), LastValue())),
)

FORECASTERS: Mapping[str, Forecaster] = MappingProxyType({f.name: f for f in _ALL})
"""Every forecaster by name."""

DEFAULT_CHAIN = (Tournament.name, Native.name, SeasonalNaiveDay.name, LastValue.name)
"""The chain of a workload whose owner chose none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What forecasters are told of a workload. A forecaster that has a field of this name gets it.

    Args:
        calendar: Whose clock and holidays its seasons follow.
        prophet: What Prophet is told.
        fourier: What SARIMAX is told.
    """

    calendar: Calendar = Calendar()
    prophet: ProphetOptions = ProphetOptions()
    fourier: FourierOptions = FourierOptions()

    def around(self, start: datetime, end: datetime) -> "Context":
        """The same with the holidays of the years from before `start` to after `end` alone.

        Fits carry their calendar with them, and no fit reaches further.
        """
        years = range(start.year - 1, end.year + 2)
        near = tuple(day for day in self.calendar.holidays if day.year in years)
        return replace(self, calendar=replace(self.calendar, holidays=near))


_NOBODYS = Context()


def resolve(
    names: Sequence[str],
    *,
    where: str = "forecasters",
    known: Mapping[str, Forecaster] = FORECASTERS,
    context: Context = _NOBODYS,
) -> tuple[Forecaster, ...]:
    """The forecasters of a chain, in its order.

    Args:
        names: As the settings give them.
        where: The setting's path, for the message.
        known: The forecasters there are.
        context: What they are told of the workload.

    Raises:
        SettingsError: A name is unknown or comes twice, or there is none; all problems at once.
    """
    problems = [
        Problem(f"{where}[{place}]", repr(name), wants)
        for place, name in enumerate(names)
        if (wants := _complaint(name, names[:place], known))
    ]
    if not names:
        problems.append(Problem(where, "is empty", f"one or more of {', '.join(known)}"))
    if problems:
        raise SettingsError(problems)
    return tuple(_told(known[name], context) for name in names)


def _told(forecaster: Forecaster, context: Context) -> Forecaster:
    """The forecaster with what it has a field for; candidates are told as if they stood alone."""
    if not is_dataclass(forecaster):
        return forecaster
    theirs = {field.name for field in fields(forecaster)}
    changes = {field.name: getattr(context, field.name) for field in fields(context) if field.name in theirs}
    if isinstance(forecaster, Tournament):
        changes["candidates"] = tuple(_told(candidate, context) for candidate in forecaster.candidates)
    told: Forecaster = replace(forecaster, **changes) if changes else forecaster
    return told


def _complaint(name: str, earlier: Sequence[str], known: Mapping[str, Forecaster]) -> str:
    """What is wrong with a name, or nothing."""
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        return f"did you mean {close[0]!r}?" if close else f"one of {', '.join(known)}"
    return "name each forecaster once" if name in earlier else ""
