"""Sparks: an hour of what is in memory, with its gaps, and the forecast that follows."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import httpx2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from closed_desk import closed_desk
from predictscale.clock import ManualClock
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Decision
from predictscale.core.series import Floats, MetricWindow
from predictscale.serving.rest import create_app
from predictscale.serving.rows import Asides
from predictscale.serving.sparks import MOST_SPARKS, spark
from worlds import CHAT, NOON, flat_forecast, policy, seen

NOW = NOON + timedelta(seconds=25)


def decide(forecast: Forecast | None, *, level: float = 0.9, workload: WorkloadId = CHAT) -> Decision:
    made, _ = step(workload, seen(25), forecast, policy(level=level), StepMemory(), unit="requests/s")
    return made


def window(values: Floats, *, end: datetime = NOON, step_s: float = 60) -> MetricWindow:
    return MetricWindow(end - timedelta(seconds=step_s * len(values)), step_s, values)


async def asked(decisions: list[Decision], query: str) -> httpx2.Response:
    store, clock = DecisionStore(), ManualClock(NOW)
    for decision in decisions:
        store.put(decision)
    app = create_app(
        store=store,
        desk=closed_desk(store, clock),
        now=clock.now,
        ready=lambda: True,
        asides=Asides(bins=lambda _: window(np.arange(120.0))),
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://scaler") as client:
        return await client.get(f"/api/v1/sparks?{query}")


def test_the_last_hour_is_sixty_minutes_up_to_the_last_whole_one() -> None:
    drawn = spark(decide(None), window(np.arange(120.0)), now=NOW)
    assert drawn.start == (NOON - timedelta(hours=1)).timestamp()
    assert (drawn.step_s, drawn.demand) == (60, [float(value) for value in range(60, 120)])


def test_gaps_and_minutes_beyond_the_history_are_null() -> None:
    values = np.arange(40.0)
    values[7] = np.nan
    drawn = spark(decide(None), window(values, end=NOON - timedelta(minutes=5)), now=NOW)
    known: list[float | None] = [None if value == 7 else float(value) for value in range(40)]
    assert drawn.demand == [None] * 15 + known + [None] * 5


def test_without_history_nothing_is_drawn_and_nothing_is_zero() -> None:
    assert spark(decide(None), None, now=NOW).demand == [None] * 60


def test_narrow_bins_are_averaged_over_what_is_known_of_each_minute() -> None:
    quarter = np.repeat(np.arange(60.0), 4) + np.tile([0.0, 1.0, 2.0, 3.0], 60)
    quarter[:3] = np.nan
    drawn = spark(decide(None), window(quarter, step_s=15), now=NOW)
    assert drawn.demand == [3.0, *(value + 1.5 for value in range(1, 60))]


def test_wide_bins_stay_as_wide_as_they_are() -> None:
    drawn = spark(decide(None), window(np.arange(24.0), step_s=300), now=NOW)
    assert (drawn.step_s, drawn.demand) == (300, [float(value) for value in range(12, 24)])


def test_ahead_lie_the_median_and_the_level_that_is_sized_for_an_hour_at_most() -> None:
    values = np.tile(np.array([[10.0], [20.0]]), 90)
    forecast = Forecast(origin=NOON, step_s=60, levels=(0.5, 0.9), values=values, model="m")
    drawn = spark(decide(forecast, level=0.7), None, now=NOW)
    assert (drawn.ahead_start, drawn.ahead_step_s, drawn.level) == (NOON.timestamp(), 60, 0.7)
    assert drawn.median == [10.0] * 60
    assert drawn.high == [15.0] * 60


def test_a_level_that_nobody_forecasts_is_not_made_up() -> None:
    obeyed = replace(decide(flat_forecast(90)), policy=policy(level=0.95))
    drawn = spark(obeyed, None, now=NOW)
    assert len(drawn.median) == 20
    assert drawn.high == []


@given(
    values=hnp.arrays(
        np.float64,
        st.integers(min_value=0, max_value=80),
        elements=st.one_of(st.just(np.nan), st.floats(min_value=0, allow_infinity=False)),
    )
)
def test_every_number_is_near_what_it_was_made_of(values: Floats) -> None:
    drawn = spark(decide(None), window(values), now=NOW)
    told = [np.nan if value is None else value for value in drawn.demand]
    meant = np.concatenate([np.full(60, np.nan), values])[-60:]
    np.testing.assert_allclose(told, meant, rtol=1e-4, atol=1e-290)


async def test_sparks_are_told_by_name_and_what_has_none_is_named() -> None:
    shop = WorkloadId("prod", "shop")
    decisions = [decide(flat_forecast(90)), decide(None, workload=shop)]
    answer = await asked(decisions, "w=prod/chat&w=prod/shop&w=prod/gone&w=chat&w=prod/chat")
    body: Any = answer.json()
    assert set(body["sparks"]) == {"prod/chat", "prod/shop"}
    assert body["unknown"] == ["prod/gone", "chat"]
    assert (body["sparks"]["prod/shop"]["ahead_start"], body["sparks"]["prod/shop"]["median"]) == (None, [])
    assert body["sparks"]["prod/chat"]["median"] == [90.0] * 20


@pytest.mark.parametrize("count", [0, MOST_SPARKS + 1])
async def test_nothing_and_too_much_are_refused(count: int) -> None:
    answer = await asked([], "&".join(f"w=prod/w{number}" for number in range(count)))
    assert answer.status_code == 422
    assert "query.w: " in answer.json()["detail"]
