"""Past decisions over REST: told as they were told, page by page, and as a timeline."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closed_desk import closed_desk
from past_scenes import afternoon, decided, rising
from predictscale.clock import ManualClock
from predictscale.control.decisionlog import DecisionLog
from predictscale.control.store import DecisionStore
from predictscale.core.plan import Decision, Mode
from predictscale.meters import Meters
from predictscale.serving.pastreader import encode
from predictscale.serving.pastviews import TimelineView
from predictscale.serving.rest import create_app
from predictscale.serving.views import DecisionView, ForecastView, decision_view, forecast_view
from worlds import NOON, at, policy

ONE = "/api/v1/workloads/prod/chat"


@dataclass
class Front:
    """The REST application before a store and an archive."""

    log: DecisionLog
    store: DecisionStore = field(default_factory=DecisionStore)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))

    def __post_init__(self) -> None:
        app = create_app(
            store=self.store,
            desk=closed_desk(self.store, self.clock),
            now=self.clock.now,
            ready=lambda: True,
            log=self.log,
        )
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://scaler")

    def decide(self, *decisions: Decision, plain: int | None = None) -> None:
        """As the loop does."""
        for decision in decisions:
            self.store.put(decision)
            self.log.note(decision, plain=plain)

    async def get(self, path: str, *, status: int = 200, **query: Any) -> Any:
        answer = await self.client.get(f"{ONE}{path}", params={k: str(v) for k, v in query.items()})
        assert answer.status_code == status, answer.text
        body = answer.json()
        return body if status == 200 else body["detail"]

    async def pages(self, *, limit: int) -> list[list[str]]:
        """The instants of all decisions, page by page, as a reader finds them."""
        pages: list[list[str]] = []
        more: dict[str, Any] = {}
        while True:
            body = await self.get("/history", limit=limit, **more)
            pages.append([d["decided_at"] for d in body["decisions"]])
            if body["next"] is None:
                return pages
            assert len(pages) < 100  # a page that comes again would come for ever
            more = {"before": body["next"]}


@asynccontextmanager
async def front_at(path: Path | None = None, *, kept: int = 960) -> AsyncGenerator[Front]:
    log = DecisionLog(path=path, encode=encode, meters=Meters(), keep_s=7 * 86_400, max_bytes=2**30)
    made = Front(log, store=DecisionStore(kept=kept))
    yield made
    await made.client.aclose()
    await log.aclose()


def z(seconds: float) -> str:
    return at(seconds).isoformat().replace("+00:00", "Z")


def then(decision: Decision) -> Any:
    """What was told of a decision when it was made."""
    return json.loads(decision_view(decision, now=decision.seen.now).model_dump_json())


async def test_a_past_decision_is_told_as_it_was_from_memory_and_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "decisions.db"
    obeyed = policy(lead_time_s=120, mode=Mode.SHADOW)
    old = decided(0, 25, forecast=rising(0), obeyed=obeyed, age_s=20)
    async with front_at(path) as front:
        front.decide(old, decided(60, 70))
        front.clock.advance(3600)
        live = await front.get("/decision", at=z(59))
        assert live == then(old)
        assert live["demand_age_s"] == 20
        forecast = await front.get("/forecast", at=z(59))
    async with front_at(path) as front:
        # Nothing is decided yet, and the past is known.
        assert await front.get("/decision", at=z(59)) == live
        assert await front.get("/forecast", at=z(59)) == forecast
    DecisionView.model_validate(live)
    ForecastView.model_validate(forecast)
    assert old.forecast is not None
    assert forecast == json.loads(forecast_view(old, old.forecast, now=at(0)).model_dump_json())


async def test_without_an_instant_the_newest_is_told_with_its_age_of_now() -> None:
    async with front_at() as front:
        front.decide(decided(0, age_s=20))
        front.clock.advance(10)
        assert (await front.get("/decision"))["demand_age_s"] == 30
        assert (await front.get("/decision", at=z(10)))["demand_age_s"] == 20


async def test_between_two_decisions_the_one_before_is_told_and_of_the_future_the_newest() -> None:
    async with front_at(kept=2) as front:
        front.decide(*afternoon(until_s=300))  # memory has the last two, the archive one a minute
        asked = {0: 0, 59: 0, 60: 60, 269: 240, 270: 270, 284: 270, 285: 285, 10**9: 285}
        for second, found in asked.items():
            assert (await front.get("/decision", at=z(second)))["decided_at"] == z(found)


async def test_before_everything_that_is_kept_it_is_said_what_is() -> None:
    async with front_at() as front:
        front.decide(decided(60), decided(180))
        for reader in ("/decision", "/forecast"):
            detail = await front.get(reader, at=z(0), status=404)
            assert detail == (f"prod/chat: nothing is kept of {z(0)} or before; kept is {z(60)} to {z(180)}")


async def test_a_past_decision_without_a_forecast_says_why_there_was_none() -> None:
    async with front_at() as front:
        front.decide(decided(0), decided(60, forecast=rising(60)))
        detail = await front.get("/forecast", at=z(30), status=404)
        assert detail == f"prod/chat had no forecast at {z(0)}: no model is fitted yet"


@settings(deadline=None, max_examples=15)
@given(
    ticks=st.integers(1, 60), kept=st.integers(1, 30), flushed=st.integers(0, 60), limit=st.integers(1, 25)
)
async def test_pages_yield_each_decision_of_memory_and_archive_once_newest_first(
    ticks: int, kept: int, flushed: int, limit: int
) -> None:
    async with front_at(kept=kept) as front:
        for place, decision in enumerate(afternoon(until_s=15 * ticks)):
            front.decide(decision)
            if place == flushed:
                await front.log.flush()
        pages = await front.pages(limit=limit)
        in_memory = range(max(0, ticks - kept), ticks)
        in_archive = range(0, ticks, 4)
        wanted = sorted({*in_memory, *in_archive}, reverse=True)
        assert [instant for page in pages for instant in page] == [z(15 * tick) for tick in wanted]
        assert all(len(page) == limit for page in pages[:-1])
        assert pages[-1]


async def test_history_goes_on_where_a_restart_has_cut_memory(tmp_path: Path) -> None:
    path = tmp_path / "decisions.db"
    async with front_at(path) as front:
        front.decide(*afternoon(until_s=120))
    async with front_at(path) as front:
        front.decide(decided(120), decided(135))
        body = await front.get("/history")
        assert [d["decided_at"] for d in body["decisions"]] == [z(s) for s in (135, 120, 60, 0)]
        assert (body["next"], body["oldest"]) == (None, z(0))
        assert body["archive"] == {"on_disk": True, "problem": None, "dropped": 0}


async def test_a_clock_that_was_set_back_hides_nothing_of_what_was_told(tmp_path: Path) -> None:
    path = tmp_path / "decisions.db"
    async with front_at(path) as front:
        front.decide(*afternoon(until_s=600))
    async with front_at(path) as front:
        # As a replay does that begins again.
        front.decide(decided(0, 70), decided(15, 70))
        assert (await front.get("/decision", at=z(300)))["decided_at"] == z(300)
        assert (await front.get("/decision", at=z(20)))["demand"] == 70
        instants = [instant for page in await front.pages(limit=3) for instant in page]
        assert instants == [z(60 * minute) for minute in range(9, 0, -1)] + [z(15), z(0)]


async def test_an_archive_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    async with front_at(tmp_path / "file" / "decisions.db") as front:
        front.decide(*afternoon(until_s=120))
        await front.log.flush()
        body = await front.get("/history", limit=1)
        assert body["archive"] == {"on_disk": True, "problem": "io", "dropped": 0}
        # What waits is told all the same.
        assert (await front.get("/timeline"))["at"] == [at(0).timestamp(), at(60).timestamp()]


async def test_a_timeline_tells_what_had_been_forecast_beside_what_came(tmp_path: Path) -> None:
    path = tmp_path / "decisions.db"
    obeyed = policy(lead_time_s=240, level=0.93)

    def tick(minute: int) -> Decision:
        return decided(
            60.0 * minute, float(minute), forecast=rising(60.0 * minute), obeyed=obeyed, replicas=minute % 7
        )

    async with front_at(path) as front:
        front.decide(*(tick(minute) for minute in range(120)), plain=3)
        live = await front.get("/timeline", since=z(3600), until=z(7000))
    async with front_at(path) as front:
        front.clock.advance(7200)
        after = await front.get("/timeline", since=z(3600), until=z(7000))
        assert after == live
        TimelineView.model_validate(after)
    minutes = list(range(60, 117))
    assert after["at"] == [at(60 * minute).timestamp() for minute in minutes]
    assert after["demand"] == minutes
    assert after["median"] == minutes
    assert after["high"] == pytest.approx([minute + 4.3 for minute in minutes])
    assert after["replicas"] == after["ready"] == [minute % 7 for minute in minutes]
    assert after["plain"] == [3] * len(minutes)
    assert after["target"] == [tick(minute).plan.target for minute in minutes]
    assert after["reactive"] == [tick(minute).reactive.target for minute in minutes]
    assert set(after["health"]) == {"ok"}
    assert (after["unit"], after["step_s"], after["lead_time_s"], after["level"]) == (
        "requests/s",
        60,
        240,
        0.93,
    )
    assert (after["since"], after["until"], after["oldest"]) == (z(3600), z(7000), z(0))


async def test_without_bounds_a_timeline_is_of_the_day_before_the_newest_decision() -> None:
    async with front_at() as front:
        front.decide(*(decided(3600.0 * hour) for hour in range(60)))
        body = await front.get("/timeline")
        assert (body["since"], body["until"]) == (z(35 * 3600), z(59 * 3600))
        assert len(body["at"]) <= 500
        assert body["at"][-1] <= at(59 * 3600).timestamp() < body["at"][-1] + body["step_s"]


@pytest.mark.parametrize("points", [10, 77, 3000])
async def test_a_timeline_has_no_more_rows_than_asked_for(points: int) -> None:
    async with front_at() as front:
        front.decide(*(decided(60.0 * minute) for minute in range(200)))
        assert len((await front.get("/timeline", points=points))["at"]) <= points


@pytest.mark.parametrize("reader", ["/decision", "/forecast", "/history", "/timeline"])
@pytest.mark.parametrize(
    "instant",
    ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00Z", "-1e11", "0"],
)
async def test_instants_at_the_ends_of_the_calendar_are_answered(reader: str, instant: str) -> None:
    async with front_at() as front:
        front.decide(decided(0, forecast=rising(0)))
        for name in {"/history": ["before"], "/timeline": ["since", "until"]}.get(reader, ["at"]):
            answer = await front.client.get(f"{ONE}{reader}", params={name: instant})
            assert answer.status_code in (200, 404, 422), answer.text


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/decision", {"at": "2026-03-02T12:00:00"}),
        ("/decision", {"at": "noon"}),
        ("/history", {"before": "noon"}),
        ("/timeline", {"points": 9}),
        ("/timeline", {"points": 3001}),
        ("/timeline", {"since": z(60), "until": z(0)}),
    ],
)
async def test_a_question_that_cannot_be_meant_is_refused_by_its_name(
    path: str, query: dict[str, Any]
) -> None:
    async with front_at() as front:
        front.decide(decided(0))
        assert f"query.{next(iter(query))}" in await front.get(path, status=422, **query)


async def test_a_workload_of_which_nothing_is_kept_is_not_followed(tmp_path: Path) -> None:
    async with front_at(tmp_path / "decisions.db") as front:
        for path in ("/timeline", "/history", "/decision", "/decision?at=2026-03-02T12:00:00Z"):
            answer = await front.client.get(f"{ONE}{path}")
            assert answer.status_code == 404
            assert "prod/chat" in answer.json()["detail"]


async def test_a_decision_its_forecast_and_its_cards_are_each_one_line_of_what_is_kept() -> None:
    odd = replace(decided(0, forecast=rising(0)), notes=("two\nlines",))
    told, forecast, cards = encode(odd).split(b"\n")
    assert json.loads(told)["notes"] == ["two\nlines"]
    assert json.loads(forecast)["model"] == "oracle"
    assert json.loads(cards)["capacity"]["decided_at"] == z(0)
    assert datetime.fromisoformat(json.loads(told)["decided_at"]) == at(0)
