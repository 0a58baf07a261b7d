"""What one replica can really do: the highest load at which it keeps its promises, found by trying.

Every load is tried with the same requests in the same order, only closer together, so what
differs is the load. Knows nothing of any formula for capacity: it is what formulas are judged by.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from predictscale.simulate.engine.fleet import ORIGIN, Fleet
from predictscale.simulate.engine.ledger import Truth
from predictscale.simulate.engine.spec import EngineSpec
from predictscale.simulate.engine.traffic import Mix, constant

_WARM_S = 300.0
_FIRST_RPS = 1.0
_MOST_RPS = 10_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TrueCapacity:
    """The highest load of one replica that keeps both promises, and what it is like there.

    Args:
        rps: Requests per second.
        input_tokens_per_s: Prompt tokens that are not cached.
        output_tokens_per_s: Tokens of the answers.
        mean_itl_s: Mean time between tokens at that load [s].
        p95_ttft_s: 95th percentile of the time to first token at that load [s].
        binds: Which promise is broken a little above: `itl` or `ttft`.
    """

    rps: float
    input_tokens_per_s: float
    output_tokens_per_s: float
    mean_itl_s: float
    p95_ttft_s: float
    binds: str


@lru_cache(maxsize=256)
def true_capacity(
    mix: Mix,
    *,
    itl_slo_s: float,
    ttft_slo_s: float,
    spec: EngineSpec | None = None,
    run_s: float = 3600.0,
    accuracy: float = 0.005,
    seed: int = 0,
) -> TrueCapacity:
    """Find it by bisection on the load; the same question is answered from memory.

    Half an hour of other requests moves the answer by one or two percent, and by up to three where the
    time to first token binds; twice as long, by less.

    Args:
        mix: What is asked.
        itl_slo_s: The mean time between tokens may not exceed this [s].
        ttft_slo_s: Nor the 95th percentile of the time to first token this [s].
        spec: The engine.
        run_s: How long each load is looked at, after 300 s that are not looked at [s].
        accuracy: Relative width of the interval that is left.
        seed: Of the requests.

    Raises:
        ValueError: The promises are not kept at any load, or at all loads tried.
    """
    engine = spec or EngineSpec()

    def tried(rps: float) -> Truth:
        return _try(mix, engine, rps, run_s, seed)

    def kept(truth: Truth) -> bool:
        return truth.mean_itl_s <= itl_slo_s and truth.ttft_quantile_s(0.95) <= ttft_slo_s

    high = _FIRST_RPS
    while kept(above := tried(high)):
        high *= 2
        if high > _MOST_RPS:
            raise ValueError(f"{high:g} requests/s keep ITL {itl_slo_s:g} s and TTFT {ttft_slo_s:g} s")
    low = high / 2
    while not kept(best := tried(low)):
        above, high, low = best, low, low / 2
        if low * run_s < 10:
            raise ValueError(f"{low:g} requests/s break ITL {itl_slo_s:g} s or TTFT {ttft_slo_s:g} s")
    while high - low > accuracy * low:
        middle = (low + high) / 2
        truth = tried(middle)
        if kept(truth):
            low, best = middle, truth
        else:
            high, above = middle, truth
    return TrueCapacity(
        rps=low,
        input_tokens_per_s=low * sum(s * k.input_tokens * (1 - k.cached_share) for k, s in mix.parts),
        output_tokens_per_s=low * sum(s * k.output_tokens for k, s in mix.parts),
        mean_itl_s=best.mean_itl_s,
        p95_ttft_s=best.ttft_quantile_s(0.95),
        binds="itl" if above.mean_itl_s > itl_slo_s else "ttft",
    )


def _try(mix: Mix, spec: EngineSpec, rps: float, run_s: float, seed: int) -> Truth:
    fleet = Fleet(spec=spec, streams=mix.streams(constant(rps)), bin_s=_WARM_S, seed=seed)
    since = ORIGIN + timedelta(seconds=_WARM_S)
    until = since + timedelta(seconds=run_s)
    fleet.run(until)
    return fleet.truth(since, until)
