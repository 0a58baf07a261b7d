"""What a service told of its decisions is told again by the next one, however the first one ended."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from patience import until
from service_process import ServiceProcess

pytestmark = pytest.mark.e2e

CHAT = "/api/v1/workloads/demo/chat"


def demo(tmp_path: Path) -> ServiceProcess:
    environment = {"PREDICTSCALE_ARCHIVE__PATH": str(tmp_path / "decisions.db")}
    return ServiceProcess(["demo", "--speed", "120"], log=tmp_path / "log", environment=environment)


def kept_of(service: ServiceProcess, *, before: str | None = None) -> list[dict[str, Any]]:
    """The decisions of a page, newest first; none before there are any."""
    answer = service.get(f"{CHAT}/history?limit=900" + (f"&before={before}" if before else ""))
    return list(answer.json()["decisions"]) if answer.status_code == 200 else []


def test_after_a_kill_past_decisions_are_told_as_they_were(tmp_path: Path) -> None:
    with demo(tmp_path) as first:
        until(lambda: (first.metric("predictscale_archive_decisions_total") or 0) >= 24)
        told = kept_of(first)
        os.kill(first.pid, signal.SIGKILL)
    with demo(tmp_path) as second:
        # The demo begins its week again; what it has not come to yet is of the first run.
        again = kept_of(second)
        archive = second.json(f"{CHAT}/history?limit=1")["archive"]
        by_instant = {decision["decided_at"]: decision for decision in told}
        now = second.json("/api/v1/fleet")["now"]
        ahead = [decision for decision in again if decision["decided_at"] > now]
        assert ahead
        assert [by_instant[decision["decided_at"]] for decision in ahead] == ahead
        newest = ahead[0]["decided_at"]
        assert second.json(f"{CHAT}/decision?at={newest}") == by_instant[newest]
        assert second.json(f"{CHAT}/forecast?at={newest}")["model"] == by_instant[newest]["model"]
        assert archive == {"on_disk": True, "problem": None, "dropped": 0}
        timeline = second.json(f"{CHAT}/timeline?until={newest}")
        assert timeline["target"][-1] == by_instant[newest]["target_replicas"]
        assert any(plain is not None for plain in timeline["plain"])
        assert any(high is not None for high in timeline["high"])
        assert second.terminate() == 0
