"""Any slow work in a worker: answered, refused or killed, and the pool carries on."""

import math
import time
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from patience import WITHIN_S
from predictscale.bootstrap.tuning import PoolTuner
from predictscale.control.asks import Ask, Retelling
from predictscale.control.refit import FitPool
from predictscale.core.slo import Slo
from predictscale.errors import FitFailed, SettingsError
from predictscale.forecasters.registry import Context, resolve
from predictscale.meters import Meters
from predictscale.simulate.retell import retell
from predictscale.simulate.tune import tune
from predictscale.sources.synthetic import shop_requests
from worlds import policy

START = datetime(2026, 3, 2, tzinfo=UTC)


def pool(*, deadline_s: float = WITHIN_S) -> FitPool:
    return FitPool(meters=Meters(), deadline_s=deadline_s, grace_s=WITHIN_S)


async def test_a_worker_gives_what_the_function_gives() -> None:
    assert await pool().run(math.hypot, 3.0, 4.0) == 5.0


async def test_what_the_function_raises_costs_that_errand_alone() -> None:
    one = pool()
    with pytest.raises(FitFailed, match="ValueError"):
        await one.run(math.sqrt, -1.0)
    with pytest.raises(FitFailed, match="SettingsError"):
        await one.run(resolve, ())
    assert await one.run(math.sqrt, 9.0) == 3.0
    assert issubclass(SettingsError, Exception)


async def test_an_errand_that_hangs_is_killed_and_the_next_one_is_done() -> None:
    one = pool(deadline_s=1.0)
    with pytest.raises(FitFailed, match=r"killed after 1 s"):
        await one.run(time.sleep, WITHIN_S)
    assert await one.run(math.sqrt, 9.0) == 3.0


async def test_a_worker_answers_the_questions_of_tuning_as_this_process_does() -> None:
    demand = shop_requests(seed=3).values(START, START + timedelta(days=3), 60.0)
    asked = Retelling(
        demand=demand,
        start=START + timedelta(days=2),
        bins=30,
        span_s=285.0,
        forecasters=("last-value",),
        context=Context(),
        events=(),
        history_s=86400.0,
    )
    peaks = np.tile(demand.values[1:, None].astype(np.float32), 8)
    ask = Ask(
        demand=demand,
        peaks=peaks,
        policy=policy(per_replica=20, min_replicas=1, max_replicas=200),
        slo=Slo(max_violation=0.01, wait_s=5.0),
        asked=0.01,
        tick_s=60.0,
    )
    tuner = PoolTuner(pool())
    assert np.array_equal(await tuner.retell(asked), retell(asked), equal_nan=True)
    assert await tuner.tune(ask) == tune(ask)
