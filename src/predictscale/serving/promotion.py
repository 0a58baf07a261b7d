"""What people are shown before they switch a workload on: the gate, each reason with its number.

Refuses to switch anything on: that is an order, with a token and a reason, see `serving.overrides`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from predictscale.config.settings import WorkloadSettings
from predictscale.control.shadow import ShadowMeter, Watched
from predictscale.control.whatif import Job, JobState
from predictscale.core.calendar import Calendar
from predictscale.core.counterfactual import Savings, Way
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision, Mode
from predictscale.core.promotion import (
    LEAST_DAYS,
    Evidence,
    Held,
    Replay,
    Rules,
    Standing,
    gate,
    week_swing,
)
from predictscale.core.series import MetricWindow
from predictscale.core.slo import DAY_S
from predictscale.errors import HoldTarget
from predictscale.serving.problems import problems
from predictscale.serving.readers import Latest, Readers

MOST_DAYS = 28.0
"""Accounts reach back no further [d]."""

_IMAGINED = (
    "ours is imagined: its starts take the lead time in force, and a queue that the fleet of today let grow "
    "counts for it too"
)
_FORGETFUL = "without cache.path what was recorded begins anew with every restart of the service"


@dataclass(frozen=True, slots=True, kw_only=True)
class PromotionDesk:
    """What the route works with.

    Args:
        meter: The record of a workload; None where there is none yet.
        settings_of: The settings of a workload that is followed; None of another.
        job: A replay by its id; None of one that is not known.
        persisted: Whether records outlive the process.
    """

    meter: Callable[[WorkloadId], ShadowMeter | None]
    settings_of: Callable[[WorkloadId], WorkloadSettings | None]
    job: Callable[[str], Job | None]
    persisted: bool


class ReasonView(BaseModel):
    """One rule's answer."""

    what: str = Field(description="The rule.")
    standing: Standing
    number: float | None = Field(description="What was read; null if that is not known.")
    threshold: float = Field(description="What is wanted of it.")
    unit: str = Field(description="Of both: `d`, `s`, `h`, `x` (times), or `1` for a share.")
    because: str
    must: bool = Field(description="Whether the gate stays shut without it; of the others it only tells.")


class HeldView(BaseModel):
    """What one way of scaling did in the judged time."""

    replica_hours: float
    late_share: float | None = Field(description="Share of work that waited too long; null if none came.")


class PromotionView(BaseModel):
    """Whether to switch a workload on, and why."""

    namespace: str
    workload: str
    mode: Mode
    promote: bool | None = Field(
        description="Null: no rule says no, and one that must be met cannot be answered."
    )
    days: float = Field(description="How many days are wanted, and judged at most.")
    since: datetime = Field(description="When its mode last changed, or recording began.")
    until: datetime = Field(description="The newest decision.")
    known_s: float = Field(description="How much of the judged time is accounted for.")
    unknown_s: float
    work_replica_hours: float | None = Field(
        description="What the work of that time takes of replicas under full load; null while nobody "
        "knows what one serves."
    )
    wait_s: float = Field(description="Work that waits longer is late.")
    ours: HeldView = Field(description="What the forecast's targets would have held.")
    now: HeldView = Field(description="What was held.")
    plain: HeldView = Field(description="What a plain HPA on the same metric would have held.")
    reasons: list[ReasonView]
    notes: list[str]


def add_promotion(
    one: APIRouter,
    desk: PromotionDesk,
    readers: Readers,
    latest: Latest,
) -> None:
    """The route of a workload's promotion.

    Args:
        one: The router of one workload.
        desk: What it works with.
        readers: Who shows a workload's data.
        latest: Its newest decision.
    """

    @one.get("/promotion", responses=problems(404, 409, 422))
    async def promotion(
        namespace: str,
        name: str,
        days: Annotated[
            float, Query(ge=LEAST_DAYS, le=MOST_DAYS, description="How many days in shadow are wanted.")
        ] = 7.0,
        replay: Annotated[
            str | None, Query(max_length=64, description="The id of a what-if replay that is done.")
        ] = None,
    ) -> PromotionView:
        """Whether what was recorded in shadow speaks for letting the forecast move the fleet."""
        newest = latest(namespace, name)
        settings, meter = desk.settings_of(newest.workload), desk.meter(newest.workload)
        watched = None if meter is None else meter.watched(span_s=days * DAY_S)
        if settings is None or watched is None:
            raise HTTPException(
                404, f"{newest.workload} has no record yet: it begins with its second decision"
            )
        reader = readers(newest.workload)
        reading = None if reader is None else reader.reading()
        replayed = None if replay is None else _replayed(desk, newest.workload, replay)
        swing = await to_thread.run_sync(_swing, None if reading is None else reading.bins, settings.calendar)
        rules = Rules(days=days)
        found = evidence(newest, settings, watched, swing=swing, replay=replayed)
        return _view(newest, watched, found, rules, persisted=desk.persisted)


