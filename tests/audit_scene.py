"""Twelve workloads of known kind, as a Prometheus holds them: counters of requests, and their fleets.

Four of them are real traces where those are at hand, moved to end at the present; else twelve are synthetic.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from known_kinds import KNOWN, known_kind
from predictscale.core.kinds import Kind
from predictscale.core.series import MetricWindow
from predictscale.sources.files import load_csv
from prometheus_server import BackfilledSeries

STEP_S = 60.0
PER_REPLICA_OF_PEAK = 1 / 20
"""A fleet's replica serves this share of the highest demand."""

REAL = {
    "crane_09": Kind.SCHEDULED,
    "msft_mongo01": Kind.SCHEDULED,
    "dlrm_app19_instances": Kind.ALWAYS_ON,
    "servegen_mlarge_req": Kind.UNPREDICTABLE,
}
"""As the notes of the traces' collection describe them: smooth diurnal, daily database load, replica counts
that hardly move, and language model requests whose day and week are hardly correlated."""


@dataclass(frozen=True, slots=True)
class Known:
    """One workload: its name, its kind, and its demand on minutes."""

    name: str
    kind: Kind
    demand: MetricWindow

    @property
    def capacity(self) -> float:
        return float(f"{np.nanmax(self.demand.values) * PER_REPLICA_OF_PEAK:.4g}")


def twelve(*, end: datetime, days: float, seed: int, traces: Path | None) -> list[Known]:
    """Twelve workloads whose demand ends at `end`; three of each kind if there are no real ones."""
    real = [] if traces is None else [_real(traces, name, end=end, days=days) for name in REAL]
    each = 2 if real else 3
    made = [
        Known(
            f"{kind.value}-{place}",
            kind,
            known_kind(kind, seed=seed + place, days=days, step_s=STEP_S, end=end),
        )
        for kind in KNOWN
        for place in range(each)
    ]
    return [*made, *real]


def _real(traces: Path, name: str, *, end: datetime, days: float) -> Known:
    window = load_csv(traces / f"{name}.csv").last(days * 86_400.0)
    minutes = np.repeat(window.values, round(window.step_s / STEP_S))
    start = end - timedelta(seconds=minutes.size * STEP_S)
    return Known(name.replace("_", "-"), REAL[name], MetricWindow(start, STEP_S, minutes))


def series(known: list[Known], *, namespace: str = "ml") -> list[BackfilledSeries]:
    """What TGI and kube-state-metrics would have told, one pod for each workload."""
    counters, fleets = [], []
    for one in known:
        pod = {"namespace": namespace, "pod": f"{one.name}-7c9f8b6d5-x7k2b"}
        counted = np.nancumsum(one.demand.values * STEP_S)
        window = MetricWindow(one.demand.start, STEP_S, np.round(counted, 3))
        counters.append(BackfilledSeries("tgi_request_count", pod, window))
        # As a careful owner has it without an autoscaler: for the highest demand, and a little more.
        fixed = np.full(len(window), np.ceil(1.2 / PER_REPLICA_OF_PEAK))
        labels = {"namespace": namespace, "deployment": one.name}
        fleets.append((labels, MetricWindow(one.demand.start, STEP_S, fixed)))
    names = ("kube_deployment_status_replicas", "kube_deployment_status_replicas_ready")
    return counters + [BackfilledSeries(name, labels, fleet) for name in names for labels, fleet in fleets]
