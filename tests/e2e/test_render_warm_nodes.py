"""Warm nodes of a workload that a real service follows, from the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from patience import until
from service_process import ServiceProcess

pytestmark = pytest.mark.e2e

FORECAST = "/api/v1/workloads/demo/chat/forecast"


def render(demo: ServiceProcess, *said: str) -> subprocess.CompletedProcess[str]:
    port = next(line.rsplit(":", 1)[1].split("/")[0] for line in demo.printed if line.startswith("REST"))
    command = Path(sys.executable).parent / "predictscale"
    return subprocess.run(
        [str(command), "render", "demo/chat", *said],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PREDICTSCALE_URL": f"http://127.0.0.1:{port}"},
        timeout=180,
    )


def test_a_running_services_forecast_sizes_the_nodes_that_stand_ready(tmp_path: Path) -> None:
    with ServiceProcess(["demo"], log=tmp_path / "log") as demo:
        until(lambda: demo.get(FORECAST).status_code == 200)
        sized = render(demo, "--warm-nodes", "buffer", "gpusPerNode=4", "wake=4m", "level=0.99")
        assert sized.returncode == 0, sized.stderr
        (_, buffer) = yaml.safe_load_all(sized.stdout)
        nodes = buffer["spec"]["replicas"]
        assert f"# Nodes that stand ready for demo/chat: {nodes}.\n" in sized.stdout
        assert "tokens/s may come within 240 s at level 0.99" in sized.stdout
        assert f"per node 4: nodes {nodes}.\n" in sized.stdout
        far = render(demo, "--warm-nodes", "buffer", "gpusPerNode=4", "wake=1d")
        assert far.returncode == 2
        assert far.stderr.startswith("wake: 1d; the forecast of ")
