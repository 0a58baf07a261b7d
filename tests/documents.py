"""The project's documents, taken apart: fenced blocks, commands within lines, links.

What may stand above a block, as a comment of its own line:

- `<!-- not run: REASON -->`: a block of shell that no test runs, and why;
- `<!-- prints -->`: a block of text that the block of Python before it must print.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    (
        ROOT / "README.md",
        ROOT / "benchmarks" / "README.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "deploy").rglob("*.md"),
    )
)

_FENCE = re.compile(
    r"(?:^[ ]*<!-- (?P<said>[^\n]*?) -->\n+)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)|(?:src|srcset|href)=\"(?P<attribute>[^\"]+)\"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A fenced block.

    Args:
        document: Where it stands, relative to the checkout.
        line: The line of its fence.
        language: As the fence says.
        body: What is within, without the fence's indentation.
        said: The comment above it, or nothing.
    """

    document: str
    line: int
    language: str
    body: str
    said: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"

    @property
    def not_run(self) -> str:
        """Why no test runs it; empty if one does."""
        kind, _, reason = self.said.partition(":")
        return reason.strip() if kind == "not run" else ""

    @property
    def is_printed(self) -> bool:
        """Whether it is what the block before it prints."""
        return self.said == "prints"


def name_of(document: Path) -> str:
    """Its path in the checkout."""
    return document.relative_to(ROOT).as_posix()


def blocks(document: Path) -> Iterator[Block]:
    """Its fenced blocks, in order."""
    text = document.read_text()
    for found in _FENCE.finditer(text):
        indent = len(found["indent"])
        lines = found["body"].splitlines(keepends=True)
        yield Block(
            document=name_of(document),
            line=text.count("\n", 0, found.start("indent")) + 1,
            language=found["language"],
            body="".join(line[indent:] or "\n" for line in lines),
            said=found["said"] or "",
        )


def prose(document: Path) -> str:
    """The document without its fenced blocks."""
    return _FENCE.sub("", document.read_text())


def commands(document: Path) -> Iterator[list[str]]:
    """Each command that is written, in a block of shell or within a line, as words; comments left out."""
    written = [block.body for block in blocks(document) if block.language == "sh"]
    written += _SPAN.findall(prose(document))
    for script in written:
        for line in script.replace("\\\n", " ").splitlines():
            for part in re.split(r"\s(?:&&|\|\||[|&;])\s?", line):
                words = _words(part)
                if words:
                    yield words


def _words(line: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError:  # prose within backticks
        return []


def links(document: Path) -> Iterator[str]:
    """Targets of its links and images that are within the checkout, anchors left out."""
    for found in _LINK.finditer(prose(document)):
        target = (found["target"] or found["attribute"]).partition("#")[0].split(" ")[0]
        if target and not re.match(r"[a-z]+:", target):
            yield target
