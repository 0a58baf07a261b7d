"""The command that looks into a Prometheus and proposes triggers. It only reads.

What is asked for is in `config.detect`; here it is asked, with the limits and the credentials
of the service's settings, and told. Refuses to propose a trigger in silence whose demand has
no value: it says so beside it.
"""

import asyncio
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from predictscale.cli.figures import figure
from predictscale.cli.local import ServiceFile
from predictscale.errors import AnswerUnusable, AskOwner, HoldTarget, SourceRefused

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from predictscale.config.detect import Detected, Proposal, Seen
    from predictscale.config.presets import Presets
    from predictscale.config.settings import ServiceSettings
    from predictscale.sources.prometheus import PrometheusSource

_MOST_TOLD = 40
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Told:
    """What was found, and the demand of each proposal now; None where its query has no value."""

    detected: "Detected"
    demand: tuple[float | None, ...]


def discover(
    *,
    prometheus: Annotated[
        str | None, typer.Option(help="Its URL; by default the one in the service's file.")
    ] = None,
    namespace: Annotated[
        list[str] | None, typer.Option(help="Look only here; may be given several times.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="The service's host:port within the cluster.")] = None,
    service: ServiceFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document, no YAML.")] = False,
) -> None:
    """Propose KEDA triggers for the serving backends whose metrics a Prometheus holds now.

    Backends are told by characteristic metric names, Deployments by kube-state-metrics or by the names of
    pods. A value FILL_IN is one that only you know; the service refuses a trigger that still has it.

    JSON: proposals, a list of {namespace, deployment, backend, selector, unit, demand_now (null if its query
    has no value), because, besides, metadata, fill_in}, and left_out.
    """
    from predictscale.bootstrap import configure_logging  # noqa: PLC0415 - heavy, with all below
    from predictscale.config.load import load_service  # noqa: PLC0415 - the same
    from predictscale.config.render import DEFAULT_ADDRESS  # noqa: PLC0415 - the same

    configure_logging(level="error", as_json=False)
    try:
        namespaces = namespaces_of(namespace or [])
        overrides = {} if prometheus is None else {"prometheus": {"url": prometheus}}
        settings = load_service(service, env=os.environ, overrides=overrides)
        told = asyncio.run(_look(settings, namespaces))
    except AskOwner as wrong:
        _fail(str(wrong), code=2)
    except HoldTarget as wrong:
        _fail(untold(wrong, prometheus), code=1)
    if as_json:
        typer.echo(json.dumps(_document(told, address or DEFAULT_ADDRESS), indent=2, allow_nan=False))
    else:
        typer.echo(_yaml(told, address or DEFAULT_ADDRESS), nl=False)
    tell_left_out(told.detected.left_out, also="--json tells")
    if not told.detected.proposals:
        where = f"namespace {', '.join(namespaces)}" if namespaces else "any namespace"
        _fail(
            f"no series of a known backend in {where}; are its pods scraped, with a label namespace? "
            "docs/backends.md lists the backends and their metrics",
            code=1,
        )


def namespaces_of(given: "Sequence[str]", *, where: str = "--namespace") -> tuple[str, ...]:
    """The namespaces of an option, each once.

    Raises:
        AskOwner: One cannot be a namespace.
    """
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415 - heavy

    from predictscale.config.fields import DnsLabel  # noqa: PLC0415 - the same

    for name in given:
        try:
            TypeAdapter(DnsLabel).validate_python(name)
        except ValidationError:
            raise AskOwner(
                f"{where}: {name!r}; must be a Kubernetes name: a-z, 0-9 and '-', at most 63 characters"
            ) from None
    return tuple(dict.fromkeys(given))


def tell_left_out(left_out: "Sequence[str]", *, also: str) -> None:
    """What was seen and is no workload, on standard error; what is too much for a person is counted.

    Args:
        left_out: A line for each.
        also: Who tells all of them.
    """
    for line in left_out[:_MOST_TOLD]:
        typer.echo(f"left out: {line}", err=True)
    if (more := len(left_out) - _MOST_TOLD) > 0:
        typer.echo(f"left out: {more} more, which {also}", err=True)


def untold(wrong: HoldTarget, prometheus: str | None) -> str:
    """Why a Prometheus told nothing, and what to look at: an answer that is none has reached us.

    Args:
        wrong: What came instead.
        prometheus: Its URL; None if it stands in a file of settings.
    """
    where = prometheus or "its URL"
    if isinstance(wrong, SourceRefused | AnswerUnusable):
        return f"prometheus: {wrong}; is {where} the base URL of a Prometheus that lets you ask it?"
    return f"prometheus: {wrong}; can {where} be reached from here?"


async def _look(service: "ServiceSettings", namespaces: tuple[str, ...]) -> Told:
    """Ask for all that is needed.

    Raises:
        AskOwner: There is no Prometheus in the settings.
        HoldTarget: It could not tell.
    """
    from predictscale.bootstrap.sources import Sources  # noqa: PLC0415 - heavy
    from predictscale.clock import SystemClock  # noqa: PLC0415 - with the others
    from predictscale.meters import Meters  # noqa: PLC0415 - the same
    from predictscale.sources.prometheus import PrometheusSource  # noqa: PLC0415 - the same

    clock = SystemClock()
    if service.prometheus is None:
        raise AskOwner("--prometheus: is missing; give its URL, or --service with a file that has one")
    sources = Sources(service, Meters(), clock, None)
    own = sources.own
    assert isinstance(own, PrometheusSource)  # noqa: S101 - the settings have one
    try:
        return await ask(own, service.presets(), namespaces, at=clock.now())
    finally:
        await sources.aclose()


async def ask(
    source: "PrometheusSource", presets: "Presets", namespaces: tuple[str, ...], *, at: "datetime"
) -> Told:
    """What a Prometheus holds at an instant; in these namespaces, or in all if there are none.

    Raises:
        HoldTarget: It could not tell.
    """
    from predictscale.config.detect import (  # noqa: PLC0415 - heavy
        count_query,
        deployments_of,
        detect,
        owner_queries,
    )

    queries = {name: count_query(preset, namespaces) for name, preset in presets.items()}
    asked = {name: query for name, query in queries.items() if query is not None}
    answers = await asyncio.gather(*(source.instant(query, at=at) for query in asked.values()))
    seen: dict[str, Seen] = dict(zip(asked, answers, strict=True))
    found = detect(presets, seen, {})
    if not found.proposals:
        return Told(found, ())
    held = sorted({each.namespace for each in found.proposals})
    pods, replica_sets = await asyncio.gather(
        *(source.instant(query, at=at) for query in owner_queries(held))
    )
    found = detect(presets, seen, deployments_of(pods, replica_sets))
    demand: list[float | None] = []
    # In portions: a question that waits for its turn uses up the time that it has.
    for first in range(0, len(found.proposals), _AT_ONCE):
        portion = found.proposals[first : first + _AT_ONCE]
        answers = await asyncio.gather(*(source.instant(each.demand_query, at=at) for each in portion))
        demand += [answer[0][1] if answer else None for answer in answers]
    return Told(found, tuple(demand))


def _document(told: Told, address: str) -> dict[str, Any]:
    from predictscale.core.demand import SignalName  # noqa: PLC0415 - with the presets

    return {
        "proposals": [
            {
                "namespace": each.namespace,
                "deployment": each.deployment,
                "backend": each.preset.name,
                "selector": each.selector,
                "unit": each.preset.signals[SignalName.DEMAND].unit,
                "demand_now": demand,
                "because": list(each.because),
                "besides": list(each.besides),
                "metadata": {"scalerAddress": address, **each.metadata},
                "fill_in": dict(each.fill_in),
            }
            for each, demand in zip(told.detected.proposals, told.demand, strict=True)
        ],
        "left_out": list(told.detected.left_out),
    }


def _yaml(told: Told, address: str) -> str:
    """Triggers of a ScaledObject, each with what was seen in comments above it."""
    pairs = zip(told.detected.proposals, told.demand, strict=True)
    return "\n".join(trigger_text(each, demand, address) for each, demand in pairs)


def trigger_text(proposal: "Proposal", demand: float | None, address: str) -> str:
    """One trigger as YAML, with what was seen in comments above it."""
    from predictscale.config.detect import name_of  # noqa: PLC0415 - heavy

    whose = f"Deployment {proposal.deployment}" if proposal.deployment is not None else "a Deployment"
    lines = [f"# Namespace {proposal.namespace}, {whose}: {name_of(proposal.preset)}"]
    lines += [f"#   {because}" for because in proposal.because]
    lines.append(f"#   {_demand(proposal, demand)}")
    lines += [f"#   or: {other}" for other in proposal.besides]
    lines += ["- type: external", "  metricType: AverageValue", "  metadata:"]
    lines.append(f"    scalerAddress: {json.dumps(address)}")
    for key, text in proposal.metadata.items():
        # JSON's texts are YAML's.
        line = f"    {key}: {json.dumps(text, ensure_ascii=False)}"
        meaning = proposal.fill_in.get(key)
        lines.append(line if meaning is None else f"{line}  # {meaning}")
    return "\n".join([*lines, ""])


def _demand(proposal: "Proposal", demand: float | None) -> str:
    from predictscale.core.demand import SignalName  # noqa: PLC0415 - with the presets

    if demand is None:
        return f"its demand has no value now: {proposal.demand_query}"
    return f"its demand is {figure(demand)} {proposal.preset.signals[SignalName.DEMAND].unit} now"


def _fail(message: str, *, code: int) -> NoReturn:
    typer.echo(message, err=True)
    raise typer.Exit(code)
