"""What readers are told of a load in tokens: rates, the limit that binds, both lead times."""

from collections.abc import Mapping
from dataclasses import replace

from prometheus_client import Metric

from closed_desk import closed_desk
from predictscale.clock import ManualClock
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.capacity import Origin
from predictscale.core.demand import Observation
from predictscale.core.fleet import FleetState
from predictscale.core.law import LatencyTargets, Mix
from predictscale.core.lawcapacity import CapacityLaw, Configured
from predictscale.core.needed import Demands, Limit
from predictscale.core.offered import Rate
from predictscale.core.plan import Decision, Policy
from predictscale.serving.telemetry import DecisionCollector
from predictscale.serving.views import decision_view, forecast_view
from worlds import CHAT, NOON, flat_forecast, policy

MIX = Mix(input_tokens=500, output_tokens=250, cached_share=0.2)
EACH = Demands(requests_rps=10, input_tokens_per_s=4000, output_tokens_per_s=2000)
LAW = CapacityLaw(
    slo=LatencyTargets(itl_s=0.05),
    mix=MIX,
    configured=Configured(per_replica=EACH, until_learned=True),
    primary=Rate.REQUESTS,
)
LEARNED = replace(policy(), capacity=LAW).measured(capacity=None, lead_time_s=200.0)
SEEN = Observation(
    now=NOON,
    demand=30.0,
    demand_at=NOON,
    fleet=FleetState(replicas=7, ready=5),
    rates=Demands(requests_rps=30, input_tokens_per_s=12_000, output_tokens_per_s=7500),
    waiting=4.0,
    mix=MIX,
    kv_usage=0.5,
)


def decided(
    seen: Observation = SEEN, rules: Policy = LEARNED, further: Mapping[Rate, float] | None = None
) -> Decision:
    told = {rate: flat_forecast(value) for rate, value in (further or {}).items()}
    made, _ = step(CHAT, seen, flat_forecast(30.0), rules, StepMemory(), unit="requests/s", further=told)
    return made


def exposed(decision: Decision) -> dict[str, dict[tuple[str, ...], float]]:
    """Every family's samples by the labels that follow the workload's own."""
    store, clock = DecisionStore(), ManualClock(NOON)
    store.put(decision)
    desk = closed_desk(store, clock)

    def samples(family: Metric) -> dict[tuple[str, ...], float]:
        return {tuple(sample.labels.values())[2:]: sample.value for sample in family.samples}

    return {family.name: samples(family) for family in DecisionCollector(store, desk, clock.now).collect()}


def test_a_decision_shows_its_rates_and_the_mean_request() -> None:
    view = decision_view(decided(), now=NOON)
    assert view.rates is not None
    assert view.rates.model_dump() == {
        "requests_rps": 30,
        "input_tokens_per_s": 12_000,
        "output_tokens_per_s": 7500,
        "waiting_requests": 4.0,
        "kv_usage": 0.5,
        "mix": {"input_tokens": 500, "output_tokens": 250, "cached_share": 0.2},
    }
    assert view.starting_replicas == 2


def test_a_decision_shows_what_its_capacity_rests_on_and_which_limit_binds() -> None:
    shown = decision_view(decided(), now=NOON).policy
    assert shown.capacity.origin is Origin.START
    assert shown.capacity.binding is Limit.CONFIGURED
    assert shown.capacity.because is not None
    assert shown.capacity.because.startswith("output tokens bind: 7,500 tok/s over 2,000 tok/s per replica")
    assert [round(bound.replicas, 2) for bound in shown.capacity.bounds] == [3.0, 3.0, 3.75]
    assert shown.capacity.guards == ["capacity is configured until it is learned: nothing was learned from"]
    # At the present mix output binds: 2,000 tok/s are 8 requests/s.
    assert shown.capacity_per_replica is not None
    assert round(shown.capacity_per_replica, 3) == 8.0
    assert (shown.lead_time_s, shown.configured_lead_time_s) == (200.0, 240)


def test_a_capacity_of_one_number_is_shown_as_configured() -> None:
    plain = replace(SEEN, rates=Demands(), mix=None, waiting=None, kv_usage=None)
    view = decision_view(decided(plain, policy()), now=NOON)
    assert view.rates is None
    assert (view.policy.capacity_per_replica, view.policy.capacity.origin) == (10, Origin.CONFIGURED)
    assert view.policy.configured_lead_time_s is None


def test_what_is_not_known_is_null_and_has_no_series() -> None:
    blank = replace(LEARNED, capacity=replace(LAW, configured=None))
    decision = decided(replace(SEEN, kv_usage=None), blank)
    view = decision_view(decision, now=NOON)
    assert view.policy.capacity_per_replica is None
    assert view.policy.capacity.binding is None
    assert view.policy.capacity.bounds == []
    told = exposed(decision)
    assert told["predictscale_capacity_per_replica"] == {}
    assert told["predictscale_capacity_limit_replicas"] == {}
    assert told["predictscale_kv_cache_usage_ratio"] == {}


def test_rates_limits_and_both_lead_times_are_exposed() -> None:
    told = exposed(decided(further={Rate.OUTPUT: 9000.0}))
    assert told["predictscale_offered_rate"] == {
        ("requests",): 30,
        ("input",): 12_000,
        ("output",): 7500,
    }
    assert told["predictscale_forecast_rate"] == {("output", "0.5"): 9000, ("output", "0.9"): 9000}
    assert told["predictscale_waiting_requests"] == {(): 4}
    assert told["predictscale_starting_replicas"] == {(): 2}
    assert told["predictscale_capacity_limit_replicas"] == {("configured",): 4.5}
    assert told["predictscale_capacity_binding"] == {("configured",): 1}
    assert told["predictscale_lead_time_seconds"] == {("configured",): 240, ("measured",): 200}
    ((labels, each),) = told["predictscale_capacity_per_replica"].items()
    assert labels == ("requests/s", "start")
    assert round(each, 3) == 8.0


def test_the_forecast_shows_each_rates_own() -> None:
    decision = decided(further={Rate.OUTPUT: 9000.0})
    assert decision.forecast is not None
    (told,) = forecast_view(decision, decision.forecast, now=NOON).rates
    assert (told.rate, told.model, told.levels) == (Rate.OUTPUT, "oracle", [0.5, 0.9])
    assert told.values[1][0] == 9000
    assert len(told.starts) == len(told.values[0])


def test_an_owners_lead_time_is_exposed_as_his() -> None:
    told = exposed(decided(replace(SEEN, rates=Demands(), mix=None), policy()))
    assert told["predictscale_lead_time_seconds"] == {("configured",): 240}
    assert told["predictscale_offered_rate"] == {}
