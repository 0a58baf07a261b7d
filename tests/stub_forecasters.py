"""Forecasters that behave badly on demand. They live here, and not in a test, because workers import them."""

import json
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, cast

import numpy as np

from predictscale.core.calendar import Calendar
from predictscale.core.forecast import Forecast
from predictscale.core.series import MetricWindow
from predictscale.errors import FitFailed, TryNextForecaster
from predictscale.forecasters.base import LEVELS, Fitted, Forecaster
from predictscale.forecasters.naive import LastValue


@dataclass(frozen=True, slots=True)
class Says:
    """A fit that forecasts one value for ever, or raises what it is told to."""

    model: str
    value: float = 1.0
    error: TryNextForecaster | None = None

    def predict(self, recent: MetricWindow, *, steps: int, levels: Sequence[float] = LEVELS) -> Forecast:
        if self.error is not None:
            raise self.error
        values = np.full((len(levels), steps), self.value)
        return Forecast(recent.end, recent.step_s, tuple(levels), values, self.model)


@dataclass(frozen=True, slots=True)
class _Scripted:
    """Fits to what the test gives it; its name is an instance's, unlike that of any real one."""

    name: str
    outcome: Fitted | Exception
    slow: bool

    def needs_s(self, step_s: float) -> float:
        return step_s

    def fit(self, window: MetricWindow) -> Fitted:
        del window
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


def scripted(name: str, outcome: Fitted | Exception, *, slow: bool = False) -> Forecaster:
    """A forecaster whose fit ends as the test wants it."""
    return cast("Forecaster", _Scripted(name, outcome, slow))


@dataclass(frozen=True, slots=True)
class Hangs:
    """Never ends by itself; tells its process id first, before any deadline."""

    name: ClassVar[str] = "hangs"
    slow: ClassVar[bool] = True

    pid_file: str
    deaf: bool = False

    def needs_s(self, step_s: float) -> float:
        return step_s

    def fit(self, window: MetricWindow) -> Fitted:
        del window
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        whole = Path(f"{self.pid_file}.new")
        whole.write_text(str(os.getpid()))
        whole.rename(self.pid_file)
        if not self.deaf:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        while True:
            time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class HangsInAHurry(Hangs):
    """The same of one that is quick."""

    name: ClassVar[str] = "hangs-in-a-hurry"
    slow: ClassVar[bool] = False


@dataclass(frozen=True, slots=True)
class StartsAChild:
    """Hangs in a process of its own, as Prophet's optimiser could; that tells its id before any deadline."""

    name: ClassVar[str] = "starts-a-child"
    slow: ClassVar[bool] = True

    pid_file: str

    def needs_s(self, step_s: float) -> float:
        return step_s

    def fit(self, window: MetricWindow) -> Fitted:
        import subprocess

        del window
        script = 'echo $$ > "$0.new"; mv "$0.new" "$0"; while :; do sleep 0.05; done'
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        with subprocess.Popen(["/bin/sh", "-c", script, self.pid_file]):
            while not Path(self.pid_file).exists():
                time.sleep(0.01)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        raise AssertionError("the child never ends")


@dataclass(frozen=True, slots=True)
class Computes:
    """Busy until it has been so for `seconds` of processor time, then the last value."""

    name: ClassVar[str] = "computes"
    slow: ClassVar[bool] = True

    seconds: float

    def needs_s(self, step_s: float) -> float:
        return step_s

    def fit(self, window: MetricWindow) -> Fitted:
        until = time.process_time() + self.seconds
        while time.process_time() < until:
            pass
        return LastValue().fit(window)


@dataclass(frozen=True, slots=True)
class Hungry:
    """Wants more memory than any worker is allowed."""

    name: ClassVar[str] = "hungry"
    slow: ClassVar[bool] = True

    def needs_s(self, step_s: float) -> float:
        return step_s

    def fit(self, window: MetricWindow) -> Fitted:
        del window
        taken = [np.ones(1 << 24) for _ in range(1 << 10)]
        raise AssertionError(f"{len(taken)} blocks fitted in")


@dataclass(frozen=True, slots=True)
class Tells:
    """Fails with a description of the process it runs in."""

    name: ClassVar[str] = "tells"
    slow: ClassVar[bool] = True

    def needs_s(self, step_s: float) -> float:
        return step_s

    def fit(self, window: MetricWindow) -> Fitted:
        del window
        facts = {
            "pid": os.getpid(),
            "nice": os.nice(0),
            "group": os.getpgrp(),
            "blas": os.environ.get("OPENBLAS_NUM_THREADS"),
            "temp": tempfile.gettempdir(),
        }
        raise FitFailed(json.dumps(facts))


@dataclass(frozen=True, slots=True)
class Told:
    """Fails with what it was told of its workload and of the fit before."""

    name: ClassVar[str] = "told"
    slow: ClassVar[bool] = False

    calendar: Calendar = Calendar()
    before: str = "nothing"

    def needs_s(self, step_s: float) -> float:
        return step_s

    def after(self, previous: Fitted) -> "Told":
        return replace(self, before=previous.model)

    def fit(self, window: MetricWindow) -> Fitted:
        del window
        raise FitFailed(f"{self.calendar.zone} after {self.before}")
