"""What an audit says of workloads without a replay; with one, tests/e2e/test_audit_command.py."""

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from known_kinds import MONDAY, known_kind
from predictscale.bootstrap.sources import Sources
from predictscale.cli import app, auditsvg
from predictscale.cli.audited import document
from predictscale.cli.auditjob import Asked, Job, estimated_capacity, examine
from predictscale.cli.auditpage import page
from predictscale.cli.auditread import Reading, _named
from predictscale.cli.auditrun import Found, write_trace
from predictscale.clock import ManualClock
from predictscale.config.settings import ServiceSettings
from predictscale.core.kinds import Kind
from predictscale.core.series import MetricWindow
from predictscale.core.slo import Slo
from predictscale.errors import AskOwner
from predictscale.meters import Meters
from predictscale.sources.files import load_csv

STEP_S = 300.0
ASKED = Asked(slo=Slo(max_violation=0.01, wait_s=5.0), forecasters=("seasonal-naive-day", "last-value"))
READING = Reading(days=5.0, step_s=STEP_S, at=MONDAY + timedelta(days=5), capacity={}, lead_time_s=None)


def job(name: str, demand: MetricWindow, **about: str) -> Job:
    return Job(
        workload=name,
        about={"backend": "tgi", "deployment": None, "unit": "requests/s", "trigger": None, **about},
        demand=demand,
        replicas=None,
        ready=None,
        capacity=None,
        lead={"seconds": 240.0, "source": "assumed", "because": "none is known"},
        served=None,
        asked=ASKED,
    )


def demand(kind: Kind = Kind.SCHEDULED) -> MetricWindow:
    return known_kind(kind, seed=1, days=5, step_s=STEP_S)


def told(*jobs: Job) -> dict[str, Any]:
    return document(Found(workloads=[examine(each) for each in jobs]), READING, ASKED)


def test_without_a_capacity_there_is_a_kind_and_a_forecast_and_the_reason_why_no_replay() -> None:
    (only,) = told(job("ml/chat", demand()))["workloads"]
    assert only["kind"]["kind"] == "scheduled"
    assert only["forecast"]["skill"] is not None
    assert only["replay"] == {
        "why_not": "no capacity is given, and no fleet recorded to estimate it from; give --capacity, or "
        "capacity_per_replica in the settings of --config"
    }
    assert "ml/chat" in page(told(job("ml/chat", demand())))


def test_all_of_it_is_json_without_numbers_that_are_none() -> None:
    flat = MetricWindow(MONDAY, STEP_S, np.zeros(5 * 288))
    gone = MetricWindow(MONDAY, STEP_S, np.full(5 * 288, np.nan))
    document_ = told(job("ml/flat", flat), job("ml/gone", gone), job("ml/live", demand(Kind.EVENT_DRIVEN)))
    json.dumps(document_, allow_nan=False)
    assert [each["kind"]["kind"] for each in document_["workloads"]] == ["unknown", "unknown", "event-driven"]
    assert page(document_).count("<article") == 3


def test_a_disk_that_is_full_costs_one_file_and_not_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def looked(*arguments: Any) -> None:
        (found,) = (each for each in arguments if isinstance(each, Found))
        found.workloads.append(examine(job("ml/[/chat]", demand())))

    # What it does to the log of this process, other tests would not see theirs for.
    monkeypatch.setattr("predictscale.bootstrap.configure_logging", lambda **_: None)
    # The package holds the command under this name.
    monkeypatch.setattr(sys.modules["predictscale.cli.audit"], "_looked", looked)
    html = tmp_path / "page.html"
    run = CliRunner().invoke(app, ["audit", "--out", "/dev/full", "--html", str(html)])
    assert run.exit_code == 1
    assert "ml/[/chat]" in run.output
    assert "--out: /dev/full cannot be written: No space left on device" in run.output
    assert html.read_text(encoding="utf-8").endswith("</html>\n")


