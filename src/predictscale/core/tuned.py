"""What self-tuning chose and why: the record that a decision carries, for readers.

Says what was compared and what it came to, so that nobody has to believe. Refuses to
hold what grows: the best candidates and the two that everybody knows, no more.
"""

from dataclasses import dataclass
from datetime import datetime

from predictscale.core.knobs import Knobs
from predictscale.core.slo import Slo


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What settings would have done over the days compared.

    Args:
        knobs: The settings.
        violation: The share of demand that would have been late.
        replica_hours: What they would have taken [h].
    """

    knobs: Knobs
    violation: float
    replica_hours: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Settings chosen from a replay of the past.

    Args:
        knobs: The settings.
        at: Where the past that was replayed ends, aware UTC.
        because: Why these, in words.
        asked: The share of demand that was allowed to be late, before the rule's own caution.
        replayed_s: How much of the past was compared [s].
        compared: How many candidates.
        scores: The best of them, and plain reactive and static, cheapest first.
    """

    knobs: Knobs
    at: datetime
    because: str
    asked: float
    replayed_s: float
    compared: int
    scores: tuple[Score, ...] = ()

    def __post_init__(self) -> None:
        if not self.because:
            raise ValueError("because: is empty; a choice has a reason")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """The state of self-tuning at a decision.

    Args:
        slo: What the owner asked for.
        choice: What the last replay chose; None while there is too little history.
        knobs: What is in force: the choice, or the owner's settings, as careful as the budget makes them.
        since: Since when the choice has been the same, aware UTC; None before the first.
        because: Why these are in force, in words.
        notches: By how many notches the budget made them more careful.
        violation: The share of demand that was late in the window, as far as it is known.
        spent: The part of the window's budget that is gone.
        known_s: How much of the window is known [s].
        every_s: Between replays [s].
        next_at: When the next replay is due, aware UTC.
    """

    slo: Slo
    choice: Choice | None
    knobs: Knobs
    since: datetime | None
    because: str
    notches: int
    violation: float
    spent: float
    known_s: float
    every_s: float
    next_at: datetime
