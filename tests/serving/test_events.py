"""Planned events over REST: who may, what is refused, what is kept."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from fastapi import HTTPException, Request
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Receive

from predictscale.clock import ManualClock
from predictscale.config.planned import EventSettings
from predictscale.config.settings import WorkloadSettings
from predictscale.control import eventbook
from predictscale.control.auditlog import AuditLog
from predictscale.control.desk import Desk, Following
from predictscale.control.eventbook import EventBook
from predictscale.control.store import DecisionStore
from predictscale.core.calendar import Calendar
from predictscale.core.demand import WorkloadId
from predictscale.serving.events import EventDesk
from predictscale.serving.rest import create_app
from predictscale.serving.tokens import WriteTokens
from predictscale.serving.writing import MOST_BYTES, Writing, body_of
from scenes import SHOP, settings_of

NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
TOKEN = "a-token-of-the-test-0123456789"  # noqa: S105 - of this test alone
EVENTS = "/api/v1/workloads/prod/shop/events"
SALE = {"name": "sale", "start": "2026-10-27T08:00", "end": "2026-10-27T20:00", "multiplier": 3}


class Front:
    """REST with a book, and one workload of Berlin that is followed."""

    def __init__(self, folder: Path, *, guarded: bool = True, kept: bool = True) -> None:
        self.token_file = folder / "tokens"
        self.token_file.write_text(f"ann {TOKEN}\n")
        self.path = folder / "events.json"
        self.clock = ManualClock(NOW)
        self.settings = replace(
            settings_of(),
            calendar=Calendar(zone="Europe/Berlin"),
            events=(EventSettings.model_validate(SALE | {"name": "fixed"}).planned("Europe/Berlin"),),
        )
        self.followed = {SHOP: self.settings}
        self.book = EventBook(self.path if kept else None)
        self.audit = AuditLog()
        store = DecisionStore()
        desk = Desk(
            parse=lambda _: self.settings,
            store=store,
            following=Following(lambda _: None, store.forget),
            clock=self.clock,
            max_registrations=10,
            expire_after_s=3600,
            named=(self.settings,),
        )
        self.app = create_app(
            store=store,
            desk=desk,
            now=self.clock.now,
            ready=lambda: True,
            events=EventDesk(
                book=self.book,
                writing=Writing(
                    tokens=WriteTokens(self.token_file) if guarded else None,
                    audit=self.audit,
                    now=self.clock.now,
                ),
                settings_of=self._settings_of,
            ),
        )
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://scaler")

    def _settings_of(self, workload: WorkloadId) -> WorkloadSettings | None:
        return self.followed.get(workload)

    async def post(
        self, body: object = SALE, *, token: str | None = TOKEN, path: str = EVENTS
    ) -> httpx2.Response:
        return await self.send("POST", path, token=token, content=json.dumps(body))

    async def delete(self, event: str, *, token: str | None = TOKEN) -> httpx2.Response:
        return await self.send("DELETE", f"{EVENTS}/{event}", token=token)

    async def listed(self) -> Any:
        answer = await self.client.get(EVENTS)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def send(self, method: str, path: str, *, token: str | None, **more: Any) -> httpx2.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        return await self.client.request(method, path, headers=headers, **more)


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    made = Front(tmp_path)
    yield made
    await made.client.aclose()


def problem(answer: httpx2.Response, status: int) -> str:
    """What is told of an error that is shaped as RFC 9457 says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["type"]) == (status, "about:blank")
    assert body["title"] != "Error"
    return str(body["detail"])


async def test_an_event_is_announced_listed_and_removed(front: Front) -> None:
    answer = await front.post()
    assert answer.status_code == 201
    told = answer.json()
    assert told["persisted"]
    assert told["note"] == ""
    event = told["event"]
    assert event["added_by"] == "ann"
    assert datetime.fromisoformat(event["added_at"]) == NOW
    listed = await front.listed()
    assert (listed["namespace"], listed["workload"], listed["time_zone"]) == ("prod", "shop", "Europe/Berlin")
    fixed, announced = listed["events"]
    assert (fixed["name"], fixed["id"], fixed["added_by"]) == ("fixed", None, None)
    assert announced == event
    gone = await front.delete(event["id"])
    assert (gone.status_code, gone.content) == (204, b"")
    assert [each["name"] for each in (await front.listed())["events"]] == ["fixed"]


