"""Two replicas of the service on one real Prometheus: the same answer for the same moment, a thousand times.

Each is a process of its own; they start apart, one has a cache and one has none, and the one without is
killed and started again. Answers are compared by the tick that they are of, never by when they came, so a
slow machine compares fewer of them and no other ones. What a replica cannot know yet, as fits that
run after its start, its decisions say in their notes; those are counted, and not compared.
"""

import asyncio
import json
import math
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest

from keda_client import KedaClient, ScaledObject
from patience import WITHIN_S
from replica_world import prometheus, settings, workloads
from service_process import ServiceProcess

pytestmark = pytest.mark.e2e

APART_S = 5.0
REFIT_S = 480.0
"""Each workload comes to a fit within eight minutes, some of them while the test runs."""
ENOUGH = 500
"""Equal answers before the restart, and again after it."""
AT_MOST_S = 400.0
"""For each of the two, on a machine that has others to serve."""
SLOW = {"auto", "learned", "slo"}
"""Wait for slow workers after a start, and so may not have begun when the time is over."""
LOOK_S, LOOKED_AT = 8.0, 14
"""So often so many of the newest decisions are read; those of a look overlap with those of the one before."""

NOT_YET = (
    "no model is fitted yet",
    "quick forecasters serve until",
    "is not there; that of",
    "no windows were learned from yet",
    "until pod starts are read",
    "no settings are chosen for the objective yet",
    "another replica of the service may choose other settings",
)
"""What a decision says of itself that was made before all that it obeys was there."""

NAMES = tuple(workloads(datetime.now(UTC)))

Answers = dict[tuple[str, str], dict[str, Any]]
"""Decisions by workload and tick."""


@dataclass
class Compared:
    """What came of the comparison so far.

    Args:
        same: Equal answers, by workload.
        starting: Ticks of which one replica said that it lacks something, or told other standings of a
            tournament, likewise.
        alone: Ticks that one replica skipped, likewise.
        differ: What differs, in words.
    """

    same: Counter[str] = field(default_factory=Counter)
    starting: Counter[str] = field(default_factory=Counter)
    alone: Counter[str] = field(default_factory=Counter)
    differ: list[str] = field(default_factory=list)

    def add(self, one: Answers, other: Answers) -> None:
        """Compare the ticks that both have decided."""
        begun = {name: max(_first(one, name), _first(other, name)) for name, _ in one}
        lacking = _lacking(one) | _lacking(other)
        for key in sorted(set(one) | set(other)):
            name, tick = key
            if key not in one or key not in other:
                self.alone[name] += tick >= begun.get(name, "9")
            elif key in lacking or standings(one[key]) != standings(other[key]):
                self.starting[name] += 1
            elif difference := _difference(_graded(one[key]), _graded(other[key])):
                self.differ.append(f"{name} at {tick}: {difference}")
            else:
                self.same[name] += 1


def _lacking(answers: Answers) -> set[tuple[str, str]]:
    """Ticks that lacked something, and the next one of each: what is remembered is made again after it."""
    keys = sorted(answers)
    late = [key for key in keys if not_yet(answers[key])]
    after = [key for before, key in pairwise(keys) if before[0] == key[0] and not_yet(answers[before])]
    return {*late, *after}


def _first(answers: Answers, name: str) -> str:
    return min((tick for told, tick in answers if told == name), default="9")


def not_yet(decision: Mapping[str, Any]) -> bool:
    """Whether a decision says that something which it obeys was still to come."""
    return decision["health"] != "ok" or any(word in note for note in decision["notes"] for word in NOT_YET)


def standings(decision: Mapping[str, Any]) -> tuple[str, ...]:
    """What a decision tells of a tournament: who rests follows from fits before a start, ADR 16."""
    return tuple(note for note in decision["notes"] if " serves: loss of the peak " in note)


def _graded(decision: dict[str, Any]) -> dict[str, Any]:
    """A decision without the words of its SPOT steps: they tell counts before grading, ADR 16."""
    stairs = {
        name: [step | {"because": ""} if step["stage"] == "spot" else step for step in decision[name]]
        for name in ("steps", "reactive_steps")
    }
    return decision | stairs


def _difference(one: Any, other: Any, where: str = "") -> str:
    """Where two decisions for the same tick differ; all is compared, words included.

    Numbers may differ where doubles end: sums are taken over windows that began at other times.
    """
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        parts = [_difference(one[name], other[name], f"{where}.{name}") for name in one]
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = zip(one, other, strict=True)
        parts = [_difference(mine, its, f"{where}[{place}]") for place, (mine, its) in enumerate(pairs)]
    elif isinstance(one, float) and isinstance(other, float):
        parts = [] if math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12) else [f"{where}: {one} / {other}"]
    else:
        parts = [] if one == other else [f"{where}: {one} / {other}"]
    return "; ".join(part for part in parts if part)


