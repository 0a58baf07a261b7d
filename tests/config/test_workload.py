"""What settings of a workload become: a policy, signals, a fingerprint."""

import dataclasses
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predictscale.config.intake import read_workload
from predictscale.config.presets import load_presets
from predictscale.config.resolve import Origin, Terms
from predictscale.config.settings import ServiceSettings, WorkloadDefaults, WorkloadSettings
from predictscale.config.workload import DEFAULT_FORECASTERS
from predictscale.core.demand import SignalName, WorkloadId
from predictscale.core.knobs import Bounds
from predictscale.core.plan import Landing, Mode, OnStale
from predictscale.core.slo import Slo
from predictscale.errors import SettingsError, TenancyError
from predictscale.forecasters.base import LEVELS
from predictscale.forecasters.registry import DEFAULT_CHAIN, FORECASTERS

PRESETS = load_presets()
CHAT: dict[str, object] = {
    "namespace": "llm",
    "name": "chat",
    "backend": "vllm-tokens",
    "capacity_per_replica": 1200,
    "max_replicas": 40,
}


def terms(**defaults: Any) -> Terms:
    return ServiceSettings(defaults=WorkloadDefaults(**defaults)).terms(PRESETS)


def resolved(*, trusted: bool = False, given: Terms | None = None, **fields: Any) -> WorkloadSettings:
    _, settings = read_workload({**CHAT, **fields}, terms=given or terms(), origin=Origin(trusted=trusted))
    return settings


