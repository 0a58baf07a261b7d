"""What every benchmark says about itself: the machine, the commit, the settings.

Refuses to name the machine or the folders it works in: numbers belong to a kind of processor.
"""

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

_READABLE = 1_000_000
"""Characters beyond which nobody reads a report line by line, and it is written without indentation."""

ROOT = Path(__file__).parent.parent
"""The checkout."""


def machine(*packages: str) -> dict[str, object]:
    """What the numbers belong to, with the versions of the named packages."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next(
            (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model
        )
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def commit() -> str:
    """The commit that was measured, `+dirty` if the checkout differs from it."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return (git("rev-parse", "HEAD") or "unknown") + ("+dirty" if git("status", "--porcelain") else "")


def write_report(
    out: Path, *, benchmark: str, packages: Sequence[str], settings: Mapping[str, object], results: object
) -> None:
    """Write what was measured as JSON, beside what it belongs to."""
    report = {
        "benchmark": benchmark,
        "commit": commit(),
        "machine": machine(*packages),
        "settings": settings,
        "results": results,
    }
    text = json.dumps(report, indent=1, allow_nan=False)
    if len(text) > _READABLE:
        text = json.dumps(report, allow_nan=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(text + "\n", encoding="utf-8")
