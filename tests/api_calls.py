"""The calls that the API's documentation shows, in the order in which they are made.

`scripts/record-api-examples` records them on `api_world`; tests make the printed commands on another
one and compare.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2

from api_world import CHAT, CODE, SHOP, TICK_S, TICKS, TOKEN
from patience import WITHIN_S
from predictscale.core.demand import WorkloadId
from predictscale.demo import START

ONE = "/api/v1/workloads/{namespace}/{name}"
NOW = START + timedelta(seconds=TICK_S * TICKS)
BEFORE = f"{NOW - timedelta(minutes=2):%Y-%m-%dT%H:%M:%SZ}"

_WHOLE = {"steps", "reactive_steps", "bounds", "levels", "refused"}
"""Lists that are told whole: without one of their entries they say something else."""
_SHOWN = 3
"""Entries of every other list."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call.

    Args:
        method: GET, POST ...
        path: As the document has it.
        given: The parameters of the path and the query.
        body: What is sent, if anything.
        taken: What later calls need of the answer: the name of their parameter, by the answer's field.
    """

    method: str
    path: str
    given: Mapping[str, Any] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    taken: Mapping[str, str] = field(default_factory=dict)
    token: bool = False

    @property
    def key(self) -> str:
        """How examples are looked up."""
        return f"{self.method} {self.path}"


def get(path: str, **given: Any) -> Call:
    return Call(method="GET", path=path, given=given)


def one(rest: str = "", workload: WorkloadId = CHAT, **given: Any) -> Call:
    return get(ONE + rest, namespace=workload.namespace, name=workload.name, **given)


def write(method: str, rest: str, body: Mapping[str, Any] | None = None, **more: Any) -> Call:
    given = {"namespace": CHAT.namespace, "name": CHAT.name, **more.pop("given", {})}
    return Call(method=method, path=ONE + rest, given=given, body=body, **{"token": True, **more})


CALLS = (
    get("/healthz"),
    get("/readyz"),
    get("/api/v1/fleet"),
    get("/api/v1/workloads", limit=1, sort="-demand"),
    get("/api/v1/sparks", w=[str(CHAT), "demo/gone"]),
    get("/api/v1/costs", by="team"),
    one(),
    one("/decision"),
    one("/forecast"),
    one("/history", limit=1),
    one("/timeline", since=BEFORE, points=10),
    one("/demand", hours=1),
    one("/models"),
    one("/accuracy"),
    one("/quality"),
    one("/floors"),
    one("/capacity"),
    one("/lead-time"),
    one("/pools", workload=CODE),
    one("/tuning", workload=CODE),
    one("/cost"),
    one("/savings"),
    one("/promotion", days=7),
    write(
        "POST",
        "/events",
        {
            "name": "webinar",
            "start": "2026-03-03T15:00:00Z",
            "end": "2026-03-03T16:00:00Z",
            "multiplier": 1.5,
        },
        taken={"event.id": "event"},
    ),
    one("/events"),
    write("DELETE", "/events/{event}"),
    write("POST", "/pause", {"for": "30m", "reason": "load test"}),
    write("PUT", "/mode", {"mode": "shadow", "reason": "new model"}),
    one("/overrides"),
    write("DELETE", "/mode"),
    write("DELETE", "/pause"),
    write("POST", "/refit", {"reason": "the launch changed the days"}),
    write(
        "POST",
        "/whatif",
        {"days": 1, "settings": {"quantile": 0.9}},
        given={"name": SHOP.name},
        taken={"id": "id"},
        token=False,
    ),
    get("/api/v1/whatif/{id}"),
    get("/api/v1/audit-log", limit=2),
)


async def settled(client: httpx2.AsyncClient, call: Call, taken: Mapping[str, str]) -> None:
    """Wait for what a call is about, where that takes a while."""
    if call.path != "/api/v1/whatif/{id}":
        return
    async with asyncio.timeout(WITHIN_S):
        while (await client.get(f"/api/v1/whatif/{taken['id']}")).json()["state"] in ("waiting", "running"):
            await asyncio.sleep(0.05)


async def record(client: httpx2.AsyncClient) -> dict[str, dict[str, Any]]:
    """Make all calls and tell what came back, cut to what a page can show."""
    examples, taken = {}, dict[str, str]()
    for call in CALLS:
        await settled(client, call, taken)
        given = {**call.given, **{name: taken[name] for name in taken if f"{{{name}}}" in call.path}}
        path = call.path.format_map(given)
        asked = {name: value for name, value in given.items() if f"{{{name}}}" not in call.path}
        headers = {"Authorization": f"Bearer {TOKEN}"} if call.token else {}
        answer = await client.request(call.method, path, params=asked, headers=headers, json=call.body)
        assert answer.is_success, f"{call.key}: {answer.text}"
        told = answer.json() if answer.content else None
        for where, name in call.taken.items():
            taken[name] = _at(told, where)
        examples[call.key] = {
            "parameters": given,
            **({} if call.body is None else {"body": call.body}),
            "token": call.token,
            "status": answer.status_code,
            "answer": _cut(told),
        }
    return examples


def _at(told: Any, where: str) -> str:
    for part in where.split("."):
        told = told[part]
    return str(told)


def _cut(told: Any, name: str = "") -> Any:
    """The same with the first entries of its lists."""
    if isinstance(told, dict):
        return {key: _cut(value, key) for key, value in told.items()}
    if isinstance(told, list):
        return [_cut(each, name) for each in (told if name in _WHOLE else told[:_SHOWN])]
    return told


def shapes(told: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Where there is what kind of value; entries of a list are at one place."""
    if isinstance(told, dict):
        yield where, "object"
        for key, value in told.items():
            yield from shapes(value, f"{where}.{key}")
    elif isinstance(told, list):
        yield where, "list"
        for each in told:
            yield from shapes(each, f"{where}[]")
    else:
        yield where, _kind(told)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(None) if value is None else "bool"
    return "number" if isinstance(value, int | float) else "string"
