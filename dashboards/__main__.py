"""Write the dashboards, or say which files are not what the code makes."""

import argparse
import sys
from pathlib import Path

from dashboards import BOARDS

FOLDER = Path(__file__).parent.parent / "deploy" / "grafana"


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a file differs")
    given = parser.parse_args(arguments)
    made = {FOLDER / f"{name}.json": board().json() for name, board in BOARDS.items()}
    stale = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    if given.check:
        for path in stale:
            print(f"{path.name} is not what the code makes: run python -m dashboards")
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in stale:
        path.write_text(made[path])
        print(f"wrote {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
