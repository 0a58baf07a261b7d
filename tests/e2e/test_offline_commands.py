"""`predictscale forecast --trace` and `predictscale evaluate`, as a person types them."""

import csv
import json
import math
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from command_here import here
from predictscale.cli.told import COLUMNS
from predictscale.core.calendar import Calendar
from predictscale.core.series import MetricWindow
from predictscale.forecasters.naive import LastValue
from predictscale.forecasters.native import Native

pytestmark = pytest.mark.e2e

CLI = Path(sys.executable).parent / "predictscale"
START = datetime(2026, 3, 2, tzinfo=UTC)
STEP_S = 300.0


def demand(bin_: int) -> float:
    """Days that rise and fall, with a ripple that no model knows."""
    return round(200 + 100 * math.sin(2 * math.pi * bin_ / 288) + 7 * math.sin(bin_ * bin_), 3)


def trace(folder: Path, *, days: float = 3, bend: int | None = None) -> Path:
    """A trace; from bin `bend` on it is another one."""
    path = folder / f"trace-{bend}.csv"
    bins = round(days * 288)
    lines = ["timestamp,value"]
    for place in range(bins):
        at = START + timedelta(seconds=place * STEP_S)
        value = "" if 300 <= place < 306 else demand(place)
        lines.append(f"{at:%Y-%m-%dT%H:%M:%SZ},{5e4 if bend is not None and place >= bend else value}")
    path.write_text("\n".join(lines) + "\n")
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "250", "NO_COLOR": "1"}
    return subprocess.run(
        [CLI, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment, timeout=180
    )


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_forecasts_from_a_file_of_origins_are_those_of_the_model(tmp_path: Path) -> None:
    origins = tmp_path / "origins.txt"
    origins.write_text("2026-03-03T12:00:00Z\n\n2026-03-04T01:00:00+01:00\n")
    out = tmp_path / "forecasts.csv"
    done = run(
        "forecast", "--trace", trace(tmp_path), "--origins", origins, "--leads", "300,600,30m",
        "--levels", "0.5,0.9,0.95,0.99", "--model", "last-value", "--out", out,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    told = rows(out)
    assert tuple(told[0]) == COLUMNS == ("origin", "lead_s", "target", "level", "value", "model")
    keys = [(row["origin"], row["lead_s"], row["target"], row["level"]) for row in told]
    assert keys == [
        (origin, lead, target, level)
        for origin in ("2026-03-03T12:00:00Z", "2026-03-04T00:00:00Z")
        for lead in ("300", "600", "1800")
        for target in ("at", "peak")
        for level in ("0.5", "0.9", "0.95", "0.99")
    ]
    assert {row["model"] for row in told} == {"last-value"}
    values = np.array([math.nan if 300 <= place < 306 else demand(place) for place in range(432)])
    window = MetricWindow(START, STEP_S, values)
    expected = LastValue().fit(window).predict(window, steps=6, levels=(0.5, 0.9, 0.95, 0.99))
    first = {(row["lead_s"], row["target"], row["level"]): float(row["value"]) for row in told[:24]}
    assert first["1800", "at", "0.9"] == expected.values[1, 5]
    until = expected.origin + timedelta(seconds=600)
    assert first["600", "peak", "0.99"] == expected.peak(level=0.99, since=expected.origin, until=until)


def test_an_origin_sees_nothing_after_it(tmp_path: Path) -> None:
    origins = tmp_path / "origins.txt"
    origins.write_text("2026-03-03T12:00:00Z\n2026-03-04T00:00:00Z\n")
    told = [
        run("forecast", "--trace", path, "--origins", origins, "--model", "native", "--refit", "1h").stdout
        for path in (trace(tmp_path), trace(tmp_path, bend=576))
    ]
    assert told[0] == told[1] != ""


def test_forecasts_follow_the_clock_and_the_holidays_that_are_given(tmp_path: Path) -> None:
    """The 20th of March, a Friday, is a holiday in Japan; at six in the morning UTC it is three in Tokyo."""
    path, origins = trace(tmp_path, days=19), tmp_path / "origins.txt"
    origins.write_text("2026-03-20T06:00:00Z\n")
    asked = ("--trace", path, "--origins", origins, "--leads", "1800", "--levels", "0.5,0.9")
    told = [
        [
            float(line.split(",")[4])
            for line in run("forecast", *asked, "--model", "native", *whose).stdout.splitlines()[1:]
        ]
        for whose in ((), ("--time-zone", "Asia/Tokyo"), ("--time-zone", "Asia/Tokyo", "--holidays", "jp"))
    ]
    lines = path.read_text().splitlines()[1 : 1 + 18 * 288 + 72]
    values = np.array([float(line.split(",")[1] or "nan") for line in lines])
    window = MetricWindow(START, STEP_S, values)
    days = (date(2026, 3, 20),)
    for found, calendar in zip(
        told, (Calendar(), Calendar("Asia/Tokyo"), Calendar("Asia/Tokyo", days)), strict=True
    ):
        expected = Native(calendar).fit(window).predict(window, steps=6, levels=(0.5, 0.9))
        assert expected.peaks is not None
        assert found == [*expected.values[:, -1], *expected.peaks[:, -1]]
    assert told[0] != told[1] != told[2]


def test_evaluate_judges_models_that_know_the_clock(tmp_path: Path) -> None:
    """Clocks in New York go forward on the 8th of March; demand that follows UTC is then foreseen worse."""
    path = trace(tmp_path, days=9)
    losses = []
    for zone in ("UTC", "America/New_York"):
        done = run(
            "evaluate", path, "--models", "seasonal-naive-day", "--origins", 100, "--leads", "1800",
            "--levels", "0.5", "--time-zone", zone, "--json",
        )  # fmt: skip
        (report,) = json.loads(done.stdout)["traces"]
        losses.append(report["models"][0]["scores"][0]["wql"])
    assert losses[1] > 1.1 * losses[0]


def test_a_number_of_origins_lies_evenly_in_the_last_two_fifths(tmp_path: Path) -> None:
    done = run(
        "forecast", "--trace", trace(tmp_path), "--origins", 4, "--leads", "600", "--levels", "0.9",
        "--model", "seasonal-naive-day",
    )  # fmt: skip
    told = [line.split(",") for line in done.stdout.splitlines()[1:]]
    origins = sorted({datetime.fromisoformat(row[0]) for row in told})
    assert len(origins) == 4
    assert origins[0] >= START + timedelta(days=3 * 0.6)
    assert origins[-1] == START + timedelta(days=3) - timedelta(seconds=600)
    assert len(told) == 4 * 2


def test_where_the_model_could_not_answer_it_is_said_and_nothing_is_made_up(tmp_path: Path) -> None:
    origins = tmp_path / "origins.txt"
    origins.write_text("2026-03-02T00:10:00Z\n2026-03-03T00:00:00Z\n")
    out = tmp_path / "forecasts.csv"
    done = run(
        "forecast", "--trace", trace(tmp_path), "--origins", origins, "--leads", "600", "--levels", "0.9",
        "--model", "seasonal-naive-week", "--out", out,
    )  # fmt: skip
    assert done.returncode == 0
    assert "could not answer at 2 of 2 origins" in done.stderr
    told = rows(out)
    assert [(row["value"], row["model"]) for row in told[:2]] == [("", ""), ("", "")]
    assert {row["model"] for row in told[2:]} == {"last-value"}


def test_evaluate_scores_every_model_asked_for_as_json(tmp_path: Path) -> None:
    path = trace(tmp_path)
    done = run(
        "evaluate", "--trace", path, path, "--models", "last-value,seasonal-naive-day", "--origins", 30,
        "--leads", "300,1800", "--levels", "0.5,0.9", "--json",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    reports = json.loads(done.stdout)["traces"]
    assert len(reports) == 2
    assert [row["model"] for row in reports[0]["models"]] == ["last-value", "seasonal-naive-day"]
    for row in reports[0]["models"]:
        assert row["failures"] == 0
        assert row["fits"] >= 1
        assert row["fit_s"] > 0
        assert row["predict_s"] > 0
        assert 0 < row["memory_bytes"] < 1e6
        assert [(one["target"], one["lead_s"]) for one in row["scores"]] == [
            ("at", 300.0), ("at", 1800.0), ("peak", 300.0), ("peak", 1800.0),
        ]  # fmt: skip
        for one in row["scores"]:
            assert one["origins"] == 30
            assert one["wql"] > 0
            assert one["mase"] > 0
            assert len(one["pinball"]) == len(one["coverage"]) == 2
    persistence, season = ([one["wql"] for one in row["scores"]] for row in reports[0]["models"])
    assert season[1] < persistence[1]


def test_evaluate_draws_a_table(tmp_path: Path) -> None:
    done = run("evaluate", "--trace", trace(tmp_path), "--models", "last-value,auto", "--origins", 3)
    assert done.returncode == 0, done.stderr
    for text in ("trace-None.csv: 3 origins", "last-value", "auto", "peak", "1800 s", "MASE"):
        assert text in done.stdout


def test_what_is_wrong_is_named_and_ends_with_code_2(tmp_path: Path) -> None:
    good = trace(tmp_path)
    odd = tmp_path / "odd.txt"
    odd.write_text("2026-03-03T12:00:00Z\nyesterday\n")
    local = tmp_path / "local.txt"
    local.write_text("2026-03-03T12:00:00\n")
    late = tmp_path / "late.txt"
    late.write_text("2026-03-09T12:00:00Z\n")
    empty = tmp_path / "empty.txt"
    empty.write_text("\n")
    broken = tmp_path / "broken.csv"
    broken.write_text("time,value\n")
    complaints = {
        ("forecast",): "WORKLOAD or --trace: neither given",
        ("forecast", "prod/shop", "--trace", good): "WORKLOAD or --trace: both given",
        ("forecast", "--trace", tmp_path / "none.csv"): "No such file",
        ("forecast", "--trace", broken): "must be timestamp,value",
        ("forecast", "--trace", good, "--model", "nativ"): "--model[0]: 'nativ'",
        ("forecast", "--trace", good, "--model", "auto,last-value"): "must be one name",
        ("forecast", "--trace", good, "--leads", "soon"): "--leads: 'soon'",
        ("forecast", "--trace", good, "--leads", "0"): "--leads: '0'; must be above 0",
        ("forecast", "--trace", good, "--levels", "0.5,1"): "--levels: '1'; must be a number between 0 and 1",
        ("forecast", "--trace", good, "--levels", "high"): "--levels: 'high'",
        ("forecast", "--trace", good, "--origins", "100000"): "100000 origins; ",
        ("forecast", "--trace", good, "--origins", "0"): "0 origins; ",
        ("forecast", "--trace", good, "--origins", odd): f"{odd}:2: 'yesterday'",
        ("forecast", "--trace", good, "--origins", local): "has no time zone",
        ("forecast", "--trace", good, "--origins", late): f"{late}:1: 2026-03-09T12:00:00+00:00 lies outside",
        ("forecast", "--trace", good, "--origins", empty): "holds no instants",
        ("forecast", "--trace", good, "--origins", tmp_path / "no"): "must be a number, or a file",
        ("forecast", "--trace", good, "--out", tmp_path / "no" / "f.csv", "--origins", 2): "--out: ",
        ("forecast", "--trace", good, "--time-zone", "Europe/Berlim"): "did you mean 'Europe/Berlin'?",
        ("evaluate", good, "--time-zone", "Mars", "--holidays", "DE"): "--time-zone: 'Mars'",
        ("evaluate", good, "--time-zone", "Mars", "--holidays", "DE-XX"): "--holidays: 'DE-XX'; parts of DE",
        ("evaluate",): "--trace: none given",
        ("evaluate", "--trace", good, "--models", "last-value,last-value"): "--models[1]",
    }
    assert run("forecast").returncode == 2
    for arguments, complaint in complaints.items():
        done = here(*arguments)
        assert done.exit_code == 2, arguments
        assert complaint in done.stderr, (arguments, done.stderr)
        assert "Traceback" not in done.stderr
