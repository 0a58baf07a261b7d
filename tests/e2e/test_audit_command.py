"""`predictscale audit` and `report` against a real Prometheus that holds twelve workloads of known kind.

To stay quick, the chain of models is that of the naive ones, and a tenth of a day is replayed; what is
compared is exact whatever they are.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from audit_scene import Known, series, twelve
from command_here import here
from patience import WITHIN_S, until
from predictscale.cli import app
from predictscale.clock import SystemClock
from predictscale.core.series import floor_to_grid
from prometheus_server import PrometheusServer

pytestmark = pytest.mark.e2e

CLI = Path(sys.executable).parent / "predictscale"
BESIDE = Path(__file__).parents[3] / "shared" / "data"
TRACES = Path(os.environ.get("PREDICTSCALE_DATA", BESIDE))
DAYS = 10
AHEAD = timedelta(hours=3)
"""So long the series go on after the present: no machine is so slow that they end while tests run."""
SEED = 500
FLEET, HOURS = 24, 2.4
QUICK = (
    "--step", "5m", "--lead-time", "4m", "--forecasters", "seasonal-naive-day,last-value", "--price", "2.5",
    "--currency", "USD",
)  # fmt: skip
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if name != "PREDICTSCALE_DATA"},
    "COLUMNS": "120",
    "NO_COLOR": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PREDICTSCALE_PROMETHEUS__TIMEOUT_S": f"{WITHIN_S:g}",
}


@pytest.fixture(scope="module")
def known() -> list[Known]:
    end = floor_to_grid(SystemClock().now(), 60.0) + AHEAD
    days = DAYS + AHEAD / timedelta(days=1)
    return twelve(end=end, days=days, seed=SEED, traces=TRACES if TRACES.is_dir() else None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, known: list[Known]) -> Iterator[PrometheusServer]:
    with PrometheusServer(tmp_path_factory.mktemp("audited"), series=series(known)) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("told")


@pytest.fixture(scope="module")
def told(server: PrometheusServer, known: list[Known], folder: Path) -> dict[str, Any]:
    """What one audit of all of them wrote; the first one's capacity is left to be estimated."""
    done = run(
        "audit", "--prometheus", server.url, "--days", DAYS, "--replay-days", "0.1", *QUICK,
        *capacities(known[1:]), "--out", folder / "audit.json", "--html", folder / "audit.html",
        "--traces", folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    # Nobody looks, so there is no bar.
    assert done.stderr == ""
    assert "Replica-hours that predictscale saves in 30 days against" in done.stdout
    document: dict[str, Any] = json.loads((folder / "audit.json").read_text())
    return document


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [str(CLI), *map(str, arguments)]
    # Twelve workloads, each of which may take as long as anything else.
    most_s = 12 * WITHIN_S
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=ENVIRONMENT, timeout=most_s
    )


def capacities(known: list[Known]) -> list[str]:
    return [word for one in known for word in ("--capacity", f"ml/{one.name}={one.capacity}")]


def by_name(told: dict[str, Any]) -> dict[str, Any]:
    return {each["workload"]: each for each in told["workloads"]}


def replayed(command: str, folder: Path) -> dict[str, Any]:
    """What the command of the page tells, run where its traces are."""
    words = [str(folder / word) if word.endswith(".csv") else word for word in shlex.split(command)]
    done = CliRunner().invoke(app, [*words[1:], "--json"])
    assert done.exit_code == 0, done.output
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_at_least_eleven_of_twelve_are_of_the_kind_that_they_were_made_of(
    told: dict[str, Any], known: list[Known]
) -> None:
    found = by_name(told)
    assert len(found) == len(known) == 12
    right = [one.name for one in known if found[f"ml/{one.name}"]["kind"]["kind"] == one.kind]
    assert len(right) >= 11


def test_savings_are_those_of_the_backtest_to_the_last_replica_hour(
    told: dict[str, Any], folder: Path
) -> None:
    for workload in told["workloads"]:
        report = replayed(workload["replay"]["command"], folder)
        assert report["policies"] == workload["replay"]["policies"]
        hours = {row["policy"]: row["replica_hours"] for row in report["policies"]}
        assert len(hours) == 5
        for saving in workload["replay"]["savings"]:
            if saving["versus"] in hours:
                assert saving["replica_hours"] == pytest.approx(
                    hours[saving["versus"]] - hours["predictscale"], abs=1e-9
                )


