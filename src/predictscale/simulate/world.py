"""The world in which every policy is judged: demand, actuation, boots, a queue.

At the beginning of a step a policy says how many replicas it wants, from what was known
by then: demand up to the step before. The actuation makes a spec of it, the fleet boots,
and the step's demand arrives. The first fleet fits the first demand, so that nobody
is judged by an empty start.

Refuses to score what is not known: a step without demand counts neither work nor cost.
Refuses to invent what is finer than the trace: a coarse sample holds for its whole bin.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from predictscale.core.capacity import CapacityModel
from predictscale.core.demand import Observation
from predictscale.core.fleet import FleetState
from predictscale.core.hpa import SYNC_S
from predictscale.core.plan import Landing
from predictscale.core.series import Floats, MetricWindow
from predictscale.simulate.actuation import Actuation, Actuator, actuator
from predictscale.simulate.plant import Boot, Counts, Ints, Plant, Served

_CELLS = 32_768
"""Fleets times steps that are computed at once: arrays of this size stay in a core's cache."""
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class World:
    """What happens to a policy, whichever it is.

    Args:
        demand: Work that arrives per second, by steps; NaN where it is not known.
        per_replica: Work that a ready replica serves per second.
        boot: From request to service.
        wait_s: Work that waits longer is late [s].
        patience_s: Work that has waited so long leaves; None waits for ever [s].
        min_replicas: Never fewer.
        max_replicas: Never more.
        actuation: The way to the Deployment.
        landing: How what open loops ask for is published to a stock HPA.
        cooldown_s: KEDA's wait before the last replicas go [s].
        replicas: The first fleet; None for what serves the first demand.
        before: Demand of the step before the first, if it is known.
        available: Nodes to be had in each step, shape (n,); None for no limit.
        seed: Of drawn boot times.
    """

    demand: MetricWindow
    per_replica: float
    boot: Boot
    wait_s: float = 5.0
    patience_s: float | None = None
    min_replicas: int = 1
    max_replicas: int = 1000
    actuation: Actuation = Actuation.HPA_EXACT
    landing: Landing = Landing.EXACT
    cooldown_s: float = 300.0
    replicas: int | None = None
    before: float | None = None
    available: Counts | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not len(self.demand):
            raise ValueError("demand: has no step; a world lasts")
        if self.available is not None and self.available.shape != (len(self),):
            raise ValueError(f"available: shape {self.available.shape}; one number for {len(self)} steps")

    def __len__(self) -> int:
        return len(self.demand)

    @property
    def step_s(self) -> float:
        """Width of a step [s]."""
        return self.demand.step_s

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Which steps count, shape (n,)."""
        return self.demand.known

    @property
    def first_replicas(self) -> int:
        """The fleet at the beginning."""
        if self.replicas is not None:
            return self.replicas
        known = self.demand.values[self.scored]
        first = float(known[0]) if known.size else 0.0
        need = CapacityModel(self.per_replica).replicas_for(first)
        return min(max(need, self.min_replicas), self.max_replicas)

    def at(self, step: int) -> datetime:
        """The instant at which a step begins."""
        return self.demand.start + timedelta(seconds=step * self.step_s)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Run:
    """What became of k policies in n steps of a world.

    Args:
        start: When the first step begins.
        step_s: Width of a step [s].
        desired: What the policies wanted, shape (k, n).
        spec: What the Deployment was told, shape (k, n).
        held: Replicas that existed, pending and ready; fewer than `spec` where nodes lacked, (k, n).
        ready: Replicas that served, shape (k, n).
        scored: Which steps count, shape (n,).
        arrived: Work that came, shape (n,).
        late: Work that came and waits beyond the bound, shape (k, n).
        lost: Work that left unserved, shape (k, n).
        queue: Work that waits at each step's end, shape (k, n).
    """

    start: datetime
    step_s: float
    desired: Counts
    spec: Ints
    held: Ints
    ready: Ints
    scored: NDArray[np.bool_]
    arrived: Floats
    late: Floats
    lost: Floats
    queue: Floats

    @property
    def billed(self) -> Floats:
        """Replica-seconds from request to removal, in steps that count, shape (k, n)."""
        billed: Floats = self.held * (self.scored * self.step_s)
        return billed

    @property
    def violation(self) -> Floats:
        """The share of work that waits beyond the bound, shape (k,); 0 if none came."""
        return _share(self.late.sum(axis=1), float(self.arrived.sum()))

    @property
    def replica_hours(self) -> Floats:
        """What was billed [h], shape (k,)."""
        hours: Floats = self.held[:, self.scored].sum(axis=1) * (self.step_s / _HOUR_S)
        return hours

    @property
    def scale_events(self) -> Ints:
        """How often the spec changed, shape (k,)."""
        changes: Ints = (np.diff(self.spec, axis=1) != 0).sum(axis=1)
        return changes

    def tally(self, bin_s: float) -> "Tally":
        """The sums over bins of `bin_s` seconds; see `Tally`."""
        every = _steps_in(bin_s, self.step_s)
        return Tally(
            start=self.start,
            bin_s=bin_s,
            arrived=_sums(self.arrived, every),
            late=_sums(self.late, every),
            billed=_sums(self.billed, every),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tally:
    """A run's sums over bins, which is all that a choice between policies needs.

    Args:
        start: When the first bin begins.
        bin_s: Width of a bin; the last one may be shorter [s].
        arrived: Work that came, shape (m,).
        late: Work that came and waits beyond the bound, shape (k, m).
        billed: Replica-seconds, shape (k, m).
    """

    start: datetime
    bin_s: float
    arrived: Floats
    late: Floats
    billed: Floats

    @property
    def violation(self) -> Floats:
        """The share of work that waits beyond the bound, shape (k,); 0 if none came."""
        return _share(self.late.sum(axis=1), float(self.arrived.sum()))

    @property
    def replica_hours(self) -> Floats:
        """What was billed [h], shape (k,)."""
        hours: Floats = self.billed.sum(axis=1) / _HOUR_S
        return hours


class ClosedLoop(Protocol):
    """A policy that is asked at every step."""

    def desired(self, step: int, seen: Observation) -> int:
        """Replicas that it wants from the beginning of `step` on, which is `seen.now`."""
        ...


OpenLoop = Counts
"""What policies want that look at demand's past alone: replicas by policy and step, shape (k, n)."""


