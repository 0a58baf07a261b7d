"""What the live service costs on a real Prometheus, by the number of workloads that it follows.

For each number one service process starts on a Prometheus with two weeks behind it, is left alone until every
workload has a fit, and is then watched for some minutes of ordinary life. Memory, the processor time of
the service and of the workers that fit for it, ticks and queries are read from outside. A run in which ticks
were skipped had too little of the machine: it says so, and tells no shares of a core. Nobody calls
as KEDA does, which `rpc` measures. Refuses to compare with numbers of another run.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from benchmarks.common import ROOT, write_report
from benchmarks.processes import Cpu, Peak, cpu, machine_busy_s, memory
from prometheus_client.parser import text_string_to_metric_families

from predictscale.core.series import Floats, MetricWindow, floor_to_grid

sys.path.insert(0, str(ROOT / "tests"))

from prometheus_server import BackfilledSeries, PrometheusServer
from service_process import ServiceProcess

NAMESPACE = "prod"
SERIES = 4
"""Different series of demand; workloads share them, each by a query of its own."""
SAMPLE_S = 60.0
DAY_S = 86_400.0
PAST_S, FLEET_PAST_S = 14 * DAY_S, DAY_S
AHEAD_S = 3 * 3600.0
"""Samples that are there already, and that nobody asks for before their time."""
PHASE_S = 12.0
"""After a tick's instant its round is over, and readings are taken."""
WITHIN_S = 3600.0
"""A start that takes longer ends the benchmark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to measure."""

    workloads: tuple[int, ...] = (10, 100)
    watched_s: float = 300.0
    tick_s: float = 15.0

    @property
    def ticks(self) -> int:
        """Rounds that are watched."""
        return round(self.watched_s / self.tick_s)


QUICK = Plan(workloads=(10,), watched_s=60.0)


def past(now: datetime) -> list[BackfilledSeries]:
    """What Prometheus knows: demand over two weeks, and over a day the fleets that serve it."""
    found: list[BackfilledSeries] = []
    end = floor_to_grid(now, SAMPLE_S) + timedelta(seconds=AHEAD_S)
    for number in range(SERIES):
        window = _demand(number, end)
        found.append(BackfilledSeries("demand_rps", {"service": f"s{number}"}, window))
    for name in ("spec_replicas", "status_replicas", "status_replicas_ready"):
        for number in range(SERIES):
            labels = {"namespace": NAMESPACE, "deployment": f"fleet-{number}"}
            window = _demand(number, end).last(FLEET_PAST_S + AHEAD_S)
            counts = MetricWindow(window.start, SAMPLE_S, np.ceil(window.values / 10.0))
            found.append(BackfilledSeries(f"kube_deployment_{name}", labels, counts))
    return found