def test_a_capacity_that_nobody_gave_is_an_estimate_and_says_so(
    told: dict[str, Any], known: list[Known]
) -> None:
    first, second = (by_name(told)[f"ml/{one.name}"]["capacity"] for one in known[:2])
    assert first["source"] == "estimated"
    assert "an estimate" in first["because"]
    # A fleet of 24 that serves what 20 could.
    assert 0 < first["per_replica"] < known[0].capacity
    assert second == {
        "per_replica": known[1].capacity,
        "source": "given",
        "because": "as given for the audit",
    }


def test_the_recorded_fleet_is_what_today_costs(told: dict[str, Any]) -> None:
    for workload in told["workloads"]:
        assert workload["replay"]["as_it_was"]["replica_hours"] == pytest.approx(FLEET * HOURS)
        today = next(one for one in workload["replay"]["savings"] if one["versus"] == "as it was")
        ours = next(one for one in workload["replay"]["policies"] if one["policy"] == "predictscale")
        assert today["replica_hours"] == pytest.approx(FLEET * HOURS - ours["replica_hours"])
        assert today["per_30_days"]["replica_hours"] == pytest.approx(today["replica_hours"] * 300)
        assert today["money_per_30_days"]["replica_hours"] == pytest.approx(today["replica_hours"] * 750)
        assert today["low"] is None


def test_they_are_ranked_by_what_is_saved(told: dict[str, Any]) -> None:
    saved = [
        next(one["replica_hours"] for one in each["replay"]["savings"] if one["versus"] == "stock-reactive")
        for each in told["workloads"]
    ]
    assert saved == sorted(saved, reverse=True)


def test_the_page_needs_nothing_from_elsewhere_and_tells_of_everyone(
    told: dict[str, Any], folder: Path
) -> None:
    page = (folder / "audit.html").read_text()
    assert not re.findall(r"(?:src|href|srcset|action|data)\s*=\s*[\"']?(?![\"'#])", page)
    assert not re.findall(r"url\(|@import|<script|<link|<iframe|https?://", page)
    for workload in told["workloads"]:
        anchor = workload["workload"].replace("/", "--")
        assert f'<article id="{anchor}">' in page
        assert f'href="#{anchor}"' in page
        assert workload["trigger"].splitlines()[0] in page
    assert page.count('role="img"') == 4 * len(told["workloads"])


def test_report_tells_of_one_workload_with_its_own_settings(
    server: PrometheusServer, known: list[Known], tmp_path: Path
) -> None:
    one = known[2]
    settings = {
        "prometheus": {"url": server.url},
        "workloads": [
            {
                "namespace": "ml",
                "name": "mine",
                "target": one.name,
                "query": f'sum(rate(tgi_request_count{{namespace="ml",pod=~"{one.name}-.*"}}[5m]))',
                "capacity_per_replica": one.capacity,
                "lead_time_s": 120,
                "max_replicas": 60,
                "forecasters": ["seasonal-naive-day", "last-value"],
            }
        ],
    }
    (tmp_path / "service.json").write_text(json.dumps(settings))
    done = run(
        "report", "ml/mine", "--config", tmp_path / "service.json", "--days", "0.1", "--history-days", DAYS,
        "--step", "5m", "--out", tmp_path / "report.json", "--html", tmp_path / "report.html",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (mine,) = json.loads((tmp_path / "report.json").read_text())["workloads"]
    assert mine["workload"] == "ml/mine"
    assert mine["capacity"] == {
        "per_replica": one.capacity,
        "source": "settings",
        "because": "as its settings say",
    }
    assert mine["lead_time"]["seconds"] == 120
    assert mine["replay"]["max_replicas"] == 60
    assert mine["replay"]["days"] == pytest.approx(0.1)
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_a_workload_that_fails_is_told_and_the_others_are_too(
    server: PrometheusServer, tmp_path: Path
) -> None:
    # A window of no demand: nothing to name, nothing to replay, and still an answer.
    settings = {
        "prometheus": {"url": server.url},
        "workloads": [
            {"namespace": "none", "name": name, "query": query, "capacity_per_replica": 1, "max_replicas": 9}
            for name, query in (("silent", "sum(nothing_here)"), ("many", "kube_deployment_status_replicas"))
        ],
    }
    (tmp_path / "service.json").write_text(json.dumps(settings))
    done = run(
        "audit", "--config", tmp_path / "service.json", "--namespaces", "none", "--days", "1", "--out",
        tmp_path / "audit.json", "--html", tmp_path / "audit.html", "--step", "5m",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "audit.json").read_text())
    (silent,) = report["workloads"]
    assert silent["kind"]["kind"] == "unknown"
    assert "every value is missing" in silent["replay"]["why_not"]
    (many,) = report["failed"]
    assert many["workload"] == "none/many"
    assert "series" in many["because"]
    assert "none/many: failed: " in done.stdout
    assert "Not replayed" in (tmp_path / "audit.html").read_text()


