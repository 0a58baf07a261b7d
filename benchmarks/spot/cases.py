"""The spot traces: which are for choosing, which for scoring, and the worlds they make.

Fixed before any policy was run: of the zones that were probed on one clock (`spot_avail_*`) the
first three by name are for choosing, the others are scored, and so is every trace of nodes that
were held (`spot_preempt*`) or probed by sixteen (`spot_avail16_*`). Zones of one kind share a
clock and are one case. `composed` puts the 4-node and the 16-node zones side by side from
their beginnings: their dates differ, so that they are as independent as regions never are.

A probe of one node says that a zone gives any or none, so such a zone is taken to
hold as many as are asked and to lose them all at once: the hardest reading. The need is
half of what the smallest zone holds, times the zones; six where that is not known.
Refuses to repeat a trace, and to fill its gaps with zeros.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from predictscale.simulate import spot
from predictscale.simulate.plant import Ints
from predictscale.simulate.pools import PoolWorld
from predictscale.sources.files import load_csv

STEP_S = 60.0
LEAD_S = 300.0
NEED = 6
QUICK_DAYS = 4.0
_CHOOSING_ZONES = 3
_DAY_S = 86_400.0
_MANY = 1_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """One world that policies live through.

    Args:
        name: What it is called in tables.
        traces: The files that it is made of, or seeds.
        world: With the cold start on both kinds of nodes, and no notice.
        need: Replicas that must serve, always.
        choosing: Whether knobs are chosen on it; else it is scored.
        synthetic: Whether nobody ever saw it.
    """

    name: str
    traces: tuple[str, ...]
    world: PoolWorld
    need: int
    choosing: bool
    synthetic: bool = False

    @property
    def days(self) -> float:
        """Its length [d]."""
        return float(self.world.need.size * STEP_S / _DAY_S)

    def noticed(self, notice_s: float) -> "Case":
        """The same with losses announced."""
        return replace(self, world=replace(self.world, notice_s=notice_s))

    def prompt(self) -> "Case":
        """The same with spot that serves at once when it is back, as older studies have it."""
        return replace(self, world=replace(self.world, spot_lead_s=0.0))


def load(folder: Path | None, *, quick: bool) -> list[Case]:
    """All cases of a folder, those for choosing first; synthetic ones without a folder or without traces."""
    kinds = {} if folder is None else _kinds(folder)
    if folder is None or not kinds:
        return [_synthetic(choosing=choosing, quick=quick) for choosing in (True, False)]
    found = [
        _case(name, folder, traces, choosing=choosing, quick=quick)
        for name, traces, choosing in _sets(kinds)
        if traces
    ]
    return sorted(found, key=lambda case: not case.choosing)


def _sets(kinds: dict[str, list[str]]) -> list[tuple[str, list[str], bool]]:
    probed = kinds.get("avail", [])
    four, sixteen = kinds.get("preempt4", []), kinds.get("avail16", [])
    return [
        ("probed, first zones", probed[:_CHOOSING_ZONES], True),
        ("probed, other zones", probed[_CHOOSING_ZONES:], False),
        ("4 nodes held", four, False),
        ("16 nodes probed", sixteen, False),
        ("1 node held", kinds.get("preempt1", []), False),
        ("composed", [*four, *sixteen] if four and sixteen else [], False),
    ]


def _kinds(folder: Path) -> dict[str, list[str]]:
    """Names of spot traces by kind, in the order of their names."""
    kinds: dict[str, list[str]] = {}
    for file in sorted(folder.glob("spot_*.csv")):
        kinds.setdefault(file.stem.split("_")[1], []).append(file.stem)
    return kinds


def _case(name: str, folder: Path, traces: Sequence[str], *, choosing: bool, quick: bool) -> Case:
    windows = {trace: load_csv(folder / f"{trace}.csv") for trace in traces}
    length_s = min(window.duration_s for window in windows.values())
    if quick:
        length_s = min(length_s, QUICK_DAYS * _DAY_S)
    steps = int(length_s // STEP_S)
    rooms = {
        trace.split("_", 1)[1]: spot.nodes_of(window, steps=steps, step_s=STEP_S)
        for trace, window in windows.items()
    }
    return _world(name, tuple(traces), rooms, choosing=choosing, synthetic=False)


def _world(
    name: str, traces: tuple[str, ...], rooms: dict[str, Ints], *, choosing: bool, synthetic: bool
) -> Case:
    most = min(int(room.max()) for room in rooms.values())
    # A probe of a single node says nothing of how many there are.
    need = NEED if most == 1 else max(1, len(rooms) * most // 2)
    sized = {zone: room * (_MANY if room.max() == 1 else 1) for zone, room in rooms.items()}
    steps = next(iter(rooms.values())).size
    world = PoolWorld(
        room=sized,
        need=np.full(steps, need, dtype=np.int64),
        step_s=STEP_S,
        spot_lead_s=LEAD_S,
        on_demand_lead_s=LEAD_S,
    )
    return Case(name=name, traces=traces, world=world, need=need, choosing=choosing, synthetic=synthetic)


def _synthetic(*, choosing: bool, quick: bool) -> Case:
    """Three made-up zones of four nodes; other seeds for choosing than for scoring."""
    steps = round((QUICK_DAYS if quick else 30.0) * _DAY_S / STEP_S)
    seeds = range(3) if choosing else range(10, 13)
    rooms = {
        f"zone-{seed}": spot.outages(nodes=4, steps=steps, step_s=STEP_S, calm_s=4 * 3600.0, seed=seed)
        for seed in seeds
    }
    name = f"synthetic, {'to choose on' if choosing else 'scored'}"
    return _world(name, tuple(f"seed {seed}" for seed in seeds), rooms, choosing=choosing, synthetic=True)
