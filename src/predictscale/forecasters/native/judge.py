"""How the experts did, up to each origin: the losses that decide the weights.

The same code runs over the history at a fit and over the minutes since at a
prediction; only the losses it starts from differ. Refuses look-ahead: an origin is
weighed by windows that had closed by then.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from predictscale.core.series import Floats
from predictscale.forecasters.native import mixture
from predictscale.forecasters.native.domain import Domain
from predictscale.forecasters.native.learn import PLAIN, Learned, Said
from predictscale.forecasters.native.panel import Indices
from predictscale.forecasters.robust import DAY_S

_HALF_LIFE_S = DAY_S
_PERFECT = 1e-9
_HANDICAP = 1.1
"""So much better must the last value be to be the mixture's equal: it learns a new level's noise late."""


class Trial(NamedTuple):
    """Origins of one head and what came.

    Args:
        origins: Ascending, shape (n,).
        lead: Bins until a target is known.
        came: The targets, NaN where unknown, shape (n,).
        since: Windows that closed by this bin are in the losses already.
        end: The bin that the losses are discounted to.
        step_s: Width of a bin [s].
    """

    origins: Indices
    lead: int
    came: Floats
    since: int
    end: int
    step_s: float


class Verdict(NamedTuple):
    """The mixture at each origin in logs (n, q), the discounted losses (j, e + r + 1) and their number."""

    table: Floats
    losses: Floats
    number: float


def judge(learned: Learned, said: Said, trial: Trial, domain: Domain) -> Verdict:
    """Weigh the experts at each origin, mix, and let the last value stand against the mixture."""
    plain = np.square(
        np.maximum(np.sqrt(domain.back(said.locations[:, PLAIN]))[:, :, None] + learned.plain, 0.0)
    )
    losses = _losses(learned, said, trial, domain, plain[:, :, mixture.JUDGED])
    experts = losses.shape[2]
    sums, counts = _discounted(learned.losses[:, :experts], learned.count, trial, losses)
    closed = np.searchsorted(trial.origins + trial.lead, trial.origins, side="right")
    share = mixture.weights(_means(sums, counts, closed) + _PERFECT * domain.offset)
    logs = domain.to(plain, most=np.inf)
    table = mixture.mix(said.locations, said.scales, learned.errors, logs, share)
    table = np.minimum(table, said.top[:, None])
    # Where hardly anything ever moves, a mixture of all but certain opinions is still a little off.
    own = _pinball(trial, domain, domain.back(table[:, mixture.JUDGED, None]))
    duel, _ = _discounted(learned.losses[:, experts:], learned.count, trial, own)
    pair = np.concatenate((duel, _HANDICAP * sums[:, :, experts - len(PLAIN), None]), axis=2)
    trust = mixture.weights(_means(pair, counts, closed) + _PERFECT * domain.offset, doublings=mixture.DUEL)
    table = mixture.between(table, np.minimum(logs[:, 0], said.top[:, None]), trust[:, :, 1])
    return Verdict(table, np.concatenate((sums[-1], duel[-1]), axis=1), float(counts[-1]))


def _losses(learned: Learned, said: Said, trial: Trial, domain: Domain, plain: Floats) -> Floats:
    """Pinball losses in demand, 0 for windows that are not new, shape (n, j, e + r)."""
    errors = learned.errors[:, mixture.JUDGED].T
    quantiles = said.locations[:, None] + said.scales[:, None] * errors
    believed = domain.back(np.minimum(quantiles, said.top[:, None, None]))
    return _pinball(trial, domain, np.concatenate((believed, np.swapaxes(plain, 1, 2)), axis=2))


def _pinball(trial: Trial, domain: Domain, said: Floats) -> Floats:
    """The losses of quantiles (n, j, e) in demand, 0 for windows that are not new."""
    came = domain.back(trial.came)[:, None, None]
    levels = np.asarray(mixture.TABLE)[list(mixture.JUDGED), None]
    return np.where(_new(trial)[:, None, None], mixture.pinball(came, said, levels), 0.0)


def _means(sums: Floats, counts: Floats, closed: Indices) -> Floats:
    return sums[closed] / np.maximum(counts[closed], 1e-300)[:, None, None]


def _discounted(before: Floats, count: float, trial: Trial, losses: Floats) -> tuple[Floats, Floats]:
    """Sums of losses and their number after 0, 1, ... n windows have closed, discounted to the end."""
    half_lives = (
        (np.append(trial.since, trial.origins + trial.lead) - trial.end) * trial.step_s / _HALF_LIFE_S
    )
    fading = 2.0**half_lives
    fading[1:] *= _new(trial)
    sums = np.concatenate((before[None], losses)) * fading[:, None, None]
    counts = np.append(count, np.ones(losses.shape[0])) * fading
    return np.cumsum(sums, axis=0), np.cumsum(counts)


def _new(trial: Trial) -> NDArray[np.bool_]:
    closes = trial.origins + trial.lead
    new: NDArray[np.bool_] = ~np.isnan(trial.came) & (closes > trial.since) & (closes <= trial.end)
    return new