@pytest.mark.parametrize("field", ["unit", "backend", "trigger", "name"])
def test_what_a_cluster_says_cannot_write_into_the_page(field: str) -> None:
    evil = "\"><script>alert('x')</script>"
    found = told(job(f"ml/{evil}", demand()) if field == "name" else job("ml/a", demand(), **{field: evil}))
    written = page(found)
    assert "<script" not in written
    assert "&lt;script&gt;" in written


@given(st.floats(0.5, 500), st.integers(1, 40))
def test_an_estimate_is_what_a_ready_replica_was_seen_to_carry(load: float, replicas: int) -> None:
    served = MetricWindow(MONDAY, STEP_S, np.full(100, load * replicas))
    ready = MetricWindow(MONDAY, STEP_S, np.full(100, float(replicas)))
    assert estimated_capacity(served, ready) == pytest.approx(load, rel=1e-3)


def test_an_estimate_of_few_bins_is_refused_with_their_number() -> None:
    served = MetricWindow(MONDAY, STEP_S, np.full(100, 5.0))
    values = np.full(100, np.nan)
    values[:49] = 2.0
    with pytest.raises(AskOwner, match="together in 49 bins of the 50"):
        estimated_capacity(served, MetricWindow(MONDAY, STEP_S, values))


def test_no_ready_replica_carries_nothing_and_takes_no_part_in_an_estimate() -> None:
    served = MetricWindow(MONDAY, STEP_S, np.full(200, 6.0))
    values = np.tile([0.0, 3.0], 100)
    assert estimated_capacity(served, MetricWindow(MONDAY, STEP_S, values)) == 2.0


def test_a_written_trace_is_read_back_to_the_last_digit(tmp_path: Path) -> None:
    values = demand().values.copy() / 3
    values[100:130] = np.nan
    window = MetricWindow(MONDAY, STEP_S, values)
    write_trace(tmp_path / "trace.csv", window)
    again = load_csv(tmp_path / "trace.csv")
    assert (again.start, again.step_s) == (window.start, window.step_s)
    np.testing.assert_array_equal(again.values, window.values)


@pytest.mark.parametrize(("step_s", "over"), [(60.0, "[2m]"), (900.0, "[15m]")])
async def test_a_named_workloads_rate_is_a_mean_over_each_bin_however_wide(step_s: float, over: str) -> None:
    service = ServiceSettings.model_validate(
        {
            "prometheus": {"url": "http://127.0.0.1:9"},
            "workloads": [
                {"namespace": "ml", "name": "chat", "backend": "tgi", "capacity_per_replica": 5,
                 "max_replicas": 9},
                {"namespace": "ml", "name": "own", "query": "rate(x[2m])", "capacity_per_replica": 5,
                 "max_replicas": 9},
            ],
        }
    )  # fmt: skip
    clock = ManualClock(MONDAY)
    sources, presets = Sources(service, Meters(), clock, None), service.presets()
    try:
        preset, own = (
            _named(each, service, sources, presets, step_s=step_s).demand.query
            for each in service.named_workloads(presets)
        )
    finally:
        await sources.aclose()
    assert over in preset
    assert "[2m]" in own


def test_a_gap_in_the_demand_is_a_gap_in_its_line() -> None:
    def drawn(values: list[float | None]) -> int:
        told = {"start_s": MONDAY.timestamp(), "step_s": STEP_S, "mean": values, "high": values}
        picture = auditsvg.demand(told, unit="requests/s", train_until_s=None)
        return picture.partition('class="line" d="')[2].partition('"')[0].count("M")

    assert drawn([1.0, 2.0, 3.0, 4.0]) == 1
    assert drawn([1.0, None, 3.0, 4.0]) == 2


@given(value=st.floats(-1e6, 1e6), low=st.floats(-1e6, 0), high=st.floats(0, 1e6))
def test_a_bar_stays_within_its_picture(value: float, low: float, high: float) -> None:
    least, most = min(value, low, 0.0), max(value, high, 0.0)
    bar = auditsvg.interval(value, low, high, least=least, most=most)
    left, width = (float(bar.partition(f' {name}="')[2].partition('"')[0]) for name in ("x", "width"))
    assert left >= 0
    assert left + width <= 150
