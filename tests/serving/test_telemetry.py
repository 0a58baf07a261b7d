import math
import shutil
import subprocess
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric, generate_latest, start_http_server
from prometheus_client.openmetrics import exposition, parser
from prometheus_client.parser import text_string_to_metric_families

from predictscale import __version__
from predictscale.clock import ManualClock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.desk import Desk, Following, Ref
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.events import PlannedEvent, planned
from predictscale.core.forecast import Forecast
from predictscale.core.plan import Decision, Health, Mode, OnStale, Stage
from predictscale.errors import Problem, SettingsError
from predictscale.meters import Meters
from predictscale.serving.telemetry import DecisionCollector, forecast_at_lead
from worlds import CHAT, NOON, at, flat_forecast, forecast_of, policy, seen

BAD = {"bad": "yes"}
WRONG = SettingsError([Problem("a", "is missing", "give it"), Problem("b", "is missing", "give it")])
_Key = tuple[str, frozenset[tuple[str, str]]]


@dataclass
class Scrape:
    """The exposition of one service process, read as Prometheus reads it."""

    store: DecisionStore = field(default_factory=DecisionStore)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))
    meters: Meters = field(default_factory=Meters)

    def __post_init__(self) -> None:
        self.desk = Desk(
            parse=self._parse,
            store=self.store,
            following=Following(lambda _: None, self.store.forget),
            clock=self.clock,
            max_registrations=100,
            expire_after_s=3600,
        )
        self.meters.registry.register(DecisionCollector(self.store, self.desk, self.clock.now))

    @staticmethod
    def _parse(ref: Ref) -> WorkloadSettings:
        if ref.metadata.get("bad"):
            raise WRONG
        workload = WorkloadId(ref.namespace, ref.name)
        return WorkloadSettings(workload=workload, query="load", capacity_per_replica=10, max_replicas=100)

    async def ask(self, metadata: Mapping[str, str], *, name: str = "chat") -> None:
        try:
            await self.desk.spec(Ref("prod", name, dict(metadata)))
        except SettingsError:
            assert metadata == BAD

    def text(self) -> bytes:
        return generate_latest(self.meters.registry)

    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(self.text().decode()))

    def samples(self) -> dict[_Key, float]:
        """Every sample by name and labels; Prometheus refuses a scrape that has one twice."""
        found: dict[_Key, float] = {}
        for family in self.families():
            for sample in family.samples:
                key = (sample.name, frozenset(sample.labels.items()))
                assert key not in found
                found[key] = sample.value
        return found

    def value(self, name: str, workload: WorkloadId = CHAT, **labels: str) -> float | None:
        """The value of one of a workload's gauges, or None if it has no such series."""
        labels |= {"namespace": workload.namespace, "workload": workload.name}
        return self.samples().get((f"predictscale_{name}", frozenset(labels.items())))

    def workloads(self) -> set[str | None]:
        """Every workload that any series tells of."""
        return {dict(labels).get("workload") for _, labels in self.samples()} - {None}


def decide(
    demand: float | None = 25,
    forecast: Forecast | None = None,
    *,
    workload: WorkloadId = CHAT,
    mode: Mode = Mode.LIVE,
    on_stale: OnStale = OnStale.FLOOR,
    age_s: float = 0,
    queue: float | None = None,
    replicas: int | None = None,
) -> Decision:
    made, _ = step(
        workload,
        seen(demand, age_s=age_s, queue=queue, replicas=replicas),
        forecast,
        policy(mode=mode, on_stale=on_stale),
        StepMemory(),
        unit="requests/s",
    )
    return made


def counted_once(scrape: Scrape) -> None:
    """Give every series of the service's own work a value."""
    meters = scrape.meters
    meters.query_seconds.labels("range").observe(0.2)
    meters.query_errors.labels("SourceUnavailable").inc()
    meters.query_warnings.inc()
    meters.dropped_samples.labels("nan").inc()
    meters.fit_seconds.labels("prophet").observe(3)
    meters.fit_errors.labels("prophet", "FitFailed").inc()
    meters.rpc_seconds.labels("GetMetrics").observe(0.001)
    meters.rpc_results.labels("GetMetrics", "OK").inc()
    meters.rpc_streams.labels("StreamIsActive").set(1)
    meters.cache_faults.labels("damaged").inc()
    meters.tick_seconds.observe(0.1)
    meters.ticks_skipped.inc()


