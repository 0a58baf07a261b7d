"""What is wrong with settings, said once for all their origins.

Validation of shapes is pydantic's; this module turns its findings into
`Problem`s: where, what came, what would do, why. It refuses to repeat a value
that may be a secret: those of hidden fields, and URLs that carry a password.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from predictscale.errors import Problem

Place = tuple[str | int, ...]
"""The way to a setting, such as ("workloads", 0, "lead_time_s")."""

HIDDEN = "a value that is not repeated here"
"""Stands for a value that may be a secret."""

_LONGEST_SHOWN = 60
_MAPPINGS = ("model_type", "model_attributes_type", "dict_type", "mapping_type")
_COMPARISONS = {
    "greater_than": ("must be above {gt}", "gt"),
    "greater_than_equal": ("must be {ge} or more", "ge"),
    "less_than": ("must be below {lt}", "lt"),
    "less_than_equal": ("must be {le} or less", "le"),
}


def refuse(*, got: str, wants: str, why: str = "", field: str = "") -> PydanticCustomError:
    """An error that a model's validator raises, with everything a Problem needs.

    Args:
        got: What came.
        wants: What would do.
        why: The reason for the rule, if it is not plain.
        field: The field of the model that should change, if the whole model was checked.
    """
    return PydanticCustomError(
        "refused", "{got}; {wants}", {"got": got, "wants": wants, "why": why, "at": field}
    )


def show(value: object) -> str:
    """A value as a message repeats it: short, on one line, without passwords."""
    if isinstance(value, str):
        if "://" in value and "@" in value:
            return "a URL with a user or password in it"
        text = str(value) if len(value) <= _LONGEST_SHOWN else value[: _LONGEST_SHOWN - 1] + "…"
        return repr(text)
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    if isinstance(value, int | float):
        return _short_number(value)
    kinds: dict[type, str] = {dict: "a mapping", list: "a list", tuple: "a list"}
    return kinds.get(type(value), type(value).__name__)


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """`did you mean X?`, or nothing if no name is near."""
    by_lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[near[0]]!r}?" if near else ""


def written(place: Place) -> str:
    """A place as people write it: `workloads[0].lead_time_s`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def problems_of(
    error: ValidationError,
    model: type[BaseModel],
    *,
    where: Callable[[Place], str] = written,
    hidden: Callable[[Place], bool] = lambda _: False,
) -> list[Problem]:
    """One Problem for each finding of pydantic, in its order.

    Args:
        error: What pydantic raised.
        model: The model it validated; gives descriptions and the names that are known.
        where: How a place is named to the reader.
        hidden: Whether the value at a place must not be repeated.
    """
    return [_problem(detail, model, where=where, hidden=hidden) for detail in error.errors(include_url=False)]


def model_in(annotation: Any) -> type[BaseModel] | None:
    """The first settings model inside a field's annotation, such as `Tls` in `Tls | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for inner in get_args(annotation) if (found := model_in(inner))), None)


def _problem(
    detail: ErrorDetails,
    model: type[BaseModel],
    *,
    where: Callable[[Place], str],
    hidden: Callable[[Place], bool],
) -> Problem:
    place: Place = detail["loc"]
    context = detail.get("ctx", {})
    if at := context.get("at"):
        place = (*place, at)
    got, wants, why = _words(detail, context, model)
    if hidden(place) and detail["type"] not in ("extra_forbidden", "missing"):
        got, why = HIDDEN, ""
    return Problem(where(place), got, wants, why)


def _words(detail: ErrorDetails, context: Mapping[str, Any], model: type[BaseModel]) -> tuple[str, str, str]:
    kind, place = detail["type"], detail["loc"]
    if kind == "refused":
        return context["got"], context["wants"], context["why"]
    if kind == "missing":
        return "is missing", "must be given", _described(model, place)
    if kind == "extra_forbidden":
        names = _names_at(model, place[:-1])
        wants = did_you_mean(str(place[-1]), names) or f"known are {', '.join(names)}"
        return "is not a known setting", wants, ""
    return show(detail["input"]), _wants(kind, context, detail["msg"]), _hint(kind, context, detail["input"])


def _wants(kind: str, context: Mapping[str, Any], message: str) -> str:
    if kind in _COMPARISONS:
        text, bound = _COMPARISONS[kind]
        return text.format(**{bound: f"{context[bound]:g}"})
    if kind in ("enum", "literal_error"):
        return "must be one of " + ", ".join(_expected(context))
    if kind in _MAPPINGS:
        return "must be a mapping"
    if kind == "value_error":
        return str(context["error"])
    return message.replace("Input should", "must", 1)


def _hint(kind: str, context: Mapping[str, Any], value: object) -> str:
    known = kind in ("enum", "literal_error") and isinstance(value, str)
    return did_you_mean(str(value), _expected(context)) if known else ""


def _expected(context: Mapping[str, Any]) -> list[str]:
    return [part.strip().strip("'") for part in str(context["expected"]).replace(" or ", ", ").split(",")]


def _described(model: type[BaseModel], place: Sequence[str | int]) -> str:
    parent = _model_at(model, place[:-1])
    field = parent.model_fields.get(str(place[-1])) if parent else None
    text = (field.description if field else None) or ""
    return text[:1].lower() + text[1:].rstrip(".")


def _names_at(model: type[BaseModel], place: Sequence[str | int]) -> list[str]:
    parent = _model_at(model, place)
    return [field.alias or name for name, field in parent.model_fields.items()] if parent else []


def _model_at(model: type[BaseModel], place: Sequence[str | int]) -> type[BaseModel] | None:
    here: type[BaseModel] | None = model
    for part in place:
        if isinstance(part, int):
            continue
        field = here.model_fields.get(part) if here else None
        here = model_in(cast("Any", field.annotation)) if field else None
    return here


def _short_number(value: float) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    # An integer of a million digits is a message nobody reads, and takes a second to print.
    return str(value) if abs(value) < 10**20 else "an integer of more than 20 digits"
