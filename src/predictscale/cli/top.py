"""The fleet of a running service in a terminal, renewed as it decides.

Refuses to show old numbers as new ones: where the service does not answer, the last are shown with that.
"""

import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from predictscale.cli.figures import figure
from predictscale.cli.remote import DEFAULT_URL, Url, ask
from predictscale.config.durations import duration_s, duration_text
from predictscale.errors import HoldTarget

if TYPE_CHECKING:
    from rich.console import Console, Group
    from rich.table import Table
    from rich.text import Text

_LEAST_EVERY_S = 0.5
_AROUND_ROWS = 8
"""Lines of the terminal that are not a row: the head, the table's frame, what is said below."""
_PAGE = 1000
_REFUSED_TOLD = 3
_STYLES = {
    "ok": "green",
    "reactive": "yellow",
    "demoted": "yellow",
    "budget-bound": "magenta",
    "paused": "cyan",
    "holding": "yellow",
    "stale": "red",
    "unknown": "red",
    "unavailable": "bold red",
}

Every = Annotated[str, typer.Option(help="How often to ask, such as 5s.")]
Namespace = Annotated[str | None, typer.Option(help="Only workloads of this namespace.")]
States = Annotated[
    list[str] | None, typer.Option("--state", help="Only those in this state; may come again.")
]
Sort = Annotated[
    str, typer.Option(help="name, state, target, ready, demand, saved or age; a minus turns it round.")
]
Once = Annotated[bool, typer.Option("--once", help="Print all rows once, and end.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person wants to see."""

    url: str
    namespace: str | None = None
    states: tuple[str, ...] = ()
    sort: str = "-state"

    def query(self, *, limit: int, cursor: str | None = None) -> Iterable[tuple[str, str]]:
        """The parameters of one page."""
        yield "limit", str(limit)
        yield "sort", self.sort
        if self.namespace is not None:
            yield "namespace", self.namespace
        for state in self.states:
            yield "state", state
        if cursor is not None:
            yield "cursor", cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the service answered: its summary, rows, how many there are in all, and triggers it refused."""

    fleet: dict[str, Any]
    rows: list[dict[str, Any]]
    total: int
    refused: list[dict[str, Any]] = field(default_factory=list)


def top(
    url: Url = DEFAULT_URL,
    every: Every = "5s",
    namespace: Namespace = None,
    state: States = None,
    sort: Sort = "-state",
    *,
    once: Once = False,
) -> None:
    """The whole fleet, live: states, replicas wanted and ready, demand, and what is saved. Ends on Ctrl-C."""
    from rich.console import Console  # noqa: PLC0415 - only this command draws

    asked = Asked(url=url, namespace=namespace, states=tuple(state or ()), sort=sort)
    try:
        every_s = max(_LEAST_EVERY_S, duration_s(every))
    except ValueError as wrong:
        raise typer.BadParameter(f"{every}: {wrong}", param_hint="--every") from None
    console = Console()
    try:
        first = look(asked, rows=None if once else _room(console))
    except HoldTarget as failed:
        typer.echo(str(failed), err=True)
        raise typer.Exit(1) from None
    if once:
        console.print(frame(first))
    else:
        _watch(console, asked, first, every_s=every_s)


def look(asked: Asked, *, rows: int | None) -> Seen:
    """Ask once.

    Args:
        asked: For what.
        rows: As many at most; None for all there are.

    Raises:
        HoldTarget: There is no answer.
    """
    fleet = ask(asked.url, "fleet")
    page = ask(asked.url, "workloads", asked.query(limit=min(rows or _PAGE, _PAGE)))
    found, refused = page["workloads"], page.get("refused", [])
    while rows is None and (cursor := page.get("next")) is not None:
        page = ask(asked.url, "workloads", asked.query(limit=_PAGE, cursor=cursor))
        found += page["workloads"]
    return Seen(fleet=fleet, rows=found, total=page.get("total", len(found)), refused=refused)


def frame(seen: Seen, *, lost: str | None = None) -> "Group":
    """What is drawn.

    Args:
        seen: The newest answer.
        lost: Why there is no newer one; None if there is.
    """
    from rich.console import Group  # noqa: PLC0415 - only this command draws
    from rich.text import Text  # noqa: PLC0415 - the same

    parts: list[Text | Table] = [_head(seen.fleet), _table(seen)]
    if hidden := seen.total - len(seen.rows):
        parts.append(Text(f"and {hidden} more; --once prints all", style="dim"))
    parts += [_refusal(each) for each in seen.refused[:_REFUSED_TOLD]]
    if lost is not None:
        parts.append(Text(f"{lost}\nthe numbers above are of {_time(seen.fleet['now'])}", style="bold red"))
    return Group(*parts)


def _watch(console: "Console", asked: Asked, seen: Seen, *, every_s: float) -> None:
    from rich.live import Live  # noqa: PLC0415 - only this command draws

    pause = threading.Event()
    try:
        with Live(frame(seen), console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while not pause.wait(every_s):
                lost = None
                try:
                    seen = look(asked, rows=_room(console))
                except HoldTarget as failed:
                    lost = str(failed)
                live.update(frame(seen, lost=lost), refresh=True)
    except KeyboardInterrupt:
        return


def _room(console: "Console") -> int:
    return max(1, console.height - _AROUND_ROWS)


def _head(fleet: dict[str, Any]) -> "Text":
    from rich.text import Text  # noqa: PLC0415 - only this command draws

    counts = f"{fleet['workloads']} workloads, {fleet['waiting']} waiting, {fleet['refused']} refused"
    ready = fleet.get("ready_replicas")
    replicas = f"{fleet['target_replicas']} wanted, {'unknown' if ready is None else ready} ready"
    money = [
        f"{each['amount']:,.2f} {each['currency']}/h for {_several(each['replicas'], 'replica')} "
        f"of {_several(each['workloads'], 'workload')}"
        for each in fleet.get("cost_per_hour", ())
    ]
    head = Text(
        " · ".join((f"predictscale {fleet['version']}", counts, replicas, *money, _time(fleet["now"])))
    )
    for state, count in fleet.get("states", {}).items():
        if count and state != "ok":
            head.append(f" · {count} {state}", style=_STYLES.get(state, ""))
    return head


def _table(seen: Seen) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - only this command draws

    table = Table(expand=False)
    table.add_column("workload", overflow="fold")
    for heading in ("state", "mode"):
        table.add_column(heading, no_wrap=True)
    for heading in ("wanted", "told", "ready", "demand", "peak"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("model", overflow="ellipsis", no_wrap=True)
    for heading in ("age", "saved h"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in seen.rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: dict[str, Any]) -> "Iterable[Text]":
    from rich.text import Text  # noqa: PLC0415 - only this command draws

    state, age_s = row.get("state", row["health"]), row["demand_age_s"]
    yield Text(f"{row['namespace']}/{row['workload']}")
    yield Text(state, style=_STYLES.get(state, ""))
    yield Text(row["mode"])
    yield Text(f"{row['target_replicas']}{' max' if row.get('at_ceiling') else ''}")
    yield Text(str(row["published_replicas"]) if row["available"] else "none")
    yield Text(_number(row["ready_replicas"]))
    yield Text(_number(row["demand"]))
    yield Text(_number(row.get("expected_peak")))
    yield Text(row["unit"])
    yield Text(row["model"] or "–")
    yield Text("–" if age_s is None else duration_text(round(max(0.0, age_s))))
    yield Text(_number(row.get("saved_replica_hours")))


def _several(number: float, what: str) -> str:
    return f"{figure(number)} {what}" if number == 1 else f"{figure(number)} {what}s"


def _number(value: float | None) -> str:
    return "–" if value is None else figure(value)


def _refusal(refused: dict[str, Any]) -> "Text":
    from rich.text import Text  # noqa: PLC0415 - only this command draws

    whose = f"{refused['namespace']}/{refused['scaled_object']}"
    return Text(f"refused: {whose}: {'; '.join(refused['problems'])}", style="red")


def _time(instant: str) -> str:
    return f"{datetime.fromisoformat(instant):%H:%M:%S} UTC"
