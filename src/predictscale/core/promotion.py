"""Whether days in shadow speak for letting the forecast move the fleet: the gate between shadow and live.

Every rule is asked, and each answers with what it read, what it wants, and why that is wanted; one that
cannot be answered says so and is no yes. What is judged was recorded, or replayed, before the gate
was asked. Thresholds are an owner's patience and not a fit: none was chosen on data that it is used on.

Refuses to weigh one rule against another: a fleet that saves much and is late too often stays in shadow.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.calibration import DOUBT, LEAST_WINDOWS, exceeded, independent
from predictscale.core.outcome import Outcome
from predictscale.core.plan import Mode
from predictscale.core.series import MetricWindow
from predictscale.core.slo import DAY_S, Slo

LEAST_DAYS = 3.0
"""Nobody may ask for fewer days than this: a weekend would pass for a week [d]."""
LEAST_OF_A_DAY = 0.5
"""A day counts for the pattern of a week if this share of it is known."""

_WEEK = 7
_THURSDAY, _SATURDAY = 3, 5
_UTC = Calendar()


class Standing(StrEnum):
    """How a rule is met."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What the gate wants.

    Args:
        days: So long in shadow [d].
        late_share: At most so much of demand may wait too long, where the owner states no objective [1].
        late_margin: Ours may be late more than what was held by this part of what may be late [1].
        extra: Ours may hold so much more than what was held without further reason [1].
        known_share: So much of the time must be accounted for [1].
        doubt_share: So much of it at most may targets have been held, or not known [1].
        longest_doubt_s: And no longer than this at a stretch [s].
        forecast_share: So much of the time a forecast must have served [1].
        misses: A quantile may be missed so many times as often as it says.
        ceiling_share: So much of the time at most may a ceiling have cut the target [1].
        week: Days of the week matter if weekends and workdays differ by this part of the mean [1].

    Raises:
        ValueError: Fewer days than `LEAST_DAYS`.
    """

    days: float = 7.0
    late_share: float = 0.01
    late_margin: float = 0.1
    extra: float = 0.1
    known_share: float = 0.95
    doubt_share: float = 0.01
    longest_doubt_s: float = 1800.0
    forecast_share: float = 0.95
    misses: float = 2.0
    ceiling_share: float = 0.01
    week: float = 0.2

    def __post_init__(self) -> None:
        if not self.days >= LEAST_DAYS:
            raise ValueError(f"days: {self.days:g}; at least {LEAST_DAYS:g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What one way of scaling did.

    Args:
        replica_h: Replica-hours, from request to removal.
        late_share: Share of work that waited too long; None if none came [1].
    """

    replica_h: float
    late_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What the simulator made of the last days with the settings of today.

    Args:
        days: How many.
        late_share: Share of demand that waited too long [1].
        replica_h: What ours held [h].
    """

    days: float
    late_share: float
    replica_h: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a workload since its mode last changed.

    Args:
        mode: That mode.
        lasted_s: Since when [s].
        known_s: How much of the judged time is accounted for [s].
        unknown_s: How much of it is not [s].
        doubt_share: Share of decisions' time in which demand was not fresh, or no answer given [1].
        longest_doubt_s: The longest such stretch [s].
        forecast_share: Share of that time in which a forecast served [1].
        ceiling_share: Share of it in which a ceiling or a budget cut the target [1].
        ours: What the forecast's targets would have held, whether they were published or not.
        now: What was held: the fleet that was there, or what was published where it is not seen.
        plain: What a plain HPA on the same metric would have held.
        outcome: How peaks within the lead time came out; None before any.
        step_s: Between forecasts [s].
        level: The quantile that decisions cover.
        lead_time_s: What decisions look ahead [s].
        lead_measured: Whether that was measured, and not only stated.
        week_swing: See `week_swing`.
        slo: The owner's objective; None without one.
        replay: None if nobody asked for one.
    """

    mode: Mode
    lasted_s: float
    known_s: float
    unknown_s: float
    doubt_share: float
    longest_doubt_s: float
    forecast_share: float
    ceiling_share: float
    ours: Held
    now: Held
    plain: Held
    outcome: Outcome | None
    step_s: float
    level: float
    lead_time_s: float
    lead_measured: bool
    week_swing: float | None
    slo: Slo | None = None
    replay: Replay | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One rule's answer.

    Args:
        what: The rule.
        standing: How it is met.
        number: What was read; None if that is not known.
        threshold: What is wanted of it.
        unit: Of both: `d`, `s`, `h`, `x` (times), or `1` for a share.
        because: In words.
        must: Whether the gate stays shut without it; of the others it only tells.
    """

    what: str
    standing: Standing
    number: float | None
    threshold: float
    unit: str
    because: str
    must: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether to promote; None if no rule says no, and one that must be met cannot be answered."""

    promote: bool | None
    reasons: tuple[Reason, ...]


