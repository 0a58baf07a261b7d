"""How far the trees are trusted beside the engine, by what both said of days that neither had seen.

The engine is fitted once more, on what came before the newest days, and asked through them; the trees
of that part saw nothing later either. The shares follow the losses, the middle and the upper quantiles each
by their own, and never reach one. Refuses to decide on little: few windows leave both equal.
"""

from collections.abc import Sequence

import numpy as np

from predictscale.core.forecast import Forecast
from predictscale.core.series import Floats, MetricWindow
from predictscale.errors import TryNextForecaster
from predictscale.forecasters import native
from predictscale.forecasters.boosted.learn import Foretold
from predictscale.forecasters.boosted.sight import Scale
from predictscale.forecasters.native import Native, mixture
from predictscale.forecasters.native.panel import Indices

ASKED = 72
"""So many origins of the newest days are asked about."""

MOST = 0.8
"""The trees' largest share."""

EVEN = np.full(len(mixture.GROUPS), 0.5)
"""Shares of whom nothing is known, one for each of `mixture.GROUPS`."""

_POWER = 6.0
_PRIOR = 40.0
_LEVELS = tuple(mixture.TABLE[place] for place in mixture.JUDGED)


def shares(
    window: MetricWindow,
    scale: Scale,
    *,
    origins: Indices,
    base: Floats,
    foretold: Sequence[Foretold],
    leads: Sequence[int],
) -> list[Floats]:
    """The trees' share at each lead, each of shape (j,) as `mixture.GROUPS`.

    Args:
        window: The history.
        scale: Of the trees' arithmetic.
        origins: The newest days', ascending, in bins of the window, shape (n,).
        base: The present level at each, shape (n,).
        foretold: What trees said of them, by lead.
        leads: In bins.
    """
    chosen = np.unique(np.linspace(0, origins.size - 1, min(ASKED, origins.size)).round().astype(np.int64))
    try:
        engine = Native().fit(_until(window, int(origins[0])))
    except TryNextForecaster:
        return [EVEN] * len(leads)
    answers = native.predict_together(
        [
            native.Ask(engine, _until(window, origin), max(leads), _LEVELS)
            for origin in origins[chosen].tolist()
        ]
    )
    found = []
    for lead, told in zip(leads, foretold, strict=True):
        came = scale.demand(told.came[chosen] + base[chosen])
        trees = scale.demand(told.table[list(mixture.JUDGED)][:, chosen] + base[chosen])
        theirs = np.stack([_peak(answer, lead) for answer in answers], axis=1)
        found.append(_share(came, trees, theirs))
    return found


def _until(window: MetricWindow, bins: int) -> MetricWindow:
    return MetricWindow(window.start, window.step_s, window.values[:bins])


def _peak(answer: Forecast | TryNextForecaster, lead: int) -> Floats:
    if isinstance(answer, TryNextForecaster) or answer.peaks is None:
        return np.full(len(_LEVELS), np.nan)
    peak: Floats = answer.peaks[:, lead - 1]
    return peak


def _share(came: Floats, trees: Floats, theirs: Floats) -> Floats:
    """By the inverse of a power of the losses, the power growing with the evidence."""
    levels = np.array(_LEVELS)[:, None]
    known = np.isfinite(came + trees.sum(axis=0) + theirs.sum(axis=0))
    if not known.any():
        return EVEN
    losses = [mixture.pinball(came[known], said[:, known], levels).mean(axis=1) for said in (trees, theirs)]
    least = 1e-9 * max(float(losses[0].max()), float(losses[1].max()), np.finfo(float).tiny)
    ratio = np.log((losses[0] + least) / (losses[1] + least))
    count = float(known.sum())
    share: Floats = 1 / (1 + np.exp(np.clip(_POWER * count / (count + _PRIOR) * ratio, -50.0, 50.0)))
    return np.minimum(share, MOST)
