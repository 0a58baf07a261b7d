"""What `backtest` is given, read and checked: a recorded demand, and the workload it belongs to.

A trace and a few numbers become the same settings as a workload of the service's file, so that
there is one way on from here. Refuses to guess which of several workloads is meant.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from predictscale.bootstrap.detect import BackendFinder, named
from predictscale.bootstrap.sources import Sources
from predictscale.cli import possible
from predictscale.clock import SystemClock
from predictscale.config.load import load_service
from predictscale.config.settings import ServiceSettings, WorkloadSettings
from predictscale.config.yamlfile import read_yaml
from predictscale.control.asks import Goal
from predictscale.control.context import context_of
from predictscale.control.tracker import Grid
from predictscale.core.calendar import Calendar
from predictscale.core.demand import SignalName, WorkloadId
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.core.slo import Slo
from predictscale.errors import AskOwner, HoldTarget
from predictscale.forecasters.registry import resolve
from predictscale.meters import Meters
from predictscale.simulate.actuation import Actuation
from predictscale.simulate.backtest import STEP_S, Trial
from predictscale.simulate.bridge import bridged
from predictscale.simulate.relive import Past
from predictscale.simulate.spot import load as load_nodes
from predictscale.simulate.world import demand_grid
from predictscale.sources.files import load_csv

QUICK_CHAIN = ("native", "seasonal-naive-day", "last-value")
"""The models of a trace without a workload: those that are fitted in a fraction of a second."""

_TRAINED = 0.65
_FINE_S = 60.0
_SEED = 0
_UTC = Calendar()


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A workload, and the rhythm of the service that it belongs to."""

    settings: WorkloadSettings
    grid: Grid


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Recorded:
    """A workload's signals.

    Args:
        demand: On steps of 15 s.
        live: All signals on the grid of ticks.
        bins: Demand on the grid of forecasts.
        note: What was made of the record, in words.
    """

    demand: MetricWindow
    live: Mapping[SignalName, MetricWindow]
    bins: MetricWindow
    note: str


def by_numbers(
    *,
    capacity_per_replica: float | None,
    lead_time_s: float | None,
    slo: Slo | None,
    quantile: float,
    wait_s: float,
    min_replicas: int,
    max_replicas: int,
    calendar: Calendar = _UTC,
) -> Served:
    """A workload of which only these are known.

    Raises:
        AskOwner: One is missing, or cannot be.
    """
    missing = [
        name
        for name, value in (("--capacity-per-replica", capacity_per_replica), ("--lead-time-s", lead_time_s))
        if value is None
    ]
    if missing or capacity_per_replica is None or lead_time_s is None:
        raise AskOwner(f"{', '.join(missing)}: is missing; give it, or --workload FILE which says it")
    possible.positive("--capacity-per-replica", capacity_per_replica)
    possible.lead_time(lead_time_s)
    possible.bounds(min_replicas, max_replicas)
    service = ServiceSettings()
    settings = WorkloadSettings(
        workload=WorkloadId("backtest", "trace"),
        query="trace",
        capacity_per_replica=capacity_per_replica,
        lead_time_s=lead_time_s,
        level=quantile if slo is None else min(max(1 - slo.max_violation, 0.5), 0.995),
        slo=slo,
        drain_s=max(wait_s, 1.0),
        min_replicas=min_replicas,
        max_replicas=max_replicas,
        hold_s=max(2 * lead_time_s, 600.0),
        forecasters=QUICK_CHAIN,
        calendar=calendar,
    )
    return Served(settings=settings, grid=grid_of(service))


def of_file(file: Path, *, name: str | None, overrides: Mapping[str, Any]) -> tuple[Served, ServiceSettings]:
    """The workload of a service's file, or of a file that holds one workload and nothing else.

    Raises:
        AskOwner: The file is wrong, or several workloads are there and none is named.
    """
    service = _service(file, overrides)
    found = {str(each.workload): each for each in service.named_workloads(service.presets())}
    if not found:
        raise AskOwner(f"{file}: names no workload; must have one under `workloads`, or be one")
    if name is None and len(found) > 1:
        raise AskOwner(f"{file}: has {len(found)} workloads; choose with --name: {', '.join(found)}")
    if name is not None and name not in found:
        raise AskOwner(f"--name: {name!r} is not in {file}; must be one of {', '.join(found)}")
    settings = found[name if name is not None else next(iter(found))]
    _given_capacity(settings)
    return Served(settings=settings, grid=grid_of(service)), service


