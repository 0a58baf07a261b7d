"""A parameter that a call does not know is refused, and the call not answered as if it were not there."""

from collections.abc import Mapping
from typing import Any

import pytest
from starlette.testclient import TestClient

from closed_desk import closed_desk
from past_scenes import decided
from predictscale.clock import ManualClock
from predictscale.control.store import DecisionStore
from predictscale.serving.openapi import operations
from predictscale.serving.rest import create_app
from worlds import NOON


@pytest.fixture(scope="module")
def client() -> TestClient:
    store, clock = DecisionStore(), ManualClock(NOON)
    store.put(decided(0, 30))
    return TestClient(
        create_app(store=store, desk=closed_desk(store, clock), now=clock.now, ready=lambda: True)
    )


@pytest.fixture(scope="module")
def described(client: TestClient) -> Mapping[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").json()
    return found


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            "workloads/prod/chat/decision?att=2026-03-02T11:00:00Z",
            "query.att: is no parameter; did you mean at? known: at",
        ),
        ("costs?by=team&of=chat", "query.of: is no parameter; known: by"),
        ("workloads/prod/chat?at=", "query.at: is no parameter: this call takes none"),
        (
            "fleet?a=1&b&a=2",
            "query.a: is no parameter: this call takes none; query.b: is no parameter: this call takes none",
        ),
        ("workloads/prod/chat/timeline?points=10&points=20", "query.points: is given 2 times; one is wanted"),
        ("workloads?limit=1&limit=1&limit=1", "query.limit: is given 3 times; one is wanted"),
        (
            "costs?by=team&by=team&off=1",
            "query.off: is no parameter; known: by; query.by: is given 2 times; one is wanted",
        ),
    ],
)
def test_a_parameter_that_is_misspelt_or_given_twice_is_told_with_what_is_wanted(
    client: TestClient, asked: str, said: str
) -> None:
    answer = client.get(f"/api/v1/{asked}")
    assert answer.status_code == client.head(f"/api/v1/{asked}").status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == said


def test_a_list_is_given_as_often_as_wanted(client: TestClient) -> None:
    assert client.get("/api/v1/workloads?state=ok&state=stale").status_code == 200


def test_much_that_is_wrong_is_not_all_said_again(client: TestClient) -> None:
    many = "&".join(f"{'x' * 300}{number}=1" for number in range(50))
    assert len(client.get(f"/api/v1/fleet?{many}").content) < 1000


@pytest.mark.parametrize(
    "asked", ["/healthz?from=balancer", "/readyz?x", "/?state=stale", "/w/prod/chat?x=1"]
)
def test_the_page_and_the_probes_mind_nothing(client: TestClient, asked: str) -> None:
    assert client.get(asked).status_code == 200


def test_every_parameter_that_is_described_is_known(client: TestClient, described: Mapping[str, Any]) -> None:
    asked = 0
    for path, method, operation in operations(described):
        for each in operation.get("parameters", ()):
            if each["in"] != "query":
                continue
            where = path.format(namespace="prod", name="chat", id="x", event="x")
            answer = client.request(method, where, params={each["name"]: "x"})
            assert "is no parameter" not in answer.text, f"{method} {path}: {each['name']}"
            asked += 1
    assert asked > 10


def test_every_call_of_the_api_says_that_it_may_answer_so(described: Mapping[str, Any]) -> None:
    silent = [path for path, _, each in operations(described) if "422" not in each["responses"]]
    assert silent == ["/healthz", "/readyz"]
