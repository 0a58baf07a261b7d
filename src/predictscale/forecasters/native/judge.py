"""How the experts did, up to each origin: the losses that decide the weights.

The same code runs over the history at a fit and over the minutes since at a
prediction; only the losses it starts from differ. Refuses look-ahead: an origin is
weighed by windows that had closed by then.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictscale.core.series import Floats
from predictscale.forecasters.native import mixture
from predictscale.forecasters.native.domain import to_demand, to_logs
from predictscale.forecasters.native.learn import PLAIN, Learned, Said
from predictscale.forecasters.native.panel import Indices
from predictscale.forecasters.robust import DAY_S

_HALF_LIFE_S = DAY_S
_PERFECT = 1e-9
_HANDICAP = 1.1
"""So much better must the last value be to be the mixture's equal: it learns a new level's noise late."""


class Trial(NamedTuple):
    """What came after origins, (2, l, n, b) of them, the oldest first, and when that was known.

    Args:
        came: The targets, shape (2, l, n, b).
        new: Whether a target is known by the end and not yet in the losses, shape as `came`.
        ago_s: How long before the end each window closed [s], shape (l, n, b).
        since_s: How long before the end the losses were last brought up to date [s], shape (b,).
        closed: How many of the windows had closed at each origin, shape (l, n).
    """

    came: Floats
    new: NDArray[np.bool_]
    ago_s: Floats
    since_s: Floats
    closed: Indices


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """How the mixture did.

    Args:
        watched: What it said of each origin at the levels `WATCHED`, in logs, shape (c, 2, l, n, b).
        share: Weights of the experts at each origin, shape (j, e + r, 2, l, n, b).
        trust: The last value's weight against the mixture, shape (j, 2, l, n, b).
        losses: The losses up to the end, as `Learned` holds them, shape (j, e + r + 1, 2, l, b).
        count: Their number, shape (2, l, b).
    """

    watched: Floats
    share: Floats
    trust: Floats
    losses: Floats
    count: Floats


def judge(learned: Learned, said: Said, trial: Trial, offset: float | Floats) -> Verdict:
    """Weigh the experts at each origin, mix, and let the last value stand against the mixture."""
    plain = _plain(learned, said, offset, mixture.WATCHED)
    came, fading = to_demand(trial.came, offset), _Fading.of(trial)
    experts = said.locations.shape[0] + len(PLAIN)
    losses = _losses(learned, said, came, plain, offset)
    counts = fading.sums(learned.count, np.ones_like(came))
    sums = fading.sums(learned.losses[:, :experts], losses)
    share = mixture.weights(_means(sums, counts, trial.closed) + _PERFECT * offset)
    table = _mixed(learned, said, to_logs(plain, offset), share, mixture.WATCHED)
    # Where hardly anything ever moves, a mixture of all but certain opinions is still a little off.
    own = _pinball(came, to_demand(table[_JUDGED], offset)[:, None])
    duel = fading.sums(learned.losses[:, experts:], own)
    pair = np.concatenate((duel, _HANDICAP * sums[:, experts - len(PLAIN), None]), axis=1)
    trust = mixture.weights(_means(pair, counts, trial.closed) + _PERFECT * offset, doublings=mixture.DUEL)[
        :, 1
    ]
    return Verdict(
        watched=_settled(table, to_logs(plain[0], offset), said, trust, mixture.WATCHED),
        share=share,
        trust=trust,
        losses=np.concatenate((sums[..., -1, :], duel[..., -1, :]), axis=1),
        count=counts[..., -1, :],
    )


def conclude(learned: Learned, said: Said, verdict: Verdict, offset: float | Floats) -> Floats:
    """What the mixture says now, at the newest origin, at all levels, in logs; shape (q, 2, l, b)."""
    newest, share, trust = said.newest, verdict.share[..., -1:, :], verdict.trust[..., -1:, :]
    plain = to_logs(_plain(learned, newest, offset, mixture.ALL), offset)
    table = _mixed(learned, newest, plain, share, mixture.ALL)
    return _settled(table, plain[0], newest, trust, mixture.ALL)[..., 0, :]


_JUDGED = [mixture.WATCHED.index(place) for place in mixture.JUDGED]


def _plain(learned: Learned, said: Said, offset: float | Floats, places: tuple[int, ...]) -> Floats:
    """The quantiles of the experts `PLAIN` in demand, shape (r, c, ...)."""
    roots = np.sqrt(to_demand(said.locations[list(PLAIN)], offset))[:, None]
    plain: Floats = roots + learned.plain[:, list(places)]
    np.maximum(plain, 0.0, out=plain)
    plain *= plain
    return plain


def _mixed(learned: Learned, said: Said, plain: Floats, share: Floats, places: tuple[int, ...]) -> Floats:
    table = mixture.mix(said.locations, said.scales, learned.errors, plain, share=share, places=places)
    return np.minimum(table, said.top, out=table)


def _settled(table: Floats, last: Floats, said: Said, trust: Floats, places: tuple[int, ...]) -> Floats:
    """The mixture's table, moved to the last value's as far as that is trusted; values and peaks agree."""
    return mixture.agreed(mixture.between(table, np.minimum(last, said.top), trust, places))


def _losses(learned: Learned, said: Said, came: Floats, plain: Floats, offset: float | Floats) -> Floats:
    """Pinball losses in demand, shape (j, e + r, ...)."""
    experts = said.locations.shape[0]
    quantiles = np.empty((len(mixture.JUDGED), experts + len(PLAIN), *came.shape))
    for row, place in enumerate(mixture.JUDGED):
        believed = said.scales * learned.errors[:, place]
        believed += said.locations
        np.minimum(believed, said.top, out=believed)
        quantiles[row, :experts] = to_demand(believed, offset)
        quantiles[row, experts:] = plain[:, _JUDGED[row]]
    return _pinball(came, quantiles)


def _pinball(came: Floats, said: Floats) -> Floats:
    """The losses of quantiles (j, e, ...) in demand."""
    levels = np.asarray(mixture.TABLE)[list(mixture.JUDGED)]
    return mixture.pinball(came, said, levels.reshape(-1, *[1] * (said.ndim - 1)))


class _Fading(NamedTuple):
    """What counts at the end: the losses at the start, (b,), and each window's, (l, n, b)."""

    before: Floats
    windows: Floats
    new: NDArray[np.bool_]

    @classmethod
    def of(cls, trial: Trial) -> "_Fading":
        before, after = 2.0 ** (-trial.since_s / _HALF_LIFE_S), 2.0 ** (-trial.ago_s / _HALF_LIFE_S)
        return cls(before, after, trial.new)

    def sums(self, before: Floats, losses: Floats) -> Floats:
        """Discounted sums after 0, 1, ... n windows have closed, shape (..., 2, l, n + 1, b).

        Args:
            before: Sums at the start, shape (..., 2, l, 1, b).
            losses: Shape (..., 2, l, n, b).
        """
        shape = (*losses.shape[:-2], losses.shape[-2] + 1, losses.shape[-1])
        sums = np.empty(shape)
        sums[..., :1, :] = before * self.before
        np.multiply(np.where(self.new, losses, 0.0), self.windows, out=sums[..., 1:, :])
        return _accumulated(sums)


def _accumulated(sums: Floats) -> Floats:
    """The array itself, added up along its last axis but one."""
    if sums.shape[-1] == 1:
        return np.cumsum(sums, axis=-2, out=sums)
    # The same additions in the same order; of many workloads a few origins each, whole rows are quicker.
    for place in range(1, sums.shape[-2]):
        sums[..., place, :] += sums[..., place - 1, :]
    return sums


def _means(sums: Floats, counts: Floats, closed: Indices) -> Floats:
    """Mean losses at each origin, shape (..., 2, l, n, b)."""
    means: Floats = _at(sums, closed) / np.maximum(_at(counts, closed), 1e-300)
    return means


def _at(sums: Floats, closed: Indices) -> Floats:
    """The sums when so many windows had closed."""
    if closed.shape[0] == 1:
        taken: Floats = sums.take(closed[0], axis=-2)
        return taken
    return np.stack([sums[..., lead, :, :].take(part, axis=-2) for lead, part in enumerate(closed)], axis=-3)
