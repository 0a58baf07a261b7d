"""What the package offers is loaded when it is asked for."""

import subprocess
import sys

import pytest

import predictscale.bootstrap as package


def test_each_name_that_is_offered_is_there() -> None:
    for name in package.__all__:
        assert callable(getattr(package, name))


def test_a_name_that_is_not_offered_is_an_error_as_of_any_module() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Servce'"):
        package.__getattr__("Servce")


def test_a_replay_loads_neither_a_web_framework_nor_grpc() -> None:
    code = (
        "import sys; from predictscale.bootstrap import configure_logging; "
        "import predictscale.cli.simulated; "
        "print([name for name in ('fastapi', 'grpc', 'uvicorn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
