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
from numpy.typing import NDArray

from predictscale.core.law import Law, TtftLine
from predictscale.core.lawregression import regress
from predictscale.core.lawwindows import KEEP_S, LEAST_WORK, LeftOut, Windows, usable
from predictscale.core.nnls import nonnegative_least_squares
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

LEAST_TTFT_REQUESTS = 20
"""A 95 % quantile over fewer requests is their maximum."""

_LEAST_SPEED = 0.02
_DECILES = 10
_LEAST_GROUPS = 3


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
    return replace(fit, law=replace(fit.law, ttft=fit_ttft(within, loads=_loads(within, fit.law))))


def _fit(kept: Windows, left_out: LeftOut, *, recency: Floats, input_cost: float, span_s: float) -> LawFit:
    found = regress(kept.itl_s, kept.rates, recency=recency, input_cost=input_cost)
    idle, *slopes = found.coefficients.tolist()
    if idle <= 0 or sum(slopes) <= 0 or found.slope_error > WORST_SLOPE_ERROR:
        raise FitFailed(
            f"ITL does not rise with load for certain: slope known to {found.slope_error:.0%} "
            f"over {len(kept)} windows; at most {WORST_SLOPE_ERROR:.0%} will do"
        )
    law = Law(alpha_s=1 / idle, beta_s=slopes[0] / idle, gamma_s=slopes[1] / idle)
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
    return loads


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


def fit_ttft(windows: Windows, *, loads: Floats) -> TtftLine | None:
    """The line of the time to first token over tenths of the load; None if they are too few.

    Args:
        windows: Usable ones.
        loads: U of each by the law, shape (n,).
    """
    known = (windows.ttft_p95_s > 0) & (windows.requests > 0) & (windows.input_tokens_per_s > 0)
    known &= loads < 1
    places = np.flatnonzero(known)
    by_load = places[np.argsort(loads[places])]
    groups = [
        _pooled(windows, group, loads)
        for group in np.array_split(by_load, _DECILES)
        if windows.requests[group].sum() >= LEAST_TTFT_REQUESTS
    ]
    if len(groups) < _LEAST_GROUPS:
        return None
    stretch, per_token_s = np.array(groups).T
    # Relative errors: a quantile strays in proportion to itself.
    design = np.column_stack((np.ones_like(stretch), stretch)) / per_token_s[:, None]
    base_s, slope_s = nonnegative_least_squares(design, np.ones_like(stretch)).tolist()
    return TtftLine(base_s=base_s, slope_s=slope_s)


def _pooled(windows: Windows, group: NDArray[np.intp], loads: Floats) -> tuple[float, float]:
    """The stretch of ITL and p95 of TTFT per input token [s] over windows of like load.

    A quantile of a few requests is about their maximum, and the maximum of n has
    the n-th power of the distribution: p95 of all then is the 0.95**n quantile
    of the windows' figures. With many requests a window it is their median.
    """
    requests = windows.requests[group]
    tokens = windows.input_tokens_per_s[group] * windows.window_s
    # A window's own mean length; where its requests are few, the group's fills them up.
    leaning = np.maximum(0.0, LEAST_TTFT_REQUESTS - requests)
    length = (tokens + leaning * tokens.sum() / requests.sum()) / (requests + leaning)
    level = max(0.5, 0.95 ** float(np.median(requests)))
    per_token_s = float(np.quantile(windows.ttft_p95_s[group] / length, level))
    return float((loads[group] / (1 - loads[group])).mean()), per_token_s
