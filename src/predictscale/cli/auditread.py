"""Which workloads an audit looks at, and all that is read of each: demand, its fleet, its lead time.

Workloads of the service's file come first, with their own queries; then what `discover` would propose. A
preset's rate is taken over the whole of each bin, so that wider bins are means and not samples; a query
that its owner wrote is asked as it stands. Refuses to ask for more than a week at once, and to end because
one workload cannot be read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from predictscale.bootstrap.leads import lead_times
from predictscale.bootstrap.sources import Sources
from predictscale.cli.auditjob import Asked, Job
from predictscale.cli.discover import ask, trigger_text
from predictscale.cli.simulated import Served, grid_of, since_known
from predictscale.clock import Clock
from predictscale.config.detect import Proposal
from predictscale.config.presets import AUTO, Preset, Presets, fleet_signals
from predictscale.config.render import DEFAULT_ADDRESS
from predictscale.config.settings import ServiceSettings, WorkloadSettings
from predictscale.control.leads import LeadBook
from predictscale.core.calendar import Calendar
from predictscale.core.demand import Signal, SignalName, WorkloadId
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.errors import HoldTarget
from predictscale.sources.base import Source
from predictscale.sources.prometheus import PrometheusSource

ASSUMED_LEAD_S = 300.0
"""Where no lead time is given and no starts of pods are told [s]."""

_STRETCH_S = 7 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A workload to look at.

    Args:
        workload: As it is called.
        source: Where it is read.
        demand: How it is asked for.
        deployment: Whose replicas are its fleet; None if that is not known.
        about: What is told of it unchanged.
        settings: Its settings, in the file or made up for it.
        served: The same with the service's rhythm, if the file says all that a replay needs.
    """

    workload: WorkloadId
    source: Source
    demand: Signal
    deployment: str | None
    about: Mapping[str, Any]
    settings: WorkloadSettings
    served: Served | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How histories are read.

    Args:
        days: How much [d].
        step_s: On which bins [s].
        at: The present.
        capacity: What a replica serves, by workload or for all ("").
        lead_time_s: As given; None to measure it.
    """

    days: float
    step_s: float
    at: datetime
    capacity: Mapping[str, float]
    lead_time_s: float | None

    @property
    def span(self) -> tuple[datetime, datetime]:
        """From when until when, on the grid of bins."""
        end = floor_to_grid(self.at, self.step_s)
        return floor_to_grid(end - timedelta(days=self.days), self.step_s), end


async def subjects(
    service: ServiceSettings, sources: Sources, namespaces: Sequence[str], *, at: datetime, step_s: float
) -> tuple[list[Subject], tuple[str, ...]]:
    """All workloads there are, and what was seen and is none, one sentence each.

    Raises:
        HoldTarget: Prometheus could not tell what it holds.
        AskOwner: A workload of the file is wrong.
    """
    presets, found, left_out = service.presets(), [], []
    for settings in service.named_workloads(presets):
        if namespaces and settings.workload.namespace not in namespaces:
            continue
        if settings.backend == AUTO:
            left_out.append(f"{settings.workload}: its backend is auto; what is found of it stands for it")
            continue
        found.append(_named(settings, service, sources, presets, step_s=step_s))
    if isinstance(sources.own, PrometheusSource):
        told = await ask(sources.own, presets, tuple(namespaces), at=at)
        taken = {(each.workload.namespace, each.deployment) for each in found if each.deployment is not None}
        names = {str(each.workload) for each in found}
        for proposal, now in zip(told.detected.proposals, told.demand, strict=True):
            if (proposal.namespace, proposal.deployment) in taken:
                continue
            one = _proposed(proposal, now, sources.own, names, step_s=step_s)
            names.add(str(one.workload))
            found.append(one)
        left_out += told.detected.left_out
    return found, tuple(left_out)


async def read(subject: Subject, reading: Reading, asked: Asked, *, presets: Presets, clock: Clock) -> Job:
    """All that is asked of one workload.

    Raises:
        HoldTarget: Its demand could not be read.
    """
    start, end = reading.span
    demand = since_known(await _history(subject.source, subject.demand, start, end, step_s=reading.step_s))
    fleet: dict[SignalName, MetricWindow] = {}
    unread = ""
    if subject.deployment is not None:
        for one in fleet_signals(subject.workload.namespace, subject.deployment):
            if one.name in (SignalName.REPLICAS, SignalName.READY):
                try:
                    told = await _history(subject.source, one, demand.start, end, step_s=reading.step_s)
                except HoldTarget as wrong:
                    # An audit does without, and says so.
                    unread = str(wrong)
                    continue
                if told.known.any():
                    fleet[one.name] = told
    capacity = reading.capacity.get(str(subject.workload), reading.capacity.get(""))
    return Job(
        workload=str(subject.workload),
        about=subject.about,
        demand=demand,
        replicas=fleet.get(SignalName.REPLICAS),
        ready=fleet.get(SignalName.READY),
        capacity=capacity,
        lead=await _lead(subject, reading, presets=presets, clock=clock),
        served=subject.served,
        asked=asked,
        unread=unread,
        calendar=_calendar(subject, asked),
    )


def _calendar(subject: Subject, asked: Asked) -> Calendar:
    """As its settings say; their time zone alone where they do not serve, as `backtest` takes it."""
    own = subject.settings.calendar
    if subject.served is not None:
        return own
    return asked.calendar if own.zone == Calendar().zone else Calendar(own.zone)


def _named(
    settings: WorkloadSettings, service: ServiceSettings, sources: Sources, presets: Presets, *, step_s: float
) -> Subject:
    served = None
    if settings.backend is not None:
        presets = {**presets, settings.backend: _over_bins(presets[settings.backend], step_s)}
    if settings.capacity_per_replica is not None:
        served = Served(settings=settings, grid=grid_of(service))
    return Subject(
        workload=settings.workload,
        source=sources.of(settings),
        demand=settings.signals(presets)[SignalName.DEMAND],
        deployment=settings.target,
        about={
            "backend": settings.backend or "its own query",
            "deployment": settings.target,
            "unit": settings.unit,
            "seen": ["named in the service's settings"],
            "trigger": None,
        },
        settings=settings,
        served=served,
    )


def _proposed(
    proposal: Proposal, now: float | None, source: PrometheusSource, taken: set[str], *, step_s: float
) -> Subject:
    workload = _name(proposal, taken)
    preset = _over_bins(proposal.preset, step_s)
    query = Proposal(
        namespace=proposal.namespace,
        preset=preset,
        selector=proposal.selector,
        deployment=proposal.deployment,
        because=proposal.because,
    ).demand_query
    unit = preset.signals[SignalName.DEMAND].unit
    return Subject(
        workload=workload,
        source=source,
        demand=Signal(SignalName.DEMAND, query, unit),
        deployment=proposal.deployment,
        about={
            "backend": preset.name,
            "deployment": proposal.deployment,
            "unit": unit,
            "seen": list(proposal.because),
            "trigger": trigger_text(proposal, now, DEFAULT_ADDRESS),
        },
        # Only its lead time is asked of these; what they must say besides, nobody reads.
        settings=WorkloadSettings(
            workload=workload,
            capacity_per_replica=1.0,
            max_replicas=1,
            backend=proposal.preset.name,
            target=proposal.deployment,
        ),
        served=None,
    )


def _over_bins(preset: Preset, step_s: float) -> Preset:
    """The preset with rates over the whole of a bin: what a narrower range leaves out, nobody would see."""
    return preset.model_copy(update={"window_s": max(preset.window_s, step_s)})


def _name(proposal: Proposal, taken: set[str]) -> WorkloadId:
    """The Deployment's name, or the backend's; a number is added if another has it."""
    name, place = proposal.deployment or proposal.preset.name, 1
    while str(WorkloadId(proposal.namespace, name)) in taken:
        place += 1
        name = f"{proposal.deployment or proposal.preset.name}-{place}"
    return WorkloadId(proposal.namespace, name)


async def _history(
    source: Source, signal: Signal, start: datetime, end: datetime, *, step_s: float
) -> MetricWindow:
    whole = MetricWindow.empty(start=start, step_s=step_s)
    stretch = timedelta(seconds=max(step_s, _STRETCH_S // step_s * step_s))
    while start < end:
        until = min(start + stretch, end)
        whole = whole.join((await source.read(signal, start=start, end=until, step_s=step_s)).window)
        start = until
    return whole


async def _lead(subject: Subject, reading: Reading, *, presets: Presets, clock: Clock) -> dict[str, Any]:
    """The lead time as its settings say, as given, as measured, or as assumed."""
    if subject.served is not None:
        own_s = subject.settings.lead_time_s
        return {"seconds": own_s, "source": "settings", "because": "as its settings say"}
    if reading.lead_time_s is not None:
        return {"seconds": reading.lead_time_s, "source": "given", "because": "as given for the audit"}
    assumed = f"no lead time is given, and none measured: {ASSUMED_LEAD_S:g} s are assumed"
    teller = lead_times(
        subject.settings, source=subject.source, presets=presets, clock=clock, book=LeadBook()
    )
    if teller is None:
        return {"seconds": ASSUMED_LEAD_S, "source": "assumed", "because": assumed}
    teller.start_due(reading.at)
    try:
        await teller.settled()
        measured_s = teller.lead_time_at(reading.at)
    finally:
        await teller.stop()
    if measured_s is None:
        return {"seconds": ASSUMED_LEAD_S, "source": "assumed", "because": assumed}
    return {"seconds": measured_s, "source": "measured", "because": "; ".join(teller.notes_at(reading.at))}