def problems(given: Terms | None = None, **fields: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        resolved(given=given, **fields)
    return [str(problem) for problem in caught.value.problems]


def test_what_is_left_out_is_a_default() -> None:
    chat = resolved()
    assert (chat.lead_time_s, chat.level, chat.min_replicas, chat.warm_replicas) == (300, 0.95, 1, 0)
    assert (chat.drain_s, chat.stale_after_s, chat.cooldown_s) == (60, 600, 300)
    assert (chat.on_stale, chat.landing, chat.mode) == (OnStale.FLOOR, Landing.EXACT, Mode.LIVE)
    assert chat.forecasters == DEFAULT_FORECASTERS


def test_the_default_chain_is_the_registrys() -> None:
    assert DEFAULT_CHAIN == DEFAULT_FORECASTERS
    assert set(DEFAULT_FORECASTERS) <= set(FORECASTERS)


def test_the_services_defaults_stand_behind_a_workloads_own() -> None:
    given = terms(lead_time_s="4m", min_replicas=2, on_stale="hold")
    chat = resolved(given=given, min_replicas=3)
    assert (chat.lead_time_s, chat.min_replicas, chat.on_stale) == (240, 3, OnStale.HOLD)


def test_a_workload_may_take_back_a_default() -> None:
    given = terms(hold_s=0, fresh_s="5m")
    assert resolved(given=given).hold_s == 0
    assert resolved(given=given, hold_s=None).hold_s == 600


@pytest.mark.parametrize(("lead_time_s", "hold_s"), [("2m", 600), ("5m", 600), ("10m", 1200)])
def test_scale_down_waits_for_two_lead_times_or_ten_minutes(lead_time_s: str, hold_s: float) -> None:
    assert resolved(lead_time_s=lead_time_s).hold_s == hold_s


def test_data_is_fresh_for_four_ticks() -> None:
    service = ServiceSettings.model_validate({"loop": {"tick_s": 30}})
    assert resolved(given=service.terms(PRESETS)).fresh_s == 120


@pytest.mark.parametrize(
    ("violation", "level"), [("0.5%", 0.995), (0.005, 0.995), ("1%", 0.99), ("5%", 0.95), ("50%", 0.5)]
)
def test_an_slo_covers_the_quantile_that_leaves_its_violation(violation: object, level: float) -> None:
    chat = resolved(slo={"max_violation": violation, "wait_s": "20s"})
    assert (chat.level, chat.drain_s) == (level, 60)
    assert chat.slo == Slo(max_violation=round(1 - level, 12), wait_s=20)
    assert chat.tunes_itself


def test_an_slo_beyond_every_quantile_is_tunings_to_meet_and_refused_without_it() -> None:
    strict: dict[str, Any] = {"max_violation": "0.1%"}
    assert resolved(slo=strict).level == 0.995
    (problem,) = problems(slo=strict, tuning={"enabled": False})
    assert problem.startswith("slo.max_violation: 0.001; must be 0.005 or more, or let tuning choose")
    (problem,) = problems(slo={"max_violation": "51%"})
    assert problem.startswith("slo.max_violation: ")


def test_an_slo_is_said_in_full_in_three_words() -> None:
    said = resolved(slo={"max_violation": "0.5%", "wait": "2s", "window": "7d"})
    assert said.slo == Slo(max_violation=0.005, wait_s=2, window_s=7 * 86400)
    assert resolved(slo={"max_violation": "0.5%", "wait_s": 2, "window_s": "7d"}) == said
    (problem,) = problems(slo={"max_violation": "0.5%", "wait_s": 2, "wait": 3})
    assert "slo.wait: is not a known setting" in problem


def test_tuning_keeps_to_the_owners_quantiles() -> None:
    bounds = {"lowest_quantile": 0.8, "highest_quantile": 0.95}
    chat = resolved(slo={"max_violation": "1%"}, tuning=bounds)
    assert chat.level == 0.95
    assert chat.tuning.bounds == Bounds(lowest_level=0.8, highest_level=0.95)
    (problem,) = problems(tuning={"lowest_quantile": 0.9, "highest_quantile": 0.8})
    assert problem.startswith("tuning.lowest_quantile: 0.9 is above highest_quantile (0.8)")


def test_who_gives_a_quantile_is_not_tuned() -> None:
    assert not resolved(quantile=0.9).tunes_itself
    assert not resolved().tunes_itself
    assert not resolved(given=terms(slo={"max_violation": "1%"}), quantile=0.9).tunes_itself
    assert not resolved(slo={"max_violation": "1%"}, tuning={"enabled": False}).tunes_itself
    assert resolved(given=terms(slo={"max_violation": "1%"})).tunes_itself


@pytest.mark.parametrize("quantile", [0.499, 0.996, 0, 1, "nan", "inf", True])
def test_a_quantile_beyond_every_forecast_is_refused(quantile: object) -> None:
    (problem,) = problems(quantile=quantile)
    assert problem.startswith("quantile: ")


@settings(deadline=None)
@given(st.floats(min_value=0.5, max_value=0.995))
def test_every_level_that_is_accepted_is_one_that_forecasts_carry(quantile: float) -> None:
    level = resolved(quantile=quantile).policy().level
    assert LEVELS[0] <= level <= LEVELS[-1]


def test_a_workloads_slo_stands_above_the_defaults_quantile_and_the_other_way() -> None:
    assert resolved(given=terms(quantile=0.9), slo={"max_violation": "1%"}).level == 0.99
    assert resolved(given=terms(slo={"max_violation": "1%"}), quantile=0.9).level == 0.9
    assert resolved(given=terms(slo={"max_violation": "1%"})).level == 0.99


def test_a_quantile_and_an_slo_are_two_answers_to_one_question() -> None:
    (problem,) = problems(quantile=0.9, slo={"max_violation": "1%"})
    assert "give one of them" in problem


@pytest.mark.parametrize("name", ["min_replicas", "warm_replicas"])
def test_a_floor_above_the_ceiling_is_refused(name: str) -> None:
    floor: dict[str, Any] = {name: 41}
    (problem,) = problems(**floor)
    assert problem == f"{name}: 41 is more than max_replicas (40); a floor lies at or below the ceiling"


def test_a_lead_time_within_one_step_is_refused_in_the_words_of_the_style() -> None:
    (problem,) = problems(lead_time_s=30)
    assert (
        problem == "lead_time_s: 30 is shorter than step_s (60); a plan must be due at least one step ahead"
    )


def test_data_does_not_go_stale_while_it_is_fresh() -> None:
    (problem,) = problems(stale_after_s="30s")
    assert problem.startswith("stale_after_s: 30 is shorter than fresh_s (60); must be at least 1m")


@pytest.mark.parametrize("landing", ["hold", "overshoot"])
def test_a_landing_that_needs_replicas_needs_a_target(landing: str) -> None:
    (problem,) = problems(landing=landing)
    assert problem.startswith(f"landing: '{landing}' without a target")
    assert resolved(landing=landing, target="chat").landing.value == landing


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("capacity_per_replica", 0),
        ("capacity_per_replica", -1),
        ("capacity_per_replica", "nan"),
        ("capacity_per_replica", "inf"),
        ("capacity_per_replica", True),
        ("max_replicas", 0),
        ("max_replicas", 1.5),
        ("max_replicas", True),
        ("max_replicas", 10**9),
        ("min_replicas", -1),
        ("lead_time_s", 0),
        ("lead_time_s", "-4m"),
        ("lead_time_s", "25h"),
        ("stale_after_s", 0),
        ("cooldown_s", -1),
        ("hold_s", float("inf")),
        ("fresh_s", float("nan")),
        ("on_stale", "Floor"),
        ("landing", "exactly"),
        ("mode", ""),
        ("namespace", "LLM"),
        ("namespace", "a/b"),
        ("name", "a" * 254),
        ("name", "-a"),
        ("target", "my deployment"),
        ("prometheus", "prometheus:9090"),
        ("prometheus", "http://u:p@host"),
        ("forecasters", []),
        ("backend", "vlm"),
        ("selector", 'a="b"} or up{c="d"'),
        ("unit", "requests/s"),
    ],
)
def test_a_value_out_of_its_bounds_is_one_problem_at_its_place(name: str, value: object) -> None:
    fields: dict[str, Any] = {name: value}
    found = problems(**fields)
    assert len(found) == 1
    assert found[0].startswith(name)


