"""Why so many at an instant when KEDA was told none, or for which nobody knows what it was told."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest
from typer.testing import CliRunner

from closed_desk import closed_desk
from past_scenes import decided
from predictscale.cli import app
from predictscale.cli.explain import lapsed_by
from predictscale.clock import ManualClock
from predictscale.control.decisionlog import DecisionLog
from predictscale.control.store import DecisionStore
from predictscale.core.plan import Decision
from predictscale.meters import Meters
from predictscale.serving.pastreader import encode
from predictscale.serving.rest import create_app
from served_app import served_app
from worlds import NOON, at, policy

PAUSED = replace(policy(), paused_with=10)
NIGHT = (
    decided(0, 95),
    decided(60, None),
    decided(120, None),
    decided(180, 70, obeyed=PAUSED),
)
"""Told 10, nothing for two minutes, then 10 again during a pause."""


@pytest.fixture
def url() -> Iterator[str]:
    """Where a service is asked two hours after its last decision."""
    store, clock = DecisionStore(), ManualClock(NOON)
    log = DecisionLog(path=None, encode=encode, meters=Meters())
    for decision in NIGHT:
        store.put(decision)
        log.note(decision)
    clock.advance(7380)
    rest = create_app(store=store, desk=closed_desk(store, clock), now=clock.now, ready=lambda: True, log=log)
    with served_app(rest) as served:
        yield served


def explained(url: str, instant: str) -> str:
    run = CliRunner().invoke(
        app, ["explain", "prod/chat", "--at", instant, "--url", url], env={"COLUMNS": "160"}
    )
    assert run.exit_code == 0, run.output
    return run.output


def test_minutes_in_which_keda_was_told_nothing_have_no_number_and_their_state_beside_them(url: str) -> None:
    said = explained(url, "12:00")
    rows = [[cell.strip() for cell in row.split("│")] for row in said.splitlines() if row.startswith("│ 12:")]
    told = [(row[1], row[5], row[9]) for row in rows]
    assert told == [
        ("12:00", "10", ""),
        ("12:01", "none", "unavailable"),
        ("12:02", "none", "unavailable"),
        ("12:03", "10", "paused"),
    ]


@pytest.mark.parametrize(
    ("instant", "told"),
    [
        ("12:01:30", "unavailable: KEDA is told UNAVAILABLE: demand was never seen: no model is fitted yet."),
        (
            "12:03",
            "paused: a person has asked that the fleet does not shrink; 10 were there when that began.",
        ),
    ],
)
def test_the_state_of_the_decision_is_told(url: str, instant: str, told: str) -> None:
    assert told in " ".join(explained(url, instant).split())


def test_where_the_last_decision_had_run_out_it_is_said_that_nobody_knows(url: str) -> None:
    warns = (
        "No decision is kept that was valid at Mon 02 Mar 14:00:00 UTC: the last one before it, below, was "
    )
    said = " ".join(explained(url, "14:00").split())
    assert said.startswith(f"{warns}valid until 12:13:00. What KEDA was told then is not known.")
    for fine in ("12:03", "12:13:00", "12:00:59"):
        assert "No decision is kept" not in explained(url, fine)


def as_told(decision: Decision) -> dict[str, str]:
    return {"decided_at": decision.seen.now.isoformat(), "valid_until": decision.valid_until.isoformat()}


@pytest.mark.parametrize(
    ("stale_after_s", "tick_s", "asked_s", "lapsed"),
    [
        (600, 15, 600, False),
        (600, 15, 601, True),
        # One a minute is kept of those that say the same: the later ones are not missing.
        (30, 15, 75, False),
        (30, 15, 76, True),
        (600, 1800, 1800, False),
        (600, 1800, 1861, True),
    ],
)
def test_a_decision_has_run_out_once_a_later_one_would_have_been_kept(
    stale_after_s: float, tick_s: float, asked_s: float, *, lapsed: bool
) -> None:
    decision = decided(0, obeyed=policy(stale_after_s=stale_after_s))
    asked: datetime = at(asked_s)
    assert (lapsed_by(as_told(decision), asked, tick_s=tick_s) is not None) is lapsed
