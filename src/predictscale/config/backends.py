"""Backends that the service's owner adds, or tells otherwise than the packaged ones.

They are written as the packaged files are and proved as they are. One that takes the
name of a packaged one must say whether it `replaces` or `extends` it, so that nobody does
it by accident; what it changed can be told in words. Refuses to build on another of its kind.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from pydantic import Field, model_validator

from predictscale.config.presets import (
    AUTO,
    Preset,
    Presets,
    joined,
    problems_between,
    problems_within,
    written_presets,
)
from predictscale.config.problems import did_you_mean, refuse, show
from predictscale.errors import Problem


class OwnBackend(Preset):
    """A backend of the owner's, complete."""

    replaces: str | None = Field(
        default=None, description="the packaged backend of this name, of which nothing stays"
    )
    extends: str | None = Field(
        default=None,
        description="a packaged backend that everything is taken from which is not given here; a signal "
        "that is null is taken away. Under another name it is only found with a discovery of its own",
    )

    @model_validator(mode="before")
    @classmethod
    def _extended(cls, given: object) -> object:
        if not isinstance(given, Mapping) or not isinstance(given.get("extends"), str):
            return given
        base = written_presets().get(given["extends"])
        if base is None:
            raise _unknown("extends", given["extends"])
        return _laid_over(base.model_dump(exclude_unset=True), given)

    @model_validator(mode="after")
    def _named(self) -> Self:
        packaged = self.name in written_presets()
        if self.name == AUTO:
            raise refuse(got=repr(AUTO), wants="take another name", why="it asks for detection", field="name")
        if self.replaces is not None and self.extends is not None:
            raise refuse(got="is given with extends", wants="give one of them", field="replaces")
        if self.replaces is not None and self.replaces not in written_presets():
            raise _unknown("replaces", self.replaces)
        if self.replaces is not None and self.replaces != self.name:
            wants = f"must be the backend's own name: {self.name!r}"
            raise refuse(got=repr(self.replaces), wants=wants, field="replaces")
        if packaged and self.replaces is None and self.extends is None:
            got = f"{self.name!r} comes with predictscale"
            wants = f"give `extends: {self.name}` or `replaces: {self.name}`, or take another name"
            raise refuse(got=got, wants=wants, field="name")
        return self

    def said(self) -> str:
        """What it is beside those that come with predictscale, in words for the log."""
        if self.replaces is not None:
            return f"backend {self.name} replaces the packaged one"
        if self.extends is None:
            return f"backend {self.name} is the service's own"
        changed = ", ".join(_changes(written_presets()[self.extends], self)) or "nothing changed"
        return f"backend {self.name} extends the packaged {self.extends}: {changed}"


def with_own(own: Sequence[OwnBackend]) -> Presets:
    """The packaged backends and the owner's, by name."""
    return joined({**written_presets(), **{each.name: each for each in own}})


def problems_of_own(own: Mapping[int, OwnBackend]) -> list[Problem]:
    """What is wrong with backends whose shape is right, by their place in `backends`."""
    problems: list[Problem] = []
    places: dict[str, int] = {}
    for place, backend in own.items():
        problems += problems_within(backend, under=f"backends[{place}].")
        if backend.name in places:
            got = f"{backend.name!r} is backends[{places[backend.name]}] too"
            problems.append(Problem(f"backends[{place}].name", got, "give each its own name"))
        places[backend.name] = place
    every = {**written_presets(), **{each.name: each for each in own.values()}}

    def under(name: str) -> str:
        return f"backends[{places[name]}]." if name in places else f"{name}.yaml: "

    return problems + problems_between(every, under=under)


def _laid_over(base: dict[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The base with what is given in its place."""
    whole = {**base, **given}
    signals = given.get("signals")
    if isinstance(signals, Mapping):
        every = {**base["signals"], **signals}
        whole["signals"] = {name: signal for name, signal in every.items() if signal is not None}
    if whole["name"] != base["name"] and "discovery" not in given:
        # Both would be found by the same series, and neither could be chosen.
        whole.pop("discovery", None)
    return whole


def _changes(base: Preset, own: Preset) -> Iterator[str]:
    """The settings in which a backend differs from the one that it extends."""
    for name in type(base).model_fields:
        theirs, ours = getattr(base, name), getattr(own, name)
        if name == "name" or theirs == ours:
            continue
        if name != "signals":
            yield name
            continue
        changed = [key for key in (*ours, *theirs) if theirs.get(key) != ours.get(key)]
        yield from (f"signals.{key}" for key in dict.fromkeys(map(str, changed)))


def _unknown(field: str, name: str) -> Exception:
    known = written_presets()
    wants = did_you_mean(name, known) or "known are " + ", ".join(known)
    return refuse(got=f"{show(name)} does not come with predictscale", wants=wants, field=field)