@dataclass
class Reader:
    """Asks one replica; a client of its own for each answer would take longer than the answers."""

    service: ServiceProcess
    rest: httpx2.Client

    def get(self, path: str) -> Any:
        """What REST tells of a workload; None before its first decision."""
        address = next(
            said[0] for line in self.service.printed if (said := re.search(r"http://\S*:\d+", line))
        )
        answer = self.rest.get(f"{address}/api/v1/workloads/prod/{path}")
        return answer.json() if answer.status_code == 200 else None

    def answers(self, *, after: str) -> Answers:
        """Its newest decisions after a tick."""
        found: Answers = {}
        for name in NAMES:
            told = self.get(f"{name}/history?limit={LOOKED_AT}") or {"decisions": []}
            found |= {
                (name, one["decided_at"]): one for one in told["decisions"] if one["decided_at"] > after
            }
        return found


@dataclass
class Scene:
    """The folder of both replicas, and where they read."""

    folder: Path
    url: str
    now: datetime

    def replica(self, name: str, *, cached: bool) -> ServiceProcess:
        """One of them, not yet started."""
        cache = self.folder / f"{name}.sqlite" if cached else None
        told = settings(self.url, now=self.now, cache=cache, every_s=REFIT_S)
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(told))
        return ServiceProcess(["serve", "--config", str(file)], log=self.folder / f"{name}.log")


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    folder = tmp_path / "prometheus"
    folder.mkdir()
    now = datetime.now(UTC)
    with prometheus(folder, now) as server:
        yield Scene(tmp_path, server.url, now)


def kill(process: ServiceProcess) -> str:
    """End it as the kernel would, and tell when."""
    os.kill(process.pid, signal.SIGKILL)
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


async def test_two_replicas_give_one_answer(scene: Scene) -> None:
    began_s = time.monotonic()
    with (
        httpx2.Client(trust_env=False, timeout=WITHIN_S) as rest,
        scene.replica("first", cached=True) as first,
    ):
        await asyncio.sleep(APART_S)
        with scene.replica("second", cached=False) as second:
            readers = Reader(first, rest), Reader(second, rest)
            before = await _compared(*readers)
            on_the_wire = await _over_grpc(*readers)
            killed_at = kill(second)
        with scene.replica("second", cached=False) as second:
            after = await _compared(Reader(first, rest), Reader(second, rest), since=killed_at)
    shown = f"{on_the_wire} over gRPC, {time.monotonic() - began_s:.0f} s, {before}, {after}"
    if log := os.environ.get("TWO_REPLICAS_LOG"):
        await asyncio.to_thread(Path(log).write_text, f"{shown}\n")
    assert before.differ + after.differ == [], shown[:3000]
    assert min(before.same.total(), after.same.total()) >= ENOUGH, shown
    assert set(NAMES) - {*before.same, *after.same} <= SLOW, shown
    assert on_the_wire > 0, shown


async def _compared(first: Reader, second: Reader, *, since: str = "") -> Compared:
    """What both have decided since a tick, once that is enough or the time is over."""
    one: Answers = {}
    other: Answers = {}
    until_s = time.monotonic() + AT_MOST_S
    while True:
        await asyncio.sleep(LOOK_S)
        one |= await asyncio.to_thread(first.answers, after=since)
        other |= await asyncio.to_thread(second.answers, after=since)
        compared = Compared()
        compared.add(one, other)
        enough = compared.same.total() >= ENOUGH and set(NAMES) - set(compared.same) <= SLOW
        if enough or time.monotonic() > until_s or compared.differ:
            return compared


async def _over_grpc(first: Reader, second: Reader) -> int:
    """Ask both as KEDA does; how often both told the number of the same tick, and it was the same.

    KEDA is told no tick. Where both replicas' newest decision is of the same tick before and after
    both calls, that tick is what they told. A slow machine asks until it has happened once.
    """
    same = 0
    until_s = time.monotonic() + WITHIN_S
    kedas = [KedaClient(each.service.grpc_address) for each in (first, second)]
    try:
        while not same and time.monotonic() < until_s:
            for name in NAMES[:12]:
                if name == "pools":
                    continue
                told, ticks = await _asked(kedas, (first, second), name)
                if len(ticks) == 1:
                    assert told[0] == told[1], f"{name} at {ticks}: {told}"
                    same += 1
    finally:
        for keda in kedas:
            await keda.close()
    return same


async def _asked(
    kedas: list[KedaClient], readers: tuple[Reader, Reader], name: str
) -> tuple[list[float], set[str]]:
    """What KEDA is told by each, and the ticks that may be of; none if a replica is not ready to tell."""
    metadata = {"scalerAddress": "predictscale:6000", "workload": name}
    asked = ScaledObject(name=name, namespace="prod", metadata=metadata)
    path = f"{name}/decision"
    shown = [await asyncio.to_thread(reader.get, path) for reader in readers]
    try:
        told = [(await keda.poll(asked))[0].value for keda in kedas]
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            return [], set()
        raise
    shown += [await asyncio.to_thread(reader.get, path) for reader in readers]
    if any(one is None or not_yet(one) for one in shown) or len({standings(one) for one in shown}) > 1:
        return told, set()
    return told, {one["decided_at"] for one in shown}
