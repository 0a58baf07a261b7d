"""Two pools: each sized for its own part of the demand, by the note's formulas."""

import math
from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from made_windows import CHAT, NOW_S, minutes
from predictscale.core.law import LatencyTargets
from predictscale.core.lawcapacity import Configured, Engine
from predictscale.core.lawguards import Learned, learn
from predictscale.core.lawsplit import SplitLaw, decode_pool, prefill_pool
from predictscale.core.lawwindows import Windows
from predictscale.core.needed import Demands, Limit

ALPHA_P_S, GAMMA_S = 0.05, 5e-5
ALPHA_D_S, BETA_S = 0.01, 1.5e-4


def prefilled(rows: int = 200) -> Learned:
    rate = np.random.default_rng(0).uniform(500, 9000, rows)
    windows = Windows.of_prefill(
        ends_s=minutes(rows),
        batch_s=ALPHA_P_S / (1 - GAMMA_S * rate),
        input_tokens_per_s=rate,
        batches=np.full(rows, 600.0),
    )
    return learn(windows, now_s=NOW_S, slo=LatencyTargets(itl_s=0.2))


def decoded(rows: int = 200) -> Learned:
    rate = np.random.default_rng(1).uniform(100, 2500, rows)
    windows = Windows(
        ends_s=minutes(rows),
        itl_s=ALPHA_D_S / (1 - BETA_S * rate),
        output_tokens_per_s=rate,
        input_tokens_per_s=np.zeros(rows),
        work=rate * 60,
    )
    return learn(windows, now_s=NOW_S, slo=LatencyTargets(itl_s=0.04))


PREFILL, DECODE = prefilled(), decoded()


def pools(*, kv_tokens: float | None = None) -> SplitLaw:
    return SplitLaw(
        prefill=prefill_pool(batch_s=0.2, mix=CHAT, learned=PREFILL, imbalance=0),
        decode=decode_pool(
            itl_s=0.04, mix=CHAT, engine=Engine(kv_tokens=kv_tokens), learned=DECODE, imbalance=0
        ),
    )


def test_each_pool_is_filled_by_its_own_tokens() -> None:
    # U_p = 1 - 50/200, U_d = 1 - 10/40.
    needed = pools().needed(Demands(requests_rps=200))
    assert needed.prefill.replicas == math.ceil(GAMMA_S * 200 * 512 / 0.75)
    assert needed.decode.replicas == math.ceil(BETA_S * 200 * 256 / 0.75)
    assert needed.prefill.because.startswith("input tokens bind: 102,400 tok/s over 15,000")
    assert needed.prefill.because.endswith("at prefill time 200 ms")
    assert needed.decode.because.startswith("output tokens bind: 51,200 tok/s over 5,000")


def test_the_cache_is_the_decode_pools() -> None:
    needed = pools(kv_tokens=100_000).needed(Demands(requests_rps=200))
    assert needed.decode.binding is Limit.KV
    assert needed.decode.replicas == math.ceil(200 * 256 * 0.04 * (512 + 128) / 90_000)
    assert needed.prefill.binding is Limit.COMPUTE


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_more_of_one_kind_moves_one_pool(input_rate: float, output_rate: float, more: float) -> None:
    def of(computed: float, output: float) -> tuple[int, int]:
        demand = Demands(requests_rps=1, input_tokens_per_s=computed, output_tokens_per_s=output)
        needed = pools(kv_tokens=1e6).needed(demand)
        return needed.prefill.replicas, needed.decode.replicas

    plain = of(input_rate, output_rate)
    longer_prompts, longer_answers = of(input_rate + more, output_rate), of(input_rate, output_rate + more)
    assert longer_prompts[0] >= plain[0]
    assert longer_prompts[1] == plain[1]
    assert longer_answers[0] == plain[0]
    assert longer_answers[1] >= plain[1]


def test_a_pool_without_a_law_is_sized_by_what_its_own_work_showed() -> None:
    early = prefilled(rows=20)
    assert early.fit is None
    pool = prefill_pool(batch_s=0.2, mix=CHAT, learned=early, imbalance=0)
    # Output tokens, which this pool never makes, cost it nothing.
    low = pool.needed(Demands(input_tokens_per_s=50_000, output_tokens_per_s=0))
    assert low == pool.needed(Demands(input_tokens_per_s=50_000, output_tokens_per_s=1e6))
    assert low.binding is Limit.SEEN
    assert low.replicas in range(5, 9)


def test_the_owner_configures_pools_one_by_one() -> None:
    owner = Configured(per_replica=Demands(input_tokens_per_s=10_000))
    both = replace(pools(), prefill=prefill_pool(batch_s=0.2, mix=CHAT, configured=owner))
    needed = both.needed(Demands(requests_rps=200))
    assert needed.prefill.replicas == 11
    assert needed.prefill.binding is Limit.CONFIGURED
    assert needed.decode == pools().needed(Demands(requests_rps=200)).decode


def test_the_mean_request_stands_in_for_the_rate_that_is_not_told() -> None:
    told, derived = Demands(requests_rps=200), Demands(output_tokens_per_s=200 * 256)
    assert pools().needed(derived) == pools().needed(told)
