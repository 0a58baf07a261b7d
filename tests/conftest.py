"""Settings of every test: properties are tried on the same examples everywhere, and never timed."""

import os
import sys
from collections.abc import Iterator

import hypothesis
import pytest
import structlog
from hypothesis.internal.conjecture.providers import HypothesisProvider
from hypothesis.internal.constants_ast import Constants

from patience import WITHIN_S

hypothesis.settings.register_profile(
    "steady", deadline=None, derandomize=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("steady")

# Some examples are numbers out of the modules that are loaded by then: other ones after other tests.
assert hasattr(HypothesisProvider, "_local_constants")
HypothesisProvider._local_constants = Constants()  # type: ignore[assignment,method-assign]

# Images often set it; then each process that a test starts would compile every module anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Threads of linear algebra wait for one another by spinning: with as many as cores in each of several
# processes, a fit takes twenty times as long. Read when numpy is loaded, which nothing above does.
for threads in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(threads, "1")

# All that tests talk to is on this machine, whatever proxy its network wants for others.
for exempt in ("no_proxy", "NO_PROXY"):
    os.environ[exempt] = ",".join(filter(None, (os.environ.get(exempt), "127.0.0.1,localhost,::1")))

_TERMINAL = {"COLUMNS", "LINES", "TERMINAL_WIDTH", "NO_COLOR", "FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"}

# Settings, tokens and terminals of whoever runs the tests are not those of what is run in them.
for name in list(os.environ):
    theirs = name.startswith("PREDICTSCALE_") and name != "PREDICTSCALE_DATA"
    if theirs or name in _TERMINAL:
        del os.environ[name]


LONG = ("e2e", "contracts", "deploy", "docs")
"""Folders whose files take long, the longest first."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where workers share the files, long ones first, so that none of them is begun when all else is done."""
    if hasattr(config, "workerinput"):
        items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    folder = item.path.parent.name
    return LONG.index(folder) if folder in LONG else len(LONG)


@pytest.fixture(scope="session", autouse=True)
def _traces_are_the_tests_alone() -> Iterator[None]:
    """Whoever reads them has found them by now; to what is run here it is a setting that nobody knows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("PREDICTSCALE_DATA", raising=False)
        yield


@pytest.fixture(autouse=True)
def _nothing_is_given_up_because_the_machine_is_slow() -> Iterator[None]:
    """The waits of the code under test that end by the machine's own time, where a test sets none."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in _WAITS:
            if module in sys.modules:
                patch.setattr(sys.modules[module], name, WITHIN_S)
        if (refit := sys.modules.get("predictscale.control.refit")) is not None:
            defaults = refit.FitPool.__init__.__kwdefaults__
            for name in ("quick_deadline_s", "grace_s"):
                patch.setitem(defaults, name, WITHIN_S)
        yield


_WAITS = (
    ("predictscale.control.journalfile", "_TURN_S"),
    ("predictscale.control.tracker", "_FIRST_FIT_S"),
)


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """A command called in this process sets up the log, for a standard error that is closed after it."""
    yield
    structlog.reset_defaults()
