"""Commands that forecast and judge forecasts on trace files, without a service.

What a model says at an instant is what the service would have been told then:
both ask the same forecasters, on windows that end there. Refuses to guess what a
file means: a line that does not fit is named.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from predictscale.cli.remote import DEFAULT_URL, Url
from predictscale.cli.remote import forecast as live_forecast
from predictscale.errors import PredictscaleError

Origins = Annotated[
    str,
    typer.Option(
        help="With --trace: how many, evenly over the last 40 % of the trace, "
        "or a file with one ISO 8601 instant per line."
    ),
]
Leads = Annotated[str, typer.Option(help="With --trace: how far ahead, in seconds or as 5m,10m,30m.")]
Levels = Annotated[str, typer.Option(help="With --trace: quantile levels between 0 and 1.")]
Refit = Annotated[str, typer.Option(help="With --trace: how old a fit may become before the next one.")]
TimeZone = Annotated[
    str, typer.Option(help="With --trace: whose clock its days and weeks follow, such as Europe/Berlin.")
]
Holidays = Annotated[
    str | None,
    typer.Option(
        help="With --trace: whose public holidays it keeps: the code of a country or a part of it, as DE-BY."
    ),
]
_LEADS = "300,600,1800"
_LEVELS = "0.5,0.9,0.95,0.99"


def forecast(
    workload: Annotated[
        str | None, typer.Argument(help="NAMESPACE/NAME of a running service's workload.")
    ] = None,
    *,
    url: Url = DEFAULT_URL,
    trace: Annotated[
        Path | None, typer.Option(help="Instead of a workload: a CSV file with the columns timestamp,value.")
    ] = None,
    origins: Origins = "200",
    leads: Leads = _LEADS,
    levels: Levels = _LEVELS,
    model: Annotated[str, typer.Option(help="With --trace: auto, or a forecaster's name.")] = "auto",
    refit: Refit = "1d",
    time_zone: TimeZone = "UTC",
    holidays: Holidays = None,
    out: Annotated[
        Path | None, typer.Option(help="With --trace: the CSV file to write; without it, standard output.")
    ] = None,
) -> None:
    """What is about to arrive at a workload, or what would have been said at past instants of a trace."""
    if workload is not None and trace is None:
        live_forecast(workload, url)
    elif trace is not None and workload is None:
        _forecast_trace(
            trace,
            origins=origins,
            leads=leads,
            levels=levels,
            model=model,
            refit=refit,
            whose=(time_zone, holidays),
            out=out,
        )
    else:
        given = "both" if workload is not None else "neither"
        _fail(
            f"WORKLOAD or --trace: {given} given; must be one of them, a running service's workload or a file"
        )


def evaluate(
    more: Annotated[list[Path] | None, typer.Argument(help="More traces.", metavar="[FILE]...")] = None,
    *,
    trace: Annotated[
        list[Path] | None, typer.Option(help="A CSV file with the columns timestamp,value; one or more.")
    ] = None,
    models: Annotated[
        str | None, typer.Option(help="Forecasters, such as last-value,auto; all if not given.")
    ] = None,
    origins: Origins = "200",
    leads: Leads = _LEADS,
    levels: Levels = _LEVELS,
    refit: Refit = "1d",
    time_zone: TimeZone = "UTC",
    holidays: Holidays = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Judge models on traces by rolling origins: none sees what came after the instant it is asked at."""
    from rich.console import Console  # noqa: PLC0415 - heavy, with the two below

    from predictscale.cli import given, told  # noqa: PLC0415 - numpy and the models
    from predictscale.forecasters.evaluate import rolling  # noqa: PLC0415 - the same
    from predictscale.sources.files import load_csv  # noqa: PLC0415 - the same

    files = [*(trace or ()), *(more or ())]
    if not files:
        _fail("--trace: none given; must be one or more CSV files with the columns timestamp,value")
    try:
        refit_s, leads_s, asked = given.span_s(refit, "--refit"), given.leads_s(leads), given.levels(levels)
        context = given.context(time_zone, holidays)
        reports = []
        for file in files:
            window = load_csv(file)
            judged = given.models(models, window, refit_s=refit_s, context=context)
            at = given.origins(origins, window, ahead_s=max(leads_s), trace=file)
            said = [
                rolling(one, window, origins=at, leads_s=leads_s, levels=asked, refit_s=refit_s)
                for one in judged
            ]
            reports.append(told.judgement(file.name, window, said))
    except PredictscaleError as wrong:
        _fail(str(wrong))
    if as_json:
        typer.echo(json.dumps({"refit_s": refit_s, "traces": reports}, indent=2, allow_nan=False))
    else:
        console = Console()
        for report in reports:
            console.print(*told.judgement_tables(report))


def _forecast_trace(
    trace: Path,
    *,
    origins: str,
    leads: str,
    levels: str,
    model: str,
    refit: str,
    whose: tuple[str, str | None],
    out: Path | None,
) -> None:
    """Forecasts of one model from origins of one trace, as CSV."""
    from predictscale.cli import given, told  # noqa: PLC0415 - numpy and the models
    from predictscale.forecasters.evaluate import rolling  # noqa: PLC0415 - the same
    from predictscale.sources.files import load_csv  # noqa: PLC0415 - the same

    if out is not None and not out.parent.is_dir():
        _fail(f"--out: {out.parent} is no folder")
    try:
        refit_s, leads_s = given.span_s(refit, "--refit"), given.leads_s(leads)
        asked, context = given.levels(levels), given.context(*whose)
        window = load_csv(trace)
        one = given.model(model, window, refit_s=refit_s, context=context)
        at = given.origins(origins, window, ahead_s=max(leads_s), trace=trace)
        said = rolling(one, window, origins=at, leads_s=leads_s, levels=asked, refit_s=refit_s)
    except PredictscaleError as wrong:
        _fail(str(wrong))
    if out is None:
        told.write_forecasts(sys.stdout, said)
    else:
        try:
            with out.open("w", encoding="utf-8", newline="") as file:
                told.write_forecasts(file, said)
        except OSError as wrong:
            _fail(f"--out: {wrong}")
    if said.failures:
        first = said.failures[0]
        typer.echo(
            f"{trace}: {said.model} could not answer at {len(said.failures)} of {len(at)} origins, where the "
            f"last value stands in if it can; the first is {told.instant(first.origin)}: {first.reason}",
            err=True,
        )


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
