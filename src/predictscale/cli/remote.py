"""Commands that ask a running service over REST, and print its answer as a table."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from predictscale.cli.figures import figure
from predictscale.errors import AnswerUnusable, HoldTarget, SourceRefused, SourceUnavailable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

Workload = Annotated[str, typer.Argument(help="NAMESPACE/NAME of the workload.")]
Url = Annotated[
    str, typer.Option(help="The service's REST address.", envvar="PREDICTSCALE_URL", show_default=True)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, no tables.")]
DEFAULT_URL = "http://127.0.0.1:8080"
PATIENCE_S = 30.0
"""How long an answer may take [s]: milliseconds are usual, but who asks why may ask a starved node."""
_SHOWN = (0.5, 0.9, 0.95, 0.99)


def plan(workload: Workload, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Why this many: the steps of a workload's newest decision."""
    from rich.console import Console  # noqa: PLC0415 - only this command draws

    decision = get(url, workload, "decision")
    if as_json:
        typer.echo(json.dumps(decision, indent=2))
    else:
        tell_decision(Console(), workload, decision)


def tell_decision(console: "Console", workload: str, decision: dict[str, Any]) -> None:
    """Print why this many: the staircase of a decision, and what KEDA is told."""
    shadow = decision["mode"] == "shadow"
    title = f"{workload}, decided {clock(decision['decided_at'])}"
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
        f"replicas {or_unknown(decision['current_replicas'])}, "
        f"ready {or_unknown(decision['ready_replicas'])}.",
        highlight=False,
    )
    for note in (*decision["notes"], *_hints(decision)):
        console.print(f"note: {note}", highlight=False, markup=False)


def _hints(decision: dict[str, Any]) -> Iterator[str]:
    """What to look at where something is not known and Prometheus did answer."""
    if any("could not be read" in note for note in decision["notes"]):
        return
    if decision["health"] == "unknown":
        yield (
            "Prometheus answers, and has no series for the demand: do backend, selector and namespace fit? "
            "Compare with what `predictscale discover` prints"
        )
    if decision["current_replicas"] is None:
        yield (
            "replicas are unknown: Prometheus has no series of kube-state-metrics about the Deployment; "
            "is `target` its name, and is kube-state-metrics scraped?"
        )


def _staircase(title: str, steps: list[dict[str, Any]]) -> "Table":
    from rich.markup import escape  # noqa: PLC0415 - only `plan` draws it
    from rich.table import Table  # noqa: PLC0415 - the same

    table = Table(title=title, title_justify="left")
    table.add_column("stage", no_wrap=True)
    table.add_column("after it", justify="right", no_wrap=True)
    table.add_column("unit", no_wrap=True)
    table.add_column("because", overflow="fold")
    for step in steps:
        table.add_row(step["stage"], figure(step["value"]), escape(step["unit"]), escape(step["because"]))
    return table


def forecast(workload: Workload, url: Url = DEFAULT_URL) -> None:
    """What is about to arrive: quantiles of the newest forecast, and what its median is made of."""
    from rich.console import Console  # noqa: PLC0415 - only this command draws
    from rich.markup import escape  # noqa: PLC0415 - the same
    from rich.table import Table  # noqa: PLC0415 - the same

    answer = get(url, workload, "forecast")
    levels = [level for level in answer["levels"] if level in _SHOWN]
    table = Table(
        title=escape(f"{workload}: {answer['model']}, from {clock(answer['origin'])}, in {answer['unit']}"),
        title_justify="left",
    )
    table.add_column("from")
    for level in levels:
        table.add_column(f"level {level:g}", justify="right")
    for j, start in enumerate(answer["starts"]):
        values = (answer["values"][answer["levels"].index(level)][j] for level in levels)
        table.add_row(clock(start), *(figure(value) for value in values))
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
        table.add_row(clock(start), *(figure(part) for part in parts))
    return table


def get(url: str, workload: str, what: str, **query: str) -> Any:
    """What the service answers about a workload; ends the command if it does not."""
    try:
        return ask(url, f"workloads/{place(workload)}/{what}", query.items())
    except HoldTarget as failed:
        typer.echo(str(failed), err=True)
        raise typer.Exit(1) from None


def place(workload: str) -> str:
    """A workload as REST's paths name it."""
    namespace, slash, name = workload.partition("/")
    if not (namespace and slash and name):
        raise typer.BadParameter(f"{workload}: must be NAMESPACE/NAME")
    return f"{quote(namespace, safe='')}/{quote(name, safe='')}"


def ask(url: str, path: str, query: Iterable[tuple[str, str]] = ()) -> Any:
    """What the service answers.

    Args:
        url: Its REST address.
        path: What is asked, below `/api/v1/`.
        query: Parameters; a name may come again.

    Raises:
        SourceUnavailable: Nobody answers.
        SourceRefused: The service says why not.
        AnswerUnusable: Somebody else answers.
    """
    import httpx2  # noqa: PLC0415 - half of the command line's start-up time

    try:
        answer = httpx2.get(f"{url.rstrip('/')}/api/v1/{path}", params=list(query), timeout=PATIENCE_S)
    except (httpx2.HTTPError, httpx2.InvalidURL) as failed:
        raise SourceUnavailable(
            f"{url}: no answer ({failed}); is the service running, and is --url its REST address?"
        ) from failed
    try:
        body = answer.json()
    except ValueError:
        # Whoever answered, a login page or a proxy, is not the service.
        raise AnswerUnusable(
            f"{url}: {answer.status_code}, and no JSON; is --url the service's REST address?"
        ) from None
    if answer.status_code != 200:
        detail = body.get("detail", answer.status_code) if isinstance(body, dict) else answer.status_code
        raise SourceRefused(f"{url}: {detail}", status=answer.status_code)
    return body


def clock(instant: str) -> str:
    """An instant for people."""
    return f"{datetime.fromisoformat(instant):%a %d %b %H:%M:%S} UTC"


def or_unknown(count: int | None) -> str:
    """A count for people."""
    return "unknown" if count is None else str(count)
