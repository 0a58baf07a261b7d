"""What every quick forecaster promises of any window there is.

The slow ones are left to `test_forecasters`: a library's fit for each of a hundred
made-up windows would take an hour and test the library.
"""

from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from made_series import DAY_S, MONDAY, shop, window
from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import TryNextForecaster
from predictscale.forecasters.registry import FORECASTERS

QUICK = sorted(name for name, forecaster in FORECASTERS.items() if not forecaster.slow)
_FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
_STEPS = 12

_levels = st.one_of(
    st.floats(0.0, 1e3),
    st.sampled_from([0.0, 1e-12, 1e-3, 7.0, 1e9, 1e12]),
)


@st.composite
def _windows(draw: st.DrawFn) -> MetricWindow:
    """Anything: blocks of constants, noise and gaps, at any length from nothing to nine days."""
    step_s = draw(st.sampled_from([15.0, 60.0, 300.0, 3600.0]))
    parts: list[Floats] = []
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    for _ in range(draw(st.integers(0, 6))):
        length = draw(st.integers(1, 400))
        level = draw(_levels)
        match draw(st.sampled_from(["constant", "noise", "gap", "sparse"])):
            case "constant":
                parts.append(np.full(length, level))
            case "noise":
                parts.append(level * rng.lognormal(0.0, 1.0, length))
            case "gap":
                parts.append(np.full(length, np.nan))
            case _:
                parts.append(np.where(rng.random(length) < 0.05, level, 0.0))
    return window(np.concatenate([np.empty(0), *parts]), step_s=step_s)


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


@pytest.mark.parametrize("name", QUICK)
@given(series=_windows())
@_FEW
def test_any_window_gives_a_sound_forecast_or_an_error_that_the_chain_knows(
    name: str, series: MetricWindow
) -> None:
    try:
        forecast = FORECASTERS[name].fit(series).predict(series, steps=_STEPS)
    except TryNextForecaster:
        return
    _sound(forecast, series)


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("bins", [0, 1, 2, 7, 8, 11])
def test_a_handful_of_bins_is_enough_or_refused(name: str, bins: int) -> None:
    series = window(np.arange(1.0, bins + 1.0), step_s=300.0)
    try:
        forecast = FORECASTERS[name].fit(series).predict(series, steps=_STEPS)
    except TryNextForecaster:
        assert bins < 8 or name not in {"native", "last-value"}
        return
    _sound(forecast, series)


@pytest.mark.parametrize("name", QUICK)
@given(power=st.integers(-20, 30), seed=st.integers(0, 5))
@_FEW
def test_other_units_give_the_same_forecast_in_other_units(name: str, power: int, seed: int) -> None:
    """By powers of two, which lose no bits: what remains is what arithmetic adds."""
    series = shop(days=8, step_s=900.0, seed=seed)
    scaled = window(series.values * 2.0**power, step_s=900.0)
    plain = FORECASTERS[name].fit(series).predict(series, steps=_STEPS)
    other = FORECASTERS[name].fit(scaled).predict(scaled, steps=_STEPS)
    np.testing.assert_allclose(other.values, plain.values * 2.0**power, rtol=1e-6)
    assert plain.peaks is not None
    assert other.peaks is not None
    np.testing.assert_allclose(other.peaks, plain.peaks * 2.0**power, rtol=1e-6)


@pytest.mark.parametrize("name", QUICK)
@given(weeks=st.integers(-100, 100), seed=st.integers(0, 5))
@_FEW
def test_the_same_history_some_weeks_later_gives_the_same_forecast(name: str, weeks: int, seed: int) -> None:
    series = shop(days=8, step_s=900.0, seed=seed)
    later = window(series.values, step_s=900.0, start=MONDAY + timedelta(weeks=weeks))
    plain = FORECASTERS[name].fit(series).predict(series, steps=_STEPS)
    other = FORECASTERS[name].fit(later).predict(later, steps=_STEPS)
    np.testing.assert_allclose(other.values, plain.values, rtol=1e-9)


@pytest.mark.parametrize("name", QUICK)
@given(poison=st.sampled_from([0.0, 1e12, np.nan]), hours=st.integers(0, 12))
@_FEW
def test_what_comes_after_the_origin_changes_nothing(name: str, poison: float, hours: int) -> None:
    whole = shop(days=9, step_s=900.0, seed=7)
    cut, origin = MONDAY + timedelta(days=8), MONDAY + timedelta(days=8, hours=hours)
    poisoned = whole.values.copy()
    poisoned[round((8 * DAY_S + hours * 3600) / 900.0) :] = poison
    said = [
        FORECASTERS[name].fit(w.between(MONDAY, cut)).predict(w.between(MONDAY, origin), steps=_STEPS).values
        for w in (whole, window(poisoned, step_s=900.0))
    ]
    np.testing.assert_array_equal(said[0], said[1])
