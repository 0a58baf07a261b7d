"""What is promised of latency and what the learned law makes of it, as metrics.

Engines tell their own latencies; here stands what those are held against. Read off the newest
decision alone. Refuses to tell a law that was not learned: its series are absent.
"""

from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from predictscale.control.store import DecisionStore
from predictscale.core.law import Law
from predictscale.core.lawcapacity import CapacityLaw
from predictscale.core.lawfit import LawFit
from predictscale.core.plan import Decision

_LABELS = ("namespace", "workload")


class LawCollector(Collector):
    """Gauges of every workload whose capacity is learned, or to be.

    Args:
        store: Where decisions are read.
    """

    def __init__(self, store: DecisionStore) -> None:
        self._store = store

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: what is exposed depends on the workloads."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One family after another, over one snapshot of the store."""
        sized = [(d, d.policy.capacity) for d in self._store if isinstance(d.policy.capacity, CapacityLaw)]
        yield from _promises(sized)
        yield from _laws(sized)


def offered_utilization(decision: Decision, capacity: CapacityLaw) -> float | None:
    """How full the load that is offered makes the replicas that serve, by the learned law.

    1 is all that an iteration can hold; more is offered than can be served beyond it.

    Returns:
        U of the mean ready replica; None without a law, a replica that is ready, or a rate that counts.
    """
    law, ready = _law_of(capacity), decision.seen.fleet.ready
    if law is None or capacity.mix is None or not ready:
        return None
    rates = decision.seen.rates.completed(capacity.mix)
    output, computed = rates.output_tokens_per_s, rates.input_tokens_per_s
    if (output is None and law.beta_s) or (computed is None and law.gamma_s):
        return None
    return law.utilization(output or 0.0, computed or 0.0) / ready


def _promises(sized: list[tuple[Decision, CapacityLaw]]) -> Iterator[Metric]:
    itl = _gauge("predictscale_slo_itl_seconds", "Mean time between tokens, or of a request, as promised.")
    ttft = _gauge("predictscale_slo_ttft_seconds", "95 % quantile of the time to first token, as promised.")
    for decision, capacity in sized:
        itl.add_metric(decision.workload, capacity.slo.itl_s)
        if capacity.slo.ttft_p95_s is not None:
            ttft.add_metric(decision.workload, capacity.slo.ttft_p95_s)
    yield from (itl, ttft)


def _laws(sized: list[tuple[Decision, CapacityLaw]]) -> Iterator[Metric]:
    empty = _gauge("predictscale_law_empty_itl_seconds", "Latency of an empty replica, as learned.")
    error = _gauge("predictscale_law_error_ratio", "Mean absolute error of the learned latency.")
    windows = _gauge("predictscale_law_windows", "Windows that the law was learned from.")
    most = _gauge("predictscale_utilization_limit_ratio", "How full a replica may be, by what is promised.")
    full = _gauge("predictscale_offered_utilization_ratio", "How full what is offered makes ready replicas.")
    for decision, capacity in sized:
        fit, law, mix = _fit_of(capacity), _law_of(capacity), capacity.mix
        if fit is None or law is None or mix is None:
            continue
        empty.add_metric(decision.workload, law.alpha_s)
        error.add_metric(decision.workload, fit.mape)
        windows.add_metric(decision.workload, fit.windows)
        most.add_metric(decision.workload, law.boundary(capacity.slo, mix).utilization)
        if (offered := offered_utilization(decision, capacity)) is not None:
            full.add_metric(decision.workload, offered)
    yield from (empty, error, windows, most, full)


def _fit_of(capacity: CapacityLaw) -> LawFit | None:
    return None if capacity.learned is None else capacity.learned.fit


def _law_of(capacity: CapacityLaw) -> Law | None:
    """The learned law, at the mix that is sized for."""
    fit = _fit_of(capacity)
    return None if fit is None or capacity.mix is None else fit.law.at(capacity.mix)


def _gauge(name: str, documentation: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=_LABELS)
