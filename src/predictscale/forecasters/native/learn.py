"""What a fit takes from the history: weights, error scales, past errors.

Everything that is judged was predicted by weights that had not seen it. Refuses to
learn one outage by heart: targets are clipped to what usually moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple, Self

import numpy as np

from predictscale.core.series import Floats
from predictscale.forecasters.native import mixture
from predictscale.forecasters.native.domain import Domain, to_demand
from predictscale.forecasters.native.experts import EXPERTS, Outlook, Views, targets
from predictscale.forecasters.native.panel import Panel
from predictscale.forecasters.native.rows import dot, stacked
from predictscale.forecasters.native.walk import Blocks, Walked, walk
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
    """What all leads learn from, one workload's: `limits` is what was seen, lowest and highest, and beyond.

    Args:
        views: From ascending origins.
        domain: The scale of the arithmetic.
        blocks: When to learn.
        limits: Between these two the locations of experts are believed, shape (2,).
    """

    views: Views
    domain: Domain
    blocks: Blocks
    limits: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What was learned of values and peaks at l leads; the last axes of all arrays are (2, l).

    Args:
        ridge: Weights of the features, shape (p, ...).
        scale: Weights of the log scale of each expert's error, shape (s, e, ...).
        bounds: Between these two the log scales are believed, shape (2, e, ...).
        errors: Quantiles of error over scale at `TABLE`, shape (e, q, ...).
        plain: Quantiles of the errors in roots of demand, of the experts `PLAIN`, shape (r, q, ...).
        losses: Discounted sums of pinball losses at `JUDGED`, shape (j, e + r + 1, ...);
            the last are the mixture's own.
        count: The discounted number of them, shape (...).
        spacing: Log factors of the spacings of `GUARDED`, shape (g, ...).
    """

    ridge: Floats
    scale: Floats
    bounds: Floats
    errors: Floats
    plain: Floats
    losses: Floats
    count: Floats
    spacing: Floats

    @classmethod
    def joined(cls, parts: "Sequence[Learned]") -> Self:
        """Leads of one workload beside each other."""
        return cls(*(np.concatenate(each, axis=-1) for each in _each(parts)))

    @classmethod
    def together(cls, workloads: "Sequence[Learned]", *, leads: int) -> Self:
        """The first leads of b workloads, shapes (..., 2, l, 1, b): to be laid over (2, l, n, b)."""
        return cls(*(_side_by_side([table[..., :leads] for table in each]) for each in _each(workloads)))

    def say(self, outlook: Outlook, limits: Floats) -> "Said":
        """What the experts say of origins that came after the fit; `limits` has shape (2, b)."""
        ridge = outlook.start + dot(outlook.features, self.ridge)
        locations, top = _bounded(outlook, ridge, limits)
        return Said(locations, _scales(dot(outlook.scale, self.scale), self.bounds), top)


class Said(NamedTuple):
    """Locations and scales of e experts, (e, 2, l, n, b), and what is believed at most, (l, n, b)."""

    locations: Floats
    scales: Floats
    top: Floats

    @property
    def newest(self) -> "Said":
        """Of the last origins only."""
        return Said(*(part[..., -1:, :] for part in self))


def learn(history: History, lead: int) -> tuple[Learned, Said, Floats]:
    """Fit one lead; what its experts said of each origin without having seen what came; and what came."""
    views = history.views
    outlook = views.towards((lead,))
    came = targets(views.sight.near, views.sight.origins, (lead,))
    features, scale = stacked(outlook.features, came.shape), stacked(outlook.scale, came.shape)
    moves = came - outlook.start
    ridges = [_ridge(history, lead, features[:, kind, 0, :, 0], moves[kind, 0, :, 0]) for kind in (0, 1)]
    said = np.stack([ridge.said for ridge in ridges])[..., None]
    locations, top = _bounded(outlook, outlook.start + said, history.limits[:, None])
    parts = [
        _errors(history, lead, scale[:, kind, 0, :, 0], locations[:, kind, 0, :, 0], came[kind, 0, :, 0])
        for kind in (0, 1)
    ]
    ridge = [walked.weights[:, 0] for walked in ridges]
    losses = np.zeros((len(mixture.JUDGED), EXPERTS + len(PLAIN) + 1))
    fresh = (losses, np.zeros(()), np.zeros(len(mixture.GUARDED)))
    learned = Learned(
        *(
            _pair(each)
            for each in zip(
                *((r, *part[0], *fresh) for r, part in zip(ridge, parts, strict=True)), strict=True
            )
        )
    )
    scales = np.stack([part[1] for part in parts], axis=1)[:, :, None, :, None]
    return learned, Said(locations, scales, top), came


