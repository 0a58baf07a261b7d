"""Who asks for what, and when: classes of requests, arriving at a rate that may change.

Equal seeds give equal requests. The nth request of a stream has the same lengths whatever the
rate is, and its arrival only moves with the rate, so that two loads can be compared without
the noise between them. A run is the same however it is cut.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from predictscale.simulate.engine.request import Request

SLICE_S = 1.0
"""A rate is asked for once in each [s]."""

_DRAWN = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestClass:
    """Requests of one kind; lengths are log-normal, apart from the rounding to whole tokens.

    Args:
        input_tokens: Mean length of the prompt.
        output_tokens: Mean length of the answer.
        input_cv: Standard deviation of the prompt's length over its mean.
        output_cv: The same of the answer's.
        cached_share: The share of each prompt that the prefix cache holds, in [0, 1).
        timeout_s: A client gives up so long after its request arrived [s].

    Raises:
        ValueError: A number is out of its range.
    """

    input_tokens: float
    output_tokens: float
    input_cv: float = 0.8
    output_cv: float = 0.8
    cached_share: float = 0.0
    timeout_s: float = math.inf

    def __post_init__(self) -> None:
        finite = all(math.isfinite(n) for n in (self.input_tokens, self.output_tokens))
        if not (finite and self.input_tokens >= 1 and self.output_tokens >= 1):
            raise ValueError(f"{self}: prompts and answers have a token or more")
        if not (0 <= self.input_cv < math.inf and 0 <= self.output_cv < math.inf and self.timeout_s > 0):
            raise ValueError(f"{self}: spreads are finite and 0 or more, timeout_s is above 0")
        if not 0 <= self.cached_share < 1:
            raise ValueError(f"cached_share: {self.cached_share}; in [0, 1), something is computed")


CHAT = RequestClass(input_tokens=512, output_tokens=256)
GENERATION = RequestClass(input_tokens=200, output_tokens=800)
RAG = RequestClass(input_tokens=3000, output_tokens=200)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stream:
    """Requests of one class at a rate.

    Arrivals are a Poisson process; with bursts its rate is multiplied by a factor of mean 1 that is
    drawn anew, from a Gamma distribution, for each stretch.

    Args:
        kind: What they ask for.
        rate_rps: Requests per second, asked in the middle of each second after the fleet's origin [s].
        burst_cv: Standard deviation of the factor; 0 is Poisson.
        burst_s: Length of a stretch, a whole number of seconds [s].
    """

    kind: RequestClass
    rate_rps: Callable[[float], float]
    burst_cv: float = 0.0
    burst_s: float = 30.0

    def __post_init__(self) -> None:
        if not (0 <= self.burst_cv < math.inf and self.burst_s >= SLICE_S and self.burst_s % SLICE_S == 0):
            raise ValueError(f"burst: cv {self.burst_cv}, {self.burst_s} s; 0 or more, whole seconds")


@dataclass(frozen=True, slots=True)
class Mix:
    """Classes and their shares of the requests.

    Args:
        parts: (class, share); shares are above 0 and sum to 1.
    """

    parts: tuple[tuple[RequestClass, float], ...]

    def __post_init__(self) -> None:
        shares = [share for _, share in self.parts]
        if not (shares and min(shares) > 0 and math.isclose(sum(shares), 1.0)):
            raise ValueError(f"shares {shares}; above 0, and 1 in all")

    @classmethod
    def only(cls, kind: RequestClass) -> "Mix":
        """Requests of one class."""
        return cls(((kind, 1.0),))

    def streams(self, rate_rps: Callable[[float], float]) -> tuple[Stream, ...]:
        """One stream for each class, which together arrive at `rate_rps`."""
        return tuple(Stream(kind=kind, rate_rps=_part(rate_rps, share)) for kind, share in self.parts)


def constant(rps: float) -> Callable[[float], float]:
    """The same rate at all times."""
    return lambda _: rps


class Arrivals:
    """Requests of a stream in the order of their arrival, slice by slice.

    Args:
        stream: What arrives.
        seed: Of times and lengths, as numpy takes it.
        context_tokens: Longer requests are cut: the answer first, then the prompt.
    """

    __slots__ = ("_burst", "_context", "_due", "_factor", "_gaps", "_lengths", "_passed", "_stream")

    def __init__(self, stream: Stream, *, seed: list[int], context_tokens: int) -> None:
        self._stream = stream
        self._context = context_tokens
        self._gaps = _gaps(np.random.default_rng([*seed, 0]))
        self._lengths = _lengths(stream.kind, np.random.default_rng([*seed, 1]))
        self._burst = np.random.default_rng([*seed, 2])
        self._factor = 1.0
        # Requests expected until now, and the number at which the next one arrives.
        self._passed = 0.0
        self._due = next(self._gaps)

    def slice(self, place: int) -> list[Request]:
        """Arrivals of [place, place + 1) slices after the origin; slices are taken one after another.

        Raises:
            ValueError: The rate is negative or not finite.
        """
        start_s = place * SLICE_S
        rate = self._stream.rate_rps(start_s + SLICE_S / 2)
        if not 0 <= rate < math.inf:
            raise ValueError(f"rate_rps: {rate} at {start_s:g} s; missing demand is not zero")
        rate *= self._burstiness(start_s)
        end = self._passed + rate * SLICE_S
        arrived = []
        while self._due < end:
            arrived.append(self._request(start_s + (self._due - self._passed) / rate))
            self._due += next(self._gaps)
        self._passed = end
        return arrived

    def _burstiness(self, start_s: float) -> float:
        stream = self._stream
        if stream.burst_cv and start_s % stream.burst_s == 0:
            shape = stream.burst_cv**-2
            self._factor = float(self._burst.gamma(shape, 1 / shape))
        return self._factor

    def _request(self, at_s: float) -> Request:
        prompt, answer = next(self._lengths)
        kind = self._stream.kind
        tokens = min(prompt, self._context - 1)
        allowed = self._context - tokens
        return Request(
            arrived_s=at_s,
            input_tokens=tokens,
            cached_tokens=int(kind.cached_share * tokens),
            output_tokens=min(answer, allowed),
            timeout_s=kind.timeout_s,
            cut=answer > allowed,
        )


def _part(rate_rps: Callable[[float], float], share: float) -> Callable[[float], float]:
    return lambda at_s: share * rate_rps(at_s)


def _gaps(rng: np.random.Generator) -> Iterator[float]:
    while True:
        yield from rng.exponential(size=_DRAWN).tolist()


def _lengths(kind: RequestClass, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Prompts and answers [tokens]."""
    while True:
        normal = rng.standard_normal((_DRAWN, 2))
        columns = []
        for mean, cv, drawn in (
            (kind.input_tokens, kind.input_cv, normal[:, 0]),
            (kind.output_tokens, kind.output_cv, normal[:, 1]),
        ):
            variance = math.log1p(cv**2)
            long = mean * np.exp(math.sqrt(variance) * drawn - variance / 2)
            columns.append(np.maximum(np.rint(long), 1).astype(int).tolist())
        yield from zip(*columns, strict=True)
