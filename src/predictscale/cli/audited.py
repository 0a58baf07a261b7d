"""How an audit is told: one document, which is the JSON, the table and the page.

Ranked by what ours would have saved against plain reactive scaling; those that could not be replayed come
last. Refuses to round what a program will read.
"""

from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from predictscale import __version__
from predictscale.cli.auditjob import Asked
from predictscale.cli.auditread import Reading
from predictscale.cli.auditrun import Found
from predictscale.cli.told import instant
from predictscale.core.kinds import Kind
from predictscale.simulate.audit import AS_IT_WAS, LEAST_DAYS, OURS

RANKED_BY: Final = "stock-reactive"
"""Workloads are ranked by savings against this policy."""
STYLES: Final = {
    Kind.ALWAYS_ON: "cyan",
    Kind.SCHEDULED: "green",
    Kind.EVENT_DRIVEN: "yellow",
    Kind.UNPREDICTABLE: "magenta",
    Kind.UNKNOWN: "dim",
}


def document(found: Found, reading: Reading, asked: Asked) -> dict[str, Any]:
    """All that was found, ranked."""
    since, until = reading.span
    return {
        "version": __version__,
        "at": instant(reading.at),
        "from": instant(since),
        "until": instant(until),
        "days": reading.days,
        "step_s": reading.step_s,
        "asked": {
            "max_violation": asked.slo.max_violation,
            "wait_s": asked.slo.wait_s,
            "replay_days": asked.replay_days,
        },
        "price_per_hour": asked.price_per_hour,
        "currency": asked.currency,
        "workloads": sorted(found.workloads, key=_rank),
        "failed": sorted(found.failed, key=lambda each: each["workload"]),
        "left_out": list(found.left_out),
        "unfinished": sorted(found.unfinished),
    }


def saving(workload: dict[str, Any], versus: str) -> dict[str, Any] | None:
    """What was saved against one policy; None if that is not known."""
    return next((one for one in workload["replay"].get("savings", ()) if one["versus"] == versus), None)


def policy(workload: dict[str, Any], name: str) -> dict[str, Any] | None:
    """What came of one policy; None if it was not replayed."""
    return next((one for one in workload["replay"].get("policies", ()) if one["policy"] == name), None)


def is_guessed(workload: dict[str, Any]) -> bool:
    """Whether its replay stands on a capacity that nobody gave."""
    return bool(workload.get("capacity", {}).get("source") == "estimated")


def _rank(workload: dict[str, Any]) -> tuple[bool, float, str]:
    found = saving(workload, RANKED_BY)
    return (
        found is None,
        0.0 if found is None else -found["per_30_days"]["replica_hours"],
        workload["workload"],
    )


def show(told: dict[str, Any]) -> None:
    """The document for people; each of its tables fits a narrow terminal."""
    console, asked = Console(), told["asked"]
    if told["workloads"]:
        console.print(_kinds(told), _savings(told), sep="\n")
        few = f"; without, fewer than {LEAST_DAYS} whole days were replayed" if _unsure(told) else ""
        console.print(
            "Skill: of the forecast at the lead time over the last value. Late: waits beyond "
            f"{asked['wait_s']:g} s under predictscale; {asked['max_violation']:.2%} may be. Below savings: "
            f"from the 10th to the 90th percentile, had other days come{few}; and what was late "
            "under the other.",
            highlight=False,
        )
    if guessed := [each["workload"] for each in told["workloads"] if is_guessed(each)]:
        _line(
            console,
            "What a replica serves is an estimate, and replica-hours with it, until --capacity tells, for "
            f"{', '.join(guessed)}.",
        )
    for workload in told["workloads"]:
        if why := workload["replay"].get("why_not"):
            _line(console, f"{workload['workload']}: not replayed: {why}")
    for failed in told["failed"]:
        _line(console, f"{failed['workload']}: failed: {failed['because']}")
    for name in told["unfinished"]:
        _line(console, f"{name}: not done")


def _kinds(told: dict[str, Any]) -> Table:
    days = told["asked"]["replay_days"]
    part = "35 % of each history" if days is None else f"{days:g} days"
    title = f"Workloads, read from {told['from']} to {told['until']}, the last {part} replayed"
    table = Table(title=title, title_justify="left")
    table.add_column("workload", overflow="fold")
    table.add_column("kind", no_wrap=True)
    for heading in ("sure", "skill", "late"):
        table.add_column(heading, justify="right", no_wrap=True)
    for workload in told["workloads"]:
        kind, skill = workload["kind"], workload["forecast"].get("skill")
        ours = policy(workload, OURS)
        table.add_row(
            Text(workload["workload"]),
            Text(kind["kind"], style=STYLES[Kind(kind["kind"])]),
            f"{kind['confidence']:.0%}",
            "–" if skill is None else f"{skill:.0%}",
            "–" if ours is None else f"{ours['violation']:.2%}",
        )
    return table


def _savings(told: dict[str, Any]) -> Table:
    table = Table(title="Replica-hours that predictscale saves in 30 days against", title_justify="left")
    table.add_column("workload", overflow="fold")
    for heading in ("plain HPA", "static fleet", "today's fleet"):
        table.add_column(heading, justify="right", no_wrap=True)
    for workload in told["workloads"]:
        cells = (_saved(workload, versus) for versus in (RANKED_BY, "static", AS_IT_WAS))
        table.add_row(Text(workload["workload"]), *cells)
    return table


def _unsure(told: dict[str, Any]) -> bool:
    """Whether a saving has no range."""
    return any(one["low"] is None for each in told["workloads"] for one in each["replay"].get("savings", ()))


def _line(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False)


def _saved(workload: dict[str, Any], versus: str) -> Text:
    """What was saved against one policy, and how much of demand was late under that one."""
    found, other = saving(workload, versus), policy(workload, versus)
    if found is None:
        return Text("–")
    month, money = found["per_30_days"], found["money_per_30_days"]
    # No minus before a zero.
    lines = [f"{round(month['replica_hours']) + 0:,} ({round(found['share'], 2) + 0.0:.0%})"]
    if month["low"] is not None:
        lines.append(f"{month['low']:,.0f} to {month['high']:,.0f}")
    if money is not None:
        lines.append(f"{money['replica_hours']:,.0f} {found['currency']}".rstrip())
    if other is not None:
        lines.append(f"{other['violation']:.2%} late")
    return Text("\n".join(lines))
