"""What a workload's grid emits: a constant, or what a query or a file tells, read every few minutes.

A file is one that others keep fresh; nothing is fetched here. Refuses to let an old number
stand for the present: what could not be read again is told for as long as its source says, and no longer.
"""

import asyncio
import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import structlog

from predictscale.config.costs import GridSettings
from predictscale.control.errand import Errand
from predictscale.core.carbon import Intensity
from predictscale.core.intensity import GridIntensity, electricity_maps, from_series, watttime
from predictscale.core.series import floor_to_grid
from predictscale.errors import DAMAGE, AnswerUnusable, HoldTarget
from predictscale.sources.base import EachSource

_log = structlog.get_logger(__name__)

EVERY_S = 300.0
"""Between readings, and the width of a query's bins [s]."""
_LOOK_BACK_S = 3600.0
_READING_S = 60.0
"""A bin is told for so long beyond its time, for the reading of the next one takes a while [s]."""
_UNREADABLE: tuple[type[Exception], ...] = (HoldTarget, *DAMAGE)


class GridWatch:
    """Of one workload.

    Args:
        grid: What its owner says.
        source: Where a query is asked; None if it cannot be, as in a replay.
    """

    def __init__(self, grid: GridSettings, *, source: EachSource | None = None) -> None:
        self._grid, self._source = grid, source
        self._known: GridIntensity | None = grid.fixed()
        self._constant = self._known is not None
        self._tried: datetime | None = None
        self._problem = ""
        self._work = Errand()

    def at(self, now: datetime) -> Intensity | None:
        """The intensity of an instant; None if it is not known."""
        return None if self._known is None else self._known.at(now)

    def start_due(self, at: datetime) -> None:
        """Read anew in the background, if it is time."""
        due = floor_to_grid(at, EVERY_S)
        if self._constant or due == self._tried or self._work.busy:
            return
        self._tried = due
        self._work.start(self._look(at))

    async def settled(self) -> None:
        """Return once the reading under way, if there is one, has ended."""
        await self._work.settled()

    async def stop(self) -> None:
        """End it."""
        await self._work.cancel()

    async def _look(self, at: datetime) -> None:
        try:
            self._known = await self._read(at)
        except _UNREADABLE as missing:
            if self._problem != str(missing):
                _log.warning("the grid's intensity could not be read", because=str(missing))
            self._problem = str(missing)
            return
        self._problem = ""

    async def _read(self, at: datetime) -> GridIntensity:
        """What is told now.

        Raises:
            HoldTarget: The source does not tell it.
            OSError: The file cannot be read.
            ValueError: It is no JSON.
        """
        grid = self._grid
        if grid.query is not None:
            return await self._asked(grid.query, at)
        if grid.electricity_maps_file is not None:
            return electricity_maps(await _json(grid.electricity_maps_file))
        assert grid.watttime_file is not None  # noqa: S101 - settings have one way, and no constant is read
        return watttime(await _json(grid.watttime_file))

    async def _asked(self, query: str, at: datetime) -> GridIntensity:
        if self._source is None:
            raise AnswerUnusable(f"price.grid.query: {query}: this source answers no further queries")
        end = floor_to_grid(at, EVERY_S)
        told = await self._source.read_each(
            query, start=end - timedelta(seconds=_LOOK_BACK_S), end=end, step_s=EVERY_S
        )
        if len(told) != 1:
            raise AnswerUnusable(f"price.grid.query: {query}: gives {len(told)} series; one is the grid's")
        known = from_series(told[0].window, unit=self._grid.unit, accounting=self._grid.accounting)
        return replace(known, holds_s=known.holds_s + _READING_S)


async def _json(path: str) -> object:
    return json.loads(await asyncio.to_thread(Path(path).read_text, encoding="utf-8"))
