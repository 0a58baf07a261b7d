"""Many workloads at once: nobody's forecast depends on who else asks, nor on how much is read."""

from collections.abc import Sequence
from datetime import date, timedelta
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_series import DAY_S, HOUR_S, MONDAY, at, office_hours, shop, window, with_gaps
from predictscale.core.calendar import Calendar
from predictscale.core.forecast import Forecast
from predictscale.core.series import MetricWindow
from predictscale.errors import ForecastNotCredible, NotEnoughHistory, TryNextForecaster
from predictscale.forecasters.native import Ask, Native, NativeFitted, predict_together
from predictscale.forecasters.native.domain import to_logs
from predictscale.forecasters.native.experts import Sight, Views, targets
from predictscale.forecasters.native.gather import Origins, Rhythm, Seen, sight
from predictscale.forecasters.native.panel import Panel

_SPRING = Calendar("Europe/Berlin", (date(2026, 3, 30),))


@cache
def _workloads() -> tuple[tuple[NativeFitted, MetricWindow], ...]:
    """Fits, and what came until some days after them."""
    minutes = shop(days=9, step_s=60.0, seed=3)
    quarter = window(np.random.default_rng(7).poisson(3.0, 3000).astype(float), step_s=15.0)
    series = [
        (minutes, at(8.9)),
        (with_gaps(minutes), at(8.6)),
        (shop(days=16, seed=1), at(14.0)),
        (with_gaps(shop(days=16, seed=2)), at(15.9)),
        (office_hours(days=4), at(1.5)),
        (window(np.zeros(500), step_s=60.0), at(0.2)),
        (quarter, MONDAY + timedelta(hours=10)),
        (shop(days=20, step_s=3600.0, seed=5), at(19)),
        (shop(days=60, step_s=DAY_S, seed=5), at(50)),
    ]
    plain = [(Native().fit(whole.between(MONDAY, cut)), whole) for whole, cut in series]
    # Two that live by the same calendar, around a change of the clock and a holiday on the next day.
    spring = [with_gaps(shop(days=30, seed=seed), seed=seed) for seed in (8, 9)]
    return (*plain, *((Native(_SPRING).fit(whole.between(MONDAY, at(27.5))), whole) for whole in spring))


def _asks() -> st.SearchStrategy[Ask]:
    """One of the workloads, some time after its fit or a little before its end, any part of its history."""

    def ask(which: int, share: float, keep: float, steps: int, levels: tuple[float, ...]) -> Ask:
        fitted, whole = _workloads()[which]
        end = MONDAY + timedelta(seconds=fitted.end_s - MONDAY.timestamp())
        recent = whole.between(MONDAY, end + share * (whole.end - end))
        return Ask(fitted, recent.last(max(fitted.step_s, keep * recent.duration_s)), steps, levels)

    levels = st.sampled_from([(0.5,), (0.5, 0.9, 0.99), (0.003, 0.42)])
    shares = st.one_of(st.floats(0.0, 1.0), st.sampled_from([0.0, -0.01, 1.0]))
    keeps = st.one_of(st.just(1.0), st.floats(0.0, 1.0))
    return st.builds(ask, st.integers(0, 10), shares, keeps, st.integers(1, 150), levels)


def _alone(ask: Ask) -> Forecast | TryNextForecaster:
    try:
        return ask.fitted.predict(ask.recent, steps=ask.steps, levels=ask.levels)
    except TryNextForecaster as error:
        return error


def _same(one: Forecast | TryNextForecaster, other: Forecast | TryNextForecaster) -> bool:
    if isinstance(one, Forecast) and isinstance(other, Forecast):
        assert one.peaks is not None
        assert other.peaks is not None
        same = np.array_equal(one.values, other.values) and np.array_equal(one.peaks, other.peaks)
        return same and one.origin == other.origin and one.levels == other.levels
    return type(one) is type(other) and str(one) == str(other)


@settings(max_examples=40, deadline=None)
@given(st.lists(_asks(), min_size=2, max_size=12))
def test_a_forecast_is_the_same_to_the_last_bit_alone_and_in_any_company(asks: Sequence[Ask]) -> None:
    together = predict_together(asks)
    assert len(together) == len(asks)
    for ask, answer in zip(asks, together, strict=True):
        assert _same(answer, _alone(ask))


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10), st.integers(1, 60))
def test_one_fit_followed_through_time_says_at_each_tick_what_it_says_alone(which: int, steps: int) -> None:
    fitted, whole = _workloads()[which]
    since = len(whole.between(MONDAY, MONDAY + timedelta(seconds=fitted.end_s - MONDAY.timestamp())))
    stops = np.unique(np.linspace(since, len(whole), 40).astype(int))
    asks = [Ask(fitted, MetricWindow(whole.start, whole.step_s, whole.values[:n]), steps) for n in stops]
    for ask, answer in zip(asks, predict_together(asks), strict=True):
        assert _same(answer, _alone(ask))


