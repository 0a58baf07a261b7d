"""A real desk for tests of readers: nobody may register at it."""

from predictscale.clock import Clock
from predictscale.config.settings import WorkloadSettings
from predictscale.control.desk import Desk, Following, Ref
from predictscale.control.store import DecisionStore


def closed_desk(store: DecisionStore, clock: Clock) -> Desk:
    """One that fails the test when a trigger comes."""
    return Desk(
        parse=_nobody,
        store=store,
        following=Following(lambda _: None, store.forget),
        clock=clock,
        max_registrations=1,
        expire_after_s=60,
    )


def _nobody(ref: Ref) -> WorkloadSettings:
    raise AssertionError(f"{ref.name} was registered")
