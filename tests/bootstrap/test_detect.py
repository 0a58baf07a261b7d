"""Where `backend: auto` is asked, on answers that a test writes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from predictscale.bootstrap.detect import BackendFinder, named
from predictscale.clock import ManualClock
from predictscale.config.auto import Choice, Undecided
from predictscale.config.presets import load_presets
from predictscale.config.settings import WorkloadSettings
from predictscale.core.demand import WorkloadId
from predictscale.errors import AskOwner, PartialAnswer, SourceUnavailable
from predictscale.meters import Meters
from predictscale.sources.prometheus import PrometheusSource
from predictscale.sources.replay import ReplaySource

START = datetime(2026, 3, 2, 6, 30, tzinfo=UTC)
POD = "chat-7c9f8b6d5-x7k2b"
PRESETS = load_presets()


class Told(PrometheusSource):
    """A Prometheus whose answers are written by a test; remembers what it was asked."""

    def __init__(self, *, now: list[dict[str, str]], lately: list[dict[str, str]] | None = None) -> None:
        super().__init__(url="http://127.0.0.1:1", meters=Meters(), clock=ManualClock(START))
        self.now, self.lately = now, lately or []
        self.partial = self.down = False
        self.asked: list[tuple[str, datetime]] = []

    async def instant(
        self, query: str, *, at: datetime, whole: bool = False
    ) -> list[tuple[dict[str, str], float]]:
        self.asked.append((query, at))
        await asyncio.sleep(0)
        if self.down:
            raise SourceUnavailable("switched off")
        if self.partial and whole:
            raise PartialAnswer("the source warns: a store is missing")
        held = self.lately if "last_over_time" in query else self.now
        return [(labels, 1.0) for labels in held if labels["__name__"] in query]


def vllm(namespace: str = "llm") -> dict[str, str]:
    return {"__name__": "vllm:num_requests_waiting", "namespace": namespace, "pod": POD, "model_name": "m"}


def auto(name: str = "chat", **more: Any) -> WorkloadSettings:
    given = {"selector": 'namespace="llm"', "unit": "requests/s", "target": "chat", **more}
    return WorkloadSettings(
        workload=WorkloadId("llm", name), backend="auto", capacity_per_replica=1, max_replicas=9, **given
    )


@asynccontextmanager
async def finder(source: Told) -> AsyncIterator[BackendFinder]:
    yield BackendFinder(PRESETS, source_of=lambda _: source)
    await source.aclose()


async def test_what_is_there_now_is_found_in_one_look() -> None:
    source = Told(now=[vllm()])
    async with finder(source) as find:
        found = await find(auto(), at=START + timedelta(seconds=47))
    assert isinstance(found, Choice)
    assert found.preset.name == "vllm"
    assert {at for _, at in source.asked} == {START}
    assert not any("last_over_time" in query for query, _ in source.asked)


async def test_what_was_there_lately_counts_only_where_nothing_is_now() -> None:
    asleep = Told(now=[], lately=[vllm()])
    async with finder(asleep) as find:
        assert isinstance(await find(auto(), at=START), Choice)
    unclear = Told(now=[vllm(), {**vllm(), "__name__": "sglang:num_queue_reqs"}], lately=[vllm()])
    async with finder(unclear) as find:
        assert isinstance(await find(auto(), at=START), Undecided)
    assert not any("last_over_time" in query for query, _ in unclear.asked)


async def test_workloads_that_ask_for_the_same_share_one_look_and_others_do_not() -> None:
    source = Told(now=[vllm()])
    async with finder(source) as find:
        await asyncio.gather(*(find(auto(f"chat-{n}"), at=START) for n in range(20)))
        once = len(source.asked)
        await find(auto(target="other"), at=START)
        assert len(source.asked) > once
        before = len(source.asked)
        await find(auto(), at=START + timedelta(seconds=59))
        assert len(source.asked) == before
        await find(auto(), at=START + timedelta(seconds=60))
        assert len(source.asked) == before + once
    assert once <= 5


async def test_an_answer_that_lacks_data_decides_nothing() -> None:
    source = Told(now=[vllm()])
    source.partial = True
    async with finder(source) as find:
        with pytest.raises(PartialAnswer):
            await find(auto(), at=START)
        source.partial = False
        assert isinstance(await find(auto(), at=START), Choice)


async def test_what_cannot_be_searched_says_so() -> None:
    find = BackendFinder(PRESETS, source_of=lambda _: ReplaySource({}, clock=ManualClock(START)))
    found = await find(auto(), at=START)
    assert isinstance(found, Undecided)
    assert found.because == "only a Prometheus can be searched; name the backend"


async def test_a_command_gets_the_backend_by_its_name_or_an_error_for_its_owner() -> None:
    source = Told(now=[vllm()])
    async with finder(source) as find:
        settings = await named(auto(), find, at=START)
        assert (settings.backend, settings.asks) == ("vllm", PRESETS["vllm"].digest())
        assert await named(settings, find, at=START) is settings
        with pytest.raises(AskOwner, match="llm/chat: no backend is chosen: no series come from pods"):
            await named(auto(target="other"), find, at=START)
        source.down = True
        with pytest.raises(SourceUnavailable):
            await named(auto(), find, at=START + timedelta(minutes=1))
