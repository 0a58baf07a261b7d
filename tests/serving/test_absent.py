"""What a reader is told that prefers absence to be no error."""

import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from predictscale.serving.absent import PREFERENCE, AbsentAsked

_PROBLEM = {"type": "about:blank", "title": "Not found", "status": 404, "detail": "it has no pools"}


def _answer(status: int, media_type: str) -> TestClient:
    async def route(_: object) -> Response:
        if media_type.startswith("text"):
            return PlainTextResponse("no", status_code=status)
        return JSONResponse({**_PROBLEM, "status": status}, status_code=status, media_type=media_type)

    return TestClient(AbsentAsked(Starlette(routes=[Route("/pools", route)])))


@pytest.mark.parametrize("preference", [PREFERENCE, f"respond-async, {PREFERENCE}", "Problem=OK"])
def test_whoever_prefers_it_is_told_of_absence_without_an_error(preference: str) -> None:
    answer = _answer(404, "application/problem+json").get("/pools", headers={"Prefer": preference})

    assert answer.status_code == 200
    assert answer.json() == _PROBLEM
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.headers["preference-applied"] == PREFERENCE
    assert answer.headers["vary"] == "Prefer"


@pytest.mark.parametrize("headers", [{}, {"Prefer": "respond-async"}, {"Prefer": "problem=not"}])
def test_whoever_does_not_ask_is_told_404(headers: dict[str, str]) -> None:
    answer = _answer(404, "application/problem+json").get("/pools", headers=headers)

    assert answer.status_code == 404
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize(
    ("status", "media_type"),
    [(404, "text/plain"), (422, "application/problem+json"), (503, "application/problem+json")],
)
def test_any_other_failure_stays_one(status: int, media_type: str) -> None:
    answer = _answer(status, media_type).get("/pools", headers={"Prefer": PREFERENCE})

    assert answer.status_code == status
