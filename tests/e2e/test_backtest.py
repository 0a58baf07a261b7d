"""`predictscale backtest`, as a person types it."""

import csv
import json
import os
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from command_here import here
from made_series import MONDAY, shop
from patience import WITHIN_S
from predictscale.core.series import MetricWindow
from predictscale.simulate.roster import RIVALS

pytestmark = pytest.mark.e2e

CLI = Path(sys.executable).parent / "predictscale"
DAYS = 3.0
NUMBERS = ("--capacity-per-replica", "4", "--lead-time-s", "240", "--max", "200")
FIELDS = {
    "policy", "violation", "replica_hours", "cost_to_clairvoyant", "cost_to_static", "scale_events",
}  # fmt: skip


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [str(CLI), "backtest", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, timeout=2 * WITHIN_S
    )


def written(folder: Path, window: MetricWindow, name: str = "trace.csv") -> Path:
    """The window as a trace file."""
    rows = [
        f"{window.start + timedelta(seconds=place * window.step_s):%Y-%m-%dT%H:%M:%SZ},"
        f"{'' if np.isnan(value) else value}"
        for place, value in enumerate(window.values.tolist())
    ]
    (folder / name).write_text("\n".join(["timestamp,value", *rows, ""]))
    return folder / name


def minutes(days: float = DAYS) -> MetricWindow:
    return shop(days=days, step_s=60.0)


