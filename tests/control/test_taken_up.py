"""What lay on the shelf is in force from the first tick on, and what nobody wants any more is forgotten."""

import asyncio
from datetime import datetime, timedelta

import pytest

from predictscale.control.counterfactual import KEPT_S, CounterfactualMeter
from predictscale.control.metershelf import MeterShelf
from predictscale.control.shelf import ModelShelf
from predictscale.control.tracker import Tracker
from predictscale.core.capacity import Capacity
from predictscale.core.law import Mix
from predictscale.sources.cached import CachedSource
from scenes import GRID, MORNING, SIGNALS, Scene, settings_of

DAY = timedelta(days=1)


class Sizes:
    """Tells a lead time once it was woken."""

    def __init__(self) -> None:
        self.woken = 0
        self.capacity: Capacity | None = None

    async def wake(self) -> None:
        """Count."""
        self.woken += 1

    def lead_time_at(self, at: datetime) -> float | None:
        """Another one than the owner's."""
        return 600.0 if self.woken and at >= MORNING else None

    def capacity_at(self, at: datetime, *, mix: Mix | None) -> Capacity | None:
        """The owner's."""
        return self.capacity if at >= MORNING or mix else None

    def notes_at(self, at: datetime) -> tuple[str, ...]:
        """None."""
        return () if at >= MORNING else ("early",)

    def start_due(self, at: datetime) -> None:
        """Nothing is."""

    async def settled(self) -> None:
        """At once."""

    async def stop(self) -> None:
        """At once."""


async def test_what_was_measured_before_a_start_is_obeyed_although_history_cannot_be_read() -> None:
    scene, sizes = Scene(), Sizes()
    scene.source.down = True
    archive = CachedSource(scene.source, history=scene.history, workload="shop", clock=scene.clock)
    tracker = Tracker(
        settings_of(),
        SIGNALS,
        source=scene.source,
        archive=archive,
        fits=scene.fits,
        shelf=ModelShelf(scene.history, step_s=GRID.step_s),
        grid=GRID,
        turn=asyncio.Lock(),
        sizing=sizes,
    )
    first = await scene.run(tracker, ticks=1)
    assert tracker.reading().bins is None
    assert first.policy.lead_time_s == 600.0
    scene.source.down = False
    await scene.run(tracker, ticks=5)
    assert sizes.woken == 1


async def _books(scene: Scene) -> str:
    await MeterShelf(scene.history).put("prod/shop", CounterfactualMeter(), at=MORNING)
    return "prod/shop#counterfactual"


async def _model(scene: Scene) -> str:
    tracker = scene.tracker()
    await scene.run(tracker, ticks=2)
    await tracker.stop()
    return ModelShelf(scene.history, step_s=GRID.step_s)._key(settings_of(), "")


@pytest.mark.parametrize(("put", "useful"), [(_books, timedelta(seconds=KEPT_S)), (_model, timedelta(0))])
async def test_what_was_kept_for_settings_that_nobody_has_any_more_is_forgotten(
    put: object, useful: timedelta
) -> None:
    assert callable(put)
    scene = Scene()
    name = await put(scene)
    await scene.history.prune(MORNING + useful - DAY)
    assert await scene.history.blob_get(name) is not None
    await scene.history.prune(MORNING + useful + DAY)
    assert await scene.history.blob_get(name) is None


@pytest.mark.parametrize("head", [b"{}", b"[]", b'{"boundary": 7, "notes": []}', b'{"boundary": "soon"}'])
async def test_a_model_with_a_head_of_another_release_is_fitted_again_and_stops_no_decision(
    head: bytes,
) -> None:
    scene = Scene()
    name = await _model(scene)
    blob = await scene.history.blob_get(name)
    assert blob is not None
    await scene.history.blob_put(name, head + b"\n" + blob.partition(b"\n")[2])
    assert await ModelShelf(scene.history, step_s=GRID.step_s).get(settings_of()) is None
    assert (await scene.run(scene.tracker(), ticks=2)).forecast is not None
