"""The few settings of a policy that tuning turns, and the order in which they grow careful.

Three kinds of settings are told apart by what they size for: a quantile of what is about to
arrive, what is here with room to spare, or a fixed part of the highest of the last days. All are
points of the same five numbers, so that one policy obeys any of them. Refuses
to be bolder than what it was given: a notch only ever adds replicas.
"""

import math
from bisect import bisect_right
from dataclasses import dataclass, replace
from enum import StrEnum

LEVEL_LADDER = (
    0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.965, 0.975, 0.983, 0.99, 0.995,
)  # fmt: skip
"""The levels that are tried, bold to careful."""
MARGIN_LADDER = (1.2, 1.5, 2.0)
"""Beyond the highest level that is forecast, what it says is multiplied."""
LONGEST_HOLD_S = 1200.0
"""No candidate holds longer, unless the owner does [s]."""
ALONE = 1000.0
"""A margin so large that the limit alone counts."""

_UTILISATION_NOTCH = 0.05
_LEAST_UTILISATION = 0.3
_LIMIT_NOTCH = 0.1


class Kind(StrEnum):
    """What settings size for."""

    PREDICTIVE = "predictive"  # a quantile of the peak within the lead time
    REACTIVE = "reactive"  # what is here, over a utilisation
    STATIC = "static"  # a part of the highest of the last days


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Within what the owner lets tuning choose.

    Args:
        lowest_level: No candidate covers a lower quantile.
        highest_level: Nor a higher one; 0.995 or more allows margins beyond it.
    """

    lowest_level: float = LEVEL_LADDER[0]
    highest_level: float = LEVEL_LADDER[-1]

    def __post_init__(self) -> None:
        if not 0 < self.lowest_level <= self.highest_level < 1:
            raise ValueError(f"levels: {self.lowest_level} to {self.highest_level}; must ascend in (0, 1)")


ANY_LEVEL = Bounds()
"""An owner who sets no bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knobs:
    """What tuning chooses; the words are those of `Policy`.

    Args:
        level: The quantile of demand that is covered, in (0, 1).
        margin: The forecast counts this many times; 0 sizes for what is here alone.
        limit: The forecast counts up to this many times the highest of the last days.
        headroom: What is here counts this many times, at least once.
        hold_s: Scale down only to the highest target of this long ago until now [s].
    """

    level: float
    margin: float = 1.0
    limit: float | None = None
    headroom: float = 1.0
    hold_s: float = 600.0

    def __post_init__(self) -> None:
        if not 0 < self.level < 1 or not self.headroom >= 1 or not self.hold_s >= 0:
            raise ValueError(f"level {self.level}, headroom {self.headroom}, hold_s {self.hold_s}")
        if not (math.isfinite(self.margin) and self.margin >= 0):
            raise ValueError(f"margin: {self.margin}; finite, 0 or more")

    @property
    def kind(self) -> Kind:
        """What it sizes for."""
        if not self.margin:
            return Kind.REACTIVE
        return Kind.STATIC if self.margin >= ALONE and self.limit is not None else Kind.PREDICTIVE

    def careful(self, notches: int, *, highest: float = LEVEL_LADDER[-1]) -> "Knobs":
        """The same, `notches` steps more careful; never bolder, never above the level `highest`.

        Room to spare grows by 0.05 of utilisation, a limit by 0.1 of what it limits to, a level to
        the next one of the ladder, and beyond the ladder a margin.
        """
        if notches <= 0:
            return self
        if self.kind is Kind.REACTIVE:
            utilisation = max(1 / self.headroom - notches * _UTILISATION_NOTCH, _LEAST_UTILISATION)
            return replace(self, headroom=max(self.headroom, 1 / utilisation))
        limit = None if self.limit is None else self.limit + notches * _LIMIT_NOTCH
        if self.kind is Kind.STATIC:
            return replace(self, limit=limit)
        rungs = [level for level in LEVEL_LADDER if level <= highest]
        place = bisect_right(rungs, self.level)
        level = max(self.level, rungs[min(place + notches, len(rungs)) - 1]) if rungs else self.level
        beyond = max(0, place + notches - len(rungs)) if highest >= LEVEL_LADDER[-1] else 0
        margins = [margin for margin in MARGIN_LADDER if margin > self.margin]
        margin = margins[min(beyond, len(margins)) - 1] if beyond and margins else self.margin
        return replace(self, level=level, margin=margin, limit=limit)

    def __str__(self) -> str:
        hold = f"hold {self.hold_s:.0f} s"
        if self.kind is Kind.REACTIVE:
            return f"reactive, utilisation {1 / self.headroom:.2f}, {hold}"
        if self.kind is Kind.STATIC:
            return f"static, {self.limit:.2g} times the highest of the last days"
        parts = [f"level {self.level:g}"]
        if self.margin != 1:
            parts.append(f"margin {self.margin:.3g}")
        if self.limit is not None:
            parts.append(f"limit {self.limit:.3g}")
        if self.headroom != 1:
            parts.append(f"headroom {self.headroom:.3g}")
        return ", ".join((*parts, hold))
