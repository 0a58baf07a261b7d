"""The only place that reads the time. Everything else is told."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Tells the time of the data, and waits in it."""

    def now(self) -> datetime:
        """The present instant, aware, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some start, never going back; for timeouts and ages of our own making."""
        ...

    async def wait_until(self, at: datetime) -> None:
        """Return once `now()` is at or past `at`."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The wall clock."""
        return datetime.now(UTC)

    def monotonic_s(self) -> float:
        """The machine's monotonic timer."""
        return time.monotonic()

    async def wait_until(self, at: datetime) -> None:
        """Sleep in steps of at most a second, so that a jump of the wall clock is noticed."""
        while (left_s := (at - self.now()).total_seconds()) > 0:
            await asyncio.sleep(min(left_s, 1.0))


class ReplayClock:
    """A clock that starts anywhere and runs `speed` times faster than life."""

    def __init__(self, *, start: datetime, speed: float = 1.0) -> None:
        if speed <= 0:
            raise ValueError(f"speed: {speed:g}; a clock runs forward, so it must be above 0")
        self.start = start
        self.speed = speed
        self._origin_s = time.monotonic()

    def now(self) -> datetime:
        """`start` plus the life time passed, times speed."""
        return self.start + timedelta(seconds=self.monotonic_s())

    def monotonic_s(self) -> float:
        """Replayed seconds since the start."""
        return (time.monotonic() - self._origin_s) * self.speed

    async def wait_until(self, at: datetime) -> None:
        """Sleep the shortened time."""
        while (left_s := (at - self.now()).total_seconds()) > 0:
            await asyncio.sleep(left_s / self.speed)


class ManualClock:
    """A clock that moves only when a test moves it."""

    def __init__(self, start: datetime) -> None:
        self._now = start
        self._elapsed_s = 0.0
        self._moved = asyncio.Event()

    def now(self) -> datetime:
        """Where the test left it."""
        return self._now

    def monotonic_s(self) -> float:
        """Seconds that the test has let pass."""
        return self._elapsed_s

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass and wake everybody who waits."""
        if seconds < 0:
            raise ValueError(f"seconds: {seconds:g}; time does not go back")
        self._now += timedelta(seconds=seconds)
        self._elapsed_s += seconds
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait_until(self, at: datetime) -> None:
        """Wait for `advance` to reach `at`."""
        while self._now < at:
            await self._moved.wait()
