"""Why so many at a past instant, asked of a real REST server on what was kept."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from closed_desk import closed_desk
from past_scenes import decided, rising
from predictscale.cli import app
from predictscale.cli.explain import when
from predictscale.cli.remote import _hints
from predictscale.clock import ManualClock
from predictscale.control.decisionlog import DecisionLog
from predictscale.control.store import DecisionStore
from predictscale.core.plan import Mode
from predictscale.meters import Meters
from predictscale.serving.pastreader import encode
from predictscale.serving.rest import create_app
from served_app import served_app
from worlds import NOON, at, policy

NOW = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
OBEYED = policy(lead_time_s=240, level=0.95)


@dataclass
class Served:
    """A service's REST, and what it reads."""

    url: str
    store: DecisionStore
    log: DecisionLog
    clock: ManualClock

    def decide(
        self, minute: int, demand: float | None, *, mode: Mode = Mode.LIVE, lead_time_s: float = 240
    ) -> None:
        decision = decided(
            60.0 * minute,
            demand,
            forecast=None if demand is None else rising(60.0 * minute),
            obeyed=policy(lead_time_s=lead_time_s, level=0.95, mode=mode),
        )
        self.store.put(decision)
        self.log.note(decision, plain=9)
        self.clock.advance(60.0 * (minute + 1) - self.clock.monotonic_s())

    def say(self, *arguments: str, wants: int = 0) -> str:
        run = CliRunner().invoke(app, [*arguments, "--url", self.url], env={"COLUMNS": "140"})
        assert run.exit_code == wants, run.output
        return " ".join(run.output.split())


@pytest.fixture
def served() -> Iterator[Served]:
    store, clock = DecisionStore(), ManualClock(NOON)
    log = DecisionLog(path=None, encode=encode, meters=Meters())
    rest = create_app(store=store, desk=closed_desk(store, clock), now=clock.now, ready=lambda: True, log=log)
    with served_app(rest) as url:
        yield Served(url, store, log, clock)


def test_a_past_decision_is_explained_with_what_was_known_and_what_came(served: Served) -> None:
    for minute in range(60):
        served.decide(minute, 300.0 + minute)
    said = served.say("explain", "prod/chat", "--at", "12:05")
    assert "prod/chat, decided Mon 02 Mar 12:05:00 UTC" in said
    assert "305 requests/s are here" in said
    assert "Known then: demand was 305 requests/s, 0s old." in said
    assert "lead time 4m; a replica serves 10 requests/s; level 0.95." in said
    assert "oracle, from 12:05:00, expected for 12:09:00 by level 0.5: 9, 0.9: 13, 0.95: 13.5" in said
    assert "Up to 309 requests/s came within the lead time; it was sized for 305, 1.3% too little." in said
    assert "At its end 4 were ready of the 31 it wanted." in said
    # One row a minute, from the decision to the end of its lead time, beside what had been forecast for it.
    assert "12:05 │ 305 │ 9.5 │ 31 │ 31 │ 4 │ 31 │ 9 │" in said
    assert "12:09 │ 309 │ 13.5 │" in said
    assert "12:04 │" not in said
    assert "12:10 │" not in said


def test_what_was_sized_well_is_said_to_have_been_enough(served: Served) -> None:
    for minute in range(60):
        served.decide(minute, 300.0 - minute)
    said = served.say("explain", "prod/chat", "--at", "2026-03-02T12:30:30Z")
    assert "decided Mon 02 Mar 12:30:00 UTC" in said
    assert "it was sized for 270, which was enough" in said


def test_of_a_decision_just_made_it_is_said_that_its_lead_time_is_not_over(served: Served) -> None:
    for minute in range(3):
        served.decide(minute, 300.0)
    said = served.say("explain", "prod/chat", "--at", "1m ago")
    assert "which is not over" in said
    assert "So far 4 were ready of" in said


def test_a_surge_of_a_minute_is_not_lost_in_a_lead_time_of_hours(served: Served) -> None:
    for minute in range(190):
        served.decide(minute, 500.0 if minute == 40 else 100.0, lead_time_s=3 * 3600)
    said = served.say("explain", "prod/chat", "--at", "12:00")
    assert "Up to 500 requests/s came within the lead time; it was sized for 100, 80.0% too little." in said
    assert said.count("│ 100 │") <= 30


def test_the_present_is_that_of_the_service_and_not_of_this_machine(served: Served) -> None:
    for minute in range(30):
        served.decide(minute, 300.0)
    assert "decided Mon 02 Mar 12:10:00 UTC" in served.say("explain", "prod/chat", "--at", "20m ago")


