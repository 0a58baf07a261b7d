"""What a process and those it started use, read from /proc.

A worker that ended is not forgotten: the kernel adds its time to that of the parent which waited for it.
Refuses to guess: without /proc there are no numbers.
"""

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_HZ = os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cpu:
    """Processor time used so far [s].

    Args:
        own_s: By the process itself.
        workers_s: By all that it started, those that have ended among them.
    """

    own_s: float
    workers_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Resident memory [MiB]; pages that processes share count in each.

    Args:
        own: Of the process itself.
        workers: Of all that it started, together.
    """

    own: float
    workers: float


def children(pid: int) -> list[int]:
    """All living processes that a process started, and those that they did."""
    started = [int(child) for task in _tasks(pid) for child in _read(task / "children").split()]
    return [each for child in started for each in (child, *children(child))]


def cpu(pid: int) -> Cpu:
    """Processor time of a living process and of its workers."""
    user, system, ended_user, ended_system = _times(pid)
    workers = sum(sum(_times(child)) for child in children(pid))
    return Cpu(own_s=(user + system) / _HZ, workers_s=(ended_user + ended_system + workers) / _HZ)


def memory(pid: int) -> Memory:
    """Resident memory of a living process and of its workers, now."""
    return Memory(own=_resident(pid), workers=sum(_resident(child) for child in children(pid)))


def machine_busy_s() -> float:
    """Processor time that anybody used on this machine since it started, over all cores [s]."""
    user, nice, system, _, _, irq, soft, *_ = (int(each) for each in _read(_PROC / "stat").split()[1:9])
    return (user + nice + system + irq + soft) / _HZ


class Peak:
    """Looks at a process' memory every so often, between `with`; what rises and falls in between is missed.

    Args:
        pid: The process.
        every_s: Between two looks [s].
    """

    def __init__(self, pid: int, *, every_s: float = 1.0) -> None:
        self._pid, self._every_s = pid, every_s
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.own = self.workers = self.together = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(self._every_s):
            now = memory(self._pid)
            self.own, self.workers = max(self.own, now.own), max(self.workers, now.workers)
            self.together = max(self.together, now.own + now.workers)


def _tasks(pid: int) -> list[Path]:
    try:
        return list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def _stat(pid: int) -> list[str]:
    """The fields after the name; none of a process that is gone."""
    return _read(_PROC / str(pid) / "stat").rpartition(")")[2].split()


def _times(pid: int) -> tuple[int, int, int, int]:
    """Ticks of a process, as itself and in the kernel, and of those of its children that have ended."""
    fields = _stat(pid)
    if not fields:
        return 0, 0, 0, 0
    user, system, ended_user, ended_system = (int(each) for each in fields[11:15])
    return user, system, ended_user, ended_system


def _resident(pid: int) -> float:
    fields = _stat(pid)
    return int(fields[21]) * _PAGE_MIB if fields else 0.0


def _read(path: Path) -> str:
    """A file of /proc, empty if its process is gone."""
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
