"""Finds a capacity law in what pods did, long before the SLO was in danger.

1/ITL is linear in the two token rates, so three coefficients that cannot be
negative are fitted by weighted least squares: newer windows count more, slower
ones too (an error of ITL is an error of 1/ITL that shrinks with ITL squared).
While the mix of requests stands still, output and input tokens cannot be told
apart; a weak prior then splits what the data leaves open, and the sum that
matters for that mix is the data's alone.

Refuses to extrapolate a slope that it cannot see: under a load that hardly
varied, or rises by less than its own error, there is no law.
"""

from dataclasses import dataclass, replace

import numpy as np

from predictscale.core.law import Law
from predictscale.core.lawcontext import context_loads, context_slope, mean_context
from predictscale.core.lawregression import regress
from predictscale.core.lawttft import fit_ttft
from predictscale.core.lawwindows import KEEP_S, LEAST_WORK, LeftOut, Windows, usable
from predictscale.core.series import Floats
from predictscale.errors import FitFailed, NotEnoughHistory

LEAST_WINDOWS = 60
"""Fewer say too little; at one pod and a window of a minute this is an hour."""

HALF_LIFE_S = 86_400.0
"""After a day a window counts half [s]."""

SPANS_S = (KEEP_S, 43_200.0, 10_800.0, 3_600.0)
"""How far back a fit reaches; less than the first only where the engine has changed [s]."""

CLEARLY_BETTER = 0.75
"""A shorter span must miss the newest windows by this share of what the longer one does."""

INPUT_COST = 0.35
"""Prior: an input token costs this much of an output token. From simulation, not from a GPU."""

WORST_SLOPE_ERROR = 1 / 3
"""A slope whose standard error is a larger share of it is no slope."""

_LEAST_SPEED = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class LawFit:
    """A law, and how well it is known.

    Args:
        law: The coefficients.
        errors_s: Standard errors of alpha, beta and gamma, in their units. Windows of one pod resemble
            their neighbours, so the truth is rather wider.
        slope_error: Standard error of how fast 1/ITL falls with load, as a share of it.
        mape: Mean absolute error of the fitted ITL, as a share; newer windows count more.
        windows: How many were used.
        highest_utilization: The fullest of them, by this law.
        span_s: How far back the windows reach that it was learned from [s].
        left_out: The others, by reason.
    """

    law: Law
    errors_s: tuple[float, float, float]
    slope_error: float
    mape: float
    windows: int
    highest_utilization: float
    span_s: float
    left_out: LeftOut


def fit_law(
    windows: Windows,
    *,
    now_s: float,
    input_cost: float = INPUT_COST,
    least_windows: int = LEAST_WINDOWS,
    least_work: float = LEAST_WORK,
    half_life_s: float = HALF_LIFE_S,
    ttft_shape: float | None = None,
    answer_spread: float = 0.0,
) -> LawFit:
    """Fit the law to windows, usable or not.

    All of `KEEP_S` are learned from, unless a shorter span explains the newest windows
    clearly better: after a release that changed the engine, the old ones are about another.

    Args:
        windows: What pods did.
        now_s: The instant of the fit, seconds since the epoch.
        input_cost: What an input token is thought to cost, in output tokens, where data cannot tell.
        least_windows: Usable windows that a law needs.
        least_work: Tokens (or requests) that make a window usable.
        half_life_s: After which a window counts half [s].
        ttft_shape: As `fit_ttft` takes it.
        answer_spread: Of answers' lengths, by which windows' contexts were counted.

    Raises:
        NotEnoughHistory: Fewer usable windows.
        FitFailed: ITL does not rise with load, or by less than is certain.
    """
    kept, left_out = usable(windows, now_s=now_s, least_work=least_work)
    if len(kept) < least_windows:
        raise NotEnoughHistory(need_s=least_windows * kept.window_s, have_s=len(kept) * kept.window_s)
    best: tuple[float, LawFit, Windows] | None = None
    failed: FitFailed | None = None
    rows = 0
    for span_s in SPANS_S:
        within = kept.where(kept.within(now_s=now_s, keep_s=span_s))
        if len(within) < least_windows or len(within) == rows:
            continue
        rows = len(within)
        recency = 0.5 ** ((now_s - within.ends_s) / half_life_s)
        try:
            fit = _fit(within, left_out, recency=recency, input_cost=input_cost, span_s=span_s)
        except FitFailed as why:
            failed = failed or why
            continue
        miss = _newest_miss(kept, fit.law, now_s=now_s)
        if best is None or miss < CLEARLY_BETTER * best[0]:
            best = miss, fit, within
    if best is None:
        assert failed is not None  # noqa: S101 - the first span holds all of them
        raise failed
    _, fit, within = best
    line = fit_ttft(within, loads=_loads(within, fit.law), shape=ttft_shape)
    return replace(fit, law=replace(fit.law, ttft=line, answer_spread=answer_spread))


def _fit(kept: Windows, left_out: LeftOut, *, recency: Floats, input_cost: float, span_s: float) -> LawFit:
    context = mean_context(kept)
    slope = context_slope(kept, mean_tokens=context, recency=recency)
    plain_s = kept.itl_s
    if slope:
        # The latencies as if every window's contexts had been the mean ones.
        plain_s = 1 / np.maximum(1 / plain_s + slope * context_loads(kept, context), 1e-9)
    found = regress(plain_s, kept.rates, recency=recency, input_cost=input_cost)
    idle, *slopes = found.coefficients.tolist()
    if idle <= 0 or sum(slopes) <= 0 or found.slope_error > WORST_SLOPE_ERROR:
        raise FitFailed(
            f"ITL does not rise with load for certain: slope known to {found.slope_error:.0%} "
            f"over {len(kept)} windows; at most {WORST_SLOPE_ERROR:.0%} will do"
        )
    beta_s = slopes[0] / idle
    law = Law(
        alpha_s=1 / idle,
        beta_s=beta_s,
        gamma_s=slopes[1] / idle,
        # A token without any context costs no less than nothing.
        context_s=min(slope / idle, beta_s / context) if slope else 0.0,
        context_tokens=context if slope else 0.0,
    )
    loads = _loads(kept, law)
    return LawFit(
        law=law,
        errors_s=found.law_errors(),
        slope_error=found.slope_error,
        mape=float(np.average(_misses(kept, law), weights=recency)),
        windows=len(kept),
        highest_utilization=float(loads.max()),
        span_s=span_s,
        left_out=left_out,
    )


def _loads(windows: Windows, law: Law) -> Floats:
    loads: Floats = windows.rates @ np.array([law.beta_s, law.gamma_s])
    return loads + law.context_s * context_loads(windows, law.context_tokens) if law.context_s else loads


def _misses(windows: Windows, law: Law) -> Floats:
    """How far the law's ITL lies from each window's, as a share of it, shape (n,)."""
    fitted_s = law.alpha_s / np.maximum(1 - _loads(windows, law), _LEAST_SPEED)
    misses: Floats = np.abs(fitted_s / windows.itl_s - 1)
    return misses


def _newest_miss(windows: Windows, law: Law, *, now_s: float) -> float:
    """Mean miss over the last hour, or the newest windows if they are few."""
    count = max(LEAST_WINDOWS, int(windows.within(now_s=now_s, keep_s=SPANS_S[-1]).sum()))
    newest = np.argsort(windows.ends_s)[-count:]
    return float(_misses(windows, law)[newest].mean())
