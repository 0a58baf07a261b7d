"""Verdicts on quantiles: never from a handful of windows, and never by counting the same surge often."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predictscale.core.calibration import DOUBT, LEAST_WINDOWS, Verdict, independent, judged
from predictscale.core.outcome import SCORED_LEVELS, Outcome, horizons_s


def outcome(*coverage: float, scored: int = 300, lead_s: float = 60) -> Outcome:
    return Outcome(lead_s=lead_s, levels=SCORED_LEVELS, coverage=coverage, pinball=(1.0,) * 4, scored=scored)


HONEST = (0.5, 0.9, 0.95, 0.99)


def test_windows_that_overlap_count_once() -> None:
    assert independent(outcome(*HONEST, scored=300, lead_s=60), step_s=60) == 300
    assert independent(outcome(*HONEST, scored=300, lead_s=300), step_s=60) == 60
    # A window of 90 s is scored by two bins.
    assert independent(outcome(*HONEST, scored=300, lead_s=90), step_s=60) == 150
    assert independent(outcome(*HONEST, scored=300, lead_s=30), step_s=60) == 300


def test_few_windows_give_no_verdict_however_bad_they_look() -> None:
    told = judged(outcome(0, 0, 0, 0, scored=5 * LEAST_WINDOWS - 1, lead_s=300), step_s=60)
    assert told.verdict is Verdict.TOO_FEW
    assert told.because == f"49 windows, worth 9 that do not overlap; at least {LEAST_WINDOWS} are needed"
    assert judged(outcome(0, 0, 0, 0, scored=50, lead_s=300), step_s=60).verdict is Verdict.TOO_NARROW


def test_quantiles_that_hold_as_often_as_they_say_are_honest() -> None:
    assert judged(outcome(*HONEST), step_s=60).verdict is Verdict.HONEST


def test_too_many_misses_are_too_narrow_and_say_how_many_are_promised() -> None:
    told = judged(outcome(0.5, 0.8, 0.9, 0.98), step_s=60)
    assert told.verdict is Verdict.TOO_NARROW
    assert told.because.startswith(
        "20.0% of peaks came above the 0.9 quantile where 10.0% are promised, of 300 windows"
    )


def test_too_few_misses_are_too_wide() -> None:
    told = judged(outcome(0.5, 1.0, 0.95, 0.99), step_s=60)
    assert told.verdict is Verdict.TOO_WIDE
    assert told.because.startswith("0.0% of peaks came above the 0.9 quantile where 10.0% are promised")


def test_the_share_that_is_told_is_that_of_all_windows_however_they_overlap() -> None:
    told = judged(outcome(0.5, 0.8, 0.95, 0.99, scored=1440, lead_s=300), step_s=60)
    assert told.verdict is Verdict.TOO_NARROW
    assert told.because == (
        "20.0% of peaks came above the 0.9 quantile where 10.0% are promised, "
        "of 1440 windows, worth 288 that do not overlap"
    )


def test_of_both_too_narrow_is_told() -> None:
    assert judged(outcome(0.9, 0.99, 0.95, 0.9), step_s=60).verdict is Verdict.TOO_NARROW


def test_the_same_shares_convict_only_where_windows_do_not_overlap() -> None:
    shares = (0.5, 0.84, 0.9, 0.98)
    assert judged(outcome(*shares, lead_s=60), step_s=60).verdict is Verdict.TOO_NARROW
    assert judged(outcome(*shares, lead_s=900), step_s=60).verdict is Verdict.HONEST


@pytest.mark.parametrize("windows", [12, 60, 288, 1440])
def test_honest_quantiles_are_rarely_called_dishonest(windows: int) -> None:
    rng = np.random.default_rng(windows)
    trials = 400
    blamed = 0
    for _ in range(trials):
        peaks = rng.uniform(size=windows)
        shares = [float((peaks <= level).mean()) for level in SCORED_LEVELS]
        blamed += judged(outcome(*shares, scored=windows), step_s=60).verdict is not Verdict.HONEST
    # Exact tails are on the careful side; three standard errors above what is promised.
    assert blamed / trials <= DOUBT + 3 * math.sqrt(DOUBT * (1 - DOUBT) / trials)


@given(
    shares=st.lists(st.floats(0, 1), min_size=4, max_size=4),
    scored=st.integers(0, 1440),
    lead_s=st.floats(1, 7200),
)
def test_any_outcome_has_a_verdict_with_words(shares: list[float], scored: int, lead_s: float) -> None:
    told = judged(outcome(*shares, scored=scored, lead_s=lead_s), step_s=60)
    assert told.because
    assert (told.verdict is Verdict.TOO_FEW) == (
        independent(outcome(*shares, scored=scored, lead_s=lead_s), step_s=60) < LEAST_WINDOWS
    )


@given(lead_s=st.floats(1, 3600), step_s=st.floats(1, 600))
def test_horizons_are_few_ascend_and_hold_the_lead_time(lead_s: float, step_s: float) -> None:
    found = horizons_s(lead_s=lead_s, step_s=step_s)
    assert list(found) == sorted(set(found))
    assert len(found) <= 4
    assert found[0] == step_s
    assert max(lead_s, step_s) in found


def test_five_minutes_are_scored_only_where_nothing_near_is() -> None:
    assert horizons_s(lead_s=240, step_s=60) == (60, 240, 480)
    assert horizons_s(lead_s=90, step_s=60) == (60, 90, 180, 300)
    assert horizons_s(lead_s=900, step_s=60) == (60, 300, 900, 1800)
    assert horizons_s(lead_s=30, step_s=900) == (900, 1800)
