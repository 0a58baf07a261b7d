"""Work in the background: begun at once, waited for, ended, and never lost without a word."""

import asyncio

import pytest
import structlog
from structlog.testing import capture_logs

from predictscale.control import errand
from predictscale.control.errand import Errand


async def _fails() -> None:
    raise ZeroDivisionError("nobody thought of this")


async def test_what_is_under_way_is_busy_until_it_has_ended() -> None:
    gate, one = asyncio.Event(), Errand()
    assert not one.busy

    async def waits() -> None:
        await gate.wait()

    one.start(waits())
    await one.settled(timeout_s=0.01)
    assert one.busy
    gate.set()
    await one.settled()
    assert not one.busy


async def test_what_is_cancelled_has_ended_without_a_word() -> None:
    one = Errand()
    one.start(asyncio.sleep(60))
    with capture_logs() as said:
        await one.cancel()
    assert not one.busy
    assert said == []


async def test_what_nobody_foresaw_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errand, "_log", structlog.get_logger())
    one = Errand()
    with capture_logs() as said:
        one.start(_fails())
        await one.settled()
        await asyncio.sleep(0)
    assert [line["because"] for line in said] == ["ZeroDivisionError('nobody thought of this')"]
