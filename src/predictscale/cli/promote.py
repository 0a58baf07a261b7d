"""`predictscale promote`: whether a workload's days in shadow speak for switching it on, and the switch.

The gate is the service's; this command asks it, has the days lived through again where it does not say no
already, and prints every reason. Exit code 0: yes, or it is live; 3: not yet; 1: it could not be asked.
Refuses to switch on what the gate does not pass unless told to in so many words.
"""

import json
import time
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from predictscale.cli.remote import DEFAULT_URL, Url, Workload, get, place
from predictscale.cli.sending import TokenFile, read, send, sent, token_of, told

if TYPE_CHECKING:
    from rich.console import Console

NOT_YET = 3
"""The exit code of a gate that is not passed."""
LONGEST_REPLAY = 14.0
"""What-if replays reach back no further [d]."""
LONGEST_REASON = 300
"""A reason that is longer is not taken."""

_LOOK_S = 0.5
_MARKS = {"pass": "[green]pass[/]", "fail": "[bold red]fail[/]", "unknown": "[yellow]unknown[/]"}

Days = Annotated[float, typer.Option(help="How many days in shadow are wanted, 3 to 28.")]
Replay = Annotated[
    bool, typer.Option(help="Have the days lived through again with the settings of today; takes minutes.")
]
Apply = Annotated[bool, typer.Option("--apply", help="Switch it on; needs a token.")]
Force = Annotated[bool, typer.Option("--force", help="With --apply: although the gate does not pass.")]


def promote(
    workload: Workload,
    *,
    days: Days = 7,
    replay: Replay = True,
    apply: Apply = False,
    force: Force = False,
    token_file: TokenFile = None,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Whether to switch a workload on that is in shadow, with every reason; exit code 3 means not yet."""
    if force and not apply:
        raise typer.BadParameter("--force: goes with --apply; nothing is switched on without it")
    token = token_of(token_file) if apply else None
    answer = asked(url, workload, days=days)
    if replay and answer["promote"] is not False:
        answer = _replayed(url, workload, answer, days=days)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        show(workload, answer)
    if answer["mode"] == "live":
        return
    if token is not None and (answer["promote"] or force):
        switch_on(url, workload, answer, token=token)
    elif not answer["promote"]:
        raise typer.Exit(NOT_YET)


def asked(url: str, workload: str, *, days: float, replay: str | None = None) -> Any:
    """The service's verdict; ends the command if there is none."""
    query = {"days": f"{days:g}"} | ({} if replay is None else {"replay": replay})
    return get(url, workload, "promotion", **query)


def switch_on(url: str, workload: str, answer: Any, *, token: str) -> None:
    """Put a workload in live mode, with the gate's reasons as the reason."""
    send("PUT", url, workload, "mode", token=token, body={"mode": "live", "reason": reason(answer)})
    typer.echo(f"{workload}: live from its next decision on; back with PUT .../mode shadow", err=True)


def reason(answer: Any) -> str:
    """Why, in the one line that the record takes."""
    ours, now = answer["ours"], answer["now"]
    said = (
        f"{days_of(answer):.1f} days in shadow: {share_text(ours['late_share'])} late (held: "
        f"{share_text(now['late_share'])}), {ours['replica_hours']:,.0f} replica-hours (held: "
        f"{now['replica_hours']:,.0f})"
    )
    missed = [each["what"] for each in answer["reasons"] if each["must"] and each["standing"] != "pass"]
    verdict = "promoted by the gate" if not missed else f"forced, although not met: {', '.join(missed)}"
    return f"{verdict}; {said}"[:LONGEST_REASON]


def show(workload: str, answer: Any, console: "Console | None" = None) -> None:
    """Print the gate: every rule, what was read, and what is wanted."""
    from rich.console import Console  # noqa: PLC0415 - only this command draws
    from rich.markup import escape  # noqa: PLC0415 - the same
    from rich.table import Table  # noqa: PLC0415 - the same

    console = console or Console()
    table = Table(
        title=escape(f"{workload}: {_verdict(answer)} ({answer['mode']} for {days_of(answer):.1f} days)"),
        title_justify="left",
    )
    for heading in ("rule", "standing"):
        table.add_column(heading, no_wrap=True)
    for heading in ("read", "wanted"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("because", overflow="fold")
    for each in answer["reasons"]:
        table.add_row(
            each["what"] if each["must"] else f"({each['what']})",
            _MARKS[each["standing"]],
            "-" if each["number"] is None else amount(each["number"], each["unit"]),
            amount(each["threshold"], each["unit"]),
            escape(each["because"]),
        )
    console.print(table)
    for name in ("ours", "now", "plain"):
        held = answer[name]
        console.print(
            f"{_NAMES[name]}: {held['replica_hours']:,.1f} replica-hours, "
            f"{share_text(held['late_share'])} of demand late (waits beyond {answer['wait_s']:g} s)",
            highlight=False,
        )
    for note in answer["notes"]:
        console.print(f"note: {note}", highlight=False, markup=False)


_NAMES = {
    "ours": "with the forecast (projected)",
    "now": "what was held",
    "plain": "a plain HPA (projected)",
}


def amount(number: float, unit: str) -> str:
    """A number of a rule for people."""
    match unit:
        case "1":
            return f"{number:.2%}"
        case "x":
            return f"{number:.2f}x"
        case "d":
            return f"{number:.2f} d"
        case _:
            return f"{number:,.0f} {unit}"


def _replayed(url: str, workload: str, answer: Any, *, days: float) -> Any:
    """The verdict with what a replay told; the one there was, with a note, if none can be had."""
    body = {"days": min(days, LONGEST_REPLAY), "settings": {}}
    begun = sent("POST", url, f"workloads/{place(workload)}/whatif", body=body)
    if not begun.is_success:
        answer["notes"].append(f"not replayed: {told(begun)}")
        return answer
    job = _done(url, workload, read(url, begun)["id"])
    if job["state"] != "done":
        answer["notes"].append(f"the replay failed: {job['error']}")
        return answer
    return asked(url, workload, days=days, replay=job["id"])


def _done(url: str, workload: str, job_id: str) -> Any:
    """A replay that has ended; progress is shown where somebody looks."""
    from rich.console import Console  # noqa: PLC0415 - only this command draws
    from rich.progress import Progress  # noqa: PLC0415 - the same

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bars:
        bar = bars.add_task(f"replaying {workload}", total=1.0)
        while True:
            job = read(url, sent("GET", url, f"whatif/{job_id}"))
            if job["state"] not in ("waiting", "running"):
                return job
            bars.update(bar, completed=job["progress"])
            time.sleep(_LOOK_S)


def _verdict(answer: Any) -> str:
    if answer["mode"] == "live":
        return "it is live already"
    return {True: "promote", False: "not yet", None: "not yet: too little is known"}[answer["promote"]]


def days_of(answer: Any) -> float:
    """How long its mode has lasted [d]."""
    lasted = datetime.fromisoformat(answer["until"]) - datetime.fromisoformat(answer["since"])
    return lasted.total_seconds() / 86_400


def share_text(share: float | None) -> str:
    """A share for people."""
    return "unknown" if share is None else f"{share:.3%}"
