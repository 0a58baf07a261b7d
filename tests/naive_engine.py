"""Continuous batching walked token by token: slow, and simple enough to be believed.

What `simulate.engine.replica` does by bookkeeping, this does by counting, so that one can be
held against the other. No noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from predictscale.simulate.engine.spec import EngineSpec


@dataclass
class Told:
    """What became of one request."""

    arrived_s: float
    tokens: int
    cached: int
    answer: int
    timeout_s: float
    stored: int = 0
    given_s: list[float] = field(default_factory=list)
    ended_s: float | None = None
    aborted: bool = False
    prompt: int = 0
    """What its prefill covers; 0 once it decodes."""

    @property
    def wanted(self) -> int:
        """Tokens to have in memory before the next one can be generated."""
        return self.tokens + len(self.given_s)

    def blocks(self, spec: EngineSpec) -> int:
        """Blocks for what is stored; a prompt has those of its whole length from the beginning."""
        return -(-max(self.stored, self.prompt) // spec.block_tokens)


class NaiveEngine:
    """Lists of who waits and who runs."""

    def __init__(self, spec: EngineSpec) -> None:
        self.spec = spec
        self.waiting: list[Told] = []
        self.running: list[Told] = []
        self.preempted = 0

    def serve(self, requests: Sequence[Told]) -> None:
        """Serve them all, those given in the order of arrival, no two at the same instant."""
        coming, now_s = list(requests), 0.0
        while coming or self.waiting or self.running:
            if not (self.waiting or self.running):
                now_s = max(now_s, coming[0].arrived_s)
            while coming and coming[0].arrived_s <= now_s:
                self.waiting.append(coming.pop(0))
            self._abort(now_s)
            now_s = self._iterate(now_s)

    def _free(self) -> int:
        return self.spec.kv_blocks - sum(one.blocks(self.spec) for one in self.running)

    def _needed(self) -> int:
        """Blocks that those who decode begin with their next token."""
        return sum(one.stored % self.spec.block_tokens == 0 for one in self.running if not one.prompt)

    def _abort(self, now_s: float) -> None:
        for queue in (self.waiting, self.running):
            for one in [one for one in queue if one.arrived_s + one.timeout_s <= now_s]:
                one.aborted, one.ended_s = True, now_s
                queue.remove(one)

    def _iterate(self, now_s: float) -> float:
        room = self._make_room()
        reserved = self._needed()
        decoding = [one for one in self.running if not one.prompt]
        left = self.spec.batched_tokens - len(decoding)
        chunks: list[tuple[Told, int]] = []
        for one in [one for one in self.running if one.prompt]:
            chunks.append((one, min(one.prompt - one.stored, left)))
            left -= chunks[-1][1]
        while room and left and (new := self._admitted(reserved)) is not None:
            chunks.append((new, min(new.prompt - new.stored, left)))
            left -= chunks[-1][1]
        return self._compute(decoding, chunks, now_s)

    def _make_room(self) -> bool:
        room = True
        while self._needed() > self._free():
            last = self.running.pop()
            last.stored = last.prompt = 0
            self.waiting.insert(0, last)
            self.preempted += 1
            room = False
        return room

    def _admitted(self, reserved: int) -> Told | None:
        if not self.waiting or len(self.running) >= self.spec.running:
            return None
        one = self.waiting[0]
        if -(-one.wanted // self.spec.block_tokens) > self._free() - reserved:
            return None
        one.prompt, one.stored = one.wanted, one.cached
        self.running.append(self.waiting.pop(0))
        return one

    def _compute(self, decoding: list[Told], chunks: list[tuple[Told, int]], now_s: float) -> float:
        for one, tokens in (*((one, 1) for one in decoding), *chunks):
            one.stored += tokens
        computed = sum(tokens for _, tokens in chunks)
        if not (decoding or computed):
            return now_s
        assert self._free() >= 0
        spec = self.spec
        ends_s = now_s + (
            spec.iteration_s
            + spec.decode_s * len(decoding)
            + spec.prefill_token_s * computed
            + spec.kv_token_s * sum(one.stored for one in self.running)
        )
        done = [one for one, _ in chunks if one.stored == one.prompt]
        for one in (*decoding, *done):
            one.prompt = 0
            one.given_s.append(ends_s)
            if len(one.given_s) == one.answer:
                one.ended_s = ends_s
                self.running.remove(one)
        return ends_s
