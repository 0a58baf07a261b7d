"""What a replica serves, told alike by REST and the command line."""

import json
import sys
from dataclasses import replace
from typing import Any

import httpx2
import numpy as np
import pytest
from typer.testing import CliRunner

from closed_desk import closed_desk
from made_windows import CHAT as CHAT_MIX
from made_windows import NOW_S, TRUE, drawn, joined, with_columns
from predictscale.cli import app
from predictscale.cli.capacity import lines
from predictscale.clock import ManualClock
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.concurrency import Burst
from predictscale.core.law import LatencyTargets
from predictscale.core.lawcapacity import CapacityLaw, Configured, Engine
from predictscale.core.lawguards import learn
from predictscale.core.needed import Demands
from predictscale.core.plan import Decision
from predictscale.serving.capacity import SHARES, CapacityView, capacity_view
from predictscale.serving.rest import create_app
from worlds import CHAT, NOON, flat_forecast, policy, seen

SLO = LatencyTargets(itl_s=0.05, ttft_p95_s=1.0)
LEARNED = learn(drawn(mix_spread=0.3), now_s=NOW_S, slo=SLO)
LAW = CapacityLaw(
    slo=SLO,
    mix=CHAT_MIX,
    learned=LEARNED,
    engine=Engine(kv_tokens=400_000, max_running=256),
    burst=Burst(peakedness=1.5),
)
LOAD = 40_000.0


def decided(capacity: CapacityLaw, *, demand: float | None = LOAD) -> Decision:
    """A decision that sees 40,000 output tokens per second, in requests of the mean kind."""
    made, _ = step(CHAT, seen(25), flat_forecast(50), policy(), StepMemory(), unit="tokens/s")
    rates = Demands() if demand is None else Demands(output_tokens_per_s=demand).completed(CHAT_MIX)
    observed = replace(seen(demand), rates=rates)
    return replace(made, seen=observed, policy=replace(made.policy, capacity=capacity))


async def asked(made: Decision) -> httpx2.Response:
    store, clock = DecisionStore(), ManualClock(NOON)
    store.put(made)

    desk = closed_desk(store, clock)
    rest = create_app(store=store, desk=desk, now=clock.now, ready=lambda: True)
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=rest), base_url="http://scaler"
    ) as client:
        return await client.get("/api/v1/workloads/prod/chat/capacity")


async def test_rest_tells_the_law_its_error_what_binds_and_the_curve() -> None:
    answer = await asked(decided(LAW))
    assert answer.status_code == 200
    told = CapacityView.model_validate(answer.json())
    assert told.origin == "learned"
    assert told.law is not None
    assert told.law.empty_s == pytest.approx(TRUE.alpha_s, rel=0.02)
    assert told.law.windows == 300
    assert 0 < told.law.mape < 0.05
    assert told.law.ttft is not None
    assert told.why_not_learned == ""
    needed = LAW.needed(decided(LAW).seen.rates)
    assert told.binding == needed.binding.value
    assert told.because == needed.because
    assert [point.share for point in told.curve] == list(SHARES)
    assert next(point.replicas for point in told.curve if point.share == 1) == needed.replicas
    replicas = [point.replicas for point in told.curve]
    assert replicas == sorted(replicas)
    assert {bound.limit for bound in told.bounds} == {"compute", "kv-cache", "burst", "slots"}


def test_latencies_rise_to_the_promise_and_beyond() -> None:
    rows = capacity_view(decided(LAW)).latencies
    assert [row.utilization for row in rows] == sorted(row.utilization for row in rows)
    assert [row.itl_s for row in rows] == sorted(row.itl_s for row in rows)
    (edge,) = (row for row in rows if row.boundary)
    assert edge.itl_s == pytest.approx(SLO.itl_s, rel=0.01)
    assert edge.ttft_p95_s is not None
    assert edge.ttft_p95_s <= 1.0
    assert rows[0].output_per_s == 0


def test_before_there_is_a_law_it_says_why_and_what_stands_in() -> None:
    few = learn(drawn(rows=12), now_s=NOW_S, slo=SLO)
    start = Configured(per_replica=Demands(output_tokens_per_s=2000.0), until_learned=True)
    told = capacity_view(decided(replace(LAW, learned=few, configured=start)))
    assert told.origin == "start"
    assert told.why_not_learned == "12 of the 60 usable windows that it takes"
    assert told.law is None
    assert told.latencies == []
    assert told.per_replica == pytest.approx(2000.0)
    assert told.curve[-1].replicas == 40


