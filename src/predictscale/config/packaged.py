"""Data that comes with predictscale: a folder of YAML files, each one model, named as its file.

Presets of backends and priors of capacities are read alike: every problem of every
file at once, and a folder without a file is an incomplete installation. Refuses code in data.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from predictscale.config.problems import problems_of, written
from predictscale.config.yamlfile import read_yaml
from predictscale.errors import FileUnusable, Problem, SettingsError

_PACKAGE = Path(__file__).resolve().parents[1]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Item = TypeVar("_Item", bound=BaseModel)
_NamedItem = TypeVar("_NamedItem", bound=_Named)


def home(kind: str) -> Path:
    """The folder of one kind of data: in the installed package, else in the checkout."""
    folders = (_PACKAGE / "_models" / kind, _PACKAGE.parents[1] / "models" / kind)
    return next((found for found in folders if found.is_dir()), folders[0])


def load_folder(
    folder: Path,
    load: Callable[[Path], _NamedItem],
    *,
    plural: str,
    between: Callable[[Mapping[str, _NamedItem]], list[Problem]] = lambda _: [],
) -> dict[str, _NamedItem]:
    """Every file of a folder, by name.

    Args:
        folder: Where.
        load: Reads one file.
        plural: What the files are called, for an error.
        between: Problems that only all of them together have.

    Raises:
        SettingsError: A file is no good; all problems of all files at once.
        FileUnusable: There is no folder, or no file in it.
    """
    items: dict[str, _NamedItem] = {}
    problems: list[Problem] = []
    for path in sorted(folder.glob("*.yaml")):
        try:
            item = load(path)
        except SettingsError as wrong:
            problems += wrong.problems
        else:
            items[item.name] = item
    problems += between(items)
    if problems:
        raise SettingsError(problems)
    if not items:
        raise FileUnusable(f"{folder}: holds no {plural}; the installation is incomplete")
    return items


def load_file(path: Path, model: type[_Item], problems: Callable[[_Item, Path], Iterable[Problem]]) -> _Item:
    """One file as a model.

    Raises:
        SettingsError: It is none, or `problems` finds some.
    """
    documents = read_yaml(path)
    try:
        item = model.model_validate(documents[0] if len(documents) == 1 else None)
    except ValidationError as error:
        found = problems_of(error, model, where=lambda place: f"{path.name}: {written(place)}")
        raise SettingsError(found) from None
    if wrong := list(problems(item, path)):
        raise SettingsError(wrong)
    return item
