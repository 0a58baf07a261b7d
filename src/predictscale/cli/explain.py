"""Why so many then: a past decision of a running service, what was known, and what came of it.

Instants are read by the service's clock, which is not this machine's where a past week is replayed.
Refuses to judge: what came stands beside what it was sized for. Refuses to pass off a decision that had run
out as what KEDA was told.
"""

import json
import re
from collections.abc import Collection
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
"""Of decisions that go on one is kept so often at least, or each that is made [s]."""


def explain(workload: Workload, at: At, url: Url = DEFAULT_URL, *, as_json: AsJson = False) -> None:
    """Why so many at a past instant: the steps of that decision, what was known, and what came after.

    JSON: {decision, forecast, after}, as REST tells a decision, a forecast and a timeline; forecast is null
    where none was used.
    """
    from rich.console import Console  # noqa: PLC0415 - only this command draws

    now, tick_s = _now(url, workload)
    asked = when(at, now=now)
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
    if (lapsed := lapsed_by(decision, min(asked, now), tick_s=tick_s)) is not None:
        console.print(lapsed, highlight=False, markup=False)
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


def lapsed_by(decision: dict[str, Any], asked: datetime, *, tick_s: float) -> str | None:
    """What is said where the newest decision kept was valid no more by the instant that is asked for.

    Had decisions gone on, a later one were kept: one a minute is, or each of those further apart.
    """
    made, until = (datetime.fromisoformat(decision[name]) for name in ("decided_at", "valid_until"))
    if asked <= until or (asked - made).total_seconds() <= _MINUTE_S + tick_s:
        return None
    return (
        f"No decision is kept that was valid at {asked:%a %d %b %H:%M:%S} UTC: the last one before it, "
        f"below, was valid until {until:%H:%M:%S}. What KEDA was told then is not known."
    )


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
    # An archive that an earlier version wrote does not tell the state.
    fares = [f"  {state}: {decision['state_because']}."] if (state := decision.get("state")) else []
    return [*lines, f"  {_expected(decision, forecast)}", *fares]


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
    marked = any(timeline["marks"])
    if marked:
        table.add_column("state", overflow="fold")
    for row, at_s in enumerate(timeline["at"]):
        marks = timeline["marks"][row] or ()
        cells = [_cell(timeline[name][row], none=_none(name, marks)) for name in columns]
        beside = [", ".join(marks)] if marked else []
        table.add_row(f"{datetime.fromtimestamp(at_s, UTC):%H:%M}", *cells, *beside)
    return table


def _cell(value: float | None, *, none: str) -> str:
    return none if value is None else figure(value)


def _none(name: str, marks: Collection[str]) -> str:
    """What stands for no number: that nothing was told is known, anything else is not."""
    return "none" if name == "published" and "unavailable" in marks else "–"


def _now(url: str, workload: str) -> tuple[datetime, float]:
    """The present by the service's clock, and how far apart its decisions are [s]."""
    place(workload)
    try:
        fleet = ask(url, "fleet")
        return datetime.fromisoformat(fleet["now"]), float(fleet["tick_s"])
    except HoldTarget as failed:
        typer.echo(str(failed), err=True)
        raise typer.Exit(1) from None