def test_what_cannot_be_sized_says_so_and_draws_nothing() -> None:
    nothing = CapacityLaw(slo=SLO, mix=CHAT_MIX)
    told = capacity_view(decided(nothing))
    assert (told.per_replica, told.binding, told.curve) == (None, None, [])
    assert "nothing is known" in told.because
    blind = capacity_view(decided(LAW, demand=None))
    assert blind.because == "no demand is known"
    assert blind.curve == []
    assert blind.latencies


async def test_the_owners_figure_is_told_as_such() -> None:
    made, _ = step(CHAT, seen(25), flat_forecast(50), policy(), StepMemory(), unit="requests/s")
    told = CapacityView.model_validate((await asked(made)).json())
    assert told.origin == "configured"
    assert told.per_replica == 10
    assert [point.replicas for point in told.curve] == [1, 2, 3, 4, 5]
    assert told.law is None
    assert told.targets is None


def test_the_law_is_told_in_words_and_units() -> None:
    told = json.loads(capacity_view(decided(LAW)).model_dump_json())
    said = "\n".join(lines("prod/chat", told))
    assert "learned from the workload's own pods" in said
    assert "promised: mean latency 50 ms, p95 time to first token 1 s" in said
    assert "mean request: 512 input tokens (0% cached), 256 output tokens; peakedness 1.5" in said
    assert "empty 12 ms ±" in said
    assert "300 windows of the last 168 h" in said
    assert "kv_tokens 400,000" in said
    assert said.splitlines()[-1].startswith("now: output tokens bind: 40,000 tok/s over")


@pytest.mark.parametrize("capacity", [LAW, CapacityLaw(slo=SLO, mix=CHAT_MIX)], ids=["learned", "nothing"])
def test_the_command_prints_what_rest_tells(monkeypatch: pytest.MonkeyPatch, capacity: CapacityLaw) -> None:
    body = json.loads(capacity_view(decided(capacity)).model_dump_json())
    questions = []

    def get(url: str, workload: str, what: str) -> Any:
        questions.append((url, workload, what))
        return body

    # The package's attribute of this name is the command itself.
    monkeypatch.setattr(sys.modules["predictscale.cli.capacity"], "get", get)
    done = CliRunner().invoke(
        app, ["capacity", "prod/chat", "--url", "http://there:1"], env={"COLUMNS": "300"}
    )
    assert done.exit_code == 0, done.output
    assert questions == [("http://there:1", "prod/chat", "capacity")]
    for line in lines("prod/chat", body):
        assert line in done.output
    assert ("Replicas by demand." in done.output) == bool(body["curve"])
    as_json = CliRunner().invoke(app, ["capacity", "prod/chat", "--json"])
    assert json.loads(as_json.output) == body


def test_what_contexts_cost_is_told_where_it_is_known() -> None:
    assert LEARNED.fit is not None
    reading = replace(LEARNED.fit.law, context_s=1e-7, context_tokens=640.0)
    learned = replace(LEARNED, fit=replace(LEARNED.fit, law=reading))
    told = json.loads(capacity_view(decided(replace(LAW, learned=learned))).model_dump_json())
    said = "\n".join(lines("prod/chat", told))
    assert "costs 10 µs more for each 100 tokens of context beyond 640" in said
    plain = json.loads(capacity_view(decided(LAW)).model_dump_json())
    assert "context" not in "\n".join(lines("prod/chat", plain))


def test_windows_that_were_left_out_are_counted_by_reason() -> None:
    young = with_columns(drawn(rows=30, seed=1), {"pod_age_s": np.full(30, 60.0)})
    mixed = joined(drawn(), young)
    learned = learn(mixed, now_s=NOW_S, slo=LatencyTargets(itl_s=0.05))
    told = json.loads(capacity_view(decided(replace(LAW, learned=learned))).model_dump_json())
    assert told["law"]["left_out"]["cold"] == 30
    assert any("left out: 30 cold" in line for line in lines("prod/chat", told))
