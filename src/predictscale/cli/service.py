"""Commands that run the service: for a cluster, or beside a simulated one."""

import asyncio
import os
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated

import typer

from predictscale.errors import PredictscaleError

GrpcPort = Annotated[int | None, typer.Option(help="Port for KEDA; 0 is any free one.")]
HttpPort = Annotated[int | None, typer.Option(help="Port for REST and the page; 0 is any free one.")]
MetricsPort = Annotated[int | None, typer.Option(help="Port for our own metrics; 0 is any free one.")]


def serve(
    config: Annotated[Path | None, typer.Option(help="The service's YAML file.", exists=False)] = None,
    grpc_port: GrpcPort = None,
    http_port: HttpPort = None,
    metrics_port: MetricsPort = None,
) -> None:
    """Serve KEDA from Prometheus, as the settings say."""
    from predictscale.bootstrap import Service, configure_logging  # noqa: PLC0415 - heavy
    from predictscale.config.load import load_service  # noqa: PLC0415 - with the one above

    async def run() -> None:
        settings = load_service(config, env=os.environ, overrides=_ports(grpc_port, http_port, metrics_port))
        configure_logging(level=settings.log.level, as_json=settings.log.format == "json")
        service = Service(settings)
        await service.start()
        for line in service.addresses():
            typer.echo(line)
        await service.run_until_told()

    _run(run())


def demo(
    grpc_port: GrpcPort = None,
    http_port: HttpPort = None,
    metrics_port: MetricsPort = None,
    speed: Annotated[float, typer.Option(help="Replayed seconds per second of life.")] = 60.0,
    stop_after: Annotated[
        float | None, typer.Option(help="Stop after so many replayed hours; without it, on Ctrl-C.")
    ] = None,
) -> None:
    """Serve three weeks of synthetic history, with stand-ins for KEDA, the HPA and a fleet. Needs nothing."""
    from predictscale.demo import run_demo  # noqa: PLC0415 - heavy

    ports = _ports(grpc_port, http_port, metrics_port)
    _run(run_demo(ports, speed=speed, stop_after_h=stop_after, tell=typer.echo))


def _ports(grpc: int | None, http: int | None, metrics: int | None) -> dict[str, dict[str, int]]:
    """The settings that flags override."""
    given = {"grpc": grpc, "http": http, "metrics": metrics}
    return {part: {"port": port} for part, port in given.items() if port is not None}


def _run(work: Coroutine[object, object, None]) -> None:
    try:
        asyncio.run(work)
    except PredictscaleError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
