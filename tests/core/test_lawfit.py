"""The fit against windows whose truth is known."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_windows import CHAT, GENERATION, NOW_S, RAG, TRUE, drawn, full, joined, minutes, with_columns
from predictscale.core.law import LatencyTargets, Law, Mix
from predictscale.core.lawbusy import fit_busy
from predictscale.core.lawfit import INPUT_COST, SPANS_S, LawFit, fit_law
from predictscale.core.lawregression import regress
from predictscale.core.lawttft import fit_ttft
from predictscale.core.lawwindows import Windows, usable
from predictscale.core.series import Floats
from predictscale.errors import FitFailed, NotEnoughHistory

SLO = LatencyTargets(itl_s=0.05, ttft_p95_s=1.0)


def fitted(windows: Windows) -> LawFit:
    return fit_law(windows, now_s=NOW_S)


def capacity(law: Law, mix: Mix, slo: LatencyTargets = SLO) -> float:
    return law.output_per_replica(law.boundary(slo, mix).utilization, mix)


def miss(windows: Windows, mix: Mix, slo: LatencyTargets = SLO) -> float:
    """Of the capacity at the boundary, as a share of the true one."""
    return capacity(fitted(windows).law, mix, slo) / capacity(TRUE, mix, slo) - 1


def test_without_noise_the_coefficients_come_back() -> None:
    fit = fitted(drawn(noise=0, mix_spread=0.3))
    assert fit.law.alpha_s == pytest.approx(TRUE.alpha_s, rel=1e-6)
    assert fit.law.beta_s == pytest.approx(TRUE.beta_s, rel=1e-6)
    assert fit.law.gamma_s == pytest.approx(TRUE.gamma_s, rel=1e-6)
    assert fit.mape == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("mix", [CHAT, GENERATION, RAG], ids=["chat", "generation", "rag"])
def test_windows_at_a_third_of_the_load_find_the_boundary(mix: Mix) -> None:
    # The goal is 10 %; the mean over draws shows bias, the single draw shows spread.
    misses = [miss(drawn(mix=mix, top=0.35, noise=0.05, seed=seed), mix) for seed in range(20)]
    assert abs(np.mean(misses)) < 0.02
    assert max(map(abs, misses)) < 0.08


def test_without_the_time_to_first_token_long_prompts_are_overrated() -> None:
    windows = drawn(mix=RAG, top=0.35)
    assert abs(miss(windows, RAG)) < 0.05
    blind = replace(windows, ttft_p95_s=np.full(len(windows), np.nan))
    assert fitted(blind).law.ttft is None
    assert miss(blind, RAG) > 0.15


@pytest.mark.parametrize("mix", [CHAT, GENERATION, RAG], ids=["chat", "generation", "rag"])
def test_a_mixed_day_answers_for_a_mix_it_never_saw(mix: Mix) -> None:
    day = joined(
        drawn(mix=Mix(input_tokens=300, output_tokens=600), seed=1, mix_spread=0.3),
        drawn(mix=Mix(input_tokens=1500, output_tokens=250), seed=2, mix_spread=0.3),
    )
    assert abs(miss(day, mix)) < 0.15


@given(st.floats(0.05, 0.95))
def test_a_mix_that_stands_still_is_priced_right_whatever_the_prior(cost: float) -> None:
    # beta and gamma cannot be told apart; what they cost together for this mix can.
    windows = drawn(noise=0.01, mix_spread=0)
    law = fit_law(windows, now_s=NOW_S, input_cost=cost).law
    true = TRUE.utilization(CHAT.output_tokens, CHAT.input_tokens)
    assert law.utilization(CHAT.output_tokens, CHAT.input_tokens) == pytest.approx(true, rel=0.05)
    assert law.gamma_s / law.beta_s == pytest.approx(cost, rel=0.05)


def test_what_the_prior_decides_stays_in_doubt() -> None:
    still, moving = fitted(drawn(mix_spread=0)), fitted(drawn(mix_spread=0.5))
    assert still.errors_s[2] > 0.5 * still.law.gamma_s
    assert moving.errors_s[2] < 0.3 * moving.law.gamma_s
    assert still.slope_error < 0.05


def test_data_that_can_tell_overrule_the_prior() -> None:
    dear = replace(TRUE, gamma_s=3 * TRUE.beta_s)
    fit = fitted(drawn(law=dear, mix_spread=0.5, rows=2000, noise=0.02))
    assert fit.law.gamma_s / fit.law.beta_s == pytest.approx(3, rel=0.15)
    assert fit.law.gamma_s / fit.law.beta_s != pytest.approx(INPUT_COST, rel=1)


def test_standard_errors_are_as_wide_as_the_truth_is_far() -> None:
    fits = [fitted(drawn(noise=0.05, mix_spread=0.5, seed=seed)) for seed in range(100)]
    misses = [(fit.law.alpha_s - TRUE.alpha_s) / fit.errors_s[0] for fit in fits]
    assert 0.8 < np.std(misses) < 1.25
    misses = [(fit.law.beta_s - TRUE.beta_s) / fit.errors_s[1] for fit in fits]
    assert 0.7 < np.std(misses) < 1.25


@given(st.floats(0.2, 5), st.floats(0.2, 5))
def test_a_slower_engine_scales_the_law(slower: float, denser: float) -> None:
    # Units: a clock that runs twice as slow doubles alpha; twice the tokens halve what each costs.
    plain = drawn(mix_spread=0.3)
    other = replace(
        plain,
        itl_s=plain.itl_s * slower,
        output_tokens_per_s=plain.output_tokens_per_s * denser,
        input_tokens_per_s=plain.input_tokens_per_s * denser,
    )
    one, two = fitted(plain).law, fitted(other).law
    assert two.alpha_s == pytest.approx(one.alpha_s * slower, rel=1e-6)
    assert two.beta_s == pytest.approx(one.beta_s / denser, rel=1e-6)
    assert two.gamma_s == pytest.approx(one.gamma_s / denser, rel=1e-6)


def test_the_order_of_windows_means_nothing() -> None:
    windows = drawn()
    shuffled = windows.where(np.random.default_rng(1).permutation(len(windows)))
    assert fitted(shuffled).law.beta_s == pytest.approx(fitted(windows).law.beta_s, rel=1e-9)


SLOWER = replace(TRUE, alpha_s=0.02, beta_s=4e-4, gamma_s=1.6e-4)


def test_newer_windows_count_more() -> None:
    # Half a day of a slightly slower engine: between the two, and nearer to it than a plain mean.
    new = replace(TRUE, alpha_s=TRUE.alpha_s * 1.03)
    days = joined(
        drawn(law=new, rows=720, noise=0.05), drawn(rows=2880, noise=0.05, newest_age_s=43_200, seed=1)
    )
    even = fit_law(days, now_s=NOW_S, half_life_s=1e9).law.alpha_s
    day = fit_law(days, now_s=NOW_S, half_life_s=86_400).law.alpha_s
    assert TRUE.alpha_s < even < day < new.alpha_s
    weights = 0.5 ** (np.arange(3600) / 1440)
    share = weights[:720].sum() / weights.sum()
    assert day == pytest.approx(TRUE.alpha_s * (1 + 0.03 * share), rel=0.004)


def test_a_release_that_changes_the_engine_is_followed_within_an_hour() -> None:
    before = drawn(rows=5 * 1440, newest_age_s=3660, seed=1)
    fit = fitted(joined(drawn(law=SLOWER, rows=61), before))
    assert fit.span_s == SPANS_S[-1]
    assert capacity(fit.law, CHAT) == pytest.approx(capacity(SLOWER, CHAT), rel=0.15)


def test_while_nothing_changes_the_memory_reaches_far() -> None:
    for seed in range(10):
        assert fitted(drawn(rows=2000, noise=0.2, seed=seed)).span_s == SPANS_S[0]


@pytest.mark.parametrize(
    ("reason", "spoil"),
    [
        ("old", lambda n: {"ends_s": np.full(n, NOW_S - 7 * 86_400 - 1)}),
        ("old", lambda n: {"ends_s": np.full(n, NOW_S + 1)}),
        ("unknown", lambda n: {"itl_s": np.full(n, np.nan)}),
        ("unknown", lambda n: {"itl_s": np.zeros(n)}),
        ("unknown", lambda n: {"input_tokens_per_s": np.full(n, np.nan)}),
        ("old", lambda n: {"ends_s": np.full(n, np.nan)}),
        ("idle", lambda n: {"work": np.full(n, 49.0)}),
        ("cold", lambda n: {"pod_age_s": np.full(n, 599.0)}),
        ("preempted", lambda n: {"preemptions": np.ones(n)}),
        ("queued", lambda n: {"waiting_share": np.ones(n)}),
    ],
)
def test_windows_that_say_nothing_of_capacity_are_left_out(
    reason: str, spoil: Callable[[int], dict[str, Floats]]
) -> None:
    good, bad = drawn(rows=100), drawn(rows=30, seed=1)
    bad = with_columns(bad, spoil(len(bad)))
    kept, left_out = usable(joined(good, bad), now_s=NOW_S)
    assert len(kept) == 100
    assert getattr(left_out, reason) == 30
    assert fitted(joined(good, bad)).law == fitted(good).law


def test_what_a_backend_does_not_tell_drops_no_window() -> None:
    windows = drawn()
    untold = np.full(len(windows), np.nan)
    blind = replace(windows, pod_age_s=untold, preemptions=untold, waiting_share=untold, kv_usage=untold)
    assert len(usable(blind, now_s=NOW_S)[0]) == len(windows)


def test_a_window_of_a_queue_now_and_then_is_kept() -> None:
    windows = drawn(rows=100)
    kept, _ = usable(replace(windows, waiting_share=np.full(100, 0.99)), now_s=NOW_S)
    assert len(kept) == 100


def test_an_hour_of_windows_is_the_least() -> None:
    with pytest.raises(NotEnoughHistory) as caught:
        fitted(drawn(rows=59))
    assert (caught.value.need_s, caught.value.have_s) == (3600, 3540)
    assert fitted(drawn(rows=60)).windows == 60


def test_no_window_at_all_is_too_little_and_no_crash() -> None:
    with pytest.raises(NotEnoughHistory):
        fitted(drawn(rows=60).where(np.zeros(60, dtype=bool)))


@pytest.mark.parametrize("seed", range(20))
def test_a_load_that_never_varied_tells_no_slope(seed: int) -> None:
    with pytest.raises(FitFailed, match="does not rise with load for certain"):
        fitted(drawn(least=0.2, top=0.2000001, noise=0.03, seed=seed))


def test_a_latency_that_falls_with_load_is_no_law() -> None:
    windows = drawn()
    with pytest.raises(FitFailed, match="does not rise"):
        fitted(replace(windows, itl_s=np.sort(windows.itl_s)[np.argsort(np.argsort(-windows.rates[:, 0]))]))


def test_a_poor_fit_says_how_poor() -> None:
    assert fitted(drawn(noise=0.03)).mape == pytest.approx(0.03 * np.sqrt(2 / np.pi), rel=0.15)
    assert fitted(drawn(noise=0.3, rows=2000, top=0.6)).mape > 0.15


def test_a_poor_fit_of_last_week_is_forgiven() -> None:
    week = joined(drawn(rows=1440, noise=0.02), drawn(rows=1440, noise=0.3, newest_age_s=5 * 86_400, seed=1))
    assert fitted(week).mape < 0.04


def test_a_quantile_of_few_requests_is_read_as_their_maximum() -> None:
    # One request a window: its p95 is the request itself, and their mean is far below p95 of all.
    draw, windows = np.random.default_rng(4), drawn(rows=4000, noise=0.02)
    assert TRUE.ttft is not None
    stretch = (loads := windows.rates @ np.array([TRUE.beta_s, TRUE.gamma_s])) / (1 - loads)
    p95_s = TRUE.ttft.base_s + TRUE.ttft.slope_s * stretch
    for each in (1, 4, 40):
        # The first token waits for the whole prompt, so times are as lognormal as lengths are.
        lengths = 512 * np.exp(0.7 * draw.standard_normal((len(windows), each)) - 0.7**2 / 2)
        over_mean = np.exp(0.7 * 1.645 - 0.7**2 / 2)
        told = replace(
            windows,
            requests=np.full(len(windows), float(each)),
            input_tokens_per_s=lengths.sum(axis=1) / 60,
            ttft_p95_s=np.quantile(lengths, 0.95, axis=1, method="higher") * p95_s / over_mean,
        )
        line = fit_ttft(told, loads=loads)
        assert line is not None
        assert line.base_s + line.slope_s * 0.2 == pytest.approx(
            TRUE.ttft.base_s + TRUE.ttft.slope_s * 0.2, rel=0.15
        ), each


def test_too_few_requests_draw_no_line() -> None:
    windows = drawn(rows=100)
    assert fitted(replace(windows, requests=np.full(100, 1.0))).law.ttft is None
    assert fitted(replace(windows, requests=np.full(100, np.nan))).law.ttft is None


def test_plain_requests_obey_the_same_law() -> None:
    # 1/latency = a0 - a1 y, with a0 = 25/s and a1 = 0.2.
    draw = np.random.default_rng(0)
    rate = draw.uniform(1, 60, 300)
    windows = Windows.of_requests(
        ends_s=minutes(300),
        latency_s=1 / (25 - 0.2 * rate) * np.exp(0.02 * draw.standard_normal(300)),
        requests_per_s=rate,
        requests=rate * 60,
    )
    law = fitted(windows).law
    assert 1 / law.alpha_s == pytest.approx(25, rel=0.01)
    assert law.beta_s / law.alpha_s == pytest.approx(0.2, rel=0.03)
    assert law.gamma_s == 0
    # At 100 ms: 10 = 25 - 0.2 y.
    served = capacity(law, Mix.of_requests(), LatencyTargets(itl_s=0.1))
    assert served == pytest.approx(75, rel=0.03)


def busy_rows(*, work_s: float = 0.02, rows: int = 200) -> tuple[Windows, Floats]:
    draw = np.random.default_rng(0)
    rate = draw.uniform(2, 60, rows)
    windows = Windows.of_requests(
        ends_s=minutes(rows),
        latency_s=np.full(rows, np.nan),
        requests_per_s=rate,
        requests=rate * 60,
        pod_age_s=np.full(rows, 7200.0),
    )
    return windows, work_s * rate * np.exp(0.05 * draw.standard_normal(rows))


def test_busy_seconds_give_the_work_of_a_request() -> None:
    windows, busy = busy_rows()
    fit = fit_busy(windows, busy, now_s=NOW_S, instances=2)
    assert fit.law.alpha_s == pytest.approx(0.02, rel=0.02)
    assert fit.law.beta_s == pytest.approx(0.01, rel=0.02)
    assert abs(fit.law.alpha_s - 0.02) < 4 * fit.errors_s[0] < 0.002
    # Two instances with 20 ms of work each, half used: 50 requests per second.
    assert fit.law.output_per_replica(0.5, Mix.of_requests()) == pytest.approx(50, rel=0.02)


def test_the_work_of_a_request_is_all_busy_time_over_all_requests() -> None:
    windows, busy = busy_rows()
    fit = fit_busy(windows, busy, now_s=NOW_S, half_life_s=1e12)
    assert fit.law.alpha_s == pytest.approx(busy.sum() / windows.output_tokens_per_s.sum(), rel=1e-6)


def test_busy_time_without_windows_or_without_requests_is_no_law() -> None:
    windows, busy = busy_rows()
    with pytest.raises(NotEnoughHistory):
        fit_busy(windows, np.where(np.arange(200) < 30, busy, np.nan), now_s=NOW_S)
    with pytest.raises(NotEnoughHistory):
        fit_busy(replace(windows, pod_age_s=np.zeros(200)), busy, now_s=NOW_S)
    lonely = np.zeros(200) + 1e-12
    lonely[7] = 1.0
    with pytest.raises(FitFailed, match="busy time"):
        fit_busy(windows, lonely, now_s=NOW_S)
    with pytest.raises(ValueError, match="instances 0"):
        fit_busy(windows, busy, now_s=NOW_S, instances=0)


def test_a_pool_that_only_prefills_has_no_cost_of_output() -> None:
    draw = np.random.default_rng(0)
    rate = draw.uniform(500, 9000, 200)
    windows = Windows.of_prefill(
        ends_s=minutes(200),
        batch_s=0.05 / (1 - 5e-5 * rate),
        input_tokens_per_s=rate,
        batches=np.full(200, 600.0),
    )
    law = fitted(windows).law
    assert (law.alpha_s, law.beta_s, law.gamma_s) == pytest.approx((0.05, 0, 5e-5), rel=1e-6)


def test_windows_that_do_not_fit_together_are_refused() -> None:
    windows = drawn(rows=10)
    with pytest.raises(ValueError, match=r"running: shape \(3,\)"):
        replace(windows, running=np.ones(3))
    with pytest.raises(ValueError, match="itl_s: negative or infinite"):
        replace(windows, itl_s=np.full(10, -1.0))
    with pytest.raises(ValueError, match="work: negative or infinite"):
        replace(windows, work=np.full(10, np.inf))
    with pytest.raises(ValueError, match="window_s"):
        replace(windows, window_s=0.0)


def test_the_regression_of_nothing_but_an_empty_replica_is_flat() -> None:
    found = regress(np.full(10, 0.02), np.zeros((10, 2)), recency=np.ones(10), input_cost=0.35)
    assert found.coefficients == pytest.approx([50, 0, 0])
    assert found.slope_error == np.inf


def test_full_windows_do_not_enter_the_fit() -> None:
    plain = fitted(drawn())
    assert fitted(joined(drawn(), full(rows=500, output=900))).law == plain.law
