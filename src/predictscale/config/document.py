"""docs/settings.md, written from the models, so that the page cannot disagree with the code."""

import types
from collections.abc import Iterator
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from predictscale.config.durations import duration_text
from predictscale.config.load import CLI_VARIABLES, SHORT_NAMES
from predictscale.config.metadata import KEDA_KEYS, KEYS
from predictscale.config.presets import Presets
from predictscale.config.problems import model_in, written
from predictscale.config.settings import ServiceSettings
from predictscale.config.workload import NamedWorkload, WorkloadDefaults

_HEAD = """\
# Settings

This page is written by `predictscale.config.document` from the models that read the settings; a test
compares them.

The service reads one YAML file. Flags stand above the environment, the environment above the file, the
file above the defaults. A variable is called `PREDICTSCALE_` and the way to the setting, joined by two
underscores: `PREDICTSCALE_PROMETHEUS__URL`. Lists and mappings are written as JSON there. An empty
variable is none.

Durations are seconds, or text such as `90s`, `4m`, `1h30m`, `28d`. Shares are numbers, or text such as
`0.5%`. Names end in their unit. Unknown names are errors, and all errors are told at once. Secrets are
never values: they are read from files.
"""

_TRIGGER = """\
## Trigger metadata

What a ScaledObject's `external` trigger may say, all of it text. Each key may also be given as
`<key>FromEnv`, which KEDA resolves from the container's environment; such values are never repeated in
messages. The workload's namespace and name are those of the ScaledObject.

With `workload`, nothing else may be given: a named workload is set in the service's file alone, so that
two ScaledObjects that name it cannot disagree. It must be of the ScaledObject's own namespace. Only `pool`
may stand beside it, and must where that workload has pools: each is told its part of one decision.
"""

_PRESETS = """\
## Backends

What `backend` may be, and what it measures: one of these, one of the service's own (`backends`), or `auto`,
which has it found by its series and needs `unit`. A demand that counts arrivals is what users ask for; one
that counts completions is capped by what the replicas manage, and the queue tells the rest. The series
are bound to the workload's namespace by the label given here; `selector` narrows them further. All of their
signals, and what `auto` chooses and why, are in [backends.md](backends.md).
"""


def settings_markdown(presets: Presets) -> str:
    """The whole page."""
    parts = [_HEAD, *_sections(ServiceSettings), _variables(), _trigger(), _backends(presets)]
    return "\n".join(parts)


def _sections(model: type[BaseModel], place: tuple[str, ...] = (), *, listed: bool = False) -> Iterator[str]:
    inner = {
        name: found for name, field in model.model_fields.items() if (found := model_in(field.annotation))
    }
    plain = {name: field for name, field in model.model_fields.items() if name not in inner}
    if place:
        text = f"{'A list. Each entry: ' if listed else ''}{(model.__doc__ or '').strip()}"
        rows = [_row(name, field) for name, field in plain.items()]
        yield (
            f"## `{written(place)}`\n\n{text}\n\n{_table(rows)}"
            if rows
            else f"## `{written(place)}`\n\n{text}\n"
        )
    for name, found in inner.items():
        if found is NamedWorkload:
            yield from _workloads(name)
        else:
            listed = get_origin(model.model_fields[name].annotation) is tuple
            yield from _sections(found, (*place, name), listed=listed)


def _workloads(name: str) -> Iterator[str]:
    own = {n: f for n, f in NamedWorkload.model_fields.items() if n not in WorkloadDefaults.model_fields}
    text = f"## `{name}`\n\nA list. Each entry has these, and whatever of `defaults` it wants otherwise.\n"
    yield f"{text}\n{_table([_row(n, f) for n, f in own.items()])}"
    for part, field in own.items():
        if (found := model_in(field.annotation)) is not None:
            yield from _sections(found, (name, part), listed=get_origin(field.annotation) is tuple)


def _table(rows: list[str]) -> str:
    return "\n".join(["| name | value | default | meaning |", "|---|---|---|---|", *rows, ""])


def _row(name: str, field: FieldInfo) -> str:
    return f"| `{name}` | {_kind(name, field.annotation)} | {_default(name, field)} | {field.description} |"


def _kind(name: str, annotation: Any) -> str:
    """What a value looks like, in a word or two."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kind(name, inner[0])
    if origin in (Union, types.UnionType):
        return " or ".join(_kind(name, part) for part in inner if part is not type(None))
    if origin is tuple:
        return f"list of {_kind(name, inner[0])}"
    choices = inner if origin is Literal else _members(annotation)
    if choices:
        return ", ".join(f"`{value}`" for value in choices)
    if annotation is float and name.endswith("_s"):
        return "duration"
    names = {
        datetime: "date and time",
        str: "text",
        int: "whole number",
        float: "number",
        bool: "`true`, `false`",
    }
    return names.get(annotation, "mapping")


def _members(annotation: Any) -> tuple[str, ...]:
    is_enum = isinstance(annotation, type) and issubclass(annotation, Enum)
    return tuple(str(member.value) for member in annotation) if is_enum else ()


def _default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value in (None, (), {}) or value is PydanticUndefined:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float) and name.endswith("_s"):
        return f"`{duration_text(value)}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{part}`" for part in value)
    return f"`{value.value}`" if isinstance(value, Enum) else f"`{value}`"


def _variables() -> str:
    shorts = "\n".join(f"- `{name}` is `{written(place)}`" for name, place in SHORT_NAMES.items())
    own = ", ".join(f"`{name}`" for name in CLI_VARIABLES)
    text = (
        "Kubernetes' own announcements of Services (`..._SERVICE_HOST`, `..._PORT=tcp://...`) are not read."
    )
    return f"## Short variables\n\n{shorts}\n\n{own} belong to the command line. {text}\n"


def _trigger() -> str:
    rows = ["| `workload` | | A workload that the service's file names; instead of all others. |"]
    for key, name in KEYS.items():
        field = _field(NamedWorkload, name)
        rows.append(f"| `{key}` | `{name}` | {field.description} |")
    table = "\n".join(["| key | sets | meaning |", "|---|---|---|", *rows])
    keda = ", ".join(f"`{key}`" for key in KEDA_KEYS)
    limits = "`query`, `queueQuery` and `serverAddress` work only if `limits` allows them."
    return f"{_TRIGGER}\n{table}\n\n{limits} KEDA's own keys are not read: {keda}.\n"


def _field(model: type[BaseModel], name: str) -> FieldInfo:
    """A field of a model, or of a model within it."""
    outer, dot, part = name.partition(".")
    field = model.model_fields[outer]
    inner = model_in(field.annotation)
    return _field(inner, part) if dot and inner is not None else field


def _backends(presets: Presets) -> str:
    rows = []
    for preset in presets.values():
        signals = {str(name): signal for name, signal in preset.signals.items()}
        demand, queue = signals["demand"], signals.get("queue")
        measured = f"{demand.unit}, {demand.meaning.value}"
        waiting = queue.unit if queue else "none"
        bound = f"`{preset.confined_by}`"
        cells = (f"`{preset.name}`", preset.title, measured, waiting, bound, demand.note)
        rows.append(f"| {' | '.join(cells)} |")
    table = "\n".join(
        [
            "| backend | | demand | queue | bound by | note |",
            "|---|---|---|---|---|---|",
            *rows,
        ]
    )
    return f"{_PRESETS}\n{table}\n"
