"""`predictscale events`: announce, list and remove planned events of a running service.

Tokens come from a file or the environment and from nowhere else: a command line is seen by all who
share a machine.
"""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from predictscale.cli.remote import DEFAULT_URL, Url, Workload, get

if TYPE_CHECKING:
    from httpx2 import Response

events = typer.Typer(no_args_is_help=True, help="Planned events of a running service's workload.")

TokenFile = Annotated[
    Path | None,
    typer.Option(
        help="A file that holds a bearer token; without it PREDICTSCALE_TOKEN is the token.",
        envvar="PREDICTSCALE_TOKEN_FILE",
    ),
]
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
    answer = _send("POST", url, workload, "events", token=_token(token_file), body=body)
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

    _send("DELETE", url, workload, f"events/{quote(event, safe='')}", token=_token(token_file))
    typer.echo(f"{event} removed")


def _brings(event: dict[str, Any]) -> str:
    if event["multiplier"] is not None:
        return f"{event['multiplier']:g} times the usual"
    return f"{event['demand']:g}/s at least"


def _token(file: Path | None) -> str:
    """The token to show; ends the command if there is none that can be sent.

    A file of several, as the service reads it, has its first one taken.
    """
    text, where = os.environ.get("PREDICTSCALE_TOKEN", ""), "PREDICTSCALE_TOKEN"
    if file is not None:
        where = f"--token-file: {file}"
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            because = error.strerror if isinstance(error, OSError) else "it is not text"
            _fail(f"{where}: cannot be read: {because}")
    lines = (line.split() for line in text.splitlines())
    words = next((line for line in lines if line and not line[0].startswith("#")), None)
    if words is None:
        _fail("--token-file: is missing; give it, or set PREDICTSCALE_TOKEN_FILE or PREDICTSCALE_TOKEN")
    if len(words) > 2 or not (words[-1].isascii() and words[-1].isprintable()):
        _fail(f"{where}: holds no token; must be one word of visible ASCII, perhaps after a name")
    return words[-1]


def _send(
    method: str, url: str, workload: str, what: str, *, token: str, body: dict[str, Any] | None = None
) -> Any:
    """What the service answers to a change; ends the command if it refuses or does not answer."""
    import httpx2  # noqa: PLC0415 - half of the command line's start-up time

    namespace, slash, name = workload.partition("/")
    if not (namespace and slash and name):
        raise typer.BadParameter(f"{workload}: must be NAMESPACE/NAME")
    try:
        answer = httpx2.request(
            method,
            f"{url.rstrip('/')}/api/v1/workloads/{namespace}/{name}/{what}",
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
            # What is no number in JSON is the service's to refuse, with its reason.
            content=None if body is None else json.dumps(body),
            timeout=10,
        )
    except httpx2.HTTPError as failed:
        _fail(f"{url}: no answer ({failed}); is the service running, and is --url its REST address?")
    if answer.is_success:
        try:
            return answer.json() if answer.content else None
        except ValueError:
            # Whoever answered, a login page or a proxy, is not the service.
            _fail(f"{url}: {_told(answer)}")
    return _fail(f"{url}: {_told(answer)}")


def _told(answer: "Response") -> str:
    """What a refusal says."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, LookupError, TypeError):
        return f"status {answer.status_code}; is --url the service's REST address?"


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(1)


def _print_json(answer: Any) -> None:
    typer.echo(json.dumps(answer, indent=2))
