from datetime import timedelta

import numpy as np
import pytest

from predictscale.core.forecast import Forecast
from predictscale.core.outcome import SCORED_LEVELS, Scoreboard
from predictscale.core.series import MetricWindow
from worlds import NOON, at


def told(quantiles: list[float], *, minute: float = 0, steps: int = 5) -> Forecast:
    values = np.tile(np.array(quantiles, dtype=float)[:, None], (1, steps))
    return Forecast(origin=at(60 * minute), step_s=60, levels=SCORED_LEVELS, values=values, model="m")


def came(*values: float) -> MetricWindow:
    return MetricWindow(NOON, 60, np.array(values, dtype=float))


def board(*, span_s: float = 3600) -> Scoreboard:
    return Scoreboard(lead_s=180, span_s=span_s, step_s=60)


def test_a_window_is_scored_when_it_has_closed_and_not_before() -> None:
    scores = board()
    scores.note(told([10, 20, 30, 40]))
    scores.close(came(5, 25))
    assert scores.outcome is None
    scores.close(came(5, 25, 5))
    outcome = scores.outcome
    assert outcome is not None
    assert outcome.scored == 1
    assert outcome.coverage == (0, 0, 1, 1)
    assert outcome.pinball == pytest.approx((0.5 * 15, 0.9 * 5, 0.05 * 5, 0.01 * 15))


def test_the_peak_of_the_window_counts_not_its_end() -> None:
    scores = board()
    scores.note(told([10, 20, 30, 40]))
    scores.close(came(99, 1, 1))
    assert scores.outcome is not None
    assert scores.outcome.coverage == (0, 0, 0, 0)


def test_a_window_with_a_gap_is_scored_by_nobody() -> None:
    scores = board()
    scores.note(told([10, 20, 30, 40]))
    scores.close(came(5, float("nan"), 5, 5))
    assert scores.outcome is None


def test_a_forecast_that_does_not_reach_the_horizon_is_left_out() -> None:
    scores = board()
    scores.note(told([10, 20, 30, 40], steps=2))
    scores.close(came(5, 5, 5, 5))
    assert scores.outcome is None


def test_shares_are_of_the_trailing_span_so_a_change_shows() -> None:
    scores = board(span_s=600)
    values = [15.0] * 40 + [35.0] * 40
    seen = came(*values)
    for minute in range(70):
        scores.note(told([10, 20, 30, 40], minute=minute))
        scores.close(seen.between(NOON, NOON + timedelta(minutes=minute)))
    assert scores.outcome is not None
    assert scores.outcome.scored == 10
    assert scores.outcome.coverage == (0, 0, 0, 1)


def test_one_origin_is_noted_once() -> None:
    scores = board()
    scores.note(told([10, 20, 30, 40]))
    scores.note(told([0, 0, 0, 0]))
    scores.close(came(5, 5, 5))
    assert scores.outcome is not None
    assert scores.outcome.scored == 1
