"""A real Prometheus on loopback, with a past of our making.

`backfill` before `start`; `stop` and `start` again come back on the same port
with the same data. What was asked is in `queries()`.
"""

import contextlib
import json
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from patience import WITHIN_S
from predictscale.core.series import MetricWindow


@dataclass(frozen=True, slots=True)
class BackfilledSeries:
    """One gauge: its name, labels, and bins, each written as a sample at the bin's end."""

    name: str
    labels: Mapping[str, str]
    window: MetricWindow


@dataclass(frozen=True, slots=True)
class AskedQuery:
    """One line of Prometheus' query log; instants are seconds since the epoch as text."""

    query: str
    start: str
    end: str
    step_s: float
    path: str


def openmetrics(series: Iterable[BackfilledSeries]) -> str:
    """The series as OpenMetrics text; those of one name must follow each other."""
    lines: list[str] = []
    told: set[str] = set()
    for one in series:
        if one.name not in told:
            told.add(one.name)
            lines.append(f"# TYPE {one.name} gauge")
        labels = ",".join(f"{name}={json.dumps(value)}" for name, value in one.labels.items())
        ends_s = one.window.stamps_s + one.window.step_s
        lines += [
            f"{one.name}{{{labels}}} {value!r} {stamp:.3f}"
            for stamp, value, known in zip(
                ends_s.tolist(), one.window.values.tolist(), one.window.known.tolist(), strict=True
            )
            if known
        ]
    return "\n".join([*lines, "# EOF", ""])


class PrometheusServer:
    """Between `with`, a server that was started once; its folder belongs to the caller.

    Args:
        folder: An empty folder for its data, settings and logs.
        scrape_configs: As in Prometheus' own settings.
        series: A past to backfill before the first start.
        receives: Whether it takes samples by remote write; see `remote_write`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        scrape_configs: Sequence[Mapping[str, Any]] = (),
        series: Iterable[BackfilledSeries] = (),
        receives: bool = False,
    ) -> None:
        for tool in ("prometheus", "promtool"):
            if shutil.which(tool) is None:
                raise AssertionError(f"{tool} is not on PATH; `make test` installs it")
        self._folder = folder
        self._data = folder / "data"
        self._query_log = folder / "queries.log"
        self._settings = folder / "prometheus.yml"
        settings = {
            "global": {"query_log_file": str(self._query_log), "scrape_interval": "1s"},
            "scrape_configs": list(scrape_configs),
        }
        # JSON is YAML.
        self._settings.write_text(json.dumps(settings))
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._series = list(series)
        self._receives = receives

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        if self._series:
            self.backfill(self._series)
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def backfill(self, series: Iterable[BackfilledSeries]) -> None:
        """Write a past; only while it is stopped."""
        text = self._folder / "backfill.om"
        text.write_text(openmetrics(series))
        # The hidden flag makes a few large blocks of weeks, instead of hundreds of two hours.
        command = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=672h"]
        done = subprocess.run(
            [*command, "openmetrics", str(text), str(self._data)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start, and wait until it is ready."""
        assert self._process is None
        log = self._folder / "prometheus.log"
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._settings}",
                    f"--storage.tsdb.path={self._data}",
                    "--storage.tsdb.retention.time=90d",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                    *(["--web.enable-remote-write-receiver"] if self._receives else []),
                ],
                stdout=out,
                stderr=out,
            )
        deadline_s = time.monotonic() + WITHIN_S
        while not self._ready():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.stop()
                raise AssertionError(f"Prometheus did not get ready:\n{log.read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """End it in order; its data stay."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def queries(self) -> list[AskedQuery]:
        """Every query it evaluated so far, oldest first."""
        if not self._query_log.exists():
            return []
        # The last line may be half written.
        lines = [json.loads(line) for line in self._query_log.read_text().split("\n")[:-1]]
        return [
            AskedQuery(
                query=line["params"]["query"],
                start=line["params"]["start"],
                end=line["params"]["end"],
                step_s=float(line["params"]["step"]),
                path=line.get("httpRequest", {}).get("path", ""),
            )
            for line in lines
        ]

    def _ready(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/-/ready", timeout=10.0, trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False


def _free_port() -> int:
    """One that no other program is given unasked: below those that the system hands out."""
    while True:
        with socket.socket() as probe, contextlib.suppress(OSError):
            port = random.SystemRandom().randrange(15_000, 32_000)
            probe.bind(("127.0.0.1", port))
            return port
