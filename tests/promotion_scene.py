"""Workloads with days of a made-up record, behind the real REST routes, for tests of the gate's readers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI

from closed_desk import closed_desk
from past_scenes import decided
from predictscale.clock import ManualClock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.auditlog import AuditLog
from predictscale.control.fitting import Fitting
from predictscale.control.overrides import OverrideBook
from predictscale.control.reading import Reading
from predictscale.control.shadow import ShadowMeter
from predictscale.control.store import DecisionStore
from predictscale.control.whatif import Job, Replayed, Told, WhatIfQueue
from predictscale.core.demand import WorkloadId
from predictscale.core.outcome import SCORED_LEVELS, Outcome
from predictscale.core.plan import Decision, Mode
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import AnswerUnavailable
from predictscale.serving.overrides import OverrideDesk
from predictscale.serving.promotion import PromotionDesk
from predictscale.serving.rest import create_app
from predictscale.serving.tokens import WriteTokens
from predictscale.serving.whatif import WhatIfDesk
from predictscale.serving.writing import Writing
from worlds import NOON, at, flat_forecast, policy

TOKEN = "a-token-of-the-gate-0123456789"  # noqa: S105 - good in this scene alone
TICK_S = 900.0

_OBEYED = replace(policy(lead_time_s=900, level=0.9), fresh_s=900.0, stale_after_s=1800.0)
_HONEST = Outcome(
    lead_s=900, levels=SCORED_LEVELS, coverage=SCORED_LEVELS, pinball=(1.0,) * len(SCORED_LEVELS), scored=1440
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One workload's days.

    Args:
        days: How many.
        mode: In which mode.
        demand: What came, always; ten of it are a replica's.
        replicas: What was held.
    """

    days: float = 3.1
    mode: Mode = Mode.SHADOW
    demand: float = 25.0
    replicas: int = 4


@dataclass(eq=False)
class Gate:
    """The scene.

    Args:
        tokens: The file with its token.
        late: Share of demand that replays find late; None if nothing can be replayed.
    """

    tokens: Path
    late: float | None = 0.001
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOON + timedelta(days=5)))
    store: DecisionStore = field(default_factory=DecisionStore)
    book: OverrideBook = field(default_factory=OverrideBook)

    def __post_init__(self) -> None:
        self.tokens.write_text(f"ann {TOKEN}\n")
        self._meters: dict[WorkloadId, ShadowMeter] = {}
        self.queue = WhatIfQueue(clock=self.clock)

    def add(self, name: str, trial: Trial, *, namespace: str = "prod") -> WorkloadId:
        """A workload with a record."""
        workload = WorkloadId(namespace, name)
        kept, newest = _lived(trial)
        meter = self._meters[workload] = ShadowMeter(tick_s=TICK_S)
        meter.restore(kept)
        self.store.put(replace(newest, workload=workload))
        return workload

    def ask(self, settings: WorkloadSettings, fields: Mapping[str, Any]) -> Job:
        """Replays end at once."""
        late = self.late
        if late is None:
            raise AnswerUnavailable(f"{settings.workload} has 0.5 days of history")

        async def replayed() -> Replayed:
            told = Told(
                policy="predictscale",
                violation=late,
                replica_hours=200.0,
                cost_to_clairvoyant=1.0,
                cost_to_static=1.0,
                scale_events=0,
            )
            return Replayed(
                start=NOON, until=NOON + timedelta(days=3), as_is=told, changed=told, rivals=(),
                forecasters=("native",), wait_s=5.0,
            )  # fmt: skip

        return self.queue.ask(settings.workload, fields, work=replayed)

    def mode(self, workload: WorkloadId) -> Mode | None:
        """What is ordered of a workload."""
        order = self.book.at(workload, self.clock.now()).mode
        return None if order is None else order.mode

    def reason(self, workload: WorkloadId) -> str:
        """Why."""
        order = self.book.at(workload, self.clock.now()).mode
        assert order is not None
        return order.reason

    def app(self) -> FastAPI:
        """Its routes."""
        writing = Writing(tokens=WriteTokens(self.tokens), audit=AuditLog(None), now=self.clock.now)
        return create_app(
            store=self.store,
            desk=closed_desk(self.store, self.clock),
            now=self.clock.now,
            ready=lambda: True,
            readers=lambda _: _Reader(),
            overrides=OverrideDesk(
                book=self.book, writing=writing, settings_of=_settings, refit=lambda _: None
            ),
            what_if=WhatIfDesk(answers=self, settings_of=_settings),
            promotion=PromotionDesk(
                meter=self._meters.get, settings_of=_settings, job=self.queue.get, persisted=True
            ),
        )


@cache
def _lived(trial: Trial) -> tuple[Mapping[str, Floats], Decision]:
    """The record of a trial, and its newest decision; days take a second."""
    meter, lived = ShadowMeter(tick_s=TICK_S), list[Decision]()
    for second in np.arange(0, trial.days * 86_400 + TICK_S, TICK_S).tolist():
        made = decided(
            second,
            trial.demand,
            obeyed=replace(_OBEYED, mode=trial.mode),
            forecast=flat_forecast(trial.demand, now=at(second)),
            replicas=trial.replicas,
        )
        lived.append(replace(made, outcomes=(_HONEST,)))
        meter.note(lived[-1])
    return meter.kept(), lived[-1]


class _Reader:
    """A history of two weeks in which every day is alike."""

    def fitting(self, at: datetime) -> Fitting | None:
        del at
        return None

    def reading(self) -> Reading:
        bins = MetricWindow(NOON - timedelta(days=14), 3600.0, np.full(14 * 24, 25.0))
        return Reading(bins=bins, unit="requests/s", signals=(), partial=False)


def _settings(workload: WorkloadId) -> WorkloadSettings:
    return WorkloadSettings(workload=workload, capacity_per_replica=10, query="x", max_replicas=100)


def many(gate: Gate, trials: Iterable[tuple[str, Trial]], *, namespace: str = "llm") -> None:
    """Several workloads of one namespace."""
    for name, trial in trials:
        gate.add(name, trial, namespace=namespace)
