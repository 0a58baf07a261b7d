"""Of the past no number is told that KEDA was not told: over REST, from memory, and from the archive."""

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from closed_desk import closed_desk
from fake_desk import FakeDesk, served
from keda_client import ScaledObject, keda
from past_scenes import decided
from predictscale._proto import externalscaler_pb2 as pb
from predictscale.clock import ManualClock
from predictscale.control.decisionline import line_of
from predictscale.control.decisionlog import DecisionLog
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.control.timeline import timeline
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision, Memory, Mode, OnStale, Policy
from predictscale.core.state import Mark
from predictscale.meters import Meters
from predictscale.serving.grpc import METRIC_NAME
from predictscale.serving.pastreader import encode
from predictscale.serving.pastviews import TimelineView
from predictscale.serving.rest import create_app
from predictscale.serving.views import DecisionView
from worlds import CHAT, NOON, at, flat_forecast, policy, seen

ONE = "/api/v1/workloads/prod/chat"
METRICS = pb.GetMetricsRequest(scaledObjectRef=ScaledObject().ref, metricName=METRIC_NAME)
GONE = policy(on_stale=OnStale.UNAVAILABLE)


def made(
    minute: float,
    demand: float | None = 95,
    *,
    age_s: float = 0,
    obeyed: Policy | None = None,
    memory: Memory | None = None,
    home: tuple[str, ...] = (),
) -> Decision:
    """A decision that remembers 10 replicas, with a forecast of the oracle's."""
    now = at(60 * minute)
    remembered = memory or Memory(last_good=10)
    decision, _ = step(
        CHAT,
        seen(demand, now=now, age_s=age_s, replicas=10),
        flat_forecast(60, now=now),
        obeyed or policy(),
        StepMemory(live=remembered, reactive=remembered),
        unit="requests/s",
    )
    return replace(decision, home=home)


NIGHT = (
    made(0),
    made(1, age_s=400),
    made(2, age_s=5000, obeyed=GONE),
    made(3, None, memory=Memory()),
    made(4, age_s=5000, obeyed=replace(GONE, mode=Mode.SHADOW)),
    made(5, age_s=5000),
    made(6, 50, obeyed=replace(policy(), paused_with=10), home=("native",)),
    made(7, 5000),
)
TOLD = [10, 10, None, None, None, 1, 10, 100]
"""What KEDA was told: fresh, held, gone, never seen, gone in shadow mode, the floor, paused, the most."""


@asynccontextmanager
async def rest(
    *decisions: Decision, path: Path | None = None, kept: int = 960
) -> AsyncGenerator[httpx2.AsyncClient]:
    """A service's REST after decisions; without any, one that was started again on the same archive."""
    store, clock = DecisionStore(kept=kept), ManualClock(NOON)
    log = DecisionLog(path=path, encode=encode, meters=Meters(), keep_s=7 * 86_400, max_bytes=2**30)
    for decision in decisions:
        store.put(decision)
        log.note(decision)
    app = create_app(store=store, desk=closed_desk(store, clock), now=clock.now, ready=lambda: True, log=log)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://scaler") as client:
        yield client
    await log.aclose()


async def answer(client: httpx2.AsyncClient, path: str, **query: str) -> Any:
    said = await client.get(f"{ONE}{path}", params=query)
    assert said.status_code == 200, said.text
    return said.json()


async def told_over_grpc(decisions: Sequence[Decision]) -> list[int | None]:
    """What KEDA gets at each tick; None for UNAVAILABLE."""
    desk, told = FakeDesk(), list[int | None]()
    async with served(desk) as server, keda(f"127.0.0.1:{server.port}") as client:
        for decision in decisions:
            desk.publish(decision)
            try:
                values = (await client.stub.GetMetrics(METRICS)).metricValues
            except grpc.aio.AioRpcError as refused:
                if refused.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                told.append(None)
            else:
                told.append(values[0].metricValue)
    return told


async def test_what_is_told_of_last_night_is_what_keda_was_told_then(tmp_path: Path) -> None:
    path = tmp_path / "decisions.db"
    assert await told_over_grpc(NIGHT) == TOLD
    async with rest(*NIGHT, path=path, kept=3) as client:
        before = [await past(client) for _ in range(2)]
    async with rest(path=path) as client:
        after = await past(client)
    assert before == [after, after]
    assert after == {"timeline": TOLD, "history": TOLD, "at": TOLD}