async def test_sending_an_announcement_again_keeps_one_event(front: Front) -> None:
    first, second = await front.post(), await front.post()
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()
    assert len(front.book.of(SHOP)) == 1


@pytest.mark.parametrize(
    ("start", "end", "begins", "ends"),
    [
        # Berlin leaves summer time on 25 October 2026 at 01:00 UTC.
        ("2026-10-24T08:00", "2026-10-24T10:00", "2026-10-24T06:00Z", "2026-10-24T08:00Z"),
        ("2026-10-25T08:00", "2026-10-25T10:00", "2026-10-25T07:00Z", "2026-10-25T09:00Z"),
        ("2026-10-24T20:00", "2026-10-25T08:00", "2026-10-24T18:00Z", "2026-10-25T07:00Z"),
        ("2026-10-25T00:30Z", "2026-10-25T01:30Z", "2026-10-25T00:30Z", "2026-10-25T01:30Z"),
        ("2026-10-24T08:00-07:00", "2026-10-24T10:00-07:00", "2026-10-24T15:00Z", "2026-10-24T17:00Z"),
        # An hour that the clock skips on 28 March 2027.
        ("2027-03-28T02:00", "2027-03-28T03:00", "2027-03-28T00:00Z", "2027-03-28T01:00Z"),
    ],
)
async def test_times_are_by_the_workloads_clock_unless_they_have_an_offset(
    front: Front, start: str, end: str, begins: str, ends: str
) -> None:
    answer = await front.post(SALE | {"start": start, "end": end})
    assert answer.status_code == 201, answer.text
    event = answer.json()["event"]
    assert datetime.fromisoformat(event["next_start"]) == datetime.fromisoformat(begins)
    assert datetime.fromisoformat(event["next_end"]) == datetime.fromisoformat(ends)


@pytest.mark.parametrize(
    ("now", "repeat", "start", "next_start"),
    [
        ("2026-10-27T10:00Z", "none", "2026-10-27T08:00", "2026-10-27T07:00Z"),  # it lasts
        ("2026-10-28T10:00Z", "none", "2026-10-27T08:00", None),
        ("2026-10-28T20:00Z", "daily", "2020-01-01T08:00", "2026-10-29T07:00Z"),
        ("2026-10-28T20:00Z", "daily", "2031-01-01T08:00", "2031-01-01T07:00Z"),
        ("2026-10-28T20:00Z", "weekly", "2026-10-27T08:00", "2026-11-03T07:00Z"),
        ("2026-10-28T20:00Z", "yearly", "2024-02-29T08:00", "2028-02-29T07:00Z"),
    ],
)
async def test_the_list_says_when_an_event_comes_next(
    front: Front, now: str, repeat: str, start: str, next_start: str | None
) -> None:
    end = start.replace("T08", "T20")
    assert (await front.post(SALE | {"start": start, "end": end, "repeat": repeat})).status_code == 201
    front.clock.advance((datetime.fromisoformat(now) - NOW).total_seconds())
    told = (await front.listed())["events"][1]["next_start"]
    assert (told and datetime.fromisoformat(told)) == (next_start and datetime.fromisoformat(next_start))


async def test_in_memory_alone_the_answer_says_so(tmp_path: Path) -> None:
    front = Front(tmp_path, kept=False)
    told = (await front.post()).json()
    assert not told["persisted"]
    assert "set events.path" in told["note"]
    assert "set events.path" in (await front.listed())["note"]
    await front.client.aclose()


async def test_without_a_token_file_writing_is_refused_and_the_setting_is_named(tmp_path: Path) -> None:
    front = Front(tmp_path, guarded=False)
    for answer in (await front.post(), await front.post(token=None), await front.delete("0" * 12)):
        assert "http.write_token_file is not set" in problem(answer, 403)
    assert (await front.client.get(EVENTS)).status_code == 200
    assert front.book.of(SHOP) == ()
    await front.client.aclose()