def test_a_misspelt_choice_or_backend_is_told_what_was_meant() -> None:
    assert "did you mean 'overshoot'?" in problems(landing="overshot")[0]
    assert "did you mean 'vllm-tokens'?" in problems(backend="vllm-token")[0]
    assert "did you mean 'lead_time_s'?" in problems(lead_time=3)[0]


def test_problems_of_fields_and_between_fields_are_told_together() -> None:
    found = problems(
        capacity_per_replica="many", min_replicas=50, lead_time_s=30, landing="hold", backend="x", typo=1
    )
    assert sorted(line.split(":")[0] for line in found) == [
        "backend", "capacity_per_replica", "landing", "lead_time_s", "min_replicas", "typo",
    ]  # fmt: skip


def test_a_workload_has_either_a_backend_or_a_query() -> None:
    assert "neither is given" in problems(backend=None)[0]
    assert "both are given" in problems(query="sum(up)")[0]
    with pytest.raises(ValueError, match="either a backend or a query"):
        WorkloadSettings(workload=WorkloadId("a", "b"), capacity_per_replica=1, max_replicas=1)


def test_the_policy_is_what_was_set() -> None:
    policy = resolved(
        target="chat",
        landing="overshoot",
        mode="shadow",
        warm_replicas=2,
        slo={"max_violation": 0.05, "wait": 90},
        lead_time_s="6m",
    ).policy()
    assert policy.capacity.per_replica == 1200
    assert (policy.lead_time_s, policy.drain_s, policy.hold_s) == (360, 90, 720)
    assert (policy.min_replicas, policy.max_replicas, policy.warm_replicas) == (1, 40, 2)
    assert (policy.landing, policy.mode) == (Landing.OVERSHOOT, Mode.SHADOW)


