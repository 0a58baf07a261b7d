"""What rules and dashboards ask beside the numbers of a decision: states, models, data, who asked last.

Read from another thread while Prometheus scrapes, so only values that are replaced and never changed
are looked at. Refuses to expose a number that is not known: its series is absent. A workload that
nobody has asked for has no instant of the last question; a rule has to say so with `absent`.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from predictscale.clock import Clock
from predictscale.control.desk import Desk
from predictscale.control.fitting import Fitting
from predictscale.control.reading import Reading
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.core.quality import recent_share
from predictscale.core.state import State, at_ceiling, author_of, stands_in, state_of
from predictscale.serving.readers import Readers
from predictscale.serving.rows import Asides
from predictscale.serving.views import is_told

_LABELS = ("namespace", "workload")
_DAY = ("24h", 86400.0)


class ModelCollector(Collector):
    """Gauges of every workload's state, models and data.

    Args:
        store: Where decisions are read.
        desk: Where it stands who asked.
        clock: For what is told now, and since when nobody asks.
        readers: Who shows a workload's data and models.
        asides: Which fleets are paused.
    """

    def __init__(
        self,
        store: DecisionStore,
        desk: Desk,
        clock: Clock,
        *,
        readers: Readers,
        asides: Asides,
    ) -> None:
        self._store = store
        self._desk = desk
        self._clock = clock
        self._readers = readers
        self._asides = asides

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: what is exposed depends on the workloads."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One family after another, over one snapshot of the store."""
        decisions = list(self._store)
        yield from self._states(decisions)
        yield from _bounds(decisions)
        yield from self._behind(decisions)
        yield self._asked()

    def _states(self, decisions: Iterable[Decision]) -> Iterator[Metric]:
        states = _gauge("predictscale_state", "1 for the worst state that a workload is in.", "state")
        demoted = _gauge(
            "predictscale_model_demoted", "1 while a forecast serves that is not by a forecaster at home."
        )
        now = self._clock.now()
        for d in decisions:
            paused_until = self._asides.paused_until(d.workload)
            state, _ = state_of(d, told=is_told(d, now=now), paused_until=paused_until)
            for each in State:
                states.add_metric([*d.workload, each.value], float(each is state))
            if author_of(d) is not None:
                demoted.add_metric(d.workload, float(stands_in(d) is not None))
        yield from (states, demoted)

    def _behind(self, decisions: Iterable[Decision]) -> Iterator[Metric]:
        """What stands behind forecasts: fits, and the history they were made on."""
        losses = _gauge(
            "predictscale_model_loss_ratio",
            "Loss of a candidate's peak forecasts when it was last judged, relative to the last value's.",
            "candidate",
        )
        fitted = _gauge(
            "predictscale_last_fit_timestamp_seconds",
            "Where the history ended that the models were fitted on.",
        )
        shares = _gauge(
            "predictscale_history_known_ratio", "Share of the bins of demand that hold a value.", "span"
        )
        for d in decisions:
            reader = self._readers(d.workload)
            if reader is None:
                continue
            fitting = reader.fitting(d.seen.now)
            for name, loss in _losses(fitting):
                losses.add_metric([*d.workload, name], loss)
            if fitting is not None and fitting.model is not None:
                fitted.add_metric(d.workload, fitting.model.boundary.timestamp())
            name, span_s = _DAY
            if (share := _share(reader.reading(), until=d.seen.now, span_s=span_s)) is not None:
                shares.add_metric([*d.workload, name], share)
        yield from (losses, fitted, shares)

    def _asked(self) -> Metric:
        """When a trigger of the workload was last asked for by a call; a stream that stays open is none."""
        asked = _gauge("predictscale_last_asked_timestamp_seconds", "When KEDA last asked for the workload.")
        now_s, here_s = self._clock.now().timestamp(), self._clock.monotonic_s()
        newest: dict[WorkloadId, float] = {}
        for _, _, trigger in self._desk.registrations():
            if trigger.settings is not None:
                workload = trigger.settings.workload
                newest[workload] = max(newest.get(workload, trigger.last_seen_s), trigger.last_seen_s)
        for workload, last_seen_s in newest.items():
            # Only an age can be carried from the monotonic timer to the wall clock.
            asked.add_metric(workload, now_s - max(0.0, here_s - last_seen_s))
        return asked


def _bounds(decisions: Iterable[Decision]) -> Iterator[Metric]:
    lowest = _gauge("predictscale_min_replicas", "Never fewer, as the owner wants.")
    highest = _gauge("predictscale_max_replicas", "Never more, as the owner wants.")
    ceiling = _gauge("predictscale_at_ceiling", "1 while as many are wanted as there may be.")
    for d in decisions:
        lowest.add_metric(d.workload, d.policy.min_replicas)
        highest.add_metric(d.workload, d.policy.max_replicas)
        ceiling.add_metric(d.workload, float(at_ceiling(d)))
    yield from (lowest, highest, ceiling)


def _losses(fitting: Fitting | None) -> list[tuple[str, float]]:
    standings = () if fitting is None else fitting.standings
    return [(standing.name, standing.loss) for standing in standings if standing.loss is not None]


def _share(reading: Reading | None, *, until: datetime, span_s: float) -> float | None:
    if reading is None or reading.bins is None:
        return None
    return recent_share(reading.bins, until=until, span_s=span_s)


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=(*_LABELS, *labels))
