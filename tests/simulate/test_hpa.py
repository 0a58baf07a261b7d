"""The HPA as an object: what the core decides, with a memory between syncs."""

from datetime import UTC, datetime, timedelta

import pytest

from predictscale.core.hpa import Behavior, HpaSettings, exact_behavior
from predictscale.simulate.hpa import ExternalMetric, HorizontalPodAutoscaler, MetricKind

START = datetime(2026, 3, 1, tzinfo=UTC)


def test_it_remembers_between_syncs_what_it_recommended() -> None:
    hpa = HorizontalPodAutoscaler(HpaSettings(max_replicas=100, behavior=Behavior()))
    specs = []
    for number, value in enumerate([20, *[5] * 20]):
        now = START + timedelta(seconds=15 * number)
        metrics = [ExternalMetric(value=value)]
        specs.append(hpa.sync(now, metrics, spec_replicas=20, status_replicas=20, ready=20))
    # 20 was said at 0 s; the window of 300 s is open at that end.
    assert specs == [20] * 20 + [5]


def test_an_average_is_measured_against_status_and_a_value_against_ready_pods() -> None:
    settings = HpaSettings(max_replicas=100, behavior=exact_behavior(max_replicas=100))
    average = ExternalMetric(value=12.0)
    value = ExternalMetric(value=2.0, kind=MetricKind.VALUE)

    def spec(metric: ExternalMetric) -> int:
        hpa = HorizontalPodAutoscaler(settings)
        return hpa.sync(START, [metric], spec_replicas=5, status_replicas=8, ready=4)

    assert spec(average) == 12
    assert spec(value) == 8


def test_the_highest_of_several_metrics_rules() -> None:
    hpa = HorizontalPodAutoscaler(HpaSettings(max_replicas=100, behavior=exact_behavior(max_replicas=100)))
    metrics = [ExternalMetric(value=6), ExternalMetric(value=30, target=2.5), None]
    assert hpa.sync(START, metrics, spec_replicas=5, status_replicas=5, ready=5) == 12


def test_a_metric_that_could_not_be_read_holds_the_fleet() -> None:
    hpa = HorizontalPodAutoscaler(HpaSettings(max_replicas=100))
    assert hpa.sync(START, [None], spec_replicas=5, status_replicas=5, ready=5) == 5


@pytest.mark.parametrize("target", [0.0, -1.0, 0.0001])
def test_a_target_that_the_api_server_would_refuse_is_refused(target: float) -> None:
    with pytest.raises(ValueError, match="target"):
        ExternalMetric(value=1.0, target=target)
