"""The command that lives through a recorded past with our policy and with others.

What it decides at a step is what the service would have decided there: `simulate.relive` takes
`control.step` itself at every tick, on forecasts that are made together. Refuses to
tell of a policy anything that it learnt after the fact.
"""

import asyncio
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from predictscale.cli import possible
from predictscale.errors import AskOwner, PredictscaleError

if TYPE_CHECKING:
    from predictscale.cli.simulated import Recorded, Served
    from predictscale.config.settings import ServiceSettings
    from predictscale.core.slo import Slo
    from predictscale.simulate.backtest import Trial
    from predictscale.simulate.plant import Counts
    from predictscale.simulate.relive import Past, Relived

Tell = Callable[[int], None]

_TOLD_EVERY = 50


def backtest(
    *,
    trace: Annotated[Path | None, typer.Option(help="A CSV file with the columns timestamp,value.")] = None,
    prometheus: Annotated[
        str | None,
        typer.Option(help="Instead of --trace: where --workload's history is read, and only read."),
    ] = None,
    days: Annotated[float, typer.Option(help="With --prometheus: how much of it.")] = 14.0,
    workload: Annotated[
        Path | None,
        typer.Option(help="YAML: one workload as in the service's settings, or the service's file itself."),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="NAMESPACE/NAME, where the file has several workloads.")
    ] = None,
    capacity_per_replica: Annotated[
        float | None, typer.Option(help="Without --workload: demand per second that one replica serves.")
    ] = None,
    lead_time_s: Annotated[
        float | None, typer.Option(help="Without --workload: seconds from a decision to serving replicas.")
    ] = None,
    slo_violation: Annotated[
        float | None,
        typer.Option(
            help="Without --workload: the share of demand that may be late, such as 0.01. Settings are then "
            "chosen hourly from the past alone; without it --quantile serves throughout."
        ),
    ] = None,
    quantile: Annotated[
        float | None,
        typer.Option(help="Without --workload: the quantile of demand that is covered; 0.95 if not given."),
    ] = None,
    wait_s: Annotated[
        float | None,
        typer.Option(help="Demand that waits longer is late, in seconds; 5, or what the workload says."),
    ] = None,
    min_replicas: Annotated[
        int | None, typer.Option("--min", help="Without --workload: never fewer; 1 if not given.")
    ] = None,
    max_replicas: Annotated[
        int | None, typer.Option("--max", help="Without --workload: never more; 1000 if not given.")
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(
            help="Without --workload: whose clock its days and weeks follow, such as Europe/Berlin; "
            "UTC if not given."
        ),
    ] = None,
    train_until: Annotated[
        str | None,
        typer.Option(help="When scoring begins, ISO 8601; after 65 % of the record if not given."),
    ] = None,
    actuation: Annotated[
        str, typer.Option(help="From a policy to the Deployment: direct, hpa or hpa-exact.")
    ] = "hpa-exact",
    policies: Annotated[
        str, typer.Option(help="all, or names joined by commas; ours is called predictscale.")
    ] = "all",
    forecasters: Annotated[
        str | None,
        typer.Option(
            help="The chain of models, joined by commas; the workload's own, or "
            "native,seasonal-naive-day,last-value for a bare trace. auto takes a second for each hour."
        ),
    ] = None,
    fine: Annotated[
        str,
        typer.Option(help="A trace coarser than a minute: held throughout each bin, or drawn by a bridge."),
    ] = "held",
    spot_trace: Annotated[
        Path | None, typer.Option(help="CSV timestamp,value of nodes to be had, from the scored part on.")
    ] = None,
    decisions: Annotated[
        Path | None, typer.Option(help="The CSV file timestamp,desired of our policy to write.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, no table.")] = False,
) -> None:
    """Live through a recorded past: what our policy and others would have asked for, and what came of it.

    Our decisions are made by the service's own step, one tick after the other, on forecasts that are made
    together; each sees what had ended by then. A sample of the record is the demand of every 15-s step that
    it covers, and is known once that step has ended. With an objective, settings are chosen hourly by replay
    of the five days before; other policies choose theirs by the same rule. A queue is seen with --prometheus
    alone, as it was recorded.

    DECISIONS has one row for each 15-s step of the scored part: the step's beginning, and the replicas that
    are desired from then on.

    JSON: record, workload, from, until, steps, step_s, samples, actuation, asked {max_violation, wait_s},
    capacity_per_replica, lead_time_s, min_replicas, max_replicas, and policies, a list of {policy, violation
    (share of demand late), replica_hours, cost_to_clairvoyant, cost_to_static (replica-hours as multiples of
    the cheapest plan with perfect knowledge, and of a fixed fleet for the highest demand), scale_events,
    settings, coverage}. The last two are of ours alone: settings in force at the end, and {lead_s, levels,
    coverage, pinball, scored}: the share of peaks within the lead time at or below each forecast quantile.
    """
    from predictscale.bootstrap import configure_logging  # noqa: PLC0415 - heavy, with all below
    from predictscale.cli.backtested import report_of, show, write_decisions  # noqa: PLC0415 - the same
    from predictscale.simulate.audit import OURS  # noqa: PLC0415 - the same

    configure_logging(level="error", as_json=False)
    try:
        _one_record(trace, prometheus)
        asked = _asked(slo_violation, quantile, wait_s)
        chosen = _chosen(policies, decisions)
        given = {
            "--capacity-per-replica": capacity_per_replica, "--lead-time-s": lead_time_s,
            "--slo-violation": slo_violation, "--quantile": quantile, "--min": min_replicas,
            "--max": max_replicas, "--time-zone": time_zone,
        }  # fmt: skip
        served, service = _workload(
            workload,
            name,
            prometheus,
            given,
            asked,
            quantile=quantile,
            wait_s=5.0 if wait_s is None else wait_s,
        )
        recorded = _record(trace, served, service, days=days, fine=fine)
        trial, past = _parts(
            served, recorded, forecasters=forecasters, train_until=train_until, wait_s=wait_s,
            actuation=actuation, spot_trace=spot_trace,
        )  # fmt: skip
        plans, ours = _lived(trial, past, chosen)
        report = {
            "record": trace.name if trace is not None else "prometheus",
            "workload": str(past.workload),
            "samples": recorded.note,
            **report_of(trial, past, plans, ours),
        }
        if decisions is not None:
            write_decisions(decisions, trial, plans[OURS])
    except (PredictscaleError, OSError) as wrong:
        _fail(str(wrong))
    if as_json:
        typer.echo(json.dumps(report, indent=2, allow_nan=False))
    else:
        show(report)


