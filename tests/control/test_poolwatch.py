"""What is seen of pools: silence is not zero, and nothing is counted twice."""

import asyncio
from datetime import datetime
from typing import Any

import numpy as np
import pytest

from predictscale.config.poolfacts import PoolFact
from predictscale.config.pools import PoolSettings
from predictscale.control.pools import PoolWatch, Watched
from predictscale.core.pools import PoolsSeen, ZoneSeen
from predictscale.core.series import MetricWindow
from predictscale.errors import SourceUnavailable
from predictscale.sources.base import Labelled
from worlds import at

ZONE = "label_topology_kubernetes_io_zone"
ON_DEMAND = PoolSettings.model_validate({"name": "steady", "kind": "on-demand", "target": "chat"})
SPOT: dict[str, Any] = {"name": "spot", "kind": "spot", "target": "chat-spot"}
SPLIT = PoolSettings.model_validate({**SPOT, "zones": ["a", "b"]})


class Told:
    """A source that tells at each instant what it was given, by query, which is `pool fact`."""

    def __init__(self) -> None:
        self.facts: dict[str, list[tuple[dict[str, str], float]]] = {}
        self.broken: set[str] = set()
        self.asked: list[tuple[str, datetime, datetime]] = []

    def tell(self, query: str, count: float, **labels: str) -> None:
        self.facts.setdefault(query, []).append(
            ({ZONE: labels.pop("zone")} if "zone" in labels else labels, count)
        )

    async def read_each(
        self, query: str, *, start: datetime, end: datetime, step_s: float
    ) -> tuple[Labelled, ...]:
        self.asked.append((query, start, end))
        if query in self.broken:
            raise SourceUnavailable("broken")
        bins = round((end - start).total_seconds() / step_s)
        return tuple(
            Labelled(labels, MetricWindow(start, step_s, np.full(bins, count)))
            for labels, count in self.facts.get(query, [])
        )


def watch(
    source: Told, spot: PoolSettings = SPLIT, *, facts: frozenset[PoolFact] = frozenset(PoolFact)
) -> PoolWatch:
    return PoolWatch(
        [
            Watched(pool=pool, queries={fact: f"{pool.name} {fact}" for fact in facts})
            for pool in (ON_DEMAND, spot)
        ],
        source,
        tick_s=15,
        keep_s=60,
        fresh_s=60,
    )


@pytest.fixture
def source() -> Told:
    told = Told()
    for pool, held, serving in (("steady", 2, 1), ("spot", 7, 4)):
        told.tell(f"{pool} held", held)
        told.tell(f"{pool} serving", serving)
    told.tell("spot ready", 4, zone="a")
    told.tell("spot noticed", 1, zone="a")
    return told


async def look(source: Told, spot: PoolSettings = SPLIT, **more: Any) -> PoolsSeen | None:
    watched = watch(source, spot, **more)
    await watched.look(at(0))
    return watched.seen_at(at(0))


async def test_zones_without_replicas_are_zero_while_their_deployment_is_told(source: Told) -> None:
    seen = await look(source, facts=frozenset(PoolFact) - {PoolFact.LOST, PoolFact.OFFERED})
    assert seen == PoolsSeen(
        on_demand_ready=1,
        on_demand_pending=1,
        zones=(
            ZoneSeen(zone="spot/a", ready=4, pending=2, noticed=1),
            ZoneSeen(zone="spot/b", ready=0, pending=1),
        ),
    )


@pytest.mark.parametrize("missing", ["steady held", "spot serving"])
async def test_a_deployment_that_nobody_tells_of_hides_all_pools(source: Told, missing: str) -> None:
    del source.facts[missing]
    assert await look(source) is None
    watched = watch(source)
    await watched.look(at(0))
    assert any("is not seen" in note for note in watched.notes_at(at(0)))


async def test_zones_that_cannot_be_read_hide_all_pools(source: Told) -> None:
    source.broken = {"spot ready"}
    watched = watch(source)
    (note,) = await watched.look(at(0))
    assert "ready of pool spot could not be read: broken" in note
    assert watched.seen_at(at(0)) is None


