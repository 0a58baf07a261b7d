"""The command line: parse, call, print. Heavy imports stay inside the command that needs them."""

import io
import os
import sys
from typing import Final

import typer

from predictscale import __version__
from predictscale.cli.audit import audit, report
from predictscale.cli.backtest import backtest
from predictscale.cli.canary import canary
from predictscale.cli.capacity import capacity
from predictscale.cli.discover import discover
from predictscale.cli.events import events
from predictscale.cli.explain import explain
from predictscale.cli.local import check, render
from predictscale.cli.offline import evaluate, forecast
from predictscale.cli.promote import promote
from predictscale.cli.remote import plan
from predictscale.cli.service import demo, serve
from predictscale.cli.top import top
from predictscale.cli.tuning import tune
from predictscale.cli.whatif import whatif

_ONE_THREAD: Final = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

app = typer.Typer(
    name="predictscale",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Predictive autoscaling for ML and LLM endpoints, as a KEDA external scaler.",
)
app.command()(serve)
app.command()(demo)
app.command()(plan)
app.command()(explain)
app.command()(top)
app.command()(forecast)
app.command()(evaluate)
app.command()(backtest)
app.command()(tune)
app.command()(whatif)
app.command()(promote)
app.add_typer(canary, name="canary")
app.command()(capacity)
app.command()(discover)
app.command()(audit)
app.command()(report)
app.add_typer(events, name="events")
app.command()(check)
app.command()(render)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)


def main() -> None:
    """Run the command line.

    Linear algebra gets one thread unless the environment says otherwise. Our matrices are small, and threads
    wait for one another by spinning: one for each core of a node, in a container that may use half of
    one, makes a fit take many times as long.
    """
    # Read when numpy is loaded, which is when a command needs it.
    for name in _ONE_THREAD:
        os.environ.setdefault(name, "1")
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Where a terminal has no sign for a dash, a question mark stands there and no traceback.
        sys.stdout.reconfigure(errors="replace")
    app()
