"""What the service tells Prometheus of its own process, under the names that every exporter uses."""

import gc
import time
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from predictscale.bootstrap.service import Service
from predictscale.clock import ManualClock
from scenes import MORNING
from small_service import small_service

_TICK_S = 0.01
"""What the kernel counts CPU time by."""

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells them")


@asynccontextmanager
async def service() -> AsyncIterator[Service]:
    """A service that follows nobody."""
    made = small_service(ManualClock(MORNING), workloads=[])
    await made.start()
    try:
        yield made
    finally:
        await made.stop()


def scraped(one: Service) -> dict[str, float]:
    """What a scrape finds of the process, by name."""
    with closing(urllib.request.urlopen(f"http://127.0.0.1:{one.metrics_port}/metrics")) as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    samples = [sample for family in families for sample in family.samples]
    assert all(not sample.labels for sample in samples if sample.name.startswith("process_"))
    return {sample.name: sample.value for sample in samples if sample.name.startswith("process_")}


async def test_a_scrape_tells_the_cpu_time_that_the_process_has_used() -> None:
    async with service() as one:
        before_s = time.process_time()
        told_s = scraped(one)["process_cpu_seconds_total"]
        assert before_s - 2 * _TICK_S <= told_s <= time.process_time() + 2 * _TICK_S


async def test_a_scrape_tells_the_memory_that_the_process_has_now() -> None:
    async with service() as one:
        gc.collect()  # what others have left must not be given back between the two
        before = scraped(one)["process_resident_memory_bytes"]
        ballast = bytearray(64 * 2**20)
        ballast[:: 2**10] = b"x" * len(ballast[:: 2**10])
        after = scraped(one)["process_resident_memory_bytes"]
        assert 60 * 2**20 <= after - before <= 80 * 2**20


async def test_a_scrape_tells_since_when_the_process_runs_and_its_open_files() -> None:
    async with service() as one:
        told = scraped(one)
        assert told["process_start_time_seconds"] <= time.time()
        assert 0 < told["process_open_fds"] <= told["process_max_fds"]
