"""Reads and examines all workloads of an audit, two at once, and keeps what is done whatever happens.

Each workload is examined in a worker process of its own, so that one that fails, or takes the process down
with it, is told of and nothing else ends. Refuses to hide a failure: it is in the answer with its reason.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from anyio import BrokenWorkerProcess, CancelScope, CapacityLimiter, create_task_group, to_process
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from predictscale.bootstrap.sources import Sources
from predictscale.cli.auditjob import Asked, Job, begin, trace_name, work
from predictscale.cli.auditread import Reading, Subject, read, subjects
from predictscale.cli.told import instant
from predictscale.clock import Clock
from predictscale.config.settings import ServiceSettings
from predictscale.core.series import MetricWindow
from predictscale.errors import AskOwner, PredictscaleError

WORKERS: Final = 2


@dataclass(slots=True)
class Found:
    """What an audit has found so far.

    Args:
        workloads: One answer each, in the order in which they were done.
        failed: Those that could not be told of: name and reason.
        left_out: What was seen and is no workload.
        unfinished: Names of those that were not done when it ended.
    """

    workloads: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    unfinished: list[str] = field(default_factory=list)


Chosen = Callable[[list[Subject]], list[Subject]]


async def run(
    found: Found,
    service: ServiceSettings,
    namespaces: tuple[str, ...],
    reading: Reading,
    asked: Asked,
    *,
    clock: Clock,
    sources: Sources,
    chosen: Chosen,
    traces: Path | None,
) -> None:
    """Fill `found`, which holds what is done when this ends, however it ends.

    Raises:
        AskOwner: There is nothing to look at, or the settings are wrong.
        HoldTarget: Prometheus could not tell what it holds.
    """
    try:
        all_there, found.left_out = await subjects(
            service, sources, namespaces, at=reading.at, step_s=reading.step_s
        )
        there = chosen(all_there)
        found.unfinished = [str(each.workload) for each in there]
        with _progress(len(there)) as started:
            crew = _Crew(found, service, reading, asked, clock=clock, traces=traces, started=started)
            await crew.begin(min(WORKERS, len(there)))
            async with create_task_group() as tasks:
                for each in there:
                    tasks.start_soon(crew.take, each)
    finally:
        await sources.aclose()


class _Crew:
    """Those who work, at most `WORKERS` at once."""

    def __init__(
        self,
        found: Found,
        service: ServiceSettings,
        reading: Reading,
        asked: Asked,
        *,
        clock: Clock,
        traces: Path | None,
        started: Callable[[str], Callable[[str], None]],
    ) -> None:
        self._found, self._presets = found, service.presets()
        self._reading, self._asked, self._clock = reading, asked, clock
        self._traces, self._started = traces, started
        self._turn = asyncio.Semaphore(WORKERS)
        self._limiter = CapacityLimiter(WORKERS)

    async def begin(self, workers: int) -> None:
        """Start the workers, which an interruption neither reaches nor leaves half started."""
        ends = {signal.SIGINT, signal.SIGTERM}
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # a new process has its parent's
        try:
            with CancelScope(shield=True):
                async with create_task_group() as tasks:
                    for _ in range(workers):
                        tasks.start_soon(self._started_one)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    async def _started_one(self) -> None:
        # One that cannot start is told of by the workload that wants it.
        with suppress(BrokenWorkerProcess, OSError):
            await to_process.run_sync(begin, limiter=self._limiter)

    async def take(self, subject: Subject) -> None:
        """One workload from its reading to its answer."""
        name = str(subject.workload)
        async with self._turn:
            says = self._started(name)
            try:
                job = await read(
                    subject, self._reading, self._asked, presets=self._presets, clock=self._clock
                )
                if self._traces is not None:
                    write_trace(self._traces / trace_name(name), job.demand)
                says("replayed")
                self._found.workloads.append(await self._examined(job))
            except PredictscaleError as wrong:
                self._failed(name, str(wrong))
            except BrokenWorkerProcess:
                self._failed(name, "its worker process died")
            except Exception as wrong:  # noqa: BLE001 - one workload must not end the others
                self._failed(name, f"{type(wrong).__name__}: {wrong}")
            self._found.unfinished.remove(name)
            says("")

    async def _examined(self, job: Job) -> dict[str, Any]:
        done: dict[str, Any] = await to_process.run_sync(work, job, cancellable=True, limiter=self._limiter)
        return done

    def _failed(self, name: str, because: str) -> None:
        self._found.failed.append({"workload": name, "because": because})


def only(name: str) -> Chosen:
    """The one of this name.

    Raises:
        AskOwner: It is not there; from what this returns.
    """

    def choose(there: list[Subject]) -> list[Subject]:
        mine = [each for each in there if str(each.workload) == name]
        if not mine:
            names = ", ".join(str(each.workload) for each in there) or "none"
            raise AskOwner(f"{name}: is not there; found in its namespace: {names}")
        return mine

    return choose


def write_trace(file: Path, window: MetricWindow) -> None:
    """A history as `backtest --trace` reads it, to the last digit."""
    with file.open("w", encoding="utf-8", newline="") as out:
        out.write("timestamp,value\n")
        for stamp, value, known in zip(_stamps(window), window.values.tolist(), window.known, strict=True):
            out.write(f"{stamp},{value!r}\n" if known else f"{stamp},\n")


def _stamps(window: MetricWindow) -> Iterator[str]:
    return (instant(datetime.fromtimestamp(at, UTC)) for at in window.stamps_s.tolist())


@contextmanager
def _progress(total: int) -> Iterator[Callable[[str], Callable[[str], None]]]:
    """Bars on standard error, where somebody looks at it: one for all, one for each under way."""
    console = Console(stderr=True)
    # What a cluster calls its workloads is text, whatever brackets are in it.
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        whole = bars.add_task("workloads", total=total)

        def started(name: str) -> Callable[[str], None]:
            bar = bars.add_task(f"{name}: read", total=None)

            def says(what: str) -> None:
                if what:
                    bars.update(bar, description=f"{name}: {what}")
                    return
                bars.remove_task(bar)
                bars.advance(whole)

            return says

        yield started