@pytest.mark.parametrize(
    ("header", "challenge"),
    [
        (None, "Bearer"),
        ("", "Bearer"),
        ("Basic YW5uOnB3", "Bearer"),
        (TOKEN, "Bearer"),
        ("Bearer ", "Bearer"),
        ("Bearer wrong", 'Bearer error="invalid_token"'),
        (f"Bearer {TOKEN}x", 'Bearer error="invalid_token"'),
        (f"Bearer ann {TOKEN}", 'Bearer error="invalid_token"'),
    ],
)
async def test_who_does_not_show_a_good_token_changes_nothing(
    front: Front, header: str | None, challenge: str
) -> None:
    kept = (await front.post()).json()["event"]["id"]
    headers = {} if header is None else {"Authorization": header}
    # A body that is no event: who may not write is told so before it is read.
    answers = [
        await front.client.post(EVENTS, headers=headers, content="{"),
        await front.client.delete(f"{EVENTS}/{kept}", headers=headers),
    ]
    for answer in answers:
        assert "http.write_token_file" in problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith(challenge)
    assert [each.id for each in front.book.of(SHOP)] == [kept]


async def test_the_scheme_is_read_in_any_case(front: Front) -> None:
    answer = await front.client.post(EVENTS, headers={"Authorization": f"bearer {TOKEN}"}, json=SALE)
    assert answer.status_code == 201


async def test_a_token_that_was_rotated_away_is_refused_and_its_heir_is_good(front: Front) -> None:
    heir = TOKEN[::-1]
    front.token_file.with_name("fresh").write_text(f"bob {heir}\n")
    front.token_file.with_name("fresh").replace(front.token_file)
    problem(await front.post(), 401)
    answer = await front.post(token=heir)
    assert answer.json()["event"]["added_by"] == "bob"


async def test_a_token_file_that_is_gone_lets_nobody_write(front: Front) -> None:
    front.token_file.unlink()
    told = problem(await front.post(), 503)
    assert "http.write_token_file: cannot be read" in told
    assert str(front.token_file) not in told


async def test_the_token_is_in_no_log_and_no_answer(front: Front) -> None:
    with structlog.testing.capture_logs() as logged:
        kept = await front.post()
        answers = [
            kept,
            await front.post({"name": TOKEN + "?"}),
            await front.post(token=TOKEN + "-not-it"),
            await front.delete(kept.json()["event"]["id"]),
        ]
        front.token_file.unlink()
        answers.append(await front.post())
    assert len(logged) >= 3
    assert all(TOKEN not in str(entry) for entry in logged)
    assert all(TOKEN not in answer.text for answer in answers)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"multiplier": 0}, "multiplier: 0; must be above 0"),
        ({"multiplier": float("nan")}, "multiplier: "),
        ({"multiplier": None}, "multiplier: is missing, as demand is; give one of them"),
        ({"demand": 5}, "multiplier: is given with demand; give one of them"),
        ({"start": "2026-10-27T21:00"}, "end: 2026-10-27 20:00:00 is not after start; must be after start"),
        ({"end": "2026-10-27T20:00Z"}, "end: and start are not of one kind"),
        ({"start": 1764230400}, "start: 1764230400; must be a date and time"),
        ({"start": "1764230400"}, "start: '1764230400'; must be a date and time"),
        ({"repeat": "dayly"}, "did you mean 'daily'?"),
        ({"name": ""}, "name: "),
        ({"name": "a\nb"}, "name: holds characters that nobody can read; use text"),
        ({"name": "x" * 61}, "name: "),
        ({"multiplyer": 2}, "multiplyer: is not a known setting; did you mean 'multiplier'?"),
        ({"id": "0" * 12}, "id: is not a known setting"),
    ],
)
async def test_what_is_wrong_is_said_with_its_place_and_what_would_do(
    front: Front, change: dict[str, Any], said: str
) -> None:
    assert said in problem(await front.post(SALE | change), 422)
    assert front.book.of(SHOP) == ()


async def test_all_that_is_wrong_is_said_at_once(front: Front) -> None:
    told = problem(await front.post(SALE | {"name": "", "multiplier": 1000, "repeat": "never"}), 422)
    assert [line.split(":")[0] for line in told.splitlines()] == ["name", "multiplier", "repeat"]


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 16_000, 400),
        (b"[]", 422),
        (b"null", 422),
        (b'"sale"', 422),
        (b" " * MOST_BYTES + b" ", 413),
    ],
)
async def test_a_body_that_is_no_event_is_refused(front: Front, content: bytes, status: int) -> None:
    answer = await front.send("POST", EVENTS, token=TOKEN, content=content)
    assert problem(answer, status).startswith("body: ")


