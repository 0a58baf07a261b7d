"""What the servers ask for. `control.desk` answers; tests and benchmarks bring their own.

Refuses to say how an answer comes about: a server looks values up, it decides nothing.
"""

from collections.abc import AsyncIterator
from typing import Protocol

from predictscale.control.desk import Ref
from predictscale.core.plan import Decision

__all__ = ["Desk", "Ref"]


class Desk(Protocol):
    """Where decisions are picked up. Every question registers the ScaledObject that it names."""

    async def spec(self, ref: Ref) -> None:
        """Check the metadata and register; needs no data, so it works while Prometheus is down.

        Raises:
            SettingsError: The metadata cannot be obeyed; all problems at once.
            TooManyWorkloads: The service is full.
        """
        ...

    async def decision(self, ref: Ref) -> Decision:
        """The newest decision that may be served, from memory.

        Raises:
            SettingsError: As above.
            TooManyWorkloads: As above.
            AnswerUnavailable: There is none, or it is too old.
        """
        ...

    def changes(self, ref: Ref) -> AsyncIterator[Decision]:
        """The current decision at once, if there is one, then each new one; never ends by itself.

        Whoever stops reading calls the iterator's `aclose`, if it has one.

        Raises:
            SettingsError: As above, from the first step.
            TooManyWorkloads: As above, from the first step.
        """
        ...