def of_trace(file: Path, served: Served, *, bridge: bool) -> Recorded:
    """A trace as the workload's signals: demand alone.

    Raises:
        AskOwner: The file is not a trace, or its step does not fit the grids.
    """
    return of_window(load_csv(file), served, bridge=bridge, where=str(file))


def of_window(trace: MetricWindow, served: Served, *, bridge: bool, where: str) -> Recorded:
    """A demand that was read already; `where` names it in messages.

    Raises:
        AskOwner: It is not known at all, or its step does not fit the grids.
    """
    note = "as recorded"
    if trace.step_s > _FINE_S:
        note = f"samples of {trace.step_s:g} s held throughout"
        if bridge:
            trace = _fitting(lambda: bridged(trace, _FINE_S, seed=_SEED), where)
            note = f"drawn to {_FINE_S:g} s by bridges, seed {_SEED}"
    if not trace.known.any():
        raise AskOwner(f"{where}: every value is missing")
    trace = since_known(trace)
    ticks = _fitting(lambda: demand_grid(trace, served.grid.tick_s), where)
    return Recorded(
        demand=_fitting(lambda: demand_grid(trace, STEP_S), where),
        live={SignalName.DEMAND: ticks},
        bins=_fitting(lambda: demand_grid(_whole(trace, served.grid.step_s), served.grid.step_s), where),
        note=note,
    )


async def of_prometheus(served: Served, service: ServiceSettings, *, days: float) -> Recorded:
    """The last days of a workload, as the service reads them; queue and fleet too, where they are known.

    Raises:
        AskOwner: Prometheus could not tell, or has nothing to tell.
    """
    clock, settings = SystemClock(), served.settings
    sources = Sources(service, Meters(), clock, None)
    source = sources.of(settings)
    end = floor_to_grid(clock.now(), max(served.grid.step_s, served.grid.tick_s, STEP_S))
    start = end - timedelta(days=days)
    try:
        find = BackendFinder(service.presets(), source_of=sources.of)
        signals = (await named(settings, find, at=end)).signals(service.presets())
        demand = signals[SignalName.DEMAND]
        # As far back as the service looks at the first of these days.
        reach = timedelta(seconds=served.grid.history_s + served.grid.refit_s)
        oldest = floor_to_grid(start - reach, served.grid.step_s)
        bins = await source.read(demand, start=oldest, end=end, step_s=served.grid.step_s)
        steps = await source.read(demand, start=start, end=end, step_s=STEP_S)
        live = {
            name: (await source.read(signal, start=start, end=end, step_s=served.grid.tick_s)).window
            for name, signal in signals.items()
        }
    except HoldTarget as silent:
        where = settings.prometheus or (service.prometheus.url if service.prometheus else "")
        raise AskOwner(f"--prometheus: {where}: {silent}") from None
    finally:
        await sources.aclose()
    if not steps.window.known.any():
        raise AskOwner(f"{settings.workload}: its query has no value in the last {days:g} days")
    note = "queue and fleet as recorded" if len(live) > 1 else "as recorded"
    return Recorded(demand=since_known(steps.window), live=live, bins=bins.window, note=note)


def past_of(served: Served, recorded: Recorded, *, forecasters: tuple[str, ...] | None) -> Past:
    """All that a service would have known.

    Raises:
        SettingsError: A forecaster is unknown.
    """
    settings = served.settings
    chain = forecasters or settings.forecasters
    resolve(chain, where="--forecasters" if forecasters else "forecasters")
    goal = None
    if settings.slo is not None and settings.tunes_itself:
        goal = Goal(slo=settings.slo, bounds=settings.tuning.bounds, every_s=settings.tuning.every_s)
    return Past(
        workload=settings.workload,
        policy=settings.policy(),
        live=recorded.live,
        bins=recorded.bins,
        forecasters=chain,
        grid=served.grid,
        goal=goal,
        context=context_of(settings),
        events=settings.events,
        unit=settings.unit,
    )


