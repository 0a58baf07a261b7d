"""Planned events from the command line to the decision, through a kill and to a second replica."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from patience import until
from service_process import ServiceProcess

pytestmark = pytest.mark.e2e

START = datetime(2026, 3, 4, 12, tzinfo=UTC)
TOKEN = "a-token-of-the-test-0123456789"  # noqa: S105 - of this test alone
# Its name would be a tag to whoever draws tables.
NAME = "launch [/now]"
LAUNCH = ("--name", NAME, "--start", "2026-03-04T00:00", "--end", "2026-03-06T00:00", "--demand", "777")
DECISION = "/api/v1/workloads/prod/shop/decision"


def service_file(folder: Path, **more: Any) -> Path:
    """A service that replays two days, one replayed minute a second."""
    lines = ["timestamp,value"]
    begin = START - timedelta(days=1)
    lines += [f"{(begin + timedelta(minutes=minute)).isoformat()},100" for minute in range(2 * 1440)]
    (folder / "trace.csv").write_text("\n".join(lines) + "\n")
    (folder / "tokens").write_text(f"ann {TOKEN}\n")
    workload = {
        "namespace": "prod",
        "name": "shop",
        "query": "demand",
        "capacity_per_replica": 10,
        "max_replicas": 100,
        "forecasters": ["last-value"],
        "time_zone": "Europe/Berlin",
        # Ten minutes are ten seconds here; nobody is to be told UNAVAILABLE after a slow tick.
        "stale_after_s": "1d",
    }
    replay = {"series": {"demand": str(folder / "trace.csv")}, "start": START.isoformat(), "speed": 60}
    path = folder / "service.json"
    path.write_text(json.dumps({"replay": replay, "workloads": [workload], **more}))
    return path


def events(service: ServiceProcess, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`predictscale events ARGUMENTS`, with the workload after the first."""
    return ask(service, "events", arguments[0], "prod/shop", *arguments[1:], **environment)


def ask(service: ServiceProcess, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = Path(sys.executable).parent / "predictscale"
    port = next(line.rsplit(":", 1)[1].split("/")[0] for line in service.printed if line.startswith("REST"))
    url = f"http://127.0.0.1:{port}"
    return subprocess.run(
        [str(command), *arguments, "--url", url],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "200", **environment},
        timeout=180,
    )


def obeys(service: ServiceProcess) -> bool:
    """Whether the newest decision counts on the launch."""
    answer = service.get(DECISION)
    if answer.status_code == 404:
        return False
    decision = answer.json()
    expects = f"with planned event {NAME}" in (decision["model"] or "")
    assert not expects or decision["steps"][-1]["value"] >= 78
    return expects


def decides(service: ServiceProcess) -> bool:
    """Whether there is a decision with a forecast."""
    answer = service.get(DECISION)
    return answer.status_code == 200 and bool(answer.json()["model"])


def test_an_announced_event_outlives_a_kill_and_reaches_the_other_replica(tmp_path: Path) -> None:
    config = service_file(
        tmp_path,
        events={"path": str(tmp_path / "events.json")},
        http={"write_token_file": str(tmp_path / "tokens")},
    )
    token = ("--token-file", str(tmp_path / "tokens"))
    command = ["serve", "--config", str(config)]
    with ServiceProcess(command, log=tmp_path / "log") as one:
        with ServiceProcess(command, log=tmp_path / "other log") as other:
            until(lambda: decides(one) and decides(other))
            assert not obeys(one)
            added = events(one, "add", *LAUNCH, *token)
            assert added.returncode == 0, added.stderr
            assert "777/s at least" in added.stdout
            until(lambda: obeys(one) and obeys(other))
        refused = events(one, "remove", "nothing", PREDICTSCALE_TOKEN=TOKEN[::-1])
        assert refused.returncode == 1
        assert "none of those that are good" in refused.stderr
    # Both were killed: nobody had time to write anything down.
    with ServiceProcess(command, log=tmp_path / "log") as again:
        until(lambda: obeys(again))
        listed = events(again, "list", "--json")
        (event,) = json.loads(listed.stdout)["events"]
        assert (event["name"], event["added_by"], event["start"]) == (
            NAME,
            "ann",
            "2026-03-04T00:00:00+01:00",
        )
        shown = events(again, "list")
        assert event["id"] in shown.stdout
        assert "Europe/Berlin" in shown.stdout
        assert NAME in shown.stdout
        for reader in ("plan", "forecast"):
            asked = ask(again, reader, "prod/shop")
            assert asked.returncode == 0, asked.stderr
            assert NAME in asked.stdout
        removed = events(again, "remove", event["id"], PREDICTSCALE_TOKEN=TOKEN)
        assert removed.returncode == 0, removed.stderr
        until(lambda: not obeys(again))
        assert again.terminate() == 0
    for log in ("log", "other log"):
        text = (tmp_path / log).read_text()
        assert TOKEN not in text
        assert "Traceback" not in text


def test_a_service_that_takes_no_events_says_which_setting_is_missing(tmp_path: Path) -> None:
    with ServiceProcess(["serve", "--config", str(service_file(tmp_path))], log=tmp_path / "log") as service:
        refused = events(service, "add", *LAUNCH, PREDICTSCALE_TOKEN=TOKEN)
        assert refused.returncode == 1
        assert "http.write_token_file is not set" in refused.stderr
        missing = events(service, "add", *LAUNCH, PREDICTSCALE_TOKEN="")
        assert "--token-file: is missing" in missing.stderr
        listed = events(service, "list")
        assert "set events.path" in listed.stdout


@pytest.mark.parametrize(
    ("name", "content", "more", "said"),
    [
        ("events.json", "damaged", {"events": {"path": "events.json"}}, "does not hold planned events"),
        ("tokens", "short", {"http": {"write_token_file": "tokens"}}, "http.write_token_file: line 1 holds"),
    ],
)
def test_a_damaged_file_stops_the_service_at_its_start_with_one_clear_message(
    tmp_path: Path, name: str, content: str, more: dict[str, dict[str, str]], said: str
) -> None:
    ((section, setting),) = ((section, dict(setting)) for section, setting in more.items())
    setting = {key: str(tmp_path / value) for key, value in setting.items()}
    config = service_file(tmp_path, **{section: setting})
    (tmp_path / name).write_text(content)
    process = ServiceProcess(["serve", "--config", str(config)], log=tmp_path / "log")
    ended = subprocess.run(process.command, capture_output=True, text=True, check=False, timeout=180)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
