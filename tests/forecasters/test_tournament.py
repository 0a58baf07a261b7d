from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

from made_series import office_hours, shop, window
from predictscale.core.series import MetricWindow
from predictscale.errors import FitFailed, ForecastNotCredible, NotEnoughHistory
from predictscale.forecasters.base import Fitted
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay
from predictscale.forecasters.standings import judge
from predictscale.forecasters.tournament import Crowned, Tournament
from stub_forecasters import Says, scripted


def crowned(tournament: Tournament, history: MetricWindow) -> Crowned:
    fitted = tournament.fit(history)
    assert isinstance(fitted, Crowned)
    return fitted


def wandering(*, days: float) -> MetricWindow:
    """A level that goes anywhere: no season to be found."""
    steps = np.random.default_rng(3).normal(0, 0.02, round(days * 288))
    return window(100 * np.exp(np.cumsum(steps)))


def test_where_there_is_a_season_the_seasonal_model_serves() -> None:
    champion = crowned(Tournament((LastValue(), SeasonalNaiveDay())), office_hours(days=9))
    assert champion.model == "seasonal-naive-day"
    assert champion.because.startswith("seasonal-naive-day serves: loss of the peak relative to last value: ")
    assert "last-value 1.000" in champion.because


def test_where_there_is_none_the_last_value_serves() -> None:
    champion = crowned(Tournament((SeasonalNaiveDay(), LastValue())), wandering(days=9))
    assert champion.model == "last-value"


def test_a_twin_does_not_unseat_the_first_candidate() -> None:
    @dataclass(frozen=True)
    class Twin:
        name: ClassVar[str] = "twin"
        slow: ClassVar[bool] = False

        def needs_s(self, step_s: float) -> float:
            return SeasonalNaiveDay().needs_s(step_s)

        def fit(self, history: MetricWindow) -> Fitted:
            return SeasonalNaiveDay().fit(history)

    history = shop(days=9)
    assert judge((SeasonalNaiveDay(), Twin()), history)[0].name == "seasonal-naive-day"
    assert judge((Twin(), SeasonalNaiveDay()), history)[0].name == "twin"


def test_nobody_is_judged_by_days_that_it_was_fitted_on() -> None:
    seen: list[MetricWindow] = []

    @dataclass(frozen=True)
    class Watcher:
        name: ClassVar[str] = "watcher"
        slow: ClassVar[bool] = False

        def needs_s(self, step_s: float) -> float:
            return step_s

        def fit(self, history: MetricWindow) -> Fitted:
            seen.append(history)
            return LastValue().fit(history)

    history = shop(days=9)
    judge((Watcher(),), history)
    assert len(seen) == 1
    assert (history.end - seen[0].end).total_seconds() >= 2.9 * 86400


def test_a_champion_that_fails_is_replaced_by_the_last_value_at_once() -> None:
    history = shop(days=9)
    broken = scripted("broken", Says("broken", error=ForecastNotCredible("absurd")))
    alone = crowned(Tournament((broken,)), history)
    assert alone.predict(history, steps=6).model == "last-value"


def test_a_candidate_that_cannot_be_fitted_is_not_crowned() -> None:
    history = office_hours(days=9)
    failing = scripted("failing", FitFailed("no convergence"))
    champion = crowned(Tournament((failing, SeasonalNaiveDay(), LastValue())), history)
    assert champion.model == "seasonal-naive-day"
    assert "failing cannot answer" in champion.because


def test_with_too_little_history_to_judge_the_first_that_can_be_fitted_serves() -> None:
    champion = crowned(Tournament((SeasonalNaiveDay(), LastValue())), shop(days=0.5))
    assert champion.model == "last-value"
    assert "too little history" in champion.because


def test_with_no_history_nobody_serves() -> None:
    tournament = Tournament((SeasonalNaiveDay(), LastValue()))
    with pytest.raises(NotEnoughHistory):
        tournament.fit(shop(days=0.005))
    assert tournament.needs_s(300) == LastValue().needs_s(300)


def test_a_series_that_never_moves_is_nobodys_merit() -> None:
    assert judge((LastValue(), SeasonalNaiveDay()), window(np.full(9 * 288, 5.0))) == ()


def test_the_same_history_crowns_the_same_champion() -> None:
    history = shop(days=9)
    first, second = (crowned(Tournament((LastValue(), SeasonalNaiveDay())), history) for _ in range(2))
    assert first.standings == second.standings
    ours, theirs = (c.predict(history, steps=12).values for c in (first, second))
    np.testing.assert_array_equal(ours, theirs)
