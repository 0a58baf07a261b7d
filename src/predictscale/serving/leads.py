"""What people are shown of lead times: measured, configured, in force, and what they were measured from.

What decisions plan with stands in their own metrics (`telemetry`); here is what stands behind it.
"""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime

from fastapi import APIRouter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import BaseModel, Field

from predictscale.control.leads import LeadBook, LeadState
from predictscale.core.demand import WorkloadId
from predictscale.core.leadtime import Delays, Starts
from predictscale.core.plan import Decision
from predictscale.core.podstarts import Node
from predictscale.serving.readers import Latest
from predictscale.serving.then import At, Then, Told

_LABELS = ("namespace", "workload")
_KINDS = {Node.PRESENT: "node_present", Node.BOUGHT: "node_bought"}


class StartsView(BaseModel):
    """Starts of one kind."""

    start_s: float | None = Field(
        description="From created to ready, the 0.9 quantile; null while too few became ready."
    )
    bound: bool = Field(description="Whether start_s is only a lower bound, for too many are pending.")
    ready: int = Field(description="How many became ready.")
    pending: int = Field(description="How many have not, yet.")


class DelaysView(BaseModel):
    """What is added to the starts."""

    scrape_s: float = Field(description="Until a change of demand is in its series.")
    poll_s: float = Field(description="KEDA's polling, for a workload that may be at zero.")
    hpa_sync_s: float
    rate_limit_s: float = Field(description="What scale-up policies hold back.")


class MeasuredView(BaseModel):
    """The newest measurement."""

    at: datetime = Field(description="Of which instant it is.")
    measured_s: float | None = Field(description="Starts and delays; null while too few were seen.")
    starts: StartsView = Field(description="Of the newest pods, whichever kind.")
    node_present: StartsView = Field(description="Those for which a node was there.")
    node_bought: StartsView = Field(description="Those that had to wait for one.")
    delays: DelaysView
    refused: int = Field(description="Pods whose instants contradict each other; they do not count.")
    failed: int = Field(description="Starts that took longer than an hour, or hang.")
    samples_s: list[float] = Field(
        description="How long each of the newest starts took that became ready, the oldest first."
    )
    problem: str = Field(description="Why the newest reading failed; empty if it did not.")


class LeadTimeView(BaseModel):
    """The lead time of one workload."""

    namespace: str
    workload: str
    in_force_s: float = Field(description="What decisions plan with.")
    is_measured: bool = Field(description="Whether that comes from a measurement.")
    configured_s: float = Field(description="What the owner says.")
    because: str
    measurement: MeasuredView | None = Field(
        description="Null where nothing is measured, or pods were not read."
    )


def lead_time_view(decision: Decision, state: LeadState | None) -> LeadTimeView:
    """What is in force, and where it comes from.

    Args:
        decision: The workload's newest.
        state: What was measured; None if nothing is.
    """
    if state is None:
        policy = decision.policy
        configured_s = policy.configured_lead_time_s or policy.lead_time_s
        return LeadTimeView(
            namespace=decision.workload.namespace,
            workload=decision.workload.name,
            in_force_s=configured_s,
            is_measured=False,
            configured_s=configured_s,
            because=f"configured, {configured_s:.0f} s: it is not measured, or no pods were read yet",
            measurement=None,
        )
    configured_s, in_force_s = state.lead.configured_s, state.in_force_s
    return LeadTimeView(
        namespace=decision.workload.namespace,
        workload=decision.workload.name,
        in_force_s=configured_s if in_force_s is None else in_force_s,
        is_measured=in_force_s is not None,
        configured_s=configured_s,
        because=state.lead.because,
        measurement=_measured(state),
    )


