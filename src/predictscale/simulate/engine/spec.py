"""What an engine is: the cost of an iteration and the limits of a batch.

The numbers are those of no product. They are near a model of 8 billion parameters on one
large GPU, so that queues, latencies and memory come out in a familiar range.
"""

import math
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSpec:
    """One engine with continuous batching and chunked prefill.

    Args:
        iteration_s: What every iteration takes, however small [s].
        decode_s: What each decoding request adds to an iteration [s].
        prefill_token_s: What each prompt token computed in it adds [s].
        kv_token_s: What each token in the KV cache of running requests adds [s].
        noise: Standard deviation of the logarithm of an iteration's time; its mean is kept.
        batched_tokens: Most tokens computed in an iteration, one for each decoding request.
        running: Most requests running at once.
        kv_blocks: Blocks of KV cache.
        block_tokens: Tokens in a block.
        context_tokens: Most tokens of a request, prompt and answer.

    Raises:
        ValueError: A number is out of its range, or one longest request would not fit.
    """

    iteration_s: float = 8e-3
    decode_s: float = 8e-5
    prefill_token_s: float = 3.5e-5
    kv_token_s: float = 1e-7
    noise: float = 0.05
    batched_tokens: int = 2048
    running: int = 512
    kv_blocks: int = 25_000
    block_tokens: int = 16
    context_tokens: int = 32_768

    def __post_init__(self) -> None:
        costs = (self.decode_s, self.prefill_token_s, self.kv_token_s, self.noise)
        if not (all(math.isfinite(c) and c >= 0 for c in costs) and 0 < self.iteration_s < math.inf):
            raise ValueError(f"{self}: costs are finite and 0 or more, iteration_s is above 0")
        counts = [getattr(self, f.name) for f in fields(self) if f.type is int]
        if min(counts) < 1 or self.context_tokens < 2:
            raise ValueError(f"{self}: limits are 1 or more, context_tokens 2 or more")
        if self.running > self.batched_tokens:
            raise ValueError(
                f"running: {self.running}, batched_tokens: {self.batched_tokens}; each decodes one"
            )
        if self.context_tokens > self.kv_tokens:
            raise ValueError(f"context_tokens: {self.context_tokens}; the KV cache holds {self.kv_tokens}")

    @property
    def kv_tokens(self) -> int:
        """Tokens that the KV cache holds."""
        return self.kv_blocks * self.block_tokens
