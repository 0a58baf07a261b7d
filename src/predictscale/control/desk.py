"""Who may ask, and what they are told: the registrations of ScaledObjects, and their decisions.

KEDA neither announces a ScaledObject nor says when it is gone, and it tells the
triggers of one apart by nothing but their metadata. So any call registers,
silence expires, and a trigger that is left out when its siblings are asked has
been edited away, for KEDA asks all triggers of a ScaledObject in one round.
Answers are read from the store; nothing here queries, fits or waits. The pools of
a workload are told their parts of one decision.

Refuses to follow one workload by two descriptions at a time.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

import structlog

from predictscale.clock import Clock
from predictscale.config.metadata import pool_of
from predictscale.config.settings import WorkloadSettings
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.errors import AnswerUnavailable, Problem, SettingsError, TooManyWorkloads

_log = structlog.get_logger(__name__)

ROUND_S = 60.0
"""KEDA asks all triggers of a ScaledObject within this time [s]."""
MOST_TRIGGERS = 8
"""Metadata remembered of one ScaledObject; of more, the longest silent is forgotten."""


class Ref(NamedTuple):
    """A ScaledObject as KEDA names it, with the metadata of one trigger."""

    namespace: str
    name: str
    metadata: Mapping[str, str]


class Following(NamedTuple):
    """How the desk tells the loop which workloads there are."""

    track: Callable[[WorkloadSettings], None]
    untrack: Callable[[WorkloadId], None]


@dataclass(slots=True, eq=False)
class Registration:
    """One trigger: its metadata, and its settings, or what is wrong with them, or both."""

    metadata: dict[str, str]
    settings: WorkloadSettings | None
    error: SettingsError | None
    since: datetime
    last_seen_s: float
    pool: str | None = field(default=None)
    """The pool it asks for, where its workload has pools."""
    listeners: int = field(default=0)
    left_out_s: float | None = field(default=None)
    """When a sibling was first asked in a later round than this one."""


@dataclass(slots=True, eq=False)
class _ScaledObject:
    """The triggers of one ScaledObject, and the one whose description of a workload is followed."""

    triggers: list[Registration] = field(default_factory=list)
    followed: Registration | None = None

    def find(self, metadata: Mapping[str, str]) -> Registration | None:
        """The trigger with this metadata."""
        for trigger in self.triggers:
            if trigger.metadata == metadata:
                return trigger
        return None


class Desk:
    """Registers ScaledObjects on any call and answers them from the store.

    Args:
        parse: From a reference to a workload's settings, which are a named workload's or bear
            the ScaledObject's own name; raises SettingsError.
        store: Where decisions are read.
        following: The loop that makes them.
        clock: For ages.
        max_registrations: As many ScaledObjects as may be known at once.
        expire_after_s: How long one may be silent before it is forgotten [s].
        named: Workloads of the service's own file, followed whether asked for or not.
    """

    def __init__(
        self,
        *,
        parse: Callable[[Ref], WorkloadSettings],
        store: DecisionStore,
        following: Following,
        clock: Clock,
        max_registrations: int,
        expire_after_s: float,
        named: tuple[WorkloadSettings, ...] = (),
    ) -> None:
        self._parse = parse
        self._store = store
        self._following = following
        self._clock = clock
        self._limit = max_registrations
        self._expire_after_s = expire_after_s
        self._scaled_objects: dict[tuple[str, str], _ScaledObject] = {}
        self._named = {settings.workload: settings for settings in named}
        for settings in named:
            following.track(settings)

    async def spec(self, ref: Ref) -> None:
        """Register the trigger and say whether its metadata can be served; needs no data.

        Raises:
            SettingsError: The metadata is wrong, all problems at once; or a sibling's describes
                the same workload differently.
            TooManyWorkloads: The limit is reached.
        """
        self._admit(ref)

    async def decision(self, ref: Ref) -> Decision:
        """The newest decision for the trigger's workload.

        Raises:
            SettingsError: As `spec`.
            TooManyWorkloads: The limit is reached.
            AnswerUnavailable: There is no decision yet, or none that is still valid.
        """
        trigger, settings = self._admit(ref)
        latest = self._store.latest(settings.workload)
        if latest is None:
            raise AnswerUnavailable(f"{settings.workload}: its history is being read; no decision yet")
        if self._clock.now() > latest.valid_until:
            raise AnswerUnavailable(
                f"{settings.workload}: the last decision is of {latest.seen.now:%H:%M:%S} UTC "
                f"and was valid until {latest.valid_until:%H:%M:%S}"
            )
        return _for(trigger, latest)

    async def changes(self, ref: Ref) -> AsyncIterator[Decision]:
        """The newest valid decision at once, if there is one, then each new one; never ends by itself.

        Raises:
            SettingsError: As `spec`.
            TooManyWorkloads: The limit is reached.
        """
        trigger, settings = self._admit(ref)
        trigger.listeners += 1
        try:
            async for decision in self._store.changes(settings.workload):
                if self._clock.now() <= decision.valid_until:
                    yield _for(trigger, decision)
        finally:
            trigger.listeners -= 1
            trigger.last_seen_s = self._clock.monotonic_s()

    def expire(self) -> None:
        """Forget triggers that have been silent for too long, and stop following their workloads."""
        now_s = self._clock.monotonic_s()
        for key, scaled_object in list(self._scaled_objects.items()):
            newest_s = max(trigger.last_seen_s for trigger in scaled_object.triggers)
            for trigger in list(scaled_object.triggers):
                silent = now_s - trigger.last_seen_s > self._expire_after_s
                left_out = _left_out(trigger, newest_s=newest_s, now_s=now_s)
                if trigger.listeners == 0 and (silent or left_out):
                    _log.info("expired: not asked for", scaled_object="/".join(key))
                    self._release(key, trigger)

    def registrations(self) -> Iterator[tuple[str, str, Registration]]:
        """Every known trigger: its ScaledObject's namespace and name, and what is known of it."""
        # Copies: metrics are read from another thread.
        for (namespace, name), scaled_object in list(self._scaled_objects.items()):
            for trigger in list(scaled_object.triggers):
                yield namespace, name, trigger

    def workloads(self) -> set[WorkloadId]:
        """Every workload that is followed, with a decision or not."""
        followed = [scaled_object.followed for scaled_object in self._scaled_objects.values()]
        described = {t.settings.workload for t in followed if t is not None and t.settings is not None}
        return described | set(self._named)

    def _admit(self, ref: Ref) -> tuple[Registration, WorkloadSettings]:
        key = (ref.namespace, ref.name)
        scaled_object = self._scaled_objects.get(key)
        trigger = scaled_object.find(ref.metadata) if scaled_object is not None else None
        if scaled_object is None or trigger is None:
            scaled_object, trigger = self._register(key, ref)
        trigger.last_seen_s = self._clock.monotonic_s()
        if self._describes(trigger) and scaled_object.followed is not trigger:
            self._reclaim(key, scaled_object, trigger)
        if trigger.error is not None:
            # Raised as it is, an error would keep the frames of every call that it ended.
            raise trigger.error.with_traceback(None)
        assert trigger.settings is not None  # noqa: S101 - a trigger without an error has settings
        return trigger, trigger.settings

    def _register(self, key: tuple[str, str], ref: Ref) -> tuple[_ScaledObject, Registration]:
        """Remember a trigger. What it describes is followed from now on: most likely it is an edit."""
        scaled_object = self._scaled_objects.get(key)
        if scaled_object is None:
            if len(self._scaled_objects) >= self._limit:
                raise TooManyWorkloads(limit=self._limit)
            scaled_object = _ScaledObject()
        settings, error = self._read(ref)
        trigger = Registration(
            metadata=dict(ref.metadata),
            settings=settings,
            error=error,
            since=self._clock.now(),
            last_seen_s=self._clock.monotonic_s(),
            pool=None if settings is None or not settings.pools else pool_of(ref.metadata),
        )
        if self._describes(trigger):
            self._follow(scaled_object, trigger)
        scaled_object.triggers.append(trigger)
        self._scaled_objects[key] = scaled_object
        if len(scaled_object.triggers) > MOST_TRIGGERS:
            self._release(key, min(scaled_object.triggers, key=lambda known: known.last_seen_s))
        return scaled_object, trigger

    def _read(self, ref: Ref) -> tuple[WorkloadSettings | None, SettingsError | None]:
        """The settings of a trigger, or what is wrong with it."""
        try:
            settings = self._parse(ref)
            if self._named.get(settings.workload, settings) != settings:
                raise _named_already(settings.workload)
        except SettingsError as wrong:
            _log.warning("trigger refused", scaled_object=f"{ref.namespace}/{ref.name}", problems=str(wrong))
            return None, wrong
        return settings, None

    def _describes(self, trigger: Registration) -> bool:
        """Whether the trigger describes its workload itself, instead of naming one."""
        return trigger.settings is not None and trigger.settings.workload not in self._named

    def _follow(self, scaled_object: _ScaledObject, trigger: Registration) -> None:
        assert trigger.settings is not None  # noqa: S101 - callers ask _describes first
        self._following.track(trigger.settings)
        scaled_object.followed = trigger
        trigger.error = None

    def _reclaim(self, key: tuple[str, str], scaled_object: _ScaledObject, trigger: Registration) -> None:
        """Let a description that a sibling's has replaced count again, once that sibling is silent."""
        sibling = scaled_object.followed
        if sibling is not None and sibling.settings == trigger.settings:
            trigger.error = None
        elif sibling is None or not self._asked_lately(sibling):
            self._follow(scaled_object, trigger)
        elif trigger.error is None:
            trigger.error = _described_twice(key)
            _log.warning("trigger refused", scaled_object="/".join(key), problems=str(trigger.error))

    def _asked_lately(self, trigger: Registration) -> bool:
        silent_s = self._clock.monotonic_s() - trigger.last_seen_s
        return trigger.listeners > 0 or silent_s <= ROUND_S

    def _release(self, key: tuple[str, str], trigger: Registration) -> None:
        """Forget a trigger; what it described is followed no more, unless a sibling describes it too."""
        scaled_object = self._scaled_objects[key]
        scaled_object.triggers.remove(trigger)
        if not scaled_object.triggers:
            del self._scaled_objects[key]
        if scaled_object.followed is not trigger or trigger.settings is None:
            return
        scaled_object.followed = None
        heir = next((t for t in reversed(scaled_object.triggers) if self._describes(t)), None)
        if heir is not None:
            self._follow(scaled_object, heir)
        else:
            self._following.untrack(trigger.settings.workload)


