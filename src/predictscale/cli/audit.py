"""The commands that look at a Prometheus' past and tell what scaling ahead would have saved there.

`audit` looks at all workloads, `report` at one, both with the same code. They only read. Refuses to end
with nothing: what is done when it is interrupted is told.
"""

import asyncio
import json
import math
import os
import signal
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from predictscale.cli import possible
from predictscale.cli.discover import tell_left_out, untold
from predictscale.errors import AskOwner, HoldTarget

if TYPE_CHECKING:
    from datetime import datetime

    from predictscale.cli.auditjob import Asked
    from predictscale.cli.auditread import Reading
    from predictscale.cli.auditrun import Found
    from predictscale.clock import Clock

_STEP_S = 15.0
_WIDEST_S = 1800.0
_MOST_DAYS = 400.0

Url = Annotated[str | None, typer.Option(help="Its URL; by default the one in the service's file.")]
Config = Annotated[
    Path | None,
    typer.Option(
        help="The service's YAML file: how Prometheus is asked, and workloads that say what they need."
    ),
]
Step = Annotated[str, typer.Option(help="Width of the bins that history is read in, such as 60s or 5m.")]
Capacity = Annotated[
    list[str] | None,
    typer.Option(
        help="Demand per second that a replica serves: a number for all, or NAMESPACE/NAME=NUMBER; may be "
        "given several times. Else it is estimated from the replicas that served."
    ),
]
Lead = Annotated[
    str | None,
    typer.Option("--lead-time", help="From a decision to serving replicas, as 4m. Else measured, or 5m."),
]
Violation = Annotated[float, typer.Option(help="The share of demand that may be late.")]
Wait = Annotated[float, typer.Option(help="Demand that waits longer is late, in seconds.")]
Least = Annotated[int, typer.Option("--min", help="Never fewer replicas.")]
Most = Annotated[int, typer.Option("--max", help="Never more replicas.")]
Price = Annotated[float | None, typer.Option(help="What a replica costs in an hour.")]
Currency = Annotated[str, typer.Option(help="Of the price, such as USD.")]
ReplayDays = Annotated[
    float | None,
    typer.Option(help="How many of the last days are replayed and scored; the last 35 % if not given."),
]
TimeZone = Annotated[
    str,
    typer.Option(
        help="Whose clock days and weeks follow, such as Europe/Berlin, where settings say no other."
    ),
]
Forecasters = Annotated[
    str | None,
    typer.Option(
        help="The chain of models, joined by commas; the workload's own, or that of `backtest --trace`."
    ),
]
Out = Annotated[Path | None, typer.Option(help="A JSON file to write: all numbers.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print all numbers as JSON, no tables.")]
Html = Annotated[Path | None, typer.Option(help="A page to write: one file that needs nothing else.")]
Traces = Annotated[
    Path | None,
    typer.Option(
        help="A folder for the histories as CSV; the page's commands replay them to the same numbers."
    ),
]


def audit(
    *,
    prometheus: Url = None,
    namespaces: Annotated[str | None, typer.Option(help="Look only here; names joined by commas.")] = None,
    config: Config = None,
    days: Annotated[float, typer.Option(help="How much of the past is read.")] = 28.0,
    step: Step = "60s",
    capacity: Capacity = None,
    lead_time: Lead = None,
    slo_violation: Violation = 0.01,
    wait_s: Wait = 5.0,
    min_replicas: Least = 1,
    max_replicas: Most = 1000,
    price: Price = None,
    currency: Currency = "",
    replay_days: ReplayDays = None,
    forecasters: Forecasters = None,
    time_zone: TimeZone = "UTC",
    out: Out = None,
    html: Html = None,
    traces: Traces = None,
    as_json: AsJson = False,
) -> None:
    """What would scaling ahead save here? Finds workloads, names the kind of each, and replays its past.

    Each workload is lived through by a static fleet, by plain and by tuned reactive scaling, and by
    predictscale, with the code of `backtest`; settings are chosen hourly from the past alone. Savings come
    with the range from the 10th to the 90th percentile had other days come, if five whole days were replayed.

    JSON: {at, days, step_s, workloads, failed, left_out, unfinished}; each workload has history, kind,
    forecast, capacity, lead_time, replay (as `backtest --json` tells it, with savings), plots and next.
    """
    given = _Given(
        prometheus=prometheus, config=config, namespaces=_split(namespaces), workload=None, days=days,
        step=step, capacity=capacity or [], lead_time=lead_time, slo_violation=slo_violation,
        wait_s=wait_s, min_replicas=min_replicas, max_replicas=max_replicas, price=price, currency=currency,
        replay_days=replay_days, forecasters=forecasters, time_zone=time_zone, out=out, html=html,
        traces=traces, as_json=as_json,
    )  # fmt: skip
    _tell(given)


