"""The service as a user starts it: a process, its printed addresses, its REST and metrics."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from patience import WITHIN_S


class ServiceProcess:
    """`predictscale ARGUMENTS` on free ports, between `with`.

    Args:
        arguments: The command and its options, ports left out.
        log: Where its standard error goes.
        environment: Added to this process' own.
    """

    def __init__(
        self, arguments: Sequence[str], *, log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        ports = ("--grpc-port", "0", "--http-port", "0", "--metrics-port", "0")
        self.command = [str(Path(sys.executable).parent / "predictscale"), *arguments, *ports]
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self.printed: list[str] = []

    def __enter__(self) -> Self:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdout=subprocess.PIPE, stderr=log, text=True, env=self._environment
            )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        deadline_s = time.monotonic() + WITHIN_S
        while len(self._addresses()) < 3:
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.__exit__(None, None, None)
                raise AssertionError(f"no three addresses in {self.printed}\n{self.log()[-3000:]}")
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def grpc_address(self) -> str:
        """Where KEDA calls."""
        return f"127.0.0.1:{self._addresses()['gRPC']}"

    @property
    def pid(self) -> int:
        """The process' number."""
        return self._process.pid

    def get(self, path: str) -> httpx2.Response:
        """Ask REST."""
        return httpx2.get(f"http://127.0.0.1:{self._addresses()['REST']}{path}", timeout=60, trust_env=False)

    def json(self, path: str) -> Any:
        """Ask REST for what must be there."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def metric(self, name: str, **labels: str) -> float | None:
        """One of the service's own metrics, or None."""
        text = httpx2.get(
            f"http://127.0.0.1:{self._addresses()['metrics']}/metrics", timeout=60, trust_env=False
        ).text
        for line in text.splitlines():
            if re.match(rf"{name}[{{ ]", line) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                return float(line.rsplit(" ", 1)[1])
        return None

    def terminate(self, *, within_s: float = WITHIN_S) -> int:
        """SIGTERM, and the exit code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(timeout=within_s)

    def log(self) -> str:
        """What it wrote to standard error so far."""
        return self._log.read_text() if self._log.exists() else ""

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.printed.append(line.rstrip())

    def _addresses(self) -> dict[str, int]:
        found = (re.match(r"(gRPC|REST|metrics)\s+\S*:(\d+)", line) for line in list(self.printed))
        return {match[1]: int(match[2]) for match in found if match}
