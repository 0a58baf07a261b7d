"""The gate between shadow and live: every rule both ways."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.calendar import Calendar
from predictscale.core.outcome import Outcome
from predictscale.core.plan import Mode
from predictscale.core.promotion import (
    Evidence,
    Held,
    Reason,
    Replay,
    Rules,
    Standing,
    Verdict,
    gate,
    week_swing,
)
from predictscale.core.series import MetricWindow
from predictscale.core.slo import DAY_S, Slo

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
LEVELS = (0.5, 0.9, 0.95, 0.99)


def outcome(missed: float, *, scored: int = 5000) -> Outcome:
    """Of the 0.95 quantile so much is missed; of the others more than is promised, which nobody asks."""
    coverage = (0.2, 0.5, 1 - missed, 0.5)
    return Outcome(lead_s=300, levels=LEVELS, coverage=coverage, pinball=(1.0,) * 4, scored=scored)


GOOD = Evidence(
    mode=Mode.SHADOW,
    lasted_s=7 * DAY_S,
    known_s=7 * DAY_S - 600,
    unknown_s=600,
    doubt_share=0.001,
    longest_doubt_s=300,
    forecast_share=0.999,
    ceiling_share=0.0,
    ours=Held(replica_h=1050, late_share=0.002),
    now=Held(replica_h=1000, late_share=0.004),
    plain=Held(replica_h=1400, late_share=0.001),
    outcome=outcome(0.05),
    step_s=60,
    level=0.94,
    lead_time_s=300,
    lead_measured=True,
    week_swing=0.5,
)
WEEK = Rules()
SHORT = Rules(days=3)


def reason(what: str, evidence: Evidence, rules: Rules = WEEK) -> Reason:
    return next(each for each in gate(evidence, rules).reasons if each.what == what)


def seen(**changed: Any) -> Evidence:
    return replace(GOOD, **changed)


def test_a_good_week_is_promoted_and_every_rule_says_why() -> None:
    verdict = gate(GOOD, WEEK)
    assert verdict.promote is True
    assert {each.standing for each in verdict.reasons} == {Standing.PASS}
    assert all(each.because and each.number is not None for each in verdict.reasons)


HELD_MORE = Held(replica_h=1500, late_share=0.002)
RULES = [
    ("mode", {"mode": Mode.LIVE}, WEEK),
    ("days in shadow", {"lasted_s": 7 * DAY_S - 1, "week_swing": 0.1}, WEEK),
    ("known time", {"known_s": 6.58 * DAY_S, "unknown_s": 0.42 * DAY_S}, WEEK),
    ("time in doubt", {"doubt_share": 0.0101}, WEEK),
    ("longest doubt", {"longest_doubt_s": 1801.0}, WEEK),
    ("forecast", {"forecast_share": 0.94}, WEEK),
    ("coverage", {"outcome": outcome(0.13)}, WEEK),
    ("late", {"ours": Held(replica_h=1050, late_share=0.0101), "now": GOOD.ours}, WEEK),
    ("late beside now", {"ours": Held(replica_h=1050, late_share=0.0052)}, WEEK),
    ("replica-hours", {"ours": HELD_MORE}, WEEK),
    ("ceiling", {"ceiling_share": 0.02}, WEEK),
    ("whole week", {"lasted_s": 5 * DAY_S}, SHORT),
    ("late in replay", {"replay": Replay(days=7, late_share=0.02, replica_h=900)}, WEEK),
]


@pytest.mark.parametrize(("what", "changed", "rules"), RULES, ids=[each[0] for each in RULES])
def test_each_rule_keeps_the_gate_shut_by_itself(what: str, changed: dict[str, Any], rules: Rules) -> None:
    verdict = gate(seen(**changed), rules)
    assert verdict.promote is False
    failed = {each.what for each in verdict.reasons if each.standing is Standing.FAIL}
    # Of what is late, the rule beside it may see it too.
    assert failed - {"late beside now"} == {what} - {"late beside now"}
    assert what in failed


UNKNOWN = [
    ("known time", {"known_s": 0.0, "unknown_s": 0.0}, WEEK),
    ("coverage", {"outcome": None}, WEEK),
    ("coverage", {"outcome": outcome(0.5, scored=45)}, WEEK),
    ("late", {"ours": Held(replica_h=1, late_share=None)}, WEEK),
    ("late beside now", {"now": Held(replica_h=1000, late_share=None)}, WEEK),
    ("replica-hours", {"now": Held(replica_h=0, late_share=0.004)}, WEEK),
    ("whole week", {"lasted_s": 5 * DAY_S, "week_swing": None}, SHORT),
]


@pytest.mark.parametrize(("what", "changed", "rules"), UNKNOWN)
def test_what_cannot_be_answered_is_no_yes(what: str, changed: dict[str, Any], rules: Rules) -> None:
    evidence = seen(**changed)
    assert reason(what, evidence, rules).standing is Standing.UNKNOWN
    assert reason(what, evidence, rules).number is None
    assert gate(evidence, rules).promote is None


def test_a_rule_that_fails_is_told_although_another_cannot_be_answered() -> None:
    assert gate(seen(outcome=None, ceiling_share=0.5), WEEK).promote is False


def test_a_lead_time_that_nobody_measured_is_told_and_keeps_nothing_shut() -> None:
    verdict = gate(seen(lead_measured=False), WEEK)
    assert verdict.promote is True
    told = reason("lead time", seen(lead_measured=False))
    assert (told.standing, told.must) == (Standing.UNKNOWN, False)


def test_the_owners_objective_replaces_the_rules_share() -> None:
    late = Held(replica_h=1050, late_share=0.008)
    loose, tight = Slo(max_violation=0.05, wait_s=5), Slo(max_violation=0.005, wait_s=5)
    assert reason("late", seen(ours=late, slo=loose)).standing is Standing.PASS
    assert reason("late", seen(ours=late, slo=tight)).standing is Standing.FAIL
    # The margin beside what was held is a part of it: 0.1 of 5 %.
    assert reason("late beside now", seen(ours=late, slo=loose)).standing is Standing.PASS
    assert reason("late beside now", seen(ours=late)).standing is Standing.FAIL


def test_more_replica_hours_are_justified_by_a_plain_hpas_or_by_an_objective_that_is_missed_today() -> None:
    more = seen(ours=Held(replica_h=1390, late_share=0.002))
    assert "less than the 1,400.0 h of a plain HPA" in reason("replica-hours", more).because
    late = Held(replica_h=1000, late_share=0.2)
    saves = seen(ours=HELD_MORE, now=late)
    assert reason("replica-hours", saves).standing is Standing.PASS
    neither = seen(ours=Held(replica_h=1500, late_share=0.1), now=late)
    assert reason("replica-hours", neither).standing is Standing.FAIL


def test_coverage_is_asked_of_the_quantile_that_decides_and_chance_is_granted() -> None:
    assert reason("coverage", GOOD).threshold == pytest.approx(0.1)
    # Thirteen of a hundred where ten may be missed are no evidence; of a thousand they are.
    few, many = outcome(0.13, scored=500), outcome(0.13, scored=5000)
    assert reason("coverage", seen(outcome=few)).standing is Standing.PASS
    assert reason("coverage", seen(outcome=many)).standing is Standing.FAIL
    # A median may be missed always, for twice a half is all.
    assert reason("coverage", seen(level=0.5)).standing is Standing.PASS


def test_too_wide_a_forecast_costs_money_and_is_not_dishonest_here() -> None:
    assert reason("coverage", seen(outcome=outcome(0.0))).standing is Standing.PASS


def test_a_short_trial_may_do_where_days_of_the_week_are_alike() -> None:
    short = seen(lasted_s=3 * DAY_S, week_swing=0.1)
    assert gate(short, SHORT).promote is True
    assert gate(short, WEEK).promote is False


@pytest.mark.parametrize(("judged_days", "standing"), [(3.0, "fail"), (6.4, "fail"), (6.6, "pass")])
def test_days_that_were_not_judged_hold_no_day_of_the_week(judged_days: float, standing: str) -> None:
    long = seen(lasted_s=20 * DAY_S, known_s=judged_days * DAY_S, unknown_s=0.0, week_swing=0.5)
    assert reason("whole week", long, SHORT).standing == standing


def test_nobody_may_ask_for_less_than_three_days() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        Rules(days=2.9)


def days_of(levels: list[float], *, step_s: float = 3600) -> MetricWindow:
    return MetricWindow(MONDAY, step_s, np.repeat(np.array(levels), round(DAY_S / step_s)))


def test_the_week_swings_by_what_weekends_lack() -> None:
    assert week_swing(days_of([100.0] * 5 + [30.0, 30.0])) == pytest.approx(70 / 80)
    assert week_swing(days_of([100.0] * 7)) == 0
    # Monday to Friday, or nothing at all.
    assert week_swing(days_of([100.0] * 5)) is None
    assert week_swing(days_of([0.0] * 7)) is None


def test_a_day_of_which_little_is_known_says_nothing_of_the_week() -> None:
    values = days_of([100.0] * 5 + [30.0]).values.copy()
    values[-13:] = np.nan
    assert week_swing(MetricWindow(MONDAY, 3600, values)) is None
    values[-13] = 30.0
    assert week_swing(MetricWindow(MONDAY, 3600, values)) == pytest.approx(70 / (530 / 6))


def test_a_weekend_is_that_of_its_peoples_clock() -> None:
    # Whole days in Auckland, thirteen hours ahead in March: Monday to Friday at 100, the weekend at 30.
    local = Calendar("Pacific/Auckland")
    week = days_of([100.0] * 5 + [30.0, 30.0])
    there = MetricWindow(MONDAY - timedelta(hours=13), week.step_s, week.values)
    assert week_swing(there, local) == pytest.approx(70 / 80)
    smeared = week_swing(there)
    assert smeared is not None
    assert smeared < 70 / 80


def test_a_holiday_counts_neither_as_a_workday_nor_as_a_weekend() -> None:
    quiet_monday = days_of([30.0] + [100.0] * 4 + [30.0, 30.0])
    assert week_swing(quiet_monday, Calendar(holidays=(MONDAY.date(),))) == pytest.approx(70 / (460 / 6))
    assert week_swing(quiet_monday) == pytest.approx(56 / (490 / 7))


SHARES = st.floats(0, 0.02)


@given(ours=SHARES, now=SHARES, worse=st.floats(0, 0.02))
def test_being_late_more_often_never_opens_the_gate(ours: float, now: float, worse: float) -> None:
    def asked(late: float) -> Verdict:
        return gate(
            seen(ours=Held(replica_h=1050, late_share=late), now=Held(replica_h=1000, late_share=now)), WEEK
        )

    if not asked(ours).promote:
        assert not asked(ours + worse).promote


@given(held=st.floats(1, 3000), more=st.floats(0, 3000))
def test_holding_more_never_opens_the_gate(held: float, more: float) -> None:
    def asked(hours: float) -> Verdict:
        return gate(seen(ours=Held(replica_h=hours, late_share=0.002)), WEEK)

    if not asked(held).promote:
        assert not asked(held + more).promote
