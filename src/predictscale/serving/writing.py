"""What all routes that change anything share: who is there, what was sent, and the record that it leaves.

Asks who is there before it reads a word of the body. Each call leaves one record, done or refused, whatever
the route makes of it. Refuses to let a route decide who may write.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any

import structlog
from fastapi import HTTPException, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from predictscale.control.auditlog import DONE, AuditLog
from predictscale.core.demand import WorkloadId
from predictscale.errors import FileUnusable, RefuseMore, SettingsError
from predictscale.serving.tokens import SETTING, WriteTokens
from predictscale.serving.views import ProblemView

_log = structlog.get_logger(__name__)

MOST_BYTES = 16_384
"""The longest body that is read."""
_READ_WITHIN_S = 10.0
_LONGEST_OUTCOME = 500

Credentials = HTTPAuthorizationCredentials | None
Bearer = Annotated[
    Credentials,
    Security(HTTPBearer(auto_error=False, description=f"A token of the file {SETTING}.")),
]


@dataclass(slots=True, eq=False)
class Call:
    """A write call that may go on.

    Args:
        by: The name of the token.
        details: What the record tells of it; the route puts it in.
    """

    by: str
    details: dict[str, Any] = field(default_factory=dict)


class Writing:
    """Who may write, and the record of those who did or tried.

    Args:
        tokens: Who may; None if nobody.
        audit: Where records go.
        now: The present.
    """

    def __init__(self, *, tokens: WriteTokens | None, audit: AuditLog, now: Callable[[], datetime]) -> None:
        self.audit = audit
        self._tokens, self._now = tokens, now

    @property
    def possible(self) -> bool:
        """Whether anybody may write at all."""
        return self._tokens is not None

    @asynccontextmanager
    async def call(
        self, credentials: Credentials, action: str, workload: WorkloadId | None
    ) -> AsyncIterator[Call]:
        """The length of one write call, which leaves a record.

        Raises:
            HTTPException: Whoever calls may not write; or what the route raises inside.
        """
        call: Call | None = None
        # What ends a call otherwise is a bug, or its caller hung up.
        outcome = "refused: it was not brought to its end"
        try:
            call = Call(self._writer(credentials))
            with _refused():
                yield call
            outcome = DONE
        except HTTPException as refusal:
            outcome = f"refused: {refusal.status_code} {refusal.detail}"
            raise
        finally:
            # A caller that hangs up takes nothing off the record.
            await asyncio.shield(
                self.audit.note_call(
                    at=self._now(),
                    by=None if call is None else call.by,
                    action=action,
                    workload=workload,
                    details={} if call is None else call.details,
                    outcome=outcome[:_LONGEST_OUTCOME],
                )
            )

    def _writer(self, credentials: Credentials) -> str:
        """The name of who may write.

        Raises:
            HTTPException: It may not.
        """
        if self._tokens is None:
            raise HTTPException(
                403, f"writing is off: {SETTING} is not set; let it name a file of bearer tokens, one a line"
            )
        if credentials is None:
            wants = f"send Authorization: Bearer and a token of the file {SETTING}"
            raise HTTPException(
                401, f"Authorization: holds no bearer token; {wants}", headers={"WWW-Authenticate": "Bearer"}
            )
        try:
            name = self._tokens.owner(credentials.credentials)
        except FileUnusable as fault:
            raise HTTPException(503, f"{SETTING}: {fault}; nobody may write until that is mended") from None
        if name is None:
            raise HTTPException(
                401,
                f"Authorization: the bearer token is none of those that are good now; see {SETTING}",
                headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
            )
        return name


@contextmanager
def _refused() -> Iterator[None]:
    """What books refuse, in HTTP's words."""
    try:
        yield
    except SettingsError as wrong:
        raise HTTPException(422, "\n".join(map(str, wrong.problems))) from None
    except RefuseMore as full:
        raise HTTPException(409, str(full)) from None
    except FileUnusable as fault:
        _log.warning("what people ordered could not be changed", because=str(fault))
        raise HTTPException(503, f"nothing was changed: {fault}") from None


async def body_of(request: Request, *, one: str) -> bytes:
    """What was sent, as long as it is no longer than an order may be.

    Args:
        request: Of which.
        one: What is expected, as in `one event`.

    Raises:
        HTTPException: It is too long, or comes too slowly.
    """
    found = bytearray()
    try:
        async with asyncio.timeout(_READ_WITHIN_S):
            async for part in request.stream():
                found += part
                if len(found) > MOST_BYTES:
                    raise HTTPException(413, f"body: is longer than {MOST_BYTES} bytes; send {one}")
    except TimeoutError:
        raise HTTPException(408, f"body: did not come within {_READ_WITHIN_S:g} s") from None
    return bytes(found)


def fields_of(body: bytes, *, one: str) -> Mapping[str, Any]:
    """The fields of a body.

    Raises:
        HTTPException: It is not a mapping in JSON.
    """
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, f"body: is not JSON; must be {one}, a mapping") from None
    if not isinstance(fields, Mapping):
        raise HTTPException(422, f"body: is {type(fields).__name__}; must be {one}, a mapping")
    return fields


def write_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How these refusals are described to readers of the API."""
    said = {
        400: "Not JSON",
        404: "There is no such thing, or nothing of it yet",
        401: "No bearer token, or one that is not good",
        403: "Writing is off",
        408: "The body came too slowly",
        409: "It cannot be taken on now; the detail says why",
        413: "The body is too long",
        429: "Too many of these are under way",
        503: "A file of the service, or that of tokens, cannot be used now; nothing was changed",
    }
    schema = {"application/problem+json": {"schema": ProblemView.model_json_schema()}}
    return {status: {"description": said[status], "content": schema} for status in statuses}


def json_body(schema: Mapping[str, Any], *, required: bool = True) -> dict[str, Any]:
    """How a body that is read by hand is described to readers of the API.

    Args:
        schema: Of a model; what it refers to must be among the components already.
        required: Whether there must be one.
    """
    shown = {key: part for key, part in schema.items() if key != "$defs"}
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": shown}}}}
