"""What the grid of a workload emits, from whoever tells it."""

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from predictscale.config.costs import GridSettings
from predictscale.control.gridwatch import EVERY_S, GridWatch
from predictscale.core.carbon import Accounting
from predictscale.core.intensity import IntensityUnit
from predictscale.core.series import MetricWindow
from predictscale.errors import SourceUnavailable
from predictscale.sources.base import Labelled
from worlds import NOON, at


class Told:
    """A source with some series of one query, all of one value."""

    def __init__(self, *values: float) -> None:
        self.values, self.down = values, False
        self.asked: list[str] = []

    async def read_each(
        self, query: str, *, start: datetime, end: datetime, step_s: float
    ) -> tuple[Labelled, ...]:
        self.asked.append(query)
        if self.down:
            raise SourceUnavailable("switched off")
        bins = round((end - start).total_seconds() / step_s)
        return tuple(
            Labelled({"zone": str(i)}, MetricWindow(start, step_s, np.full(bins, value)))
            for i, value in enumerate(self.values)
        )


async def looked(watch: GridWatch, second: float = 0) -> float | None:
    """What it tells at an instant, having looked if it was due."""
    watch.start_due(at(second))
    await watch.settled()
    found = watch.at(at(second))
    return None if found is None else found.g_per_kwh


def latest(stamp: datetime, grams: float) -> str:
    return json.dumps({"zone": "DE", "carbonIntensity": grams, "datetime": stamp.isoformat()})


async def test_a_constant_is_told_and_nobody_is_asked() -> None:
    source = Told(1.0)
    watch = GridWatch(GridSettings(constant_g_per_kwh=380), source=source)
    assert watch.at(NOON) is not None
    assert await looked(watch) == 380
    assert source.asked == []
    assert not watch._work.busy
    await watch.stop()


async def test_a_query_is_asked_every_few_minutes_and_an_old_answer_is_none() -> None:
    source = Told(1000.0)
    grid = GridSettings(query="moer", unit=IntensityUnit.LBS_PER_MWH, accounting=Accounting.MARGINAL)
    watch = GridWatch(grid, source=source)
    assert watch.at(NOON) is None
    assert await looked(watch) == pytest.approx(453.59237)
    assert await looked(watch, 299) == pytest.approx(453.59237)
    assert source.asked == ["moer"]
    source.values = (500.0,)
    assert await looked(watch, 300) == pytest.approx(226.796185)
    found = watch.at(at(300))
    assert found is not None
    assert found.accounting is Accounting.MARGINAL
    source.down = True
    # The newest bin ends at 300 s and holds for as long as it is wide, and a reading lasts.
    assert await looked(watch, 300 + EVERY_S + 59) == pytest.approx(226.796185)
    assert await looked(watch, 300 + EVERY_S + 60) is None
    source.down = False
    assert await looked(watch, 300 + 2 * EVERY_S) == pytest.approx(226.796185)


async def test_a_number_stays_while_the_next_one_is_read() -> None:
    watch = GridWatch(GridSettings(query="moer"), source=Told(400.0))
    for second in range(0, 1800, 15):
        # A tick is told before what it starts has been read.
        assert second == 0 or watch.at(at(second)) is not None, second
        watch.start_due(at(second))
        await watch.settled()


@pytest.mark.parametrize("values", [(), (100.0, 200.0)])
async def test_a_query_that_gives_another_number_of_series_than_one_tells_nothing(
    values: tuple[float, ...],
) -> None:
    assert await looked(GridWatch(GridSettings(query="moer"), source=Told(*values))) is None
    assert await looked(GridWatch(GridSettings(query="moer"))) is None


async def test_a_file_is_read_again_and_a_broken_one_leaves_what_was_told(tmp_path: Path) -> None:
    path = tmp_path / "maps.json"
    watch = GridWatch(GridSettings(electricity_maps_file=str(path)))
    assert await looked(watch) is None
    path.write_text(latest(NOON, 410))
    assert await looked(watch, 10) is None  # not due yet
    assert await looked(watch, 300) == 410
    path.write_text("half a fi")
    assert await looked(watch, 600) == 410
    path.write_text(latest(NOON, 410).replace("410", "1" * 400))
    assert await looked(watch, 900) == 410
    assert watch._problem
    assert await looked(watch, 3600) is None  # an hour's number is no longer the present's
    path.write_text(latest(NOON + timedelta(hours=1), 350))
    assert await looked(watch, 3900) == 350


async def test_a_file_of_watttime_tells_the_marginal_plant(tmp_path: Path) -> None:
    path = tmp_path / "watttime.json"
    meta = {"signal_type": "co2_moer", "units": "lbs_co2_per_mwh", "region": "CAISO_NORTH"}
    path.write_text(json.dumps({"meta": meta, "data": [{"point_time": NOON.isoformat(), "value": 1000.0}]}))
    watch = GridWatch(GridSettings(watttime_file=str(path)))
    assert await looked(watch) == pytest.approx(453.59237)
    found = watch.at(NOON)
    assert found is not None
    assert found.accounting is Accounting.MARGINAL