def evidence(
    newest: Decision,
    settings: WorkloadSettings,
    watched: Watched,
    *,
    swing: float | None,
    replay: Replay | None,
) -> Evidence:
    """What is known of a workload, for the gate.

    Args:
        newest: Its newest decision.
        settings: What its owner wants.
        watched: What was recorded.
        swing: By how much weekends differ; see `core.promotion.week_swing`.
        replay: What a replay told; None without one.
    """
    policy, forecast = newest.policy, newest.forecast
    decided_s = max(watched.decided_s, 1e-9)
    step_s = min((each.lead_s for each in newest.outcomes), default=policy.lead_time_s)
    return Evidence(
        mode=watched.mode,
        lasted_s=(watched.until - watched.since).total_seconds(),
        known_s=watched.now.known_s,
        unknown_s=watched.now.unknown_s,
        doubt_share=watched.doubt_s / decided_s,
        longest_doubt_s=watched.longest_doubt_s,
        forecast_share=watched.forecast_s / decided_s,
        ceiling_share=watched.cut_s / decided_s,
        ours=_held(watched.ours, Way.OURS),
        now=_held(watched.now, Way.OURS),
        plain=_held(watched.now, Way.REACTIVE),
        outcome=watched.outcome,
        step_s=step_s if forecast is None else forecast.step_s,
        level=policy.level,
        lead_time_s=policy.lead_time_s,
        lead_measured=policy.configured_lead_time_s is not None,
        week_swing=swing,
        slo=settings.slo,
        replay=replay,
    )


def _held(savings: Savings, way: Way) -> Held:
    return Held(replica_h=savings.of(way).replica_h, late_share=savings.late_share(way))


def _swing(bins: MetricWindow | None, calendar: Calendar) -> float | None:
    return None if bins is None else week_swing(bins, calendar)


def _replayed(desk: PromotionDesk, workload: WorkloadId, job_id: str) -> Replay:
    """What a replay told of a workload.

    Raises:
        HTTPException: 404: there is none such; 409: it is of another, asked for other settings, or not done.
    """
    job = desk.job(job_id)
    if job is None:
        raise HTTPException(404, f"there is no replay {job_id[:40]!r}; ask for one with POST .../whatif")
    if job.workload != workload or job.asked.get("settings"):
        raise HTTPException(
            409, f"replay {job.id} is of {job.workload}, or of other settings than those in force"
        )
    if job.state is not JobState.DONE or job.result is None:
        raise HTTPException(409, f"replay {job.id} is {job.state}; ask again once it is done")
    told = job.result
    days = (told.until - told.start).total_seconds() / DAY_S
    return Replay(days=days, late_share=told.as_is.violation, replica_h=told.as_is.replica_hours)


def _view(
    newest: Decision, watched: Watched, found: Evidence, rules: Rules, *, persisted: bool
) -> PromotionView:
    verdict = gate(found, rules)
    return PromotionView(
        namespace=newest.workload.namespace,
        workload=newest.workload.name,
        mode=watched.mode,
        promote=verdict.promote,
        days=rules.days,
        since=watched.since,
        until=watched.until,
        known_s=found.known_s,
        unknown_s=found.unknown_s,
        work_replica_hours=_work(newest, watched.now.came),
        wait_s=watched.now.wait_s,
        ours=_told(found.ours),
        now=_told(found.now),
        plain=_told(found.plain),
        reasons=[
            ReasonView(
                what=reason.what,
                standing=reason.standing,
                number=reason.number,
                threshold=reason.threshold,
                unit=reason.unit,
                because=reason.because,
                must=reason.must,
            )
            for reason in verdict.reasons
        ],
        notes=[_IMAGINED, *(() if persisted else (_FORGETFUL,))],
    )


def _work(newest: Decision, came: float) -> float | None:
    try:
        return came / newest.policy.capacity.per_replica / 3600
    except HoldTarget:
        return None


def _told(held: Held) -> HeldView:
    return HeldView(replica_hours=held.replica_h, late_share=held.late_share)
