"""Fleets of simulated engines for tests, and a Prometheus with their past."""

import subprocess
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2

from patience import WITHIN_S
from predictscale.simulate.engine.fleet import ORIGIN, Fleet
from predictscale.simulate.engine.record import Recording
from predictscale.simulate.engine.replica import Engine
from predictscale.simulate.engine.request import Request
from predictscale.simulate.engine.spec import EngineSpec
from predictscale.simulate.engine.traffic import CHAT, Mix, constant
from prometheus_server import PrometheusServer

QUIET = EngineSpec(noise=0.0)


def after(seconds: float) -> datetime:
    """An instant of a fleet that begins at the usual origin."""
    return ORIGIN + timedelta(seconds=seconds)


def chat_fleet(rps: float, *, pods: int = 1, mix: Mix | None = None, **more: Any) -> Fleet:
    """A fleet under constant load."""
    streams = (mix or Mix.only(CHAT)).streams(constant(rps))
    return Fleet(**{"spec": EngineSpec(), "streams": streams, "pods": pods, **more})


def asked(engine: Engine, *, tokens: int, answer: int, cached: int = 0, at_s: float = 0.0) -> Request:
    """A request that was just submitted."""
    request = Request(arrived_s=at_s, input_tokens=tokens, output_tokens=answer, cached_tokens=cached)
    engine.submit(request, at_s)
    return request


def backfill(folder: Path, recordings: Iterable[Recording]) -> None:
    """Write recordings into the data folder of a Prometheus that will run in `folder`."""
    for place, recording in enumerate(recordings):
        text = folder / f"past-{place}.om"
        text.write_text("".join(recording.openmetrics()))
        command = ["promtool", "tsdb", "create-blocks-from", "--max-block-duration=672h", "openmetrics"]
        done = subprocess.run(
            [*command, str(text), str(folder / "data")], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def value_of(server: PrometheusServer, query: str, at: datetime) -> float:
    """The one value that a query gives at an instant."""
    asked = {"query": query, "time": f"{at.timestamp():.3f}"}
    answer = httpx2.get(f"{server.url}/api/v1/query", params=asked, timeout=WITHIN_S, trust_env=False)
    (one,) = answer.json()["data"]["result"]
    return float(one["value"][1])
