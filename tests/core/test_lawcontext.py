"""Long contexts make tokens dear: how that is told from minutes, and what it says of other requests."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_windows import CHAT, GENERATION, NOW_S, RAG, TRUE, drawn
from predictscale.core.law import LatencyTargets, Law, Mix
from predictscale.core.lawcapacity import CapacityLaw
from predictscale.core.lawcontext import (
    MOST_SPREAD,
    answer_spread,
    context_slope,
    contexts,
    mean_context,
)
from predictscale.core.lawfit import fit_law
from predictscale.core.lawguards import learn
from predictscale.core.lawwindows import Windows
from predictscale.core.needed import Demands, Limit

CONTEXT_S = 1e-7
MEAN = CHAT.context_tokens(0.0)
READING = replace(TRUE, context_s=CONTEXT_S, context_tokens=MEAN)
"""Half of what an output token costs at a chat's length is reading its context."""


def read(*, spread: float = 0.15, noise: float = 0.005, rows: int = 600, seed: int = 0) -> Windows:
    """Minutes of a chat whose contexts stray about their mean, on a replica that reads them."""
    windows = drawn(noise=noise, mix_spread=0.1, rows=rows, seed=seed)
    draw = np.random.default_rng(seed + 1)
    held = MEAN * np.exp(spread * draw.standard_normal(rows))
    loads = windows.rates @ np.array([TRUE.beta_s, TRUE.gamma_s])
    dearer = CONTEXT_S * windows.output_tokens_per_s * (held - MEAN)
    return replace(windows, itl_s=windows.itl_s * (1 - loads) / (1 - loads - dearer), context_tokens=held)


def test_what_contexts_cost_is_told_from_how_they_stray() -> None:
    law = fit_law(read(), now_s=NOW_S).law
    assert law.context_s == pytest.approx(CONTEXT_S, rel=0.15)
    assert law.beta_s == pytest.approx(TRUE.beta_s, rel=0.05)
    assert law.context_tokens == pytest.approx(MEAN, rel=0.03)


@pytest.mark.parametrize("mix", [GENERATION, RAG], ids=["generation", "rag"])
def test_other_lengths_are_answered_for(mix: Mix) -> None:
    slo = LatencyTargets(itl_s=0.05)
    learned = fit_law(read(), now_s=NOW_S).law
    true, found = READING.at(mix), learned.at(mix)
    asked = true.output_per_replica(true.boundary(slo, mix).utilization, mix)
    assert found.output_per_replica(found.boundary(slo, mix).utilization, mix) == pytest.approx(
        asked, rel=0.1
    )


def test_contexts_that_nobody_tells_change_nothing() -> None:
    windows = drawn()
    plain = fit_law(windows, now_s=NOW_S).law
    assert (plain.context_s, plain.context_tokens) == (0, 0)
    assert plain.at(RAG) is plain
    assert mean_context(windows) == 0


def test_a_cost_that_is_not_certain_is_none() -> None:
    # So much noise that it could as well be nothing.
    uncertain = [fit_law(read(noise=0.3, seed=seed, spread=0.02), now_s=NOW_S).law for seed in range(10)]
    assert sum(law.context_s == 0 for law in uncertain) >= 9


@pytest.mark.parametrize("seed", range(5))
def test_contexts_that_cost_nothing_are_not_made_to(seed: int) -> None:
    free = replace(drawn(seed=seed, rows=600), context_tokens=read(seed=seed).context_tokens)
    assert fit_law(free, now_s=NOW_S).law.context_s < 0.3 * CONTEXT_S


