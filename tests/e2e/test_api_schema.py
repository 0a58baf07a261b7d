"""The API does what its description says, and every documented call works as it is printed."""

import asyncio
import json
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import jsonschema  # type: ignore[import-untyped]  # nobody publishes stubs with it
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS

from api_calls import CALLS, Call, shapes
from api_world import TOKEN, api_world
from patience import WITHIN_S, until
from predictscale.bootstrap import Service
from predictscale.serving.apipage import HOST, api_markdown, command
from predictscale.serving.openapi import operations, recorded

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
HELD = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
EXAMPLES = {GenerationMode.POSITIVE: 6, GenerationMode.NEGATIVE: 3}
"""Of each operation, by the kind of data; what is forbidden takes long to make."""


class Running:
    """A service of the API's world, on an event loop of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.service: Service | None = None

    def __enter__(self) -> str:
        self._thread.start()
        assert self._up.wait(2 * WITHIN_S)
        assert self.service is not None, "the world did not come about; its thread says why"
        return f"http://127.0.0.1:{self.service.http_port}"

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._told.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._up.set()

    async def _serve(self) -> None:
        self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
        async with api_world(self._folder) as self.service:
            self._up.set()
            await self._told.wait()


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Running(tmp_path_factory.mktemp("api")) as url:
        yield url


@pytest.fixture(scope="module")
def described(url: str) -> dict[str, Any]:
    found: dict[str, Any] = httpx2.get(f"{url}/openapi.json", timeout=WITHIN_S, trust_env=False).json()
    return found


def test_the_page_of_the_api_is_what_the_service_describes(described: Mapping[str, Any]) -> None:
    assert PAGE.read_text(encoding="utf-8") == api_markdown(described), (
        "write it anew: .venv/bin/python scripts/record-api-examples"
    )


def test_every_operation_says_all_that_a_caller_needs(described: Mapping[str, Any]) -> None:
    lacking = []
    for path, method, operation in operations(described):
        called = f"{method.upper()} {path}"
        if not (operation["summary"] and operation["description"] and operation["tags"]):
            lacking.append(f"{called}: no summary, description or tag")
        if called not in recorded():
            lacking.append(f"{called}: no recorded example; add it to tests/api_calls.py")
        for each in operation.get("parameters", ()):
            lacking += [
                f"{called}: parameter {each['name']} has no {said}"
                for said in ("description", "example")
                if not each.get(said) and each.get(said) != 0
            ]
        good = [
            answer for status, answer in operation["responses"].items() if status in ("200", "201", "202")
        ]
        for answer in good:
            content = answer.get("content", {}).get("application/json")
            if content is None or "$ref" not in content["schema"]:
                lacking.append(f"{called}: a good answer has no model")
        writes = method != "get" and not path.endswith("/whatif")
        guarded = {"401", "403"} <= operation["responses"].keys() and operation.get("security")
        if writes and not guarded:
            lacking.append(f"{called}: writes, and does not say who may")
    assert not lacking, "\n".join(lacking)


def test_every_documented_command_works_as_printed_and_answers_what_is_printed(
    url: str, described: Mapping[str, Any], tmp_path: Path
) -> None:
    printed = PAGE.read_text(encoding="utf-8")
    schemas = {f"{method.upper()} {path}": operation for path, method, operation in operations(described)}
    renamed: dict[str, str] = {}
    for call in CALLS:
        _wait(url, call, renamed)
        shown = command(call.path, call.method.lower())
        assert f"```sh\n{shown}\n```" in printed
        status, answer = _run(shown, url, renamed, tmp_path)
        example = recorded()[call.key]
        assert status == example["status"], f"{call.key}: {answer}"
        for where in call.taken:
            renamed[_at(example["answer"], where)] = _at(answer, where)
        _same(call.key, example["answer"], answer)
        if answer is not None:
            schema = schemas[call.key]["responses"][str(status)]["content"]["application/json"]["schema"]
            for body in (answer, example["answer"]):
                jsonschema.validate(body, {**schema, "components": described["components"]})


def _wait(url: str, call: Call, renamed: Mapping[str, str]) -> None:
    if call.path == "/api/v1/whatif/{id}":
        path = call.path.format(id=list(renamed.values())[-1])
        with httpx2.Client(base_url=url, timeout=WITHIN_S, trust_env=False) as client:
            until(lambda: client.get(path).json()["state"] not in ("waiting", "running"))


def _run(shown: str, url: str, renamed: Mapping[str, str], folder: Path) -> tuple[int, Any]:
    """Make a printed command in a shell, with the address and the names of this world."""
    line = shown.replace(HOST, url)
    for printed, here in renamed.items():
        line = line.replace(printed, here)
    body = folder / "body"
    body.write_text("")
    done = subprocess.run(
        ["bash", "-c", f"{line} -o {body} -w '%{{http_code}}'"],
        capture_output=True,
        text=True,
        check=True,
        env={"TOKEN": TOKEN, "PATH": "/usr/bin:/bin"},
        timeout=WITHIN_S,
    )
    text = body.read_text()
    return int(done.stdout), json.loads(text) if text else None


def _same(called: str, example: Any, answer: Any) -> None:
    """Lists of an example are cut, so what it has must be there; nothing else may be but in lists."""
    shown, here = set(shapes(example)), set(shapes(answer))
    assert shown <= here, f"{called}: printed, and not answered: {sorted(shown - here)}"
    more = {each for each in here - shown if "[]" not in each[0]}
    assert not more, f"{called}: answered, and not printed: {sorted(more)}"


def _at(told: Any, where: str) -> str:
    for part in where.split("."):
        told = told[part]
    return str(told)


@pytest.mark.parametrize("mode", EXAMPLES, ids=lambda mode: mode.value)
def test_nothing_that_the_description_allows_or_forbids_breaks_it(url: str, mode: GenerationMode) -> None:
    api = schemathesis.openapi.from_url(f"{url}/openapi.json", timeout=WITHIN_S)
    asked = 0
    for found in api.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]  # what is not raises

        @settings(
            max_examples=EXAMPLES[mode],
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def holds(case: schemathesis.Case[Any]) -> None:
            nonlocal asked
            asked += 1
            checks: list[Any] = [*CHECKS.get_by_names(HELD)]
            assert len(checks) == len(HELD)
            headers = {"Authorization": f"Bearer {TOKEN}"}
            case.call_and_validate(checks=checks, headers=headers, timeout=WITHIN_S)

        # Of a call without parameters nothing can be wrong.
        with suppress(Unsatisfiable):
            holds()
    assert asked > len(CALLS)
