"""Commands that need no running service: check what was written, render what should be."""

import os
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from predictscale.errors import AskOwner

ServiceFile = Annotated[
    Path | None, typer.Option(help="The service's YAML file: its limits, defaults and named workloads.")
]


def check(
    file: Annotated[Path, typer.Argument(help="A service file, or manifests with ScaledObjects.")],
    service: ServiceFile = None,
) -> None:
    """Check a service file, or the external triggers of ScaledObject manifests; all problems at once."""
    from predictscale.bootstrap import forecaster_problems  # noqa: PLC0415 - heavy
    from predictscale.config.load import load_service  # noqa: PLC0415 - with the one above
    from predictscale.config.manifests import check_file  # noqa: PLC0415 - the same

    try:
        settings = load_service(service, env=os.environ) if service is not None else None
        checked = check_file(file, service=settings)
        problems = [*checked.problems]
        if checked.is_service and not problems:
            problems += forecaster_problems(load_service(file))
    except AskOwner as wrong:
        _fail(str(wrong))
    for note in checked.notes:
        typer.echo(f"{file}: {note}")
    for warning in checked.warnings:
        typer.echo(f"{file}: warning: {warning}", err=True)
    for problem in problems:
        typer.echo(f"{file}: {problem}", err=True)
    if problems:
        raise typer.Exit(2)
    if not checked.subjects:
        _fail(f"{file}: holds neither the service's settings nor a ScaledObject with an external trigger")
    typer.echo(f"{file}: good: {', '.join(checked.subjects)}")


def render(
    name: Annotated[str, typer.Argument(help="NAMESPACE/NAME of the ScaledObject.")],
    metadata: Annotated[
        list[str], typer.Argument(help="KEY=VALUE of the trigger's metadata, such as backend=vllm.")
    ],
    target: Annotated[
        str | None, typer.Option(help="The Deployment to scale, if not in the metadata.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="The service's host:port within the cluster.")] = None,
    service: ServiceFile = None,
) -> None:
    """Print a ready ScaledObject that lands exactly where the service says."""
    from predictscale.config.load import load_service  # noqa: PLC0415 - heavy
    from predictscale.config.render import DEFAULT_ADDRESS, render_scaled_object  # noqa: PLC0415 - the same

    namespace, slash, object_name = name.partition("/")
    if not (namespace and slash and object_name):
        _fail(f"{name}: must be NAMESPACE/NAME")
    pairs = dict(pair.partition("=")[::2] for pair in metadata)
    if unpaired := [pair for pair in metadata if "=" not in pair]:
        _fail(f"{', '.join(unpaired)}: must be KEY=VALUE")
    try:
        settings = load_service(service, env=os.environ)
        manifest = render_scaled_object(
            namespace=namespace,
            name=object_name,
            metadata=pairs,
            service=settings,
            presets=settings.presets(),
            target=target,
            scaler_address=address or DEFAULT_ADDRESS,
        )
    except AskOwner as wrong:
        _fail(str(wrong))
    typer.echo(manifest, nl=False)


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
