"""The meter's books between restarts."""

import io
from datetime import timedelta

import numpy as np
import pytest

from predictscale.control.counterfactual import CounterfactualMeter
from predictscale.control.metershelf import MeterShelf
from predictscale.control.step import StepMemory, step
from predictscale.core.plan import Decision
from predictscale.meters import Meters
from predictscale.sources.history import History
from worlds import CHAT, at, policy, seen


def decision(place: int, demand: float) -> Decision:
    looked = seen(demand, now=at(15.0 * place), replicas=12)
    found, _ = step(CHAT, looked, None, policy(min_replicas=1), StepMemory(), unit="requests/s")
    return found


def worked() -> CounterfactualMeter:
    meter = CounterfactualMeter()
    for place, demand in enumerate([100.0, 140.0, 90.0, 260.0, 50.0]):
        meter.note(decision(place, demand), price_per_h=2.5)
    return meter


@pytest.fixture
def history() -> History:
    return History(path=None, meters=Meters())


async def test_a_meter_goes_on_where_the_one_before_stopped(history: History) -> None:
    shelf, before, after = MeterShelf(history), worked(), CounterfactualMeter()
    await shelf.put("prod/chat", before, at=at(0.0))
    assert await shelf.restore("prod/chat", after)
    for place in range(5, 12):
        for meter in (before, after):
            meter.note(decision(place, 30.0 * place), price_per_h=2.5)
    assert after.savings() == before.savings()
    assert after.reactive_replicas == before.reactive_replicas


async def test_a_meter_that_never_was_begins_anew(history: History) -> None:
    meter = CounterfactualMeter()
    assert not await MeterShelf(history).restore("prod/chat", meter)
    assert meter.savings() is None
    await MeterShelf(history).put("prod/chat", meter, at=at(0.0))
    assert await MeterShelf(history).restore("prod/chat", meter)
    assert meter.reactive_replicas is None


async def test_workloads_have_books_of_their_own(history: History) -> None:
    shelf = MeterShelf(history)
    await shelf.put("prod/chat", worked(), at=at(0.0))
    assert not await shelf.restore("prod/shop", CounterfactualMeter())


def archive(**arrays: object) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=True, **{name: np.asarray(value) for name, value in arrays.items()})
    return out.getvalue()


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"nothing of ours",
        archive(schema=2, **worked().kept()),
        archive(schema=1),
        archive(schema=1, **{**worked().kept(), "hours": np.zeros((2, 2))}),
        archive(schema=1, **{**worked().kept(), "hours": np.full_like(worked().kept()["hours"], np.nan)}),
        archive(schema=1, **{**worked().kept(), "now": [np.inf, 1.0]}),
        archive(schema=1, **{**worked().kept(), "now": np.array([{"a": 1}, None], dtype=object)}),
        archive(schema=1, **{**worked().kept(), "ours": []}),
    ],
)
async def test_damaged_books_are_left_aside(history: History, blob: bytes) -> None:
    meter = CounterfactualMeter()
    await history.blob_put("prod/chat#counterfactual", blob)
    assert not await MeterShelf(history).restore("prod/chat", meter)
    # It serves as a fresh one does.
    meter.note(decision(0, 100.0))
    meter.note(decision(1, 100.0))
    savings = meter.savings()
    assert savings is not None
    assert savings.known_s == 15.0
    assert savings.until == at(0) + timedelta(seconds=15)


async def test_books_of_a_time_that_is_still_to_come_are_left_aside(history: History) -> None:
    """The clock was ahead: nothing would be put on them until it is there again."""
    shelf = MeterShelf(history)
    await shelf.put("prod/chat", worked(), at=at(60.0))
    for now, restored in ((at(60.0 - 3601), False), (at(60.0 - 3599), True), (at(90.0), True)):
        meter = CounterfactualMeter()
        assert await shelf.restore("prod/chat", meter, now=now) is restored
        assert (meter.savings() is not None) is restored
