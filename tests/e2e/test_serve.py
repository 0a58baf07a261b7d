"""`predictscale serve` without a Prometheus: on a replayed file, and behind mutual TLS."""

import asyncio
import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from certificates import Authority
from keda_client import KedaClient, ScaledObject
from patience import WITHIN_S, until
from service_process import ServiceProcess

pytestmark = pytest.mark.e2e

START = datetime(2026, 3, 4, 12, tzinfo=UTC)
SHOP = ScaledObject(name="shop", namespace="prod", metadata={"workload": "shop"})


def trace(path: Path) -> Path:
    """Three days of minutes that rise and fall once a day, with an hour that is missing."""
    begin = START - timedelta(days=2)
    lines = ["timestamp,value"]
    for minute in range(3 * 1440):
        at = begin + timedelta(minutes=minute)
        value = 300 + 200 * np.sin(2 * np.pi * minute / 1440)
        lines.append(f"{at.isoformat()},{'' if 600 <= minute < 660 else round(value, 1)}")
    path.write_text("\n".join(lines) + "\n")
    return path


def settings(folder: Path, **more: Any) -> Path:
    """A service file in `folder` that replays the trace."""
    path = folder / "service.json"
    workload = {
        "namespace": "prod",
        "name": "shop",
        "query": "shop_demand",
        "capacity_per_replica": 10,
        "max_replicas": 100,
        "forecasters": ["seasonal-naive-day", "last-value"],
        # Ten minutes are ten seconds here; nobody is to be told UNAVAILABLE after a slow tick.
        "stale_after_s": "1d",
    }
    replay = {
        "series": {"shop_demand": str(trace(folder / "trace.csv"))},
        "start": START.isoformat(),
        "speed": 60,
    }
    path.write_text(json.dumps({"replay": replay, "workloads": [workload], **more}))
    return path


async def test_a_file_is_replayed_on_a_clock_that_runs_faster_than_life(tmp_path: Path) -> None:
    with ServiceProcess(["serve", "--config", str(settings(tmp_path))], log=tmp_path / "log") as service:
        keda = KedaClient(service.grpc_address)
        assert (await keda.first(SHOP))[0].value >= 30
        path = "/api/v1/workloads/prod/shop/decision"
        first = service.json(path)
        assert datetime.fromisoformat(first["decided_at"]) < START + timedelta(hours=6)
        await asyncio.to_thread(until, lambda: service.json(path)["model"] == "seasonal-naive-day")
        await asyncio.to_thread(until, lambda: service.json(path)["decided_at"] > first["decided_at"])
        await keda.close()
        assert service.terminate() == 0


async def test_with_mutual_tls_only_a_known_client_is_answered(tmp_path: Path) -> None:
    authority = Authority()
    files = authority.write(tmp_path, clients=authority)
    tls = {
        "cert_file": str(files.certificate),
        "key_file": str(files.key),
        "client_ca_file": str(files.client_ca),
    }
    config = settings(tmp_path, grpc={"host": "127.0.0.1", "tls": tls})
    with ServiceProcess(["serve", "--config", str(config)], log=tmp_path / "log") as service:
        known = KedaClient(service.grpc_address, credentials=authority.client(identity=authority))
        assert (await known.first(SHOP))[0].value >= 30
        await known.close()
        stranger = KedaClient(service.grpc_address, credentials=authority.client())
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stranger.stub.GetMetricSpec(SHOP.ref, timeout=WITHIN_S)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        await stranger.close()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{}", "prometheus: is missing"),
        ('{"grcp": {"port": 1}}', "grcp"),
        ('{"replay": {"series": {"a": "missing.csv"}}}', "missing.csv"),
        (
            '{"prometheus": {"url": "http://127.0.0.1:9"}, "defaults": {"forecasters": ["profet"]}}',
            "prophet",
        ),
    ],
)
def test_a_wrong_setting_ends_in_one_clear_message(tmp_path: Path, content: str, complaint: str) -> None:
    config = tmp_path / "service.json"
    config.write_text(content)
    process = ServiceProcess(["serve", "--config", str(config)], log=tmp_path / "log")
    done = subprocess.run(process.command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
