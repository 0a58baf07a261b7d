"""What every forecaster promises of any window there is.

The slow ones are asked less often: a library's fit for each of a hundred made-up windows
would take an hour and test the library.
"""

from datetime import timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from made_series import DAY_S, MONDAY, shop, window
from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import TryNextForecaster
from predictscale.forecasters.base import Fitted
from predictscale.forecasters.registry import FORECASTERS

QUICK = sorted(name for name, forecaster in FORECASTERS.items() if not forecaster.slow)
SLOW = sorted(set(FORECASTERS) - set(QUICK))
_ODD = [HealthCheck.too_slow, HealthCheck.data_too_large]
_OFTEN = settings(max_examples=25, deadline=None, suppress_health_check=_ODD)
_SELDOM = settings(max_examples=3, deadline=None, suppress_health_check=_ODD)
_STEPS = 12

_levels = st.one_of(
    st.floats(0.0, 1e3),
    st.sampled_from([0.0, 1e-12, 1e-3, 7.0, 1e9, 1e12]),
)


@st.composite
def _windows(draw: st.DrawFn, *, steps_s: tuple[float, ...], longest: int) -> MetricWindow:
    """Anything: blocks of constants, noise, days, gaps and stray samples, at any length from nothing on."""
    step_s = draw(st.sampled_from(steps_s))
    parts: list[Floats] = []
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    for _ in range(draw(st.integers(0, 6))):
        length = draw(st.integers(1, longest))
        level = draw(_levels)
        match draw(st.sampled_from(["constant", "noise", "day", "gap", "sparse", "irregular"])):
            case "constant":
                parts.append(np.full(length, level))
            case "noise":
                parts.append(level * rng.lognormal(0.0, 1.0, length))
            case "day":
                waves = 1.1 + np.sin(2 * np.pi * np.arange(length) * step_s / DAY_S)
                parts.append(level * waves * rng.lognormal(0.0, 0.1, length))
            case "gap":
                parts.append(np.full(length, np.nan))
            case "irregular":
                stamps_s = MONDAY.timestamp() + rng.uniform(0.0, length * step_s, max(1, length // 3))
                end = MONDAY + timedelta(seconds=length * step_s)
                samples = level * rng.lognormal(0.0, 0.3, stamps_s.size)
                laid, _ = MetricWindow.from_samples(stamps_s, samples, start=MONDAY, end=end, step_s=step_s)
                parts.append(laid.values)
            case _:
                parts.append(np.where(rng.random(length) < 0.05, level, 0.0))
    return window(np.concatenate([np.empty(0), *parts]), step_s=step_s)


_any = _windows(steps_s=(15.0, 60.0, 300.0, 3600.0), longest=400)
# The libraries want days, and bins that are few enough to be asked often.
_days = _windows(steps_s=(900.0, 3600.0), longest=300)

_CALM = shop(days=6, step_s=900.0, seed=4)
_EDGES = _CALM.values.copy()
_EDGES[:30] = _EDGES[-3:] = np.nan


def _sound(forecast: Forecast, recent: MetricWindow) -> None:
    assert forecast.origin == recent.end
    assert forecast.values.shape == (len(forecast.levels), _STEPS)
    tables = [forecast.values]
    if forecast.peaks is not None:
        tables.append(forecast.peaks)
        assert (np.diff(forecast.peaks, axis=1) >= 0).all()
        assert (forecast.peaks >= forecast.values).all()
    for table in tables:
        assert np.isfinite(table).all()
        assert (table >= 0).all()
        assert (np.diff(table, axis=0) >= 0).all()


@cache
def _usual(seed: int) -> MetricWindow:
    """Eight ordinary days, which several properties vary."""
    return shop(days=8, step_s=900.0, seed=seed)


@cache
def _of_the_usual(name: str, seed: int) -> Forecast:
    return _said(name, _usual(seed))


@cache
def _fitted(name: str, *, days: float) -> Fitted:
    """On the beginning of ordinary days that do not end there."""
    return FORECASTERS[name].fit(_going_on().between(MONDAY, MONDAY + timedelta(days=days)))


@cache
def _going_on() -> MetricWindow:
    return shop(days=9, step_s=900.0, seed=7)


def _said(name: str, series: MetricWindow) -> Forecast:
    return FORECASTERS[name].fit(series).predict(series, steps=_STEPS)


def _alike(one: Forecast, other: Forecast, *, times: float = 1.0, rtol: float) -> None:
    assert one.peaks is not None
    assert other.peaks is not None
    np.testing.assert_allclose(other.values, one.values * times, rtol=rtol)
    np.testing.assert_allclose(other.peaks, one.peaks * times, rtol=rtol)


def _sound_or_refused(name: str, series: MetricWindow) -> None:
    try:
        forecast = _said(name, series)
    except TryNextForecaster:
        return
    _sound(forecast, series)


@pytest.mark.parametrize("name", QUICK)
@given(series=_any)
@_OFTEN
def test_any_window_gives_a_sound_forecast_or_an_error_that_the_chain_knows(
    name: str, series: MetricWindow
) -> None:
    _sound_or_refused(name, series)


@pytest.mark.parametrize("name", SLOW)
@given(series=_days)
@example(series=_CALM)
@example(series=window(_EDGES, step_s=900.0))
@example(series=window(np.full(600, 7.0), step_s=900.0))
@example(series=window(np.full(600, np.nan), step_s=900.0))
@example(series=window(_CALM.values * 1e-9, step_s=900.0))
@example(series=window(_CALM.values * 1e9, step_s=900.0))
@example(series=window(np.array([1.0, 2.0]), step_s=900.0))
@example(series=window(np.array([]), step_s=900.0))
@_SELDOM
def test_any_window_of_days_gives_a_sound_forecast_of_a_slow_model_or_such_an_error(
    name: str, series: MetricWindow
) -> None:
    _sound_or_refused(name, series)


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_model_does_serve_an_ordinary_window_and_one_unknown_at_its_edges(name: str) -> None:
    for series in (_CALM, window(_EDGES, step_s=900.0)):
        _sound(_said(name, series), series)


@pytest.mark.parametrize("name", sorted(FORECASTERS))
@pytest.mark.parametrize("bins", [0, 1, 2, 7, 8, 11])
def test_a_handful_of_bins_is_enough_or_refused(name: str, bins: int) -> None:
    series = window(np.arange(1.0, bins + 1.0), step_s=300.0)
    try:
        forecast = _said(name, series)
    except TryNextForecaster:
        assert bins < 8 or name not in {"auto", "native", "last-value"}
        return
    _sound(forecast, series)


def _in_other_units(name: str, power: int, seed: int, *, rtol: float) -> None:
    """By powers of two, which lose no bits: what remains is what arithmetic adds."""
    scaled = window(_usual(seed).values * 2.0**power, step_s=900.0)
    _alike(_of_the_usual(name, seed), _said(name, scaled), times=2.0**power, rtol=rtol)


@pytest.mark.parametrize("name", QUICK)
@given(power=st.integers(-20, 30), seed=st.integers(0, 5))
@_OFTEN
def test_other_units_give_the_same_forecast_in_other_units(name: str, power: int, seed: int) -> None:
    _in_other_units(name, power, seed, rtol=1e-6)


@pytest.mark.parametrize("name", SLOW)
@given(power=st.integers(-8, 15), seed=st.integers(0, 5))
@_SELDOM
def test_other_units_give_the_same_forecast_of_a_slow_model_in_other_units(
    name: str, power: int, seed: int
) -> None:
    """By powers of four, whose roots lose no bits either: an optimiser finds the same way."""
    _in_other_units(name, 2 * power, seed, rtol=1e-6)


def _weeks_later(name: str, weeks: int, seed: int) -> None:
    later = window(_usual(seed).values, step_s=900.0, start=MONDAY + timedelta(weeks=weeks))
    _alike(_of_the_usual(name, seed), _said(name, later), rtol=1e-9)


@pytest.mark.parametrize("name", QUICK)
@given(weeks=st.integers(-100, 100), seed=st.integers(0, 5))
@_OFTEN
def test_the_same_history_some_weeks_later_gives_the_same_forecast(name: str, weeks: int, seed: int) -> None:
    _weeks_later(name, weeks, seed)


@pytest.mark.parametrize("name", SLOW)
@given(weeks=st.integers(-100, 100), seed=st.integers(0, 5))
@_SELDOM
def test_the_same_history_some_weeks_later_gives_the_same_forecast_of_a_slow_model(
    name: str, weeks: int, seed: int
) -> None:
    _weeks_later(name, weeks, seed)


def _poisoned(name: str, poison: float, hours: int) -> None:
    whole, days = _going_on(), 8
    cut, origin = MONDAY + timedelta(days=days), MONDAY + timedelta(days=days, hours=hours)
    values = whole.values.copy()
    values[round((days * DAY_S + hours * 3600) / 900.0) :] = poison
    poisoned = window(values, step_s=900.0)
    fitted = FORECASTERS[name].fit(poisoned.between(MONDAY, cut))
    said = [
        fit.predict(seen.between(MONDAY, origin), steps=_STEPS).values
        for fit, seen in ((_fitted(name, days=days), whole), (fitted, poisoned))
    ]
    np.testing.assert_array_equal(said[0], said[1])


@pytest.mark.parametrize("name", QUICK)
@given(poison=st.sampled_from([0.0, 1e12, np.nan]), hours=st.integers(0, 12))
@_OFTEN
def test_what_comes_after_the_origin_changes_nothing(name: str, poison: float, hours: int) -> None:
    _poisoned(name, poison, hours)


@pytest.mark.parametrize("name", SLOW)
@given(poison=st.sampled_from([0.0, 1e12, np.nan]), hours=st.integers(0, 2))
@_SELDOM
def test_what_comes_after_the_origin_changes_nothing_for_a_slow_model(
    name: str, poison: float, hours: int
) -> None:
    """Within the three hours that a library's curve reaches beyond its hourly refits."""
    _poisoned(name, poison, hours)
