"""Small charts for the fleet's list: the last hour's demand, and the forecast that follows.

A page asks for those of the rows that it shows, a hundred at most, each a few hundred numbers read
off what is in memory. Refuses to draw over gaps: what is not known is null.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Decision
from predictscale.core.series import Floats, MetricWindow, floor_to_grid
from predictscale.serving.problems import problems
from predictscale.serving.rows import Asides

MOST_SPARKS = 100
SPAN_S = 3600.0
"""How far back a spark reaches, and how far ahead at most [s]."""
FINEST_S = 60.0
"""Narrower bins are averaged [s]."""

_MADE_AT_ONCE = 16
"""Sparks that are made before others may speak."""
_DIGITS = 5
"""Of a number; a chart of a few dozen pixels shows fewer."""
_MEDIAN = 0.5


class SparkView(BaseModel):
    """One workload's last hour, and what is expected."""

    unit: str
    step_s: float
    start: float = Field(description="Where the first value begins, epoch seconds.")
    demand: list[float | None] = Field(description="Per second; null where nothing is known.")
    level: float = Field(description="The quantile of `high`, which the workload is sized for.")
    ahead_start: float | None = Field(description="Epoch seconds; null without a forecast.")
    ahead_step_s: float | None
    median: list[float] = Field(description="Empty without a forecast.")
    high: list[float]


class SparksView(BaseModel):
    """Sparks by `namespace/name`."""

    sparks: dict[str, SparkView]
    unknown: list[str] = Field(description="Those that have no decision.")


def add_sparks(api: APIRouter, *, store: DecisionStore, asides: Asides, now: Callable[[], datetime]) -> None:
    """The route of the sparks.

    Args:
        api: Where it is added.
        store: Where forecasts are read.
        asides: Where demand is read.
        now: The present.
    """

    @api.get("/sparks", response_model=SparksView, responses=problems(422))
    async def sparks(
        w: Annotated[
            list[str],
            Query(
                min_length=1, max_length=MOST_SPARKS, description="`namespace/name`; given again for more."
            ),
        ],
    ) -> Response:
        """Demand of the last hour and the forecast ahead, for small charts."""
        at = now()
        found: dict[str, SparkView] = {}
        unknown = []
        for count, name in enumerate(dict.fromkeys(w), start=1):
            workload = WorkloadId(*name.partition("/")[::2])
            decision = store.latest(workload)
            if decision is None:
                unknown.append(name)
            else:
                found[name] = spark(decision, asides.bins(workload), now=at)
            if count % _MADE_AT_ONCE == 0:
                await asyncio.sleep(0)
        view = SparksView(sparks=found, unknown=unknown)
        return Response(view.model_dump_json(), media_type="application/json")


def spark(decision: Decision, bins: MetricWindow | None, *, now: datetime) -> SparkView:
    """One workload's spark."""
    level, forecast = decision.policy.level, decision.forecast
    step_s = FINEST_S if bins is None else max(FINEST_S, bins.step_s)
    end = floor_to_grid(now, step_s)
    start = end - timedelta(seconds=SPAN_S // step_s * step_s)
    ahead = None if forecast is None else min(forecast.steps, max(1, int(SPAN_S // forecast.step_s)))
    return SparkView.model_construct(
        unit=decision.unit,
        step_s=step_s,
        start=start.timestamp(),
        demand=_demand(bins, start=start, end=end, step_s=step_s),
        level=level,
        ahead_start=None if forecast is None else forecast.origin.timestamp(),
        ahead_step_s=None if forecast is None else forecast.step_s,
        median=_path(forecast, _MEDIAN, ahead),
        high=_path(forecast, level, ahead),
    )


def _demand(
    bins: MetricWindow | None, *, start: datetime, end: datetime, step_s: float
) -> list[float | None]:
    """The values of [start, end), a step each."""
    count = round((end - start) / timedelta(seconds=step_s))
    values = np.full(count, np.nan)
    if bins is not None:
        _lay(bins.between(start, end), values, start=start, step_s=step_s)
    return [None if value != value else value for value in _rounded(values)]  # noqa: PLR0124 - NaN


def _lay(bins: MetricWindow, values: Floats, *, start: datetime, step_s: float) -> None:
    """Averages of the bins by step, where they are known."""
    places = ((bins.stamps_s - start.timestamp()) / step_s + 1e-6).astype(np.int64)
    fits = bins.known & (places >= 0) & (places < values.size)
    sums = np.bincount(places[fits], weights=bins.values[fits], minlength=values.size)
    counts = np.bincount(places[fits], minlength=values.size)
    np.divide(sums, counts, out=values, where=counts > 0)


def _path(forecast: Forecast | None, level: float, steps: int | None) -> Sequence[float]:
    """One quantile ahead; nothing where it is not forecast."""
    if forecast is None or not forecast.levels[0] <= level <= forecast.levels[-1]:
        return []
    return _rounded(forecast.quantile(level)[:steps])


def _rounded(values: Floats) -> list[float]:
    """The same to as many digits as a chart can show."""
    with np.errstate(divide="ignore", invalid="ignore"):
        exponents = np.floor(np.log10(np.abs(values)))
    # Of what is nearly nothing, or more than anybody serves, the scale stays a number.
    scale = 10.0 ** (_DIGITS - 1 - np.clip(np.where(np.isnan(exponents), 0.0, exponents), -290, 290))
    rounded: list[float] = (np.round(values * scale) / scale).tolist()
    return rounded
