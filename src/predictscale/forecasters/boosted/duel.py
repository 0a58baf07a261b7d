"""How far the trees are trusted beside the engine, by what both said of days that neither had seen.

The engine is fitted once more, on what came before the newest days, and asked through them; the trees
of that part saw nothing later either. The shares follow the losses, the middle and the upper quantiles each
by their own, and never reach one. How alike they err is measured too:
where one is wrong and the other right, both together are surer than each. Refuses to decide on little: few
windows leave both equal and alike.
"""

from collections.abc import Sequence
from typing import NamedTuple

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


class Verdict(NamedTuple):
    """The trees' share for each of `mixture.GROUPS`, shape (j,); and how alike both err, from 0 to 1."""

    share: Floats
    alike: float


UNDECIDED = Verdict(EVEN, 1.0)


def duel(
    window: MetricWindow,
    scale: Scale,
    *,
    origins: Indices,
    base: Floats,
    foretold: Sequence[Foretold],
    leads: Sequence[int],
    engine: Native,
) -> list[Verdict]:
    """One verdict for each lead.

    Args:
        window: The history.
        scale: Of the trees' arithmetic.
        origins: The newest days', ascending, in bins of the window, shape (n,).
        base: The present level at each, shape (n,).
        foretold: What trees said of them, by lead.
        leads: In bins.
        engine: What the trees stand beside.
    """
    chosen = np.unique(np.linspace(0, origins.size - 1, min(ASKED, origins.size)).round().astype(np.int64))
    try:
        fitted = engine.fit(_until(window, int(origins[0])))
    except TryNextForecaster:
        return [UNDECIDED] * len(leads)
    answers = native.predict_together(
        [
            native.Ask(fitted, _until(window, origin), max(leads), _LEVELS)
            for origin in origins[chosen].tolist()
        ]
    )
    found = []
    for lead, told in zip(leads, foretold, strict=True):
        came = told.came[chosen] + base[chosen]
        trees = told.table[list(mixture.JUDGED)][:, chosen] + base[chosen]
        theirs = scale.logs(np.stack([_peak(answer, lead) for answer in answers], axis=1))
        known = np.isfinite(came + trees.sum(axis=0) + theirs.sum(axis=0))
        found.append(_verdict(scale, came[known], trees[:, known], theirs[:, known]))
    return found


def _until(window: MetricWindow, bins: int) -> MetricWindow:
    return MetricWindow(window.start, window.step_s, window.values[:bins])


def _peak(answer: Forecast | TryNextForecaster, lead: int) -> Floats:
    if isinstance(answer, TryNextForecaster) or answer.peaks is None:
        return np.full(len(_LEVELS), np.nan)
    peak: Floats = answer.peaks[:, lead - 1]
    return peak


def _verdict(scale: Scale, came: Floats, trees: Floats, theirs: Floats) -> Verdict:
    """From logs of what came, (n,), and of what both said at `_LEVELS`, (3, n)."""
    if not came.size:
        return UNDECIDED
    both = [scale.demand(said) for said in (trees, theirs)]
    return Verdict(_share(scale.demand(came), *both), _alike(came, trees, theirs))


def _share(came: Floats, trees: Floats, theirs: Floats) -> Floats:
    """By the inverse of a power of the losses, the power growing with the evidence."""
    levels = np.array(_LEVELS)[:, None]
    losses = [mixture.pinball(came, said, levels).mean(axis=1) for said in (trees, theirs)]
    least = 1e-9 * max(float(losses[0].max()), float(losses[1].max()), np.finfo(float).tiny)
    ratio = np.log((losses[0] + least) / (losses[1] + least))
    power = _POWER * came.size / (came.size + _PRIOR)
    share: Floats = 1 / (1 + np.exp(np.clip(power * ratio, -50.0, 50.0)))
    return np.minimum(share, MOST)


def _alike(came: Floats, trees: Floats, theirs: Floats) -> float:
    """The correlation of their errors, each in its own spacings, pulled to 1 where there are few."""
    errors = [
        np.clip((came - said[0]) / np.maximum(said[1] - said[0], 1e-9), -3.0, 3.0) for said in (trees, theirs)
    ]
    spread = float(np.std(errors[0]) * np.std(errors[1]))
    if spread <= 0.0:
        return 1.0
    product = (errors[0] - errors[0].mean()) * (errors[1] - errors[1].mean())
    correlation = float(np.clip(product.mean() / spread, 0.0, 1.0))
    return 1.0 - (1.0 - correlation) * came.size / (came.size + _PRIOR)
