"""YAML files, read safely and to the letter.

It refuses what YAML would let pass in silence: a key given twice, of which only
the last would count, and tags that build objects.
"""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from predictscale.config.problems import show
from predictscale.errors import FileUnusable, Problem, SettingsError

MAX_BYTES = 4 * 2**20
"""The largest file that is read [bytes]."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key, Hashable):
                raise _marked("a key that is no text", key_node.start_mark)
            if key in seen:
                raise _marked(f"the key {show(key)} for the second time", key_node.start_mark)
            seen.add(key)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep=deep)
        return mapping


def read_yaml(path: Path) -> list[Any]:
    """The documents of a YAML file; an empty document is None.

    Raises:
        FileUnusable: It cannot be read, is no UTF-8, or is too large.
        SettingsError: It is no YAML, or gives a key twice.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise FileUnusable(f"{path}: has {size} bytes; at most {MAX_BYTES} are read")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise FileUnusable(f"{path}: cannot be read: {reason}") from None
    try:
        # SafeLoader builds plain values only; the subclass only refuses more.
        return list(yaml.load_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "somewhere"
        raise SettingsError([Problem(f"{path}: {place}", error.problem or "is not YAML", _WANTS)]) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).split("\n", maxsplit=1)[0] or "nests too deep"
        raise SettingsError([Problem(str(path), reason, _WANTS)]) from None


_WANTS = "must be YAML with each key given once"


def _marked(problem: str, mark: yaml.Mark) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, f"gives {problem}", mark)
