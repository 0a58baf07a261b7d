"""The algebra of the law, by the formulas of the design note."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_windows import CHAT, GENERATION, RAG, TRUE
from predictscale.core.law import LEAST_USABLE, MOST_USABLE, LatencyTargets, Law, Mix, TtftLine

SHARES = st.floats(0.01, 0.99)
SECONDS = st.floats(0.001, 10)
NAN = float("nan")


def iterated(law: Law, *, output: float, computed: float) -> float:
    """ITL found without algebra: an iteration lasts as long as what Little's law puts into it."""
    t = law.alpha_s
    for _ in range(20_000):
        running, prefilled = output * t, computed * t
        t = law.alpha_s + law.beta_s * running + law.gamma_s * prefilled
    return t


@given(SHARES, SHARES)
def test_the_law_is_the_fixed_point_of_batch_and_arrivals(load: float, split: float) -> None:
    # An iteration takes alpha + beta B + gamma P, with B = y_out ITL and P = y_in ITL: ITL / (1 - U).
    output, computed = load * split / TRUE.beta_s, load * (1 - split) / TRUE.gamma_s
    found = iterated(TRUE, output=output, computed=computed)
    assert TRUE.itl_s(TRUE.utilization(output, computed)) == pytest.approx(found, rel=1e-6)


@given(st.floats(0, 0.9))
def test_one_over_itl_is_linear_in_the_rates(load: float) -> None:
    output = load / TRUE.beta_s
    line = 1 / TRUE.alpha_s - TRUE.beta_s / TRUE.alpha_s * output
    assert 1 / TRUE.itl_s(TRUE.utilization(output, 0)) == pytest.approx(line)


def test_a_full_replica_answers_never() -> None:
    assert TRUE.itl_s(1.0) == TRUE.itl_s(1.5) == math.inf


def test_the_boundary_of_itl_is_the_formula_of_the_note() -> None:
    boundary = TRUE.boundary(LatencyTargets(itl_s=0.05), CHAT)
    assert boundary.utilization == pytest.approx(1 - 0.012 / 0.05)
    assert boundary.itl_s == pytest.approx(0.05)
    assert boundary.because == "ITL 50 ms"


def test_the_time_to_first_token_binds_where_prompts_are_long() -> None:
    slo = LatencyTargets(itl_s=0.05, ttft_p95_s=1.0)
    assert TRUE.boundary(slo, CHAT).because == "ITL 50 ms"
    boundary = TRUE.boundary(slo, RAG)
    k0, k1 = 3.3, 1.8
    itl_s = TRUE.alpha_s * (1 + (1.0 / (TRUE.gamma_s * 3000) - k0) / k1)
    assert boundary.itl_s == pytest.approx(itl_s)
    assert boundary.because == "p95 TTFT 1 s"
    assert TRUE.ttft_factors() == pytest.approx((k0, k1))


@given(SECONDS, st.sampled_from([CHAT, GENERATION, RAG]))
def test_at_the_stretch_it_answers_the_line_reaches_the_target(ttft_s: float, mix: Mix) -> None:
    assert TRUE.ttft is not None
    assert TRUE.ttft.ttft_s(TRUE.ttft.stretch(ttft_s, mix), mix) == pytest.approx(ttft_s)


@given(SECONDS, SECONDS, st.floats(1, 3))
def test_a_looser_promise_never_lowers_the_boundary(itl_s: float, ttft_s: float, more: float) -> None:
    tight = TRUE.boundary(LatencyTargets(itl_s=itl_s, ttft_p95_s=ttft_s), RAG)
    assert (
        TRUE.boundary(LatencyTargets(itl_s=itl_s * more, ttft_p95_s=ttft_s), RAG).utilization
        >= tight.utilization
    )
    assert (
        TRUE.boundary(LatencyTargets(itl_s=itl_s, ttft_p95_s=ttft_s * more), RAG).utilization
        >= tight.utilization
    )
    assert LEAST_USABLE <= tight.utilization <= MOST_USABLE


def test_what_replicas_cannot_give_is_not_bought() -> None:
    boundary = TRUE.boundary(LatencyTargets(itl_s=0.010), CHAT)
    assert boundary.utilization == LEAST_USABLE
    assert not boundary.in_reach
    assert boundary.because == "25% of a replica, for even an empty replica misses ITL 10 ms"
    near = TRUE.boundary(LatencyTargets(itl_s=0.0125), CHAT)
    assert near.in_reach
    assert "nearly empty" in near.because


