"""Synthetic demand is a function of time alone, and looks like demand."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.sources.synthetic import BASE_STEP_S, SyntheticDemand, chat_tokens, shop_requests

MONDAY = datetime(2026, 9, 7, tzinfo=UTC)
QUIET = SyntheticDemand(
    seed=1, level=100, amplitude=0.5, noise=0, jitter=0, bursts_per_day=0, time_zone="Europe/Berlin"
)
RESTLESS = SyntheticDemand(
    seed=3,
    level=100,
    bursts_per_day=5,
    outages_per_week=5,
    growth_per_week=0.05,
    time_zone="America/New_York",
)

instants = st.datetimes(datetime(1960, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - hypothesis adds the zone
steps = st.sampled_from([15.0, 60.0, 300.0, 3600.0, 86_400.0, 5.0, 7.0])


@settings(max_examples=40, deadline=None)
@given(at=instants, step_s=steps, before=st.integers(0, 12), after=st.integers(0, 12))
def test_a_bin_has_one_value_whatever_range_is_asked(
    at: datetime, step_s: float, before: int, after: int
) -> None:
    start = floor_to_grid(at, step_s)
    step = timedelta(seconds=step_s)
    alone = RESTLESS.values(start, start + step, step_s).values
    among = RESTLESS.values(start - before * step, start + (after + 1) * step, step_s)
    assert len(among) == before + after + 1
    np.testing.assert_array_equal(among.values[before : before + 1], alone)


@given(step_s=st.sampled_from([60.0, 300.0, 900.0]))
@settings(deadline=None)
def test_a_wide_bin_is_the_average_of_what_it_is_made_of(step_s: float) -> None:
    base = RESTLESS.values(MONDAY, MONDAY + timedelta(days=1), BASE_STEP_S)
    wide = RESTLESS.values(MONDAY, MONDAY + timedelta(days=1), step_s)
    np.testing.assert_allclose(wide.values, base.resample(step_s).values)


def test_another_seed_is_another_demand_and_the_same_seed_the_same() -> None:
    day = MONDAY, MONDAY + timedelta(days=1), 60.0
    again = SyntheticDemand(seed=5, level=100).values(*day)
    np.testing.assert_array_equal(SyntheticDemand(seed=5, level=100).values(*day).values, again.values)
    assert not np.array_equal(SyntheticDemand(seed=6, level=100).values(*day).values, again.values)


def peak_hour(day: MetricWindow) -> int:
    return int(np.argmax(day.values))


def test_the_day_follows_its_users_clock_through_the_change_of_time() -> None:
    # Berlin leaves summer time on 2026-10-25, a Sunday.
    friday, monday = datetime(2026, 10, 23, tzinfo=UTC), datetime(2026, 10, 26, tzinfo=UTC)
    before = QUIET.values(friday, friday + timedelta(hours=20), 3600)
    after = QUIET.values(monday, monday + timedelta(hours=20), 3600)
    assert peak_hour(after) == peak_hour(before) + 1


def test_a_weekend_has_the_level_it_was_given() -> None:
    demand = SyntheticDemand(seed=1, level=100, weekend=0.5, noise=0, jitter=0, bursts_per_day=0)
    noon = timedelta(hours=12)
    working = demand.values(MONDAY + noon, MONDAY + noon + timedelta(hours=1), 60).values
    sunday = MONDAY + timedelta(days=6)
    resting = demand.values(sunday + noon, sunday + noon + timedelta(hours=1), 60).values
    np.testing.assert_allclose(resting, 0.5 * working, rtol=1e-3)


def test_growth_is_by_the_week_and_ends() -> None:
    demand = SyntheticDemand(seed=1, level=1000, growth_per_week=0.1, noise=0, jitter=0, bursts_per_day=0)

    def mean(at: datetime) -> float:
        return float(demand.values(at, at + timedelta(days=7), 3600).values.mean())

    week = timedelta(weeks=1)
    start = datetime(2026, 2, 2, tzinfo=UTC)
    assert mean(start + week) == pytest.approx(1.1 * mean(start), rel=0.01)
    assert mean(start + 200 * week) == pytest.approx(mean(start + 100 * week), rel=0.01)


def test_noise_remembers_across_midnight() -> None:
    demand = SyntheticDemand(
        seed=2, level=100, amplitude=0, weekend=1, noise=0.2, noise_s=3600, jitter=0, bursts_per_day=0
    )
    values = demand.values(MONDAY, MONDAY + timedelta(days=28), 60).values
    steps = np.abs(np.diff(np.log(values)))
    midnights = steps[1439::1440]
    assert midnights.max() < 6 * steps.mean()
    noise = np.log(values)
    assert noise.std() == pytest.approx(0.2, rel=0.3)
    assert np.corrcoef(noise[10:], noise[:-10])[0, 1] > 0.7


def test_bursts_add_and_outages_are_gaps() -> None:
    week = MONDAY, MONDAY + timedelta(days=7), BASE_STEP_S
    calm = SyntheticDemand(seed=4, level=100, bursts_per_day=0).values(*week).values
    bursty = SyntheticDemand(seed=4, level=100, bursts_per_day=3).values(*week).values
    assert (bursty >= calm - 1e-9).all()
    assert (bursty > 1.1 * calm).any()
    broken = SyntheticDemand(seed=4, level=100, bursts_per_day=0, outages_per_week=5).values(*week)
    assert 0 < (~broken.known).sum() < len(broken) / 4
    np.testing.assert_array_equal(broken.values[broken.known], calm[broken.known])


def test_a_shift_comes_within_ten_minutes_of_nine_and_only_on_working_days() -> None:
    week = MONDAY, MONDAY + timedelta(days=7), BASE_STEP_S
    alone = QUIET.values(*week)
    added = replace(QUIET, shift=0.7).values(*week).values / alone.values - 1
    zone = ZoneInfo(QUIET.time_zone)
    local = [datetime.fromtimestamp(stamp_s, zone) for stamp_s in alone.stamps_s]
    at_work = np.array([(at.weekday() < 5) and time(9, 10) <= at.time() < time(17, 30) for at in local])
    away = np.array([(at.weekday() > 4) or at.time() < time(9) or at.time() >= time(17, 40) for at in local])
    np.testing.assert_allclose(added[at_work], 0.7, atol=1e-3)
    np.testing.assert_allclose(added[away], 0.0, atol=1e-3)
    assert (added[~at_work & ~away] > 0).all()


@pytest.mark.parametrize(
    ("preset", "per_replica", "replicas"), [(chat_tokens(), 1200, 40), (shop_requests(), 80, 25)]
)
def test_a_preset_needs_about_the_fleet_it_says(
    preset: SyntheticDemand, per_replica: float, replicas: int
) -> None:
    needed = preset.values(MONDAY, MONDAY + timedelta(weeks=3), 60).values / per_replica
    assert 0.6 * replicas < needed.max() < 1.2 * replicas
    assert 0 < needed.min() < 0.15 * replicas
    assert preset.label.startswith("synthetic")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"level": 0.0}, "level 0"),
        ({"level": 1.0, "amplitude": 1.0}, "amplitude 1"),
        ({"level": 1.0, "evening": 2.0}, "evening 2"),
        ({"level": 1.0, "noise": -1.0}, "must not be negative"),
        ({"level": 1.0, "burst_s": 0.0}, "durations above 0"),
        ({"level": 1.0, "time_zone": "Mars/Olympus"}, "time_zone: Mars/Olympus"),
        ({"level": 1.0, "time_zone": "../etc"}, "time_zone"),
    ],
)
def test_a_demand_that_cannot_be_is_refused(wrong: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SyntheticDemand(seed=1, **wrong)  # type: ignore[arg-type]  # one of them is text
