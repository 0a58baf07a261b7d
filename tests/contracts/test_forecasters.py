"""What every forecaster promises, asked of every forecaster there is."""

import pickle
import tempfile
from datetime import timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from made_series import DAY_S, HOUR_S, MONDAY, at, office_hours, replaced, shop, window, with_gaps
from predictscale.core.forecast import Forecast
from predictscale.core.series import MetricWindow
from predictscale.errors import (
    FitFailed,
    ForecastNotCredible,
    ForecastTooShort,
    NotEnoughHistory,
    TryNextForecaster,
)
from predictscale.forecasters.base import LEVELS, Fitted
from predictscale.forecasters.codec import decode, encode
from predictscale.forecasters.registry import FORECASTERS

ALL = sorted(FORECASTERS)
SLOW = [name for name in ALL if FORECASTERS[name].slow]
"""Asked less often: their fits take seconds."""
SEASONAL = [name for name in ALL if name != "last-value"]
_DAYS = 15.0


@cache
def _fitted(name: str) -> Fitted:
    """The forecaster fitted on the first fifteen days of the shop, once for all tests."""
    return FORECASTERS[name].fit(_whole().between(MONDAY, at(_DAYS)))


@cache
def _whole() -> MetricWindow:
    return shop(days=_DAYS + 3, seed=11)


def _recent(end_days: float, *, hours: float = 3.0) -> MetricWindow:
    return _whole().between(at(end_days) - timedelta(hours=hours), at(end_days))


def _check(forecast: Forecast, recent: MetricWindow, steps: int) -> None:
    """All that a forecast owes its reader, whatever the history was."""
    assert forecast.origin == recent.end
    assert forecast.step_s == recent.step_s
    assert forecast.values.shape == (len(forecast.levels), steps)
    assert np.isfinite(forecast.values).all()
    assert (forecast.values >= 0).all()
    assert (np.diff(forecast.values, axis=0) >= 0).all()


def _speakers(name: str) -> set[str]:
    """Whose name a forecast may bear: a tournament's bears its champion's."""
    return set(ALL) - {name} if name == "auto" else {name}


@pytest.mark.parametrize("name", ALL)
def test_too_little_history_is_refused_with_both_numbers(name: str) -> None:
    forecaster = FORECASTERS[name]
    need_s = forecaster.needs_s(300.0)
    short = shop(days=9).last(need_s - 300.0)
    with pytest.raises(NotEnoughHistory) as refused:
        forecaster.fit(short)
    assert refused.value.need_s == need_s
    assert refused.value.have_s == short.known_s
    assert forecaster.fit(shop(days=9).last(need_s)).model in _speakers(name)


@pytest.mark.parametrize("name", ALL)
def test_gaps_do_not_count_as_history(name: str) -> None:
    need_s = FORECASTERS[name].needs_s(300.0)
    values = shop(days=9).last(need_s).values.copy()
    values[::2] = np.nan
    with pytest.raises(NotEnoughHistory):
        FORECASTERS[name].fit(window(values))


@pytest.mark.parametrize("steps", [1, 12, 60])
@pytest.mark.parametrize("name", ALL)
def test_a_forecast_starts_where_the_recent_window_ends_and_its_quantiles_ascend(
    name: str, steps: int
) -> None:
    recent = _recent(_DAYS)
    forecast = _fitted(name).predict(recent, steps=steps)
    _check(forecast, recent, steps)
    assert forecast.levels == LEVELS
    assert forecast.model in _speakers(name)


@pytest.mark.parametrize("levels", [(0.5,), (0.001, 0.3, 0.9999), (0.9, 0.95)])
@pytest.mark.parametrize("name", ALL)
def test_any_levels_can_be_asked_for(name: str, levels: tuple[float, ...]) -> None:
    recent = _recent(_DAYS)
    forecast = _fitted(name).predict(recent, steps=12, levels=levels)
    _check(forecast, recent, 12)
    whole = _fitted(name).predict(recent, steps=12)
    for level in set(levels) & set(LEVELS):
        assert forecast.quantile(level) == pytest.approx(whole.quantile(level))


@pytest.mark.parametrize("name", ALL)
def test_the_same_history_gives_the_same_forecast(name: str) -> None:
    again = FORECASTERS[name].fit(_whole().between(MONDAY, at(_DAYS)))
    recent = _recent(_DAYS + 0.01)
    first = _fitted(name).predict(recent, steps=24).values
    np.testing.assert_array_equal(again.predict(recent, steps=24).values, first)


