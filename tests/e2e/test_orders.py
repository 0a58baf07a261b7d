"""Pauses, modes, fits and what-if questions on a service process, as people and KEDA meet them."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest

from keda_client import ScaledObject, keda
from made_series import shop
from patience import until
from predictscale.core.series import MetricWindow
from service_process import ServiceProcess

pytestmark = pytest.mark.e2e

START = datetime(2026, 3, 4, 12, tzinfo=UTC)
TOKEN = "a-token-of-the-test-0123456789"  # noqa: S105 - of this test alone
CLI = Path(sys.executable).parent / "predictscale"
W = "/api/v1/workloads/prod/shop"
LONG: dict[str, Any] = {"stale_after_s": "1d"}
"""Seconds that a tick takes are minutes of a clock that runs fast; KEDA is told a number meanwhile."""
NAMED = ScaledObject(
    name="shop", namespace="prod", metadata={"scalerAddress": "predictscale:6000", "workload": "shop"}
)


def write_trace(folder: Path, window: MetricWindow) -> Path:
    rows = [
        f"{(window.start + timedelta(seconds=place * window.step_s)).isoformat()},{value!r}"
        for place, value in enumerate(window.values.tolist())
    ]
    path = folder / "trace.csv"
    path.write_text("\n".join(["timestamp,value", *rows, ""]))
    return path


def service_file(
    folder: Path, trace: Path, *, speed: float, start: datetime = START, tick_s: float = 15, **workload: Any
) -> Path:
    """A service that replays a trace, keeps what it is told, and takes orders."""
    (folder / "tokens").write_text(f"ann {TOKEN}\n")
    settings = {
        "replay": {"series": {"demand": str(trace)}, "start": start.isoformat(), "speed": speed},
        "http": {"write_token_file": str(folder / "tokens"), "audit_path": str(folder / "audit.jsonl")},
        "overrides": {"path": str(folder / "overrides.json")},
        "loop": {"tick_s": tick_s},
        "fit": {"every_s": "3h"},
        "grpc": {"timeout_s": 30},
        "workloads": [
            {
                "namespace": "prod",
                "name": "shop",
                "query": "demand",
                "capacity_per_replica": 10,
                "max_replicas": 100,
                "forecasters": ["last-value"],
                **workload,
            }
        ],
    }
    path = folder / "service.json"
    path.write_text(json.dumps(settings))
    return path


def steps(*levels: tuple[float, float]) -> MetricWindow:
    """So many minutes at so much each; before them a day at 100, after them a day of the last."""
    minutes = [100.0] * 1440
    for length, level in levels:
        minutes += [level] * round(length)
    minutes += [levels[-1][1]] * 1440
    return MetricWindow(START - timedelta(days=1), 60.0, np.array(minutes))


class Asked:
    """REST of a service, with the token."""

    def __init__(self, service: ServiceProcess) -> None:
        port = next(
            line.rsplit(":", 1)[1].split("/")[0] for line in service.printed if line.startswith("REST")
        )
        self.url = f"http://127.0.0.1:{port}"

    def __call__(
        self, method: str, what: str, body: Any = None, *, token: str | None = TOKEN
    ) -> httpx2.Response:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        path = what if what.startswith("/") else f"{W}/{what}"
        return httpx2.request(
            method, self.url + path, headers=headers, json=body, timeout=60, trust_env=False
        )

    def decision(self) -> dict[str, Any] | None:
        answer = self("GET", "decision")
        return answer.json() if answer.status_code == 200 else None


def kedas(service: ServiceProcess) -> float:
    """The number KEDA is told now, over gRPC."""

    async def ask() -> float:
        async with keda(service.grpc_address) as client:
            (sample,) = await client.poll(NAMED)
            return sample.value

    return asyncio.run(ask())


def test_a_pause_keeps_the_fleet_from_shrinking_lets_it_grow_and_outlives_a_kill(tmp_path: Path) -> None:
    # 20 replicas' worth, a fall to 5, a rise to 30, a fall to 5: the hold alone lasts ten minutes.
    demand = steps((12, 200), (25, 50), (5, 300), (1, 50))
    trace = write_trace(tmp_path, demand)
    # Ordered at the pace of life, ten minutes before the fall: a slow machine is in time, too.
    config = service_file(tmp_path, trace, speed=1, start=START + timedelta(minutes=2), **LONG)
    command = ["serve", "--config", str(config)]
    seen: list[int] = []

    def told(asked: Asked) -> dict[str, Any] | None:
        decision = asked.decision()
        if decision is not None:
            seen.append(decision["published_replicas"])
        return decision

    def at(minute: float) -> Callable[[Asked], dict[str, Any] | None]:
        after = START + timedelta(minutes=minute)

        def reached(asked: Asked) -> dict[str, Any] | None:
            decision = told(asked)
            late = decision is not None and datetime.fromisoformat(decision["decided_at"]) >= after
            return decision if late else None

        return reached

    with ServiceProcess(command, log=tmp_path / "log") as service:
        asked = Asked(service)
        until(lambda: ((told(asked) or {}).get("published_replicas") or 0) >= 20)
        paused = asked("POST", "pause", {"for": "12h", "reason": "a launch"})
        assert paused.status_code == 200, paused.text
        assert paused.json()["by"] == "ann"
    # It was killed: nobody had time to write anything down. The same minutes again, faster.
    seen.clear()
    service_file(tmp_path, trace, speed=200, **LONG)
    with ServiceProcess(command, log=tmp_path / "log") as service:
        asked = Asked(service)
        still = until(lambda: at(35)(asked))
        assert still["published_replicas"] >= 20
        assert "paused by ann: a launch" in " ".join(still["notes"])
        until(lambda: (told(asked) or {}).get("published_replicas", 0) >= 30)
        after = until(lambda: at(58)(asked))
        assert after["published_replicas"] >= 30
        assert kedas(service) >= 30
        # Never down, whatever came.
        assert seen == sorted(seen)
        assert asked("DELETE", "pause").json()["paused_until"] is None
        until(lambda: (asked.decision() or {}).get("published_replicas", 99) < 10)
        again = asked("POST", "pause", {"for": "12h", "reason": "night"})
        assert again.status_code == 200
    with ServiceProcess(command, log=tmp_path / "log") as service:
        asked = Asked(service)
        # The replayed clock began anew, before any of this was ordered, as a decision of then knows.
        until(lambda: (asked.decision() or {}).get("published_replicas"))
        until(lambda: asked("GET", "overrides").json()["reason"] == "night")
        until(lambda: "paused by ann: night" in " ".join((asked.decision() or {"notes": []})["notes"]))
        assert service.terminate() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_the_mode_changes_what_keda_is_told_and_every_call_is_on_record(tmp_path: Path) -> None:
    # The forecast knows of a planned event that the reactive need does not see.
    demand = steps((1, 100))
    event = {"name": "sale", "start": "2026-03-04T00:00Z", "end": "2026-03-06T00:00Z", "demand": 555}
    config = service_file(tmp_path, write_trace(tmp_path, demand), speed=20, events=[event], **LONG)
    command = ["serve", "--config", str(config)]
    with ServiceProcess(command, log=tmp_path / "log") as service:
        asked = Asked(service)
        until(lambda: ((asked.decision() or {}).get("published_replicas") or 0) >= 56)
        assert kedas(service) >= 56
        shadow = asked("PUT", "mode", {"mode": "shadow", "reason": "a trial"})
        assert (shadow.status_code, shadow.json()["mode"]) == (200, "shadow")
        until(lambda: (asked.decision() or {}).get("mode") == "shadow")
        until(lambda: kedas(service) == 10)
        assert asked("POST", "refit", {"reason": "new data"}).status_code == 202
        assert asked("PUT", "mode", {"mode": "dark", "reason": "x"}).status_code == 422
        assert asked("POST", "pause", {"for": "30h", "reason": "x"}).status_code == 422
        assert asked("POST", "pause", {"for": "1h", "reason": "x"}, token=None).status_code == 401
        assert asked("DELETE", "mode", token="not-a-token-that-is-good").status_code == 401  # noqa: S106
        unknown = asked("POST", "/api/v1/workloads/prod/none/pause", {"for": "1h", "reason": "x"})
        assert unknown.status_code == 404
        added = asked("POST", "events", event | {"name": "later"})
        assert added.status_code == 201
        assert asked("DELETE", f"events/{added.json()['event']['id']}").status_code == 204
    with ServiceProcess(command, log=tmp_path / "log") as service:
        asked = Asked(service)
        until(lambda: asked("GET", "overrides").json()["mode"] == "shadow")
        until(lambda: (asked.decision() or {}).get("mode") == "shadow")
        until(lambda: kedas(service) == 10)
        assert asked("DELETE", "mode").json()["mode"] is None
        until(lambda: kedas(service) >= 56)
        records = asked("GET", "/api/v1/audit-log", token=None).json()["records"]
        assert service.terminate() == 0
    told = [(each["action"], each["by"], each["outcome"].split(" ")[0:2]) for each in reversed(records)]
    assert told == [
        ("mode", "ann", ["done"]),
        ("refit", "ann", ["done"]),
        ("mode", "ann", ["refused:", "422"]),
        ("pause", "ann", ["refused:", "422"]),
        ("pause", None, ["refused:", "401"]),
        ("mode end", None, ["refused:", "401"]),
        ("pause", "ann", ["refused:", "404"]),
        ("event add", "ann", ["done"]),
        ("event remove", "ann", ["done"]),
        ("mode end", "ann", ["done"]),
    ]
    assert TOKEN not in (tmp_path / "audit.jsonl").read_text()
    assert TOKEN not in (tmp_path / "log").read_text()


def run(*arguments: object) -> Any:
    environment = {**os.environ, "NO_COLOR": "1", "OPENBLAS_NUM_THREADS": "1", "COLUMNS": "200"}
    done = subprocess.run(
        [str(CLI), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_what_if_is_a_backtest_of_the_same_days_to_the_last_replica_hour(tmp_path: Path) -> None:
    trace = shop(days=2.6, step_s=60.0, seed=5)
    settings: dict[str, Any] = {
        "tick_s": 60,
        "forecasters": ["native", "seasonal-naive-day", "last-value"],
        "capacity_per_replica": 4,
        "max_replicas": 200,
    }
    as_is: dict[str, Any] = {"quantile": 0.9, "lead_time_s": 240}
    changed: dict[str, Any] = {"quantile": 0.6, "lead_time_s": 360}
    path = write_trace(tmp_path, trace)
    start = trace.end - timedelta(hours=2)
    config = service_file(tmp_path, path, speed=0.01, start=start, **settings, **as_is)
    with ServiceProcess(["serve", "--config", str(config)], log=tmp_path / "log") as service:
        asked = Asked(service)
        until(lambda: asked.decision() is not None)
        job = run(
            "whatif", "prod/shop", "--days", "1", "--set", "quantile=0.6", "--set", "lead_time_s=6m",
            "--json", "--url", asked.url,
        )  # fmt: skip
    found = job["result"]
    # The bins that the service had read by then, as a trace.
    (tmp_path / "cut").mkdir()
    cut = write_trace(tmp_path / "cut", trace.between(trace.start, datetime.fromisoformat(found["until"])))

    def backtest(policies: str, **own: Any) -> Any:
        workload = service_file(tmp_path, path, speed=1, **settings, **own)
        given = ("--trace", cut, "--workload", workload, "--train-until", found["from"])
        report = run("backtest", *given, "--policies", policies, "--json")
        assert (report["from"], report["until"]) == (found["from"], found["until"])
        return report["policies"]

    (ours,) = backtest("predictscale", **as_is)
    assert {name: ours[name] for name in found["as_is"]} == found["as_is"]
    ours, *rivals = backtest("predictscale,static,stock-reactive,tuned-reactive", **changed)
    assert {name: ours[name] for name in found["changed"]} == found["changed"]
    assert [each["policy"] for each in rivals] == ["static", "stock-reactive", "tuned-reactive"]
    assert [each | {"settings": ""} for each in rivals] == found["rivals"]
    assert found["as_is"]["replica_hours"] > found["changed"]["replica_hours"]
    assert job["asked"] == {"days": 1.0, "settings": {"quantile": 0.6, "lead_time_s": "6m"}}
