"""Where the records that promotions are judged by meet the cache, and whoever asks for a verdict.

Each workload's record is looked for on the shelf when it is first decided for, and put back by the hour and
at the end. Refuses to note anything before the shelf was looked at: a record is not written over.
"""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from predictscale.bootstrap.money import counted
from predictscale.config.settings import WorkloadSettings
from predictscale.control.counterfactual import WAIT_S
from predictscale.control.errand import Errand
from predictscale.control.metershelf import MeterShelf
from predictscale.control.shadow import HOUR_S, ShadowMeter
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.core.series import floor_to_grid
from predictscale.sources.history import History


@dataclass(slots=True, eq=False)
class _Record:
    settings: WorkloadSettings
    key: str
    meter: ShadowMeter
    awake: bool = False
    noted: datetime | None = None
    put_at: datetime | None = None
    work: Errand = field(default_factory=Errand)

    def is_of_the_future(self, now: datetime) -> bool:
        """Whether it tells of a time that is still to come, by more than a clock is corrected by."""
        return self.noted is not None and (self.noted - now).total_seconds() > HOUR_S


class ShadowBook:
    """The records of all workloads.

    Args:
        history: Where they lie between restarts.
        tick_s: Between decisions [s].
        settings_of: The settings of a workload that is followed; None of another.
        persisted: Whether they outlive the process.
    """

    def __init__(
        self,
        history: History,
        *,
        tick_s: float,
        settings_of: Callable[[WorkloadId], WorkloadSettings | None],
        persisted: bool,
    ) -> None:
        self.persisted = persisted
        self._shelf, self._tick_s, self._settings_of = MeterShelf(history), tick_s, settings_of
        self._records: dict[WorkloadId, _Record] = {}

    def meter(self, workload: WorkloadId) -> ShadowMeter | None:
        """The record of a workload; None before it was looked for on the shelf."""
        record = self._records.get(workload)
        return record.meter if record is not None and record.awake else None

    def note(self, decision: Decision) -> None:
        """Take down a decision that was published."""
        workload = decision.workload
        settings = self._settings_of(workload)
        if settings is None:
            return
        record = self._records.get(workload)
        if record is not None and record.is_of_the_future(decision.seen.now):
            # The clock was ahead, and was set back.
            record = None
        if record is None or record.settings is not settings:
            record = self._records[workload] = self._opened(settings, record)
        if not record.awake:
            if not record.work.busy:
                record.work.start(self._wake(record, decision.seen.now))
            return
        record.meter.note(decision)
        record.noted = decision.seen.now
        hour = floor_to_grid(decision.seen.now - _shift(workload), HOUR_S)
        if record.put_at is None:
            record.put_at = hour
        elif record.put_at != hour and not record.work.busy:
            record.put_at = hour
            record.work.start(self._shelf.put(record.key, record.meter, at=decision.seen.now))

    def forget(self) -> None:
        """Drop the records of workloads that nobody follows any more; they stay on the shelf as they were."""
        for workload in [each for each in self._records if self._settings_of(each) is None]:
            del self._records[workload]

    async def stop(self) -> None:
        """Put all records on the shelf."""
        await asyncio.gather(*(record.work.settled() for record in self._records.values()))
        for record in self._records.values():
            if record.noted is not None:
                await self._shelf.put(record.key, record.meter, at=record.noted)

    def _opened(self, settings: WorkloadSettings, before: _Record | None) -> _Record:
        """The record under the settings' key: the one that is kept already, or one to be looked for."""
        wait_s = WAIT_S if settings.slo is None else settings.slo.wait_s
        key = f"{settings.workload}#{counted(settings)}#{wait_s:g}#shadow"
        if before is not None and before.key == key:
            before.settings = settings
            return before
        return _Record(settings=settings, key=key, meter=ShadowMeter(tick_s=self._tick_s, wait_s=wait_s))

    async def _wake(self, record: _Record, at: datetime) -> None:
        await self._shelf.restore(record.key, record.meter, now=at)
        record.awake = True


def _shift(workload: WorkloadId) -> timedelta:
    """A thousand workloads do not put their records away in the same second."""
    digest = hashlib.sha256(f"record of {workload}".encode()).digest()
    return timedelta(seconds=int.from_bytes(digest[:2]) % HOUR_S)
