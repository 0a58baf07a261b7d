"""What it costs to look: a page of a thousand workloads, its list over REST, and KEDA's calls meanwhile.

One service process follows a thousand workloads of synthetic demand, ticks as it would in a cluster, and
answers KEDA's calls all the time. In turns, nobody looks; a program asks for what the page asks for; and a
real browser has the page open. A browser on the same cores takes its share of them from the service, which
one at a desk does not: the program's turn tells what looking costs the service, the browser's what both
cost. Refuses to compare with numbers of another run.
"""

import argparse
import asyncio
import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx2
import numpy as np
import yaml
from benchmarks.common import write_report
from benchmarks.rpc import Round, load, medians
from playwright.async_api import Browser, async_playwright

from predictscale._proto import externalscaler_pb2 as pb
from predictscale.serving.grpc import METRIC_NAME

WATCHERS = ("nobody", "program", "browser")
NAMESPACES = 20
POLL_S = 5.0
"""How often the page asks, at most."""
LIST = "/api/v1/workloads?limit=1000"
PAGE_OF_ROWS = 250
BROWSER = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much to measure."""

    workloads: int = 1000
    paints: int = 10
    lists: int = 400
    rounds: int = 6
    round_s: float = 15.0
    tick_s: float = 15.0


QUICK = Plan(paints=3, lists=60, rounds=1)


def settings(plan: Plan) -> dict[str, object]:
    """The service's file: many workloads, each with a forecast that costs little to fit."""
    each = {"query": "shop", "capacity_per_replica": 80, "max_replicas": 60, "lead_time_s": 240}
    return {
        "replay": {"series": {"shop": "synthetic:shop"}},
        "loop": {"tick_s": plan.tick_s, "step_s": 60, "history_s": 2 * 86400},
        "limits": {"max_workloads": plan.workloads},
        "log": {"level": "error"},
        "workloads": [
            {
                "namespace": f"team-{index % NAMESPACES}",
                "name": f"endpoint-{index:04}",
                "forecasters": ["seasonal-naive-day", "last-value"],
                "price": {"per_replica_hour": 2.5},
                **each,
            }
            for index in range(plan.workloads)
        ],
    }


@dataclass(frozen=True, slots=True)
class Serving:
    """A service process: its number and its ports."""

    pid: int
    grpc_port: int
    http_port: int

    @property
    def url(self) -> str:
        """Where REST and the page are."""
        return f"http://127.0.0.1:{self.http_port}"


