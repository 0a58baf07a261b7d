"""Replays in line: one at a time, a few that wait, results for a while."""

import asyncio
from datetime import UTC, datetime

import pytest

from predictscale.clock import ManualClock
from predictscale.control import whatif
from predictscale.control.whatif import Job, JobState, Replayed, Told, WhatIfQueue
from predictscale.core.demand import WorkloadId
from predictscale.errors import FitFailed, RefuseMore

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SHOP = WorkloadId("prod", "shop")
SCORE = Told(
    policy="predictscale",
    violation=0.0,
    replica_hours=1.0,
    cost_to_clairvoyant=1.0,
    cost_to_static=1.0,
    scale_events=0,
)
RESULT = Replayed(
    start=NOW, until=NOW, as_is=SCORE, changed=SCORE, rivals=(), forecasters=("native",), wait_s=5.0
)


class Line:
    """A queue, whose work waits for a gate."""

    def __init__(self) -> None:
        self.clock = ManualClock(NOW)
        self.queue = WhatIfQueue(clock=self.clock)
        self.gate = asyncio.Event()
        self.most = self.running = 0

    async def work(self) -> Replayed:
        self.running += 1
        self.most = max(self.most, self.running)
        await self.gate.wait()
        self.running -= 1
        return RESULT

    def ask(self) -> Job:
        return self.queue.ask(SHOP, {"days": 1}, work=self.work, told=lambda: 0.4)


async def test_one_runs_four_wait_and_the_sixth_is_told_to_come_back() -> None:
    line = Line()
    jobs = [line.ask()]
    await asyncio.sleep(0)
    jobs += [line.ask() for _ in range(whatif.MOST_WAITING)]
    with pytest.raises(RefuseMore, match="4 replays wait already"):
        line.ask()
    assert [job.state for job in jobs] == [JobState.RUNNING, *[JobState.WAITING] * 4]
    assert [job.progress for job in jobs] == [0.4, 0, 0, 0, 0]
    assert [line.queue.ahead_of(job) for job in jobs] == [0, 1, 2, 3, 4]
    line.gate.set()
    await line.queue.settled()
    assert {job.state for job in jobs} == {JobState.DONE}
    assert {job.progress for job in jobs} == {1.0}
    assert line.most == 1
    assert line.queue.get(jobs[0].id) is jobs[0]
    assert jobs[0].result is RESULT


@pytest.mark.parametrize(
    ("error", "said"), [(FitFailed("killed after 9 s"), "killed after 9 s"), (KeyError("x"), "KeyError")]
)
async def test_one_that_fails_says_so_and_the_next_has_its_turn(error: Exception, said: str) -> None:
    line = Line()
    line.gate.set()

    async def fails() -> Replayed:
        raise error

    bad = line.queue.ask(SHOP, {}, work=fails)
    good = line.ask()
    await line.queue.settled()
    assert bad.state is JobState.FAILED
    assert said in (bad.error or "")
    assert good.state is JobState.DONE


async def test_results_are_kept_for_an_hour_and_of_too_many_the_newest() -> None:
    line = Line()
    line.gate.set()
    jobs = []
    for _ in range(whatif.KEPT + 3):
        jobs.append(line.ask())
        await line.queue.settled()
    line.clock.advance(whatif.KEPT_S - 1)
    known = [line.queue.get(job.id) is not None for job in jobs]
    assert known == [False] * 3 + [True] * whatif.KEPT
    line.clock.advance(2)
    assert not any(line.queue.get(job.id) for job in jobs)


async def test_a_stop_ends_what_is_under_way() -> None:
    line = Line()
    line.ask()
    await asyncio.sleep(0)
    await line.queue.stop()
    assert line.running == 1  # it was cut off
