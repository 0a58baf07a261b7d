"""The inside of a worker process: fits run here, beside the service and never in it.

A worker makes itself a good neighbour before its first fit: low priority, one thread, a
limit on memory, a process group of its own. It dies with its parent, and at the
deadline of a fit together with what a library has started. Refuses to outlive
either. Must only be called in a process that exists for this.
"""

import ctypes
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from predictscale.core.series import MetricWindow
from predictscale.forecasters.base import Forecaster
from predictscale.forecasters.chain import Attempt, attempt

_PR_SET_PDEATHSIG = 1
_NICENESS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a worker may take.

    Args:
        deadline_s: After this the worker kills itself [s].
        memory_bytes: Beyond this an allocation fails, and with it the fit.
        scratch: A folder for the temporary files of all workers of a pool.
        parent: The process that asks.
    """

    deadline_s: float
    memory_bytes: int
    scratch: str
    parent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Limits):
    """Fits that a worker is asked for.

    Args:
        forecasters: Fitted one after another.
        window: The history.
    """

    forecasters: Sequence[Forecaster]
    window: MetricWindow


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand(Limits):
    """Any other work: a function of a module, and what it is called with.

    Args:
        function: What is called.
        args: With what.
    """

    function: Callable[..., Any]
    args: tuple[Any, ...]


def work(job: Job) -> list[Attempt]:
    """Fit all forecasters of a job. Never raises for a model's sake; dies at the deadline."""
    with _within(job):
        return [attempt(forecaster, job.window) for forecaster in job.forecasters]


def run(errand: Errand) -> Any:
    """What the errand's function gives, or raises; dies at the deadline."""
    with _within(errand):
        return errand.function(*errand.args)


@contextmanager
def _within(job: Limits) -> Iterator[None]:
    """The limits of one job, in a worker that has settled."""
    if os.getpgrp() != os.getpid():
        _settle(job)
    resource.setrlimit(resource.RLIMIT_DATA, (job.memory_bytes, _hard(resource.RLIMIT_DATA)))
    # Children inherit this limit and count from zero: should an optimiser outlive its worker, it ends too.
    used_s = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    cpu_s = int(used_s + job.deadline_s) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, _hard(resource.RLIMIT_CPU)))
    signal.setitimer(signal.ITIMER_REAL, job.deadline_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _settle(job: Limits) -> None:
    """What a worker does once, before its first fit."""
    os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != job.parent:
        os._exit(1)  # it died before it could be watched
    os.nice(_NICENESS)
    # Nobody reads the pipe that stderr leads to; a talkative library would block on it.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGALRM, lambda *_: os.kill(0, signal.SIGKILL))
    own = Path(job.scratch) / str(os.getpid())
    own.mkdir(exist_ok=True)
    tempfile.tempdir = str(own)


def _hard(limit: int) -> int:
    return resource.getrlimit(limit)[1]