async def test_a_body_that_never_ends_is_not_read_to_its_end(front: Front) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100 * MOST_BYTES:
            sent += 1024
            yield b" " * 1024

    answers: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": EVENTS,
        "raw_path": EVENTS.encode(),
        "query_string": b"",
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
    }
    await front.app(scope, receiving(endless()), send)
    assert answers[0]["status"] == 413
    assert sent <= MOST_BYTES + 1024


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("predictscale.serving.writing._READ_WITHIN_S", 0.01)

    async def hesitating() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    request = Request({"type": "http"}, receiving(hesitating()))
    with pytest.raises(HTTPException, match="did not come within"):
        await body_of(request, one="one planned event")


def receiving(parts: AsyncIterator[bytes]) -> Receive:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": await anext(parts), "more_body": True}

    return receive


async def test_a_workload_that_nobody_follows_has_no_events(front: Front) -> None:
    other = "/api/v1/workloads/prod/shpo/events"
    assert "known: prod/shop" in problem(await front.post(path=other), 404)
    assert "known: prod/shop" in problem(await front.client.get(other), 404)


async def test_what_was_announced_for_a_workload_that_is_gone_can_still_be_listed_and_removed(
    front: Front,
) -> None:
    kept = (await front.post()).json()["event"]["id"]
    front.followed.clear()
    listed = await front.listed()
    assert listed["time_zone"] is None
    (event,) = listed["events"]
    assert (event["id"], event["start"], event["next_start"]) == (kept, "2026-10-27T08:00:00", None)
    assert (await front.delete(kept)).status_code == 204
    problem(await front.client.get(EVENTS), 404)


async def test_an_event_that_is_not_there_cannot_be_removed_and_the_answer_names_those_that_are(
    front: Front,
) -> None:
    kept = (await front.post()).json()["event"]["id"]
    assert f"known: {kept}" in problem(await front.delete("nothing"), 404)
    assert (await front.delete(kept)).status_code == 204
    assert "none was announced here" in problem(await front.delete(kept), 404)


async def test_one_event_too_many_is_a_conflict(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eventbook, "MOST_OF_ONE", 1)
    await front.post()
    assert "which is the most" in problem(await front.post(SALE | {"name": "more"}), 409)


async def test_a_file_that_cannot_be_written_is_said_and_nothing_has_changed(front: Front) -> None:
    await front.post()
    front.path.write_text("damaged")
    assert problem(await front.post(SALE | {"name": "more"}), 503).startswith(
        "nothing was changed: events.path"
    )
    assert [each.event.name for each in front.book.of(SHOP)] == ["sale"]


def within(tree: Any, way: list[str]) -> Any:
    for part in way:
        tree = tree[part]
    return tree


async def test_the_api_describes_its_errors_its_body_and_its_token(front: Front) -> None:
    described = (await front.client.get("/openapi.json")).json()
    paths = described["paths"]
    collection = paths["/api/v1/workloads/{namespace}/{name}/events"]
    one = paths["/api/v1/workloads/{namespace}/{name}/events/{event}"]
    assert {"200", "201", "400", "401", "403", "404", "408", "409", "413", "422", "503"} <= set(
        collection["post"]["responses"]
    )
    assert {"204", "401", "403", "404", "503"} <= set(one["delete"]["responses"])
    schema = collection["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == set(EventSettings.model_fields)
    references = set(re.findall(r'"\$ref": "#/([^"]*)"', json.dumps(described)))
    assert references
    assert all(within(described, reference.split("/")) for reference in references)
    (scheme,) = described["components"]["securitySchemes"].values()
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    assert collection["post"]["security"]
    assert "security" not in collection["get"]


@pytest.fixture(scope="module")
def one_front(tmp_path_factory: pytest.TempPathFactory) -> Front:
    """Of all examples of a property: the application takes longer to make than to ask."""
    return Front(tmp_path_factory.mktemp("front"))


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
async def test_no_body_makes_the_service_fail(content: bytes, one_front: Front) -> None:
    answer = await one_front.send("POST", EVENTS, token=TOKEN, content=content)
    assert answer.status_code in (400, 422)
    assert not one_front.path.exists()
