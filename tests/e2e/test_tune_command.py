"""`predictscale tune --trace`, as a person types it before there is a service."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from command_here import here
from predictscale.sources.synthetic import shop_requests

pytestmark = pytest.mark.e2e

CLI = Path(sys.executable).parent / "predictscale"
START = datetime(2026, 3, 2, tzinfo=UTC)
OWNER = ("--capacity-per-replica", 20, "--slo-violation", 0.01, "--wait-s", 5, "--model", "last-value")


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("traces") / "shop.csv", days=3.5)


def written(path: Path, *, days: float) -> Path:
    window = shop_requests(seed=3).values(START, START + timedelta(days=days), 300.0)
    starts = (START + timedelta(seconds=300 * place) for place in range(len(window)))
    lines = (
        f"{at:%Y-%m-%dT%H:%M:%SZ},{value}" for at, value in zip(starts, window.values.tolist(), strict=True)
    )
    path.write_text("\n".join(("timestamp,value", *lines)) + "\n")
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "250", "NO_COLOR": "1"}
    return subprocess.run(
        [CLI, "tune", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=180,
    )


def test_a_trace_recommends_settings_that_would_have_met_the_objective(trace: Path) -> None:
    done = run("--trace", trace, *OWNER, "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    best = next(score for score in told["choice"]["scores"] if score["knobs"] == told["knobs"])
    assert best["violation"] <= 0.01
    assert told["choice"]["compared"] > 100
    met = [score for score in told["choice"]["scores"] if score["violation"] <= best["violation"]]
    assert best["replica_hours"] == min(score["replica_hours"] for score in met)


def test_the_frontier_is_drawn_and_the_table_says_why(trace: Path, tmp_path: Path) -> None:
    picture = tmp_path / "frontier.png"
    done = run("--trace", trace, *OWNER, "--plot", picture)
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "that would have kept lateness to" in done.stdout
    assert "replica-hours" in done.stdout
    assert np.char.find(done.stdout, "utilisation 1.00") >= 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "WORKLOAD or --trace: neither given"),
        (("web/shop", "--trace", "a.csv"), "WORKLOAD or --trace: both given"),
        (("--trace", "a.csv"), "--capacity-per-replica: is missing"),
        (("--trace", "no-such.csv", *OWNER), "no-such.csv"),
        (("--trace", "a.csv", *OWNER, "--slo-violation", 2), "--slo-violation: 2; must be a share"),
        (("--trace", "a.csv", *OWNER, "--plot", "nowhere/x.png"), "--plot: nowhere is no folder"),
    ],
)
def test_what_is_missing_or_wrong_is_said(arguments: tuple[object, ...], message: str) -> None:
    done = here("tune", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_three_days_are_needed(tmp_path: Path) -> None:
    done = run("--trace", written(tmp_path / "short.csv", days=2), *OWNER)
    assert done.returncode == 2
    assert "needs 259200 s of history, has 172800 s" in done.stderr
