"""What perfect knowledge would cost under the same cold start: the bound that nobody beats by merit.

A replica serves at step t only if it was wanted at every step of [t - lead, t], so covering a
need means wanting it from a lead time before; wanting exactly that and no more is the
cheapest plan without lateness. Refuses to count on the wait bound: work that could wait a
few seconds is covered at once, so a plan that lets it wait may come out a little cheaper.
"""

from collections.abc import Sequence

import numpy as np

from predictscale.core.series import Floats
from predictscale.simulate.rivals import Ints, replicas_for
from predictscale.simulate.sliding import ahead_max


def need(demand: Floats, per_replica: float) -> Ints:
    """Replicas that serve each step's demand as it comes, shape (n,); a gap needs one, nobody knows more."""
    return replicas_for(np.nan_to_num(demand, nan=0.0), per_replica)


def cheapest(needed: Ints, lead_steps: int) -> Ints:
    """The cheapest plan under which nothing is late: the highest need of [t, t + lead], shape (n,).

    Replicas are billed from when they are wanted, and serve after `lead_steps` steps of being wanted.

    Args:
        needed: Replicas that serve each step, shape (n,).
        lead_steps: The cold start.
    """
    return ahead_max(needed, lead_steps + 1)


def frontier(demand: Floats, per_replica: float, *, lead_steps: int, prices: Sequence[float]) -> Ints:
    """Plans that let some demand be late where covering it is dearer than it is worth.

    An approximation from above: each replica of the fleet is looked at alone, and a stretch in
    which it is needed is left out if its cost, with the cold start before it, exceeds the price
    of the demand that it would have served. What a queue then does to others is not
    foreseen, so the real frontier lies at or below the one that these plans draw when run.

    Args:
        demand: Load of each step, shape (n,); a gap needs nothing.
        per_replica: Load that a replica serves.
        lead_steps: The cold start.
        prices: What a replica-step of demand is worth, in replica-steps; one plan for each.

    Returns:
        Replicas, shape (prices, n); the last of infinite price is `cheapest`.
    """
    load = np.nan_to_num(demand, nan=0.0) / per_replica
    highest = int(need(demand, per_replica).max())
    worth = np.asarray(prices, dtype=np.float64)[:, np.newaxis]
    # Changes from step to step; their sum is the fleet.
    change = np.zeros((worth.size, load.size + 1), dtype=np.int32)
    change[:, 0] = 1
    for level in range(1, highest):
        # The part of the load that only replica number `level + 1` serves.
        part = np.clip(load - level, 0.0, 1.0)
        part[part < level * 1e-12] = 0.0
        begins, stops = np.flatnonzero(np.diff(part > 0, prepend=False, append=False)).reshape(-1, 2).T
        if not begins.size:
            continue
        before = begins - np.concatenate([[0], stops[:-1]])
        cost = stops - begins + np.minimum(before, lead_steps)
        until = np.concatenate([[0.0], np.cumsum(part)])
        covered = (worth * (until[stops] - until[begins]) >= cost).astype(np.int32)
        change[:, begins] += covered
        change[:, stops] -= covered
    return ahead_max(np.cumsum(change[:, :-1], axis=1, dtype=np.int32), lead_steps + 1)