@contextmanager
def service(plan: Plan) -> Iterator[Serving]:
    """The service, from its command line, once every workload has a decision."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "predictscale.yaml"
        file.write_text(yaml.safe_dump(settings(plan)), encoding="utf-8")
        command = [str(Path(sys.executable).parent / "predictscale"), "serve", "--config", str(file)]
        ports = ["--grpc-port", "0", "--http-port", "0", "--metrics-port", "0"]
        with subprocess.Popen([*command, *ports], stdout=subprocess.PIPE, text=True) as process:
            try:
                found: dict[str, int] = {}
                assert process.stdout is not None  # noqa: S101 - a pipe was asked for
                while len(found) < 3:
                    line = process.stdout.readline()
                    if not line:
                        raise RuntimeError("the service ended before it named its ports")
                    if match := re.match(r"(gRPC|REST|metrics)\s+\S*?:(\d+)", line.replace("http://", "")):
                        found[match[1]] = int(match[2])
                serving = Serving(process.pid, found["gRPC"], found["REST"])
                _wait_until_decided(serving, plan.workloads)
                yield serving
            finally:
                process.terminate()


def _wait_until_decided(serving: Serving, workloads: int) -> None:
    deadline_s = time.monotonic() + 600
    while True:
        with contextlib.suppress(httpx2.HTTPError):
            rows = httpx2.get(f"{serving.url}/api/v1/workloads?limit=1", timeout=30, trust_env=False).json()
            if rows["total"] >= workloads:
                return
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"not every one of {workloads} workloads had a decision within 10 minutes")
        time.sleep(1)


def requests(plan: Plan) -> list[bytes]:
    """What KEDA sends for each workload."""
    made = []
    for index in range(plan.workloads):
        metadata = {"scalerAddress": "predictscale:6000", "workload": f"endpoint-{index:04}"}
        ref = pb.ScaledObjectRef(
            name=f"endpoint-{index:04}", namespace=f"team-{index % NAMESPACES}", scalerMetadata=metadata
        )
        made.append(pb.GetMetricsRequest(scaledObjectRef=ref, metricName=METRIC_NAME).SerializeToString())
    return made


async def lists(serving: Serving, count: int) -> dict[str, float]:
    """How long a list of all rows takes, one after the other on one connection, between decisions."""
    took_s: list[float] = []
    size = 0
    async with httpx2.AsyncClient(base_url=serving.url, trust_env=False, timeout=30) as client:
        for _ in range(count):
            begun_s = time.perf_counter()
            answer = await client.get(LIST, headers={"Accept-Encoding": "identity"})
            took_s.append(time.perf_counter() - begun_s)
            answer.raise_for_status()
            size = len(answer.content)
            await asyncio.sleep(0.02)
    p50_s, p99_s = np.percentile(took_s, (50, 99))
    return {
        "p50_ms": 1e3 * float(p50_s),
        "p99_ms": 1e3 * float(p99_s),
        "kilobytes": size / 1e3,
    }


async def paints(browser: Browser, serving: Serving, count: int) -> dict[str, float]:
    """When a newly opened fleet page first paints its contents, and shows a row, since navigation [ms]."""
    painted, rows = [], []
    for _ in range(count):
        context = await browser.new_context(viewport={"width": 1440, "height": 900})
        page = await context.new_page()
        await page.goto(serving.url)
        await page.get_by_role("link", name=re.compile("endpoint-")).first.wait_for()
        rows.append(await page.evaluate("performance.now()"))
        painted.append(
            await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
        )
        await context.close()
    return {
        "first_contentful_paint_median_ms": float(np.median(painted)),
        "first_contentful_paint_worst_ms": float(np.max(painted)),
        "first_row_median_ms": float(np.median(rows)),
        "first_row_worst_ms": float(np.max(rows)),
    }


@asynccontextmanager
async def watched(kind: str, browser: Browser, serving: Serving) -> AsyncIterator[None]:
    """Somebody looks meanwhile, or nobody."""
    if kind == "browser":
        context = await browser.new_context(viewport={"width": 1440, "height": 900})
        await (await context.new_page()).goto(serving.url)
        try:
            yield
        finally:
            await context.close()
        return
    asking = asyncio.create_task(_ask_as_the_page(serving)) if kind == "program" else None
    try:
        yield
    finally:
        if asking is not None:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)


async def _ask_as_the_page(serving: Serving) -> None:
    """The requests of an open fleet page: the fleet, all rows, and the small charts of those in sight."""
    async with httpx2.AsyncClient(base_url=serving.url, trust_env=False, timeout=30) as client:
        while True:
            await client.get("/api/v1/fleet")
            cursor: str | None = ""
            first: list[str] = []
            while True:
                answer = (
                    await client.get("/api/v1/workloads", params={"limit": PAGE_OF_ROWS, "cursor": cursor})
                ).json()
                first = first or [f"{r['namespace']}/{r['workload']}" for r in answer["workloads"][:24]]
                cursor = answer["next"]
                if not cursor:
                    break
            await client.get("/api/v1/sparks", params=[("w", each) for each in first])
            await asyncio.sleep(POLL_S)


async def compare(plan: Plan) -> dict[str, object]:
    """All of it on one service, the order of watchers turned each round."""
    chromium = shutil.which("chromium")
    if chromium is None:
        raise FileNotFoundError("chromium is not on PATH: scripts/install-test-tools")
    asked = requests(plan)
    rounds: dict[str, list[Round]] = {kind: [] for kind in WATCHERS}
    with service(plan) as serving:
        async with async_playwright() as driver:
            browser = await driver.chromium.launch(executable_path=chromium, args=list(BROWSER))
            shown = await paints(browser, serving, plan.paints)
            listed = await lists(serving, plan.lists)
            for turn in range(plan.rounds):
                for place in range(len(WATCHERS)):
                    kind = WATCHERS[(turn + place) % len(WATCHERS)]
                    async with watched(kind, browser, serving):
                        rounds[kind].append(
                            await load(serving.grpc_port, serving.pid, asked, in_flight=1, for_s=plan.round_s)
                        )
            await browser.close()
    ratios = {
        kind: medians(
            [
                {name: mine[name] / alone[name] for name in alone}
                for mine, alone in zip(rounds[kind], rounds["nobody"], strict=True)
            ]
        )
        for kind in WATCHERS[1:]
    }
    return {
        "page": shown,
        "list": listed,
        "rpc": {kind: medians(each) for kind, each in rounds.items()},
        "rpc_ratio_to_nobody": ratios,
    }


def main(words: Sequence[str]) -> None:
    """Measure, print, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a minute; numbers to glance at")
    parser.add_argument("--out", type=Path, help="where to write JSON")
    options = parser.parse_args(words)
    plan = QUICK if options.quick else Plan()
    results = asyncio.run(compare(plan))
    print(yaml.safe_dump(results, sort_keys=False))
    if options.out is not None:
        packages = ["grpcio", "uvicorn", "playwright"]
        write_report(options.out, benchmark="page", packages=packages, settings=asdict(plan), results=results)


if __name__ == "__main__":
    main(sys.argv[1:])
