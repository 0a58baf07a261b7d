"""What is recorded of a workload beside its decisions."""

from dataclasses import replace

import numpy as np
import pytest

from past_scenes import decided, rising
from predictscale.control.counterfactual import CounterfactualMeter
from predictscale.control.shadow import ShadowMeter, Watched
from predictscale.core.counterfactual import Way
from predictscale.core.outcome import SCORED_LEVELS, Outcome
from predictscale.core.plan import Decision, Mode, Policy
from worlds import NOON, at, policy

TICK_S = 15.0
DAY_S = 86_400.0
SHADOW = policy(mode=Mode.SHADOW, lead_time_s=60, max_replicas=30)
LIVE = replace(SHADOW, mode=Mode.LIVE)


def taken(*decisions: Decision, span_s: float = 7 * DAY_S) -> Watched:
    meter = ShadowMeter(tick_s=TICK_S)
    for decision in decisions:
        meter.note(decision)
    found = meter.watched(span_s=span_s)
    assert found is not None
    return found


def stretch(
    first: float, last: float, *, demand: float | None = 25, obeyed: Policy = SHADOW, **more: float
) -> list[Decision]:
    """A decision each tick, with a forecast of far more than is here."""
    return [
        decided(second, demand, obeyed=obeyed, forecast=rising(second), replicas=4, **more)  # type: ignore[arg-type]
        for second in np.arange(first, last, TICK_S).tolist()
    ]


def test_in_shadow_ours_is_imagined_and_what_is_held_is_the_fleet_that_is_there() -> None:
    decisions = stretch(0, 3600)
    found = taken(*decisions)
    assert found.mode is Mode.SHADOW
    assert (found.since, found.until) == (NOON, at(3585))
    assert found.now.ours.replica_h == pytest.approx(4 * 3585 / 3600)
    # Each step is held by what was wanted at its beginning.
    wanted = sum(each.plan.published for each in decisions[:-1]) * TICK_S / 3600
    assert found.ours.ours.replica_h == pytest.approx(wanted)
    assert found.ours.ours.replica_h > found.now.ours.replica_h
    assert found.ours.came == found.now.came > 0


def test_where_no_fleet_is_seen_what_is_published_stands_for_it() -> None:
    ticks = range(3600, 4500, 15)
    decisions = [decided(s, 25, obeyed=SHADOW, forecast=rising(s), replicas=None) for s in ticks]
    assert {each.answer.published for each in decisions} == {3}
    assert min(each.plan.published for each in decisions) > 3
    assert taken(*decisions).now.ours.replica_h == pytest.approx(3 * 885 / 3600)


def test_a_change_of_mode_begins_anew() -> None:
    found = taken(*stretch(0, 3600), *stretch(3600, 5400, obeyed=LIVE), *stretch(5400, 6000))
    assert (found.mode, found.since) == (Mode.SHADOW, at(5400))
    assert found.now.known_s == 585


def test_doubt_is_counted_with_its_longest_stretch_and_so_is_what_is_cut() -> None:
    found = taken(
        *stretch(0, 600),
        *stretch(600, 1200, age_s=300),
        *stretch(1200, 1800),
        *stretch(1800, 2100, age_s=300),
        *stretch(2100, 2400, demand=400),
    )
    assert found.decided_s == 2385
    assert found.doubt_s == 900
    assert found.longest_doubt_s == 600
    assert found.cut_s == 300
    assert found.forecast_s == 2385
    assert found.now.unknown_s > 0


def test_time_in_which_nobody_decided_counts_for_nobody() -> None:
    found = taken(*stretch(0, 600), *stretch(7800, 8400))
    assert found.decided_s == 585 + TICK_S + 585
    assert found.now.unknown_s == pytest.approx(7200, abs=2 * TICK_S)


def test_days_beyond_the_span_are_left_out() -> None:
    found = taken(*stretch(0, 3600), *stretch(3600 * 5, 3600 * 6), span_s=3600)
    assert found.decided_s == 3600
    assert found.since == NOON