def blocks_of(panel: Panel) -> Blocks:
    """A day each; at least four, that a short history is judged too."""
    count = int(np.clip(np.ceil(panel.size / panel.bins(DAY_S)), 4, 30))
    edges = np.linspace(0, panel.size, count + 1).round().astype(np.int64)
    return Blocks(edges, 0.5 ** (panel.size * panel.step_s / count / _FADE_S))


def _ridge(history: History, lead: int, features: Floats, moves: Floats) -> Walked:
    """The ridge's corrections, from features (p, n) of moves (n,)."""
    widest = _WIDEST * _mean_size(moves[None, ~np.isnan(moves)])
    clipped = np.clip(moves[None], -widest, widest)
    origins = history.views.sight.origins[0, :, 0]
    return walk(features, clipped, origins, lead, history.blocks, penalty=_PENALTY, seed=False)


def _errors(
    history: History, lead: int, features: Floats, locations: Floats, came: Floats
) -> tuple[tuple[Floats, Floats, Floats, Floats], Floats]:
    """The scale's weights and bounds, quantiles of error over scale, those of plain errors; and scales.

    From features (s, n), locations (e, n) and what came (n,); the scales are (e, n).
    """
    origins = history.views.sight.origins[0, :, 0]
    known = ~np.isnan(came)
    missed = came - locations
    # A hit is a small error and not minus infinity: an idle hour does not promise an idle next one.
    logs = np.log(np.abs(missed) + _FLOOR * _mean_size(missed[:, known])[:, None] + 1e-6)
    walked = walk(features, logs, origins, lead, history.blocks, penalty=_PENALTY, seed=True)
    bounds = _bounds(logs[:, known])
    scales = _scales(walked.said, bounds[..., None])
    recent = known & (origins >= history.blocks.edges[-1] - history.views.sight.near.bins(_JUDGED_S))
    errors = _quantiles(missed[:, recent] / scales[:, recent])
    offset = history.domain.offset
    roots = np.sqrt(to_demand(locations[list(PLAIN)][:, recent], offset))
    plain = _quantiles(np.sqrt(to_demand(came[recent], offset)) - roots)
    return (walked.weights, bounds, errors, plain), scales


def _pair(kinds: Sequence[Floats]) -> Floats:
    """Of the value and of the peak at one lead, shape (..., 2, 1)."""
    return np.stack(kinds, axis=-1)[..., None]


def _each(parts: Sequence[Learned]) -> list[list[Floats]]:
    """The arrays of the parts by field."""
    return [[getattr(part, field.name) for part in parts] for field in fields(Learned)]


def _side_by_side(tables: Sequence[Floats]) -> Floats:
    """Tables (...) of b workloads as (..., 1, b)."""
    return np.ascontiguousarray(np.moveaxis(np.stack(tables), 0, -1))[..., None, :]


def _bounded(outlook: Outlook, ridge: Floats, limits: Floats) -> tuple[Floats, Floats]:
    """Locations of all experts within what was seen, then or lately, and the upper bound."""
    top = np.maximum(limits[1], outlook.highest + BEYOND)
    locations = stacked((*outlook.locations, ridge), ridge.shape)
    return np.clip(locations, limits[0], top, out=locations), top


def _scales(logs: Floats, bounds: Floats) -> Floats:
    scales: Floats = np.exp(np.clip(logs, bounds[0], bounds[1]))
    return scales


def _mean_size(errors: Floats) -> Floats:
    """The mean of |errors| (e, n), shape (e,)."""
    return np.abs(errors).mean(axis=1) if errors.size else np.zeros(errors.shape[0])


def _bounds(logs: Floats) -> Floats:
    if not logs.size:
        return np.zeros((2, logs.shape[0]))
    return np.stack((np.quantile(logs, 0.02, axis=1), logs.max(axis=1)))


def _quantiles(errors: Floats) -> Floats:
    """Quantiles of errors (e, n) at `TABLE`, shape (e, q)."""
    if not errors.size:
        return np.zeros((errors.shape[0], len(mixture.TABLE)))
    if errors.shape[1] < _FEW:
        # Too few to tell up from down: ten minutes that fell do not rule out a rise.
        errors = np.concatenate((errors, -errors), axis=1)
    ordered = np.sort(errors, axis=1)
    place = np.asarray(mixture.TABLE) * (ordered.shape[1] - 1)
    low = place.astype(np.int64)
    high = np.minimum(low + 1, ordered.shape[1] - 1)
    part = place - low
    table: Floats = ordered[:, low] * (1 - part) + ordered[:, high] * part
    return table
