"""The API's own description: what FastAPI reads off the routes, and what holds for all of them.

Paths say what a route is about, so tags, the names in paths, entity tags and examples are laid over
here, and no route repeats them. Examples were recorded from a running service and lie beside this
module. Refuses to describe by hand what the code says already.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Response
from fastapi.openapi.utils import get_openapi

from predictscale.serving.problems import PROBLEM_TYPE
from predictscale.serving.views import ProblemView

EXAMPLES = "api-examples.json"
"""The file of recorded examples, in this package."""

_JSON = "application/json"
_METHODS = ("get", "post", "put", "delete")
_ONE = "/api/v1/workloads/{namespace}/{name}"
_NAMES = {
    "namespace": "The workload's namespace.",
    "name": "The workload's name within it.",
    "event": "What announcing it answered as its `id`.",
    "id": "What asking answered as its `id`.",
}
_TIME = "2026-03-02T06:34:00Z"
_GIVEN: Mapping[str, Any] = {
    "namespace": "demo",
    "state": ["demoted", "stale"],
    "q": "chat",
    "at": _TIME,
    "before": _TIME,
    "until": _TIME,
    "replay": "4eebb2b246aae636",
}
"""Examples of parameters that recorded calls do not use."""
_TAGS = {
    "fleet": "All workloads together.",
    "workload": "One workload: its numbers now, and the decision behind them.",
    "past": "What was decided, forecast and seen, as it was then.",
    "models": "Who forecasts, how well, and from what data.",
    "replicas": "What a replica serves, how long it takes to start, which floors and pools there are.",
    "money": "Costs, savings, budgets.",
    "events": "Planned events that decisions obey.",
    "control": "What people may tell a workload, and the record of it.",
    "what-if": "Replays of the past with other settings.",
    "probes": "For Kubernetes.",
}
_TAG_OF = {
    "decision": "workload",
    "forecast": "workload",
    "tuning": "workload",
    "history": "past",
    "timeline": "past",
    "demand": "past",
    "models": "models",
    "accuracy": "models",
    "quality": "models",
    "capacity": "replicas",
    "lead-time": "replicas",
    "floors": "replicas",
    "pools": "replicas",
    "cost": "money",
    "costs": "money",
    "savings": "money",
    "events": "events",
    "overrides": "control",
    "pause": "control",
    "mode": "control",
    "promotion": "control",
    "refit": "control",
    "audit-log": "control",
    "whatif": "what-if",
    "healthz": "probes",
    "readyz": "probes",
}
_HEADERS = {
    "ETag": "The same as long as nothing but ages has changed.",
    "Age": "Seconds since the newest decision that the answer tells, where it tells one.",
}
_NOT_MODIFIED = {"description": "What If-None-Match named still holds, but for its ages"}


def describe(app: FastAPI) -> None:
    """Give an application its description, and the route that tells it."""
    described: list[bytes] = []
    app.openapi = lambda: document(app)  # type: ignore[method-assign]  # as FastAPI's manual has it

    @app.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        if not described:
            # It takes a tenth of a second, and KEDA may ask meanwhile.
            described.append(json.dumps(await asyncio.to_thread(app.openapi)).encode())
        return Response(described[0], media_type=_JSON)


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document of an application, with what holds for all of its routes."""
    described = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
    described["tags"] = [{"name": name, "description": said} for name, said in _TAGS.items()]
    components = described.setdefault("components", {}).setdefault("schemas", {})
    components["ProblemView"] = ProblemView.model_json_schema()
    examples = recorded()
    for path, method, operation in operations(described):
        operation["tags"] = [_tag(path)]
        operation["operationId"] = _operation_id(path, method)
        _name_parameters(operation)
        _share_problems(operation)
        if method == "get":
            _promise_tags(path, operation)
        _show(operation, examples.get(f"{method.upper()} {path}"))
    return described


def operations(described: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every path, method and operation of a document."""
    for path, methods in described["paths"].items():
        for method in _METHODS:
            if method in methods:
                yield path, method, methods[method]


@cache
def recorded() -> Mapping[str, Any]:
    """The recorded examples by method and path; none where none were recorded yet."""
    file = files("predictscale.serving").joinpath(EXAMPLES)
    found: Mapping[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return found


def _tag(path: str) -> str:
    parts = path.removeprefix(_ONE).removeprefix("/api/v1").strip("/").split("/")
    if path == _ONE:
        return "workload"
    return _TAG_OF.get(parts[0], "fleet")


def _operation_id(path: str, method: str) -> str:
    words = [part.strip("{}") for part in path.removeprefix("/api/v1").split("/") if part]
    return "-".join((method, *words))


def _name_parameters(operation: Mapping[str, Any]) -> None:
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path" and parameter["name"] in _NAMES:
            parameter["description"] = _NAMES[parameter["name"]]


def _share_problems(operation: Mapping[str, Any]) -> None:
    """All errors have one shape, so the document holds it once."""
    for answer in operation["responses"].values():
        problem = answer.get("content", {}).get(PROBLEM_TYPE)
        if problem is not None:
            problem["schema"] = {"$ref": "#/components/schemas/ProblemView"}


def _promise_tags(path: str, operation: dict[str, Any]) -> None:
    """What `serving.conditional` does to every answer of the API."""
    good = operation["responses"].get("200")
    if good is None or not path.startswith("/api/v1/"):
        return
    good["headers"] = {
        name: {"description": said, "schema": {"type": "string"}} for name, said in _HEADERS.items()
    }
    operation["responses"]["304"] = _NOT_MODIFIED


def _show(operation: dict[str, Any], example: Mapping[str, Any] | None) -> None:
    """Lay a recorded call over the operation that it was of."""
    if example is None:
        return
    # Pages are asked for by what the page before answered.
    told = example["answer"] if isinstance(example["answer"], dict) else {}
    following = {} if told.get("next") is None else dict.fromkeys(("cursor", "before"), told["next"])
    for parameter in operation.get("parameters", ()):
        given = {**_GIVEN, **following, **example["parameters"]}.get(parameter["name"])
        if given is not None:
            parameter["example"] = given
    body = operation.get("requestBody", {}).get("content", {}).get(_JSON)
    if body is not None and "body" in example:
        body["example"] = example["body"]
    answer = operation["responses"].get(str(example["status"]), {}).get("content", {}).get(_JSON)
    if answer is not None:
        answer["example"] = example["answer"]
