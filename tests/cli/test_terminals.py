"""What is printed where a terminal, or what stands in for one, can show little."""

import os
import subprocess
import sys

import pytest

PRINTS = """
import sys
from rich.console import Console
from predictscale import cli

def dashes() -> None:
    Console().print("late – 1 %")

cli.app.command()(dashes)
sys.argv = ["predictscale", "dashes"]
cli.main()
"""


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", b"late ? 1 %"), ("utf-8", "late – 1 %".encode())])
def test_a_sign_that_an_encoding_lacks_ends_nothing(encoding: str, shown: bytes) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    run = subprocess.run(
        [sys.executable, "-c", PRINTS], capture_output=True, check=False, env=environment, timeout=180
    )
    assert run.stderr == b""
    assert run.stdout.strip() == shown
