"""Reads past decisions: those that are still in memory, every one, and those that the archive has kept.

What was told of a decision is made once, at its own instant, and handed on as it is: refuses to tell the
past with what is known now.
"""

from collections.abc import Callable
from typing import NamedTuple

from anyio import to_thread

from predictscale.control.decisionlog import DecisionLog, Past, Span
from predictscale.control.store import DecisionStore
from predictscale.control.timeline import Timeline, timeline
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.core.series import MetricWindow
from predictscale.serving.pastcards import cards_view
from predictscale.serving.pastviews import ArchiveView
from predictscale.serving.then import Told
from predictscale.serving.views import decision_view, forecast_view
from predictscale.sources.archivefile import us

_LEAST_REACH_S = 3600.0
"""So much before a timeline begins decisions are looked at for what they forecast for it, or twice the lead
time [s]."""


def encode(decision: Decision) -> bytes:
    """What is told of a decision at its own instant: it, its forecast or null, its cards; a line each."""
    at, ahead = decision.seen.now, decision.forecast
    forecast = b"null" if ahead is None else forecast_view(decision, ahead, now=at).model_dump_json().encode()
    return b"\n".join((_alone(decision), forecast, cards_view(decision).model_dump_json().encode()))


class Stretch(NamedTuple):
    """A timeline, and what the workload plans with: its unit, its lead time [s], its level."""

    columns: Timeline
    unit: str
    lead_s: float | None
    level: float | None


class PastReader:
    """Past decisions of all workloads, from memory and from the archive.

    Args:
        store: Where the newest are, every one.
        log: Where older ones are.
        bins: A workload's demand on the grid of bins; None before the history was read.
    """

    def __init__(
        self, store: DecisionStore, log: DecisionLog, bins: Callable[[WorkloadId], MetricWindow | None]
    ) -> None:
        self._store, self._log, self._bins = store, log, bins

    @property
    def archive(self) -> ArchiveView:
        """How the archive fares."""
        return ArchiveView(**self._log.state._asdict())

    async def newest(self, workload: WorkloadId, *, until_us: int) -> Told | None:
        """All that was told of the newest decision kept of an instant or before [us since the epoch]."""
        told = await self._told(workload, until_us=until_us, most=1, encoded=encode)
        return told[0] if told else None

    async def page(self, workload: WorkloadId, *, until_us: int, most: int) -> list[Told]:
        """Decisions at or before an instant [us since the epoch], newest first, and nothing beside them."""
        return await self._told(workload, until_us=until_us, most=most, encoded=_alone)

    async def _told(
        self, workload: WorkloadId, *, until_us: int, most: int, encoded: Callable[[Decision], bytes]
    ) -> list[Told]:
        recent = [d for d in self._store.recent(workload) if us(d.seen.now) <= until_us][:most]
        kept = await self._log.told(workload, until_us=until_us, most=most)
        ours = await to_thread.run_sync(lambda: [Past(each.seen.now, encoded(each)) for each in recent])
        found = {past.at: past for past in (*kept, *ours)}
        return [Told.of(found[at]) for at in sorted(found, reverse=True)[:most]]

    async def span(self, workload: WorkloadId) -> Span | None:
        """From when to when something is kept; None if nothing is."""
        kept = await self._log.span(workload)
        recent = self._store.recent(workload)
        if not recent:
            return kept
        ours = Span(recent[-1].seen.now, recent[0].seen.now)
        return ours if kept is None else Span(min(ours.oldest, kept.oldest), max(ours.newest, kept.newest))

    async def timeline(
        self, workload: WorkloadId, *, since_us: int, until_us: int, points: int, span: Span
    ) -> "Stretch":
        """Columns of [since, until], and what the workload plans with."""
        latest = self._store.latest(workload)
        lead_s = 0.0 if latest is None else latest.policy.lead_time_s
        reach_us = round(max(_LEAST_REACH_S, 2 * lead_s) * 1e6)
        from_us = max(since_us, us(span.oldest))
        lines = await self._log.lines(workload, since_us=from_us - reach_us, until_us=until_us)
        columns = await to_thread.run_sync(
            lambda: timeline(
                lines, since_s=from_us / 1e6, until_s=until_us / 1e6, points=points, bins=self._bins(workload)
            )
        )
        if latest is not None:
            return Stretch(columns, latest.unit, lead_s, latest.policy.level)
        unit = await self._log.unit(workload) or ""
        return Stretch(columns, unit, *((lines[-1].lead_s, lines[-1].level) if lines else (None, None)))


def _alone(decision: Decision) -> bytes:
    return decision_view(decision, now=decision.seen.now).model_dump_json().encode()
