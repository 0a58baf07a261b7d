"""`predictscale events`: announce, list and remove planned events of a running service."""

import json
from typing import Annotated, Any

import typer

from predictscale.cli.remote import DEFAULT_URL, Url, Workload, get
from predictscale.cli.sending import TokenFile, send, token_of

events = typer.Typer(no_args_is_help=True, help="Planned events of a running service's workload.")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@events.command("list")
def show(workload: Workload, *, url: Url = DEFAULT_URL, as_json: AsJson = False) -> None:
    """Every planned event that decisions about a workload obey."""
    answer = get(url, workload, "events")
    if as_json:
        _print_json(answer)
        return
    from rich.console import Console  # noqa: PLC0415 - only this command draws
    from rich.markup import escape  # noqa: PLC0415 - the same
    from rich.table import Table  # noqa: PLC0415 - the same

    zone = answer["time_zone"] or "unknown, nobody follows it"
    table = Table(title=f"{workload}: planned events, time zone {zone}", title_justify="left")
    for column in ("id", "name", "from", "to", "brings", "repeats", "next", "added by"):
        table.add_column(column, overflow="fold")
    for event in answer["events"]:
        table.add_row(
            event["id"] or "(settings)",
            escape(event["name"]),
            event["start"],
            event["end"],
            _brings(event),
            event["repeat"],
            event["next_start"] or "-",
            escape(event["added_by"] or "-"),
        )
    console = Console()
    console.print(table)
    if answer["note"]:
        console.print(f"note: {answer['note']}", highlight=False, markup=False)


@events.command()
def add(
    workload: Workload,
    *,
    name: Annotated[str, typer.Option(help="As messages and forecasts call it.")],
    start: Annotated[str, typer.Option(help="When it begins: 2026-11-27T08:00 by the workload's clock.")],
    end: Annotated[str, typer.Option(help="When it ends; both with an offset from UTC, or both without.")],
    multiplier: Annotated[
        float | None, typer.Option(help="How many times the usual demand comes; or --demand.")
    ] = None,
    demand: Annotated[
        float | None, typer.Option(help="The least demand per second while it lasts; or --multiplier.")
    ] = None,
    repeat: Annotated[str, typer.Option(help="none, daily, weekly or yearly.")] = "none",
    token_file: TokenFile = None,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """Announce a planned event; decisions obey it from their next tick."""
    event = {"name": name, "start": start, "end": end, "repeat": repeat}
    sizes = {"multiplier": multiplier, "demand": demand}
    body = event | {key: value for key, value in sizes.items() if value is not None}
    answer = send("POST", url, workload, "events", token=token_of(token_file), body=body)
    if as_json:
        _print_json(answer)
        return
    kept = answer["event"]
    coming = f"next at {kept['next_start']}" if kept["next_start"] else "over already"
    typer.echo(f"{kept['id']}  {kept['name']}: {_brings(kept)}, {coming}")
    if answer["note"]:
        typer.echo(f"note: {answer['note']}")


@events.command()
def remove(
    workload: Workload,
    event: Annotated[str, typer.Argument(help="Its id, as `events list` shows it.")],
    token_file: TokenFile = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Forget an announced event; one that has been becomes usual, and is learnt from."""
    from urllib.parse import quote  # noqa: PLC0415 - only this command needs it

    send("DELETE", url, workload, f"events/{quote(event, safe='')}", token=token_of(token_file))
    typer.echo(f"{event} removed")


def _brings(event: dict[str, Any]) -> str:
    if event["multiplier"] is not None:
        return f"{event['multiplier']:g} times the usual"
    return f"{event['demand']:g}/s at least"


def _print_json(answer: Any) -> None:
    typer.echo(json.dumps(answer, indent=2))
