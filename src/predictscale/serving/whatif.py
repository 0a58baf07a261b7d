"""What-if questions over REST: put in line, looked at, answered.

They change nothing, so they need no token; how many may wait is bounded instead. Refuses to compute: who
answers is handed in.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Protocol

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel, Field

from predictscale.config.settings import WorkloadSettings
from predictscale.config.whatif import WhatIfOrder
from predictscale.control.whatif import KEPT_S, Job, JobState, Replayed, Told, WhatIfQueue
from predictscale.core.demand import WorkloadId
from predictscale.errors import AnswerUnavailable, AskOwner, RefuseMore
from predictscale.serving.writing import body_of, fields_of, json_body, write_problems

_ONE = "a what-if question"
_REFERENCE = "#/components/schemas/{model}"
_AGAIN_S = 60
"""When one who found the line full should ask again [s]."""


class Answers(Protocol):
    """Who has questions answered: `bootstrap.whatif.WhatIfs`."""

    @property
    def queue(self) -> WhatIfQueue:
        """Where they stand in line."""
        ...

    def ask(self, settings: WorkloadSettings, fields: Mapping[str, Any]) -> Job:
        """Put a question in line.

        Raises:
            AskOwner: It cannot be asked; all problems at once.
            AnswerUnavailable: It cannot be answered now.
            RefuseMore: Too many wait.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIfDesk:
    """What the routes work with.

    Args:
        answers: Who answers.
        settings_of: The settings of a workload that is followed; None of another.
    """

    answers: Answers
    settings_of: Callable[[WorkloadId], WorkloadSettings | None]


class ScoreView(BaseModel):
    """What one policy did in the replayed days."""

    policy: str = Field(description="`predictscale` is ours.")
    violation: float = Field(description="Share of demand that waited too long.")
    replica_hours: float = Field(description="What is paid for, from request to removal.")
    cost_to_clairvoyant: float = Field(
        description="Replica-hours as a multiple of the cheapest plan with perfect knowledge."
    )
    cost_to_static: float = Field(
        description="The same of a fixed fleet for the highest demand that came in those days."
    )
    scale_events: int = Field(description="How often the fleet's size was changed.")
    settings: str = Field(description="What was in force at the end, in words; empty of others than ours.")


class WhatIfResultView(BaseModel):
    """What came of a replay."""

    from_: datetime = Field(alias="from", description="Where the replayed days begin.")
    until: datetime = Field(description="Where they end.")
    as_is: ScoreView = Field(description="With the settings as they are, and the measured lead time.")
    changed: ScoreView = Field(description="With those that were asked for.")
    rivals: list[ScoreView] = Field(
        description="Others in the circumstances of `changed`: a fixed fleet, a plain HPA, a tuned one."
    )
    forecasters: list[str] = Field(description="The chain that forecast.")
    wait_s: float = Field(description="Demand that waits longer is late, as `changed` has it on either side.")
    notes: list[str] = Field(description="What a reader should know.")


class WhatIfView(BaseModel):
    """A what-if question, and its answer once there is one."""

    id: str
    state: JobState
    progress: float = Field(description="The share that is done, from 0 to 1.")
    ahead: int = Field(description="How many stand before it in line.")
    workload: str = Field(description="NAMESPACE/NAME.")
    asked: dict[str, Any] = Field(description="What was asked, as it was written.")
    asked_at: datetime
    result: WhatIfResultView | None = Field(description="Null until it is done.")
    error: str | None = Field(description="Why it failed; null if it did not.")


def add_what_if(
    one: APIRouter, together: APIRouter, desk: WhatIfDesk, *, unknown: Callable[[WorkloadId], str]
) -> None:
    """The routes of what-if questions.

    Args:
        one: The router of one workload.
        together: The router of what is about no one workload.
        desk: What they work with.
        unknown: What is said of a workload that is not followed.
    """

    @one.post(
        "/whatif",
        status_code=202,
        responses=write_problems(400, 408, 409, 413, 429),
        openapi_extra=json_body(WhatIfOrder.model_json_schema(ref_template=_REFERENCE)),
    )
    async def ask(namespace: str, name: str, request: Request, response: Response) -> WhatIfView:
        """Replay the last days with other settings, in the background; see Location for the answer."""
        workload = WorkloadId(namespace, name)
        settings = desk.settings_of(workload)
        if settings is None:
            raise HTTPException(404, unknown(workload))
        fields = fields_of(await body_of(request, one=_ONE), one=_ONE)
        try:
            job = desk.answers.ask(settings, fields)
        except AskOwner as wrong:
            raise HTTPException(422, str(wrong)) from None
        except AnswerUnavailable as early:
            raise HTTPException(409, str(early)) from None
        except RefuseMore as full:
            raise HTTPException(429, str(full), headers={"Retry-After": str(_AGAIN_S)}) from None
        response.headers["Location"] = f"/api/v1/whatif/{job.id}"
        return _view(job, desk.answers.queue)

    @together.get("/whatif/{id}", responses=write_problems(404))
    async def look(id: str) -> WhatIfView:  # noqa: A002 - the name in the path
        """How far a replay is, and what came of it. Results are kept for an hour."""
        job = desk.answers.queue.get(id)
        if job is None:
            asked = "by the replica of the service that was asked, and not across a restart"
            kept = f"results are kept for {KEPT_S / 60:.0f} minutes, {asked}"
            raise HTTPException(404, f"there is no replay {id[:40]!r}; {kept}")
        return _view(job, desk.answers.queue)


def _view(job: Job, queue: WhatIfQueue) -> WhatIfView:
    return WhatIfView(
        id=job.id,
        state=job.state,
        progress=round(job.progress, 3),
        ahead=queue.ahead_of(job),
        workload=str(job.workload),
        asked=dict(job.asked),
        asked_at=job.asked_at,
        result=None if job.result is None else _result(job.result),
        error=job.error,
    )


def _result(found: Replayed) -> WhatIfResultView:
    return WhatIfResultView.model_validate(
        {
            "from": found.start,
            "until": found.until,
            "as_is": _score(found.as_is),
            "changed": _score(found.changed),
            "rivals": [_score(each) for each in found.rivals],
            "forecasters": list(found.forecasters),
            "wait_s": found.wait_s,
            "notes": list(found.notes),
        }
    )


def _score(told: Told) -> ScoreView:
    return ScoreView.model_validate(asdict(told))