def promtool(text: bytes) -> str:
    """What promtool says of an exposition; nothing if it is good."""
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    told = (checked.stdout + checked.stderr).decode()
    assert (checked.returncode == 0) == (not told)
    return told


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool comes with Prometheus")
async def test_names_and_labels_are_as_prometheus_wants_them() -> None:
    scrape = Scrape()
    counted_once(scrape)
    scrape.store.put(decide(25, flat_forecast(90), queue=3, replicas=4))
    await scrape.ask(BAD)
    assert promtool(scrape.text()) == ""
    assert promtool(b"# TYPE up_total gauge\nup_total 1\n")  # it would say something


def test_every_name_has_the_prefix_and_every_counter_ends_in_total() -> None:
    scrape = Scrape()
    counted_once(scrape)
    scrape.store.put(decide(25, flat_forecast(90)))
    families = scrape.families()
    assert all(family.name.startswith("predictscale_") and family.documentation for family in families)
    counters = [s.name for family in families if family.type == "counter" for s in family.samples]
    assert counters
    assert all(name.endswith("_total") for name in counters)
    gauges = [s.name for family in families if family.type == "gauge" for s in family.samples]
    assert not [name for name in gauges if name.endswith("_total")]


def test_the_exposition_is_openmetrics_too() -> None:
    scrape = Scrape()
    counted_once(scrape)
    scrape.store.put(decide(25, flat_forecast(90), queue=3, replicas=4))
    text: str = exposition.generate_latest(scrape.meters.registry).decode()  # type: ignore[no-untyped-call] # theirs
    families: list[Metric] = list(parser.text_string_to_metric_families(text))  # type: ignore[no-untyped-call] # theirs
    names = {family.name for family in families}
    assert {"predictscale_published_replicas", "predictscale_rpc_results", "predictscale_build"} <= names


def test_every_number_of_a_decision_is_a_gauge_with_its_value() -> None:
    scrape = Scrape()
    made = decide(25, flat_forecast(90), queue=600, replicas=4, age_s=10)
    scrape.store.put(made)
    scrape.clock.advance(5)
    expected: dict[str, float] = {
        "published_replicas": 9,
        "available": 1,
        "target_replicas": 9,
        "reactive_replicas": 4,
        "active": 1,
        "current_replicas": 4,
        "ready_replicas": 4,
        "queue": 600,
        "demand_age_seconds": 15,
        "decision_timestamp_seconds": NOON.timestamp(),
    }
    assert {name: scrape.value(name) for name in expected} == expected
    assert scrape.value("demand", unit="requests/s") == 25
    assert scrape.value("model", model="oracle") == 1
    assert scrape.value("forecast_demand", level="0.9") == 90
    steps = {stage: scrape.value("step_replicas", stage=stage.value) for stage in Stage}
    assert steps == {s.stage: s.value for s in made.plan.steps if s.stage is not Stage.DEMAND} | {
        Stage.DEMAND: None  # it counts no replicas
    }


def test_a_forecaster_keeps_its_name_while_a_planned_event_is_laid_over_its_forecast() -> None:
    launch = PlannedEvent(name="launch", start=at(0), end=at(3600), multiplier=2.0)
    forecast = planned(flat_forecast(90), (launch,))
    assert forecast.model == "oracle with planned event launch"
    scrape = Scrape()
    scrape.store.put(decide(25, forecast))
    assert scrape.value("model", model="oracle") == 1


def test_the_version_that_runs_is_told() -> None:
    assert Scrape().samples()["predictscale_build_info", frozenset({("version", __version__)})] == 1


@pytest.mark.parametrize("health", list(Health))
def test_exactly_one_state_of_health_is_one(health: Health) -> None:
    scrape = Scrape()
    made = decide()
    scrape.store.put(replace(made, plan=replace(made.plan, health=health)))
    states = {state: scrape.value("health", health=state.value) for state in Health}
    assert states == {state: float(state is health) for state in Health}