def report(
    workload: Annotated[str, typer.Argument(help="NAMESPACE/NAME, as `audit` calls it.")],
    *,
    prometheus: Url = None,
    config: Config = None,
    days: Annotated[float, typer.Option(help="How many of the last days are replayed.")] = 7.0,
    history_days: Annotated[
        float,
        typer.Option(help="How much of the past is read: what forecasts learn from, and the days replayed."),
    ] = 28.0,
    step: Step = "60s",
    capacity: Capacity = None,
    lead_time: Lead = None,
    slo_violation: Violation = 0.01,
    wait_s: Wait = 5.0,
    min_replicas: Least = 1,
    max_replicas: Most = 1000,
    price: Price = None,
    currency: Currency = "",
    forecasters: Forecasters = None,
    time_zone: TimeZone = "UTC",
    out: Out = None,
    html: Html = None,
    traces: Traces = None,
    as_json: AsJson = False,
) -> None:
    """The same as `audit` for one workload: what scaling ahead would have saved in its last days."""
    given = _Given(
        prometheus=prometheus, config=config, namespaces=_split(workload.partition("/")[0]),
        workload=workload, days=history_days, step=step, capacity=capacity or [], lead_time=lead_time,
        slo_violation=slo_violation, wait_s=wait_s, min_replicas=min_replicas, max_replicas=max_replicas,
        price=price, currency=currency, replay_days=days, forecasters=forecasters, time_zone=time_zone,
        out=out, html=html, traces=traces, as_json=as_json,
    )  # fmt: skip
    _tell(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """The options of either command, as they came."""

    prometheus: str | None
    config: Path | None
    namespaces: list[str]
    workload: str | None
    days: float
    step: str
    capacity: list[str]
    lead_time: str | None
    slo_violation: float
    wait_s: float
    min_replicas: int
    max_replicas: int
    price: float | None
    currency: str
    replay_days: float | None
    forecasters: str | None
    time_zone: str
    out: Path | None
    html: Path | None
    traces: Path | None
    as_json: bool


def _tell(given: _Given) -> None:
    from predictscale.bootstrap import configure_logging  # noqa: PLC0415 - heavy, with all below
    from predictscale.cli.audited import document, show  # noqa: PLC0415 - the same
    from predictscale.cli.auditpage import page  # noqa: PLC0415 - the same
    from predictscale.cli.auditrun import Found  # noqa: PLC0415 - the same
    from predictscale.clock import SystemClock  # noqa: PLC0415 - the same

    configure_logging(level="error", as_json=False)
    clock, found = SystemClock(), Found()
    try:
        reading, asked = _reading(given, at=clock.now()), _asked(given)
        _places(given)
        ended_by = asyncio.run(_until_told(_looked(given, reading, asked, found, clock)))
    except AskOwner as wrong:
        _fail(str(wrong), code=2)
    except HoldTarget as wrong:
        _fail(untold(wrong, given.prometheus), code=1)
    told = document(found, reading, asked)
    text = json.dumps(told, indent=1, allow_nan=False)
    if given.as_json:
        typer.echo(text)
    else:
        show(told)
    unwritten = [
        *_unwritten("--out", given.out, f"{text}\n"),
        *_unwritten("--html", given.html, "" if given.html is None else page(told)),
    ]
    tell_left_out(found.left_out, also="--out, --html and --json tell")
    if unwritten:
        _fail("\n".join(unwritten), code=1)
    _end(given, found, ended_by=ended_by)


async def _until_told(work: Coroutine[Any, Any, None]) -> signal.Signals | None:
    """Work, until it is done or the process is told to end; what told it.

    Ctrl-C, or SIGTERM, which ends jobs and what runs under `timeout`. A command in the background, for which
    Ctrl-C is not meant, minds it no more than before.
    """
    from anyio import CancelScope  # noqa: PLC0415 - half of the command line's start-up time

    told_by: list[signal.Signals] = []
    loop = asyncio.get_running_loop()
    with CancelScope() as scope:

        def end(told: signal.Signals) -> None:
            told_by.append(told)
            scope.cancel()

        for told in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(told) is not signal.SIG_IGN:
                loop.add_signal_handler(told, end, told)
        await work
        return None
    return told_by[0]


def _end(given: _Given, found: "Found", *, ended_by: signal.Signals | None) -> None:
    """The exit code, and why, where it is not 0."""
    if ended_by is not None:
        known = found.workloads or found.failed or found.unfinished
        left = (
            f"{len(found.unfinished)} of the workloads are not done" if known else "no workload was found yet"
        )
        # As a shell tells a program that a signal ended.
        _fail(f"interrupted: {left}", code=128 + ended_by)
    if found.failed and not found.workloads:
        _fail(f"of {len(found.failed)} workloads that were found none could be told of", code=1)
    if not found.workloads:
        where = f"namespace {', '.join(given.namespaces)}" if given.namespaces else "any namespace"
        _fail(f"no workload could be told of in {where}; `predictscale discover` says what is seen", code=1)


async def _looked(given: _Given, reading: "Reading", asked: "Asked", found: "Found", clock: "Clock") -> None:
    from predictscale.bootstrap.sources import Sources  # noqa: PLC0415 - heavy, with all below
    from predictscale.cli.auditrun import only, run  # noqa: PLC0415 - the same
    from predictscale.config.load import load_service  # noqa: PLC0415 - the same
    from predictscale.meters import Meters  # noqa: PLC0415 - the same

    overrides = {} if given.prometheus is None else {"prometheus": {"url": given.prometheus}}
    service = load_service(given.config, env=os.environ, overrides=overrides)
    if service.prometheus is None:
        raise AskOwner("--prometheus: is missing; give its URL, or --config with a file that has one")
    await run(
        found,
        service,
        tuple(given.namespaces),
        reading,
        asked,
        clock=clock,
        sources=Sources(service, Meters(), clock, None),
        chosen=list if given.workload is None else only(given.workload),
        traces=given.traces,
    )


def _split(names: str | None) -> list[str]:
    return [] if names is None else [each.strip() for each in names.split(",") if each.strip()]


def _reading(given: _Given, *, at: "datetime") -> "Reading":
    from predictscale.cli.auditread import Reading  # noqa: PLC0415 - heavy
    from predictscale.cli.discover import namespaces_of  # noqa: PLC0415 - the same
    from predictscale.cli.given import span_s  # noqa: PLC0415 - the same

    namespaces_of(given.namespaces, where="--namespaces" if given.workload is None else "NAMESPACE/NAME")
    if given.workload is not None and given.workload.count("/") != 1:
        raise AskOwner(
            f"NAMESPACE/NAME: {given.workload!r}; must be a namespace and a name, joined by a slash"
        )
    step_s = span_s(given.step, "--step")
    if step_s % _STEP_S or step_s > _WIDEST_S:
        raise AskOwner(f"--step: {given.step}; must be a multiple of {_STEP_S:g} s, at most half an hour")
    read, replayed = ("--days", "--replay-days") if given.workload is None else ("--history-days", "--days")
    for name, value in ((read, given.days), (replayed, given.replay_days)):
        if value is not None and not (math.isfinite(value) and 0 < value <= _MOST_DAYS):
            raise AskOwner(f"{name}: {value:g}; must be above 0, at most {_MOST_DAYS:g}")
    if given.replay_days is not None and given.replay_days >= given.days:
        raise AskOwner(
            f"{replayed}: {given.replay_days:g} days are to be replayed of {given.days:g} that are read "
            f"({read}); something must come before, which the first decisions learn from"
        )
    lead_time_s = None if given.lead_time is None else span_s(given.lead_time, "--lead-time")
    if lead_time_s is not None and lead_time_s > possible.LONGEST_LEAD_S:
        raise AskOwner(f"--lead-time: {given.lead_time}; must be at most a day")
    return Reading(
        days=given.days,
        step_s=step_s,
        at=at,
        capacity=_capacities(given.capacity),
        lead_time_s=lead_time_s,
    )


def _capacities(given: list[str]) -> dict[str, float]:
    """By workload, and for all others by the empty name."""
    found: dict[str, float] = {}
    for text in given:
        name, _, number = text.rpartition("=")
        try:
            found[name.strip()] = float(number)
        except ValueError:
            found[name.strip()] = math.nan
        if not (math.isfinite(found[name.strip()]) and found[name.strip()] > 0):
            raise AskOwner(f"--capacity: {text!r}; must be a number above 0, or NAMESPACE/NAME=NUMBER")
    return found


def _asked(given: _Given) -> "Asked":
    from predictscale.cli.auditjob import Asked  # noqa: PLC0415 - heavy
    from predictscale.cli.given import calendar  # noqa: PLC0415 - the same
    from predictscale.core.slo import Slo  # noqa: PLC0415 - the same
    from predictscale.forecasters.registry import resolve  # noqa: PLC0415 - the same

    possible.violation(given.slo_violation)
    possible.not_negative("--wait-s", given.wait_s)
    possible.bounds(given.min_replicas, given.max_replicas)
    if given.price is not None:
        possible.not_negative("--price", given.price)
    chain = None
    if given.forecasters is not None:
        chain = tuple(each.strip() for each in given.forecasters.split(","))
        resolve(chain, where="--forecasters")
    return Asked(
        slo=Slo(max_violation=given.slo_violation, wait_s=given.wait_s),
        min_replicas=given.min_replicas,
        max_replicas=given.max_replicas,
        forecasters=chain,
        replay_days=given.replay_days,
        price_per_hour=given.price,
        currency=given.currency,
        calendar=calendar(given.time_zone),
    )


def _places(given: _Given) -> None:
    """Whether what is to be written can be, before an hour's work is lost."""
    for option, file in (("--out", given.out), ("--html", given.html)):
        if file is not None and not file.parent.is_dir():
            raise AskOwner(f"{option}: {file.parent} is no folder")
        if file is not None and file.is_dir():
            raise AskOwner(f"{option}: {file} is a folder; must be a file")
    if given.traces is not None and not given.traces.is_dir():
        raise AskOwner(f"--traces: {given.traces} is no folder")


def _unwritten(option: str, file: Path | None, text: str) -> list[str]:
    """Write a file; gives why it could not be, which ends nothing else."""
    try:
        if file is not None:
            file.write_text(text, encoding="utf-8")
    except OSError as fault:
        return [f"{option}: {file} cannot be written: {fault.strerror}"]
    return []


def _fail(message: str, *, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)
