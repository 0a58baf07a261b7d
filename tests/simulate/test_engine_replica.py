"""One engine: its bookkeeping against a walk token by token, and its limits."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_fleets import QUIET, asked
from naive_engine import NaiveEngine, Told
from predictscale.simulate.engine.ledger import sum_up
from predictscale.simulate.engine.replica import Engine
from predictscale.simulate.engine.request import Request, State
from predictscale.simulate.engine.spec import EngineSpec

SMALL = EngineSpec(
    noise=0.0, kv_token_s=1e-5, batched_tokens=40, running=6, kv_blocks=24, block_tokens=4, context_tokens=80
)
ASKED = st.lists(
    st.tuples(
        st.floats(0, 0.2),  # seconds since the one before
        st.integers(1, 50),
        st.floats(0, 0.99),  # share that is cached
        st.integers(1, 30),
        st.sampled_from([math.inf, math.inf, 0.1, 0.5]),
    ),
    min_size=1,
    max_size=25,
)


def told(asks: list[tuple[float, int, float, int, float]]) -> list[Told]:
    at_s, made = 0.0, []
    for gap_s, tokens, share, answer, timeout_s in asks:
        # Odd enough that nobody arrives at the very end of an iteration.
        at_s += gap_s + 1.37e-7
        made.append(Told(at_s, tokens, int(share * tokens), answer, timeout_s))
    return made


def submitted(engine: Engine, asks: list[Told]) -> list[Request]:
    requests = []
    for one in asks:
        engine.run(one.arrived_s)
        request = Request(
            arrived_s=one.arrived_s,
            input_tokens=one.tokens,
            cached_tokens=one.cached,
            output_tokens=one.answer,
            timeout_s=one.timeout_s,
        )
        engine.submit(request, one.arrived_s)
        requests.append(request)
    return requests


@given(ASKED)
def test_the_bookkeeping_agrees_with_a_walk_token_by_token(
    asks: list[tuple[float, int, float, int, float]],
) -> None:
    naive, expected = NaiveEngine(SMALL), told(asks)
    naive.serve(expected)
    engine = Engine(SMALL, bin_s=1e6)
    requests = submitted(engine, told(asks))
    engine.run(1e5)
    for request, one in zip(requests, expected, strict=True):
        assert request.state is (State.ABORTED if one.aborted else State.FINISHED)
        if not one.aborted:
            assert request.last_token_s == pytest.approx(one.ended_s)
            assert request.first_token_s == pytest.approx(one.given_s[0])
    truth = sum_up([engine.ledger], 0, 1e6)
    gaps = [b - a for one in expected for a, b in pairwise(one.given_s)]
    assert truth.generated_tokens == engine.meters.generation_tokens == sum(len(o.given_s) for o in expected)
    if gaps:
        assert truth.mean_itl_s == pytest.approx(sum(gaps) / len(gaps))
        assert engine.meters.itl.count == len(gaps)
    assert engine.meters.preemptions == truth.preempted == naive.preempted
    assert (engine.outstanding, engine.kv_blocks_used, engine.kv_tokens) == (0, 0, 0)


def test_the_walk_is_not_spared_preemptions() -> None:
    """Otherwise the test above would say little about them."""
    engine = Engine(SMALL)
    for _ in range(6):
        asked(engine, tokens=14, answer=30)
    engine.run(100.0)
    assert engine.meters.preemptions > 0
    assert engine.meters.stopped == 6


@given(ASKED, st.lists(st.floats(0, 5), max_size=20))
def test_memory_and_batch_are_never_overcommitted_and_nobody_is_forgotten(
    asks: list[tuple[float, int, float, int, float]], looks: list[float]
) -> None:
    engine = Engine(SMALL)
    submitted(engine, told(asks))
    begin_s = told(asks)[-1].arrived_s
    for look in sorted(looks):
        engine.run(begin_s + look)
        assert 0 <= engine.kv_blocks_used <= SMALL.kv_blocks
        assert engine.kv_tokens <= SMALL.kv_tokens
        assert engine.running <= SMALL.running
        meters = engine.meters
        assert meters.received == meters.finished + meters.aborted + engine.running + engine.waiting


def test_a_request_alone_takes_what_the_iterations_cost() -> None:
    engine = Engine(QUIET)
    request = asked(engine, tokens=1000, answer=3)
    engine.run(10.0)
    prefill_s = QUIET.iteration_s + 1000 * (QUIET.prefill_token_s + QUIET.kv_token_s)
    assert request.first_token_s == pytest.approx(prefill_s)
    decode_s = [QUIET.iteration_s + QUIET.decode_s + QUIET.kv_token_s * (1000 + n) for n in (1, 2)]
    assert request.last_token_s == pytest.approx(prefill_s + sum(decode_s))


def test_a_long_prompt_is_computed_in_chunks_beside_those_who_decode() -> None:
    engine = Engine(QUIET)
    asked(engine, tokens=10, answer=100)
    engine.run(engine.ends_s)
    asked(engine, tokens=5000, answer=1, at_s=0.005)
    computed = []
    engine.run(engine.ends_s)  # the iteration that was under way
    for _ in range(4):
        before = engine.meters.computed_tokens
        engine.run(engine.ends_s)
        computed.append(engine.meters.computed_tokens - before)
    assert computed == [2047, 2047, 906, 0]


def test_a_cached_prompt_is_not_computed_but_held() -> None:
    cold, warm = Engine(QUIET), Engine(QUIET)
    slow = asked(cold, tokens=1600, answer=2)
    quick = asked(warm, tokens=1600, answer=2, cached=1200)
    assert warm.kv_blocks_used == cold.kv_blocks_used == 100
    cold.run(1.0)
    warm.run(1.0)
    assert slow.first_token_s - quick.first_token_s == pytest.approx(1200 * QUIET.prefill_token_s)
    meters = warm.meters
    assert (meters.computed_tokens, meters.hit_tokens, meters.prompt_tokens) == (400, 1200, 1600)


def test_who_does_not_fit_into_the_batch_waits_in_the_order_of_arrival() -> None:
    engine = Engine(replace(QUIET, running=2))
    requests = [asked(engine, tokens=10, answer=answer) for answer in (5, 50, 1, 1)]
    engine.run(engine.ends_s)
    assert (engine.running, engine.waiting) == (2, 2)
    engine.run(10.0)
    first = [request.first_token_s for request in requests]
    assert first == sorted(first)
    assert first[2] > requests[0].last_token_s


def test_the_last_one_admitted_is_preempted_and_finishes_with_every_token() -> None:
    engine = Engine(SMALL)
    first, second = (asked(engine, tokens=40, answer=30) for _ in range(2))
    engine.run(100.0)
    assert engine.meters.preemptions == 1
    assert engine.meters.generation_tokens == 60
    assert first.last_token_s < second.last_token_s
    # Its tokens are computed anew, with those that it had generated.
    assert engine.meters.computed_tokens > 40 + 40 + 1
    assert engine.meters.prompt_tokens == 80


def test_a_client_that_gives_up_frees_its_memory() -> None:
    engine = Engine(QUIET)
    request = Request(arrived_s=0.0, input_tokens=100, output_tokens=10_000, timeout_s=1.0)
    engine.submit(request, 0.0)
    engine.run(0.99)
    assert engine.kv_blocks_used > 0
    engine.run(1.1)
    assert request.state is State.ABORTED
    assert (engine.kv_blocks_used, engine.outstanding, engine.meters.aborted) == (0, 0, 1)
    assert engine.ends_s == math.inf


def test_an_evicted_engine_is_empty_and_names_those_it_held() -> None:
    engine = Engine(SMALL)
    requests = [asked(engine, tokens=14, answer=30) for _ in range(9)]
    engine.run(0.05)
    assert set(engine.evict()) == set(requests)
    assert (engine.outstanding, engine.kv_blocks_used, engine.kv_tokens) == (0, 0, 0)
    again = asked(engine, tokens=14, answer=30, at_s=0.05)
    engine.run(10.0)
    assert again.state is State.FINISHED


def test_noise_keeps_the_mean_and_follows_the_seed() -> None:
    def ended(seed: int, noise: float) -> float:
        engine = Engine(replace(QUIET, noise=noise), seed=seed)
        request = asked(engine, tokens=10, answer=20_000)
        engine.run(1e4)
        return request.last_token_s

    assert ended(1, 0.2) == ended(1, 0.2)
    assert ended(1, 0.2) != ended(2, 0.2)
    assert ended(1, 0.2) == pytest.approx(ended(1, 0.0), rel=0.01)


@pytest.mark.parametrize(("cached", "answer"), [(10, 10), (-1, 10), (0, 0), (0, 32_768)])
def test_a_request_that_cannot_be_served_is_refused(cached: int, answer: int) -> None:
    with pytest.raises(ValueError, match="tokens"):
        asked(Engine(QUIET), tokens=10, cached=cached, answer=answer)


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"iteration_s": 0.0}, "costs are"),
        ({"decode_s": -1.0}, "costs are"),
        ({"noise": math.nan}, "costs are"),
        ({"running": 0}, "limits are"),
        ({"context_tokens": 1}, "limits are"),
        ({"running": 4096}, "each decodes one"),
        ({"kv_blocks": 100}, "holds 1600"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        EngineSpec(**wrong)
