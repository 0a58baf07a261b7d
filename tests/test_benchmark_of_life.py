"""What the benchmark of the live service counts: processes, seen from outside, between two readings."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from benchmarks.live import Reading, between, line
from benchmarks.processes import Cpu, children, cpu, memory

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
HOLD = "import sys; held = bytearray(b'x') * (50 << 20); print(flush=True); sys.stdin.read()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HOLD!r}])"
BEGUN = Reading(
    at_s=100.0,
    cpu=Cpu(own_s=5.0, workers_s=50.0),
    machine_s=1000.0,
    prometheus_s=1.0,
    queries=300,
    decided=70,
    skipped=4,
    fits=12,
)
ENDED = replace(
    BEGUN,
    at_s=160.0,
    cpu=Cpu(own_s=6.2, workers_s=53.0),
    machine_s=1030.0,
    prometheus_s=1.6,
    queries=480,
    decided=110,
    fits=13,
)


def test_time_of_a_worker_that_has_ended_still_counts_and_is_not_the_process_own() -> None:
    before = cpu(os.getpid())
    subprocess.run([sys.executable, "-c", BURN], check=True)
    after = cpu(os.getpid())
    assert after.workers_s - before.workers_s >= 0.28
    assert after.own_s - before.own_s < after.workers_s - before.workers_s


def test_workers_of_workers_are_found_and_their_memory_is_not_the_process_own() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        inner = children(process.pid)
        assert len(inner) == 1
        assert {process.pid, *inner} <= set(children(os.getpid()))
        # Of a process of our own: beside this one's children others of this run may come and go.
        told = memory(process.pid)
        process.communicate()
    assert 50 <= told.workers < 200
    assert 0 < told.own < 50


def test_a_process_that_is_gone_uses_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert memory(process.pid).own == 0
    assert not children(process.pid)


def test_shares_are_of_the_time_that_was_watched_and_what_is_nobodys_is_others() -> None:
    told = between(BEGUN, ENDED, due=40)
    assert told["ticks"] == {"due": 40, "decided": 40, "skipped": 0}
    assert told["cpu"] == pytest.approx(
        {
            "service_cores": 0.02,
            "service_ms_per_decision": 30.0,
            "workers_cores": 0.05,
            "prometheus_cores": 0.01,
        }
    )
    assert told["cores_of_others"] == pytest.approx(0.42)
    assert told["queries_per_s"] == pytest.approx(3.0)
    assert told["fits_while_watched"] == 1
    assert told["note"] is None


def test_a_run_that_skipped_ticks_says_so_and_tells_no_shares() -> None:
    told = between(BEGUN, replace(ENDED, decided=107, skipped=7), due=40)
    assert told["cpu"] is None
    assert told["note"].startswith("3 ticks were skipped while others used 0.42 of ")


def row(workloads: int, *, told: bool = True) -> dict[str, object]:
    shares = {"service_cores": 0.01 + 0.002 * workloads} if told else None
    return {"workloads": workloads, "memory_mib": {"service": 100 + 1.5 * workloads}, "cpu": shares}


def test_what_a_workload_adds_is_the_slope_through_the_runs() -> None:
    assert line([row(10), row(50), row(200)]) == pytest.approx(
        {"memory_mib": 100, "memory_mib_per_workload": 1.5, "cores": 0.01, "cores_per_workload": 0.002}
    )


def test_one_run_is_no_line_and_a_run_short_of_cpu_leaves_none_of_cpu() -> None:
    assert line([row(10)]) is None
    assert line([row(10), row(50, told=False)]) == pytest.approx(
        {"memory_mib": 100, "memory_mib_per_workload": 1.5}
    )
