"""Commands that compute leave linear algebra one thread, which must be said before numpy is loaded."""

import os
import subprocess
import sys

import pytest

from predictscale.cli import main

NAMES = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")


@pytest.fixture
def _version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command line that asks for little."""
    monkeypatch.setattr(sys, "argv", ["predictscale", "version"])


@pytest.mark.usefixtures("_version")
@pytest.mark.parametrize("name", NAMES)
def test_linear_algebra_has_one_thread(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(SystemExit):
        main()
    assert os.environ[name] == "1"


@pytest.mark.usefixtures("_version")
def test_whoever_says_how_many_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    with pytest.raises(SystemExit):
        main()
    assert os.environ["OPENBLAS_NUM_THREADS"] == "3"


def test_numpy_is_not_loaded_before_a_command_needs_it() -> None:
    code = "import sys, predictscale.cli; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
