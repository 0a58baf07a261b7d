"""Promises of the forecaster `boosted`, beside those that every forecaster makes."""

import sys
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_series import DAY_S, MONDAY, at, shop, window, with_gaps
from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import FitFailed, NotEnoughHistory, TryNextForecaster
from predictscale.forecasters.base import LEVELS, Explained
from predictscale.forecasters.boosted import Ask, Boosted, BoostedFitted, predict_together
from predictscale.forecasters.boosted.duel import MOST
from predictscale.forecasters.boosted.fitted import _past
from predictscale.forecasters.boosted.fitted import _tables as _tables_of
from predictscale.forecasters.chain import fit_chain
from predictscale.forecasters.codec import decode, encode
from predictscale.forecasters.native import Native, mixture
from predictscale.forecasters.scoring import weighted_quantile_loss

_LEVELS = (0.5, 0.9, 0.95, 0.99)
_STEPS = 12


def pulses(*, days: float, seed: int = 4, step_s: float = 300.0) -> MetricWindow:
    """A job that runs for half an hour and rests for three quarters, on noise; no day repeats another."""
    draw = np.random.default_rng(seed)
    stamps = np.arange(round(days * DAY_S / step_s)) * step_s
    return window(
        np.where(stamps % 4500.0 < 1800.0, 120.0, 20.0) * draw.lognormal(0.0, 0.1, stamps.size), step_s=step_s
    )


@pytest.fixture(scope="module")
def history() -> MetricWindow:
    return with_gaps(shop(days=10))


@pytest.fixture(scope="module")
def fitted(history: MetricWindow) -> BoostedFitted:
    return Boosted().fit(history.between(MONDAY, at(9)))


def _tables(forecast: Forecast) -> tuple[Floats, Floats]:
    assert forecast.peaks is not None
    return forecast.values, forecast.peaks


def _trusting(fitted: BoostedFitted, share: float) -> BoostedFitted:
    """The same fit with another share for the trees."""
    heads = tuple(replace(head, share=np.full_like(head.share, share), alike=1.0) for head in fitted.heads)
    return replace(fitted, heads=heads)


def test_values_are_the_engines_where_the_trees_do_not_say_less_and_peaks_never_lie_below_them(
    history: MetricWindow, fitted: BoostedFitted
) -> None:
    for hours in (0.0, 3.0, 11.5):
        recent = history.between(MONDAY, at(9 + hours / 24))
        values, peaks = _tables(fitted.predict(recent, steps=36))
        engine = fitted.engine.predict(recent, steps=36)
        middle = LEVELS.index(0.5) + 1
        np.testing.assert_allclose(values[:middle], engine.values[:middle], rtol=1e-12)
        assert (values <= engine.values * (1 + 1e-12)).all()
        assert engine.peaks is not None
        assert (peaks != engine.peaks).any()
        assert (peaks >= values).all()
        assert (np.diff(peaks, axis=1) >= 0).all()
        assert (np.diff(peaks, axis=0) >= 0).all()


def test_trees_without_a_share_leave_the_engine_as_it_is(
    history: MetricWindow, fitted: BoostedFitted
) -> None:
    mine, theirs = (one.predict(history, steps=_STEPS) for one in (_trusting(fitted, 0.0), fitted.engine))
    np.testing.assert_allclose(_tables(mine)[1], _tables(theirs)[1], rtol=1e-9)


def test_a_bigger_share_moves_the_peak_further_the_same_way(
    history: MetricWindow, fitted: BoostedFitted
) -> None:
    lead = fitted.heads[1].lead
    peaks = [_tables(_trusting(fitted, s).predict(history, steps=lead))[1][:, -1] for s in (0.0, 0.4, 0.8)]
    moved = [np.log1p(each / fitted.offset) - np.log1p(peaks[0] / fitted.offset) for each in peaks[1:]]
    assert np.abs(moved[1]).max() > 1e-3
    np.testing.assert_allclose(moved[1], 2 * moved[0], atol=0.02)


