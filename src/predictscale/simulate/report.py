"""Pictures of the closed loop: frontiers of families, and what a fleet did through a stretch of time.

For looking at; numbers come from `scoring`. Draws on axes that it is handed, so that commands
and benchmarks lay them out as they like, and imports no plotting library itself. Refuses to
smooth: a shortage of one step is drawn.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np

from predictscale.core.series import Floats
from predictscale.simulate.rivals import Ints
from predictscale.simulate.scoring import hull
from predictscale.simulate.world import Run

Curve = tuple[Floats, Floats]
"""Shares late and costs relative to clairvoyant of a family's settings, shape (k,) each."""

_LEAST_DRAWN = 1e-4
_MOST_DRAWN = 0.1
_COLOURS = 10
"""As many as matplotlib tells apart by itself; further families are dashed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timeline:
    """One policy through time, in replicas so that all can be compared.

    Args:
        run: What became of it, one policy.
        load: Demand over what a replica serves, shape (n,).
        needed: Replicas that serve it, shape (n,).
        band: Lower and upper forecast of the peak within the lead time, in replicas, shape (2, n); NaN
            where there was none. None if the policy does not forecast.
    """

    run: Run
    load: Floats
    needed: Ints
    band: Floats | None = None


def draw_frontiers(
    axes: Any,
    curves: Mapping[str, Curve],
    *,
    bold: Sequence[str] = (),
    operated: Mapping[str, Curve] | None = None,
) -> None:
    """Cost over the share late, one line for each family; crosses are what honest operation achieved.

    Args:
        axes: Of matplotlib.
        curves: By family.
        bold: Families that the picture is about.
        operated: Achieved shares and costs by family, one element for each asked violation.
    """
    for place, (name, (late, cost)) in enumerate(curves.items()):
        at, price = hull(late, cost)
        # Mixtures of two settings lie on straight lines over the share, which a log axis bends.
        fine = np.geomspace(max(at[0], _LEAST_DRAWN), max(at[-1], _LEAST_DRAWN), 200)
        wide = name in bold
        (line,) = axes.plot(
            fine,
            np.interp(fine, at, price),
            label=name,
            linestyle="-" if place < _COLOURS else "--",
            linewidth=2.4 if wide else 0.9,
            zorder=3 if wide else 2,
        )
        if operated is not None and name in operated:
            shares, costs = operated[name]
            axes.plot(np.maximum(shares, _LEAST_DRAWN), costs, "x", color=line.get_color(), zorder=4)
    axes.set_xscale("log")
    axes.set_xlim(_MOST_DRAWN, _LEAST_DRAWN)
    axes.set_xlabel("share of demand late")
    axes.set_ylabel("cost / clairvoyant")


def draw_timeline(axes: Any, line: Timeline) -> None:
    """Demand, the band, the fleet with its pending part, and where work was late."""
    run = line.run
    stamps = [run.start + timedelta(seconds=step * run.step_s) for step in range(run.arrived.size)]
    if line.band is not None:
        axes.fill_between(
            stamps, line.band[0], line.band[1], alpha=0.25, color="tab:blue", label="forecast peak"
        )
    axes.fill_between(
        stamps,
        run.ready[0],
        run.held[0],
        step="post",
        alpha=0.5,
        color="tab:orange",
        label="pending",
        linewidth=0,
    )
    axes.step(stamps, run.ready[0], where="post", color="tab:green", linewidth=1.0, label="ready")
    axes.plot(stamps, line.load, color="black", linewidth=0.7, label="demand")
    short = np.maximum(line.needed - run.ready[0], 0)
    axes.fill_between(
        stamps, run.ready[0], run.ready[0] + short, step="post", color="tab:red", label="short", linewidth=0
    )
    axes.set_ylabel("replicas")
    axes.set_ylim(0, 1.15 * max(float(run.held.max()), float(np.nanmax(line.load, initial=1.0))))
    axes.set_xlim(stamps[0], stamps[-1])


def worst_stretch(run: Run, *, duration_s: float) -> slice:
    """The steps of that length in which most work was late; of equals the first."""
    width = min(run.arrived.size, max(1, round(duration_s / run.step_s)))
    until = np.concatenate([[0.0], np.cumsum(run.late[0])])
    first = int((until[width:] - until[:-width]).argmax())
    return slice(first, first + width)