async def past(client: httpx2.AsyncClient) -> dict[str, list[int | None]]:
    """What KEDA was told by each reader of the past, oldest first."""
    stretch = await answer(client, "/timeline")
    TimelineView.model_validate(stretch)
    history = (await answer(client, "/history"))["decisions"]
    for each in history:
        DecisionView.model_validate(each)
        assert (each["published_replicas"] is None) is not each["available"]
    each_at = [await answer(client, "/decision", at=decision.seen.now.isoformat()) for decision in NIGHT]
    return {
        "timeline": stretch["published"],
        "history": [each["published_replicas"] for each in reversed(history)],
        "at": [each["published_replicas"] for each in each_at],
    }


async def test_a_past_decision_tells_its_state_and_a_step_what_else_held() -> None:
    async with rest(*NIGHT) as client:
        stretch = await answer(client, "/timeline")
        states = [each["state"] for each in reversed((await answer(client, "/history"))["decisions"])]
    assert states == ["ok", "holding", "unavailable", "unavailable", "unavailable", "stale", "paused", "ok"]
    assert stretch["marks"] == [
        [],
        [],
        ["unavailable"],
        ["unavailable"],
        ["unavailable", "shadow"],
        [],
        ["demoted", "paused"],
        ["at-ceiling"],
    ]


@settings(deadline=None, max_examples=40)
@given(
    demand=st.one_of(st.none(), st.floats(0, 1e4)),
    age_s=st.floats(0, 2000),
    partial=st.booleans(),
    on_stale=st.sampled_from(OnStale),
    mode=st.sampled_from(Mode),
    remembered=st.one_of(st.none(), st.integers(0, 50)),
)
async def test_line_and_view_have_a_number_just_where_keda_is_told_one(
    *,
    demand: float | None,
    age_s: float,
    partial: bool,
    on_stale: OnStale,
    mode: Mode,
    remembered: int | None,
) -> None:
    decision = made(
        0,
        demand,
        age_s=age_s,
        obeyed=policy(on_stale=on_stale, mode=mode),
        memory=Memory(last_good=remembered),
    )
    decision = replace(decision, seen=replace(decision.seen, partial=partial))
    [told] = await told_over_grpc([decision])
    assert line_of(decision).published == told
    assert json.loads(encode(decision).split(b"\n")[0])["published_replicas"] == told


@given(st.lists(st.sampled_from(NIGHT), min_size=1, max_size=12), st.integers(1, 9))
def test_a_coarse_step_tells_what_was_told_last_in_it_and_all_that_held(
    night: list[Decision], minutes: int
) -> None:
    lines = [
        replace(line_of(decision), at_us=line_of(made(minute)).at_us) for minute, decision in enumerate(night)
    ]
    since_s = at(0).timestamp()
    told = timeline(lines, since_s=since_s, until_s=since_s + 3600 * minutes, points=60)
    for row, begins_s in enumerate(told.at_s):
        inside = [line for line in lines if begins_s <= line.at_us / 1e6 < begins_s + told.step_s]
        assert told.counts["published"][row] == inside[-1].published
        held = {word for line in inside for word in (line.marks or "").split(",") if word}
        assert {mark.value for mark in told.marks[row] or ()} == held
        assert (Mark.UNAVAILABLE in (told.marks[row] or ())) is any(line.published is None for line in inside)


def test_of_a_line_without_marks_no_more_is_said_than_whether_a_number_was_told() -> None:
    lines = [replace(line_of(decision), marks=None) for decision in (NIGHT[6], NIGHT[2])]
    since_s = at(0).timestamp()
    told = timeline(
        sorted(lines, key=lambda line: line.at_us), since_s=since_s, until_s=since_s + 600, points=60
    )
    assert told.marks == [[Mark.UNAVAILABLE], None, None, None, None]


async def test_now_too_no_number_is_told_where_keda_is_told_none() -> None:
    async with rest(made(0, age_s=5000, obeyed=GONE)) as client:
        now = await answer(client, "/decision")
        row = await answer(client, "")
    assert (now["published_replicas"], now["available"], now["state"]) == (None, False, "unavailable")
    assert now["state_because"].startswith("KEDA is told UNAVAILABLE: demand is 5000 s old")
    assert (row["published_replicas"], row["available"], row["state"]) == (None, False, "unavailable")


@pytest.mark.parametrize("late_s", [0, 1])
async def test_a_decision_that_has_run_out_tells_no_number_any_more(late_s: float) -> None:
    decision = decided(0)
    store, clock = DecisionStore(), ManualClock(NOON)
    store.put(decision)
    clock.advance((decision.valid_until - NOON).total_seconds() + late_s)
    app = create_app(store=store, desk=closed_desk(store, clock), now=clock.now, ready=lambda: True)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://scaler") as client:
        now = await answer(client, "/decision")
    assert decision.workload == WorkloadId("prod", "chat")
    assert now["published_replicas"] == (None if late_s else decision.answer.published)
    assert now["state"] == ("unavailable" if late_s else "reactive")