def test_contexts_that_are_short_just_after_prompts_do_not_make_prompts_cheap() -> None:
    windows = drawn(noise=0.005, mix_spread=0.2, rows=600)
    ratio = windows.input_tokens_per_s / windows.output_tokens_per_s
    strayed = np.random.default_rng(1).standard_normal(600)
    held = MEAN * np.exp(0.1 * strayed) * (ratio / np.median(ratio)) ** -0.8
    loads = windows.rates @ np.array([TRUE.beta_s, TRUE.gamma_s])
    dearer = CONTEXT_S * windows.output_tokens_per_s * (held - MEAN)
    told = replace(windows, itl_s=windows.itl_s * (1 - loads) / (1 - loads - dearer), context_tokens=held)
    assert fit_law(told, now_s=NOW_S).law.gamma_s == pytest.approx(TRUE.gamma_s, rel=0.1)
    untold = replace(told, context_tokens=np.full(600, np.nan))
    assert fit_law(untold, now_s=NOW_S).law.gamma_s < 0.75 * TRUE.gamma_s


def test_a_pool_that_only_prefills_has_no_contexts_to_read() -> None:
    windows = replace(read(), output_tokens_per_s=np.zeros(600))
    assert context_slope(windows, mean_tokens=MEAN, recency=np.ones(600)) == 0


def test_a_token_without_context_costs_no_less_than_nothing() -> None:
    steep = replace(read(), context_tokens=MEAN * (1 + 0.05 * (read().context_tokens / MEAN - 1)))
    law = fit_law(steep, now_s=NOW_S).law
    assert law.context_s <= law.beta_s / law.context_tokens * (1 + 1e-9)
    assert law.at(Mix(input_tokens=0, output_tokens=1)).beta_s >= 0


@given(st.floats(10, 5000), st.floats(10, 3000))
def test_longer_requests_never_cost_less(tokens: float, answer: float) -> None:
    mix = Mix(input_tokens=tokens, output_tokens=answer)
    longer = Mix(input_tokens=tokens + 100, output_tokens=answer)
    assert READING.at(longer).beta_s >= READING.at(mix).beta_s
    assert READING.at(mix).context_s == 0


def test_the_law_of_a_mix_is_that_of_the_windows_where_they_agree() -> None:
    assert READING.at(CHAT).beta_s == pytest.approx(TRUE.beta_s)
    assert isinstance(READING.at(CHAT), Law)


def test_replicas_are_counted_by_the_law_of_the_mean_request() -> None:
    learned = learn(read(), now_s=NOW_S, slo=LatencyTargets(itl_s=0.05))
    demand = Demands(requests_rps=100.0, input_tokens_per_s=0.0, output_tokens_per_s=1e6)
    replicas = [
        CapacityLaw(
            slo=LatencyTargets(itl_s=0.05), mix=mix, learned=learned, limits=frozenset({Limit.COMPUTE})
        )
        .needed(demand)
        .replicas
        for mix in (CHAT, replace(CHAT, input_tokens=8000.0))
    ]
    assert replicas[1] > 2 * replicas[0]


def test_what_running_requests_hold_tells_how_answers_spread() -> None:
    windows, kv_tokens, spread = drawn(), 400_000.0, 0.64
    usage = windows.running * CHAT.context_tokens(spread) / kv_tokens
    told = replace(windows, kv_usage=usage)
    assert answer_spread(told, CHAT, kv_tokens=kv_tokens) == pytest.approx(spread, rel=1e-6)
    assert answer_spread(told, CHAT, kv_tokens=None) == 0
    # Shared prefixes are held once; a cache that is full of something else is none of ours.
    assert answer_spread(replace(windows, kv_usage=usage / 10), CHAT, kv_tokens=kv_tokens) == 0
    assert answer_spread(replace(windows, kv_usage=usage * 100), CHAT, kv_tokens=kv_tokens) == MOST_SPREAD
    held = contexts(told, mean_tokens=CHAT.context_tokens(spread))
    known = ~np.isnan(held)
    assert held[known] == pytest.approx(CHAT.context_tokens(spread))
    assert np.isnan(held[told.running < 0.5]).all()


def test_nearly_idle_windows_say_nothing_of_contexts() -> None:
    windows = replace(drawn(rows=10), running=np.full(10, 0.1))
    assert np.isnan(contexts(windows, mean_tokens=MEAN)).all()
    assert answer_spread(windows, CHAT, kv_tokens=1e5) == 0
