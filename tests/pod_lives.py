"""A cluster that tells of pods as the queries of `kubernetes.yaml` would, from scrapes of stated lives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from predictscale.config.cluster import PodFact
from predictscale.control.podlog import FACTS
from predictscale.core.leadtime import GIVE_UP_S
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import HoldTarget
from predictscale.sources.base import Labelled

QUERIES: Mapping[PodFact, str] = {fact: fact.value for fact in (*FACTS, PodFact.TOLD)}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One pod; times are seconds after its creation, None if they never come.

    Args:
        uid: Its.
        created: When.
        scheduled_s: Until it has a node.
        started_s: Until its container runs.
        ready_s: Until it is ready.
        flaps: Its readiness is lost from the first until the second of each.
        deleted_s: Until its deletion is asked for; it is gone at once, or after `grace_s`.
        grace_s: How long it is told of after that.
        node_s: When its node joined; None if nobody tells.
    """

    uid: str
    created: datetime
    scheduled_s: float | None = 1.0
    started_s: float | None = 20.0
    ready_s: float | None = 100.0
    flaps: Sequence[tuple[float, float]] = ()
    deleted_s: float = np.inf
    grace_s: float = 0.0
    node_s: float | None = None

    def told(self, fact: PodFact, age_s: float) -> float | None:
        """What a scrape shows of it at an age [s after creation]."""
        if not 0 <= age_s < self.deleted_s + self.grace_s:
            return None
        ready_s = self.ready_s
        for lost_s, back_s in self.flaps if self.ready_s is not None else ():
            if lost_s <= age_s < back_s:
                ready_s = None
            elif age_s >= back_s:
                ready_s = back_s
        value_s = {
            PodFact.CREATED: 0.0,
            PodFact.SCHEDULED: self.scheduled_s,
            PodFact.STARTED: self.started_s,
            PodFact.READY: ready_s,
            PodFact.DELETED: self.deleted_s + self.grace_s if age_s >= self.deleted_s else None,
            PodFact.NODE_CREATED: self.node_s if age_s >= (self.scheduled_s or np.inf) else None,
        }[fact]
        ahead = fact is not PodFact.DELETED and value_s is not None and value_s > age_s
        return None if ahead else value_s


class ClusterOfLives:
    """An `EachSource` of pods' lives.

    Args:
        lives: Of all pods.
        scrape_s: How often kube-state-metrics is scraped [s].
        silent: Stretches in which nothing was scraped.
    """

    def __init__(
        self,
        lives: Sequence[Life],
        *,
        scrape_s: float = 30.0,
        silent: Sequence[tuple[datetime, datetime]] = (),
    ) -> None:
        self.lives = list(lives)
        self.asked: list[tuple[str, datetime, datetime]] = []
        self.failure: HoldTarget | None = None
        self.answers_left: int | None = None
        """How many questions are answered before `failure` comes; None if it is there at once."""
        self.visible_until: datetime | None = None
        """Later scrapes have not arrived yet."""
        self._scrape_s = scrape_s
        self._silent = silent

    async def read_each(
        self, query: str, *, start: datetime, end: datetime, step_s: float
    ) -> tuple[Labelled, ...]:
        """See `EachSource.read_each`."""
        self.asked.append((query, start, end))
        if self.answers_left:
            self.answers_left -= 1
        elif self.failure is not None:
            raise self.failure
        grid = MetricWindow(start, step_s, np.full(round((end - start).total_seconds() / step_s), np.nan))
        scrapes_s = self._scrapes_s(start, end)
        if query == PodFact.TOLD:
            return (Labelled({}, _laid(grid, scrapes_s, np.ones_like(scrapes_s))),)
        found = []
        for life in self.lives:
            born_s = (life.created - _EPOCH).total_seconds()
            first, stop = np.searchsorted(scrapes_s, [born_s, born_s + GIVE_UP_S + step_s])
            told = [(at_s, life.told(PodFact(query), at_s - born_s)) for at_s in scrapes_s[first:stop]]
            shown = [(at_s, born_s + value_s) for at_s, value_s in told if value_s is not None]
            if shown:
                stamps_s, values = np.array(shown).T
                found.append(Labelled({"uid": life.uid}, _laid(grid, stamps_s, values)))
        return tuple(found)

    def _scrapes_s(self, start: datetime, end: datetime) -> Floats:
        first_s, last_s = ((at - _EPOCH).total_seconds() for at in (start, end))
        # Not on the grid that is read by: a scrape comes when it comes.
        begin_s = first_s - first_s % self._scrape_s + 0.4 * self._scrape_s
        stamps_s = np.arange(begin_s, last_s, self._scrape_s)
        for lost, back in self._silent:
            lost_s, back_s = ((at - _EPOCH).total_seconds() for at in (lost, back))
            stamps_s = stamps_s[(stamps_s < lost_s) | (stamps_s >= back_s)]
        if self.visible_until is not None:
            stamps_s = stamps_s[stamps_s <= (self.visible_until - _EPOCH).total_seconds()]
        return stamps_s[stamps_s > first_s]


def steady(count: int, *, last: datetime, every_s: float = 600.0, **changes: Any) -> list[Life]:
    """Pods that took 100 s, one after another, the newest created at `last`."""
    return [
        Life(uid=f"pod-{number}", created=last - timedelta(seconds=every_s * number), **changes)
        for number in range(count)
    ]


def _laid(grid: MetricWindow, stamps_s: Floats, values: Floats) -> MetricWindow:
    """The least value of each bin."""
    least = np.full(len(grid), np.inf)
    places = ((stamps_s - grid.stamps_s[0]) // grid.step_s).astype(int)
    inside = (places >= 0) & (places < len(grid))
    np.minimum.at(least, places[inside], values[inside])
    return MetricWindow(grid.start, grid.step_s, np.where(np.isinf(least), np.nan, least))