def gate(evidence: Evidence, rules: Rules) -> Verdict:
    """Ask every rule.

    Args:
        evidence: What is known.
        rules: What is wanted.
    """
    reasons = tuple(_asked(evidence, rules))
    standings = {reason.standing for reason in reasons if reason.must}
    promote: bool | None = True
    if Standing.FAIL in standings:
        promote = False
    elif Standing.UNKNOWN in standings:
        promote = None
    return Verdict(promote=promote, reasons=reasons)


def asked_share(evidence: Evidence, rules: Rules) -> float:
    """The share of demand that may wait too long: the owner's, or the rules' [1]."""
    return rules.late_share if evidence.slo is None else evidence.slo.max_violation


def week_swing(bins: MetricWindow, calendar: Calendar = _UTC) -> float | None:
    """By how much weekends differ from workdays, of the mean of all days [1].

    A day counts if half of it is known. A holiday takes no part: it is neither.

    Args:
        bins: Demand.
        calendar: By whose clock days begin, and which of them are holidays.

    Returns:
        None if no weekend day or no workday is known, or nothing ever came.
    """
    days: dict[int, list[float]] = {}
    stamps_s, counted = bins.stamps_s, bins.known & ~calendar.holiday(bins.stamps_s)
    of_day = ((stamps_s + calendar.offsets_s(stamps_s)) // DAY_S).astype(np.int64)
    for day in np.unique(of_day).tolist():
        known = bins.values[(of_day == day) & counted]
        if known.size * bins.step_s >= LEAST_OF_A_DAY * DAY_S:
            # The epoch was a Thursday.
            days.setdefault(int((day + _THURSDAY) % _WEEK >= _SATURDAY), []).append(float(known.mean()))
    if len(days) < 2:
        return None
    work, rest = np.mean(days[0]), np.mean(days[1])
    mean = float(np.mean(days[0] + days[1]))
    return float(abs(work - rest)) / mean if mean > 0 else None


def _asked(seen: Evidence, rules: Rules) -> Iterator[Reason]:
    yield _mode(seen)
    yield _days(seen, rules)
    yield _known(seen, rules)
    yield _at_most(
        "time in doubt",
        seen.doubt_share,
        rules.doubt_share,
        f"demand was not fresh, or nothing was answered, for {seen.doubt_share:.2%} of the time",
    )
    yield _at_most(
        "longest doubt",
        seen.longest_doubt_s,
        rules.longest_doubt_s,
        f"the longest such stretch was {seen.longest_doubt_s / 60:.0f} minutes",
        unit="s",
    )
    yield _forecast(seen, rules)
    yield _coverage(seen, rules)
    yield _late(seen, rules)
    yield _later(seen, rules)
    yield _cost(seen, rules)
    yield _at_most(
        "ceiling",
        seen.ceiling_share,
        rules.ceiling_share,
        f"max_replicas or a budget cut the target for {seen.ceiling_share:.2%} of the time",
    )
    yield _week(seen, rules)
    yield _lead(seen)
    if seen.replay is not None:
        yield _replayed(seen, seen.replay, rules)


def _at_most(what: str, number: float, threshold: float, because: str, *, unit: str = "1") -> Reason:
    standing = Standing.PASS if number <= threshold else Standing.FAIL
    return Reason(
        what=what, standing=standing, number=number, threshold=threshold, unit=unit, because=because
    )


def _mode(seen: Evidence) -> Reason:
    shadow = seen.mode is Mode.SHADOW
    return Reason(
        what="mode",
        standing=Standing.PASS if shadow else Standing.FAIL,
        number=float(shadow),
        threshold=1.0,
        unit="1",
        because="it is in shadow" if shadow else "it is live already; there is nothing to switch on",
    )


def _days(seen: Evidence, rules: Rules) -> Reason:
    days = seen.lasted_s / DAY_S
    return Reason(
        what="days in shadow",
        standing=Standing.PASS if days >= rules.days else Standing.FAIL,
        number=days,
        threshold=rules.days,
        unit="d",
        because=f"{days:.2g} days since its mode last changed",
    )


def _known(seen: Evidence, rules: Rules) -> Reason:
    span_s = seen.known_s + seen.unknown_s
    if span_s <= 0:
        return _unknown("known time", rules.known_share, "nothing is accounted for yet")
    share = seen.known_s / span_s
    return Reason(
        what="known time",
        standing=Standing.PASS if share >= rules.known_share else Standing.FAIL,
        number=share,
        threshold=rules.known_share,
        unit="1",
        because=f"demand was known for {share:.2%} of {span_s / DAY_S:.2g} days; the rest counts for nobody",
    )


def _forecast(seen: Evidence, rules: Rules) -> Reason:
    share = seen.forecast_share
    return Reason(
        what="forecast",
        standing=Standing.PASS if share >= rules.forecast_share else Standing.FAIL,
        number=share,
        threshold=rules.forecast_share,
        unit="1",
        because=f"a forecast served for {share:.2%} of the time; without one there is nothing to switch on",
    )


def _coverage(seen: Evidence, rules: Rules) -> Reason:
    what, outcome = "coverage", seen.outcome
    if outcome is None:
        return _unknown(what, 0.0, "no window has closed yet that a forecast was made for")
    level = min(outcome.levels, key=lambda each: abs(each - seen.level))
    allowed = min(1.0, rules.misses * (1 - level))
    missed = 1 - outcome.coverage[outcome.levels.index(level)]
    windows = independent(outcome, step_s=seen.step_s)
    if windows < LEAST_WINDOWS:
        return _unknown(what, allowed, f"{windows} windows that do not overlap; {LEAST_WINDOWS} are needed")
    # A forecast is refused only where chance does not explain it.
    chance = exceeded(round(missed * windows), windows, allowed)
    return Reason(
        what=what,
        standing=Standing.FAIL if chance < DOUBT else Standing.PASS,
        number=missed,
        threshold=allowed,
        unit="1",
        because=(
            f"{missed:.2%} of peaks within {outcome.lead_s:.0f} s came above the {level:g} quantile, which "
            f"promises {1 - level:.2%}, of {outcome.scored} windows worth {windows} that do not overlap"
        ),
    )


def _late(seen: Evidence, rules: Rules) -> Reason:
    asked, late = asked_share(seen, rules), seen.ours.late_share
    whose = "nobody asked for less" if seen.slo is None else "the owner asks for no more"
    if late is None:
        return _unknown("late", asked, "nothing came, so nothing can have been late")
    return _at_most("late", late, asked, f"ours would have let {late:.3%} of demand wait too long; {whose}")


def _later(seen: Evidence, rules: Rules) -> Reason:
    margin = rules.late_margin * asked_share(seen, rules)
    ours, now = seen.ours.late_share, seen.now.late_share
    if ours is None or now is None:
        return _unknown("late beside now", margin, "nothing came, so nothing can have been late")
    said = f"ours {ours:.3%}, what was held {now:.3%}"
    return _at_most("late beside now", ours - now, margin, said)


def _cost(seen: Evidence, rules: Rules) -> Reason:
    what, most = "replica-hours", 1 + rules.extra
    if seen.now.replica_h <= 0:
        return _unknown(what, most, "no fleet was held, so there is nothing to compare with", unit="x")
    ratio = seen.ours.replica_h / seen.now.replica_h
    said = f"{seen.ours.replica_h:,.1f} h, what was held {seen.now.replica_h:,.1f} h"
    cheap, why = ratio <= most, f"no more than {rules.extra:.0%} above"
    if not cheap:
        cheap, why = _worth(seen, asked_share(seen, rules))
    standing = Standing.PASS if cheap else Standing.FAIL
    because = f"{said}: {why}"
    return Reason(what=what, standing=standing, number=ratio, threshold=most, unit="x", because=because)


def _worth(seen: Evidence, asked: float) -> tuple[bool, str]:
    """Whether more than what was held is justified, and by what."""
    if seen.ours.replica_h <= seen.plain.replica_h:
        return True, f"less than the {seen.plain.replica_h:,.1f} h of a plain HPA"
    ours, now = seen.ours.late_share, seen.now.late_share
    if ours is not None and now is not None and now > asked:
        if ours <= asked:
            return True, f"ours keeps to {asked:.2%} late, what was held does not ({now:.2%})"
        return False, f"more than a plain HPA holds as well, and it does not keep to {asked:.2%} late either"
    return False, f"more than a plain HPA holds as well, while what was held keeps to {asked:.2%} late"


def _week(seen: Evidence, rules: Rules) -> Reason:
    # What the other rules judged, which may be less than its mode has lasted.
    what, days = "whole week", min(seen.lasted_s, seen.known_s + seen.unknown_s) / DAY_S
    if days <= 0:
        return _unknown(what, rules.week, "nothing is accounted for yet")
    if days >= _WEEK - LEAST_OF_A_DAY:
        return _reason_of_week(
            Standing.PASS, seen, rules, f"{days:.2g} days were judged, which hold every day of the week"
        )
    if seen.week_swing is None:
        said = "no weekend and workday are known, so nobody can tell whether they differ"
        return _unknown(what, rules.week, said)
    differ = f"weekends differ from workdays by {seen.week_swing:.0%} of the mean day"
    if seen.week_swing <= rules.week:
        return _reason_of_week(Standing.PASS, seen, rules, differ)
    return _reason_of_week(
        Standing.FAIL, seen, rules, f"{differ}, and {days:.2g} days were judged, not {_WEEK}"
    )


def _reason_of_week(standing: Standing, seen: Evidence, rules: Rules, because: str) -> Reason:
    return Reason(
        what="whole week",
        standing=standing,
        number=seen.week_swing,
        threshold=rules.week,
        unit="1",
        because=because,
    )


def _lead(seen: Evidence) -> Reason:
    said = "measured" if seen.lead_measured else "as the settings state it; nobody has measured it"
    return Reason(
        what="lead time",
        standing=Standing.PASS if seen.lead_measured else Standing.UNKNOWN,
        number=seen.lead_time_s,
        threshold=seen.lead_time_s,
        unit="s",
        because=said,
        must=False,
    )


def _replayed(seen: Evidence, replay: Replay, rules: Rules) -> Reason:
    return _at_most(
        "late in replay",
        replay.late_share,
        asked_share(seen, rules),
        f"{replay.late_share:.3%} late and {replay.replica_h:,.1f} replica-hours when the last "
        f"{replay.days:g} days are lived through again with the settings of today",
    )


def _unknown(what: str, threshold: float, because: str, *, unit: str = "1") -> Reason:
    return Reason(
        what=what,
        standing=Standing.UNKNOWN,
        number=None,
        threshold=threshold,
        unit=unit,
        because=because,
    )
