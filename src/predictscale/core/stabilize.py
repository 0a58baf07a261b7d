"""Scale-down that does not regret: go down only to what was wanted lately."""

from dataclasses import replace
from datetime import datetime, timedelta

from predictscale.core.plan import Memory


def remember(memory: Memory, *, now: datetime, replicas: int, hold_s: float) -> Memory:
    """Add what is wanted now to the trailing window of `hold_s` seconds.

    Entries that a later, equal or higher one outlives can never be the highest again
    and are forgotten, so the memory stays short and its first entry is the highest.
    """
    since = now - timedelta(seconds=hold_s)
    kept = tuple((at, n) for at, n in memory.wanted if at > since and at < now and n > replicas)
    return replace(memory, wanted=(*kept, (now, replicas)))


def highest(memory: Memory) -> tuple[datetime, int]:
    """The highest number wanted within the window, and when.

    Raises:
        IndexError: Nothing was remembered yet.
    """
    return memory.wanted[0]