async def test_a_pool_that_is_not_split_by_zone_counts_notices_wherever_they_are(source: Told) -> None:
    source.tell("spot noticed", 2, zone="z")
    source.tell("spot noticed", 1)
    seen = await look(source, PoolSettings.model_validate(SPOT))
    assert seen is not None
    (zone,) = seen.zones
    assert (zone.zone, zone.ready, zone.pending, zone.noticed) == ("spot", 4, 3, 4)


async def test_replicas_in_zones_that_nobody_listed_are_not_counted_on_and_told_of(source: Told) -> None:
    source.facts["spot serving"] = [({}, 6.0)]
    watched = watch(source)
    await watched.look(at(0))
    assert any(note.startswith("2 replicas of pool spot serve in zones") for note in watched.notes_at(at(0)))


async def test_failed_launches_count_for_spot_alone_and_offers_where_somebody_tells(source: Told) -> None:
    source.facts["spot launch_failures"] = [
        ({"zone": "a", "capacity_type": "on-demand"}, 3.0),
        ({"zone": "b", "capacity_type": "spot"}, 0.4),
    ]
    source.facts["spot offered"] = [({"zone": "a"}, 1.0), ({"zone": "b"}, 0.0)]
    seen = await look(source)
    assert seen is not None
    assert [(zone.failed, zone.available) for zone in seen.zones] == [(0, True), (1, False)]
    source.facts["spot offered"] = [({"zone": "a"}, 1.0)]
    again = await look(source)
    assert again is not None
    assert [zone.available for zone in again.zones] == [True, None]


async def test_a_loss_is_told_once_though_its_answer_is_used_until_the_next(source: Told) -> None:
    source.tell("spot lost", 2, zone="a")
    watched = watch(source)
    await watched.look(at(0))
    first, later = watched.seen_at(at(0)), watched.seen_at(at(15))
    assert first is not None
    assert later is not None
    assert [zone.lost for zone in first.zones] == [2, 0]
    assert [zone.lost for zone in later.zones] == [0, 0]
    assert watched.seen_at(at(75)) is None


async def test_a_counter_of_losses_that_cannot_be_read_does_not_tell_of_none(source: Told) -> None:
    watched = watch(source)
    await watched.look(at(0))
    source.broken = {"spot lost"}
    await watched.look(at(15))
    seen = watched.seen_at(at(15))
    assert seen is not None
    assert [zone.lost for zone in seen.zones] == [None, None]


async def test_losses_of_ticks_that_were_skipped_are_told_at_the_next_look(source: Told) -> None:
    source.tell("spot lost", 1, zone="a")
    watched = watch(source)
    lost = []
    for second in (0, 15, 60, 60, 75):
        await watched.look(at(second))
        seen = watched.seen_at(at(second))
        assert seen is not None
        lost.append([zone.lost for zone in seen.zones])
    assert lost == [[1, 0], [1, 0], [3, 0], [3, 0], [1, 0]]


async def test_only_what_is_new_is_asked_for(source: Told) -> None:
    watched = watch(source)
    await watched.look(at(0))
    source.asked.clear()
    source.broken = {"spot held"}
    await watched.look(at(15))
    source.broken = set()
    await watched.look(at(30))
    spans = {query: (end - start).total_seconds() for query, start, end in source.asked}
    assert spans.pop("spot held") == 30
    assert set(spans.values()) == {15}


class Behind(Told):
    """A source whose clock is behind: it tells of no instant that is not over there, too."""

    def __init__(self, *, by_s: float) -> None:
        super().__init__()
        self.by_s = by_s
        self.losses: dict[float, float] = {}
        """By the second at which they are told."""

    async def read_each(
        self, query: str, *, start: datetime, end: datetime, step_s: float
    ) -> tuple[Labelled, ...]:
        told = list(await super().read_each(query, start=start, end=end, step_s=step_s))
        bins = round((end - start).total_seconds() / step_s)
        ends_s = (start - at(0)).total_seconds() + step_s * np.arange(1, bins + 1)
        if query == "spot lost":
            counted = [self.losses.get(second, np.nan) for second in ends_s.tolist()]
            told = [Labelled({ZONE: "a"}, MetricWindow(start, step_s, np.array(counted)))]
        over = ends_s <= (end - at(0)).total_seconds() - self.by_s
        return tuple(
            Labelled(each.labels, MetricWindow(start, step_s, np.where(over, each.window.values, np.nan)))
            for each in told
        )


