"""What rules ask of states, models and data, as Prometheus reads it."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from predictscale.clock import ManualClock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.desk import Desk, Following, Ref
from predictscale.control.fitting import Fitting
from predictscale.control.reading import Reading
from predictscale.control.shelf import ShelvedModel
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.core.series import MetricWindow
from predictscale.core.state import State
from predictscale.forecasters.chain import FittedChain
from predictscale.forecasters.naive import LastValue
from predictscale.forecasters.standings import Standing
from predictscale.forecasters.tournament import Crowned
from predictscale.serving.rows import Asides
from predictscale.serving.telemetry_models import ModelCollector
from worlds import CHAT, NOON, at, flat_forecast, policy, seen


@dataclass
class Shown:
    """What a tracker would show."""

    standings: tuple[Standing, ...] = ()
    bins: MetricWindow | None = None
    fitted: bool = True

    def fitting(self, at: datetime) -> Fitting | None:
        del at
        last = LastValue().fit(MetricWindow(NOON, 60, np.ones(10)))
        chain = FittedChain((Crowned(FittedChain((last,), high=1.0), self.standings),), high=1.0)
        model = ShelvedModel(fitted=chain, boundary=NOON, quick=False) if self.fitted else None
        return Fitting(chain=("auto",), model=model)

    def reading(self) -> Reading | None:
        return Reading(bins=self.bins, unit="requests/s", signals=(), partial=False)


@dataclass
class Scrape:
    """A collector before one workload."""

    shown: Shown | None = None
    paused_until: datetime | None = None
    store: DecisionStore = field(default_factory=DecisionStore)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON))

    def __post_init__(self) -> None:
        self.desk = Desk(
            parse=self._parse,
            store=self.store,
            following=Following(lambda _: None, self.store.forget),
            clock=self.clock,
            max_registrations=100,
            expire_after_s=3600,
        )
        self._registry = CollectorRegistry()
        self._registry.register(
            ModelCollector(
                self.store,
                self.desk,
                self.clock,
                readers=lambda _: self.shown,
                asides=Asides(paused_until=lambda _: self.paused_until),
            )
        )

    @staticmethod
    def _parse(ref: Ref) -> WorkloadSettings:
        workload = WorkloadId(ref.namespace, ref.name)
        return WorkloadSettings(workload=workload, query="load", capacity_per_replica=10, max_replicas=100)

    def series(self, name: str) -> dict[str, float]:
        """The values of prod/chat, by their further label."""
        found = {}
        for family in text_string_to_metric_families(generate_latest(self._registry).decode()):
            for sample in family.samples:
                if sample.name == name:
                    labels = dict(sample.labels)
                    assert (labels.pop("namespace"), labels.pop("workload")) == CHAT
                    found["".join(labels.values())] = sample.value
        return found


def decided(**changes: object) -> Decision:
    made, _ = step(CHAT, seen(50), flat_forecast(60), policy(min_replicas=2), StepMemory(), unit="requests/s")
    return replace(made, **{"home": ("oracle",), **changes})  # type: ignore[arg-type] # whatever a test changes


def test_exactly_one_state_holds_and_it_is_the_worst() -> None:
    scrape = Scrape()
    scrape.store.put(decided())
    told = scrape.series("predictscale_state")
    assert set(told) == {state.value for state in State}
    assert {state for state, value in told.items() if value} == {"ok"}
    scrape.store.put(decided(home=("native",)))
    scrape.paused_until = at(60)
    assert {s for s, value in scrape.series("predictscale_state").items() if value} == {"paused"}
    scrape.clock.advance(601)
    assert {s for s, value in scrape.series("predictscale_state").items() if value} == {"unavailable"}


def test_demoted_is_one_while_a_stand_in_forecasts_and_absent_without_a_forecast() -> None:
    scrape = Scrape()
    scrape.store.put(decided())
    assert scrape.series("predictscale_model_demoted") == {"": 0}
    scrape.store.put(decided(home=("native",)))
    assert scrape.series("predictscale_model_demoted") == {"": 1}
    scrape.store.put(decided(forecast=None))
    assert scrape.series("predictscale_model_demoted") == {}


@pytest.mark.parametrize(("most", "reached"), [(6, 1), (7, 0)])
def test_bounds_and_whether_the_ceiling_is_reached(most: int, reached: int) -> None:
    made, _ = step(
        CHAT, seen(50), flat_forecast(60), policy(min_replicas=2, max_replicas=most), StepMemory(), unit="r"
    )
    scrape = Scrape()
    scrape.store.put(made)
    assert scrape.series("predictscale_min_replicas") == {"": 2}
    assert scrape.series("predictscale_max_replicas") == {"": most}
    assert scrape.series("predictscale_at_ceiling") == {"": reached}


def test_losses_are_those_of_candidates_that_have_one() -> None:
    scrape = Scrape(Shown((Standing("native", 0.6), Standing("last-value", 1.0), Standing("broken", None))))
    scrape.store.put(decided())
    assert scrape.series("predictscale_model_loss_ratio") == {"native": 0.6, "last-value": 1.0}
    assert scrape.series("predictscale_last_fit_timestamp_seconds") == {"": NOON.timestamp()}


def test_the_known_share_is_of_the_last_day() -> None:
    values = np.ones(3 * 1440)
    values[:1440] = np.nan
    values[-360:] = np.nan
    scrape = Scrape(Shown(bins=MetricWindow(NOON - timedelta(days=3), 60, values)))
    scrape.store.put(decided())
    assert scrape.series("predictscale_history_known_ratio") == {"24h": 0.75}


@pytest.mark.parametrize("shown", [None, Shown(fitted=False)])
def test_what_is_not_known_has_no_series(shown: Shown | None) -> None:
    scrape = Scrape(shown)
    scrape.store.put(decided())
    for name in ("model_loss_ratio", "last_fit_timestamp_seconds", "history_known_ratio"):
        assert scrape.series(f"predictscale_{name}") == {}
    assert scrape.series("predictscale_last_asked_timestamp_seconds") == {}


async def test_when_it_was_last_asked_for_is_told_by_the_wall_clock_and_stays() -> None:
    scrape = Scrape()
    scrape.clock.advance(100)
    await scrape.desk.spec(Ref("prod", "chat", {"query": "load"}))
    asked_s = scrape.clock.now().timestamp()
    assert scrape.series("predictscale_last_asked_timestamp_seconds") == {"": asked_s}
    scrape.clock.advance(300)
    assert scrape.series("predictscale_last_asked_timestamp_seconds") == {"": asked_s}
    await scrape.desk.spec(Ref("prod", "chat", {"query": "load", "other": "trigger"}))
    assert scrape.series("predictscale_last_asked_timestamp_seconds") == {"": asked_s + 300}
    scrape.clock.advance(60)
    await scrape.desk.spec(Ref("prod", "chat", {"query": "load"}))
    assert scrape.series("predictscale_last_asked_timestamp_seconds") == {"": asked_s + 360}
