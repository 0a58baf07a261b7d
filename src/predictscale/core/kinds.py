"""Which of four kinds a demand is, by its history, in words that its owner uses.

- always-on: a steady load day and night; there is little to gain from scaling.
- scheduled: the clock tells; days or weeks repeat, or jobs start by a timetable.
- event-driven: quiet, with bursts that stand out and whose onset the clock does not tell.
- unpredictable: moves much, in no pattern that was found.

The rules are asked in this order, each with the numbers that it read. The thresholds were chosen on
synthetic histories of known kind (tests/known_kinds.py, 160 of them, seeds 10000 to 10039, 10 and 14 days)
about midway between neighbouring kinds, and on nothing else. Refuses to name a kind on too little history.
"""

from dataclasses import dataclass
from enum import StrEnum
from math import isnan, tanh
from typing import Final

from predictscale.core.calendar import Calendar
from predictscale.core.habits import NEAR_ZERO, Habits, habits
from predictscale.core.series import MetricWindow

LEAST_DAYS: Final = 3.0
"""With less known history than this there is no kind [d]."""
LEAST_SHARE: Final = 0.5
"""Nor with more than this share of it missing."""
STEADY: Final = 1.4
"""Always-on: the high level is at most this multiple of the mean, so a perfect fleet saves under a third."""
CLOCK: Final = 0.45
"""Scheduled: the clock explains at least this share of the variance of held-out days ..."""
REPEATED: Final = 0.6
"""... or a burst has company at its time of day on at least this share of the other days on which chance
would give it none."""
QUIET: Final = 0.86
"""Event-driven: quiet for at least this share of the time ..."""
SUDDEN: Final = 0.6
"""... with at least this share of bursts that rise within a quarter of an hour ..."""
LEAST_BURSTS: Final = 2
"""... and so many of them."""

_UTC: Final = Calendar()
_ENOUGH_DAYS = 14.0
_SHORT_COSTS = 0.25
_WORTH_SAYING = 0.1


class Kind(StrEnum):
    """What a demand is like."""

    ALWAYS_ON = "always-on"
    SCHEDULED = "scheduled"
    EVENT_DRIVEN = "event-driven"
    UNPREDICTABLE = "unpredictable"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified:
    """A kind, how sure it is, and why.

    Args:
        kind: Which.
        confidence: From 0.5, on a threshold, towards 1, far from all that were asked; less with short
            histories; 0 if unknown. A measure of distance and no probability [1].
        because: One sentence for each number that decided.
        habits: All that was measured; None if nothing could be.
    """

    kind: Kind
    confidence: float
    because: tuple[str, ...]
    habits: Habits | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """One rule's answer: by how much it holds, in widths of its doubt, and what it read."""

    margin: float
    because: str

    @property
    def holds(self) -> bool:
        return self.margin >= 0


def classify(window: MetricWindow, calendar: Calendar = _UTC) -> Classified:
    """Name the kind of a demand.

    Args:
        window: Its history, on bins of half an hour or finer; two weeks tell more than one.
        calendar: By whose clock its days begin.
    """
    if too_little := _too_little(window):
        return Classified(kind=Kind.UNKNOWN, confidence=0.0, because=(too_little,), habits=None)
    seen = habits(window, calendar)
    if seen is None:
        return Classified(
            kind=Kind.UNKNOWN, confidence=0.0, because=("no demand was ever seen in it",), habits=None
        )
    return _named(seen)


def _too_little(window: MetricWindow) -> str:
    known_days = window.known_s / 86_400.0
    if known_days < LEAST_DAYS:
        return f"too little history: {known_days:.1f} days are known, {LEAST_DAYS:g} are needed"
    share = window.known_s / window.duration_s
    if share < LEAST_SHARE:
        return f"too many gaps: {share:.0%} of the history is known, {LEAST_SHARE:.0%} is needed"
    return ""


def _named(seen: Habits) -> Classified:
    steady, clock, burst = _steady(seen), _told_by_the_clock(seen), _bursts_out_of_quiet(seen)
    kind, asked = Kind.UNPREDICTABLE, [steady, clock, burst]
    if steady.holds:
        kind, asked = Kind.ALWAYS_ON, [steady]
    elif clock.holds:
        kind, asked = Kind.SCHEDULED, [steady, clock]
    elif burst.holds:
        kind = Kind.EVENT_DRIVEN
    sure = min(0.5 + 0.5 * tanh(abs(each.margin)) for each in asked)
    short = max(0.0, 1 - seen.days / _ENOUGH_DAYS)
    because = [each.because for each in asked]
    if short > _WORTH_SAYING:
        because.append(f"{seen.days:.1f} days of history; a second week would tell more")
    return Classified(
        kind=kind, confidence=sure * (1 - _SHORT_COSTS * short), because=tuple(because), habits=seen
    )


def _steady(seen: Habits) -> _Asked:
    return _Asked(
        (STEADY - seen.peak_to_mean) / 0.2,
        f"its high level is {seen.peak_to_mean:.2f} times its mean ({STEADY:g} or less is steady), "
        f"and {seen.near_zero:.0%} of the time it is below {NEAR_ZERO:.0%} of that level",
    )


def _told_by_the_clock(seen: Habits) -> _Asked:
    clock = -1.0 if isnan(seen.clock) else seen.clock
    repeated = 0.0 if isnan(seen.repeated) else _beyond(seen.repeated, seen.by_chance)
    because = (
        f"{seen.sort} explains {max(clock, 0.0):.0%} of the variance of days that were held out "
        f"({CLOCK:.0%} or more is told by the clock)"
    )
    by_shape, by_onset = (clock - CLOCK) / 0.25, (repeated - REPEATED) / 0.2
    if by_onset > by_shape and by_onset >= 0:
        because += (
            f"; its rises come again at the same time on {seen.repeated:.0%} of the other days, where "
            f"{seen.by_chance:.0%} would by chance"
        )
    return _Asked(max(by_shape, by_onset), because)


def _beyond(share: float, by_chance: float) -> float:
    """Of what chance leaves open, the share that came."""
    return (share - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


def _bursts_out_of_quiet(seen: Habits) -> _Asked:
    sudden = 0.0 if isnan(seen.sudden) else seen.sudden
    margins = ((seen.quiet - QUIET) / 0.05, (sudden - SUDDEN) / 0.2, seen.bursts - LEAST_BURSTS + 0.5)
    return _Asked(
        min(margins),
        f"{seen.quiet:.0%} of the time it is quiet ({QUIET:.0%} or more is); {seen.bursts} times it rose "
        f"out of that, {sudden:.0%} of them within a quarter of an hour ({SUDDEN:.0%} or more is sudden)",
    )
