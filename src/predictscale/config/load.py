"""The service's settings from their origins: flags over environment over file over defaults.

All problems of all origins are raised at once, each with the place where its
value was written. It reads one file and the mapping it is given, nothing else:
no search path, no `.env`, no process environment behind the caller's back.
"""

import json
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from predictscale.config.backends import OwnBackend, problems_of_own, with_own
from predictscale.config.intake import read_workload
from predictscale.config.presets import Presets, load_presets
from predictscale.config.problems import Place, did_you_mean, problems_of, show, written
from predictscale.config.resolve import Origin
from predictscale.config.settings import ServiceSettings, problems_across
from predictscale.config.workload import NamedWorkload
from predictscale.config.yamlfile import read_yaml
from predictscale.errors import Problem, SettingsError

PREFIX = "PREDICTSCALE_"
"""What the service's environment variables begin with."""

CLI_VARIABLES = (PREFIX + "CONFIG", PREFIX + "URL", PREFIX + "TOKEN", PREFIX + "TOKEN_FILE")
"""What the command line reads for itself: the settings file, the service's address, a bearer token for it
or the token's file. No settings."""

SHORT_NAMES: Mapping[str, Place] = {
    f"{PREFIX}GRPC_PORT": ("grpc", "port"),
    f"{PREFIX}HTTP_PORT": ("http", "port"),
    f"{PREFIX}METRICS_PORT": ("metrics", "port"),
}
"""Variables that do not follow the rule `PREDICTSCALE_SECTION__NAME`."""

# Kubernetes announces a Service `predictscale-grpc` as PREDICTSCALE_GRPC_PORT=tcp://10.0.0.1:6000.
_SERVICE_LINK = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)"
)
_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://")

Tree = dict[str, Any]


