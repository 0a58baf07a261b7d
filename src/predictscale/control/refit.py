"""Fits in worker processes, each with a deadline, so that nothing a model does reaches the RPC path.

Quick and slow fits have lanes of their own: a quick one never waits behind a slow
one, however long that hangs. Every slow forecaster is a job of its own; a
worker that hangs, is killed or runs out of memory costs that job alone, and the
next model of the chain is tried. Refuses threads, and process pools that one dead
worker breaks.

A worker imports the parent's main module again, as spawned processes do: what stands at
the top of a main module must be cheap and without effects.
"""

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

import anyio
from anyio import BrokenWorkerProcess, CapacityLimiter, to_process

from predictscale.clock import SystemClock
from predictscale.core.series import MetricWindow
from predictscale.errors import FitFailed, NotEnoughHistory, TryNextForecaster
from predictscale.forecasters.base import Fitted, Forecaster
from predictscale.forecasters.chain import Attempt, ChainResult, assemble, following, quick_ones
from predictscale.forecasters.registry import FORECASTERS, Context, resolve
from predictscale.forecasters.worker import Errand, Job, run, work
from predictscale.meters import Meters

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_NOBODYS = Context()
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "STAN_NUM_THREADS")


@dataclass(frozen=True, slots=True, eq=False)
class _Lane:
    """Jobs of one kind: how many at once, and for how long each."""

    limiter: CapacityLimiter
    deadline_s: float


