"""A past instant is asked as the present would be: with nothing of what came after it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_series import DAY_S, HOUR_S, at, office_hours, replaced, shop, window
from predictscale.core.forecast import Forecast
from predictscale.core.series import MetricWindow
from predictscale.errors import FitFailed, ForecastTooShort, NotEnoughHistory
from predictscale.forecasters.base import LEVELS, Fitted, Forecaster
from predictscale.forecasters.evaluate import (
    RollingForecasts,
    actuals,
    reaching,
    rolling,
    score,
    spaced_origins,
)
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay
from predictscale.forecasters.native import Native
from predictscale.forecasters.prophet import ProphetCorrected
from predictscale.forecasters.registry import FORECASTERS
from stub_forecasters import Says, scripted

ASKED = (0.5, 0.9, 0.99)
LEADS_S = (300.0, 600.0, 1800.0)


@dataclass(frozen=True, slots=True)
class _Oracle:
    """Knows the whole series; keeps what it was shown."""

    truth: MetricWindow
    peaks: bool = False
    reach_s: float = np.inf
    fits: list[MetricWindow] = field(default_factory=list)
    asked: list[MetricWindow] = field(default_factory=list)
    name: str = "oracle"
    slow: bool = False

    def needs_s(self, step_s: float) -> float:
        return step_s

    def fit(self, window: MetricWindow) -> Fitted:
        self.fits.append(window)
        return cast("Fitted", _OracleFitted(self, window.end))


@dataclass(frozen=True, slots=True)
class _OracleFitted:
    oracle: _Oracle
    end: datetime
    model: str = "oracle"

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        self.oracle.asked.append(recent)
        need_s = (recent.end - self.end).total_seconds() + steps * recent.step_s
        if need_s > self.oracle.reach_s:
            raise ForecastTooShort(need_s=need_s, have_s=self.oracle.reach_s)
        ahead = self.oracle.truth.between(recent.end, recent.end + timedelta(seconds=steps * recent.step_s))
        values = np.tile(ahead.values, (len(levels), 1))
        peaks = np.maximum.accumulate(values, axis=1) + 1.0 if self.oracle.peaks else None
        return Forecast(recent.end, recent.step_s, tuple(levels), values, self.model, peaks=peaks)


def oracle(truth: MetricWindow, *, peaks: bool = False, reach_s: float = np.inf) -> _Oracle:
    return _Oracle(truth, peaks, reach_s)


def roll(
    forecaster: object,
    trace: MetricWindow,
    origins: Sequence[datetime],
    *,
    leads_s: Sequence[float] = LEADS_S,
    refit_s: float = DAY_S,
    history_s: float = 28 * DAY_S,
) -> RollingForecasts:
    return rolling(
        cast("Forecaster", forecaster),
        trace,
        origins=origins,
        leads_s=leads_s,
        levels=ASKED,
        refit_s=refit_s,
        history_s=history_s,
    )


def test_whoever_knows_the_future_scores_nothing_but_zero() -> None:
    trace = shop(days=4)
    said = roll(oracle(trace), trace, spaced_origins(trace, 50, ahead_s=1800.0))
    for one in score(said, trace, scale=1.0):
        assert (one.wql, one.mase, one.pinball) == (0.0, 0.0, (0.0, 0.0, 0.0))
        assert one.coverage == (1.0, 1.0, 1.0)
        assert one.origins == 50


def test_at_is_the_step_that_ends_at_the_lead_and_peak_the_highest_until_then() -> None:
    trace = window(np.array([1.0, 1.0, 9.0, 4.0, 6.0, 5.0]))
    came = actuals(trace, origins=[at(2 * 300 / DAY_S)], leads_s=[300.0, 600.0, 900.0, 1500.0])
    np.testing.assert_array_equal(came[0, :, 0], [9.0, 4.0, 6.0, np.nan])
    np.testing.assert_array_equal(came[1, :, 0], [9.0, 9.0, 9.0, np.nan])
    said = roll(oracle(trace), trace, [at(2 * 300 / DAY_S)], leads_s=[300.0, 600.0, 900.0])
    np.testing.assert_array_equal(said.values[:, :, 0, 1], came[:, :3, 0])


def test_a_peak_over_a_gap_is_not_known() -> None:
    trace = replaced(window(np.ones(10)), 5, np.nan)
    came = actuals(trace, origins=[at(4 * 300 / DAY_S)], leads_s=[300.0, 600.0, 900.0])
    np.testing.assert_array_equal(came[0, :, 0], [1.0, np.nan, 1.0])
    np.testing.assert_array_equal(came[1, :, 0], [1.0, np.nan, np.nan])


def test_a_model_that_forecasts_peaks_is_asked_for_them() -> None:
    trace = shop(days=2)
    origins = spaced_origins(trace, 5, ahead_s=1800.0)
    plain, own = (roll(oracle(trace, peaks=peaks), trace, origins) for peaks in (False, True))
    np.testing.assert_array_equal(own.values[0], plain.values[0])
    np.testing.assert_allclose(own.values[1], plain.values[1] + 1.0)


@pytest.mark.parametrize(
    ("forecaster", "count"), [(LastValue(), 40), (SeasonalNaiveDay(), 40), (Native(), 9)]
)
def test_poisoning_the_future_changes_nothing_that_was_said_before(
    forecaster: Forecaster, count: int
) -> None:
    trace = shop(days=4, seed=8)
    origins = spaced_origins(trace, count, ahead_s=1800.0)
    last = count // 2
    cut = round((origins[last] - trace.start).total_seconds() / trace.step_s)
    poisoned = trace.values.copy()
    poisoned[cut:] = 1e9
    poisoned[cut + 5 :: 7] = np.nan
    before = roll(forecaster, trace, origins, refit_s=2 * HOUR_S)
    after = roll(forecaster, window(poisoned), origins, refit_s=2 * HOUR_S)
    seen = slice(last + 1)
    np.testing.assert_array_equal(after.values[:, :, seen], before.values[:, :, seen])
    assert not np.array_equal(after.values, before.values, equal_nan=True)


def test_fits_and_questions_see_windows_that_end_at_the_origin() -> None:
    trace = shop(days=5)
    knows = oracle(trace)
    origins = spaced_origins(trace, 60, ahead_s=1800.0)
    said = roll(knows, trace, origins, history_s=2 * DAY_S)
    assert [seen.end for seen in knows.asked] == list(origins)
    assert {seen.duration_s for seen in knows.asked} == {2 * DAY_S}
    assert {fit.end for fit in knows.fits} <= set(origins)
    assert all(not np.shares_memory(seen.values, trace.values) for seen in knows.asked)
    assert len(said.predict_s) == 60


def test_a_fit_serves_until_it_is_old() -> None:
    trace = shop(days=6)
    knows = oracle(trace)
    origins = [at(3) + timedelta(hours=hour) for hour in range(60)]
    said = roll(knows, trace, origins, refit_s=DAY_S)
    assert [fit.end for fit in knows.fits] == [at(3), at(4), at(5)]
    assert len(said.fit_s) == 3


def test_a_fit_that_does_not_reach_is_replaced_early() -> None:
    trace = shop(days=6)
    knows = oracle(trace, reach_s=6 * HOUR_S)
    origins = [at(3) + timedelta(hours=hour) for hour in range(12)]
    said = roll(knows, trace, origins, refit_s=DAY_S)
    assert [fit.end for fit in knows.fits] == [at(3), at(3.25)]
    assert said.failures == ()


def test_a_lead_that_no_fit_reaches_is_a_failure_at_each_origin_and_not_an_endless_refit() -> None:
    trace = shop(days=6)
    knows = oracle(trace, reach_s=600.0)
    origins = [at(3) + timedelta(hours=hour) for hour in range(4)]
    said = roll(knows, trace, origins)
    assert len(said.failures) == 4
    assert len(knows.fits) == 4


def test_where_a_model_fails_the_last_value_stands_in_and_the_failure_is_counted() -> None:
    trace = shop(days=3)
    origins = spaced_origins(trace, 10, ahead_s=1800.0)
    persistence = roll(LastValue(), trace, origins)
    for outcome in (FitFailed("no"), ValueError("bug"), Says("broken", error=FitFailed("no"))):
        said = roll(scripted("broken", outcome), trace, origins)
        assert [failure.origin for failure in said.failures] == list(origins)
        assert "no" in said.failures[0].reason or "bug" in said.failures[0].reason
        assert set(said.authors) == {"last-value"}
        np.testing.assert_array_equal(said.values, persistence.values)


def test_a_fit_that_fails_leaves_the_older_one_in_place() -> None:
    trace = shop(days=6)
    outcomes: Iterator[Fitted | Exception] = iter(
        [Says("moody", value=7.0), FitFailed("not today"), Says("moody", value=8.0)]
    )

    class Moody:
        name = "moody"
        slow = False

        def needs_s(self, step_s: float) -> float:
            return step_s

        def fit(self, window: MetricWindow) -> Fitted:
            del window
            outcome = next(outcomes)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

    said = roll(Moody(), trace, [at(2), at(3), at(4)])
    np.testing.assert_array_equal(said.values[0, 0, :, 0], [7.0, 7.0, 8.0])
    assert said.failures == ()


def test_where_nobody_can_answer_nothing_is_made_up() -> None:
    values = np.full(600, np.nan)
    values[-300:] = 5.0
    trace = window(values)
    said = roll(LastValue(), trace, [at(0.5), at(2.0)])
    assert np.isnan(said.values[:, :, 0]).all()
    assert said.authors == ("", "last-value")
    assert [failure.origin for failure in said.failures] == [at(0.5)]
    assert "of history" in said.failures[0].reason
    (first, *_) = score(said, trace, scale=1.0)
    assert first.origins == 1


def test_an_origin_inside_a_bin_sees_only_what_is_over() -> None:
    trace = window(np.arange(1.0, 11.0))
    knows = oracle(trace)
    inside = at(0) + timedelta(seconds=4 * 300 + 120)
    said = roll(knows, trace, [inside], leads_s=[60.0, 300.0])
    assert knows.asked[0].end == at(0) + timedelta(seconds=4 * 300)
    np.testing.assert_array_equal(said.values[0, :, 0, 0], [5.0, 6.0])
    np.testing.assert_array_equal(
        actuals(trace, origins=[inside], leads_s=[60.0, 300.0])[0, :, 0], [5.0, 6.0]
    )


def test_the_same_trace_gives_the_same_forecasts() -> None:
    trace = shop(days=4)
    origins = spaced_origins(trace, 20, ahead_s=1800.0)
    first, again = (roll(SeasonalNaiveDay(), trace, origins) for _ in range(2))
    np.testing.assert_array_equal(first.values, again.values)


def test_the_median_needed_for_mase_may_be_missing() -> None:
    trace = shop(days=3)
    said = rolling(LastValue(), trace, origins=[at(2)], leads_s=[300.0], levels=[0.9])
    assert np.isnan(score(said, trace, scale=1.0)[0].mase)


@pytest.mark.parametrize(
    ("origins", "leads_s", "says"),
    [
        ([], LEADS_S, "at least one, and ascend"),
        ([at(1), at(1)], LEADS_S, "2 of them"),
        ([at(0)], LEADS_S, "2026-03-02T00:00:00"),
        ([at(1), at(4)], LEADS_S, "2026-03-06T00:00:00"),
        ([at(1)], [], "one or more"),
        ([at(1)], [0.0], "above 0"),
    ],
)
def test_origins_and_leads_have_to_make_sense(
    origins: list[datetime], leads_s: Sequence[float], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        roll(LastValue(), shop(days=3), origins, leads_s=leads_s)


@given(st.integers(1, 150), st.sampled_from([300.0, 600.0, 1800.0]))
def test_origins_lie_on_the_grid_in_the_scored_part_and_leave_room_for_the_lead(
    count: int, ahead_s: float
) -> None:
    trace = office_hours(days=3)
    origins = spaced_origins(trace, count, ahead_s=ahead_s)
    assert len(set(origins)) == count
    assert list(origins) == sorted(origins)
    for origin in origins:
        assert (origin - trace.start).total_seconds() % trace.step_s == 0
    assert origins[0] >= at(0.6 * 3)
    assert origins[-1] + timedelta(seconds=ahead_s) <= trace.end
    assert not np.isnan(actuals(trace, origins=origins, leads_s=[ahead_s])).any()


def test_more_origins_than_there_are_bins_is_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"500 origins; .* room for 1 to 340"):
        spaced_origins(office_hours(days=3), 500, ahead_s=1800.0)


def test_a_curve_can_be_asked_to_reach_further_and_others_stay_as_they_are() -> None:
    longer = reaching(ProphetCorrected(), 2 * DAY_S)
    assert isinstance(longer, ProphetCorrected)
    assert longer.reach_s == 2 * DAY_S
    assert reaching(longer, DAY_S) is longer
    naive = LastValue()
    assert reaching(naive, 2 * DAY_S) is naive


def test_auto_says_who_of_its_chain_answered() -> None:
    trace = shop(days=4)
    said = roll(FORECASTERS["auto"], trace, spaced_origins(trace, 3, ahead_s=1800.0))
    assert said.model == "auto"
    assert set(said.authors) <= {"native", "boosted", "holt-winters", "seasonal-naive-day", "last-value"}
    assert said.failures == ()


def test_not_enough_history_for_anybody_in_the_chain_is_said() -> None:
    short = shop(days=1).last(4 * 300.0)
    with pytest.raises(NotEnoughHistory):
        FORECASTERS["auto"].fit(short)