def told(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    # Nobody looks, so there is no bar.
    assert done.stderr == ""
    return json.loads(done.stdout)


def desired(file: Path) -> list[tuple[datetime, int]]:
    with file.open(newline="") as lines:
        return [
            (datetime.fromisoformat(row["timestamp"]), int(row["desired"])) for row in csv.DictReader(lines)
        ]


def test_ours_alone_and_its_decisions(tmp_path: Path) -> None:
    out = tmp_path / "decisions.csv"
    report = told(
        run(
            "--trace", written(tmp_path, minutes()), *NUMBERS, "--quantile", "0.9", "--train-until",
            "2026-03-04T12:00:00Z", "--policies", "predictscale", "--decisions", out, "--json",
        )
    )  # fmt: skip
    (ours,) = report["policies"]
    assert set(ours) == FIELDS | {"settings", "coverage"}
    assert 0 <= ours["violation"] < 0.05
    assert 1 < ours["cost_to_clairvoyant"] < 3
    assert ours["settings"] == "level 0.9, hold 600 s"
    assert ours["coverage"]["levels"] == [0.5, 0.9, 0.95, 0.99]
    assert (report["from"], report["until"]) == ("2026-03-04T12:00:00Z", "2026-03-05T00:00:00Z")
    rows = desired(out)
    first = datetime.fromisoformat("2026-03-04T12:00:00+00:00")
    assert [at for at, _ in rows] == [first + timedelta(seconds=15 * place) for place in range(2880)]
    assert 1 <= min(count for _, count in rows) < max(count for _, count in rows) <= 200


def test_what_comes_after_a_decision_does_not_change_it(tmp_path: Path) -> None:
    """With an objective: forecasts, choices of settings and the budget, all from the past."""
    honest = minutes()
    values = honest.values.copy()
    cut = datetime.fromisoformat("2026-03-04T20:00:00+00:00")
    place = round((cut - MONDAY).total_seconds() / 60)
    values[place:] = np.random.default_rng(3).uniform(0, 1e4, values.size - place)
    both = []
    for name, window in (("honest", honest), ("poisoned", MetricWindow(MONDAY, 60.0, values))):
        trace, out = written(tmp_path, window, f"{name}.csv"), tmp_path / f"{name}-decisions.csv"
        told(
            run(
                "--trace", trace, *NUMBERS, "--slo-violation", "0.01", "--train-until",
                "2026-03-04T14:00:00Z", "--policies", "predictscale", "--decisions", out, "--json",
            )
        )  # fmt: skip
        both.append(desired(out))
    until = [at for at, _ in both[0]].index(cut) + 1
    assert both[0][:until] == both[1][:until]
    assert both[0] != both[1]


def test_all_policies_beside_the_clairvoyant(tmp_path: Path) -> None:
    spot = written(tmp_path, MetricWindow(MONDAY, 3600.0, np.full(30, 12.0)), "spot.csv")
    report = told(
        run(
            "--trace", written(tmp_path, minutes()), *NUMBERS, "--slo-violation", "0.02", "--wait-s", "10",
            "--actuation", "hpa", "--spot-trace", spot, "--forecasters", "last-value", "--json",
        )
    )  # fmt: skip
    names = [row["policy"] for row in report["policies"]]
    assert names == ["predictscale", *RIVALS, "clairvoyant"]
    assert report["asked"] == {"max_violation": 0.02, "wait_s": 10.0}
    assert report["actuation"] == "hpa"
    # 65 % of three days, in steps of 15 s.
    assert report["steps"] == 17280 - 11232
    most_h = 12 * report["steps"] * 15 / 3600
    assert all(row["replica_hours"] <= most_h + 1e-6 for row in report["policies"])


WORKLOAD = """
namespace: prod
name: chat
query: sum(rate(requests_total[1m]))
capacity_per_replica: 4
lead_time_s: 4m
max_replicas: 50
slo: {max_violation: 1%, wait: 3s}
forecasters: [seasonal-naive-day, last-value]
"""


def test_a_workload_says_what_the_numbers_would(tmp_path: Path) -> None:
    alone, service = tmp_path / "chat.yaml", tmp_path / "service.yaml"
    alone.write_text(WORKLOAD)
    indented = WORKLOAD.strip().replace("\n", "\n  ")
    service.write_text(f"workloads:\n- {indented}\n- {indented.replace('name: chat', 'name: shop')}\n")
    common = ("--trace", written(tmp_path, minutes(2.0)), "--policies", "predictscale", "--json")
    one = told(run(*common, "--workload", alone))
    other = told(run(*common, "--workload", service, "--name", "prod/chat"))
    assert one == other
    assert one["workload"] == "prod/chat"
    assert (one["max_replicas"], one["asked"]) == (50, {"max_violation": 0.01, "wait_s": 3.0})
    several = run(*common, "--workload", service)
    assert several.returncode == 2
    assert "has 2 workloads; choose with --name: prod/chat, prod/shop" in several.stderr


def test_a_coarse_trace_is_held_or_drawn_and_says_so(tmp_path: Path) -> None:
    trace = written(tmp_path, shop(days=3.0, step_s=600.0))
    common = ("--trace", trace, *NUMBERS, "--policies", "static", "--json")
    held, drawn = told(run(*common)), told(run(*common, "--fine", "bridge"))
    assert held["samples"] == "samples of 600 s held throughout"
    assert drawn["samples"] == "drawn to 60 s by bridges, seed 0"
    assert held["policies"] != drawn["policies"]


def test_people_get_a_table(tmp_path: Path) -> None:
    done = run(
        "--trace", written(tmp_path, minutes(1.5)), *NUMBERS, "--policies", "predictscale,static",
        "--forecasters", "last-value",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "to clairvoyant" in done.stdout
    assert "Peaks within 240 s" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--trace or --prometheus: neither given"),
        (("--trace", "TRACE"), "--capacity-per-replica, --lead-time-s: is missing"),
        (("--trace", "gone.csv", *NUMBERS), "gone.csv"),
        (("--trace", "TRACE", *NUMBERS, "--policies", "ours"), "--policies: 'ours'; must be all, or of"),
        (("--trace", "TRACE", *NUMBERS, "--actuation", "fast"), "--actuation: 'fast'; must be one of direct"),
        (("--trace", "TRACE", *NUMBERS, "--slo-violation", "1"), "--slo-violation: 1; must be a share"),
        (
            ("--trace", "TRACE", *NUMBERS, "--slo-violation", "0.1", "--quantile", "0.9"),
            "--quantile: is given",
        ),
        (("--trace", "TRACE", *NUMBERS, "--train-until", "noon"), "--train-until: 'noon'; must look like"),
        (("--trace", "TRACE", *NUMBERS, "--train-until", "2026-03-03T00:00:00"), "has no time zone"),
        (("--trace", "TRACE", *NUMBERS, "--train-until", "2027-03-03T00:00:00Z"), "lies outside the demand"),
        (("--trace", "TRACE", *NUMBERS, "--forecasters", "magic"), "--forecasters[0]: 'magic'"),
        (("--trace", "TRACE", *NUMBERS, "--decisions", "gone/out.csv"), "--decisions: gone is no folder"),
        (
            ("--trace", "TRACE", *NUMBERS, "--policies", "cron", "--decisions", "out.csv"),
            "--decisions: are those of predictscale",
        ),
        (("--trace", "TRACE", *NUMBERS, "--spot-trace", "SHORT"), "s of nodes for"),
        (("--trace", "TRACE", *NUMBERS, "--min", "300"), "--min, --max: 300, 200"),
        (("--prometheus", "http://127.0.0.1:1"), "--prometheus: needs --workload"),
        (("--trace", "TRACE", "--workload", "YAML", "--min", "2"), "--min: given with --workload"),
        (("--prometheus", "http://127.0.0.1:1", "--workload", "YAML"), "127.0.0.1:1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_told_with_its_place(
    arguments: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    trace, workload = written(tmp_path, minutes(0.5)), tmp_path / "chat.yaml"
    workload.write_text(WORKLOAD)
    short = written(tmp_path, minutes(0.05), "short.csv")
    stand_ins = {"TRACE": str(trace), "YAML": str(workload), "SHORT": str(short)}
    done = here("backtest", *(stand_ins.get(each, each) for each in arguments))
    assert done.exit_code == 2, done.stdout
    assert message in done.stderr
    assert "Traceback" not in done.stderr