def test_a_backend_brings_its_signals_and_its_unit() -> None:
    chat = resolved(selector='model_name="x"')
    signals = chat.signals(PRESETS)
    assert set(signals) == {SignalName.DEMAND, SignalName.QUEUE}
    expected = 'sum(rate(vllm:generation_tokens_total{namespace="llm",model_name="x"}[2m]))'
    assert signals[SignalName.DEMAND].query == expected
    assert chat.unit == signals[SignalName.DEMAND].unit == "tokens/s"


def test_a_target_adds_the_fleet() -> None:
    signals = resolved(target="chat").signals(PRESETS)
    assert set(signals) == {
        SignalName.DEMAND,
        SignalName.QUEUE,
        SignalName.REPLICAS,
        SignalName.READY,
        SignalName.STARTING,
    }
    assert 'deployment="chat"' in signals[SignalName.READY].query


def test_a_query_brings_its_queue_in_its_own_unit() -> None:
    fields: dict[str, Any] = {"backend": None, "query": "sum(a)", "queue_query": "sum(b)", "unit": "tokens/s"}
    signals = resolved(**fields, empty_is_zero=True).signals(PRESETS)
    assert [s.unit for s in signals.values()] == ["tokens/s", "tokens"]
    assert all(s.empty_is_zero for s in signals.values())


def test_only_the_owner_of_the_service_queries_beyond_a_namespace() -> None:
    query = 'sum(gateway_requests{namespace="gateway"})'
    assert resolved(trusted=True, backend=None, query=query).query == query
    assert resolved(backend=None, query="sum(up)").query == 'sum(up{namespace="llm"})'
    with pytest.raises(TenancyError):
        resolved(backend=None, query=query)


def test_a_replays_query_is_a_name_and_a_prometheus_query_is_promql() -> None:
    fields: dict[str, Any] = {"backend": None, "query": "chat of last week"}
    assert resolved(trusted=True, **fields).query == "chat of last week"
    prometheus = ServiceSettings.model_validate({"prometheus": {"url": "http://p:9090"}}).terms(PRESETS)
    with pytest.raises(SettingsError, match="is not PromQL"):
        resolved(trusted=True, given=prometheus, **fields)


def test_another_measurement_is_another_fingerprint() -> None:
    measured: list[dict[str, Any]] = [
        {},
        {"name": "other"},
        {"namespace": "web"},
        {"backend": "vllm"},
        {"selector": 'a="b"'},
        {"prometheus": "http://p"},
        {"empty_is_zero": True},
        {"forecasters": ["last-value"]},
        {"backend": None, "query": "a"},
        {"backend": None, "query": "b"},
        {"backend": None, "query": "a", "queue_query": "b"},
        {"backend": None, "query": "a", "unit": "tokens/s"},
    ]
    assert len({resolved(**fields).fingerprint() for fields in measured}) == len(measured)


def test_another_limit_is_the_same_fingerprint() -> None:
    limits: list[dict[str, Any]] = [
        {"max_replicas": 7},
        {"mode": "shadow"},
        {"lead_time_s": "7m"},
        {"quantile": 0.9},
    ]
    assert {resolved(**fields).fingerprint() for fields in limits} == {resolved().fingerprint()}


def test_a_fingerprint_is_the_same_in_every_process() -> None:
    code = (
        "from predictscale.config.workload import WorkloadSettings as W\n"
        "from predictscale.core.demand import WorkloadId as I\n"
        "print(W(workload=I('a','b'), capacity_per_replica=1, max_replicas=1, query='q').fingerprint())"
    )
    here = WorkloadSettings(workload=WorkloadId("a", "b"), capacity_per_replica=1, max_replicas=1, query="q")
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == here.fingerprint()


def test_settings_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolved().max_replicas = 3  # type: ignore[misc]
    with pytest.raises(ValueError, match="frozen"):
        ServiceSettings().grpc.port = 3
