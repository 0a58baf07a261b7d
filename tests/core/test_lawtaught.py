"""What windows teach beside the law: the mean request, ages, bursts, the shape of the time to first token."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_windows import CHAT, NOW_S, RAG, TRUE, drawn, joined, with_columns
from predictscale.core.law import LatencyTargets, Mix
from predictscale.core.lawcapacity import Engine
from predictscale.core.lawfit import INPUT_COST, fit_law
from predictscale.core.lawtaught import FirstTokens, PodRows, Taught, mean_request, teach
from predictscale.core.lawttft import fit_ttft, shape_of
from predictscale.core.lawwindows import Windows
from predictscale.core.series import Floats

AT = datetime.fromtimestamp(NOW_S, UTC)
SLO = LatencyTargets(itl_s=0.05, ttft_p95_s=1.0)
BOUNDS_S = np.array([0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, np.inf])


def rows_of(windows: Windows, *, cached_share: float = 0.0, pods: int = 1, since_s: float = 0.0) -> PodRows:
    return PodRows(
        windows=windows,
        pods=np.arange(len(windows)) % pods,
        prompt_tokens_per_s=windows.input_tokens_per_s / (1 - cached_share),
        since_s=since_s,
    )


def taught(rows: PodRows, *, first_tokens: FirstTokens | None = None) -> Taught:
    return teach(rows, at=AT, slo=SLO, engine=Engine(), first_tokens=first_tokens)


def histogram(times_s: Floats) -> Floats:
    return np.array([float((times_s <= bound).sum()) for bound in BOUNDS_S])


def test_the_mean_request_is_tokens_over_requests() -> None:
    found = mean_request(rows_of(drawn(), cached_share=0.25))
    assert found is not None
    assert found.output_tokens == pytest.approx(CHAT.output_tokens, rel=1e-6)
    assert found.uncached_tokens == pytest.approx(CHAT.input_tokens, rel=1e-6)
    assert found.cached_share == pytest.approx(0.25)


def test_few_requests_have_no_mean() -> None:
    windows = drawn(rows=60)
    assert mean_request(rows_of(replace(windows, requests=windows.requests * 0))) is None
    assert mean_request(rows_of(replace(windows, requests=np.full(60, np.nan)))) is None


def test_prompts_that_are_not_told_are_those_that_were_computed() -> None:
    rows = replace(rows_of(drawn()), prompt_tokens_per_s=np.full(300, np.nan))
    found = mean_request(rows)
    assert found is not None
    assert found.cached_share == 0
    assert found.input_tokens == pytest.approx(CHAT.input_tokens, rel=1e-6)


def test_the_mean_request_is_that_of_a_day() -> None:
    both = joined(drawn(mix=CHAT, rows=600), drawn(mix=RAG, rows=600, newest_age_s=2 * 86_400))
    found = taught(rows_of(both)).mix
    assert found is not None
    assert found.input_tokens == pytest.approx(CHAT.input_tokens, rel=0.01)


def test_a_pod_that_was_seen_to_begin_is_young_whatever_kubernetes_says() -> None:
    windows = drawn(rows=120)
    old = rows_of(windows, since_s=0.0).aged()
    assert np.sort(old.windows.pod_age_s)[[0, -1]] == pytest.approx([60, 7200])
    # From the beginning of what was read on it may be of any age.
    untold = with_columns(windows, {"pod_age_s": np.full(120, np.nan)})
    first_s = float(windows.ends_s.min())
    assert np.isnan(rows_of(untold, since_s=first_s - 60).aged().windows.pod_age_s).all()
    assert np.nanmin(rows_of(untold, since_s=first_s - 600).aged().windows.pod_age_s) == 60
    # What Kubernetes tells counts where it is less.
    told = with_columns(windows, {"pod_age_s": np.full(120, 30.0)})
    assert (rows_of(told, since_s=0.0).aged().windows.pod_age_s == 30).all()


def test_the_cold_minutes_of_a_pod_that_came_are_left_out() -> None:
    fit = taught(rows_of(drawn(), since_s=0.0)).learned.fit
    assert fit is not None
    assert fit.left_out.cold == 9


def test_cache_sizes_are_those_that_replicas_say_else_what_was_seen() -> None:
    rows = rows_of(drawn())
    assert teach(rows, at=AT, slo=SLO, engine=Engine(kv_tokens=9e9)).engine.kv_tokens == 9e9
    windows = rows.windows
    seen = teach(rows, at=AT, slo=SLO, engine=Engine()).engine.kv_tokens
    each = CHAT.input_tokens + CHAT.output_tokens / 2
    assert seen == pytest.approx(float(np.median(windows.running / 0.3)) * each, rel=0.02)


@pytest.mark.parametrize("burst", [1.0, 4.0])
def test_bursts_are_those_of_all_pods_together(burst: float) -> None:
    draw, count = np.random.default_rng(3), 1200
    windows = drawn(rows=2 * count)
    ends_s = np.repeat(NOW_S - 60.0 * np.arange(count), 2)
    rates = 40.0 * (draw.gamma(40 / (burst - 1), (burst - 1) / 40, count) if burst > 1 else np.ones(count))
    each = draw.poisson(np.repeat(rates, 2) / 2).astype(float)
    windows = with_columns(windows, {"ends_s": ends_s, "requests": each})
    assert taught(rows_of(windows, pods=2)).peakedness == pytest.approx(burst, rel=0.15)


def test_a_minute_of_which_a_pod_is_silent_is_no_lull() -> None:
    draw = np.random.default_rng(3)
    windows = drawn(rows=1200)
    requests = draw.poisson(40.0, 1200).astype(float)
    requests[::7] = np.nan
    assert taught(rows_of(replace(windows, requests=requests))).peakedness < 1.2


def test_no_window_at_all_teaches_why_there_is_no_law() -> None:
    nothing = rows_of(drawn(rows=60)).where(np.zeros(60, dtype=bool))
    found = taught(nothing)
    assert found.learned.fit is None
    assert found.learned.why_not == "0 of the 60 usable windows that it takes"
    assert (found.mix, found.peakedness, found.pods) == (None, 1.0, 0)


@given(st.floats(0.3, 1.2), st.floats(0.03, 0.4), st.integers(0, 100))
def test_buckets_hide_little_of_the_shape(spread: float, median_s: float, seed: int) -> None:
    times_s = median_s * np.exp(spread * np.random.default_rng(seed).standard_normal(4000))
    true = float(np.quantile(times_s, 0.95) / times_s.mean())
    assert shape_of(BOUNDS_S, histogram(times_s), float(times_s.mean())) == pytest.approx(true, rel=0.1)


def test_a_histogram_that_cannot_tell_has_no_shape() -> None:
    few, late = histogram(np.full(19, 0.1)), histogram(np.full(100, 99.0))
    assert shape_of(BOUNDS_S, few, 0.1) is None
    assert shape_of(BOUNDS_S, late, 99.0) is None
    assert shape_of(BOUNDS_S, histogram(np.full(100, 0.1)), 0.0) is None
    assert shape_of(np.empty(0), np.empty(0), 0.1) is None


def test_everybody_in_one_bucket_is_not_beyond_it() -> None:
    everybody = shape_of(BOUNDS_S, histogram(np.full(100, 0.2)), 0.2)
    assert everybody is not None
    assert 0.1 <= everybody * 0.2 <= 0.25


def test_the_mean_draws_the_line_and_the_shape_lifts_it() -> None:
    windows = drawn(mix=RAG, noise=0.0, rows=600)
    loads = windows.rates @ np.array([TRUE.beta_s, TRUE.gamma_s])
    # Windows' own quantiles are rounded up by buckets; what the mean says does not mind.
    told = replace(windows, ttft_mean_s=windows.ttft_p95_s / 2.5, ttft_p95_s=windows.ttft_p95_s * 1.3)
    line = fit_ttft(told, loads=loads, shape=2.5)
    assert line is not None
    assert TRUE.ttft is not None
    assert line.base_s == pytest.approx(TRUE.ttft.base_s, rel=0.02)
    assert line.slope_s == pytest.approx(TRUE.ttft.slope_s, rel=0.05)
    by_quantiles = fit_ttft(told, loads=loads)
    assert by_quantiles is not None
    assert by_quantiles.base_s == pytest.approx(1.3 * TRUE.ttft.base_s, rel=0.05)


def test_where_the_mean_is_not_told_quantiles_draw_the_line() -> None:
    windows = drawn(mix=RAG)
    loads = windows.rates @ np.array([TRUE.beta_s, TRUE.gamma_s])
    assert fit_ttft(windows, loads=loads, shape=2.5) == fit_ttft(windows, loads=loads)


def test_rows_by_which_prompts_cost_nothing_are_not_believed_about_the_split() -> None:
    # Contexts are short just after many prompts, so iterations are quick then: the law does not know.
    windows = drawn(noise=0.01, mix_spread=0.3, rows=600)
    ratio = windows.input_tokens_per_s / windows.output_tokens_per_s
    quick = windows.with_latency(windows.itl_s * (1 - 0.3 * (ratio / ratio.mean() - 1)))
    fit = fit_law(quick, now_s=NOW_S)
    assert fit.law.gamma_s / fit.law.beta_s == pytest.approx(INPUT_COST, rel=1e-6)
    together = TRUE.utilization(CHAT.output_tokens, CHAT.input_tokens)
    assert fit.law.utilization(CHAT.output_tokens, CHAT.input_tokens) == pytest.approx(together, rel=0.1)
    # What the prior decided stays in doubt; what both cost together does not.
    assert fit.errors_s[2] > 0.5 * fit.law.gamma_s
    assert fit.slope_error < 0.1


def test_the_histogram_of_a_day_lifts_the_line_of_the_mean() -> None:
    windows = drawn(mix=RAG, rows=600)
    windows = replace(windows, ttft_mean_s=windows.ttft_p95_s / 2.5, ttft_p95_s=np.full(600, np.nan))
    assert TRUE.ttft is not None
    mean_s = float(windows.ttft_mean_s @ windows.requests / windows.requests.sum())
    # Log-normal, with its 95 % quantile at two and a half means.
    spread = 1.645 - np.sqrt(1.645**2 - 2 * np.log(2.5))
    times_s = mean_s * np.exp(spread * np.random.default_rng(1).standard_normal(20_000) - spread**2 / 2)
    first = FirstTokens(bounds_s=BOUNDS_S, counts=histogram(times_s))
    fit = taught(rows_of(windows), first_tokens=first).learned.fit
    assert fit is not None
    assert fit.law.ttft is not None
    assert fit.law.ttft.base_s == pytest.approx(TRUE.ttft.base_s, rel=0.08)
    # Without it nothing says how far the quantile lies above the mean.
    blind = taught(rows_of(windows)).learned.fit
    assert blind is not None
    assert blind.law.ttft is None


def test_requests_that_are_the_work_need_no_mean() -> None:
    found = teach(rows_of(drawn()), at=AT, slo=SLO, engine=Engine(), counts_tokens=False)
    assert found.mix == Mix.of_requests()


def test_rows_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="pods"):
        replace(rows_of(drawn(rows=10)), pods=np.arange(3))