def trial_of(
    served: Served,
    demand: MetricWindow,
    *,
    train_until: str | None,
    wait_s: float,
    actuation: Actuation,
    nodes: Path | None,
) -> Trial:
    """What all policies live through.

    Raises:
        AskOwner: The parts do not fit the record.
    """
    settings = served.settings
    first = _first(demand, train_until, tick_s=served.grid.tick_s)
    try:
        trial = Trial(
            demand=demand,
            first=first,
            per_replica=_given_capacity(settings),
            lead_time_s=settings.lead_time_s,
            wait_s=wait_s,
            min_replicas=settings.min_replicas,
            max_replicas=settings.max_replicas,
            actuation=actuation,
            landing=settings.landing,
            cooldown_s=settings.cooldown_s,
        )
    except ValueError as wrong:
        raise AskOwner(str(wrong)) from None
    if nodes is None:
        return trial
    try:
        return replace(trial, available=load_nodes(nodes, steps=trial.steps, step_s=STEP_S))
    except ValueError as wrong:
        raise AskOwner(f"--spot-trace: {nodes}: {wrong}") from None


def _given_capacity(settings: WorkloadSettings) -> float:
    """What a replica serves, if the owner gives it: a replay of one series has no pods to learn from.

    Raises:
        AskOwner: It is learned.
    """
    if settings.capacity_per_replica is None:
        raise AskOwner(
            f"{settings.workload}: its capacity is learned from pods, which a record of demand does not "
            "hold; give capacity_per_replica, such as `predictscale capacity` prints it"
        )
    return settings.capacity_per_replica


def grid_of(service: ServiceSettings) -> Grid:
    """The service's rhythm, on which a replay can run.

    Raises:
        AskOwner: Its ticks do not fit the steps of the HPA.
    """
    tick_s = service.loop.tick_s
    if STEP_S % tick_s and tick_s % STEP_S:
        raise AskOwner(f"loop.tick_s: {tick_s:g}; must divide {STEP_S:g} s or be a multiple of it")
    return Grid(
        tick_s=tick_s,
        step_s=service.loop.step_s,
        history_s=service.loop.history_s,
        refit_s=service.fit.every_s,
    )


def _service(file: Path, overrides: Mapping[str, Any]) -> ServiceSettings:
    documents = read_yaml(file)
    alone = documents[0] if len(documents) == 1 else None
    if isinstance(alone, dict) and "capacity_per_replica" in alone:
        return load_service(None, env=os.environ, overrides={**overrides, "workloads": [alone]})
    return load_service(file, env=os.environ, overrides=overrides)


def _fitting(make: Any, where: str) -> MetricWindow:
    try:
        window: MetricWindow = make()
    except ValueError as wrong:
        raise AskOwner(f"{where}: {wrong}") from None
    return window


def since_known(window: MetricWindow) -> MetricWindow:
    """The window from its first known bin on: what lies before was never there to be lost."""
    first = int(window.known.argmax()) if len(window) else 0
    return window.between(window.start + timedelta(seconds=first * window.step_s), window.end)


def _whole(window: MetricWindow, step_s: float) -> MetricWindow:
    """The whole bins of `step_s` on the clock's grid, if the window is finer: live they lie there."""
    if window.step_s >= step_s:
        return window
    begin = floor_to_grid(window.start + timedelta(seconds=step_s - window.step_s / 2), step_s)
    return window.between(begin, floor_to_grid(window.end, step_s))


def _first(demand: MetricWindow, train_until: str | None, *, tick_s: float) -> int:
    """The step at which scoring begins, which is a tick."""
    every = max(1, round(tick_s / STEP_S))
    if train_until is None:
        return max(1, int(len(demand) * _TRAINED) // every * every)
    try:
        at = datetime.fromisoformat(train_until.strip())
    except ValueError:
        raise AskOwner(f"--train-until: {train_until!r}; must look like 2026-01-31T00:00:00Z") from None
    if at.tzinfo is None:
        raise AskOwner(f"--train-until: {train_until!r} has no time zone; end it with Z if it is UTC")
    at = at.astimezone(UTC)
    if not demand.start < at < demand.end:
        raise AskOwner(
            f"--train-until: {at.isoformat()} lies outside the demand, which is known from "
            f"{demand.start.isoformat()} to {demand.end.isoformat()}"
        )
    steps = (at - demand.start).total_seconds() / STEP_S
    return min(max(1, int(np.ceil(steps / every - 1e-9)) * every), len(demand) - 1)
