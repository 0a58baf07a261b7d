"""How `backtest` tells its results: JSON, rows of CSV, a table.

Refuses to round what a program will read.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from predictscale.cli.figures import TO_PEAK, TO_PEAK_SAID
from predictscale.cli.told import instant
from predictscale.simulate.audit import OURS, violation_of
from predictscale.simulate.backtest import STEP_S, Trial
from predictscale.simulate.plant import Counts
from predictscale.simulate.relive import Past, Relived


def report_of(trial: Trial, past: Past, plans: Mapping[str, Counts], ours: Relived | None) -> dict[str, Any]:
    """What came of the plans, in the words of the command's help.

    Args:
        trial: What all lived through.
        past: Our workload.
        plans: What each policy asked for, by its name, shape (n,).
        ours: How our policy came to its plan, if it is among them.
    """
    rows = []
    for score in trial.scores(plans):
        row: dict[str, Any] = {
            "policy": score.policy,
            "violation": score.violation,
            "replica_hours": score.replica_hours,
            "cost_to_clairvoyant": score.to_clairvoyant,
            "cost_to_static": score.to_static,
            "scale_events": score.scale_events,
        }
        if ours is not None and score.policy == OURS:
            row |= {"settings": ours.settings, "coverage": _coverage(ours)}
        rows.append(row)
    return {
        "from": instant(trial.start),
        "until": instant(trial.demand.end),
        "steps": trial.steps,
        "step_s": STEP_S,
        "actuation": trial.actuation.value,
        "asked": {"max_violation": violation_of(past), "wait_s": trial.wait_s},
        "capacity_per_replica": trial.per_replica,
        "lead_time_s": trial.lead_time_s,
        "min_replicas": trial.min_replicas,
        "max_replicas": trial.max_replicas,
        "policies": rows,
    }


def _coverage(ours: Relived) -> dict[str, Any] | None:
    outcome = ours.outcome
    if outcome is None:
        return None
    return {
        "lead_s": outcome.lead_s,
        "levels": list(outcome.levels),
        "coverage": list(outcome.coverage),
        "pinball": list(outcome.pinball),
        "scored": outcome.scored,
    }


def write_decisions(file: Path, trial: Trial, desired: Counts) -> None:
    """One row for each scored step."""
    with file.open("w", encoding="utf-8", newline="") as out:
        out.write("timestamp,desired\n")
        for place, replicas in enumerate(desired.tolist()):
            out.write(f"{instant(trial.start + timedelta(seconds=place * STEP_S))},{replicas}\n")


def show(report: dict[str, Any]) -> None:
    """A report for people."""
    asked = report["asked"]
    table = Table(
        title=f"{report['record']}, {report['from']} to {report['until']}, {report['actuation']}. "
        f"Late: waits beyond {asked['wait_s']:g} s; {asked['max_violation']:.2%} may be. {TO_PEAK_SAID}",
        title_justify="left",
    )
    table.add_column("policy", no_wrap=True)
    for heading in ("late", "replica-hours", "to clairvoyant", TO_PEAK, "changes"):
        table.add_column(heading, justify="right")
    for row in report["policies"]:
        table.add_row(
            row["policy"],
            f"{row['violation']:.3%}",
            f"{row['replica_hours']:,.1f}",
            f"{row['cost_to_clairvoyant']:.3f}",
            f"{row['cost_to_static']:.3f}",
            f"{row['scale_events']:,}",
        )
    console = Console()
    console.print(table)
    for row in report["policies"]:
        if coverage := row.get("coverage"):
            shares = zip(coverage["levels"], coverage["coverage"], strict=True)
            told = ", ".join(f"{level:g}: {share:.3f}" for level, share in shares)
            console.print(f"Peaks within {coverage['lead_s']:g} s at or below each quantile: {told}.")
