"""Check what was written, render what should be; only warm nodes may ask a running service."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NoReturn

import typer

from predictscale.cli.remote import DEFAULT_URL, Url
from predictscale.errors import AskOwner, Problem, SettingsError

if TYPE_CHECKING:
    from predictscale.config.settings import ServiceSettings

ServiceFile = Annotated[
    Path | None, typer.Option(help="The service's YAML file: its limits, defaults and named workloads.")
]


def check(
    files: Annotated[list[Path], typer.Argument(help="Service files, or manifests with ScaledObjects.")],
    service: ServiceFile = None,
) -> None:
    """Check service files, or the external triggers of ScaledObject manifests; all problems at once."""
    from predictscale.config.load import load_service  # noqa: PLC0415 - heavy

    try:
        settings = load_service(service, env=os.environ) if service is not None else None
    except AskOwner as wrong:
        _fail(str(wrong))
    good = [_checked(file, settings) for file in files]
    if not all(good):
        raise typer.Exit(2)


def _checked(file: Path, service: "ServiceSettings | None") -> bool:
    """Whether a file is good; tells why not."""
    from predictscale.bootstrap import forecaster_problems  # noqa: PLC0415 - heavy
    from predictscale.config.load import load_service  # noqa: PLC0415 - with the one above
    from predictscale.config.manifests import check_file  # noqa: PLC0415 - the same

    try:
        checked = check_file(file, service=service)
        problems = [*checked.problems]
        if checked.is_service and not problems:
            problems += forecaster_problems(load_service(file))
    except AskOwner as wrong:
        typer.echo(str(wrong), err=True)
        return False
    for note in checked.notes:
        typer.echo(f"{file}: {note}")
    for warning in checked.warnings:
        typer.echo(f"{file}: warning: {warning}", err=True)
    for problem in problems:
        typer.echo(f"{file}: {problem}", err=True)
    if problems:
        return False
    if not checked.subjects:
        nothing = "holds neither the service's settings nor a ScaledObject with an external trigger"
        typer.echo(f"{file}: {nothing}", err=True)
        return False
    typer.echo(f"{file}: good: {', '.join(checked.subjects)}")
    return True


def render(
    name: Annotated[
        str, typer.Argument(help="NAMESPACE/NAME of the ScaledObject; for warm nodes, of the workload.")
    ],
    metadata: Annotated[
        list[str],
        typer.Argument(
            help="KEY=VALUE of the trigger's metadata, such as backend=vllm; for warm nodes, "
            "gpusPerNode=8 with nodes=2, replicas=9 or wake=4m."
        ),
    ],
    *,
    target: Annotated[
        str | None, typer.Option(help="The Deployment to scale, if not in the metadata.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="The service's host:port within the cluster.")] = None,
    service: ServiceFile = None,
    warm_nodes: Annotated[
        Literal["buffer", "placeholder"] | None,
        typer.Option(
            help="Instead, nodes that stand ready and empty: a CapacityBuffer, or a placeholder Deployment."
        ),
    ] = None,
    url: Url = DEFAULT_URL,
) -> None:
    """Print a ready ScaledObject that lands exactly where the service says.

    With --warm-nodes, print what keeps nodes ready for its replicas. As many as nodes= or replicas= say;
    or, with wake=4m, for the replicas that may be wanted while a new node starts, by the forecast of the
    service at --url.

    Further keys: level, gpusPerReplica, gpuResource, nodeSelector (a=b,c=d), tolerations
    (key=value:NoSchedule,...), image, api.
    """
    namespace, slash, object_name = name.partition("/")
    if not (namespace and slash and object_name):
        _fail(f"{name}: must be NAMESPACE/NAME")
    pairs = dict(pair.partition("=")[::2] for pair in metadata)
    if unpaired := [pair for pair in metadata if "=" not in pair]:
        _fail(f"{', '.join(unpaired)}: must be KEY=VALUE")
    try:
        if warm_nodes is None:
            manifest = _scaled_object(
                namespace, object_name, pairs, target=target, address=address, service=service
            )
        else:
            _refuse_of_scaled_objects(target=target, address=address, service=service)
            manifest = _warm_nodes(warm_nodes, namespace, object_name, pairs, url)
    except AskOwner as wrong:
        _fail(str(wrong))
    typer.echo(manifest, nl=False)


def _scaled_object(
    namespace: str,
    name: str,
    metadata: dict[str, str],
    *,
    target: str | None,
    address: str | None,
    service: Path | None,
) -> str:
    from predictscale.config.load import load_service  # noqa: PLC0415 - heavy
    from predictscale.config.render import DEFAULT_ADDRESS, render_scaled_object  # noqa: PLC0415 - the same

    settings = load_service(service, env=os.environ)
    return render_scaled_object(
        namespace=namespace,
        name=name,
        metadata=metadata,
        service=settings,
        presets=settings.presets(),
        target=target,
        scaler_address=address or DEFAULT_ADDRESS,
    )


def _warm_nodes(kind: str, namespace: str, name: str, said: dict[str, str], url: str) -> str:
    from predictscale.cli.warmnodes import warm_nodes  # noqa: PLC0415 - heavy
    from predictscale.config.warmnodes import Kind  # noqa: PLC0415 - the same

    return warm_nodes(Kind(kind), namespace, name, said, url=url)


def _refuse_of_scaled_objects(**options: object) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        wants = "leave it out beside --warm-nodes"
        raise SettingsError([Problem(f"--{name}", "is of a ScaledObject", wants) for name in given])


def _fail(message: str) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(2)
