import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from known_kinds import KNOWN, MONDAY, known_kind
from made_series import with_gaps
from predictscale.core.calendar import Calendar
from predictscale.core.habits import by_clock, habits
from predictscale.core.kinds import LEAST_DAYS, Classified, Kind, classify
from predictscale.core.series import MetricWindow
from predictscale.sources.files import load_csv

STEP_S = 300.0
KINDS = st.sampled_from(KNOWN)
SEEDS = st.integers(0, 9_999)

BESIDE = Path(__file__).parents[3] / "shared" / "data"
TRACES = Path(os.environ.get("PREDICTSCALE_DATA", BESIDE))
REAL = {
    "crane_09": Kind.SCHEDULED,
    "crane_02": Kind.SCHEDULED,
    "msft_mongo01": Kind.SCHEDULED,
    "netman_eth6": Kind.SCHEDULED,
    "nab_nyc_taxi": Kind.SCHEDULED,
    "dlrm_app19_instances": Kind.ALWAYS_ON,
    "servegen_mlarge_req": Kind.UNPREDICTABLE,
    "nab_elb_request_count_8c0756": Kind.UNPREDICTABLE,
}
"""By the notes of the collection; those that its notes leave open are not here."""


def made(kind: Kind, seed: int, *, days: float = 14.0) -> MetricWindow:
    return known_kind(kind, seed=seed, days=days, step_s=STEP_S)


def moved(window: MetricWindow, *, weeks: int = 0, factor: float = 1.0) -> MetricWindow:
    return MetricWindow(window.start + timedelta(weeks=weeks), window.step_s, window.values * factor)


def deciding(found: Classified) -> tuple[object, ...]:
    assert found.habits is not None
    return found.kind, round(found.confidence, 9), found.habits.sort, found.habits.bursts


@pytest.mark.parametrize("kind", KNOWN)
def test_what_was_made_of_a_kind_is_found_to_be_it(kind: Kind) -> None:
    found = [classify(made(kind, seed)).kind for seed in range(12)]
    assert found.count(kind) >= 11


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, step_s=st.sampled_from([300.0, 900.0, 1800.0]))
def test_noise_that_bursts_all_day_long_is_not_told_by_the_clock(seed: int, step_s: float) -> None:
    values = np.random.default_rng(seed).random(round(14 * 86_400 / step_s))
    found = classify(MetricWindow(MONDAY, step_s, values))
    assert found.kind is not Kind.SCHEDULED, found.because


@settings(max_examples=25, deadline=None)
@given(kind=KINDS, seed=SEEDS, exponent=st.integers(-12, 12))
def test_a_constant_factor_changes_nothing(kind: Kind, seed: int, exponent: int) -> None:
    window = made(kind, seed, days=8)
    # A power of two, so that no rounding comes in between.
    assert classify(moved(window, factor=2.0**exponent)) == classify(window)


@settings(max_examples=25, deadline=None)
@given(kind=KINDS, seed=SEEDS, factor=st.floats(1e-3, 1e6))
def test_nor_does_it_make_another_kind_where_it_rounds(kind: Kind, seed: int, factor: float) -> None:
    window = made(kind, seed, days=8)
    assert classify(moved(window, factor=factor)).kind is classify(window).kind


@settings(max_examples=25, deadline=None)
@given(kind=KINDS, seed=SEEDS, weeks=st.integers(-60, 60))
def test_a_shift_by_weeks_changes_nothing(kind: Kind, seed: int, weeks: int) -> None:
    window = made(kind, seed, days=9)
    assert deciding(classify(moved(window, weeks=weeks))) == deciding(classify(window))


@pytest.mark.parametrize("kind", KNOWN)
def test_gaps_and_finer_bins_do_not_make_another_kind(kind: Kind) -> None:
    window = made(kind, 3)
    assert classify(with_gaps(window)).kind is kind
    assert classify(known_kind(kind, seed=3, days=14, step_s=60.0)).kind is kind


def test_too_little_history_has_no_kind_and_says_so() -> None:
    found = classify(made(Kind.SCHEDULED, 1, days=LEAST_DAYS - 0.1))
    assert (found.kind, found.confidence) == (Kind.UNKNOWN, 0.0)
    assert found.because == ("too little history: 2.9 days are known, 3 are needed",)


def test_mostly_gaps_have_no_kind_although_they_last() -> None:
    window = made(Kind.SCHEDULED, 1)
    values = window.values.copy()
    values[: int(values.size * 0.6)] = np.nan
    found = classify(MetricWindow(window.start, STEP_S, values))
    assert found.kind is Kind.UNKNOWN
    assert "40% of the history is known" in found.because[0]


def test_no_demand_is_no_kind() -> None:
    found = classify(MetricWindow(MONDAY, STEP_S, np.zeros(2000)))
    assert found.kind is Kind.UNKNOWN
    assert found.because == ("no demand was ever seen in it",)


def test_a_second_week_makes_it_surer() -> None:
    short, long = (classify(made(Kind.SCHEDULED, 5, days=days)) for days in (7, 14))
    assert short.kind is long.kind is Kind.SCHEDULED
    assert short.confidence < long.confidence
    assert "7.0 days of history; a second week would tell more" in short.because


