"""The capacity that is found by trying is one: kept below, broken above."""

from datetime import timedelta
from functools import partial

import pytest

from engine_fleets import after, chat_fleet
from predictscale.simulate.engine.capacity import true_capacity
from predictscale.simulate.engine.ledger import Truth
from predictscale.simulate.engine.spec import EngineSpec
from predictscale.simulate.engine.traffic import RAG, Mix

# A small machine is loaded by few requests, so each try is quick.
SMALL = EngineSpec(decode_s=1e-3, prefill_token_s=2e-4, kv_token_s=1e-6)
CAPACITY = partial(true_capacity, spec=SMALL, run_s=600.0, accuracy=0.02)
MIX = Mix.only(RAG)


def at_load(rps: float, *, seed: int) -> Truth:
    fleet = chat_fleet(rps, mix=MIX, spec=SMALL, bin_s=300.0, seed=seed)
    until = after(300) + timedelta(seconds=3000)
    fleet.run(until)
    return fleet.truth(after(300), until)


def test_below_it_the_promise_is_kept_and_above_it_broken_with_other_requests_too() -> None:
    found = CAPACITY(MIX, itl_slo_s=0.1, ttft_slo_s=60.0)
    assert found.binds == "itl"
    assert at_load(0.85 * found.rps, seed=7).mean_itl_s < 0.1
    assert at_load(1.15 * found.rps, seed=7).mean_itl_s > 0.1
    assert found.mean_itl_s == pytest.approx(0.1, rel=0.1)


def test_a_stricter_promise_never_means_more_capacity() -> None:
    by_itl = [CAPACITY(MIX, itl_slo_s=slo_s, ttft_slo_s=60.0).rps for slo_s in (0.05, 0.1, 0.2)]
    by_ttft = [CAPACITY(MIX, itl_slo_s=0.2, ttft_slo_s=slo_s).rps for slo_s in (3.0, 5.0, 60.0)]
    assert by_itl == sorted(by_itl)
    assert by_ttft == sorted(by_ttft)
    assert by_ttft[0] < by_ttft[-1]


def test_the_promise_that_breaks_first_is_named() -> None:
    assert CAPACITY(MIX, itl_slo_s=0.2, ttft_slo_s=3.0).binds == "ttft"


def test_tokens_follow_from_requests_and_the_mix() -> None:
    found = CAPACITY(MIX, itl_slo_s=0.1, ttft_slo_s=60.0)
    assert found.input_tokens_per_s == pytest.approx(found.rps * 3000)
    assert found.output_tokens_per_s == pytest.approx(found.rps * 200)


def test_the_same_question_is_answered_from_memory() -> None:
    once = CAPACITY(MIX, itl_slo_s=0.1, ttft_slo_s=60.0)
    assert CAPACITY(Mix.only(RAG), itl_slo_s=0.1, ttft_slo_s=60.0) is once


def test_a_promise_that_no_load_keeps_is_refused() -> None:
    with pytest.raises(ValueError, match=r"break ITL 0\.001 s"):
        CAPACITY(MIX, itl_slo_s=0.001, ttft_slo_s=60.0)
