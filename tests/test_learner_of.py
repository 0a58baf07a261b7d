"""Who learns a workload's capacity, and from what."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from predictscale.bootstrap.sizing import learner_of
from predictscale.clock import ManualClock
from predictscale.config.capacity import LearnedCapacity, telling_of
from predictscale.config.presets import load_presets
from predictscale.config.settings import WorkloadSettings
from predictscale.control.learning import CapacityLearner
from predictscale.control.refit import FitPool
from predictscale.control.sizing import CapacityTeller, Sized
from predictscale.core.demand import WorkloadId
from predictscale.core.law import LatencyTargets
from predictscale.meters import Meters
from predictscale.sources.history import History
from predictscale.sources.prometheus import PrometheusSource
from predictscale.sources.replay import ReplaySource

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
PRESETS = load_presets()


def workload(backend: str, **more: Any) -> WorkloadSettings:
    telling = telling_of(PRESETS[backend], PRESETS)
    assert not isinstance(telling, str)
    learned = LearnedCapacity(
        targets=LatencyTargets(itl_s=0.05), telling=telling[0], primary=telling[1], engine_name=backend
    )
    return WorkloadSettings(
        **{
            "workload": WorkloadId("prod", "chat"),
            "backend": backend,
            "selector": 'namespace="prod"',
            "max_replicas": 10,
            "learned": learned,
            **more,
        }
    )


def learner(settings: WorkloadSettings, *, replayed: bool = False) -> CapacityLearner | None:
    meters, clock = Meters(), ManualClock(NOON)
    source: Any = ReplaySource({}, clock=clock)
    if not replayed:
        source = PrometheusSource(url="http://127.0.0.1:9", meters=meters, clock=clock)
    return learner_of(
        settings,
        PRESETS,
        source=source,
        fits=FitPool(meters=meters),
        history=History(path=None, meters=meters),
    )


def notes(found: CapacityLearner | None) -> str:
    assert found is not None
    teller: CapacityTeller = found
    return "; ".join(Sized(capacity=teller).notes_at(NOON + timedelta(minutes=1)))


def test_a_capacity_that_is_given_is_not_learned() -> None:
    assert learner(workload("vllm", learned=None, capacity_per_replica=10.0)) is None


@pytest.mark.parametrize("backend", ["vllm", "vllm-tokens", "sglang", "istio", "triton"])
def test_prometheus_and_an_engine_that_tells_its_pods_apart_are_learned_from(backend: str) -> None:
    assert "no windows were learned from yet" in notes(learner(workload(backend)))


def test_a_replay_tells_no_pods_apart() -> None:
    assert "cannot be learned" in notes(learner(workload("vllm"), replayed=True))
