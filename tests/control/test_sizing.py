"""Two tellers as one: each for its own number, and neither in the way of the other."""

import asyncio
from datetime import datetime

import pytest

from predictscale.control.sizing import Sized
from predictscale.core.capacity import Capacity, CapacityModel
from predictscale.core.law import Mix
from worlds import NOON


class Part:
    """A teller of either kind, which fails where it is told to."""

    def __init__(self, name: str, *, fails: bool = False) -> None:
        self.name, self.fails = name, fails
        self.calls: list[str] = []

    def capacity_at(self, at: datetime, *, mix: Mix | None) -> Capacity | None:
        assert at == NOON
        return CapacityModel(2.0 if mix is None else mix.output_tokens)

    def lead_time_at(self, at: datetime) -> float | None:
        assert at == NOON
        return 300.0

    def notes_at(self, at: datetime) -> tuple[str, ...]:
        assert at == NOON
        return (self.name,)

    def start_due(self, at: datetime) -> None:
        assert at == NOON
        self.calls.append("due")

    async def wake(self) -> None:
        self.calls.append("wake")

    async def settled(self) -> None:
        await asyncio.sleep(0)
        self.calls.append("settled")

    async def stop(self) -> None:
        if self.fails:
            raise RuntimeError(self.name)
        self.calls.append("stop")


async def test_what_nobody_tells_leaves_the_owners_number_in_force() -> None:
    nobody = Sized()
    assert nobody.capacity_at(NOON, mix=None) is None
    assert nobody.lead_time_at(NOON) is None
    assert nobody.notes_at(NOON) == ()
    nobody.start_due(NOON)
    await nobody.wake()
    await nobody.settled()
    await nobody.stop()


def test_each_teller_tells_its_own_number() -> None:
    mix = Mix(input_tokens=1, output_tokens=7)
    both = Sized(Part("capacity"), Part("lead"))
    assert both.capacity_at(NOON, mix=mix) == CapacityModel(7.0)
    assert both.lead_time_at(NOON) == 300.0
    assert both.notes_at(NOON) == ("capacity", "lead")
    assert Sized(lead=Part("lead")).capacity_at(NOON, mix=mix) is None
    assert Sized(Part("capacity")).lead_time_at(NOON) is None


async def test_both_live_through_the_same() -> None:
    one, other = Part("capacity"), Part("lead")
    both = Sized(one, other)
    await both.wake()
    both.start_due(NOON)
    await both.settled()
    await both.stop()
    assert one.calls == other.calls == ["wake", "due", "settled", "stop"]


async def test_one_that_fails_to_stop_does_not_keep_the_other_from_it() -> None:
    good = Part("lead")
    with pytest.raises(ExceptionGroup):
        await Sized(Part("capacity", fails=True), good).stop()
    assert good.calls == ["stop"]
