"""Pauses, modes, fits, their record and what-if questions over REST: who may, what is refused and told."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from predictscale.clock import ManualClock
from predictscale.config.presets import load_presets
from predictscale.config.settings import ServiceSettings, WorkloadSettings
from predictscale.config.whatif import read_what_if
from predictscale.control.auditlog import AuditLog
from predictscale.control.desk import Desk, Following
from predictscale.control.overrides import OverrideBook
from predictscale.control.store import DecisionStore
from predictscale.control.whatif import Job, Replayed, Told, WhatIfQueue
from predictscale.core.demand import WorkloadId
from predictscale.errors import AnswerUnavailable
from predictscale.serving.overrides import OverrideDesk
from predictscale.serving.rest import create_app
from predictscale.serving.tokens import WriteTokens
from predictscale.serving.whatif import WhatIfDesk
from predictscale.serving.writing import Writing
from scenes import SHOP, settings_of

NOW = datetime(2026, 10, 20, 12, tzinfo=UTC)
TOKEN = "a-token-of-the-test-0123456789"  # noqa: S105 - of this test alone
W = "/api/v1/workloads/prod/shop"
SCORE = Told(
    policy="predictscale",
    violation=0.01,
    replica_hours=12.5,
    cost_to_clairvoyant=1.2,
    cost_to_static=0.6,
    scale_events=7,
    settings="level 0.9",
)


class Answers:
    """Answers at once, with what it is told to."""

    def __init__(self, clock: ManualClock) -> None:
        self.queue = WhatIfQueue(clock=clock)
        self.early = False
        self.terms = ServiceSettings().terms(load_presets())

    def ask(self, settings: WorkloadSettings, fields: Mapping[str, Any]) -> Job:
        asked = read_what_if(fields, settings=settings, terms=self.terms)
        if self.early:
            raise AnswerUnavailable("prod/shop has 0.4 days of history")

        async def work() -> Replayed:
            return Replayed(
                start=NOW - timedelta(days=asked.days),
                until=NOW,
                as_is=SCORE,
                changed=SCORE,
                rivals=(SCORE,),
                forecasters=("native",),
                wait_s=5.0,
                notes=("a note",),
            )

        return self.queue.ask(settings.workload, {"days": asked.days}, work=work)


class Front:
    """REST with one workload that is followed."""

    def __init__(self, folder: Path, *, guarded: bool = True) -> None:
        token_file = folder / "tokens"
        token_file.write_text(f"ann {TOKEN}\n")
        self.clock = ManualClock(NOW)
        self.book, self.audit = OverrideBook(folder / "overrides.json"), AuditLog(folder / "audit.jsonl")
        self.answers = Answers(self.clock)
        self.followed: dict[WorkloadId, WorkloadSettings] = {SHOP: settings_of()}
        self.hindered: str | None = None
        self.refitted: list[WorkloadId] = []
        store = DecisionStore()
        desk = Desk(
            parse=lambda _: settings_of(),
            store=store,
            following=Following(lambda _: None, store.forget),
            clock=self.clock,
            max_registrations=10,
            expire_after_s=3600,
            named=(settings_of(),),
        )
        writing = Writing(
            tokens=WriteTokens(token_file) if guarded else None, audit=self.audit, now=self.clock.now
        )
        self.app = create_app(
            store=store,
            desk=desk,
            now=self.clock.now,
            ready=lambda: True,
            overrides=OverrideDesk(
                book=self.book,
                writing=writing,
                settings_of=self.followed.get,
                refit=self._refit,
                replicas={SHOP: 18}.get,
            ),
            what_if=WhatIfDesk(answers=self.answers, settings_of=self.followed.get),
        )
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url="http://scaler")

    def _refit(self, workload: WorkloadId) -> str | None:
        self.refitted.append(workload)
        return self.hindered

    async def __call__(
        self, method: str, what: str, body: object = None, *, token: str | None = TOKEN
    ) -> httpx2.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        path = what if what.startswith("/") else f"{W}/{what}"
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body)
        return await self.client.request(method, path, headers=headers, content=content)

    async def records(self) -> list[dict[str, Any]]:
        told: list[dict[str, Any]] = (await self("GET", "/api/v1/audit-log", token=None)).json()["records"]
        return told


@pytest.fixture
async def front(tmp_path: Path) -> AsyncIterator[Front]:
    made = Front(tmp_path)
    yield made
    await made.client.aclose()


def problem(answer: httpx2.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] != "Error"
    return str(answer.json()["detail"])


async def test_a_pause_is_ordered_told_and_ended(front: Front) -> None:
    before = (await front("GET", "overrides", token=None)).json()
    assert (before["paused_until"], before["mode"], before["settings_mode"]) == (None, None, "live")
    told = (await front("POST", "pause", {"for": "30m", "reason": "a launch"})).json()
    assert front.book.at(SHOP, NOW).paused_with == 18
    assert datetime.fromisoformat(told["paused_until"]) == NOW + timedelta(minutes=30)
    assert datetime.fromisoformat(told["paused_since"]) == datetime.fromisoformat(told["at"]) == NOW
    assert (told["by"], told["reason"], told["persisted"], told["note"]) == ("ann", "a launch", True, "")
    assert told == (await front("GET", "overrides", token=None)).json()
    front.clock.advance(60)
    mode = (await front("PUT", "mode", {"mode": "shadow", "reason": "a trial"})).json()
    assert (mode["mode"], mode["reason"]) == ("shadow", "a trial")
    assert [each["kind"] for each in mode["in_force"]] == ["pause", "mode"]
    assert (await front("DELETE", "pause")).json()["paused_until"] is None
    ended = (await front("DELETE", "mode")).json()
    assert (ended["mode"], ended["in_force"], ended["by"]) == (None, [], None)
    assert (await front("DELETE", "mode")).status_code == 200


async def test_a_pause_until_an_instant_ends_there(front: Front) -> None:
    told = (await front("POST", "pause", {"until": "2026-10-20T14:00:00+01:00", "reason": "x"})).json()
    assert datetime.fromisoformat(told["paused_until"]) == NOW + timedelta(hours=1)
    front.clock.advance(3600)
    assert (await front("GET", "overrides")).json()["paused_until"] is None


@pytest.mark.parametrize(
    ("method", "what", "body", "said"),
    [
        (
            "POST",
            "pause",
            {"for": "30h", "reason": "x"},
            "for: is 30h from now; must lie ahead, by at most 1d",
        ),
        ("POST", "pause", {"for": "1h"}, "reason: is missing"),
        ("POST", "pause", {"for": "x", "reason": "\n"}, "for: 'x'; "),
        ("PUT", "mode", {"mode": "dark"}, "mode: 'dark'; must be one of live, shadow"),
        ("PUT", "mode", {"mode": "dark"}, "reason: is missing"),
        ("POST", "refit", {"why": "x"}, "why: is not a known setting"),
        ("POST", "pause", [], "body: is list"),
    ],
)
async def test_what_cannot_be_ordered_says_where_and_why_and_changes_nothing(
    front: Front, method: str, what: str, body: object, said: str
) -> None:
    assert said in problem(await front(method, what, body), 422)
    assert (await front("GET", "overrides")).json()["in_force"] == []
    (record,) = await front.records()
    assert record["outcome"].startswith("refused: 422")
    assert not front.refitted


WRITES = [
    ("POST", "pause", {"for": "1h", "reason": "x"}),
    ("DELETE", "pause", None),
    ("PUT", "mode", {"mode": "live", "reason": "x"}),
    ("DELETE", "mode", None),
    ("POST", "refit", None),
]


@pytest.mark.parametrize(("method", "what", "body"), WRITES)
async def test_nobody_orders_anything_without_a_good_token_and_who_tries_is_on_record(
    front: Front, method: str, what: str, body: object
) -> None:
    problem(await front(method, what, body, token=None), 401)
    problem(await front(method, what, body, token=TOKEN[::-1]), 401)
    assert (await front("GET", "overrides")).json()["in_force"] == []
    assert not front.refitted
    records = await front.records()
    assert [(each["by"], each["outcome"][:12]) for each in records] == [(None, "refused: 401")] * 2
    assert TOKEN[::-1] not in json.dumps(records)


@pytest.mark.parametrize(("method", "what", "body"), WRITES)
async def test_a_workload_that_nobody_follows_takes_no_orders(
    front: Front, method: str, what: str, body: object
) -> None:
    path = f"/api/v1/workloads/prod/none/{what}"
    assert "known: prod/shop" in problem(await front(method, path, body), 404)
    (record,) = await front.records()
    assert (record["workload"], record["outcome"][:12]) == ("prod/none", "refused: 404")


async def test_without_a_token_file_writing_is_off_and_that_is_on_record_too(tmp_path: Path) -> None:
    front = Front(tmp_path, guarded=False)
    assert "writing is off" in problem(await front("POST", "pause", {"for": "1h", "reason": "x"}), 403)
    assert (await front.records())[0]["outcome"].startswith("refused: 403")
    await front.client.aclose()


async def test_an_override_of_a_workload_that_is_gone_can_still_be_seen_and_ended(front: Front) -> None:
    await front("PUT", "mode", {"mode": "shadow", "reason": "x"})
    front.followed.clear()
    assert (await front("GET", "overrides")).json()["settings_mode"] is None
    assert (await front("DELETE", "mode")).status_code == 200
    problem(await front("GET", "overrides"), 404)


async def test_a_fit_is_begun_or_says_what_hinders_it(front: Front) -> None:
    answer = await front("POST", "refit")
    assert answer.status_code == 202
    assert answer.json()["accepted"] is True
    assert "all replicas agree again" in answer.json()["note"]
    assert front.refitted == [SHOP]
    front.hindered = "a fit is under way already"
    assert "a fit is under way already" in problem(await front("POST", "refit", {"reason": "x"}), 409)


async def test_a_file_that_cannot_be_written_is_said_and_nothing_has_changed(
    front: Front, tmp_path: Path
) -> None:
    await front("POST", "pause", {"for": "1h", "reason": "x"})
    (tmp_path / "overrides.json").write_text("damaged")
    told = problem(await front("DELETE", "pause"), 503)
    assert told.startswith("nothing was changed: overrides.path")
    assert (await front("GET", "overrides")).json()["paused_until"] is not None


async def test_the_record_is_told_in_pages_newest_first(front: Front) -> None:
    for hours in (1, 2, 3):
        await front("POST", "pause", {"for": f"{hours}h", "reason": "x"})
    page = (await front("GET", "/api/v1/audit-log?limit=2", token=None)).json()
    assert [each["details"]["for"] for each in page["records"]] == [10800, 7200]
    older = (await front("GET", f"/api/v1/audit-log?limit=2&before={page['next']}", token=None)).json()
    assert [each["details"]["for"] for each in older["records"]] == [3600]
    assert older["next"] is None
    problem(await front("GET", "/api/v1/audit-log?before=nothing"), 422)
    problem(await front("GET", "/api/v1/audit-log?limit=0"), 422)


async def test_a_what_if_question_is_answered_without_a_token(front: Front) -> None:
    asked = await front("POST", "whatif", {"days": 2, "settings": {"quantile": 0.9}}, token=None)
    assert asked.status_code == 202
    assert asked.headers["location"] == f"/api/v1/whatif/{asked.json()['id']}"
    assert asked.json()["state"] == "waiting"
    await front.answers.queue.settled()
    done = (await front("GET", asked.headers["location"], token=None)).json()
    assert (done["state"], done["progress"], done["error"]) == ("done", 1, None)
    result = done["result"]
    assert datetime.fromisoformat(result["from"]) == NOW - timedelta(days=2)
    assert result["changed"]["replica_hours"] == 12.5
    assert (len(result["rivals"]), result["notes"]) == (1, ["a note"])
    assert await front.records() == []


async def test_all_that_is_absurd_in_a_question_is_said_at_once(front: Front) -> None:
    body = {
        "days": 15,
        "settings": {"quantil": 1, "quantile": 2, "min_replicas": 101, "lead_time_s": "10s", "headroom": 0.5},
    }
    lines = problem(await front("POST", "whatif", body), 422).splitlines()
    assert sorted(line.split(":")[0] for line in lines) == [
        "days",
        "settings.headroom",
        "settings.lead_time_s",
        "settings.min_replicas",
        "settings.quantil",
        "settings.quantile",
    ]
    assert "did you mean 'quantile'?" in "".join(lines)


async def test_a_question_that_finds_the_line_full_is_told_when_to_come_back(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("predictscale.control.whatif.MOST_WAITING", 0)
    full = await front("POST", "whatif", {})
    assert "0 replays wait already" in problem(full, 429)
    assert int(full.headers["retry-after"]) > 0


async def test_questions_that_cannot_be_answered_say_why(front: Front) -> None:
    front.answers.early = True
    assert "0.4 days of history" in problem(await front("POST", "whatif", {}), 409)
    problem(await front("POST", "/api/v1/workloads/prod/none/whatif", {}), 404)
    assert "no replay 'nothing'" in problem(await front("GET", "/api/v1/whatif/nothing"), 404)
    problem(await front("POST", "whatif", b"{"), 400)
