"""Whose forecasts a workload's owner meant to have: the forecasters that serve by right.

Of a chain that is its first one; those behind it stand in. A tournament has several, and each
may win it without anything being wrong but the last value, whose win says that no model helped.
Refuses to say who serves: that is in each forecast.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from predictscale.forecasters.base import Forecaster
from predictscale.forecasters.naive import LastValue
from predictscale.forecasters.registry import FORECASTERS
from predictscale.forecasters.tournament import Tournament


@lru_cache(maxsize=256)
def at_home(names: tuple[str, ...]) -> tuple[str, ...]:
    """The forecasters that serve by right, in the order of the chain.

    Args:
        names: The chain, as the settings give it.

    Returns:
        Nothing of an empty chain, or of one that begins with a name that nobody has.
    """
    return _at_home(names, FORECASTERS)


def _at_home(names: Sequence[str], known: Mapping[str, Forecaster]) -> tuple[str, ...]:
    first = known.get(names[0]) if names else None
    if first is None:
        return ()
    if not isinstance(first, Tournament):
        return (first.name,)
    return tuple(each.name for each in first.candidates if each.name != LastValue.name)
