"""What others would have asked for: autoscalers of the field as pure functions of demand's past.

A rival turns a scene into desired replicas for every step, one row for each setting of its
knobs, so that a whole frontier is one array. The families here know no season; those that
do are in `seasonal_rivals` and `model_rivals`. Each is a re-implementation of an idea, not
of a product's code, and is given what a careful owner would give it: offered load
without lag, knobs to sweep, and the load that is here as a lower bound. Refuses to let a
rival see a sample before it has ended.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product

import numpy as np
from numpy.typing import NDArray

from predictscale.core.series import Floats, MetricWindow
from predictscale.simulate.sliding import trailing_max

Ints = NDArray[np.int32]
Knobs = Mapping[str, float]

DAY_S = 86_400.0
NO_OPINION = -np.inf
"""What a forecast says where it cannot know yet; the highest of it and anything is the other."""

_A_HAIR = 1 - 1e-12  # 30.000000000000004 / 10 is three replicas; the same hair as CapacityModel's
_MOST_REPLICAS = 30_000.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """What a policy is asked about, and what it may look back at.

    Args:
        demand: The load that comes, on the grid of the steps; a gap is not known to anybody.
        first: The step from which replicas are asked for; at least one step is past by then.
        per_replica: Load that a replica serves per second.
        lead_time_s: From a decision to serving replicas [s].

    Raises:
        ValueError: `first` leaves no past or no step, or the past begins with a gap.
    """

    demand: MetricWindow
    first: int
    per_replica: float
    lead_time_s: float
    _seen: Floats = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.first < len(self.demand):
            raise ValueError(f"first: {self.first} of {len(self.demand)} steps; needs a past and a step")
        if np.isnan(self.demand.values[0]):
            raise ValueError("demand: begins with a gap, so that nothing is known at the first step")
        object.__setattr__(self, "_seen", _last_known(self.demand.values))

    @property
    def step_s(self) -> float:
        """Width of a step [s]."""
        return self.demand.step_s

    @property
    def steps(self) -> int:
        """How many steps replicas are asked for."""
        return len(self.demand) - self.first

    @property
    def lead_steps(self) -> int:
        """The lead time in steps, rounded up."""
        return self.in_steps(self.lead_time_s)

    @property
    def ended(self) -> Floats:
        """The newest value that had ended before each step, from the second step on, shape (n - 1,).

        A gap is what was known last. Element i is known at step i + 1.
        """
        return self._seen[:-1]

    @property
    def last(self) -> Floats:
        """The newest value that had ended before each asked step, shape (steps,)."""
        return self._seen[self.first - 1 : -1]

    def in_steps(self, duration_s: float) -> int:
        """A duration in whole steps, rounded up."""
        return int(np.ceil(duration_s / self.step_s - 1e-9))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """One family of policies and the settings it is swept over.

    Args:
        name: As in tables.
        idea: Whose idea it is, in a few words.
        knobs: Its settings; the first is the most careful, and serves while nothing is known.
        desired: From a scene and settings to replicas, shape (settings, steps).
    """

    name: str
    idea: str
    knobs: tuple[Knobs, ...]
    desired: Callable[[Scene, Sequence[Knobs]], Ints]

    def sweep(self, scene: Scene) -> Ints:
        """Replicas of all settings, shape (settings, steps)."""
        return self.desired(scene, self.knobs)


def grid(**axes: Sequence[float]) -> tuple[Knobs, ...]:
    """Every combination of the values; the last axis changes quickest."""
    return tuple(dict(zip(axes, values, strict=True)) for values in product(*axes.values()))


def replicas_for(load: Floats, per_replica: float) -> Ints:
    """The smallest fleets that serve each load, at least one replica; the shape stays."""
    wanted = np.ceil(np.minimum(load / per_replica, _MOST_REPLICAS) * _A_HAIR)
    return np.maximum(wanted, 1.0).astype(np.int32)


def held(scene: Scene, replicas: Ints, hold_s: float) -> Ints:
    """Down only to the highest number of the last `hold_s` seconds."""
    return trailing_max(replicas, scene.in_steps(hold_s) + 1)


def beside_reactive(scene: Scene, forecast: Floats, knobs: Knobs) -> Ints:
    """A forecast times `margin`, never less than the load that is here over `utilisation`; then `hold_s`.

    Args:
        scene: Whose load is here.
        forecast: Load expected within the lead time of each asked step, shape (steps,).
        knobs: `margin`, `utilisation`, and `hold_s` if it is held.
    """
    load = np.maximum(scene.last / knobs["utilisation"], forecast * knobs["margin"])
    return held(scene, replicas_for(load, scene.per_replica), knobs.get("hold_s", 0.0))


def together(scene: Scene, rows: Iterator[Ints], count: int) -> Ints:
    """The rows as one array, shape (count, steps)."""
    table = np.empty((count, scene.steps), dtype=np.int32)
    for place, row in enumerate(rows):
        table[place] = row
    return table


def _last_known(values: Floats) -> Floats:
    known = np.where(np.isnan(values), 0, np.arange(values.size))
    return values[np.maximum.accumulate(known)]


def _static(scene: Scene, settings: Sequence[Knobs]) -> Ints:
    """A quantile of the last days' demand, looked at once a day."""
    day = round(DAY_S / scene.step_s)
    table = np.empty((len(settings), scene.steps), dtype=np.int32)
    for begin in range(0, scene.steps, day):
        past = scene.ended[: scene.first + begin]
        for past_d in {knobs["past_d"] for knobs in settings}:
            rows = [place for place, knobs in enumerate(settings) if knobs["past_d"] == past_d]
            levels = [settings[row]["quantile"] for row in rows]
            margins = np.array([settings[row]["margin"] for row in rows])
            load = np.quantile(past[-round(past_d * day) :], levels) * margins
            table[rows, begin : begin + day] = replicas_for(load, scene.per_replica)[:, np.newaxis]
    return table


