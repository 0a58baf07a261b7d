"""Where `backend: auto` is asked: the workload's own Prometheus, within its namespace."""

import asyncio
from collections.abc import Callable
from datetime import datetime

from predictscale.config.auto import (
    BACK_S,
    Choice,
    Undecided,
    Wanted,
    choose,
    look_queries,
    pod_queries,
)
from predictscale.config.detect import Seen
from predictscale.config.presets import AUTO, Presets
from predictscale.config.settings import WorkloadSettings
from predictscale.control.detecting import LOOK_S, Find, with_backend
from predictscale.core.series import floor_to_grid
from predictscale.errors import AskOwner
from predictscale.sources.base import Source
from predictscale.sources.prometheus import PrometheusSource

_Key = tuple[int, Wanted]


async def named(settings: WorkloadSettings, find: Find, *, at: datetime) -> WorkloadSettings:
    """The settings, with the backend in them that fits at `at` if they leave it open.

    Raises:
        AskOwner: None fits, or several.
        HoldTarget: Prometheus could not tell.
    """
    if settings.backend != AUTO:
        return settings
    found = await find(settings, at=at)
    if isinstance(found, Undecided):
        raise AskOwner(f"{settings.workload}: no backend is chosen: {found.because}")
    return with_backend(settings, found)


class BackendFinder:
    """Looks for backends; workloads that ask for the same share one look.

    Args:
        presets: The backends there are.
        source_of: Where a workload is read.
    """

    def __init__(self, presets: Presets, *, source_of: Callable[[WorkloadSettings], Source]) -> None:
        self._presets = presets
        self._source_of = source_of
        self._looked_at: datetime | None = None
        self._looks: dict[_Key, Choice | Undecided] = {}
        self._asking: dict[_Key, asyncio.Lock] = {}

    async def __call__(self, settings: WorkloadSettings, *, at: datetime) -> Choice | Undecided:
        """What fits at `at`: by what is there now, or where nothing is, by what was lately.

        Raises:
            HoldTarget: Prometheus could not tell.
        """
        source = self._source_of(settings)
        if not isinstance(source, PrometheusSource):
            return Undecided(because="only a Prometheus can be searched; name the backend", seen=False)
        # All replicas of the service look at the same instants, so they see the same.
        looked_at = floor_to_grid(at, LOOK_S)
        if looked_at != self._looked_at:
            self._looked_at, self._looks, self._asking = looked_at, {}, {}
        wanted = Wanted(
            namespace=settings.workload.namespace,
            selector=settings.selector,
            target=settings.target,
            unit=settings.unit,
        )
        key = (id(source), wanted)
        looks = self._looks
        async with self._asking.setdefault(key, asyncio.Lock()):
            if key not in looks:
                looks[key] = await self._look(source, wanted, at=looked_at)
            return looks[key]

    async def _look(self, source: PrometheusSource, wanted: Wanted, *, at: datetime) -> Choice | Undecided:
        found = await self._ask(source, wanted, at=at, back_s=0.0)
        if isinstance(found, Undecided) and not found.seen:
            found = await self._ask(source, wanted, at=at, back_s=BACK_S)
        return found

    async def _ask(
        self, source: PrometheusSource, wanted: Wanted, *, at: datetime, back_s: float
    ) -> Choice | Undecided:
        queries = look_queries(self._presets, wanted, back_s=back_s)
        asked = (*queries.values(), *pod_queries(wanted, back_s=back_s))
        # What is missing from an answer could be the second of two that fit.
        answers = await asyncio.gather(*(source.instant(query, at=at, whole=True) for query in asked))
        seen: dict[str, Seen] = dict(zip(queries, answers[: len(queries)], strict=True))
        return choose(self._presets, wanted, seen=seen, owners=answers[len(queries) :])
