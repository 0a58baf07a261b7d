"""What a replica of a running service's workload serves, and how that is known."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from predictscale.cli.figures import figure
from predictscale.cli.remote import DEFAULT_URL, Url, Workload, get

if TYPE_CHECKING:
    from rich.table import Table

_ORIGINS = {
    "configured": "the owner's figure",
    "start": "a start, until it is learned",
    "learned": "learned from the workload's own pods",
}


def capacity(
    workload: Workload,
    *,
    url: Url = DEFAULT_URL,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """What a replica serves: the fitted law, its error, the limit that binds, replicas by demand."""
    told = get(url, workload, "capacity")
    if as_json:
        typer.echo(json.dumps(told, indent=2, allow_nan=False))
        return
    from rich.console import Console  # noqa: PLC0415 - only a table needs it

    console = Console()
    for line in lines(workload, told):
        console.print(line, highlight=False, markup=False)
    if told["latencies"]:
        console.print(_latencies(told))
    if told["curve"]:
        console.print(_curve(told))


def lines(workload: str, told: dict[str, Any]) -> list[str]:
    """The law in words and numbers."""
    each = told["per_replica"]
    serves = "unknown" if each is None else f"{figure(each)} {told['unit']} per replica"
    said = [f"{workload}: {serves}, {_ORIGINS[told['origin']]}"]
    if told["targets"] is not None:
        said.append(f"promised: {_promises(told['targets'])}")
    if told["mix"] is not None:
        mix = told["mix"]
        said.append(
            f"mean request: {mix['input_tokens']:,.0f} input tokens ({mix['cached_share']:.0%} cached), "
            f"{mix['output_tokens']:,.0f} output tokens; peakedness {told['peakedness']:.3g}"
        )
    if told["law"] is not None:
        said += _law(told["law"])
    elif told["why_not_learned"]:
        said.append(f"no law: {told['why_not_learned']}")
    if told["engine"] is not None:
        limits = {name: value for name, value in told["engine"].items() if value is not None}
        known = ", ".join(f"{name} {value:,.0f}" for name, value in limits.items())
        said.append(f"a replica's own limits: {known or 'unknown'}")
    return [*said, f"now: {told['because']}"]


def _promises(targets: dict[str, Any]) -> str:
    said = [f"mean latency {_ms(targets['itl_s'])}"]
    if targets["ttft_p95_s"] is not None:
        said.append(f"p95 time to first token {_ms(targets['ttft_p95_s'])}")
    if targets["queue_s"]:
        said.append(f"{_ms(targets['queue_s'])} in the queue")
    return ", ".join(said)


def _law(law: dict[str, Any]) -> list[str]:
    alpha, beta, gamma = law["errors_s"]
    said = ["law: latency = empty / (1 - U), U = output/s x per output + input/s x per input"]
    said.append(
        f"  empty {_ms(law['empty_s'])} ± {_ms(alpha)}; per output {_us(law['per_output_s'])} ± {_us(beta)}; "
        f"per input {_us(law['per_input_s'])} ± {_us(gamma)}"
    )
    if law["per_context_s"]:
        said.append(
            f"  an output token costs {_us(100 * law['per_context_s'])} more for each 100 tokens of context "
            f"beyond {law['context_tokens']:,.0f}"
        )
    if law["ttft"] is not None:
        said.append(
            f"  p95 time to first token per uncached input token: {_us(law['ttft']['base_s'])} + "
            f"{_us(law['ttft']['slope_s'])} x (latency / empty - 1)"
        )
    left = ", ".join(f"{count} {reason}" for reason, count in law["left_out"].items() if count)
    said.append(
        f"  misses by {law['mape']:.1%} on average; {law['windows']:,} windows of the last "
        f"{law['span_s'] / 3600:.0f} h, the fullest at {law['highest_utilization']:.0%}; "
        f"left out: {left or 'none'}"
    )
    return said


def _latencies(told: dict[str, Any]) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - only this command draws

    table = Table(title="One replica by utilisation.", title_justify="left")
    for head in ("utilisation", "latency", "p95 TTFT", "output/s", ""):
        table.add_column(head, justify="left" if not head else "right", no_wrap=True)
    for row in told["latencies"]:
        table.add_row(
            f"{row['utilization']:.0%}",
            _ms(row["itl_s"]),
            "-" if row["ttft_p95_s"] is None else _ms(row["ttft_p95_s"]),
            figure(row["output_per_s"]),
            "as full as promised" if row["boundary"] else "",
        )
    return table


def _curve(told: dict[str, Any]) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - only this command draws

    table = Table(title="Replicas by demand.", title_justify="left")
    for head in ("of the present", told["unit"], "replicas", "binds"):
        table.add_column(head, justify="left" if head == "binds" else "right", no_wrap=True)
    for row in told["curve"]:
        table.add_row(f"{row['share']:.0%}", figure(row["demand"]), f"{row['replicas']:,}", row["binding"])
    return table


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.3g} µs"
