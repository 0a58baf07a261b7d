"""Decisions as metrics, read from the store when Prometheus scrapes.

Refuses to expose a number that is not known, or that KEDA is not told: its series is absent.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from predictscale import __version__
from predictscale.control.desk import Desk
from predictscale.control.store import DecisionStore
from predictscale.core.capacity import linear
from predictscale.core.demand import WorkloadId
from predictscale.core.forecast import Forecast
from predictscale.core.knobs import Kind
from predictscale.core.needed import Limit, Needed
from predictscale.core.offered import Rate, part_of
from predictscale.core.plan import Decision, Health, Stage
from predictscale.core.state import author_of
from predictscale.serving.views import is_told

_LABELS = ("namespace", "workload")


class DecisionCollector(Collector):
    """Gauges of every workload's latest decision."""

    def __init__(self, store: DecisionStore, desk: Desk, now: Callable[[], datetime]) -> None:
        self._store = store
        self._desk = desk
        self._now = now

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: what is exposed depends on the workloads."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One family after another, over one snapshot of the store."""
        decisions = list(self._store)
        build = InfoMetricFamily("predictscale_build", "The version that runs.")
        build.add_metric([], {"version": __version__})
        yield build
        yield from self._targets(decisions)
        yield from self._demands(decisions)
        yield from self._rates(decisions)
        yield from self._sizes(decisions)
        yield from self._outcomes(decisions)
        yield from self._tunings(decisions)
        yield from self._states(decisions)
        yield self._triggers()

    def _targets(self, decisions: list[Decision]) -> Iterator[Metric]:
        steps = _gauge("predictscale_step_replicas", "Replicas after each stage of the decision.", "stage")
        published = _gauge("predictscale_published_replicas", "What the HPA is told, after landing.")
        available = _gauge("predictscale_available", "1 if KEDA is told a number, 0 if UNAVAILABLE.")
        target = _gauge("predictscale_target_replicas", "Replicas wanted, after the ceiling.")
        reactive = _gauge("predictscale_reactive_replicas", "Replicas wanted without a forecast.")
        active = _gauge("predictscale_active", "1 if KEDA is told that the workload is active.")
        current = _gauge("predictscale_current_replicas", "status.replicas of the scale target, if known.")
        ready = _gauge("predictscale_ready_replicas", "Replicas that serve, if known.")
        starting = _gauge(
            "predictscale_starting_replicas", "Replicas that are there and not ready, if known."
        )
        limited = _gauge("predictscale_budget_limited", "1 while a budget leaves less than what is wanted.")
        for d in decisions:
            granted = d.answer.granted
            _add_known(limited, d.workload, None if granted is None else float(granted.limited))
            for s in d.plan.steps:
                if s.stage is not Stage.DEMAND:  # the one that counts no replicas
                    steps.add_metric([*d.workload, s.stage.value], s.value)
            told = is_told(d, now=self._now())
            available.add_metric(d.workload, told)
            _add_known(published, d.workload, d.answer.published if told else None)
            _add_known(active, d.workload, d.answer.active if told else None)
            target.add_metric(d.workload, d.plan.target)
            reactive.add_metric(d.workload, d.reactive.target)
            _add_known(current, d.workload, d.seen.fleet.replicas)
            _add_known(ready, d.workload, d.seen.fleet.ready)
            _add_known(starting, d.workload, d.seen.fleet.starting)
        yield from (steps, published, available, target, reactive, active, current, ready, starting, limited)

    def _demands(self, decisions: list[Decision]) -> Iterator[Metric]:
        now = _gauge("predictscale_demand", "Offered load per second, in the workload's unit.", "unit")
        queue = _gauge("predictscale_queue", "Work that waits, in the workload's unit.")
        ahead = _gauge("predictscale_forecast_demand", "Demand forecast for the lead time ahead.", "level")
        for d in decisions:
            if d.seen.demand is not None:
                now.add_metric([*d.workload, d.unit], d.seen.demand)
            _add_known(queue, d.workload, d.seen.queue)
            for level, value in forecast_at_lead(d):
                ahead.add_metric([*d.workload, f"{level:g}"], value)
        yield from (now, queue, ahead)

    def _rates(self, decisions: list[Decision]) -> Iterator[Metric]:
        """The load as requests and tokens, of workloads whose capacity is learned."""
        now = _gauge("predictscale_offered_rate", "Offered load per second, as requests and tokens.", "rate")
        ahead = _gauge(
            "predictscale_forecast_rate", "The same, forecast for the lead time ahead.", "rate", "level"
        )
        waiting = _gauge("predictscale_waiting_requests", "Requests that wait for an engine.")
        cache = _gauge(
            "predictscale_kv_cache_usage_ratio", "Share of the KV cache in use, mean of the replicas."
        )
        for d in decisions:
            for rate in Rate:
                value = part_of(d.seen.rates, rate)
                if value is not None:
                    now.add_metric([*d.workload, rate.name.lower()], value)
            for rate, forecast in d.further.items():
                for level, value in _at_lead(d, forecast):
                    ahead.add_metric([*d.workload, rate.name.lower(), f"{level:g}"], value)
            _add_known(waiting, d.workload, d.seen.waiting)
            _add_known(cache, d.workload, d.seen.kv_usage)
        yield from (now, ahead, waiting, cache)

    def _sizes(self, decisions: list[Decision]) -> Iterator[Metric]:
        """What decisions took a replica to serve, and a start to last."""
        each = _gauge(
            "predictscale_capacity_per_replica",
            "Load per second that a replica serves, in the workload's unit; a stand-in of a learned law.",
            "unit",
            "origin",
        )
        limit = _gauge("predictscale_capacity_limit_replicas", "Replicas that each limit asks for.", "limit")
        binding = _gauge("predictscale_capacity_binding", "1 for the limit that binds.", "limit")
        lead = _gauge(
            "predictscale_lead_time_seconds", "From a decision to replicas that serve, by source.", "source"
        )
        for d in decisions:
            capacity, needed, policy = linear(d.policy.capacity), d.plan.needed, d.policy
            if capacity is not None:
                labels = [*d.workload, d.unit, policy.capacity.origin.value]
                each.add_metric(labels, capacity.per_replica)
            if needed is not None:
                for name, replicas in _highest(needed).items():
                    limit.add_metric([*d.workload, name.value], replicas)
                    binding.add_metric([*d.workload, name.value], float(name is needed.binding))
            if policy.configured_lead_time_s is None:
                lead.add_metric([*d.workload, "configured"], policy.lead_time_s)
            else:
                lead.add_metric([*d.workload, "configured"], policy.configured_lead_time_s)
                lead.add_metric([*d.workload, "measured"], policy.lead_time_s)
        yield from (each, limit, binding, lead)

    def _outcomes(self, decisions: list[Decision]) -> Iterator[Metric]:
        labels = ("lead_seconds", "level")
        covered = _gauge(
            "predictscale_forecast_coverage_ratio",
            "Share of the last day's closed windows whose peak lay at or below the quantile.",
            *labels,
        )
        loss = _gauge(
            "predictscale_forecast_pinball_loss",
            "Mean pinball loss of the peak's quantile over the last day, in the workload's unit.",
            *labels,
        )
        scored = _gauge("predictscale_forecast_scored_windows", "Windows behind both.", "lead_seconds")
        for d in decisions:
            for outcome in d.outcomes:
                lead = f"{outcome.lead_s:g}"
                scored.add_metric([*d.workload, lead], outcome.scored)
                rows = zip(outcome.levels, outcome.coverage, outcome.pinball, strict=True)
                for level, share, cost in rows:
                    covered.add_metric([*d.workload, lead, f"{level:g}"], share)
                    loss.add_metric([*d.workload, lead, f"{level:g}"], cost)
        yield from (covered, loss, scored)

    def _tunings(self, decisions: list[Decision]) -> Iterator[Metric]:
        asked = _gauge("predictscale_slo_max_violation_ratio", "Share of demand that may be late.")
        late = _gauge("predictscale_slo_violation_ratio", "Share of the window's demand that was late.")
        spent = _gauge("predictscale_slo_budget_spent_ratio", "Part of the window's budget that is gone.")
        level = _gauge("predictscale_tuned_quantile", "The quantile in force, where one is sized for.")
        hold = _gauge("predictscale_tuned_hold_seconds", "How long targets are held, as tuning chose.")
        headroom = _gauge("predictscale_tuned_headroom_ratio", "How many times what is here counts.")
        notches = _gauge("predictscale_tuned_notches", "Notches that the budget made settings careful by.")
        kind = _gauge("predictscale_tuned_kind", "1 for what the settings in force size for.", "kind")
        for d in decisions:
            if d.tuning is None:
                continue
            knobs = d.tuning.knobs
            asked.add_metric(d.workload, d.tuning.slo.max_violation)
            known = d.tuning.known_s > 0
            _add_known(late, d.workload, d.tuning.violation if known else None)
            _add_known(spent, d.workload, d.tuning.spent if known else None)
            _add_known(level, d.workload, knobs.level if knobs.kind is Kind.PREDICTIVE else None)
            hold.add_metric(d.workload, knobs.hold_s)
            headroom.add_metric(d.workload, knobs.headroom)
            notches.add_metric(d.workload, d.tuning.notches)
            for each in Kind:
                kind.add_metric([*d.workload, each.value], float(knobs.kind is each))
        yield from (asked, late, spent, level, hold, headroom, notches, kind)

    def _states(self, decisions: list[Decision]) -> Iterator[Metric]:
        health = _gauge("predictscale_health", "1 for the state the workload's decision is in.", "health")
        model = _gauge("predictscale_model", "1 for the forecaster that serves.", "model")
        age = _gauge("predictscale_demand_age_seconds", "Age of the newest demand sample.")
        decided = _gauge("predictscale_decision_timestamp_seconds", "When the decision was made.")
        for d in decisions:
            for state in Health:
                health.add_metric([*d.workload, state.value], float(d.plan.health is state))
            # Without the events that it is told with: those are people's words, and no other forecaster.
            if (author := author_of(d)) is not None:
                model.add_metric([*d.workload, author], 1)
            if d.seen.demand_at is not None:
                age.add_metric(d.workload, (self._now() - d.seen.demand_at).total_seconds())
            decided.add_metric(d.workload, d.seen.now.timestamp())
        yield from (health, model, age, decided)

    def _triggers(self) -> Metric:
        problems = GaugeMetricFamily(
            "predictscale_trigger_problems",
            "Problems in the metadata of a ScaledObject's triggers; 0 if they are good.",
            labels=("namespace", "scaledobject"),
        )
        counts: Counter[tuple[str, str]] = Counter()
        for namespace, name, registration in self._desk.registrations():
            error = registration.error  # once: another thread may clear it
            counts[namespace, name] += len(error.problems) if error is not None else 0
        for scaled_object, count in counts.items():
            problems.add_metric(scaled_object, count)
        return problems


def forecast_at_lead(decision: Decision) -> list[tuple[float, float]]:
    """(level, demand) of the forecast's step at the lead time, or nothing without a forecast."""
    return [] if decision.forecast is None else _at_lead(decision, decision.forecast)


def _at_lead(decision: Decision, forecast: Forecast) -> list[tuple[float, float]]:
    ahead_s = (decision.seen.now - forecast.origin).total_seconds() + decision.policy.lead_time_s
    place = int(ahead_s // forecast.step_s)
    if place >= forecast.steps:
        return []
    return [(level, float(forecast.values[i, place])) for i, level in enumerate(forecast.levels)]


def _highest(needed: Needed) -> dict[Limit, float]:
    """What each limit asks for at most; one may bind for several rates."""
    found: dict[Limit, float] = {}
    for bound in needed.bounds:
        found[bound.limit] = max(found.get(bound.limit, 0.0), bound.replicas)
    return found


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=(*_LABELS, *labels))


def _add_known(gauge: GaugeMetricFamily, workload: WorkloadId, value: float | None) -> None:
    if value is not None:
        gauge.add_metric(workload, value)