def run(world: World, policies: Sequence[OpenLoop | ClosedLoop]) -> list[Run]:
    """What becomes of each policy: of an open loop of k rows one run of k, of a closed loop one of 1."""
    return [
        replay(world, policy) if isinstance(policy, np.ndarray) else play(world, policy)
        for policy in policies
    ]


def replay(world: World, desired: OpenLoop) -> Run:
    """Open loops.

    Raises:
        ValueError: `desired` is not (k, n), or is negative.
    """
    return _joined(world, 0, list(_stretches(world, desired)))


def tally(world: World, desired: OpenLoop, *, bin_s: float) -> Tally:
    """As `replay(...).tally(bin_s)`, for more policies and steps than memory holds in full.

    Raises:
        ValueError: `desired` is not (k, n), or is negative; a bin is not a whole number of steps.
    """
    every, parts, step = _steps_in(bin_s, world.step_s), [], 0
    for stretch in _stretches(world, desired, every=every):
        parts.append(_joined(world, step, [stretch]).tally(bin_s))
        step += stretch.spec.shape[1]
    return Tally(
        start=world.demand.start,
        bin_s=bin_s,
        arrived=np.concatenate([part.arrived for part in parts]),
        late=np.concatenate([part.late for part in parts], axis=1),
        billed=np.concatenate([part.billed for part in parts], axis=1),
    )


def play(world: World, policy: ClosedLoop, *, told: Callable[[int], None] | None = None) -> Run:
    """A closed loop: the policy sees the demand of the step before, the queue and the fleet.

    Args:
        world: Where.
        policy: Who.
        told: Called with each step that is done, for those who show progress.
    """
    path, stretches = _Path(world, 1), []
    demand, demand_at = world.before, None if world.before is None else world.at(0)
    for step in range(len(world)):
        fleet = FleetState(replicas=int(path.actuator.spec[0]), ready=int(path.plant.ready[0]))
        queue = float(path.plant.queue[0])
        seen = Observation(world.at(step), demand, demand_at, queue, fleet)
        stretches.append(path.take(np.array([[policy.desired(step, seen)]])))
        if world.scored[step]:
            demand, demand_at = float(world.demand.values[step]), world.at(step + 1)
        if told is not None:
            told(step)
    return _joined(world, 0, stretches)


