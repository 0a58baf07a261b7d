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


def outages(
    *,
    nodes: int,
    steps: int,
    step_s: float,
    calm_s: float,
    steadiness: float = 1.0,
    back_s: float = 1800.0,
    spread: float = 1.2,
    together: float = 0.7,
    seed: int = 0,
) -> Ints:
    """A zone whose nodes are mostly lost together, soon after they came or not for long.

    Each stretch of calm has a rate of its own, drawn from a Gamma distribution, so that the
    hazard falls with the time since the last outage, as it does in recorded pools. An
    outage takes all nodes or some, and lasts a log-normal time.

    Args:
        nodes: How many there are at best.
        steps: How many steps, n.
        step_s: Width of a step [s].
        calm_s: Scale of the stretches of calm; their median where `steadiness` is 1 [s].
        steadiness: Shape of the rates; the smaller, the more stretches are very long.
        back_s: Median of the outages [s].
        spread: Standard deviation of their logarithm.
        together: Share of outages that take all nodes.
        seed: Equal seeds, equal outages.

    Returns:
        Nodes to be had throughout each step, shape (n,).

    Raises:
        ValueError: A time or a shape is not above 0, or `together` is no share.
    """
    if not (min(step_s, calm_s, steadiness, back_s) > 0 and spread >= 0 and 0 <= together <= 1):
        raise ValueError(f"calm {calm_s} s, steadiness {steadiness}, back after {back_s} s, {together}")
    rng = np.random.default_rng(seed)
    there: Ints = np.full(steps, nodes, dtype=np.int64)
    at_s, end_s = 0.0, steps * step_s
    while True:
        at_s += rng.exponential(1.0) / rng.gamma(steadiness) * calm_s
        if at_s >= end_s:
            return there
        lasts_s = back_s * math.exp(spread * rng.standard_normal())
        left = 0 if rng.random() < together else int(rng.integers(0, nodes))
        there[int(at_s // step_s) : max(math.ceil((at_s + lasts_s) / step_s), int(at_s // step_s) + 1)] = left
        at_s += lasts_s