def test_what_was_never_seen_is_said_to_be_unknown(served: Served) -> None:
    served.decide(0, None)
    served.decide(1, 30)
    served.decide(10, None)
    said = served.say("explain", "prod/chat", "--at", "12:10")
    assert "Known then: demand was never seen." in said
    assert "no forecast was used." in said
    assert "What came within the lead time is not known." in said


def test_in_shadow_mode_both_staircases_are_explained(served: Served) -> None:
    served.decide(0, 300, mode=Mode.SHADOW)
    said = served.say("explain", "prod/chat", "--at", "12:00")
    assert "(only recorded: shadow mode)" in said
    assert "without a forecast, which is published" in said


def test_where_replicas_are_unknown_it_is_said_what_to_look_at() -> None:
    told: dict[str, Any] = {"health": "ok", "current_replicas": None, "notes": []}
    assert "kube-state-metrics" in " ".join(_hints(told))
    assert not list(_hints({**told, "notes": ["replicas could not be read: ConnectError"]}))
    assert not list(_hints({**told, "current_replicas": 3}))


def test_where_demand_was_never_seen_it_is_said_what_to_look_at(served: Served) -> None:
    served.decide(0, None)
    assert "do backend, selector and namespace fit?" in served.say("plan", "prod/chat")


def test_the_newest_is_told_by_plan_in_the_same_words(served: Served) -> None:
    served.decide(0, 300)
    plan = served.say("plan", "prod/chat")
    assert served.say("explain", "prod/chat", "--at", "12:00").startswith(plan)


def test_as_json_it_is_what_the_service_says(served: Served) -> None:
    for minute in range(60):
        served.decide(minute, 300.0 + minute)
    then = json.loads(served.say("explain", "prod/chat", "--at", "12:05", "--json"))
    assert then["decision"]["decided_at"] == "2026-03-02T12:05:00Z"
    assert then["decision"]["steps"][0]["value"] == 305
    assert then["forecast"]["model"] == "oracle"
    assert max(value for value in then["after"]["demand"] if value is not None) == 309
    newest = json.loads(served.say("plan", "prod/chat", "--json"))
    assert newest["decided_at"] == "2026-03-02T12:59:00Z"
    assert served.say("plan", "prod/gone", "--json", wants=1).startswith(f"{served.url}: ")


def test_before_what_is_kept_the_command_says_what_is(served: Served) -> None:
    served.decide(5, 300)
    said = served.say("explain", "prod/chat", "--at", "2026-03-01T00:00Z", wants=1)
    assert "kept is 2026-03-02T12:05:00Z to 2026-03-02T12:05:00Z" in said


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("14:05", "2026-03-02T14:05:00Z"),
        ("9:05", "2026-03-02T09:05:00Z"),
        ("14:30:00", "2026-03-02T14:30:00Z"),
        ("9:05:30", "2026-03-02T09:05:30Z"),
        ("14:31", "2026-03-01T14:31:00Z"),
        ("2h ago", "2026-03-02T12:30:00Z"),
        ("1h 30m ago", "2026-03-02T13:00:00Z"),
        ("2026-02-28T08:00", "2026-02-28T08:00:00Z"),
        ("2026-02-28T08:00+02:00", "2026-02-28T06:00:00Z"),
        (" 2026-02-28 08:00:01Z ", "2026-02-28T08:00:01Z"),
    ],
)
def test_instants_are_read_as_people_write_them(text: str, meant: str) -> None:
    assert when(text, now=NOW) == datetime.fromisoformat(meant)


@pytest.mark.parametrize(
    "text", ["", "noon", "25:00", "ago", "-2h ago", "2h", "14", "9999999d ago", "2h from now"]
)
def test_what_is_no_instant_is_refused_with_what_would_be(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="2h ago"):
        when(text, now=NOW)


@given(st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(9000, 1, 1)))  # noqa: DTZ001 - hypothesis wants them so
def test_a_time_of_day_is_the_last_one_there_was(moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    meant = when("14:05", now=now)
    assert (meant.hour, meant.minute) == (14, 5)
    assert 0 <= (now - meant).total_seconds() < 86_400


def test_what_follows_a_bad_instant_is_nothing(served: Served) -> None:
    served.decide(0, 300)
    assert "2h ago" in served.say("explain", "prod/chat", "--at", "noon", wants=2)
    assert at(0) == NOON