class FitPool:
    """Worker processes that fit chains of forecasters.

    Args:
        meters: Where durations and failures are counted.
        workers: Slow fits at once; quick ones have one more process.
        deadline_s: A slow fit is killed after this [s].
        quick_deadline_s: All quick fits of one chain together are killed after this [s].
        grace_s: Time on top of a deadline to start a worker, and for one that does not
            obey its own timer [s].
        memory_bytes: What the data of one worker may grow to.
        known: The forecasters by name.
    """

    def __init__(
        self,
        *,
        meters: Meters,
        workers: int = 1,
        deadline_s: float = 120.0,
        quick_deadline_s: float = 20.0,
        grace_s: float = 10.0,
        memory_bytes: int = 2 << 30,
        known: Mapping[str, Forecaster] = FORECASTERS,
    ) -> None:
        self._meters = meters
        self._known = known
        self._timer = SystemClock()
        self._slow = _Lane(CapacityLimiter(workers), deadline_s)
        self._quick = _Lane(CapacityLimiter(1), quick_deadline_s)
        self._all = CapacityLimiter(workers + 1)
        self._grace_s = grace_s
        self._memory_bytes = memory_bytes
        self._scratch = tempfile.mkdtemp(prefix="predictscale-fit-")
        weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        # Read when a worker loads its linear algebra, which is before any code of ours runs there.
        for name in _ONE_THREAD:
            os.environ.setdefault(name, "1")

    async def fit(
        self,
        names: Sequence[str],
        window: MetricWindow,
        *,
        quick_only: bool = False,
        context: Context = _NOBODYS,
        previous: Fitted | None = None,
    ) -> ChainResult:
        """Fit a chain: the champion is the first that succeeds, the quick ones behind it stand in.

        Args:
            names: The chain, as settings name it.
            window: The history.
            quick_only: Leave the slow ones out, for an answer at once.
            context: What the forecasters are told of the workload.
            previous: What the fit before left behind, which a tournament learns from.

        Raises:
            SettingsError: A name is unknown.
            TryNextForecaster: No forecaster of the chain can serve this window.
        """
        forecasters = following(resolve(names, known=self._known, context=context), previous)
        if quick_only:
            forecasters = quick_ones(forecasters)
        attempts: list[Attempt] = []
        for job in _jobs(forecasters):
            if job[0].slow and any(tried.fitted for tried in attempts):
                continue
            attempts += await self._attempt(job, window)
        return assemble(attempts, window)

    async def run(self, function: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        """What a function of a module gives, computed in a worker; it waits for its turn among slow fits.

        Raises:
            TryNextForecaster: The function did; or its worker died, was killed at the deadline, or
                could not answer.
        """
        async with self._slow.limiter:
            errand = Errand(function=function, args=args, **self._limits(self._slow.deadline_s))
            try:
                # The worker kills itself at the deadline; this is for one that cannot.
                with anyio.fail_after(self._slow.deadline_s + self._grace_s):
                    done: _T = await to_process.run_sync(run, errand, cancellable=True, limiter=self._all)
            except TryNextForecaster:
                raise
            except (TimeoutError, BrokenWorkerProcess) as died:
                self._sweep()
                deadline_s = self._slow.deadline_s
                raise FitFailed(f"its worker died, or was killed after {deadline_s:g} s") from died
            except Exception as error:
                raise FitFailed(f"no answer from the worker: {type(error).__name__}: {error}") from error
            return done

    async def _attempt(self, forecasters: Sequence[Forecaster], window: MetricWindow) -> list[Attempt]:
        """Try forecasters that share a job; those that lack history need no worker to say so."""
        attempts = {f.name: _too_short(f, window) for f in forecasters}
        able = [f for f in forecasters if attempts[f.name] is None]
        if able:
            attempts |= {tried.name: tried for tried in await self._run(able, window)}
        done = [attempts[f.name] for f in forecasters]
        ended = [tried for tried in done if tried is not None]
        for tried in ended:
            if tried.error is not None:
                self._meters.fit_errors.labels(tried.name, type(tried.error).__name__).inc()
        return ended

    async def _run(self, forecasters: Sequence[Forecaster], window: MetricWindow) -> list[Attempt]:
        """One job in one worker; its end, whatever it is, is an attempt for each forecaster."""
        lane = self._slow if forecasters[0].slow else self._quick
        async with lane.limiter:
            start_s = self._timer.monotonic_s()
            try:
                attempts = await self._ask(forecasters, window, lane.deadline_s)
            except (TimeoutError, BrokenWorkerProcess):
                took_s = self._timer.monotonic_s() - start_s
                late = took_s >= lane.deadline_s
                why = f"not done after {lane.deadline_s:g} s, killed" if late else "its worker process died"
                self._sweep()
            except Exception as error:  # noqa: BLE001 - what cannot travel between processes is one job's fault
                took_s = self._timer.monotonic_s() - start_s
                why = f"no answer from the worker: {type(error).__name__}: {error}"
            else:
                for tried in attempts:
                    self._meters.fit_seconds.labels(tried.name).observe(tried.took_s)
                return attempts
        for forecaster in forecasters:
            self._meters.fit_seconds.labels(forecaster.name).observe(took_s)
        return [Attempt(f.name, took_s, error=FitFailed(why)) for f in forecasters]

    async def _ask(
        self, forecasters: Sequence[Forecaster], window: MetricWindow, deadline_s: float
    ) -> list[Attempt]:
        job = Job(forecasters=tuple(forecasters), window=window, **self._limits(deadline_s))
        # The worker kills itself at the deadline; this is for one that cannot.
        with anyio.fail_after(deadline_s + self._grace_s):
            return await to_process.run_sync(work, job, cancellable=True, limiter=self._all)

    def _limits(self, deadline_s: float) -> dict[str, Any]:
        """What a worker may take."""
        return {
            "deadline_s": deadline_s,
            "memory_bytes": self._memory_bytes,
            "scratch": self._scratch,
            "parent": os.getpid(),
        }

    def _sweep(self) -> None:
        """Remove the temporary files of workers that are gone."""
        for folder in Path(self._scratch).iterdir():
            if not _alive(int(folder.name)):
                shutil.rmtree(folder, ignore_errors=True)


def _jobs(forecasters: Sequence[Forecaster]) -> list[list[Forecaster]]:
    """Neighbours that are quick share a job; every slow one is alone in its own."""
    runs = groupby(enumerate(forecasters), key=lambda item: item[0] if item[1].slow else -1)
    return [[forecaster for _, forecaster in run] for _, run in runs]


def _too_short(forecaster: Forecaster, window: MetricWindow) -> Attempt | None:
    need_s = forecaster.needs_s(window.step_s)
    if window.known_s >= need_s:
        return None
    return Attempt(forecaster.name, 0.0, error=NotEnoughHistory(need_s=need_s, have_s=window.known_s))


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
