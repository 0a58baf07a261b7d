"""The engine of our own: what it foresees, what it forgets, and how soon it can be trusted again."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest

from made_series import DAY_S, HOUR_S, MONDAY, at, office_hours, shop, window, with_gaps
from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.forecasters.base import LEVELS
from predictscale.forecasters.codec import decode, encode
from predictscale.forecasters.naive import LastValue
from predictscale.forecasters.native import Ask, Native, mixture, predict_together

_LEVELS = (0.5, 0.9, 0.95, 0.99)


def _peaks(
    series: MetricWindow, *, first: int, stop: int, leads: Sequence[int]
) -> list[tuple[Floats, Floats]]:
    """For each lead: the peaks that came, (n,), and what was said of them, (n, q), refitted hourly."""
    hour, values = round(HOUR_S / series.step_s), series.values
    told: list[Forecast] = []
    for start in range(first, stop, hour):
        seen = [MetricWindow(series.start, series.step_s, values[: start + past]) for past in range(hour)]
        fitted = Native().fit(seen[0])
        answers = predict_together([Ask(fitted, each, max(leads), _LEVELS) for each in seen])
        told += [answer for answer in answers if isinstance(answer, Forecast)]
    assert len(told) == stop - first
    return [
        (
            np.array([values[origin : origin + lead].max() for origin in range(first, stop)]),
            np.array([forecast.peaks[:, lead - 1] for forecast in told if forecast.peaks is not None]),
        )
        for lead in leads
    ]


def test_ten_minutes_of_history_are_enough_for_a_level_and_a_spread() -> None:
    young = window(50.0 + np.random.default_rng(1).normal(0, 5, 10), step_s=60.0)
    forecast = Native().fit(young).predict(young, steps=10)
    middle = forecast.quantile(0.5)
    assert (np.abs(middle - 50.0) < 10.0).all()
    assert (forecast.quantile(0.95) > middle + 1.0).all()
    assert (forecast.quantile(0.95) < 100.0).all()


def test_a_peak_over_a_window_is_more_than_the_value_at_its_end() -> None:
    noise = window(np.random.default_rng(3).poisson(20.0, 2000).astype(float), step_s=60.0)
    forecast = Native().fit(noise).predict(noise, steps=30)
    assert forecast.peaks is not None
    assert forecast.peaks[forecast.levels.index(0.5), 29] > forecast.quantile(0.9)[29]


def test_on_a_season_it_beats_the_last_value_on_values_never_seen() -> None:
    series, steps = shop(days=17, seed=6), 6
    native: list[float] = []
    last: list[float] = []
    for quarter in range(8):
        cut = at(15 + quarter / 4)
        fits = [model.fit(series.between(MONDAY, cut)) for model in (Native(), LastValue())]
        for minutes in range(0, 330, 30):
            origin = cut + timedelta(minutes=minutes)
            came = series.between(origin, origin + timedelta(minutes=30)).values[-1]
            for losses, fitted in zip((native, last), fits, strict=True):
                said = fitted.predict(series.between(MONDAY, origin), steps=steps).quantile(0.9)[-1]
                losses.append(max(0.9 * (came - said), 0.1 * (said - came)))
    assert np.mean(native) < 0.9 * np.mean(last)


def test_where_nothing_can_be_learned_it_is_no_worse_than_the_last_value() -> None:
    walk = np.exp(np.cumsum(np.random.default_rng(8).normal(0, 0.03, 3000)))
    series = window(100.0 * walk)
    native: list[float] = []
    last: list[float] = []
    for cut in range(2000, 2900, 100):
        past = MetricWindow(series.start, 300.0, series.values[:cut])
        for losses, model in ((native, Native()), (last, LastValue())):
            table = model.fit(past).predict(past, steps=6, levels=_LEVELS).values
            off = series.values[cut : cut + 6] - table
            levels = np.array(_LEVELS)[:, None]
            losses.append(np.maximum(levels * off, (levels - 1) * off).mean())
    assert np.mean(native) < 1.1 * np.mean(last)


@pytest.mark.parametrize(("factor", "most"), [(4.0, 1.3), (0.25, 1.6)])
def test_an_hour_after_demand_became_four_times_another_the_peak_is_covered_again(
    factor: float, most: float
) -> None:
    """From the second hour to the fourth, at night and in the afternoon; and not by hoping for the old level.

    Counts of a quarter are twice as noisy for their size, so more than they came to has to be said.
    """
    runs = []
    for seed, hour in ((0, 2), (1, 2), (2, 2), (3, 15), (4, 15), (5, 15)):
        shifted = shop(days=11, seed=seed).values.copy()
        shift = round((10 * DAY_S + hour * HOUR_S) / 300.0)
        shifted[shift:] *= factor
        runs.append(_peaks(window(shifted), first=shift + 12, stop=shift + 48, leads=(2, 6)))
    for lead in zip(*runs, strict=True):
        came, said = (np.concatenate(each) for each in zip(*lead, strict=True))
        covered = (came[:, None] <= said).mean(axis=0)
        assert (covered[1:] >= np.array([0.9, 0.95, 0.99]) - 0.04).all()
        assert np.median(said[:, _LEVELS.index(0.95)] / came) < most


@pytest.mark.parametrize(
    ("what", "bins", "value", "allowed"),
    [
        ("one sample of 1e12", 1, 1e12, 1.35),
        ("an incident of ten times", 30, 10.0, 1.35),
        ("an outage that reads zero", 180, 0.0, 1.25),
        ("an outage that reads nothing", 180, np.nan, 1.25),
    ],
)
def test_what_happened_once_yesterday_is_not_expected_today(
    what: str, bins: int, value: float, allowed: float
) -> None:
    calm = shop(days=14, step_s=60.0, seed=4)
    odd = calm.values.copy()
    first = odd.size - round(DAY_S / 60.0)
    odd[first : first + bins] = odd[first : first + bins] * value if value == 10.0 else value
    plain, after = (
        Native().fit(series).predict(series, steps=30, levels=_LEVELS[:3]).peaks
        for series in (calm, window(odd, step_s=60.0))
    )
    assert plain is not None
    assert after is not None
    ratio = after[:, 9::10] / plain[:, 9::10]
    assert (ratio < allowed).all(), what
    assert (ratio > 1 / allowed).all(), what


def test_a_surge_beyond_all_that_was_seen_is_followed_between_fits() -> None:
    calm = shop(days=8, seed=5)
    fitted = Native().fit(calm)
    surge = window(np.append(calm.values, np.full(6, 4000.0)))
    assert fitted.predict(surge, steps=1).quantile(0.5)[0] == pytest.approx(4000.0, rel=0.1)


def test_errors_since_the_fit_widen_the_forecast_without_another_fit() -> None:
    calm = office_hours(days=10)
    noise = np.random.default_rng(2).lognormal(0.0, 0.05, calm.values.size)
    quiet = window(calm.values * noise)
    cut = at(9) + timedelta(hours=12)
    fitted = Native().fit(quiet.between(MONDAY, cut))
    wild = quiet.values.copy()
    wild[len(quiet.between(MONDAY, cut)) :] *= np.random.default_rng(3).lognormal(
        0.0, 0.5, wild.size - len(quiet.between(MONDAY, cut))
    )
    later = cut + timedelta(hours=3)
    widths = []
    for values in (quiet.values, wild):
        forecast = fitted.predict(window(values).between(MONDAY, later), steps=2)
        widths.append(forecast.quantile(0.95)[-1] / forecast.quantile(0.5)[-1])
    assert widths[1] > 1.2 * widths[0]


def test_a_forecast_leaves_no_trace_in_the_fit() -> None:
    series = with_gaps(shop(days=9, step_s=60.0, seed=2))
    fitted = Native().fit(series.between(MONDAY, at(8.9)))
    before = encode(fitted)
    first = fitted.predict(series, steps=30)
    fitted.predict(series.between(MONDAY, at(8.95)), steps=60)
    again = fitted.predict(series, steps=30)
    np.testing.assert_array_equal(first.values, again.values)
    assert encode(fitted) == before


def test_a_fit_is_small_and_comes_back_from_bytes() -> None:
    series = shop(days=14, step_s=60.0, seed=2)
    fitted = Native().fit(series)
    data = encode(fitted)
    assert len(data) < 200_000
    back = decode(data)
    np.testing.assert_array_equal(
        back.predict(series, steps=9).values, fitted.predict(series, steps=9).values
    )


def test_beyond_two_hours_it_only_grows_less_sure() -> None:
    series = shop(days=9, seed=3)
    forecast = Native().fit(series).predict(series, steps=72)
    width = forecast.quantile(0.9) - forecast.quantile(0.1)
    assert (np.diff(width[24:]) >= -1e-9).all()
    assert np.ptp(forecast.quantile(0.5)[24:]) == pytest.approx(0.0, abs=1e-9)


def test_demand_never_goes_far_beyond_what_was_confirmed() -> None:
    growing = window(np.exp(np.linspace(0.0, 8.0, 600)), step_s=60.0)
    forecast = Native().fit(growing).predict(growing, steps=120)
    assert forecast.values.max() <= 3.0 * growing.values.max()


@pytest.mark.parametrize("steps", [1, 2, 5, 17, 40])
def test_a_shorter_forecast_is_the_beginning_of_a_longer_one(steps: int) -> None:
    series = shop(days=9, step_s=60.0, seed=3)
    fitted = Native().fit(series.between(MONDAY, at(8.95)))
    short, long = (fitted.predict(series, steps=reach) for reach in (steps, 130))
    assert short.peaks is not None
    assert long.peaks is not None
    # Farther heads look back farther, so their followed origins begin a little earlier.
    np.testing.assert_allclose(short.values, long.values[:, :steps], rtol=1e-6)
    np.testing.assert_allclose(short.peaks, long.peaks[:, :steps], rtol=1e-6)


def test_peaks_are_not_raised_to_values_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without agreement a peak is lifted to each value above it, and no value comes down."""
    rng = np.random.default_rng(8)
    spikes = 100.0 + 400.0 * (rng.random(9 * 1440) < 0.02) + rng.normal(0, 2, 9 * 1440)
    series = window(spikes, step_s=60.0)
    tables: list[tuple[Floats, Floats]] = []
    for agreed in (mixture.agreed, lambda table: table):
        monkeypatch.setattr(mixture, "agreed", agreed)
        fitted = Native().fit(series.between(MONDAY, at(8)))
        told = [fitted.predict(series.between(MONDAY, at(8 + hour / 24)), steps=30) for hour in range(12)]
        peaks_told = [forecast.peaks for forecast in told if forecast.peaks is not None]
        tables.append((np.stack([forecast.values for forecast in told]), np.stack(peaks_told)))
    (values, peaks), (values_as_said, raised) = tables
    upper = slice(LEVELS.index(0.9), None)
    assert values[:, upper].mean() < 0.98 * values_as_said[:, upper].mean()
    assert peaks[:, upper].mean() < 0.98 * raised[:, upper].mean()
