"""A workload whose backend is still to be found: looks for it, then is followed as if it had been named.

Until one backend fits nothing is known of the workload's demand, and its decisions say so. A backend
that was found stays while its series are there, and while nobody's are: what scales to zero or
is down tells nothing. It gives way only to the one other backend that fits once its own are gone.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from predictscale.config.auto import Choice, Undecided
from predictscale.config.settings import WorkloadSettings
from predictscale.control.fitting import Fitting
from predictscale.control.reading import Readable, Reading
from predictscale.control.step import StepMemory, step
from predictscale.control.strand import Refittable
from predictscale.core.demand import Observation, WorkloadId
from predictscale.core.plan import Decision
from predictscale.core.series import floor_to_grid
from predictscale.errors import HoldTarget

_log = structlog.get_logger(__name__)

LOOK_S = 60.0
"""While nothing is found, time between two looks [s]."""
LOOK_AGAIN_S = 600.0
"""Afterwards [s]."""


class Find(Protocol):
    """Looks for the backend of a workload."""

    async def __call__(self, settings: WorkloadSettings, *, at: datetime) -> Choice | Undecided:
        """What fits at `at`.

        Raises:
            HoldTarget: It cannot be known now.
        """
        ...


class Inner(Protocol):
    """Who follows the workload once its backend is known: `control.tracker.Tracker`."""

    async def tick(self, at: datetime) -> Decision:
        """Decide for the grid instant `at`."""
        ...

    async def stop(self) -> None:
        """End what may be under way in the background."""
        ...


def with_backend(settings: WorkloadSettings, found: Choice) -> WorkloadSettings:
    """The settings as if the owner had named what was found."""
    preset = found.preset
    return replace(settings, backend=preset.name, asks=preset.digest(), selector=found.selector)


class DetectingTracker:
    """Follows one workload with `backend: auto`.

    Args:
        settings: What its owner wants.
        find: Looks for its backend.
        follow: Makes the tracker of the workload with the backend in its settings.
    """

    def __init__(
        self, settings: WorkloadSettings, *, find: Find, follow: Callable[[WorkloadSettings], Inner]
    ) -> None:
        self.settings = settings
        self._find = find
        self._follow = follow
        self._choice: Choice | None = None
        self._inner: Inner | None = None
        self._relieved: list[Inner] = []
        self._memory = StepMemory()
        self._notes: tuple[str, ...] = ()
        self._due: datetime | None = None

    @property
    def workload(self) -> WorkloadId:
        """Whose path this is."""
        return self.settings.workload

    @property
    def inner(self) -> Inner | None:
        """Who follows the workload; None until its backend is found."""
        return self._inner

    def fitting(self, at: datetime) -> Fitting | None:
        """The models of whoever follows the workload; None until its backend is found."""
        inner: object = self._inner
        return inner.fitting(at) if isinstance(inner, Readable) else None

    def reading(self) -> Reading | None:
        """The data of whoever follows the workload; None until its backend is found."""
        inner: object = self._inner
        return inner.reading() if isinstance(inner, Readable) else None

    def refit_now(self) -> str | None:
        """Have the models of whoever follows the workload fitted; see `Strand.refit_now`."""
        inner: object = self._inner
        return inner.refit_now() if isinstance(inner, Refittable) else "its backend is not found yet"

    async def tick(self, at: datetime) -> Decision:
        """Decide for the grid instant `at`, with what can be known by then."""
        if self._inner is None:
            await self._look(at)
        if self._inner is None:
            return self._undecided(at)
        # A look that hangs holds up no decision for longer than the other questions do.
        decision, _ = await asyncio.gather(self._inner.tick(at), self._look(at))
        await self._dismiss()
        return replace(decision, notes=(*self._notes, *decision.notes))

    async def stop(self) -> None:
        """End what may be under way in the background."""
        await self._dismiss()
        if self._inner is not None:
            await self._inner.stop()

    async def _dismiss(self) -> None:
        """Stop who was relieved. Not before its tick has ended: until then it may still start a fit."""
        while self._relieved:
            await self._relieved.pop().stop()

    async def _look(self, at: datetime) -> None:
        """Look for the backend, if it is time."""
        if self._due is not None and at < self._due:
            return
        try:
            found = await self._find(self.settings, at=at)
        except HoldTarget as missing:
            self._note(at, f"the backend could not be looked for: {missing}")
            return
        if isinstance(found, Undecided):
            self._note(at, f"no backend is chosen: {found.because}")
        elif self._choice is None:
            self._take(at, found)
        elif found.agrees(self._choice):
            self._say(at, self._choice)
        elif found.succeeds(self._choice):
            self._take(at, found)
        else:
            self._note(at, f"only {found.preset.name} is seen: {found.because}")

    def _take(self, at: datetime, found: Choice) -> None:
        """Follow the workload with this backend from now on, in place of the one before."""
        if self._inner is not None:
            self._relieved.append(self._inner)
        self._choice = found
        self._inner = self._follow(with_backend(self.settings, found))
        self._say(at, found)
        _log.info(
            "backend detected",
            workload=str(self.workload),
            backend=found.preset.name,
            selector=found.selector,
            because=found.because,
        )

    def _say(self, at: datetime, found: Choice) -> None:
        self._due = floor_to_grid(at, LOOK_AGAIN_S) + timedelta(seconds=LOOK_AGAIN_S)
        self._notes = (f"backend {found.preset.name} was detected: {found.because}",)

    def _note(self, at: datetime, why: str) -> None:
        """Nothing can be chosen now; what was chosen stays."""
        every_s = LOOK_S if self._choice is None else LOOK_AGAIN_S
        self._due = floor_to_grid(at, every_s) + timedelta(seconds=every_s)
        if self._choice is not None:
            why = f"backend {self._choice.preset.name} stays, which was detected before: {why}"
        if self._notes != (why,):
            _log.warning("backend not detected", workload=str(self.workload), because=why)
        self._notes = (why,)

    def _undecided(self, at: datetime) -> Decision:
        """A decision that knows nothing of demand: the stages hold, and say that they do."""
        decision, self._memory = step(
            self.workload,
            Observation(now=at, demand=None, demand_at=None),
            None,
            self.settings.policy(),
            self._memory,
            unit=self.settings.unit,
            notes=self._notes,
        )
        return decision