def test_jobs_of_a_timetable_are_told_by_the_clock_and_the_same_jobs_at_random_are_not() -> None:
    rng = np.random.default_rng(4)

    def jobs(starts_h: np.ndarray[tuple[int], np.dtype[np.float64]]) -> MetricWindow:
        hours = np.arange(14 * 288) / 12
        values = 2.0 + rng.normal(0, 0.1, hours.size)
        for day, start in enumerate(starts_h):
            values[(hours >= day * 24 + start) & (hours < day * 24 + start + 1.0)] += 50.0
        return MetricWindow(MONDAY, STEP_S, np.maximum(values, 0.0))

    assert classify(jobs(np.full(14, 3.0))).kind is Kind.SCHEDULED
    assert classify(jobs(rng.uniform(0, 22, 14))).kind is Kind.EVENT_DRIVEN


def test_a_weekend_is_a_weekend_whenever_the_history_begins() -> None:
    for first in range(7):
        hours = np.arange(14 * 288) / 12 + first * 24
        busy = (hours // 24 % 7 < 5) & (hours % 24 >= 8) & (hours % 24 < 18)
        values = np.where(busy, 65.0, 5.0)
        found = habits(MetricWindow(MONDAY + timedelta(days=first), STEP_S, values))
        assert found is not None
        assert found.sort == "workday or weekend"
        assert found.clock > 0.9


def test_every_answer_has_its_numbers() -> None:
    for kind in KNOWN:
        found = classify(made(kind, 2))
        assert 0.4 < found.confidence <= 1
        assert found.because
        assert all(any(letter.isdigit() for letter in line) for line in found.because)


def test_days_and_slots_are_those_of_the_clock() -> None:
    quarter = MetricWindow(MONDAY + timedelta(hours=6), 900.0, np.arange(96.0))
    table, first_day = by_clock(quarter)
    assert first_day * 86_400 == MONDAY.timestamp()
    assert table.shape == (2, 48)
    assert np.isnan(table[0, :12]).all()
    assert table[0, 12] == pytest.approx(0.5)  # 06:00 to 06:30 are the first two quarters
    assert np.isnan(table[1, 12:]).all()


def office(
    days: int, zone: str, *, start: datetime, first_hour: int = 0, last_hour: int = 24
) -> MetricWindow:
    """Busy within hours of workdays by the clock of a zone."""
    stamps = start.timestamp() + np.arange(round(days * 86_400 / STEP_S)) * STEP_S
    local = [datetime.fromtimestamp(at, ZoneInfo(zone)) for at in stamps.tolist()]
    busy = [at.weekday() < 5 and first_hour <= at.hour < last_hour for at in local]
    return MetricWindow(start, STEP_S, np.where(busy, 65.0, 5.0))


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/Los_Angeles", "Asia/Kathmandu"])
def test_a_weekend_is_one_by_the_clock_of_its_people(zone: str) -> None:
    window = office(14, zone, start=MONDAY)
    by_theirs, by_utc = habits(window, Calendar(zone)), habits(window)
    assert by_theirs is not None
    assert by_utc is not None
    assert by_theirs.sort == "workday or weekend"
    assert by_theirs.clock > 0.95 > by_utc.clock


@pytest.mark.parametrize("turn", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
def test_an_hour_that_the_clock_skips_or_tells_twice_leaves_days_alike(turn: datetime) -> None:
    berlin = Calendar("Europe/Berlin")
    window = office(14, berlin.zone, start=turn - timedelta(days=7), first_hour=8, last_hour=18)
    table, _ = by_clock(window, berlin)
    assert table.shape == (15, 48)
    workdays = table[[1, 2, 3, 4, 8, 9, 10, 11]]
    np.testing.assert_array_equal(workdays, np.broadcast_to(workdays[0], workdays.shape))
    assert (workdays[0] > 60).nonzero()[0].tolist() == list(range(16, 36))
    found, blind = habits(window, berlin), habits(window)
    assert found is not None
    assert blind is not None
    assert found.clock > 0.95 > blind.clock


@pytest.mark.parametrize("ends", range(0, 7200, 900))
def test_a_history_may_end_within_an_hour_that_is_told_twice(ends: int) -> None:
    start = datetime(2026, 10, 23, 22, tzinfo=UTC)
    bins = round(((datetime(2026, 10, 25, 0, 30, tzinfo=UTC) - start).total_seconds() + ends) / 300)
    table, _ = by_clock(MetricWindow(start, STEP_S, np.ones(bins)), Calendar("Europe/Berlin"))
    assert np.nanmin(table) == np.nanmax(table) == 1.0


def test_bursts_come_again_by_the_clock_that_is_asked() -> None:
    start = datetime(2026, 10, 18, 22, tzinfo=UTC)  # midnight in Berlin, a week before its clock is put back
    stamps = start.timestamp() + np.arange(14 * 288, dtype=np.float64) * STEP_S
    berlin = Calendar("Europe/Berlin")
    second = (stamps + berlin.offsets_s(stamps)) % 86_400
    window = MetricWindow(start, STEP_S, np.where(np.abs(second - 9 * 3600) < 900, 80.0, 4.0))
    found, blind = habits(window, berlin), habits(window)
    assert found is not None
    assert blind is not None
    assert found.repeated == 1.0 > blind.repeated


def test_a_history_without_demand_cannot_be_measured() -> None:
    assert habits(MetricWindow(MONDAY, STEP_S, np.full(10, np.nan))) is None


@pytest.mark.skipif(not TRACES.is_dir(), reason="no folder of real traces: PREDICTSCALE_DATA names none")
@pytest.mark.parametrize("name", REAL)
def test_real_traces_are_of_the_kind_that_their_notes_describe(name: str) -> None:
    assert classify(load_csv(TRACES / f"{name}.csv").last(28 * 86_400.0)).kind is REAL[name]
