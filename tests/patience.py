"""How tests wait for what comes by itself: until it holds, however slow the machine is."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

WITHIN_S = 180.0
"""What has not come by then never will [s]; nothing that comes waits for it."""


def until(found: Callable[[], T | None], *, every_s: float = 0.05, otherwise: Callable[[], str] = str) -> T:
    """What is found, once it is true.

    Args:
        found: Asked again and again.
        every_s: The pause between [s].
        otherwise: What to say if it never is.

    Raises:
        AssertionError: It was not within `WITHIN_S`.
    """
    deadline_s = time.monotonic() + WITHIN_S
    while not (value := found()):
        assert time.monotonic() < deadline_s, otherwise() or f"not within {WITHIN_S:g} s, but {value!r}"
        time.sleep(every_s)
    return value


async def soon(holds: Callable[[], object], *, guard_s: float = WITHIN_S) -> None:
    """Return once `holds()`, as `until` on an event loop.

    Raises:
        TimeoutError: It did not hold within `guard_s`.
    """
    async with asyncio.timeout(guard_s):
        while not holds():
            await asyncio.sleep(0.005)
