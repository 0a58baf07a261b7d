"""What the fleet's dashboard counts where two replicas of the service tell of the same workloads."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from grafana_boards import BOARDS, filled, panels

VALUES = {"namespace": "prod"}
STATES = ("ok", "demoted", "stale")


def told(metric: str, value: float, instance: str, **labels: str) -> dict[str, str]:
    """A series that stays as it is, as one replica of the service tells it."""
    named = {"namespace": "prod", **labels, "job": "predictscale", "instance": instance}
    inside = ",".join(f'{name}="{text}"' for name, text in named.items())
    return {"series": f"{metric}{{{inside}}}", "values": f"{value:g}x10"}


def workload(name: str, *, wants: int, most: int, states: Mapping[str, str]) -> list[dict[str, str]]:
    """What the replicas tell of a workload; each its own state."""
    series = []
    for instance, state in states.items():
        series += [
            told("predictscale_target_replicas", min(wants, most), instance, workload=name),
            told("predictscale_max_replicas", most, instance, workload=name),
            told("predictscale_at_ceiling", float(wants >= most), instance, workload=name),
            told("predictscale_step_replicas", wants, instance, workload=name, stage="stabilize"),
        ]
        series += [
            told("predictscale_state", float(state == each), instance, workload=name, state=each)
            for each in STATES
        ]
    return series


SERIES = [
    *workload("chat", wants=9, most=7, states={"a": "stale", "b": "demoted"}),
    *workload("fixed", wants=1, most=1, states={"a": "ok", "b": "ok"}),
    *workload("shop", wants=3, most=20, states={"a": "ok", "b": "ok"}),
]
WELL = [*workload("shop", wants=3, most=20, states={"a": "ok", "b": "ok"})]


def query_of(title: str) -> str:
    (found,) = [
        target["expr"]
        for panel in panels(BOARDS["fleet"])
        if panel["title"] == title and panel["type"] != "table"
        for target in panel["targets"]
    ]
    return filled(found, VALUES)


@pytest.mark.parametrize(
    ("title", "series", "expected"),
    [
        ("Workloads", SERIES, {"{}": 3}),
        ("Target", SERIES, {"{}": 11}),
        ("Not well", SERIES, {"{}": 1}),
        ("Not well", WELL, {"{}": 0}),
        ("At the ceiling", SERIES, {"{}": 1}),
        ("At the ceiling", WELL, {"{}": 0}),
        (
            "Workloads by state",
            SERIES,
            {'{state="ok"}': 2, '{state="stale"}': 0.5, '{state="demoted"}': 0.5},
        ),
    ],
)
def test_a_workload_counts_once_whatever_the_replicas_tell_of_it(
    tmp_path: Path, title: str, series: list[dict[str, str]], expected: Mapping[str, float]
) -> None:
    assert_gives(query_of(title), series, expected, tmp_path)


LEADS = [
    told("predictscale_lead_time_seconds", 240, "a", workload="chat", source="configured"),
    told("predictscale_lead_time_seconds", 150, "a", workload="chat", source="measured"),
    told("predictscale_lead_time_seconds", 180, "b", workload="chat", source="measured"),
    told("predictscale_lead_time_seconds", 90, "a", workload="shop", source="configured"),
]


@pytest.mark.parametrize(
    ("column", "series", "expected"),
    [
        # What decisions plan with: the measured one where there is one, also where it is shorter.
        ("lead time", LEADS, {"chat": 180, "shop": 90}),
        # As the number above the table counts it: one of a fixed size lacks none.
        ("at ceiling", SERIES, {"chat": 1, "fixed": 0, "shop": 0}),
    ],
)
def test_a_row_of_the_fleet_tells_what_is_in_force(
    tmp_path: Path, column: str, series: list[dict[str, str]], expected: Mapping[str, float]
) -> None:
    rows = {f'{{namespace="prod",workload="{name}"}}': value for name, value in expected.items()}
    assert_gives(expr_of_column(column), series, rows, tmp_path)


@pytest.mark.parametrize(
    ("title", "labels"),
    [
        ("Errors and warnings", {"error"}),
        ("Samples dropped", {"reason"}),
        ("Faults on disk", {"reason"}),
        ("Fits without a model", {"forecaster", "error"}),
    ],
)
def test_where_there_was_no_trouble_the_line_at_zero_has_a_name(
    tmp_path: Path, title: str, labels: set[str]
) -> None:
    (panel,) = (panel for panel in panels(BOARDS["service"]) if panel["title"] == title)
    calm = [told("predictscale_build_info", 1, "a", version="1")]
    name = "{" + ",".join(f'{label}="none"' for label in sorted(labels)) + "}"
    for target in panel["targets"]:
        if "build_info" in target["expr"]:
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) == labels
            asked = filled(target["expr"], {"job": ".*", "instance": ".*"})
            assert_gives(asked, calm, {name: 0}, tmp_path)


def expr_of_column(title: str) -> str:
    (table,) = (panel for panel in panels(BOARDS["fleet"]) if panel["type"] == "table")
    (organize,) = (each["options"] for each in table["transformations"] if each["id"] == "organize")
    (value,) = (name for name, shown in organize["renameByName"].items() if shown == title)
    (found,) = (each["expr"] for each in table["targets"] if value == f"Value #{each['refId']}")
    return filled(found, VALUES)


def assert_gives(
    query: str, series: list[dict[str, str]], expected: Mapping[str, float], folder: Path
) -> None:
    samples = [{"labels": labels, "value": value} for labels, value in expected.items()]
    check: dict[str, Any] = {"expr": query, "eval_time": "9m", "exp_samples": samples}
    case = {"interval": "1m", "input_series": series, "promql_expr_test": [check]}
    file = folder / "case.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [], "tests": [case]}))
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
