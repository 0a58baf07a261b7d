"""Pictures of one case: every family's settings in the plane of time short and cost, and the worst day."""

from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.spot.cases import STEP_S, Case
from benchmarks.spot.families import GOAL_COST, GOAL_SHORT, OURS, Entry, lived

_DAY_STEPS = round(86_400 / STEP_S)
_LEAST_SHORT = 1e-4


def draw(case: Case, report: dict[str, Any], picked: dict[str, Entry], *, out: Path) -> list[Path]:
    """Both pictures."""
    import matplotlib as mpl  # noqa: PLC0415 - an optional extra

    mpl.use("Agg")
    from matplotlib import pyplot as plt  # noqa: PLC0415 - the same

    out.mkdir(parents=True, exist_ok=True)
    stem = case.name.replace(", ", "-").replace(" ", "-")
    files = [out / f"{stem}-frontier.png", out / f"{stem}-worst-day.png"]
    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    for name, family in report["families"].items():
        points = family["points"]
        short = [max(_LEAST_SHORT, point["time_short"]) for point in points]
        (marks,) = axes.plot(short, [point["cost"] for point in points], "o", label=name, alpha=0.7)
        one = family["chosen"]
        axes.plot(
            max(_LEAST_SHORT, one["time_short"]), one["cost"], "X", markersize=13, color=marks.get_color()
        )
    axes.axhline(report["clairvoyant_cost"], color="black", linestyle=":", label="clairvoyant, never short")
    axes.fill_between([_LEAST_SHORT, GOAL_SHORT], 0, GOAL_COST, color="green", alpha=0.08, label="goal")
    axes.set(
        xscale="log",
        xlabel="share of time with too few replicas",
        ylabel="cost / all on demand",
        ylim=(0, 1.4),
    )
    axes.set_title(f"{case.name}: all settings; crosses: chosen on other traces")
    axes.legend(fontsize="small")
    figure.savefig(files[0], dpi=90)
    plt.close(figure)
    run = lived(case, picked[OURS])
    bad = np.convolve(run.short > 0, np.ones(min(_DAY_STEPS, run.short.size)), mode="valid")
    first = int(bad.argmax())
    part = slice(first, first + _DAY_STEPS)
    hours = np.arange(run.need[part].size) * STEP_S / 3600
    figure, axes = plt.subplots(figsize=(14, 4), layout="constrained")
    axes.stackplot(
        hours, run.on_demand[part], run.spot[part], labels=["on demand", "spot"], step="post", alpha=0.6
    )
    axes.step(hours, run.need[part], "k", where="post", label="need")
    axes.set(xlabel="hours", ylabel="replicas that serve")
    axes.set_title(f"{case.name}: the day on which ours was short longest, {bad.max() * STEP_S / 60:.0f} min")
    axes.legend(loc="upper left", ncols=3, fontsize="small")
    figure.savefig(files[1], dpi=90)
    plt.close(figure)
    return files