@pytest.mark.parametrize("name", ALL)
def test_a_fit_survives_pickle_and_codec_to_the_last_bit(name: str) -> None:
    fitted, recent = _fitted(name), _recent(_DAYS + 0.1)
    said = fitted.predict(recent, steps=24).values
    for copy in (pickle.loads(pickle.dumps(fitted)), decode(encode(fitted))):  # noqa: S301 - our own bytes
        assert copy.model in _speakers(name)
        np.testing.assert_array_equal(copy.predict(recent, steps=24).values, said)


@cache
def _odd_series() -> dict[str, MetricWindow]:
    calm = shop(days=9, seed=5)
    sparse = np.zeros(len(calm))
    sparse[::97] = 0.02
    late = np.full(len(calm), np.nan)
    late[len(calm) // 10 :] = calm.values[len(calm) // 10 :]
    return {
        "gaps": with_gaps(calm),
        "constant": window(np.full(len(calm), 7.0)),
        "zero": window(np.zeros(len(calm))),
        "tiny": window(calm.values * 1e-9),
        "huge": window(calm.values * 1e9),
        "nearly zero": window(sparse),
        "a spike in the middle": replaced(calm, len(calm) // 2, 1e12),
        "a spike at the end": replaced(calm, -1, 1e12),
        "one jump": window(np.where(np.arange(len(calm)) < len(calm) * 0.8, 5.0, 50.0)),
        "on and off": window(np.where(np.arange(len(calm)) % 12 < 6, 0.0, 30.0)),
        "begins with a gap": window(late),
        "every other bin unknown": window(np.where(np.arange(len(calm)) % 2, np.nan, calm.values)),
    }


@cache
def _fitted_on_odd(name: str, case: str) -> Fitted:
    """The forecaster fitted on one of them, which several promises are asked of."""
    return FORECASTERS[name].fit(_odd_series()[case])


@pytest.mark.parametrize("case", _odd_series())
@pytest.mark.parametrize("name", ALL)
def test_an_odd_series_gives_a_sane_forecast_or_the_next_model_a_chance(name: str, case: str) -> None:
    series = _odd_series()[case]
    try:
        forecast = _fitted_on_odd(name, case).predict(series.last(2 * HOUR_S), steps=36)
    except TryNextForecaster:
        assert name != "last-value", "the last resort must not fail where anything is known"
        return
    _check(forecast, series, 36)
    ordinary = np.partition(series.values[series.known], -3)[-3]
    assert forecast.values.max() <= 5 * ordinary + 1e-9


@pytest.mark.parametrize("name", ALL)
def test_a_constant_stays_constant_or_is_left_to_a_simpler_model(name: str) -> None:
    constant = _odd_series()["constant"]
    try:
        fitted = _fitted_on_odd(name, "constant")
    except FitFailed:
        assert FORECASTERS[name].slow
        return
    np.testing.assert_allclose(fitted.predict(constant, steps=36).values, 7.0)


@pytest.mark.parametrize("name", ALL)
def test_a_spike_that_nothing_confirms_changes_little(name: str) -> None:
    calm = shop(days=9, seed=5)
    case = "a spike in the middle"
    said = FORECASTERS[name].fit(calm).predict(calm, steps=12).quantile(0.9)
    despite = _fitted_on_odd(name, case).predict(_odd_series()[case], steps=12).quantile(0.9)
    np.testing.assert_allclose(despite, said, rtol=0.15)


@pytest.mark.parametrize("name", ALL)
def test_a_fit_serves_later_windows_until_its_reach_ends(name: str) -> None:
    fitted = _fitted(name)
    for hours in (0.25, 1.0, 3.0):
        recent = _recent(_DAYS + hours / 24)
        _check(fitted.predict(recent, steps=12), recent, 12)
    much_later = shop(days=_DAYS + 9).last(HOUR_S)
    if name in {"last-value", "native", "boosted", "auto"}:
        # None draws a curve ahead of its window, or has one behind it: there is always a present level.
        _check(fitted.predict(much_later, steps=12), much_later, 12)
    else:
        with pytest.raises(ForecastTooShort) as short:
            fitted.predict(much_later, steps=12)
        assert short.value.need_s == pytest.approx(9 * DAY_S + HOUR_S)
        assert 6 * HOUR_S <= short.value.have_s < short.value.need_s


@pytest.mark.parametrize("name", ALL)
def test_a_fit_refuses_to_forecast_what_it_was_fitted_on(name: str) -> None:
    with pytest.raises(ForecastNotCredible):
        _fitted(name).predict(_recent(_DAYS - 1), steps=12)


@pytest.mark.parametrize("name", ALL)
def test_a_recent_window_with_nothing_in_it_is_refused(name: str) -> None:
    recent = _recent(_DAYS)
    for nothing in (recent.last(0.0), MetricWindow(recent.start, 300.0, np.full(len(recent), np.nan))):
        with pytest.raises(NotEnoughHistory):
            _fitted(name).predict(nothing, steps=12)


@pytest.mark.parametrize("name", ALL)
def test_a_gap_at_the_end_makes_the_forecast_less_sure_and_never_zero(name: str) -> None:
    recent = _recent(_DAYS)
    values = recent.values.copy()
    values[-6:] = np.nan
    gappy = MetricWindow(recent.start, recent.step_s, values)
    sure = _fitted(name).predict(recent.between(recent.start, recent.end - timedelta(minutes=30)), steps=1)
    unsure = _fitted(name).predict(gappy, steps=1)
    assert unsure.origin == recent.end
    width, wider = (f.quantile(0.95)[0] - f.quantile(0.05)[0] for f in (sure, unsure))
    assert wider > width
    assert unsure.quantile(0.5)[0] > 0.3 * sure.quantile(0.5)[0]


@pytest.mark.parametrize("name", ALL)
def test_another_grid_is_a_callers_mistake(name: str) -> None:
    with pytest.raises(ValueError, match="grid"):
        _fitted(name).predict(_recent(_DAYS).resample(600.0), steps=12)


@pytest.mark.parametrize("name", SEASONAL)
def test_a_known_daily_ramp_is_foreseen(name: str) -> None:
    days = office_hours(days=15.5)
    before_the_ramp = at(14) + timedelta(hours=7.75)
    past = days.between(MONDAY, before_the_ramp)
    median = FORECASTERS[name].fit(past).predict(past, steps=18).quantile(0.5)
    came = days.between(before_the_ramp, before_the_ramp + timedelta(hours=1.5)).values
    assert past.values[-1] == 20.0
    assert median[-1] > 80.0
    assert np.abs(median - came).mean() < 0.5 * np.abs(20.0 - came).mean()


@pytest.mark.parametrize("name", SEASONAL)
def test_a_season_lands_on_the_present_level(name: str) -> None:
    """Twice the traffic of all days before: the forecast starts from there, not from yesterday."""
    days = office_hours(days=15.5)
    now = at(14) + timedelta(hours=7)
    past = days.between(MONDAY, now)
    doubled = days.values.copy()
    doubled[len(past) - 12 : len(past)] *= 2
    recent = MetricWindow(days.start, 300.0, doubled).between(MONDAY, now)
    plain = FORECASTERS[name].fit(past)
    assert (
        plain.predict(recent, steps=1).quantile(0.5)[0] > 1.3 * plain.predict(past, steps=1).quantile(0.5)[0]
    )


@pytest.mark.parametrize(
    ("name", "seed"), [(name, seed) for name in ALL for seed in ((42,) if name in SLOW else (23, 42))]
)
def test_nine_of_ten_held_out_values_lie_below_the_ninth_decile(name: str, seed: int) -> None:
    """Two days never fitted on, one of a slow model, refitted every quarter day, half an hour ahead."""
    series, forecaster = shop(days=17, seed=seed), FORECASTERS[name]
    below: list[bool] = []
    quarters = 4 if name in SLOW else 8
    for quarter in range(quarters):
        cut = at(15 + quarter / 4)
        fitted = forecaster.fit(series.between(MONDAY, cut))
        for minutes in range(0, 330, 15):
            origin = cut + timedelta(minutes=minutes)
            upper = fitted.predict(series.between(at(14), origin), steps=6).quantile(0.9)[-1]
            came = series.between(origin, origin + timedelta(minutes=30)).values[-1]
            below.append(bool(came <= upper))
    assert len(below) == quarters * 22
    assert 0.75 <= np.mean(below) <= 0.99


@pytest.mark.parametrize("step_s", [15.0, 60.0, 900.0, 3600.0])
@pytest.mark.parametrize("name", ALL)
def test_any_usual_grid_will_do(name: str, step_s: float) -> None:
    series = shop(days=9, step_s=step_s, seed=3)
    recent = series.last(max(HOUR_S, 4 * step_s))
    _check(FORECASTERS[name].fit(series).predict(recent, steps=5), recent, 5)


@pytest.mark.parametrize("name", ALL)
def test_a_fit_leaves_no_file_behind(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import cmdstanpy

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = set(Path(cmdstanpy._TMPDIR).rglob("*"))
    FORECASTERS[name].fit(shop(days=9))
    assert not list(tmp_path.rglob("*"))
    assert set(Path(cmdstanpy._TMPDIR).rglob("*")) <= before
