"""Requests follow their class, their rate and their seed, and nothing else."""

import math
from typing import Any

import numpy as np
import pytest

from predictscale.simulate.engine.request import Request
from predictscale.simulate.engine.traffic import CHAT, RAG, Arrivals, Mix, RequestClass, Stream, constant


def drawn(
    rate: Any = 10.0, *, seconds: int = 1000, kind: RequestClass = CHAT, seed: int = 1, **more: Any
) -> list[Request]:
    rate_rps = rate if callable(rate) else constant(rate)
    stream = Stream(kind=kind, rate_rps=rate_rps, **more)
    arrivals = Arrivals(stream, seed=[seed], context_tokens=32_768)
    return [request for place in range(seconds) for request in arrivals.slice(place)]


def lengths(requests: list[Request]) -> list[tuple[int, int]]:
    return [(request.input_tokens, request.output_tokens) for request in requests]


def test_requests_come_at_their_rate_with_their_lengths_and_spreads() -> None:
    requests = drawn(20.0, seconds=2000)
    assert len(requests) == pytest.approx(40_000, rel=0.02)
    prompts, answers = np.array(lengths(requests)).T
    for told, mean, cv in ((prompts, 512, 0.8), (answers, 256, 0.8)):
        assert told.mean() == pytest.approx(mean, rel=0.02)
        assert told.std() / told.mean() == pytest.approx(cv, rel=0.05)
        assert told.min() >= 1


def test_arrivals_are_poisson_and_bursts_make_them_more_varied() -> None:
    def dispersion(burst_cv: float) -> float:
        at = [request.arrived_s for request in drawn(20.0, seconds=6000, burst_cv=burst_cv, burst_s=30.0)]
        counts, _ = np.histogram(at, bins=200, range=(0, 6000))
        return float(counts.var() / counts.mean())

    assert dispersion(0.0) == pytest.approx(1.0, abs=0.35)
    # Within one stretch of 30 s: 1 + mean count * cv squared.
    assert dispersion(0.5) == pytest.approx(1 + 600 * 0.25, rel=0.35)


def test_arrivals_are_in_order_and_follow_a_rate_that_changes() -> None:
    requests = drawn(lambda at_s: 40.0 if at_s >= 500 else 10.0)
    at = np.array([request.arrived_s for request in requests])
    assert (np.diff(at) >= 0).all()
    assert (at >= 500).sum() / (at < 500).sum() == pytest.approx(4.0, rel=0.1)


def test_nobody_comes_while_the_rate_is_zero() -> None:
    requests = drawn(lambda at_s: 0.0 if at_s < 300 else 5.0)
    assert requests
    assert min(request.arrived_s for request in requests) >= 300


def test_the_nth_request_is_the_same_at_any_rate_only_sooner() -> None:
    slow, quick = drawn(5.0, seconds=400), drawn(10.0, seconds=200)
    assert lengths(slow) == lengths(quick)
    assert [r.arrived_s for r in slow] == pytest.approx([2 * r.arrived_s for r in quick])


def test_equal_seeds_are_equal_requests_and_others_are_others() -> None:
    assert lengths(drawn(seed=1)) == lengths(drawn(seed=1))
    assert lengths(drawn(seed=1)) != lengths(drawn(seed=2))


def test_what_is_cached_is_a_share_of_the_prompt_and_never_all_of_it() -> None:
    kind = RequestClass(input_tokens=3, output_tokens=5, cached_share=0.9)
    for request in drawn(kind=kind, seconds=100):
        assert request.cached_tokens == int(0.9 * request.input_tokens)
        assert request.cached_tokens < request.input_tokens


def test_a_request_beyond_the_context_is_cut_and_says_so() -> None:
    kind = RequestClass(input_tokens=800, output_tokens=800)
    arrivals = Arrivals(Stream(kind=kind, rate_rps=constant(20.0)), seed=[1], context_tokens=1000)
    requests = [request for place in range(100) for request in arrivals.slice(place)]
    assert all(r.input_tokens + r.output_tokens <= 1000 for r in requests)
    assert {r.cut for r in requests} == {True, False}
    assert all(r.input_tokens + r.output_tokens == 1000 for r in requests if r.cut)


def test_a_mix_shares_one_rate() -> None:
    mix = Mix(((CHAT, 0.75), (RAG, 0.25)))
    rates = [stream.rate_rps(7.0) for stream in mix.streams(lambda at_s: 4 * at_s)]
    assert rates == [21.0, 7.0]


@pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf])
def test_a_rate_that_is_none_is_refused_and_not_taken_for_zero(rate: float) -> None:
    with pytest.raises(ValueError, match="missing demand is not zero"):
        drawn(rate, seconds=1)


def test_what_cannot_be_asked_is_refused() -> None:
    for wrong in (
        {"input_tokens": 0.5},
        {"output_tokens": math.nan},
        {"input_cv": -1},
        {"cached_share": 1.0},
        {"timeout_s": 0},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RequestClass(**{"input_tokens": 10, "output_tokens": 10, **wrong})
    with pytest.raises(ValueError, match="shares"):
        Mix(((CHAT, 0.5), (RAG, 0.6)))
    with pytest.raises(ValueError, match="whole seconds"):
        Stream(kind=CHAT, rate_rps=constant(1.0), burst_s=1.5)