def _demand(number: int, end: datetime) -> MetricWindow:
    """Days that rise and fall, quieter at weekends, with noise that lasts for some minutes."""
    count = round((PAST_S + AHEAD_S) / SAMPLE_S)
    start = end - timedelta(seconds=count * SAMPLE_S)
    hours = (start.timestamp() + np.arange(count) * SAMPLE_S) / 3600.0 + 5.0 * number
    rng = np.random.default_rng(number)
    noise = np.convolve(rng.standard_normal(count + 9), np.ones(10) / 10.0, mode="valid")
    weekend = np.where((hours // 24) % 7 >= 5, 0.6, 1.0)
    wave: Floats = 200.0 * (1.2 + np.sin(2 * np.pi * hours / 24.0)) * weekend * np.exp(0.3 * noise)
    return MetricWindow(start, SAMPLE_S, wave)


def settings(url: str, folder: Path, workloads: int) -> dict[str, Any]:
    """The service's file: what the chart sets, and of workloads what an owner must say."""
    return {
        **{port: {"host": "127.0.0.1"} for port in ("grpc", "http", "metrics")},
        "prometheus": {"url": url},
        "cache": {"path": str(folder / "history.sqlite")},
        "archive": {"path": str(folder / "decisions.sqlite")},
        "workloads": [
            {
                "namespace": NAMESPACE,
                "name": f"endpoint-{index:04}",
                "query": f'{1 + index / 100:.2f} * sum(demand_rps{{service="s{index % SERIES}"}})',
                "target": f"fleet-{index % SERIES}",
                "capacity_per_replica": 10,
                "max_replicas": 500,
                "lead_time_s": 240,
            }
            for index in range(workloads)
        ],
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What had been used and done by an instant, counted from a start."""

    at_s: float
    cpu: Cpu
    machine_s: float
    prometheus_s: float
    queries: float
    decided: float
    skipped: float
    fits: float


def read(service: ServiceProcess, server: PrometheusServer) -> Reading:
    """One scrape of the service and one of Prometheus."""
    used, machine_s, at_s = cpu(service.pid), machine_busy_s(), time.monotonic()
    own, theirs = (list(_scraped(url)) for url in (_metrics_of(service), f"{server.url}/metrics"))
    return Reading(
        at_s=at_s,
        cpu=used,
        machine_s=machine_s,
        prometheus_s=_total(theirs, "process_cpu_seconds_total"),
        queries=sum(
            _total(theirs, "prometheus_http_requests_total", handler=handler)
            for handler in ("/api/v1/query", "/api/v1/query_range")
        ),
        decided=_total(own, "predictscale_tick_duration_seconds_count"),
        skipped=_total(own, "predictscale_ticks_skipped_total"),
        fits=_total(own, "predictscale_fit_duration_seconds_count", forecaster="auto"),
    )


Sampled = tuple[str, dict[str, str], float]


def _metrics_of(service: ServiceProcess) -> str:
    (line,) = (line for line in service.printed if line.startswith("metrics"))
    return line.split()[1]


def _scraped(url: str) -> Iterator[Sampled]:
    answer = httpx2.get(url, timeout=30, trust_env=False).raise_for_status()
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def _total(samples: Iterable[Sampled], name: str, **labels: str) -> float:
    return sum(value for at, have, value in samples if at == name and labels.items() <= have.items())


def measure(plan: Plan, workloads: int, server: PrometheusServer, folder: Path) -> dict[str, Any]:
    """One service, from its start to the end of the minutes in which it is watched."""
    file = folder / "predictscale.json"
    file.write_text(json.dumps(settings(server.url, folder, workloads)), encoding="utf-8")  # JSON is YAML
    begun_s = time.monotonic()
    with (
        ServiceProcess(["serve", "--config", str(file)], log=folder / "log") as service,
        Peak(service.pid) as peak,
    ):
        _wait_until_decided(service, workloads)
        decided = read(service, server)
        _wait_until_fitted(service, workloads)
        fitted = read(service, server)
        load_before = os.getloadavg()[0]
        begin = _after_a_round(datetime.now(UTC), plan.tick_s)
        _wait_until(begin)
        first = last = read(service, server)
        for tick in range(plan.ticks):
            _wait_until(begin + timedelta(seconds=(tick + 1) * plan.tick_s))
            last = read(service, server)
        end = memory(service.pid)
        ready = service.get("/readyz").status_code == 200
    if not ready:
        raise RuntimeError(f"the service was not ready at the end:\n{service.log()[-2000:]}")
    return {
        "workloads": workloads,
        "start": {
            "all_decided_s": decided.at_s - begun_s,
            "all_fitted_s": fitted.at_s - begun_s,
            "cores_of_others_while_fitting": between(decided, fitted, due=0)["cores_of_others"],
            "ticks_skipped": first.skipped,
        },
        **between(first, last, due=workloads * plan.ticks),
        "fits": _fits(decided, last),
        "memory_mib": {
            "service": end.own,
            "service_peak": peak.own,
            "workers": end.workers,
            "workers_peak": peak.workers,
            "together_peak": peak.together,
        },
        "load_average": [load_before, os.getloadavg()[0]],
    }


def between(first: Reading, last: Reading, *, due: int) -> dict[str, Any]:
    """What lies between two readings."""
    wall_s = last.at_s - first.at_s
    ticks = {
        "due": due,
        "decided": last.decided - first.decided,
        "skipped": last.skipped - first.skipped,
    }
    service_s = last.cpu.own_s - first.cpu.own_s
    workers_s = last.cpu.workers_s - first.cpu.workers_s
    prometheus_s = last.prometheus_s - first.prometheus_s
    others_s = last.machine_s - first.machine_s - service_s - workers_s - prometheus_s
    shares = {
        "service_cores": service_s / wall_s,
        "service_ms_per_decision": 1e3 * service_s / max(ticks["decided"], 1),
        "workers_cores": workers_s / wall_s,
        "prometheus_cores": prometheus_s / wall_s,
    }
    return {
        "watched_s": wall_s,
        "ticks": ticks,
        "cpu": None if ticks["skipped"] else shares,
        "note": _short_of_cpu(ticks["skipped"], others_s / wall_s) if ticks["skipped"] else None,
        "queries_per_s": (last.queries - first.queries) / wall_s,
        "fits_while_watched": last.fits - first.fits,
        "cores_of_others": others_s / wall_s,
    }


def _fits(first: Reading, last: Reading) -> dict[str, float | None]:
    """What fits took, with the quick ones that stood in for them at the start."""
    count = last.fits - first.fits
    cpu_s = last.cpu.workers_s - first.cpu.workers_s
    return {"count": count, "cpu_s_each": cpu_s / count if count else None}


def _short_of_cpu(skipped: float, others: float) -> str:
    return (
        f"{skipped:.0f} ticks were skipped while others used {others:.2f} of {os.cpu_count()} cores: "
        "shares of a core are not told"
    )


def _wait_until_decided(service: ServiceProcess, workloads: int) -> None:
    until_s = time.monotonic() + WITHIN_S
    while True:
        rows = _asked(service, "/api/v1/workloads?limit=1")
        if rows is not None and rows["total"] >= workloads:
            return
        _give_up(until_s, f"not every one of {workloads} workloads had a decision")
        time.sleep(0.5)


def _wait_until_fitted(service: ServiceProcess, workloads: int) -> None:
    """Until the models that are asked for have been fitted, not those that stand in for them."""
    until_s = time.monotonic() + WITHIN_S
    for index in range(workloads):
        while True:
            models = _asked(service, f"/api/v1/workloads/{NAMESPACE}/endpoint-{index:04}/models")
            if models is not None and models["fitted_until"] is not None and not models["quick"]:
                break
            _give_up(until_s, f"endpoint-{index:04} had no fit")
            time.sleep(2.0)


def _asked(service: ServiceProcess, path: str) -> Any:
    """What REST answers; None if it does not yet."""
    with contextlib.suppress(httpx2.HTTPError):
        answer = service.get(path)
        if answer.is_success:
            return answer.json()
    return None


def _give_up(until_s: float, why: str) -> None:
    if time.monotonic() > until_s:
        raise TimeoutError(f"{why} within {WITHIN_S:g} s")


def _after_a_round(now: datetime, tick_s: float) -> datetime:
    """The next instant at which the round of a tick is over."""
    phase = timedelta(seconds=PHASE_S)
    return floor_to_grid(now - phase, tick_s) + phase + timedelta(seconds=tick_s)


def _wait_until(then: datetime) -> None:
    time.sleep(max(0.0, (then - datetime.now(UTC)).total_seconds()))


def line(rows: Sequence[dict[str, Any]]) -> dict[str, float] | None:
    """What a workload adds, by a straight line through the runs; None of fewer than two.

    CPU is left out where a run was short of it.
    """
    if len(rows) < 2:
        return None
    each, base = _straight([(row["workloads"], row["memory_mib"]["service"]) for row in rows])
    found = {"memory_mib": base, "memory_mib_per_workload": each}
    whole = [(row["workloads"], row["cpu"]["service_cores"]) for row in rows if row["cpu"] is not None]
    if len(whole) == len(rows):
        each, base = _straight(whole)
        found |= {"cores": base, "cores_per_workload": each}
    return found


def _straight(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    across, up = np.array(points).T
    slope, base = np.polyfit(across, up, deg=1)
    return float(slope), float(base)


@contextmanager
def prometheus() -> Iterator[PrometheusServer]:
    """One that knows the past, for all runs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        PrometheusServer(Path(folder), series=past(datetime.now(UTC))) as server,
    ):
        yield server


def run(plan: Plan) -> Iterator[dict[str, Any]]:
    """One number of workloads after the other; after each, all that is known by then."""
    rows: list[dict[str, Any]] = []
    with prometheus() as server:
        version = httpx2.get(f"{server.url}/api/v1/status/buildinfo", trust_env=False).json()["data"][
            "version"
        ]
        for workloads in plan.workloads:
            with tempfile.TemporaryDirectory() as folder:
                rows.append(measure(plan, workloads, server, Path(folder)))
            yield {"prometheus": version, "rows": rows, "line": line(rows)}


def table(rows: Sequence[dict[str, Any]], *, head: bool) -> str:
    """The results for people."""
    names = ("workloads", "decided s", "fitted s", "ticks", "skipped", "service", "workers", "MiB", "workers")
    lines = ["".join(f"{name:>11}" for name in (*names, "queries/s"))] if head else []
    for row in rows:
        ticks, used = row["ticks"], row["memory_mib"]
        shares = [
            f"{row['cpu'][name]:.4f}" if row["cpu"] else "-" for name in ("service_cores", "workers_cores")
        ]
        started = (f"{row['start'][name]:.0f}" for name in ("all_decided_s", "all_fitted_s"))
        done = (f"{ticks['decided']:.0f}/{ticks['due']:.0f}", f"{ticks['skipped']:.0f}")
        sizes = (f"{used['service']:.0f}", f"{used['workers']:.0f}", f"{row['queries_per_s']:.1f}")
        cells = (row["workloads"], *started, *done, *shares, *sizes)
        lines.append("".join(f"{cell:>11}" for cell in cells))
        lines += [row["note"]] if row["note"] else []
    return "\n".join(lines)


def main(words: Sequence[str]) -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="ten workloads for a minute; to glance at")
    parser.add_argument("--workloads", type=int, nargs="+", help="how many, one run for each")
    parser.add_argument("--out", type=Path, help="where to write JSON")
    options = parser.parse_args(words)
    if missing := [tool for tool in ("prometheus", "promtool") if shutil.which(tool) is None]:
        parser.error(f"{' and '.join(missing)} not on PATH: scripts/install-test-tools")
    plan = QUICK if options.quick else Plan()
    if options.workloads:
        plan = Plan(workloads=tuple(options.workloads), watched_s=plan.watched_s)
    packages = ["numpy", "lightgbm", "prometheus_client"]
    for results in run(plan):
        rows = results["rows"]
        print(table(rows[-1:], head=len(rows) == 1), flush=True)
        if options.out is not None:
            done = replace(plan, workloads=tuple(row["workloads"] for row in rows))
            write_report(
                options.out, benchmark="live", packages=packages, settings=asdict(done), results=results
            )


if __name__ == "__main__":
    main(sys.argv[1:])
