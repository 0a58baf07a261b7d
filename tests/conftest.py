"""Settings of every test: properties are tried on the same examples everywhere, and never timed."""

import os
import sys
from collections.abc import Iterator

import hypothesis
import pytest
import structlog

hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")

# Images often set it; then each process that a test starts would compile every module anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Threads of linear algebra wait for one another by spinning: with as many as cores in each of several
# processes, a fit takes twenty times as long. Read when numpy is loaded, which nothing above does.
for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")


LONG = ("e2e", "contracts", "deploy", "docs")
"""Folders whose files take long, the longest first."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where workers share the files, long ones first, so that none of them is begun when all else is done."""
    if hasattr(config, "workerinput"):
        items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return LONG.index(folder) if folder in LONG else len(LONG)


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command called in this process sets up the log, for a standard error that is closed after it."""
    yield
    structlog.reset_defaults()
