"""Pictures of one trace at one cold start: all frontiers, and half a day of our own fleet.

The half day is the one in which our fleet was latest: the rest looks better.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.closed_loop.families import OURS, UNIONS
from benchmarks.closed_loop.field import Field, honest, operated

from predictscale.core.series import Floats
from predictscale.simulate.honest import Rule
from predictscale.simulate.report import Timeline, draw_frontiers, draw_timeline, worst_stretch
from predictscale.simulate.scoring import tail
from predictscale.simulate.world import Run

_DRAWN_S = 43_200.0


def draw(field: Field, report: dict[str, Any], rule: Rule, *, out: Path) -> list[Path]:
    """Both pictures; of the timeline only where our own policy took part."""
    import matplotlib as mpl  # noqa: PLC0415 - an optional extra

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - the same

    out.mkdir(parents=True, exist_ok=True)
    title = f"{report['trace']}, cold start {report['lead_time_s']:g} s"
    if report["synthetic"]:
        title += " (synthetic)"
    stem = f"{report['trace']}-{report['lead_time_s']:g}"
    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    draw_frontiers(
        axes,
        {name: field.curve(name) for name in field.rows},
        bold=[OURS],
        operated={name: _achieved(report, name) for name in field.rows},
    )
    axes.set_ylim(0.95, _highest(report))
    axes.axhline(1.0, color="black", linewidth=0.8, linestyle=":")
    axes.set_title(f"{title}: frontiers in hindsight; crosses: chosen hourly from the past")
    axes.legend(fontsize="small", ncols=2)
    files = [out / f"{stem}-frontier.png"]
    figure.savefig(files[0], dpi=90)
    plt.close(figure)
    if OURS in field.rows:
        files.append(out / f"{stem}-timeline.png")
        figure, axes = plt.subplots(figsize=(14, 5), layout="constrained")
        line = _timeline(field, rule)
        draw_timeline(axes, line)
        late = float(line.run.violation[0])
        axes.set_title(
            f"{title}: the latest half day of our policy, asked for {rule.asked:.1%}, {late:.2%} late in it"
        )
        axes.legend(loc="upper left", ncols=5, fontsize="small")
        figure.savefig(files[1], dpi=90)
        plt.close(figure)
    return files


def _achieved(report: dict[str, Any], name: str) -> tuple[Floats, Floats]:
    rows = list(report["families"][name]["honest"].values())
    return np.array([row["violation"] for row in rows]), np.array([row["cost"] for row in rows])


def _highest(report: dict[str, Any]) -> float:
    costs = [
        cost
        for family in report["families"].values()
        for cost in family["hindsight"]["cost"].values()
        if cost is not None
    ]
    return 1.1 * float(np.median(costs)) + 0.6


def _timeline(field: Field, rule: Rule) -> Timeline:
    members = [member for member in UNIONS[OURS] if member in field.rows]
    plan, _, _ = honest(field, members, rule)
    _, run = operated(field, {OURS: plan})
    part = worst_stretch(run, duration_s=_DRAWN_S)
    steps = slice(field.record + part.start, field.record + part.stop)
    cut = _until(tail(run, part.start), part.stop - part.start)
    load = field.world.demand.values[steps] / field.case.per_replica
    return Timeline(run=cut, load=load, needed=field.needed[steps], band=_band(field, steps))


def _band(field: Field, steps: slice) -> Floats:
    """From the lowest to the highest level without a margin, held as briefly as they are."""
    own = field.rows[OURS]
    rows = [place for place in range(own.start, own.stop) if "margin=1 " in field.labels[place]]
    low, high = (field.wanted[rows][:, steps].min(axis=0), field.wanted[rows][:, steps].max(axis=0))
    return np.array([low, high], dtype=np.float64)


def _until(run: Run, steps: int) -> Run:
    names = ("desired", "spec", "held", "ready", "scored", "arrived", "late", "lost", "queue")
    return replace(run, **{name: getattr(run, name)[..., :steps] for name in names})
