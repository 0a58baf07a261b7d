"""What the commands of the documents find around them: a Prometheus, the service, KEDA's part, and a demo.

Commands run as they are printed, in a folder that looks like the checkout. What is not here is stood in
for, and nothing else is:

- addresses: ports of this run instead of the ports that are printed (`Scene.ported`);
- what goes on in the background (`&`) is waited for, so that its failure is seen;
- `helm install` and `helm upgrade` render what they would send to a cluster;
- `kubectl apply` reads what it would send, and the service is asked as KEDA asks it for each trigger of a
  ScaledObject; `kubectl port-forward` finds out whether its Service exists in what Helm renders;
- `make TARGET` says what it would do: `make run` and `make test` install and take minutes.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

import numpy as np
import yaml

from patience import WITHIN_S, until
from predictscale.clock import SystemClock
from predictscale.core.series import MetricWindow, floor_to_grid
from predictscale.sources.synthetic import shop_requests
from prometheus_server import BackfilledSeries, PrometheusServer
from service_process import ServiceProcess

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"
BIN = Path(sys.executable).parent
TOKEN = "a-token-of-the-documents"  # noqa: S105 - good in this scene alone
_PAST, _AHEAD = timedelta(minutes=165), timedelta(minutes=180)
"""What is held, before the present and after it: the fleet is there as long as anybody may run commands."""
_HIDDEN = {".git", ".tools", "build"}


@dataclass
class Scene:
    """Between `with`, all that runs.

    Args:
        folder: An empty folder; commands run in its `checkout`.
    """

    folder: Path
    prometheus: PrometheusServer = field(init=False)
    service: ServiceProcess = field(init=False)
    demo: ServiceProcess = field(init=False)

    @property
    def checkout(self) -> Path:
        """Where commands run: links to all that the real one has, and what they write themselves."""
        return self.folder / "checkout"

    def __enter__(self) -> Self:
        self._lay_out()
        (self.folder / "tsdb").mkdir()
        with ExitStack() as running:  # what was started before another fails is ended too
            held = PrometheusServer(self.folder / "tsdb", series=_held())
            self.prometheus = running.enter_context(held)
            served = self._served(("serve", "--config", str(self._settings())), "service")
            self.service = running.enter_context(served)
            self.demo = running.enter_context(self._served(("demo", "--speed", "30"), "demo"))
            self._until(self.demo, "/api/v1/workloads/demo/chat/forecast")
            until(self._looks_back, otherwise=lambda: f"no minutes are kept\n{self.demo.log()[-2000:]}")
            self._running = running.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._running.close()

    def run(self, script: str, *, within_s: float = 5 * WITHIN_S) -> subprocess.CompletedProcess[str]:
        """A block of shell as it is printed; the first command that fails ends it."""
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", self.ported(script)],
            cwd=self.checkout,
            env=self._environment(),
            check=False,
            capture_output=True,
            text=True,
            timeout=within_s,
        )

    def ported(self, script: str) -> str:
        """The same with this run's ports. What is told of `demo/...` is asked of the demo."""
        rest = self._port(self.demo if "demo/" in script else self.service)
        script = script.replace("127.0.0.1:8080", f"127.0.0.1:{rest}").replace(" &\n", "\n")
        return script.replace("http://127.0.0.1:9090", self.prometheus.url)

    def _port(self, service: ServiceProcess) -> int:
        return service._addresses()["REST"]

    def _environment(self) -> Mapping[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.folder / 'bin'}:{BIN}:{os.environ['PATH']}",
            "DOCUMENTS_GRPC": self.service.grpc_address,
            "TOKEN": TOKEN,
            "NO_COLOR": "1",
            "COLUMNS": "140",
            "no_proxy": "*",
        }

    def _served(self, arguments: tuple[str, ...], name: str) -> ServiceProcess:
        return ServiceProcess(arguments, log=self.folder / f"{name}.log")

    def _until(self, service: ServiceProcess, path: str) -> None:
        until(
            lambda: service.get(path).status_code == 200,
            otherwise=lambda: f"nothing at {path}\n{service.log()[-2000:]}",
        )

    def _looks_back(self) -> bool:
        """Whether the demo has lived for the minutes that the documents look back."""
        answer = self.demo.get("/api/v1/workloads/demo/shop/history?limit=1")
        if answer.status_code != 200:  # it may come later than the other to its first decision
            return False
        kept = answer.json()
        newest = datetime.fromisoformat(kept["decisions"][0]["decided_at"])
        return newest - datetime.fromisoformat(kept["oldest"]) > timedelta(minutes=5)

    def _settings(self) -> Path:
        """The service's file, as the chart makes it by default, but for where things are here."""
        tokens = self.folder / "tokens"
        tokens.write_text(f"documents {TOKEN}\n")
        written = yaml.safe_load((ROOT / "deploy/kustomize/base/predictscale.yaml").read_text())
        written |= {
            "prometheus": {"url": self.prometheus.url},
            "cache": {},
            "archive": {},
            "http": {"host": "127.0.0.1", "write_token_file": str(tokens)},
            "grpc": {"host": "127.0.0.1"},
            "metrics": {"host": "127.0.0.1"},
        }
        path = self.folder / "service.yaml"
        path.write_text(yaml.safe_dump(written))
        return path

    def _lay_out(self) -> None:
        self.checkout.mkdir()
        for entry in ROOT.iterdir():
            if entry.name not in _HIDDEN:
                (self.checkout / entry.name).symlink_to(entry)
        if not (self.checkout / ".venv").exists():
            (self.checkout / ".venv").symlink_to(BIN.parent)
        (self.checkout / "trace.csv").write_text(_trace())
        bin_folder = self.folder / "bin"
        bin_folder.mkdir()
        stand_ins = Path(__file__).with_name("document_tools.py")
        for tool in ("helm", "kubectl", "make"):
            (bin_folder / tool).write_text(f'#!/bin/sh\nexec {sys.executable} {stand_ins} {tool} "$@"\n')
            (bin_folder / tool).chmod(0o755)


