"""Which settings meet an objective: those of a running service, or for a trace without one."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from predictscale.cli import possible
from predictscale.cli.remote import DEFAULT_URL, Url, get
from predictscale.errors import AskOwner, PredictscaleError


def tune(
    workload: Annotated[
        str | None, typer.Argument(help="NAMESPACE/NAME of a running service's workload.")
    ] = None,
    *,
    url: Url = DEFAULT_URL,
    trace: Annotated[
        Path | None, typer.Option(help="Instead of a workload: a CSV file with the columns timestamp,value.")
    ] = None,
    capacity_per_replica: Annotated[
        float | None, typer.Option(help="With --trace: demand per second that one replica serves.")
    ] = None,
    lead_time_s: Annotated[
        float, typer.Option(help="With --trace: seconds from a decision to serving replicas.")
    ] = 240.0,
    slo_violation: Annotated[
        float, typer.Option(help="With --trace: the share of demand that may be late.")
    ] = 0.005,
    wait_s: Annotated[float, typer.Option(help="With --trace: seconds that demand may wait.")] = 5.0,
    min_replicas: Annotated[int, typer.Option("--min", help="With --trace: never fewer replicas.")] = 1,
    max_replicas: Annotated[int, typer.Option("--max", help="With --trace: never more replicas.")] = 1000,
    model: Annotated[str, typer.Option(help="With --trace: the forecaster.")] = "native",
    plot: Annotated[Path | None, typer.Option(help="With --trace: write the frontier as a picture.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Settings that meet an objective: what a service chose, or what a trace recommends."""
    if (workload is None) == (trace is None):
        given = "both" if workload is not None else "neither"
        _fail(f"WORKLOAD or --trace: {given} given; must be a running service's workload or a file")
    if trace is None:
        assert workload is not None  # noqa: S101 - one of them is given
        _show(get(url, workload, "tuning"), title=workload, as_json=as_json)
        return
    if capacity_per_replica is None:
        _fail("--capacity-per-replica: is missing; must be demand per second that one replica serves")
    _require(capacity_per_replica, lead_time_s, slo_violation, wait_s, (min_replicas, max_replicas))
    from predictscale.core.capacity import CapacityModel  # noqa: PLC0415 - numpy and the models
    from predictscale.core.plan import Policy  # noqa: PLC0415 - the same
    from predictscale.core.slo import Slo  # noqa: PLC0415 - the same
    from predictscale.simulate.recommend import draw, recommend  # noqa: PLC0415 - the same
    from predictscale.sources.files import load_csv  # noqa: PLC0415 - the same

    if plot is not None and not plot.parent.is_dir():
        _fail(f"--plot: {plot.parent} is no folder")
    if plot is not None and find_spec("matplotlib") is None:
        _fail("--plot: needs matplotlib, which is not here; pip install predictscale[plots]")
    try:
        slo = Slo(max_violation=slo_violation, wait_s=wait_s)
        policy = Policy(
            capacity=CapacityModel(capacity_per_replica),
            lead_time_s=lead_time_s,
            level=min(max(1 - slo_violation, 0.5), 0.995),
            min_replicas=min_replicas,
            max_replicas=max_replicas,
        )
        found = recommend(
            load_csv(trace), policy=policy, slo=slo, forecasters=tuple(dict.fromkeys((model, "last-value")))
        )
    except (PredictscaleError, ValueError) as wrong:
        _fail(str(wrong))
    if plot is not None:
        draw(found, slo, plot)
    _show(_told(found.choice), title=trace.name, as_json=as_json)


def _require(
    capacity: float, lead_time_s: float, slo_violation: float, wait_s: float, bounds: tuple[int, int]
) -> None:
    """Refuse what cannot be, by the option that it came by."""
    try:
        possible.positive("--capacity-per-replica", capacity)
        possible.lead_time(lead_time_s)
        possible.violation(slo_violation)
        possible.not_negative("--wait-s", wait_s)
        possible.bounds(*bounds)
    except AskOwner as wrong:
        _fail(str(wrong))


def _told(choice: Any) -> dict[str, Any]:
    """A choice in the words of REST."""

    def knobs(each: Any) -> dict[str, Any]:
        return {
            "kind": each.kind.value,
            "quantile": each.level,
            "margin": each.margin,
            "limit": each.limit,
            "headroom": each.headroom,
            "hold_s": each.hold_s,
        }

    return {
        "knobs": knobs(choice.knobs),
        "because": choice.because,
        "choice": {
            "asked": choice.asked,
            "replayed_s": choice.replayed_s,
            "compared": choice.compared,
            "scores": [
                {"knobs": knobs(s.knobs), "violation": s.violation, "replica_hours": s.replica_hours}
                for s in choice.scores
            ],
        },
    }


def _show(told: dict[str, Any], *, title: str, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(told, indent=2, allow_nan=False))
        return
    from rich.console import Console  # noqa: PLC0415 - only a table needs it
    from rich.table import Table  # noqa: PLC0415 - the same

    console = Console()
    console.print(f"{title}: {_line(told['knobs'])}", highlight=False, markup=False)
    console.print(told["because"], highlight=False, markup=False)
    if "budget_spent" in told:
        console.print(
            f"{told['violation']:.3%} was late, {told['slo']['max_violation']:.3%} may be; "
            f"{told['budget_spent']:.0%} of the budget is spent.",
            highlight=False,
            markup=False,
        )
    choice = told["choice"]
    if choice is None or not choice["scores"]:
        return
    table = Table(
        title=f"Of {choice['compared']}, over {choice['replayed_s'] / 86400:.1f} days.", title_justify="left"
    )
    table.add_column("settings")
    table.add_column("late", justify="right", no_wrap=True)
    table.add_column("replica-hours", justify="right", no_wrap=True)
    for score in choice["scores"]:
        table.add_row(_line(score["knobs"]), f"{score['violation']:.3%}", f"{score['replica_hours']:,.0f}")
    console.print(table)


def _line(knobs: dict[str, Any]) -> str:
    """Settings in words, as the service's file would have them."""
    from predictscale.core.knobs import Knobs  # noqa: PLC0415 - numpy-free, but behind core

    told = {name: value for name, value in knobs.items() if name not in ("kind", "quantile")}
    return str(Knobs(level=knobs["quantile"], **told))


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
