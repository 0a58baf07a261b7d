"""The clients' side of a fleet: who gets a request, who waits when nobody serves, who asks again.

Refuses to drop a request: one that no engine can take is held until one can, or its client
gives up.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from predictscale.simulate.engine.deployment import Agenda
from predictscale.simulate.engine.ledger import Ledger
from predictscale.simulate.engine.replica import Engine
from predictscale.simulate.engine.request import Request, State
from predictscale.simulate.engine.traffic import SLICE_S


class Router(StrEnum):
    """Which engine of those that serve gets a request."""

    ROUND_ROBIN = "round-robin"
    LEAST_OUTSTANDING = "least-outstanding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """What clients do whose request was aborted or lost.

    Args:
        attempts: How often they try in all, the first time included.
        backoff_s: How long they wait, a second or more [s].
    """

    attempts: int = 3
    backoff_s: float = 1.0

    def __post_init__(self) -> None:
        # Engines are run to every slice's end, so what ended in a slice is known before it tries again.
        if not (self.attempts >= 1 and SLICE_S <= self.backoff_s < math.inf):
            raise ValueError(f"{self}: one attempt or more, a backoff of {SLICE_S:g} s or more")


class Gateway:
    """Where requests arrive.

    Args:
        router: Who gets a request.
        retry: What clients do that got no answer; None makes them go away.
        ledger: Where arrivals are counted, and those who end outside an engine.
        agenda: The present, and what happens later.
    """

    __slots__ = ("_agenda", "_held", "_ledger", "_retry", "_router", "_serving", "_turn")

    def __init__(self, *, router: Router, retry: Retry | None, ledger: Ledger, agenda: Agenda) -> None:
        self._router, self._retry, self._ledger, self._agenda = router, retry, ledger, agenda
        self._serving: list[Engine] = []
        self._held: deque[Request] = deque()
        self._turn = 0

    @property
    def held(self) -> int:
        """Requests for which no engine serves."""
        return len(self._held)

    def serve_with(self, engines: list[Engine]) -> None:
        """From now on these get requests; what is held is handed out."""
        self._serving = engines
        while self._held and self._serving:
            self._route(self._held.popleft())

    def offer(self, request: Request) -> None:
        """A request arrives now."""
        entry = self._ledger.at(self._agenda.now_s)
        entry.arrived += 1
        entry.retried += request.attempt > 1
        entry.input_tokens += request.input_tokens
        entry.uncached_tokens += request.input_tokens - request.cached_tokens
        entry.output_tokens += request.output_tokens
        if self._serving:
            self._route(request)
            return
        self._held.append(request)
        if request.timeout_s < math.inf:
            self._agenda.add(request.deadline_s, lambda: self._give_up(request))

    def ended(self, request: Request, at_s: float) -> None:
        """An engine is done with a request, one way or the other."""
        if request.state is State.ABORTED:
            self._try_again(request, at_s)

    def lose(self, requests: Iterable[Request]) -> None:
        """These went away with their pod."""
        for request in requests:
            self._ledger.at(self._agenda.now_s).lost += 1
            self._try_again(request, self._agenda.now_s)

    def _route(self, request: Request) -> None:
        serving = self._serving
        self._turn = (self._turn + 1) % len(serving)
        chosen = serving[self._turn]
        if self._router is Router.LEAST_OUTSTANDING:
            least = chosen.outstanding
            # Ties go to the one whose turn it is.
            for engine in serving:
                if engine.outstanding < least:
                    chosen, least = engine, engine.outstanding
        chosen.submit(request, self._agenda.now_s)

    def _give_up(self, request: Request) -> None:
        """The client of a held request goes; of one that came to an engine, the engine tells."""
        if request.state is State.HELD:
            self._held.remove(request)
            request.state = State.ABORTED
            self._ledger.at(self._agenda.now_s).aborted += 1
            self._try_again(request, self._agenda.now_s)

    def _try_again(self, request: Request, at_s: float) -> None:
        retry = self._retry
        if retry is not None and request.attempt < retry.attempts:
            again = request.again(at_s + retry.backoff_s)
            self._agenda.add(again.arrived_s, lambda: self.offer(again))