def tools_are_here() -> bool:
    """Whether Prometheus, Helm and kubectl can be had."""
    return all((TOOLS / tool).is_file() for tool in ("helm4", "kubectl")) and all(
        map(shutil.which, ("prometheus", "promtool", "curl"))
    )


def _trace() -> str:
    """Two and a half days of minutes of the synthetic shop."""
    shop = shop_requests()
    end = datetime.fromisoformat("2026-03-02T00:00:00+00:00")
    window = shop.values(end - timedelta(hours=60), end, 60.0)
    rows = (
        f"{datetime.fromtimestamp(stamp, tz=end.tzinfo).isoformat()},{value:.2f}"
        for stamp, value in zip(window.stamps_s.tolist(), window.values.tolist(), strict=True)
    )
    return "\n".join(("timestamp,value", *rows, ""))


def _held() -> list[BackfilledSeries]:
    """Hours of one vLLM Deployment, `chat` in `llm`, and of what kube-state-metrics tells of it."""
    start = floor_to_grid(SystemClock().now(), 60.0) - _PAST
    minutes = (_PAST + _AHEAD) // timedelta(minutes=1)
    found: list[BackfilledSeries] = []

    def put(
        metric: str, values: "np.ndarray[tuple[int], np.dtype[np.float64]] | float", **labels: str
    ) -> None:
        line = np.full(minutes, values) if isinstance(values, int | float) else values
        found.append(BackfilledSeries(metric, labels, MetricWindow(start, 60.0, line)))

    served = np.cumsum(60 * (20 + 6 * np.sin(np.arange(minutes) / 28.0)))
    pods = ("chat-5d9f7c6b4-x1", "chat-5d9f7c6b4-x2", "chat-5d9f7c6b4-x3")
    for pod in pods:
        engine = {"namespace": "llm", "pod": pod, "model_name": "llama-3"}
        put("vllm:num_requests_waiting", 0.0, **engine)
        put("vllm:time_to_first_token_seconds_count", served, **engine)
        put(
            "kube_pod_owner",
            1,
            namespace="llm",
            pod=pod,
            owner_kind="ReplicaSet",
            owner_name="chat-5d9f7c6b4",
        )
    put(
        "kube_replicaset_owner",
        1,
        namespace="llm",
        replicaset="chat-5d9f7c6b4",
        owner_kind="Deployment",
        owner_name="chat",
    )
    for metric in ("kube_deployment_status_replicas", "kube_deployment_status_replicas_ready"):
        put(metric, float(len(pods)), namespace="llm", deployment="chat")
    return sorted(found, key=lambda one: one.name)
