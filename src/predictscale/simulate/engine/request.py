"""One request on its way through an engine: what it wants, and how far it is.

Mutable, for an engine moves it. What a decoding request has generated is not counted here token
by token: it follows from the iteration in which its prefill ended.
"""

import math
from dataclasses import dataclass, field
from enum import Enum, auto


class State(Enum):
    """Where a request is."""

    HELD = auto()  # at the router, no pod serves
    WAITING = auto()  # in an engine's queue
    PREFILL = auto()
    DECODE = auto()
    FINISHED = auto()
    ABORTED = auto()  # its client gave up
    LOST = auto()  # its pod went away


@dataclass(slots=True, kw_only=True, eq=False)
class Request:
    """A prompt and the length that its answer will have.

    Args:
        arrived_s: When it came to the router, after the fleet's origin [s].
        input_tokens: Its prompt, 1 or more.
        cached_tokens: The beginning of the prompt that the prefix cache holds, less than the prompt.
        output_tokens: Its answer, 1 or more.
        timeout_s: Its client gives up so long after it arrived [s].
        attempt: 1, or more if a client tries again.
        cut: Whether the answer ends because the context is full.
    """

    arrived_s: float
    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    timeout_s: float = math.inf
    attempt: int = 1
    cut: bool = False

    state: State = field(default=State.HELD, init=False)
    admitted_s: float = field(default=math.nan, init=False)
    """When it was first scheduled."""
    first_token_s: float = field(default=math.nan, init=False)
    last_token_s: float = field(default=math.nan, init=False)
    """Set when it is preempted or done."""
    generated: int = field(default=0, init=False)
    """Tokens generated before its present prefill."""
    context: int = field(default=0, init=False)
    """Tokens that its present prefill covers."""
    left: int = field(default=0, init=False)
    """Those of them that are not computed yet."""
    prefilled_at: int = field(default=0, init=False)
    """The iteration that ended its present prefill."""
    due_at: int = field(default=-1, init=False)
    """The iteration that generates its last token; -1 if it does not decode."""

    def again(self, at_s: float) -> "Request":
        """The next attempt of its client."""
        return Request(
            arrived_s=at_s,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            cached_tokens=self.cached_tokens,
            timeout_s=self.timeout_s,
            attempt=self.attempt + 1,
            cut=self.cut,
        )

    @property
    def deadline_s(self) -> float:
        """When its client gives up [s after the origin]."""
        return self.arrived_s + self.timeout_s