def _reactive(scene: Scene, settings: Sequence[Knobs]) -> Ints:
    """Load over utilisation, held, never below a quantile of the past's demand."""
    levels = sorted({knobs["floor"] for knobs in settings})
    floors = _static(scene, grid(quantile=levels, margin=(1.0,), past_d=(_LONG_D,)))
    of = dict(zip(levels, floors, strict=True))

    def rows() -> Iterator[Ints]:
        # The hold looks back before the first asked step, so that none begins bare.
        for knobs in settings:
            wanted = replicas_for(scene.ended / knobs["utilisation"], scene.per_replica)
            kept = held(scene, wanted, knobs["hold_s"])[scene.first - 1 :]
            yield np.maximum(kept, of[knobs["floor"]]) if knobs["floor"] > 0 else kept

    return together(scene, rows(), len(settings))


def _stock(scene: Scene, settings: Sequence[Knobs]) -> Ints:
    return _reactive(scene, [{"floor": 0.0, "hold_s": 300.0, **knobs} for knobs in settings])


def _last_value(scene: Scene, settings: Sequence[Knobs]) -> Ints:
    return _reactive(
        scene,
        [{"floor": 0.0, "hold_s": knobs["hold_s"], "utilisation": 1 / knobs["margin"]} for knobs in settings],
    )


def _recent_max(scene: Scene, settings: Sequence[Knobs]) -> Ints:
    spans = {knobs["past_s"] for knobs in settings}
    highest = {
        past_s: trailing_max(scene.ended, scene.in_steps(past_s))[scene.first - 1 :] for past_s in spans
    }
    rows = (replicas_for(highest[k["past_s"]] * k["margin"], scene.per_replica) for k in settings)
    return together(scene, rows, len(settings))


_LONG_D = 56.0
_UTILISATIONS = tuple(round(0.3 + 0.05 * place, 2) for place in range(15))

STATIC = Rival(
    name="static",
    idea="a fixed fleet: the peak or a percentile of the last days, sized once a day",
    knobs=grid(
        margin=(1.5, 1.25, 1.1, 1.0, 0.9, 0.8), quantile=(1.0, 0.99, 0.95), past_d=(_LONG_D, 5.0, 1.0)
    ),
    desired=_static,
)
STOCK = Rival(
    name="stock-reactive",
    idea="KEDA and the HPA as they come: load over a utilisation target, down after five minutes",
    knobs=grid(utilisation=_UTILISATIONS),
    desired=_stock,
)
REACTIVE = Rival(
    name="tuned-reactive",
    idea="the same with the hold and a floor chosen too",
    knobs=grid(
        floor=(0.0, 0.3, 0.6, 0.85), hold_s=(60.0, 300.0, 900.0, 1800.0, 3600.0), utilisation=_UTILISATIONS
    ),
    desired=_reactive,
)
LAST_VALUE = Rival(
    name="last-value",
    idea="what is here, and a margin",
    knobs=grid(margin=(3.0, 2.5, 2.0, 1.75, 1.5, 1.35, 1.25, 1.15, 1.1, 1.05, 1.0), hold_s=(0.0, 120.0)),
    desired=_last_value,
)
RECENT_MAX = Rival(
    name="recent-max",
    idea="the highest of the last hour or so, and a margin",
    knobs=grid(
        margin=(2.5, 2.0, 1.6, 1.4, 1.25, 1.15, 1.1, 1.05, 1.0, 0.95), past_s=(600.0, 1800.0, 3600.0, 7200.0)
    ),
    desired=_recent_max,
)
