"""The history of a workload's demand as models see it, bin by bin.

Four weeks of one-minute bins are 40,000 numbers, which takes a processor longer to write down than an
answer to KEDA may wait; so it is done beside the event loop, in pieces. Refuses to fill gaps: null is
not known.
"""

import asyncio
import json
import math
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, Field

from predictscale.core.series import MetricWindow
from predictscale.serving.conditional import tag_of
from predictscale.serving.readers import Latest, Readers, reading_of

MOST_HOURS = 672
_PIECE = 1000


class DemandView(BaseModel):
    """Bins of demand, oldest first."""

    unit: str
    step_s: float
    start: float = Field(description="Where the first bin begins, seconds since the epoch.")
    values: list[float | None] = Field(description="Mean demand of each bin, per second; null is not known.")


def add_demand(one: APIRouter, readers: Readers, latest: Latest) -> None:
    """The route of a workload's demand.

    Args:
        one: The router of one workload.
        readers: Who shows its data.
        latest: Its newest decision.
    """

    @one.get("/demand", response_model=DemandView)
    async def demand(
        namespace: str,
        name: str,
        hours: Annotated[int, Query(ge=1, le=MOST_HOURS, description="Of the newest history.")] = 24,
    ) -> Response:
        """The history of demand, in the bins that models are fitted on."""
        newest = latest(namespace, name)
        reading = reading_of(readers, newest)
        if reading.bins is None:
            why = "; ".join(newest.notes) or "it is being read"
            raise HTTPException(404, f"{namespace}/{name} has no history yet: {why}")
        bins = reading.bins.between(reading.bins.end - timedelta(hours=hours), reading.bins.end)
        body = await asyncio.to_thread(demand_json, bins, unit=reading.unit)
        tag = await asyncio.to_thread(tag_of, body)
        return Response(body, media_type="application/json", headers={"ETag": tag})


def demand_json(bins: MetricWindow, *, unit: str) -> bytes:
    """Bins as JSON of a `DemandView`.

    Between its pieces other threads may run, as they may not while one piece is written down.
    """
    head = {"unit": unit, "step_s": bins.step_s, "start": bins.start.timestamp()}
    pieces = (bins.values[place : place + _PIECE].tolist() for place in range(0, len(bins), _PIECE))
    told = (json.dumps([None if math.isnan(v) else v for v in piece])[1:-1] for piece in pieces)
    return f'{json.dumps(head)[:-1]}, "values": [{", ".join(told)}]}}'.encode()