def test_what_cannot_be_answered_takes_nobody_along() -> None:
    fitted, whole = _workloads()[0]
    silent = MetricWindow(whole.start, whole.step_s, np.full(len(whole), np.nan))
    early = whole.between(MONDAY, at(5))
    answers = predict_together([Ask(fitted, part, 30) for part in (silent, whole, early)])
    assert isinstance(answers[0], NotEnoughHistory)
    assert isinstance(answers[1], Forecast)
    assert isinstance(answers[2], ForecastNotCredible)
    assert predict_together([]) == []


def test_a_window_on_another_grid_is_the_callers_mistake_in_company_too() -> None:
    fitted, whole = _workloads()[0]
    with pytest.raises(ValueError, match="grid"):
        predict_together([Ask(fitted, whole, 30), Ask(fitted, whole.resample(300.0), 30)])


@pytest.mark.parametrize("days", [0.3, 1.2, 3.5, 9.0])
@pytest.mark.parametrize("since_s", [0.0, 3 * HOUR_S])
@pytest.mark.parametrize("calendar", [Calendar(), _SPRING])
def test_stretches_show_what_the_whole_history_shows(days: float, since_s: float, calendar: Calendar) -> None:
    """What is copied out for a forecast is all that it looks at."""
    series = with_gaps(shop(days=days, step_s=60.0, seed=3))
    rhythm = Rhythm(60.0, 7, (1, 5, 10, 30, 120), calendar)
    # An hour after the clock went forward, and two hours into the holiday.
    now_s = at(27 + 3 / 24 if since_s else 28.0).timestamp()
    seen = Seen(series.values, 10.0, float(np.nanmax(series.values)), round(since_s / 60.0), now_s)
    origins = Origins.of([seen], rhythm)
    cut = sight([seen], origins, rhythm)
    whole = Panel(to_logs(series.values[None], 10.0), step_s=60.0)
    places = len(series) - origins.back
    back = cut.wall.back(60.0)
    full = Sight(whole, places, whole, back.places(places - back.lags(60.0)), cut.wall)
    one, other = Views.at(cut).towards(rhythm.leads), Views.at(full).towards(rhythm.leads)
    for a, b in zip(
        (*one.features, *one.scale, *one.locations),
        (*other.features, *other.scale, *other.locations),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, atol=1e-9)
    np.testing.assert_array_equal(
        targets(cut.near, cut.origins, rhythm.leads), targets(whole, places, rhythm.leads)
    )


@settings(max_examples=60, deadline=None)
@given(
    st.integers(-10, 4000), st.integers(1, 3000), st.integers(1, 30), st.sets(st.integers(1, 60), min_size=1)
)
def test_windows_are_judged_once_and_only_when_they_have_closed(
    since: int, size: int, every: int, leads: set[int]
) -> None:
    rhythm = Rhythm(60.0, every, tuple(sorted(leads)))
    origins = Origins.of([Seen(np.zeros(size), 1.0, 1.0, since, 0.0)], rhythm)
    for place, lead in enumerate(rhythm.leads):
        back, valid = origins.back[place, :-1, 0], origins.valid[place, :-1, 0]
        found = back[valid].tolist()
        farthest = min(since + lead - 1, 1800 + rhythm.leads[-1], size - 1)
        # Those that lie on the fit's rhythm, have closed by now, and had not at the fit.
        assert found == [b for b in range(farthest, lead - 1, -1) if (since - b) % every == 0]
        assert origins.back[place, -1, 0] == 0
        closed = [int((valid & (back - lead >= b)).sum()) + int((~valid).sum()) for b in (*found, 0)]
        known = [*origins.closed[place, :-1][valid], origins.closed[place, -1]]
        for told, counted in zip(known, closed, strict=True):
            # Places without an origin hold no losses, so it does not matter how many are counted.
            assert max(told, int((~valid).sum())) == counted


def test_a_workload_takes_less_than_a_megabyte() -> None:
    series = shop(days=14, step_s=60.0, seed=2)
    learned = Native().fit(series).learned
    arrays = [getattr(learned, name) for name in learned.__slots__]
    assert sum(array.nbytes for array in arrays) + series.values.nbytes < 400_000
