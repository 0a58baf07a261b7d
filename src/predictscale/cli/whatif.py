"""`predictscale whatif`: what other settings would have done in the last days, answered by a running service.

The service replays what it has recorded itself, so nothing is uploaded and no token is needed. Refuses to
wait in silence: progress is shown where somebody looks.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from predictscale.cli.figures import TO_PEAK, TO_PEAK_SAID
from predictscale.cli.remote import DEFAULT_URL, Url, Workload, place
from predictscale.cli.sending import fail, read, sent

_LOOK_S = 0.5


def whatif(
    workload: Workload,
    *,
    days: Annotated[float, typer.Option(help="How many of the last days are replayed, 1 to 14.")] = 3,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="NAME=VALUE, as often as wanted: quantile, lead_time_s, min_replicas, max_replicas, "
            "capacity_per_replica, hold_s, headroom, slo.max_violation, slo.wait_s.",
        ),
    ] = None,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Replay a workload's last days with other settings, beside a fixed fleet and plain HPAs."""
    path = f"workloads/{place(workload)}/whatif"
    job = read(url, sent("POST", url, path, body={"days": days, "settings": _settings(settings or [])}))
    with _progress(f"{workload}, {days:g} days") as told:
        while job["state"] in ("waiting", "running"):
            time.sleep(_LOOK_S)
            job = read(url, sent("GET", url, f"whatif/{job['id']}"))
            told(job["progress"])
    if job["state"] != "done":
        fail(f"{workload}: the replay failed: {job['error']}")
    if as_json:
        typer.echo(json.dumps(job, indent=2))
    else:
        _show(job)


def _settings(pairs: list[str]) -> dict[str, Any]:
    """Settings by name; those with a dot in their name lie within another."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not (name and equals and text):
            raise typer.BadParameter(f"--set {pair}: must be NAME=VALUE")
        outer, dot, inner = name.partition(".")
        if dot and not isinstance(found.get(outer, {}), dict):
            raise typer.BadParameter(f"--set {pair}: {outer} is given as a whole, too")
        if dot:
            found.setdefault(outer, {})[inner] = _value(text)
        else:
            found[name] = _value(text)
    return found


def _value(text: str) -> Any:
    """A number as a number; `4m` and `1%` are the service's to read."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@contextmanager
def _progress(title: str) -> "Iterator[Callable[[float], None]]":
    """A bar on standard error, where somebody looks at it."""
    from rich.console import Console  # noqa: PLC0415 - only this command draws
    from rich.progress import Progress  # noqa: PLC0415 - the same

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bars:
        bar = bars.add_task(title, total=1.0)
        yield lambda share: bars.update(bar, completed=share)


def _show(job: dict[str, Any]) -> None:
    from rich.console import Console  # noqa: PLC0415 - only this command draws
    from rich.table import Table  # noqa: PLC0415 - the same

    found = job["result"]
    title = (
        f"{job['workload']}, {found['from']} to {found['until']}. Late: waits beyond {found['wait_s']:g} s. "
        f"{TO_PEAK_SAID}"
    )
    table = Table(title=title, title_justify="left")
    table.add_column("policy", overflow="fold")
    for heading in ("late", "replica-hours", "to as it is", "to clairvoyant", TO_PEAK, "changes"):
        table.add_column(heading, justify="right")
    rows = [("as it is", found["as_is"]), ("as asked", found["changed"])]
    rows += [(score["policy"], score) for score in found["rivals"]]
    as_is = found["as_is"]["replica_hours"]
    for name, score in rows if job["asked"]["settings"] else rows[1:]:
        table.add_row(
            f"{name}: {score['settings']}" if score["settings"] else name,
            f"{score['violation']:.3%}",
            f"{score['replica_hours']:,.1f}",
            f"{score['replica_hours'] / as_is:.3f}" if as_is else "-",
            f"{score['cost_to_clairvoyant']:.3f}",
            f"{score['cost_to_static']:.3f}",
            f"{score['scale_events']:,}",
        )
    console = Console()
    console.print(table)
    for note in found["notes"]:
        console.print(f"note: {note}", highlight=False, markup=False)
