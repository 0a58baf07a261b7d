"""What long contexts cost: the part of decoding that grows with what a request holds in the cache.

Attention reads all of a request's context for each token, so an output token costs more where prompts
and answers are long. While the mix stands still its mean context does too, and that cost is part of
what an output token costs. But contexts stray from minute to minute, and from those the part can be told:

    1/ITL falls by slope * output tokens/s * (context - mean context)

With it a law answers for requests of another length. Contexts are known from the share of the cache
in use over running requests, up to the size of the cache. Where replicas tell that too, the mean
context tells how far answers' lengths spread; else contexts are counted in those of the mean request.

Refuses a slope that is not certain: then contexts are taken to cost nothing by themselves.
"""

import numpy as np

from predictscale.core.law import Mix
from predictscale.core.lawwindows import Mask, Windows
from predictscale.core.series import Floats

WORST_ERROR = 1 / 3
"""A slope whose standard error is a larger share of it is no slope."""

MOST_SPREAD = 4.0
"""Answers that spread more are not answers of one kind."""

LEAST_RUNNING = 0.5
"""Mean running requests of a window below which its share of the cache says little."""


def answer_spread(windows: Windows, mix: Mix, *, kv_tokens: float | None) -> float:
    """Variance of answers' lengths over their squared mean, by what running requests hold; 0 if unknown.

    Prefixes that requests share are held once, which makes it seem less.

    Args:
        windows: As `contexts`.
        mix: Their mean request.
        kv_tokens: That the cache of a replica holds, as it says itself.
    """
    told = _telling(windows)
    if kv_tokens is None or not told.any():
        return 0.0
    each = windows.kv_usage[told] / windows.running[told] * kv_tokens
    held = float(np.average(each, weights=windows.work[told]))
    return min(max(0.0, 2 * (held - mix.input_tokens) / mix.output_tokens - 1), MOST_SPREAD)


def contexts(windows: Windows, *, mean_tokens: float) -> Floats:
    """Tokens that a running request holds, shape (n,); NaN where it is not told.

    Args:
        windows: With the share of the cache in use, and running requests.
        mean_tokens: What the mean request holds on average; the windows' mean is put there.
    """
    held = np.full(len(windows), np.nan)
    told = _telling(windows)
    if not told.any():
        return held
    each = windows.kv_usage[told] / windows.running[told]
    held[told] = each * mean_tokens / float(np.average(each, weights=windows.work[told]))
    return held


def _telling(windows: Windows) -> Mask:
    told: Mask = (windows.running >= LEAST_RUNNING) & (windows.kv_usage > 0) & (windows.work > 0)
    return told


def mean_context(windows: Windows) -> float:
    """Mean context of the windows that tell it, by their work; 0 if none does."""
    told = ~np.isnan(windows.context_tokens) & (windows.work > 0)
    if not told.any():
        return 0.0
    return float(np.average(windows.context_tokens[told], weights=windows.work[told]))


def context_loads(windows: Windows, mean_tokens: float) -> Floats:
    """Output tokens per second times how far contexts lie above the mean, shape (n,); 0 where untold."""
    above: Floats = np.nan_to_num(windows.context_tokens - mean_tokens)
    return windows.output_tokens_per_s * above


def context_slope(windows: Windows, *, mean_tokens: float, recency: Floats) -> float:
    """How fast 1/ITL falls with `context_loads`; 0 unless it is certain [1/token].

    Args:
        windows: Usable ones.
        mean_tokens: As `mean_context` tells.
        recency: Weight of each window for its age, shape (n,).
    """
    loads = context_loads(windows, mean_tokens)
    design = np.column_stack((np.ones(loads.size), -windows.rates, -loads))
    used = np.flatnonzero(design.any(axis=0))
    if mean_tokens <= 0 or used[-1] != design.shape[1] - 1:
        return 0.0
    roots = np.sqrt(recency) * windows.itl_s**2
    rows, values = design[:, used] * roots[:, None], roots / windows.itl_s
    scale = np.linalg.norm(rows, axis=0)
    rows /= scale
    bread = np.linalg.pinv(rows.T @ rows)
    found = bread @ rows.T @ values
    scores = rows * (values - rows @ found)[:, None]
    error = float(np.sqrt(max(0.0, float((bread @ scores.T @ scores @ bread)[-1, -1]))))
    slope = float(found[-1])
    return slope / float(scale[-1]) if slope > 0 and error <= WORST_ERROR * slope else 0.0
