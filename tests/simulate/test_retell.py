"""What is told again of the past is what could have been said then."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from predictscale.control.asks import Retelling
from predictscale.core.events import PlannedEvent
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.core.track import TRACKED_LEVELS, told_peaks
from predictscale.forecasters.native import Native
from predictscale.forecasters.registry import Context
from predictscale.simulate.retell import retell
from predictscale.sources.synthetic import shop_requests

START = datetime(2026, 3, 2, tzinfo=UTC)
SHOP = shop_requests(seed=3).values(START, START + timedelta(days=3), 60.0)


def retelling(**changes: object) -> Retelling:
    """An hour on both sides of the third midnight."""
    asked = Retelling(
        demand=SHOP,
        start=START + timedelta(days=2, hours=-1),
        bins=120,
        span_s=285.0,
        forecasters=("native", "last-value"),
        context=Context(),
        events=(),
        history_s=28 * 86400.0,
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def told() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return retell(retelling())


def test_each_bin_is_told_what_a_fit_of_that_midnight_says(
    told: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    for place in (0, 59, 60, 119):
        at = START + timedelta(days=2, minutes=place - 60)
        fitted = Native().fit(SHOP.between(START, floor_to_grid(at, 86400)))
        forecast = fitted.predict(SHOP.between(START, at), steps=10)
        assert told[place] == pytest.approx(told_peaks(forecast, at=at, span_s=285.0), rel=1e-5)


def test_nothing_after_a_bins_beginning_changes_what_it_is_told(
    told: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    poisoned = SHOP.values.copy()
    poisoned[2 * 1440 :] *= 100.0
    again = retell(retelling(demand=MetricWindow(START, 60.0, poisoned)))
    assert np.array_equal(again[:61], told[:61])
    assert not np.array_equal(again[61:], told[61:])


def test_a_planned_event_is_laid_over_what_is_told(
    told: np.ndarray[tuple[int, int], np.dtype[np.float32]],
) -> None:
    event = PlannedEvent(
        name="sale",
        start=START + timedelta(days=2, minutes=30),
        end=START + timedelta(days=2, minutes=50),
        multiplier=3.0,
    )
    again = retell(retelling(events=(event,)))
    assert np.array_equal(again[:80], told[:80])
    assert (again[90] > 2 * told[90]).all()


def test_models_that_are_asked_one_by_one_tell_it_too() -> None:
    table = retell(retelling(forecasters=("last-value",), bins=70))
    assert table.shape == (70, len(TRACKED_LEVELS))
    assert not np.isnan(table).any()


def test_before_there_is_history_nothing_is_told() -> None:
    table = retell(retelling(start=START, bins=5))
    assert np.isnan(table).all()
