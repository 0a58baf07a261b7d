"""Errors over REST, all of one shape: RFC 9457's.

What went wrong in the service itself stands in its log, never in an answer: a stack trace tells
strangers what it is made of. Refuses to invent a status: what a handler raised is what is told.
"""

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from predictscale.serving.views import ProblemView

_log = structlog.get_logger(__name__)

PROBLEM_TYPE = "application/problem+json"

_LONGEST_PATH = 200
"""As much of a path is said again."""
_TITLES = {
    400: "Bad request",
    401: "Not authenticated",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    408: "Timed out",
    409: "Conflict",
    413: "Too long",
    422: "Invalid request",
    429: "Too many requests",
    500: "Our own fault",
    503: "Unavailable",
}
_SAID = {
    404: "There is no such workload, or nothing of it yet",
    409: "It cannot be done as things stand",
    422: "A parameter is not what it must be",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The descriptions of errors that a route may answer, for OpenAPI."""
    schema = {PROBLEM_TYPE: {"schema": ProblemView.model_json_schema()}}
    return {status: {"description": _SAID[status], "content": schema} for status in statuses}


def tell_problems(app: FastAPI) -> None:
    """Let every error of the application be told so."""
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _failed)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class alone
    detail, path = str(error.detail), request.url.path[:_LONGEST_PATH]
    match error.status_code, detail:  # the words of whoever routes, which name nothing
        case 404, "Not Found":
            detail = f"there is nothing at {path}; /openapi.json tells what there is"
        case 405, "Method Not Allowed":
            detail = f"{path} does not take {request.method}; /openapi.json tells what it takes"
    return _problem(error.status_code, detail, error.headers)


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class alone
    details = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
    return _problem(422, details)


async def _failed(request: Request, error: Exception) -> JSONResponse:
    _log.error("a request failed", method=request.method, path=request.url.path, error=type(error).__name__)
    return _problem(500, "the service could not answer; its log says why")


def _problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    view = ProblemView(title=_TITLES.get(status, "Error"), status=status, detail=detail)
    return JSONResponse(view.model_dump(), status_code=status, headers=headers, media_type=PROBLEM_TYPE)
