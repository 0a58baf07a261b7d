"""How an audit begins and ends before there is anything to tell; else tests/e2e/test_audit_command.py."""

import signal
import socket
import subprocess
import sys

import pytest
from anyio import to_process

from patience import WITHIN_S
from predictscale.cli.auditjob import Asked
from predictscale.cli.auditread import Reading
from predictscale.cli.auditrun import Found, _Crew
from predictscale.clock import ManualClock
from predictscale.config.settings import ServiceSettings
from predictscale.core.slo import Slo
from worlds import NOON


async def test_a_machine_that_can_start_no_process_ends_no_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    # Each workload is told of as failed, with this reason, by who takes it.
    async def full(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(to_process, "run_sync", full)
    crew = _Crew(
        Found(),
        ServiceSettings(),
        Reading(days=1.0, step_s=300.0, at=NOON, capacity={}, lead_time_s=None),
        Asked(slo=Slo(max_violation=0.01, wait_s=5.0), forecasters=("last-value",)),
        clock=ManualClock(NOON),
        traces=None,
        started=lambda _: lambda _: None,
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    await crew.begin(2)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_who_ends_it_before_it_knows_of_any_workload_is_not_told_that_none_is_left() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        command = [
            sys.executable,
            "-c",
            "from predictscale.cli import app; app()",
            "audit",
            "--prometheus",
            url,
        ]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0
        ) as process:
            silent.settimeout(WITHIN_S)
            asked, _ = silent.accept()  # nobody will answer
            with asked:
                process.send_signal(signal.SIGTERM)
                _, said = process.communicate(timeout=WITHIN_S)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert "interrupted: no workload was found yet" in said
    assert "Traceback" not in said
