"""Where a workload's lead time is measured: kube-state-metrics in the Prometheus that it is read from."""

from predictscale.clock import Clock
from predictscale.config.cluster import KUBERNETES, Place, PodFact, load_cluster
from predictscale.config.presets import Presets
from predictscale.config.workload import WorkloadSettings
from predictscale.control.leads import STEP_S, LeadBook, LeadTimes
from predictscale.core.leadtime import Delays
from predictscale.sources.base import Source
from predictscale.sources.prometheus import PrometheusSource


def lead_times(
    workload: WorkloadSettings, *, source: Source, presets: Presets, clock: Clock, book: LeadBook
) -> LeadTimes | None:
    """Who measures a workload's lead time; None if its owner says none should, or nobody can.

    Args:
        workload: Which.
        source: Where its metrics are read; only a Prometheus can tell pods apart.
        presets: The backends there are.
        clock: Tells a start of the service which past to read.
        book: Where readers find what was measured.
    """
    target = workload.measured_target
    if target is None or not workload.measure_lead_time or not isinstance(source, PrometheusSource):
        return None
    kubernetes = load_cluster()[KUBERNETES]
    place = Place(namespace=workload.workload.namespace, deployment=target)
    return LeadTimes(
        workload.workload,
        source=source,
        queries={fact: kubernetes.query(fact, place, window_s=STEP_S) for fact in PodFact},
        delays=_delays(workload, presets),
        configured_s=workload.lead_time_s,
        clock=clock,
        book=book,
    )


def _delays(workload: WorkloadSettings, presets: Presets) -> Delays:
    preset = None if workload.backend is None else presets.get(workload.backend)
    return workload.delays.delays(
        rate_window_s=None if preset is None else preset.window_s, from_zero=workload.min_replicas == 0
    )
