"""The forecasters by the names that settings use. The only list of them."""

import difflib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from predictscale.errors import Problem, SettingsError
from predictscale.forecasters.base import Forecaster
from predictscale.forecasters.fourier import SarimaxFourier
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay, SeasonalNaiveWeek
from predictscale.forecasters.native import Native
from predictscale.forecasters.prophet import ProphetCorrected
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
    Tournament((Native(), HoltWinters(), SeasonalNaiveWeek(), SeasonalNaiveDay(), LastValue())),
)

FORECASTERS: Mapping[str, Forecaster] = MappingProxyType({f.name: f for f in _ALL})
"""Every forecaster by name."""

DEFAULT_CHAIN = (Tournament.name, Native.name, SeasonalNaiveDay.name, LastValue.name)
"""The chain of a workload whose owner chose none."""


def resolve(
    names: Sequence[str],
    *,
    where: str = "forecasters",
    known: Mapping[str, Forecaster] = FORECASTERS,
) -> tuple[Forecaster, ...]:
    """The forecasters of a chain, in its order.

    Args:
        names: As the settings give them.
        where: The setting's path, for the message.
        known: The forecasters there are.

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
    return tuple(known[name] for name in names)


def _complaint(name: str, earlier: Sequence[str], known: Mapping[str, Forecaster]) -> str:
    """What is wrong with a name, or nothing."""
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        return f"did you mean {close[0]!r}?" if close else f"one of {', '.join(known)}"
    return "name each forecaster once" if name in earlier else ""