def _for(trigger: Registration, decision: Decision) -> Decision:
    """The decision as the trigger's pool is told of it."""
    return decision if trigger.pool is None else replace(decision, pool=trigger.pool)


def _left_out(trigger: Registration, *, newest_s: float, now_s: float) -> bool:
    """Whether a later round, in which a sibling was asked at `newest_s` or before, is over without it."""
    if newest_s - trigger.last_seen_s <= ROUND_S:
        trigger.left_out_s = None
    elif trigger.left_out_s is None:
        trigger.left_out_s = newest_s
    return trigger.left_out_s is not None and now_s - trigger.left_out_s > ROUND_S


def _described_twice(key: tuple[str, str]) -> SettingsError:
    return SettingsError(
        [
            Problem(
                where="scalerMetadata",
                got=f"another trigger of {'/'.join(key)} describes its workload differently",
                wants="describe it in one trigger, or let triggers name workloads of the service's file",
                why="KEDA tells the triggers of one ScaledObject apart by nothing but their metadata",
            )
        ]
    )


def _named_already(workload: WorkloadId) -> SettingsError:
    return SettingsError(
        [
            Problem(
                where="scalerMetadata",
                got=f"describes {workload}, which the service's file describes already",
                wants=f"write `workload: {workload.name}` and nothing else, or rename the ScaledObject",
            )
        ]
    )
