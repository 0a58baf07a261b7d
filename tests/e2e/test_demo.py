"""What a newcomer sees: `make run` is `predictscale demo`, which needs nothing."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from keda_client import KedaClient, ScaledObject
from patience import WITHIN_S, soon, until
from service_process import ServiceProcess

pytestmark = pytest.mark.e2e

CLI = Path(sys.executable).parent / "predictscale"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1"}
    return subprocess.run(
        [CLI, *arguments], capture_output=True, text=True, check=False, env=environment, timeout=WITHIN_S
    )


async def test_keda_gets_a_target_from_a_forecast_and_nothing_is_worth_a_warning(tmp_path: Path) -> None:
    # Whoever asks itself needs no proxy, and one for the world outside is often set.
    proxied = {"http_proxy": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}
    environment = {"PREDICTSCALE_GRPC__TIMEOUT_S": "30", **proxied}
    with ServiceProcess(["demo", "--speed", "120"], log=tmp_path / "log", environment=environment) as demo:
        keda = KedaClient(demo.grpc_address)
        for name in ("chat", "shop"):
            asked = ScaledObject(name=name, namespace="demo", metadata={"workload": name})
            assert (await keda.first(asked))[0].value > 0
            # Where a first fit takes long, the first target is the one without a forecast.
            assert _forecast(demo, name)["health"] == "ok"
            assert (await keda.poll(asked))[0].value > 0
        await keda.close()
        url = _tried_url(demo)
        left = re.compile(r"of 250,000.00 EUR are left for \d+ h")
        until(lambda: left.search(_ceiling(demo)), otherwise=lambda: _ceiling(demo))
        plan = run("plan", "demo/chat", "--url", url)
        assert plan.returncode == 0, plan.stderr
        for stage in ("demand", "capacity", "backlog", "warm", "stabilize", "ceiling", "landing"):
            assert re.search(rf"│ {stage} ", plan.stdout), plan.stdout
        forecast = run("forecast", "demo/shop", "--url", url)
        assert forecast.returncode == 0, forecast.stderr
        assert "level 0.95" in forecast.stdout
        assert "correction" in forecast.stdout
        missing = run("plan", "demo/nobody", "--url", url)
        assert missing.returncode == 1
        assert "known: demo/chat, demo/shop" in missing.stderr
        await _fleet_moves(demo)
        assert demo.get("/readyz").status_code == 200
        assert "/assets/app.js" in demo.get("/").text
        assert demo.terminate() == 0
    assert demo.log() == "", "nothing is worth a warning"


def test_the_demo_ends_by_itself_when_told_how_long_and_not_before_it_has_decided() -> None:
    ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
    # Half a second of life, in which nothing starts.
    done = run("demo", "--speed", "3600", "--stop-after", "0.5", *ports)
    assert done.returncode == 0, done.stderr
    assert "target" in done.stdout


def test_a_port_that_is_taken_is_said_in_one_line(tmp_path: Path) -> None:
    with ServiceProcess(["demo"], log=tmp_path / "log") as demo:
        taken = demo.grpc_address.rpartition(":")[2]
        second = run("demo", "--grpc-port", taken, "--http-port", "0", "--metrics-port", "0")
        assert second.returncode == 2
        assert taken in second.stderr
        assert "Traceback" not in second.stderr


def _ceiling(demo: ServiceProcess) -> str:
    """What the newest decision says of its ceiling."""
    steps = demo.json("/api/v1/workloads/demo/chat/decision")["steps"]
    return str(next(step["because"] for step in steps if step["stage"] == "ceiling"))


def _forecast(demo: ServiceProcess, name: str) -> dict[str, Any]:
    """The newest decision, once it is made from a forecast."""

    def found() -> dict[str, Any] | None:
        decision: dict[str, Any] = demo.json(f"/api/v1/workloads/demo/{name}/decision")
        return decision if decision["model"] else None

    return until(found)


async def _fleet_moves(demo: ServiceProcess) -> None:
    """The HPA's stand-in changes the fleet, and the service sees it."""
    await soon(lambda: any("HPA:" in line for line in demo.printed))
    assert any(re.search(r"HPA: \d+ -> \d+", line) for line in demo.printed), demo.printed
    decisions = demo.json("/api/v1/workloads/demo/chat/history?limit=900")["decisions"]
    assert decisions[0]["current_replicas"] is not None


def _tried_url(demo: ServiceProcess) -> str:
    """The address in the command that the demo proposes."""
    proposed = re.compile(r"try: \S*predictscale plan demo/chat --url (\S+)")
    return until(lambda: [m[1] for m in map(proposed.match, demo.printed) if m])[0]