def test_what_is_not_known_has_no_series() -> None:
    scrape = Scrape()
    scrape.store.put(decide(None))
    names = {name for name, labels in scrape.samples() if ("workload", "chat") in labels}
    assert not names & {
        "predictscale_demand",
        "predictscale_queue",
        "predictscale_demand_age_seconds",
        "predictscale_forecast_demand",
        "predictscale_model",
        "predictscale_current_replicas",
        "predictscale_ready_replicas",
    }


def test_a_number_that_keda_is_not_told_has_no_series() -> None:
    scrape = Scrape()
    scrape.store.put(decide(None, on_stale=OnStale.UNAVAILABLE))
    told = ("available", "published_replicas", "active")
    assert [scrape.value(name) for name in told] == [0, None, None]
    scrape.store.put(decide())
    assert [scrape.value(name) for name in told] == [1, 3, 1]
    scrape.clock.advance(policy().stale_after_s + 1)
    assert [scrape.value(name) for name in told] == [0, None, None]


def test_in_shadow_mode_what_is_published_is_the_reactive_number() -> None:
    scrape = Scrape()
    scrape.store.put(decide(25, flat_forecast(90), mode=Mode.SHADOW))
    names = ("published_replicas", "reactive_replicas", "target_replicas")
    assert [scrape.value(name) for name in names] == [3, 3, 9]


def test_no_value_is_nan_whatever_the_workloads_know() -> None:
    scrape = Scrape()
    for number, demand in enumerate((None, 0.0, 25.0)):
        for forecast in (None, flat_forecast(90)):
            name = f"w{number}-{forecast is None}"
            scrape.store.put(decide(demand, forecast, workload=WorkloadId("prod", name)))
    samples = scrape.samples()
    assert len(scrape.workloads()) == 6
    assert not [key for key, value in samples.items() if math.isnan(value) or math.isinf(value)]


def test_the_forecast_that_is_shown_is_that_of_the_lead_time() -> None:
    path = [float(minute) for minute in range(20)]
    made = decide(0.0, forecast_of(path))
    assert made.policy.lead_time_s == 240
    assert forecast_at_lead(made) == [(0.5, 4.0), (0.9, 4.0)]
    later = replace(made, seen=replace(made.seen, now=at(90), demand_at=at(90)))
    assert forecast_at_lead(later) == [(0.5, 5.0), (0.9, 5.0)]
    beyond = replace(made, seen=replace(made.seen, now=at(1200), demand_at=at(1200)))
    assert forecast_at_lead(beyond) == []
    assert forecast_at_lead(decide()) == []


@given(st.text(max_size=30), st.text(max_size=30))
def test_labels_say_what_people_named_whatever_it_is(name: str, unit: str) -> None:
    scrape = Scrape()
    workload = WorkloadId(name, name)
    scrape.store.put(replace(decide(workload=workload), unit=unit))
    assert scrape.value("published_replicas", workload) == 3
    assert scrape.value("demand", workload, unit=unit) == 25


async def test_a_workload_that_is_forgotten_leaves_no_series() -> None:
    scrape = Scrape()
    for name in ("chat", "shop"):
        await scrape.ask({}, name=name)
        scrape.store.put(decide(25, flat_forecast(90), workload=WorkloadId("prod", name)))
    assert scrape.workloads() == {"chat", "shop"}
    scrape.clock.advance(3600)
    await scrape.ask({}, name="shop")
    scrape.clock.advance(1)
    scrape.desk.expire()
    assert scrape.workloads() == {"shop"}
    assert b"chat" not in scrape.text()


async def test_the_problems_of_all_triggers_of_a_scaled_object_are_one_number() -> None:
    scrape = Scrape()
    await scrape.ask({}, name="good")
    await scrape.ask(BAD)
    await scrape.ask({})
    problems = {
        dict(labels)["scaledobject"]: value
        for (name, labels), value in scrape.samples().items()
        if name == "predictscale_trigger_problems"
    }
    assert problems == {"good": 0, "chat": 2}


def test_prometheus_can_scrape_it_over_http() -> None:
    scrape = Scrape()
    scrape.store.put(decide())
    server, thread = start_http_server(0, "127.0.0.1", scrape.meters.registry)
    try:
        with closing(urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics")) as answer:
            assert b'predictscale_published_replicas{namespace="prod",workload="chat"} 3.0' in answer.read()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