def outcomes(decision: Decision, missed: float, *, scored: int, lead_s: float = 60) -> Decision:
    def one(lead: float, share: float) -> Outcome:
        kept = (1 - share,) * len(SCORED_LEVELS)
        return Outcome(lead_s=lead, levels=SCORED_LEVELS, coverage=kept, pinball=kept, scored=scored)

    return replace(decision, outcomes=(one(lead_s, missed), one(1800, 0.9)))


def hourly(day: int, missed: float, *, scored: int = 1440, lead_s: float = 60) -> list[Decision]:
    hours = [decided(day * DAY_S + hour * 3600, obeyed=SHADOW) for hour in range(24)]
    return [outcomes(each, missed, scored=scored, lead_s=lead_s) for each in hours]


def test_outcomes_of_days_are_added_up_once_each() -> None:
    found = taken(*hourly(0, 0.1), *hourly(1, 0.4), *hourly(2, 0.1, scored=720)).outcome
    assert found is not None
    assert (found.lead_s, found.scored) == (60, 1440 + 1440 + 720)
    assert found.coverage[0] == pytest.approx(1 - (0.1 * 1440 + 0.4 * 1440 + 0.1 * 720) / 3600)


def test_outcomes_of_another_horizon_are_another_question() -> None:
    found = taken(*hourly(0, 0.9, lead_s=50), *hourly(1, 0.1)).outcome
    assert found is not None
    assert (found.lead_s, found.scored) == (60, 1440)


def test_the_first_decision_of_a_mode_tells_the_mode_and_nothing_else() -> None:
    assert ShadowMeter(tick_s=TICK_S).watched(span_s=DAY_S) is None
    found = taken(decided(0, obeyed=SHADOW))
    assert (found.mode, found.since, found.decided_s) == (Mode.SHADOW, NOON, 0)
    assert found.now.known_s == found.now.ours.replica_h == found.now.came == 0
    # It is known of no work, so none of it was late or early.
    assert found.ours.late_share(Way.OURS) is None
    assert taken(*stretch(0, 3600, obeyed=LIVE), *stretch(3600, 3615)).now.known_s == 0


def test_what_was_kept_is_gone_on_from_as_if_nothing_had_happened() -> None:
    before, after = [*hourly(0, 0.1), *stretch(DAY_S, DAY_S + 900)], stretch(DAY_S + 900, DAY_S + 2700)
    whole = ShadowMeter(tick_s=TICK_S)
    for each in before:
        whole.note(each)
    again = ShadowMeter(tick_s=TICK_S)
    again.restore(whole.kept())
    for each in after:
        whole.note(each)
        again.note(each)
    assert again.watched(span_s=7 * DAY_S) == whole.watched(span_s=7 * DAY_S)
    assert again.kept().keys() == whole.kept().keys()


@pytest.mark.parametrize("broken", ["shadow", "watched", "ours.hours", "now.hours"])
def test_what_is_not_a_record_changes_nothing(broken: str) -> None:
    meter, other = ShadowMeter(tick_s=TICK_S), ShadowMeter(tick_s=TICK_S)
    for each in stretch(0, 900):
        meter.note(each)
    told, kept = meter.watched(span_s=DAY_S), other.kept()
    with pytest.raises((ValueError, KeyError)):
        meter.restore(kept | {broken: np.full((2, 3), np.nan)})
    with pytest.raises(KeyError):
        meter.restore({name: value for name, value in kept.items() if name != broken})
    assert meter.watched(span_s=DAY_S) == told


def test_the_record_agrees_with_the_meter_of_savings_on_the_same_decisions() -> None:
    decisions, meter = stretch(0, 3600), CounterfactualMeter(tick_s=TICK_S)
    for each in decisions:
        meter.note(each)
    assert taken(*decisions).ours == meter.savings(span_s=7 * DAY_S)
