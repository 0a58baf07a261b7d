"""An HPA that can be synced: the core's arithmetic with a memory of its own.

Refuses to fetch anything. Metrics, replicas and the time are handed to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from predictscale.core.hpa import (
    DeadBand,
    HpaSettings,
    HpaState,
    metric_milli,
    recommend_average,
    recommend_value,
    sync,
)


class MetricKind(StrEnum):
    """`metricType` of a KEDA trigger."""

    AVERAGE_VALUE = "AverageValue"
    VALUE = "Value"


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalMetric:
    """One external metric as the HPA reads it.

    Args:
        value: The sum of the values returned under its name.
        target: What one replica (AverageValue) or all of them (Value) should have of it, above 0.
        kind: How the two are compared.
    """

    value: float
    target: float = 1.0
    kind: MetricKind = MetricKind.AVERAGE_VALUE

    def __post_init__(self) -> None:
        if not metric_milli(self.target):
            raise ValueError(f"target: {self.target}; the API server refuses an HPA without a positive one")

    def proposal(self, *, spec_replicas: int, status_replicas: int, ready: int, band: DeadBand) -> int:
        """Replicas that this metric alone asks for."""
        usage_milli, target_milli = metric_milli(self.value), metric_milli(self.target)
        if self.kind is MetricKind.VALUE:
            return recommend_value(
                usage_milli=usage_milli,
                target_milli=target_milli,
                spec_replicas=spec_replicas,
                ready=ready,
                band=band,
            )
        return recommend_average(
            usage_milli=usage_milli, target_milli=target_milli, status_replicas=status_replicas, band=band
        )


class HorizontalPodAutoscaler:
    """One HPA object and what the controller remembers of it."""

    def __init__(self, settings: HpaSettings) -> None:
        self.settings = settings
        self.state = HpaState()

    def sync(
        self,
        now: datetime,
        metrics: Sequence[ExternalMetric | None],
        *,
        spec_replicas: int,
        status_replicas: int,
        ready: int,
    ) -> int:
        """One sync.

        Args:
            now: Its instant.
            metrics: What the metrics say; None for one that could not be read.
            spec_replicas: `scale.spec.replicas`.
            status_replicas: `scale.status.replicas`.
            ready: Pods that serve.

        Returns:
            The new `scale.spec.replicas`.
        """
        band = self.settings.band
        proposals = [
            None
            if metric is None
            else metric.proposal(
                spec_replicas=spec_replicas, status_replicas=status_replicas, ready=ready, band=band
            )
            for metric in metrics
        ]
        replicas, self.state = sync(
            self.state, settings=self.settings, now=now, spec_replicas=spec_replicas, proposals=proposals
        )
        return replicas