def lead_time_then(told: Told) -> LeadTimeView:
    """What a past decision planned with; what it was measured from is not kept with it."""
    decision = json.loads(told.decision)
    in_force_s: float = decision["policy"]["lead_time_s"]
    owners_s: float | None = decision["policy"]["configured_lead_time_s"]
    configured_s = in_force_s if owners_s is None else owners_s
    return LeadTimeView(
        namespace=decision["namespace"],
        workload=decision["workload"],
        in_force_s=in_force_s,
        is_measured=owners_s is not None,
        configured_s=configured_s,
        because=f"configured, {configured_s:.0f} s: no measurement was in force"
        if owners_s is None
        else f"measured; configured were {configured_s:.0f} s, and the starts it came from are not kept",
        measurement=None,
    )


def add_lead_time(one: APIRouter, leads: LeadBook, latest: Latest, then: Then) -> None:
    """The route of a workload's lead time.

    Args:
        one: The router of one workload.
        leads: What was measured.
        latest: The newest decision of a namespace and a name; raises where there is none.
        then: Who tells past ones.
    """

    @one.get("/lead-time")
    async def lead_time(namespace: str, name: str, at: At = None) -> LeadTimeView:
        """How long a new replica takes to serve: measured, configured, and what decisions plan with."""
        if at is not None:
            return lead_time_then(await then(namespace, name, at))
        return lead_time_view(latest(namespace, name), leads.get(WorkloadId(namespace, name)))


class LeadCollector(Collector):
    """Gauges of every lead time that is measured, read when Prometheus scrapes."""

    def __init__(self, leads: LeadBook) -> None:
        self._leads = leads

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: what is exposed depends on the workloads."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """One family after another; a number that is not known has no series."""
        measured = _gauge(
            "predictscale_measured_lead_time_seconds",
            "Starts and delays at the newest measurement; the highest of the last hour is in force.",
        )
        starts = _gauge(
            "predictscale_start_seconds", "0.9 quantile of pods' starts, from created to ready.", "kind"
        )
        counts = _gauge("predictscale_starts", "Pods behind it, by what became of them.", "kind", "state")
        delays = _gauge("predictscale_lead_time_delay_seconds", "What is added to starts.", "delay")
        failed = _gauge("predictscale_starts_failed", "Of them, those that took over an hour, or hang.")
        for workload, state in self._leads.items():
            lead = state.lead
            if lead.measured_s is not None:
                measured.add_metric(workload, lead.measured_s)
            kinds = {"any": lead.starts} | {_KINDS[node]: each for node, each in lead.kinds.items()}
            for kind, each in kinds.items():
                if each.start_s is not None:
                    starts.add_metric([*workload, kind], each.start_s)
                counts.add_metric([*workload, kind, "ready"], each.ready)
                counts.add_metric([*workload, kind, "pending"], each.pending)
            for delay, delay_s in _delays(lead.delays).model_dump().items():
                delays.add_metric([*workload, delay.removesuffix("_s")], delay_s)
            failed.add_metric(workload, lead.failed)
        yield from (measured, starts, counts, delays, failed)


def _measured(state: LeadState) -> MeasuredView:
    lead = state.lead
    return MeasuredView(
        at=state.at,
        measured_s=lead.measured_s,
        starts=_starts(lead.starts),
        node_present=_starts(lead.kinds[Node.PRESENT]),
        node_bought=_starts(lead.kinds[Node.BOUGHT]),
        delays=_delays(lead.delays),
        refused=lead.refused,
        failed=lead.failed,
        samples_s=list(lead.samples_s),
        problem=state.problem,
    )


def _starts(starts: Starts) -> StartsView:
    bound = starts.start_s is not None and not starts.seen
    return StartsView(start_s=starts.start_s, bound=bound, ready=starts.ready, pending=starts.pending)


def _delays(delays: Delays) -> DelaysView:
    return DelaysView(
        scrape_s=delays.scrape_s,
        poll_s=delays.poll_s,
        hpa_sync_s=delays.sync_s,
        rate_limit_s=delays.rate_limit_s,
    )


def _gauge(name: str, documentation: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, labels=(*_LABELS, *labels))
