"""What stands beside a decision is told of the past as it was told when the decision was made."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from closed_desk import closed_desk
from past_scenes import decided, rising
from predictscale.clock import ManualClock
from predictscale.control.decisionlog import DecisionLog
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.budget import Allowance
from predictscale.core.knobs import Knobs
from predictscale.core.outcome import Outcome
from predictscale.core.plan import Decision
from predictscale.core.pools import Pool, PoolKind, PoolPolicy, Pools, PoolsSeen, ZoneSeen
from predictscale.core.slo import Slo
from predictscale.core.tuned import Tuning
from predictscale.meters import Meters
from predictscale.serving.pastreader import encode
from predictscale.serving.rest import create_app
from worlds import CHAT, NOON, at, policy, seen

ONE = "/api/v1/workloads/prod/chat"
CARDS = ("capacity", "floors", "pools", "tuning", "accuracy", "lead-time")
_POOLS = Pools(
    pools=(
        Pool(name="steady", kind=PoolKind.ON_DEMAND, max_replicas=40),
        Pool(name="spot", kind=PoolKind.SPOT, max_replicas=40, zones=("spot",)),
    ),
    rule=PoolPolicy(availability=0.99, lead_time_s=240),
)
_SEEN = PoolsSeen(
    on_demand_ready=1,
    on_demand_pending=0,
    zones=(ZoneSeen(zone="spot", ready=3, pending=1, noticed=1, rebalanced=1),),
)
_OUTCOME = Outcome(240.0, (0.5, 0.9), (0.45, 0.93), (2.0, 1.0), 400)


def _rich(second: float, *, demand: float, notches: int) -> Decision:
    """A decision of which there is something to tell on each card."""
    knobs = Knobs(level=0.9, hold_s=300.0)
    plain = decided(
        second,
        demand,
        forecast=rising(second),
        obeyed=replace(policy(lead_time_s=240, warm_replicas=notches), pools=_POOLS),
    )
    return replace(
        plain,
        seen=replace(plain.seen, pools=_SEEN),
        outcomes=(replace(_OUTCOME, scored=400 + notches),),
        tuning=Tuning(
            slo=Slo(max_violation=0.005, wait_s=2.0),
            choice=None,
            knobs=knobs,
            since=at(0),
            because="no replay yet",
            notches=notches,
            violation=0.001,
            spent=0.2,
            known_s=86400.0,
            every_s=3600.0,
            next_at=at(3600),
        ),
    )


class _Front:
    def __init__(self, log: DecisionLog) -> None:
        self.log, self.store, self.clock = log, DecisionStore(), ManualClock(NOON)
        app = create_app(
            store=self.store,
            desk=closed_desk(self.store, self.clock),
            now=self.clock.now,
            ready=lambda: True,
            log=log,
        )
        self.client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://scaler")

    def decide(self, decision: Decision) -> None:
        self.store.put(decision)
        self.log.note(decision)

    async def get(self, card: str, second: float | None = None, *, status: int = 200) -> Any:
        query = {} if second is None else {"at": at(second).isoformat()}
        answer = await self.client.get(f"{ONE}/{card}", params=query)
        assert answer.status_code == status, answer.text
        body = answer.json()
        return body if status == 200 else body["detail"]


@asynccontextmanager
async def _front_at(path: Path | None = None, *, kept: object = encode) -> AsyncGenerator[_Front]:
    log = DecisionLog(path=path, encode=kept, meters=Meters())  # type: ignore[arg-type] # an older one
    front = _Front(log)
    yield front
    await front.client.aclose()
    await log.aclose()


async def test_each_card_of_the_past_is_what_was_told_then_from_memory_and_after_a_restart(
    tmp_path: Path,
) -> None:
    path = tmp_path / "decisions.db"
    async with _front_at(path) as front:
        front.decide(_rich(0, demand=25, notches=1))
        told = {card: await front.get(card) for card in CARDS}
        front.clock.advance(60)
        front.decide(_rich(60, demand=80, notches=3))
        for card in set(CARDS) - {"lead-time"}:
            assert await front.get(card) != told[card]  # there is a past to mistake for now
        told["lead-time"]["because"] = "configured, 240 s: no measurement was in force"
        for card in CARDS:
            assert await front.get(card, 59) == told[card], card
    async with _front_at(path) as front:
        for card in CARDS:
            assert await front.get(card, 59) == told[card], card


async def test_a_measured_lead_time_of_the_past_is_told_with_what_its_owner_had_configured() -> None:
    async with _front_at() as front:
        measured = policy(lead_time_s=300).measured(capacity=None, lead_time_s=195.0)
        front.decide(decided(0, obeyed=measured))
        lead = await front.get("lead-time", 0)
        assert (lead["in_force_s"], lead["configured_s"], lead["is_measured"]) == (195, 300, True)
        assert lead["measurement"] is None


async def test_what_a_workload_did_not_have_then_is_said_to_be_absent_then() -> None:
    async with _front_at() as front:
        front.decide(decided(0))
        front.clock.advance(60)
        front.decide(_rich(60, demand=25, notches=1))
        assert await front.get("pools", 0, status=404) == "prod/chat had no pools at 2026-03-02T12:00:00Z"
        assert "was not tuned at" in await front.get("tuning", 0, status=404)
        assert "had no forecast at" in await front.get("accuracy", 0, status=404)


@pytest.mark.parametrize("card", ["capacity", "floors", "pools", "tuning"])
async def test_an_archive_of_before_cards_were_kept_says_that_they_were_not(
    tmp_path: Path, card: str
) -> None:
    path = tmp_path / "decisions.db"

    def older(decision: Decision) -> bytes:
        return b"\n".join(encode(decision).split(b"\n")[:2])

    async with _front_at(path, kept=older) as front:
        front.log.note(_rich(0, demand=25, notches=1))
        assert f"nothing is kept of its {card}" in await front.get(card, 0, status=404)
        assert (await front.get("accuracy", 0))["horizons"][0]["scored"] == 401
        assert (await front.get("lead-time", 0))["in_force_s"] == 240


async def test_a_card_that_came_later_than_the_archive_is_said_not_to_be_kept() -> None:
    def older(decision: Decision) -> bytes:
        first, second, cards = encode(decision).split(b"\n")
        kept = {card: told for card, told in json.loads(cards).items() if card != "tuning"}
        return b"\n".join((first, second, json.dumps(kept).encode()))

    async with _front_at(kept=older) as front:
        front.log.note(_rich(0, demand=25, notches=1))
        assert "nothing is kept of its tuning" in await front.get("tuning", 0, status=404)
        assert (await front.get("pools", 0))["zones"]


@pytest.mark.parametrize("card", CARDS)
async def test_before_everything_that_is_kept_each_card_says_what_is(card: str) -> None:
    async with _front_at() as front:
        front.decide(_rich(60, demand=25, notches=1))
        assert "nothing is kept of" in await front.get(card, 0, status=404)


async def test_what_bound_a_past_decision_is_told_of_it() -> None:
    poor = replace(seen(50, now=at(0)), allowance=Allowance(2, "2 are left of the money"))
    bound, _ = step(CHAT, poor, rising(0), policy(), StepMemory(), unit="requests/s")
    async with _front_at() as front:
        for decision in (bound, decided(60, obeyed=policy(max_replicas=2)), decided(120)):
            front.decide(decision)
        front.clock.advance(120)
        assert bound.plan.granted is not None
        told = [await front.get("decision", second) for second in (0, 60, None)]
        assert [each["budget_bound"] for each in told] == [bound.plan.granted.because, None, None]
        assert [each["at_ceiling"] for each in told] == [False, True, False]