def counted(source: Told) -> None:
    source.facts = {
        f"{pool} {fact}": [({}, 4.0)] for pool in ("steady", "spot") for fact in ("held", "serving")
    }
    source.tell("spot ready", 4, zone="a")


async def test_pools_are_seen_though_the_clock_of_their_source_is_behind_and_each_loss_is_told_once() -> None:
    source = Behind(by_s=2)
    counted(source)
    source.losses = {15.0: 1, 60.0: 2, 90.0: 1}
    watched = watch(source)
    told = []
    for second in range(0, 121, 15):
        await watched.look(at(second))
        seen = watched.seen_at(at(second))
        assert seen is not None
        assert [zone.ready for zone in seen.zones] == [4, 0]
        told.append(seen.zones[0].lost)
    assert told == [0, 0, 1, 0, 0, 2, 0, 1, 0]


async def test_what_is_silent_at_an_instant_that_the_source_does_not_know_yet_is_not_read_as_zero() -> None:
    source = Behind(by_s=2)
    counted(source)
    watched = watch(source)
    await watched.look(at(0))
    source.broken = {"spot ready"}
    await watched.look(at(15))
    assert watched.seen_at(at(15)) is None
    source.broken = set()
    await watched.look(at(30))
    seen = watched.seen_at(at(30))
    assert seen is not None
    assert [zone.ready for zone in seen.zones] == [4, 0]


@pytest.mark.parametrize("hidden", ["spot serving", "steady held"])
async def test_losses_while_pools_were_not_seen_are_told_once_they_are(hidden: str) -> None:
    source = Behind(by_s=0)
    counted(source)
    source.losses = {30.0: 1, 45.0: 1, 75.0: 1, 90.0: 1}
    watched = PoolWatch(
        [
            Watched(pool=pool, queries={fact: f"{pool.name} {fact}" for fact in PoolFact})
            for pool in (ON_DEMAND, SPLIT)
        ],
        source,
        tick_s=15,
        keep_s=300,
        fresh_s=20,
    )
    told = []
    for second in range(0, 121, 15):
        source.broken = {hidden} if 30 <= second <= 75 else set()
        await watched.look(at(second))
        seen = watched.seen_at(at(second))
        told.append(None if seen is None else seen.zones[0].lost)
    assert told[3:6] == [None, None, None]
    assert sum(lost for lost in told if lost is not None) == 4


async def test_where_no_deployment_can_be_read_nothing_else_is_asked_for() -> None:
    source = Behind(by_s=0)
    counted(source)
    source.broken = {f"{pool} {fact}" for pool in ("steady", "spot") for fact in ("held", "serving")}
    watched = watch(source)
    notes = await watched.look(at(0))
    assert len(notes) == 4
    assert {query for query, _, _ in source.asked} == source.broken


class Slow(Behind):
    """Notes for each question and each answer, in their order, whether it is about a Deployment."""

    def __init__(self) -> None:
        super().__init__(by_s=0)
        self.of_counts: list[bool] = []

    async def read_each(
        self, query: str, *, start: datetime, end: datetime, step_s: float
    ) -> tuple[Labelled, ...]:
        is_count = query.endswith((" held", " serving"))
        self.of_counts.append(is_count)
        await asyncio.sleep(0)
        self.of_counts.append(is_count)
        return await super().read_each(query, start=start, end=end, step_s=step_s)


async def test_deployments_are_asked_first_so_that_what_they_know_the_others_know() -> None:
    """The clock of the source may pass the instant of a look while it answers."""
    source = Slow()
    counted(source)
    await watch(source).look(at(0))
    assert source.of_counts == sorted(source.of_counts, reverse=True)
    assert sum(source.of_counts) == 2 * 4
    assert len(source.of_counts) > 2 * 4
