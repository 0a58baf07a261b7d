"""How many nodes are lost at once: beta-binomial within a zone, zones convolved.

Losses within a zone come together, so that their number is not binomial. All is exact,
from sums of logarithms: with whole numbers of nodes the Gamma functions cancel.
Refuses the shortcuts of a Poisson number or of one whole zone, which are right in a part
of the range only.
"""

from collections.abc import Sequence

import numpy as np

from predictscale.core.series import Floats


def lost(nodes: int, loss: float, correlation: float) -> Floats:
    """Probability of each number of lost nodes in a zone, shape (nodes + 1,).

    Beta-binomial with mean `nodes * loss`; binomial at correlation 0, all or none at 1.

    Source:
        models.md section 4; the Gamma functions cancel into rising factorials.
    """
    if nodes == 0 or loss in (0.0, 1.0) or correlation >= 1:
        chances = np.zeros(nodes + 1)
        chances[0] += 1 - loss
        chances[nodes] += loss
        return chances
    upto = np.arange(nodes)
    if correlation <= 0:
        log_lost, log_left = (np.log(np.full(nodes, share)) for share in (loss, 1 - loss))
        log_all = 0.0
    else:
        scale = (1 - correlation) / correlation
        log_lost, log_left = (np.log(share * scale + upto) for share in (loss, 1 - loss))
        log_all = float(np.log(scale + upto).sum())
    ways = _sums(np.log((nodes - upto) / (upto + 1.0)))
    return np.exp(ways + _sums(log_lost) + _sums(log_left)[::-1] - log_all)


def survivors(nodes: Sequence[int], losses: Sequence[float], correlation: float) -> Floats:
    """Probability that at least so many nodes are left over all zones, shape (total + 1,)."""
    left: Floats = np.ones(1)
    for count, loss in zip(nodes, losses, strict=True):
        if count:
            left = np.convolve(left, lost(count, loss, correlation)[::-1])
    return np.cumsum(left[::-1])[::-1]


def covered(nodes: Sequence[int], losses: Sequence[float], correlation: float, need: int) -> float:
    """Probability that at least `need` nodes are left over all zones.

    Args:
        nodes: In each zone.
        losses: Probability that a node is lost, in each zone.
        correlation: Of losses within a zone, in [0, 1].
        need: Nodes that must be left.
    """
    if need <= 0:
        return 1.0
    used = sorted((count, loss) for count, loss in zip(nodes, losses, strict=True) if count)
    if sum(count for count, _ in used) < need:
        return 0.0
    # The widest zone comes last, as a product of tails instead of a convolution.
    widest, rest = used[-1], used[:-1]
    others = survivors([count for count, _ in rest], [loss for _, loss in rest], correlation)
    left = lost(*widest, correlation)[::-1]
    missing = np.clip(need - np.arange(left.size), 0, others.size)
    return min(1.0, float(left @ np.append(others, 0.0)[missing]))


def _sums(logs: Floats) -> Floats:
    """0 and the running sums, shape (n + 1,)."""
    return np.concatenate([[0.0], np.cumsum(logs)])
