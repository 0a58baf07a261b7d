"""Why so many then: a past decision of a running service, what was known, and what came of it.

Instants are read by the service's clock, which is not this machine's where a past week is replayed.
Refuses to judge: what came stands beside what it was sized for.
"""

import json
import re
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from predictscale.cli.figures import figure
from predictscale.cli.remote import DEFAULT_URL, AsJson, Url, Workload, ask, get, place, tell_decision
from predictscale.config.durations import duration_s, duration_text
from predictscale.errors import HoldTarget, SourceRefused

if TYPE_CHECKING:
    from rich.table import Table

At = Annotated[
    str,
    typer.Option(
        "--at",
        help="ISO 8601, `14:05` (the last one, UTC), or `2h ago`; without a zone it is UTC.",
        show_default=False,
    ),
]
_LEVELS = (0.5, 0.9, 0.95, 0.99)
_ROWS = 30
_MINUTE_S = 60


def explain(workload: Workload, at: At, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Why so many at a past instant: the steps of that decision, what was known, and what came after.

    JSON: {decision, forecast, after}, as REST tells a decision, a forecast and a timeline; forecast is null
    where none was used.
    """
    from rich.console import Console  # noqa: PLC0415 - only this command draws

    asked = when(at, now=_now(url, workload))
    decision = get(url, workload, "decision", at=asked.isoformat())
    told = {"at": decision["decided_at"]}
    try:
        forecast = ask(url, f"workloads/{place(workload)}/forecast", told.items())
    except SourceRefused:
        forecast = None  # the decision's notes say why
    after = _after_it(url, workload, decision)
    if as_json:
        typer.echo(json.dumps({"decision": decision, "forecast": forecast, "after": after}, indent=2))
        return
    console = Console()
    tell_decision(console, workload, decision)
    for line in known_then(decision, forecast):
        console.print(line, highlight=False, markup=False)
    rows = after if len(after["at"]) <= _ROWS else _timeline(url, workload, decision, points=_ROWS)
    console.print(_after(rows))
    console.print(came_of_it(decision, after), highlight=False, markup=False)


def when(text: str, *, now: datetime) -> datetime:
    """The instant that a person means.

    Args:
        text: ISO 8601, a time of day (the last one by `now`, UTC), or a duration and `ago`.
        now: The present, UTC.

    Raises:
        typer.BadParameter: It is none of them.
    """
    said = text.strip()
    try:
        if ago := re.fullmatch(r"(.+?)\s+ago", said):
            return now - timedelta(seconds=duration_s(ago[1].replace(" ", "")))
        if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", said):
            padded = said if said[2] == ":" else f"0{said}"
            meant = datetime.combine(now.date(), time.fromisoformat(padded), tzinfo=UTC)
            return meant if meant <= now else meant - timedelta(days=1)
        instant = datetime.fromisoformat(said)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"{text}: write an instant such as 2026-03-02T14:05Z, a time of day such as 14:05, or `2h ago`"
        ) from None


def known_then(decision: dict[str, Any], forecast: dict[str, Any] | None) -> list[str]:
    """What the decision knew, a line for each thing."""
    policy, unit = decision["policy"], decision["unit"]
    seen = "demand was never seen"
    if decision["demand"] is not None:
        age = duration_text(round(decision["demand_age_s"]))
        seen = f"demand was {figure(decision['demand'])} {unit}, {age} old"
    lead_s = policy["lead_time_s"]
    configured = policy["configured_lead_time_s"]
    lead = f"lead time {duration_text(lead_s)}"
    lead += "" if configured is None else f", measured; its owner says {duration_text(configured)}"
    each = policy["capacity_per_replica"]
    capacity = (
        "what a replica serves was not known" if each is None else f"a replica serves {figure(each)} {unit}"
    )
    lines = [f"Known then: {seen}.", f"  {lead}; {capacity}; level {policy['quantile']:g}."]
    return [*lines, f"  {_expected(decision, forecast)}"]


def _expected(decision: dict[str, Any], forecast: dict[str, Any] | None) -> str:
    """The forecast for the end of the lead time."""
    if forecast is None:
        return "no forecast was used."
    due = datetime.fromisoformat(decision["decided_at"]) + timedelta(
        seconds=decision["policy"]["lead_time_s"]
    )
    origin = datetime.fromisoformat(forecast["origin"])
    step = int((due - origin).total_seconds() // forecast["step_s"])
    if step >= len(forecast["starts"]):
        return f"{forecast['model']} did not reach {due:%H:%M:%S}."
    levels = [level for level in _LEVELS if level in forecast["levels"]]
    said = ", ".join(
        f"{level:g}: {figure(forecast['values'][forecast['levels'].index(level)][step])}" for level in levels
    )
    return f"{forecast['model']}, from {origin:%H:%M:%S}, expected for {due:%H:%M:%S} by level {said}."


def _after_it(url: str, workload: str, decision: dict[str, Any]) -> Any:
    """What came through the lead time, by the minute: in means of wider rows its highest would be lost."""
    minutes = int(decision["policy"]["lead_time_s"] // _MINUTE_S) + 2
    return _timeline(url, workload, decision, points=max(_ROWS, minutes))


def _timeline(url: str, workload: str, decision: dict[str, Any], *, points: int) -> Any:
    """What came through the lead time, in so many rows at most."""
    decided = datetime.fromisoformat(decision["decided_at"])
    until = decided + timedelta(seconds=decision["policy"]["lead_time_s"])
    span = {"since": decided.isoformat(), "until": until.isoformat()}
    return get(url, workload, "timeline", **span, points=str(points))


def came_of_it(decision: dict[str, Any], timeline: dict[str, Any]) -> str:
    """What came within the lead time, beside what the decision was sized for."""
    unit = decision["unit"]
    came = [value for value in timeline["demand"] if value is not None]
    if not came:
        return "What came within the lead time is not known."
    sized = next((step["value"] for step in decision["steps"] if step["stage"] == "demand"), None)
    due_s = datetime.fromisoformat(decision["decided_at"]).timestamp() + decision["policy"]["lead_time_s"]
    over = timeline["at"][-1] + timeline["step_s"] > due_s
    highest = f"up to {figure(max(came))} {unit} came within the lead time" + (
        "" if over else ", which is not over"
    )
    beside = ""
    if sized is not None and sized >= max(came):
        beside = f"; it was sized for {figure(sized)}, which was enough"
    elif sized is not None:
        beside = f"; it was sized for {figure(sized)}, {1 - sized / max(came):.1%} too little"
    ready = next((count for count in reversed(timeline["ready"]) if count is not None), None)
    until = "At its end" if over else "So far"
    ends = (
        f"{until} it is not known how many of the {decision['target_replicas']} that it wanted were ready."
        if ready is None
        else f"{until} {ready} were ready of the {decision['target_replicas']} it wanted."
    )
    return f"{highest[0].upper()}{highest[1:]}{beside}. {ends}"


def _after(timeline: dict[str, Any]) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - only this command draws it

    table = Table(title="What came after, through the lead time.", title_justify="left")
    table.add_column("at", no_wrap=True)
    columns = {
        "demand": "demand",
        "high": "had been\nforecast",
        "target": "wanted",
        "published": "told",
        "ready": "ready",
        "reactive": "without\nforecast",
        "plain": "plain\nHPA",
    }
    for heading in columns.values():
        table.add_column(heading, justify="right", no_wrap=True)
    for row, at_s in enumerate(timeline["at"]):
        cells = (timeline[name][row] for name in columns)
        table.add_row(f"{datetime.fromtimestamp(at_s, UTC):%H:%M}", *(_cell(value) for value in cells))
    return table


def _cell(value: float | None) -> str:
    return "–" if value is None else figure(value)


def _now(url: str, workload: str) -> datetime:
    """The present by the service's clock."""
    place(workload)
    try:
        return datetime.fromisoformat(ask(url, "fleet")["now"])
    except HoldTarget as failed:
        typer.echo(str(failed), err=True)
        raise typer.Exit(1) from None
