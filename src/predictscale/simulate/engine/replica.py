"""One engine: continuous batching, iteration by iteration.

Every running request that is past its prompt gets one token in each iteration, so nothing is
walked token by token: a request's last iteration is known when its prefill ends, and the blocks
that decoding needs repeat with the period of a block. An iteration costs the same however
many requests run.

Refuses to lose a request: each is waiting, running, or told to be finished or aborted. Memory
is never overcommitted: who does not fit waits, and when running requests outgrow it the last
one admitted gives its blocks back and computes its tokens again.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from predictscale.simulate.engine.ledger import Ledger
from predictscale.simulate.engine.meters import Meters
from predictscale.simulate.engine.request import Request, State
from predictscale.simulate.engine.spec import EngineSpec

_DRAWN = 4096


class Engine:
    """A queue, a batch, and a KV cache. Times are seconds after the fleet's origin.

    What happens between two calls is decided by iterations that end in that time; one that is
    under way counts when it ends.

    Args:
        spec: What it is.
        seed: Of the noise, as numpy takes it.
        bin_s: Width of the ledger's bins [s].
        on_gone: Told of each request that finished or was aborted, with the time.
    """

    __slots__ = (
        "_began_s", "_computed", "_computing", "_deadlines", "_decoding", "_done", "_due", "_free", "_grow",
        "_kv_tokens", "_noise", "_on_gone", "_prefilling", "_running", "_sequence", "_waiting",
        "ends_s", "ledger", "meters", "spec",
    )  # fmt: skip

    def __init__(
        self,
        spec: EngineSpec,
        *,
        seed: int | list[int] = 0,
        bin_s: float = 15.0,
        on_gone: Callable[[Request, float], None] = lambda request, at_s: None,  # noqa: ARG005 - nobody listens
    ) -> None:
        self.spec = spec
        self.meters = Meters()
        self.ledger = Ledger(bin_s)
        self.ends_s = math.inf
        """When the iteration that is under way ends; infinite if none is."""
        self._on_gone = on_gone
        self._noise = _factors(spec.noise, seed)
        self._waiting: deque[Request] = deque()
        # In the order of admission: the last one is preempted first.
        self._running: dict[Request, None] = {}
        self._prefilling: deque[Request] = deque()
        self._decoding = 0
        self._free = spec.kv_blocks
        self._kv_tokens = 0
        # Iterations done, requests by the iteration that ends them, and, by iteration modulo a block,
        # how many decoding requests begin a block in it.
        self._done = 0
        self._due: dict[int, list[Request]] = {}
        self._grow = [0] * spec.block_tokens
        # What the iteration that is under way does beside decoding.
        self._began_s = math.nan
        self._computing: list[Request] = []
        self._computed = 0
        self._deadlines: list[tuple[float, int, Request]] = []
        self._sequence = 0

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def running(self) -> int:
        """Requests in the batch."""
        return len(self._running)

    @property
    def outstanding(self) -> int:
        """Requests in the queue or in the batch."""
        return len(self._waiting) + len(self._running)

    @property
    def kv_blocks_used(self) -> int:
        """Blocks of KV cache that running requests hold."""
        return self.spec.kv_blocks - self._free

    @property
    def kv_usage(self) -> float:
        """The share of KV cache that running requests hold, in [0, 1]."""
        return self.kv_blocks_used / self.spec.kv_blocks

    @property
    def kv_tokens(self) -> int:
        """Tokens in the KV cache of running requests, those of the iteration under way included."""
        return self._kv_tokens

    def busy_s(self, at_s: float) -> float:
        """Time spent in iterations until then, the one under way included [s]."""
        under_way_s = at_s - self._began_s if self.ends_s < math.inf else 0.0
        return self.meters.busy_s + under_way_s

    def submit(self, request: Request, at_s: float) -> None:
        """Queue a request; `run` must have come to `at_s`, and not beyond.

        Raises:
            ValueError: It is longer than the context, or has nothing to compute.
        """
        wants = request.input_tokens + request.output_tokens
        if not 0 <= request.cached_tokens < request.input_tokens or request.output_tokens < 1:
            raise ValueError(f"{request}: needs a prompt that is not all cached, and an answer")
        if wants > self.spec.context_tokens:
            raise ValueError(f"{wants} tokens; the context holds {self.spec.context_tokens}")
        request.state = State.WAITING
        self._waiting.append(request)
        self.meters.received += 1
        if request.timeout_s < math.inf:
            self._sequence += 1
            heapq.heappush(self._deadlines, (request.deadline_s, self._sequence, request))
        if self.ends_s == math.inf:
            self._begin(at_s)

    def run(self, until_s: float) -> None:
        """End every iteration that is over by `until_s`."""
        while self.ends_s <= until_s:
            self._end()

    def evict(self) -> list[Request]:
        """Give up everything at once, as when its pod is killed; those that were there, oldest first."""
        there = [*self._running, *self._waiting]
        for request in there:
            request.state = State.LOST
        for held in (
            self._running,
            self._waiting,
            self._prefilling,
            self._computing,
            self._due,
            self._deadlines,
        ):
            held.clear()
        self._grow = [0] * self.spec.block_tokens
        self._free, self._decoding, self._kv_tokens = self.spec.kv_blocks, 0, 0
        self.ends_s = math.inf
        return there

    def _begin(self, at_s: float) -> None:
        """Schedule an iteration, or fall idle."""
        if self._deadlines and self._deadlines[0][0] <= at_s:
            self._abort_late(at_s)
        spec, place = self.spec, (self._done + 1) % self.spec.block_tokens
        while self._grow[place] > self._free:
            self._preempt(at_s)
        decoding = self._decoding
        self._free -= self._grow[place]
        computed = 0
        if self._prefilling or self._waiting:
            computed = self._schedule_prompts(spec.batched_tokens - decoding, at_s)
        if not (decoding or computed):
            self.ends_s = math.inf
            return
        self._kv_tokens += decoding + computed
        self._computed = computed
        took_s = (
            spec.iteration_s
            + spec.decode_s * decoding
            + spec.prefill_token_s * computed
            + spec.kv_token_s * self._kv_tokens
        ) * next(self._noise)
        self._began_s = at_s
        self.ends_s = at_s + took_s

    def _schedule_prompts(self, budget: int, at_s: float) -> int:
        """Give the budget to prompts, first come first served; tokens given.

        Who was preempted for this iteration is the first to be asked, and does not fit yet.
        """
        left = budget
        prefilling, completed = self._prefilling, self._computing
        for request in prefilling:
            chunk = min(request.left, left)
            request.left -= chunk
            left -= chunk
            if not request.left:
                completed.append(request)
        while left and self._waiting and len(self._running) < self.spec.running:
            request = self._waiting[0]
            if not self._admit(request, at_s):
                break
            self._waiting.popleft()
            chunk = min(request.left, left)
            request.left -= chunk
            left -= chunk
            prefilling.append(request)
            if not request.left:
                completed.append(request)
        while prefilling and not prefilling[0].left:
            prefilling.popleft()
        return budget - left

    def _admit(self, request: Request, at_s: float) -> bool:
        """Take a request into the batch if its whole context finds blocks."""
        request.context = request.input_tokens + request.generated
        blocks = -(-request.context // self.spec.block_tokens)
        if blocks > self._free:
            return False
        self._free -= blocks
        self._kv_tokens += request.cached_tokens
        request.left = request.context - request.cached_tokens
        request.state = State.PREFILL
        self._running[request] = None
        if math.isnan(request.admitted_s):
            request.admitted_s = at_s
            self.meters.admitted_tokens += request.input_tokens
            self.meters.hit_tokens += request.cached_tokens
        return True

    def _end(self) -> None:
        """Hand out the tokens of the iteration that ends, and begin the next."""
        at_s, took_s = self.ends_s, self.ends_s - self._began_s
        self._done += 1
        decoding = self._decoding
        self.meters.busy_s += took_s
        if decoding:
            self.meters.generation_tokens += decoding
            self.meters.itl.observe(took_s, decoding)
            entry = self.ledger.at(at_s)
            entry.generated_tokens += decoding
            entry.itl_sum_s += took_s * decoding
            entry.itl_count += decoding
            ending = self._due.pop(self._done, None)
            if ending is not None:
                for request in ending:
                    if request.due_at == self._done:
                        self._finish(request, at_s)
        if self._computed:
            self.meters.computed_tokens += self._computed
            self.ledger.at(at_s).computed_tokens += self._computed
            for request in self._computing:
                self._prefilled(request, at_s)
            self._computing.clear()
        self._begin(at_s)

    def _prefilled(self, request: Request, at_s: float) -> None:
        """A prompt is computed: its last position gives a token."""
        self._count_token(request, at_s)
        request.generated += 1
        request.state = State.DECODE
        request.prefilled_at = self._done
        request.due_at = self._done + request.output_tokens - request.generated
        self._decoding += 1
        self._grow[self._block_begins(request)] += 1
        if request.due_at == self._done:
            self._finish(request, at_s)
        else:
            self._due.setdefault(request.due_at, []).append(request)

    def _count_token(self, request: Request, at_s: float) -> None:
        """The token at the end of a prefill: a request's first, or the next after a preemption."""
        entry = self.ledger.at(at_s)
        self.meters.generation_tokens += 1
        entry.generated_tokens += 1
        if request.generated:
            gap_s = at_s - request.last_token_s
            self.meters.itl.observe(gap_s)
            entry.itl_sum_s += gap_s
            entry.itl_count += 1
            return
        request.first_token_s = at_s
        ttft_s = at_s - request.arrived_s
        self.meters.ttft.observe(ttft_s)
        entry.ttft_s.append(ttft_s)
        self.meters.prompt_tokens += request.input_tokens
        self.meters.cached_tokens += request.cached_tokens

    def _finish(self, request: Request, at_s: float) -> None:
        self._release(request)
        request.generated = request.output_tokens
        request.last_token_s = at_s
        request.state = State.FINISHED
        e2e_s = at_s - request.arrived_s
        entry, meters = self.ledger.at(at_s), self.meters
        entry.finished += 1
        entry.e2e_sum_s += e2e_s
        if request.cut:
            meters.cut += 1
        else:
            meters.stopped += 1
        meters.finished_prompt_tokens += request.input_tokens
        meters.finished_generation_tokens += request.output_tokens
        meters.finished_cached_tokens += request.cached_tokens
        meters.e2e.observe(e2e_s)
        meters.queued.observe(request.admitted_s - request.arrived_s)
        meters.prompt_lengths.observe(request.input_tokens)
        meters.generation_lengths.observe(request.output_tokens)
        if request.output_tokens > 1:
            meters.tpot.observe((at_s - request.first_token_s) / (request.output_tokens - 1))
        self._on_gone(request, at_s)

    def _preempt(self, at_s: float) -> None:
        """The request admitted last loses its memory and waits again, before all others."""
        request = next(reversed(self._running))
        if request.state is State.DECODE:
            request.generated += self._done - request.prefilled_at
            request.last_token_s = at_s
        self._release(request)
        request.state = State.WAITING
        self._waiting.appendleft(request)
        self.meters.preemptions += 1
        self.ledger.at(at_s).preempted += 1

    def _abort_late(self, at_s: float) -> None:
        """End those whose clients have given up."""
        while self._deadlines and self._deadlines[0][0] <= at_s:
            request = heapq.heappop(self._deadlines)[2]
            if request.state is State.FINISHED:
                continue
            if request.state is State.WAITING:
                self._waiting.remove(request)
            else:
                self._release(request)
            request.state = State.ABORTED
            self.meters.aborted += 1
            self.ledger.at(at_s).aborted += 1
            self._on_gone(request, at_s)

    def _release(self, request: Request) -> None:
        """Take a request out of the batch and its blocks back, between two iterations."""
        del self._running[request]
        held = request.context
        if request.state is State.DECODE:
            held += self._done - request.prefilled_at
            self._kv_tokens -= held
            self._decoding -= 1
            self._grow[self._block_begins(request)] -= 1
            request.due_at = -1
        else:
            self._kv_tokens -= request.context - request.left
            self._prefilling.remove(request)
        self._free += -(-held // self.spec.block_tokens)

    def _block_begins(self, request: Request) -> int:
        """The iteration, modulo a block, in which a decoding request begins a block."""
        return (request.prefilled_at + 1 - request.context) % self.spec.block_tokens


def _factors(noise: float, seed: int | list[int]) -> Iterator[float]:
    """Log-normal factors of mean 1, for ever."""
    rng = np.random.default_rng(seed)
    while True:
        yield from rng.lognormal(-(noise**2) / 2, noise, _DRAWN).tolist()
