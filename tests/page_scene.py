"""A service that stands still, with a thousand workloads in every state, to look at with the page.

The demo's endpoints live for half an hour, so that there is a past to look at; the other decisions are laid
in. The clock is moved by nobody but a test, and says that it runs fast, so that the page asks twice a second.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from api_world import TOKEN, api_world
from made_windows import CHAT as MEAN_REQUEST
from made_windows import drawn
from patience import WITHIN_S
from predictscale.bootstrap import Service
from predictscale.clock import ManualClock
from predictscale.control.step import StepMemory, step
from predictscale.control.store import DecisionStore
from predictscale.core.concurrency import Burst
from predictscale.core.demand import WorkloadId
from predictscale.core.law import LatencyTargets
from predictscale.core.lawcapacity import CapacityLaw, Engine
from predictscale.core.lawguards import learn
from predictscale.core.needed import Demands
from predictscale.core.plan import Decision, Memory, Mode, OnStale, Policy
from predictscale.demo import START
from worlds import flat_forecast, policy, seen

MADE = "made"
MANY = 1000
"""Workloads of the scene, the demo's among them."""
LONG = "a-name-that-is-as-long-as-kubernetes-lets-anybody-make-a-name-x"
HOSTILE = '<img src=x onerror="document.title=1">'
REASON = f"a sale is on {HOSTILE}"
_TICKS = 120
_SLO = LatencyTargets(itl_s=0.05, ttft_p95_s=1.0)


class _QuickClock(ManualClock):
    """Stands still, and is asked often."""

    speed = 30.0


class PageScene:
    """The service, on an event loop of its own, between `with`.

    Args:
        folder: Where its files go.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._up = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._service: Service | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            assert self._up.wait(2 * WITHIN_S), "the world did not come about in time"
            self._laid_in()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        """The thread with it: one that goes on would keep this process from ending."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._told.set)
        self._thread.join()

    @property
    def url(self) -> str:
        """Where the page is."""
        assert self._service is not None, "the world did not come about; its thread says why"
        return f"http://127.0.0.1:{self._service.http_port}"

    @property
    def now(self) -> datetime:
        """The service's present."""
        assert self._service is not None
        return self._service.clock.now()

    def json(self, path: str) -> Any:
        """What REST answers."""
        answer = httpx2.get(f"{self.url}/api/v1{path}", timeout=WITHIN_S, trust_env=False)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def put(self, decisions: Iterable[Decision]) -> None:
        """Lay decisions in; they are there on return."""

        def put(store: DecisionStore) -> None:
            for decision in decisions:
                store.put(decision)

        self._do(put)

    def forget(self, name: str) -> None:
        """Take one of those away."""
        self._do(lambda store: store.forget(WorkloadId(MADE, name)))

    def order(self, path: str, body: dict[str, Any] | None = None, *, method: str = "POST") -> None:
        """A call that writes."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"{self.url}/api/v1{path}"
        answer = httpx2.request(method, url, json=body, headers=headers, timeout=WITHIN_S, trust_env=False)
        assert answer.status_code == 200, answer.text

    def _do(self, what: Callable[[DecisionStore], object]) -> None:
        async def do() -> None:
            assert self._service is not None
            what(self._service.store)

        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(do(), self._loop).result(WITHIN_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        finally:
            self._up.set()

    async def _serve(self) -> None:
        self._told, self._loop = asyncio.Event(), asyncio.get_running_loop()
        async with api_world(self._folder, ticks=_TICKS, clock=_QuickClock(START)) as self._service:
            self._up.set()
            await self._told.wait()

    def _laid_in(self) -> None:
        self.put(_special(self.now))
        others = MANY - len(self.json("/workloads?limit=1000")["workloads"])
        self.put(made(f"many-{number:03}", number, now=self.now) for number in range(others))
        self.order("/workloads/demo/shop/pause", {"for": "30m", "reason": REASON})


def made(
    name: str,
    demand: float | None,
    *,
    now: datetime,
    obeyed: Policy | None = None,
    expected: float | None = None,
    age_s: float = 5,
    replicas: int | None = 4,
    notes: tuple[str, ...] = (),
    unit: str = "requests/s",
) -> Decision:
    """A decision of a workload that nobody follows.

    Args:
        name: In the namespace `made`.
        demand: What is seen; None if nothing ever was.
        now: When it is made.
        obeyed: Its policy.
        expected: What the forecast says; one tenth more than is here if None, no forecast if 0.
        age_s: How old the newest sample is.
        replicas: How many there are, as many as were wanted last; None if that is not known.
        notes: What its tracker has to say.
        unit: Of demand.
    """
    memory = Memory(last_good=replicas)
    watched = seen(demand, now=now, age_s=age_s, replicas=replicas)
    ahead = 1.1 * (demand or 0.0) if expected is None else expected
    forecast = flat_forecast(ahead, now=now) if ahead else None
    decision, _ = step(
        WorkloadId(MADE, name),
        watched,
        forecast,
        obeyed or policy(),
        StepMemory(live=memory, reactive=memory),
        unit=unit,
        notes=notes,
    )
    return decision


def _special(now: datetime) -> Iterable[Decision]:
    yield made("reactive", 35, now=now, expected=0)
    yield made("holding", 35, now=now, age_s=400)
    yield made("stale", 35, now=now, age_s=5000)
    yield made("unknown", None, now=now, replicas=None)
    yield made("unavailable", 35, now=now, age_s=5000, obeyed=policy(on_stale=OnStale.UNAVAILABLE))
    yield made("shadow", 35, now=now, expected=80, obeyed=policy(mode=Mode.SHADOW))
    yield made(
        "ceiling", 7_654_321, now=now, expected=9_876_543, obeyed=policy(per_replica=1, max_replicas=5000)
    )
    yield made(LONG, 35, now=now)
    yield made("hostile", 35, now=now, notes=(HOSTILE, "a plain note"), unit="<b>jobs</b>/s")
    yield _learned(now)


def _learned(now: datetime) -> Decision:
    """One of an LLM, whose capacity was learned from its engine."""
    law = CapacityLaw(
        slo=_SLO,
        mix=MEAN_REQUEST,
        learned=learn(drawn(mix_spread=0.3), now_s=now.timestamp(), slo=_SLO),
        engine=Engine(kv_tokens=400_000, max_running=256),
        burst=Burst(peakedness=1.5),
    )
    plain = made("learned", 40_000, now=now, obeyed=policy(per_replica=4000), unit="tokens/s")
    rates = Demands(output_tokens_per_s=40_000).completed(MEAN_REQUEST)
    return replace(
        plain,
        seen=replace(plain.seen, rates=rates),
        policy=replace(plain.policy, capacity=law),
    )
