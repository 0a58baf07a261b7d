"""Rivals see the past alone, and do what their idea promises."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_series import DAY_S, office_hours, shop, window, with_gaps
from predictscale.core.series import Floats, MetricWindow
from predictscale.simulate.clairvoyant import cheapest, need
from predictscale.simulate.model_rivals import harmonics, holt_winters
from predictscale.simulate.rivals import LAST_VALUE, REACTIVE, RECENT_MAX, STATIC, STOCK, Rival, Scene, grid
from predictscale.simulate.roster import RIVALS
from predictscale.simulate.seasonal_rivals import CRON, HOURLY_MAX, NAIVE, OFFSET

STEP_S = 60.0
DAY = round(DAY_S / STEP_S)
FIRST = 3 * DAY + 77
DEMAND = with_gaps(shop(days=10, step_s=STEP_S))
EVERY = pytest.mark.parametrize("rival", RIVALS.values(), ids=RIVALS.keys())


def scene(
    demand: MetricWindow, *, first: int = FIRST, per_replica: float = 3.0, lead_time_s: float = 240.0
) -> Scene:
    return Scene(demand=demand, first=first, per_replica=per_replica, lead_time_s=lead_time_s)


def flat(*values: float) -> MetricWindow:
    return window(np.array(values), step_s=STEP_S)


@EVERY
@pytest.mark.parametrize("at", [FIRST, 4 * DAY, 5 * DAY + 1, 7 * DAY + 600, 9 * DAY - 3, 10 * DAY - 1])
def test_no_rival_sees_a_step_before_it_has_ended(rival: Rival, at: int) -> None:
    other = DEMAND.values.copy()
    other[at:] = np.nan_to_num(other[at:]) * 7.0 + 500.0
    was = rival.sweep(scene(DEMAND))
    poisoned = rival.sweep(scene(MetricWindow(DEMAND.start, STEP_S, other)))
    until = at - FIRST + 1
    np.testing.assert_array_equal(was[:, :until], poisoned[:, :until])


@EVERY
def test_every_rival_sees_the_step_that_has_just_ended_if_it_is_high_enough(rival: Rival) -> None:
    at = 5 * DAY
    other = DEMAND.values.copy()
    other[at - 1] = 5000.0
    poisoned = rival.sweep(scene(MetricWindow(DEMAND.start, STEP_S, other)))
    # A fixed fleet looks once a day; all others are at least reactive.
    seen_at = at - FIRST if rival is not STATIC else 2 * DAY
    assert (poisoned[0, seen_at:] >= 5000 / 3.0 * 0.99).any()
    assert poisoned[0, at - FIRST - 1] < 5000 / 3.0 * 0.9


@EVERY
def test_every_setting_gives_a_fleet_for_every_step(rival: Rival) -> None:
    asked = scene(DEMAND)
    wanted = rival.sweep(asked)
    assert wanted.shape == (len(rival.knobs), asked.steps)
    assert wanted.dtype == np.int32
    assert wanted.min() >= 1


@EVERY
def test_without_demand_one_replica_stays(rival: Rival) -> None:
    nothing = window(np.zeros(4 * DAY), step_s=STEP_S)
    assert (rival.sweep(scene(nothing)) == 1).all()


@EVERY
def test_the_unit_of_demand_does_not_matter(rival: Rival) -> None:
    larger = MetricWindow(DEMAND.start, STEP_S, DEMAND.values * 1024.0)
    np.testing.assert_array_equal(
        rival.sweep(scene(DEMAND)), rival.sweep(scene(larger, per_replica=3.0 * 1024.0))
    )


@EVERY
def test_knobs_of_one_family_are_all_different_and_name_the_same_things(rival: Rival) -> None:
    assert len({tuple(knobs.items()) for knobs in rival.knobs}) == len(rival.knobs)
    assert len({tuple(knobs) for knobs in rival.knobs}) == 1


def test_a_gap_leaves_what_was_known_last() -> None:
    asked = scene(flat(30.0, 60.0, np.nan, np.nan, 15.0, 15.0), first=1)
    assert asked.last.tolist() == [30.0, 60.0, 60.0, 60.0, 15.0]


def test_a_scene_that_begins_in_a_gap_is_refused() -> None:
    with pytest.raises(ValueError, match="begins with a gap"):
        scene(flat(np.nan, 1.0, 2.0), first=1)


@pytest.mark.parametrize("first", [0, 3])
def test_a_scene_without_a_past_or_a_step_is_refused(first: int) -> None:
    with pytest.raises(ValueError, match="needs a past and a step"):
        scene(flat(1.0, 2.0, 3.0), first=first)


def test_reactive_is_the_load_that_ended_over_the_utilisation() -> None:
    asked = scene(flat(30.0, 60.0, 61.0, 30.0), first=1)
    wanted = REACTIVE.desired(asked, grid(floor=(0.0,), hold_s=(0.0,), utilisation=(0.5, 1.0)))
    assert wanted.tolist() == [[20, 40, 41], [10, 20, 21]]


def test_a_hold_keeps_the_highest_of_that_long_ago_and_no_longer() -> None:
    asked = scene(flat(3.0, 30.0, 3.0, 3.0, 3.0, 3.0), first=1)
    wanted = REACTIVE.desired(asked, grid(floor=(0.0,), hold_s=(120.0,), utilisation=(1.0,)))
    assert wanted.tolist() == [[1, 10, 10, 10, 1]]


def test_a_floor_is_a_quantile_of_the_past() -> None:
    values = np.concatenate([np.full(DAY, 30.0), np.full(DAY, 60.0), np.full(DAY, 3.0)])
    asked = scene(window(values, step_s=STEP_S), first=2 * DAY + 5)
    wanted = REACTIVE.desired(asked, grid(floor=(0.25, 0.75), hold_s=(0.0,), utilisation=(1.0,)))
    assert wanted[:, 0].tolist() == [10, 20]


def test_tuned_reactive_contains_what_comes_with_the_hpa() -> None:
    asked = scene(DEMAND)
    tuned = {row.tobytes() for row in REACTIVE.sweep(asked)}
    assert all(row.tobytes() in tuned for row in STOCK.sweep(asked))


def test_a_fixed_fleet_grows_at_midnight_with_what_it_has_seen() -> None:
    values = np.concatenate([np.full(DAY, 30.0), [90.0], np.full(2 * DAY, 30.0)])
    asked = scene(window(values, step_s=STEP_S), first=DAY)
    (wanted,) = STATIC.desired(asked, grid(margin=(1.0,), quantile=(1.0,), past_d=(56.0,)))
    assert wanted[:DAY].tolist() == [10] * DAY
    assert wanted[DAY : DAY + 2].tolist() == [30, 30]


def test_a_fixed_fleet_may_forget_what_is_older_than_its_past() -> None:
    values = np.concatenate([np.full(DAY, 90.0), np.full(2 * DAY, 30.0)])
    asked = scene(window(values, step_s=STEP_S), first=2 * DAY)
    wanted = STATIC.desired(asked, grid(margin=(1.0,), quantile=(1.0,), past_d=(56.0, 1.0)))
    assert wanted[:, 0].tolist() == [30, 10]


def test_the_last_value_has_its_margin() -> None:
    asked = scene(flat(30.0, 60.0, 3.0), first=1)
    assert LAST_VALUE.desired(asked, grid(margin=(1.5,), hold_s=(0.0,))).tolist() == [[15, 30]]


def test_the_recent_maximum_forgets_after_its_span() -> None:
    asked = scene(flat(90.0, 3.0, 3.0, 3.0), first=1)
    assert RECENT_MAX.desired(asked, grid(margin=(1.0,), past_s=(120.0,))).tolist() == [[30, 30, 1]]


@pytest.mark.parametrize("lead_time_s", [60.0, 240.0, 600.0])
@pytest.mark.parametrize("rival", [CRON, HOURLY_MAX, OFFSET], ids=lambda rival: str(rival.name))
def test_what_repeats_is_covered_before_it_comes(rival: Rival, lead_time_s: float) -> None:
    demand = office_hours(days=10, step_s=STEP_S)
    asked = scene(demand, lead_time_s=lead_time_s)
    common = grid(quantile=(1.0,), after_s=(lead_time_s,), margin=(1.0,), utilisation=(1.0,), hold_s=(0.0,))
    (wanted,) = rival.desired(asked, common)
    plan = cheapest(need(demand.values, asked.per_replica), asked.lead_steps)[FIRST:]
    # What lies beyond the end of the trace is nobody's need.
    assert (wanted >= plan)[: -asked.lead_steps].all()


def test_the_seasonal_naive_asks_for_what_was_at_the_time_when_replicas_are_ready() -> None:
    demand = office_hours(days=10, step_s=STEP_S)
    asked = scene(demand, first=8 * DAY)
    (wanted,) = NAIVE.desired(asked, grid(margin=(1.0,), utilisation=(1.0,), hold_s=(0.0,)))
    then = need(demand.values, asked.per_replica)[8 * DAY + asked.lead_steps :]
    here = need(demand.values, asked.per_replica)[8 * DAY - 1 : -1]
    np.testing.assert_array_equal(wanted[: then.size], np.maximum(then, here[: then.size]))


def test_a_week_ago_is_asked_before_a_day_ago() -> None:
    days = [np.full(DAY, level) for level in (30.0, 60.0, 60.0, 60.0, 60.0, 60.0, 60.0, 3.0)]
    asked = scene(window(np.concatenate(days), step_s=STEP_S), first=7 * DAY + 20)
    (wanted,) = OFFSET.desired(asked, grid(after_s=(0.0,), margin=(1.0,), utilisation=(1.0,), hold_s=(0.0,)))
    assert set(wanted[: DAY - 60].tolist()) == {10}


def daily_wave(days: int) -> Floats:
    phase = 2 * np.pi * np.arange(days * 288) / 288
    wave: Floats = 100 - 50 * np.cos(phase) + 15 * np.sin(3 * phase)
    return wave


def test_holt_winters_expects_again_what_it_has_seen_every_day() -> None:
    blocks = daily_wave(4)
    said = holt_winters(blocks, reach=3)
    assert np.isneginf(said[: 2 * 288]).all()
    came = np.lib.stride_tricks.sliding_window_view(blocks, 3).max(axis=1)
    np.testing.assert_allclose(said[2 * 288 : came.size], came[2 * 288 :], rtol=1e-6)


def test_holt_winters_follows_a_new_level_within_the_hour() -> None:
    blocks = daily_wave(5)
    blocks[3 * 288 + 100 :] += 200.0
    said = holt_winters(blocks, reach=1)
    late = 3 * 288 + 100 + 12
    assert abs(said[late] - blocks[late]) < 20.0


def test_the_strongest_harmonics_of_a_few_days_go_on() -> None:
    blocks = daily_wave(5)
    said = harmonics(blocks, kept=2, reach=2, days=7)
    came = np.maximum(blocks[:-1], blocks[1:])
    assert np.isneginf(said[: 2 * 288]).all()
    np.testing.assert_allclose(said[2 * 288 : came.size], came[2 * 288 :], rtol=1e-6)


def test_harmonics_that_are_left_out_are_not_repeated() -> None:
    blocks = daily_wave(4)
    said = harmonics(blocks, kept=1, reach=1, days=7)
    slow = 100 - 50 * np.cos(2 * np.pi * np.arange(blocks.size) / 288)
    np.testing.assert_allclose(said[2 * 288 : -1], slow[2 * 288 :], rtol=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    place=st.integers(0, len(RIVALS) - 1),
    factor=st.floats(1.0, 3.0),
)
def test_the_same_demand_at_a_higher_level_never_means_fewer_replicas(place: int, factor: float) -> None:
    rival = list(RIVALS.values())[place]
    part = scene(DEMAND)
    more = scene(MetricWindow(DEMAND.start, STEP_S, DEMAND.values * factor))
    chosen = rival.knobs[::7]
    assert (rival.desired(more, chosen) >= rival.desired(part, chosen)).all()
