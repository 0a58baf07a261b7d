"""How many spot nodes can be had at each step: from a trace, or from a process of losses.

A world clamps its fleet by such a series: what is beyond it is lost at once, and comes
back by a new boot once there is room. Refuses to stretch a trace: what was not observed is
not made up by repeating what was.
"""

import math
from pathlib import Path

import numpy as np

from predictscale.core.series import MetricWindow
from predictscale.simulate.plant import Ints
from predictscale.sources.files import load_csv


def load(path: Path, *, steps: int, step_s: float) -> Ints:
    """The nodes of a CSV trace `timestamp,value` from its beginning; see `nodes_of`.

    Raises:
        FileUnusable: It is not such a file.
        ValueError: It is too short.
    """
    return nodes_of(load_csv(path), steps=steps, step_s=step_s)


def nodes_of(trace: MetricWindow, *, steps: int, step_s: float) -> Ints:
    """The nodes at the beginning of each step, shape (steps,).

    Samples hold for their bin, whatever its width; in a gap the last known one does.

    Raises:
        ValueError: The trace ends before the last step begins, or begins with a gap.
    """
    have_s, need_s = trace.duration_s, (steps - 1) * step_s
    if not need_s < have_s:
        raise ValueError(f"trace: {have_s:g} s of nodes for {need_s:g} s; it is not repeated")
    if not trace.known[0]:
        raise ValueError("trace: begins with a gap, so that no nodes are known at first")
    last = np.maximum.accumulate(np.where(trace.known, np.arange(len(trace)), 0))
    held = trace.values[last].astype(np.int64)
    nodes: Ints = held[(np.arange(steps) * step_s // trace.step_s).astype(np.int64)]
    return nodes


def drawn(
    *, nodes: int, steps: int, step_s: float, losses_per_node_hour: float, back_s: float, seed: int = 0
) -> Ints:
    """Nodes that are lost independently, as a Poisson process, and come back after a while.

    Args:
        nodes: How many there are at best.
        steps: How many steps, n.
        step_s: Width of a step [s].
        losses_per_node_hour: Expected losses of a node in an hour that it is there [1/h].
        back_s: Mean of the exponential time until it can be had again [s].
        seed: Equal seeds, equal losses.

    Returns:
        Nodes to be had throughout each step, shape (n,).

    Raises:
        ValueError: A rate or a time is not above 0.
    """
    if not (losses_per_node_hour > 0 and back_s > 0 and step_s > 0):
        raise ValueError(f"losses {losses_per_node_hour}/h, back after {back_s} s; above 0")
    changes = np.zeros(steps + 1, dtype=np.int64)
    for node in range(nodes):
        # Of its own, so that one node more leaves the fate of the others as it is.
        rng = np.random.default_rng((seed, node))
        lost_s = rng.exponential(3600.0 / losses_per_node_hour)
        while lost_s < steps * step_s:
            again_s = lost_s + rng.exponential(back_s)
            changes[int(lost_s // step_s)] -= 1
            changes[min(steps, max(math.ceil(again_s / step_s), int(lost_s // step_s) + 1))] += 1
            # It cannot be lost again before the step in which it is back.
            lost_s = math.ceil(again_s / step_s) * step_s + rng.exponential(3600.0 / losses_per_node_hour)
    there: Ints = nodes + np.cumsum(changes[:-1])
    return there
