"""Who may ask, and what they are told: the registrations of ScaledObjects, and their decisions.

KEDA neither announces a ScaledObject nor says when it is gone, so any call
registers and silence expires. Answers are read from the store; nothing here
queries, fits or waits.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

import structlog

from predictscale.clock import Clock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.store import DecisionStore
from predictscale.core.demand import WorkloadId
from predictscale.core.plan import Decision
from predictscale.errors import AnswerUnavailable, SettingsError, TooManyWorkloads

_log = structlog.get_logger(__name__)


class Ref(NamedTuple):
    """A ScaledObject as KEDA names it, with the metadata of one trigger."""

    namespace: str
    name: str
    metadata: Mapping[str, str]


class Following(NamedTuple):
    """How the desk tells the loop which workloads there are."""

    track: Callable[[WorkloadSettings], None]
    untrack: Callable[[WorkloadId], None]


@dataclass(slots=True)
class Registration:
    """One ScaledObject: its metadata, and either its settings or what is wrong with them."""

    metadata: dict[str, str]
    settings: WorkloadSettings | None
    error: SettingsError | None
    since: datetime
    last_seen_s: float
    listeners: int = field(default=0)


class Desk:
    """Registers ScaledObjects on any call and answers them from the store.

    Args:
        parse: From a reference to a workload's settings; raises SettingsError.
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
        self._registrations: dict[tuple[str, str], Registration] = {}
        self._named = {settings.workload: settings for settings in named}
        for settings in named:
            following.track(settings)

    async def spec(self, ref: Ref) -> None:
        """Register the ScaledObject and say whether its metadata can be served; needs no data.

        Raises:
            SettingsError: The metadata is wrong; all problems at once.
            TooManyWorkloads: The limit is reached.
        """
        self._admit(ref)

    async def decision(self, ref: Ref) -> Decision:
        """The newest decision for the ScaledObject's workload.

        Raises:
            SettingsError: The metadata is wrong.
            TooManyWorkloads: The limit is reached.
            AnswerUnavailable: There is no decision yet, or none that is still valid.
        """
        settings = self._admit(ref)
        latest = self._store.latest(settings.workload)
        if latest is None:
            raise AnswerUnavailable(f"{settings.workload}: its history is being read; no decision yet")
        if self._clock.now() > latest.valid_until:
            raise AnswerUnavailable(
                f"{settings.workload}: the last decision is of {latest.seen.now:%H:%M:%S} UTC "
                f"and was valid until {latest.valid_until:%H:%M:%S}"
            )
        return latest

    async def changes(self, ref: Ref) -> AsyncIterator[Decision]:
        """The newest decision at once, if there is one, then each new one; never ends by itself.

        Raises:
            SettingsError: The metadata is wrong.
            TooManyWorkloads: The limit is reached.
        """
        settings = self._admit(ref)
        registration = self._registrations[ref.namespace, ref.name]
        registration.listeners += 1
        try:
            async for decision in self._store.changes(settings.workload):
                yield decision
        finally:
            registration.listeners -= 1
            registration.last_seen_s = self._clock.monotonic_s()

    def expire(self) -> None:
        """Forget ScaledObjects that have been silent for too long, and stop following their workloads."""
        oldest_s = self._clock.monotonic_s() - self._expire_after_s
        for key, registration in list(self._registrations.items()):
            if registration.listeners == 0 and registration.last_seen_s < oldest_s:
                _log.info("expired: not asked for", scaled_object="/".join(key))
                self._release(key)

    def registrations(self) -> Iterator[tuple[str, str, Registration]]:
        """Every known ScaledObject: namespace, name, registration."""
        for (namespace, name), registration in list(self._registrations.items()):
            yield namespace, name, registration

    def workloads(self) -> set[WorkloadId]:
        """Every workload that is followed, with a decision or not."""
        asked_for = {r.settings.workload for r in self._registrations.values() if r.settings is not None}
        return asked_for | set(self._named)

    def _admit(self, ref: Ref) -> WorkloadSettings:
        key = (ref.namespace, ref.name)
        known = self._registrations.get(key)
        if known is None or known.metadata != ref.metadata:
            known = self._register(key, ref)
        known.last_seen_s = self._clock.monotonic_s()
        if known.settings is None:
            assert known.error is not None  # noqa: S101 - a registration has one or the other
            raise known.error
        return known.settings

    def _register(self, key: tuple[str, str], ref: Ref) -> Registration:
        if key not in self._registrations and len(self._registrations) >= self._limit:
            raise TooManyWorkloads(limit=self._limit)
        settings, error = None, None
        try:
            settings = self._parse(ref)
        except SettingsError as wrong:
            error = wrong
            _log.warning("trigger refused", scaled_object="/".join(key), problems=str(wrong))
        if key in self._registrations:
            self._release(key, unless=settings)
        registration = Registration(
            metadata=dict(ref.metadata),
            settings=settings,
            error=error,
            since=self._clock.now(),
            last_seen_s=self._clock.monotonic_s(),
        )
        self._registrations[key] = registration
        if settings is not None:
            self._following.track(settings)
        return registration

    def _release(self, key: tuple[str, str], *, unless: WorkloadSettings | None = None) -> None:
        """Drop a registration; stop following its workload if nobody else asks for it."""
        gone = self._registrations.pop(key).settings
        if gone is None or (unless is not None and unless.workload == gone.workload):
            return
        if gone.workload not in self.workloads():
            self._following.untrack(gone.workload)