def _one_record(trace: Path | None, prometheus: str | None) -> None:
    if (trace is None) == (prometheus is None):
        came = "both" if trace is not None else "neither"
        raise AskOwner(f"--trace or --prometheus: {came} given; must be a file, or where to read history")


def _asked(slo_violation: float | None, quantile: float | None, wait_s: float | None) -> "Slo | None":
    """The objective that the numbers give."""
    from predictscale.core.slo import Slo  # noqa: PLC0415 - numpy

    if wait_s is not None:
        possible.not_negative("--wait-s", wait_s)
    if quantile is not None and not 0.5 <= quantile <= 0.995:
        raise AskOwner(f"--quantile: {quantile:g}; must lie within 0.5 and 0.995, which is what is forecast")
    if slo_violation is None:
        return None
    if quantile is not None:
        raise AskOwner("--quantile: is given with --slo-violation; give one of them, each implies the other")
    return Slo(max_violation=possible.violation(slo_violation), wait_s=5.0 if wait_s is None else wait_s)


def _chosen(policies: str, decisions: Path | None) -> list[str]:
    """The policies that are wanted, ours first."""
    from predictscale.simulate.audit import KNOWN, OURS  # noqa: PLC0415 - numpy

    wanted = [*KNOWN] if policies == "all" else [each.strip() for each in policies.split(",")]
    if unknown := [each for each in wanted if each not in KNOWN]:
        raise AskOwner(f"--policies: {', '.join(map(repr, unknown))}; must be all, or of {', '.join(KNOWN)}")
    if decisions is not None and OURS not in wanted:
        raise AskOwner(f"--decisions: are those of {OURS}, which --policies leaves out")
    if decisions is not None and not decisions.parent.is_dir():
        raise AskOwner(f"--decisions: {decisions.parent} is no folder")
    return [each for each in KNOWN if each in wanted]


