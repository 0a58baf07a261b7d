"""The record of write calls over REST: who changed what, when, and who tried. Refuses to change it."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query
from pydantic import BaseModel, Field

from predictscale.control.auditlog import KEPT, AuditLog, AuditRecord


class AuditRecordView(BaseModel):
    """One write call."""

    id: str = Field(description="What `before` is given as, for older ones.")
    at: datetime
    by: str | None = Field(description="The name of the token; null if it came with none that is good.")
    action: str = Field(description="event add, event remove, pause, pause end, mode, mode end, or refit.")
    workload: str | None = Field(description="NAMESPACE/NAME.")
    details: dict[str, Any] = Field(
        description="What was asked for, as far as it was understood. `unrecorded`: how many calls by nobody "
        "came before it that are only counted."
    )
    outcome: str = Field(description="`done`, or `refused: ` and why.")


class AuditLogView(BaseModel):
    """Write calls, newest first."""

    records: list[AuditRecordView]
    next: str | None = Field(description="Give it as `before` for older ones; null if no more are in memory.")
    note: str = Field(
        description="What a reader should know of how they are kept; empty if there is nothing."
    )


def add_audit_log(together: APIRouter, audit: AuditLog) -> None:
    """The route of the record.

    Args:
        together: The router of what is about no one workload.
        audit: The record.
    """

    @together.get("/audit-log")
    async def audit_log(
        limit: Annotated[int, Query(ge=1, le=KEPT, description="How many at most.")] = 100,
        before: Annotated[
            str | None, Query(max_length=60, description="The id of a record: only older ones.")
        ] = None,
    ) -> AuditLogView:
        """Every write call, accepted or refused, newest first."""
        try:
            records, more = await audit.records(limit=limit, before=before)
        except KeyError:
            raise HTTPException(422, f"before: {before!r} is none of the records in memory") from None
        return AuditLogView(records=[_view(each) for each in records], next=more, note=audit.note)


def _view(record: AuditRecord) -> AuditRecordView:
    return AuditRecordView(
        id=record.id,
        at=record.at,
        by=record.by,
        action=record.action,
        workload=record.workload,
        details=dict(record.details),
        outcome=record.outcome,
    )