def demand_grid(window: MetricWindow, step_s: float = SYNC_S) -> MetricWindow:
    """A trace on the grid of steps: finer samples averaged, coarser ones held throughout their bin.

    Raises:
        ValueError: Neither width is a whole multiple of the other.
    """
    if window.step_s <= step_s:
        return window.resample(step_s)
    parts = round(window.step_s / step_s)
    if abs(parts * step_s - window.step_s) > 1e-6:
        raise ValueError(f"step_s: {step_s:g}; {window.step_s:g} s is no whole multiple of it")
    return MetricWindow(window.start, step_s, np.repeat(window.values, parts))


class _Stretch(NamedTuple):
    """Some steps of k policies."""

    desired: Counts
    spec: Ints
    held: Ints
    served: Served


class _Path:
    """What lies between k policies and their lateness, and the step it has come to."""

    def __init__(self, world: World, fleets: int) -> None:
        first = np.full(fleets, world.first_replicas, dtype=np.int64)
        self.actuator: Actuator = actuator(
            world.actuation,
            replicas=first,
            min_replicas=world.min_replicas,
            max_replicas=world.max_replicas,
            step_s=world.step_s,
            cooldown_s=world.cooldown_s,
            landing=world.landing,
        )
        self.plant = Plant(
            fleets=fleets,
            per_replica=world.per_replica,
            step_s=world.step_s,
            boot=world.boot,
            wait_s=world.wait_s,
            patience_s=world.patience_s,
            replicas=first,
            seed=world.seed,
        )
        self._world = world
        self._now = 0

    def take(self, desired: Counts) -> _Stretch:
        """The next steps, for what is wanted in each, shape (k, n)."""
        now = slice(self._now, self._now + desired.shape[1])
        self._now = now.stop
        spec = held = self.actuator.advance(desired)
        if self._world.available is not None:
            # What finds no node is asked for again by the Deployment for as long as it lacks.
            held = np.minimum(spec, self._world.available[now])
        return _Stretch(desired, spec, held, self.plant.advance(self._world.demand.values[now], held))


def _stretches(world: World, desired: OpenLoop, *, every: int = 1) -> Iterator[_Stretch]:
    """All steps, in stretches of a whole multiple of `every` steps that fit into a core's cache."""
    if desired.ndim != 2 or desired.shape[1] != len(world) or desired.min(initial=0) < 0:
        raise ValueError(f"desired: shape {desired.shape}; (k, {len(world)}), 0 or more")
    path = _Path(world, desired.shape[0])
    steps = max(1, _CELLS // max(1, desired.shape[0]) // every) * every
    for first in range(0, len(world), steps):
        yield path.take(desired[:, first : first + steps])


def _joined(world: World, first: int, stretches: Sequence[_Stretch]) -> Run:
    """The stretches from step `first` on as one run."""

    def row(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(list(parts), axis=-1)

    spec = row(part.spec for part in stretches)
    return Run(
        start=world.at(first),
        step_s=world.step_s,
        desired=row(part.desired for part in stretches),
        spec=spec,
        held=row(part.held for part in stretches),
        ready=row(part.served.ready for part in stretches),
        scored=world.scored[first : first + spec.shape[1]],
        arrived=row(part.served.arrived for part in stretches),
        late=row(part.served.late for part in stretches),
        lost=row(part.served.lost for part in stretches),
        queue=row(part.served.queue for part in stretches),
    )


def _steps_in(bin_s: float, step_s: float) -> int:
    every = round(bin_s / step_s)
    if every < 1 or abs(every * step_s - bin_s) > 1e-6:
        raise ValueError(f"bin_s: {bin_s:g}; a bin is a whole number of steps of {step_s:g} s")
    return every


def _sums(values: Floats, every: int) -> Floats:
    """Sums over each `every` elements of the last axis; what is left is a shorter one."""
    sums: Floats = np.add.reduceat(values, np.arange(0, values.shape[-1], every), axis=-1)
    return sums


def _share(part: Floats, whole: float) -> Floats:
    return part / whole if whole > 0 else np.zeros_like(part)
