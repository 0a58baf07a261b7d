"""Commands that ask a running service over REST, and print its answer as a table."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

Workload = Annotated[str, typer.Argument(help="NAMESPACE/NAME of the workload.")]
Url = Annotated[
    str, typer.Option(help="The service's REST address.", envvar="PREDICTSCALE_URL", show_default=True)
]
DEFAULT_URL = "http://127.0.0.1:8080"
_SHOWN = (0.5, 0.9, 0.95, 0.99)


def plan(workload: Workload, url: Url = DEFAULT_URL) -> None:
    """Why this many: the steps of a workload's newest decision."""
    from rich.console import Console  # noqa: PLC0415 - only this command draws

    decision = get(url, workload, "decision")
    console = Console()
    shadow = decision["mode"] == "shadow"
    title = f"{workload}, decided {_clock(decision['decided_at'])}"
    console.print(_staircase(f"{title} (only recorded: shadow mode)" if shadow else title, decision["steps"]))
    if shadow:
        console.print(_staircase("without a forecast, which is published", decision["reactive_steps"]))
    told = (
        f"{decision['published_replicas']} ({'active' if decision['active'] else 'inactive'})"
        if decision["available"]
        else "UNAVAILABLE"
    )
    console.print(
        f"{decision['health']}: KEDA is told {told}, mode {decision['mode']}; "
        f"without a forecast it would be {decision['reactive_replicas']}; "
        f"replicas {_or_unknown(decision['current_replicas'])}, "
        f"ready {_or_unknown(decision['ready_replicas'])}.",
        highlight=False,
    )
    for note in decision["notes"]:
        console.print(f"note: {note}", highlight=False, markup=False)


def _staircase(title: str, steps: list[dict[str, Any]]) -> "Table":
    from rich.markup import escape  # noqa: PLC0415 - only `plan` draws it
    from rich.table import Table  # noqa: PLC0415 - the same

    table = Table(title=title, title_justify="left")
    table.add_column("stage", no_wrap=True)
    table.add_column("after it", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("because", overflow="fold")
    for step in steps:
        table.add_row(step["stage"], f"{step['value']:,.6g}", step["unit"], escape(step["because"]))
    return table


def forecast(workload: Workload, url: Url = DEFAULT_URL) -> None:
    """What is about to arrive: quantiles of the newest forecast, and what its median is made of."""
    from rich.console import Console  # noqa: PLC0415 - only this command draws
    from rich.markup import escape  # noqa: PLC0415 - the same
    from rich.table import Table  # noqa: PLC0415 - the same

    answer = get(url, workload, "forecast")
    levels = [level for level in answer["levels"] if level in _SHOWN]
    table = Table(
        title=escape(f"{workload}: {answer['model']}, from {_clock(answer['origin'])}, in {answer['unit']}"),
        title_justify="left",
    )
    table.add_column("from")
    for level in levels:
        table.add_column(f"level {level:g}", justify="right")
    for j, start in enumerate(answer["starts"]):
        values = (answer["values"][answer["levels"].index(level)][j] for level in levels)
        table.add_row(_clock(start), *(f"{value:,.4g}" for value in values))
    console = Console()
    console.print(table)
    if answer["components"] is not None:
        console.print(_parts(answer["starts"], answer["components"]))


def _parts(starts: list[str], components: dict[str, list[float]]) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - only `forecast` draws it

    table = Table(title="What the median is made of; the parts add up to it.", title_justify="left")
    table.add_column("from", no_wrap=True)
    for name in components:
        table.add_column(name, justify="right", no_wrap=True)
    for start, *parts in zip(starts, *components.values(), strict=True):
        table.add_row(_clock(start), *(f"{part:,.4g}" for part in parts))
    return table


def get(url: str, workload: str, what: str) -> Any:
    """What the service answers about a workload; ends the command if it does not."""
    import httpx2  # noqa: PLC0415 - half of the command line's start-up time

    namespace, slash, name = workload.partition("/")
    if not (namespace and slash and name):
        raise typer.BadParameter(f"{workload}: must be NAMESPACE/NAME")
    try:
        answer = httpx2.get(f"{url.rstrip('/')}/api/v1/workloads/{namespace}/{name}/{what}", timeout=10)
    except httpx2.HTTPError as failed:
        typer.echo(
            f"{url}: no answer ({failed}); is the service running, and is --url its REST address?", err=True
        )
        raise typer.Exit(1) from failed
    try:
        body = answer.json()
    except ValueError:
        # Whoever answered, a login page or a proxy, is not the service.
        typer.echo(
            f"{url}: {answer.status_code}, and no JSON; is --url the service's REST address?", err=True
        )
        raise typer.Exit(1) from None
    if answer.status_code != 200:
        typer.echo(f"{url}: {body.get('detail', answer.status_code)}", err=True)
        raise typer.Exit(1)
    return body


def _clock(instant: str) -> str:
    return f"{datetime.fromisoformat(instant):%a %d %b %H:%M:%S} UTC"


def _or_unknown(count: int | None) -> str:
    return "unknown" if count is None else str(count)
