"""Who answers when somebody cannot, and what is said about it."""

import pickle

import numpy as np
import pytest

from made_series import shop, window
from predictscale.errors import (
    FitFailed,
    ForecastNotCredible,
    ForecastTooShort,
    NotEnoughHistory,
    TryNextForecaster,
)
from predictscale.forecasters.chain import CREDIBLE, FittedChain, Skipped, attempt, fit_chain, quick_ones
from predictscale.forecasters.naive import LastValue, SeasonalNaiveDay
from stub_forecasters import Says, scripted

_TEN = window(np.full(40, 10.0))


def _chain(*members: Says) -> FittedChain:
    return FittedChain(members, high=10.0)


def test_the_first_that_fits_is_champion_and_quick_ones_behind_it_stand_in() -> None:
    result = fit_chain(
        (
            scripted("week", NotEnoughHistory(need_s=604800, have_s=86400)),
            scripted("slow", Says("slow"), slow=True),
            scripted("slower", Says("slower"), slow=True),
            scripted("quick", Says("quick")),
            scripted("broken", FitFailed("no roots")),
        ),
        _TEN,
    )
    assert result.fitted.model == "slow"
    assert [member.model for member in result.fitted.members] == ["slow", "quick"]
    assert result.skipped == (
        Skipped("week", "needs 604800 s of history, has 86400 s"),
        Skipped("broken", "no roots"),
    )


def test_a_bug_in_one_model_costs_only_that_model() -> None:
    result = fit_chain((scripted("buggy", ZeroDivisionError("division by zero")), LastValue()), _TEN)
    assert result.fitted.model == "last-value"
    assert result.skipped == (Skipped("buggy", "ZeroDivisionError: division by zero"),)


def test_too_little_history_for_all_tells_the_least_that_would_do() -> None:
    with pytest.raises(NotEnoughHistory) as refused:
        fit_chain((SeasonalNaiveDay(), LastValue()), _TEN.last(600.0))
    assert refused.value.need_s == LastValue().needs_s(300.0)
    assert refused.value.have_s == 600.0


def test_different_reasons_are_all_told() -> None:
    forecasters = (scripted("a", FitFailed("no roots")), scripted("b", NotEnoughHistory(need_s=9, have_s=1)))
    with pytest.raises(FitFailed, match="a: no roots; b: needs 9 s of history, has 1 s"):
        fit_chain(forecasters, _TEN)


def test_an_empty_chain_is_no_model() -> None:
    with pytest.raises(FitFailed, match="empty"):
        fit_chain((), _TEN)


@pytest.mark.parametrize(
    "error",
    [
        ForecastTooShort(need_s=7200, have_s=3600),
        NotEnoughHistory(need_s=600, have_s=0),
        ForecastNotCredible("forecasts NaN or infinity"),
    ],
)
def test_the_next_member_answers_and_the_note_says_why(error: TryNextForecaster) -> None:
    chain = _chain(Says("first", error=error), Says("second", value=12.0))
    forecast, notes = chain.forecast(_TEN, steps=3)
    assert forecast.model == "second"
    assert notes == (f"first: {error}",)
    assert chain.model == "first"
    np.testing.assert_array_equal(chain.predict(_TEN, steps=3).values, forecast.values)


def test_a_forecast_far_above_all_that_was_seen_is_refused_with_its_numbers() -> None:
    forecast, notes = _chain(Says("wild", value=51.0), Says("tame")).forecast(_TEN, steps=3)
    assert forecast.model == "tame"
    assert notes == (
        "wild: wild forecasts up to 51; the highest confirmed demand is 10, and 5 times that is the limit",
    )
    assert _chain(Says("bold", value=CREDIBLE * 10)).predict(_TEN, steps=3).model == "bold"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_what_is_no_number_or_negative_is_refused(value: float) -> None:
    forecast, notes = _chain(Says("broken", value=value), Says("whole")).forecast(_TEN, steps=3)
    assert forecast.model == "whole"
    assert len(notes) == 1


def test_a_spike_raises_no_limit_and_a_lasting_surge_does() -> None:
    chain = _chain(Says("wild", value=400.0), Says("tame"))
    for surge, model in ((1, "tame"), (2, "tame"), (6, "wild")):
        recent = window(np.append(np.full(34, 10.0), np.full(surge, 100.0)))
        assert chain.predict(recent, steps=1).model == model


def test_nobody_left_is_an_error_that_says_all() -> None:
    chain = _chain(Says("wild", value=1e9), Says("short", error=ForecastTooShort(need_s=2, have_s=1)))
    with pytest.raises(ForecastNotCredible, match=r"wild: .*; short: asked 2 s ahead"):
        chain.predict(_TEN, steps=3)
    alone = _chain(Says("short", error=ForecastTooShort(need_s=2, have_s=1)))
    with pytest.raises(ForecastTooShort):
        alone.predict(_TEN, steps=3)


def test_a_zero_series_is_forecast_as_zero() -> None:
    idle = window(np.zeros(40))
    result = fit_chain((LastValue(),), idle)
    assert not result.fitted.predict(idle, steps=12).values.any()


def test_the_quick_chain_keeps_its_order() -> None:
    forecasters = (scripted("s", Says("s"), slow=True), SeasonalNaiveDay(), LastValue())
    assert quick_ones(forecasters) == forecasters[1:]


def test_a_chain_without_members_cannot_be() -> None:
    with pytest.raises(ValueError, match="members"):
        FittedChain((), high=1.0)


@pytest.mark.parametrize(
    "error",
    [NotEnoughHistory(need_s=9, have_s=1), ForecastTooShort(need_s=2, have_s=1), FitFailed("no roots")],
)
def test_an_attempt_travels_with_its_error(error: TryNextForecaster) -> None:
    tried = attempt(scripted("a", error), shop(days=0.1))
    copy = pickle.loads(pickle.dumps(tried))  # noqa: S301 - our own bytes
    assert type(copy.error) is type(error)
    assert str(copy.error) == str(error)
    assert copy.error.__dict__ == error.__dict__
