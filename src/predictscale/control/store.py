"""The decisions that were made, for readers. Nothing is computed here."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import islice

from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision

KEPT = 960
"""Decisions kept of each workload: four hours at a tick of 15 s."""
KEPT_IN_ALL = 50_000
"""Decisions kept of all workloads together, in equal shares: at about 3.5 kB each, 175 MB."""


class DecisionStore:
    """The latest decision and the recent ones of every workload, in memory.

    Args:
        kept: Of each workload at most, and at least the latest.
        kept_in_all: Of all together, about; what is over goes when its workload decides again.
    """

    def __init__(self, *, kept: int = KEPT, kept_in_all: int = KEPT_IN_ALL) -> None:
        self._kept = kept
        self._kept_in_all = kept_in_all
        self._latest: dict[WorkloadId, Decision] = {}
        self._recent: dict[WorkloadId, deque[Decision]] = {}
        self._news: dict[WorkloadId, asyncio.Event] = {}
        self._generation = 0
        self._listeners: list[Callable[[Decision], None]] = []

    def put(self, decision: Decision) -> None:
        """Publish a decision: from now on every reader sees it."""
        key = decision.workload
        self._latest[key] = decision
        self._generation += 1
        recent = self._recent.setdefault(key, deque())
        recent.append(decision)
        share = max(1, min(self._kept, self._kept_in_all // len(self._recent)))
        while len(recent) > share:
            recent.popleft()
        self._wake(key)
        # Last, so that no listener's bug can come between a decision and KEDA.
        for listener in self._listeners:
            listener(decision)

    def subscribe(self, listener: Callable[[Decision], None]) -> None:
        """Call somebody with each decision that is published from now on; quick work only, and no errors."""
        self._listeners.append(listener)

    def forget(self, workload: WorkloadId) -> None:
        """Drop all that is kept of a workload."""
        self._latest.pop(workload, None)
        self._recent.pop(workload, None)
        self._generation += 1
        self._wake(workload)

    @property
    def generation(self) -> int:
        """A number that rises whenever a decision is published or forgotten."""
        return self._generation

    def latest(self, workload: WorkloadId) -> Decision | None:
        """The newest decision, or None before the first."""
        return self._latest.get(workload)

    def recent(self, workload: WorkloadId, *, most: int = KEPT) -> list[Decision]:
        """Up to `most` recent decisions, newest first."""
        return list(islice(reversed(self._recent.get(workload, ())), most))

    def __iter__(self) -> Iterator[Decision]:
        return iter(list(self._latest.values()))

    async def changes(self, workload: WorkloadId) -> AsyncIterator[Decision]:
        """The latest decision at once, if there is one, then every newer one; never ends by itself."""
        told: Decision | None = None
        while True:
            latest = self._latest.get(workload)
            if latest is not None and latest is not told:
                told = latest
                yield latest
                continue
            await self._news.setdefault(workload, asyncio.Event()).wait()

    def _wake(self, workload: WorkloadId) -> None:
        """Let readers of changes look again; they find nothing if the workload was forgotten."""
        news = self._news.pop(workload, None)
        if news is not None:
            news.set()