def load_service(
    path: Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> ServiceSettings:
    """Settings, complete and checked.

    Args:
        path: A YAML file, or None for defaults alone.
        env: The environment; only names that begin with `PREDICTSCALE_` are looked at.
        overrides: What flags set, as nested mappings; None is a flag that was not given.

    Raises:
        FileUnusable: The file cannot be read.
        SettingsError: Something is wrong; all problems at once.
    """
    problems: list[Problem] = []
    tree = _file_tree(path) if path is not None else {}
    sources: dict[Place, str] = {}
    _merge_env(tree, env or {}, sources, problems)
    _merge(tree, overrides or {}, sources)
    workloads, backends = (tree.pop(name, None) or [] for name in ("workloads", "backends"))
    service = _head(tree, sources, problems)
    own, presets = _backends(backends, problems)
    named = _workloads(workloads, service, presets, problems)
    service = service.model_copy(update={"backends": own, "workloads": named})
    problems += problems_across(service)
    if problems:
        raise SettingsError(problems)
    return service


def _file_tree(path: Path) -> Tree:
    documents = read_yaml(path)
    tree = documents[0] if len(documents) == 1 else {} if not documents else None
    if tree is None and len(documents) == 1:
        return {}
    if not isinstance(tree, dict) or not all(isinstance(key, str) for key in tree):
        got = f"holds {len(documents)} documents" if len(documents) > 1 else "holds no mapping"
        raise SettingsError([Problem(str(path), got, "must be one mapping of settings")])
    return tree


def _merge_env(
    tree: Tree, env: Mapping[str, str], sources: dict[Place, str], problems: list[Problem]
) -> None:
    ours = {name: text for name, text in env.items() if name.startswith(PREFIX) and text.strip()}
    # Short names first: where both are given, the one that follows the rule wins.
    for name in sorted(ours, key=lambda n: (n not in SHORT_NAMES, n)):
        text = ours[name]
        if name in CLI_VARIABLES or _is_service_link(name, text):
            continue
        place = SHORT_NAMES.get(name) or tuple(name.removeprefix(PREFIX).lower().split("__"))
        if str(place[0]) not in ServiceSettings.model_fields:
            wants = did_you_mean(name, _variables()) or f"write {PREFIX}SECTION__NAME"
            problems.append(Problem(f"environment variable {name}", "is not a known setting", wants))
            continue
        _put(tree, place, _value(text))
        sources[place] = name


def _is_service_link(name: str, text: str) -> bool:
    if name in SHORT_NAMES or not _SERVICE_LINK.search(name):
        return name.endswith("_PORT") and _LINK_VALUE.match(text) is not None
    return True


def _variables() -> list[str]:
    sections = [PREFIX + name.upper() for name in ServiceSettings.model_fields]
    return [*SHORT_NAMES, *sections]


def _value(text: str) -> Any:
    """Lists and mappings are JSON; all else is text, which each field reads its own way."""
    if text.lstrip()[0] not in "[{":
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _merge(tree: Tree, overrides: Mapping[str, Any], sources: dict[Place, str], place: Place = ()) -> None:
    for name, value in overrides.items():
        here = (*place, name)
        if isinstance(value, Mapping):
            _merge(tree, value, sources, here)
        elif value is not None:
            _put(tree, here, value)
            sources[here] = "a flag"


def _put(tree: Tree, place: Place, value: Any) -> None:
    for part in place[:-1]:
        inner = tree.get(str(part))
        if not isinstance(inner, dict):
            inner = tree[str(part)] = {}
        tree = inner
    tree[str(place[-1])] = value


def _head(tree: Tree, sources: Mapping[Place, str], problems: list[Problem]) -> ServiceSettings:
    """The settings beside workloads; sections that are wrong are replaced by defaults, to check on."""
    try:
        return ServiceSettings.model_validate(tree)
    except ValidationError as error:
        problems += problems_of(
            error, ServiceSettings, where=lambda place: _where(place, sources), hidden=_is_header
        )
        wrong = {detail["loc"][0] for detail in error.errors()}
    return ServiceSettings.model_validate({name: part for name, part in tree.items() if name not in wrong})


def _is_header(place: Place) -> bool:
    return place[:2] == ("prometheus", "headers")


def _where(place: Place, sources: Mapping[Place, str]) -> str:
    lengths = range(len(place), 0, -1)
    source = next((sources[place[:length]] for length in lengths if place[:length] in sources), None)
    return f"{written(place)} ({source})" if source else written(place)


def _backends(entries: object, problems: list[Problem]) -> tuple[tuple[OwnBackend, ...], Presets]:
    """The owner's backends, and all that workloads may name."""
    if not isinstance(entries, list):
        problems.append(Problem("backends", show(entries), "must be a list of backends"))
        return (), load_presets()
    found: dict[int, OwnBackend] = {}
    wrong: list[str] = []
    for place, entry in enumerate(entries):
        try:
            found[place] = OwnBackend.model_validate(entry)
        except ValidationError as error:
            problems += problems_of(error, OwnBackend, where=partial(_within, ("backends", place)))
            wrong += [str(entry["name"])] if isinstance(entry, dict) and "name" in entry else []
    unfit = problems_of_own(found)
    problems += unfit
    own = () if unfit else tuple(found.values())
    presets = dict(with_own(own))
    # Workloads that name a backend with a mistake in it are not wrong themselves.
    for name in {*wrong, *(each.name for each in found.values())} - {each.name for each in own}:
        presets.setdefault(name, next(iter(presets.values())))
    return own, presets


def _within(outer: Place, inner: Place) -> str:
    return written((*outer, *inner))


def _workloads(
    entries: object, service: ServiceSettings, presets: Presets, problems: list[Problem]
) -> tuple[NamedWorkload, ...]:
    if not isinstance(entries, list):
        problems.append(Problem("workloads", show(entries), "must be a list of workloads"))
        return ()
    terms = service.terms(presets)
    found: dict[int, NamedWorkload] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict):
            problems.append(Problem(f"workloads[{place}]", show(entry), "must be a mapping"))
            continue
        origin = Origin(prefix=f"workloads[{place}].", trusted=True)
        try:
            named, _ = read_workload(
                {str(key): value for key, value in entry.items()}, terms=terms, origin=origin
            )
        except SettingsError as wrong:
            problems += wrong.problems
        else:
            found[place] = named
    problems += _duplicates(found)
    return tuple(found.values())


def _duplicates(workloads: Mapping[int, NamedWorkload]) -> list[Problem]:
    problems = []
    seen: dict[tuple[str, str], int] = {}
    for place, named in workloads.items():
        first = seen.setdefault((named.namespace, named.name), place)
        if first != place:
            got = f"{named.namespace}/{named.name} is workloads[{first}] too"
            problems.append(Problem(f"workloads[{place}].name", got, "give each its own name"))
    return problems
