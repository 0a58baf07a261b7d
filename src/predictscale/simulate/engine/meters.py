"""What an engine counts for its metrics, whatever they are called.

Buckets are the union of what the served backends use, so that each can be told exactly.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

VLLM_TTFT_S = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0, 160.0, 640.0, 2560.0,
)  # fmt: skip
VLLM_ITL_S = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0, 40.0, 80.0,
)  # fmt: skip
VLLM_REQUEST_S = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0, 480.0,
    960.0, 1920.0, 7680.0,
)  # fmt: skip
VLLM_TOKENS = tuple(float(m * 10**e) for e in range(5) for m in (1, 2, 5) if m * 10**e <= 32_768)
SGLANG_TTFT_S = (
    0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 200.0, 400.0,
)  # fmt: skip
SGLANG_ITL_S = (
    0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08, 0.1, 0.2, 0.4, 0.6,
    0.8, 1.0, 2.0, 4.0, 6.0, 8.0,
)  # fmt: skip
SGLANG_E2E_S = (
    0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 200.0, 400.0,
    600.0, 1200.0, 1800.0, 2400.0,
)  # fmt: skip


class Histogram:
    """Observations by bucket; a bound belongs to the bucket below it.

    Args:
        bounds: Upper bounds, any order; more may be given than are told.
    """

    __slots__ = ("_bounds", "count", "counts", "total")

    def __init__(self, *bounds: Sequence[float]) -> None:
        self._bounds = sorted({bound for group in bounds for bound in group})
        self.counts = [0] * (len(self._bounds) + 1)
        self.count = 0
        self.total = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count `value` so many times."""
        self.counts[bisect_left(self._bounds, value)] += times
        self.count += times
        self.total += value * times

    def add(self, other: "Histogram") -> None:
        """Count what another one of the same bounds has counted."""
        self.counts = [own + its for own, its in zip(self.counts, other.counts, strict=True)]
        self.count += other.count
        self.total += other.total

    def cumulative(self, bounds: Sequence[float]) -> list[int]:
        """Observations at or below each of `bounds`, which must be among its own."""
        running, below = 0, {}
        for bound, counted in zip(self._bounds, self.counts, strict=False):
            running += counted
            below[bound] = running
        return [below[bound] for bound in bounds]


@dataclass(slots=True)
class Meters:
    """Counters since the engine started; they never fall."""

    received: int = 0
    prompt_tokens: int = 0  # of requests whose first prefill ended, cached ones included
    cached_tokens: int = 0  # those of them that the prefix cache had
    computed_tokens: int = 0  # prompt tokens computed, iteration by iteration, again after preemptions too
    admitted_tokens: int = 0  # prompt tokens looked up in the prefix cache
    hit_tokens: int = 0  # found there
    generation_tokens: int = 0  # iteration by iteration
    preemptions: int = 0
    stopped: int = 0  # requests that ended by themselves
    cut: int = 0  # requests that ended because the context was full
    aborted: int = 0
    finished_prompt_tokens: int = 0
    finished_generation_tokens: int = 0
    finished_cached_tokens: int = 0
    busy_s: float = 0.0
    ttft: Histogram = field(default_factory=lambda: Histogram(VLLM_TTFT_S, SGLANG_TTFT_S))
    itl: Histogram = field(default_factory=lambda: Histogram(VLLM_ITL_S, SGLANG_ITL_S))
    tpot: Histogram = field(default_factory=lambda: Histogram(VLLM_ITL_S))
    e2e: Histogram = field(default_factory=lambda: Histogram(VLLM_REQUEST_S, SGLANG_E2E_S))
    queued: Histogram = field(default_factory=lambda: Histogram(VLLM_REQUEST_S))
    prompt_lengths: Histogram = field(default_factory=lambda: Histogram(VLLM_TOKENS))
    generation_lengths: Histogram = field(default_factory=lambda: Histogram(VLLM_TOKENS))

    def add(self, other: "Meters") -> None:
        """Count what another engine has counted."""
        for field_ in fields(self):
            its = getattr(other, field_.name)
            if isinstance(its, Histogram):
                getattr(self, field_.name).add(its)
            else:
                setattr(self, field_.name, getattr(self, field_.name) + its)

    @property
    def finished(self) -> int:
        """Requests answered to the end."""
        return self.stopped + self.cut