@pytest.mark.parametrize(
    ("begun", "told"),
    [
        # Whoever runs the tests in the background ignores the signal, and so would the command.
        ("--default-signal=INT", signal.SIGINT),
        ("--default-signal=INT,TERM", signal.SIGTERM),
        ("--ignore-signal=INT", signal.SIGTERM),
    ],
    ids=["Ctrl-C", "terminated", "terminated in the background"],
)
def test_an_interruption_leaves_what_is_done(
    server: PrometheusServer, known: list[Known], tmp_path: Path, begun: str, told: signal.Signals
) -> None:
    command = [
        "env", begun, str(CLI), "audit", "--prometheus", server.url,
        "--days", str(DAYS), "--replay-days", "1", *QUICK,
        *capacities(known), "--traces", str(tmp_path), "--out", str(tmp_path / "audit.json"),
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, process_group=0
    ) as process:
        # A third trace is read once one of the first two is done; what ends a job does not wait for that.
        least = 3 if told is signal.SIGINT else 1
        try:
            until(lambda: len(list(tmp_path.glob("*.csv"))) >= least or process.poll() is not None)
            assert process.poll() is None, process.communicate()
            os.killpg(process.pid, told)
            _, said = process.communicate(timeout=WITHIN_S)
        finally:
            process.kill()  # `with` would wait for one that does not end
    assert process.returncode == 128 + told, said
    assert "Traceback" not in said
    assert "interrupted: " in said
    report = json.loads((tmp_path / "audit.json").read_text())
    assert len(report["workloads"]) >= (told is signal.SIGINT)
    assert len(report["workloads"]) + len(report["unfinished"]) == 12


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("audit",), 2, "--prometheus: is missing"),
        (("audit", "--prometheus", "http://127.0.0.1:1"), 1, "prometheus: "),
        (("audit", "--prometheus", "http://127.0.0.1:1", "--namespaces", "a|.*"), 2, "--namespaces: 'a|.*'"),
        (("audit", "--prometheus", "http://127.0.0.1:1", "--step", "7s"), 2, "--step: 7s"),
        (("audit", "--prometheus", "http://127.0.0.1:1", "--capacity", "a/b=0"), 2, "--capacity: 'a/b=0'"),
        (("audit", "--prometheus", "http://127.0.0.1:1", "--replay-days", "30"), 2, "must come before"),
        (("audit", "--prometheus", "http://127.0.0.1:1", "--out", "no/such/a.json"), 2, "is no folder"),
        (("audit", "--prometheus", "http://127.0.0.1:1", "--forecasters", "oracle"), 2, "oracle"),
        (("report", "chat", "--prometheus", "http://127.0.0.1:1"), 2, "NAMESPACE/NAME: 'chat'"),
    ],
)
def test_what_is_wrong_is_said(arguments: tuple[str, ...], code: int, message: str) -> None:
    done = here(*arguments)
    assert done.exit_code == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_workload_that_is_not_there_is_said_with_those_that_are(
    server: PrometheusServer, known: list[Known]
) -> None:
    done = run("report", "ml/nobody", "--prometheus", server.url)
    assert done.returncode == 2
    assert f"ml/{known[0].name}" in done.stderr
