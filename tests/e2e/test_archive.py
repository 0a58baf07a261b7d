"""What a service told of its decisions is told again by the next one, however the first one ended."""

import os
import signal
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from patience import until
from service_process import ServiceProcess

pytestmark = pytest.mark.e2e

CHAT, SHOP = "/api/v1/workloads/demo/chat", "/api/v1/workloads/demo/shop"
AHEAD = timedelta(minutes=10)
"""Of the first run, at least: as long as life may take until the second one has told all that is asked."""


def demo(tmp_path: Path, *, speed: int) -> ServiceProcess:
    environment = {"PREDICTSCALE_ARCHIVE__PATH": str(tmp_path / "decisions.db")}
    return ServiceProcess(["demo", "--speed", str(speed)], log=tmp_path / "log", environment=environment)


def kept_of(service: ServiceProcess, workload: str = CHAT) -> list[dict[str, Any]]:
    """The decisions of a page, newest first; none before there are any."""
    answer = service.get(f"{workload}/history?limit=900")
    return list(answer.json()["decisions"]) if answer.status_code == 200 else []


def at(decision: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(decision["decided_at"])


def lasted(told: list[dict[str, Any]]) -> bool:
    """Whether the decisions reach far enough, up to one that was made from a forecast."""
    return bool(told) and at(told[0]) - at(told[-1]) >= AHEAD and told[0]["model"] is not None


def test_after_a_kill_past_decisions_are_told_as_they_were(tmp_path: Path) -> None:
    with demo(tmp_path, speed=120) as first:
        until(lambda: lasted(kept_of(first)))
        # They are written in the order in which they were made, so these are among the first so many.
        made = sum(len(kept_of(first, workload)) for workload in (CHAT, SHOP))
        until(lambda: (first.metric("predictscale_archive_decisions_total") or 0) >= made)
        told = kept_of(first)
        os.kill(first.pid, signal.SIGKILL)
    with demo(tmp_path, speed=1) as second:
        # The demo begins its week again; what it has not come to yet is of the first run.
        again = kept_of(second)
        archive = second.json(f"{CHAT}/history?limit=1")["archive"]
        by_instant = {decision["decided_at"]: decision for decision in told}
        now = datetime.fromisoformat(second.json("/api/v1/fleet")["now"])
        # What the first run decided and wrote between its answer and its end was told to nobody.
        ahead = [decision for decision in again if now < at(decision) <= at(told[0])]
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