def test_a_generous_promise_leaves_a_rest_of_the_replica_unused() -> None:
    boundary = TRUE.boundary(LatencyTargets(itl_s=5.0), CHAT)
    assert boundary.utilization == MOST_USABLE
    assert boundary.itl_s == pytest.approx(0.012 / 0.08)
    assert boundary.because == "92% of a replica"


def test_a_line_that_is_flat_binds_all_or_nothing() -> None:
    flat = replace(TRUE, ttft=TtftLine(base_s=1e-3, slope_s=0.0))
    assert flat.boundary(LatencyTargets(itl_s=0.05, ttft_p95_s=1.0), CHAT).because == "ITL 50 ms"
    assert not flat.boundary(LatencyTargets(itl_s=0.05, ttft_p95_s=0.5), CHAT).in_reach


def test_cached_tokens_cost_no_compute() -> None:
    cached = replace(RAG, cached_share=0.9)
    assert cached.uncached_tokens == pytest.approx(300)
    assert TRUE.output_per_replica(0.7, cached) > TRUE.output_per_replica(0.7, RAG)


def test_the_output_of_a_replica_fills_it_to_the_boundary() -> None:
    output = TRUE.output_per_replica(0.7, CHAT)
    assert TRUE.utilization(output, output * 512 / 256) == pytest.approx(0.7)
    assert output == pytest.approx(0.7 * 256 / (TRUE.beta_s * 256 + TRUE.gamma_s * 512))


def test_time_in_the_system_is_queue_prefill_and_decode() -> None:
    slo = LatencyTargets(itl_s=0.05, queue_s=0.2)
    assert TRUE.time_in_system_s(0.05, slo, CHAT) == pytest.approx(0.2 + 0.8e-4 * 512 + 256 * 0.05)


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_coefficients_that_cannot_be_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="alpha_s"):
        replace(TRUE, alpha_s=bad)
    with pytest.raises(ValueError, match="beta_s"):
        replace(TRUE, beta_s=bad)
    with pytest.raises(ValueError, match="gamma_s"):
        replace(TRUE, gamma_s=bad)
    with pytest.raises(ValueError, match="base_s"):
        TtftLine(base_s=bad, slope_s=0)
    with pytest.raises(ValueError, match="itl_s"):
        LatencyTargets(itl_s=bad)
    with pytest.raises(ValueError, match="mix"):
        Mix(input_tokens=bad, output_tokens=1)


def test_a_law_in_which_work_takes_no_time_is_none() -> None:
    with pytest.raises(ValueError, match="takes time"):
        Law(alpha_s=0.01, beta_s=0, gamma_s=0)
    with pytest.raises(ValueError, match="takes time"):
        Law(alpha_s=0, beta_s=1e-4, gamma_s=0)
    with pytest.raises(ValueError, match="promised"):
        LatencyTargets(itl_s=0.0)
    with pytest.raises(ValueError, match="cached"):
        Mix(input_tokens=1, output_tokens=1, cached_share=1.5)


@pytest.mark.parametrize(
    ("computed", "prompt", "output", "expected"),
    [
        (NAN, 512, 256, None),
        (512, 512, NAN, None),
        (512, 512, 0.0, None),
        (512, NAN, 256, Mix(input_tokens=512, output_tokens=256)),
        (600, 512, 256, Mix(input_tokens=600, output_tokens=256)),
        (384, 512, 256, Mix(input_tokens=512, output_tokens=256, cached_share=0.25)),
        (0, 0, 1, Mix.of_requests()),
    ],
)
def test_a_mean_request_needs_both_lengths(
    computed: float, prompt: float, output: float, expected: Mix | None
) -> None:
    assert Mix.of_tokens(computed=computed, prompt=prompt, output=output) == expected


def test_a_sum_that_ends_in_another_digit_is_no_cached_share() -> None:
    once = math.fsum([0.1] * 10) * 512
    twice = sum([0.1] * 10) * 512
    assert once != twice
    assert Mix.of_tokens(computed=twice, prompt=once, output=1.0) == Mix(input_tokens=once, output_tokens=1.0)
    quarter = Mix.of_tokens(computed=0.75 * twice, prompt=once, output=1.0)
    assert quarter is not None
    assert quarter.cached_share == 0.25
