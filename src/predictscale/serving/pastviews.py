"""The shapes of what REST tells of past decisions: a page of them, and a timeline.

Decisions and forecasts have the shapes of `views`, past or present. Refuses zeros for what was not known.
"""

from datetime import datetime

from pydantic import BaseModel, Field

from predictscale.core.plan import Health
from predictscale.core.state import Mark
from predictscale.serving.views import DecisionView

_Numbers = list[float | None]
_Counts = list[int | None]


class ArchiveView(BaseModel):
    """How the archive of past decisions fares."""

    on_disk: bool = Field(description="Whether it survives a restart.")
    problem: str | None = Field(
        description="Why it cannot be read or written now: full, read-only, locked, damaged, schema, io; "
        "null if it can."
    )
    dropped: int = Field(description="Decisions since the start that were lost to that.")


class HistoryView(BaseModel):
    """Past decisions, newest first, as they were told when they were made."""

    namespace: str
    workload: str
    decisions: list[DecisionView]
    next: datetime | None = Field(description="Pass it as `before` for the next page; null on the last.")
    oldest: datetime | None = Field(description="The oldest instant that is kept.")
    archive: ArchiveView


class TimelineView(BaseModel):
    """Kept decisions as columns, oldest first, one row a step; null is unknown, or that nothing was kept."""

    namespace: str
    workload: str
    unit: str = Field(description="What demand and its forecasts count.")
    step_s: int = Field(description="Between rows.")
    since: datetime
    until: datetime
    oldest: datetime | None = Field(description="The oldest instant that is kept.")
    lead_time_s: float | None = Field(description="The newest decision's; null if none is kept.")
    level: float | None = Field(description="The quantile it covers.")
    at: list[int] = Field(description="Where each step begins, in seconds since the epoch.")
    demand: _Numbers = Field(
        description="Offered load: mean of the step, once it is known; until then what a decision saw."
    )
    median: _Numbers = Field(
        description="Demand as it had been forecast for this step, about a lead time before; highest of the "
        "step."
    )
    p90: _Numbers = Field(description="Likewise, the 0.9 quantile.")
    p95: _Numbers = Field(description="Likewise, the 0.95 quantile.")
    p99: _Numbers = Field(description="Likewise, the 0.99 quantile.")
    high: _Numbers = Field(description="Likewise, the quantile that the workload's policy covered then.")
    target: _Counts = Field(description="Replicas wanted; last of the step.")
    published: _Counts = Field(
        description="What the HPA was told, last of the step; null with `unavailable` in `marks`: it was "
        "told UNAVAILABLE."
    )
    reactive: _Counts = Field(description="Wanted without a forecast.")
    plain: _Counts = Field(description="What a plain HPA on the same metric would have asked for.")
    replicas: _Counts = Field(description="Those there were.")
    ready: _Counts = Field(description="Those that served.")
    health: list[Health | None] = Field(description="The worst of the step.")
    marks: list[list[Mark] | None] = Field(
        description="What else held at any time of the step; null where nothing was kept, or an earlier "
        "version kept it."
    )
    archive: ArchiveView
