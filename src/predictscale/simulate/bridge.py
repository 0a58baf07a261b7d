"""Coarse traces on a finer grid, without telling what comes next.

A value held for ten minutes makes stairs that no endpoint ever saw, and a straight line
between two samples gives the second away as soon as its slope is seen. So the path between
two samples is one that a random walk would take which happens to end there: a Brownian
bridge in logs, as wide as the trace's own moves are around that time. Its slope says nothing of
what is left, as far as the trace itself is a random walk.

Refuses to pass for measured: it is drawn, with a seed, and a bin's mean is kept only about.
"""

import numpy as np

from predictscale.core.series import Floats, MetricWindow

_OFFSET = 0.02
"""Of the mean: keeps logs stable near zero."""

_AROUND = 13
"""Moves that tell how wide a bridge is, with the one that it spans in their middle."""


def bridged(window: MetricWindow, step_s: float, *, seed: int) -> MetricWindow:
    """A trace on a finer grid; one that is fine enough is returned as it is.

    Samples become the values at the centres of their bins. Before the first centre and
    after the last one, and towards a gap, the nearest value holds; gaps stay gaps.

    Args:
        window: The trace.
        step_s: Width of the new bins [s].
        seed: Of the walk.

    Raises:
        ValueError: The trace's step is no whole multiple of `step_s`.
    """
    if window.step_s <= step_s:
        return window
    parts = round(window.step_s / step_s)
    if abs(parts * step_s - window.step_s) > 1e-6:
        raise ValueError(f"step_s: {step_s:g}; {window.step_s:g} s is no whole multiple of it")
    offset = _OFFSET * float(np.nanmean(window.values)) if window.known.any() else 0.0
    if not offset or len(window) == 1:
        return MetricWindow(window.start, step_s, np.repeat(window.values, parts))
    logs = np.log(window.values + offset)
    moves = np.diff(logs)
    walked = _walks(_widths(moves), parts, np.random.default_rng(seed))
    share = np.linspace(0.0, 1.0, parts + 1)[:-1]
    path = np.repeat(logs, parts).reshape(logs.size, parts)
    between = logs[:-1, None] + moves[:, None] * share + walked
    between = np.where(np.isnan(between), path[:-1], between)
    half = parts // 2
    fine = np.concatenate((path[0, :half], between.ravel(), path[-1, : parts - half]))
    # A bridge from a known bin reaches into the next one, which may be a gap.
    fine[np.repeat(~window.known, parts)] = np.nan
    fine = np.where(np.isnan(fine), path.ravel(), fine)
    return MetricWindow(window.start, step_s, np.maximum(np.exp(fine) - offset, 0.0))


def _widths(moves: Floats) -> Floats:
    """The deviation of a move around each place, shape as given; 0 where none is known."""
    known = ~np.isnan(moves)
    kernel = np.ones(_AROUND)
    squares = _around(np.where(known, moves, 0.0) ** 2, kernel)
    counts = _around(known.astype(np.float64), kernel)
    widths: Floats = np.sqrt(squares / np.maximum(counts, 1.0))
    return widths


def _around(values: Floats, kernel: Floats) -> Floats:
    """Sums around each place, shape as given."""
    sums: Floats = np.convolve(values, kernel, mode="full")[kernel.size // 2 :][: values.size]
    return sums


def _walks(widths: Floats, parts: int, rng: np.random.Generator) -> Floats:
    """Bridges from 0 to 0 over `parts` steps, without their ends, shape (n, parts)."""
    steps = rng.standard_normal((widths.size, parts)) * (widths / np.sqrt(parts))[:, None]
    walk = np.concatenate((np.zeros((widths.size, 1)), np.cumsum(steps, axis=1)), axis=1)
    share = np.linspace(0.0, 1.0, parts + 1)
    bridges: Floats = (walk - walk[:, -1:] * share)[:, :-1]
    return bridges
