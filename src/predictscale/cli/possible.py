"""Numbers that options of several commands take, and what cannot be: said by the option that it came by.

The rules are here once, so that no command computes for an hour with what another refuses. Refuses to
mend a number: whoever wrote it is asked.
"""

import math
from typing import Final

from predictscale.errors import AskOwner

LONGEST_LEAD_S: Final = 86_400.0


def positive(option: str, value: float) -> float:
    """A finite number above 0.

    Raises:
        AskOwner: It is none.
    """
    if not 0 < value < math.inf:
        raise AskOwner(f"{option}: {value:g}; must be above 0")
    return value


def not_negative(option: str, value: float) -> float:
    """A finite number, 0 or more.

    Raises:
        AskOwner: It is none.
    """
    if not 0 <= value < math.inf:
        raise AskOwner(f"{option}: {value:g}; must be 0 or more")
    return value


def lead_time(value_s: float) -> float:
    """A lead time in seconds.

    Raises:
        AskOwner: It is not above 0, or longer than a day.
    """
    if positive("--lead-time-s", value_s) > LONGEST_LEAD_S:
        raise AskOwner(f"--lead-time-s: {value_s:g}; must be at most a day, {LONGEST_LEAD_S:g}")
    return value_s


def violation(share: float) -> float:
    """The share of demand that may be late.

    Raises:
        AskOwner: It cannot be an objective.
    """
    if not 0 < share <= 0.5:
        raise AskOwner(f"--slo-violation: {share:g}; must be a share above 0, at most 0.5")
    return share


def bounds(least: int, most: int) -> tuple[int, int]:
    """The fewest and the most replicas.

    Raises:
        AskOwner: Nothing lies between them.
    """
    if not 0 <= least <= most or most < 1:
        raise AskOwner(f"--min, --max: {least}, {most}; 0 <= min <= max and max >= 1")
    return least, most