def test_far_beyond_what_trees_learned_the_engine_speaks_alone(
    history: MetricWindow, fitted: BoostedFitted
) -> None:
    trusted = _trusting(fitted, 0.8)
    far = 6 * fitted.heads[-1].lead
    mine, theirs = (_tables(one.predict(history, steps=far))[1][:, -1] for one in (trusted, fitted.engine))
    # Not below what it said of a shorter lead, which is all that may be left.
    assert (mine >= theirs * (1 - 1e-9)).all()
    near = _tables(trusted.predict(history, steps=far // 2))[1][:, -1]
    np.testing.assert_allclose(mine, np.maximum(theirs, near), rtol=0.02)


def test_many_asked_together_hear_what_each_hears_alone(history: MetricWindow, fitted: BoostedFitted) -> None:
    other = Boosted().fit(history.between(MONDAY, at(8)))
    asks = [
        Ask(fit, history.between(MONDAY, at(9 + hours / 24)), steps, _LEVELS)
        for hours in (0.0, 0.5, 1.0, 7.0, 23.0)
        for fit, steps in ((fitted, 6), (other, 13))
    ]
    for ask, answer in zip(asks, predict_together(asks), strict=True):
        assert isinstance(answer, Forecast)
        alone = ask.fitted.predict(ask.recent, steps=ask.steps, levels=ask.levels)
        for mine, theirs in zip(_tables(answer), _tables(alone), strict=True):
            np.testing.assert_array_equal(mine, theirs)


def test_what_cannot_be_answered_is_an_error_among_the_answers(
    history: MetricWindow, fitted: BoostedFitted
) -> None:
    whole = history.between(MONDAY, at(9))
    silent = MetricWindow(whole.start, 300.0, np.append(whole.values, np.full(20, np.nan)))
    answers = predict_together([Ask(fitted, part, _STEPS) for part in (silent, whole)])
    assert isinstance(answers[0], NotEnoughHistory)
    assert isinstance(answers[1], Forecast)
    with pytest.raises(NotEnoughHistory):
        fitted.predict(silent, steps=_STEPS)


@pytest.mark.parametrize("gap", [1, 2, 5, 6, 11])
def test_a_few_silent_minutes_are_bridged(history: MetricWindow, fitted: BoostedFitted, gap: int) -> None:
    whole = history.between(MONDAY, at(9))
    silent = MetricWindow(whole.start, 300.0, np.append(whole.values, np.full(gap, np.nan)))
    forecast = fitted.predict(silent, steps=_STEPS)
    assert forecast.origin == silent.end
    longer = _tables(fitted.predict(whole, steps=_STEPS + gap))[1]
    # The peak of a window that began when demand was last seen.
    assert (_tables(forecast)[1][:, -1] <= longer[:, -1] * 1.3).all()


@pytest.mark.parametrize("poison", [0.0, 1e12, np.nan])
def test_what_comes_after_the_origin_changes_nothing(poison: float) -> None:
    whole = shop(days=9, step_s=900.0, seed=7)
    cut, origin = at(8), at(8) + timedelta(hours=5)
    poisoned = whole.values.copy()
    poisoned[round((8 * DAY_S + 5 * 3600) / 900.0) :] = poison
    said = [
        Boosted().fit(series.between(MONDAY, cut)).predict(series.between(MONDAY, origin), steps=_STEPS)
        for series in (whole, window(poisoned, step_s=900.0))
    ]
    for mine, theirs in zip(_tables(said[0]), _tables(said[1]), strict=True):
        np.testing.assert_array_equal(mine, theirs)


@settings(max_examples=5, deadline=None)
@given(power=st.integers(-20, 30))
def test_other_units_give_the_same_forecast_in_other_units(power: int) -> None:
    series = shop(days=8, step_s=900.0, seed=3)
    scaled = window(series.values * 2.0**power, step_s=900.0)
    plain = Boosted().fit(series).predict(series, steps=_STEPS)
    other = Boosted().fit(scaled).predict(scaled, steps=_STEPS)
    for mine, theirs in zip(_tables(other), _tables(plain), strict=True):
        np.testing.assert_allclose(mine, theirs * 2.0**power, rtol=1e-6)


@settings(max_examples=5, deadline=None)
@given(weeks=st.integers(-100, 100))
def test_the_same_history_some_weeks_later_gives_the_same_forecast(weeks: int) -> None:
    series = shop(days=8, step_s=900.0, seed=3)
    later = window(series.values, step_s=900.0, start=MONDAY + timedelta(weeks=weeks))
    plain, other = (Boosted().fit(one).predict(one, steps=_STEPS) for one in (series, later))
    for mine, theirs in zip(_tables(other), _tables(plain), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-9)


def test_two_fits_of_one_history_are_the_same_bytes(history: MetricWindow) -> None:
    series = history.between(MONDAY, at(5))
    assert encode(Boosted().fit(series)) == encode(Boosted().fit(series))


def test_a_fit_is_small_and_predicts_without_the_library(
    history: MetricWindow, fitted: BoostedFitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = encode(fitted)
    assert len(stored) < 1_000_000
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    again = decode(stored)
    for mine, theirs in zip(
        _tables(again.predict(history, steps=_STEPS)),
        _tables(fitted.predict(history, steps=_STEPS)),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_without_the_library_the_chain_goes_on_and_says_what_to_install(
    history: MetricWindow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(FitFailed, match=r"pip install predictscale\[trees\]"):
        Boosted().fit(history)
    result = fit_chain([Boosted(), Native()], history)
    assert result.fitted.model == "native"
    assert [skipped.name for skipped in result.skipped] == ["boosted"]


def test_three_days_are_the_least() -> None:
    with pytest.raises(NotEnoughHistory):
        Boosted().fit(shop(days=2.9))
    assert Boosted().fit(shop(days=3)).model == "boosted"


@pytest.mark.parametrize("level", [0.0, 7.0, 1e12])
def test_a_constant_stays(level: float) -> None:
    series = window(np.full(4 * 288, level))
    values, peaks = _tables(Boosted().fit(series).predict(series, steps=_STEPS))
    for table in (values, peaks):
        np.testing.assert_allclose(table, level, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_any_window_gives_a_sound_forecast_or_an_error_that_the_chain_knows(seed: int) -> None:
    draw = np.random.default_rng(seed)
    step_s = float(draw.choice([300.0, 900.0, 3600.0]))
    parts = []
    for _ in range(8):
        length, size = int(draw.integers(1, 400)), float(draw.choice([0.0, 1e-12, 7.0, 1e12]))
        noise = size * draw.lognormal(0.0, 1.0, length)
        kinds = (np.full(length, size), noise, np.full(length, np.nan), noise * (draw.random(length) < 0.05))
        parts.append(kinds[int(draw.integers(0, 4))])
    series = window(np.concatenate(parts), step_s=step_s)
    try:
        values, peaks = _tables(Boosted().fit(series).predict(series, steps=_STEPS))
    except TryNextForecaster:
        return
    assert (peaks >= values).all()
    assert np.isfinite(peaks).all()


def _asked_for_a_day(fitted: BoostedFitted, series: MetricWindow, start_day: float) -> tuple[Floats, Floats]:
    """Peaks half an hour ahead at each of a day's bins, (n, q), and what came."""
    first, lead = round(start_day * 288), 6
    windows = [MetricWindow(series.start, 300.0, series.values[:end]) for end in range(first, first + 288, 2)]
    answers = predict_together([Ask(fitted, recent, lead, _LEVELS) for recent in windows])
    said = np.stack([_tables(answer)[1][:, -1] for answer in answers if isinstance(answer, Forecast)])
    came = np.array([series.values[len(w) : len(w) + lead].max() for w in windows])
    return said, came


def test_pulses_that_keep_no_daily_clock_are_foretold_better_than_by_the_engine() -> None:
    series = pulses(days=11)
    fitted = Boosted().fit(series.between(MONDAY, at(10)))
    assert fitted.heads[-1].share.min() > 0.5
    said, came = _asked_for_a_day(fitted, series, 10)
    engine, _ = _asked_for_a_day(_trusting(fitted, 0.0), series, 10)
    mine, theirs = (weighted_quantile_loss(came, each, _LEVELS) for each in (said, engine))
    assert mine < 0.9 * theirs


def test_no_fit_trusts_the_trees_alone(fitted: BoostedFitted) -> None:
    for head in fitted.heads:
        assert (head.share >= 0.0).all()
        assert (head.share <= MOST).all()


def test_errors_that_grew_since_the_fit_widen_what_the_trees_say() -> None:
    calm = shop(days=10)
    stormy = calm.values.copy()
    stormy[9 * 288 :] *= np.random.default_rng(5).lognormal(0.0, 1.0, 288)
    now = MetricWindow(MONDAY, 300.0, stormy)
    fitted = _trusting(Boosted().fit(calm.between(MONDAY, at(9))), MOST)
    unaware = replace(fitted, engine=replace(fitted.engine, end_s=now.end.timestamp()))
    tables = [_tables_of([Ask(one, now, 6)], one.heads)[..., 0] for one in (fitted, unaware)]
    upper, middle = mixture.TABLE.index(0.95), mixture.MIDDLE
    widths = [table[upper] - table[middle] for table in tables]
    assert (widths[0] > 1.3 * widths[1]).all()
    np.testing.assert_allclose(tables[0][: middle + 1], tables[1][: middle + 1])


def test_a_fit_says_how_far_it_trusts_its_trees(fitted: BoostedFitted) -> None:
    assert isinstance(fitted, Explained)
    trusted = _trusting(fitted, 0.25)
    assert trusted.because == (
        "boosted: share of the trees in the upper quantiles of the peak: "
        "25% at 300 s, 25% at 600 s, 25% at 1800 s"
    )


@pytest.mark.parametrize("since", [-5, 0, 1, 2, 3, 7, 400])
def test_windows_are_followed_on_the_grid_of_the_fit(
    history: MetricWindow, fitted: BoostedFitted, since: int
) -> None:
    end_s = history.end.timestamp() - since * 300.0
    ask = Ask(replace(fitted, engine=replace(fitted.engine, end_s=end_s)), history, 6)
    back = _past(ask).back
    assert back[-1] == 0
    assert (np.diff(back) < 0).all()
    followed = back[:-1]
    assert ((since - followed) % 3 == 0).all()
    assert (followed > 0).all()
    assert (followed <= max(since, 0)).all()
    assert followed.size == min(max(since, 0), 360) // 3


def test_who_errs_differently_is_surer_together(history: MetricWindow, fitted: BoostedFitted) -> None:
    alike, differing = (
        replace(fitted, heads=tuple(replace(h, share=np.full(3, 0.5), alike=much) for h in fitted.heads))
        for much in (1.0, 0.5)
    )
    lead = fitted.heads[-1].lead
    sure, unsure = (_tables(one.predict(history, steps=lead))[1][:, -1] for one in (differing, alike))
    middle = LEVELS.index(0.5)
    assert sure[middle] == pytest.approx(unsure[middle], rel=1e-9)
    assert (sure[middle + 1 :] < unsure[middle + 1 :]).all()


def test_levels_without_the_median_are_those_of_all_levels(
    history: MetricWindow, fitted: BoostedFitted
) -> None:
    some = _tables(fitted.predict(history, steps=_STEPS, levels=(0.9, 0.99)))
    every = _tables(fitted.predict(history, steps=_STEPS, levels=(0.5, 0.9, 0.99)))
    for mine, theirs in zip(some, every, strict=True):
        np.testing.assert_array_equal(mine, theirs[1:])


def test_a_surge_beyond_all_that_was_learned_is_believed(
    history: MetricWindow, fitted: BoostedFitted
) -> None:
    whole = history.between(MONDAY, at(9)).values.copy()
    whole[-6:] = 10 * np.nanmax(whole)
    surge = MetricWindow(MONDAY, 300.0, whole)
    mine, engine = (one.predict(surge, steps=6) for one in (_trusting(fitted, MOST), fitted.engine))
    assert _tables(mine)[1][LEVELS.index(0.9), -1] > 0.7 * _tables(engine)[1][LEVELS.index(0.9), -1]


@pytest.mark.parametrize("gap", [0, 1])
def test_who_asks_less_far_hears_the_same(history: MetricWindow, fitted: BoostedFitted, gap: int) -> None:
    whole = history.between(MONDAY, at(9))
    recent = MetricWindow(whole.start, 300.0, np.append(whole.values, np.full(gap, np.nan)))
    far = _tables(fitted.predict(recent, steps=40))
    for steps in (1, 2, 3, 6, 13):
        for near, whole_table in zip(_tables(fitted.predict(recent, steps=steps)), far, strict=True):
            np.testing.assert_allclose(near, whole_table[:, :steps], rtol=1e-9)


def test_the_parts_of_the_values_add_up_to_their_median(history: MetricWindow, fitted: BoostedFitted) -> None:
    recent = history.between(MONDAY, at(9.25))
    median = fitted.predict(recent, steps=_STEPS).quantile(0.5)
    np.testing.assert_allclose(fitted.components(recent, steps=_STEPS).total, median, rtol=1e-9)
