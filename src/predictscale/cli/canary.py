"""`predictscale canary`: some ScaledObjects live, the rest in shadow, and what the two tell of each other.

Refuses to choose by anything but names: whoever looks for the workloads that will do well finds them, and
learns nothing of the others.
"""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from predictscale.cli.promote import NOT_YET, Days, asked, days_of, reason, share_text, switch_on
from predictscale.cli.remote import DEFAULT_URL, Url, ask
from predictscale.cli.sending import TokenFile, fail, send, token_of
from predictscale.core.canary import Compared, Difference, Measured, compared, first
from predictscale.errors import HoldTarget

if TYPE_CHECKING:
    from rich.table import Table

canary = typer.Typer(no_args_is_help=True, help="Some workloads live, the rest in shadow.")

Names = Annotated[
    list[str] | None, typer.Argument(help="NAMESPACE/NAME of each; without, all, or all of --namespace.")
]
Namespace = Annotated[str | None, typer.Option(help="All workloads of this namespace.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


@canary.command()
def plan(
    workloads: Names = None,
    *,
    namespace: Namespace = None,
    share: Annotated[str, typer.Option(help="How many go live first: 25%, or 0.25.")] = "25%",
    apply: Annotated[
        bool, typer.Option("--apply", help="Set the modes of all of them; needs a token.")
    ] = False,
    token_file: TokenFile = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Which workloads go live first, by a hash of their names; a larger share holds the smaller one."""
    token = token_of(token_file) if apply else None
    part, rows = _part(share), _rows(url, workloads, namespace)
    chosen = set(first(rows, share=part))
    wanted = {name: "live" if name in chosen else "shadow" for name in rows}
    changes = {name: mode for name, mode in wanted.items() if rows[name]["mode"] != mode}
    table = _table(f"{len(chosen)} of {len(rows)} live first ({part:.0%})", "workload", "mode now", "planned")
    for name, mode in sorted(wanted.items(), key=lambda each: (each[1], each[0])):
        table.add_row(name, rows[name]["mode"], f"-> {mode}" if name in changes else "as it is")
    _print(table)
    if token is None:
        return
    because = f"canary: {len(chosen)} of {len(rows)} workloads live, by their names"
    done: list[str] = []
    try:
        for name, mode in changes.items():
            send("PUT", url, name, "mode", token=token, body={"mode": mode, "reason": because})
            done.append(name)
    finally:
        if len(done) < len(changes):
            before = f"{len(done)} of {len(changes)} modes were set before that: {', '.join(done) or 'none'}"
            typer.echo(f"{before}; the same command sets the rest", err=True)
    typer.echo(f"{len(changes)} modes set")


@canary.command()
def status(
    workloads: Names = None,
    *,
    namespace: Namespace = None,
    days: Days = 7,
    url: Url = DEFAULT_URL,
    as_json: AsJson = False,
) -> None:
    """How the live ones fare beside those in shadow, each measured against a plain HPA of its own."""
    answers = _answers(url, _rows(url, workloads, namespace), days=days)
    found = _compared(answers)
    if as_json:
        typer.echo(json.dumps({"workloads": answers, "live_less_shadow": _numbers(found)}, indent=2))
        return
    headings = (
        "workload",
        "mode",
        "days",
        "late",
        "less plain HPA's",
        "of its hours",
        "at full load",
        "gate",
    )
    table = _table(f"last {days:g} days; hours as multiples", *headings)
    for name, answer in sorted(answers.items(), key=lambda each: (each[1]["mode"], each[0])):
        table.add_row(name, *_cells(answer))
    _print(table)
    for line in (_told("late", found.late, ".3%"), _told("hours of a plain HPA's", found.cost, ".3f")):
        typer.echo(line)


@canary.command("promote")
def onward(
    workloads: Names = None,
    *,
    namespace: Namespace = None,
    days: Days = 7,
    apply: Annotated[bool, typer.Option("--apply", help="Switch on those that pass; needs a token.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Although the live ones are late more often.")
    ] = False,
    token_file: TokenFile = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Switch on those in shadow whose gate passes, unless the live ones are late more often."""
    token = token_of(token_file) if apply else None
    answers = _answers(url, _rows(url, workloads, namespace), days=days)
    late = _compared(answers).late
    if late is not None and late.worse and not force:
        fail(f"{_told('late', late, '.3%')}: nothing is switched on; --force does it all the same")
    shadow = {name: answer for name, answer in answers.items() if answer["mode"] == "shadow"}
    good = [name for name, answer in sorted(shadow.items()) if answer["promote"]]
    table = _table(f"{len(good)} of {len(shadow)} in shadow pass", "workload", "gate", "because")
    for name, answer in sorted(shadow.items()):
        table.add_row(name, _gate(answer), reason(answer) if name in good else _open(answer))
    _print(table)
    for name in good if token is not None else ():
        switch_on(url, name, shadow[name], token=token or "")
    if len(good) < len(shadow):
        raise typer.Exit(NOT_YET)


def _part(text: str) -> float:
    """A share as people write it."""
    try:
        part = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        part = float("nan")
    if not 0 < part <= 1:
        raise typer.BadParameter(f"--share: {text}; must lie above 0 and be 100% at most, such as 25%")
    return part


def _rows(url: str, names: Sequence[str] | None, namespace: str | None) -> dict[str, Any]:
    """The rows of all workloads that are meant, by name; ends the command if there are none."""
    if names and namespace is not None:
        raise typer.BadParameter("name workloads, or give --namespace")
    query = {"limit": "1000"} | ({} if namespace is None else {"namespace": namespace})
    rows: dict[str, Any] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = _ask(url, "workloads", query | ({"cursor": cursor} if cursor else {}))
        rows |= {f"{row['namespace']}/{row['workload']}": row for row in page["workloads"]}
        cursor = page["next"]
    missing = [name for name in names or () if name not in rows]
    if missing:
        fail(f"{url}: not followed, or without a decision yet: {', '.join(missing)}")
    rows = {name: row for name, row in rows.items() if not names or name in names}
    if not rows:
        fail(f"{url}: no workload {'of ' + namespace + ' ' if namespace else ''}has a decision")
    return rows


def _answers(url: str, rows: dict[str, Any], *, days: float) -> dict[str, Any]:
    return {name: asked(url, name, days=days) for name in rows}


def _ask(url: str, path: str, query: dict[str, str]) -> Any:
    try:
        return ask(url, path, query.items())
    except HoldTarget as failed:
        fail(str(failed))


def _compared(answers: dict[str, Any]) -> Compared:
    sides: dict[str, list[Measured]] = {"live": [], "shadow": []}
    for answer in answers.values():
        if (measured := _measured(answer)) is not None:
            sides[answer["mode"]].append(measured)
    return compared(sides["live"], sides["shadow"])


def _measured(answer: Any) -> Measured | None:
    """A workload beside its plain HPA; None where nothing came."""
    now, plain = answer["now"], answer["plain"]
    if now["late_share"] is None or plain["late_share"] is None or not plain["replica_hours"]:
        return None
    return Measured(
        late=now["late_share"] - plain["late_share"], cost=now["replica_hours"] / plain["replica_hours"]
    )


def _cells(answer: Any) -> tuple[str, ...]:
    measured, work, now = _measured(answer), answer["work_replica_hours"], answer["now"]
    return (
        answer["mode"],
        f"{days_of(answer):.1f}",
        share_text(now["late_share"]),
        "-" if measured is None else f"{measured.late:+.3%}",
        "-" if measured is None else f"{measured.cost:.3f}",
        f"{now['replica_hours'] / work:.3f}" if work else "-",
        _gate(answer),
    )


def _gate(answer: Any) -> str:
    if answer["mode"] == "live":
        return "-"
    return {True: "pass", False: "no", None: "unknown"}[answer["promote"]]


def _open(answer: Any) -> str:
    """What keeps the gate shut."""
    missed = [each for each in answer["reasons"] if each["must"] and each["standing"] != "pass"]
    return "; ".join(f"{each['what']}: {each['because']}" for each in missed)


def _told(what: str, difference: Difference | None, form: str) -> str:
    if difference is None:
        return f"{what}, live less shadow: unknown; both sides need a workload with demand"
    mean = f"{difference.mean:+{form}}"
    if difference.within is None:
        return f"{what}, live less shadow: {mean}; with fewer than 3 workloads a side nobody knows how sure"
    return f"{what}, live less shadow: {mean} ± {difference.within:{form}}"


def _numbers(found: Compared) -> dict[str, Any]:
    return {
        name: None if each is None else {"mean": each.mean, "within": each.within}
        for name, each in (("late", found.late), ("cost", found.cost))
    }


def _table(title: str, *headings: str) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - only these commands draw

    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _print(table: "Table") -> None:
    from rich.console import Console  # noqa: PLC0415 - only these commands draw

    Console().print(table)
