"""What a fit takes from the history for one head: weights, error scales, past errors.

Everything that is judged was predicted by weights that had not seen it. Refuses to
learn one outage by heart: targets are clipped to what usually moves.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from predictscale.core.series import Floats
from predictscale.forecasters.native import mixture
from predictscale.forecasters.native.domain import Domain
from predictscale.forecasters.native.experts import EXPERTS, Ahead, Head, Outlook, Views
from predictscale.forecasters.native.panel import Panel
from predictscale.forecasters.native.walk import Blocks, walk
from predictscale.forecasters.robust import DAY_S

BEYOND = 0.5
"""How far above all that was seen an expert is believed, in logs."""

PLAIN = (0, EXPERTS - 1)
"""The last value and the ridge speak twice: also with the plain quantiles of their past errors."""

_PENALTY = 20.0
_WIDEST = 5.0
_FLOOR = 0.25
_JUDGED_S = 8 * DAY_S
_FADE_S = 10 * DAY_S
_FEW = 60


class History(NamedTuple):
    """What all heads learn from: `limits` is what was seen, lowest and highest, and a little beyond."""

    views: Views
    domain: Domain
    blocks: Blocks
    limits: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """One head's share of a fit.

    Args:
        ridge: Weights of the features, shape (p,).
        limits: Between these two the locations of experts are believed, shape (2,).
        scale: Weights of the log scale of each expert's error, shape (s, e).
        bounds: Between these two the log scales are believed, shape (2, e).
        errors: Quantiles of error over scale at `TABLE`, shape (e, q).
        plain: Quantiles of the errors in roots of demand, of the experts `PLAIN`, shape (r, q).
        losses: Discounted sums of pinball losses at `JUDGED`, shape (j, e + r + 1);
            the last are the mixture's own.
        count: The discounted number of them.
    """

    ridge: Floats
    limits: Floats
    scale: Floats
    bounds: Floats
    errors: Floats
    plain: Floats
    losses: Floats
    count: float

    def say(self, outlook: Outlook) -> "Said":
        """What the experts say of origins that came after the fit."""
        ridge = outlook.start + outlook.features @ self.ridge
        locations, top = _bounded(outlook, ridge, self.limits)
        return Said(locations, _scales(outlook.scale @ self.scale, self.bounds), top)


class Said(NamedTuple):
    """Locations and scales of e experts at n origins, (n, e), and what is believed at most, (n,)."""

    locations: Floats
    scales: Floats
    top: Floats


def learn(head: Head, ahead: Ahead, history: History) -> tuple[Learned, Said]:
    """Fit one head, and what its experts said at each origin without having seen what came."""
    views, domain, blocks, limits = history
    outlook, came = views.towards(head, ahead), head.target(views.panel, views.origins)
    known = ~np.isnan(came)
    moves = came - outlook.start
    widest = _WIDEST * _mean_size(moves[known, None])
    targets = np.clip(moves, -widest, widest)[:, None]
    ridge = walk(outlook.features, targets, views.origins, head.lead, blocks, penalty=_PENALTY, seed=False)
    locations, top = _bounded(outlook, outlook.start + ridge.said[:, 0], limits)
    missed = came[:, None] - locations
    # A hit is a small error and not minus infinity: an idle hour does not promise an idle next one.
    logs = np.log(np.abs(missed) + _FLOOR * _mean_size(missed[known]) + 1e-6)
    scale = walk(outlook.scale, logs, views.origins, head.lead, blocks, penalty=_PENALTY, seed=True)
    bounds = _bounds(logs[known])
    scales = _scales(scale.said, bounds)
    recent = known & (views.origins >= blocks.edges[-1] - views.panel.bins(_JUDGED_S))
    learned = Learned(
        ridge=ridge.weights[:, 0],
        limits=limits,
        scale=scale.weights,
        bounds=bounds,
        errors=_quantiles(missed[recent] / scales[recent]),
        plain=_quantiles(_root(domain, came[recent, None]) - _root(domain, locations[recent][:, PLAIN])),
        losses=np.zeros((len(mixture.JUDGED), EXPERTS + len(PLAIN) + 1)),
        count=0.0,
    )
    return learned, Said(locations, scales, top)


def blocks_of(panel: Panel) -> Blocks:
    """A day each; at least four, that a short history is judged too."""
    count = int(np.clip(np.ceil(panel.size / panel.bins(DAY_S)), 4, 30))
    edges = np.linspace(0, panel.size, count + 1).round().astype(np.int64)
    return Blocks(edges, 0.5 ** (panel.size * panel.step_s / count / _FADE_S))


def _bounded(outlook: Outlook, ridge: Floats, limits: Floats) -> tuple[Floats, Floats]:
    """Locations of all experts within what was seen, then or lately, and the upper bound."""
    top = np.maximum(limits[1], outlook.highest + BEYOND)
    locations = np.concatenate((outlook.locations, ridge[:, None]), axis=1)
    return np.clip(locations, limits[0], top[:, None]), top


def _scales(logs: Floats, bounds: Floats) -> Floats:
    scales: Floats = np.exp(np.clip(logs, bounds[0], bounds[1]))
    return scales


def _mean_size(errors: Floats) -> Floats:
    """The mean of |errors| (n, e), shape (e,)."""
    return np.abs(errors).mean(axis=0) if errors.size else np.zeros(errors.shape[1])


def _bounds(logs: Floats) -> Floats:
    if not logs.size:
        return np.zeros((2, logs.shape[1]))
    return np.stack((np.quantile(logs, 0.02, axis=0), logs.max(axis=0)))


def _root(domain: Domain, logs: Floats) -> Floats:
    root: Floats = np.sqrt(domain.back(logs))
    return root


def _quantiles(errors: Floats) -> Floats:
    """Quantiles of errors (n, e) at `TABLE`, shape (e, q)."""
    if not errors.size:
        return np.zeros((errors.shape[1], len(mixture.TABLE)))
    if errors.shape[0] < _FEW:
        # Too few to tell up from down: ten minutes that fell do not rule out a rise.
        errors = np.concatenate((errors, -errors))
    ordered = np.sort(errors, axis=0)
    place = np.asarray(mixture.TABLE) * (ordered.shape[0] - 1)
    low = place.astype(np.int64)
    high = np.minimum(low + 1, ordered.shape[0] - 1)
    part = (place - low)[:, None]
    table: Floats = (ordered[low] * (1 - part) + ordered[high] * part).T
    return np.ascontiguousarray(table)