def _workload(
    file: Path | None,
    name: str | None,
    prometheus: str | None,
    given: dict[str, Any],
    slo: "Slo | None",
    *,
    quantile: float | None,
    wait_s: float,
) -> "tuple[Served, ServiceSettings | None]":
    from predictscale.cli import simulated  # noqa: PLC0415 - numpy and the models
    from predictscale.cli.given import calendar  # noqa: PLC0415 - the same

    if file is None:
        if name is not None:
            raise AskOwner("--name: chooses a workload of --workload, which is not given")
        if prometheus is not None:
            raise AskOwner("--prometheus: needs --workload, whose queries it is asked")
        numbers = simulated.by_numbers(
            capacity_per_replica=given["--capacity-per-replica"],
            lead_time_s=given["--lead-time-s"],
            slo=slo,
            quantile=0.95 if quantile is None else quantile,
            wait_s=wait_s,
            min_replicas=1 if given["--min"] is None else given["--min"],
            max_replicas=1000 if given["--max"] is None else given["--max"],
            calendar=calendar("UTC" if given["--time-zone"] is None else given["--time-zone"]),
        )
        return numbers, None
    if twice := [option for option, value in given.items() if value is not None]:
        raise AskOwner(f"{', '.join(twice)}: given with --workload, which says it; leave it out")
    overrides = {} if prometheus is None else {"prometheus": {"url": prometheus}}
    return simulated.of_file(file, name=name, overrides=overrides)


def _record(
    trace: Path | None,
    served: "Served",
    service: "ServiceSettings | None",
    *,
    days: float,
    fine: str,
) -> "Recorded":
    from predictscale.cli import simulated  # noqa: PLC0415 - numpy and the models

    if fine not in ("held", "bridge"):
        raise AskOwner(f"--fine: {fine!r}; must be held or bridge")
    if trace is not None:
        return simulated.of_trace(trace, served, bridge=fine == "bridge")
    if not (math.isfinite(days) and 0 < days <= 400):
        raise AskOwner(f"--days: {days:g}; must be above 0, at most 400")
    assert service is not None  # noqa: S101 - `_workload` wants a file with --prometheus
    return asyncio.run(simulated.of_prometheus(served, service, days=days))


def _parts(
    served: "Served",
    recorded: "Recorded",
    *,
    forecasters: str | None,
    train_until: str | None,
    wait_s: float | None,
    actuation: str,
    spot_trace: Path | None,
) -> "tuple[Trial, Past]":
    from predictscale.cli import simulated  # noqa: PLC0415 - numpy and the models
    from predictscale.simulate.actuation import Actuation  # noqa: PLC0415 - the same

    ways = [way.value for way in Actuation]
    if actuation not in ways:
        raise AskOwner(f"--actuation: {actuation!r}; must be one of {', '.join(ways)}")
    slo = served.settings.slo
    trial = simulated.trial_of(
        served,
        recorded.demand,
        train_until=train_until,
        wait_s=wait_s if wait_s is not None else slo.wait_s if slo is not None else 5.0,
        actuation=Actuation(actuation),
        nodes=spot_trace,
    )
    chain = None if forecasters is None else tuple(each.strip() for each in forecasters.split(","))
    return trial, simulated.past_of(served, recorded, forecasters=chain)


def _lived(trial: "Trial", past: "Past", chosen: list[str]) -> "tuple[Mapping[str, Counts], Relived | None]":
    """What each of the policies asked for in the scored part, and how ours came to it."""
    from predictscale.simulate.audit import lived  # noqa: PLC0415 - numpy

    with _progress() as track:
        done = asyncio.run(lived(trial, past, chosen, track=track))
    return done.plans, done.ours


@contextmanager
def _progress() -> "Iterator[Callable[[str, int], Tell]]":
    """Bars on standard error, where somebody looks at it."""
    from rich.console import Console  # noqa: PLC0415 - only this command draws
    from rich.progress import Progress  # noqa: PLC0415 - the same

    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bars:

        def track(name: str, total: int) -> Tell:
            bar = bars.add_task(name, total=total)

            def told(place: int) -> None:
                if place % _TOLD_EVERY == 0 or place + 1 == total:
                    bars.update(bar, completed=place + 1)

            return told

        yield track


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
